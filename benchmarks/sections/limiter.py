"""A limit of 100 calls a second with 2,000 calls waiting for it: what passes, in which order, at which cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

from benchmarks._figures import Figure
from benchmarks._processes import Failed, elsewhere
from benchmarks._section import Effort
from benchmarks._worlds import Answer, World, loaded

__all__ = ["COLUMNS", "OURS", "RATE", "SECTION", "inversions", "most_within", "run"]

SECTION = "limiter"
RATE = 100
OURS = "ours"
ROWS = (OURS, "aiolimiter", "limits, asking again after 10 ms")
COLUMNS = {
    "rate": "of the rate",
    "over": "windows over",
    "inversions": "out of turn",
    "share": "of one processor, over calls that sleep until their turn",
}
UNITS = {"rate": "%", "over": "windows", "inversions": "calls", "share": "%"}
URL = "https://limited.test/things"
Sent = list[tuple[float, int]]
"""When each call came to the transport, and which it was."""
Call = Callable[[int], Awaitable[object]]


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
        context = f"{tasks} tasks at {RATE}/s"
        figures += [
            Figure(
                section=SECTION,
                row=row,
                column=COLUMNS[name],
                value=found[name],
                unit=unit,
                noise=found["noise"] if name == "share" else 0.0,
                context=context,
            )
            for name, unit in UNITS.items()
        ]
    return figures


def measure(row: str, tasks: int) -> dict[str, float]:
    """Measure one limiter; the process is for this alone."""
    return asyncio.run(_measure(_makers()[row], tasks))


async def _measure(make: Callable[[Sent], Call], tasks: int) -> dict[str, float]:
    # A loop that wakes a hundred times a second finds its caches cold each time: what calls cost that merely sleep until
    # their turn is not the limiter's, and is measured before it and after it.
    before, *_ = await _all(_asleep, tasks // 2)
    limited, sent, all_wait = await _all(make, tasks)
    after, *_ = await _all(_asleep, tasks // 2)
    times = [at for at, _ in sent]
    waited = [at for at in times if at >= all_wait]
    seconds = times[-1] - times[0]
    return {
        "rate": 100 * (len(waited) - 1) / (waited[-1] - waited[0]) / RATE,
        "over": float(sum(1 for count in most_within(times, 1.0) if count > RATE + 1)),
        "inversions": float(inversions([number for _, number in sent])),
        "share": 100 * (limited - before - after) / seconds,
        "noise": 100 * abs(before - after) / seconds,
    }


async def _all(make: Callable[[Sent], Call], tasks: int) -> tuple[float, Sent, float]:
    """Seconds of the processor, what was sent, and when the last task had come."""
    sent: Sent = []
    call = make(sent)
    await call(-1)
    processor = time.process_time()
    made = [asyncio.create_task(_awaited(call(number))) for number in range(tasks)]
    await asyncio.sleep(0)
    all_wait = time.monotonic()
    await asyncio.gather(*made)
    return time.process_time() - processor, sent, all_wait


async def _awaited(call: Awaitable[object]) -> None:
    await call


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


def _makers() -> dict[str, Callable[[Sent], Call]]:
    return dict(zip(ROWS, (_ours, _aiolimiter, _limits), strict=True))


def _ours(sent: Sent) -> Call:
    resilience, adapter = loaded("resilience"), loaded("resilience.httpx")
    limit = {"name": "all", "rate": f"{RATE}/second", "burst": 1, "max_wait": "10m", "queue": 100_000}
    stated: dict[str, Any] = {"version": 1, "provider": "limited", "match": {"hosts": ["limited.test"]}}
    policy = resilience.Policy.model_validate({**stated, "limits": [limit]})
    return _got(adapter.Transport(_counting(sent), policies=[policy]))


def _aiolimiter(sent: Sent) -> Call:
    limiter = loaded("aiolimiter").AsyncLimiter(1, 1 / RATE)
    return _then(limiter.acquire, sent)


def _limits(sent: Sent) -> Call:
    limits = loaded("limits")
    limiter = loaded("limits.aio.strategies").MovingWindowRateLimiter(loaded("limits.aio.storage").MemoryStorage())
    item = limits.parse(f"{RATE}/second")

    async def acquire() -> None:
        while not await limiter.hit(item, "key"):  # noqa: ASYNC110  it has nothing that one could wait for
            await asyncio.sleep(0.01)

    return _then(acquire, sent)


def _asleep(sent: Sent) -> Call:
    # What the least is that anybody can do who is told when each call may go.
    began = time.monotonic()

    async def turn(number: int) -> None:
        await asyncio.sleep(began + (number + 1) / RATE - time.monotonic())

    return _got(_counting(sent, turn))


def _then(acquire: Callable[[], Awaitable[object]], sent: Sent) -> Call:
    call = _got(_counting(sent))

    async def limited(number: int) -> None:
        await acquire()
        await call(number)

    return limited


def _got(transport: Any) -> Call:
    client = World("httpx", "asyncio").client(transport)
    return lambda number: client.get(URL, timeout=None, extensions={"number": number})


def _counting(sent: Sent, turn: Call | None = None) -> Any:
    """A transport that notes what is sent and answers at once, or when it is its turn."""
    lean = World("httpx", "asyncio").lean(Answer())

    async def handle_async_request(self: Any, request: Any) -> Any:
        number: int = request.extensions["number"]
        if turn is not None:
            await turn(number)
        sent.append((time.monotonic(), number))
        return await lean.handle_async_request(self, request)

    return type("Counting", (lean,), {"handle_async_request": handle_async_request})()
