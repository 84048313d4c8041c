"""A request body is sent again whole or not at all."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
import trio

import resilience
from tests.rawserver import answer, raw_server
from tests.test_transparency import LIBRARIES, watching

BODY = b"0123456789" * 2000
BUSY, GOOD = answer(503, b"", "Retry-After: 0"), answer(200)


def repeatable(**parts: Any) -> Any:
    """A policy under which every POST may be repeated."""
    return watching(operations={"all": {"path": "/{rest...}", "repeatable": True}}, **parts)


def pieces() -> Iterator[bytes]:
    for start in range(0, len(BODY), 3000):
        yield BODY[start : start + 3000]


class Once:
    """An iterable that can be iterated only once, and does not say so."""

    def __init__(self) -> None:
        self._pieces = pieces()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


SOURCES: dict[str, Callable[[], Any]] = {
    "bytes": lambda: BODY,
    "file in memory": lambda: io.BytesIO(BODY),
    "generator": pieces,
    "list": lambda: list(pieces()),
    "one-shot iterable": Once,
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("source", SOURCES)
def test_every_attempt_sends_the_whole_body(library: str, source: str) -> None:
    """Bytes, files, generators and other iterables arrive whole each time."""
    module = LIBRARIES[library]

    with raw_server(BUSY, BUSY, GOOD) as server:
        with resilience.wrap(module.Client(), policies=[repeatable()]) as client:
            response = client.post(f"{server.url}/x", content=SOURCES[source]())

    assert 200 == response.status_code
    assert [BODY] * 3 == [seen.body for seen in server.requests]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("run", ["asyncio", "trio"])
@pytest.mark.parametrize("source", ["bytes", "async generator", "async file", "async file over the bound"])
def test_every_attempt_of_an_async_call_sends_the_whole_body(
    library: str, run: str, source: str, tmp_path: Path
) -> None:
    """The same for what asynchronous clients send; an async file over the bound is sent once."""
    module = LIBRARIES[library]
    (tmp_path / "body").write_bytes(BODY)
    bound = "1KiB" if source.endswith("bound") else "1MiB"
    statuses: list[int] = []

    async def parts() -> AsyncIterator[bytes]:
        for piece in pieces():
            await anyio.lowlevel.checkpoint()
            yield piece

    async def go() -> None:
        async with (
            resilience.wrap(module.AsyncClient(), policies=[repeatable(replay=bound)]) as client,
            await anyio.open_file(tmp_path / "body", "rb") as file,
        ):
            content: Any = {"bytes": BODY, "async generator": parts()}.get(source, file)
            statuses.append((await client.post(f"{server.url}/x", content=content)).status_code)

    with raw_server(BUSY, GOOD) as server:
        asyncio.run(go()) if run == "asyncio" else trio.run(go)

    if source.endswith("bound"):
        assert ([503], [BODY]) == (statuses, [seen.body for seen in server.requests])
    else:
        assert ([200], [BODY] * 2) == (statuses, [seen.body for seen in server.requests])


def test_a_file_is_sent_again_from_where_it_stood() -> None:
    """What was read of a file before the call stays out of every attempt (httpx itself counts such a file wrong)."""
    file = io.BytesIO(b"skipped" + BODY)
    file.seek(7)

    with raw_server(BUSY, GOOD) as server, resilience.wrap(httpx2.Client(), policies=[repeatable()]) as client:
        response = client.post(f"{server.url}/x", content=file)

    assert 200 == response.status_code
    assert [BODY] * 2 == [seen.body for seen in server.requests]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_multipart_upload_is_sent_again_with_its_files(library: str) -> None:
    """Files of a form are read from their start each time, and the boundary stays."""
    module = LIBRARIES[library]

    with raw_server(BUSY, GOOD) as server:
        with resilience.wrap(module.Client(), policies=[repeatable()]) as client:
            response = client.post(f"{server.url}/x", files={"file": io.BytesIO(BODY)}, data={"a": "1"})

    assert 200 == response.status_code
    first, second = (seen.body for seen in server.requests)
    assert BODY in first
    assert first == second


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_body_over_the_bound_stands_after_its_first_answer(library: str) -> None:
    """What cannot be sent again whole is not sent again: the provider's answer stands, and the trail says why."""
    module = LIBRARIES[library]

    with raw_server(BUSY, GOOD) as server:
        with resilience.wrap(module.Client(), policies=[repeatable(replay="4KiB")]) as client:
            response = client.post(f"{server.url}/x", content=pieces())

    assert 503 == response.status_code
    assert [BODY] == [seen.body for seen in server.requests]
    assert "cannot be sent again" in response.extensions["resilience"].stopped


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_large_file_needs_no_copy(library: str) -> None:
    """A file that can be sought is read again, whatever the bound."""
    module = LIBRARIES[library]

    with raw_server(BUSY, GOOD) as server:
        with resilience.wrap(module.Client(), policies=[repeatable(replay="1KiB")]) as client:
            response = client.post(f"{server.url}/x", content=io.BytesIO(BODY))

    assert 200 == response.status_code
    assert [BODY] * 2 == [seen.body for seen in server.requests]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_body_that_was_never_begun_may_be_sent_whatever_its_size(library: str) -> None:
    """A refused connection has taken nothing from the generator."""
    module = LIBRARIES[library]
    sent: list[bytes] = []

    def handler(request: Any) -> Any:
        if not calls:
            calls.append(1)
            raise module.ConnectError("refused")
        sent.append(b"".join(request.stream))
        return module.Response(200)

    calls: list[int] = []
    client = module.Client(transport=module.MockTransport(handler))
    # MockTransport reads the body before it calls its handler, so one that does not is needed here.
    client._transport.handle_request = handler

    with resilience.wrap(client, policies=[repeatable(replay="1KiB")]):
        response = client.post("http://127.0.0.1/x", content=pieces())

    assert 200 == response.status_code
    assert [BODY] == sent


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_attempt_that_broke_off_in_the_body_is_made_good(library: str) -> None:
    """The second attempt sends what was read and then reads on where the first one stopped."""
    module = LIBRARIES[library]
    sent: list[bytes] = []

    def handler(request: Any) -> Any:
        stream = iter(request.stream)
        if not sent:
            sent.append(next(stream))
            raise module.WriteError("broken pipe")
        sent.append(b"".join(stream))
        return module.Response(200)

    client = module.Client(transport=module.MockTransport(handler))
    client._transport.handle_request = handler

    with resilience.wrap(client, policies=[repeatable()]):
        response = client.post("http://127.0.0.1/x", content=pieces())

    assert 200 == response.status_code
    assert [BODY[:3000], BODY] == sent


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_applications_own_error_in_a_body_is_its_own(library: str) -> None:
    """A generator that raises is a fault in the program: the error comes through at once and nothing is repeated."""
    module = LIBRARIES[library]

    def faulty() -> Iterator[bytes]:
        yield b"begin"
        raise ZeroDivisionError

    with raw_server(GOOD) as server, resilience.wrap(module.Client(), policies=[repeatable()]) as client:
        with pytest.raises(ZeroDivisionError):
            client.post(f"{server.url}/x", content=faulty())

    assert [] == server.requests


