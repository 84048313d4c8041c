"""The collector of garbage may come at any moment, also within a lock of ours, and end calls whose loop was closed."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from resilience._gate import Gate
from resilience._line import Lines
from resilience._permit import Permit
from resilience._reservations import _slots_of
from resilience._transactions import SCRIPTS, Command, Reply, Script, Transaction, script_named
from resilience.stores import open_store
from resilience.stores._errors import StoreError
from resilience.stores._fallback import FallbackStore
from resilience.stores._memory import MemoryStore
from resilience.stores._owed import Owed
from resilience.stores._worker import Worker
from resilience.testing import VirtualClock
from tests.test_stranded_calls import call, limited, start

LONGEST = 20.0
"""Seconds after which a thread is taken to hang; none takes one."""


class Collecting:
    """A lock within which the collector comes, as it may."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.__enter__()
        gc.collect()

    def __exit__(self, *error: object) -> None:
        gc.collect()
        self._lock.__exit__(*error)


class Lost:
    """Garbage that does something when it is collected."""

    def __init__(self, end: Any) -> None:
        self.itself = self
        self._end = end

    def __del__(self) -> None:
        self._end()


@pytest.fixture(autouse=True)
def _by_hand() -> Iterator[None]:
    """The collector comes when a test says so, and looks at nothing that was there before: a suite's heap is large."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()
    gc.collect()


def in_time(work: Any) -> Any:
    """What work gives, in a thread that would be left where it hangs."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(LONGEST)
    assert found, "it hangs"
    return found[0]


@pytest.mark.parametrize("where", ["store", "lines", "line", "slots"])
@pytest.mark.parametrize("limit", [{"concurrency": 2}, {"rate": "50/second", "burst": 1}], ids=["places", "rate"])
def test_it_may_end_lost_calls_within_a_lock(limit: dict[str, Any], where: str) -> None:
    """Of the store, of a line, of all lines, of a line's slots: they give back what they hold, and nobody waits for himself."""
    made = limited(**limit)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    start(loop, made, "/slow", 6)
    loop.close()
    store: Any = open_store()
    (line,) = store.lines._lines.values()
    holder = {"store": store, "lines": store.lines, "line": line, "slots": _slots_of.get(line)}[where]
    if holder is None:
        assert "concurrency" in limit
        return
    holder._lock, before = Collecting(holder._lock), holder._lock

    try:
        statuses = in_time(lambda: [call(made)[0] for _ in range(3)])
    finally:
        holder._lock = before

    assert [200] * 3 == statuses
    assert {} == store.lines.lengths()
    for key, state in store.scan("{"):
        assert not state.get("held"), key


