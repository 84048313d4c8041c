"""What metrics are told of stores: of this process's providers, in bounded time, whatever the stores hold or do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import _credits_lines, _reading, _readings
from resilience._line import Lines
from resilience._observed import OBSERVED
from resilience._reading import Reading
from resilience._readings import Readings, lines_of
from resilience._transactions import Command
from resilience.stores import forget_all, open_store, opened_stores
from resilience.stores._errors import StoreError
from resilience.stores._memory import MemoryStore
from resilience.testing import VirtualClock

ALL = ("p", "q")
EMPTY = Reading({}, {}, {})


class Remote:
    """A shared store that does what a test says when it is read."""

    instant = False
    is_away = False
    url = "redis://remote"

    def __init__(self, scan: Callable[[], Iterator[tuple[str, Any]]]) -> None:
        self._scan = scan
        self.scans = 0
        self.lines = Lines()

    def scan(self, _prefix: str = "", /) -> Iterator[tuple[str, Any]]:
        self.scans += 1
        return self._scan()

    def now(self, now: float, /) -> float:
        return now


def shut(store: Any, key: str, now: float) -> None:
    """A latch."""
    store.run(Command("latch.shut", (key,), ("call", 60.0, 60.0, "402")), now)


def spend(store: Any, key: str, amount: int, now: float, limit: int = 100_000_000) -> None:
    """Reserve something of a budget."""
    spec = [limit, amount, 0.0, 3600.0, -1, 1]
    arguments = (f"c.{amount}", 0, 1, 60.0, 1, [0], spec)
    store.run(Command("credits.reserve", ("{p}:ledger:0", key), arguments), now)


@pytest.fixture
def now() -> float:
    """The machine's."""
    return time.monotonic()


def test_the_memory_of_this_process_is_read_at_once(now: float) -> None:
    """Budgets by name and unit, latches by scope; of these providers and no other."""
    store = MemoryStore()
    shut(store, "{p}:latch:account:-", now)
    shut(store, "{p}:latch:account:other", now)
    shut(store, "{p}:latch:operation.search:-", now)
    shut(store, "{stranger}:latch:account:-", now)
    spend(store, "{p}:credits:daily@credits:ever", 5_000_000, now)

    (reading,) = Readings().of([store], ALL)

    assert {("p", "account"): 2, ("p", "operation"): 1} == reading.latches
    assert {("p", "daily", "credits")} == set(reading.budgets)
    assert 5 == reading.budgets["p", "daily", "credits"].reserved


def test_stores_of_one_url_are_read_apart(tmp_path: Path, now: float) -> None:
    """Two clients of a process may have a namespace each in one file, or on one server."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    stores = [open_store(url, namespace=namespace) for namespace in ("one", "other")]
    shut(stores[1], "{p}:latch:account:-", now)

    readings = Readings(patience=10.0).of(stores, ALL)
    forget_all()

    assert [{}, {("p", "account"): 1}] == [reading.latches for reading in readings]


def test_of_the_parts_of_a_budget_the_one_with_the_least_left_is_told(now: float) -> None:
    """One without an end comes last."""
    store = MemoryStore()
    for tenant, amount in (("a", 5_000_000), ("b", 70_000_000), ("c", 20_000_000)):
        spend(store, f"{{p}}:credits:daily@credits:ever:tag.tenant={tenant}", amount, now)
    spend(store, "{p}:credits:daily@credits:ever:tag.tenant=free", 1, now, limit=-1)

    (reading,) = Readings().of([store], ALL)

    assert 30 == reading.budgets["p", "daily", "credits"].left


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 90_000_000), st.sampled_from((-1, 100_000_000))), max_size=9
    )
)
def test_whatever_the_parts_of_a_budget_the_least_is_found(parts: list[tuple[str, int, int]]) -> None:
    """In whichever order they come; one without an end is the least only where there is no other."""
    store, now, wanted = MemoryStore(), time.monotonic(), dict[str, float]()
    for number, (name, amount, limit) in enumerate(parts):
        spend(store, f"{{p}}:credits:{name}@credits:ever:tag.t={number}", amount, now, limit)
        left = float("inf") if limit < 0 else (limit - amount) / 1_000_000
        wanted[name] = min(wanted.get(name, left), left)

    (reading,) = Readings().of([store], ALL)

    found = {name: line.left for (_, name, _), line in reading.budgets.items()}
    assert {name: None if left == float("inf") else left for name, left in wanted.items()} == {
        name: None if left is None else float(left) for name, left in found.items()
    }


def test_a_budget_of_a_thousand_parts_costs_little_more_than_one(now: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what may be the least is looked at in full."""
    looked: list[str] = []
    store = MemoryStore()
    for tenant in range(1000):
        spend(store, f"{{p}}:credits:daily@credits:ever:tag.tenant={tenant}", 5_000_000, now)

    def line_of(key: str, *arguments: Any, **named: Any) -> Any:
        looked.append(key)
        return _readings_line_of(key, *arguments, **named)

    _readings_line_of = _credits_lines.line_of
    monkeypatch.setattr(_reading, "line_of", line_of)

    (reading,) = Readings().of([store], ALL)

    assert (1, 1) == (len(looked), len(reading.budgets))


