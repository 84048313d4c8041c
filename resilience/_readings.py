"""What the stores of this process hold just now, as metrics tell it: breakers, budgets, latches, lines; read in bounded time.

This process's own memory is read at once. A shared store is read by a thread of its own, now and then, and nobody waits
long for it: one that is frozen costs whoever collects metrics a quarter of a second, and is told nothing of then.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from ._breaker_machine import NAMES
from ._clock import RealClock
from ._credits_lines import latch_of, line_of
from ._credits_state import describe
from ._fork import Lock
from ._status import MOST_STATES, report, split_key

if TYPE_CHECKING:
    from ._credits_lines import Line
    from ._transactions import State, Store

__all__ = ["Reading", "Readings", "lines_of"]

_KINDS = ("breaker", "credits", "latch")
# How long whoever collects metrics waits for all shared stores together, in seconds.
_PATIENCE = 0.25
# No shared store is read more often; what was read longest ago and is still told. In seconds.
_EVERY = 5.0
_OLDEST = 60.0
# Several instruments are collected one after the other: what was read for one of them is good for the others so long.
_COLLECTION = 1.0
_clock = RealClock()


class Reading(NamedTuple):
    """What one store holds of some providers.

    Arguments:
        breakers: how many, by provider and state.
        budgets: by provider, name and unit, the part that has the least left.
        latches: how many are shut, by provider and scope.
    """

    breakers: dict[tuple[str, str], int]
    budgets: dict[tuple[str, str, str], Line]
    latches: dict[tuple[str, str], int]


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
        self._begin()
        _all.add(self)

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

    def of(self, stores: Iterable[Store], providers: Collection[str]) -> list[Reading]:
        """What is known of each store now.

        Arguments:
            stores: of this process.
            providers: of these alone: others may use the stores too.
        """
        now = _clock.now()
        found: list[Reading | None] = []
        asked: list[_Shared] = []
        for store in stores:
            if store.instant:
                found.append(self._own(store, providers, now))
            # One that is away is being looked for; what it held is not what counts now.
            elif not getattr(store, "is_away", False):
                asked.append(self._ask(store, tuple(providers), now))
        for shared in asked:
            # From when it was asked: several instruments are collected one after the other.
            shared.done.wait(max(0.0, shared.began + self._patience - _clock.now()))
            if _clock.now() - shared.ended <= _OLDEST:
                found.append(shared.reading)
        return [each for each in found if each is not None]

    def _own(self, store: Store, providers: Collection[str], now: float) -> Reading | None:
        collected = self._collected
        if collected is None:
            return _read(store, providers, now)
        if store not in collected:
            collected[store] = _read(store, providers, now)
        return collected[store]

    def _ask(self, store: Store, providers: tuple[str, ...], now: float) -> _Shared:
        """Begin to read a store, unless it was read just now or somebody is still reading it."""
        with self._lock:
            shared = self._shared.setdefault(store.url, _Shared())
            if not shared.done.is_set() or now < shared.began + self._every:
                return shared
            shared.began = now
            shared.done.clear()

        def read() -> None:
            reading = _read(store, providers, now)
            if reading is not None:
                shared.reading, shared.ended = reading, _clock.now()
            shared.done.set()

        try:
            threading.Thread(target=read, name="resilience-metrics", daemon=True).start()
        except RuntimeError:
            # No thread can be had, as when the interpreter is shutting down.
            shared.done.set()
        return shared

    def _begin(self) -> None:
        self._shared: dict[str, _Shared] = {}
        self._told: set[str] = set()
        self._collected = None

    def renew(self) -> None:
        """Begin anew in a child process: the threads that read are the parent's."""
        self._begin()


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


def _read(store: Store, providers: Collection[str], now: float) -> Reading | None:
    """What a store holds; `None` where it cannot be read, for whatever reason."""
    with suppress(Exception):
        states = list(islice(_scan(store, providers), MOST_STATES))
        return _told(states, store.now(now), _clock.wall())
    return None


def _scan(store: Store, providers: Collection[str]) -> Iterable[tuple[str, State]]:
    if store.instant:
        # Copied under its lock, so no more of it than is told.
        for provider in providers:
            for kind in _KINDS:
                yield from store.scan(f"{{{provider}}}:{kind}:")
        return
    # One way through all its keys, as a server has no shorter one.
    prefix = f"{{{next(iter(providers))}}}:" if len(providers) == 1 else "{"
    for key, state in store.scan(prefix) if providers else ():
        parts = split_key(key)
        if parts is not None and parts[0] in providers and parts[1] in _KINDS:
            yield key, state


def _told(states: list[tuple[str, Any]], now: float, wall: float) -> Reading:
    reading = Reading({}, {}, {})
    for row in report(states, now).rows:
        if row.parts.kind == "breaker" and row.state in NAMES:
            breaker = row.parts.provider, row.state
            reading.breakers[breaker] = reading.breakers.get(breaker, 0) + 1
    least: dict[tuple[str, str], float] = {}
    for key, state in states:
        provider, kind, rest = split_key(key) or ("", "", "")
        if kind == "credits":
            # A budget may have a part for each tenant, and all that takes time is for the one with the least left.
            title, left = (provider, rest.partition(":")[0]), _left(state, now)
            if left is None or (title in least and least[title] <= left):
                continue
            line = line_of(key, provider, rest, state, now=now, wall=wall)
            if line is not None and not line.is_over:
                reading.budgets[provider, line.budget, line.unit] = line
                least[title] = left
        elif kind == "latch" and (latch := latch_of(key, provider, rest, state, now)) is not None:
            scope = provider, "account" if latch.operation is None else "operation"
            reading.latches[scope] = reading.latches.get(scope, 0) + 1
    return reading


def _left(state: Any, now: float) -> float | None:
    """What is left of a part of a budget, infinity where it has no end; `None` for what is no such state."""
    # Whoever else writes into the store may have left anything there.
    with suppress(Exception):
        left = describe(state, now)["left"]
        return math.inf if left is None else float(left)
    return None


_all: WeakSet[Readings] = WeakSet()


def _renew_all() -> None:
    for each in tuple(_all):
        each.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
