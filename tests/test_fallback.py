"""A shared store that fails: calls go on, it is said once, and it is shared again by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest

from resilience import listen
from resilience._line import Lines
from resilience._transactions import Command, Reply, State, Store
from resilience.events import Listener, StoreChanged
from resilience.stores import StoreError, ask, open_store
from resilience.stores._fallback import FallbackStore
from resilience.stores._memory import MemoryStore
from tests.servers import RedisServer
from tests.shared_stores import acquire, is_admitted, place, release, take
from tests.until import wait_until

# More than a store's own bounds, on machines that are busy.
LONGEST = 2.0


class Shared:
    """A store that fails when it is told to, and counts what it is asked."""

    url = "redis://host:6379"
    instant = False

    def __init__(self) -> None:
        self.lines = Lines()
        self.memory = MemoryStore()
        self.fault: Exception | None = None
        self.decisions = 0
        self.probes = 0
        self.probed = threading.Event()
        self.may_probe = threading.Event()
        self.may_probe.set()
        self.forks = 0

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault

    def run(self, command: Command, now: float, /) -> Reply:
        self.decisions += 1
        self._check()
        return self.memory.run(command, now)

    def run_and_lose_the_reply(self, command: Command, now: float, /) -> Reply:
        self.memory.run(command, now)
        raise StoreError("gone")

    def run_many(self, batch: Sequence[tuple[Command, float]], /) -> list[Reply | Exception]:
        return [self.run(command, now) for command, now in batch]

    def scan(self, prefix: str = "", /) -> Iterator[tuple[str, State]]:
        self._check()
        return self.memory.scan(prefix)

    def now(self, now: float, /) -> float:
        self._check()
        return now + 1000

    def probe(self) -> None:
        self.probes += 1
        self.probed.set()
        self.may_probe.wait(10)
        self._check()

    def close(self) -> None:
        self.memory.clear()

    def before_fork(self) -> None:
        self.forks += 1

    def after_fork(self, *, is_child: bool) -> None:
        self.forks += 10 if is_child else 100


@pytest.fixture(name="shared")
def failing_store() -> Shared:
    return Shared()


@pytest.fixture(name="store")
def fallback_store(shared: Shared) -> FallbackStore:
    return FallbackStore(shared)


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def probe_at(store: FallbackStore, now: float) -> None:
    """A call at a time at which the store is looked for, and the end of that look."""
    store.run(take(key="{p}:bucket:else"), now)
    until(lambda: not store._is_probing)


def has_arrived(store: FallbackStore) -> bool:
    """Whether what was given back while the store was away is free, once the store is looked for."""
    probe_at(store, 100.0)
    return 0 == len(store._owed) and place(store, "two", now=100.0)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "resilience.stores"]


def test_while_the_store_works_it_decides(
    shared: Shared, store: FallbackStore, caplog: pytest.LogCaptureFixture
) -> None:
    """With its own time and its own states, and nothing is said."""
    assert is_admitted(store)

    assert 1 == shared.decisions
    assert 1005.0 == store.now(5.0)
    assert 1 == len(list(store.scan()))
    assert (0, False, []) == (store.fallbacks, store.is_away, said(caplog))


def test_a_store_that_fails_is_replaced_by_this_process_at_once(
    shared: Shared, store: FallbackStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The call that finds it gone is decided here, within the limit; it is said once, however many calls follow."""
    shared.fault = StoreError("Connection refused.")

    admitted = [is_admitted(store, now=10.0) for _ in range(50)]

    assert [True] * 3 + [False] * 47 == admitted
    assert 1 == shared.decisions
    assert (1, True) == (store.fallbacks, store.is_away)
    assert 10.0 == store.now(10.0)
    assert [
        "redis://host:6379 cannot be used: Connection refused.; until it is back, this process decides alone, and on budgets as they say"
    ] == said(caplog)


def test_the_time_of_a_store_that_fails_is_this_processs(shared: Shared, store: FallbackStore) -> None:
    """Whoever asks for it first finds out, as by a decision."""
    shared.fault = StoreError("gone")

    assert 10.0 == store.now(10.0)
    assert (1, True) == (store.fallbacks, store.is_away)


def test_a_fault_of_the_question_is_no_fault_of_the_store(shared: Shared, store: FallbackStore) -> None:
    """A command that cannot be decided anywhere is the caller's to hear of."""
    with pytest.raises(ValueError, match="unpack"):
        store.run(Command("bucket.reserve", ("{p}:bucket:a",), ()), 0.0)
    assert 0 == store.fallbacks


