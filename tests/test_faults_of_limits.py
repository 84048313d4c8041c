"""Faults of limits 5.8 that its users meet, each shown on the bare library first, and then absent here.

A test that fails in its first half says that limits has repaired the fault.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import limits
import limits.storage.memory
import limits.strategies
import pytest
from limits.storage import MemoryStorage
from limits.strategies import (
    STRATEGIES,
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)
from pydantic import TypeAdapter, ValidationError

from resilience import Policy
from resilience._model import Name
from resilience._scopes import key_of
from resilience._transactions import Command
from resilience.stores._memory import MemoryStore
from tests import worlds
from tests.test_bucket import Buckets

KEYS = ("{p}:bucket:a", "{p}:bucket:b")


class GivenTime:
    """The clock that limits reads: the wall clock of its machine."""

    now = 1_763_600_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture(name="clock", autouse=True)
def given_time(monkeypatch: pytest.MonkeyPatch) -> GivenTime:
    clock = GivenTime()
    monkeypatch.setattr(limits.storage.memory, "time", clock)
    monkeypatch.setattr(limits.strategies, "time", clock)
    return clock


@pytest.fixture(name="storage")
def storage_without_a_thread() -> Iterator[MemoryStorage]:
    """A storage of limits whose sweeping thread has ended before the test does."""
    storage = MemoryStorage()
    yield storage
    end(storage.timer)


def end(timer: threading.Thread) -> None:
    """Wait until a sweeping thread is over, if it was ever begun."""
    if timer.ident is not None:
        timer.join()


def ours(algorithm: str, amount: int, seconds: float = 1.0) -> Buckets:
    return Buckets([algorithm, amount, seconds, amount, 1])


def test_b1_there_is_a_token_bucket_and_a_wait(clock: GivenTime, storage: MemoryStorage) -> None:
    """With limits there is neither: whoever waits for its `reset_time` wakes up again and again."""
    assert "token-bucket" not in STRATEGIES
    assert not [name for name in dir(RateLimiter) if "wait" in name or "acquire" in name]
    for strategy in (MovingWindowRateLimiter, SlidingWindowCounterRateLimiter):
        storage.reset()
        limiter, rate, wakes = strategy(storage), limits.parse("10/second"), 0
        for _ in range(10):
            limiter.hit(rate, "w")
            clock.now += 0.02
        while not limiter.hit(rate, "w", cost=5):
            wakes += 1
            clock.now = max(clock.now + 0.0001, limiter.get_window_stats(rate, "w").reset_time + 0.0001)
        assert wakes > 1

    for algorithm in ("token_bucket", "moving_window", "sliding_window_counter"):
        bucket = ours(algorithm, 10)
        for _ in range(10):
            bucket.reserve(max_wait=0)
            bucket.now += 0.02
        granted, wait, _, slot, shift = bucket.reserve(5)
        bucket.now = slot
        assert granted
        assert wait > 0
        assert [0, 0] == bucket.ask("confirm", shift)


def test_b1_a_cost_over_the_limit_is_an_error(storage: MemoryStorage) -> None:
    """With limits, such a call is refused for ever without a word."""
    assert not MovingWindowRateLimiter(storage).hit(limits.parse("5/second"), "q", cost=6)

    with pytest.raises(ValidationError, match="a cost of 6 never fits into 5; the call would wait for ever"):
        policy([{"rate": "5/second", "cost": 6}])


def test_b2_a_refused_call_takes_nothing(storage: MemoryStorage) -> None:
    """In the fixed window of limits it does: five, then six that are refused, and the next one is refused too."""
    limiter, rate = FixedWindowRateLimiter(storage), limits.parse("10/minute")
    assert [True, False, False] == [limiter.hit(rate, "k", cost=cost) for cost in (5, 6, 1)]

    bucket = ours("fixed_window", 10, 60.0)
    assert [1, 0, 1] == [bucket.reserve(cost, max_wait=0)[0] for cost in (5, 6, 1)]


def test_b2_there_is_no_double_burst_at_the_edge_of_a_window(clock: GivenTime, storage: MemoryStorage) -> None:
    """The default here is the token bucket, which has no edges."""
    limiter, rate = FixedWindowRateLimiter(storage), limits.parse("10/second")
    limiter.hit(rate, "z")
    clock.now += 0.95
    admitted = sum(limiter.hit(rate, "z") for _ in range(20))
    clock.now += 0.055
    admitted += sum(limiter.hit(rate, "z") for _ in range(20))
    assert admitted == 19

    bucket = Buckets([limit_of("10/second").algorithm, 10, 1.0, 10, 1])
    bucket.reserve()
    bucket.now += 0.95
    granted = sum(bucket.reserve(max_wait=0)[0] for _ in range(20))
    bucket.now += 0.055
    granted += sum(bucket.reserve(max_wait=0)[0] for _ in range(20))
    assert granted == 10


def test_b3_several_limits_are_charged_all_or_none(storage: MemoryStorage) -> None:
    """With limits, a call that the second limit refuses has been charged to the first."""
    limiter, five, one = MovingWindowRateLimiter(storage), limits.parse("5/minute"), limits.parse("1/minute")
    assert 1 == sum(limiter.hit(five, "a") and limiter.hit(one, "b") for _ in range(4))
    assert 1 == limiter.get_window_stats(five, "a").remaining

    bucket = ours("moving_window", 5, 60.0)
    both = [bucket.costing(1), ["moving_window", 1, 60.0, 1, 1]]
    assert 1 == sum(int(bucket.ask("reserve", 0, both, keys=KEYS)[0]) for _ in range(4))
    assert 4 == bucket.described()["left"]


def test_b3_two_names_never_make_one_key() -> None:
    """In limits a slash joins the parts of a key, which may stand in a part as well."""
    rate = limits.parse("5/minute")
    assert rate.key_for("api.x/v1", "u") == rate.key_for("api.x", "v1/u")

    # Here it is a colon, which no name has.
    assert key("api.x.v1", "u") != key("api.x", "v1.u")
    assert [True, False] == [is_name("api.x.v1"), is_name("api.x:v1")]


@contextmanager
def threads_switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def crowd(hit: Callable[[], object]) -> int:
    """How many of 192 calls in 16 threads are let through."""
    allowed: list[int] = []
    barrier = threading.Barrier(16)

    def work() -> None:
        barrier.wait()
        for _ in range(12):
            # A timer of limits that two threads start at once raises here.
            try:
                if hit():
                    allowed.append(1)
            except RuntimeError:
                pass

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(allowed)


class Interrupted(dict[str, float]):
    """The expiries of a storage whose thread is always interrupted between counting a call and noting when that expires.

    Chance does the same, a few times in a thousand.
    """

    def __setitem__(self, key: str, value: float) -> None:
        time.sleep(0.001)
        super().__setitem__(key, value)


@pytest.mark.parametrize("algorithm", ["fixed_window", "sliding_window_counter"])
def test_b4_threads_are_never_let_through_twice(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory storage of limits reads and counts in two steps."""
    strategies = {
        "fixed_window": FixedWindowRateLimiter,
        "sliding_window_counter": SlidingWindowCounterRateLimiter,
    }
    # The sweeping threads would only add their own noise.
    monkeypatch.setattr(MemoryStorage, "_MemoryStorage__schedule_expiry", lambda _: None)
    rate = limits.parse("50/hour")

    with threads_switching_often():
        for _ in range(50):
            storage = MemoryStorage()
            storage.expirations = Interrupted()
            limiter = strategies[algorithm](storage)
            if crowd(lambda: limiter.hit(rate, "k")) > 50:  # noqa: B023  called at once
                break
        else:
            pytest.fail("limits let no more than 50 through in 50 tries")
        command = Command("bucket.reserve", KEYS[:1], (0.0, [[algorithm, 50, 3600.0, 50, 1]]))
        for _ in range(5):
            store = MemoryStore()
            assert 50 == crowd(lambda: store.run(command, 1000.0)[0])  # noqa: B023  called at once


