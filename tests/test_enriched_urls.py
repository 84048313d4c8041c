"""The URL in spans that opentelemetry-instrumentation-httpx makes: redacted as ours is, in whichever name it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import resilience.httpx
import resilience.httpx2
from resilience import Policy, _telemetry
from resilience._enriched import _Enricher
from tests.rawserver import answer, raw_server

LIBRARIES: dict[str, tuple[Any, Any, Any]] = {
    "httpx": (httpx, resilience.httpx, HTTPXClientInstrumentor),
    "httpx2": (httpx2, resilience.httpx2, HTTPX2ClientInstrumentor),
}
SECRET = "s3cr3t-Zq8vLw2"
NAMES = {"": {"http.url"}, "http": {"url.full"}, "http/dup": {"http.url", "url.full"}}


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """An application that traces everything."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr(_telemetry._Known, "has_complained", False)
    yield exporter
    provider.shutdown()


def policy(host: str, **parts: Any) -> Policy:
    retry = {"max_attempts": 2, "spread": 0, "backoff": {"initial": "1ms", "max": "1ms"}}
    given = {"version": 1, "provider": "local", "match": {"hosts": [host]}, "retry": retry, "breaker": {"off": True}}
    return Policy.model_validate(given | parts)


def shown(span: ReadableSpan) -> dict[str, Any]:
    """What a span says of URLs."""
    return {name: value for name, value in (span.attributes or {}).items() if "url" in name}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_instrumentations_spans_show_no_key(
    library: str, names: str, exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt's own URL, also of a redirect, without secrets; under the names that the instrumentation has."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", names)
    monkeypatch.setattr(_OpenTelemetrySemanticConventionStability, "_initialized", False)
    module, adapter, instrumentor = LIBRARIES[library]
    moved = answer(302, b"", f"Location: /b;token={SECRET}?x=//u:{SECRET}@h/")

    with raw_server(answer(503), moved, answer(200, b"{}")) as server:
        host = server.url.removeprefix("http://")
        client = module.Client(transport=adapter.Transport(policies=[policy(host)]), follow_redirects=True)
        instrumentor.instrument_client(client)
        with client:
            client.get(f"{server.url}/things/{SECRET}?api_key={SECRET}&page=2", headers={"X-Api-Key": SECRET})
        instrumentor.uninstrument_client(client)

    first = f"{server.url}/things/REDACTED?api_key=REDACTED&page=2"
    second = f"{server.url}/b;token=REDACTED?x=//REDACTED:REDACTED@h/"
    spans = [span for span in exported.get_finished_spans() if span.kind is trace.SpanKind.CLIENT]
    assert [dict.fromkeys(NAMES[names], url) for url in (first, first, second)] == list(map(shown, spans))
    assert {"opentelemetry.instrumentation.httpx"} == {
        s.instrumentation_scope.name for s in spans if s.instrumentation_scope
    }


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_provider_that_has_no_hash(
    library: str, exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As the one of logfire: it compares by its fields. Spans say the same, each once, and nothing is complained of."""

    class Unhashable(TracerProvider):
        __hash__ = None  # type: ignore[assignment]

    provider = Unhashable()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    module, adapter, instrumentor = LIBRARIES[library]

    with raw_server(answer(503), answer(200, b"{}")) as server:
        host = server.url.removeprefix("http://")
        client = module.Client(transport=adapter.Transport(policies=[policy(host)]))
        instrumentor.instrument_client(client)
        with client:
            client.get(f"{server.url}/things?api_key={SECRET}")
        instrumentor.uninstrument_client(client)
    provider.shutdown()

    spans = [span for span in exported.get_finished_spans() if span.kind is trace.SpanKind.CLIENT]
    assert [("local", None), ("local", 1)] == [
        (found["resilience.provider"], found.get("http.request.resend_count"))
        for found in (span.attributes or {} for span in spans)
    ]
    assert SECRET not in str([shown(span) for span in spans])
    assert [] == [record for record in caplog.records if record.name == "resilience.telemetry"]


def test_a_span_of_something_else(exported: InMemorySpanExporter) -> None:
    """One without a URL gets none, one of another host keeps its own; while no attempt is under way all stay as they are."""
    module, adapter, instrumentor = LIBRARIES["httpx"]
    tracer = trace.get_tracer("opentelemetry.instrumentation.httpx.more")
    made: list[Any] = []

    class Transport(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            made.append(tracer.start_span("inner"))
            made.append(tracer.start_span("other", attributes={"http.url": f"https://o.test/?key={SECRET}"}))
            return super().handle_request(request)

    with raw_server(answer(200, b"{}")) as server:
        host = server.url.removeprefix("http://")
        transport = adapter.Transport(Transport(), policies=[policy(host)])
        client = module.Client(transport=transport)
        instrumentor.instrument_client(client)
        with client:
            client.get(f"{server.url}/?key={SECRET}")
        instrumentor.uninstrument_client(client)
    outside = tracer.start_span("outside", attributes={"url.full": "https://h/"})

    assert [{}, {"http.url": "https://o.test/?key=REDACTED"}] == list(map(shown, made))
    assert "local" == made[0].attributes["resilience.provider"]
    assert {"url.full": "https://h/"} == shown(outside)
    assert exported.get_finished_spans()
    _Enricher().on_start(outside)
    assert {"url.full": "https://h/"} == shown(outside)
