"""What whoever waits for this program leaves to its calls: so much time, and so many attempts."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

from ._clock import Clock, RealClock
from .errors import ConfigurationError

__all__ = ["Caller", "Request", "attempts", "attempts_left", "deadline", "seconds_left"]

Number = TypeVar("Number", int, float)

_LONGEST = 366 * 86_400


class Caller:
    """By which clock its time passes; tests put a virtual one here."""

    clock: Clock = RealClock()


class _Bound(Generic[Number]):
    """A bound and those around it: the least of those counts that still hold, wherever their contexts were copied to."""

    __slots__ = ("around", "holds", "most")

    def __init__(self, most: Number, around: _Bound[Number] | None) -> None:
        self.most: Number = most
        self.around: _Bound[Number] | None = around
        self.holds = True


_until: ContextVar[_Bound[float] | None] = ContextVar("resilience_until", default=None)
_most: ContextVar[_Bound[int] | None] = ContextVar("resilience_attempts", default=None)


def _least(bound: _Bound[Number] | None) -> Number | None:
    least: Number | None = None
    while bound is not None:
        if bound.holds and (least is None or bound.most < least):
            least = bound.most
        bound = bound.around
    return least


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
    token = _until.set(_Bound(_moment(seconds), _until.get()))
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
    token = _most.set(_Bound(most, _most.get()))
    try:
        yield
    finally:
        _most.reset(token)


class Request:
    """What a request that comes in leaves to the calls that are made for it, step by step, until it is over.

    What goes on after that in contexts that were copied from its own, as background tasks do, is held by it no more.

    Arguments:
        seconds: from now; `None` without a deadline.
        most: how often each call is sent; `None` where nobody has said.
    """

    __slots__ = ("_most", "_until")

    def __init__(self, seconds: float | None, most: int | None) -> None:
        self._until = None if seconds is None else _Bound(_moment(seconds), _until.get())
        self._most = None if most is None else _Bound(most, _most.get())

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold all calls within to it; for each step of an answer that is made in several."""
        until = None if self._until is None else _until.set(self._until)
        most = None if self._most is None else _most.set(self._most)
        try:
            yield
        finally:
            if most is not None:
                _most.reset(most)
            if until is not None:
                _until.reset(until)

    def end(self) -> None:
        """Nobody waits for it any more."""
        if self._until is not None:
            self._until.holds = False
        if self._most is not None:
            self._most.holds = False


def _moment(seconds: float) -> float:
    return Caller.clock.now() + min(max(seconds, 0.0), _LONGEST)


def _is_number(given: object, *kinds: type) -> bool:
    return isinstance(given, kinds or (int, float)) and not isinstance(given, bool)


def seconds_left() -> float | None:
    """How many seconds there are until the deadline around this place, 0 once it has passed; `None` without one."""
    until = _least(_until.get())
    return None if until is None else max(0.0, until - Caller.clock.now())


def attempts_left() -> int | None:
    """How often a call at this place may be sent; `None` where nobody has said."""
    return _least(_most.get())
