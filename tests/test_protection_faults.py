"""What reviewers broke in the layers of pacing and protection, and stays whole."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import resilience.httpx
from resilience._bucket import describe
from resilience._fork import Lock
from resilience._transactions import Command, Reply
from resilience.errors import ConfigurationError
from resilience.stores import StoreError, _owed, open_store
from resilience.stores._errors import StateError
from resilience.stores._fallback import FallbackStore
from resilience.stores._owed import Owed, undoing
from tests.test_fallback import Shared, probe_at, said
from tests.worlds import URL, policy

needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")


def client(limits: list[dict[str, Any]], handler: Any = None, **config: Any) -> httpx.Client:
    transport = httpx.MockTransport(handler or (lambda _: httpx.Response(200)))
    found = resilience.httpx.Transport(transport, policies=[policy(limits=limits)], config={"version": 1, **config})
    return httpx.Client(transport=found)


def async_client(limits: list[dict[str, Any]], handler: Any = None) -> httpx.AsyncClient:
    transport = httpx.MockTransport(handler or (lambda _: httpx.Response(200)))
    found = resilience.httpx.Transport(transport, policies=[policy(limits=limits)])
    return httpx.AsyncClient(transport=found)


PACE = [{"name": "pace", "rate": "2/second", "burst": 1, "per": "provider", "max_wait": "3s"}]


def test_a_sync_call_overtakes_a_line_whose_first_it_keeps_from_running() -> None:
    """An async call waits as the first of a line, and its own loop is blocked by a sync call behind it."""

    async def go() -> tuple[int, float, int]:
        async with async_client(PACE) as waiting:
            await waiting.get(URL)
            task = asyncio.create_task(waiting.get(URL))
            await asyncio.sleep(0.05)
            began = time.monotonic()
            with client(PACE) as blocking:
                status = blocking.get(URL).status_code
            return status, time.monotonic() - began, (await task).status_code

    status, seconds, later = asyncio.run(asyncio.wait_for(go(), 20))

    assert (200, 200) == (status, later)
    assert seconds < 3.5


def test_a_line_whose_first_will_never_run_again_is_no_dead_end() -> None:
    """Its event loop was stopped with the call pending, as in a notebook; a thread's deadline still holds."""
    loop = asyncio.new_event_loop()
    waiting = async_client(PACE)
    loop.run_until_complete(waiting.get(URL))
    task = loop.create_task(waiting.get(URL))
    loop.run_until_complete(asyncio.sleep(0.05))
    statuses: list[int] = []

    def call() -> None:
        with client(PACE) as other:
            statuses.append(other.get(URL, extensions={"resilience": {"deadline": 1.6}}).status_code)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(6)

    assert not thread.is_alive()
    assert statuses[0] in {200, 429}
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.run_until_complete(waiting.aclose())
    loop.close()


@pytest.mark.parametrize("algorithm", ["token_bucket", "moving_window"])
def test_calls_cancelled_behind_the_limiter_give_back_what_they_paid(algorithm: str) -> None:
    """They had paid the rate and waited for a permit; nothing of them was sent."""
    limits = [
        {"name": "pace", "rate": "60/hour", "per": "provider", "algorithm": algorithm},
        {"name": "permits", "concurrency": 1, "per": "provider", "max_wait": "10s"},
    ]

    async def go() -> None:
        end = asyncio.Event()

        async def handler(_: httpx.Request) -> httpx.Response:
            await end.wait()
            return httpx.Response(200)

        async with async_client(limits, handler) as calling:
            tasks = [asyncio.create_task(calling.get(URL)) for _ in range(50)]
            await asyncio.sleep(0.2)
            for task in tasks[1:]:
                task.cancel()
            await asyncio.sleep(0)
            end.set()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(go())

    store = open_store()
    (left,) = [
        describe(dict(state), store.now(time.monotonic()))["left"]
        for key, state in store.scan()
        if ":bucket:pace" in key
    ]
    assert 58.9 < float(left) < 59.2


