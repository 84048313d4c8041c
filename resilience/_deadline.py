"""How long a call may take in all, and each of its attempts."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._caller import seconds_left
from ._categories import Category
from ._lent_extensions import lend_extension, restore_extensions
from ._library import ErrorKind
from ._outcome import Outcome, Verdict

if TYPE_CHECKING:
    from ._library import Request
    from ._outcome import Call, Exchange
    from ._runtime import Runtime

__all__ = [
    "attempt_seconds",
    "cut_timeouts",
    "deadline_layer",
    "deadline_passed",
    "is_cut_short",
    "restore_timeouts",
    "shorter_reads",
]

# An attempt that may take no time at all could not even fail in an orderly way.
_SHORTEST_ATTEMPT = 0.001
# Who gives a provider less time than this, in seconds, learns nothing of it.
_JUDGED = 1.0


def attempt_seconds(exchange: Exchange, now: float) -> float | None:
    """How long the next attempt may take: its own timeout, and never past the deadline."""
    seconds = exchange.options.attempt_timeout
    if seconds is None:
        seconds = exchange.policy.times_for(exchange.operation)[1]
    if exchange.deadline is None:
        return seconds
    left = max(_SHORTEST_ATTEMPT, exchange.deadline - now)
    return left if seconds is None else min(seconds, left)


def deadline_passed(exchange: Exchange, now: float) -> bool:
    """Whether the call's time is up."""
    return exchange.deadline is not None and now >= exchange.deadline


def is_cut_short(exchange: Exchange, outcome: Outcome, now: float) -> bool:
    """Whether only the haste of whoever waits for this program has ended an attempt: it says nothing of the provider.

    Arguments:
        exchange: the call.
        outcome: of its last attempt.
        now: by the runtime's clock.
    """
    if not exchange.is_hurried or outcome.error is None or not deadline_passed(exchange, now):
        return False
    return exchange.trail.attempts[-1].seconds < _JUDGED


_PHASES = ("connect", "read", "write", "pool")


def cut_timeouts(exchange: Exchange, seconds: float | None) -> None:
    """Cut each of the request's own timeouts to what the attempt may take, if there is a bound.

    For a sync call that is all that holds an attempt to its time, since a blocked thread cannot be interrupted. The wait
    in front of the pool is a part of the wait for it.
    """
    request = exchange.request
    own: dict[str, Any] = dict(exchange.extensions.get("timeout") or {})
    cut = dict(own)
    if (pool := own.get("pool")) is not None:
        cut["pool"] = max(_SHORTEST_ATTEMPT, pool - exchange.pool_wait)
    if seconds is not None:
        # What else stands there is for a transport of the application's own.
        cut |= {phase: seconds if (limit := cut.get(phase)) is None else min(limit, seconds) for phase in _PHASES}
    lend_extension(request, "timeout", cut)
    exchange.cuts += ((cut, own),)


def restore_timeouts(exchange: Exchange) -> None:
    """Give the request its own timeouts back, also where the transport holds them: they govern the body's reading."""
    restore_extensions(exchange.request, exchange.extensions, "timeout")
    for cut, own in exchange.cuts:
        cut.clear()
        cut.update(own)


@contextmanager
def shorter_reads(request: Request, seconds: float) -> Generator[None]:
    """Bound each read of the answer in hand, in the very mapping that its transport looks at."""
    timeout: dict[str, float | None] | None = request.extensions.get("timeout")
    if timeout is None:
        yield
        return
    own = timeout.get("read")
    timeout["read"] = seconds if own is None else min(own, seconds)
    try:
        yield
    finally:
        timeout["read"] = own


def deadline_layer(inner: Call, runtime: Runtime) -> Call:
    """Start the call's clock; every wait and every attempt below keeps to it."""

    async def deadline_call(exchange: Exchange) -> Outcome:
        if exchange.ahead is not None:
            exchange.started = exchange.ahead.times[0]
            return await inner(exchange)
        exchange.started = runtime.clock.now()
        seconds = exchange.options.deadline
        if seconds is None:
            seconds = exchange.policy.times_for(exchange.operation)[0]
        left = seconds_left()
        if left is not None:
            if left <= 0:
                return _too_late(exchange, runtime)
            exchange.is_hurried = seconds is None or left < seconds
            seconds = left if seconds is None else min(seconds, left)
        if seconds is not None:
            exchange.deadline = exchange.started + seconds
        return await inner(exchange)

    return deadline_call


def _too_late(exchange: Exchange, runtime: Runtime) -> Outcome:
    """The outcome of a call that begins when the time around it is up: nobody waits for its answer."""
    said = "the deadline around this call had passed before it was sent"
    exchange.trail.stop("deadline", said)
    verdict = Verdict(Category.TIMEOUT, retryable=False, error=ErrorKind.READ_TIMEOUT, operation=exchange.operation)
    return Outcome(verdict, error=runtime.library.deadline_exceeded(said))
