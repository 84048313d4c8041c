"""A call that is cancelled, interrupted or loses its client holds nothing and leaves no warning."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx
import pytest
import trio

import resilience
import resilience.httpx
import resilience.httpx2
from resilience._clock import Closing, RealClock
from resilience._runtime import AsyncRuntime
from tests.rawserver import answer, raw_server
from tests.test_transparency import LIBRARIES, watching

ADAPTERS: dict[str, Any] = {"httpx": resilience.httpx, "httpx2": resilience.httpx2}
PLACES = ["connecting", "reading", "draining", "closing", "waiting"]


class Stepping:
    """A transport whose answers are busy, and that stops where it is told to until it is cancelled."""

    def __init__(self, module: Any, place: str) -> None:
        self.module, self.place = module, place
        self.reached = anyio.Event()
        self.open = 0

    async def stop(self, place: str) -> None:
        if self.place == place:
            self.reached.set()
            await anyio.sleep_forever()

    def transport(self) -> Any:
        outer, module = self, self.module

        class Body(module.AsyncByteStream):  # type: ignore[misc]
            def __init__(self) -> None:
                outer.open += 1

            async def __aiter__(self) -> AsyncIterator[bytes]:
                yield b'{"begin": '
                await outer.stop("reading")
                yield b"1" * (3000 if outer.place == "draining" else 1)
                await outer.stop("draining")
                yield b"}"

            async def aclose(self) -> None:
                outer.open -= 1
                if outer.place == "closing":
                    outer.reached.set()
                    await anyio.sleep(0.01)

        class Transport(module.AsyncBaseTransport):  # type: ignore[misc]
            async def handle_async_request(self, request: Any) -> Any:
                await outer.stop("connecting")
                return module.Response(503, headers={"Content-Type": "application/json"}, stream=Body())

        return Transport()


def slow(place: str) -> Any:
    """A policy that waits an hour after a busy answer, and looks at little of it."""
    inspect = {"max_bytes": "1KiB"} if place == "draining" else {}
    wait = {"initial": "1h", "max": "1h", "jitter": "none"}
    return watching(retry={"max_attempts": 2, "backoff": wait}, inspect=inspect)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("place", PLACES)
def test_a_cancelled_call_holds_nothing(library: str, backend: str, place: str) -> None:
    """Wherever it is cancelled, every body is closed, the cancellation goes through, and nothing warns."""
    module = LIBRARIES[library]
    left: list[int] = []

    async def go() -> None:
        stepping = Stepping(module, place)
        transport = ADAPTERS[library].Transport(stepping.transport(), policies=[slow(place)])
        async with module.AsyncClient(transport=transport) as client, anyio.create_task_group() as group:

            async def call() -> None:
                await client.get("http://127.0.0.1/")

            group.start_soon(call)
            if place == "waiting":
                await anyio.wait_all_tasks_blocked()
            else:
                await stepping.reached.wait()
                await anyio.wait_all_tasks_blocked() if place != "closing" else None
            group.cancel_scope.cancel()
        left.append(stepping.open)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(go()) if backend == "asyncio" else trio.run(go)
        gc.collect()

    assert [0] == left


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_task_cancelled_twice_is_cancelled(library: str) -> None:
    """Asyncio's own `cancel`, again while the body is being closed, still ends the task and closes the body."""
    module = LIBRARIES[library]

    async def go() -> int:
        stepping = Stepping(module, "closing")
        transport = ADAPTERS[library].Transport(stepping.transport(), policies=[slow("closing")])
        async with module.AsyncClient(transport=transport) as client:
            task = asyncio.create_task(client.get("http://127.0.0.1/"))
            await stepping.reached.wait()
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return stepping.open

    assert 0 == asyncio.run(go())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_call_that_was_cancelled_before_its_client_was_closed_is_cancelled(backend: str) -> None:
    """While a store is asked a cancellation waits; what would be the next wait does not begin, and must not pass it over."""
    went_on: list[bool] = []

    async def main() -> None:
        runtime = AsyncRuntime(
            resilience.httpx.LIBRARY, httpx.MockTransport(lambda _: httpx.Response(200)), RealClock()
        )
        closing = Closing()
        closing.set()
        with anyio.CancelScope() as scope:
            scope.cancel()
            went_on.append(await runtime.sleep(60.0, closing))

    anyio.run(main, backend=backend)

    assert [] == went_on


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("door", ["wrap", "install"])
def test_closing_an_async_client_ends_its_waits(library: str, backend: str, door: str) -> None:
    """The waiting call ends at once with an error of the library that is also ours; nothing more is sent."""
    module = LIBRARIES[library]

    async def go() -> None:
        client = module.AsyncClient(base_url=server.url)
        if door == "wrap":
            resilience.wrap(client, policies=[slow("waiting")])
        caught: list[Exception] = []

        async def call() -> None:
            try:
                await client.get("/")
            except module.TransportError as error:
                caught.append(error)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(call)
                while len(server.requests) < 1:
                    await anyio.sleep(0.01)
                await anyio.sleep(0.1)
                await client.aclose()
        assert isinstance(caught[0], resilience.errors.ClientClosed)

    with raw_server(answer(503)) as server:
        run_installed(door, server.url, lambda: asyncio.run(go()) if backend == "asyncio" else trio.run(go))

    assert 1 == len(server.requests)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("door", ["wrap", "install"])
def test_closing_a_sync_client_ends_its_waits(library: str, door: str) -> None:
    """A thread that waits is woken by another that closes the client."""
    module = LIBRARIES[library]
    caught: list[Exception] = []

    def go() -> None:
        client = module.Client()
        if door == "wrap":
            resilience.wrap(client, policies=[slow("waiting")])

        def call() -> None:
            try:
                client.get(server.url)
            except module.TransportError as error:
                caught.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        while len(server.requests) < 1:
            time.sleep(0.01)  # a real thread and a real server: there is no clock to turn
        time.sleep(0.1)
        client.close()
        thread.join(20)
        assert not thread.is_alive()

    with raw_server(answer(503)) as server:
        run_installed(door, server.url, go)

    assert [resilience.errors.ClientClosed] == [
        kind for error in caught for kind in type(error).__mro__ if kind is resilience.errors.ClientClosed
    ]
    assert 1 == len(server.requests)


def run_installed(door: str, url: str, go: Callable[[], None]) -> None:
    """Run with `install` in force for the test server, where that is the door."""
    if door == "wrap":
        go()
        return
    from resilience import _install  # the policies of a test have no file
    from resilience._config import policies_for

    resilience.install({"version": 1})
    _install.ResilienceFinder.policies = policies_for([slow("waiting")])
    try:
        go()
    finally:
        resilience.uninstall()


@pytest.mark.parametrize("library", LIBRARIES)
def test_ctrl_c_ends_a_wait(library: str) -> None:
    """A sync program that waits an hour is gone a moment after Ctrl-C, with nothing but KeyboardInterrupt."""
    program = f"""
        import sys, {library}, resilience
        from tests.test_cancellation import slow
        client = resilience.wrap({library}.Client(), policies=[slow("waiting")])
        try:
            client.get(sys.argv[1])
        except KeyboardInterrupt:
            print("interrupted")
        client.close()
    """

    with raw_server(answer(503)) as server:
        child = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program), server.url],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while not server.requests and child.poll() is None:
            time.sleep(0.01)  # a real process: there is no clock to turn
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)

    assert ("interrupted\n", "") == (out, err)
