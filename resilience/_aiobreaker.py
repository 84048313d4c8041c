"""What is taken from the package aiobreaker: its breaker to extend, its states, and its error, whose times are right here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ._breaker_machine import CLOSED, HALF_OPEN, ISOLATED, OPEN
from ._clock import Closing, RealClock

try:
    import aiobreaker  # type: ignore[import-untyped]
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "resilience.breaker needs aiobreaker; install it with: pip install aiobreaker"
    ) from missing

if TYPE_CHECKING:
    from ._clock import Clock

__all__ = ["NEVER", "NUMBERS", "STATES", "CircuitBreakerError", "State", "aiobreaker", "local_time"]

State: Any = vars(aiobreaker)["CircuitBreakerState"]
# An isolated breaker, which aiobreaker does not know, is one that stays open.
STATES: dict[int, Any] = {CLOSED: State.CLOSED, OPEN: State.OPEN, HALF_OPEN: State.HALF_OPEN, ISOLATED: State.OPEN}
NUMBERS: dict[Any, int] = {State.CLOSED: CLOSED, State.OPEN: OPEN, State.HALF_OPEN: HALF_OPEN}
# aiobreaker's times have no zone.
NEVER = datetime.max  # noqa: DTZ901
"""The time at which a call will be let through where nobody can know it."""


def local_time(wall: float) -> datetime:
    """Local time without a zone, as aiobreaker's users compare it with `datetime.now()`.

    Arguments:
        wall: seconds since 1970.
    """
    return datetime.fromtimestamp(wall, UTC).astimezone().replace(tzinfo=None)


class CircuitBreakerError(aiobreaker.CircuitBreakerError):  # type: ignore[misc]
    """A call that a breaker did not let through; it is aiobreaker's error too.

    Arguments:
        message: what happened, which is also what `str` gives.
        reopen_time: when a call will be let through, in local time; `datetime.max` where nobody can know.
        clock: measures the time that is left.
        seconds: until it is worth asking again.
    """

    message: str
    reopen_time: datetime

    def __init__(
        self, message: str, reopen_time: datetime, *, clock: Clock | None = None, seconds: float | None = None
    ) -> None:
        # Not its own: that one leaves the arguments to chance, and `str` with them.
        Exception.__init__(self, message, reopen_time)
        self.message = message
        self.reopen_time = reopen_time
        self._clock: Clock = clock or RealClock()
        if seconds is None:
            seconds = (reopen_time - local_time(self._clock.wall())).total_seconds()
        self._due = self._clock.now() + seconds

    def __str__(self) -> str:
        return self.message

    @property
    def time_remaining(self) -> timedelta:
        """How long until a call will be let through; `timedelta.max` where nobody can know."""
        return timedelta.max if self.reopen_time == NEVER else timedelta(seconds=self._left)

    async def sleep_until_open(self) -> None:
        """Wait that long, on asyncio or trio; where nobody can know, until it is worth asking again."""
        await self._clock.sleep_async(self._left, Closing())

    @property
    def _left(self) -> float:
        return max(0.0, self._due - self._clock.now())
