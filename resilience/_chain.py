"""The layers in the order a request meets them, and the way of one call through them.

match the host ─ no policy: the client's own transport, untouched
  ▼
1 deadline        the call's clock starts
2 idempotency     one key for all attempts
3 retry           the only loop, within the budget of all the provider's calls
4 credits         the worst that an attempt may cost is reserved, and settled when its answer tells
5 breaker         nothing is sent to a provider that is down, except probes
6 limiter         every attempt pays what the provider counts, and waits for its turn
7 concurrency     a permit, held until the answer's body is closed
8 gate            a place in front of the connection pool, until the answer has begun
9 attempt         one sending within its timeout; what comes of it is classified and becomes an outcome
  ▼
the client's own transport

A call that nothing holds up takes the short cut (`_shortcut.py`), and goes on here if its answer is no plain success; an
attempt that nothing holds up takes one of its own between 3 and 4 (`_attempt_shortcut.py`).
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from ._attempt import attempt_layer
from ._attempt_shortcut import attempt_shortcut_layer
from ._breaker import breaker_layer
from ._breaker import look_ahead as breaker_ahead
from ._clock import Clock, Closing
from ._concurrency import concurrency_layer
from ._credits import credits_layer
from ._deadline import deadline_layer
from ._ends import Ends
from ._idempotency import idempotency_layer
from ._limiter import limiter_layer
from ._limiter import look_ahead as limiter_ahead
from ._outcome import Call, Exchange
from ._override import Override, overridden
from ._pool_gate import gate_layer, gate_of
from ._prepare import exchange_of, restore
from ._retry import retry_layer
from ._runtime import AsyncRuntime, Runtime, SyncRuntime, run_now
from ._shortcut import Shortcut
from ._telemetry import start
from ._unwrap import unwrap

if TYPE_CHECKING:
    from ._library import Library, Request, Response, Transport
    from ._registry import Policies, Source
    from ._transactions import Store
    from .events import Listener

__all__ = ["Chain", "build"]


def build(runtime: Runtime) -> Call:
    """All layers over one runtime, from the innermost outwards."""
    call = gate_layer(attempt_layer(runtime), runtime)
    call = concurrency_layer(call, runtime)
    call = limiter_layer(call, runtime)
    call = breaker_layer(call, runtime)
    call = attempt_shortcut_layer(credits_layer(call, runtime), runtime)
    call = retry_layer(call, runtime, {"breaker": breaker_ahead, "limiter": limiter_ahead})
    call = idempotency_layer(call, runtime)
    return deadline_layer(call, runtime)


class Chain:
    """The layers around one transport, for the sync and the async calls of its client.

    Arguments:
        library: httpx or httpx2, as its adapter describes it.
        transport: the client's own transport.
        policies: which policy speaks of which host.
        clock: time and chance.
        listeners: who hears of this client's calls.
    """

    def __init__(
        self,
        library: Library,
        transport: Transport,
        policies: Policies,
        clock: Clock,
        listeners: tuple[Listener, ...] = (),
    ) -> None:
        self._listeners = listeners
        self._library = library
        self._transport = transport
        self._policies = policies
        self._closing = Closing()
        self._clock = clock
        self._store: Store | None = None
        blocking = SyncRuntime(library, transport, clock)
        self._sync = build(blocking)
        self._runtime = AsyncRuntime(library, transport, clock, gate_of(library, transport, policies.gate))
        self._async = build(self._runtime)
        # Nothing in here knows the chain: a client that is dropped takes its connections along at once, as a bare one does.
        self._ends = Ends(library, clock, listeners)
        self._shortcut = Shortcut(blocking, self._runtime, transport, self._ends)

    def close(self) -> None:
        """End the waits of all calls that are under way; a transport that is used again begins anew."""
        closing, self._closing = self._closing, Closing()
        closing.set()

    def _open(self) -> Store:
        from .stores import open_store

        self._store = open_store(self._policies.store, namespace=self._policies.namespace, clock=self._clock)
        return self._store

    async def _open_aside(self) -> Store:
        from .stores import open_aside

        self._store = await open_aside(self._policies.store, namespace=self._policies.namespace, clock=self._clock)
        return self._store

    def prepare(self, request: Request, source: Source) -> Exchange | None:
        return overridden(exchange_of(request, source, self._library, self._closing, self._store or self._open()))

    def _source_of(self, request: Request) -> Source | None:
        return None if Override.mode == "off" else self._policies.source_of(request.url)

    def handle(self, request: Request) -> Response:
        """Send a request of a sync client."""
        source = self._source_of(request)
        if source is None:
            untouched: Response = self._transport.handle_request(request)
            return untouched
        sent = self._shortcut.send(request, source, self._store or self._open(), self._closing)
        if sent is None:
            sent = self._begun(request, source)
        if sent is None:
            untouched = self._transport.handle_request(request)
            return untouched  # noqa: RET504  what a transport returns has no type
        return self._go_on(sent) if isinstance(sent, Exchange) else sent

    async def handle_async(self, request: Request) -> Response:
        """Send a request of an async client."""
        source = self._source_of(request)
        if source is None:
            untouched: Response = await self._transport.handle_async_request(request)
            return untouched
        if not source.is_loaded:
            # It imports the models and reads a file: other tasks are not to wait for that.
            await source.load_aside()
        store = self._store or await self._open_aside()
        sent = await self._shortcut.send_async(request, source, store, self._closing)
        if sent is None:
            sent = self._begun(request, source)
        if sent is None:
            untouched = await self._transport.handle_async_request(request)
            return untouched  # noqa: RET504  what a transport returns has no type
        return await self._go_on_async(sent) if isinstance(sent, Exchange) else sent

    def _go_on(self, exchange: Exchange) -> Response:
        """Have a call of a sync client go through the layers."""
        ended = None
        try:
            try:
                outcome = ended = run_now(self._sync(exchange))
            finally:
                restore(exchange)
                self._ends.end(exchange, ended)
        except BaseException:
            if (answer := _left_over(exchange)) is not None:
                # Nobody else will close it; whatever that raises, what unwinds the call goes on.
                with suppress(Exception):
                    answer.stream.close()
            raise
        return unwrap(exchange, outcome, self._library, self._clock.wall)

    async def _go_on_async(self, exchange: Exchange) -> Response:
        """The same for an async client; what it needs is kept by no call that only waits for its answer."""
        ended = None
        try:
            try:
                outcome = ended = await self._async(exchange)
            finally:
                restore(exchange)
                self._ends.end(exchange, ended)
        except BaseException:
            if (answer := _left_over(exchange)) is not None:
                with suppress(Exception):
                    await self._runtime.close(answer.stream)
            raise
        return unwrap(exchange, outcome, self._library, self._clock.wall)

    def _begun(self, request: Request, source: Source) -> Exchange | None:
        """A call that goes through the layers, of which is told where somebody hears of it; `None` if it is to be untouched."""
        if (exchange := self.prepare(request, source)) is not None:
            exchange.listeners = self._listeners
            if "opentelemetry.trace" in sys.modules or "opentelemetry.metrics" in sys.modules:
                start(exchange, self._transport, self._clock.wall)
        return exchange


def _left_over(exchange: Exchange) -> Response | None:
    """The answer that a call has left, which is to be closed; its places are given back."""
    ahead = exchange.ahead
    if ahead is None:
        return exchange.answer
    ahead.give_back()
    return exchange.answer or ahead.response