@pytest.mark.parametrize("library", LIBRARIES)
def test_after_the_call_the_request_has_its_own_stream_again(library: str) -> None:
    """A redirect, or the application, finds what it gave."""
    module = LIBRARIES[library]

    with raw_server(GOOD) as server, resilience.wrap(module.Client(), policies=[repeatable()]) as client:
        request = client.build_request("POST", f"{server.url}/x", content=pieces())
        own = request.stream
        client.send(request)

    assert own is request.stream


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "form", [{"files": {"f": b"one"}}, {"files": {"f": io.BytesIO(b"one")}}, {"content": [b"o", b"ne"]}]
)
def test_a_transport_may_read_a_body_that_begins_anew_again(library: str, form: dict[str, Any]) -> None:
    """As one does that signs what it sends, and has read its start before."""
    module = LIBRARIES[library]
    seen: list[Any] = []

    class Signing(module.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            next(iter(request.stream))
            seen.append([type(request.stream).__name__, b"".join(request.stream), b"".join(request.stream)])
            return module.Response(200)

    with module.Client(transport=Signing()) as client:
        request = client.build_request("POST", "http://127.0.0.1/", **form)
        client.send(request)
        resilience.wrap(client, policies=[repeatable()]).send(request)

    assert b"ne" in seen[0][1]
    assert seen[0] == seen[1]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_form_may_be_sent_by_several_calls_at_once(library: str) -> None:
    """As by one that sends a second request where the first takes long: each sends all of it."""
    module = LIBRARIES[library]
    seen: list[bytes] = []

    class Slow(module.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            body = b""
            async for chunk in request.stream:
                body += chunk
                await asyncio.sleep(0)
            seen.append(body)
            return module.Response(200)

    async def go() -> None:
        async with resilience.wrap(module.AsyncClient(transport=Slow()), policies=[repeatable()]) as client:
            request = client.build_request("POST", "http://127.0.0.1/", files={"f": b"one"}, data={"a": "two"})
            own = request.stream
            await asyncio.gather(client.send(request), client.send(request))
            assert own is request.stream
            assert [b"".join(own)] * 2 == seen

    asyncio.run(go())


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_body_that_cannot_be_read_again_says_so(library: str) -> None:
    """Over the bound there is no copy: a transport that reads it again must not take it for an empty one."""
    module = LIBRARIES[library]
    seen: list[Any] = []

    class Twice(module.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            seen.append(b"".join(request.stream))
            seen.append(b"".join(request.stream))

    async def again() -> AsyncIterator[bytes]:
        for piece in pieces():
            yield piece

    class AsyncTwice(module.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            seen.append(b"".join([chunk async for chunk in request.stream]))
            seen.append(b"".join([chunk async for chunk in request.stream]))

    async def go() -> None:
        async with resilience.wrap(
            module.AsyncClient(transport=AsyncTwice()), policies=[repeatable(replay="4KiB")]
        ) as client:
            await client.post("http://127.0.0.1/", content=again())

    with resilience.wrap(module.Client(transport=Twice()), policies=[repeatable(replay="4KiB")]) as client:
        with pytest.raises(module.StreamConsumed):
            client.post("http://127.0.0.1/", content=pieces())
    with pytest.raises(module.StreamConsumed):
        asyncio.run(go())

    assert [BODY] * 2 == seen


@pytest.mark.parametrize("bound", ["1MiB", "4KiB"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_body_that_several_calls_read_is_whole_in_each_or_an_error(library: str, bound: str) -> None:
    """Also for the one that is overtaken; the library itself has an error for all but the first."""
    module = LIBRARIES[library]
    seen: list[bytes] = []

    class Unequal(module.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        calls = 0

        async def handle_async_request(self, request: Any) -> Any:
            self.calls += 1
            body, steps = b"", 5 if self.calls == 1 else 1
            async for chunk in request.stream:
                body += chunk
                for _ in range(steps):
                    await asyncio.sleep(0)
            seen.append(body)
            return module.Response(200)

    async def parts() -> AsyncIterator[bytes]:
        for piece in pieces():
            yield piece

    async def go() -> list[Any]:
        async with resilience.wrap(
            module.AsyncClient(transport=Unequal()), policies=[repeatable(replay=bound, retry={"max_attempts": 1})]
        ) as client:
            request = client.build_request("POST", "http://127.0.0.1/", content=parts())
            return await asyncio.gather(client.send(request), client.send(request), return_exceptions=True)

    answers = asyncio.run(go())

    whole = [each for each in answers if isinstance(each, module.Response)]
    assert [BODY] * len(whole) == seen
    assert whole
    assert (bound == "1MiB") == (len(whole) == 2)
