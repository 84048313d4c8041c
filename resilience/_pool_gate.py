"""Waiting in front of httpx's connection pool instead of inside of it, where each call that waits costs all the others.

The wait is the pool's wait for whoever calls: it ends with the timeout `pool` of httpx, as the library's PoolTimeout.
A place is held until the answer has begun, not until its body is closed: a stream that goes on for minutes keeps its
connection, but nobody out.
"""

from __future__ import annotations

import math
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Literal, cast
from weakref import ref

from ._attempt import unsent
from ._fork import Lock
from ._gate import Gate
from ._refusal import closed
from ._units import seconds_text
from ._worked import Sampled

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ._library import Library
    from ._outcome import Call, Exchange, Outcome
    from ._runtime import Runtime
    from ._waker import Waker

__all__ = ["gate_layer", "gate_of", "leave", "stand", "through"]

# What both libraries' own transports have if nobody says anything else, as those have that we make ourselves.
_CONNECTIONS = 100
# As many as there are.
_ANY = 1 << 30
# Longer than anybody waits, and short enough for every event loop's timers.
_LONGEST = 3600.0
# What is left of the time for the pool, at most half of it, where this gate would have its calls fail and the pool not.
_LEFT_TO_POOL = 0.1
_lock = Lock()
# By the transports' ids: an application's own may be equal to each other, or have no hash.
_gates: dict[int, tuple[ref[Any], Gate]] = {}


def gate_of(library: Library, transport: Any, number: int | Literal["auto", "off"]) -> Gate | None:
    """The gate of a transport's pool, the same for all who send by it.

    `None` where there is no pool of the library's own, or one that needs no gate.

    Arguments:
        library: of the transport.
        transport: the client's own.
        number: how many calls at a time, as the configuration says it.
    """
    if not library.tells_sending(transport):
        return None
    key = id(transport)
    with _lock:
        _, gate = _gates.get(key, (None, None))
        if number == "off" or (number == "auto" and not library.has_slow_pool):
            if gate is not None:
                # Who waits by an older configuration need not wait any longer.
                gate.set(_ANY, math.inf)
            return None
        fixed, most = None if number == "auto" else number, _connections(transport)
        if gate is None:
            gate = Gate(fixed, most)
            # It goes with its transport, before another one can have the id.
            _gates[key] = ref(transport, lambda _: _gates.pop(key, None)), gate
        else:
            gate.set(fixed, most)
        return gate


def _connections(transport: Any) -> float:
    """How many connections its pool may have, if each serves one call at a time."""
    # Neither library tells it; both keep it in the pool of httpcore.
    pool = getattr(transport, "_pool", None)
    if getattr(pool, "_http2", False):
        return math.inf
    most: float = getattr(pool, "_max_connections", _CONNECTIONS)
    return most


def gate_layer(inner: Call, runtime: Runtime) -> Call:
    """Let no more calls into the connection pool than keep this program busy."""
    gate = runtime.gate
    if gate is None:
        return inner

    async def gate_call(exchange: Exchange) -> Outcome:
        if exchange.ahead is not None:
            # It was in the pool already.
            return await inner(exchange)
        if not gate.try_enter() and (ended := await stand(exchange, runtime, gate)) is not None:
            return ended
        try:
            outcome: Outcome = await through(gate, inner(exchange))
            return outcome
        finally:
            exchange.pool_wait = 0.0
            leave(gate, runtime)

    return gate_call


def through(gate: Gate, work: Any) -> Any:
    """What is done inside, and now and then what it costs.

    Arguments:
        gate: of the transport.
        work: a coroutine, or what else a transport's method gives.
    """
    if gate.is_sampled and type(work) is CoroutineType:
        return Sampled(cast("Coroutine[Any, Any, Any]", work), gate.costs)
    return work


def leave(gate: Gate, runtime: Runtime) -> None:
    """Give a place back.

    Arguments:
        gate: of the transport.
        runtime: the call's.
    """
    now = runtime.clock.now()
    if gate.leave(now):
        gate.measure(now, runtime.worked())


async def stand(exchange: Exchange, runtime: Runtime, gate: Gate) -> Outcome | None:
    """Wait for a place: `None` when it is taken, else how the call ends.

    Arguments:
        exchange: the call.
        runtime: the call's.
        gate: of its transport.
    """
    waker = gate.join()
    ended = None
    try:
        ended = await _wait(exchange, runtime, gate, waker)
    except BaseException:
        gate.give_up(waker, runtime.clock.now())
        raise
    if ended is not None:
        gate.give_up(waker, runtime.clock.now())
    return ended


async def _wait(exchange: Exchange, runtime: Runtime, gate: Gate, waker: Waker) -> Outcome | None:
    clock = runtime.clock
    began = clock.now()
    timeout: dict[str, float | None] = exchange.extensions.get("timeout") or {}
    seconds = timeout.get("pool")
    ends = math.inf if seconds is None else began + seconds
    until = ends if exchange.deadline is None else min(ends, exchange.deadline)
    impatient = until if until == math.inf else until - min(_LEFT_TO_POOL, (until - began) / 2)
    while True:
        # Before the look, not after it: whoever is served from here on is woken.
        waker.reset()
        now = clock.now()
        if gate.is_served(waker) or (now >= impatient and gate.come_in(waker)):
            exchange.pool_wait = now - began
            return None
        if now >= impatient:
            # The pool is full: whoever leaves it by then makes room, perhaps.
            impatient = ends
        if now >= until:
            what = f"no place in front of the connection pool became free within {seconds_text(now - began)}"
            return unsent(exchange, began, runtime, runtime.library.pool_timeout(what))
        measures = gate.measure(now, runtime.worked()) if gate.is_looking(waker) else math.inf
        pause = min(min(impatient, until) - now, measures, _LONGEST)
        if not await runtime.sleep(pause, exchange.closing, waker):
            return closed(exchange, runtime.library, "for a place in front of the connection pool")
