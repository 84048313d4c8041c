"""Calls in a tracing backend: a CLIENT span for each attempt, an INTERNAL one around a call that was touched."""

from __future__ import annotations

import ast
import asyncio
import gc
import importlib
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import opentelemetry.semconv
import pytest
import trio
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability
from opentelemetry.instrumentation.httpx import (
    HTTPX2ClientInstrumentor,
    HTTPXClientInstrumentor,
    SyncOpenTelemetryTransport,
    SyncOpenTelemetryTransportHttpx2,
)
from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler
from opentelemetry.semconv._incubating.attributes.http_attributes import HttpRequestMethodValues
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import resilience
import resilience.httpx
import resilience.httpx2
from resilience import Policy, _attempt_span, _chain, _telemetry
from resilience._attempt import attempt_layer
from resilience._carried import Carried
from resilience._hub import Hub
from resilience._instruments import INSTRUMENTS
from resilience._outcome import Exchange, Outcome
from resilience._refusal import refused
from resilience._registry import Policies, Settings, Source
from resilience._trail import Refused, Wait
from resilience.errors import ConfigurationError
from resilience.testing import VirtualClock
from tests.rawserver import RawServer, answer, chunked, raw_server

HOST = "provider.test"
URL = f"http://{HOST}/things/7"
PACKAGE = Path(resilience.__file__).parent
LIBRARIES: dict[str, tuple[Any, Any, Any, Any]] = {
    "httpx": (httpx, resilience.httpx, HTTPXClientInstrumentor, SyncOpenTelemetryTransport),
    "httpx2": (httpx2, resilience.httpx2, HTTPX2ClientInstrumentor, SyncOpenTelemetryTransportHttpx2),
}
ARRANGEMENTS = [
    "none",
    "sdk",
    "before",
    "after",
    "client-before",
    "client-after",
    "uninstrumented",
    "client-uninstrumented",
]
LONG_AGO = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class Tracing:
    """An application's tracing and metrics, and what came out of them."""

    def __init__(self, *processors: SpanProcessor, sampler: Sampler | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        for processor in (*processors, SimpleSpanProcessor(self.exporter)):
            self.provider.add_span_processor(processor)
        self.tracer = self.provider.get_tracer("app")
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    @property
    def spans(self) -> list[ReadableSpan]:
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.spans if span.kind is kind and span.name != "app"]

    @property
    def attempts(self) -> list[ReadableSpan]:
        return self.named(SpanKind.CLIENT)

    @property
    def call(self) -> ReadableSpan:
        (span,) = self.named(SpanKind.INTERNAL)
        return span

    def durations(self) -> int:
        """How many requests `http.client.request.duration` has counted, whoever made it."""
        data = self.reader.get_metrics_data()
        return sum(
            point.count
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "http.client.request.duration"
            for point in metric.data.data_points
        )


def use(monkeypatch: pytest.MonkeyPatch, tracing: Tracing) -> Tracing:
    """Make it the application's, for one test."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", tracing.provider)
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", tracing.meters)
    monkeypatch.setattr(Hub, "listeners", ())
    monkeypatch.setattr(_telemetry._Known, "has_complained", False)
    return tracing


def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracing]:
    """An application that traces everything."""
    used = use(monkeypatch, Tracing())
    yield used
    used.provider.shutdown()
    used.meters.shutdown()


_tracing = pytest.fixture(name="tracing")(traced)


@pytest.fixture
def _stable_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The instrumentation's names are those of the conventions."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    monkeypatch.setattr(_OpenTelemetrySemanticConventionStability, "_initialized", False)


def policy(host: str = HOST, **parts: Any) -> Policy:
    return Policy.model_validate(
        {
            "version": 1,
            "provider": "local",
            "match": {"hosts": [host]},
            "plans": {"gold": {}},
            "operations": {"thing": {"path": "/things/{id}"}},
            "retry": {"max_attempts": 3, "spread": 0, "backoff": {"initial": "1ms", "max": "1ms"}},
            "breaker": {"off": True},
            **parts,
        }
    )


Handler = Callable[[Any], Any]


def client_of(handler: Handler | Sequence[int], *, library: str = "httpx", spans: Any = "touched", **parts: Any) -> Any:
    """A client of a provider that answers as a test says, on virtual time."""
    module, adapter, _, _ = LIBRARIES[library]
    statuses = list(handler) if isinstance(handler, Sequence) else None

    def answering(request: Any) -> Any:
        assert statuses is not None
        return module.Response(statuses.pop(0) if len(statuses) > 1 else statuses[0], json={})

    made = policy(**parts)
    source = Source(made.provider, made.match.hosts, lambda: made, Settings(spans=spans, plan="gold"))
    mock = module.MockTransport(answering if statuses is not None else handler)
    return module.Client(transport=adapter.Transport(mock, policies=Policies([source]), clock=VirtualClock()))


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    return span.get_span_context().span_id


def drawn(spans: Sequence[ReadableSpan]) -> list[str]:
    """The tree of spans in their order: kind, what distinguishes them, status."""
    names = {id_of(span): span for span in spans}

    def lines(parent: int | None, indent: str) -> Iterator[str]:
        for span in spans:
            above = parent_of(span)
            if (above if above in names else None) == parent:
                found = span.attributes or {}
                what = [str(found[name]) for name in (STATUS, RESENT) if name in found]
                yield f"{indent}{span.kind.name} {' '.join(what)} {span.status.status_code.name}".replace("  ", " ")
                yield from lines(id_of(span), f"{indent}. ")

    return list(lines(None, ""))


STATUS, RESENT = "http.response.status_code", "http.request.resend_count"
# By their beginnings: the call's own span begins with the call, though it is made when the call is touched.
RETRIED = [
    "INTERNAL UNSET",
    ". INTERNAL UNSET",
    ". . CLIENT 200 1 UNSET",
    ". CLIENT 503 ERROR",
]


class Doors:
    """The ways to make a client obey."""

    def __init__(self, folder: Path, server: RawServer, library: str) -> None:
        self.module, self.adapter, _, _ = LIBRARIES[library]
        self._host = server.url.removeprefix("http://")
        self._folder = folder

    def client(self, door: str, mode: str) -> Any:
        kind = self.module.Client if mode == "sync" else self.module.AsyncClient
        if door == "transport":
            return kind(transport=self.adapter.Transport(policies=[policy(self._host)]))
        return kind()

    def open(self, door: str, client: Any) -> None:
        if door == "wrap":
            resilience.wrap(client, policies=[policy(self._host)])
        if door == "install":
            path = self._folder / "local.yaml"
            path.write_text(policy(self._host).model_dump_json(exclude_defaults=True))
            resilience.install({"version": 1, "policies": [str(path)], "shipped": False})


def arrange(arrangement: str, instrumentor: Any, client: Any, open_door: Callable[[], None]) -> None:
    """Instrument before or after the door is opened."""
    if arrangement == "before":
        instrumentor().instrument()
    if arrangement.startswith("client") and arrangement != "client-after":
        instrumentor.instrument_client(client)
    open_door()
    if arrangement in {"after", "uninstrumented"}:
        instrumentor().instrument()
    if arrangement == "client-after":
        instrumentor.instrument_client(client)
    if arrangement == "uninstrumented":
        instrumentor().uninstrument()
    if arrangement == "client-uninstrumented":
        instrumentor.uninstrument_client(client)


def get(mode: str, client: Any, url: str, tracer: Any) -> Any:
    """One call within the application's span."""
    if mode == "sync":
        with client, tracer.start_as_current_span("app"):
            return client.get(url)

    async def go() -> Any:
        async with client:
            with tracer.start_as_current_span("app"):
                return await client.get(url)

    return asyncio.run(go()) if mode == "asyncio" else trio.run(go)


