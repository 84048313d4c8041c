"""The short cut of the calls that nothing holds up: one decision before such a call is sent, and one after its success.

find ───▶ somebody hears of calls, the request has options, the policy wants more ──▶ the layers
 │ └────▶ timeouts of its attempts, a trace of an answer to be looked at ────────────▶ the layers; its attempts have one
 ▼
enter ──▶ a breaker that is open, and for which no call waits ──────────────────────▶ refused, as its layer would
 │ └────▶ one that is half open, a latch, a line, a limit used up ──────────────────▶ the layers; nothing was taken
 ▼
send ───▶ anything but a plain success; a rule may have to look at it first ────────▶ the layers, which go on from there
 ▼
leave: the breaker and the retry budget are told, the trail is written; a permit is held until the answer's body is closed

It decides nothing otherwise than the layers would: it spares the way through them, which is most of what a call costs here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._attempt import interrupted
from ._attempt_shortcut import send_and_look
from ._breaker import told
from ._breaker_hearing import Heard
from ._deadline import cut_timeouts
from ._hub import Hub
from ._outcome import Outcome
from ._pool_gate import leave, stand, through
from ._prepare import restore
from ._runtime import run_now
from ._telemetry import is_traced, start_spans
from ._trail import observers
from ._unwrap import raise_with
from ._way_finder import WayFinder

if TYPE_CHECKING:
    from ._attempt_span import AttemptSpan
    from ._clock import Closing
    from ._ends import Ends
    from ._enriched import Enriched
    from ._gate import Gate
    from ._library import Request, Response, Transport
    from ._outcome import Exchange
    from ._permit import Permit
    from ._registry import Source
    from ._runtime import AsyncRuntime, Runtime, SyncRuntime
    from ._sent import Sent
    from ._transactions import Reply, Store
    from ._way import How, Made, Way

__all__ = ["Shortcut"]


class Shortcut:
    """The short cut of the calls of one transport.

    Arguments:
        blocking: of the client's sync calls.
        runtime: of its async calls.
        transport: the client's own.
        ends: how its calls end; where anybody hears of this client's alone, there is no short cut.
    """

    def __init__(
        self,
        blocking: SyncRuntime,
        runtime: AsyncRuntime,
        transport: Transport,
        ends: Ends,
    ) -> None:
        self._blocking, self._runtime = blocking, runtime
        self._gate = runtime.gate
        self._clock = runtime.clock
        self._transport = transport
        self._ends = ends
        self._ways = WayFinder(runtime.library, is_heard=bool(ends.listeners))

    def send(self, request: Request, source: Source, store: Store, closing: Closing) -> Response | Exchange | None:
        """Send a request of a sync client, if nothing holds it up.

        Arguments:
            request: as the client sends it.
            source: the policy of its host.
            store: where the states are.
            closing: set when the client is closed.

        Returns:
            The answer; a call for the layers, which look at what came, or of which each attempt has a short cut of its own;
            `None` if nothing was sent and nothing is known of the call.
        """
        way, began = self._ways.find(request, source, store), self._clock.now()
        if way is None or not way.is_short or (way.kind.looks and is_traced()):
            return None if way is None or is_traced() else way.call(request, store, closing, began)
        permit = way.permit(store, self._blocking, began, None) if way.holds else None
        try:
            generation = way.enter(store, began, permit)
            if not isinstance(generation, int):
                return None if generation is None else self._refuse(way, request, generation)
            made, how = (request, store, closing), (generation, began, began)
            if way.kind.looks:
                return run_now(self._look(way, made, how, (None, permit), self._blocking))
            exchange, entered = self._begin(way.call(*made, how[1])) if is_traced() else (None, None)
            try:
                response: Response = self._transport.handle_request(request)
            except BaseException as error:  # noqa: BLE001  the layers raise it again, once they have told of it
                return way.hand_over(exchange, made, way.sent(how, permit), error)
            finally:
                if entered is not None:
                    entered.leave()
            return self._end(way, made, how, response, (exchange, permit, None))
        except BaseException:
            # Whatever interrupts it, between its lines as well: nobody else will give its places back.
            _give_back(permit)
            raise

    async def send_async(
        self, request: Request, source: Source, store: Store, closing: Closing
    ) -> Response | Exchange | None:
        """The same for an async client."""
        way, gate, began = self._ways.find(request, source, store), self._gate, self._clock.now()
        if way is None or not way.is_short or (way.kind.looks and is_traced()):
            return None if way is None or is_traced() else way.call(request, store, closing, began)
        permit = way.permit(store, self._runtime, began, None) if way.holds else None
        is_inside = gate is None or gate.try_enter()
        try:
            # Who pays or holds a place and then waits for one in the pool may have to give it back: the layers do.
            generation = way.enter(store, began, permit) if is_inside or not (way.pays or way.holds) else None
            if not isinstance(generation, int):
                return None if generation is None else self._refuse(way, request, generation)
            made, exchange, started = (request, store, closing), None, began
            if gate is not None and not is_inside:
                exchange, is_inside = await self._stand(way, made, gate, (generation, began, began))
                if not is_inside:
                    return exchange
                cut_timeouts(exchange, None)
                started = self._clock.now()
            if way.kind.looks:
                how = (generation, began, started)
                looking: Any = self._look(way, made, how, (exchange, permit), self._runtime)
                looked: Response | Exchange = await (looking if gate is None else through(gate, looking))
                return looked
            exchange, entered = self._begin(exchange or way.call(*made, began)) if is_traced() else (exchange, None)
            try:
                sending = self._transport.handle_async_request(request)
                response: Response = await (sending if gate is None else through(gate, sending))
            except GeneratorExit:
                # The coroutine is left, mostly to the collector: in a context that is not that of the call.
                entered = None
                self._left(exchange)
                raise
            except BaseException as error:  # noqa: BLE001  the layers raise it again, once they have told of it
                return way.hand_over(exchange, made, way.sent((generation, began, started), permit), error)
            finally:
                if entered is not None:
                    entered.leave()
            # Nothing is awaited from here on: the place in front of the pool is given back at once.
            return self._end(way, made, (generation, began, started), response, (exchange, permit, None))
        except BaseException:
            _give_back(permit)
            raise
        finally:
            if gate is not None and is_inside:
                leave(gate, self._runtime)

    async def _look(
        self, way: Way, made: Made, how: How, of: tuple[Exchange | None, Permit | None], runtime: Runtime
    ) -> Response | Exchange:
        """Send a request of which a success, too, has to be looked at, and look."""
        exchange, permit = of[0] or way.call(*made, how[1]), of[1]
        sent = way.sent(how, permit)
        try:
            response = await send_and_look(exchange, sent, None, runtime)
            return self._end(way, made, how, response, (exchange, permit, sent))
        except GeneratorExit as left:
            interrupted(exchange, how[2], runtime, left)
            self._left(exchange)
            raise
        except BaseException as error:  # noqa: BLE001  the layers raise it again, and close what came
            return way.hand_over(exchange, made, sent, error)

    async def _stand(self, way: Way, made: Made, gate: Gate, how: How) -> tuple[Exchange, bool]:
        """Wait in front of the pool: the call, and whether it has a place now; otherwise the layers have to look at it."""
        exchange = way.call(*made, how[1])
        try:
            ended = await stand(exchange, self._runtime, gate)
        except BaseException:
            self._ends.end(exchange, None)
            raise
        if ended is None:
            return exchange, True
        if exchange.trail.why == "closed":
            self._ends.end(exchange, ended)
            raise_with(ended.forget_error(), exchange.trail)
        late = ended.forget_error()
        assert late is not None
        return way.hand_over(None, made, way.sent(how), late), False

    def _begin(self, exchange: Exchange) -> tuple[Exchange, AttemptSpan | Enriched | None]:
        """Begin the spans of a call, and that of its attempt."""
        start_spans(exchange, self._transport, self._runtime.clock.wall)
        return exchange, None if exchange.spans is None else exchange.spans.enter(exchange, self._runtime)

    def _end(
        self,
        way: Way,
        made: Made,
        how: How,
        response: Response,
        of: tuple[Exchange | None, Permit | None, Sent | None],
    ) -> Response | Exchange:
        """Hand on a plain success, and end the spans of its call."""
        exchange, permit, looked = of
        trail, verdict = None, None if looked is None else looked.verdict
        # An answer that cannot even be looked at the layers close. Who has begun to listen meanwhile hears of it by them.
        if not Hub.listeners and not observers and Heard.by is None:
            try:
                trail = way.leave(made, response, how, self._clock.now(), permit, looked=verdict)
            except Exception:  # noqa: BLE001  what a stranger's answer raises is no reason to lose it
                trail = None
        if trail is None:
            return way.hand_over(exchange, made, looked or way.sent(how, permit), response)
        if exchange is not None:
            exchange.trail = trail
            restore(exchange)
            if exchange.spans is not None:
                outcome = Outcome(trail.attempts[0].verdict, response)
                exchange.spans.answered(self._runtime, outcome)
                exchange.spans.end(exchange, outcome)
        return response

    def _left(self, exchange: Exchange | None) -> None:
        """End a call that nobody goes on with, if anything was begun for it."""
        if exchange is not None:
            restore(exchange)
            self._ends.end(exchange, None)

    def _refuse(self, way: Way, request: Request, reply: Reply) -> Response | None:
        """What the application gets of a call that an open breaker refuses."""
        # Who traces has a span of it by the layers, and who has begun to listen meanwhile hears of it by them.
        if is_traced() or Hub.listeners or observers:
            return None
        return self._ends.refuse(request, way.kind, told(reply))


def _give_back(permit: Permit | None) -> None:
    """Hold nothing for a call that nobody goes on with; what was given back already is not given twice."""
    if permit is not None:
        permit.release()
