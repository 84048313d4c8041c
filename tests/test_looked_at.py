"""A call of which a success, too, has to be looked at takes the whole short cut, and ends as it would in the layers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import httpx2
import pytest

import resilience
from resilience import _chain, _ends, _shortcut, trail_of
from resilience._gate import Gate
from resilience._trail_of import LAST
from tests.test_attempt_shortcut import FULLER, LOOKED_AT, LOOKS, SEEN, held, served_after_a_second
from tests.test_shortcut import LIBRARIES, MODES, Client
from tests.unheard import nobody_listens  # noqa: F401  a fixture for all tests here
from tests.worlds import URL, policy


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("parts", [SEEN, LOOKS], ids=["permits", "looks"])
def test_a_call_that_nothing_holds_up_goes_by_no_layer(
    parts: dict[str, Any], method: str, library: str, mode: str
) -> None:
    """Its answer is whole, and its trail as ever."""
    client = Client(policy(**FULLER | parts), library, mode)
    client.forbid_layers()

    answer = client.call(LOOKED_AT["fine"], method=method)

    assert (200, b'{"ok": true}', 1, 0) == (answer.status_code, answer.content, client.seen, held(client))
    assert ["success"] == [each.verdict.category for each in trail_of(answer).attempts]  # type: ignore[union-attr]


@pytest.mark.parametrize("when", ["sent", "looked at"])
@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_one_that_is_interrupted_holds_nothing(how: str, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its permits are given back, its answer is closed, and the trail tells of it."""
    closed: list[str] = []
    waiting: list[int] = []
    task: Any = None

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await wait()
            yield b""

        async def aclose(self) -> None:
            closed.append("answer")

    async def wait() -> None:
        waiting.append(held(client))
        if how == "cancelled":
            task.cancel()
        await asyncio.sleep(0)
        raise AssertionError

    async def send(_request: httpx.Request) -> httpx.Response:
        if when == "sent":
            await wait()
        return httpx.Response(200, stream=Endless())

    ended: list[float] = []
    monkeypatch.setattr(_ends, "end_call", lambda _exchange, _outcome, seconds: ended.append(seconds))
    client = Client(policy(**FULLER | SEEN | {"retry": {"max_attempts": 1}}), mode="asyncio")
    client.clock.advance(100.0)
    client.transport.inner.handle_async_request = send
    LAST.trail = None

    async def go() -> None:
        nonlocal task
        call: Any = client.transport.handle_async_request(httpx.Request("GET", URL))
        if how == "closed":
            while not waiting:
                call.send(None)
            call.close()
            return
        task = asyncio.ensure_future(call)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())

    trail = resilience.last_trail()
    assert trail is not None
    assert ([2], 0) == (waiting, held(client))
    assert (["answer"] if when == "looked at" else []) == closed[:1]
    assert ("interrupted", [None], [0.0]) == (
        trail.why,
        [each.status for each in trail.attempts],
        [each.started for each in trail.attempts],
    )
    assert [0.0] == ended


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("place", ["_way.Attempt", "_attempt.texts_of"])
def test_a_signal_after_its_answer_leaves_no_connection_open(
    place: str, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else knows of it."""
    closed: list[str] = []

    class Body(library.SyncByteStream):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Iterator[bytes]:
            yield b"{}"

        def close(self) -> None:
            closed.append("closed")

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    transport = library.MockTransport(lambda _: library.Response(200, stream=Body()))
    monkeypatch.setattr(f"resilience.{place}", interrupt)
    made = policy(**FULLER | LOOKS)
    with resilience.wrap(library.Client(transport=transport), [made]) as client, pytest.raises(KeyboardInterrupt):
        client.get(URL)

    assert ["closed"] == closed[:1]


@pytest.mark.parametrize("parts", [SEEN | {"answers": []}, SEEN], ids=["plain", "looked at"])
def test_a_sync_call_holds_its_place_whatever_becomes_of_the_loop_around_it(parts: dict[str, Any]) -> None:
    """An application may call within a loop that ends before it has read the answer."""
    few = {"limits": [{"name": "few", "concurrency": 1, "max_wait": "0s"}], "inspect": {"max_bytes": "1B"}}
    client = Client(policy(**FULLER | parts | few))

    def begin() -> httpx.Response:
        return httpx.Client(transport=client.transport).send(httpx.Request("GET", URL), stream=True)

    async def within() -> httpx.Response:
        return begin()

    client.next = [(200, {}, b"{ ", b" ", b"}")]
    first = asyncio.run(within())

    assert "concurrency" == begin().headers["x-resilience-refused"]
    assert (200, 1) == (first.status_code, client.seen)
    first.close()
    assert 200 == begin().status_code


@pytest.mark.parametrize("parts", [{"answers": []}, {}], ids=["plain", "looked at"])
def test_an_interruption_where_timeouts_are_cut_leaves_no_place_taken(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the wait in front of the pool: with room for one, every later call would wait for ever."""
    gate, is_served = Gate(1), Gate.is_served
    monkeypatch.setattr(_chain, "gate_of", lambda *_: gate)

    def be_served(waker: Any) -> bool:
        if gate.waiting:
            gate.leave(0.0)
        return is_served(gate, waker)

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gate, "is_served", be_served)
    monkeypatch.setattr(_shortcut, "cut_timeouts", interrupt)
    client = Client(policy(**FULLER | LOOKS | parts), mode="asyncio")
    gate.try_enter()

    with pytest.raises(KeyboardInterrupt):
        client.call()

    assert 0 == gate.inside


