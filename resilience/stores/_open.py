"""Which store a URL names; one for each URL in a process, so that all its clients share it."""

from __future__ import annotations

import atexit
import os
import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .._aside import begin_aside
from .._clock import RealClock
from .._fork import ForkLock
from .._store_url import check_store_url
from ..errors import ConfigurationError
from ._errors import StoreError
from ._memory import MemoryStore

if TYPE_CHECKING:
    from .._clock import Clock, Closing
    from .._transactions import Store
    from ._fallback import FallbackStore

__all__ = ["forget_all", "forget_memory", "open_aside", "open_store", "opened_stores"]

# Nothing that a key, a pattern of keys or the part of a key that places it in a cluster could be made of.
_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
# What takes longer to open than a file does that others decide on all the time, an event loop waits for as anybody does.
_LONGEST_OPENING = 10.0
# A file that another thread is just opening would be open in the child too: see SqliteStore.before_fork.
_lock = ForkLock(2.0)
_process = MemoryStore()
_by_clock: WeakKeyDictionary[Any, MemoryStore] = WeakKeyDictionary()
_opened: dict[tuple[str, str], FallbackStore] = {}
_opening: dict[tuple[str, str], Closing] = {}


def open_store(url: str = "memory://", *, namespace: str = "resilience", clock: Clock | None = None) -> Store:
    """The store that a URL names.

    Arguments:
        url: `memory://`; `sqlite:///path`, where a relative path begins at the working directory of the first use and
            an absolute one makes it four slashes; or `redis://`, `rediss://`, `valkey://` and their `+cluster`,
            `+sentinel` and `+unix` forms, as limits names them.
        namespace: what all keys in a shared store begin with.
        clock: the clock of a client's own; a virtual one has a memory of its own, since its times mean nothing to others.

    Raises:
        ConfigurationError: no store has such a URL, the packages that it needs are missing, or the file is not ours.
    """
    if url == "memory://":
        if clock is None or isinstance(clock, RealClock):
            return _process
        with _lock.held:
            return _by_clock.setdefault(clock, MemoryStore())
    found = _opened.get((url, namespace))
    if found is not None:
        return found
    check_store_url(url)
    if not _NAMESPACE.fullmatch(namespace):
        raise ConfigurationError(f"the namespace {namespace!r} may have letters, digits and -_. alone, 64 at most")
    with _lock.held:
        found = _opened.get((url, namespace))
        if found is None:
            found = _opened[url, namespace] = _open_shared(url, namespace)
        return found


async def open_aside(url: str, *, namespace: str, clock: Clock) -> Store:
    """The same for an event loop, which goes on while packages are imported, or another process has the file."""
    key = (url, namespace)
    if url != "memory://" and key not in _opened:
        opening = _opening.get(key)
        # One that nobody has waited for to its end says nothing.
        if opening is None or opening.is_set():
            opening = _opening[key] = begin_aside(partial(open_store, url, namespace=namespace), "resilience-open")
        await opening.wait_async(_LONGEST_OPENING)
        _opening.pop(key, None)
    return open_store(url, namespace=namespace, clock=clock)


def _open_shared(url: str, namespace: str) -> FallbackStore:
    from ._fallback import FallbackStore

    if url.startswith("sqlite:"):
        from .._store_file import path_of, place_fault
        from ._sqlite import SqliteStore

        path = path_of(url)
        # A file that may not be written just now is an outage, and no mistake.
        if fault := place_fault(path):
            raise ConfigurationError("; ".join(fault))
        file = SqliteStore(path, namespace)
        # One that cannot be used now may be usable soon; one of another program never is.
        with suppress(StoreError):
            file.check()
        return FallbackStore(file)
    from ._redis import RedisStore

    return FallbackStore(RedisStore(url, namespace))


def opened_stores() -> tuple[Store, ...]:
    """The stores that this process uses by the machine's clock; none of them is asked anything."""
    # Without the lock, which is held while a store is opened; a copy is made in one step, also where there is no GIL.
    return (_process, *_opened.copy().values())


def forget_all() -> None:
    """Forget what this process remembers, and let go of shared stores: for tests."""
    with _lock.held:
        _process.clear()
        _by_clock.clear()
        opened = list(_opened.values())
        _opened.clear()
    for store in opened:
        store.close()


@atexit.register
def _pay_all() -> None:
    """Have what calls have cost arrive at the end of a program: a store that was gone for a moment may be back."""
    # After what waits for a store has been done, or could not be: its module is imported later, so that its turn is earlier.
    for store in tuple(_opened.values()):
        with suppress(StoreError):
            store.pay()


def forget_memory() -> None:
    """Forget what is kept in this process; those who hold such a store go on with it."""
    for memory in (_process, *tuple(_by_clock.values())):
        memory.clear()


def _before_fork() -> None:
    _lock.before_fork()
    for store in tuple(_opened.values()):
        store.before_fork()


def _after_fork(*, is_child: bool) -> None:
    """A child process begins with nothing: what its parent holds is the parent's, and locks may be held by nobody."""
    for store in _opened.values():
        store.after_fork(is_child=is_child)
    _lock.after_fork(is_child=is_child)
    if is_child:
        _opening.clear()
        _process.after_fork()
        for memory in _by_clock.values():
            memory.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=partial(_after_fork, is_child=False),
        after_in_child=partial(_after_fork, is_child=True),
    )