def test_memory_is_read_once_for_all_that_is_collected_at_a_time(now: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instrument that is told again begins a new collection, and so does one that comes much later."""
    store, readings, clock = MemoryStore(), Readings(), VirtualClock()
    monkeypatch.setattr(_readings, "_clock", clock)
    scans: list[str] = []

    def scan(prefix: str = "") -> Iterator[Any]:
        scans.append(prefix)
        return iter(())

    monkeypatch.setattr(store, "scan", scan)

    def collect(*names: str) -> int:
        del scans[:]
        for name in names:
            readings.collect(name)
            readings.of([store], ("p",))
        return len(scans)

    once = len(_reading.KINDS)
    assert once == collect("left", "spent", "limit")
    assert once == collect("left", "spent")
    assert 0 == collect("limit")
    assert once == collect("limit")
    clock.advance(1.0)
    assert once == collect("spent")


def test_a_budget_of_an_older_period_is_not_told(now: float) -> None:
    """It is kept for those who ask what was spent."""
    store = MemoryStore()
    spend(store, "{p}:credits:daily@credits:1000-2000", 5, now)

    assert [EMPTY] == Readings().of([store], ALL)


def test_what_cannot_be_read_is_left_out() -> None:
    """Whatever a scan gives or raises."""

    def fail() -> Iterator[tuple[str, Any]]:
        raise StoreError("gone")

    garbage: list[tuple[str, Any]] = [
        ("", {}), ("{p}", {}), ("{p}:breaker:x", {"state": 99}), ("{p}:breaker:y", {"state": "open"}),
        ("{p}:credits:a@b:ever", {"limit": float("nan")}), ("{p}:latch:account:-", {"until": "soon"}),
        ("{p}:credits:a@b:ever", []), ("{p}:breaker:" + "x" * 10_000, {}), ("}:{:", {}),
    ]  # fmt: skip

    assert [] == Readings().of([Remote(fail)], ALL)
    assert [EMPTY] == Readings().of([Remote(lambda: iter(garbage))], ALL)


def test_a_store_without_end_is_read_as_far_as_anybody_looks() -> None:
    """And no further."""

    def endless() -> Iterator[tuple[str, Any]]:
        number = 0
        while True:
            number += 1
            state = {"until": 0, "look_at": 1.0, "look_every": 1.0, "probe": "", "why": "", "since": 0.0}
            yield f"{{p}}:latch:account:{number}", state

    (reading,) = Readings(patience=30.0).of([Remote(endless)], ALL)

    assert {("p", "account"): 10_000} == reading.latches


def test_a_store_that_hangs_is_waited_for_once_and_read_by_one_thread() -> None:
    """Its patience is for all that is collected at a time, and for all stores together."""
    going_on = threading.Event()

    def hang() -> Iterator[tuple[str, Any]]:
        going_on.wait(30)
        return iter(())

    stores = [Remote(hang), Remote(hang), Remote(hang)]
    for number, store in enumerate(stores):
        store.url = f"redis://{number}"
    readings = Readings(every=0.0, patience=0.1)

    began = time.perf_counter()
    found = [readings.of(stores, ALL) for _ in range(10)]
    took = time.perf_counter() - began
    threads = [each for each in threading.enumerate() if each.name == "resilience-metrics"]
    going_on.set()
    for thread in threads:
        thread.join()

    assert [[]] * 10 == found
    assert took < 1.0
    assert (3, [1, 1, 1]) == (len(threads), [store.scans for store in stores])


def test_what_was_read_just_now_is_told_again() -> None:
    """A shared store is not read for each instrument."""
    store = Remote(lambda: iter(()))
    readings = Readings(every=60.0, patience=30.0)

    assert [[EMPTY]] * 5 == [readings.of([store], ALL) for _ in range(5)]
    assert 1 == store.scans


def test_what_was_read_long_ago_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails for a minute has nothing to say."""
    states: list[Any] = [iter(())]

    def scan() -> Iterator[tuple[str, Any]]:
        if not states:
            raise StoreError("gone")
        found: Iterator[tuple[str, Any]] = states.pop()
        return found

    store, readings = Remote(scan), Readings(every=0.0, patience=30.0)
    assert [EMPTY] == readings.of([store], ALL)
    assert [EMPTY] == readings.of([store], ALL)

    monkeypatch.setattr("resilience._readings._OLDEST", -1.0)

    assert [] == readings.of([store], ALL)


def test_one_that_is_away_is_not_asked() -> None:
    """Somebody else looks for it already."""
    store = Remote(lambda: iter(()))
    store.is_away = True

    assert ([], 0) == (Readings().of([store], ALL), store.scans)


def test_without_a_thread_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the interpreter is shutting down."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert [] == Readings().of([Remote(lambda: iter(()))], ALL)


def test_of_a_shared_store_only_this_process_s_providers_are_told() -> None:
    """Others may fill it too."""
    latch = {"until": 0, "look_at": 1.0, "look_every": 1.0, "probe": "", "why": "", "since": 0.0}
    store = Remote(lambda: iter([(f"{{{name}}}:latch:account:-", latch) for name in ("p", "stranger")]))

    (reading,) = Readings(patience=30.0).of([store], ALL)

    assert {("p", "account"): 1} == reading.latches


def test_of_a_budget_in_two_stores_the_one_with_the_least_left_is_told(
    now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever comes first."""
    stores = MemoryStore(), MemoryStore()
    for store, amount in zip(stores, (70_000_000, 5_000_000), strict=True):
        spend(store, "{p}:credits:daily@credits:ever", amount, now)
    metrics: Any = SimpleNamespace(readings=Readings(), providers=ALL)

    for order in (stores, stores[::-1]):
        monkeypatch.setattr("resilience._observed.opened_stores", lambda order=order: order)
        assert {("p", "daily", "credits"): 30.0} == OBSERVED["resilience.credits.left"](metrics)


def test_a_child_process_reads_anew() -> None:
    """The thread that was reading is its parent's."""
    going_on = threading.Event()

    def hang() -> Iterator[tuple[str, Any]]:
        going_on.wait(30)
        return iter(())

    store, readings = Remote(hang), Readings(every=0.0, patience=0.0)
    readings.of([store], ALL)
    readings.of([store], ALL)
    readings.renew()
    readings.of([store], ALL)
    going_on.set()
    for thread in threading.enumerate():
        if thread.name == "resilience-metrics":
            thread.join()

    assert 2 == store.scans


def test_of_no_provider_nothing_is_read(tmp_path: Path) -> None:
    """A process that has made no call asks no store."""
    store = Remote(lambda: iter([("{p}:latch:account:-", {})]))

    assert [EMPTY] == Readings(patience=30.0).of([store], ())
    assert 0 == store.scans


def test_lines_are_told_by_what_they_wait_for() -> None:
    """Accounts and digests of numbers are no part of it."""
    store = MemoryStore()
    for key in ("{p}:bucket:hourly@abcd:acct1", "{p}:bucket:hourly@abcd:acct2", "{p}:permits:jobs:-", "no key of ours"):
        store.lines.enter(key, 10)

    assert {("p", "bucket", "hourly"): 2, ("p", "permits", "jobs"): 1} == lines_of(store)


def test_the_stores_that_are_open_are_told_without_asking_them(tmp_path: Path) -> None:
    """One that is away, or is being opened just now, keeps nobody."""
    forget_all()
    shared = open_store(f"sqlite:///{tmp_path / 'a.db'}")
    from resilience.stores import _open

    with _open._lock.held:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.extend(opened_stores()))
        thread.start()
        thread.join(5)

    assert [open_store(), shared] == found
