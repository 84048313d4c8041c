"""Where waiting, sending and reading happen: what layers ask, so that they need not tell sync, async and simulated calls apart.

A layer is one `async def` that awaits the next layer or its `Runtime`, nothing else. For a synchronous client no
method of the runtime ever suspends, so `run_now` finishes the whole chain in one step on the caller's stack: no event
loop, no thread. For an asynchronous client the same coroutines are simply awaited (asyncio and trio, by anyio). See
docs/design/0001-one-async-def-per-layer.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ._worked import Worked, worked_by_thread

if TYPE_CHECKING:
    from ._clock import Clock, Closing
    from ._gate import Gate
    from ._library import Library, Request, Response, Transport
    from ._transactions import Command, Reply, Store
    from ._waker import Waker

__all__ = ["AsyncRuntime", "Chunks", "Runtime", "SyncRuntime", "run_now"]

T = TypeVar("T")
_CLOSE_SECONDS = 5.0
Chunks = Iterator[bytes] | AsyncIterator[bytes]
"""A body being read: the runtime that opened it knows which of the two it is."""


class Runtime(Protocol):
    """What a layer may ask for."""

    library: Library
    clock: Clock
    is_async: bool
    tells_sending: bool
    """Whether the transport tells when it begins to send: the libraries' own do."""
    gate: Gate | None
    """What stands in front of the transport's connection pool."""

    def worked(self) -> Worked:
        """What this thread has worked so far."""
        ...

    async def sleep(self, seconds: float, closing: Closing, waker: Waker | None = None, /) -> bool:
        """Wait at least so long, or until the waker is called; `False` if the client was closed meanwhile."""
        ...

    async def decide(self, store: Store, command: Command, /) -> Reply:
        """Have a store make a decision, without blocking an event loop for one that is far away."""
        ...

    def tell(self, store: Store, command: Command, /) -> None:
        """The same for a decision whose reply nobody needs: for what is given back while a call is being cancelled."""
        ...

    async def checkpoint(self, store: Store, /) -> None:
        """Let a cancellation that came while a store was asked take effect now."""
        ...

    async def attempt(self, seconds: float, work: Coroutine[Any, Any, T], /) -> T:
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

    is_async = False
    # Threads take turns for less when each goes to the pool by itself: see docs/design/0013-a-gate-in-front-of-the-pool.md.
    gate: Gate | None = None
    worked = staticmethod(worked_by_thread)

    def __init__(self, library: Library, transport: Transport, clock: Clock) -> None:
        self.library = library
        self.clock = clock
        self.tells_sending = library.tells_sending(transport)
        self._transport = transport

    async def sleep(self, seconds: float, closing: Closing, waker: Waker | None = None, /) -> bool:
        self.clock.sleep(seconds, closing, waker)
        return not closing.is_set()

    async def decide(self, store: Store, command: Command, /) -> Reply:
        return store.run(command, self.clock.now())

    def tell(self, store: Store, command: Command, /) -> None:
        # Of a store that is far away what was told is done when the call ends.
        (store.tell if store.instant else store.run)(command, self.clock.now())

    async def checkpoint(self, _store: Store, /) -> None:
        """Nothing can be cancelled."""

    async def attempt(self, _seconds: float, work: Coroutine[Any, Any, T], /) -> T:
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

    is_async = True
    worked = staticmethod(worked_by_thread)

    def __init__(self, library: Library, transport: Transport, clock: Clock, gate: Gate | None = None) -> None:
        self.library = library
        self.clock = clock
        self.gate = gate
        self.tells_sending = library.tells_sending(transport)
        self._transport = transport

    async def sleep(self, seconds: float, closing: Closing, waker: Waker | None = None, /) -> bool:
        await self.clock.sleep_async(seconds, closing, waker)
        if not closing.is_set():
            return True
        import anyio.lowlevel

        # It may not have waited at all: a call that was cancelled, while a store was asked perhaps, ends as cancelled.
        await anyio.lowlevel.checkpoint()
        return False

    async def decide(self, store: Store, command: Command, /) -> Reply:
        if store.instant:
            return store.run(command, self.clock.now())
        from .stores import ask

        return await ask(store, command, self.clock.now())

    def tell(self, store: Store, command: Command, /) -> None:
        store.tell(command, self.clock.now())

    async def checkpoint(self, store: Store, /) -> None:
        if not store.instant:
            import anyio.lowlevel

            await anyio.lowlevel.checkpoint()

    async def attempt(self, seconds: float, work: Coroutine[Any, Any, T], /) -> T:
        import anyio

        try:
            with anyio.move_on_after(max(0.0, seconds)):
                return await work
        except RuntimeError as error:
            # A scope cannot be left outside of its task, as it is where the collector ends the coroutine.
            if isinstance(error.__context__, GeneratorExit):
                raise error.__context__ from None
            raise
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
        source = stream.source if isinstance(stream, self.library.body) else stream
        if type(source) is self.library.bytes_stream:
            # In memory: nothing of it waits, so there is nothing to be cancelled or bounded.
            await stream.aclose()
            return
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
