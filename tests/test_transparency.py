"""What the application sees of an answer is what the server sent, whatever was looked at on the way."""

from __future__ import annotations

import asyncio
import copy
import gc
import gzip
import importlib
import inspect
import json
import pickle
import pickletools
import sys
import time
import weakref
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock
from unittest.mock import AsyncMock, create_autospec

import brotli
import httpx
import httpx2
import pytest
import trio
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import resilience
from resilience import Policy, trail_of
from tests.rawserver import answer, chunked, raw_server

LIBRARIES: dict[str, Any] = {"httpx": httpx, "httpx2": httpx2}
DOCUMENT = json.dumps({"success": False, "data": {"status_code": 404, "content": "<p>ünï</p>" * 500}}).encode()
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": lambda data: data,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


def watching(host: str = "127.0.0.1", **parts: Any) -> Policy:
    """A policy that looks into every JSON answer of the host."""
    base: dict[str, Any] = {
        "version": 1,
        "provider": "watching",
        "match": {"hosts": [host]},
        "answers": [
            {
                "rule": "target",
                "when": {"body": {"data.status_code": {"gte": 400}}},
                "category": "target_error",
                "target_status": "data.status_code",
            }
        ],
        "retry": {"max_attempts": 3, "backoff": {"initial": "1ms", "max": "1ms"}},
    }
    return Policy.model_validate({**base, **parts})


