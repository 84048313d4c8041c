"""An attempt takes the short cut by itself, what is sent again among them, and ends as it would have ended in the layers."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest.mock import Mock

import httpx
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilience
import resilience.httpx
from resilience import _attempt, _attempt_shortcut, _chain, _shortcut, trail_of
from resilience._breaker_hearing import Heard
from resilience._breaker_machine import OPEN
from resilience._gate import Gate
from resilience._outcome import Call, Exchange, Outcome
from resilience._runtime import Runtime
from resilience._trail_of import LAST
from resilience._transactions import Command
from resilience.stores._memory import MemoryStore
from resilience.testing import VirtualClock
from tests.test_shortcut import ANSWERS, GUARDED, LIBRARIES, MODES, Client, calls_with, play, streamed, unreadable
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
    client.meanwhile = lambda: monkeypatch.setattr(_attempt_shortcut, "observers", [print])

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
        gate.leave(0.0)
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


def served_after_a_second(gate: Gate, client: Client, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have a call wait in front of the pool for a second; the pool's timeouts of what is sent then."""
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
    return timeouts


def test_a_second_attempt_has_the_pools_whole_timeout(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has waited for a place, and was sent with what was left of it."""
    gate = Gate(1)
    monkeypatch.setattr(_chain, "gate_of", lambda *_: gate)
    client = Client(policy(**GUARDED | {"limits": []}), mode="asyncio")
    timeouts = served_after_a_second(gate, client, monkeypatch)

    assert 200 == client.call(ANSWERS["down"], ANSWERS["good"]).status_code
    assert ([4.0, 5.0], []) == ([round(each, 1) for each in timeouts], asked)


@pytest.mark.parametrize("place", ["headers", "after"])
def test_a_second_answer_that_cannot_be_handed_on_is_closed(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is free again, and the error is the caller's."""
    closed: list[int] = []

    class Stream(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b""

        def close(self) -> None:
            closed.append(200)

    class Lean(httpx.BaseTransport):
        sent = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.sent += 1
            if self.sent == 1:
                return httpx.Response(500)
            made = httpx.Response(200, stream=Stream())
            return unreadable("headers", made) if place == "headers" else made

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


FULLER: dict[str, Any] = GUARDED | {
    "limits": [
        {"name": "pace", "rate": "8/10 seconds", "max_wait": "3s"},
        {"name": "few", "concurrency": 3, "max_wait": "3s", "operations": ["find"]},
        {"name": "host", "concurrency": 5, "max_wait": "3s", "per": "host"},
    ],
    "operations": {
        "find": {"path": "/things", "attempt_timeout": "9s"},
        "make": {"method": "POST", "path": "/jobs", "deadline": "5s"},
    },
    "answers": [
        *GUARDED["answers"],
        {"rule": "full", "when": {"status": 420}, "category": "concurrency_limited", "limit": "few"},
        {"rule": "unwell", "when": {"status": 200, "body": {"ok": False}}, "category": "upstream_unavailable"},
        {"rule": "last", "when": {"status": 200, "body": {"ok": "last"}}, "category": "success", "latch": "account"},
        {"rule": "gone", "when": {"status": 200, "body": {"ok": None}}, "category": "not_found"},
    ],
}
LOOKS: dict[str, Any] = {"limits": [], "operations": {}, "answers": FULLER["answers"][-2:]}
"""Without what else keeps a call from the shorter of the short cuts."""
HELD: dict[str, Any] = {"operations": GUARDED["operations"], "answers": [*GUARDED["answers"], FULLER["answers"][-4]]}
"""With permits, and nothing that keeps a call from the shorter of them."""
SEEN: dict[str, Any] = {"operations": GUARDED["operations"]}
"""With answers that are looked at as well."""
LOOKED_AT: dict[str, Any] = ANSWERS | {
    "full": (420, {}),
    "fine": (200, {}, b'{"ok": ', b"true}"),
    "unwell": (200, {}, b'{"ok": false}'),
    "gone": (200, {}, b'{"ok": null}'),
    "last": (200, {}, b'{"ok": "last"}'),
    "broken": (200, {"Content-Encoding": "gzip"}, b"no gzip"),
    "fine, told": (200, {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "4"}, b'{"ok": 1}'),
    "quoting": (500, {}, b'{"error": {"code": "secret-of-mine", "message": "no"}}'),
}


@settings(max_examples=150)
@given(
    st.lists(calls_with(LOOKED_AT), max_size=14),
    st.sampled_from(["sync", "asyncio"]),
    st.sampled_from([{}, HELD, SEEN]),
)
def test_attempts_end_as_they_would_in_the_layers(history: list[Any], mode: str, parts: dict[str, Any]) -> None:
    """With permits, timeouts and answers that are looked at, whatever happened before; and with fewer of them."""
    play(policy(**FULLER | parts), LOOKED_AT, history, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_call_that_needs_a_permit_alone_goes_by_no_layer(library: str, mode: str) -> None:
    """It has it while its answer is read, and whatever comes of it gives it back."""
    client = Client(policy(**FULLER | HELD), library, mode)
    taken: list[int] = []
    client.meanwhile = lambda: taken.append(held(client))
    for name in ("down", "silent", "missing"):
        client.call(LOOKED_AT[name], LOOKED_AT["good"])
        client.clock.advance(400.0)
    client.forbid_layers()

    answer = client.call(LOOKED_AT["fine"])

    assert (200, b'{"ok": true}') == (answer.status_code, answer.content)
    assert ({2}, 0) == (set(taken), held(client))


@pytest.mark.parametrize("mode", ["sync", "asyncio"])
@pytest.mark.parametrize("where", ["_begin", "_end"])
def test_an_interruption_within_the_short_cut_leaves_no_permit(
    where: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, or what a signal raises, between any of its lines."""
    client = Client(policy(limits=[{"name": "few", "concurrency": 1}]), mode=mode)

    def interrupt(*_: object) -> None:
        assert 1 == held(client)
        raise KeyboardInterrupt

    monkeypatch.setattr(_shortcut, "is_traced", lambda: where == "_begin")
    monkeypatch.setattr(client.transport.chain._shortcut, where, interrupt)

    with pytest.raises(KeyboardInterrupt):
        client.call()

    assert 0 == held(client)


def test_an_interruption_of_a_longer_one_leaves_no_permit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its success is told."""
    client = Client(policy(attempt_timeout="9s", limits=[{"name": "few", "concurrency": 1}]))

    def interrupt(*_: object) -> None:
        assert 1 == held(client)
        raise KeyboardInterrupt

    monkeypatch.setattr(_attempt_shortcut, "hand_on", interrupt)

    with pytest.raises(KeyboardInterrupt):
        client.call()

    assert 0 == held(client)


def test_a_call_whose_coroutine_is_closed_leaves_no_permit() -> None:
    """As an event loop does that ends, and the collector with a task of a loop that is gone."""

    class Pending(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(0)
            raise AssertionError(request)

    made = policy(limits=[{"name": "few", "concurrency": 1}])
    transport = resilience.httpx.Transport(Pending(), policies=[made], clock=VirtualClock())
    store = transport.chain._store = MemoryStore()
    waiting = transport.handle_async_request(httpx.Request("GET", URL))
    waiting.send(None)
    assert [1] == [len(state["holders"]) for key, state in store.scan() if ":permits:" in key]

    waiting.close()

    assert [] == [key for key, _ in store.scan() if ":permits:" in key]


@pytest.mark.parametrize("when", ["sent", "in front of the pool"])
def test_a_call_that_is_cancelled_gives_its_permit_back(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it was."""
    gate = Gate(1)
    monkeypatch.setattr(_chain, "gate_of", lambda *_: gate)

    async def wait(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    def places() -> int:
        return sum(len(state["holders"]) for key, state in store.scan() if ":permits:" in key)

    async def go() -> None:
        async with httpx.AsyncClient(transport=transport) as client:
            task = asyncio.create_task(client.get(URL))
            for _ in range(20):
                await asyncio.sleep(0)
            taken.append(places())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    taken: list[int] = []
    made = policy(limits=[{"name": "few", "concurrency": 3}])
    transport = resilience.httpx.Transport(httpx.MockTransport(wait), policies=[made])
    store = transport.chain._store = MemoryStore()
    if when != "sent":
        gate.try_enter()
    asyncio.run(go())

    assert ([1], 0) == (taken, places())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("parts", [{}, LOOKS], ids=["permits", "looks"])
def test_an_attempt_that_nothing_holds_up_goes_by_no_layer_within(
    parts: dict[str, Any], method: str, library: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its permits, its timeout, and an answer to be looked at."""

    async def refuse(_exchange: Exchange) -> Outcome:
        raise AssertionError("this attempt goes through the layers")

    monkeypatch.setattr(_chain, "credits_layer", lambda *_: refuse)
    client = Client(policy(**FULLER | parts), library, mode)

    answer = client.call(LOOKED_AT["fine"], method=method, url="https://provider.test/things")

    assert (200, b'{"ok": true}', 1) == (answer.status_code, answer.content, client.seen)
    assert not [key for key in client.states if ":permits:" in key]


@pytest.mark.parametrize("mode", ["sync", "asyncio"])
@pytest.mark.parametrize("parts", [{}, LOOKS], ids=["permits", "looks"])
def test_who_traces_has_its_spans_by_the_layers(
    parts: dict[str, Any], mode: str, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the attempts that need more than a question."""
    monkeypatch.setattr(_shortcut, "is_traced", lambda: True)
    client = Client(policy(**FULLER | parts), mode=mode)

    assert 200 == client.call(LOOKED_AT["fine"]).status_code
    assert [1] == asked


@pytest.mark.parametrize("name", ["unwell", "quoting"])
def test_an_answer_is_looked_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the layers get of it is what it means."""
    looks: list[int] = []
    real = _attempt.peek

    async def peek(*arguments: Any) -> Any:
        looks.append(1)
        return await real(*arguments)

    monkeypatch.setattr(_attempt, "peek", peek)
    client = Client(policy(**FULLER))

    client.call(LOOKED_AT[name], LOOKED_AT[name])

    assert (client.seen, 2) == (len(looks), client.seen)


@pytest.mark.parametrize("timeout", ["soon", httpx.Timeout(5)])
def test_timeouts_that_are_none_cost_nothing(timeout: Any) -> None:
    """Nothing was sent, as the layers have it."""
    client = Client(policy(**FULLER | {"limits": [{"name": "pace", "rate": "1/hour", "max_wait": "0s"}]}))
    broken = httpx.Request("GET", "https://provider.test/things", extensions={"timeout": timeout})

    for _ in range(2):
        with pytest.raises((ValueError, TypeError)):
            client.transport.handle_request(broken)
        trail = resilience.last_trail()
        assert trail is not None
        assert ("interrupted", ()) == (trail.why, trail.attempts)
    assert 200 == client.call().status_code


@pytest.mark.parametrize("mode", ["sync", "asyncio"])
@pytest.mark.parametrize(
    ("part", "parts"),
    [
        ("headers", {}),
        ("headers", {"limits": []}),
        ("status_code", {}),
        ("status_code", {"limits": []}),
        ("is_closed", {}),
    ],
)
def test_an_answer_that_cannot_be_read_is_closed_and_holds_nothing(part: str, mode: str, parts: dict[str, Any]) -> None:
    """Its connection is free again, and so is its place."""
    closed: list[str] = []
    client = Client(policy(**FULLER | {"answers": []} | parts), mode=mode)
    stream = streamed(httpx, b"a")
    stream.__class__.close = lambda _: closed.append(part)

    async def aclose(_: Any) -> None:
        closed.append(part)

    def send(request: httpx.Request) -> httpx.Response:
        return unreadable(part, httpx.Response(200, stream=stream, request=request))

    async def send_async(request: httpx.Request) -> httpx.Response:
        return send(request)

    stream.__class__.aclose = aclose
    client.transport.inner.handle_request, client.transport.inner.handle_async_request = send, send_async

    ended = client.call(url="https://provider.test/things")

    assert (f"no {part}", 0) == (str(ended), held(client))
    assert part in closed


def held(client: Client) -> int:
    """How many places are taken."""
    states = {key: state for key, state in dict(client.store.scan()).items() if ":permits:" in key}
    return sum(len(state["holders"]) for state in states.values())


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_permit_is_held_until_the_body_is_closed(library: str, asked: list[int]) -> None:
    """As the layer holds it; of a body that was looked at to its end there is nothing to wait for."""
    client = Client(policy(**FULLER | {"answers": []}), library)
    with client.module.Client(transport=client.transport) as sender:
        for _ in range(2):
            client.next = [(200, {}, b"a", b"b")]
            with sender.stream("GET", URL) as response:
                during = held(client)
                assert b"ab" == response.read()
            assert (2, 0) == (during, held(client))

    assert [] == asked


@pytest.mark.parametrize("name", ["full", "down", "silent", "unreachable", "missing", "unwell", "gone"])
@pytest.mark.parametrize("mode", MODES)
def test_what_fails_gives_its_permit_back(mode: str, name: str) -> None:
    """By the layers, which go on from there."""
    client = Client(policy(**FULLER), mode=mode)
    client.meanwhile = lambda: during.append(held(client))
    during: list[int] = []

    client.call(LOOKED_AT[name], LOOKED_AT[name], url="https://provider.test/things")

    assert ({2}, 0) == (set(during), held(client))


def test_a_limit_that_was_lowered_is_the_layers_to_raise(asked: list[int]) -> None:
    """Its successes count."""
    client = Client(policy(**FULLER))
    client.call(LOOKED_AT["full"], LOOKED_AT["full"])
    asked.clear()

    assert 200 == client.call(LOOKED_AT["fine"]).status_code
    assert ([1], 0) == (asked, held(client))


def test_nobody_overtakes_who_waits_for_a_permit(asked: list[int]) -> None:
    """Whoever stands in its line comes first, also in the moment when a place is free."""
    client = Client(policy(**FULLER))
    client.call(LOOKED_AT["fine"])
    (way,) = client.transport.chain._shortcut._ways._ways.kept.values()
    places = [line for line in way._lines if ":permits:" in line]
    entered = client.store.lines.enter(places[0], 5)
    assert entered is not None

    ended = client.call(LOOKED_AT["fine"])

    assert ([1], 420) == (asked, ended.status_code)
    assert 1 == client.seen


def test_a_full_limit_is_the_layers_to_wait_for(asked: list[int]) -> None:
    """Nothing is paid of the others."""
    limits = [{"name": "pace", "rate": "8/hour"}, {"name": "few", "concurrency": 1, "max_wait": "0s"}]
    client = Client(policy(limits=limits))
    with client.module.Client(transport=client.transport) as sender:
        client.next = [(200, {}, b"a", b"b")]
        with sender.stream("GET", URL):
            refused = client.call()

    assert (429, [1], 1) == (refused.status_code, asked, client.seen)
    assert 0 == held(client)


def test_a_limit_that_was_lowered_and_raised_is_lowered_again() -> None:
    """It is known how often that has happened, since calls that were under way then say it once more."""
    full = {"rule": "full", "when": {"status": 420}, "category": "concurrency_limited"}
    limits = [{"name": "few", "concurrency": 6}]
    client = Client(policy(answers=[full], limits=limits, breaker={"off": True}, retry={"max_attempts": 1}))
    lows: list[bool] = []

    def call(name: str) -> None:
        assert client.call(LOOKED_AT[name]).extensions["resilience"].attempts
        (state,) = [state for key, state in client.states.items() if ":permits:" in key]
        lows.append("most" in state)

    with client.module.Client(transport=client.transport) as sender:
        client.next = [(200, {}, b"a", b"b")] * 5
        streams = [sender.send(sender.build_request("GET", URL), stream=True) for _ in range(5)]
        call("full")
        # As long as somebody is in flight nothing of it is forgotten.
        for stream in streams[1:]:
            stream.close()
        for name in (*["good"] * 40, "full"):
            call(name)
        streams[0].close()

    assert [True, False, True] == [lows[0], lows[-2], lows[-1]]


def test_what_pays_no_limit_takes_no_permit() -> None:
    """All of it or nothing: a bucket that is empty leaves no place taken."""
    limits = [{"name": "pace", "rate": "1/10 seconds", "max_wait": "0s"}, {"name": "few", "concurrency": 3}]
    client = Client(policy(limits=limits))
    client.call()

    assert 429 == client.call().status_code
    assert (0, 1) == (held(client), client.seen)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("place", "seconds", "seen"),
    [
        ("_retry.Purse", None, 1),
        ("_retry.Purse", "9s", 0),
        ("_way.Sent", "9s", 0),
        ("_attempt_shortcut.Attempt", "9s", 1),
    ],
)
def test_a_signal_between_two_layers_leaves_no_place_taken(
    place: str, seconds: str | None, seen: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its handler raises what it likes, wherever a call is; whoever has a worker go on after that misses no place."""
    timed = {} if seconds is None else {"operations": {"find": {"path": "/things", "attempt_timeout": seconds}}}
    client = Client(policy(limits=[{"name": "few", "concurrency": 3}], **timed), mode=mode)
    client.call()
    before = client.seen

    def interrupt(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"resilience.{place}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        client.call(ANSWERS["down"] if seconds is None else ANSWERS["good"])

    assert (seen, 0) == (client.seen - before, held(client))


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_signal_before_the_layers_leaves_no_connection_open(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer was there already, and nobody else knows of it."""
    closed: list[str] = []

    class Body(library.SyncByteStream):  # type: ignore[misc, name-defined]
        def close(self) -> None:
            closed.append("closed")

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    transport = library.MockTransport(lambda _: library.Response(503, stream=Body()))
    monkeypatch.setattr("resilience._retry.Purse", interrupt)
    with resilience.wrap(library.Client(transport=transport), [policy()]) as client, pytest.raises(KeyboardInterrupt):
        client.get(URL)

    assert ["closed"] == closed


@pytest.mark.parametrize("when", ["sent", "looked at"])
@pytest.mark.parametrize("how", ["cancelled", "closed", "out of time"])
def test_an_attempt_that_is_interrupted_holds_nothing(how: str, when: str, asked: list[int]) -> None:
    """Its permit is given back, its answer is closed, and the trail tells of it."""
    closed: list[str] = []

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await wait()
            yield b""

        async def aclose(self) -> None:
            closed.append("answer")

    async def wait() -> None:
        if how == "cancelled":
            task.cancel()
        waiting.append(held(client))
        await (asyncio.Event().wait() if how == "out of time" else asyncio.sleep(0))
        raise AssertionError

    async def send(_request: httpx.Request) -> httpx.Response:
        if when == "sent":
            await wait()
        return httpx.Response(200, stream=Endless())

    seconds = "0.05s" if how == "out of time" else "9s"
    operations = {"find": {"path": "/things", "attempt_timeout": seconds}}
    client = Client(policy(**FULLER | {"operations": operations, "retry": {"max_attempts": 1}}), mode="asyncio")
    client.transport.inner.handle_async_request = send
    waiting: list[int] = []
    task: Any = None

    async def go() -> None:
        nonlocal task
        request = httpx.Request("GET", "https://provider.test/things")
        call: Any = client.transport.handle_async_request(request)
        if how == "closed":
            while not waiting:
                call.send(None)
            call.close()
            return
        task = asyncio.ensure_future(call)
        with pytest.raises(asyncio.CancelledError if how == "cancelled" else httpx.TimeoutException):
            await task

    asyncio.run(go())

    trail = resilience.last_trail()
    assert trail is not None
    assert ([2], 0, []) == (waiting, held(client), asked)
    assert (["answer"] if when == "looked at" else []) == closed[:1]
    assert [None] == [each.status for each in trail.attempts]


def test_a_timeout_of_attempts_bounds_each_of_them() -> None:
    """The request's own timeouts are cut, and given back."""
    client = Client(policy(**FULLER))
    timeouts: list[Any] = []
    real = client.transport.inner.handle_request
    request = httpx.Request("GET", "https://provider.test/things", extensions={"timeout": {"read": 20.0, "pool": 2.0}})

    def note(sent: httpx.Request) -> Any:
        timeouts.append(dict(sent.extensions["timeout"]))
        return real(sent)

    client.transport.inner.handle_request = note
    client.next = [ANSWERS["busy"], ANSWERS["good"]]

    assert 200 == client.transport.handle_request(request).status_code
    assert [{"connect": 9.0, "read": 9.0, "write": 9.0, "pool": 2.0}] * 2 == timeouts
    assert {"read": 20.0, "pool": 2.0} == request.extensions["timeout"]
