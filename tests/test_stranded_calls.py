"""Calls whose event loop was closed, or stopped, while they waited stand in nobody's way."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import ModuleType
from typing import Any

import httpx
import pytest

import resilience.httpx
from resilience import Policy
from resilience._line import Line
from resilience._waker import running_loop
from tests.until import wait_until
from tests.worlds import HOST, URL, policy

LONGEST = 5.0
"""Seconds for which a call waits at most; none of these has to."""


class Server(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Answers at once where nothing is asked for, and `/slow` never."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/slow":
            await asyncio.Event().wait()
        return httpx.Response(200)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        del request
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))


def limited(**limit: Any) -> Policy:
    return policy(limits=[{"name": "all", **limit}], retry={"max_attempts": 1}, breaker={"off": True})


def transport(made: Policy) -> Any:
    return resilience.httpx.Transport(Server(), policies=[made])


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One that is ended by hand, as programs did before `asyncio.run`."""
    made = asyncio.new_event_loop()
    # A task that was never ended is told to the log when it is collected.
    made.set_exception_handler(lambda *_: None)
    yield made
    if not made.is_closed():
        for task in asyncio.all_tasks(made):
            task.cancel()
        made.run_until_complete(asyncio.sleep(0))
        made.close()
    # What was never ended ends now, and not within a test of somebody else's.
    gc.collect()


def start(loop: asyncio.AbstractEventLoop, made: Policy, path: str, calls: int) -> list[asyncio.Task[httpx.Response]]:
    """Begin calls in a loop, which is stopped while they wait."""
    client = httpx.AsyncClient(transport=transport(made))

    async def begin() -> list[asyncio.Task[httpx.Response]]:
        tasks = [asyncio.create_task(client.get(f"https://{HOST}{path}")) for _ in range(calls)]
        for _ in range(20):
            await asyncio.sleep(0)
        return tasks

    return loop.run_until_complete(begin())


def call(made: Policy) -> tuple[int, float]:
    """The status of a call by another client, and how long it took."""
    began = time.monotonic()
    with httpx.Client(transport=transport(made)) as client:
        response = client.get(URL, extensions={"resilience": {"deadline": LONGEST}})
    return response.status_code, time.monotonic() - began


@pytest.mark.parametrize("limit", [{}, {"queue": 4}, {"max_wait": "0s"}], ids=["line", "full line", "no line"])
def test_calls_of_a_closed_loop_hold_no_places_and_stand_in_no_line(
    limit: dict[str, Any], loop: asyncio.AbstractEventLoop
) -> None:
    """Also those that were under way, and though somebody keeps them: nobody will ever end them."""
    made = limited(concurrency=2, **limit)
    kept = start(loop, made, "/slow", 6)
    loop.close()

    status, seconds = call(made)

    assert (6, []) == (len(kept), lines())

    assert 200 == status
    assert seconds < LONGEST / 2


@pytest.mark.parametrize("limit", [{"concurrency": 1}, {"rate": "20/second", "burst": 1}], ids=["places", "rate"])
def test_calls_of_a_stopped_loop_are_passed_by_and_go_on_with_it(
    limit: dict[str, Any], loop: asyncio.AbstractEventLoop
) -> None:
    """Whoever comes later goes before them; when their loop runs again they have their turn."""
    made = limited(**limit)
    with httpx.Client(transport=transport(made)) as holder, holder.stream("GET", URL):
        tasks = start(loop, made, "/", 3)

    status, seconds = call(made)

    assert 200 == status
    assert seconds < LONGEST / 2
    answers = loop.run_until_complete(asyncio.gather(*tasks))
    assert [200, 200, 200] == [answer.status_code for answer in answers]


def test_who_stands_behind_a_stopped_loop_is_woken_in_its_place(loop: asyncio.AbstractEventLoop) -> None:
    """When a place becomes free, and not only when it looks again."""
    made = limited(concurrency=1)
    with ThreadPoolExecutor() as threads:
        with httpx.Client(transport=transport(made)) as holder, holder.stream("GET", URL):
            tasks = start(loop, made, "/", 2)
            behind = threads.submit(call, made)
            wait_until(lambda: 3 == standing())
        status, seconds = behind.result()

    assert 200 == status
    assert seconds < LONGEST / 2
    assert 2 == len(tasks)


def test_who_stands_behind_one_that_was_woken_as_its_loop_stopped_looks_again(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would wake it."""
    monkeypatch.setattr("resilience._line._WATCH", 0.05)
    made = limited(concurrency=1)
    woken: list[Any] = []

    def wake_and_stop(waker: Any) -> None:
        wake = type(waker).call

        def called(self: Any) -> None:
            wake(self)
            if self is waker and not woken:
                woken.append(self)
                # Before the step in which its task would go on.
                loop.stop()

        monkeypatch.setattr(type(waker), "call", called)

    with ThreadPoolExecutor() as threads:
        holder = httpx.Client(transport=transport(made))
        held = holder.send(holder.build_request("GET", URL), stream=True)
        tasks = start(loop, made, "/", 1)
        wake_and_stop(next(iter(lines()[0]._waiting)))
        behind = threads.submit(call, made)
        wait_until(lambda: 2 == standing())
        # The place becomes free within the loop, whose next step is its last.
        loop.call_soon(held.close)
        with suppress(RuntimeError):
            loop.run_forever()
        status, seconds = behind.result()
        holder.close()

    assert 200 == status
    assert seconds < LONGEST / 2
    assert (1, 1) == (len(tasks), len(woken))


def lines() -> list[Line]:
    from resilience.stores import open_store

    return list(open_store().lines._lines.values())


def standing() -> int:
    return sum(len(line) for line in lines())


def test_a_line_looks_no_more_often_for_being_long() -> None:
    """A hundred times a second, all of it."""
    line = Line()
    assert 5.0 == line.watch
    for _ in range(1000):
        line.join(1000)

    assert 10.0 == line.watch


def test_an_asyncio_that_is_half_imported_has_no_loop_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread is in the middle of it."""
    monkeypatch.setitem(sys.modules, "asyncio", ModuleType("asyncio"))

    assert running_loop() is None


def test_a_thread_is_never_stranded() -> None:
    """Only loops stop."""
    line = Line()
    waker = line.join(1)
    assert waker is not None

    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(line.is_first(waker)))
    thread.start()
    thread.join()

    assert [True] == found
    assert (False, False) == (waker.is_stranded, waker.is_lost)
