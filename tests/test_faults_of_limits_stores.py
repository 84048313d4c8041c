"""Faults of limits 5.8 in how it keeps states, each shown on the bare library first, and then absent here.

A test that fails in its first half says that limits has repaired the fault.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import limits.aio.strategies
import limits.strategies
import pytest
import redis
import trio
from limits import parse
from limits.aio.storage import MemoryStorage as AsyncMemoryStorage
from limits.errors import ConfigurationError as Misconfigured
from limits.storage import storage_from_string

from resilience.stores import ask, open_store
from tests.servers import RedisServer, free_port
from tests.shared_stores import is_admitted, take

LIMIT = parse("100/minute")


@pytest.fixture(name="url", params=["memory", "redis", "sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: object) -> str:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/store.db"


@pytest.fixture(name="jobs")
def thread_jobs(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is handed to the thread pool of an event loop."""
    jobs: list[object] = []
    real = asyncio.to_thread

    async def counted(*arguments: object) -> object:
        jobs.append(arguments[0])
        return await real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "to_thread", counted)
    return jobs


def bursts(storage: AsyncMemoryStorage) -> list[int]:
    """How many calls each of two event loops gets through a limit of a hundred."""
    limiter = limits.aio.strategies.MovingWindowRateLimiter(storage)

    async def burst() -> int:
        found: list[object] = []
        for _ in range(40):
            found += await asyncio.gather(*[limiter.hit(LIMIT, "hot") for _ in range(5)], return_exceptions=True)
            await asyncio.sleep(0)
        errors = {str(each)[-33:] for each in found if isinstance(each, Exception)}
        assert errors <= {" is bound to a different event loop"[-33:]}
        return sum(each is True for each in found)

    return [asyncio.run(burst()), asyncio.run(burst())]


@contextmanager
def forgiven() -> Iterator[None]:
    """What limits leaves behind, never awaited and never closed, is collected here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()


def test_a_store_serves_one_event_loop_after_the_other(url: str) -> None:
    """B5: the async memory of limits is bound to the first loop, so a limiter of a module breaks in the second."""
    with forgiven():
        assert [100, 0] == bursts(AsyncMemoryStorage())

    store = open_store(url)

    async def ours() -> int:
        replies: list[float] = []

        async def one() -> None:
            replies.append((await ask(store, take(amount=100), time.monotonic()))[0])

        async with anyio.create_task_group() as group:
            for _ in range(60):
                group.start_soon(one)
        return int(sum(replies))

    assert [60, 40, 0] == [anyio.run(ours, backend=backend) for backend in ("asyncio", "trio", "asyncio")]


def test_a_decision_costs_the_same_however_many_keys_live(url: str, jobs: list[object]) -> None:
    """B6: a hit on limits' async memory starts a job of the thread pool for every key that lives, again and again."""

    async def theirs() -> None:
        storage = AsyncMemoryStorage()
        limiter = limits.aio.strategies.MovingWindowRateLimiter(storage)
        for number in range(300):
            await limiter.hit(LIMIT, f"key-{number}")
        del jobs[:]
        until = time.monotonic() + 10
        while len(jobs) < 300 and time.monotonic() < until:
            await limiter.hit(LIMIT, "hot")
            await asyncio.sleep(0.01)

    with forgiven():
        asyncio.run(theirs())
    assert 300 <= len(jobs)

    store = open_store(url)

    async def ours() -> None:
        for number in range(300):
            await ask(store, take(key=f"{{p}}:bucket:{number}"), time.monotonic())
        del jobs[:]
        threads = set(threading.enumerate())
        for _ in range(300):
            await ask(store, take(amount=1000), time.monotonic())
        assert set(threading.enumerate()) <= threads

    asyncio.run(ours())
    assert [] == jobs


def test_a_server_that_is_down_raises_nothing_of_its_library(caplog: pytest.LogCaptureFixture) -> None:
    """B9: a limiter of limits hands redis' own errors to the application; here calls go on, and it is said once."""
    url = f"redis://127.0.0.1:{free_port()}"
    with pytest.raises(redis.exceptions.ConnectionError):
        limits.strategies.FixedWindowRateLimiter(storage_from_string(url)).hit(LIMIT, "key")  # type: ignore[arg-type]

    store = open_store(url)
    with caplog.at_level(logging.WARNING, "resilience.stores"):
        assert [True, True, True, False] == [is_admitted(store) for _ in range(4)]
    assert 1 == len(caplog.records)


def test_one_store_serves_sync_asyncio_and_trio(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """B9: limits has two trees of storages, the async one needs a package more by default, and none runs under trio."""
    monkeypatch.setitem(sys.modules, "coredis", None)
    with pytest.raises(Misconfigured, match="coredis"):
        storage_from_string("async+redis://127.0.0.1:1")
    with pytest.raises(AssertionError):
        limits.strategies.FixedWindowRateLimiter(AsyncMemoryStorage())  # type: ignore[arg-type]
    with forgiven(), pytest.raises(RuntimeError, match="no running event loop"):
        trio.run(limits.aio.strategies.FixedWindowRateLimiter(AsyncMemoryStorage()).hit, LIMIT, "key")

    store = open_store(url)

    assert is_admitted(store)
    assert [1] == anyio.run(ask, store, take(), 0.0, backend="asyncio")[:1]
    assert [1] == anyio.run(ask, store, take(), 0.0, backend="trio")[:1]
    assert not is_admitted(store)