def look(response: Any) -> dict[str, Any]:
    """Everything about a read response that an application could look at."""
    return {
        "status": response.status_code,
        "headers": [(name, value) for name, value in response.headers.raw if name.lower() != b"x-should-retry"],
        "content": response.content,
        "downloaded": response.num_bytes_downloaded,
        "encoding": response.encoding,
        "closed": response.is_closed,
        "consumed": response.is_stream_consumed,
        "elapsed": response.elapsed.total_seconds() > 0,
        "history": len(response.history),
        "http": response.http_version,
    }


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("sent", ["whole", "chunked"])
def test_a_read_answer_looks_as_without_us(library: str, coding: str, sent: str) -> None:
    """Content, raw headers, counts, encoding and `elapsed` are the same for every coding, whole and in chunks."""
    body = CODINGS[coding](DOCUMENT)
    pieces = [body[start : start + 700] for start in range(0, len(body), 700)]
    header = f"Content-Encoding: {coding}"
    reply = answer(200, body, header) if sent == "whole" else chunked(200, pieces, header)
    module = LIBRARIES[library]

    with raw_server(reply) as server:
        with module.Client() as client:
            bare = client.get(server.url)
        with resilience.wrap(module.Client(), policies=[watching()]) as client:
            watched = client.get(server.url)

    assert look(bare) == look(watched)
    assert 404 == watched.extensions["resilience"].verdict.target_status


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("way", ["iter_raw", "iter_bytes", "iter_text", "iter_lines"])
def test_a_streamed_answer_gives_the_same_pieces(library: str, way: str) -> None:
    """Reading ahead changes neither the pieces nor their order, also when they are asked for in odd sizes."""
    body = gzip.compress(DOCUMENT)
    reply = chunked(200, [body[start : start + 100] for start in range(0, len(body), 100)], "Content-Encoding: gzip")
    module = LIBRARIES[library]

    def pieces(client: Any) -> list[Any]:
        with client.stream("GET", server.url) as response:
            arguments = () if way == "iter_lines" else (77,)
            return [*getattr(response, way)(*arguments), response.num_bytes_downloaded, response.is_stream_consumed]

    with raw_server(reply) as server:
        with module.Client() as client:
            bare = pieces(client)
        with resilience.wrap(module.Client(), policies=[watching()]) as client:
            watched = pieces(client)

    assert bare == watched


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("run", [asyncio.run, trio.run])
def test_an_async_streamed_answer_gives_the_same_bytes(library: str, run: Any) -> None:
    """The same for an asynchronous client, on asyncio and trio."""
    module = LIBRARIES[library]
    seen: list[bytes] = []

    async def go() -> None:
        async with (
            resilience.wrap(module.AsyncClient(), policies=[watching()]) as client,
            client.stream("GET", server.url) as response,
        ):
            seen.extend([part async for part in response.aiter_raw()])

    with raw_server(chunked(200, [DOCUMENT[:1000], DOCUMENT[1000:]])) as server:
        run(go)() if run is None else run(go) if run is trio.run else run(go())

    assert DOCUMENT == b"".join(seen)


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_event_stream_is_never_held_back(library: str) -> None:
    """The first event is there while the server still waits with the second."""
    module = LIBRARIES[library]
    taken = time.monotonic()

    def stream(client: Any) -> None:
        client.sendall(chunked(200, [b"data: 1\n\n"], content_type="text/event-stream")[: -len(b"0\r\n\r\n")])
        while not done:
            time.sleep(0.01)  # this is the server's thread, and it must outwait the client

    done: list[float] = []
    with raw_server(stream) as server, resilience.wrap(module.Client(), policies=[watching()]) as client:
        with client.stream("GET", server.url) as response:
            first = next(response.iter_raw())
            done.append(time.monotonic() - taken)

    assert b"data: 1\n\n" == first


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_endless_json_body_is_read_ahead_only_to_the_bound(library: str) -> None:
    """The bound is reached, the call goes on, and the application reads the rest as it comes."""
    module = LIBRARIES[library]
    done: list[bool] = []

    def endless(client: Any) -> None:
        client.sendall(answer(200, b"", "Transfer-Encoding: chunked", length=False))
        client.sendall(b"8000\r\n" + b'{"a":"' + b"x" * (0x8000 - 6) + b"\r\n")
        while not done:
            time.sleep(0.01)  # this is the server's thread, and it must outwait the client

    bounded = watching(inspect={"max_bytes": "16KiB"})
    with raw_server(endless) as server, resilience.wrap(module.Client(), policies=[bounded]) as client:
        with client.stream("GET", server.url) as response:
            first = next(response.iter_raw())
            done.append(True)

    assert first.startswith(b'{"a":"xxx')


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "reply",
    [
        answer(200, b'{"data": {"status_code": 404'),
        answer(200, b"\xff\xfe{}", "Content-Encoding: identity"),
        answer(200, b"not json at all"),
        answer(200, b""),
        answer(204, b"", length=False),
        answer(200, b"[" * 5000),
        answer(404, b"<html>no</html>", content_type="text/html"),
        answer(500, b'"just a string"'),
        answer(503, b'{"error":' * 3000),
    ],
)
def test_a_malformed_answer_is_handed_on_as_it_is(library: str, reply: bytes) -> None:
    """Whatever the body is, there is a verdict, no exception, and the same bytes."""
    module = LIBRARIES[library]

    with raw_server(reply) as server:
        with module.Client() as client:
            bare = client.get(server.url)
        with resilience.wrap(module.Client(), policies=[watching()]) as client:
            watched = client.get(server.url)

    assert look(bare) == look(watched)


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_undecodable_answer_fails_for_the_application_as_without_us(library: str) -> None:
    """A body that is no gzip raises the library's DecodingError when it is read, not before."""
    module = LIBRARIES[library]
    reply = answer(200, b"this is no gzip", "Content-Encoding: gzip")

    with raw_server(reply) as server, resilience.wrap(module.Client(), policies=[watching()]) as client:
        with client.stream("GET", server.url) as response, pytest.raises(module.DecodingError):
            response.read()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_success_that_breaks_off_is_tried_again(library: str) -> None:
    """The application would have met the error while reading; a GET may be repeated, so it does not."""
    module = LIBRARIES[library]
    broken = answer(200, DOCUMENT)[:-50]

    def cut(client: Any) -> None:
        client.sendall(broken)

    with raw_server(cut, answer(200, b'{"ok": 1}')) as server:
        with resilience.wrap(module.Client(), policies=[watching()]) as client:
            response = client.get(server.url)

    assert {"ok": 1} == response.json()
    assert 2 == len(server.requests)
    assert "protocol_error" == response.extensions["resilience"].attempts[0].verdict.error


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_success_that_breaks_off_for_good_raises_the_librarys_error(library: str) -> None:
    """After the last attempt the application reads what came and then meets the error, as without us."""
    module = LIBRARIES[library]

    def cut(client: Any) -> None:
        client.sendall(answer(200, DOCUMENT)[:-50])

    got = b""
    with raw_server(cut) as server, resilience.wrap(module.Client(), policies=[watching()]) as client:
        with client.stream("GET", server.url) as response, pytest.raises(module.RemoteProtocolError):
            for part in response.iter_raw():
                got += part

    assert DOCUMENT[:-50] == got
    assert 3 == len(server.requests)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_head_request_waits_for_no_body(library: str) -> None:
    """An answer to HEAD has a length and no body (RFC 9110 section 9.3.2)."""
    module = LIBRARIES[library]
    reply = answer(404, b"", "Content-Length: 5000", length=False)

    with raw_server(reply) as server, resilience.wrap(module.Client(), policies=[watching()]) as client:
        response = client.head(server.url)

    assert (404, b"") == (response.status_code, response.content)


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_connection_of_a_discarded_answer_is_used_again(library: str) -> None:
    """Two throttled attempts and a good one: three requests, one connection."""
    module = LIBRARIES[library]
    throttled = answer(429, b'{"error": "slow down"}', "Retry-After: 0")

    with raw_server(throttled, throttled, answer(200)) as server:
        with resilience.wrap(module.Client(), policies=[watching()]) as client:
            response = client.post(server.url, json={"a": 1})

    assert 200 == response.status_code
    assert (3, 1) == (len(server.requests), server.connections)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("run", ["asyncio", "trio"])
