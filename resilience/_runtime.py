"""Where waiting, sending and reading happen: the only module that tells sync, async and simulated calls apart.

A layer is one `async def` that awaits the next layer or its `Runtime`, nothing else. For a synchronous client no
method of the runtime ever suspends, so `run_now` finishes the whole chain in one step on the caller's stack: no event
loop, no thread. For an asynchronous client the same coroutines are simply awaited (asyncio and trio, by anyio). See
docs/design/0001-one-async-def-per-layer.md.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from ._library import Library, Request, Response, Transport

__all__ = ["AsyncRuntime", "Chunks", "Clock", "Closing", "RealClock", "Runtime", "SyncRuntime", "run_now"]

T = TypeVar("T")
_CLOSE_SECONDS = 5.0
Chunks = Iterator[bytes] | AsyncIterator[bytes]
"""A body being read: the runtime that opened it knows which of the two it is."""


class Clock(Protocol):
    """Time and chance, for everything below the adapters. `resilience.testing` has one that does not wait."""

    def now(self) -> float:
        """Seconds of a clock that never goes back; its zero means nothing."""
        ...

    def wall(self) -> float:
        """Seconds since 1970, for dates that a provider wrote."""
        ...

    def random(self) -> float:
        """A number from 0 up to, not including, 1."""
        ...

    def key(self) -> str:
        """A fresh idempotency key."""
        ...

    def sleep(self, seconds: float, closing: Closing) -> None:
        """Block for at least so long, or until `closing` is set."""
        ...

    async def sleep_async(self, seconds: float, closing: Closing) -> None:
        """The same without blocking the loop."""
        ...


class Closing:
    """Set once, when a client is closed: it ends every wait of that client's calls, in any thread and any event loop."""

    def __init__(self) -> None:
        self._set = threading.Event()
        self._wakers: set[Callable[[], object]] = set()

    def is_set(self) -> bool:
        return self._set.is_set()

    def set(self) -> None:
        self._set.set()
        for wake in tuple(self._wakers):
            # A loop that is gone has nobody left to wake; closing a client must not fail for it.
            with suppress(Exception):
                wake()

    def wait(self, seconds: float) -> None:
        self._set.wait(seconds)

    async def wait_async(self, seconds: float) -> None:
        import anyio

        event = anyio.Event()
        wake = partial(_caller_of_this_loop(), event.set)
        self._wakers.add(wake)
        try:
            if not self._set.is_set():
                with anyio.move_on_after(seconds):
                    await event.wait()
        finally:
            self._wakers.discard(wake)


def _caller_of_this_loop() -> Callable[..., object]:
    """How to call something in this event loop from any other thread or loop."""
    import asyncio

    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        import trio

        return trio.lowlevel.current_trio_token().run_sync_soon


class RealClock:
    """The machine's clock."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
    random = staticmethod(random.random)

    def key(self) -> str:
        return str(uuid.uuid4())

    def sleep(self, seconds: float, closing: Closing) -> None:
        # Timers may fire some milliseconds early; a provider's wait is kept to the last one.
        due = time.monotonic() + seconds
        while (left := due - time.monotonic()) > 0 and not closing.is_set():
            closing.wait(left)

    async def sleep_async(self, seconds: float, closing: Closing) -> None:
        due = time.monotonic() + seconds
        while (left := due - time.monotonic()) > 0 and not closing.is_set():
            await closing.wait_async(left)


class Runtime(Protocol):
    """What a layer may ask for."""

    library: Library
    clock: Clock

    async def sleep(self, seconds: float, closing: Closing, /) -> bool:
        """Wait at least so long; `False` if the client was closed meanwhile."""
        ...

    async def attempt(self, seconds: float | None, work: Coroutine[Any, Any, T], /) -> T:
        """Do the work of one attempt; raises the library's AttemptTimeout once it took longer than `seconds`."""
        ...

    async def send(self, request: Request, /) -> Response:
        """Hand the request to the client's own transport."""
        ...

    def open(self, stream: Any, /) -> Chunks:
        """Begin to read a body."""
        ...

    async def read(self, chunks: Any, /) -> bytes | None:
        """The next raw chunk of a body, `None` at its end."""
        ...

    async def close(self, stream: Any, /) -> None:
        """Give the connection of a body back, also while the call is being cancelled."""
        ...


class SyncRuntime:
    """Blocks the caller's thread, as a sync client does. No method ever suspends."""

    def __init__(self, library: Library, transport: Transport, clock: Clock) -> None:
        self.library = library
        self.clock = clock
        self._transport = transport

    async def sleep(self, seconds: float, closing: Closing, /) -> bool:
        self.clock.sleep(seconds, closing)
        return not closing.is_set()

    async def attempt(self, _seconds: float | None, work: Coroutine[Any, Any, T], /) -> T:
        # A blocked thread cannot be interrupted: the request's own timeouts are cut instead.
        return await work

    async def send(self, request: Request, /) -> Response:
        response: Response = self._transport.handle_request(request)
        return response

    def open(self, stream: Any, /) -> Iterator[bytes]:
        return iter(stream)

    async def read(self, chunks: Iterator[bytes], /) -> bytes | None:
        return next(chunks, None)

    async def close(self, stream: Any, /) -> None:
        stream.close()


class AsyncRuntime:
    """Awaits, on whichever event loop the caller runs."""

    def __init__(self, library: Library, transport: Transport, clock: Clock) -> None:
        self.library = library
        self.clock = clock
        self._transport = transport

    async def sleep(self, seconds: float, closing: Closing, /) -> bool:
        await self.clock.sleep_async(seconds, closing)
        return not closing.is_set()

    async def attempt(self, seconds: float | None, work: Coroutine[Any, Any, T], /) -> T:
        if seconds is None:
            return await work
        import anyio

        with anyio.move_on_after(max(0.0, seconds)) as scope:
            return await work
        if scope.cancelled_caught:
            work.close()
        raise self.library.attempt_timeout(f"the attempt took longer than {seconds:.3g}s")

    async def send(self, request: Request, /) -> Response:
        response: Response = await self._transport.handle_async_request(request)
        return response

    def open(self, stream: Any, /) -> AsyncIterator[bytes]:
        chunks: AsyncIterator[bytes] = aiter(stream)
        return chunks

    async def read(self, chunks: AsyncIterator[bytes], /) -> bytes | None:
        return await anext(chunks, None)

    async def close(self, stream: Any, /) -> None:
        import anyio

        # A cancelled call still gives its connection back; one that cannot be given back holds nobody for ever.
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await stream.aclose()


def run_now(chain: Coroutine[Any, Any, T]) -> T:
    """Finish a coroutine that never suspends.

    Raises:
        RuntimeError: a layer awaited something other than the next layer or its runtime.
    """
    try:
        chain.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    chain.close()
    raise RuntimeError("a layer awaited something other than the next layer or its runtime")
