"""The stack that a good engineer assembles by hand: limits, a breaker, httpx-retries, a look at the body, OpenTelemetry."""

from __future__ import annotations

import json
from typing import Any

from benchmarks._peers import window
from benchmarks._worlds import World, loaded

__all__ = ["instrumented", "spans_nowhere", "stack_client"]


class Failing(Exception):
    """An answer that the breaker counts."""


def stack_client(world: World, lean: type[Any]) -> Any:
    """A client whose transport is the stack, without OpenTelemetry."""
    retries = loaded("httpx_retries")
    # It answers a `Retry-After: 0` with its backoff, so it has none.
    retry = retries.Retry(total=3, backoff_factor=0, allowed_methods=["GET", "POST"])
    kind = _sync_transport if world.is_sync else _async_transport
    return world.client(retries.RetryTransport(kind(world, lean()), retry=retry))


def _judged(content: bytes, status: int) -> None:
    # A provider that says with 200 that it failed.
    if status == 200 and "error" in json.loads(content):
        raise Failing


def _sync_transport(world: World, inner: Any) -> Any:
    breaker = loaded("pybreaker").CircuitBreaker(fail_max=5)
    hit = window(world)

    def send(request: Any) -> Any:
        response = inner.handle_request(request)
        if response.headers.get("content-type", "").startswith("application/json"):
            _judged(response.read(), response.status_code)
        return response

    def handle_request(_self: Any, request: Any) -> Any:
        if not hit():
            raise Failing
        return breaker.call(send, request)

    return type("Stack", (world.module.BaseTransport,), {"handle_request": handle_request})()


def _async_transport(world: World, inner: Any) -> Any:
    breaker = loaded("aiobreaker").CircuitBreaker(fail_max=5)
    hit = window(world)

    async def send(request: Any) -> Any:
        response = await inner.handle_async_request(request)
        if response.headers.get("content-type", "").startswith("application/json"):
            _judged(await response.aread(), response.status_code)
        return response

    async def handle_async_request(_self: Any, request: Any) -> Any:
        if not await hit():
            raise Failing
        return await breaker.call_async(send, request)

    return type("Stack", (world.module.AsyncBaseTransport,), {"handle_async_request": handle_async_request})()


def instrumented(world: World, client: Any) -> Any:
    """The client, instrumented by OpenTelemetry's own package."""
    package = loaded("opentelemetry.instrumentation.httpx")
    name = "HTTPXClientInstrumentor" if world.library == "httpx" else "HTTPX2ClientInstrumentor"
    getattr(package, name).instrument_client(client)
    return client


def spans_nowhere() -> None:
    """Set up the SDK with a batch processor whose exporter throws away what would be sent."""
    trace, sdk = loaded("opentelemetry.trace"), loaded("opentelemetry.sdk.trace")
    export = loaded("opentelemetry.sdk.trace.export")

    def thrown_away(_self: Any, _spans: Any) -> Any:
        return export.SpanExportResult.SUCCESS

    nowhere = type("Nowhere", (export.SpanExporter,), {"export": thrown_away})()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.BatchSpanProcessor(nowhere))
    trace.set_tracer_provider(provider)
