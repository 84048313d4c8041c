"""Calls to a real server in a process of its own, many at once: throughput, waiting, and what the client's processor does."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import Any

from benchmarks._figures import Figure, notch, quartiles
from benchmarks._http_server import pin
from benchmarks._processes import Failed, elsewhere
from benchmarks._section import Effort
from benchmarks._servers import NoServer, http_server
from benchmarks._worlds import loaded

__all__ = ["CALLS", "CPU", "P99", "SECTION", "SNIFFIO", "THROUGHPUT", "column", "run"]

SECTION = "loopback"
CALLS = (1, 50, 500, 2000)
PLAN = [(calls, 0.0) for calls in CALLS] + [(calls, latency) for latency in (0.02, 0.2) for calls in (50, 500)]
"""Calls at once, and the seconds that the server takes for an answer."""
QUICK = [(50, 0.0), (50, 0.02)]
THROUGHPUT, P50, P99, CPU = "throughput", "p50", "p99", "processor per request"
MEASURES = (THROUGHPUT, P50, P99, CPU)
CONTENDERS = ("bare httpx", "ours, httpx", "bare httpx2", "ours, httpx2")
BASE = CONTENDERS[0]
CONTROL = "bare httpx, beside itself"
OWN = "ours beside bare, httpx2"
"""What our layers leave of what the faster library does."""
SNIFFIO = "bare httpx with sniffio, beside without"

Seen = dict[str, float]


def column(calls: int, latency: float = 0.0) -> str:
    """How a column is named."""
    return f"{calls} at once" + (f", {latency * 1000:.0f} ms away" if latency else "")


def run(effort: Effort) -> list[Figure]:
    """Measure at each concurrency and latency; a quick run at two."""
    figures: list[Figure] = []
    rounds, seconds = (2, 0.5) if effort.quick else (3, 1.5)
    for calls, latency in QUICK if effort.quick else PLAN:
        try:
            with http_server(latency) as url:
                found = elsewhere(f"{__name__}:measure", url=url, calls=calls, rounds=rounds, seconds=seconds)
        except (NoServer, Failed) as failed:
            figures.append(
                Figure(section=SECTION, row=CONTENDERS[1], column=column(calls, latency), reason=str(failed))
            )
        else:
            figures += _figures(column(calls, latency), found)
    return figures + ([] if effort.quick else _sniffio(rounds))


def _figures(name: str, found: dict[str, list[dict[str, list[float]]]]) -> list[Figure]:
    # Each measure of each contender beside the bare blocks before and after it.
    figures: list[Figure] = []
    for measure in MEASURES:
        ratios = {
            row: [block["own"][MEASURES.index(measure)] for block in blocks] for row, blocks in found.items() if blocks
        }
        if measure == THROUGHPUT:
            # Of what was seen, not of the ratios: those of the faster library would carry what bare httpx wavers by.
            seen = ([block["seen"][MEASURES.index(measure)] for block in found[row]] for row in CONTENDERS[3:1:-1])
            ratios[OWN] = [ours / max(bare, 1e-9) for ours, bare in zip(*seen, strict=True)]
        control = ratios[CONTROL]
        bias = abs(statistics.median(control) - 1) + notch(control)
        for row, values in ratios.items():
            low, middle, high = quartiles(values)
            figures.append(
                Figure(
                    section=SECTION,
                    row=f"{row}: {measure}",
                    column=name,
                    value=middle,
                    low=low,
                    high=high,
                    noise=notch(values) if row == OWN else max(bias * middle, notch(values)),
                    context="" if row == OWN else _context(found[row], measure),
                )
            )
    return figures


def _context(blocks: list[dict[str, list[float]]], measure: str) -> str:
    value = statistics.median(block["bare"][MEASURES.index(measure)] for block in blocks)
    return f"bare {value:.0f}/s" if measure == THROUGHPUT else f"bare {value * 1000:.2f} ms"


def measure(url: str, calls: int, rounds: int, seconds: float) -> dict[str, list[dict[str, list[float]]]]:
    """Run blocks of all contenders, each between two of bare httpx; the process is for this alone."""
    pin(0)
    seconds *= 1 if calls < 500 else 2
    return asyncio.run(_measure(url, calls, rounds, seconds))


async def _measure(url: str, calls: int, rounds: int, seconds: float) -> dict[str, list[dict[str, list[float]]]]:
    rows = (*CONTENDERS[1:], CONTROL)
    found: dict[str, list[dict[str, list[float]]]] = {row: [] for row in rows}
    for number in range(rounds):
        before = await _block(BASE, url, calls, seconds)
        for row in rows if number % 2 == 0 else reversed(rows):
            block = await _block(BASE if row == CONTROL else row, url, calls, seconds)
            after = await _block(BASE, url, calls, seconds)
            bare = [(one + other) / 2 for one, other in zip(before, after, strict=True)]
            own = [each / base for each, base in zip(block, bare, strict=True)]
            found[row].append({"own": own, "bare": bare, "seen": block})
            before = after
    return found


async def _block(row: str, url: str, calls: int, seconds: float) -> list[float]:
    """Requests per second, p50 and p99 in seconds, seconds of the processor per request."""
    client = _client(row, url)
    times: list[float] = []
    until = 0.0

    async def caller() -> None:
        while time.perf_counter() < until:
            began = time.perf_counter()
            await client.get(url)
            times.append(time.perf_counter() - began)

    async with client:
        await asyncio.gather(*(client.get(url) for _ in range(min(calls, 20))))
        processor, began = time.process_time(), time.perf_counter()
        until = began + seconds
        tasks = [asyncio.create_task(caller()) for _ in range(calls)]
        # A slow client has not ended a single call of each task when the time is over.
        await asyncio.wait(tasks, timeout=2 * seconds)
        for task in tasks:
            task.cancel()
        ended, spent = time.perf_counter() - began, time.process_time() - processor
        await asyncio.gather(*tasks, return_exceptions=True)
    times.sort()
    done = max(1, len(times))
    ranked = times or [ended]
    return [len(times) / ended, ranked[len(ranked) // 2], ranked[int(0.99 * (len(ranked) - 1))], spent / done]


def _client(row: str, url: str) -> Any:
    module = loaded(row.rsplit(maxsplit=1)[-1])
    # The bare client's own, which would end the calls that wait longest, is off for all.
    client = module.AsyncClient(timeout=module.Timeout(60))
    if row.startswith("bare"):
        return client
    hosts = {"openai": {"hosts": [url.removeprefix("http://")]}}
    return loaded("resilience").wrap(client, config={"version": 1, "providers": hosts, "reload": "off"})


def _sniffio(rounds: int) -> list[Figure]:
    # httpcore asks for it on each request, and a failing import is not remembered.
    values: list[float] = []
    control: list[float] = []
    name = column(1)
    try:
        with http_server() as url:
            for _ in range(2 * rounds):
                with_it, without, again = (
                    elsewhere(f"{__name__}:one_at_a_time", url=url, hidden=hidden) for hidden in (False, True, True)
                )
                values.append(2 * with_it / (without + again))
                control.append(without / again)
    except (NoServer, Failed) as failed:
        return [Figure(section=SECTION, row=f"{SNIFFIO}: {CPU}", column=name, reason=str(failed))]
    low, middle, high = quartiles(values)
    noise = abs(statistics.median(control) - 1) + notch(control)
    return [
        Figure(section=SECTION, row=f"{SNIFFIO}: {CPU}", column=name, value=middle, low=low, high=high, noise=noise)
    ]


def one_at_a_time(url: str, *, hidden: bool) -> float:
    """Seconds of the processor of a bare request, with sniffio or as if it were not installed."""
    pin(0)
    if hidden:
        sys.meta_path.insert(0, _Hidden())
    else:
        loaded("sniffio")
    return asyncio.run(_block(BASE, url, 1, 1.0))[3]


class _Hidden:
    """Finds that there is no sniffio, at the cost of looking for what is not there."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        del path, target
        if name == "sniffio":
            raise ModuleNotFoundError("No module named 'sniffio'", name="sniffio")