@needs_fork
def test_a_child_that_closes_an_inherited_answer_gives_nothing_back(tmp_path: Path) -> None:
    """The permit is the parent's, which is still reading."""

    class Stream(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"
            yield b"y"

    url = f"sqlite:///{tmp_path}/store.db"
    limits = [{"name": "permits", "concurrency": 1, "per": "provider"}]
    calling = client(limits, lambda _: httpx.Response(200, stream=Stream()), store=url)
    response = calling.send(calling.build_request("GET", URL), stream=True)

    child = os.fork()
    if child == 0:
        response.close()
        os._exit(0)
    os.waitpid(child, 0)

    held = [state["holders"] for _, state in open_store(url).scan() if "holders" in state]
    assert [1] == [len(holders) for holders in held]
    response.close()
    calling.close()


@needs_fork
def test_a_child_finds_every_lock_free() -> None:
    """Also one that a thread of the parent holds at that moment."""
    lock = Lock()
    with lock:
        child = os.fork()
        if child == 0:
            with lock:
                os._exit(7)

    assert 7 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def acquired(number: int) -> Command:
    return Command("permits.acquire", ("{p}:permits:x",), (f"call-{number}", 300.0, 2))


def released(number: int) -> Command:
    return Command("permits.release", ("{p}:permits:x",), (f"call-{number}",))


def test_what_is_given_back_while_the_store_is_away_arrives_when_it_is_back() -> None:
    """Or a place would stay taken until its lease ends."""
    shared = Shared()
    store = FallbackStore(shared)
    assert [1.0] == store.run(acquired(1), 0.0)[:1]
    assert [1.0] == store.run(acquired(2), 0.0)[:1]
    shared.fault = StoreError("down")

    store.run(released(1), 1.0)
    store.run(released(2), 1.1)
    shared.fault = None
    probe_at(store, 10.0)

    assert not store.is_away
    assert {} == dict(shared.memory.scan())


def test_a_told_command_that_fails_is_owed() -> None:
    """Nobody waits for its reply, so nobody would miss it."""
    shared = Shared()
    store = FallbackStore(shared)
    store.run(acquired(1), 0.0)
    shared.fault = StoreError("down")

    store.tell(released(1), 1.0)
    assert store._worker.flush(10)
    assert store.is_away
    shared.fault = None
    probe_at(store, 10.0)

    assert {} == dict(shared.memory.scan())


def test_what_is_owed_is_bounded_and_only_what_gives_back() -> None:
    """A reservation that was made alone is nothing to the shared store."""
    owed, shared = Owed(), Shared()
    owed.note(acquired(1), 0.0)
    for number in range(5000):
        owed.note(released(number), 0.0)

    owed.pay(shared)  # type: ignore[arg-type]

    assert 4096 == shared.decisions


@pytest.mark.parametrize(
    ("command", "reply", "undo"),
    [
        (acquired(1), [1.0, 0.0, -1.0, 0.0, 0.0], released(1)),
        (acquired(1), [0.0, 3.0, 0.0, 2.0], None),
        (
            Command("breaker.admit", ("{p}:breaker:x",), ([], 60.0, 0, 0)),
            [2.0, 0.0, 4.0, 1.0, 1.0, 2.0, 0.0],
            Command("breaker.release", ("{p}:breaker:x",), (4.0, 1.0)),
        ),
        (Command("breaker.admit", ("{p}:breaker:x",), ([], 60.0, 0, 0)), [1.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0], None),
        (Command("bucket.look", ("{p}:bucket:x",), ([],)), [0.0], None),
    ],
)
def test_what_was_granted_to_a_call_that_is_gone_can_be_undone(
    command: Command, reply: Reply, undo: Command | None
) -> None:
    """A place, and a probe's lease."""
    assert undo == undoing(command, reply)


def test_one_state_that_cannot_be_read_does_not_take_the_store_away(caplog: pytest.LogCaptureFixture) -> None:
    """The others are still shared; it is said once."""
    shared = Shared()
    store = FallbackStore(shared)
    shared.fault = StateError("a key holds something else")

    replies = [store.run(acquired(number), 0.0)[0] for number in (1, 2, 3)]

    assert [1.0, 1.0, 0.0] == replies
    assert not store.is_away
    assert ["redis://host:6379: a key holds something else"] == said(caplog)


def test_a_log_that_fails_stops_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter of the application's raises: the call is decided on all the same, and what is owed is kept."""

    def fail(record: logging.LogRecord) -> bool:
        raise ValueError(record.getMessage())

    monkeypatch.setattr(logging.getLogger("resilience.stores"), "filters", [fail])
    monkeypatch.setattr(_owed, "_MOST_COSTS", 1)
    shared = Shared()
    shared.fault = StateError("a key holds something else")
    owed = Owed()

    reply = FallbackStore(shared).run(acquired(1), 0.0)
    for number in range(2):
        owed.note(Command("credits.settle", ("{p}:budget:x",), (float(number), 0, 0, 0, 0)), 0.0)

    assert 1.0 == reply[0]
    assert 1 == len(owed)


@pytest.mark.parametrize(
    ("name", "message"),
    [("", "is a directory; name"), ("missing/store.db", "must be in a directory that exists; make")],
)
def test_a_store_that_can_never_work_is_refused(name: str, message: str, tmp_path: Path) -> None:
    """A directory, or a file in one that does not exist: no outage that will pass."""
    with pytest.raises(ConfigurationError, match=message):
        open_store(f"sqlite:///{tmp_path / name}")


def test_a_listener_hears_of_a_failure_that_has_been_counted() -> None:
    """As with aiobreaker itself: counted, heard of, then the state changes."""
    from aiobreaker import CircuitBreakerListener

    import resilience.breaker

    heard: list[object] = []

    class Listener(CircuitBreakerListener):  # type: ignore[misc]
        def failure(self, breaker: Any, exception: Any) -> None:
            heard.append(breaker.fail_counter)

        def state_change(self, breaker: Any, old: Any, new: Any) -> None:
            heard.append(new.state.name)

    down = policy(retry={"max_attempts": 1}, breaker={"consecutive_failures": 3})
    transport = resilience.httpx.Transport(httpx.MockTransport(lambda _: httpx.Response(500)), policies=[down])
    listener = Listener()
    resilience.breaker.listen(listener)
    try:
        with httpx.Client(transport=transport) as calling:
            for _ in range(3):
                calling.get(URL)
    finally:
        resilience.breaker.forget(listener)

    assert [1, 2, 3, "OPEN"] == heard
