"""Time, chance, and the ways in which a wait ends early: no layer asks the machine for either elsewhere."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ._fork import renewed
from ._imported import imported
from ._waker import end, end_in

if TYPE_CHECKING:
    from ._waker import Waker

__all__ = [
    "Clock",
    "Closing",
    "MachineTime",
    "RealClock",
    "in_trio",
    "machine_time",
]


# No call waits longer at a stretch: an event loop cannot set a timer for as long as a number can say.
_LONGEST_TIMER = 86_400.0


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

    def sleep(self, seconds: float, closing: Closing, waker: Waker | None = None) -> None:
        """Block for at least so long, or until `closing` is set or the waker is called."""
        ...

    async def sleep_async(self, seconds: float, closing: Closing, waker: Waker | None = None) -> None:
        """The same without blocking the loop."""
        ...


class Closing:
    """Set once, when a client is closed: it ends every wait of that client's calls, in any thread and any event loop."""

    def __init__(self) -> None:
        self._begin()
        renewed(self)

    def _begin(self) -> None:
        self._set = threading.Event()
        self._wakers: set[Callable[[], object]] = set()

    def renew(self) -> None:
        """In a child process nobody waits, and the lock inside of an event may be held by a thread that is not there."""
        was_set = self._set.is_set()
        self._begin()
        if was_set:
            self._set.set()

    def is_set(self) -> bool:
        return self._set.is_set()

    def set(self) -> None:
        self._set.set()
        # A copy is made in one step, also where there is no GIL: other calls begin and end their waits meanwhile.
        for wake in self._wakers.copy():
            # A loop that is gone has nobody left to wake; closing a client must not fail for it.
            with suppress(Exception):
                wake()

    def wait(self, seconds: float, waker: Waker | None = None) -> None:
        if waker is None:
            self._set.wait(seconds)
            return
        event = threading.Event()
        with self._wakes(event.set, waker):
            if not self._set.is_set() and not waker.called:
                event.wait(seconds)

    async def wait_async(self, seconds: float, waker: Waker | None = None) -> None:
        if in_trio():
            await self._wait_in_trio(seconds, waker)
            return
        import asyncio

        # Not by anyio: its event and its scope cost five times what this does, and thousands of calls may wait.
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def wake() -> object:
            return loop.call_soon_threadsafe(end, ended)

        self._wakers.add(wake)
        if waker is not None:
            waker.set(partial(end_in, loop, ended))
        timer = loop.call_later(min(seconds, _LONGEST_TIMER), end, ended)
        try:
            if not self._set.is_set() and not (waker is not None and waker.called):
                await ended
        finally:
            timer.cancel()
            self._wakers.discard(wake)
            if waker is not None:
                waker.set(None)

    async def _wait_in_trio(self, seconds: float, waker: Waker | None) -> None:
        import trio

        event = trio.Event()
        with self._wakes(partial(trio.lowlevel.current_trio_token().run_sync_soon, event.set), waker):
            if not self._set.is_set() and not (waker is not None and waker.called):
                with trio.move_on_after(seconds):
                    await event.wait()

    @contextmanager
    def _wakes(self, wake: Callable[[], object], waker: Waker | None) -> Generator[None]:
        self._wakers.add(wake)
        if waker is not None:
            waker.set(wake)
        try:
            yield
        finally:
            self._wakers.discard(wake)
            if waker is not None:
                waker.set(None)


def in_trio() -> bool:
    """Whether this runs in a task of trio; asked first, since trio may be a guest in a loop of asyncio."""
    trio = imported("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


class RealClock:
    """The machine's clock."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
    random = staticmethod(random.random)

    def key(self) -> str:
        return str(uuid.uuid4())

    def sleep(self, seconds: float, closing: Closing, waker: Waker | None = None) -> None:
        # Timers may fire some milliseconds early; a provider's wait is kept to the last one.
        due = time.monotonic() + seconds
        while (left := due - time.monotonic()) > 0 and not closing.is_set() and not (waker and waker.called):
            closing.wait(left, waker)

    async def sleep_async(self, seconds: float, closing: Closing, waker: Waker | None = None) -> None:
        due = time.monotonic() + seconds
        while (left := due - time.monotonic()) > 0 and not closing.is_set() and not (waker and waker.called):
            await closing.wait_async(left, waker)


class MachineTime(NamedTuple):
    """What the processes of one machine agree on.

    Arguments:
        steady: seconds of a clock that never goes back while the machine runs, the same in all its processes.
        wall: seconds since 1970; it can be set, forwards and back.
        boot: which run of the machine this is; empty where it does not tell.
    """

    steady: float
    wall: float
    boot: str


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def machine_time() -> MachineTime:
    """The time of this machine, for states that its processes share."""
    return MachineTime(time.monotonic(), time.time(), _boot())
