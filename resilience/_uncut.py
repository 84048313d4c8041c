"""What no fork cuts in two: a lock of another package that a thread holds at that moment would stay taken in the child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial

from ._fork import LateLock

__all__ = ["uncut"]

# How long a fork waits for what other threads are in the middle of, in seconds.
_LONGEST = 0.5
_lock = LateLock()


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


def _before_fork() -> None:
    if _lock.held.acquire(timeout=_LONGEST):
        _Fork.thread = threading.get_ident()


def _after_fork(*, is_child: bool) -> None:
    global _lock  # noqa: PLW0603  a lock cannot be renewed in place
    if _Fork.thread == threading.get_ident():
        _Fork.thread = None
        _lock.held.release()
    if is_child:
        _Fork.thread = None
        _lock = LateLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=partial(_after_fork, is_child=False),
        after_in_child=partial(_after_fork, is_child=True),
    )
