"""The short cut of the calls that nothing holds up: one decision before such a call is sent, and one after its success.

find ───▶ somebody hears of calls, the request has options, the policy wants more ──▶ the layers
 ▼
enter ──▶ a breaker that is open, and for which no call waits ──────────────────────▶ refused, as its layer would
 │ └────▶ one that is half open, a latch, a line, a limit used up ──────────────────▶ the layers; nothing was taken
 ▼
send ───▶ anything but a success that needs no second look ─────────────────────────▶ the layers, which go on from there
 ▼
leave: the breaker and the retry budget are told, the trail is written

It decides nothing that the layers would decide otherwise: most of what a call costs within this library is the way
through its layers, so the way is left out where none of them would have anything to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ._breaker import refuse
from ._breaker_hearing import Heard
from ._caller import UNTIL
from ._fork import renewed
from ._hub import Hub
from ._override import Override
from ._retry import end_refused
from ._telemetry import is_heard
from ._trail import observers
from ._way import Kind, Way, kind_of

if TYPE_CHECKING:
    from ._library import Request, Response, Transport
    from ._outcome import Exchange, Outcome
    from ._registry import Source
    from ._runtime import AsyncRuntime
    from ._sent import Sent
    from ._transactions import Reply, Store
    from .events import Listener

__all__ = ["Shortcut"]

# Hosts and methods may be a stranger's choice; what is forgotten is made anew when it comes again.
_MOST = 1024
_Key = tuple[str | None, str, bytes, int | None]


Prepare = Callable[["Request", "Source"], "Exchange | None"]
HandBack = Callable[["Exchange", "Outcome"], "Response"]


class Shortcut:
    """The ways of the calls of one transport, by operation, method and host.

    Arguments:
        runtime: of the client's async calls.
        transport: the client's own.
        listeners: who hears of this client's calls; where anybody does, there is no short cut.
        prepare: makes a call of a request as the layers see it.
        hand_back: ends a call, and makes of its outcome what the application gets.
    """

    def __init__(
        self,
        runtime: AsyncRuntime,
        transport: Transport,
        listeners: tuple[Listener, ...],
        prepare: Prepare,
        hand_back: HandBack,
    ) -> None:
        self._library = runtime.library
        self._gate = runtime.gate
        self._now = runtime.clock.now
        self._transport = transport
        self._prepare = prepare
        self._hand_back = hand_back
        self._stream = runtime.library.bytes_stream
        self._is_heard = bool(listeners)
        self._kinds: dict[_Key, Kind | None] = {}
        renewed(self)

    def renew(self) -> None:
        """Begin anew in a child process: what the calls of its parent have paid is not the child's to tell."""
        self._kinds = {}

    def send(self, request: Request, source: Source, store: Store) -> Response | Sent | None:
        """Send a request of a sync client, if nothing holds it up.

        Arguments:
            request: as the client sends it.
            source: the policy of its host.
            store: where the states are.

        Returns:
            The answer, if it needs no second look; what came of it for the layers to look at; `None`: nothing was sent.
        """
        way, started = self._find(request, source), self._now()
        reply = None if way is None else way.enter(store, started)
        if way is None or reply is None:
            return None
        if len(reply) > 1:
            return self._refuse(request, source, way.breaker, reply)
        generation = int(reply[0])
        try:
            response: Response = self._transport.handle_request(request)
        except BaseException as error:  # noqa: BLE001  the layers raise it again, once they have told of it
            return way.sent(started, generation, error=error)
        if way.leave(store, request, response, (generation, started, self._now())):
            return response
        return way.sent(started, generation, response)

    async def send_async(self, request: Request, source: Source, store: Store) -> Response | Sent | None:
        """The same for an async client.

        Arguments:
            request: as the client sends it.
            source: the policy of its host.
            store: where the states are.
        """
        way, gate = self._find(request, source), self._gate
        # Who has to wait in front of the pool does so in its layer.
        if way is None or (gate is not None and not gate.try_enter()):
            return None
        try:
            started = self._now()
            reply = way.enter(store, started)
            if reply is None:
                return None
            if len(reply) > 1:
                return self._refuse(request, source, way.breaker, reply)
            generation = int(reply[0])
            try:
                response: Response = await self._transport.handle_async_request(request)
            except BaseException as error:  # noqa: BLE001  the layers raise it again, once they have told of it
                return way.sent(started, generation, error=error)
        finally:
            if gate is not None:
                gate.leave()
        if way.leave(store, request, response, (generation, started, self._now())):
            return response
        return way.sent(started, generation, response)

    def _refuse(self, request: Request, source: Source, breaker: str, reply: Reply) -> Response | None:
        """What the application gets of a call that an open breaker refuses."""
        exchange = self._prepare(request, source)
        outcome = None if exchange is None else refuse(exchange, breaker, reply)
        if exchange is None or outcome is None:
            return None
        exchange.started = self._now()
        return self._hand_back(exchange, end_refused(exchange, outcome))

    def _find(self, request: Request, source: Source) -> Way | None:
        """The way of a request; `None` where it has to go through the layers."""
        if (
            "resilience" in request.extensions
            or Hub.listeners
            or self._is_heard
            or observers
            or Override.mode is not None
            or Heard.by is not None
            or UNTIL.get() is not None
            or not isinstance(request.stream, self._stream)
            or is_heard()
        ):
            return None
        policy, url, method = source.policy(), request.url, request.method
        operation = policy.operation_finder.find(method, url.raw_path.partition(b"?")[0].decode("ascii"))
        key = (operation, method, url.raw_host, url.port)
        kind = self._kinds[key] if key in self._kinds else self._learn(key, request, source)
        return None if kind is None else kind.way_of(request)

    def _learn(self, key: _Key, request: Request, source: Source) -> Kind | None:
        exchange = self._prepare(request, source)
        while len(self._kinds) >= _MOST:
            self._kinds.pop(next(iter(self._kinds)), None)
        kind = self._kinds[key] = None if exchange is None else kind_of(exchange, self._library)
        return kind