@pytest.mark.parametrize("when", ["sent", "looked at"])
@pytest.mark.parametrize("parts", [{"answers": []}, {}], ids=["plain", "looked at"])
def test_one_whose_coroutine_is_closed_gives_its_request_back(
    parts: dict[str, Any], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own timeouts, though it had waited for the pool; and is told of, though its answer cannot be closed."""
    gate, is_served = Gate(1), Gate.is_served
    ended: list[Any] = []
    monkeypatch.setattr(_chain, "gate_of", lambda *_: gate)
    monkeypatch.setattr(_ends, "end_call", lambda exchange, *_: ended.append(exchange.trail.why))
    client = Client(policy(**FULLER | LOOKS | parts), mode="asyncio")
    sent: list[Any] = []

    def be_served_after_a_second(waker: Any) -> bool:
        if gate.waiting:
            client.clock.advance(1.0)
            gate.leave(0.0)
            return False
        return is_served(gate, waker)

    class Stuck(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await asyncio.sleep(0)
            yield b""

        async def aclose(self) -> None:
            raise OSError("close failed")

    async def send(request: httpx.Request) -> httpx.Response:
        sent.append(request.extensions["timeout"]["pool"])
        if when == "sent" or parts:
            await asyncio.sleep(0)
            raise AssertionError
        return httpx.Response(200, stream=Stuck())

    monkeypatch.setattr(gate, "is_served", be_served_after_a_second)
    client.transport.inner.handle_async_request = send
    gate.try_enter()

    async def go() -> None:
        call: Any = client.transport.handle_async_request(request)
        while not sent:
            call.send(None)
        call.close()

    request = httpx.Request("GET", URL, extensions={"timeout": {"pool": 5.0}})
    asyncio.run(go())

    assert ([4.0], 5.0) == ([round(each, 1) for each in sent], request.extensions["timeout"]["pool"])
    assert (["interrupted"], 0) == (ended, gate.inside)


def test_one_that_waits_in_front_of_the_pool_has_waited_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent with what is left of the pool's timeout, begins then, and counts once where calls are measured."""
    gate, measured = Gate(1), list[float]()
    monkeypatch.setattr(_chain, "gate_of", lambda *_: gate)
    monkeypatch.setattr(Gate, "is_sampled", True)
    monkeypatch.setattr(gate, "costs", measured.append)
    client = Client(policy(**FULLER | LOOKS), mode="asyncio")
    timeouts = served_after_a_second(gate, client, monkeypatch)

    answer = client.call(LOOKED_AT["fine"])

    trail = trail_of(answer)
    assert trail is not None
    assert ([4.0], [1.0], 0) == (
        [round(each, 1) for each in timeouts],
        [round(each.started, 1) for each in trail.attempts],
        gate.inside,
    )
    assert 5.0 == answer.request.extensions["timeout"]["pool"]
    assert 1 == len(measured)