def test_the_store_is_looked_for_after_a_second_then_ever_more_rarely(shared: Shared, store: FallbackStore) -> None:
    """1 s, 2 s, 4 s … 30 s; never by more than one at a time, and nobody waits for it."""
    shared.fault = StoreError("gone")
    assert is_admitted(store, now=0.0)

    probed: list[float] = []
    for tenth in range(1, 1500):
        before = shared.probes
        probe_at(store, tenth / 10)
        if shared.probes > before:
            probed.append(tenth / 10)

    assert [1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0, 121.0] == probed


def test_one_look_at_a_time_and_no_call_waits_for_it(shared: Shared, store: FallbackStore) -> None:
    """However long it takes to find out, and however many ask meanwhile."""
    shared.fault = StoreError("slow")
    assert is_admitted(store, now=0.0)
    shared.may_probe.clear()

    start = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: store.run(take(), 2.0 + number), range(200)))

    assert time.monotonic() - start < LONGEST
    assert shared.probed.wait(10)
    assert 1 == shared.probes
    shared.may_probe.set()
    until(lambda: not store._is_probing)


def test_a_store_that_is_back_decides_again(
    shared: Shared, store: FallbackStore, caplog: pytest.LogCaptureFixture
) -> None:
    """What was decided alone is forgotten, what was shared before counts, and it is said once."""
    assert is_admitted(store, now=0.0)
    shared.fault = StoreError("gone")
    assert [True, True, True, False] == [is_admitted(store, now=0.1) for _ in range(4)]

    shared.fault = None
    probe_at(store, 1.2)

    assert [True, True, False] == [is_admitted(store, now=1.3) for _ in range(3)]
    assert (1, False) == (store.fallbacks, store.is_away)
    assert "redis://host:6379 is back; limits and breakers are shared again" == said(caplog)[1]
    assert 2 == len(said(caplog))

    shared.fault = StoreError("gone again")
    assert [True, True, True, False] == [is_admitted(store, now=1.4) for _ in range(4)]


