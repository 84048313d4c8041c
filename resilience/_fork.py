"""What a forked child begins anew: locks, which a thread of the parent may have held, and what counts for the parent."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

__all__ = ["ForkLock", "LateLock", "Lock", "after_fork", "renewed", "wait_for_others"]


# What the first call of each kind imports, and how long a fork waits for that, in seconds.
_IMPORTED = frozenset(
    [
        "anyio",
        "asyncio",
        "httpcore",
        "httpx",
        "httpx2",
        "limits",
        "opentelemetry",
        "pydantic",
        "redis",
        "resilience",
        "sqlite3",
        "trio",
        "yaml",
    ]
)
_LONGEST = 0.5
_PAUSE = 0.001


class Renewable(Protocol):
    """Something that can begin anew."""

    def renew(self) -> None:
        """Begin anew in a child process."""
        ...


class Lock:
    """A mutex for a few instructions, as `with` takes it.

    The thread that holds it may take it again: the collector of garbage comes at any moment, and may end calls that were
    lost with their event loop, which leave lines and give back places in this very thread.
    """

    __slots__ = ("__weakref__", "held")

    def __init__(self) -> None:
        self.held = threading.RLock()
        """What does the work; `with lock.held` takes half as long as `with lock`."""
        renewed(self)

    def __enter__(self) -> None:
        self.held.acquire()

    def __exit__(self, *_error: object) -> None:
        self.held.release()

    def renew(self) -> None:
        """Be free, whoever held it."""
        self.held = threading.RLock()


class LateLock:
    """A mutex under which something may be waited for, of the kind that there is when it is taken.

    gevent and eventlet put one of their own in the place of `threading.Lock`. Whoever waited for one that was made before
    would stop all greenlets, the one that holds it among them.

    It knows its thread, since a signal's handler may raise in any function of Python's, and so between a lock that is taken
    and whoever would give it back. Taken as `with lock.held`, nothing is between the two. Who has to wait for a bounded time
    calls `held.acquire` within a `try` whose `finally` calls `held.release`: that raises `RuntimeError` if it was not taken.
    """

    __slots__ = ("_held", "_kind")

    def __init__(self) -> None:
        self._kind = threading.Lock
        self._held = threading.RLock()

    @property
    def held(self) -> threading.RLock:
        """What does the work."""
        if self._kind is not threading.Lock and self._held.acquire(blocking=False):
            self._held.release()
            self._kind, self._held = threading.Lock, threading.RLock()
        return self._held


class ForkLock:
    """A mutex that a thread that forks holds meanwhile, so that no other one is in the middle of what is done under it.

    Arguments:
        longest: for how many seconds a fork waits for that.
    """

    __slots__ = ("_forking", "_lock", "_longest")

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._lock = LateLock()
        self._forking: int | None = None

    @property
    def held(self) -> threading.RLock:
        """What does the work."""
        return self._lock.held

    def before_fork(self) -> None:
        """Hold it, if it can be had."""
        if self.held.acquire(timeout=self._longest):
            self._forking = threading.get_ident()

    def after_fork(self, *, is_child: bool) -> None:
        """Give it back; a child has one of its own, since one that could not be had may be held by nobody there."""
        if self._forking == threading.get_ident():
            self._forking = None
            self.held.release()
        if is_child:
            self._forking, self._lock = None, LateLock()


_all: WeakSet[Renewable] = WeakSet()


def renewed(each: Renewable) -> None:
    """Have it begin anew in each child process, for as long as it lives."""
    _all.add(each)


def after_fork(function: Callable[[], None]) -> Callable[[], None]:
    """Have a function called in each child process, before anything else is done there."""
    if hasattr(os, "register_at_fork"):
        register: Any = os.register_at_fork
        register(after_in_child=function)
    return function


@after_fork
def _renew_each() -> None:
    for each in tuple(_all):
        each.renew()


# The imports that a fork has waited for in vain: it is not to be delayed by the same one again.
_in_vain: set[tuple[str, object]] = set()


def _imports() -> set[tuple[str, object]]:
    """What a call needs and another thread is importing: each package with its thread."""
    # The import system's own, and private: where it has another name, a fork waits for nothing.
    locks = getattr(sys.modules.get("_frozen_importlib"), "_module_locks", {})
    me = threading.get_ident()
    found: set[tuple[str, object]] = set()
    # A copy is made in one step, also where there is no GIL: other threads begin and end imports meanwhile.
    for name, reference in locks.copy().items():
        if (package := name.partition(".")[0]) in _IMPORTED:
            owner = getattr(reference(), "owner", None)
            # One's own import goes on in the child.
            if owner not in {None, me}:
                found.add((package, owner))
    return found


def wait_for_others(are_done: Callable[[], bool]) -> bool:
    """Let other threads end what must not be forked; `False` if they take longer than half a second.

    Arguments:
        are_done: whether they have.
    """
    for _ in range(round(_LONGEST / _PAUSE)):
        if are_done():
            return True
        threading.Event().wait(_PAUSE)
    return False


def _wait_for_imports() -> None:
    """Let other threads end their imports: a child would wait for them for ever when it imports the same."""
    _in_vain.intersection_update(_imports())
    if not wait_for_others(lambda: _imports() <= _in_vain):
        _in_vain.update(_imports())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait_for_imports)