@pytest.fixture
def collected_within(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The collector comes in the middle of each decision; whether that has changed the state that it has in hand."""
    changed: list[bool] = []

    def collecting(script: Script) -> Script:
        def run(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
            before = deepcopy(transaction.load(keys[-1]))
            gc.collect()
            changed.append(before != transaction.load(keys[-1]))
            return script(transaction, keys, arguments)

        return run

    for name in ("credits.reserve", "notes.recall"):
        monkeypatch.setitem(SCRIPTS, name, collecting(script_named(name)))
    return changed


def test_what_is_told_within_a_decision_is_done_after_it(collected_within: list[bool]) -> None:
    """In one store, and neither spoils the state that the other has in hand."""
    store, key = MemoryStore(), "{p}:credits:b@credits:ever"
    settle = Command("credits.settle", ("{p}:ledger:1", key), ("e.1", 0, 0, 0, 0, [5, 0.0, 60.0]))
    reserve = ["e.1", 0, 1, 60.0, 1, 0, [100, 5, 0.0, 60.0, -1, 1]]
    store.run(Command("credits.reserve", ("{p}:ledger:1", key), tuple(reserve)), 0.0)
    Lost(lambda: store.tell(settle, 0.0))

    reply = in_time(lambda: store.run(Command("credits.reserve", ("{p}:ledger:2", key), ("e.2", *reserve[1:])), 0.0))

    assert (1, 0, [False, False]) == (reply[0], len(store._later), collected_within)
    ((_, state),) = store.scan("{p}:credits:")
    assert ([[0, 5]], 5, ["e.2"]) == (state["slots"], state["reserved"], list(state["open"]))


@pytest.mark.usefixtures("collected_within")
def test_however_much_is_told_within_a_decision_all_of_it_is_done() -> None:
    """One after the other: each within the one before would be too deep for Python."""
    store, tells = MemoryStore(), [Command("notes.keep", (f"{{p}}:job:{number}",), (60.0, 1)) for number in range(2000)]

    def end() -> None:
        for each in tells:
            store.tell(each, 0.0)

    Lost(end)

    assert [] == in_time(lambda: store.run(Command("notes.recall", ("{p}:job:none",)), 0.0))
    assert 2000 == len(list(store.scan()))


@pytest.mark.usefixtures("collected_within")
def test_what_is_told_in_vain_is_no_matter_of_the_decision(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its call has its reply, and so has what was granted to it; the log tells why the other was not done."""

    def broken(*_: object) -> Reply:
        raise KeyError("gone")

    store = MemoryStore()
    monkeypatch.setitem(SCRIPTS, "notes.keep", broken)
    Lost(lambda: store.tell(Command("notes.keep", ("{p}:job:1",), (60.0, 1)), 0.0))

    assert [] == in_time(lambda: store.run(Command("notes.recall", ("{p}:job:1",)), 0.0))
    assert ["notes.keep was not done"] == [each.getMessage() for each in caplog.records]


@pytest.mark.usefixtures("collected_within")
def test_what_is_told_while_a_shared_store_is_away_waits_as_well() -> None:
    """The memory of this process decides then, and has a state in hand."""

    class Gone:
        url = "fake://"

        def run(self, *_: object) -> Reply:
            raise StoreError("gone")

        run_many = probe = run

    store, key = FallbackStore(Gone()), ("{p}:job:1",)  # type: ignore[arg-type]
    store.run(Command("notes.keep", key, (60.0, 7)), 0.0)
    assert store.is_away
    Lost(lambda: store.tell(Command("notes.keep", key, (60.0, 8)), 0.0))

    assert [7.0] == in_time(lambda: store.run(Command("notes.recall", key), 0.0))
    assert [8.0] == store.run(Command("notes.recall", key), 0.0)


def test_a_call_that_is_collected_while_its_place_is_given_back_waits_for_nobody() -> None:
    """Somebody else gives it back, since its loop was closed, and the collector ends the call within that."""
    told: list[str] = []

    class Runtime:
        def tell(self, _store: object, command: Command) -> None:
            told.append(command.name)
            if 1 == len(told):
                permit.release()

    store = MemoryStore()
    permit = Permit(store, Runtime(), keys=("{p}:permits:all",), documented=(1,), lease=60.0, now=0.0)  # type: ignore[arg-type]

    in_time(lambda: (permit.release(),))

    assert ["permits.release"] == told


def test_a_place_that_is_given_back_while_it_is_renewed_is_given_back_for_good() -> None:
    """By another thread, whose word comes first: what is renewed is taken again."""
    told: list[str] = []

    class Runtime:
        clock = VirtualClock()

        def tell(self, _store: object, command: Command) -> None:
            if command.name == "permits.renew":
                permit.release()
            told.append(command.name)

    runtime: Any = Runtime()
    permit = Permit(MemoryStore(), runtime, keys=("{p}:permits:all",), documented=(1,), lease=60.0, now=0.0)
    runtime.clock.advance(31.0)

    permit.renew()

    assert ["permits.release", "permits.renew", "permits.release"] == told


def test_a_line_that_is_left_by_its_last_while_somebody_enters_it_is_found_again() -> None:
    """Whoever looks for who waits must find him there."""
    lines = Lines()
    entered = lines.enter("a", 9)
    assert entered is not None
    line, waker = entered
    Lost(lambda: lines.leave("a", line, waker))
    line._lock = Collecting(line._lock)  # type: ignore[assignment]

    found = in_time(lambda: lines.enter("a", 9))

    assert lines.get("a") is found[0]
    assert {"a": 1} == lines.lengths()


def test_two_threads_of_which_one_is_in_a_line_and_one_enters_it() -> None:
    """Where the collector ends a call within the line's lock that leaves the line, which takes the lock of all lines."""
    lines = Lines()
    entered = [lines.enter("a", 9) for _ in range(2)]
    ((line, _), (_, second)) = [each for each in entered if each is not None]
    is_inside, may_go = threading.Event(), threading.Event()
    Lost(lambda: lines.leave("a", line, second))

    class Slow(Collecting):
        def __enter__(self) -> None:
            self._lock.__enter__()
            if not is_inside.is_set():
                is_inside.set()
                # For as long as the other may wait for it.
                may_go.wait(0.2)
                gc.collect()

    line._lock = Slow(line._lock)  # type: ignore[assignment]
    thread = threading.Thread(target=line.wake_first, daemon=True)
    thread.start()
    assert is_inside.wait(LONGEST)

    assert in_time(lambda: lines.enter("a", 9)) is not None
    thread.join(LONGEST)
    assert {"a": 2} == lines.lengths()


def test_a_handler_of_a_signal_has_its_reply_within_a_decision(collected_within: list[bool]) -> None:
    """It may make calls of its own, and cannot wait for what it has interrupted; what it only tells comes after that."""
    store, key = MemoryStore(), ("{p}:job:1",)
    asked = Command("notes.recall", key)
    store.run(Command("notes.keep", key, (60.0, 7)), 0.0)
    found: list[list[float]] = []

    def handler() -> None:
        found.append(store.run(asked, 0.0))
        assert 1 == len(list(store.scan()))
        store.tell(Command("notes.keep", key, (60.0, 8)), 0.0)

    Lost(handler)

    assert [7.0] == in_time(lambda: store.run(asked, 0.0))
    assert [8.0] == store.run(asked, 0.0)
    assert ([[7.0]], {False}) == (found, set(collected_within))


def test_what_is_told_while_all_is_looked_at_is_done_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapping must not change while somebody goes through it."""
    store = MemoryStore()
    monkeypatch.setattr("resilience.stores._memory.deepcopy", lambda state: (gc.collect() and None) or state)
    store.run(Command("notes.keep", ("{p}:job:1",), (60.0, 1)), 0.0)
    Lost(lambda: store.tell(Command("notes.keep", ("{p}:job:2",), (60.0, 2)), 0.0))

    assert ["{p}:job:1"] == [key for key, _ in store.scan()]
    assert ["{p}:job:1", "{p}:job:2"] == [key for key, _ in store.scan()]


def test_a_decision_that_is_interrupted_leaves_nothing_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by Ctrl-C, or a task's time limit: what is told afterwards is done."""

    def interrupted(*_: object) -> Reply:
        raise KeyboardInterrupt

    store = MemoryStore()
    with monkeypatch.context() as patch:
        patch.setitem(SCRIPTS, "notes.recall", interrupted)
        patch.setattr("resilience.stores._memory.deepcopy", interrupted)
        store.tell(Command("notes.keep", ("{p}:job:1",), (60.0, 1)), 0.0)
        for work in (lambda: store.run(Command("notes.recall", ("{p}:job:1",)), 0.0), store.scan):
            with pytest.raises(KeyboardInterrupt):
                work()

    store.tell(Command("notes.keep", ("{p}:job:2",), (60.0, 2)), 0.0)
    assert ["{p}:job:1", "{p}:job:2"] == [key for key, _ in store.scan()]


def test_a_handler_of_a_signal_may_decide_while_all_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapping must not change while somebody goes through it."""
    store, keep = MemoryStore(), Command("notes.keep", ("{p}:job:2",), (60.0, 2))
    monkeypatch.setattr("resilience.stores._memory.deepcopy", lambda state: (store.run(keep, 0.0) and None) or state)
    store.run(Command("notes.keep", ("{p}:job:1",), (60.0, 1)), 0.0)

    assert ["{p}:job:1"] == [key for key, _ in store.scan()]


def test_it_may_end_calls_within_the_locks_of_a_gate_and_of_what_is_owed() -> None:
    """And within that of the thread that tells a store what happened."""
    gate, owed = Gate(2), Owed()
    settle = Command("credits.settle", ("k",), ("e.1", 0, 0, 0, 0))
    told: list[Command] = []

    class Store:
        def run_many(self, batch: list[tuple[Command, float]]) -> list[list[float]]:
            told.extend(command for command, _ in batch)
            return [[] for _ in batch]

    worker = Worker(Store())  # type: ignore[arg-type]
    works = [
        (gate, gate.try_enter, lambda: gate.leave(0.0)),
        (owed, lambda: owed.note(settle, 0.0), lambda: owed.note(settle, 1.0)),
        (worker, lambda: worker.tell(settle, 0.0), lambda: worker.tell(settle, 1.0)),
    ]
    gate.try_enter()
    for holder, work, lost in works:
        Lost(lost)
        holder._lock = Collecting(holder._lock)  # type: ignore[attr-defined]
        in_time(lambda work=work: (work(),))

    assert worker.flush(LONGEST)
    assert (1, 2, [settle, settle]) == (gate.inside, len(owed), told)
