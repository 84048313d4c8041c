"""Processes that share one limit: together they get all of it and no more, whoever dies, whatever stops.

Set `RESILIENCE_TEST_SECONDS=20` for the long form.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from resilience._transactions import Command, Store
from resilience.stores import ask, open_store
from tests.servers import RedisServer
from tests.shared_stores import KEY

SECONDS = float(os.environ.get("RESILIENCE_TEST_SECONDS", "3"))
PROCESSES = 4
RATE = 100
BURST = 10
TASKS = 5
# What a machine that is busy may be late by with the first and last of a process.
LATE = 0.25
# A thread that sleeps so long, and wakes so much later than it should, was kept from running by the machine.
NAP = 0.005
KEPT = 0.02


class Seen(NamedTuple):
    """Something that happened in a process: an admission, or that the store went or came back."""

    at: float
    what: str
    kept: tuple[tuple[float, float], ...] = ()
    """The times since the last, each from when until when, in which the machine ran nothing of this process."""


class Watch:
    """When the machine ran nothing of this process, though a thread of it was due: no limit can be used meanwhile."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, float]] = []
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            due = time.monotonic() + NAP
            time.sleep(NAP)
            if (now := time.monotonic()) - due > KEPT:
                self._kept.append((due, now))

    def admitted(self) -> Seen:
        kept, self._kept = self._kept, []
        return Seen(time.monotonic(), "admitted", tuple(kept))


def reserve(key: str = KEY) -> Command:
    return Command("bucket.reserve", (key,), (10.0, [["token_bucket", RATE, 1.0, BURST, 1]]))


def admit(store: Store, pipe: Connection, stop: Event) -> None:
    """Take slot after slot, each when it is due."""
    watch = Watch()
    was_away = False
    while not stop.is_set():
        granted, wait, *_ = store.run(reserve(), time.monotonic())
        assert granted
        time.sleep(wait)
        pipe.send(watch.admitted())
        is_away: bool = store.is_away  # type: ignore[attr-defined]
        if is_away != was_away:
            pipe.send(Seen(time.monotonic(), "away" if is_away else "back"))
            was_away = is_away


async def admit_async(store: Store, pipe: Connection, stop: Event) -> None:
    """The same by several tasks of one loop."""
    watch = Watch()

    async def one() -> None:
        while not stop.is_set():
            _, wait, *_ = await ask(store, reserve(), time.monotonic())
            await anyio.sleep(wait)
            pipe.send(watch.admitted())

    async with anyio.create_task_group() as group:
        for _ in range(TASKS):
            group.start_soon(one)


def work(url: str, pipe: Connection, start: Event, stop: Event, backend: str) -> None:
    store = open_store(url)
    # Everything is imported and connected before the time is taken.
    store.run(reserve("{p}:bucket:warm"), time.monotonic())
    if backend != "sync":
        anyio.run(ask, store, reserve("{p}:bucket:warm"), time.monotonic(), backend=backend)
    pipe.send(Seen(0.0, "ready"))
    start.wait(60)
    if backend == "sync":
        admit(store, pipe, stop)
    else:
        anyio.run(admit_async, store, pipe, stop, backend=backend)


