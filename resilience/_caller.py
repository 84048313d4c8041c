"""What whoever waits for this program leaves to its calls: so much time, and so many attempts."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from ._clock import Clock, RealClock
from .errors import ConfigurationError

__all__ = ["Caller", "attempts", "attempts_left", "deadline", "seconds_left"]

_LONGEST = 366 * 86_400


class Caller:
    """By which clock its time passes; tests put a virtual one here."""

    clock: Clock = RealClock()


_until: ContextVar[float | None] = ContextVar("resilience_until", default=None)
_most: ContextVar[int | None] = ContextVar("resilience_attempts", default=None)


@contextmanager
def deadline(seconds: float) -> Generator[None]:
    """Give all calls within so much time, together: `with resilience.deadline(2.5):`, also across `await` and into tasks.

    It ends waits, queues and attempts, as a policy's `deadline` does; the earlier one of the two counts, and of several
    around each other the earliest. A call that begins when the time is up is not sent. Threads that the program starts
    itself know of it only if they run in a copy of this context (`contextvars.copy_context().run`, `asyncio.to_thread`).

    Arguments:
        seconds: from now; 0 or less if the time is up already.

    Raises:
        ConfigurationError: this is no number of seconds.
    """
    if not _is_number(seconds) or seconds != seconds:  # noqa: PLR0124  not a number
        raise ConfigurationError(f"a deadline is a number of seconds from now, not {seconds!r:.60}")
    until, around = Caller.clock.now() + min(max(seconds, 0.0), _LONGEST), _until.get()
    token = _until.set(until if around is None else min(until, around))
    try:
        yield
    finally:
        _until.reset(token)


@contextmanager
def attempts(most: int) -> Generator[None]:
    """Have each call within sent no more than so often: `with resilience.attempts(1):` where the caller retries itself.

    Policies that send less often still do; of several around each other the least counts.

    Arguments:
        most: how often a call is sent in all, the first time included; at least 1.

    Raises:
        ConfigurationError: this is no such number.
    """
    if not _is_number(most, int) or most < 1:
        raise ConfigurationError(f"attempts are a whole number from 1, not {most!r:.60}")
    around = _most.get()
    token = _most.set(most if around is None else min(most, around))
    try:
        yield
    finally:
        _most.reset(token)


def _is_number(given: object, *kinds: type) -> bool:
    return isinstance(given, kinds or (int, float)) and not isinstance(given, bool)


def seconds_left() -> float | None:
    """How many seconds there are until the deadline around this place, 0 once it has passed; `None` without one."""
    until = _until.get()
    return None if until is None else max(0.0, until - Caller.clock.now())


def attempts_left() -> int | None:
    """How often a call at this place may be sent; `None` where nobody has said."""
    return _most.get()
