"""What no fork cuts in two: a lock of another package that a thread holds at that moment would stay taken in the child."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial

from ._fork import LateLock

__all__ = ["uncut", "uncut_line"]

# How long a fork waits for what other threads are in the middle of, and how often it looks, in seconds.
_LONGEST = 0.5
_PAUSE = 0.001
_lock = LateLock()
# The lines that are being written, each by its thread.
_lines: dict[object, int] = {}


class _Fork:
    """Who is about to fork, and holds the lock until it is done."""

    thread: int | None = None


def uncut(function: Callable[..., object], *arguments: object) -> None:
    """Call what takes a lock that nobody renews in a child, as the metrics of OpenTelemetry's SDK do.

    Arguments:
        function: takes microseconds, and waits for nothing that a fork waits for.
        arguments: of that.
    """
    with _lock.held:
        function(*arguments)


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
        with _lock.held:
            _lines[line] = threading.get_ident()
        # As if whoever calls this had called that.
        write(*arguments, **named, stacklevel=2)
    finally:
        _lines.pop(line, None)


def _before_fork() -> None:
    until = time.monotonic() + _LONGEST
    me = threading.get_ident()
    if _lock.held.acquire(timeout=_LONGEST):
        _Fork.thread = me
    while any(thread != me for thread in tuple(_lines.values())) and time.monotonic() < until:
        threading.Event().wait(_PAUSE)


def _after_fork(*, is_child: bool) -> None:
    global _lock  # noqa: PLW0603  a lock cannot be renewed in place
    if _Fork.thread == threading.get_ident():
        _Fork.thread = None
        _lock.held.release()
    if is_child:
        _Fork.thread = None
        _lock = LateLock()
        _lines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=partial(_after_fork, is_child=False),
        after_in_child=partial(_after_fork, is_child=True),
    )
