"""What each call keeps that waits for its answer, beside a bare call that waits too; each in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
from typing import Any

from benchmarks._figures import Figure, sure
from benchmarks._ours import OURS, ours_transport
from benchmarks._processes import Failed, elsewhere
from benchmarks._section import Effort
from benchmarks._stack import instrumented, spans_nowhere, stack_client
from benchmarks._worlds import World

__all__ = ["OVER", "POOLED", "ROWS", "SECTION", "run"]

SECTION = "memory"
TASKS, POOLED_TASKS = 2000, 500
"""Calls at once. A bare client needs two minutes to cancel 2,000 that wait for its pool, whose work grows with their square."""
BARE = "bare"
POOLED = ", over a pool of 100 connections"
ROWS = (
    BARE,
    "openai",
    BARE + POOLED,
    "openai" + POOLED,
    "openai, OTel's SDK",
    "OTel's instrumentation, OTel's SDK",
    "stack by hand",
    "stack by hand, OTel's SDK",
)
EACH, OVER = "a waiting call", "over bare"


def run(effort: Effort) -> list[Figure]:
    """Measure each contender in one process; memory that is counted has no noise."""
    figures: list[Figure] = []
    bare: dict[bool, float] = {}
    for row in ROWS[:4] if effort.quick else ROWS:
        try:
            kib = elsewhere(f"{__name__}:measure", row=row)
        except Failed as failed:
            figures.append(Figure(section=SECTION, row=row, column=OVER, unit="KiB", reason=str(failed)))
            continue
        own = bare.setdefault(row.endswith(POOLED), kib)
        figures.append(sure(SECTION, row, EACH, kib, "KiB"))
        if not row.startswith(BARE):
            figures.append(sure(SECTION, row, OVER, kib - own, "KiB"))
    return figures


def measure(row: str) -> float:
    """KiB for each of many calls that wait; the process is for this alone."""
    world = World("httpx", "asyncio")
    if row.endswith("SDK"):
        spans_nowhere()
    if row.endswith(POOLED):
        return asyncio.run(_pooled(world, row))
    answer = OURS["openai"][1]
    release = asyncio.Event()
    lean = world.lean(answer)
    answered = lean.handle_async_request

    async def handle_async_request(self: Any, request: Any) -> Any:
        await release.wait()
        return await answered(self, request)

    waiting = type("Waiting", (lean,), {"handle_async_request": handle_async_request})
    return asyncio.run(_waiting(_client(world, waiting, row), release))


def _client(world: World, waiting: type[Any], row: str) -> Any:
    if row.startswith("openai"):
        # All calls wait for their answers here, and none for a connection: there is no pool.
        return world.client(ours_transport(world, "openai", waiting(), gate="off"))
    client = stack_client(world, waiting) if row.startswith("stack") else world.client(waiting())
    return instrumented(world, client) if row.endswith("SDK") else client


async def _waiting(client: Any, release: asyncio.Event) -> float:
    url, _ = OURS["openai"]
    release.set()
    for _ in range(20):
        await client.get(url)
    release.clear()
    tasks, kept = await _kept(client, url, TASKS)
    release.set()
    await asyncio.gather(*tasks)
    return kept


async def _pooled(world: World, row: str) -> float:
    """Most of them wait for one of the pool's connections, or in front of it, to a server that does not answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        transport = world.module.AsyncHTTPTransport()
        if not row.startswith(BARE):
            transport = ours_transport(world, "openai", transport, providers={"openai": {"hosts": [host]}})
        async with world.client(transport) as client:
            client.timeout = None
            tasks, kept = await _kept(client, f"http://{host}/v1/models", POOLED_TASKS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return kept


async def _kept(client: Any, url: str, calls: int) -> tuple[list[asyncio.Task[Any]], float]:
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tasks = [asyncio.create_task(client.get(url)) for _ in range(calls)]
    for _ in range(200):
        await asyncio.sleep(0)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return tasks, kept / calls / 1024
