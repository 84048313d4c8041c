"""A call of which a success, too, has to be looked at takes the whole short cut, and ends as it would in the layers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import httpx2
import pytest

import resilience
from resilience import _chain, trail_of
from resilience._gate import Gate
from resilience._trail_of import LAST
from tests.test_attempt_shortcut import FULLER, LOOKED_AT, LOOKS, SEEN, held
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
    monkeypatch.setattr(_chain, "end_call", lambda _exchange, _outcome, seconds: ended.append(seconds))
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


def test_one_that_waits_in_front_of_the_pool_has_waited_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent with what is left of the pool's timeout, begins then, and counts once where calls are measured."""
    gate, measured = Gate(1), list[float]()
    monkeypatch.setattr(_chain, "gate_of", lambda *_: gate)
    monkeypatch.setattr(Gate, "is_sampled", True)
    monkeypatch.setattr(gate, "costs", measured.append)
    client = Client(policy(**FULLER | LOOKS), mode="asyncio")
    timeouts: list[float] = []
    inner = client.transport.inner
    is_served, send = gate.is_served, inner.handle_async_request

    def be_served_after_a_second(waker: Any) -> bool:
        if not timeouts and gate.waiting:
            client.clock.advance(1.0)
            gate.leave(0.0)
            return False
        return is_served(waker)

    async def note(request: httpx.Request) -> Any:
        timeouts.append(request.extensions["timeout"]["pool"])
        return await send(request)

    monkeypatch.setattr(gate, "is_served", be_served_after_a_second)
    monkeypatch.setattr(inner, "handle_async_request", note)
    gate.try_enter()

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
