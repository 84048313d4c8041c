"""The store that the processes of a configuration share, as the commands that look into it open it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resilience._config import policies_for
from resilience._store_file import is_there
from resilience._store_url import check_store_url, completed, without_credentials, words_without
from resilience.errors import ConfigurationError
from resilience.stores import open_store

from ._output import fail, visible

if TYPE_CHECKING:
    from pathlib import Path

    from resilience._registry import Policies
    from resilience._transactions import Store

__all__ = ["ALONE", "Shared", "shared_store"]

ALONE = (
    "memory:// is each process's own memory: nothing of it can be seen or changed from another process; "
    "write `store: sqlite:///resilience.db` (one machine) or `store: redis://localhost:6379` in resilience.yaml to share it"
)
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Shared:
    """A store and the policies that keep their states in it.

    Arguments:
        url: of the store, with its password.
        policies: those that the configuration makes active.
    """

    url: str
    policies: Policies

    @property
    def shown(self) -> str:
        """The URL for people."""
        return without_credentials(self.url)

    @property
    def is_alone(self) -> bool:
        """Whether it is the memory of a process, which no other one shares."""
        return self.url == "memory://"

    def open(self) -> Store:
        """The store itself; one whose packages are missing, or whose file does not exist, ends the command."""
        if not is_there(self.url):
            # Looking at a store must not make one.
            fail(f"there is no store {self.shown}: no application has used it yet, or it has another path")
        try:
            return open_store(self.url, namespace=self.policies.namespace)
        except ConfigurationError as error:
            fail(self._cleared(error))

    @contextmanager
    def changing(self) -> Generator[Store]:
        """The store itself, to be changed by hand; one that cannot be written ends the command."""
        opened = self.open()
        try:
            yield opened
        except Exception as error:  # noqa: BLE001  every store has errors of its own, and each means that it cannot be used
            fail(self.fault(error), code=1)
        # A client's store goes on alone where it cannot be written; what was done by hand is then done for nobody.
        if getattr(opened, "is_away", False):
            fail(f"the store {self.shown} cannot be written, and no other process knows of the change", code=1)

    def fault(self, error: Exception, remedy: str = "see that it runs, or name another with --store") -> str:
        """Why it cannot be read or written."""
        return f"the store {self.shown} cannot be reached: {self._cleared(error)}; {remedy}"

    def _cleared(self, error: Exception) -> str:
        """What an error says, without the password, whatever a library puts into its errors."""
        words = words_without(str(error) or type(error).__name__, self.url)
        return visible(words)[:_LONGEST].rstrip(".")


def shared_store(config: Path | None, url: str | None) -> Shared:
    """The store of the configuration, or the one that is named instead; one that does not exist ends the command."""
    # Of one that is named instead, the configuration may be for another machine.
    policies = policies_for(None, config, anywhere=url is not None)
    if url is None:
        return Shared(policies.store, policies)
    try:
        named = completed(url)
        check_store_url(named)
    except ConfigurationError as error:
        fail(f"--store: {error}")
    return Shared(named, policies)
