"""Event loops of other kinds, and several at once: limits hold for all of their calls, and a wait stops no loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import httpx
import pytest

import resilience.httpx
from resilience.stores import forget_all
from tests.worlds import HOST, policy

POLICY = policy(
    operations={"paced": {"path": "/paced"}, "narrow": {"path": "/narrow"}},
    limits=[
        {"name": "pace", "rate": "100/second", "burst": 1, "operations": ["paced"]},
        {"name": "width", "concurrency": 2, "operations": ["narrow"]},
    ],
)


def eager() -> asyncio.AbstractEventLoop:
    """A loop whose tasks begin where they are made."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(vars(asyncio)["eager_task_factory"])
    return loop


LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
if sys.platform != "win32":
    LOOPS.append(import_module("uvloop").new_event_loop)
if sys.version_info >= (3, 12):
    LOOPS.append(eager)


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a store of this kind."""
    yield "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/limits.db"
    forget_all()


class Provider(httpx.AsyncBaseTransport):
    """Counts, over all loops, how many calls it has at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        await asyncio.sleep(0.002)
        with self.lock:
            self.now -= 1
        return httpx.Response(200, json={})


async def calls(provider: Provider, store: str, path: str, number: int) -> int:
    """How many of so many calls were answered; all are made at once."""
    config = {"version": 1, "store": store}
    transport = resilience.httpx.Transport(provider, policies=[POLICY], config=config)
    async with httpx.AsyncClient(transport=transport) as client:
        tasks = [asyncio.create_task(client.get(f"https://{HOST}/{path}")) for _ in range(number)]
        return [(await task).status_code for task in tasks].count(200)


@pytest.mark.parametrize("store", ["memory", "file"], indirect=True)
@pytest.mark.parametrize("new_loop", LOOPS)
def test_loops_in_threads_share_a_limit(new_loop: Callable[[], asyncio.AbstractEventLoop], store: str) -> None:
    """Each thread has a loop of its own, and another one after it."""
    provider = Provider()

    def work(path: str) -> int:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(calls(provider, store, path, 5))

    with ThreadPoolExecutor(3) as threads:
        assert [5] * 6 == list(threads.map(work, ["narrow"] * 6))
        assert 2 == provider.most
        assert [5] * 3 == list(threads.map(work, ["paced"] * 3))


@pytest.mark.parametrize("store", ["memory", "file"], indirect=True)
@pytest.mark.parametrize("new_loop", LOOPS)
def test_cancelled_waits_and_calls_leave_nothing_behind(
    new_loop: Callable[[], asyncio.AbstractEventLoop], store: str
) -> None:
    """Whether they wait for a permit or hold one."""
    provider = Provider()

    async def main() -> tuple[int, int]:
        task = asyncio.create_task(calls(provider, store, "narrow", 10))
        while not provider.now:
            await asyncio.sleep(0)
        others = asyncio.all_tasks() - {task, asyncio.current_task()}
        for each in others:
            each.cancel()
        ended = await asyncio.gather(*others, return_exceptions=True)
        await asyncio.gather(task, return_exceptions=True)
        provider.now = provider.most = 0
        return sum(isinstance(each, asyncio.CancelledError) for each in ended), await calls(
            provider, store, "narrow", 6
        )

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert (10, 6) == runner.run(main())
    assert 2 == provider.most