class Workers:
    """Processes at work, and what they have said."""

    def __init__(self, url: str, backend: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._start, self._stop = context.Event(), context.Event()
        self.processes: list[BaseProcess] = []
        self._pipes: list[Connection] = []
        self._seen: list[list[Seen]] = []
        for _ in range(PROCESSES):
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(url, there, self._start, self._stop, backend), daemon=True)
            process.start()
            there.close()
            self.processes.append(process)
            self._pipes.append(here)
            self._seen.append([])
        for pipe in self._pipes:
            assert pipe.poll(60)
            assert "ready" == pipe.recv().what
        self.began = time.monotonic()
        self._start.set()

    def listen(self, seconds: float) -> None:
        """Read what they say for so long, so that no pipe fills up."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for pipe in multiprocessing.connection.wait(self._pipes, timeout=left):
                assert isinstance(pipe, Connection)
                self._read(pipe)

    def _read(self, pipe: Connection) -> None:
        index = next(index for index, each in enumerate(self._pipes) if each is pipe)
        try:
            self._seen[index].append(pipe.recv())
        except EOFError:
            # A killed process: the rest of the list keeps its places.
            self._pipes[index] = multiprocessing.get_context().Pipe()[0]

    def seen(self, what: str) -> list[list[float]]:
        """When something happened, in each process."""
        return [[each.at for each in process if each.what == what] for process in self._seen]

    def kept(self, began: float, ended: float) -> float:
        """For how many seconds of that time the machine kept the process that it gave least from running."""
        return max(
            sum(max(0.0, min(till, ended) - max(since, began)) for each in process for since, till in each.kept)
            for process in self._seen
        )

    def end(self) -> None:
        self._stop.set()
        self.listen(0.3)
        for process in self.processes:
            process.kill()
            process.join()
        for pipe in self._pipes:
            pipe.close()


@contextmanager
def workers(url: str, backend: str = "sync") -> Iterator[Workers]:
    started = Workers(url, backend)
    try:
        yield started
    finally:
        started.end()


def most_within(times: list[float], seconds: float) -> int:
    """The most admissions that any window of so many seconds has seen."""
    times = sorted(times)
    first = most = 0
    for last, at in enumerate(times):
        while at - times[first] > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def check_within(times: list[float]) -> None:
    """No window has more than its share; a process that was late by a little has moved a few into the next one."""
    for seconds in (0.5, 1.0, 2.0, SECONDS):
        assert most_within(times, seconds) <= RATE * (seconds + LATE) + BURST


@pytest.fixture(params=["sqlite", "redis"], name="url")
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.mark.parametrize("backend", ["sync", "asyncio", "trio"])
def test_processes_get_all_of_a_limit_together_and_no_more(url: str, backend: str) -> None:
    """At least 97 % of what the rate allows, never more than it and the burst, and each process its part."""
    with workers(url, backend) as crew:
        crew.listen(SECONDS)
        began = crew.began
    kept = crew.kept(began, began + SECONDS)
    times = [[at for at in each if at < began + SECONDS] for each in crew.seen("admitted")]
    everything = sorted(at for each in times for at in each)

    most = RATE * SECONDS + BURST
    print(f"{len(everything)} of {most:.0f} admitted in {SECONDS - kept:g}s: {[len(each) for each in times]}")  # noqa: T201  numbers for who asks
    assert 0.97 * (most - RATE * kept) <= len(everything) <= most + 1
    check_within(everything)
    assert min(map(len, times)) > 0.1 * len(everything)


def test_a_process_that_is_killed_takes_nothing_along(url: str) -> None:
    """The others have all of the limit then; what it had reserved, and no more, is lost."""
    with workers(url) as crew:
        crew.listen(SECONDS / 2)
        crew.processes[0].kill()
        killed = time.monotonic()
        crew.listen(SECONDS / 2)
        ended = time.monotonic()
    kept = crew.kept(killed, ended)
    everything = sorted(at for each in crew.seen("admitted") for at in each)
    after = [at for at in everything if killed + 0.1 < at < ended]

    assert 0.97 * RATE * (ended - killed - 0.1 - kept) - 2 <= len(after)
    check_within(everything)


def test_a_server_that_stops_stops_nobody_and_is_shared_again(redis_server: RedisServer) -> None:
    """While it is away each process keeps to the limit by itself; when it is back, they keep to it together."""
    with workers(redis_server.url) as crew:
        crew.listen(1.0)
        redis_server.stop()
        stopped = time.monotonic()
        crew.listen(1.2)
        redis_server.start()
        crew.listen(4.0)
        shared_again = time.monotonic()
        crew.listen(SECONDS)
        ended = time.monotonic()
    kept = crew.kept(shared_again, ended)
    times = crew.seen("admitted")

    for each in times:
        gaps = [later - earlier for earlier, later in pairwise(each)]
        assert max(gaps) < 1.5
        assert 0.5 * RATE < len([at for at in each if stopped + 0.6 < at < stopped + 1.6])
    assert [1] * PROCESSES == list(map(len, crew.seen("away")))
    assert [1] * PROCESSES == list(map(len, crew.seen("back")))
    assert max(at for each in crew.seen("back") for at in each) < shared_again
    together = [at for each in times for at in each if shared_again < at < ended]
    check_within(together)
    assert 0.97 * RATE * (ended - shared_again - kept) - 2 <= len(together)
