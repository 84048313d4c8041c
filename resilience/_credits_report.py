"""What a store holds of credits, for people: its budgets with their spending over time, balances, latches, and a ledger.

Nothing that stands in a store is trusted: what is no state of ours becomes a warning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ._budgets import REQUESTS
from ._credits_ledger import apart, read_pages, spread
from ._credits_lines import latch_of, line_of
from ._status import MOST_STATES, split_key

if TYPE_CHECKING:
    from ._credits_ledger import Ledger, Settlement
    from ._credits_lines import Latch, Line
    from ._transactions import State

__all__ = ["BINS", "CreditsReport", "credits_report"]

BINS = 12
"""In how many parts the spending of a period is told."""
_DAY = 86_400.0
_LONGEST = 200
_MOST_WARNINGS = 10


@dataclass(frozen=True, slots=True)
class CreditsReport:
    """What a store holds of credits.

    Arguments:
        lines: budgets, by provider, name, scopes and period; those of older periods too.
        balances: what providers have told of their accounts.
        latches: what is shut.
        ledger: what calls have cost.
        lost: keys of budgets in which a call's lease has ended that is not counted yet, by provider.
        warnings: what is no state of ours.
        more: whether there are more states than were looked at.
    """

    lines: tuple[Line, ...]
    balances: tuple[Line, ...]
    latches: tuple[Latch, ...]
    ledger: Ledger
    lost: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    warnings: tuple[str, ...] = ()
    more: bool = False


def credits_report(
    states: Iterable[tuple[str, State]],
    now: float,
    wall: float,
    *,
    provider: str | None = None,
    operations: Mapping[tuple[str, str], Collection[str]] | None = None,
) -> CreditsReport:
    """What the states mean.

    Arguments:
        states: as a store gives them, with their keys; those of other kinds are left out.
        now: seconds of the store's clock.
        wall: seconds since 1970.
        provider: of this one alone.
        operations: those that a budget counts, by its provider and name; all of one that is not there.
    """
    found: dict[str, list[tuple[str, str, str, object]]] = {"credits": [], "latch": [], "ledger": []}
    more = False
    for number, (key, state) in enumerate(states):
        more = number == MOST_STATES
        if more:
            break
        parts = split_key(key)
        if parts is not None and parts[1] in found and provider in {None, parts[0]}:
            found[parts[1]].append((key, parts[0], parts[2], state))
    lines = [line_of(*each, now=now, wall=wall) for each in found["credits"]]
    latches = [latch_of(*each, now) for each in found["latch"]]
    strange = [
        each[0]
        for each, made in zip(found["credits"] + found["latch"], [*lines, *latches], strict=True)
        if made is None
    ]
    ledger = read_pages((owner, state) for _, owner, _, state in found["ledger"])
    spent = _Spending(ledger.rows, operations or {}, wall)
    told = sorted((spent.added(line) for line in lines if line is not None), key=_place)
    lost: dict[str, tuple[str, ...]] = {}
    for line in told:
        if line.is_late:
            lost[line.provider] = (*lost.get(line.provider, ()), line.key)
    return CreditsReport(
        tuple(line for line in told if not line.is_balance),
        tuple(line for line in told if line.is_balance),
        tuple(sorted((latch for latch in latches if latch is not None), key=lambda latch: latch.key)),
        ledger,
        lost,
        _warnings(strange, ledger.strange),
        more,
    )


def _place(line: Line) -> tuple[str, str, tuple[tuple[str, str], ...], float, str]:
    return line.provider, line.budget, tuple(line.scopes.items()), line.span.begins or 0.0, line.key


def _warnings(strange: list[str], rows: int) -> tuple[str, ...]:
    said = [f"{key[:_LONGEST]!r} holds what this library has not written, and is left out" for key in sorted(strange)]
    if len(said) > _MOST_WARNINGS:
        said[_MOST_WARNINGS:] = [f"{len(said) - _MOST_WARNINGS} more keys hold such, and are left out"]
    if rows:
        said.append(f"{rows} row{'s'[: rows != 1]} of the ledger cannot be read, and are left out")
    return tuple(said)


class _Spending:
    """What the ledger says of budgets; its rows are told apart once for each way of counting."""

    def __init__(
        self, rows: Iterable[Settlement], operations: Mapping[tuple[str, str], Collection[str]], wall: float
    ) -> None:
        self._operations = operations
        self._wall = wall
        self._by_provider: dict[str, list[Settlement]] = {}
        for row in rows:
            self._by_provider.setdefault(row.provider, []).append(row)
        self._apart: dict[tuple[str, tuple[str, ...]], dict[tuple[str, ...], list[Settlement]]] = {}

    def added(self, line: Line) -> Line:
        """The line with its history."""
        if line.is_balance:
            return line
        place = (line.provider, tuple(line.scopes))
        if place not in self._apart:
            self._apart[place] = apart(self._by_provider.get(line.provider, ()), place[1])
        # Its scopes are for people.
        values = tuple(part.partition("=")[2] for part in line.key.split(":")[4:])
        rows = self._apart[place].get(values, [])
        counted = self._operations.get((line.provider, line.budget))
        if counted:
            rows = [row for row in rows if row.operation in counted]
        span = line.span
        ends = self._wall if span.ends is None else min(self._wall, span.ends)
        begins = ends - (span.seconds or _DAY) if span.begins is None else min(span.begins, ends)
        return replace(line, history=spread(rows, begins, ends, BINS, calls=line.unit == REQUESTS))
