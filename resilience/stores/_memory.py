"""State in this process: a mapping under one lock, bounded, expiring by the caller's monotonic clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from copy import deepcopy

from .._line import Lines
from .._transactions import Command, Reply, State, script_named

__all__ = ["MemoryStore"]

_MOST_KEYS = 100_000
_SWEEP_EVERY = 1024


class MemoryStore:
    """States of one process.

    Arguments:
        most_keys: how many states are kept; over it, those that were saved longest ago are forgotten.
    """

    url = "memory://"
    instant = True

    def __init__(self, most_keys: int = _MOST_KEYS) -> None:
        self.lines = Lines()
        self._lock = threading.Lock()
        # In the order of saving: the first is the one that nobody has needed for longest.
        self._states: dict[str, tuple[float, State]] = {}
        self._most_keys = most_keys
        self._saves = 0
        self._now = 0.0

    def run(self, command: Command, now: float, /) -> Reply:
        with self._lock:
            # Threads read the clock before they get here, not in the order in which they come.
            self._now = max(self._now, now)
            return script_named(command.name)(
                _Transaction(self._states, self._now, self), command.keys, command.arguments
            )

    def holds(self, key: str, /) -> bool:
        return key in self._states

    def scan(self, prefix: str = "", /) -> Iterator[tuple[str, State]]:
        with self._lock:
            found = [
                (key, deepcopy(state))
                for key, (until, state) in self._states.items()
                if until > self._now and key.startswith(prefix)
            ]
        return iter(found)

    def now(self, now: float, /) -> float:
        return max(self._now, now)

    def close(self) -> None:
        """Nothing is held open."""

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._states.clear()
            self._now = 0.0
        self.lines = Lines()

    def after_fork(self) -> None:
        """Begin anew in a child process: the lock may be held by a thread that is not there."""
        self._lock = threading.Lock()
        self.clear()

    def saved(self) -> None:
        """Count a save, and now and then sweep: once in a thousand, so that it costs each a microsecond or less."""
        self._saves += 1
        if self._saves % _SWEEP_EVERY == 0:
            expired = [key for key, (until, _) in self._states.items() if until <= self._now]
            for key in expired:
                del self._states[key]
        while len(self._states) > self._most_keys:
            del self._states[next(iter(self._states))]


class _Transaction:
    __slots__ = ("_states", "_store", "now")

    def __init__(self, states: dict[str, tuple[float, State]], now: float, store: MemoryStore) -> None:
        self._states = states
        self.now = now
        self._store = store

    def load(self, key: str, /) -> State | None:
        found = self._states.get(key)
        return None if found is None or found[0] <= self.now else found[1]

    def save(self, key: str, state: State | None, seconds: float, /) -> None:
        # Taken out first: what is put back stands last.
        self._states.pop(key, None)
        if state is not None:
            self._states[key] = (self.now + seconds, state)
        self._store.saved()
