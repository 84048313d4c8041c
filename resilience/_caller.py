"""What whoever waits for this program leaves to its calls: so much time, and so many attempts."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from ._clock import Clock, RealClock
from ._longest import LONGEST_TIME
from ._within import Within, within
from ._words import brief
from .errors import ConfigurationError

__all__ = [
    "MOST",
    "UNTIL",
    "Bound",
    "Caller",
    "Request",
    "attempts",
    "attempts_left",
    "bounded",
    "check_seconds",
    "deadline",
    "seconds_left",
]

Number = TypeVar("Number", int, float)


class Caller:
    """By which clock its time passes; tests put a virtual one here."""

    clock: Clock = RealClock()


class Bound(Within, Generic[Number]):
    """A bound and those around it: the least of those counts that still hold, wherever their contexts were copied to."""

    __slots__ = ("most",)

    def __init__(self, most: Number, around: Bound[Number] | None) -> None:
        super().__init__(around)
        self.most: Number = most


UNTIL: ContextVar[Bound[float] | None] = ContextVar("resilience_until", default=None)
MOST: ContextVar[Bound[int] | None] = ContextVar("resilience_attempts", default=None)


def _least(bound: Bound[Number] | None) -> Number | None:
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
    with bounded(seconds):
        yield


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
        raise ConfigurationError(f"attempts are a whole number from 1, not {brief(most)}")
    bound = Bound(most, MOST.get())
    with within(MOST, bound):
        yield


@contextmanager
def bounded(seconds: float) -> Generator[Bound[float]]:
    """The same as `deadline`, with the bound that it makes.

    Arguments:
        seconds: from now.

    Raises:
        ConfigurationError: this is no number of seconds.
    """
    check_seconds(seconds)
    bound = Bound(_moment(seconds), UNTIL.get())
    with within(UNTIL, bound):
        yield bound


def check_seconds(seconds: object) -> None:
    """Refuse what is no deadline.

    Raises:
        ConfigurationError: this is no number of seconds.
    """
    if not _is_number(seconds) or seconds != seconds:  # noqa: PLR0124  not a number
        raise ConfigurationError(f"a deadline is a number of seconds from now, not {seconds!r:.60}")


class Request:
    """What a request that comes in leaves to the calls that are made for it, step by step, until it is over.

    What goes on after that in contexts that were copied from its own, as background tasks do, is held by it no more.

    Arguments:
        seconds: from now; `None` without a deadline.
        most: how often each call is sent; `None` where nobody has said.
        is_first: whether nothing around it is its own: servers hand on what another request has left in a context.
    """

    __slots__ = ("bounds", "most", "until")

    def __init__(self, seconds: float | None, most: int | None, *, is_first: bool) -> None:
        self.until = None if is_first else UNTIL.get()
        self.most = None if is_first else MOST.get()
        self.bounds: list[Bound[Any]] = []
        """What ends with it."""
        if seconds is not None:
            self.until = Bound(_moment(seconds), self.until)
            self.bounds.append(self.until)
        if most is not None:
            self.most = Bound(most, self.most)
            self.bounds.append(self.most)

    def end(self) -> None:
        """Nobody waits for it any more."""
        for bound in self.bounds:
            bound.end()


def _moment(seconds: float) -> float:
    return Caller.clock.now() + min(max(seconds, 0.0), LONGEST_TIME)


def _is_number(given: object, *kinds: type) -> bool:
    return isinstance(given, kinds or (int, float)) and not isinstance(given, bool)


def seconds_left() -> float | None:
    """How many seconds there are until the deadline around this place, 0 once it has passed; `None` without one."""
    until = _least(UNTIL.get())
    return None if until is None else max(0.0, until - Caller.clock.now())


def attempts_left() -> int | None:
    """How often a call at this place may be sent; `None` where nobody has said."""
    return _least(MOST.get())
