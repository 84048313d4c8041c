"""The demo's call over OTLP/HTTP: to a real receiver, through a real collector, and to a backend with an API, read back."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import resilience.httpx
import resilience.httpx2
from resilience.testing import VirtualClock, fake_provider
from tests.rawserver import answer, raw_server
from tests.servers import free_port

# The documented answers of a busy minute: too many requests, a failed queue, then the job.
BUSY = "429 retry-after 1, queue-error, 202"
LIBRARIES: dict[str, tuple[Any, Any]] = {"httpx": (httpx, resilience.httpx), "httpx2": (httpx2, resilience.httpx2)}
SECONDS = 60.0
KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT"}
SPANS = 5


def needs(*packages: str) -> None:
    """Skip, and say why, where one of them is not installed."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@contextlib.asynccontextmanager
async def received() -> AsyncIterator[tuple[str, Any]]:
    """A receiver of OTLP in this process: its address, and itself."""
    import oteltap

    port = free_port()
    receiver = oteltap.OtelTapHttpProtobufReceiver(oteltap.OtelTapHttpProtobufReceiverSettings(http_port=port))
    await receiver.start()
    try:
        yield f"http://127.0.0.1:{port}", receiver
    finally:
        await receiver.stop()


@contextlib.contextmanager
def collector(exports_to: str) -> Iterator[str]:
    """A collector that hands on what it gets: rotel, as a process of its own."""
    found = find_spec("rotel")
    assert found is not None
    assert found.origin is not None
    program = Path(found.origin).with_name("rotel-agent")
    port, other = free_port(), free_port()
    command = [
        *(str(program), "start", "--otlp-http-endpoint", f"127.0.0.1:{port}"),
        *("--otlp-grpc-endpoint", f"127.0.0.1:{other}", "--exporter", "otlp", "--otlp-exporter-protocol", "http"),
        *("--otlp-exporter-endpoint", exports_to, "--disable-batching"),
    ]
    # It is linked to the library of a Python, which a Python that was built by hand has beside itself.
    library = {"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))}
    with server(command, port, environment=library) as url:
        yield url


@contextlib.contextmanager
def backend() -> Iterator[str]:
    """A tracing backend with an API: AgentMesh, as a process of its own with a database of its own."""
    port = free_port()
    program = Path(sys.executable).with_name("agentmesh")
    with tempfile.TemporaryDirectory() as folder:
        with server([str(program), "dashboard", "--host", "127.0.0.1", "--port", str(port)], port, folder) as url:
            yield url


@contextlib.contextmanager
def server(
    command: list[str], port: int, folder: str | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """A process that listens on a port, until the block ends."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            until = time.monotonic() + SECONDS
            while not listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise RuntimeError(f"{command[0]} did not start: {log.read()[-2000:]!r}")
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(SECONDS)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def call(endpoint: str, library: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The demo's call, made by an application that sends its spans to an address: the status of its answer."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    module, adapter = LIBRARIES[library]
    provider = TracerProvider(resource=Resource({"service.name": "demo"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    try:
        with fake_provider("anakin", script=BUSY) as busy:
            config = {"version": 1, "providers": {"anakin": {"hosts": [busy.url.removeprefix("http://")]}}}
            # Nobody waits for the second that the provider asks for.
            clock = VirtualClock(wall=time.time(), chances=[0.0] * 10)
            transport = adapter.Transport(module.HTTPTransport(), config=config, clock=clock)
            with module.Client(transport=transport, headers={"X-API-Key": "secret-of-mine"}) as client:
                with provider.get_tracer("demo").start_as_current_span("GET /page", kind=trace.SpanKind.SERVER):
                    answer = client.post(f"{busy.url}/v1/url-scraper", json={"url": "https://example.com"})
        status: int = answer.status_code
        return status
    finally:
        provider.shutdown()


async def called(receiver: Any, *arguments: Any) -> tuple[int, list[Any]]:
    """Make the call, and wait until as many spans have come as were sent: whatever comes, nobody but a waiter keeps it."""
    async with asyncio.TaskGroup() as group:
        spans = group.create_task(collected(receiver))
        await asyncio.sleep(0)
        status = group.create_task(asyncio.to_thread(call, *arguments))
    return status.result(), spans.result()


async def collected(receiver: Any) -> list[Any]:
    found: list[Any] = []

    def is_last(span: Any) -> bool:
        if all(span.span_id != each.span_id for each in found):
            found.append(span)
        return len(found) == SPANS

    await receiver.await_trace(is_last, timeout=SECONDS)
    return sorted(found, key=lambda span: span.start_time_unix_nano)


class Seen(NamedTuple):
    """A span as whoever received it tells of it."""

    kind: str
    trace: str
    span: str
    parent: str
    failed: bool
    attributes: dict[str, Any]


def attributes_of(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def as_sent(span: Any) -> Seen:
    """One that was sent in the protocol's own form."""
    identity = (each.hex() for each in (span.trace_id, span.span_id, span.parent_span_id))
    return Seen(KINDS[span.kind], *identity, span.status.code == 2, attributes_of(span))


def check(spans: list[Seen]) -> None:
    """One trace: the application's span, the call's own in it, and the three attempts."""
    (page,) = [span for span in spans if span.kind == "SERVER"]
    (own,) = [span for span in spans if span.kind == "INTERNAL"]
    attempts = sorted(
        (span for span in spans if span.kind == "CLIENT"),
        key=lambda span: span.attributes.get("http.request.resend_count", 0),
    )

    assert 1 == len({span.trace for span in spans})
    assert SPANS == len({span.span for span in spans})
    assert not page.parent
    assert page.span == own.parent
    assert [page.span, own.span, own.span] == [span.parent for span in attempts]
    said = [span.attributes for span in attempts]
    assert [429, 500, 202] == [each["http.response.status_code"] for each in said]
    assert [None, 1, 2] == [each.get("http.request.resend_count") for each in said]
    assert ["429", "500", None] == [each.get("error.type") for each in said]
    assert [True, True, False] == [span.failed for span in attempts]
    for each in said:
        wanted = ("POST", "127.0.0.1", "anakin", "/v1/url-scraper", "1.1")
        names = ("http.request.method", "server.address", "resilience.provider", "url.template")
        assert wanted == (*(each[name] for name in names), each["network.protocol.version"])
    outcome, count = own.attributes["resilience.outcome"], own.attributes["resilience.attempts"]
    assert (False, "success", 3) == (own.failed, outcome, count)
    assert "Retry-After" in str(own.attributes["resilience.waits"])
    assert "secret-of-mine" not in str(spans)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_receiver_gets_the_whole_call(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One trace with the application's parent, three attempts and their attributes."""
    needs("oteltap", "opentelemetry.exporter.otlp.proto.http")

    async def go() -> tuple[int, list[Any]]:
        async with received() as (endpoint, receiver):
            return await called(receiver, endpoint, library, monkeypatch)

    status, spans = asyncio.run(go())

    assert 202 == status
    check([as_sent(span) for span in spans])


def test_a_collector_hands_on_the_whole_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same through a process that every span passes on its way to a backend."""
    needs("rotel", "opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    arrived = threading.Event()

    def accept(client: socket.socket) -> bool:
        client.sendall(answer(200, b"", content_type="application/x-protobuf"))
        arrived.set()
        return True

    with raw_server(accept) as backend:
        with collector(backend.url) as hop:
            status = call(hop, "httpx", monkeypatch)
            assert arrived.wait(SECONDS)
        (seen,) = backend.requests

    request = ExportTraceServiceRequest.FromString(gzip.decompress(seen.body))
    (resource,) = request.resource_spans
    assert {"resilience", "demo"} == {scope.scope.name for scope in resource.scope_spans}
    assert {"service.name": "demo"} == attributes_of(resource.resource)
    assert 202 == status
    check([as_sent(span) for scope in resource.scope_spans for span in scope.spans])


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_backend_has_the_whole_call(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked over its API, it tells of one trace with the application's parent, three attempts and their attributes."""
    needs("agentmesh", "opentelemetry.exporter.otlp.proto.http")

    with backend() as url:
        status = call(url, library, monkeypatch)
        (found,) = httpx.get(f"{url}/api/traces").json()
        spans = httpx.get(f"{url}/api/traces/{found['trace_id']}/spans").json()

    assert 202 == status
    assert ("GET /page", "demo") == (found["name"], found["service_name"])
    check(
        [
            Seen(
                *(span["span_kind"], span["trace_id"], span["span_id"], span["parent_span_id"]),
                span["status"] == "failed",
                span["metadata"]["attributes"],
            )
            for span in spans
        ]
    )