def test_a_listener_that_ends_the_thread_that_looks_ends_only_that(
    shared: Shared, store: FallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is looked for when it is away again: else this process would decide alone for ever."""

    class Quits(Listener):
        def on_store(self, event: StoreChanged, /) -> None:
            if not event.is_away:
                raise SystemExit

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with contextlib.ExitStack() as stack:
        stack.callback(listen(Quits()))
        for now in (0.0, 100.0):
            shared.fault = StoreError("gone")
            assert is_admitted(store, now=now)
            shared.fault = None
            store.run(take(key="{p}:bucket:else"), now + 2.0)
            until(lambda: not store.is_away)
            until(lambda: not store._is_probing)

    assert 2 == shared.probes


def test_a_store_that_comes_and_goes_is_spoken_of_ever_more_rarely(
    shared: Shared, store: FallbackStore, caplog: pytest.LogCaptureFixture
) -> None:
    """One that was well for half a minute is looked for after a second again."""
    now = 0.0
    for _ in range(6):
        shared.fault = StoreError("gone")
        store.run(take(), now)
        shared.fault = None
        while store.is_away:
            now += 0.5
            probe_at(store, now)
        now += 0.5

    assert now > 50
    assert 12 == len(said(caplog))

    now += 60
    shared.fault = StoreError("gone")
    store.run(take(), now)
    shared.fault = None
    probe_at(store, now + 1.0)
    assert not store.is_away


def test_threads_that_find_it_gone_at_once_say_so_once(
    shared: Shared, store: FallbackStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of them is decided here."""
    barrier = threading.Barrier(8)

    class Slow(StoreError):
        pass

    def fail(command: Command, now: float, /) -> Reply:
        barrier.wait(10)
        raise Slow("gone")

    shared.run = fail  # type: ignore[method-assign]
    with ThreadPoolExecutor(8) as pool:
        admitted = list(pool.map(lambda _: is_admitted(store), range(8)))

    assert 3 == sum(admitted)
    assert (1, 1) == (store.fallbacks, len(said(caplog)))


def test_what_was_reserved_in_the_other_store_does_no_harm(shared: Shared, store: FallbackStore) -> None:
    """A place, or a slot, that is given back where it was never taken, gives nobody anything."""
    assert place(store, "shared", now=0.0)
    granted, _, index, slot, shift = store.run(take(amount=1, seconds=10.0, max_wait=60.0), 0.0)
    reserved = store.run(take(amount=1, seconds=10.0, max_wait=60.0), 0.0)
    spec = ["token_bucket", 1, 10.0, 1, 1]
    shared.fault = StoreError("gone")

    assert place(store, "alone", now=0.2)
    assert [0.0] == store.run(release("shared"), 0.3)
    assert not place(store, "third", now=0.4)
    alone = [store.run(take(amount=1, seconds=10.0, max_wait=60.0), 0.5) for _ in range(2)]
    assert [1, 1] == [reply[0] for reply in alone]
    store.run(Command("bucket.confirm", ("{p}:bucket:hourly:-",), (reserved[4],)), 0.6)

    shared.fault = None
    probe_at(store, 1.3)
    assert [0.0] == store.run(release("alone"), 1.4)
    # What was taken here and given back meanwhile has arrived.
    assert place(store, "third", now=1.5)
    assert not place(store, "fourth", now=1.5)
    assert (1, -1) == (granted, index)
    store.run(Command("bucket.give_back", ("{p}:bucket:hourly:-",), (spec, alone[1][3] + 1e6, alone[1][4])), 1.6)
    assert slot <= reserved[3]
    assert shift < 0
    third = store.run(take(amount=1, seconds=10.0, max_wait=60.0), 1.7)
    assert third[3] >= reserved[3]


def test_tell_never_waits_and_never_fails(shared: Shared, store: FallbackStore) -> None:
    """What is given back arrives soon where the store is, and at once where this process decides."""
    assert place(store, "one", now=0.0)

    store.tell(release("one"), 0.0)
    until(lambda: not list(shared.memory.scan("{p}:permits")) or place(store, "two"))

    shared.fault = StoreError("gone")
    store.tell(release("two"), 0.0)
    assert store._worker.flush(10)
    assert is_admitted(store, now=0.0)
    assert place(store, "three", now=0.0)
    store.tell(release("three"), 0.0)
    assert place(store, "four", now=0.0)


def test_memory_is_told_and_asked_where_it_stands() -> None:
    """`ask` and `tell` take every store."""
    store = MemoryStore()

    assert [1.0] == asyncio.run(as_coroutine(store, acquire("one")))[:1]
    store.tell(release("one"), 0.0)
    assert place(store, "two")


async def as_coroutine(store: Store, command: Command) -> Reply:
    return await ask(store, command, 0.0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tasks_that_find_it_gone_are_decided_here(
    backend: str, shared: Shared, store: FallbackStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that were waiting for it, and those that come after, without its thread."""
    shared.fault = StoreError("gone")
    replies: list[float] = []

    async def one() -> None:
        replies.append((await ask(store, take(), 0.0))[0])

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one)
        decisions = shared.decisions
        for _ in range(5):
            await one()
        assert decisions == shared.decisions

    anyio.run(main, backend=backend)
    assert 3 == sum(replies)
    assert (1, 1) == (store.fallbacks, len(said(caplog)))


def test_closing_forgets_what_was_decided_alone(shared: Shared, store: FallbackStore) -> None:
    """The store may be used again, and is tried at once."""
    shared.fault = StoreError("gone")
    assert is_admitted(store)

    store.close()
    shared.fault = None

    assert not store.is_away
    assert [True, True, True, False] == [is_admitted(store) for _ in range(4)]


def test_a_child_process_begins_anew(shared: Shared, store: FallbackStore) -> None:
    """It has neither threads, nor may it use what its parent's threads held."""
    shared.fault = StoreError("gone")
    assert is_admitted(store)
    held = store._lock
    with held, store._local._lock:
        store.before_fork()
        store.after_fork(is_child=True)
        shared.fault = None

        assert is_admitted(store)
    assert 11 == shared.forks


def test_without_threads_the_process_decides_alone(
    shared: Shared, store: FallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while the interpreter ends: nothing fails, nothing hangs."""
    shared.fault = StoreError("gone")
    assert is_admitted(store)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert is_admitted(store, now=5.0)
    assert not store._is_probing


def test_a_signal_that_comes_before_the_look_leaves_it_to_the_next_call(
    shared: Shared, store: FallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its handler may raise, as Ctrl-C does: the store is found all the same."""
    shared.fault = StoreError("gone")
    assert is_admitted(store)
    shared.fault = None

    def interrupt(self: threading.Thread) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(threading.Thread, "start", interrupt)
        store.run(take(), 5.0)
    probe_at(store, 10.0)

    assert not store.is_away


def test_a_signal_that_comes_before_the_stores_thread_leaves_it_to_what_is_told_next(
    shared: Shared, store: FallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that never began would be waited for, and nothing that is given back would arrive any more."""

    def interrupt(self: threading.Thread) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(threading.Thread, "start", interrupt)
        store.tell(release("a"), 1.0)
    store.tell(release("b"), 2.0)

    wait_until(lambda: 2 == shared.decisions)


def test_what_it_says_of_itself_has_no_password() -> None:
    """Neither its URL nor what a debugger shows."""
    store = open_store("redis://me:hunter2@127.0.0.1:1/0?socket_timeout=1")

    assert "redis://127.0.0.1:1/0" == store.url
    assert "<FallbackStore redis://127.0.0.1:1/0>" == repr(store)
    assert is_admitted(store)
    assert "<FallbackStore redis://127.0.0.1:1/0 (away)>" == repr(store)


def test_a_password_is_not_in_the_log(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is wrong with the server."""
    store = open_store(f"redis://me:hunter2@127.0.0.1:{redis_server.port}")
    with caplog.at_level(logging.DEBUG):
        assert is_admitted(store)

    (record,) = [each for each in caplog.records if each.name == "resilience.stores"]
    assert logging.WARNING == record.levelno
    assert "hunter2" not in record.getMessage()


def test_a_real_server_may_go_and_come(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """Stopped in the middle, it stops nothing; started again, it is shared again within some seconds."""
    store = open_store(redis_server.url)
    other = open_store(redis_server.url, namespace="other")
    assert is_admitted(store, now=time.monotonic())
    redis_server.stop()

    start = time.monotonic()
    assert [True, True, True, False] == [is_admitted(store, now=time.monotonic()) for _ in range(4)]
    assert time.monotonic() - start < LONGEST

    redis_server.start()
    until(lambda: is_admitted(store, now=time.monotonic()) and not store.is_away)  # type: ignore[attr-defined]
    # Said by another thread, once it is back.
    until(lambda: 2 == len(said(caplog)))
    assert is_admitted(store, now=time.monotonic())
    assert redis_server.call("KEYS", "resilience:{p}*").startswith(b"*1")
    assert is_admitted(other, now=time.monotonic())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_frozen_server_delays_no_call_for_long(backend: str, redis_server: RedisServer) -> None:
    """Nor does it stop an event loop for a moment."""
    store = open_store(redis_server.url)
    assert is_admitted(store)
    redis_server.freeze()
    took: list[float] = []
    gaps: list[float] = []

    async def one() -> None:
        start = time.monotonic()
        await ask(store, take(amount=100), start)
        took.append(time.monotonic() - start)

    async def beat(scope: anyio.CancelScope) -> None:
        with scope:
            while True:
                start = time.monotonic()
                await anyio.sleep(0.005)
                gaps.append(time.monotonic() - start)

    async def main() -> None:
        scope = anyio.CancelScope()
        async with anyio.create_task_group() as outer:
            outer.start_soon(beat, scope)
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(one)
                    await anyio.sleep(0.002)
            scope.cancel()

    anyio.run(main, backend=backend)

    assert 50 == len(took)
    assert max(took) < LONGEST
    assert max(gaps) < 0.2
    assert 1 == store.fallbacks  # type: ignore[attr-defined]


def test_a_removed_file_is_left_and_taken_up_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A shared file may fail, and come back, as a server may."""
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}")
    assert is_admitted(store)
    path.unlink()

    assert [True, True, True, False] == [is_admitted(store, now=0.0) for _ in range(4)]
    probe_at(store, 1.5)  # type: ignore[arg-type]

    assert is_admitted(store)
    assert path.exists()
    assert ["was removed" in said(caplog)[0], "is back" in said(caplog)[1]] == [True, True]


def test_a_file_that_becomes_another_programs_is_left_alone(tmp_path: Path) -> None:
    """A mistake that is made while calls are under way fails none of them."""
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}")
    assert is_admitted(store)
    path.unlink()
    path.write_text("Dear diary, " * 100)

    assert is_admitted(store, now=0.0)
    for now in (2.0, 5.0, 10.0):
        probe_at(store, now)  # type: ignore[arg-type]

    assert store.is_away  # type: ignore[attr-defined]
    assert "Dear diary, " * 100 == path.read_text()


def test_a_pause_that_this_process_has_heard_of_outlives_the_store(shared: Shared, store: FallbackStore) -> None:
    """The provider has asked for it; that the store is gone is nothing to the provider."""
    spec = ["token_bucket", 10, 1.0, 10, 1]
    store.run(Command("bucket.pause", ("{p}:bucket:x",), (300.0, spec)), 0.0)
    shared.fault = StoreError("gone")

    granted, wait, *_ = store.run(Command("bucket.reserve", ("{p}:bucket:x",), (1.0, [spec])), 1.0)

    assert (0, 299.0) == (granted, wait)


@pytest.fixture(name="returning")
def store_that_returns_behind_a_look(
    shared: Shared, store: FallbackStore, monkeypatch: pytest.MonkeyPatch
) -> FallbackStore:
    """A store that is away, and comes back when a call has just found it so."""
    look = store._alone

    def look_and_return(now: float) -> bool:
        is_alone = look(now)
        shared.fault = None
        store._probe(now)
        return is_alone

    shared.fault = StoreError("gone")
    assert [True, True, True, False] == [is_admitted(store) for _ in range(4)]
    monkeypatch.setattr(store, "_alone", look_and_return)
    return store


def test_a_call_that_still_finds_it_gone_knows_what_was_decided_alone(returning: FallbackStore) -> None:
    """The memory of the outage is forgotten for those who come after it: this call would have had a whole new limit."""
    assert not is_admitted(returning)

    assert not returning.is_away
    assert [True, True, True, False] == [is_admitted(returning) for _ in range(4)]


def test_tasks_that_still_find_it_gone_know_it_too(returning: FallbackStore) -> None:
    assert 0 == anyio.run(returning.ask, take(), 0.0)[0]
    assert not returning.is_away


def test_what_is_given_back_by_who_still_finds_it_gone_arrives(shared: Shared, returning: FallbackStore) -> None:
    """Nobody else would look at what is owed before the store is away again."""
    assert shared.memory.run(acquire("one"), 0.0)[0]

    returning.tell(release("one"), 0.0)

    until(lambda: not returning.is_away and not len(returning._owed))
    assert place(returning, "two")


def test_a_call_that_waited_for_an_answer_knows_what_was_decided_alone(
    shared: Shared, store: FallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was under way to the store for the whole outage; the others have used the limit up meanwhile."""
    ask_it = shared.run

    def fail_late(command: Command, now: float, /) -> Reply:
        monkeypatch.setattr(shared, "run", ask_it)
        shared.fault = StoreError("gone")
        assert [True, True, True, False] == [is_admitted(store) for _ in range(4)]
        shared.fault = None
        store._probe(now)
        raise StoreError("gone")

    monkeypatch.setattr(shared, "run", fail_late)

    assert not is_admitted(store)
    assert not store.is_away


def test_what_cannot_be_paid_to_a_store_that_has_just_come_back_is_paid_when_it_is_well(
    shared: Shared, returning: FallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was away again for a moment that no call has seen: nobody else would look at what is owed."""
    assert shared.memory.run(acquire("one"), 0.0)[0]
    pay, failures = shared.run_many, [1]

    def fail_once(batch: Sequence[tuple[Command, float]], /) -> list[Reply | Exception]:
        if failures:
            failures.clear()
            raise StoreError("gone")
        return pay(batch)

    monkeypatch.setattr(shared, "run_many", fail_once)
    returning.tell(release("one"), 0.0)
    until(lambda: returning.is_away)
    monkeypatch.undo()

    assert has_arrived(returning)


def test_what_is_noted_while_the_rest_is_paid_is_not_forgotten_either(
    shared: Shared, store: FallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look at what is owed may fail as any other."""
    assert place(store, "one")
    shared.fault = StoreError("gone")
    assert is_admitted(store)
    shared.fault = None
    pay = store._owed.pay

    def pay_nothing(_: object) -> None:
        monkeypatch.setattr(shared, "run_many", fail)
        monkeypatch.setattr(store._owed, "pay", pay)
        store._owed.note(release("one"), 0.0)

    def fail(batch: Sequence[tuple[Command, float]], /) -> list[Reply | Exception]:
        monkeypatch.undo()
        raise StoreError("gone")

    monkeypatch.setattr(store._owed, "pay", pay_nothing)
    store._probe(2.0)
    assert store.is_away

    assert has_arrived(store)


def test_a_place_whose_grant_did_not_arrive_is_free_when_this_process_had_none(
    shared: Shared, store: FallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is refused, and would hold a place in the store that nobody gives back before its lease ends."""
    store._local.run(acquire("alone"), 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(shared, "run", shared.run_and_lose_the_reply)
        assert not place(store, "refused")

    probe_at(store, 2.0)

    assert not store.is_away
    assert place(store, "next", now=2.0)


def test_a_place_whose_grant_did_not_arrive_is_kept_by_a_call_that_goes(
    shared: Shared, store: FallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in flight, and gives the place back when it ends."""
    with monkeypatch.context() as patch:
        patch.setattr(shared, "run", shared.run_and_lose_the_reply)
        assert place(store, "let in")

    probe_at(store, 2.0)

    assert not place(store, "next", now=2.0)
    store.run(release("let in"), 2.0)
    assert place(store, "next", now=2.0)
