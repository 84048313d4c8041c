"""The files that a command line names: policies by name, by file or by directory, and resilience.yaml."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from resilience._config import active, own_policies
from resilience._config_read import NO_FILE, read
from resilience._document import children
from resilience._load import load_document, read_policy
from resilience._shipped import find_policy, shipped_directory, shipped_names
from resilience.errors import ConfigurationError, Place, PolicyError, Problem

from ._output import fail

__all__ = ["CONFIG", "environment_problems", "found_files", "is_config", "policy_file", "problems_of", "shown_path"]

CONFIG = "resilience.yaml"
_ENDINGS = {".yaml", ".yml"}


def found_files(names: Sequence[str]) -> list[Path]:
    """The files behind names, files and directories, each once, in the order given.

    By default all shipped policies, and the user's own that the configuration names.

    A name that leads to none ends the command.
    """
    if not names:
        return [*(shipped_directory() / f"{name}.yaml" for name in shipped_names()), *own_policies()]
    return list(dict.fromkeys(path for name in names for path in _files(name)))


def policy_file(name: str, config: Path | None) -> Path:
    """The file of a policy: by its path, as the configuration's own policy of that name, or as a shipped one."""
    if name.endswith(tuple(_ENDINGS)) or os.sep in name:
        return Path(name)
    for path in own_policies(config):
        if read_policy(path)[0].provider == name:
            return path
    return find_policy(name)


def _files(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in _ENDINGS and _is_plain(file, path))
        return files or fail(f"there is no policy file (.yaml, .yml) in {name}")
    is_path = path.exists() or path.suffix in _ENDINGS or os.sep in name
    return [path if is_path else find_policy(name)]


def _is_plain(file: Path, directory: Path) -> bool:
    """Whether it is a file outside of hidden directories such as .venv and .git."""
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(directory).parts)


def shown_path(path: Path) -> Path:
    """The path as a person in this directory would write it."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        # A deployment has put another directory in its place, and the shell still stands in the old one.
        return path
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path


def is_config(path: Path) -> bool:
    """Whether a file is a configuration rather than a policy: by its name, else by its keys."""
    if path.stem == Path(CONFIG).stem:
        return True
    keys = _keys(path)
    return "provider" not in keys and bool(keys & _config_keys())


@cache
def _config_keys() -> frozenset[str]:
    """What a configuration may have and no policy has."""
    from resilience._config_model import Config
    from resilience._policy import Policy

    return frozenset(Config.model_fields) - frozenset(Policy.model_fields)


def _says_only_its_version(path: Path) -> bool:
    """Whether neither the name nor the keys tell what the file is."""
    return path.stem != Path(CONFIG).stem and _keys(path) == {"version"}


def _keys(path: Path) -> set[str | int]:
    """The keys of a file and of what it extends; none where it cannot be read, which is told by whoever reads it."""
    try:
        return {key for key, _ in children(load_document(path).data)}
    except ConfigurationError:
        return set()


def problems_of(path: Path) -> Iterator[Problem]:
    """What cannot be honoured in a file.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        if _says_only_its_version(path):
            message = "there is nothing here but a version: this could become a policy or a configuration"
            remedy = f"a policy has `provider` and `match`; a configuration is called {CONFIG}, or has `policies` or `providers`"
            yield Problem(Place(str(path), 1, 1), message, remedy)
        elif is_config(path):
            # The file alone: what the environment says of a process is no mistake of the file, and hides none.
            active(read(path, {}), anywhere=True)
        else:
            read_policy(path)
    except PolicyError as error:
        yield from error.problems
    except ConfigurationError as error:
        if not path.is_file():
            raise
        yield Problem(Place(str(path), 1, 1), str(error))


def environment_problems(path: Path | None) -> list[Problem]:
    """What environment variables say that cannot be honoured.

    Arguments:
        path: the configuration that they change; `None` for none.
    """
    try:
        active(read(NO_FILE if path is None else path), anywhere=True)
    except PolicyError as error:
        return [problem for problem in error.problems if not problem.place.line]
    except ConfigurationError:
        # The file's own mistakes are told of it.
        pass
    return []
