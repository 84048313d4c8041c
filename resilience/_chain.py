"""The layers in the order a request meets them, and the way of one call through them.

match the host ─ no policy: the client's own transport, untouched
  ▼
1 deadline        the call's clock starts
2 idempotency     one key for all attempts
3 retry           the only loop
4 attempt         one sending within its timeout; what comes of it is classified and becomes an outcome
  ▼
the client's own transport
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._attempt import attempt_layer
from ._deadline import deadline_layer
from ._idempotency import check_key, idempotency_layer
from ._options import CallOptions, read_options
from ._outcome import Call, Exchange, Outcome
from ._replay import replayable
from ._retry import retry_layer
from ._runtime import AsyncRuntime, Clock, Closing, Runtime, SyncRuntime, run_now
from ._trail import Trail, observers

if TYPE_CHECKING:
    from ._library import Library, Request, Response, Transport
    from ._policy import Policy
    from ._registry import Policies

__all__ = ["Chain", "build", "prepare", "unwrap"]


def build(runtime: Runtime) -> Call:
    """All layers over one runtime, from the innermost outwards."""
    call = attempt_layer(runtime)
    call = retry_layer(call, runtime)
    call = idempotency_layer(call, runtime)
    return deadline_layer(call, runtime)


class Chain:
    """The layers around one transport, for the sync and the async calls of its client.

    Arguments:
        library: httpx or httpx2, as its adapter describes it.
        transport: the client's own transport.
        policies: which policy speaks of which host.
        clock: time and chance.
    """

    def __init__(self, library: Library, transport: Transport, policies: Policies, clock: Clock) -> None:
        self._library = library
        self._transport = transport
        self._policies = policies
        self.closing = Closing()
        self._sync = build(SyncRuntime(library, transport, clock, self.closing))
        self._async = build(AsyncRuntime(library, transport, clock, self.closing))

    def handle(self, request: Request) -> Response:
        """Send a request of a sync client."""
        exchange = prepare(request, self._policies, self._library)
        if exchange is None:
            untouched: Response = self._transport.handle_request(request)
            return untouched
        try:
            outcome = run_now(self._sync(exchange))
        finally:
            _restore(exchange)
        return unwrap(exchange, outcome)

    async def handle_async(self, request: Request) -> Response:
        """Send a request of an async client."""
        exchange = prepare(request, self._policies, self._library)
        if exchange is None:
            untouched: Response = await self._transport.handle_async_request(request)
            return untouched
        try:
            outcome = await self._async(exchange)
        finally:
            _restore(exchange)
        return unwrap(exchange, outcome)


def prepare(request: Request, policies: Policies, library: Library) -> Exchange | None:
    """The call as the layers see it, or `None` where no policy applies to it.

    Raises:
        ConfigurationError: the request's own options cannot be honoured.
    """
    policy = policies.find(request.url)
    if policy is None:
        return None
    options = read_options(request.extensions)
    if options.off:
        return None
    operation = _operation(policy, request, options)
    exchange = Exchange(request, policy, operation, options, Trail(policy.provider, operation))
    check_key(exchange)
    exchange.replay = replayable(library, request, policy.replay)
    return exchange


def _operation(policy: Policy, request: Request, options: CallOptions) -> str | None:
    if options.operation is None:
        return policy.operation_finder.find(request.method, request.url.path)
    return policy.operation_named(options.operation)


def _restore(exchange: Exchange) -> None:
    """Give the request its own stream back: a redirect or the application may look at it."""
    if exchange.replay is not None:
        exchange.request.stream = exchange.replay.source


def unwrap(exchange: Exchange, outcome: Outcome) -> Response:
    """The response, or the error raised, with the trail on it."""
    trail = exchange.trail
    for observe in observers:
        observe(trail)
    if outcome.response is not None:
        outcome.response.extensions = {**outcome.response.extensions, "resilience": trail}
        return outcome.response
    error: Any = outcome.error
    error.trail = trail
    error.add_note(f"resilience: {trail}")
    raise error
