"""How tasks are put off, as their application says: for the modules of the task queues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from ._longest import LONGEST_TIME
from ._words import brief
from .errors import ConfigurationError

__all__ = ["Options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How tasks are put off.

    Arguments:
        off: leave the task alone.
        worker_seconds: for how long a run's calls may take in all, their waits included; what would wait for longer is put
            off. `None` bounds them by the task's own time limits alone.
        within: seconds from the first time; a task that would be put off for longer fails with the error of its call.
        most: how often a task is put off.
        spread: the share of a wait that is added to it at most, by chance, so that tasks do not come together; a minute
            at most.
    """

    off: bool = False
    worker_seconds: float | None = None
    within: float = 86_400.0
    most: int = 1000
    spread: float = 0.1

    def changed(self, given: object, of: str) -> Options:
        """The same with what a task says for itself.

        Arguments:
            given: a mapping of options, or `None`.
            of: whose they are, for the error.

        Raises:
            ConfigurationError: they cannot be honoured.
        """
        if given is None:
            return self
        if not isinstance(given, Mapping):
            raise ConfigurationError(f"resilience of {of} is a mapping of options, not {given!r:.60}")
        names = [each.name for each in fields(self)]
        options = cast("Mapping[str, Any]", given)
        for name, value in options.items():
            if name not in names:
                raise ConfigurationError(
                    f"unknown option {name!r:.60} in resilience of {of}; there are: {', '.join(names)}"
                )
            _check(name, value, of)
        return replace(self, **options)


_LEAST = {"worker_seconds": 0.001, "within": 0.0, "most": 0, "spread": 0.0}
_MOST = {"worker_seconds": LONGEST_TIME, "within": LONGEST_TIME, "most": 1_000_000, "spread": 1.0}


def _check(name: str, value: object, of: str) -> None:
    kinds: tuple[type, ...] = {"off": (bool,), "most": (int,)}.get(name, (int, float))
    is_right = isinstance(value, kinds) and isinstance(value, bool) is (name == "off")
    if name == "worker_seconds" and value is None:
        return
    if not is_right or (name != "off" and not _LEAST[name] <= cast("float", value) <= _MOST[name]):
        takes = "True or False" if name == "off" else f"a number from {_LEAST[name]} to {_MOST[name]}"
        raise ConfigurationError(f"{name} in resilience of {of} is {brief(value)}; it takes {takes}")
