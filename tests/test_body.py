"""A body that was looked at costs its reader nothing, and gives the same chunks and the same end."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import resilience.httpx
import resilience.httpx2
from resilience._body import peek
from resilience._runtime import AsyncRuntime, SyncRuntime, run_now
from resilience.testing import VirtualClock
from tests.counted import calls_of

LIBRARIES = [resilience.httpx.LIBRARY, resilience.httpx2.LIBRARY]
EACH = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)


class Source:
    """A body of so many chunks of one byte."""

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"x"] * self.chunks)

    def close(self) -> None:
        self.closed += 1


def peeked(library: Any, source: Source, limit: int) -> Any:
    """The stream of an answer whose first bytes were looked at."""
    transport: Any = None
    response: Any = SimpleNamespace(stream=source)
    run_now(peek(SyncRuntime(library, transport, VirtualClock()), response, limit, None))
    return response.stream


@EACH
def test_the_rest_of_a_long_body_goes_through_no_code_of_ours(library: Any) -> None:
    """Whoever reads has the chunks of the source itself."""

    def calls(chunks: int) -> int:
        body = peeked(library, Source(chunks), 10)
        read: list[bytes] = []
        counted = calls_of(lambda: read.extend(body))
        assert chunks == len(read)
        return counted

    assert 0 == calls(200) - calls(100)


@EACH
@pytest.mark.parametrize("read", [0, 5, 50])
def test_a_body_that_was_closed_does_not_look_whole(library: Any, read: int) -> None:
    """Wherever its reader was, among the chunks that are kept or behind them."""
    source = Source(100)
    body = peeked(library, source, 10)
    chunks = iter(body)
    for _ in range(read):
        next(chunks)

    body.close()

    with pytest.raises(library.body.closed_error):
        list(chunks)
    assert 1 == source.closed


@EACH
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("is_looked_at", [False, True])
@pytest.mark.parametrize("waits", [False, True])
def test_only_what_may_wait_is_closed_within_a_bound(
    library: Any, backend: str, monkeypatch: pytest.MonkeyPatch, *, is_looked_at: bool, waits: bool
) -> None:
    """Nothing of a body in memory waits, also while its call is being cancelled; a class that is derived from it may."""
    bounds: list[float] = []
    closed: list[bool] = []
    bounded = anyio.move_on_after

    class Waiting(library.bytes_stream):  # type: ignore[misc]  # a class of either library
        async def aclose(self) -> None:
            await anyio.lowlevel.checkpoint()
            closed.append(True)

    def counted(seconds: float, *, shield: bool) -> anyio.CancelScope:
        bounds.append(seconds)
        return bounded(seconds, shield=shield)

    async def go() -> None:
        transport: Any = None
        runtime = AsyncRuntime(library, transport, VirtualClock())
        response: Any = SimpleNamespace(stream=(Waiting if waits else library.bytes_stream)(b"abc"))
        if is_looked_at:
            await peek(runtime, response, 10, None)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await runtime.close(response.stream)
        if is_looked_at:
            with pytest.raises(library.body.closed_error):
                await anext(aiter(response.stream))

    monkeypatch.setattr(anyio, "move_on_after", counted)
    anyio.run(go, backend=backend)

    assert [5.0] * waits == bounds
    assert [True] * waits == closed
