"""Stores by their URLs, and how event loops ask them."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
import trio

from resilience._promise import Promise, keep, promise
from resilience._transactions import Command, Reply, State
from resilience.errors import ConfigurationError
from resilience.stores import StoreError, ask, forget_all, open_store
from resilience.stores._fallback import FallbackStore
from resilience.stores._memory import MemoryStore
from resilience.stores._worker import Worker
from resilience.testing import VirtualClock
from tests.servers import RedisServer
from tests.shared_stores import PLACES, acquire, is_admitted, place, release, take


@pytest.fixture(params=["memory", "sqlite", "redis"], name="url")
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Every kind of store, each with nothing in it."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(params=["asyncio", "trio"], name="backend")
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_store_keeps_what_it_is_told(url: str) -> None:
    """Limits and places, their states for people, their time; none holds a credential."""
    store = open_store(url)

    assert [True, True, True, False] == [is_admitted(store) for _ in range(4)]
    assert [True, False] == [place(store, "one"), place(store, "two")]
    store.run(release("one"), 0.0)
    assert place(store, "two")
    assert {PLACES} == {key for key, _ in store.scan("{p}:permits:")}
    assert 2 == len(list(store.scan()))
    assert 100.0 == pytest.approx(store.now(100.0) - store.now(0.0), abs=5) or url.startswith("sqlite")
    assert url == store.url


def test_the_same_url_is_the_same_store(url: str) -> None:
    """All clients of a process share it; another namespace is another store, but for memory."""
    store = open_store(url)

    assert store is open_store(url)
    if url != "memory://":
        assert store is not open_store(url, namespace="other")


def test_forgetting_begins_anew(url: str) -> None:
    """What a file or a server knows stays there; what this process holds does not."""
    store = open_store(url)
    assert is_admitted(store)

    forget_all()

    again = open_store(url)
    assert (again is store) == (url == "memory://")
    admitted = [is_admitted(again) for _ in range(3)]
    assert [True, True, url == "memory://"] == admitted
    assert not is_admitted(store)
    store.close()


def test_a_virtual_clock_has_a_memory_of_its_own() -> None:
    """Its times mean nothing to others."""
    one, other = VirtualClock(), VirtualClock()

    assert open_store(clock=one) is open_store(clock=one)
    assert open_store(clock=one) is not open_store(clock=other)
    assert open_store(clock=one) is not open_store()


@pytest.mark.parametrize(
    "url",
    ["", "redis", "http://h", "memcached://h", "memory://x", "sqlite://x.db", "sqlite:///:memory:", "redis://", "redis://h:x", "rediss+unix:///s"],
)  # fmt: skip
def test_what_is_no_store_is_refused(url: str) -> None:
    """When it is opened, before any call."""
    with pytest.raises(ConfigurationError):
        open_store(url)


@pytest.mark.parametrize("namespace", ["", "a:b", "a{b}", "a*", "a b", "é", "x" * 65, "a\n"])
def test_a_namespace_that_would_not_stay_apart_is_refused(namespace: str) -> None:
    """It becomes part of keys and of patterns of keys."""
    with pytest.raises(ConfigurationError, match="namespace"):
        open_store("redis://127.0.0.1:1", namespace=namespace)


def test_a_relative_file_begins_where_the_process_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And stays there when the process goes elsewhere."""
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///store.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert is_admitted(store)
    assert f"sqlite:///{tmp_path}/store.db" == store.url
    assert [tmp_path / "elsewhere", tmp_path / "store.db"] == sorted(
        each for each in tmp_path.iterdir() if not each.name.endswith(("-wal", "-shm"))
    )


def test_a_forked_child_shares_what_is_shared_and_nothing_else(url: str) -> None:
    """By itself, also while another thread of the parent decides; its memory begins empty."""
    store = open_store(url)
    assert [is_admitted(store), place(store, "parent")] == [True, True]
    here, there = multiprocessing.Pipe()
    stop = threading.Event()

    def decide() -> None:
        while not stop.is_set():
            store.run(acquire("thread", key="{p}:permits:other"), 0.0)

    thread = threading.Thread(target=decide)
    thread.start()
    context = multiprocessing.get_context("fork")
    try:
        for number in range(5):
            process = context.Process(target=lambda: there.send([place(open_store(url), "child") for _ in range(50)]))
            process.start()
            assert here.poll(20)
            assert [url == "memory://"] * 50 == here.recv(), number
            process.join()
    finally:
        stop.set()
        thread.join()

    assert [is_admitted(store) for _ in range(3)] == [True, True, False]


