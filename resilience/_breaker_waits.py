"""Calls that wait for an open breaker instead of being refused: they stand in line, and the first asks again in time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ._breaker_machine import HALF_OPEN, REFUSED
from ._outcome import Outcome
from ._refusal import closed
from ._trail import Wait

if TYPE_CHECKING:
    from ._outcome import Exchange
    from ._runtime import Runtime
    from ._transactions import Reply, Store

__all__ = ["wait_for_turn", "wake"]

# How often a half-open breaker in a shared store is asked: the probes of other processes wake nobody here.
_POLL_SECONDS = 0.25


async def wait_for_turn(
    exchange: Exchange,
    runtime: Runtime,
    key: str,
    reply: Reply,
    admit: Callable[[], Coroutine[Any, Any, Reply]],
) -> Reply | Outcome:
    """Wait until the breaker lets the call through, at most `max_wait` and never past the deadline.

    Arguments:
        exchange: the call.
        runtime: where waiting happens.
        key: of the breaker.
        reply: what it said to this call.
        admit: asks again.

    Returns:
        What the breaker says at last, be it a refusal; or the outcome of a call whose client was closed.
    """
    policy = exchange.policy.breaker
    began = runtime.clock.now()
    until = began + policy.max_wait
    if exchange.deadline is not None:
        until = min(until, exchange.deadline)
    lines = exchange.store.lines
    entered = lines.enter(key, policy.queue) if _is_worth_waiting(reply, until - began) else None
    if entered is None:
        return reply
    line, waker = entered
    try:
        while True:
            # Before it is asked whose turn it is: a call of the waker after that must not be lost.
            waker.reset()
            now = runtime.clock.now()
            seconds = until - now
            if line.is_first(waker) or seconds <= 0:
                reply = await admit()
                if reply[0] != REFUSED or not _is_worth_waiting(reply, seconds):
                    return reply
                seconds = _next_look(reply, seconds, exchange.store)
            else:
                seconds = min(seconds, line.watch)
            if not await runtime.sleep(seconds, exchange.closing, waker):
                return closed(exchange, runtime.library, "for the breaker")
    finally:
        lines.leave(key, line, waker)
        exchange.record(Wait(runtime.clock.now() - began, "breaker", "breaker", "the breaker"))


def _is_worth_waiting(reply: Reply, left: float) -> bool:
    """Whether the breaker may let the call through in the time that is left."""
    if reply[5] == HALF_OPEN:
        # Its probes may be done at any moment.
        return left > 0
    return 0 <= reply[1] <= left


def _next_look(reply: Reply, left: float, store: Store) -> float:
    if reply[5] == HALF_OPEN:
        return min(left, reply[1]) if store.instant else min(left, _POLL_SECONDS)
    return reply[1]


def wake(store: Store, key: str) -> None:
    """Have the first of those that wait look again: a probe is done."""
    line = store.lines.get(key)
    if line is not None:
        line.wake_first()
