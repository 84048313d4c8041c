"""The short cut of a second attempt: a call that came by it is sent again by it, if nothing holds that up either."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ._breaker_hearing import Heard
from ._hub import Hub
from ._outcome import Outcome
from ._trail import Attempt, observers

if TYPE_CHECKING:
    from ._library import Response
    from ._outcome import Call, Exchange, Verdict
    from ._runtime import Runtime
    from ._way import Way

__all__ = ["again_layer"]


def again_layer(inner: Call, runtime: Runtime) -> Call:
    """Send an attempt before the inner layers are asked, and ask them only if its answer is no plain success.

    Arguments:
        inner: the layers that each attempt goes through.
        runtime: where it is sent.
    """
    gate = runtime.gate

    async def again_call(exchange: Exchange) -> Outcome:
        way = exchange.way
        if way is None or not _is_plain(exchange) or (gate is not None and not gate.try_enter()):
            return await inner(exchange)
        try:
            outcome = await _send(exchange, way, runtime, inner)
        finally:
            if gate is not None:
                gate.leave()
        return outcome or await inner(exchange)

    return again_call


def _is_plain(exchange: Exchange) -> bool:
    """Whether it is no first attempt, which has been sent already, and nobody hears of it."""
    heard_by = exchange.spans or Hub.listeners or observers or Heard.by
    return exchange.ahead is None and not exchange.cuts and not heard_by


async def _send(exchange: Exchange, way: Way, runtime: Runtime, inner: Call) -> Outcome | None:
    """The outcome of a plain success, or what the layers make of what came; `None` where nothing was sent."""
    store, clock = exchange.store, runtime.clock
    started = clock.now()
    reply = way.enter(store, started)
    if reply is None or len(reply) > 1:
        return None
    times, generation = (exchange.started, started), int(reply[0])
    try:
        exchange.answer = response = await runtime.send(exchange.request)
    except BaseException as error:  # noqa: BLE001  the layers raise it again, once they have told of it
        exchange.ahead = way.sent(times, generation, error=error)
    else:
        ended = clock.now()
        verdict = _told(way, exchange, response, (generation, ended))
        if verdict is not None:
            exchange.sent += 1
            seconds = ended - started
            status, began = response.status_code, started - exchange.started
            exchange.record(Attempt(exchange.sent, began, seconds, status, None, verdict))
            return Outcome(verdict, response)
        exchange.ahead = way.sent(times, generation, response)
    # By this very frame: whoever closes a coroutine closes each of those within by itself.
    return await inner(exchange)


def _told(way: Way, exchange: Exchange, response: Response, sent: tuple[int, float]) -> Verdict | None:
    """The verdict on a plain success, of which the breaker was told; an answer that cannot be looked at the layers close."""
    # Who has begun to listen meanwhile hears of it by the layers.
    if not _is_plain(exchange):
        return None
    with suppress(Exception):
        return way.tell(exchange.store, response, *sent)
    return None