def test_a_forked_child_asks_with_a_thread_of_its_own(url: str, backend: str) -> None:
    """The parent's thread is not there to answer it, nor is what the parent has queued the child's to decide."""
    store = open_store(url)
    assert 1 == anyio.run(ask, store, take(), 0.0, backend=backend)[0]
    here, there = multiprocessing.Pipe()

    process = multiprocessing.get_context("fork").Process(
        target=lambda: there.send(anyio.run(ask, store, take(), 0.0, backend=backend)[0])
    )
    process.start()
    assert here.poll(20)
    assert 1 == here.recv()
    process.join()

    assert [True, url == "memory://"] == [is_admitted(store), is_admitted(store)]


def test_a_child_holds_locks_of_its_own(tmp_path: Path) -> None:
    """SQLite would take those of the parent for its own: while a child decides, its parent must wait, and it for others."""
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}")
    assert is_admitted(store)
    here, there = multiprocessing.Pipe()

    def child() -> None:
        place(open_store(f"sqlite:///{path}"), "child")
        there.send(True)
        # Until the parent has looked.
        there.recv()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    store.close()
    assert here.recv()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        # Changing the mode takes that nobody else has the file open.
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connection.execute("PRAGMA journal_mode=DELETE")
    here.send(True)
    process.join(10)
    forget_all()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        assert [("delete",)] == connection.execute("PRAGMA journal_mode=DELETE").fetchall()


class Counted:
    """A store that says what it is asked, and can be held up."""

    url = "counted://"
    instant = False

    def __init__(self) -> None:
        self.memory = MemoryStore()
        self.lines = self.memory.lines
        self.batches: list[int] = []
        self.may_decide = threading.Event()
        self.may_decide.set()
        self.is_deciding = threading.Event()

    def run(self, command: Command, now: float, /) -> Reply:
        return self.memory.run(command, now)

    def run_many(self, batch: Sequence[tuple[Command, float]], /) -> list[Reply | Exception]:
        self.is_deciding.set()
        assert self.may_decide.wait(20)
        self.batches.append(len(batch))
        results: list[Reply | Exception] = []
        for command, now in batch:
            try:
                results.append(self.run(command, now))
            except ValueError as error:
                results.append(error)
        return results

    def scan(self, prefix: str = "", /) -> Iterator[tuple[str, State]]:
        return self.memory.scan(prefix)

    def now(self, now: float, /) -> float:
        return now

    def probe(self) -> None: ...

    def close(self) -> None: ...

    def before_fork(self) -> None: ...

    def after_fork(self, *, is_child: bool) -> None: ...


@pytest.fixture(name="counted")
def counted_store() -> Counted:
    return Counted()


def test_calls_that_decide_at_once_are_one_batch(counted: Counted, backend: str) -> None:
    """Fifty tasks cost one round trip; each gets its own reply."""
    store = FallbackStore(counted)
    replies: list[float] = []

    async def one() -> None:
        replies.append((await ask(store, take(amount=20), 0.0))[0])

    async def main() -> None:
        counted.may_decide.clear()
        async with anyio.create_task_group() as group:
            for _ in range(51):
                group.start_soon(one)
            await anyio.to_thread.run_sync(counted.is_deciding.wait)
            await anyio.wait_all_tasks_blocked()
            counted.may_decide.set()

    anyio.run(main, backend=backend)
    assert (51, 20) == (len(replies), sum(replies))
    assert 51 == sum(counted.batches)
    assert len(counted.batches) <= 2


