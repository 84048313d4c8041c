"""The short cut of an attempt within the retry loop: sent before the layers within are asked, if nothing holds it up.

enter ──▶ a breaker that is not closed, a latch, a line, a limit used up ──▶ the layers; nothing was taken
 ▼
send, and look at the answer within the attempt's time ──▶ anything but a plain success ──▶ the layers, which go on from there
 ▼
tell: the breaker; a permit is held until the answer's body is closed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._attempt import look_at
from ._breaker_hearing import Heard
from ._deadline import attempt_seconds, cut_timeouts
from ._hub import Hub
from ._outcome import Outcome
from ._permit import hand_on
from ._pool_gate import leave, through
from ._trail import Attempt, observers

if TYPE_CHECKING:
    from ._library import Response
    from ._outcome import Call, Exchange, Verdict
    from ._runtime import Runtime
    from ._sent import Sent
    from ._way import Way

__all__ = ["attempt_shortcut_layer", "send_and_look"]


def attempt_shortcut_layer(inner: Call, runtime: Runtime) -> Call:
    """Send an attempt before the inner layers are asked, and ask them only if its answer is no plain success.

    Arguments:
        inner: the layers that each attempt goes through.
        runtime: where it is sent.
    """
    gate = runtime.gate

    async def attempt_shortcut_call(exchange: Exchange) -> Outcome:
        way = exchange.way
        if (
            way is None
            or exchange.ahead is not None
            or not _is_unheard(exchange)
            or (gate is not None and not gate.try_enter())
        ):
            return await inner(exchange)
        try:
            sending = _send(exchange, way, runtime, inner)
            outcome = await (sending if gate is None else through(gate, sending))
        finally:
            if gate is not None:
                leave(gate, runtime)
        return outcome or await inner(exchange)

    return attempt_shortcut_call


def _is_unheard(exchange: Exchange) -> bool:
    """Whether nobody hears of it."""
    return not (exchange.spans or Hub.listeners or observers or Heard.by)


async def _send(exchange: Exchange, way: Way, runtime: Runtime, inner: Call) -> Outcome | None:
    """The outcome of a plain success, or what the layers make of what came; `None` where nothing was sent."""
    started = runtime.clock.now()
    seconds = attempt_seconds(exchange, started)
    if seconds is not None or exchange.cuts:
        cut_timeouts(exchange, seconds)
    # There from now on: whatever ends the call gives back what this holds.
    sent = exchange.ahead = way.admit(exchange.store, runtime, (exchange.started, started), seconds)
    if sent is None:
        return None
    try:
        work = send_and_look(exchange, sent, seconds, runtime)
        sent.response = await (work if seconds is None else runtime.attempt(seconds, work))
    except BaseException as error:  # noqa: BLE001  the layers raise it again, once they have told of it
        sent.error = error
    else:
        ended = runtime.clock.now()
        verdict = _told(exchange, way, sent, sent.response, ended)
        if verdict is not None:
            exchange.ahead = None
            exchange.sent += 1
            status = sent.response.status_code
            exchange.record(Attempt(exchange.sent, started - exchange.started, ended - started, status, None, verdict))
            return Outcome(verdict, sent.response)
    # By this very frame: whoever closes a coroutine closes each of those within by itself.
    return await inner(exchange)


async def send_and_look(exchange: Exchange, sent: Sent, seconds: float | None, runtime: Runtime) -> Response:
    """Send a request, and look at its answer.

    Arguments:
        exchange: the call.
        sent: gets what the answer means.
        seconds: how long both may take, from when it was sent.
        runtime: the call's.
    """
    exchange.is_under_way = True
    response = exchange.answer = await runtime.send(exchange.request)
    sent.verdict = await look_at(exchange, response, None if seconds is None else sent.times[1] + seconds, runtime)
    return response


def _told(exchange: Exchange, way: Way, sent: Sent, response: Response, ended: float) -> Verdict | None:
    """The verdict on a plain success, which the breaker was told of; what cannot be looked at the layers close."""
    # Who has begun to listen meanwhile hears of it by the layers.
    if not _is_unheard(exchange):
        return None
    try:
        generation = 0 if sent.admission is None else sent.admission.generation
        verdict = way.tell(exchange.store, response, generation, ended, sent.verdict)
        if verdict is not None and sent.permit is not None:
            hand_on(response, sent.permit)
    except Exception:  # noqa: BLE001  what a stranger's answer raises is no reason to lose it
        return None
    return verdict
