"""A provider's first call loads its policy in a thread of its own: other tasks of the event loop do not wait for that."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

import resilience.httpx
from resilience import Policy
from resilience._aside import begin_aside
from resilience._clock import Closing, RealClock
from resilience._registry import Policies, Source
from resilience.errors import ConfigurationError
from resilience.stores import _open, forget_all, open_aside, open_store
from tests.worlds import HOST, policy

URL = f"https://{HOST}/things/1"
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def client_of(load: Callable[[], Policy]) -> httpx.AsyncClient:
    inner = httpx.MockTransport(lambda _: httpx.Response(200, json={}))
    policies = Policies([Source("provider", [HOST], load)])
    return httpx.AsyncClient(transport=resilience.httpx.Transport(inner, policies=policies))


@BACKENDS
def test_other_tasks_go_on_while_a_policy_is_loaded(backend: str) -> None:
    """It is loaded once, for all calls that come meanwhile."""
    goes_on = threading.Event()
    loads: list[str] = []

    def load() -> Policy:
        loads.append(threading.current_thread().name)
        assert goes_on.wait(10)
        return policy()

    async def run() -> list[int]:
        statuses: list[int] = []

        async def call() -> None:
            statuses.append((await client.get(URL)).status_code)

        async with client_of(load) as client, anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(call)
            while not loads:
                await anyio.sleep(0.001)
            goes_on.set()
        return statuses

    assert [200] * 20 == anyio.run(run, backend=backend)
    assert ["resilience-load"] == loads


def test_a_store_that_nobody_has_waited_for_is_opened_aside_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All who waited were cancelled, and it could not be opened."""
    opened_by: list[str] = []

    def fails_once(url: str, namespace: str) -> Any:
        opened_by.append(threading.current_thread().name)
        if len(opened_by) == 1:
            may_fail.wait(20)
            raise ConfigurationError("not yet")
        return open_shared(url, namespace)

    may_fail, open_shared = threading.Event(), _open._open_shared
    monkeypatch.setattr(_open, "_open_shared", fails_once)
    opening = partial(open_aside, f"sqlite:///{tmp_path}/limits.db", namespace="n", clock=RealClock())

    async def run() -> None:
        with anyio.move_on_after(0):
            await opening()
        may_fail.set()
        while not all(each.is_set() for each in _open._opening.values()):
            await anyio.sleep(0.001)
        await opening()

    anyio.run(run)

    assert ["resilience-open"] * 2 == opened_by


@BACKENDS
def test_other_tasks_go_on_while_a_file_is_opened(backend: str, tmp_path: Path) -> None:
    """Another process may just decide on it; it is opened once, for all calls that come meanwhile."""
    url = f"sqlite:///{tmp_path}/limits.db"
    open_store(url)
    forget_all()
    inner = httpx.MockTransport(lambda _: httpx.Response(200, json={}))
    transport = resilience.httpx.Transport(inner, policies=[policy()], config={"version": 1, "store": url})
    statuses: list[int] = []

    def opening() -> int:
        return sum(each.name == "resilience-open" for each in threading.enumerate())

    async def run(other: sqlite3.Connection) -> None:
        async def call() -> None:
            statuses.append((await client.get(URL)).status_code)

        async with httpx.AsyncClient(transport=transport) as client, anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(call)
            while not opening():
                assert not statuses
                await anyio.sleep(0.001)
            await anyio.sleep(0.001)
            assert 1 == opening()
            other.execute("ROLLBACK")

    with closing(sqlite3.connect(tmp_path / "limits.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        anyio.run(run, other, backend=backend)

    assert [200] * 20 == statuses
    forget_all()


@BACKENDS
def test_what_is_wrong_with_a_policy_is_told_to_every_call(backend: str) -> None:
    """Whether it came while the policy was loaded or later."""

    def load() -> Policy:
        raise ConfigurationError("the file is gone")

    async def run() -> None:
        async with client_of(load) as client:
            for _ in range(2):
                with pytest.raises(ConfigurationError, match="the file is gone"):
                    await client.get(URL)

    anyio.run(run, backend=backend)


@BACKENDS
def test_a_call_that_is_cancelled_meanwhile_waits_no_longer(backend: str) -> None:
    """And the next one finds what was loaded for it."""
    goes_on = threading.Event()

    def load() -> Policy:
        assert goes_on.wait(10)
        return policy()

    async def run() -> int:
        async with client_of(load) as client:
            with anyio.move_on_after(0.01) as scope:
                await client.get(URL)
            assert scope.cancelled_caught
            goes_on.set()
            return (await client.get(URL)).status_code

    assert 200 == anyio.run(run, backend=backend)


@BACKENDS
def test_a_policy_that_is_there_needs_no_thread(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a host that no policy speaks of."""
    begun: list[str] = []

    def begin(_work: Callable[[], object], name: str) -> Closing:
        begun.append(name)
        raise AssertionError

    async def run() -> list[int]:
        async with client_of(policy) as client:
            await client.get(URL)
            monkeypatch.setattr("resilience._aside.begin_aside", begin)
            return [(await client.get(url)).status_code for url in (URL, "https://elsewhere.example/")]

    assert [200, 200] == anyio.run(run, backend=backend)
    assert [] == begun


def test_without_threads_it_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the interpreter is shutting down."""

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    done: list[bool] = []

    assert begin_aside(lambda: done.append(True), "work").is_set()
    assert [True] == done


def test_an_installed_program_imports_the_layers_in_that_thread() -> None:
    """Of `install` nothing but the hosts is read; the models and layers come with the first call that needs them."""
    program = textwrap.dedent("""
        import asyncio, sys, threading
        import httpx, resilience
        resilience.install()
        class Finder:
            seen = {}
            def find_spec(self, name, path=None, target=None):
                self.seen.setdefault(name, threading.current_thread().name)
        sys.meta_path.insert(0, Finder())
        async def main():
            transport = httpx.MockTransport(lambda request: httpx.Response(200, json={}))
            async with httpx.AsyncClient(transport=transport) as client:
                await client.get("https://example.org/")
                print(any("pydantic" in name for name in Finder.seen))
                print((await client.get("https://api.openai.com/v1/models")).extensions["resilience"].provider)
        asyncio.run(main())
        print({Finder.seen[name] for name in ("pydantic", "resilience._chain", "resilience.stores")})
    """)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ["False", "openai", "{'resilience-load'}"] == done.stdout.split()
