"""A user's own storage of aiobreaker, kept in step with a breaker and obeyed when somebody else has changed it.

What the storage raises is logged once for each kind of error; the breaker goes on with what it knows itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

__all__ = ["Mirror"]

_logger = logging.getLogger("resilience")
T = TypeVar("T")


class Mirror:
    """One storage.

    Arguments:
        storage: an `aiobreaker.storage.base.CircuitBreakerStorage`; `None` for none.
        states: aiobreaker's enumeration of the states.
    """

    def __init__(self, storage: Any, states: Any) -> None:
        self.storage = storage
        self._states = states
        self._seen: Any = states.CLOSED
        """What stood in it when it was last read: only what is new there is somebody's word."""
        self._said: set[type[Exception]] = set()

    def changed_elsewhere(self) -> Any:
        """The state that somebody else has written, `None` if nobody has."""
        if self.storage is None:
            return None
        found = self._try(lambda: self.storage.state, self._seen)
        if found is self._seen or not isinstance(found, self._states):
            return None
        if found is self._states.CLOSED and self._try(lambda: self.storage.opened_at, None) is None:
            # aiobreaker's own storage says "closed" of a Redis that does not answer, or has lost everything; whoever
            # closes a breaker leaves there when it was opened.
            return None
        self._seen = found
        return found

    def opened_seconds_ago(self, wall: float) -> float:
        """How long ago it was opened elsewhere; 0 if the storage does not know.

        Arguments:
            wall: seconds since 1970.
        """
        opened_at = self._try(lambda: self.storage.opened_at, None)
        if not isinstance(opened_at, datetime):
            return 0.0
        # aiobreaker writes UTC without saying so.
        return max(0.0, wall - (opened_at if opened_at.tzinfo else opened_at.replace(tzinfo=UTC)).timestamp())

    def write(self, state: Any, wall: float) -> None:
        """Tell it of a change of state, as aiobreaker does."""
        if self.storage is None:
            return

        def tell() -> None:
            if state is self._states.OPEN:
                self.storage.opened_at = datetime.fromtimestamp(wall, UTC).replace(tzinfo=None)
            elif state is self._states.CLOSED:
                self.storage.reset_counter()
            self.storage.state = state
            # Read again: a storage that has swallowed an error still holds what it held.
            self._seen = self.storage.state

        self._try(tell, None)

    def failed(self) -> int:
        """Count a failure; how many there are now in a row, with those of all who share the storage."""
        if self.storage is None:
            return 0

        def count() -> int:
            self.storage.increment_counter()
            return int(self.storage.counter)

        return self._try(count, 0)

    def succeeded(self) -> None:
        """A success ends a row of failures."""
        if self.storage is not None:
            self._try(lambda: self.storage.reset_counter(), None)  # noqa: PLW0108  finding the method may fail too

    def counter(self, otherwise: int) -> int:
        """How many failures in a row it counts."""
        return otherwise if self.storage is None else self._try(lambda: int(self.storage.counter), otherwise)

    def _try(self, ask: Callable[[], T], otherwise: T) -> T:
        try:
            answer = ask()
        except Exception as error:  # noqa: BLE001  a storage that fails must fail nothing else
            if type(error) not in self._said:
                message = "the storage %s of a circuit breaker fails (%s: %s); the breaker goes on without it"
                _logger.warning(message, type(self.storage).__name__, type(error).__name__, error)
            self._said.add(type(error))
            return otherwise
        return answer
