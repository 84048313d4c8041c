"""A limit of 100 calls a second with 2,000 calls waiting for it: what passes, in which order, at which cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

from benchmarks._figures import Figure, sure
from benchmarks._processes import Failed, elsewhere
from benchmarks._section import Effort
from benchmarks._worlds import Answer, World, loaded

__all__ = ["COLUMNS", "OURS", "RATE", "SECTION", "inversions", "most_within", "run"]

SECTION = "limiter"
RATE, FREE = 100, 1_000_000
OURS = "ours"
ROWS = (OURS, "aiolimiter", "limits, asking again after 10 ms")
COLUMNS = {"rate": "of the rate", "over": "windows over", "inversions": "out of turn", "share": "of one processor"}
URL = "https://limited.test/things"
Acquire = Callable[[], Awaitable[object]]


def run(effort: Effort) -> list[Figure]:
    """Measure ours, and beside it in a full run two that wait too."""
    tasks = 300 if effort.quick else 2000
    figures: list[Figure] = []
    for row in ROWS[:1] if effort.quick else ROWS:
        try:
            found = elsewhere(f"{__name__}:measure", row=row, tasks=tasks)
        except Failed as failed:
            figures.append(Figure(section=SECTION, row=row, column=COLUMNS["rate"], reason=str(failed)))
            continue
        units = {"rate": "%", "over": "windows", "inversions": "calls", "share": "%"}
        context = f"{tasks} tasks at {RATE}/s"
        figures += [
            sure(SECTION, row, COLUMNS[name], found[name], unit, context=context) for name, unit in units.items()
        ]
    return figures


def measure(row: str, tasks: int) -> dict[str, float]:
    """Measure one limiter; the process is for this alone."""
    return asyncio.run(_measure(_makers()[row], tasks))


async def _measure(make: Callable[[int], Acquire], tasks: int) -> dict[str, float]:
    # What the calls cost without a limit is not the limiter's.
    free, _ = await _all(make(FREE), tasks)
    limited, passed = await _all(make(RATE), tasks)
    times = [at for at, _ in passed]
    seconds = times[-1] - times[0]
    return {
        "rate": 100 * (tasks - 1) / seconds / RATE,
        "over": float(sum(1 for count in most_within(times, 1.0) if count > RATE + 1)),
        "inversions": float(inversions([number for _, number in passed])),
        "share": 100 * max(0.0, limited - free) / seconds,
    }


async def _all(acquire: Acquire, tasks: int) -> tuple[float, list[tuple[float, int]]]:
    passed: list[tuple[float, int]] = []

    async def one(number: int) -> None:
        await acquire()
        passed.append((time.monotonic(), number))

    await acquire()
    processor = time.process_time()
    await asyncio.gather(*(one(number) for number in range(tasks)))
    return time.process_time() - processor, passed


def most_within(times: list[float], seconds: float) -> list[int]:
    """For each time, how many there are from then on within so many seconds; the times are in order."""
    counts: list[int] = []
    end = 0
    for begin, at in enumerate(times):
        while end < len(times) and times[end] < at + seconds:
            end += 1
        counts.append(end - begin)
    return counts


def inversions(order: list[int]) -> int:
    """How many passed before one that had come earlier, of those who follow one another."""
    return sum(1 for before, after in pairwise(order) if after < before)


def _makers() -> dict[str, Callable[[int], Acquire]]:
    return dict(zip(ROWS, (_ours, _aiolimiter, _limits), strict=True))


def _ours(rate: int) -> Acquire:
    resilience, adapter = loaded("resilience"), loaded("resilience.httpx")
    limit = {"name": "all", "rate": f"{rate}/second", "burst": 1, "max_wait": "10m", "queue": 100_000}
    world = World("httpx", "asyncio")
    stated: dict[str, Any] = {"version": 1, "provider": f"limited-{rate}", "match": {"hosts": ["limited.test"]}}
    stated |= {} if rate == FREE else {"limits": [limit]}
    policy = resilience.Policy.model_validate(stated)
    client = world.client(adapter.Transport(world.lean(Answer())(), policies=[policy]))
    return lambda: client.get(URL, timeout=None)


def _aiolimiter(rate: int) -> Acquire:
    limiter = loaded("aiolimiter").AsyncLimiter(1 if rate == RATE else FREE, 1 / RATE)
    return _then(limiter.acquire)


def _limits(rate: int) -> Acquire:
    limits = loaded("limits")
    limiter = loaded("limits.aio.strategies").MovingWindowRateLimiter(loaded("limits.aio.storage").MemoryStorage())
    item = limits.parse(f"{rate}/second")

    async def acquire() -> None:
        while not await limiter.hit(item, "key"):  # noqa: ASYNC110  it has nothing that one could wait for
            await asyncio.sleep(0.01)

    return _then(acquire)


def _then(acquire: Acquire) -> Acquire:
    world = World("httpx", "asyncio")
    client = world.client(world.lean(Answer())())

    async def call() -> None:
        await acquire()
        await client.get(URL)

    return call
