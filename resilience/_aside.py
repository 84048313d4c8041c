"""Slow work beside an event loop, which goes on meanwhile, under asyncio and trio alike."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from ._clock import Closing

__all__ = ["begin_aside"]


def begin_aside(work: Callable[[], object], name: str) -> Closing:
    """Do it in a thread of its own; what is returned is set when it is done, whether it went well or not.

    Arguments:
        work: what takes long.
        name: of the thread, for people who look at a process.
    """
    done = Closing()

    def run() -> None:
        try:
            with suppress(Exception):
                work()
        finally:
            done.set()

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:
        # No thread can be had, as when the interpreter is shutting down.
        run()
    return done
