"""The floor: what the layers decide for one provider, written into one function; no library, but what one is measured by.

It has no policy file, no second account, no lock, no trail, no store, and gives nothing back when a call is cancelled.
What it costs is what the decisions alone cost, and the distance from it to ours is the price of all the rest.
"""

from __future__ import annotations

import json
import time
from typing import Any

from benchmarks._worlds import World, loaded

__all__ = ["FLOOR", "floor_call"]

FLOOR = "the decisions alone"
_RATE = _BURST = 1e9
_MOST_ATTEMPTS, _MOST_FAILURES = 3, 10
_MOST_RETRIES, _RETRIES_EACH = 10.0, 0.2


class _State:
    """Of the provider's only account."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.tokens, self.at, self.retries = _BURST, time.monotonic(), _MOST_RETRIES
        self.failures = self.under_way = 0

    def enter(self, request: Any) -> None:
        """Host, account, breaker, rate and place."""
        if request.url.host != self.host or not request.headers.get("authorization"):
            raise LookupError
        now = time.monotonic()
        self.tokens = min(_BURST, self.tokens + (now - self.at) * _RATE) - 1
        self.at = now
        if self.failures >= _MOST_FAILURES or self.under_way > _RATE or self.tokens < 0:
            raise PermissionError
        self.under_way += 1

    def leave(self, response: Any, attempt: int) -> bool:
        """Whether it may be sent again."""
        self.under_way -= 1
        if response.status_code < 400:
            self.failures = 0
            self.retries = min(_MOST_RETRIES, self.retries + _RETRIES_EACH)
            return False
        self.failures += response.status_code >= 500
        return response.status_code == 429 and attempt < _MOST_ATTEMPTS and self.retries > 0


def floor_call(world: World, lean: type[Any], url: str, *, looks: bool = False, is_traced: bool = False) -> Any:
    """A function that calls once through that function alone.

    Arguments:
        world: in which it calls.
        lean: the class of the transport that sends.
        url: what is called.
        looks: the body of a success is read for the error that it may be.
        is_traced: each attempt has a span with the attributes that OpenTelemetry requires of a client, and hands it on.
    """
    inner = lean()
    if is_traced:
        inner = (_traced if world.is_sync else _traced_async)(world, inner)
    state = _State(world.module.URL(url).host)
    get = world.client((_sync if world.is_sync else _async)(world, inner, state, looks=looks)).get
    return lambda: get(url)


def _is_good(content: bytes) -> bool:
    told = json.loads(content)
    return bool(told["success"]) and told["data"].get("status_code", 0) < 400


def _wait(response: Any, content: bytes) -> float:
    return float(response.headers["retry-after"]) if json.loads(content)["error"]["code"] else 0.0


def _sync(world: World, inner: Any, state: _State, *, looks: bool) -> Any:
    send = inner.handle_request

    def handle_request(_self: Any, request: Any) -> Any:
        attempt = 0
        while True:
            attempt += 1
            state.enter(request)
            response = send(request)
            if not state.leave(response, attempt):
                if looks and not _is_good(response.read()):
                    raise ValueError
                return response
            if wait := _wait(response, response.read()):
                time.sleep(wait)

    return type("Floor", (world.module.BaseTransport,), {"handle_request": handle_request})()


def _async(world: World, inner: Any, state: _State, *, looks: bool) -> Any:
    send = inner.handle_async_request

    async def handle_async_request(_self: Any, request: Any) -> Any:
        attempt = 0
        while True:
            attempt += 1
            state.enter(request)
            response = await send(request)
            if not state.leave(response, attempt):
                if looks and not _is_good(await response.aread()):
                    raise ValueError
                return response
            if wait := _wait(response, await response.aread()):
                await loaded("anyio").sleep(wait)

    return type("Floor", (world.module.AsyncBaseTransport,), {"handle_async_request": handle_async_request})()


def _begun(request: Any) -> Any:
    trace = loaded("opentelemetry.trace")
    url = request.url
    attributes = {
        "http.request.method": request.method,
        "server.address": url.host,
        "server.port": url.port or 443,
        "url.full": str(url),
    }
    span = trace.get_tracer("floor").start_span(request.method, kind=trace.SpanKind.CLIENT, attributes=attributes)
    context = span.get_span_context()
    request.headers["traceparent"] = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
    return span


def _ended(span: Any, response: Any) -> Any:
    span.set_attribute("http.response.status_code", response.status_code)
    span.end()
    return response


def _traced(world: World, inner: Any) -> Any:
    def handle_request(_self: Any, request: Any) -> Any:
        span = _begun(request)
        return _ended(span, inner.handle_request(request))

    return type("Traced", (world.module.BaseTransport,), {"handle_request": handle_request})()


def _traced_async(world: World, inner: Any) -> Any:
    async def handle_async_request(_self: Any, request: Any) -> Any:
        span = _begun(request)
        return _ended(span, await inner.handle_async_request(request))

    return type("Traced", (world.module.AsyncBaseTransport,), {"handle_async_request": handle_async_request})()
