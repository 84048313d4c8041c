"""Faults that were found once: each test fails on the code that had the fault."""

from __future__ import annotations

import asyncio
import gc
import inspect
import io
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

import resilience
import resilience.httpx
import resilience.httpx2
import resilience.testing
from resilience import Trail, Verdict, errors
from resilience._categories import Category
from resilience._trail import Attempt
from tests.rawserver import answer, chunked, raw_server
from tests.test_transparency import LIBRARIES, watching
from tests.worlds import URL, policy

ADAPTERS: dict[str, Any] = {"httpx": resilience.httpx, "httpx2": resilience.httpx2}
BUSY, GOOD = answer(503, b"", "Retry-After: 0"), answer(200)
HOUR = {"max_attempts": 2, "backoff": {"initial": "1h", "max": "1h", "jitter": "none"}}

pytestmark = pytest.mark.parametrize("library", LIBRARIES)


def repeatable(**parts: Any) -> Any:
    return watching(operations={"all": {"path": "/{rest...}", "repeatable": True}}, **parts)


def test_an_upload_that_was_cut_off_is_not_sent_as_a_whole_one(library: str) -> None:
    """An attempt timeout ends the application's generator in the middle: what it gave is no body to send again."""
    module = LIBRARIES[library]

    async def body() -> AsyncIterator[bytes]:
        yield b"first half "
        await anyio.sleep(5)
        yield b"second half"

    async def go() -> None:
        async with resilience.wrap(module.AsyncClient(), policies=[repeatable(attempt_timeout="150ms")]) as client:
            with pytest.raises(errors.AttemptTimeout):
                await client.put(f"{server.url}/x", content=body())

    with raw_server(GOOD) as server:
        asyncio.run(go())

    assert [] == server.requests


def test_an_error_of_the_body_is_not_the_providers(library: str) -> None:
    """A body that is another download may fail with the library's own ReadError: nothing is sent again for it."""
    module = LIBRARIES[library]
    begun: list[int] = []

    def download() -> Iterator[bytes]:
        begun.append(1)
        yield b"first half"
        raise module.ReadError("the other server went away")

    with raw_server(GOOD) as server, resilience.wrap(module.Client(), policies=[repeatable()]) as client:
        with pytest.raises(module.ReadError) as caught:
            client.put(f"{server.url}/x", content=download())

    assert [1] == begun
    assert "other_error" == resilience.trail_of(caught.value).verdict.error  # type: ignore[union-attr]


def test_a_request_sent_again_by_the_application_is_another_call(library: str) -> None:
    """It gets a key of its own, and the request is as the application made it."""
    module = LIBRARIES[library]
    keyed = watching(idempotency={"header": "Idempotency-Key"})

    with raw_server(GOOD) as server, resilience.wrap(module.Client(), policies=[keyed]) as client:
        request = client.build_request("POST", server.url)
        client.send(request)
        after = request.headers.get("Idempotency-Key")
        client.send(request)

    keys = [seen.head.lower().split(b"idempotency-key: ")[1].split(b"\r\n")[0] for seen in server.requests]
    assert after is None
    assert 2 == len(set(keys))


def test_calls_of_one_request_at_once_are_calls_of_their_own(library: str) -> None:
    """Each has a key, all its attempts the same; with one for all, the provider would take three for repetitions."""
    module = LIBRARIES[library]
    busy, seen = [503] * 4, list[str]()

    async def answer(request: Any) -> Any:
        seen.append(request.headers["Idempotency-Key"])
        await anyio.lowlevel.checkpoint()
        return module.Response(busy.pop() if busy else 200, headers={"Retry-After": "0"})

    async def main() -> dict[str, str]:
        keyed = policy(idempotency={"header": "Idempotency-Key"}, breaker={"off": True})
        client = resilience.wrap(module.AsyncClient(transport=module.MockTransport(answer)), [keyed])
        async with client, anyio.create_task_group() as tasks:
            request = client.build_request("POST", URL, json={})
            for _ in range(4):
                tasks.start_soon(client.send, request)
        return dict(request.headers)

    after = anyio.run(main)

    assert [2, 2, 2, 2] == list(Counter(seen).values())
    assert "idempotency-key" not in after


