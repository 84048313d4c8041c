"""One budget, balance or latch of a store for people: what is spent, reserved and left, until when, and what is shut.

Nothing that stands in a store is trusted: what is no state of ours is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote

from ._amounts import from_millionths
from ._credits_ledger import is_number
from ._credits_state import describe as describe_budget
from ._latch_state import describe as describe_latch

if TYPE_CHECKING:
    from ._transactions import State

__all__ = ["Latch", "Line", "Span", "latch_of", "line_of"]

_BALANCE = "balance"
_LONGEST_KEY = 1_000
_LONGEST = 200
# Before so much of a period has passed, nobody can tell what comes of it.
_EARLIEST_FORECAST = 0.01
_PARTS = Decimal("0.000001")
# This project's own fixed patterns, for a part of a key; dates end with the year 9999.
_CALENDAR = re.compile(r"([0-9]{1,11})-([0-9]{1,11})", re.ASCII)
_ROLLING = re.compile(r"rolling-([1-9][0-9]{0,8})", re.ASCII)


class Span(NamedTuple):
    """The period of a budget: `calendar`, with its beginning and end in seconds since 1970; `rolling`; or `ever`."""

    kind: str
    begins: float | None = None
    ends: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One budget in one period, by what it counts apart; or the provider's word on a balance."""

    key: str
    provider: str
    budget: str
    unit: str
    span: Span
    scopes: Mapping[str, str]
    """`account` (its digest), `operation`, `tag.<name>`, each with its value; `-` for none."""
    limit: Decimal | None
    """`None` without end; of a balance: what the provider has told, `None` for nothing yet."""
    spent: Decimal
    reserved: Decimal
    left: Decimal | None
    calls: int
    """How many have reserved something, and are under way."""
    used: float | None
    """Which share is spent or reserved."""
    resets_in: float | None
    """Seconds until the period ends; `None` for one that does not, or has."""
    forecast: Decimal | None
    """What will have been spent at the end of the period if it goes on so; of a window, what each such window costs."""
    told_ago: float | None
    """Of a balance: seconds since the provider told it, or a call was sent to find out."""
    is_over: bool
    """Whether it is of an older period."""
    is_late: bool
    """Whether the lease of a call has ended that is not counted yet."""
    history: tuple[Decimal, ...] = ()
    """What was spent in equal parts of the period so far, of the window, or of the last day; of `requests`: calls."""

    @property
    def is_balance(self) -> bool:
        """Whether it is the provider's word."""
        return self.budget == _BALANCE


@dataclass(frozen=True, slots=True)
class Latch:
    """What an answer has shut: an account, or an operation of it."""

    key: str
    provider: str
    operation: str | None
    """`None` for all of the account."""
    account: str
    why: str
    shut_for: float
    """Seconds since it was shut."""
    opens_in: float | None
    """Seconds; `None` where the provider did not say."""
    looks_in: float | None
    """Seconds until one call may look; `None` where it is known when it opens."""


def line_of(key: str, provider: str, rest: str, state: object, *, now: float, wall: float) -> Line | None:
    """The budget or balance of a state, without its history; `None` where it is none of ours.

    Arguments:
        key: as the store has it.
        provider: of the key.
        rest: of the key, after its kind.
        state: what stands there.
        now: seconds of the store's clock.
        wall: seconds since 1970.
    """
    title, _, rest = rest.partition(":")
    label, _, rest = rest.partition(":")
    budget, _, unit = title.rpartition("@")
    span = _span(label)
    pairs = [each.partition("=") for each in rest.split(":")] if rest else []
    facts = _budget_facts(state, now)
    is_named = budget and unit and all(sign for _, sign, _ in pairs) and len(key) <= _LONGEST_KEY
    if not is_named or span is None or facts is None:
        return None
    scopes = {name: unquote(value) for name, _, value in pairs}
    limit, left = (None if facts[name] is None else from_millionths(facts[name]) for name in ("limit", "left"))
    spent, reserved = from_millionths(facts["spent"]), from_millionths(facts["reserved"])
    is_over = span.ends is not None and span.ends <= wall
    return Line(
        key=key,
        provider=provider,
        budget=budget,
        unit=unit.replace("-", " "),
        span=span,
        scopes=scopes,
        limit=limit,
        spent=spent,
        reserved=reserved,
        left=left,
        calls=int(facts["calls"]),
        used=float((spent + reserved) / limit) if limit else None,
        resets_in=None if span.ends is None or is_over else span.ends - wall,
        forecast=None if is_over else _forecast(spent, span, wall),
        told_ago=max(0.0, now - facts["seen"]) if budget == _BALANCE else None,
        is_over=is_over,
        is_late=0 < facts["earliest"] <= now,
    )


def _budget_facts(state: object, now: float) -> dict[str, Any] | None:
    """What the scripts say of a state; `None` where they cannot read it, or numbers are none."""
    # Whoever else writes into the store may have left anything there: of any type, of any size.
    with suppress(Exception):
        facts: dict[str, Any] = {**describe_budget(cast("State", state), now)}
        facts |= {name: cast("State", state)[name] for name in ("seen", "earliest")}
        optional = {name for name in ("limit", "left") if facts[name] is None}
        if all(is_number(value) for name, value in facts.items() if name not in optional):
            return facts
    return None


def _span(label: str) -> Span | None:
    if label == "ever":
        return Span("ever")
    if rolling := _ROLLING.fullmatch(label):
        return Span("rolling", seconds=float(rolling[1]))
    calendar = _CALENDAR.fullmatch(label)
    if calendar is None or int(calendar[1]) >= int(calendar[2]):
        return None
    begins, ends = float(calendar[1]), float(calendar[2])
    return Span("calendar", begins, ends, ends - begins)


def _forecast(spent: Decimal, span: Span, wall: float) -> Decimal | None:
    if span.begins is None or span.seconds is None:
        # A window that goes on as it is costs as much each time.
        return spent if span.kind == "rolling" else None
    share = (wall - span.begins) / span.seconds
    return None if share < _EARLIEST_FORECAST else (spent / Decimal(share)).quantize(_PARTS)


def latch_of(key: str, provider: str, rest: str, state: object, now: float) -> Latch | None:
    """The latch of a state; `None` where it is none of ours. Arguments: as of `line_of`."""
    scope, _, account = rest.partition(":")
    kind, _, operation = scope.partition(".")
    facts: dict[str, Any] = {}
    with suppress(Exception):
        facts.update(describe_latch(cast("State", state), now))
    why, shut_for, *ends = (facts.get(name) for name in ("why", "for", "opens_in", "looks_in"))
    is_named = account and kind in {"account", "operation"} and len(key) <= _LONGEST_KEY
    are_numbers = is_number(shut_for) and all(end is None or is_number(end) for end in ends)
    if not is_named or not are_numbers or not isinstance(why, str):
        return None
    return Latch(
        key=key,
        provider=provider,
        operation=operation if kind == "operation" else None,
        account=account,
        why=why[:_LONGEST],
        shut_for=cast("float", shut_for),
        opens_in=ends[0],
        looks_in=ends[1],
    )
