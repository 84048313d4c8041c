"""The limiter in real time: hundreds of waiting tasks and threads keep to the rate, in their order, at no cost."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
from bisect import bisect_left
from itertools import count, pairwise
from typing import Any

import pytest

from resilience import _limiter as limiter_module
from resilience._clock import Closing, RealClock
from resilience._limiter import limiter_layer
from resilience._longest import LONGEST_TIME
from resilience._outcome import Exchange, Outcome
from resilience._reservations import Place, Slot, Standing
from resilience._runtime import AsyncRuntime, SyncRuntime, run_now
from resilience._transactions import Command
from resilience.simulate import _LIBRARY, Answer
from resilience.stores._memory import MemoryStore
from tests.test_limiter import GOOD, exchange_of, label_of, limited, rate

PER_SECOND = 100
POLICY = limited(rate(f"{PER_SECOND}/second", burst=1, queue=10_000))


class Watched(MemoryStore):
    """A store that remembers the slots that it gave, and how many of them were for slots that a busy machine had missed."""

    def __init__(self) -> None:
        super().__init__()
        self.slots: list[float] = []
        self.instead = 0

    def run(self, command: Command, now: float, /) -> list[float]:
        reply = super().run(command, now)
        if command.name == "bucket.reserve" and reply[0]:
            self.slots.append(reply[3])
            self.instead += command.arguments[0] == LONGEST_TIME
        return reply


class Gate:
    """What stands within the limiter: when each call came to it, and which."""

    def __init__(self) -> None:
        self.went: list[tuple[float, Any]] = []

    async def __call__(self, exchange: Exchange) -> Outcome:
        self.went.append((time.monotonic(), label_of(exchange)))
        return Outcome(GOOD, Answer(200))


def check_law(store: Watched, gate: Gate, *, per_second: float) -> None:
    """The slots are evenly spaced, and nobody went before one; so no window holds more than the rate."""
    slots = sorted(store.slots)[: len(gate.went)]
    times = sorted(at for at, _ in gate.went)
    gaps = [later - earlier for earlier, later in pairwise(slots)]
    assert min(gaps) >= 1 / per_second - 1e-5
    assert all(at >= slot - 1e-5 for slot, at in zip(slots, times, strict=True))


def check_windows(store: Watched, gate: Gate, *, per_second: float, burst: int = 1) -> None:
    """No window of any length, between the times at which two calls went, has seen more than the rate and the burst.

    Who goes late moves nearer to those that follow, whose slots do not wait for it, so a window that begins with a late
    call is as long as it looks and as that call was late. For every two calls i <= j in the order of their slots, i
    late by `late[i]` seconds:

        j - i + 1 <= per_second * (times[j] - times[i] + late[i]) + burst

    Nothing else is allowed for: a call that is late at the end of a window only makes it longer, and the lateness is
    what was measured, none where a call went in time. A limiter that spaces slots too closely breaks this, and so does
    one that lets a call go before its own.
    """
    times = sorted(at for at, _ in gate.went)
    slots = sorted(store.slots)[: len(times)]
    # times[i] - late[i] is the slot of i: of all windows that end with j, the one with the least of these has the most.
    least = math.inf
    for number, (slot, at) in enumerate(zip(slots, times, strict=True)):
        least = min(least, number - per_second * slot)
        # Both ends of a window may be off by as much as a slot may be early.
        assert number + 1 - per_second * at - least <= burst + per_second * 2e-5


def most_within(times: list[float], seconds: float) -> int:
    """The most calls that went within any window of so many seconds, which begins with one of them and ends before its end."""
    return max(bisect_left(times, at + seconds) - number for number, at in enumerate(times))


def check_rate(store: Watched, gate: Gate, *, per_second: float) -> float:
    """At least 99 % of the rate, from the first call to one of the last ten: the machine may be late with a single one.

    A slot that it has missed is lost; none is, but in a time in which nobody went.
    """
    times = sorted(at for at, _ in gate.went)
    idle = sum(gap for gap in (later - earlier for earlier, later in pairwise(times)) if gap > 1 / per_second)
    assert store.instead <= per_second * idle
    last = range(len(times) - 10, len(times))
    achieved, at = max((number / (times[number] - times[0]), times[number]) for number in last)
    assert 0.99 * per_second <= achieved + store.instead / (at - times[0])
    return achieved


def print_numbers(title: str, store: Watched, gate: Gate, achieved: float, cpu: float) -> None:
    slots, times = sorted(store.slots), sorted(at for at, _ in gate.went)
    late = sorted(at - slot for slot, at in zip(slots, times, strict=False))
    span = times[-1] - times[0]
    sys.stdout.write(
        f"\n{title}: {len(times)} calls in {span:.2f} s, {achieved:.2f}/s; late by {1000 * late[len(late) // 2]:.2f} ms "
        f"(median), {1000 * late[int(0.99 * len(late))]:.2f} ms (99 %), {1000 * late[-1]:.2f} ms (most); at most "
        f"{most_within(times, 1.0)} in any 1 s; CPU {100 * cpu / span:.1f} %\n"
    )


def test_two_hundred_tasks_get_the_whole_rate_in_their_order() -> None:
    """For five seconds: never more than the rate, hardly less, and nobody overtakes."""
    gate, store, numbers = Gate(), Watched(), count()
    layer = limiter_layer(gate, AsyncRuntime(_LIBRARY, None, RealClock()))  # type: ignore[arg-type]

    async def keep_calling() -> None:
        while True:
            await layer(exchange_of(POLICY, store=store, label=next(numbers)))

    async def go() -> float:
        tasks = [asyncio.create_task(keep_calling()) for _ in range(200)]
        before = time.process_time()
        await asyncio.sleep(5.0)
        cpu = time.process_time() - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return cpu

    cpu = asyncio.run(go())

    check_law(store, gate, per_second=PER_SECOND)
    check_windows(store, gate, per_second=PER_SECOND)
    achieved = check_rate(store, gate, per_second=PER_SECOND)
    print_numbers("200 tasks", store, gate, achieved, cpu)
    labels = [label for _, label in gate.went]
    assert sorted(labels) == labels
    assert cpu < 1.5


def test_two_thousand_tasks_hold_the_law() -> None:
    """Each has its turn within two seconds, in its order."""
    hurried = limited(rate("1000/second", burst=1, queue=10_000))
    gate, store = Gate(), Watched()
    layer = limiter_layer(gate, AsyncRuntime(_LIBRARY, None, RealClock()))  # type: ignore[arg-type]

    async def go() -> float:
        before = time.process_time()
        await asyncio.gather(*[layer(exchange_of(hurried, store=store, label=number)) for number in range(2000)])
        return time.process_time() - before

    cpu = asyncio.run(go())

    check_law(store, gate, per_second=1000)
    check_windows(store, gate, per_second=1000)
    assert list(range(2000)) == [label for _, label in gate.went]
    times = [at for at, _ in gate.went]
    print_numbers("2000 tasks", store, gate, 1999 / (times[-1] - times[0]), cpu)


def test_thirty_two_threads_get_the_whole_rate_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever came when another stood in line already goes after that one."""
    gate, store, stop = Gate(), Watched(), Closing()
    turns: list[tuple[float, float, float]] = []
    layer = limiter_layer(gate, SyncRuntime(_LIBRARY, None, RealClock()))  # type: ignore[arg-type]
    came: dict[int, tuple[float, float]] = {}

    class WatchedPlace(Place):
        @classmethod
        def enter(cls, *args: Any, **named: Any) -> Any:
            before = time.monotonic()
            place = super().enter(*args, **named)
            came[threading.get_ident()] = before, time.monotonic()
            return place

        async def stand(self, closing: Closing, longest: float, deadline: float = math.inf) -> Standing:
            turn = await super().stand(closing, longest, deadline)
            if isinstance(self.slot, Slot) and turn is Standing.SERVED:
                turns.append((*came[threading.get_ident()], self.slot.at))
            return turn

    monkeypatch.setattr(limiter_module, "Place", WatchedPlace)

    def keep_calling() -> None:
        while not stop.is_set():
            run_now(layer(exchange_of(POLICY, store=store, closing=stop)))

    threads = [threading.Thread(target=keep_calling) for _ in range(32)]
    before = time.process_time()
    for thread in threads:
        thread.start()
    stop.wait(3.0)
    cpu = time.process_time() - before
    stop.set()
    for thread in threads:
        thread.join()

    check_law(store, gate, per_second=PER_SECOND)
    check_windows(store, gate, per_second=PER_SECOND)
    print_numbers("32 threads", store, gate, check_rate(store, gate, per_second=PER_SECOND), cpu)
    assert 250 < len(turns)
    for _, stood, slot in turns:
        assert not any(comes > stood and its < slot for comes, _, its in turns)
    assert cpu < 1.5