def test_what_a_transport_makes_of_a_request_with_a_key_is_seen_after_the_call(library: str) -> None:
    """One that calls another host has its redirects resolved against that."""
    module = LIBRARIES[library]

    def answer(request: Any) -> Any:
        request.url = request.url.copy_with(host="other.test")
        request.extensions["found"] = True
        return module.Response(200)

    keyed = policy(idempotency={"header": "Idempotency-Key"})
    with resilience.wrap(module.Client(transport=module.MockTransport(answer)), [keyed]) as client:
        request = client.build_request("POST", URL, json={})
        response = client.send(request)

    assert response.request is request
    assert "other.test" == request.url.host
    assert request.extensions["found"]


def test_an_attempt_timeout_ends_with_the_headers(library: str) -> None:
    """A stream that pauses longer than an attempt may take is read with the client's own timeout."""
    module = LIBRARIES[library]

    def slow(client: Any) -> None:
        whole = chunked(200, [b"data: 1\n\n", b"data: 2\n\n"], content_type="text/event-stream")
        half = whole.index(b"data: 1\n\n") + 11
        client.sendall(whole[:half])
        time.sleep(0.5)  # the server's own pause
        client.sendall(whole[half:])

    quick = watching(attempt_timeout="200ms")
    with raw_server(slow) as server, resilience.wrap(module.Client(timeout=9), policies=[quick]) as client:
        with client.stream("GET", server.url) as response:
            got = b"".join(response.iter_raw())

    assert b"data: 1\n\ndata: 2\n\n" == got


