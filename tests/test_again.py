"""What is sent again takes the short cut, too, and ends as it would have ended in the layers."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

import resilience.httpx
from resilience import _again, _chain, trail_of
from resilience._breaker_hearing import Heard
from resilience._breaker_machine import OPEN
from resilience._gate import Gate
from resilience._outcome import Call, Exchange, Outcome
from resilience._runtime import Runtime
from resilience._trail_of import LAST
from resilience._transactions import Command
from resilience.testing import VirtualClock
from tests.test_shortcut import ANSWERS, GUARDED, LIBRARIES, MODES, Client
from tests.unheard import nobody_listens  # noqa: F401  a fixture for all tests here
from tests.worlds import URL, policy


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The attempts that the inner layers were asked about before they were sent."""
    found: list[int] = []
    layer: Callable[[Call, Runtime], Call] = _chain.credits_layer

    def noting(inner: Call, runtime: Runtime) -> Call:
        credits_call = layer(inner, runtime)

        async def noted(exchange: Exchange) -> Outcome:
            if exchange.ahead is None:
                found.append(exchange.sent + 1)
            return await credits_call(exchange)

        return noted

    monkeypatch.setattr(_chain, "credits_layer", noting)
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("last", ["good", "down", "silent", "left", "missing"])
def test_a_second_attempt_asks_no_layer_before_it_is_sent(last: str, library: str, mode: str, asked: list[int]) -> None:
    """Whatever comes of it, the layers hear of it then, if it is no plain success."""
    client = Client(policy(**GUARDED), library, mode)

    answer = client.call(ANSWERS["busy"], ANSWERS[last], headers={"X-Key": "me"})

    trail = trail_of(answer)
    assert trail is not None
    assert ([], 2, 2) == (asked, client.seen, len(trail.attempts))
    assert [0.0, 2.125] == [each.started for each in trail.attempts]
    assert [0.125, 0.125] == [each.seconds for each in trail.attempts]


