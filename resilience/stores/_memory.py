"""State in this process: a mapping under one lock, bounded, expiring by the caller's monotonic clock."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from copy import deepcopy

from .._line import Lines
from .._transactions import SCRIPTS, Command, Reply, State, script_named

__all__ = ["MemoryStore"]

_log = logging.getLogger("resilience.stores")
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
        # Taken again by whom the collector ends within it, as `_fork.Lock`.
        self._lock = threading.RLock()
        self._is_busy = False
        self._later: deque[tuple[Command, float]] = deque()
        # In the order of saving: the first is the one that nobody has needed for longest.
        self._states: dict[str, tuple[float, State]] = {}
        # One for all decisions, since they come one after the other.
        self._transaction = _Transaction(self._states, most_keys)

    def run(self, command: Command, now: float, /) -> Reply:
        script = SCRIPTS.get(command.name) or script_named(command.name)
        transaction = self._transaction
        with self._lock:
            # Within a decision of the same thread only where a signal's handler makes a call, which needs its reply.
            was_busy = self._is_busy
            try:
                # In here: whatever interrupts this must not leave it busy for ever.
                self._is_busy = True
                # Threads read the clock before they get here, not in the order in which they come.
                transaction.now = max(transaction.now, now)
                return script(transaction, command.keys, command.arguments)
            finally:
                self._is_busy = was_busy
                if self._later and not was_busy:
                    self._go_on()

    def tell(self, command: Command, now: float, /) -> None:
        with self._lock:
            if self._is_busy:
                # A call that is collected within a decision must not change the states that it has in hand.
                self._later.append((command, now))
            else:
                self.run(command, now)

    def _go_on(self) -> None:
        """What was told meanwhile, one after the other, and also what is told while that is done."""
        transaction = self._transaction
        while self._later:
            command, now = self._later.popleft()
            try:
                self._is_busy = True
                transaction.now = max(transaction.now, now)
                script_named(command.name)(transaction, command.keys, command.arguments)
            except Exception:  # noqa: BLE001  it is no matter of the call that has just had its reply
                _log.exception("%s was not done", command.name)
            finally:
                self._is_busy = False

    @property
    def changes(self) -> int:
        return self._transaction.saves

    def holds(self, key: str, /) -> bool:
        return key in self._states

    def scan(self, prefix: str = "", /) -> Iterator[tuple[str, State]]:
        with self._lock:
            now, was_busy = self._transaction.now, self._is_busy
            try:
                self._is_busy = True
                found = [
                    (key, deepcopy(state))
                    for key, (until, state) in list(self._states.items())
                    if until > now and key.startswith(prefix)
                ]
            finally:
                self._is_busy = was_busy
                if not was_busy:
                    self._go_on()
        return iter(found)

    def now(self, now: float, /) -> float:
        return max(self._transaction.now, now)

    def close(self) -> None:
        """Nothing is held open."""

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._states.clear()
            self._transaction.now = 0.0
            self._transaction.saves += 1
        self.lines = Lines()

    def after_fork(self) -> None:
        """Begin anew in a child process: the lock may be held by a thread that is not there."""
        self._lock = threading.RLock()
        self._is_busy = False
        self._later.clear()
        self.clear()


class _Transaction:
    __slots__ = ("_most", "_states", "now", "saves")

    def __init__(self, states: dict[str, tuple[float, State]], most: int) -> None:
        self.now = 0.0
        self._states = states
        self._most = most
        self.saves = 0

    def load(self, key: str, /) -> State | None:
        found = self._states.get(key)
        return None if found is None or found[0] <= self.now else found[1]

    def save(self, key: str, state: State | None, seconds: float, /) -> None:
        states = self._states
        # Taken out first: what is put back stands last.
        states.pop(key, None)
        if state is not None:
            states[key] = (self.now + seconds, state)
        self.saves += 1
        # Once in a thousand, so that it costs each a microsecond or less.
        if self.saves % _SWEEP_EVERY == 0:
            self._sweep()
        while len(states) > self._most:
            del states[next(iter(states))]

    def _sweep(self) -> None:
        expired = [key for key, (until, _) in list(self._states.items()) if until <= self.now]
        for key in expired:
            self._states.pop(key, None)