def test_waiting_costs_nothing() -> None:
    """Five hundred tasks that wait for an hour."""
    hourly = limited(rate("1/hour", burst=1, max_wait="300d", queue=10_000))
    gate, store = Gate(), Watched()
    layer = limiter_layer(gate, AsyncRuntime(_LIBRARY, None, RealClock()))  # type: ignore[arg-type]

    async def go() -> float:
        tasks = [asyncio.create_task(layer(exchange_of(hourly, store=store))) for _ in range(500)]
        await asyncio.sleep(0.3)
        before = time.process_time()
        await asyncio.sleep(1.0)
        cpu = time.process_time() - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return cpu

    cpu = asyncio.run(go())

    sys.stdout.write(f"\n500 waiting tasks: CPU {100 * cpu:.2f} %\n")
    assert 1 == len(gate.went)
    assert cpu < 0.05


def test_a_loop_that_was_busy_has_nobody_overtake() -> None:
    """Calls that are made one after the other, while the loop has no time to let the first of them go, go in their order."""
    gate, store = Gate(), Watched()
    slow = limited(rate("5/second", burst=1, queue=10_000))
    layer = limiter_layer(gate, AsyncRuntime(_LIBRARY, None, RealClock()))  # type: ignore[arg-type]

    async def call(number: int) -> None:
        time.sleep(0.1)  # noqa: ASYNC251  the loop is to be blocked
        await layer(exchange_of(slow, store=store, label=number))

    async def go() -> None:
        await asyncio.gather(*[call(number) for number in range(16)])

    asyncio.run(go())

    assert list(range(16)) == [label for _, label in gate.went]
