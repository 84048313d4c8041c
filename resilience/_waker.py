"""What ends one wait early, from any thread and any event loop, and tells whether whoever waits can go on at all."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Waker", "end", "end_in", "running_loop"]


class Waker:
    """Ends the waits of one call early; called before a wait begins, it does not begin."""

    __slots__ = ("_loop", "_wake", "called")

    def __init__(self) -> None:
        self.called = False
        self._wake: Callable[[], object] | None = None
        self._loop = running_loop()

    def call(self) -> None:
        """End the wait."""
        self.called = True
        wake = self._wake
        if wake is not None:
            # A loop that is gone has nobody left to wake.
            with suppress(Exception):
                wake()

    def set(self, wake: Callable[[], object] | None) -> None:
        """What ends the wait; `None` once it is over."""
        self._wake = wake

    def reset(self) -> None:
        """Be ready for the next wait."""
        self.called = False

    @property
    def is_stranded(self) -> bool:
        """Whether the event loop of its call does not run, so that it may never go on."""
        return self._loop is not None and not self._loop.is_running()

    @property
    def is_lost(self) -> bool:
        """Whether that loop was closed."""
        return self._loop is not None and self._loop.is_closed()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of asyncio that runs in this thread; `None` if none does."""
    # Where nobody has imported it, none runs.
    asyncio = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.get_running_loop()
    except (RuntimeError, AttributeError):
        # None runs; or another thread is in the middle of importing it.
        return None


def end(ended: asyncio.Future[None]) -> None:
    """End a wait for a future, once.

    Arguments:
        ended: what is awaited.
    """
    if not ended.done():
        ended.set_result(None)


def end_in(loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
    """End a wait; at once where that is another call of the same loop, whose turn comes in any case.

    Arguments:
        loop: in which it is.
        ended: what is awaited.
    """
    import asyncio

    with suppress(RuntimeError):
        if asyncio.get_running_loop() is loop:
            end(ended)
            return
    loop.call_soon_threadsafe(end, ended)
