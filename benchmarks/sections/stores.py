"""What a decision costs in each store, beside the same work done without this library."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks._blocks import CONTROL
from benchmarks._figures import Figure, sure
from benchmarks._section import Effort, Found, figures_of, measured, pooled
from benchmarks._servers import NoServer, redis_server
from benchmarks._worlds import World, loaded

__all__ = ["AT_ONCE", "FASTEST", "OURS", "ROUND_TRIPS", "SECTION", "run"]

SECTION = "stores"
OURS = "a decision of ours"
ROUND_TRIPS = "round trips for each decision"
TASKS = 50
EACH = 4
SECONDS = 0.025
"""Of one block of so many tasks: a round of limits. What is faster makes more rounds, so that all wait for a busy machine alike."""
AT_ONCE = f"{TASKS} tasks, throughput"
FASTEST = f"{OURS}, beside the fastest of limits"
COLUMNS = {
    "memory": "memory, beside limits' in memory",
    "sqlite": "SQLite, beside its own transaction",
    "redis": "Redis, beside redis-py's EVALSHA",
    "at_once": AT_ONCE + " beside limits' fixed window",
}


def run(effort: Effort) -> list[Figure]:
    """Measure all stores; those in Redis only where there is a server."""
    figures: list[Figure] = []
    for store in ("memory",) if effort.quick else ("memory", "sqlite"):
        found = pooled(f"{__name__}:{store}", effort.processes, blocks=effort.blocks)
        figures += figures_of(SECTION, COLUMNS[store], found)
    try:
        with redis_server() as url:
            found = pooled(f"{__name__}:redis", effort.processes, url=url, blocks=effort.blocks)
            figures += figures_of(SECTION, COLUMNS["redis"], found)
            if "round_trips" in found:
                figures.append(sure(SECTION, ROUND_TRIPS, COLUMNS["redis"], found["round_trips"], "round trips"))
            found = pooled(f"{__name__}:at_once", effort.processes, url=url, blocks=effort.blocks)
            # Of the time that so many decisions took, the throughput.
            found["ratios"] = {row: [1 / each for each in values] for row, values in found["ratios"].items()}
            figures += figures_of(SECTION, COLUMNS["at_once"], found)
            figures += _beside_the_fastest(found)
    except NoServer as none:
        figures += [
            Figure(section=SECTION, row=OURS, column=COLUMNS[each], reason=str(none)) for each in ("redis", "at_once")
        ]
    return figures


def _beside_the_fastest(found: Found) -> list[Figure]:
    ours = found["ratios"].get(OURS)
    if not ours:
        return []
    fastest = max([1.0, *(statistics.median(v) for name, v in found["ratios"].items() if name.startswith("limits"))])
    column = COLUMNS["at_once"]
    beside = {"ratios": {FASTEST: [each / fastest for each in ours], CONTROL: found["ratios"][CONTROL]}}
    return [each for each in figures_of(SECTION, column, {**found, **beside, "reasons": {}}) if each.row == FASTEST]


def _command() -> Any:
    # One call under a limit that is never reached.
    spec = ["token_bucket", 10**9, 1.0, 10**9, 1]
    return loaded("resilience._transactions").Command("bucket.reserve", ("{p}:bucket:hourly:-",), (0.0, [spec]))


def memory(blocks: int) -> Found:
    """Measure the memory store beside a fixed window of limits."""
    limits, strategies = loaded("limits"), loaded("limits.strategies")
    limiter, rate = (
        strategies.FixedWindowRateLimiter(loaded("limits.storage").MemoryStorage()),
        limits.parse("1000000000/hour"),
    )
    store, command = loaded("resilience.stores").open_store(), _command()
    moving = strategies.MovingWindowRateLimiter(loaded("limits.storage").MemoryStorage())
    few = limits.parse("100/second")
    rows = {
        OURS: lambda: lambda: store.run(command, time.monotonic()),
        "limits, moving window": lambda: lambda: moving.hit(few, "key"),
    }
    return measured(World("httpx", "sync"), lambda: limiter.hit(rate, "key"), rows, blocks)


def sqlite(blocks: int) -> Found:
    """Measure the SQLite store beside one transaction that reads and writes a row."""
    with tempfile.TemporaryDirectory() as directory:
        store, command = loaded("resilience.stores").open_store(f"sqlite:///{directory}/state.db"), _command()
        connection = sqlite3.connect(Path(directory) / "bare.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE states (key TEXT PRIMARY KEY, state TEXT)")

        def bare() -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT state FROM states WHERE key = ?", ("key",)).fetchone()
            connection.execute("INSERT OR REPLACE INTO states VALUES (?, ?)", ("key", f'{{"tat": {time.time()}}}'))
            connection.execute("COMMIT")

        rows = {OURS: lambda: lambda: store.run(command, time.monotonic())}
        found = measured(World("httpx", "sync"), bare, rows, blocks, seconds=0.005, waits=True)
        connection.close()
        return found


def redis(url: str, blocks: int) -> Found:
    """Measure a decision in Redis beside the same script called by redis-py; and how often the server is asked."""
    client = loaded("redis").Redis.from_url(url)
    command, lua = _command(), loaded("resilience.stores._lua").lua_named("bucket.reserve")
    key, words = "resilience:" + command.keys[0], json.dumps([[1, command.arguments]])
    digest = client.script_load(lua.text)
    store = loaded("resilience.stores").open_store(url)
    limiter = loaded("limits.strategies").FixedWindowRateLimiter(loaded("limits.storage").storage_from_string(url))
    rate = loaded("limits").parse("1000000000/hour")
    rows = {
        OURS: lambda: lambda: store.run(command, time.monotonic()),
        "limits, fixed window": lambda: lambda: limiter.hit(rate, "key"),
    }
    found = measured(
        World("httpx", "sync"), lambda: client.evalsha(digest, 1, key, words), rows, blocks, seconds=0.005, waits=True
    )
    before = _reads(client)
    for _ in range(100):
        store.run(command, time.monotonic())
    # Asking is one too.
    found["round_trips"] = round((_reads(client) - before - 1) / 100, 3)
    return found


def _reads(client: Any) -> int:
    return int(client.info("stats")["total_reads_processed"])


def at_once(url: str, blocks: int) -> Found:
    """Measure many tasks that decide at once, beside those of limits."""
    world = World("httpx", "asyncio")
    storage, limits = loaded("limits.storage").storage_from_string, loaded("limits")
    strategies = loaded("limits.aio.strategies")
    rate = limits.parse("1000000000/hour")
    store, command, stores = loaded("resilience.stores").open_store(url), _command(), loaded("resilience.stores")

    def many(decide: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
        async def one() -> None:
            for _ in range(EACH):
                await decide()

        async def all_of_them() -> None:
            await asyncio.gather(*(one() for _ in range(TASKS)))

        return all_of_them

    def theirs(name: str) -> Callable[[], Awaitable[object]]:
        limiter = getattr(strategies, name)(storage(f"async+{url}", implementation="redispy"))
        return many(lambda: limiter.hit(rate, name))

    def script() -> Callable[[], Awaitable[object]]:
        client = loaded("redis.asyncio").Redis.from_url(url)
        key, words = "resilience:" + command.keys[0], json.dumps([[1, command.arguments]])
        text = loaded("resilience.stores._lua").lua_named("bucket.reserve")
        return many(lambda: client.evalsha(text.digest, 1, key, words))

    rows = {
        OURS: lambda: many(lambda: stores.ask(store, command, time.monotonic())),
        "limits, moving window": lambda: theirs("MovingWindowRateLimiter"),
        "limits, sliding window": lambda: theirs("SlidingWindowCounterRateLimiter"),
        "redis-py, EVALSHA of the same script": script,
    }
    return measured(world, theirs("FixedWindowRateLimiter"), rows, blocks, seconds=SECONDS, waits=True)