def test_a_body_closed_while_it_is_read_does_not_look_whole(library: str) -> None:
    """The reader meets an error, the closer none, and the source is closed."""
    module = LIBRARIES[library]
    closed: list[int] = []

    class Pieces(module.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(9):
                yield b"x" * 20

        def close(self) -> None:
            closed.append(1)

    class Sending(module.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            return module.Response(200, headers={"Content-Type": "application/json"}, stream=Pieces())

    watched = watching(inspect={"max_bytes": "30B"})
    with resilience.wrap(module.Client(transport=Sending()), policies=[watched]) as client:
        response = client.send(client.build_request("GET", "http://127.0.0.1/"), stream=True)
        pieces = iter(response.stream)
        first = next(pieces)
        response.close()
        with pytest.raises(module.StreamError):
            list(pieces)

    assert b"x" * 20 == first
    assert [1] == closed


def test_only_the_librarys_own_streams_are_looked_into(library: str) -> None:
    """A stream of the application's with an attribute of the same name is copied like any other."""
    module = LIBRARIES[library]

    class Once(module.SyncByteStream):  # type: ignore[misc]
        def __init__(self) -> None:
            self._stream = [b"a", b"b"]

        def __iter__(self) -> Iterator[bytes]:
            while self._stream:
                yield self._stream.pop(0)

    with raw_server(BUSY, GOOD) as server, resilience.wrap(module.Client(), policies=[repeatable()]) as client:
        client.send(
            module.Request("PUT", f"{server.url}/x", stream=Once(), headers={"Content-Length": "2", "Host": "a.test"})
        )

    assert [b"ab", b"ab"] == [seen.body for seen in server.requests]


def test_a_file_that_cannot_be_read_again_leaves_the_first_answer(library: str) -> None:
    """Closed meanwhile by the application, it is no reason to lose the provider's answer."""
    module = LIBRARIES[library]

    file = io.BytesIO(b"body")

    class Closing(module.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            assert b"body" == b"".join(request.stream)
            file.close()
            return module.Response(503)

    with resilience.wrap(module.Client(transport=Closing()), policies=[repeatable()]) as client:
        response = client.put("http://127.0.0.1/x", content=file)

    assert 503 == response.status_code
    assert "cannot be sent again" in response.extensions["resilience"].stopped


def test_a_transport_can_be_used_again_after_it_was_closed(library: str) -> None:
    """As the library's own transports can, which open their pool anew."""
    module = LIBRARIES[library]
    transport = ADAPTERS[library].Transport(module.HTTPTransport(), policies=[watching()])

    with raw_server(GOOD, BUSY, GOOD) as server:
        with module.Client(transport=transport) as client:
            client.get(server.url)
        with module.Client(transport=transport) as client:
            second = client.get(server.url)

    assert 2 == len(second.extensions["resilience"].attempts)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_wait_can_be_ended_from_another_thread(library: str, backend: str) -> None:
    """Closing wakes the waiting call in its own loop, and never fails itself."""
    module = LIBRARIES[library]
    transport = ADAPTERS[library].Transport(policies=[watching(retry=HOUR)])

    async def go() -> None:
        async with module.AsyncClient(transport=transport) as client:
            with pytest.raises(errors.ClientClosed):
                await client.get(server.url)

    def close() -> None:
        while not server.requests:
            time.sleep(0.01)  # a real server: there is no clock to turn
        time.sleep(0.1)
        transport.chain.close()

    with raw_server(answer(503)) as server:
        thread = threading.Thread(target=close)
        thread.start()
        asyncio.run(go(), debug=True) if backend == "asyncio" else trio.run(go)
        thread.join()


def test_closing_ends_waits_that_began_under_an_older_configuration(library: str, tmp_path: Path) -> None:
    """A second `install` does not cut the first one's calls off from their client."""
    module = LIBRARIES[library]
    caught: list[Exception] = []

    def call() -> None:
        try:
            client.get(server.url)
        except module.TransportError as error:
            caught.append(error)

    with raw_server(answer(503)) as server:
        host = server.url.removeprefix("http://")
        (tmp_path / "local.yaml").write_text(
            f'version: 1\nprovider: local\nmatch: {{hosts: ["{host}"]}}\n'
            "retry: {longest_wait: 2h, backoff: {initial: 1h, max: 1h, jitter: none}}\n"
        )
        (tmp_path / "resilience.yaml").write_text("version: 1\nshipped: false\npolicies: [./local.yaml]\n")
        client = module.Client()
        try:
            resilience.install(tmp_path / "resilience.yaml")
            thread = threading.Thread(target=call)
            thread.start()
            while not server.requests:
                time.sleep(0.01)  # a real server: there is no clock to turn
            time.sleep(0.1)
            resilience.install(tmp_path / "resilience.yaml")
            client.close()
            thread.join(20)
        finally:
            resilience.uninstall()

    assert not thread.is_alive()
    assert isinstance(caught[0], errors.ClientClosed)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    def install(url: str) -> None:
        host = url.removeprefix("http://")
        (tmp_path / "local.yaml").write_text(
            f'version: 1\nprovider: local\nmatch: {{hosts: ["{host}"]}}\nretry: {{backoff: {{initial: 1ms, max: 1ms}}}}\n'
        )
        (tmp_path / "resilience.yaml").write_text("version: 1\nshipped: false\npolicies: [./local.yaml]\n")
        resilience.install(tmp_path / "resilience.yaml")

    yield install
    resilience.uninstall()


def test_a_transport_is_known_by_its_class(library: str, installed: Callable[[str], None]) -> None:
    """One that happens to have an attribute `chain` obeys the policies like any other."""
    module = LIBRARIES[library]

    class Chained(module.HTTPTransport):  # type: ignore[misc]
        chain = "of mine"

    with raw_server(answer(503), answer(200)) as server:
        installed(server.url)
        with module.Client(transport=Chained()) as client:
            response = client.get(server.url)

    assert 200 == response.status_code


def test_wrappers_of_others_are_kept_and_served(library: str, installed: Callable[[str], None]) -> None:
    """A descriptor below sees the client it belongs to; what was put above stays above after `uninstall`."""
    module = LIBRARIES[library]
    own = module.Client._send_single_request
    owners: list[object] = []

    class Below:
        def __get__(self, instance: Any, owner: Any) -> Any:
            owners.append(instance)
            return own.__get__(instance, owner)

    module.Client._send_single_request = Below()
    try:
        with raw_server(answer(200)) as server, module.Client() as client:
            installed(server.url)
            client.get(server.url)
            client.get(server.url.replace("127.0.0.1", "localhost"))
            ours = module.Client.__dict__["_send_single_request"]

            def above(self: Any, request: Any) -> Any:
                return ours(self, request)

            module.Client._send_single_request = above
            resilience.uninstall()
            untouched = client.get(server.url)

        assert above is module.Client.__dict__["_send_single_request"]
        assert "resilience" not in untouched.extensions
        assert all(instance is not None for instance in owners)
    finally:
        module.Client._send_single_request = ours
        resilience.uninstall()
        module.Client._send_single_request = own


def test_async_methods_stay_async(library: str, installed: Callable[[str], None]) -> None:
    """Tools that ask whether a method is a coroutine function get the same answer, and the same signature."""
    module = LIBRARIES[library]
    before = inspect.signature(module.AsyncClient._send_single_request)

    installed("http://127.0.0.1:1")

    for name in ("aclose", "__aexit__", "_send_single_request"):
        assert inspect.iscoroutinefunction(getattr(module.AsyncClient, name))
    assert before == inspect.signature(module.AsyncClient._send_single_request)


def test_a_finder_of_the_old_kind_is_passed_over(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python skips what has no `find_spec`, and so do we."""
    from resilience._install import ResilienceFinder  # the finder alone, without an import

    monkeypatch.setattr(sys, "meta_path", [object(), *sys.meta_path])

    assert ResilienceFinder().find_spec(library) is not None


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_server_that_drips_cannot_hold_a_sync_call_for_ever(library: str, part: str) -> None:
    """Looking at a body stops at the deadline; between two attempts the rest is read for a second at most."""
    module = LIBRARIES[library]
    done: list[int] = []

    def dripping(client: Any) -> None:
        if part == "headers":
            client.sendall(answer(503, b"", "Content-Length: 50", length=False))
        else:
            client.sendall(answer(500, b"", "Content-Length: 50000", length=False))
        while not done:
            client.sendall(b" " if part == "body" else b"")
            time.sleep(0.05)  # the server's own pause

    policy = watching(retry={"max_attempts": 1}) if part == "body" else watching()
    with raw_server(dripping, answer(200)) as server:
        with resilience.wrap(module.Client(timeout=4), policies=[policy]) as client:
            started = time.monotonic()
            try:
                with client.stream("GET", server.url, extensions={"resilience": {"deadline": 0.5}}):
                    took = time.monotonic() - started
            except module.TransportError:
                took = time.monotonic() - started
            done.append(1)

    assert took < 3.5


def test_failing_calls_leave_no_cycles(library: str) -> None:
    """What a failed call held is free as soon as its error is, without the collector."""
    module = LIBRARIES[library]

    def refuse(request: Any) -> Any:
        raise module.ConnectError("refused")

    client = resilience.wrap(
        module.Client(transport=module.MockTransport(refuse)),
        policies=[watching(retry={"max_attempts": 1}, breaker={"off": True})],
    )
    bodies = 0
    gc.collect()
    before = sum(type(found) is Trail for found in gc.get_objects())
    gc.disable()
    try:
        for _ in range(20):
            with pytest.raises(module.ConnectError):
                client.post("http://127.0.0.1/", content=b"x" * 1000)
        bodies = sum(type(found) is Trail for found in gc.get_objects())
    finally:
        gc.enable()

    assert bodies - before <= 2


def test_a_transport_may_read_the_request_itself(library: str) -> None:
    """A body that was read for signing is kept, and a redirect finds it."""
    module = LIBRARIES[library]
    bodies: list[bytes] = []

    def handler(request: Any) -> Any:
        bodies.append(request.read())
        return module.Response(307, headers={"Location": "/elsewhere"}) if len(bodies) == 1 else module.Response(200)

    client = module.Client(transport=module.MockTransport(handler), follow_redirects=True)
    with resilience.wrap(client, policies=[watching()]):
        response = client.post("http://127.0.0.1/", content=iter([b"bo", b"dy"]))

    assert 200 == response.status_code
    assert [b"body", b"body"] == bodies


def test_an_error_is_judged_by_its_own_causes(library: str) -> None:
    """A call made while another error is handled has nothing to do with that one."""
    module = LIBRARIES[library]

    with resilience.wrap(module.Client(), policies=[watching()]) as client:
        try:
            raise ssl.SSLCertVerificationError("another host")
        except ssl.SSLError:
            with pytest.raises(module.ConnectError) as caught:
                client.get("http://127.0.0.1:1/")

    trail = resilience.trail_of(caught.value)
    assert trail is not None
    assert ["connect_error"] * 3 == [attempt.verdict.error for attempt in trail.attempts]


def test_options_of_a_call_do_not_follow_a_redirect_to_another_provider(library: str) -> None:
    """What names an operation of the first one means nothing to the second."""
    module = LIBRARIES[library]
    first = watching("first.test", provider="first", operations={"start": {"path": "/"}})
    second = watching("second.test", provider="second")

    def handler(request: Any) -> Any:
        if request.url.host == "first.test":
            return module.Response(302, headers={"Location": "http://second.test/"})
        return module.Response(200)

    client = module.Client(transport=module.MockTransport(handler), follow_redirects=True)
    with resilience.wrap(client, policies=[first, second]):
        response = client.get("http://first.test/", extensions={"resilience": {"operation": "start"}})

    assert "second" == response.extensions["resilience"].provider


@pytest.mark.parametrize(
    "url", ["http://a.test./v1/jobs/a%2Fb", "http://a.test:80/v1/jobs/a%2Fb", "http://A.TEST/v1/jobs/a%2Fb"]
)
def test_a_host_is_known_in_every_spelling_and_a_path_as_it_is_sent(library: str, url: str) -> None:
    """A final dot, the scheme's own port, capitals; and an encoded slash is no slash."""
    module = LIBRARIES[library]
    policy = watching("a.test:80" if ":80" in url else "a.test", operations={"job": {"path": "/v1/jobs/{id}"}})
    client = module.Client(transport=module.MockTransport(lambda request: module.Response(200)))

    with resilience.wrap(client, policies=[policy]):
        response = client.get(url)

    assert "job" == response.extensions["resilience"].operation


def test_an_international_host_is_known_by_its_name_in_dns(library: str) -> None:
    """`bücher.test` is `xn--bcher-kva.test` in a policy."""
    module = LIBRARIES[library]
    client = module.Client(transport=module.MockTransport(lambda request: module.Response(200)))

    with resilience.wrap(client, policies=[watching("xn--bcher-kva.test")]):
        response = client.get("http://bücher.test/")

    assert "resilience" in response.extensions


def test_an_answer_that_was_closed_unread_is_handed_on(library: str) -> None:
    """A transport may close what it does not want to be read."""
    module = LIBRARIES[library]

    class Closing(module.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            stream = module.ByteStream(b"{}")
            response = module.Response(404, headers={"Content-Type": "application/json"}, stream=stream)
            response.close()
            return response

    with resilience.wrap(module.Client(transport=Closing()), policies=[watching()]) as client:
        response = client.send(client.build_request("GET", "http://127.0.0.1/"), stream=True)

    assert 404 == response.status_code


def test_a_wait_of_a_nanosecond_is_no_reason_to_hammer(library: str) -> None:
    """The back-off stands."""
    module = LIBRARIES[library]
    clock = resilience.testing.VirtualClock()
    patient = watching(retry={"max_attempts": 2, "backoff": {"initial": "1s", "jitter": "none"}})

    def handler(request: Any) -> Any:
        return module.Response(429, headers={"Retry-After": "0.0000000001"})

    transport = ADAPTERS[library].Transport(module.MockTransport(handler), policies=[patient], clock=clock)
    with module.Client(transport=transport) as client:
        client.get("http://127.0.0.1/")

    assert [1.0] == clock.slept


@pytest.mark.parametrize("body", ["\ud800", b"x", bytearray(b"{}"), memoryview(b"[]"), {"a": {1, 2}}, None, 3])
def test_anything_can_be_classified(library: str, body: object) -> None:
    """Whatever stands for a body, there is a verdict."""
    verdict = watching().classify(status=500, body=body, url="//[x", headers={"Content-Type": "application/json"})

    assert Category.SERVER_ERROR == verdict.category


def test_a_trail_prints_nothing_that_a_terminal_would_obey(library: str) -> None:
    """A provider's code is shown, not carried out."""
    verdict = Verdict(Category.SERVER_ERROR, retryable=False, code="x\n  => success\x1b[2J")

    text = str(Trail(library, events=[Attempt(1, 0.0, 0.0, 500, None, verdict)]))

    assert 2 == len(text.splitlines())
    assert "\x1b" not in text


def test_an_error_that_is_raised_again_tells_one_story(library: str) -> None:
    """A transport that keeps one instance of its error does not collect notes."""
    module = LIBRARIES[library]
    error = module.ConnectError("refused")

    def refuse(request: Any) -> Any:
        raise error

    client = resilience.wrap(
        module.Client(transport=module.MockTransport(refuse)), policies=[watching(retry={"max_attempts": 1})]
    )
    for _ in range(3):
        with pytest.raises(module.ConnectError):
            client.get("http://127.0.0.1/")

    assert 1 == len(error.__notes__)


def test_the_connection_of_a_discarded_head_answer_is_used_again(library: str) -> None:
    """Its length is that of a body which does not come."""
    module = LIBRARIES[library]
    busy = answer(503, b"", "Content-Length: 9000000", "Retry-After: 0", length=False)

    with raw_server(busy, GOOD) as server, resilience.wrap(module.Client(), policies=[watching()]) as client:
        response = client.head(server.url)

    assert (200, 2, 1) == (response.status_code, len(server.requests), server.connections)


def test_wrapped_again_the_last_policies_count(library: str) -> None:
    """And one name is no list of names."""
    module = LIBRARIES[library]
    client = module.Client(transport=module.MockTransport(lambda request: module.Response(200)))

    resilience.wrap(client, policies=[watching(provider="first")])
    resilience.wrap(client, policies=[watching(provider="second")])

    with client:
        assert "second" == client.get("http://127.0.0.1/").extensions["resilience"].provider
    with pytest.raises(errors.ConfigurationError, match=r"policies is a list; write \['anakin'\]"):
        resilience.wrap(client, policies="anakin")


@pytest.mark.parametrize("option", ["deadline", "attempt_timeout"])
def test_no_time_at_all_is_refused(library: str, option: str) -> None:
    """In a policy and in a call: sync and async would disagree on what it means."""
    with pytest.raises(ValueError, match="no time at all is too short"):
        watching(**{option: "0s"})
    with resilience.wrap(LIBRARIES[library].Client(), policies=[watching()]) as client:
        with pytest.raises(errors.ConfigurationError, match=f"{option} in extensions"):
            client.get("http://127.0.0.1:1/", extensions={"resilience": {option: 0}})


def test_an_attempt_is_shorter_than_its_call(library: str) -> None:
    """In the options of a call as in a file."""
    with resilience.wrap(LIBRARIES[library].Client(), policies=[watching()]) as client:
        with pytest.raises(errors.ConfigurationError, match="no second attempt would fit"):
            client.get("http://127.0.0.1:1/", extensions={"resilience": {"deadline": 5, "attempt_timeout": 9}})


def test_given_policies_are_exactly_these(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration in the working directory has no say in them."""
    (tmp_path / "resilience.yaml").write_text("version: 1\nproviders: {anakin: {off: true}}\n")
    monkeypatch.chdir(tmp_path)
    client = LIBRARIES[library].Client(
        transport=LIBRARIES[library].MockTransport(lambda request: LIBRARIES[library].Response(200))
    )

    with resilience.wrap(client, policies=["anakin"]):
        response = client.get("https://api.anakin.io/")

    assert "anakin" == response.extensions["resilience"].provider


@pytest.mark.parametrize(
    "host", ["https://a.test", "A.test", "a.test/v1", "a.test:99999", "a..test", "-a.test", "", "..", "a b"]
)
def test_a_host_that_could_never_match_is_refused(library: str, host: str) -> None:
    """With words for what a host looks like, and no pattern."""
    with pytest.raises(ValueError, match=r"is no host; write api\.example\.com"):
        watching(host)


def test_a_transport_around_no_transport_is_refused(library: str) -> None:
    """At once, and not as a network error of the first call."""
    with pytest.raises(TypeError, match="is no transport of"):
        ADAPTERS[library].Transport(LIBRARIES[library].Client(), policies=[watching()])


@pytest.mark.parametrize("path", ["a b", "", "a[", "x" * 300])
def test_a_wait_hint_names_a_path_that_can_be_read(library: str, path: str) -> None:
    """One that cannot would be met by every error answer, far from the file."""
    with pytest.raises(ValueError, match="body"):
        watching(provider=library, retry={"wait": [{"body": path, "as": "seconds"}]})


@pytest.mark.parametrize("header", ["Gr\u00f6\u00dfe", "a b\r\nX: y", "", "a:b"])
def test_an_idempotency_key_has_a_header_that_can_be_sent(library: str, header: str) -> None:
    """A name is a token (RFC 9110 section 5.6.2), so that a policy can add no header of its own making."""
    with pytest.raises(ValueError, match=r"idempotency\.header"):
        watching(provider=library, idempotency={"header": header})


def test_an_answer_that_comes_while_the_client_is_closed_is_handed_on(library: str) -> None:
    """It is the provider's last word: nothing is sent after it, and it is no error of ours."""
    module = LIBRARIES[library]

    class Closing(module.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            transport.chain.close()
            return module.Response(503)

    transport = ADAPTERS[library].Transport(Closing(), policies=[watching(retry=HOUR)])
    with module.Client(transport=transport) as client:
        response = client.get("http://127.0.0.1/")

    assert (503, "false") == (response.status_code, response.headers["x-should-retry"])
    assert "the client is closed" == response.extensions["resilience"].stopped
