"""What a thread promises to a call of an event loop; a call that is cancelled meanwhile still learns of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from ._clock import in_trio

__all__ = ["Promise", "keep", "promise"]

T = TypeVar("T")
_MOMENT = 0.05


class Promise(Generic[T]):
    """A value that another thread will have; made by `promise` in the loop that waits for it, kept by `keep`."""

    __slots__ = ("_is_over", "_value", "wake")

    wake: Callable[..., object]
    """Calls something in that loop, from any thread."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._is_over

    def set(self, value: T | None = None) -> None:
        """Keep the promise, or say that it will not be kept; in its own loop."""
        if not self._is_over:
            self._is_over = True
            self._value = value
            self._end()

    async def wait(self, seconds: float) -> T | None:
        """The value, also for a call that is cancelled meanwhile: its cancellation is delivered when it awaits next.

        Arguments:
            seconds: the longest wait, which no cancellation shortens; after it, `None`.
        """
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError


class _AsyncioPromise(Promise[T]):
    # By hand, since anyio's event in a scope with a deadline takes five times as long, once for each decision.
    __slots__ = ("_future", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self._future = loop.create_future()
        self.wake = loop.call_soon_threadsafe

    async def wait(self, seconds: float) -> T | None:
        timers = _timers_of(self.loop)
        timers.add(self, seconds)
        try:
            await self._future
        except asyncio.CancelledError as error:
            await self._wait_cancelled()
            # Delivered again at the next `await`, and counted once, as it was (`Task.cancelling`).
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            task.cancel(*error.args[:1])
        finally:
            timers.discard(self)
        return self._value

    async def _wait_cancelled(self) -> None:
        import anyio

        # The shield keeps off the scopes of anyio, which cancel again and again; `suppress` a second `Task.cancel()`.
        with anyio.CancelScope(shield=True):
            while not self._is_over:
                self._future = self.loop.create_future()
                with suppress(asyncio.CancelledError):
                    await self._future

    def _end(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


class _Timers:
    """Ends the waits in one event loop that last too long, by one timer: one for each took a third of a decision's time."""

    __slots__ = ("_due", "_next")

    def __init__(self) -> None:
        self._due: dict[_AsyncioPromise[Any], float] = {}
        self._next = inf

    def add(self, promise: _AsyncioPromise[Any], seconds: float) -> None:
        due = promise.loop.time() + seconds
        self._due[promise] = due
        if due < self._next:
            self._set(promise.loop, due)

    def discard(self, promise: _AsyncioPromise[Any]) -> None:
        self._due.pop(promise, None)

    def _set(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._next = due
        loop.call_at(due, self._end, loop, due)

    def _end(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if due != self._next:
            # One that was set before another wait came, which ends earlier.
            return
        for promise in [each for each, its in self._due.items() if its <= due]:
            self.discard(promise)
            promise.set()
        self._next = inf
        if self._due:
            self._set(loop, min(self._due.values()))


_timers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Timers] = WeakKeyDictionary()


def _timers_of(loop: asyncio.AbstractEventLoop) -> _Timers:
    found = _timers.get(loop)
    if found is None:
        found = _timers[loop] = _Timers()
    return found


class _TrioPromise(Promise[T]):
    __slots__ = ("_event",)

    def __init__(self) -> None:
        import trio

        super().__init__()
        self._event = trio.Event()
        self.wake = trio.lowlevel.current_trio_token().run_sync_soon

    async def wait(self, seconds: float) -> T | None:
        import trio

        # Once the shield is gone, trio delivers what it held off at the next checkpoint.
        with trio.move_on_after(seconds, shield=True):
            await self._event.wait()
        if not self._is_over:
            # A loop that was blocked for so long finds the end of the wait and the value at the same moment.
            with trio.move_on_after(_MOMENT, shield=True):
                await self._event.wait()
        return self._value

    def _end(self) -> None:
        self._event.set()


def promise() -> Promise[Any]:
    """A promise to the call that asks for it."""
    return _TrioPromise() if in_trio() else _AsyncioPromise(asyncio.get_running_loop())


def keep(kept: Iterable[tuple[Promise[T], T]]) -> None:
    """Keep many promises from another thread; each of their loops is woken once.

    Arguments:
        kept: the promises, each with its value.
    """
    by_loop: dict[Callable[..., object], list[tuple[Promise[T], T]]] = {}
    for each in kept:
        by_loop.setdefault(each[0].wake, []).append(each)
    for wake, group in by_loop.items():
        # A loop that is gone has nobody left who waits.
        with suppress(Exception):
            wake(_set_all, group)


def _set_all(group: list[tuple[Promise[T], T]]) -> None:
    for each, value in group:
        each.set(value)
