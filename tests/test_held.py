"""A permit is held exactly as long as the body of its answer."""

from __future__ import annotations

import gc
import os
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

import resilience.httpx
import resilience.httpx2
from resilience._held import Held, Permit
from resilience._runtime import AsyncRuntime, SyncRuntime, run_now
from resilience._transactions import Command, Reply
from resilience.stores._memory import MemoryStore
from resilience.testing import VirtualClock

LIBRARIES = [resilience.httpx.LIBRARY, resilience.httpx2.LIBRARY]
KEY = "{p}:permits:a"
LEASE = 40.0


class Source:
    """A body of three chunks, or one that breaks after the first."""

    def __init__(self, breaks: type[BaseException] | None = None) -> None:
        self.breaks = breaks
        self.closed = 0
        self.ended = 0

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield b"a"
            if self.breaks:
                raise self.breaks("gone")
            yield b"b"
            yield b"c"
        finally:
            self.ended += 1

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk

    def close(self) -> None:
        self.closed += 1
        if self.breaks:
            raise self.breaks("gone while closing")

    async def aclose(self) -> None:
        self.close()


class Store(MemoryStore):
    """A store that says when it was told that a call is over, and what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()
        self.told: list[str] = []

    def run(self, command: Command, now: float, /) -> Reply:
        reply = super().run(command, now)
        self.told.append(command.name)
        if command.name == "permits.release":
            self.released.set()
        return reply

    @property
    def in_flight(self) -> int:
        return sum(len(state["holders"]) for _, state in self.scan())


class Case:
    """A stream that holds one of two places."""

    def __init__(self, library: Any = LIBRARIES[0], source: Any = None, *, asynchronous: bool = False) -> None:
        self.store = Store()
        self.clock = VirtualClock()
        self.source = Source() if source is None else source
        transport: Any = None
        runtime = (AsyncRuntime if asynchronous else SyncRuntime)(library, transport, self.clock)
        self.permit = Permit(self.store, runtime, keys=(KEY,), documented=(2,), lease=LEASE, now=0.0)
        run_now(self.permit.ask())
        self.held: Any = library.held(self.source, self.permit)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_held_stream_is_one_of_the_library(library: Any) -> None:
    """So that clients take it for a body, sync and async."""
    module = __import__(library.name)

    assert issubclass(library.held, Held | module.SyncByteStream)
    assert issubclass(library.held, module.SyncByteStream)
    assert issubclass(library.held, module.AsyncByteStream)


def test_the_chunks_are_those_of_the_source() -> None:
    """In their order, untouched; at the end the permit is free without any closing."""
    case = Case()
    chunks = iter(case.held)

    assert b"a" == next(chunks)
    assert 1 == case.store.in_flight
    assert [b"b", b"c"] == list(chunks)
    assert 0 == case.store.in_flight
    assert 0 == case.source.closed


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_same_asynchronously(backend: str) -> None:
    """On both event loops."""

    async def go() -> None:
        case = Case(asynchronous=True)
        chunks = aiter(case.held)

        assert b"a" == await anext(chunks)
        assert 1 == case.store.in_flight
        assert [b"b", b"c"] == [chunk async for chunk in chunks]
        assert 0 == case.store.in_flight

    anyio.run(go, backend=backend)


def test_closing_gives_the_permit_back() -> None:
    """Read or not, once, and the source is closed first."""
    case = Case()

    case.held.close()
    case.held.close()

    assert 0 == case.store.in_flight
    assert 2 == case.source.closed
    assert 1 == case.store.told.count("permits.release")


def test_a_body_that_is_closed_half_read_is_ended() -> None:
    """Also the generator that was reading it."""
    case = Case()
    next(iter(case.held))

    case.held.close()

    assert 0 == case.store.in_flight
    assert 1 == case.source.ended


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_body_that_is_closed_half_read_asynchronously_is_ended(backend: str) -> None:
    """Without a warning about generators that were left alone."""

    async def go() -> None:
        case = Case(asynchronous=True)
        await anext(aiter(case.held))

        await case.held.aclose()

        assert 0 == case.store.in_flight
        assert 1 == case.source.closed
        assert 1 == case.source.ended

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        anyio.run(go, backend=backend)
        gc.collect()


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_while_reading_gives_the_permit_back(error: type[BaseException]) -> None:
    """Nothing more comes after it; the error is the source's own."""
    case = Case(source=Source(error))

    with pytest.raises(error, match="gone"):
        list(case.held)

    assert 0 == case.store.in_flight


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_error_while_reading_asynchronously_gives_the_permit_back(backend: str) -> None:
    """As above."""

    async def go() -> None:
        case = Case(source=Source(OSError), asynchronous=True)

        with pytest.raises(OSError, match="gone"):
            [chunk async for chunk in case.held]

        assert 0 == case.store.in_flight

    anyio.run(go, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_reader_that_is_cancelled_gives_the_permit_back(backend: str) -> None:
    """The transport closes such a connection: it cannot be used again."""

    class Slow:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await anyio.sleep_forever()
            yield b""

        async def aclose(self) -> None:
            """Nothing is open."""

    async def go() -> None:
        case = Case(source=Slow(), asynchronous=True)
        async with anyio.create_task_group() as group:

            async def read() -> None:
                await anext(aiter(case.held))

            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            assert 1 == case.store.in_flight
            group.cancel_scope.cancel()

        assert 0 == case.store.in_flight

    anyio.run(go, backend=backend)


def test_an_error_while_closing_gives_the_permit_back() -> None:
    """The error goes on to whoever closes."""
    case = Case(source=Source(OSError))

    with pytest.raises(OSError, match="gone while closing"):
        case.held.close()

    assert 0 == case.store.in_flight


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_error_while_closing_asynchronously_gives_the_permit_back(backend: str) -> None:
    """As above."""

    async def go() -> None:
        case = Case(source=Source(OSError), asynchronous=True)

        with pytest.raises(OSError, match="gone while closing"):
            await case.held.aclose()

        assert 0 == case.store.in_flight

    anyio.run(go, backend=backend)


def test_a_body_that_is_being_read_elsewhere_can_be_closed() -> None:
    """A generator that runs in another thread cannot be ended from here; it ends by itself."""
    case = Case()
    reached, go_on = threading.Event(), threading.Event()

    class Stopping(Source):
        def __iter__(self) -> Iterator[bytes]:
            reached.set()
            go_on.wait(30)
            yield b"late"

    case = Case(source=Stopping())
    reader = threading.Thread(target=list, args=(case.held,))
    reader.start()
    assert reached.wait(30)

    case.held.close()
    assert 0 == case.store.in_flight
    go_on.set()
    reader.join(30)

    assert 0 == case.store.in_flight
    assert "permits.renew" not in case.store.told


def test_a_lease_is_renewed_while_the_body_is_read() -> None:
    """Once more than half of it is gone, and not for each chunk."""
    case = Case()
    chunks = iter(case.held)

    case.clock.advance(LEASE / 2 - 1)
    next(chunks)
    assert "permits.renew" not in case.store.told
    case.clock.advance(2)
    next(chunks)
    next(chunks)
    assert 1 == case.store.told.count("permits.renew")

    case.clock.advance(LEASE - 1)
    case.store.run(Command("permits.release", (KEY,), ("nobody",)), case.clock.now())
    assert 1 == case.store.in_flight


def test_a_lease_is_renewed_after_a_wait_in_the_line() -> None:
    """It counts from the moment at which the place was taken."""
    case = Case()
    case.clock.advance(30.0)
    run_now(case.permit.ask())
    case.store.told.clear()

    case.permit.renew()
    assert [] == case.store.told
    case.clock.advance(LEASE / 2)
    case.permit.renew()
    assert ["permits.renew"] == case.store.told


def test_nothing_is_renewed_after_the_end() -> None:
    """It would take the place again for a whole lease."""
    case = Case()
    case.held.close()
    case.clock.advance(LEASE)

    case.permit.renew()

    assert 0 == case.store.in_flight
    assert "permits.renew" not in case.store.told


def test_a_body_that_nobody_closed_gives_the_permit_back_when_it_is_collected() -> None:
    """Even where the collector comes while this thread holds the store's lock; the first of the line is woken."""
    case = Case()
    store = case.store
    entered = store.lines.enter(KEY, 10)
    assert entered is not None
    cycle: list[Any] = [case.held]
    cycle.append(cycle)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del case, cycle
        with store._lock:
            gc.collect()
            assert not store.released.is_set()
        assert store.released.wait(30)

    for _ in range(1000):
        if entered[1].called:
            break
        threading.Event().wait(0.01)
    assert entered[1].called
    assert 0 == store.in_flight


def test_a_body_that_is_being_read_is_not_forgotten() -> None:
    """Whoever iterates keeps the permit, also without the response."""
    case = Case()
    chunks = iter(case.held)
    next(chunks)
    store = case.store

    del case
    gc.collect()
    assert 1 == store.in_flight
    assert [b"b", b"c"] == list(chunks)

    assert 0 == store.in_flight
    assert 1 == store.told.count("permits.release")


def test_a_body_whose_process_ends_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter gives none at its end, and says so by an error that nobody needs to see."""

    def ended(*_: Any) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr("resilience._held.start_new_thread", ended)
    case = Case()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        case.held.__del__()


def test_what_is_forgotten_is_given_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the stream was closed before, there is nothing to do."""
    threads: list[Any] = []
    monkeypatch.setattr("resilience._held.start_new_thread", lambda function, _: threads.append(function))
    case = Case()

    case.permit.abandon()
    assert 1 == case.store.in_flight
    threads.pop()()
    assert 0 == case.store.in_flight
    case.permit.abandon()
    case.permit.release()

    assert [] == threads
    assert 1 == case.store.told.count("permits.release")


def test_a_fork_gives_nothing_back_that_its_parent_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its copy of an open response is collected at its end at the latest."""
    threads: list[Any] = []
    monkeypatch.setattr("resilience._held.start_new_thread", lambda function, _: threads.append(function))
    case = Case()
    number = os.getpid()
    monkeypatch.setattr("os.getpid", lambda: number + 1)

    case.permit.abandon()

    assert [] == threads
    monkeypatch.undo()
    case.held.close()
    assert 0 == case.store.in_flight


def test_every_permit_has_a_name_of_its_own() -> None:
    """Also those of two processes of which one is a fork of the other."""
    case = Case()

    names = {Permit(case.store, case.permit._runtime, keys=(), documented=(), lease=1, now=0)._holder for _ in "abc"}

    assert 3 == len(names)
    assert all(name.count(".") == 2 for name in names)