def test_what_holds_a_second_attempt_up_the_layers_know(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its breaker was opened by hand while it waited: nothing is sent, and the first answer is handed back."""
    gate = Gate(1)
    monkeypatch.setattr(_chain, "gate_of", lambda *_: gate)
    client = Client(policy(**GUARDED), mode="asyncio")
    runtime = client.transport.chain._runtime
    real_sleep = runtime.sleep

    async def sleep(*arguments: Any) -> bool:
        slept: bool = await real_sleep(*arguments)
        (key,) = [key for key in dict(client.store.scan()) if ":breaker:" in key]
        client.store.run(Command("breaker.force", (key,), (OPEN, 60.0)), client.clock.now())
        return slept

    monkeypatch.setattr(runtime, "sleep", sleep)

    answer = client.call(ANSWERS["down"], ANSWERS["good"], headers={"X-Key": "me"})

    assert (500, [2], 1, 0) == (answer.status_code, asked, client.seen, gate.inside)


def test_whoever_begins_to_listen_meanwhile_hears_of_it_by_the_layers(
    asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of all calls."""
    client = Client(policy(**GUARDED))
    client.meanwhile = lambda: monkeypatch.setattr(_again, "observers", [print])

    assert 200 == client.call(ANSWERS["busy"], ANSWERS["good"]).status_code
    assert [2] == asked


@pytest.mark.parametrize("answers", [["good"], ["down", "good"]])
def test_a_listener_of_breakers_that_comes_meanwhile_hears_of_the_result(
    answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a first attempt and of a second one."""
    hearing = Mock()
    client = Client(policy(**GUARDED))

    def meanwhile() -> None:
        if client.seen == len(answers):
            monkeypatch.setattr(Heard, "by", hearing)

    client.meanwhile = meanwhile

    assert 200 == client.call(*[ANSWERS[name] for name in answers]).status_code
    assert ["after"] == [name for name, _, _ in hearing.method_calls]


@pytest.mark.parametrize("answers", [["busy", "good"], ["busy", "silent"], ["busy", "down"]])
@pytest.mark.parametrize("room", [1, 2])
def test_a_second_attempt_has_a_place_in_front_of_the_pool_while_it_is_sent(
    room: int, answers: list[str], asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And gives it back; where there is none it waits for one as the layers do."""
    gate = Gate(room)
    monkeypatch.setattr(_chain, "gate_of", lambda *_: gate)
    client = Client(policy(**GUARDED), mode="asyncio")
    inside: list[int] = []
    client.meanwhile = lambda: inside.append(gate.inside)

    client.call(*[ANSWERS[name] for name in answers])

    assert ([], [1, 1], 0) == (asked, inside, gate.inside)


def test_a_second_attempt_that_finds_no_place_waits_for_one(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is paid meanwhile."""
    gate = Gate(1)
    monkeypatch.setattr(_chain, "gate_of", lambda *_: gate)
    client = Client(policy(**GUARDED), mode="asyncio")
    taken: list[bool] = []
    join = gate.join

    def leave_first() -> Any:
        gate.leave()
        return join()

    monkeypatch.setattr(gate, "join", leave_first)
    real_sleep = client.transport.chain._runtime.sleep

    async def sleep(*arguments: Any) -> bool:
        # Somebody comes in between the two attempts, and leaves when the second joins the line.
        slept: bool = await real_sleep(*arguments)
        taken.append(gate.try_enter())
        return slept

    monkeypatch.setattr(client.transport.chain._runtime, "sleep", sleep)

    assert 200 == client.call(ANSWERS["busy"], ANSWERS["good"]).status_code
    assert ([True], [2], 0) == (taken, asked, gate.inside)


def test_a_second_attempt_has_the_pools_whole_timeout(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has waited for a place, and was sent with what was left of it."""
    gate = Gate(1)
    monkeypatch.setattr(_chain, "gate_of", lambda *_: gate)
    client = Client(policy(**GUARDED | {"limits": []}), mode="asyncio")
    timeouts: list[float] = []
    inner = client.transport.inner
    is_served, send = gate.is_served, inner.handle_async_request

    def be_served_after_a_second(waker: Any) -> bool:
        if not timeouts and gate.waiting:
            client.clock.advance(1.0)
            gate.leave()
            return False
        return is_served(waker)

    async def note(request: httpx.Request) -> Any:
        timeouts.append(request.extensions["timeout"]["pool"])
        return await send(request)

    monkeypatch.setattr(gate, "is_served", be_served_after_a_second)
    monkeypatch.setattr(inner, "handle_async_request", note)
    gate.try_enter()

    assert 200 == client.call(ANSWERS["down"], ANSWERS["good"]).status_code
    assert ([4.0, 5.0], [2]) == ([round(each, 1) for each in timeouts], asked)


@pytest.mark.parametrize("place", ["headers", "after"])
def test_a_second_answer_that_cannot_be_handed_on_is_closed(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is free again, and the error is the caller's."""
    closed: list[int] = []

    class Stream(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b""

        def close(self) -> None:
            closed.append(200)

    class Broken(httpx.Response):
        @property
        def headers(self) -> Any:
            raise RuntimeError("no headers")

        @headers.setter
        def headers(self, value: Any) -> None:
            self.__dict__["kept"] = value

    class Lean(httpx.BaseTransport):
        sent = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.sent += 1
            if self.sent == 1:
                return httpx.Response(500)
            made = httpx.Response(200, stream=Stream())
            if place == "headers":
                made.__class__ = Broken
            return made

    def fail(*_: object) -> None:
        raise RuntimeError("no headers")

    if place == "after":
        monkeypatch.setattr("resilience._retry._end", fail)
    made = policy(retry={"max_attempts": 2, "spread": 0, "backoff": {"initial": "0s", "max": "0s"}})
    transport = resilience.httpx.Transport(Lean(), policies=[made])
    with httpx.Client(transport=transport) as client, pytest.raises(RuntimeError, match="no headers"):
        client.get(URL)

    assert [200] == closed[:1]


def test_a_second_attempt_whose_coroutine_is_closed_is_told_of() -> None:
    """As an event loop does that ends; nothing of the call is kept in a circle."""

    class Pending(httpx.AsyncBaseTransport):
        sent = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.sent += 1
            if self.sent == 1:
                return httpx.Response(500)
            await asyncio.sleep(0)
            raise AssertionError

    async def call() -> None:
        request = httpx.Request("GET", URL)
        kept.append(weakref.ref(request))
        await transport.handle_async_request(request)

    kept: list[weakref.ref[httpx.Request]] = []
    made = policy(retry={"max_attempts": 2, "spread": 0, "backoff": {"initial": "0s", "max": "0s"}})
    transport = resilience.httpx.Transport(Pending(), policies=[made], clock=VirtualClock())

    async def go() -> list[int | None]:
        waiting = call()
        while transport.inner.sent < 2:
            waiting.send(None)
        waiting.close()
        trail, LAST.trail = LAST.trail, None
        assert trail is not None
        return [each.status for each in trail.attempts]

    gc.disable()
    try:
        assert [500, None] == asyncio.run(go())
        assert kept[0]() is None
    finally:
        gc.enable()


def test_a_second_attempt_that_is_cancelled_is_told_of() -> None:
    """The provider has it, perhaps; the answer of nobody is kept, and the breaker holds nothing."""
    sent = 0

    async def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        if sent == 1:
            return httpx.Response(429)
        task.cancel()
        await asyncio.sleep(9)
        raise AssertionError

    async def go() -> None:
        nonlocal task
        made = policy(
            **GUARDED | {"retry": {"max_attempts": 2, "spread": 0, "backoff": {"initial": "0s", "max": "0s"}}}
        )
        transport = resilience.httpx.Transport(httpx.MockTransport(answer), policies=[made])
        async with httpx.AsyncClient(transport=transport) as client:
            task = asyncio.create_task(client.get(URL))
            with pytest.raises(asyncio.CancelledError):
                await task

    task: Any = None
    asyncio.run(go())
    gc.collect()

    trail = resilience.last_trail()
    assert trail is not None
    assert ("interrupted", [429, None]) == (trail.why, [each.status for each in trail.attempts])
