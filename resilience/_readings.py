"""What the stores of this process hold just now, as metrics tell it: breakers, budgets, latches, lines; read in bounded time.

This process's own memory is read at once. A shared store is read by a thread of its own, now and then, and nobody waits
long for it: one that is frozen costs whoever collects metrics a quarter of a second, and is told nothing of then.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ._clock import RealClock
from ._fork import Lock, renewed
from ._reading import Reading, read_store
from ._status import split_key

if TYPE_CHECKING:
    from ._transactions import Store

__all__ = ["Readings", "lines_of"]

# How long whoever collects metrics waits for all shared stores together, in seconds.
_PATIENCE = 0.25
# No shared store is read more often; what was read longest ago and is still told. In seconds.
_EVERY = 5.0
_OLDEST = 60.0
# Several instruments are collected one after the other: what was read for one of them is good for the others so long.
_COLLECTION = 1.0
_clock = RealClock()


class _Shared:
    """One shared store, and what was read of it last."""

    def __init__(self) -> None:
        self.began = self.ended = float("-inf")
        self.reading: Reading | None = None
        self.done = threading.Event()
        self.done.set()


class Readings:
    """Reads stores for metrics; what goes wrong with one of them is no harm.

    Arguments:
        every: seconds for which what was read of a shared store is good.
        patience: seconds to wait for shared stores.
    """

    def __init__(self, every: float = _EVERY, patience: float = _PATIENCE) -> None:
        self._every = every
        self._patience = patience
        self._lock = Lock()
        self._collected: dict[Store, Reading | None] | None = None
        self._until = float("-inf")
        self.renew()
        renewed(self)

    def collect(self, name: str) -> None:
        """An instrument is about to be told: if it is the first one, or again that one, a collection begins.

        What is in this process's memory is read once in each.

        Arguments:
            name: of the instrument.
        """
        now = _clock.now()
        with self._lock:
            if name in self._told or now >= self._until:
                self._told.clear()
                self._collected, self._until = {}, now + _COLLECTION
            self._told.add(name)

    def of(self, stores: Iterable[Store], providers: Collection[str] | None) -> list[Reading]:
        """What is known of each store now.

        Arguments:
            stores: of this process.
            providers: of these alone: others may use the stores too; `None` for all, whose budgets are not told then.
        """
        now = _clock.now()
        found: list[Reading | None] = []
        asked: list[_Shared] = []
        for store in stores:
            if store.instant:
                found.append(self._own(store, providers, now))
            # One that is away is being looked for; what it held is not what counts now.
            elif not getattr(store, "is_away", False):
                asked.append(self._ask(store, None if providers is None else tuple(providers), now))
        for shared in asked:
            # From when it was asked: several instruments are collected one after the other.
            shared.done.wait(max(0.0, shared.began + self._patience - _clock.now()))
            if _clock.now() - shared.ended <= _OLDEST:
                found.append(shared.reading)
        return [each for each in found if each is not None]

    def _own(self, store: Store, providers: Collection[str] | None, now: float) -> Reading | None:
        collected = self._collected
        if collected is None:
            return read_store(store, providers, now)
        if store not in collected:
            collected[store] = read_store(store, providers, now)
        return collected[store]

    def _ask(self, store: Store, providers: tuple[str, ...] | None, now: float) -> _Shared:
        """Begin to read a store, unless it was read just now or somebody is still reading it."""
        with self._lock:
            # By itself, and not by its URL: two of one URL have a namespace each.
            shared = self._shared.setdefault(store, _Shared())
            if not shared.done.is_set() or now < shared.began + self._every:
                return shared
            shared.began = now
            shared.done.clear()

        def read() -> None:
            reading = read_store(store, providers, now)
            if reading is not None:
                shared.reading, shared.ended = reading, _clock.now()
            shared.done.set()

        try:
            threading.Thread(target=read, name="resilience-metrics", daemon=True).start()
        except RuntimeError:
            # No thread can be had, as when the interpreter is shutting down.
            shared.done.set()
        return shared

    def renew(self) -> None:
        """Begin anew, as in a child process: the threads that read are the parent's."""
        self._shared: WeakKeyDictionary[Store, _Shared] = WeakKeyDictionary()
        self._told: set[str] = set()
        self._collected = None


def lines_of(store: Store) -> dict[tuple[str, str, str], int]:
    """How many calls of this process stand in line, by provider, kind of state and name.

    Arguments:
        store: where they wait.
    """
    found: dict[tuple[str, str, str], int] = {}
    for key, length in store.lines.lengths().items():
        parts = split_key(key)
        if parts is not None and length:
            # A bucket's name has a digest of its numbers, and perhaps the provider's own name for it.
            where = parts[0], parts[1], parts[2].partition(":")[0].partition("@")[0]
            found[where] = found.get(where, 0) + length
    return found
