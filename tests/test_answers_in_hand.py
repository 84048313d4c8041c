"""Whatever unwinds a call that has an answer, its connection is free again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest
import trio

import resilience.httpx
import resilience.httpx2
from resilience.events import Listener
from tests.rawserver import RawServer, answer, raw_server
from tests.worlds import HOST, policy

LIBRARIES: dict[str, tuple[Any, Any]] = {"httpx": (httpx, resilience.httpx), "httpx2": (httpx2, resilience.httpx2)}
PARTS: dict[str, dict[str, Any]] = {
    "on_attempt": {},
    "on_retry": {},
    "on_wait": {},
    "on_pause": {"limits": [{"name": "l", "rate": "100/second"}]},
    "on_trip": {
        "breaker": {"consecutive_failures": 1, "jitter": 0},
        "answers": [{"rule": "down", "when": {"status": 429}, "category": "server_error"}],
    },
    "on_latch": {"answers": [{"rule": "paid", "when": {"status": 429}, "category": "credits_exhausted"}]},
    "on_charge": {"credits": {"costs": [{"cost": 5}], "charged": "cost"}},
    "on_call": {"retry": {"max_attempts": 1}},
}
CONFIG: dict[str, Any] = {
    "version": 1,
    "providers": {"provider": {"budgets": [{"name": "b", "limit": "100 credits/day"}]}},
}


class Stopped(BaseException):
    """As KeyboardInterrupt, or what a test framework raises to end a test."""


class Once(Listener):
    """Raises the first time that it hears of something."""

    def __init__(self, method: str) -> None:
        self.heard = 0
        setattr(self, method, self._stop)

    def _stop(self, _event: object) -> None:
        self.heard += 1
        if self.heard == 1:
            raise Stopped


@pytest.fixture
def server() -> Iterator[RawServer]:
    """Busy once, and then not; it keeps its connections."""
    with raw_server(answer(429, b'{"cost": 1}', "Retry-After: 0"), answer(200, b'{"cost": 1}')) as server:
        yield server


def transport(library: str, server: RawServer, method: str, *, is_async: bool) -> tuple[Any, Once]:
    """Ours, over one that has one connection."""
    module, adapter = LIBRARIES[library]
    parts: dict[str, Any] = {
        "retry": {"max_attempts": 2, "spread": 0, "backoff": {"initial": "1ms", "max": "1ms"}},
        **({} if method == "on_trip" else {"breaker": {"off": True}}),
        **PARTS[method],
    }
    host, listener = server.url.removeprefix("http://"), Once(method)
    kind = module.AsyncHTTPTransport if is_async else module.HTTPTransport
    made = adapter.Transport(
        kind(limits=module.Limits(max_connections=1)),
        policies=[policy(match={"hosts": [host]}, **parts)],
        config=CONFIG if method == "on_charge" else {"version": 1},
        listeners=[listener],
    )
    return made, listener


@pytest.mark.parametrize("method", PARTS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_listener_that_stops_the_program_keeps_no_connection(library: str, method: str, server: RawServer) -> None:
    """The next call of the same client gets the one connection that there is."""
    module = LIBRARIES[library][0]
    made, listener = transport(library, server, method, is_async=False)

    with module.Client(transport=made, timeout=module.Timeout(30, pool=2)) as client:
        with pytest.raises(Stopped):
            client.get(server.url)
        followed = client.get(server.url, extensions={"resilience": {"off": True}})

    assert (1, 200) == (listener.heard, followed.status_code)


@pytest.mark.parametrize("run", [asyncio.run, trio.run])
@pytest.mark.parametrize("method", PARTS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_same_of_an_async_client(library: str, method: str, run: Callable[[Any], Any], server: RawServer) -> None:
    """On both event loops."""
    module = LIBRARIES[library][0]
    made, listener = transport(library, server, method, is_async=True)
    statuses: list[int] = []

    async def go() -> None:
        async with module.AsyncClient(transport=made, timeout=module.Timeout(30, pool=2)) as client:
            with pytest.raises(Stopped):
                await client.get(server.url)
            statuses.append((await client.get(server.url, extensions={"resilience": {"off": True}})).status_code)

    run(go) if run is trio.run else run(go())

    assert (1, [200]) == (listener.heard, statuses)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("is_async", [False, True])
def test_an_answer_that_cannot_be_closed_does_not_hide_what_ended_the_call(library: str, *, is_async: bool) -> None:
    """A cancellation that became another error would keep a task group or a timeout from ending."""
    module, adapter = LIBRARIES[library]

    class Stuck(module.SyncByteStream, module.AsyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            yield b"{}"

        def close(self) -> None:
            raise RuntimeError("it cannot be closed")

        async def aclose(self) -> None:
            raise RuntimeError("it cannot be closed")

    inner = module.MockTransport(lambda _: module.Response(200, stream=Stuck()))
    made = adapter.Transport(inner, policies=[policy()], listeners=[Once("on_call")])

    async def go() -> None:
        await module.AsyncClient(transport=made).get(f"https://{HOST}/")

    with pytest.raises(Stopped):
        asyncio.run(go()) if is_async else module.Client(transport=made).get(f"https://{HOST}/")
