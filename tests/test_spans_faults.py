"""What tracing must not change or lose: answers, other requests, attempts that nobody waited for, bodies that break off."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import trio
from opentelemetry import propagate
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

import resilience
import resilience.httpx
from resilience.testing import VirtualClock
from tests.rawserver import answer, raw_server
from tests.test_spans import HTTPXClientInstrumentor, Tracing, client_of, policy, traced, use
from tests.until import wait_until

URL = "http://provider.test/things/7"
_tracing = pytest.fixture(name="tracing")(traced)


def wrapped(url: str, **parts: Any) -> httpx.Client:
    """A client of a real server."""
    made = policy(url.removeprefix("http://"), **parts)
    return httpx.Client(transport=resilience.httpx.Transport(httpx.HTTPTransport(), policies=[made]))


@pytest.mark.usefixtures("tracing")
def test_an_answer_that_was_seen_whole_gives_its_place_back_at_once() -> None:
    """As without tracing: what has come whole waits for nobody."""
    one = {"limits": [{"name": "one", "concurrency": 1, "max_wait": "0s"}], "retry": {"max_attempts": 1}}

    with raw_server(answer(404, b'{"error":{"code":"NOT_FOUND"}}')) as server, wrapped(server.url, **one) as client:
        with client.stream("GET", f"{server.url}/a") as first:
            second = client.get(f"{server.url}/b")

    assert (404, 404) == (first.status_code, second.status_code)


def test_a_call_that_waits_for_a_limit_has_a_span_of_its_own(tracing: Tracing) -> None:
    """It says for what, and the attempt is within it."""
    limits = [{"name": "slow", "rate": "1/minute", "burst": 1, "max_wait": "5m"}]

    with client_of([200], limits=limits) as client:
        client.get(URL)
        client.get(URL)

    call, attempts = tracing.call, tracing.attempts
    assert ("limiter 60s: limit slow (1/minute)",) == (call.attributes or {})["resilience.waits"]
    assert [None, call.context.span_id] == [each.parent and each.parent.span_id for each in attempts]


def test_a_refused_call_can_be_found_by_what_refused_it(tracing: Tracing) -> None:
    """Layer and reason are words of a closed set; the sentence is for people."""
    limits = [{"name": "slow", "rate": "1/minute", "burst": 1, "max_wait": "1s"}]

    with client_of([200], limits=limits) as client:
        client.get(URL)
        client.get(URL)

    found = tracing.call.attributes or {}
    assert ("limiter", "max_wait", 60.0) == tuple(
        found[f"resilience.{name}"] for name in ("layer", "reason", "retry_after")
    )
    assert "refused" == found["resilience.retry.decision"]


@pytest.mark.parametrize("run", [asyncio.run, trio.run])
def test_a_call_that_was_cancelled_in_a_wait_says_how_long_it_waited(
    run: Callable[[Any], Any],
    tracing: Tracing,
) -> None:
    """Not how long it would have; it is no error, and its attempt is there."""
    waiting = threading.Event()

    class Mine(resilience.events.Listener):
        def on_retry(self, _event: object, /) -> None:
            waiting.set()

    async def go() -> None:
        import anyio

        transport = httpx.MockTransport(lambda _: httpx.Response(503, headers={"Retry-After": "50"}))
        made = resilience.httpx.Transport(transport, policies=[policy()], listeners=[Mine()])
        async with httpx.AsyncClient(transport=made) as client, anyio.create_task_group() as group:
            group.start_soon(client.get, URL)
            while not waiting.is_set():
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

    run(go) if run is trio.run else run(go())

    call = tracing.call
    found: Any = call.attributes
    assert (StatusCode.UNSET, "interrupted", 1) == (
        call.status.status_code,
        found["resilience.outcome"],
        found["resilience.attempts"],
    )
    assert found["resilience.waited"] < 40
    trail = resilience.last_trail()
    assert trail is not None
    assert (("interrupted", 1), True) == ((trail.why, len(trail.attempts)), trail.waits[0].seconds < 40)


def test_an_attempt_that_nobody_waited_for_was_made() -> None:
    """The provider has it, and may charge for it."""

    def handler(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    with client_of(handler) as client, pytest.raises(KeyboardInterrupt):
        client.get(URL)

    trail = resilience.last_trail()
    assert trail is not None
    (attempt,) = trail.attempts
    assert ("KeyboardInterrupt", None, "interrupted") == (attempt.error, attempt.status, trail.why)


@pytest.mark.parametrize("parts", [{}, {"deadline": "100s"}], ids=["short cut", "layers"])
def test_what_the_collector_ends_has_its_spans_ended_by_another_thread(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have come while this very thread held the lock of a span processor; its context is not that of the call."""
    ended_by: list[int] = []

    class Ending(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            ended_by.append(threading.get_ident())

    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    tracing = use(monkeypatch, Tracing(Ending()))
    # Who measures hears of calls, which then take no short cut.
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", None)
    transport = resilience.httpx.Transport(httpx.MockTransport(never), policies=[policy(**parts)])
    client, loop = httpx.AsyncClient(transport=transport), asyncio.new_event_loop()

    async def begin() -> asyncio.Task[httpx.Response]:
        task = asyncio.ensure_future(client.get(URL))
        for _ in range(5):
            await asyncio.sleep(0)
        return task

    task: Any = loop.run_until_complete(begin())
    task.get_coro().close()
    task._log_destroy_pending = False
    loop.close()
    wait_until(lambda: tracing.attempts)

    trail = resilience.last_trail()
    assert trail is not None
    assert "interrupted" == trail.why
    assert threading.get_ident() not in ended_by
    assert [] == [record.getMessage() for record in caplog.records]


def test_a_body_that_breaks_off_is_an_error_of_its_attempt(tracing: Tracing) -> None:
    """And whoever catches the error finds the trail."""
    short = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nabc"

    def send(client: socket.socket) -> bool:
        client.sendall(short)
        return False

    with raw_server(send) as server, wrapped(server.url) as client:
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            client.get(server.url)

    (attempt,) = tracing.attempts
    assert StatusCode.ERROR == attempt.status.status_code
    assert "httpx.RemoteProtocolError" == (attempt.attributes or {})["error.type"]
    trail = resilience.trail_of(caught.value)
    assert trail is not None
    assert [200] == [each.status for each in trail.attempts]


class Fetching(httpx.BaseTransport):
    """An application's transport that asks for a token before it sends, by a client of its own."""

    def __init__(self, tokens: str) -> None:
        self._tokens, self._inner, self._own = tokens, httpx.HTTPTransport(), httpx.Client()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._own.get(f"{self._tokens}/oauth/token").raise_for_status()
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()
        self._own.close()


@pytest.fixture
def _instrumented(tracing: Tracing, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=tracing.provider)
    yield
    instrumentor.uninstrument()


@pytest.mark.usefixtures("_instrumented")
def test_requests_that_a_transport_makes_beside_the_call_are_traced_as_ever(tracing: Tracing) -> None:
    """They carry their context, and the call's own request has one span, which is enriched."""
    with raw_server(answer(200, b"{}")) as server, raw_server(answer(200, b"{}")) as tokens:
        made = policy(server.url.removeprefix("http://"))
        with httpx.Client(transport=resilience.httpx.Transport(Fetching(tokens.url), policies=[made])) as client:
            client.get(f"{server.url}/things/7")

    urls = [
        str((each.attributes or {}).get("url.full") or (each.attributes or {}).get("http.url"))
        for each in tracing.attempts
    ]
    assert [f"{tokens.url}/oauth/token", f"{server.url}/things/7"] == urls
    assert [None, "local"] == [(each.attributes or {}).get("resilience.provider") for each in tracing.attempts]
    assert b"traceparent" in tokens.requests[0].head
    assert 1 == server.requests[0].head.lower().count(b"traceparent")


class Silent(httpx.BaseTransport):
    """One of the application's own that hands on to nobody that is traced."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"sent": dict(request.headers)})


@pytest.mark.usefixtures("_instrumented")
def test_what_nobody_else_has_traced_has_a_span_all_the_same(tracing: Tracing) -> None:
    """Made afterwards; the request carries the context that it was made in."""
    transport = resilience.httpx.Transport(Silent(), policies=[policy()], clock=VirtualClock())

    with tracing.tracer.start_as_current_span("app") as page, httpx.Client(transport=transport) as client:
        sent = client.get(URL).json()["sent"]

    (attempt,) = tracing.attempts
    assert SpanKind.CLIENT is attempt.kind
    assert page.get_span_context().span_id == (attempt.parent and attempt.parent.span_id)
    assert format(page.get_span_context().span_id, "016x") == sent["traceparent"].split("-")[2]


class Propagator:
    """Writes what it is told to, as AWS X-Ray's does in capital letters."""

    fields = frozenset({"X-Amzn-Trace-Id"})

    def __init__(self, value: Any) -> None:
        self._value = value

    def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
        carrier["X-Amzn-Trace-Id"] = self._value

    def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Any:
        return context


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("own", [{}, {"x-amzn-trace-id": "Root=own"}])
def test_a_header_in_capital_letters_is_one_header(own: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport finds it by its name, and it goes out once."""
    monkeypatch.setattr(propagate, "get_global_textmap", lambda: Propagator("Root=new"))
    seen: list[list[str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get_list("X-Amzn-Trace-Id"))
        return httpx.Response(200, json={})

    with client_of(handler) as client:
        answered = client.get(URL, headers=own)

    assert [["Root=new"]] == seen
    assert list(own.values()) == answered.request.headers.get_list("x-amzn-trace-id")


def test_a_propagator_that_writes_no_text_ends_no_span_too_late(
    tracing: Tracing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The attempt goes without its context, and its span is there."""
    monkeypatch.setattr(propagate, "get_global_textmap", lambda: Propagator(7))

    with client_of([200]) as client:
        assert 200 == client.get(URL, headers={"x-amzn-trace-id": "Root=own"}).status_code

    assert 1 == len(tracing.attempts)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_does_not_end_its_parents_span(tracing: Tracing) -> None:
    """It has a copy of what it did not begin."""
    with raw_server(answer(200, b"{}")) as server, wrapped(server.url) as client:
        with client.stream("GET", server.url) as response:
            child = os.fork()
            if child == 0:
                response.close()
                os._exit(len(tracing.attempts))
            _, status = os.waitpid(child, 0)

    assert 0 == os.waitstatus_to_exitcode(status)
    assert 1 == len(tracing.attempts)


def test_notes_of_an_error_that_is_raised_again_tell_of_its_last_call() -> None:
    """What others have noted on it stays, whatever they have in the place of notes."""
    again = httpx.ConnectError("no route")
    again.add_note("resilience: a note of somebody else's")

    class Strange(httpx.ConnectError):
        __notes__ = ()

    def handler(request: httpx.Request) -> httpx.Response:
        raise again if request.url.path == "/again" else Strange("no route")

    with client_of(handler, retry={"max_attempts": 1}) as client:
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                client.get("http://provider.test/again")
        with pytest.raises(Strange) as caught:
            client.get(URL)

    assert ["resilience: a note of", "resilience: local: 1 "] == [note[:21] for note in again.__notes__]
    assert resilience.trail_of(caught.value) is not None