def test_b7_expired_states_are_freed_and_no_thread_is_started(
    clock: GivenTime, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys of limits' moving windows stay for ever, and it starts a thread whenever the last one has ended."""
    limiter, rate = MovingWindowRateLimiter(storage), limits.parse("1/second")
    for number in range(1000):
        limiter.hit(rate, f"u{number}")
    clock.now += 60
    end(storage.timer)
    limiter.hit(rate, "x")
    end(storage.timer)
    assert 1001 == len(storage.events)
    started: list[threading.Thread] = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: (started.append(self), start(self))[1])
    for _ in range(5):
        limiter.hit(rate, "x")
        end(storage.timer)
    assert 5 == len(started)

    store = MemoryStore()
    spec = ["moving_window", 1, 1.0, 1, 1]
    for number in range(5000):
        store.run(Command("bucket.reserve", (f"{{p}}:bucket:u{number}",), (0.0, [spec])), 0.0)
    for number in range(1024):
        store.run(Command("bucket.reserve", (f"{{p}}:bucket:x{number % 8}",), (0.0, [spec])), 60.0 + number)
    assert len(store._states) <= 8
    assert 5 == len(started)


def test_b8_a_wall_clock_that_is_set_back_locks_nobody_out(clock: GivenTime, storage: MemoryStorage) -> None:
    """The clock of limits is the wall clock, and it counts an hour that is yet to come."""
    limiter, rate = MovingWindowRateLimiter(storage), limits.parse("1/second")
    limiter.hit(rate, "c")
    clock.now += 1.2 - 3600
    assert not limiter.hit(rate, "c")
    assert 3590 < limiter.get_window_stats(rate, "c").reset_time - clock.now

    # Times of this process are monotonic; a store that is shared goes by its own clock, and does not let it go back.
    bucket = ours("moving_window", 1)
    bucket.reserve()
    bucket.now += 1.2
    assert [1, 0] == bucket.reserve()[:2]
    bucket.now += 1.2 - 3600
    assert 1 >= bucket.look()


def policy(limit: list[dict[str, Any]]) -> Policy:
    return worlds.policy(limits=limit)


def limit_of(rate: str) -> Any:
    return policy([{"rate": rate}]).limits[0]


def key(limit: str, operation: str) -> str:
    call: Any = SimpleNamespace(policy=SimpleNamespace(provider="p"), operation=operation)
    return key_of(call, "bucket", limit, ("operation",))


def is_name(text: str) -> bool:
    """Whether a limit or an operation can be called so."""
    try:
        TypeAdapter(Name).validate_python(text)
    except ValidationError:
        return False
    return True
