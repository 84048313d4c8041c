"""An attempt and a call end in time, in every world."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import anyio
import pytest
import trio
import trio.testing

import resilience
import resilience.httpx
import resilience.httpx2
import resilience.testing
from resilience import errors, trail_of
from resilience.events import Listener
from resilience.simulate import Answer, Simulation
from tests.rawserver import answer, raw_server
from tests.test_transparency import LIBRARIES, watching

ADAPTERS: dict[str, Any] = {"httpx": resilience.httpx, "httpx2": resilience.httpx2}
RETRY = {"max_attempts": 3, "backoff": {"initial": "1s", "jitter": "none"}}


def hanging(module: Any, attempts: list[dict[str, Any]]) -> Any:
    """An async transport that never answers, and notes the timeouts that it was given."""

    class Transport(module.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            attempts.append(dict(request.extensions["timeout"]))
            await anyio.sleep_forever()

    return Transport()


def call_on_trio(library: str, policy: Any, attempts: list[Any], **options: Any) -> tuple[Exception, float]:
    """The error of a call on trio's own virtual time, and how long it took."""
    module = LIBRARIES[library]
    result: list[Any] = []

    async def go() -> None:
        clock = resilience.testing.VirtualClock()
        inner = hanging(module, attempts)
        transport = ADAPTERS[library].Transport(inner, policies=[policy], clock=TrioClock(clock), **options)
        started = trio.current_time()
        async with module.AsyncClient(transport=transport) as client:
            try:
                await client.get("http://127.0.0.1/")
            except Exception as error:
                result.extend([error, trio.current_time() - started])

    trio.run(go, clock=trio.testing.MockClock(autojump_threshold=0))
    return result[0], result[1]


class TrioClock:
    """The layers' clock on trio's virtual time."""

    def __init__(self, inner: Any) -> None:
        self.wall, self.random, self.key, self.sleep = inner.wall, inner.random, inner.key, inner.sleep

    def now(self) -> float:
        return trio.current_time()

    async def sleep_async(self, seconds: float, closing: Any, waker: Any = None) -> None:
        await trio.sleep(seconds)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("listeners", [[], [Listener()]], ids=["on the short cut", "by the layers"])
def test_an_attempt_timeout_ends_each_attempt(library: str, listeners: list[Listener]) -> None:
    """Three attempts of two seconds with waits of one and two between them, and then the library's ReadTimeout."""
    attempts: list[dict[str, Any]] = []

    made = watching(retry=RETRY, attempt_timeout="2s")
    error, took = call_on_trio(library, made, attempts, listeners=listeners)

    assert isinstance(error, LIBRARIES[library].ReadTimeout)
    assert isinstance(error, errors.AttemptTimeout)
    assert 3 == len(attempts)
    assert 9.0 == pytest.approx(took)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_timeout_that_a_transport_knows_by_itself_is_left_to_it(library: str) -> None:
    """A policy cuts those that both libraries have."""
    module = LIBRARIES[library]
    seen: list[dict[str, Any]] = []

    def answer(request: Any) -> Any:
        seen.append(dict(request.extensions["timeout"]))
        return module.Response(200)

    own = {"read": 1.0, "total": 90.0}
    with module.Client(transport=module.MockTransport(answer)) as client:
        resilience.wrap(client, policies=[watching(attempt_timeout="60s")])
        request = client.get("http://127.0.0.1/", extensions={"timeout": own}).request

    assert [{"connect": 60.0, "read": 1.0, "write": 60.0, "pool": 60.0, "total": 90.0}] == seen
    assert {"read": 1.0, "total": 90.0} == request.extensions["timeout"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_deadline_ends_the_call(library: str) -> None:
    """The second attempt gets only what is left; then the error is ours and the library's."""
    attempts: list[dict[str, Any]] = []

    error, took = call_on_trio(library, watching(retry=RETRY, attempt_timeout="2s", deadline="4s"), attempts)

    assert isinstance(error, LIBRARIES[library].TimeoutException)
    assert isinstance(error, errors.DeadlineExceeded)
    assert error.request.method == "GET"
    assert 4.0 == pytest.approx(took)
    assert [2.0, 1.0] == [pytest.approx(attempt["read"]) for attempt in attempts]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_server_that_does_not_answer_is_given_up_on_in_real_time(library: str, *, asynchronous: bool) -> None:
    """Sync and asyncio, over a real connection: the call ends near its deadline, not at the client's own timeout."""
    module = LIBRARIES[library]
    patient = watching(retry={"max_attempts": 1})

    def silent(client: Any) -> None:
        client.recv(1)

    async def go(url: str) -> None:
        async with resilience.wrap(module.AsyncClient(timeout=30), policies=[patient]) as client:
            await client.get(url, extensions={"resilience": {"deadline": 0.3}})

    with raw_server(silent) as server:
        started = time.monotonic()
        with pytest.raises(errors.DeadlineExceeded) as caught:
            if asynchronous:
                asyncio.run(go(server.url))
            else:
                with resilience.wrap(module.Client(timeout=30), policies=[patient]) as client:
                    client.get(server.url, extensions={"resilience": {"deadline": 0.3}})
        took = time.monotonic() - started

    assert isinstance(caught.value, module.TimeoutException)
    assert 0.3 <= took < 5


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_call_within_its_deadline_is_not_disturbed(library: str) -> None:
    """The request keeps the extensions that the application gave it."""
    module = LIBRARIES[library]

    with raw_server(answer(200)) as server, resilience.wrap(module.Client(timeout=7), policies=[watching()]) as client:
        response = client.get(server.url, extensions={"resilience": {"deadline": 5}})

    assert {"deadline": 5} == response.request.extensions["resilience"]
    assert 7 == response.request.extensions["timeout"]["read"]


def test_virtual_time_keeps_the_same_deadlines() -> None:
    """The simulator's provider is too slow once, then good."""
    latencies = iter([10.0, 0.5])
    policy = watching("slow.test", retry=RETRY, attempt_timeout="2s")
    simulation = Simulation([policy], lambda request, now: Answer(200, latency=next(latencies)))

    call = simulation.call("GET", "https://slow.test/")
    simulation.run()

    trail = trail_of(call.answer)
    assert trail is not None
    assert 3.5 == pytest.approx(call.ended)
    assert ["attempt_timeout", None] == [attempt.verdict.error for attempt in trail.attempts]


def test_a_deadline_in_virtual_time_is_an_error_of_ours() -> None:
    """Nothing comes within the deadline."""
    simulation = Simulation([watching("slow.test")], lambda request, now: Answer(200, latency=9))

    call = simulation.call("GET", "https://slow.test/", options={"deadline": 4})
    simulation.run()

    assert isinstance(call.error, errors.DeadlineExceeded)
    assert 4.0 == pytest.approx(call.ended)
