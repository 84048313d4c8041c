"""What the states in a store mean, as plain rows for people and machines; what is no state of ours breaks nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, cast

from ._transactions import State, script_named

__all__ = ["KINDS", "MOST_STATES", "Key", "Kind", "Report", "Row", "key_parts", "report", "split_key"]

Kind = Literal["bucket", "permits", "breaker", "budget", "latch"]
"""What a state is of: a rate, calls at a time, a breaker, the retries of a provider, what an answer has shut."""
Fact: TypeAlias = "float | str | None"
"""What is known of a state: a number, a word, or that there is none."""

KINDS: tuple[Kind, ...] = ("breaker", "latch", "bucket", "permits", "budget")
"""In the order of the rows."""
# What they say, `resilience credits` tells.
_OF_CREDITS = ("credits", "ledger", "job", "settled")
MOST_STATES = 10_000
"""How many states are looked at: a store that others fill too has no end."""
_MOST_FACTS = 20
_LONGEST = 100
_UNREADABLE = "unreadable"


class Key(NamedTuple):
    """The parts of a state's key, as `key_of` writes it."""

    provider: str
    kind: Kind
    name: str
    scope: str
    """Account (its digest), operation, host: what is counted apart; nothing for all calls together."""


@dataclass(frozen=True, slots=True)
class Row:
    """One state.

    Arguments:
        key: as the store has it.
        parts: of the key.
        state: how it is, in one word: `ok`, `paused`, `waiting`, `full`, `lowered`, `empty`, `shut`, a breaker's state, or `unreadable`.
        facts: what is known of it; times in seconds from now.
    """

    key: str
    parts: Key
    state: str
    facts: Mapping[str, Fact]


@dataclass(frozen=True, slots=True)
class Report:
    """What a store holds.

    Arguments:
        rows: its states, by provider, kind, name and scope.
        strange: how many keys are none of ours.
        more: whether there are more states than were looked at.
    """

    rows: tuple[Row, ...]
    strange: int = 0
    more: bool = False


def report(states: Iterable[tuple[str, State]], now: float) -> Report:
    """What the states mean.

    Arguments:
        states: as a store gives them, with their keys.
        now: seconds of the store's clock.
    """
    rows: list[Row] = []
    strange = 0
    for number, (key, state) in enumerate(states):
        if number == MOST_STATES:
            return Report(_sorted(rows), strange, more=True)
        parts = key_parts(key)
        if parts is None:
            split = split_key(key)
            strange += split is None or split[1] not in _OF_CREDITS
        else:
            facts = _facts(parts.kind, state, now)
            word = _UNREADABLE if facts is None else _word(parts.kind, facts)
            rows.append(Row(key, parts, word, facts or {}))
    return Report(_sorted(rows), strange)


def key_parts(key: object) -> Key | None:
    """The parts of a key, with or without a namespace before them; `None` for one that is none of ours."""
    split = split_key(key)
    if split is None or split[1] not in KINDS:
        return None
    provider, kind, rest = split
    name, _, scope = rest.partition(":")
    return Key(_cut(provider), cast("Kind", kind), _cut(name), _cut(scope))


def split_key(key: object) -> tuple[str, str, str] | None:
    """Provider, kind and the rest of a key, of whichever kind; `None` for one that has no such parts."""
    if not isinstance(key, str):
        return None
    opening, closing = key.find("{"), key.find("}:")
    if opening < 0 or closing < opening:
        return None
    kind, _, rest = key[closing + 2 :].partition(":")
    return key[opening + 1 : closing], kind, rest


def _sorted(rows: list[Row]) -> tuple[Row, ...]:
    def place(row: Row) -> tuple[str, int, str, str]:
        parts = row.parts
        return parts.provider, KINDS.index(parts.kind), parts.name, parts.scope

    return tuple(sorted(rows, key=place))


def _facts(kind: Kind, state: object, now: float) -> dict[str, Fact] | None:
    """What the module of a kind says of a state; `None` where it cannot be read."""
    # It stands beside the scripts of its kind.
    describe = cast("Callable[[State, float], Mapping[str, object]]", script_named(f"{kind}.describe"))
    # Whoever else writes into the store may have left anything there: of any type, of any size.
    with suppress(Exception):
        found = describe(cast("State", state), now)
        return {_cut(str(name)): _plain(value) for name, value in list(found.items())[:_MOST_FACTS]}
    return None


def _plain(value: object) -> Fact:
    """A value that JSON can hold and a line can show."""
    if isinstance(value, str):
        return _cut(value)
    number = float(cast("float", value)) if value is not None else math.nan
    return number if math.isfinite(number) else None


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _word(kind: Kind, facts: Mapping[str, Fact]) -> str:
    """How it is, in one word: the worst that is true of it."""
    if isinstance(word := facts.get("state"), str):
        return word
    if kind == "latch":
        return "shut"

    def number(name: str, otherwise: float) -> float:
        found = facts.get(name)
        return found if isinstance(found, float) else otherwise

    if number("paused", 0.0) > 0:
        return "paused"
    if number("waiting", 0.0) > 0:
        return "waiting"
    if kind == "permits" and number("in_flight", 0.0) >= number("most", math.inf):
        return "full"
    if kind == "permits" and number("most", math.inf) < number("documented", math.inf):
        return "lowered"
    if number("left", math.inf) < 1:
        return "empty"
    return "ok"
