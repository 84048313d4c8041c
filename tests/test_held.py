"""A permit is held exactly as long as the body of its answer."""

from __future__ import annotations

import gc
import math
import os
import threading
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

import resilience.httpx
import resilience.httpx2
from resilience._held import Held, hold
from resilience._permit import Permit
from resilience._runtime import AsyncRuntime, SyncRuntime, run_now
from resilience._transactions import Command, Reply
from resilience.stores._memory import MemoryStore
from resilience.testing import VirtualClock
from tests.counted import calls_of

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
        self.held: Any = library.held(self.source, self.clock)
        self.held.add(self.permit)


def test_a_place_that_was_being_given_back_when_a_signal_came_is_given_back_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By whoever lets go of the answer after that: a handler may raise anywhere, as a time limit of a task does."""
    case = Case()
    run = case.store.run

    def interrupted(command: Any, now: float) -> Any:
        monkeypatch.setattr(case.store, "run", run)
        raise KeyboardInterrupt

    monkeypatch.setattr(case.store, "run", interrupted)

    with pytest.raises(KeyboardInterrupt):
        case.permit.release()

    assert 1 == case.store.in_flight
    case.permit.release()
    assert 0 == case.store.in_flight


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


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "asyncio"])
def test_a_body_that_can_be_read_again_can_be_read_again_after_it_was_closed(*, asynchronous: bool) -> None:
    """As one that a caching transport hands on; what was closed half read is not whole."""
    case = Case(asynchronous=asynchronous)

    async def read() -> bytes:
        return b"".join([chunk async for chunk in case.held]) if asynchronous else b"".join(case.held)

    async def close() -> None:
        await case.held.aclose() if asynchronous else case.held.close()

    for _ in range(2):
        assert b"abc" == run_now(read())
        run_now(close())


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

    monkeypatch.setattr("resilience._permit.start_new_thread", ended)
    case = Case()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        case.held.__del__()


def test_what_is_forgotten_is_given_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the stream was closed before, there is nothing to do."""
    threads: list[Any] = []
    monkeypatch.setattr("resilience._permit.start_new_thread", lambda function, _: threads.append(function))
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
    monkeypatch.setattr("resilience._permit.start_new_thread", lambda function, _: threads.append(function))
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

    names = {Permit(case.store, case.permit.runtime, keys=(), documented=(), lease=1, now=0)._holder for _ in "abc"}

    assert 3 == len(names)
    assert all(name.count(".") == 2 for name in names)


class Noting:
    """Something that is held and notes what it is told."""

    def __init__(self, name: str, notes: list[str], clock: VirtualClock, lease: float) -> None:
        self.name, self.notes, self.clock, self.lease = name, notes, clock, lease
        self.renew_at = lease
        self.asked = 0

    def renew(self) -> None:
        self.asked += 1
        if self.clock.now() >= self.renew_at:
            self.renew_at = self.clock.now() + self.lease
            self.notes.append(f"{self.name} renewed at {self.clock.now():g}")

    def ended(self) -> None:
        self.notes.append(f"{self.name} ended")

    def broke(self, error: BaseException) -> None:
        self.notes.append(f"{self.name} broke: {type(error).__name__}")

    def release(self) -> None:
        self.notes.append(f"{self.name} released")

    def abandon(self) -> None:
        """Told of each."""


class Two:
    """An answer of which two layers hold something; the second looks at the chunks."""

    def __init__(self, library: Any, source: Any, leases: tuple[float, float] = (math.inf, math.inf)) -> None:
        transport: Any = None
        self.clock = VirtualClock()
        self.runtime = SyncRuntime(library, transport, self.clock)
        self.response: Any = SimpleNamespace(stream=source)
        self.notes: list[str] = []
        self.seen: list[bytes] = []
        hold(self.runtime, self.response, Noting("inner", self.notes, self.clock, leases[0]))
        self.inner = self.response.stream
        hold(self.runtime, self.response, Noting("outer", self.notes, self.clock, leases[1]), self.seen.append)
        self.held: Any = self.response.stream

    def read(self, *, asynchronous: bool) -> list[bytes]:
        async def read() -> list[bytes]:
            return [chunk async for chunk in self.held]

        return anyio.run(read) if asynchronous else list(self.held)


