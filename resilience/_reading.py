"""What one store holds at one moment of breakers, budgets and latches."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from ._breaker_machine import NAMES
from ._clock import RealClock
from ._credits_lines import latch_of, line_of
from ._credits_state import describe
from ._status import MOST_STATES, report, split_key

if TYPE_CHECKING:
    from ._credits_lines import Latch, Line
    from ._status import Row
    from ._transactions import State, Store

__all__ = ["KINDS", "Reading", "read_store"]

KINDS = ("breaker", "credits", "latch")
"""The kinds of states that are read."""
_SHUTTING = ("breaker", "latch")


class Reading(NamedTuple):
    """What one store holds of some providers.

    Arguments:
        breakers: how many, by provider and state.
        budgets: by provider, name and unit, the part that has the least left.
        latches: how many are shut, by provider and scope.
        held: the breakers that are not closed.
        latched: what is shut.
    """

    breakers: dict[tuple[str, str], int]
    budgets: dict[tuple[str, str, str], Line]
    latches: dict[tuple[str, str], int]
    held: tuple[Row, ...] = ()
    latched: tuple[Latch, ...] = ()


def read_store(store: Store, providers: Collection[str] | None, now: float) -> Reading | None:
    """What a store holds; `None` where it cannot be read, for whatever reason.

    Arguments:
        store: which.
        providers: of these alone; `None` for what is open or shut of all.
        now: the process's time.
    """
    with suppress(Exception):
        states = list(islice(_scan(store, providers), MOST_STATES))
        return _told(states, store.now(now), RealClock.wall())
    return None


def _scan(store: Store, providers: Collection[str] | None) -> Iterable[tuple[str, State]]:
    if providers is None:
        for key, state in store.scan("{"):
            if (split_key(key) or ("", ""))[1] in _SHUTTING:
                yield key, state
        return
    if store.instant:
        # Copied under its lock, so no more of it than is told.
        for provider in providers:
            for kind in KINDS:
                yield from store.scan(f"{{{provider}}}:{kind}:")
        return
    # One way through all its keys, as a server has no shorter one.
    prefix = f"{{{next(iter(providers))}}}:" if len(providers) == 1 else "{"
    for key, state in store.scan(prefix) if providers else ():
        parts = split_key(key)
        if parts is not None and parts[0] in providers and parts[1] in KINDS:
            yield key, state


def _told(states: list[tuple[str, Any]], now: float, wall: float) -> Reading:
    reading = Reading({}, {}, {})
    held: list[Row] = []
    latched: list[Latch] = []
    for row in report(states, now).rows:
        if row.parts.kind == "breaker" and row.state in NAMES:
            breaker = row.parts.provider, row.state
            reading.breakers[breaker] = reading.breakers.get(breaker, 0) + 1
            if row.state != "closed":
                held.append(row)
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
            latched.append(latch)
    return reading._replace(held=tuple(held), latched=tuple(latched))


def _left(state: Any, now: float) -> float | None:
    """What is left of a part of a budget, infinity where it has no end; `None` for what is no such state."""
    # Whoever else writes into the store may have left anything there.
    with suppress(Exception):
        left = describe(state, now)["left"]
        return math.inf if left is None else float(left)
    return None
