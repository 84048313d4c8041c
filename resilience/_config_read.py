"""Reads the user's configuration: the file that applies, what the environment says, and where each part of it stands."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ._environment import overridden, provider_values, values, variables
from .errors import ConfigurationError, Place, PolicyError, Problem

if TYPE_CHECKING:
    from ._config_model import Config
    from ._document import Document, Keys

__all__ = ["NO_FILE", "Read", "find_config", "read"]

_VARIABLE = "RESILIENCE_CONFIG"
_FILE = "resilience.yaml"
_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
NO_FILE: Mapping[str, Any] = MappingProxyType({"version": 1})
"""In place of a configuration: there is no file, whatever the working directory has; the environment applies."""


def find_config() -> Path | None:
    """The configuration file that applies when none is named."""
    named = os.environ.get(_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise ConfigurationError(f"{_VARIABLE} names {named}, which is not a file; correct or unset it")
        return Path(named)
    here = Path(_FILE)
    return here if here.is_file() else None


class Read:
    """A configuration, and what cannot be honoured in it: all of it is told at once.

    Arguments:
        config: what it says.
        directory: what its paths count from.
        document: where its parts stand; `None` for one that stands in no file.
        environment: the variables that speak of it.
        path: its file; `None` where there is none.
    """

    def __init__(
        self,
        config: Config,
        directory: Path,
        document: Document | None = None,
        environment: Mapping[str, str] = _NO_VARIABLES,
        path: Path | None = None,
    ) -> None:
        self.config = config
        self.directory = directory
        self.document = document
        self.path = path
        self._environment = environment
        self._mistakes: list[tuple[Keys, Problem]] = []

    def place(self, keys: Keys, *, key: bool = False) -> Place:
        """Where the value at `keys` stands; with `key`, where the key does."""
        return self.document.place(keys, key=key) if self.document else Place("", 1, 1)

    def refuse(self, keys: Keys, message: str, remedy: str, *, key: bool = False) -> None:
        """Note what cannot be honoured at `keys`; with `key` it is the key itself, and not its value."""
        self._mistakes.append((keys, Problem(self.place(keys, key=key), message, remedy)))

    def settle(self) -> None:
        """Go on only if nothing was refused."""
        if self._mistakes and self.document:
            raise PolicyError([problem for _, problem in self._mistakes])
        if self._mistakes:
            found = (f"{'.'.join(map(str, keys))}: {each.message}; {each.remedy}" for keys, each in self._mistakes)
            raise ConfigurationError("\n".join(found))

    def hear_of(self, names: Iterable[str]) -> None:
        """Take what the environment says of providers.

        Arguments:
            names: of the providers that there are.

        Raises:
            PolicyError: it cannot be honoured.
        """
        if self.document is not None and (given := provider_values(self._environment, names)):
            from ._config_model import Config
            from ._validate import validate

            self.document = overridden(self.document, given)
            self.config = validate(Config, self.document)


def read(
    config: str | os.PathLike[str] | Mapping[str, Any] | None, environment: Mapping[str, str] | None = None
) -> Read | None:
    """The configuration that applies; `None` where nobody says anything.

    Arguments:
        config: a path, or what would stand in a file, of which the environment then changes nothing; by default the
            file that is found.
        environment: by default this process's.

    Raises:
        ConfigurationError: it cannot be read or honoured.
    """
    found = variables(os.environ if environment is None else environment)
    if config is None:
        config = find_config()
    if config is None or config is NO_FILE:
        if not found:
            return None
        from ._document import Document

        return _completed(Document({"version": 1}, {(): Place("the environment", 0, 0)}, {}), found)
    if isinstance(config, Mapping):
        from ._config_model import read_config

        return Read(read_config(config), Path())
    if not isinstance(config, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"a configuration is a path or a mapping, not {config!r:.60}")
    from ._load import load_document

    return _completed(load_document(config), found, Path(config))


def _completed(document: Document, found: Mapping[str, str], path: Path | None = None) -> Read:
    from ._config_model import Config
    from ._validate import validate

    document = overridden(document, values(found, document))
    directory = Path() if path is None else path.parent
    return Read(validate(Config, document), directory, document, found, path)