@pytest.mark.usefixtures("_stable_names")
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("mode", ["sync", "asyncio", "trio"])
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("door", ["install", "wrap", "transport"])
def test_a_retried_call_looks_the_same_whoever_makes_the_spans(
    arrangement: str, mode: str, library: str, door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One CLIENT span for each attempt, the second in the call's own; each is counted once, and has a context of its own."""
    instrumentor = LIBRARIES[library][2]
    tracing = Tracing()
    if arrangement != "none":
        use(monkeypatch, tracing)

    with raw_server(answer(503), answer(200, b"{}")) as server:
        doors = Doors(tmp_path, server, library)
        client = doors.client(door, mode)
        try:
            arrange(arrangement, instrumentor, client, lambda: doors.open(door, client))
            response = get(mode, client, f"{server.url}/things/7", tracing.tracer)
        finally:
            resilience.uninstall()
            instrumentor().uninstrument() if instrumentor().is_instrumented_by_opentelemetry else None

    parents = [_traceparent(seen.head) for seen in server.requests]
    assert (200, 2) == (response.status_code, len(server.requests))
    if arrangement == "none":
        assert (["INTERNAL UNSET"], [None, None]) == (drawn(tracing.spans), parents)
        return
    attempts = tracing.attempts
    assert RETRIED == drawn(tracing.spans)
    assert [(span.context.trace_id, id_of(span)) for span in attempts if span.context] == parents
    is_theirs = arrangement in {"before", "after", "client-before", "client-after"}
    scope = "opentelemetry.instrumentation.httpx" if is_theirs else "resilience"
    assert [scope] * 2 == [span.instrumentation_scope.name for span in attempts if span.instrumentation_scope]
    for span in attempts:
        wanted = {"url.template": "/things/{id}", "resilience.provider": "local", "resilience.operation": "thing"}
        assert wanted == {name: (span.attributes or {}).get(name) for name in wanted}
    assert 2 == tracing.durations()


def _traceparent(head: bytes) -> tuple[int, int] | None:
    found = re.search(rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-", head)
    return None if found is None else (int(found[1], 16), int(found[2], 16))


@pytest.mark.usefixtures("_stable_names")
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("is_outside", [False, True])
def test_a_transport_of_the_instrumentations_own(library: str, is_outside: bool, tracing: Tracing) -> None:
    """Below ours it makes the attempts' spans; around ours its one span stands around all of them."""
    module, adapter, _, wrapper = LIBRARIES[library]
    with raw_server(answer(503), answer(200, b"{}")) as server:
        policies = [policy(server.url.removeprefix("http://"))]
        inner = module.HTTPTransport()
        outside = wrapper(adapter.Transport(inner, policies=policies))
        transport = outside if is_outside else adapter.Transport(wrapper(inner), policies=policies)

        get("sync", module.Client(transport=transport), f"{server.url}/things/7", tracing.tracer)

    around = [
        RETRIED[0],
        ". CLIENT 200 UNSET",
        *(f". {line}" for line in RETRIED[1:]),
    ]
    assert (around if is_outside else RETRIED) == drawn(tracing.spans)
    scopes = [span.instrumentation_scope.name for span in tracing.attempts if span.instrumentation_scope]
    theirs = "opentelemetry.instrumentation.httpx"
    assert ({theirs: 1, "resilience": 2} if is_outside else {theirs: 2}) == {
        name: scopes.count(name) for name in scopes
    }


@pytest.mark.usefixtures("_stable_names")
@pytest.mark.parametrize("library", LIBRARIES)
def test_an_applications_transport_that_hands_on_to_a_traced_one(library: str, tracing: Tracing) -> None:
    """The attempt has one span, and its context is what is sent."""
    module, adapter, instrumentor, _ = LIBRARIES[library]

    class Own(module.BaseTransport):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.inner = module.HTTPTransport()

        def handle_request(self, request: Any) -> Any:
            return self.inner.handle_request(request)

        def close(self) -> None:
            self.inner.close()

    instrumentor().instrument()
    try:
        with raw_server(answer(503), answer(200, b"{}")) as server:
            made = policy(server.url.removeprefix("http://"))
            client = module.Client(transport=adapter.Transport(Own(), policies=[made]))
            get("sync", client, f"{server.url}/things/7", tracing.tracer)
    finally:
        instrumentor().uninstrument()

    assert RETRIED == drawn(tracing.spans)
    assert [id_of(span) for span in tracing.attempts] == [
        (_traceparent(each.head) or (0, 0))[1] for each in server.requests
    ]


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_instrumented_transport_is_as_it_was_after_its_uninstrumenting(library: str, tracing: Tracing) -> None:
    """What `instrument_client` put around ours stands around the inner one, and goes with `uninstrument_client`."""
    module, adapter, instrumentor, _ = LIBRARIES[library]
    transport = adapter.Transport(module.HTTPTransport(), policies=[])
    client = module.Client(transport=transport)

    instrumentor.instrument_client(client)
    during = "handle_request" in vars(transport.inner)
    instrumentor.uninstrument_client(client)

    assert during
    for name in ("handle_request", "handle_async_request"):
        for each in (transport, transport.inner):
            assert not hasattr(getattr(each, name, None), "_self_wrapper")
    client.close()


def test_a_transport_with_slots_has_one_span_for_all_attempts(tracing: Tracing) -> None:
    """Where nothing can be put around the inner transport, `instrument_client` does what it does without us."""

    class Fixed:
        __slots__ = ()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200 if "traceparent" in request.headers else 500)

    transport = resilience.httpx.Transport(httpx.MockTransport(lambda _: httpx.Response(200)), policies=[policy()])
    transport._inner = Fixed()
    transport.chain._transport = transport._inner
    client = httpx.Client(transport=transport)

    HTTPXClientInstrumentor.instrument_client(client)

    assert 200 == client.get("http://other.test/").status_code
    assert 1 == len(tracing.attempts)
    HTTPXClientInstrumentor.uninstrument_client(client)


def test_without_an_sdk_nothing_is_imported() -> None:
    """Neither OpenTelemetry nor what makes spans; with its API alone no header is added."""
    program = """
        import sys
        import httpx, resilience.httpx
        from resilience import Policy

        seen = []
        def handle(request):
            seen.append(dict(request.headers))
            return httpx.Response(200 if len(seen) % 2 == 0 else 503, json={})

        made = {"version": 1, "provider": "p", "match": {"hosts": ["p.test"]},
                "retry": {"backoff": {"initial": "1ms", "max": "1ms"}}}
        transport = resilience.httpx.Transport(httpx.MockTransport(handle), policies=[Policy.model_validate(made)])
        client = httpx.Client(transport=transport)
        client.get("http://p.test/")
        ours = ["resilience._spans", "resilience._attempt_span", "resilience._metrics"]
        print(sorted(name for name in sys.modules if name.startswith("opentelemetry")), [n for n in ours if n in sys.modules])
        import opentelemetry.trace, opentelemetry.metrics
        client.get("http://p.test/")
        print(len(seen), any("traceparent" in each for each in seen), [n for n in ours if n in sys.modules])
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )

    assert ["[] []", "4 False []"] == run.stdout.splitlines()


@pytest.mark.parametrize("which", ["proxy", "noop", "disabled"])
def test_a_provider_that_makes_nothing_is_none(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API's own, and an SDK that is switched off."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    providers = {"proxy": trace.ProxyTracerProvider(), "noop": trace.NoOpTracerProvider(), "disabled": TracerProvider()}
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", providers[which])
    seen: list[Any] = []

    with client_of(lambda request: seen.append(dict(request.headers)) or httpx.Response(200)) as client:
        client.get(URL)

    assert _telemetry.tracing() is None
    assert "traceparent" not in seen[0]


def test_a_provider_that_comes_later_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that takes another's place too; the tracer says who it is, and which conventions it follows."""
    with client_of([200]) as client:
        client.get(URL)
        first = use(monkeypatch, Tracing())
        client.get(URL)
        second = use(monkeypatch, Tracing())
        client.get(URL)

    assert (1, 1) == (len(first.attempts), len(second.attempts))
    scope = first.attempts[0].instrumentation_scope
    assert scope is not None
    assert ("resilience", "https://opentelemetry.io/schemas/1.44.0") == (scope.name, scope.schema_url)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("own", [{}, {"traceparent": "mine"}], ids=["none", "its own"])
def test_the_callers_headers_are_as_they_were(library: str, own: Mapping[str, str], tracing: Tracing) -> None:
    """Each attempt is sent with a context of its own, in place of one that the caller gave."""
    module = LIBRARIES[library][0]
    sent: list[str] = []
    inside: list[str] = []

    def handle(request: Any) -> Any:
        sent.append(request.headers["traceparent"])
        inside.append(f"{id_of_current():016x}")
        return module.Response(503 if len(sent) == 1 else 200)

    with client_of(handle, library=library) as client:
        request = client.build_request("GET", URL, headers=[("x-one", "1"), ("x-one", "2"), *own.items()])
        headers, before = request.headers, list(request.headers.raw)
        response = client.send(request)

    assert 2 == len(set(sent))
    assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", each) for each in sent)
    assert [each.split("-")[2] for each in sent] == [f"{id_of(span):016x}" for span in tracing.attempts] == inside
    assert headers is request.headers is response.request.headers
    assert before == list(headers.raw)


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_callers_headers_are_as_they_were_where_others_make_the_spans(library: str, tracing: Tracing) -> None:
    """That instrumentation leaves a copy with its context in the request; the call gives its own back."""
    module, adapter, instrumentor, _ = LIBRARIES[library]
    with raw_server(answer(503), answer(200, b"{}")) as server:
        made = policy(server.url.removeprefix("http://"))
        with module.Client(transport=adapter.Transport(module.HTTPTransport(), policies=[made])) as client:
            instrumentor.instrument_client(client)
            request = client.build_request("GET", f"{server.url}/things/7")
            headers, before = request.headers, list(request.headers.raw)
            client.send(request)

    assert 2 == len({_traceparent(seen.head) for seen in server.requests})
    assert headers is request.headers
    assert before == list(headers.raw)


def id_of_current() -> int:
    return trace.get_current_span().get_span_context().span_id


def test_headers_that_a_transport_sets_stay(tracing: Tracing) -> None:
    """Tracing changes nothing of what an application sees of its own transport."""

    def handle(request: httpx.Request) -> httpx.Response:
        request.headers["x-signed"] = "yes"
        return httpx.Response(200)

    with client_of(handle) as client:
        response = client.get(URL)

    assert ("yes", False) == (response.request.headers["x-signed"], "traceparent" in response.request.headers)


@pytest.mark.parametrize("flags", [TraceFlags.SAMPLED, TraceFlags.DEFAULT])
def test_a_remote_parent_is_the_parent(flags: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not sampled is handed on as such, and nothing is recorded."""
    tracing = use(monkeypatch, Tracing(sampler=ParentBased(ALWAYS_OFF)))
    sent: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["traceparent"])
        return httpx.Response(503 if len(sent) == 1 else 200)

    remote = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(flags))
    token = otel_context.attach(trace.set_span_in_context(NonRecordingSpan(remote)))
    with client_of(handle) as client:
        client.get(URL)
    otel_context.detach(token)

    assert [(f"{0xABC:032x}", f"{flags:02x}")] * 2 == [(each.split("-")[1], each.split("-")[3]) for each in sent]
    assert 2 == len({each.split("-")[2] for each in sent})
    if flags == TraceFlags.DEFAULT:
        assert [] == tracing.spans
    else:
        assert [0xDEF, 0xDEF, id_of(tracing.call)] == [parent_of(span) for span in tracing.spans]


def test_samplers_see_what_is_known_before_the_request_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attributes that the conventions want at the span's creation."""
    asked: list[Any] = []

    class Asking(Sampler):
        def should_sample(self, parent_context: Any, trace_id: int, name: str, *rest: Any, **named: Any) -> Any:
            asked.append((name, rest, named))
            return ALWAYS_OFF.should_sample(None, 1, name)

        def get_description(self) -> str:
            return "asking"

    use(monkeypatch, Tracing(sampler=Asking()))

    with client_of([200]) as client:
        client.get(URL)

    wanted = {"http.request.method", "server.address", "server.port", "url.full", "url.template"}
    (name, (_, attributes, *_), _) = asked[0]
    assert "GET /things/{id}" == name
    assert wanted <= set(attributes)


@pytest.mark.parametrize("way", ["all", "http", "plain", "exporter"])
def test_suppressed_requests_have_no_spans(way: str, tracing: Tracing) -> None:
    """As an exporter's own: they would tell of themselves without end."""
    seen: list[Any] = []
    contexts: dict[str, Any] = {"all": suppress_instrumentation, "http": suppress_http_instrumentation}
    keys = {"plain": "suppress_instrumentation", "exporter": otel_context._SUPPRESS_INSTRUMENTATION_KEY}

    with client_of(lambda request: seen.append(dict(request.headers)) or httpx.Response(200)) as client:
        if way in contexts:
            with contexts[way]():
                client.get(URL)
        else:
            token = otel_context.attach(otel_context.set_value(keys[way], True))
            client.get(URL)
            otel_context.detach(token)
        client.get(URL)

    assert [False, True] == ["traceparent" in each for each in seen]
    assert 1 == len(tracing.spans)


REQUEST = {
    "http.request.method": "GET",
    "server.address": HOST,
    "server.port": 80,
    "url.full": URL,
    "url.template": "/things/{id}",
    "resilience.provider": "local",
    "resilience.operation": "thing",
}


def test_what_the_spans_of_a_retried_call_say(tracing: Tracing) -> None:
    """Attempts speak of answers, the call of how it ended; a retry that succeeds leaves no error on the call."""
    rule = {"rule": "busy", "when": {"status": 503, "code": "BUSY"}, "category": "overloaded", "doc": "errors"}
    docs = {"errors": {"url": "https://provider.test/errors", "checked": "2026-01-01"}}
    answers = [httpx.Response(503, json={"code": "BUSY"}), httpx.Response(200, json={})]
    parts = {"answers": [rule], "docs": docs, "envelopes": [{"code": "code", "message": "message"}]}

    with client_of(lambda _: answers.pop(0), **parts) as client:
        client.get(URL)

    first, second = tracing.attempts
    assert "GET /things/{id}" == first.name == second.name
    page = "https://provider.test/errors"
    said = {"resilience.category": "overloaded", "resilience.code": "BUSY", "resilience.rule": "busy"}
    doc = (first.attributes or {})["resilience.doc"]
    assert doc in {"errors", page}
    assert {**REQUEST, **said, "resilience.doc": doc, STATUS: 503, "error.type": "503"} == dict(first.attributes or {})
    assert {**REQUEST, "resilience.category": "success", STATUS: 200, RESENT: 1} == dict(second.attributes or {})
    call = tracing.call
    waited = (call.attributes or {})["resilience.waited"]
    assert ("local thing", StatusCode.UNSET, None) == (call.name, call.status.status_code, call.status.description)
    assert {
        "resilience.provider": "local",
        "resilience.operation": "thing",
        "resilience.plan": "gold",
        "resilience.category": "success",
        "resilience.attempts": 2,
        "resilience.waited": waited,
        "resilience.waits": ("retry 0.001s: back-off",),
        "resilience.stopped": "success",
        "resilience.outcome": "success",
    } == dict(call.attributes or {})
    assert pytest.approx(0.001) == waited
    assert int(1_767_225_600.0 * 1e9) == call.start_time


def test_a_call_that_fails_in_the_end_is_an_error_of_its_category(tracing: Tracing) -> None:
    """And each attempt one of its status."""
    with client_of([503]) as client:
        client.get(URL)

    assert [StatusCode.ERROR] * 3 == [span.status.status_code for span in tracing.attempts]
    assert [None, 1, 2] == [(span.attributes or {}).get(RESENT) for span in tracing.attempts]
    call = tracing.call.attributes or {}
    assert StatusCode.ERROR is tracing.call.status.status_code
    wanted = ("upstream_unavailable", "failure", 3)
    assert wanted == (call["error.type"], call["resilience.outcome"], call["resilience.attempts"])


@pytest.mark.parametrize(
    ("status", "category", "expected", "error"),
    [
        (200, None, StatusCode.UNSET, None),
        (302, None, StatusCode.UNSET, None),
        (404, None, StatusCode.ERROR, "404"),
        (404, "success", StatusCode.UNSET, None),
        (200, "invalid_request", StatusCode.ERROR, "invalid_request"),
        (302, "auth", StatusCode.ERROR, "auth"),
    ],
)
def test_what_an_answer_means_is_what_the_policy_says(
    status: int, category: str | None, expected: StatusCode, error: str | None, tracing: Tracing
) -> None:
    """A 404 may be good, and a 200 may not: then the category is the type of the error."""
    rules = [] if category is None else [{"rule": "so", "when": {"status": status}, "category": category}]

    with client_of([status], answers=rules) as client:
        client.get(URL)

    (span,) = tracing.spans
    assert (expected, error) == (span.status.status_code, (span.attributes or {}).get("error.type"))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ["ReadTimeout", "ConnectError", "own"])
def test_a_transport_error_is_named_by_its_class(library: str, name: str, tracing: Tracing) -> None:
    """With its module, unless it is Python's own."""
    module = LIBRARIES[library][0]

    def fail(_: Any) -> Any:
        raise ValueError("ü") if name == "own" else getattr(module, name)("no")

    with client_of(fail, library=library, retry={"max_attempts": 1}) as client, pytest.raises(Exception, match="no|ü"):
        client.get(URL)

    (span,) = tracing.spans
    attributes = span.attributes or {}
    assert StatusCode.ERROR is span.status.status_code
    wanted = "ValueError" if name == "own" else f"{getattr(module, name).__module__}.{name}"
    assert (wanted, False) == (attributes["error.type"], STATUS in attributes)
    assert "resilience.category" in attributes
    assert () == tuple(span.events)


class Slow:
    """A provider that answers once, and then never."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.is_waiting = anyio.Event()
        self.requests = 0

    async def __call__(self, _request: Any) -> Any:
        self.requests += 1
        if self.requests == 1:
            return self.module.Response(503)
        self.is_waiting.set()
        return await anyio.sleep_forever()


def run(mode: str, work: Callable[[], Any]) -> Any:
    return asyncio.run(work()) if mode == "asyncio" else trio.run(work)


def async_client(library: str, handler: Any, clock: Any = None, **parts: Any) -> Any:
    module, adapter, _, _ = LIBRARIES[library]
    transport = adapter.Transport(module.MockTransport(handler), policies=[policy(**parts)], clock=clock)
    return module.AsyncClient(transport=transport)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("mode", ["asyncio", "trio"])
def test_what_the_caller_cancels_is_no_error(mode: str, library: str, tracing: Tracing) -> None:
    """Neither of the attempt nor of the call; both end, and the context is the application's again."""
    inside: list[Any] = []

    async def go() -> None:
        slow = Slow(LIBRARIES[library][0])
        async with async_client(library, slow) as client, anyio.create_task_group() as group:

            async def call() -> None:
                try:
                    await client.get(URL)
                finally:
                    inside.append(trace.get_current_span().get_span_context().is_valid)

            group.start_soon(call)
            await slow.is_waiting.wait()
            group.cancel_scope.cancel()

    run(mode, go)

    assert [False] == inside
    (_, cancelled), call = tracing.attempts, tracing.call
    for span in (cancelled, call):
        assert (StatusCode.UNSET, False) == (span.status.status_code, "error.type" in (span.attributes or {}))
    assert id_of(call) == parent_of(cancelled)


@pytest.mark.parametrize("mode", ["asyncio", "trio"])
def test_a_wait_that_the_caller_cancels_is_no_error(mode: str, tracing: Tracing) -> None:
    """The call's span ends with it."""

    async def go() -> None:
        with anyio.CancelScope() as scope:

            def answer(_: httpx.Request) -> httpx.Response:
                scope.cancel()
                return httpx.Response(503)

            async with async_client("httpx", answer, retry={"backoff": {"initial": "60s", "max": "60s"}}) as client:
                await client.get(URL)

    run(mode, go)

    assert StatusCode.UNSET is tracing.call.status.status_code
    assert "error.type" not in (tracing.call.attributes or {})


@pytest.mark.parametrize("mode", ["asyncio", "trio"])
@pytest.mark.parametrize(("option", "kind"), [("attempt_timeout", "AttemptTimeout"), ("deadline", "DeadlineExceeded")])
def test_a_timeout_of_ours_is_an_error(mode: str, option: str, kind: str, tracing: Tracing) -> None:
    """Of the attempt, by its class, and of the call, by its category."""

    async def go() -> None:
        slow = Slow(httpx)
        extensions = {"resilience": {option: 0.05, "max_attempts": 2}}
        async with async_client("httpx", slow) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(URL, extensions=extensions)

    run(mode, go)

    attempt, call = tracing.attempts[1], tracing.call
    assert [StatusCode.ERROR] * 2 == [span.status.status_code for span in (attempt, call)]
    assert f"resilience.httpx.{kind}" == (attempt.attributes or {})["error.type"]
    assert "timeout" == (call.attributes or {})["error.type"]


@pytest.mark.parametrize(
    ("layer", "error"),
    [
        ("breaker", "circuit_open"),
        ("limiter", "rate_limited"),
        ("concurrency", "concurrency_limited"),
        ("credits", "credits_exhausted"),
    ],
)
@pytest.mark.parametrize("spans", ["always", "touched", "never", "off"])
def test_a_refused_call_has_no_attempt(
    layer: Any, error: str, spans: str, tracing: Tracing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own span says that it was rejected, and by what."""

    def refusing(_runtime: Any) -> Any:
        async def refuse(exchange: Exchange) -> Outcome:
            return refused(exchange, layer=layer, why="max_wait", reason="not now", retry_after=2.5, key="k")

        return refuse

    monkeypatch.setattr(_chain, "attempt_layer", refusing)

    with client_of([200], spans=spans) as client:
        client.get(URL)

    assert [] == tracing.attempts
    if spans in {"never", "off"}:
        assert [] == tracing.spans
        return
    found = tracing.call.attributes or {}
    assert (StatusCode.ERROR, error) == (tracing.call.status.status_code, found["error.type"])
    assert ("rejected", 0) == (found["resilience.outcome"], found["resilience.attempts"])
    assert f"refused by the {layer}: not now" == found["resilience.stopped"]


@pytest.mark.parametrize(
    ("spans", "statuses", "expected"),
    [
        ("always", [200], ["INTERNAL UNSET", ". CLIENT 200 UNSET"]),
        ("always", [503, 200], ["INTERNAL UNSET", ". CLIENT 503 ERROR", ". CLIENT 200 1 UNSET"]),
        ("touched", [200], ["CLIENT 200 UNSET"]),
        ("never", [503, 200], ["CLIENT 503 ERROR", "CLIENT 200 1 UNSET"]),
        ("off", [503, 200], []),
    ],
)
def test_which_calls_have_a_span_is_the_users_word(
    spans: str, statuses: list[int], expected: list[str], tracing: Tracing
) -> None:
    """`always`, `touched`, `never`, or no span at all."""
    with client_of(statuses, spans=spans) as client:
        client.get(URL)

    # The clock of the call is virtual, so the order of its span is not.
    order = {SpanKind.INTERNAL: 0, SpanKind.CLIENT: 1}
    assert expected == drawn(sorted(tracing.spans, key=lambda span: order[span.kind]))


def test_the_word_stands_in_the_configuration(tracing: Tracing) -> None:
    """As `spans`."""
    transport = resilience.httpx.Transport(
        httpx.MockTransport(lambda _: httpx.Response(200)),
        policies=[policy()],
        config={"version": 1, "spans": "always"},
    )
    with httpx.Client(transport=transport) as client:
        client.get(URL)

    assert "local thing" == tracing.call.name


@pytest.mark.parametrize("what", [Wait(1.0, "limiter", "limit", "x"), Refused("breaker", "open", "down", 1.0)])
@pytest.mark.parametrize("observed", [False, True])
def test_what_is_only_observed_touches_nothing(
    what: Any, observed: bool, tracing: Tracing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waited, and nothing was refused."""

    def recording(runtime: Any) -> Any:
        inner = attempt_layer(runtime)

        async def record(exchange: Exchange) -> Outcome:
            exchange.record(what._replace(observed=observed))
            return await inner(exchange)

        return record

    monkeypatch.setattr(_chain, "attempt_layer", recording)

    with client_of([200]) as client:
        client.get(URL)

    assert (0 if observed else 1) == len(tracing.named(SpanKind.INTERNAL))
    (attempt,) = tracing.attempts
    assert observed == (attempt.parent is None)


@pytest.mark.parametrize(
    ("method", "path", "name", "method_name"),
    [
        ("GET", "/things/7", "GET /things/{id}", "GET"),
        ("POST", "/other/7", "POST", "POST"),
        ("BREW", "/things/7", "HTTP /things/{id}", "_OTHER"),
        ("BREW", "/other", "HTTP", "_OTHER"),
    ],
)
def test_a_span_is_named_after_its_method_and_template(
    method: str, path: str, name: str, method_name: str, tracing: Tracing
) -> None:
    """Never after the path; a method that the conventions do not know is another one."""
    with client_of([200]) as client:
        client.request(method, f"http://{HOST}{path}")

    (span,) = tracing.spans
    found = span.attributes or {}
    assert (name, method_name) == (span.name, found["http.request.method"])
    original = {"http.request.method_original": "BREW"} if method == "BREW" else {}
    assert original == {key: value for key, value in found.items() if key.endswith("_original")}


def test_methods_and_urls_without_end_leave_nothing_behind(tracing: Tracing) -> None:
    """What is kept of URLs is bounded, and is of those alone that hold no secret."""
    made = policy()
    transport = resilience.httpx.Transport(httpx.MockTransport(lambda _: httpx.Response(200)), policies=[made])
    with httpx.Client(transport=transport) as client:
        for number in range(350):
            client.get(f"http://{HOST}/things/{number}")
        kept = len(made.span_parts)
        made.span_parts.clear()
        for url in (f"{URL}?q=1", f"{URL};s=1", f"{URL}%20", f"http://u:p@{HOST}/", f"http://{HOST}/{'a' * 3000}"):
            client.get(url)
        client.request("BREW", URL)
        client.get(URL)

    assert 0 < kept <= 200
    assert [("thing", "GET", URL)] == list(made.span_parts)


def test_an_operation_of_several_paths_has_no_template(tracing: Tracing) -> None:
    """Which of them it was, nobody has asked."""
    with client_of([200], operations={"thing": {"path": ["/things/{id}", "/thing/{id}"]}}) as client:
        client.get(URL)

    (span,) = tracing.spans
    assert ("GET", False) == (span.name, "url.template" in (span.attributes or {}))


@pytest.mark.parametrize(
    ("url", "expected", "port"),
    [
        ("http://provider.test/things/7", "http://provider.test/things/7", 80),
        ("https://provider.test:8443/", "https://provider.test:8443/", 8443),
        ("https://provider.test/a", "https://provider.test/a", 443),
        ("http://provider.test/x?q=1&api_key=SECRET", "http://provider.test/x?q=1&api_key=REDACTED", 80),
        ("http://u:SECRET@provider.test/x", "http://REDACTED:REDACTED@provider.test/x", 80),
        ("http://provider.test/x;jsessionid=SECRET", "http://provider.test/x;jsessionid=REDACTED", 80),
        ("http://provider.test/x#token=SECRET", "http://provider.test/x", 80),
        ("http://provider.test/x%20y", "http://provider.test/x%20y", 80),
    ],
)
def test_the_url_has_no_secret(url: str, expected: str, port: int, tracing: Tracing) -> None:
    """Whatever has room for one is looked at."""
    with client_of([200]) as client:
        client.get(url)

    (span,) = tracing.spans
    found = span.attributes or {}
    assert (expected, port, HOST) == (found["url.full"], found["server.port"], found["server.address"])
    assert "SECRET" not in span.to_json()


def test_hosts_without_a_policy_have_no_span(tracing: Tracing) -> None:
    """Nor calls that say `off`, nor those that are refused for what their own options say."""
    with client_of([503]) as client:
        client.get("http://other.test/")
        client.get(URL, extensions={"resilience": {"off": True}})
        with pytest.raises(ConfigurationError):
            client.get(URL, extensions={"resilience": {"operation": "nothing"}})

    assert [] == tracing.spans


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("way", ["read", "streamed", "closed", "broken"])
def test_the_attempts_span_ends_with_its_body(library: str, way: str, tracing: Tracing) -> None:
    """Read to its end, closed early, or broken off."""
    module, adapter, _, _ = LIBRARIES[library]
    body = chunked(200, [b"a" * 10, b"b" * 10], content_type="text/plain")
    reply = body[: body.index(b"bbb")] if way == "broken" else body
    open_spans: list[int] = []

    with raw_server(lambda client: client.sendall(reply)) as server:
        made = policy(server.url.removeprefix("http://"))
        with module.Client(transport=adapter.Transport(policies=[made])) as client:
            if way == "read":
                client.get(server.url)
            else:
                with client.stream("GET", server.url) as response:
                    open_spans.append(len(tracing.spans))
                    chunks = response.iter_bytes()
                    next(chunks)
                    open_spans.append(len(tracing.spans))
                    if way == "streamed":
                        list(chunks)
                    elif way == "broken":
                        with pytest.raises(module.RemoteProtocolError):
                            list(chunks)
                    else:
                        response.close()
                    open_spans.append(len(tracing.spans))

    assert ([] if way == "read" else [0, 0, 1]) == open_spans
    (span,) = tracing.spans
    assert "1.1" == (span.attributes or {})["network.protocol.version"]


class Stream(httpx.SyncByteStream):
    """A body that comes from somewhere."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"{}"


@pytest.mark.parametrize("is_sampled", [True, False])
def test_nothing_is_put_around_a_body_whose_span_nobody_records(
    is_sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is handed on as it came."""
    use(monkeypatch, Tracing(sampler=None if is_sampled else ParentBased(ALWAYS_OFF)))
    given: list[Any] = []

    def handle(_request: httpx.Request) -> httpx.Response:
        given.append(Stream())
        return httpx.Response(200, stream=given[-1])

    transport = client_of(handle)._transport
    response = transport.handle_request(httpx.Request("GET", URL))
    is_the_same = response.stream is given[0]
    response.close()

    assert is_sampled is not is_the_same


def test_an_answer_keeps_nothing_of_a_span_that_is_over(tracing: Tracing) -> None:
    """An application may keep answers for long, and httpx keeps them until the collector comes."""
    with client_of(lambda _: httpx.Response(200, stream=Stream())) as client:
        kept = client.get(URL)

    (span,) = tracing.spans
    gc.collect()
    # By their types: another package's proxies raise where they are asked for the class of what they stand for.
    spans = [each for each in gc.get_objects() if issubclass(type(each), SdkSpan) and each.context == span.context]
    assert (200, []) == (kept.status_code, spans)


class Ended(SpanProcessor):
    """Says when a span has ended, in which thread."""

    def __init__(self) -> None:
        self.happened = threading.Event()
        self.thread = 0

    def on_end(self, span: ReadableSpan) -> None:
        self.thread = threading.get_ident()
        self.happened.set()


def test_the_span_of_an_answer_that_nobody_closes_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread of its own: the collector may come while this one holds a lock of the span processors."""
    ended = Ended()
    tracing = use(monkeypatch, Tracing(ended))
    module = httpx

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"never read"

    with client_of(lambda _: module.Response(200, stream=Body())) as client:
        response = client.send(client.build_request("GET", URL), stream=True)
        before = ended.happened.is_set()
        del response
        gc.collect()
        after = ended.happened.wait(10)

    assert (False, True, False) == (before, after, ended.thread == threading.get_ident())
    assert tracing.provider


def test_a_copy_in_a_forked_process_ends_no_span(tracing: Tracing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The span is the parent's."""
    started: list[Any] = []
    monkeypatch.setattr(_attempt_span, "start_new_thread", lambda *work: started.append(work))
    with client_of([200]) as client:
        client.get(URL)
    (span,) = tracing.attempts
    copy = object.__new__(_attempt_span.AttemptSpan)
    copy.span, copy._is_over, copy._forks = span, False, _attempt_span._Forks.count - 1

    copy.abandon()

    assert [] == started
    # In the parent.
    copy._forks += 1
    copy.abandon()
    assert 1 == len(started)


def test_a_fork_is_noticed() -> None:
    """By the child alone."""
    program = """
        import os
        from resilience import _attempt_span

        child = os.fork() if hasattr(os, "fork") else 0
        os.write(1, b"%d\\n" % _attempt_span._Forks.count)
        child and os.waitpid(child, 0)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )

    assert (["0", "1"] if hasattr(os, "fork") else ["0"]) == sorted(run.stdout.split())


def test_headers_that_cannot_be_put_back_harm_nothing(tracing: Tracing, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a transport has made of them."""

    def handle(request: httpx.Request) -> httpx.Response:
        request.headers._list[-1:] = []
        request.headers["x-last"] = "1"
        return httpx.Response(200)

    with client_of(handle) as client:
        response = client.get(URL)

    assert ("1", 200) == (response.request.headers["x-last"], response.status_code)
    assert "traceparent" not in response.request.headers
    assert [] == [record for record in caplog.records if record.name == "resilience.telemetry"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_headers_that_are_kept_otherwise_are_copied(library: str, tracing: Tracing) -> None:
    """Should a later version of a library keep them in something else."""
    module = LIBRARIES[library][0]

    class Headers(module.Headers):  # type: ignore[misc, name-defined]
        @property
        def _list(self) -> Any:
            return tuple(self.kept)

        @_list.setter
        def _list(self, items: Any) -> None:
            self.kept = list(items)

        def __setitem__(self, key: str, value: str) -> None:
            self.kept = [*self.kept, (key.encode(), key.encode(), value.encode())]

    seen: list[str] = []
    with client_of(
        lambda request: seen.append(request.headers["traceparent"]) or module.Response(200), library=library
    ) as client:
        request = client.build_request("GET", URL)
        request.headers = headers = Headers(request.headers)
        client.send(request)

    assert 1 == len(seen)
    assert headers is request.headers
    assert "traceparent" not in headers


def test_an_error_while_the_body_is_looked_at_is_an_error_of_the_attempt(tracing: Tracing) -> None:
    """By the kind of error: the status says that all is well."""
    whole = answer(200, b'{"data": {"status_code": 200}}')
    cut = whole[: whole.index(b"200}}")]
    with raw_server(lambda client: client.sendall(cut)) as server:
        made = policy(
            server.url.removeprefix("http://"),
            retry={"max_attempts": 1},
            answers=[
                {"rule": "target", "when": {"body": {"data.status_code": {"gte": 400}}}, "category": "target_error"}
            ],
        )
        with httpx.Client(transport=resilience.httpx.Transport(policies=[made])) as client:
            with pytest.raises(httpx.TransportError):
                client.send(client.build_request("GET", server.url))

    (span,) = tracing.attempts
    assert StatusCode.ERROR is span.status.status_code
    assert "network_error" == (span.attributes or {})["resilience.category"]


class Hostile(SpanProcessor):
    """Raises when it is told of a span."""

    def __init__(self, where: str) -> None:
        self.where = where

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self.where == "on_start":
            raise RuntimeError("hostile")

    def on_end(self, span: Any) -> None:
        if self.where == "on_end":
            raise RuntimeError("hostile")


class HostileTracer:
    """Raises, or makes spans that do."""

    def __init__(self, where: str) -> None:
        self.where = where

    def start_span(self, *_: Any, **__: Any) -> Any:
        if self.where == "start_span":
            raise RuntimeError("hostile")
        return HostileSpan()


class HostileSpan(NonRecordingSpan):
    def __init__(self) -> None:
        super().__init__(LONG_AGO)

    def is_recording(self) -> bool:
        raise RuntimeError("hostile")


class HostileProvider(trace.TracerProvider):
    def __init__(self, where: str) -> None:
        self.where = where

    def get_tracer(self, *_: Any, **__: Any) -> Any:
        if self.where == "get_tracer":
            raise RuntimeError("hostile")
        return HostileTracer(self.where)


class HostilePropagator(TraceContextTextMapPropagator):
    def inject(self, carrier: Any, *_: Any, **__: Any) -> None:
        raise RuntimeError("hostile")


@pytest.mark.parametrize("where", ["on_start", "on_end", "get_tracer", "start_span", "span", "propagator", "current"])
@pytest.mark.parametrize("spans", ["always", "touched"])
def test_nothing_that_tracing_raises_reaches_the_application(
    where: str, spans: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The call goes on without it, and the log says so once."""
    use(monkeypatch, Tracing(Hostile(where)))
    if where in {"get_tracer", "start_span", "span"}:
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", HostileProvider(where))
    if where == "propagator":
        monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", CompositePropagator([HostilePropagator()]))
    if where == "current":
        monkeypatch.setattr(trace, "get_tracer_provider", None)
    before = otel_context.get_current()

    with client_of([503, 200, 200], spans=spans) as client, caplog.at_level(logging.WARNING):
        statuses = [client.get(URL).status_code, client.get(URL).status_code]

    assert [200, 200] == statuses
    assert before == otel_context.get_current()
    ours = [record for record in caplog.records if record.name == "resilience.telemetry"]
    assert ["the application's OpenTelemetry failed; the call goes on without it"] == [each.message for each in ours]


def test_an_error_of_the_transport_passes_hostile_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the transport's, as without tracing."""
    use(monkeypatch, Tracing())
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", HostileProvider("span"))

    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    with client_of(fail) as client, pytest.raises(httpx.ConnectError, match="no"):
        client.get(URL)


def test_propagators_may_be_none(tracing: Tracing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is put into headers."""
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", CompositePropagator([]))
    seen: list[Any] = []

    with client_of(lambda request: seen.append(request.headers.raw) or httpx.Response(200)) as client:
        request = client.build_request("GET", URL)
        client.send(request)

    assert [list(request.headers.raw)] == [list(each) for each in seen]
    assert 1 == len(tracing.attempts)


def test_baggage_goes_along(tracing: Tracing) -> None:
    """Whatever the application's propagators write."""
    from opentelemetry import baggage

    seen: list[Any] = []
    token = otel_context.attach(baggage.set_baggage("tenant", "acme"))
    with client_of(lambda request: seen.append(dict(request.headers)) or httpx.Response(200)) as client:
        response = client.get(URL)
    otel_context.detach(token)

    assert ("tenant=acme", False) == (seen[0]["baggage"], "baggage" in response.request.headers)


def published() -> set[str]:
    """The names of attributes and metrics in opentelemetry-semantic-conventions, those in development too."""
    found: set[str] = set()
    for folder in opentelemetry.semconv.__path__:
        for path in Path(folder).rglob("*.py"):
            inside = path.relative_to(folder).with_suffix("").parts
            module = importlib.import_module(".".join(("opentelemetry.semconv", *inside)).removesuffix(".__init__"))
            found |= {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}
    return found


def test_names_of_the_conventions_are_those_that_are_published() -> None:
    """Every attribute and metric without our prefix that a module names."""
    known = published()
    pattern = re.compile(r"error\.type|(http\.(request|response|client)|url|server|network|exception|otel)\.[a-z_.]+")
    named = {
        node.value
        for path in PACKAGE.glob("_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern.fullmatch(node.value)
    }
    # Messages of ASGI.
    named -= {"http.response.start", "http.response.body"}
    ours = {name for each in INSTRUMENTS.values() for name in (each.name, *each.attributes)}

    assert {"url.full", "url.template", "error.type", STATUS, RESENT, "network.protocol.version"} <= named
    assert set() == named - known
    assert set() == {name for name in ours if not name.startswith("resilience.")} - known
    assert not any(name.startswith("resilience") for name in known)


def test_methods_are_those_of_the_conventions() -> None:
    """All others are `_OTHER`."""
    published_methods = {each.value for each in HttpRequestMethodValues}

    assert published_methods == _attempt_span._METHODS | {"_OTHER"}


def test_whatever_spans_say_is_named_by_us_or_by_the_conventions(tracing: Tracing) -> None:
    """Of calls that succeed, fail and are refused."""
    known = published()

    with client_of([503, 200], spans="always") as client:
        client.get(URL)
    with client_of([503]) as client:
        client.request("BREW", URL)

    named = {name for span in tracing.spans for name in span.attributes or {}}
    assert set() == {name for name in named if not name.startswith("resilience.")} - known


def test_a_header_is_named_as_the_propagator_names_it() -> None:
    """Found in whatever case, sent as it is written, and taken out again."""
    request = httpx.Request("GET", "https://h.example/")
    before = list(request.headers.raw)

    carried = Carried(request, {"X-Trace": "1"})

    assert [*before, (b"X-Trace", b"1")] == request.headers.raw
    assert "1" == request.headers["x-trace"]
    carried.take_out()
    assert before == request.headers.raw
