"""How long a call may take in all, and each of its attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._outcome import Call, Exchange, Outcome
    from ._runtime import Runtime

__all__ = ["attempt_seconds", "deadline_layer", "deadline_passed"]

# An attempt that may take no time at all could not even fail in an orderly way.
_SHORTEST_ATTEMPT = 0.001


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


def deadline_layer(inner: Call, runtime: Runtime) -> Call:
    """Start the call's clock; every wait and every attempt below keeps to it."""

    async def deadline_call(exchange: Exchange) -> Outcome:
        exchange.started = runtime.clock.now()
        seconds = exchange.options.deadline
        if seconds is None:
            seconds = exchange.policy.times_for(exchange.operation)[0]
        if seconds is not None:
            exchange.deadline = exchange.started + seconds
        return await inner(exchange)

    return deadline_call