def test_several_loops_and_threads_share_one_store(counted: Counted) -> None:
    """Each caller is woken in its own loop."""
    store = FallbackStore(counted)
    replies: list[float] = []

    async def main() -> None:
        async def one() -> None:
            replies.append((await ask(store, take(amount=70), 0.0))[0])

        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(one)

    threads = [
        threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": backend})
        for backend in ("asyncio", "trio", "asyncio")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert (120, 70) == (len(replies), sum(replies))


def test_an_error_of_a_decision_is_its_callers(counted: Counted, backend: str) -> None:
    """The others of its batch are decided."""
    store = FallbackStore(counted)
    raised: list[Exception] = []

    async def bad() -> None:
        try:
            await ask(store, Command("bucket.reserve", ("{p}:bucket:a",), ()), 0.0)
        except ValueError as error:
            raised.append(error)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(bad)
            assert [1] == (await ask(store, take(), 0.0))[:1]

    anyio.run(main, backend=backend)
    assert 1 == len(raised)


def test_what_a_store_may_not_raise_ends_neither_its_thread_nor_those_who_wait(counted: Counted, backend: str) -> None:
    """A fault of a store is told to each who asked; the next batch is decided."""
    worker = Worker(counted)

    def fail(batch: Sequence[tuple[Command, float]], /) -> list[Reply | Exception]:
        del counted.run_many  # type: ignore[method-assign]
        raise ZeroDivisionError

    counted.run_many = fail  # type: ignore[method-assign]

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await worker.ask(take(), 0.0)
        assert 1 == (await worker.ask(take(), 0.0))[0]

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("how", ["scope", "deadline", "task"])
def test_a_call_that_is_cancelled_learns_what_it_was_granted(counted: Counted, backend: str, how: str) -> None:
    """The reply comes first, so that what was granted can be given back; then the cancellation arrives."""
    if how == "task" and backend == "trio":
        how = "scope"
    store = FallbackStore(counted)
    happened: list[str] = []
    counted.may_decide.clear()

    async def call() -> None:
        reply = await ask(store, acquire("one"), 0.0)
        happened.append(f"granted {reply[0]:g}")
        try:
            await anyio.lowlevel.checkpoint()
            happened.append("not cancelled")
        finally:
            store.tell(release("one"), 0.0)

    def later() -> None:
        counted.is_deciding.wait(10)
        time.sleep(0.05)
        happened.append("decided")
        counted.may_decide.set()

    async def main() -> None:
        thread = threading.Thread(target=later)
        thread.start()
        if how == "task":
            task = asyncio.create_task(call())
            await anyio.to_thread.run_sync(counted.is_deciding.wait)
            task.cancel("enough")
            await asyncio.sleep(0)
            task.cancel("enough")
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            with anyio.move_on_after(0.01 if how == "deadline" else 100) as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(call)
                    await anyio.to_thread.run_sync(counted.is_deciding.wait)
                    if how == "scope":
                        scope.cancel()
            assert scope.cancelled_caught
        # Nothing is left over that would cancel the next thing.
        await anyio.sleep(0.01)
        await anyio.to_thread.run_sync(thread.join)
        assert store._worker.flush(10)

    anyio.run(main, backend=backend)
    assert ["decided", "granted 1"] == happened
    assert place(counted, "two")


def test_asyncios_own_timeout_stays_a_timeout(counted: Counted) -> None:
    """The cancellation that is held back is counted as before: `asyncio.timeout` knows it for its own."""
    store = FallbackStore(counted)
    counted.may_decide.clear()

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.1, counted.may_decide.set)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                assert 1 == (await ask(store, take(), 0.0))[0]
                await asyncio.sleep(5)
        task = asyncio.current_task()
        assert task is not None
        assert 0 == task.cancelling()
        await asyncio.sleep(0)

    asyncio.run(main())