def test_the_connection_of_a_discarded_answer_is_used_again_by_async_clients(library: str, run: str) -> None:
    """The same on asyncio and trio."""
    module = LIBRARIES[library]
    throttled = answer(429, b"x" * 3000, "Retry-After: 0", content_type="application/octet-stream")
    statuses: list[int] = []

    async def go() -> None:
        async with resilience.wrap(module.AsyncClient(), policies=[watching()]) as client:
            statuses.append((await client.post(server.url)).status_code)

    with raw_server(throttled, throttled, answer(200)) as server:
        asyncio.run(go()) if run == "asyncio" else trio.run(go)

    assert [200] == statuses
    assert (3, 1) == (len(server.requests), server.connections)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_large_discarded_answer_is_not_read_to_its_end(library: str) -> None:
    """Ten megabytes that nobody wants cost more than a new connection."""
    module = LIBRARIES[library]

    def large(client: Any) -> None:
        client.sendall(answer(503, b"", "Content-Length: 10000000", "Retry-After: 0", length=False))
        client.sendall(b"x" * 100_000)

    with raw_server(large, answer(200)) as server:
        with resilience.wrap(module.Client(), policies=[watching()]) as client:
            response = client.get(server.url)

    assert (200, 2) == (response.status_code, server.connections)


@given(
    chunks=st.lists(st.binary(max_size=300), max_size=12),
    limit=st.integers(1, 2000),
    status=st.sampled_from([200, 404, 500]),
    coding=st.sampled_from(["identity", "gzip", "deflate", "br", "zstd", "unknown", "gzip, br"]),
    fails=st.booleans(),
    library=st.sampled_from(sorted(LIBRARIES)),
)
def test_the_bytes_seen_are_the_bytes_sent(
    *, chunks: list[bytes], limit: int, status: int, coding: str, fails: bool, library: str
) -> None:
    """Any chunks, any bound, any coding, whole or broken off: the application gets the same chunks and the same end."""
    module = LIBRARIES[library]

    class Chunks(module.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Any:
            yield from chunks
            if fails:
                raise module.ReadError("broken off")

    class Sending(module.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            headers = {"Content-Type": "application/json", "Content-Encoding": coding}
            return module.Response(status, headers=headers, stream=Chunks())

    policy = watching(inspect={"max_bytes": f"{limit}B"}, retry={"max_attempts": 1}, breaker={"off": True})
    seen: list[bytes] = []
    failed = False

    with resilience.wrap(module.Client(transport=Sending()), policies=[policy]) as client:
        with client.stream("GET", "http://127.0.0.1/") as response:
            try:
                seen.extend(response.iter_raw())
            except module.ReadError:
                failed = True

    assert ([chunk for chunk in chunks if chunk], fails) == (seen, failed)
    assert sum(map(len, chunks)) == response.num_bytes_downloaded


def contexts(error: BaseException | None) -> list[str]:
    """What an error was raised for, and that in turn."""
    found: list[str] = []
    while error is not None:
        found.append(f"{type(error).__name__} because of {error.__cause__!r}")
        error = error.__context__
    return found


def while_handling(call: Any) -> list[str]:
    """The contexts of the error of a call that an application makes when it handles an error of its own."""
    try:
        try:
            [].pop()
        except IndexError:
            call()
    except Exception as error:
        return contexts(error)
    raise AssertionError("the call does not fail")


@pytest.mark.parametrize("parts", [{}, {"attempt_timeout": "60s"}, {"idempotency": {"header": "Idempotency-Key"}}])
@pytest.mark.parametrize("library", LIBRARIES)
def test_an_error_keeps_what_it_was_raised_for(library: str, parts: dict[str, Any]) -> None:
    """Also where the application makes the call when it handles an error: that one stands at the end, as without us."""
    module = LIBRARIES[library]

    def refuse(_request: Any) -> Any:
        try:
            int("no number")
        except ValueError:
            raise module.ConnectError("no") from None

    def get(client: Any) -> Any:
        return client.get("http://127.0.0.1/")

    with module.Client(transport=module.MockTransport(refuse)) as client:
        bare = while_handling(lambda: get(client))
        watched = while_handling(lambda: get(resilience.wrap(client, policies=[watching(**parts)])))

    assert bare == watched
    assert 3 == len(watched)


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_error_of_a_body_keeps_what_it_was_raised_for(library: str) -> None:
    """The start of the body was read before; the application meets its error when it reads, and handles another one then."""
    module = LIBRARIES[library]

    def cut(client: Any) -> None:
        client.sendall(answer(400, DOCUMENT)[:-50])

    def read(client: Any) -> list[str]:
        with client.stream("GET", server.url) as response:
            return while_handling(response.read)

    with raw_server(cut) as server, module.Client() as bare, module.Client() as client:
        met = read(bare)
        watched = read(resilience.wrap(client, policies=[watching()]))

    assert "IndexError because of None" == met.pop()
    assert met == watched


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_a_transport_makes_of_the_end_of_its_answers_is_its_own(library: str) -> None:
    """A generator's, or one of its own words."""
    module = LIBRARIES[library]

    def generated() -> Any:
        while True:
            yield next(iter(()))

    def said(_: object) -> Any:
        raise RuntimeError("no answer is left") from StopIteration()

    def asked(make: Callable[[Any], Any], handler: Any) -> str:
        with module.Client(transport=module.MockTransport(handler)) as client, pytest.raises(RuntimeError) as raised:
            make(client).get("http://127.0.0.1/")
        return str(raised.value)

    for bare, ours in ((generated(), generated()), (None, None)):
        handlers = [said if each is None else partial(_next_of, each) for each in (bare, ours)]
        first, second = asked(lambda client: client, handlers[0]), asked(watched_by, handlers[1])
        assert first == second


def _next_of(answers: Any, _request: object) -> Any:
    return next(answers)


def watched_by(client: Any) -> Any:
    return resilience.wrap(client, policies=[watching()])


@pytest.mark.parametrize("parts", [{}, {"attempt_timeout": "60s"}, {"idempotency": {"header": "Idempotency-Key"}}])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_transport_that_has_no_answer_left_says_so(library: str, parts: dict[str, Any]) -> None:
    """What a test's iterator of answers raises at its end no coroutine can hand on; the application gets it all the same."""
    module = LIBRARIES[library]
    answers: Any = iter(())

    def get(client: Any) -> Any:
        return client.get("http://127.0.0.1/")

    with module.Client(transport=module.MockTransport(lambda _: next(answers))) as client:
        bare = while_handling(lambda: get(client))
        watched = while_handling(lambda: get(resilience.wrap(client, policies=[watching(**parts)])))

    assert ["StopIteration because of None", "IndexError because of None"] == bare == watched


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_a_call_puts_on_its_request_its_transport_may_take_off(library: str) -> None:
    """As one does that sends it by another name; the answer of a call that was made is not lost for it."""
    module = LIBRARIES[library]
    keys: list[str] = []

    class Renaming(module.HTTPTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            keys.append(request.headers.pop("Idempotency-Key"))
            return module.Response(200)

    keyed = watching(idempotency={"header": "Idempotency-Key"})
    with resilience.wrap(module.Client(transport=Renaming()), policies=[keyed]) as client:
        answer = client.post("http://127.0.0.1/")

    assert (200, 1) == (answer.status_code, len(keys))
    assert "Idempotency-Key" not in answer.request.headers


COSTLY: dict[str, Any] = {"account": {"headers": ["X-Key"]}, "credits": {"unit": "credits", "costs": [{"cost": 1}]}}


@pytest.mark.parametrize("parts", [{}, {"attempt_timeout": "60s"}, COSTLY, {**COSTLY, "attempt_timeout": "60s"}])
@pytest.mark.parametrize("library", LIBRARIES)
def test_what_a_transport_writes_down_is_found(library: str, parts: dict[str, Any]) -> None:
    """In the extensions of the request, by each attempt and by hooks of the application; what it takes out is gone."""
    module = LIBRARIES[library]
    found: list[dict[str, Any]] = []

    class Writing(module.HTTPTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            sent = request.extensions["sent"] = [*request.extensions.get("sent", []), len(found)]
            request.extensions.pop("once", None)
            return module.Response(429 if "resilience" in request.extensions and len(sent) < 2 else 200)

    def note(response: Any) -> None:
        found.append(dict(response.request.extensions))

    budgets: list[dict[str, Any]] = [{"name": "mine", "limit": "100 credits/day"}] if "credits" in parts else []
    config = {"version": 1, "providers": {"watching": {"budgets": budgets}}}
    with module.Client(transport=Writing(), event_hooks={"response": [note]}) as client:
        for given in ({}, {"resilience": {"tags": {"job": "one"}}}):
            request = client.build_request("GET", "http://127.0.0.1/", extensions={"once": 1, **given})
            own = request.extensions
            if given:
                resilience.wrap(client, policies=[watching(**parts)], config=config)
            client.send(request)
            assert own is request.extensions

    bare, watched = found
    assert {"timeout": bare["timeout"], "sent": [0]} == bare
    assert {"timeout": bare["timeout"], "sent": [1, 1], "resilience": {"tags": {"job": "one"}}} == watched


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_was_closed_while_it_was_read_does_not_look_whole(library: str) -> None:
    """Bare, whoever reads on has an error: half a body must not be taken for all of it. Sync and async."""
    module = LIBRARIES[library]
    errors = (module.ReadError, module.StreamClosed)
    held = watching(answers=[], limits=[{"name": "places", "concurrency": 9, "per": "provider"}])
    reply = chunked(200, [b"one", b"two"])[: -len(b"0\r\n\r\n")]

    async def read() -> None:
        async with resilience.wrap(module.AsyncClient(), policies=[held]) as client:
            response = await client.send(client.build_request("GET", server.url), stream=True)
            pieces = response.aiter_raw()
            await anext(pieces)
            await response.aclose()
            with pytest.raises(errors):
                [piece async for piece in pieces]

    def send(client: Any) -> bool:
        client.sendall(reply)
        return True

    with raw_server(send) as server:
        with resilience.wrap(module.Client(), policies=[held]) as client:
            response = client.send(client.build_request("GET", server.url), stream=True)
            pieces = response.iter_raw()
            next(pieces)
            response.close()
            with pytest.raises(errors):
                list(pieces)
        asyncio.run(read())


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_pickled_answer_is_read_where_this_library_is_not(library: str) -> None:
    """A cache may be read by another program; in this one request and copies of it know their trail."""
    module = LIBRARIES[library]

    with resilience.wrap(
        module.Client(transport=module.MockTransport(lambda _: module.Response(200, content=b"whole"))),
        policies=[watching()],
    ) as client:
        response = client.get("http://127.0.0.1/")
    pickled = pickle.dumps(response)
    again = pickle.loads(pickled)

    assert not [name for name in modules_in(pickled) if name.partition(".")[0] == "resilience"]
    assert (b"whole", "http://127.0.0.1/") == (again.content, str(again.request.url))
    assert trail_of(again) is None
    assert trail_of(response) is trail_of(response.request) is trail_of(copy.deepcopy(response.request))


@pytest.mark.parametrize("forbids", [AttributeError, TypeError, RuntimeError])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_request_that_takes_no_attribute_is_sent(library: str, forbids: type[Exception]) -> None:
    """Its answer has the trail."""
    module = LIBRARIES[library]

    class Exact(module.Request):  # type: ignore[misc, name-defined]
        def __setattr__(self, name: str, value: object) -> None:
            if name.startswith("resilience"):
                raise forbids(name)
            super().__setattr__(name, value)

    with module.Client(transport=module.MockTransport(lambda _: module.Response(200))) as client:
        response = resilience.wrap(client, policies=[watching()]).send(Exact("GET", "http://127.0.0.1/"))

    assert 200 == response.status_code
    assert trail_of(response) is not None


def modules_in(pickled: bytes) -> list[str]:
    """The modules that somebody needs who reads it."""
    strings: list[str] = []
    found: list[str] = []
    for code, value, _ in pickletools.genops(pickled):
        if code.name == "STACK_GLOBAL":
            found.append(strings[-2])
        elif isinstance(value, str):
            strings.append(value)
    return found


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 cannot tell such a function from any other")
@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_awaited_looks_like_it(library: str) -> None:
    """Whoever asks before a call, as mocks of a class do, is told that our transport's async method is one."""
    ours = importlib.import_module(f"resilience.{library}").Transport

    assert inspect.iscoroutinefunction(LIBRARIES[library].AsyncHTTPTransport.handle_async_request)
    assert inspect.iscoroutinefunction(ours.handle_async_request)
    assert isinstance(create_autospec(ours).handle_async_request, AsyncMock)


@pytest.mark.parametrize("parts", [{}, {"attempt_timeout": "60s"}, COSTLY])
@pytest.mark.parametrize("door", ["wrap", "install", "transport"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_client_that_is_dropped_takes_its_transport_along(
    library: str, door: str, parts: dict[str, Any], tmp_path: Path
) -> None:
    """At once, as without us: what it holds of sockets does not wait for the collector."""
    module = LIBRARIES[library]
    (tmp_path / "one.policy.yaml").write_text(watching(**parts).model_dump_json(exclude_unset=True))
    statuses = iter([200, 400])

    def answer(_request: Any) -> Any:
        for status in statuses:
            return module.Response(status, json={})
        raise module.ReadError("no")

    transport = module.MockTransport(answer)
    client = module.Client(transport=transport)
    config = {"version": 1, "shipped": False, "policies": [str(tmp_path / "one.policy.yaml")]}
    if door == "install":
        resilience.install(config)
    elif door == "wrap":
        resilience.wrap(client, config=config)
    else:
        client._transport = importlib.import_module(f"resilience.{library}").Transport(transport, config=config)
    left = weakref.ref(transport)
    gc.disable()
    try:
        assert [200, 400] == [client.post("http://127.0.0.1/").status_code for _ in range(2)]
        with pytest.raises(module.ReadError):
            client.post("http://127.0.0.1/")
        del client, transport
        assert left() is None
    finally:
        gc.enable()
        resilience.uninstall()


@pytest.mark.parametrize("door", ["wrap", "transport"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_set_on_a_clients_transport_is_set_on_its_own(library: str, door: str) -> None:
    """A mock's handler, for good or for the time of a test; what a subclass of ours sets is the subclass's."""
    module = LIBRARIES[library]
    ours = importlib.import_module(f"resilience.{library}").Transport
    own = module.MockTransport(lambda _: module.Response(200))
    client = module.Client(transport=own)
    if door == "wrap":
        resilience.wrap(client, policies=[watching()])
    else:
        client._transport = ours(own, policies=[watching()])

    def got() -> int:
        return int(client.get("http://127.0.0.1/").status_code)

    with mock.patch.object(client._transport, "handler", return_value=module.Response(201)):
        seen = [got()]
    with mock.patch.object(client._transport, "handle_request", return_value=module.Response(202)):
        seen.append(got())
    seen.append(got())
    client._transport.handler = lambda _: module.Response(203)
    client._transport.mark = "theirs"

    assert [201, 202, 200, 203] == [*seen, got()]
    assert "theirs" == own.mark == client._transport.mark
    del client._transport.mark
    assert not hasattr(own, "mark")
    with pytest.raises(AttributeError):
        del client._transport.mark

    class Theirs(ours):  # type: ignore[misc, valid-type]
        def __init__(self, inner: Any) -> None:
            self.handler = "before"
            super().__init__(inner, policies=[watching()])
            self.mark = "subclass"

    theirs = Theirs(own)

    assert ("before", "subclass") == (theirs.handler, theirs.mark)
    assert callable(own.handler)
    assert not hasattr(own, "mark")


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_stream_that_begins_anew_each_time_does(library: str, status: int) -> None:
    """As one in memory does, also where it was looked at; one that does not says so in its own words."""
    module = LIBRARIES[library]

    class Once(module.AsyncByteStream):  # type: ignore[misc, name-defined]
        is_read = False

        async def __aiter__(self) -> Any:
            if self.is_read:
                raise module.StreamConsumed
            self.is_read = True
            yield b"{}"

    def again(stream: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        return module.MockTransport(lambda _: module.Response(status, headers=headers, stream=stream))

    async def go() -> None:
        async with resilience.wrap(module.AsyncClient(transport=again(Once())), policies=[watching()]) as client:
            response = await client.get("http://127.0.0.1/")
        assert b"{}" == response.content
        with pytest.raises(module.StreamConsumed):
            [chunk async for chunk in response.stream]
        async with resilience.wrap(
            module.AsyncClient(transport=again(module.ByteStream(b"{}"))), policies=[watching()]
        ) as client:
            response = await client.get("http://127.0.0.1/")
        assert [[b"{}"]] * 2 == [[chunk async for chunk in response.stream] for _ in range(2)]

    with resilience.wrap(module.Client(transport=again(module.ByteStream(b"{}"))), policies=[watching()]) as client:
        response = client.get("http://127.0.0.1/")

    assert [[b"{}"]] * 2 == [list(response.stream) for _ in range(2)]
    asyncio.run(go())
