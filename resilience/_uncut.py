"""What no fork cuts in two: a lock of another package that a thread holds at that moment would stay taken in the child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ._fork import ForkLock, wait_for_others

__all__ = ["uncut", "uncut_line"]

# How long a fork waits for other threads, and they for a fork, in seconds.
_LONGEST = 0.5
_lock = ForkLock(_LONGEST)
# The lines that are being written, each by its thread.
_lines: dict[object, int] = {}


def uncut(function: Callable[..., object], *arguments: object) -> None:
    """Call what takes a lock that nobody renews in a child, as the metrics of OpenTelemetry's SDK do.

    Arguments:
        function: takes microseconds, and waits for nothing that a fork waits for.
        arguments: of that.
    """
    lock = _lock.held
    try:
        # A fork that lasts may wait for what this very thread holds, as the lock of the package logging.
        lock.acquire(timeout=_LONGEST)
        function(*arguments)
    finally:
        # Taken or not, and whatever a signal's handler has raised between these lines.
        with suppress(RuntimeError):
            lock.release()


def uncut_line(write: Callable[..., object], *arguments: object, **named: object) -> None:
    """Write a line of the log: of a buffered stderr, to which most go, CPython renews the lock in no child.

    Lines wait for a fork, and a fork for them, but no line for another one: a handler may take its time.

    Arguments:
        write: a method of a logger.
        arguments: of that.
        named: of that, too.
    """
    line = object()
    # A signal's handler may raise at any moment, and must leave no line that is never over.
    try:
        uncut(_lines.__setitem__, line, threading.get_ident())
        # As if whoever calls this had called that.
        write(*arguments, **named, stacklevel=2)
    finally:
        _lines.pop(line, None)


def _before_fork() -> None:
    _lock.before_fork()
    me = threading.get_ident()
    # A copy is made in one step, also where there is no GIL: other threads begin and end lines meanwhile.
    wait_for_others(lambda: all(thread == me for thread in _lines.copy().values()))


def _after_fork(*, is_child: bool) -> None:
    _lock.after_fork(is_child=is_child)
    if is_child:
        _lines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=partial(_after_fork, is_child=False),
        after_in_child=partial(_after_fork, is_child=True),
    )