class Many:
    """A body of so many chunks, whose iterators are no Python code where they are sync."""

    def __init__(self, chunks: int) -> None:
        self.chunks = [b"x"] * chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk

    def close(self) -> None:
        """Nothing is open."""


BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@BOTH
def test_one_stream_holds_for_all_layers(*, asynchronous: bool) -> None:
    """Each is told what happens, the inner one first; only who asked for chunks is given them."""
    two = Two(LIBRARIES[0], Source())

    chunks = two.read(asynchronous=asynchronous)

    assert two.inner is two.held
    assert [b"a", b"b", b"c"] == chunks == two.seen
    assert ["inner ended", "outer ended"] == two.notes
    two.held.close()
    assert ["inner released", "outer released"] == two.notes[2:]


def test_a_transport_within_another_holds_by_its_own_time() -> None:
    """A lease counts by the clock of who holds it, so that each has a stream."""
    two = Two(LIBRARIES[0], Source())
    transport: Any = None
    clock = VirtualClock()

    hold(SyncRuntime(LIBRARIES[0], transport, clock), two.response, Noting("around", two.notes, clock, math.inf))

    assert two.held is not two.response.stream
    assert [b"a", b"b", b"c"] == list(two.response.stream)
    assert ["inner ended", "outer ended", "around ended"] == two.notes


@BOTH
def test_each_is_told_that_a_body_broke_off(*, asynchronous: bool) -> None:
    """And why; its chunks until then were seen."""
    two = Two(LIBRARIES[0], Source(OSError))

    with pytest.raises(OSError, match="gone"):
        two.read(asynchronous=asynchronous)

    assert ["inner broke: OSError", "outer broke: OSError"] == two.notes
    assert [b"a"] == two.seen


class Raising(Noting):
    """Raises whatever it is told, as what a store that is away makes of it may."""

    def __getattribute__(self, name: str) -> Any:
        if name in {"ended", "broke", "release"}:
            raise LookupError(name)
        return super().__getattribute__(name)


@BOTH
@pytest.mark.parametrize("how", ["ended", "broke", "release"])
def test_what_one_raises_leaves_no_other_behind(how: str, *, asynchronous: bool) -> None:
    """It is raised when all were told."""
    two = Two(LIBRARIES[0], Source(OSError if how == "broke" else None))
    two.held._holders.insert(0, Raising("first", two.notes, two.clock, math.inf))

    with pytest.raises(LookupError, match=how):
        if how != "release":
            two.read(asynchronous=asynchronous)
        elif asynchronous:
            anyio.run(two.held.aclose)
        else:
            two.held.close()

    assert ["inner", "outer"] == [note.split()[0] for note in two.notes]


def test_a_reader_that_goes_away_breaks_nothing_off() -> None:
    """The body may still be read by another; it is over when it is closed."""
    two = Two(LIBRARIES[0], Many(3))
    chunks = iter(two.held)
    next(chunks)

    del chunks
    gc.collect()
    assert [] == two.notes
    two.held.close()

    assert ["inner released", "outer released"] == two.notes


@BOTH
def test_each_is_renewed_in_its_own_time(*, asynchronous: bool) -> None:
    """When the first of them has to be, and again after it; not for every chunk."""
    two = Two(LIBRARIES[0], Many(7), leases=(25.0, 10.0))
    third = Noting("third", [], two.clock, math.inf)

    two.held.add(third, lambda _: two.clock.advance(6.0))
    two.read(asynchronous=asynchronous)

    renewed = [note for note in two.notes if "renewed" in note]
    assert ["outer renewed at 12", "outer renewed at 24", "inner renewed at 30", "outer renewed at 36"] == renewed
    assert len(renewed) == third.asked


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
@BOTH
def test_a_chunk_costs_one_call(library: Any, *, asynchronous: bool) -> None:
    """However many layers hold something: what looks at chunks is beside that, and here no Python code."""

    def calls(chunks: int) -> int:
        two = Two(library, Many(chunks))
        two.clock.now = time.monotonic  # type: ignore[method-assign]  # as a real clock has it: no Python code either
        return calls_of(lambda: two.read(asynchronous=asynchronous))

    assert 100 == calls(200) - calls(100)
