"""The ledger of a store for people: what each call has cost, in the order of time, summed and spread over time.

Nothing that stands in a store is trusted: what is no row of ours is counted, and left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, cast

from ._amounts import from_millionths
from ._budget_state import LARGEST

__all__ = ["Dropped", "Ledger", "Settlement", "Sum", "apart", "is_number", "read_pages", "spread", "sums"]

# The end of the year 9999, the last that a date can be written of.
_LATEST = 253_402_300_799.0
# Twenty tags of the longest names and values.
_LONGEST = 5_000
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Settlement:
    """One row: what became of a reservation.

    Arguments:
        provider: whose ledger it stands in.
        at: when the call was made, in seconds since 1970.
        call: its name.
        operation: empty for none.
        account: a digest, `-` for none.
        tags: as `name=value,name=value`.
        reserved: what it might have cost.
        outcome: `settled`, `failed`, `unanswered`, `lost`, `job` or `balance`.
        charged: what it cost; less than nothing where more had been counted before.
    """

    provider: str
    at: float
    call: str
    operation: str
    account: str
    tags: str
    reserved: Decimal
    outcome: str
    charged: Decimal


class Dropped(NamedTuple):
    """Rows that were forgotten because their page was full: how many, and what they have cost."""

    rows: int
    charged: Decimal


class Sum(NamedTuple):
    """Rows of one outcome: how many, and what they have cost."""

    rows: int
    charged: Decimal


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the pages hold.

    Arguments:
        rows: in the order of time.
        dropped: by provider, where there are such.
        strange: how many rows or pages are none of ours.
    """

    rows: tuple[Settlement, ...] = ()
    dropped: Mapping[str, Dropped] = field(default_factory=dict[str, Dropped])
    strange: int = 0


def is_number(value: object) -> bool:
    """Whether it is one that a script may have counted."""
    # Neither infinity nor what is no number at all is in this range.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def read_pages(pages: Iterable[tuple[str, object]]) -> Ledger:
    """The ledger of its pages.

    Arguments:
        pages: the states, each with its provider.
    """
    rows: list[Settlement] = []
    dropped: dict[str, Dropped] = {}
    strange = 0
    for provider, page in pages:
        state = cast("Mapping[str, object]", page if isinstance(page, Mapping) else {})
        listed, count, charged = state.get("rows"), state.get("dropped"), state.get("charged")
        if listed == {}:
            # An empty list, as Redis tells it.
            listed = []
        if not isinstance(listed, list) or not is_number(count) or not is_number(charged):
            strange += 1
            continue
        if count:
            before = dropped.get(provider, Dropped(0, _ZERO))
            more = Dropped(int(cast("float", count)), from_millionths(cast("float", charged)))
            dropped[provider] = Dropped(before.rows + more.rows, before.charged + more.charged)
        for each in cast("list[object]", listed):
            row = _row(provider, each)
            if row is None:
                strange += 1
            else:
                rows.append(row)
    return Ledger(tuple(sorted(rows, key=lambda row: (row.at, row.provider, row.call))), dropped, strange)


def _row(provider: str, row: object) -> Settlement | None:
    if not isinstance(row, list) or len(cast("list[object]", row)) != 8:
        return None
    at, call, operation, account, tags, reserved, outcome, charged = cast("list[object]", row)
    numbers = [cast("float", number) for number in (at, reserved, charged) if is_number(number)]
    texts = [text for text in (call, operation, account, tags, outcome) if isinstance(text, str)]
    if len(numbers) < 3 or len(texts) < 5 or not 0 <= numbers[0] <= _LATEST or max(map(len, texts)) > _LONGEST:
        return None
    return Settlement(
        provider=provider,
        at=float(numbers[0]),
        call=texts[0],
        operation=texts[1],
        account=texts[2],
        tags=texts[3],
        reserved=from_millionths(numbers[1]),
        outcome=texts[4],
        charged=from_millionths(numbers[2]),
    )


def sums(rows: Iterable[Settlement]) -> dict[str, dict[str, Sum]]:
    """What was spent, by provider and outcome; two providers may be paid in different units."""
    found: dict[str, dict[str, Sum]] = {}
    for row in rows:
        outcomes = found.setdefault(row.provider, {})
        before = outcomes.get(row.outcome, Sum(0, _ZERO))
        outcomes[row.outcome] = Sum(before.rows + 1, before.charged + row.charged)
    return found


def apart(rows: Iterable[Settlement], scopes: tuple[str, ...]) -> dict[tuple[str, ...], list[Settlement]]:
    """The rows by what a budget counts apart.

    Arguments:
        rows: of its provider.
        scopes: of the budget, as its key has them: `account`, `operation`, `tag.<name>`; the values, as in the key, come in
            their order.
    """
    found: dict[tuple[str, ...], list[Settlement]] = {}
    for row in rows:
        named = {"account": row.account, "operation": row.operation or "-"}
        # As they stand in keys, so that no value holds a comma.
        tags = [each.partition("=") for each in row.tags.split(",")]
        named |= {f"tag.{name}": value for name, sign, value in tags if sign}
        found.setdefault(tuple(named.get(scope, "-") for scope in scopes), []).append(row)
    return found


def spread(
    rows: Iterable[Settlement], begins: float, ends: float, bins: int, *, calls: bool = False
) -> tuple[Decimal, ...]:
    """What was spent, in equal parts of a time.

    Arguments:
        rows: of the ledger.
        begins: seconds since 1970.
        ends: seconds since 1970; a row at that very moment is in the last part.
        bins: how many parts.
        calls: to count the calls instead of what they cost.
    """
    found = [_ZERO] * bins
    named: set[str] = set()
    for row in rows:
        if begins <= row.at <= ends:
            place = int((row.at - begins) * bins / (ends - begins)) if ends > begins else 0
            # What corrects a balance was no call, and what corrects a call that was lost is no other one.
            is_call = row.outcome != "balance" and row.call not in named
            named.add(row.call)
            found[min(place, bins - 1)] += Decimal(is_call) if calls else row.charged
    return tuple(found)