def test_a_store_that_never_answers_is_given_up(
    counted: Counted, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a call that is cancelled; the call is decided here."""
    monkeypatch.setattr("resilience.stores._worker._LONGEST_WAIT", 0.05)
    store = FallbackStore(counted)
    counted.may_decide.clear()

    async def main() -> None:
        with anyio.move_on_after(0.01) as scope:
            assert 1 == (await ask(store, take(), 0.0))[0]
            await anyio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert 1 == (await ask(store, take(), 0.0))[0]

    anyio.run(main, backend=backend)
    assert 1 == store.fallbacks
    counted.may_decide.set()


def test_a_full_queue_is_a_store_that_is_too_slow(
    counted: Counted, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks is decided here; what is told is dropped, since leases end."""
    monkeypatch.setattr("resilience.stores._worker._MOST_QUEUED", 3)
    worker = Worker(counted)
    counted.may_decide.clear()
    assert worker.tell(take(), 0.0)
    assert counted.is_deciding.wait(10)

    assert [True, True, True, False] == [worker.tell(take(), 0.0) for _ in range(4)]

    async def main() -> None:
        with pytest.raises(StoreError, match="wait for it"):
            await worker.ask(take(), 0.0)

    anyio.run(main, backend=backend)
    counted.may_decide.set()
    assert worker.flush(10)
    assert [1, 3] == counted.batches


def test_a_batch_has_an_end(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait at its front need not wait for all behind them."""
    monkeypatch.setattr("resilience.stores._worker._MOST_IN_BATCH", 4)
    worker = Worker(counted)
    counted.may_decide.clear()
    worker.tell(take(), 0.0)
    assert counted.is_deciding.wait(10)
    for _ in range(10):
        worker.tell(take(), 0.0)
    counted.may_decide.set()

    assert worker.flush(10)
    assert [1, 4, 4, 2] == counted.batches


def test_the_thread_goes_when_it_has_nothing_to_do(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """And another comes when there is something again; nothing that is put in as it goes is lost."""
    monkeypatch.setattr("resilience.stores._worker._IDLE_SECONDS", 0.001)
    worker = Worker(counted)

    for number in range(300):
        assert worker.tell(take(), 0.0)
        assert worker.flush(10)
        if number % 3 == 0:
            end = time.monotonic() + 10
            while worker._thread is not None:
                assert time.monotonic() < end
                time.sleep(0.0005)

    assert 300 == sum(counted.batches)
    assert Worker(counted).flush(0)


def refuse(self: threading.Thread) -> None:
    """A machine that has no more threads."""
    raise RuntimeError("can't start new thread")


def test_a_worker_without_threads_says_so(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """As while the interpreter ends; it is not said that too many decisions wait, where none does."""
    monkeypatch.setattr(threading.Thread, "start", refuse)
    said: list[str] = []
    worker = Worker(counted, lambda _command, _now, error: said.append(str(error)))

    assert not worker.tell(take(), 0.0)
    with pytest.raises(StoreError, match="no thread can be begun that would ask it"):
        anyio.run(worker.ask, take(), 0.0)
    assert ["no thread can be begun that would ask it"] == said
    assert not worker.flush(1)


def test_what_no_thread_was_there_to_ask_is_not_asked_later(
    counted: Counted, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the place any more that it would be given, and that would be taken until its lease ends."""
    worker = Worker(counted)

    async def main() -> None:
        with monkeypatch.context() as patch, pytest.raises(StoreError):
            patch.setattr(threading.Thread, "start", refuse)
            await worker.ask(acquire("gone"), 0.0)
        assert (await worker.ask(acquire("next"), 0.0))[0] == 1

    anyio.run(main, backend=backend)

    assert [1] == counted.batches


def test_what_is_given_back_at_the_end_of_a_program_arrives(tmp_path: Path) -> None:
    """A permit that the last call gave back must not stay taken until its lease ends."""
    import subprocess
    import sys

    path = tmp_path / "store.db"
    code = """
import asyncio, sys
from resilience.stores import ask, open_store
from tests.shared_stores import acquire, release
async def main():
    store = open_store(sys.argv[1])
    assert (await ask(store, acquire("program"), 0.0))[0]
    for _ in range(100):
        store.tell(release("nobody"), 0.0)
    store.tell(release("program"), 0.0)
asyncio.run(main())
"""
    subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{path}"], check=True, timeout=60, cwd=Path(__file__).parent.parent
    )

    assert place(open_store(f"sqlite:///{path}"), "next")


def test_a_promise_to_a_loop_that_is_gone_is_nobodys(backend: str) -> None:
    """Keeping it does no harm, and the promises to others are kept."""
    gone: list[Promise[int]] = []

    async def make() -> None:
        gone.append(promise())

    anyio.run(make, backend=backend)

    async def main() -> None:
        mine: Promise[int] = promise()
        await anyio.to_thread.run_sync(lambda: keep([(gone[0], 1), (mine, 2)]))
        assert 2 == await mine.wait(10)
        assert None is await promise().wait(0.01)

    anyio.run(main, backend=backend)


def test_each_wait_ends_in_its_own_time(backend: str) -> None:
    """Whichever began first; one that is over takes no other one along, and the next begins anew."""
    ended: list[float] = []

    async def wait(seconds: float) -> None:
        began = time.monotonic()
        assert None is await promise().wait(seconds)
        assert seconds <= time.monotonic() - began + 0.01
        ended.append(seconds)

    async def main() -> None:
        kept: Promise[int] = promise()
        async with anyio.create_task_group() as group:
            for seconds in (0.15, 0.01, 0.08, 0.04):
                group.start_soon(wait, seconds)
            group.start_soon(kept.wait, 10.0)
            await anyio.sleep(0.02)
            kept.set(1)
        await wait(0.03)

    anyio.run(main, backend=backend)
    assert [0.01, 0.04, 0.08, 0.15, 0.03] == ended


def test_a_promise_is_kept_once() -> None:
    """A value that comes after the longest wait, or twice, changes nothing."""

    async def main() -> None:
        mine: Promise[int] = promise()
        assert None is await mine.wait(0.001)
        mine.set(1)
        assert None is mine._value

    asyncio.run(main())
    trio.run(main_of_trio)


async def main_of_trio() -> None:
    mine: Promise[int] = promise()
    mine.set(1)
    mine.set(2)
    assert 1 == await mine.wait(1)


def test_memory_forgets_in_a_child() -> None:
    """And its lock may be held by a thread that is not there."""
    store = MemoryStore()
    assert is_admitted(store)
    lines = store.lines
    with store._lock:
        store.after_fork()
        assert [is_admitted(store) for _ in range(4)] == [True, True, True, False]
    assert lines is not store.lines


def test_memory_is_bounded() -> None:
    """Of more states than it keeps, 100,000 by default, the one that was saved longest ago is forgotten."""
    small, usual = MemoryStore(most_keys=2), MemoryStore()
    for number in (1, 2, 1, 3):
        small.run(acquire(f"{number}", key=f"{number}", lease=10.0), float(number))
    for number in range(100_001):
        usual.run(acquire("one", key=f"{number}", lease=10.0), 0.0)

    assert ["1", "3"] == [key for key, _ in small.scan()]
    assert 100_000 == sum(usual.holds(f"{number}") for number in range(100_001))
    assert not usual.holds("0")
