"""What states mean, as rows; and that nothing that stands in a foreign store breaks them."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resilience._credits_state import names_key
from resilience._limits import Algorithm
from resilience._status import KINDS, MOST_STATES, Key, key_parts, report
from resilience._transactions import Command
from resilience.stores._memory import MemoryStore


def acquired(most: int, *holders: str, key: str = "{some}:permits:jobs:ab12") -> MemoryStore:
    """A store in which these calls are in flight for a minute."""
    store = MemoryStore()
    for holder in holders:
        store.run(Command("permits.acquire", (key,), (holder, 60.0, most)), 0.0)
    return store


def describing(monkeypatch: pytest.MonkeyPatch, describe: Any) -> None:
    """Let every kind be described so."""
    monkeypatch.setattr("resilience._status.script_named", lambda name: describe)


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("{some}:bucket:rate-1:ab12", Key("some", "bucket", "rate-1", "ab12")),
        ("resilience:{some}:permits:jobs", Key("some", "permits", "jobs", "")),
        ("{some}:breaker:breaker:[::1]:8080", Key("some", "breaker", "breaker", "[::1]:8080")),
        ("{some}:budget", Key("some", "budget", "", "")),
        ("{}:budget:x", Key("", "budget", "x", "")),
        ("{some}:latch:operation.search:ab12", Key("some", "latch", "operation.search", "ab12")),
        ("{some}:credits:daily@credits:ever", None),
        ("{some}:session:x", None),
        ("{some}", None),
        ("}:bucket:{", None),
        ("session:42", None),
        ("", None),
        (b"{some}:budget:x", None),
        (None, None),
    ],
)
def test_the_parts_of_a_key(key: Any, parts: Key | None) -> None:
    """With a namespace before them or without; what is no key of ours has none."""
    assert parts == key_parts(key)


def test_a_long_key_is_cut() -> None:
    """A screen is no place for a megabyte."""
    found = key_parts("{" + "p" * 1000 + "}:bucket:" + "n" * 1000 + ":" + "s" * 1000)

    assert found is not None
    assert [100, 100, 100] == [len(part) for part in (found.provider, found.name, found.scope)]


def test_rows_stand_by_provider_and_kind() -> None:
    """Whatever the order of the store."""
    keys = ["{b}:budget:budget", "{a}:permits:x:2", "{a}:permits:x:1", "{a}:bucket:z", "{a}:bucket:y", "{a}:breaker:b"]

    rows = report([(key, {}) for key in keys], 0.0).rows

    assert [
        "{a}:breaker:b", "{a}:bucket:y", "{a}:bucket:z", "{a}:permits:x:1", "{a}:permits:x:2", "{b}:budget:budget",
    ] == [row.key for row in rows]  # fmt: skip


@pytest.mark.parametrize(
    ("most", "holders", "lowered", "word"),
    [(3, "ab", False, "ok"), (2, "ab", False, "full"), (0, "ab", False, "ok"), (9, "abcd", True, "full"), (9, "abcd", None, "lowered")],
)  # fmt: skip
def test_permits_in_one_word(most: int, holders: str, lowered: bool | None, word: str) -> None:
    """`full` where nobody else fits, `lowered` where the provider bears less than it documents."""
    store = acquired(most, *holders)
    if lowered is not False:
        store.run(Command("permits.lower", ("{some}:permits:jobs:ab12",), (0.0, most)), 0.0)
    if lowered is None:
        store.run(Command("permits.release", ("{some}:permits:jobs:ab12",), ("a",)), 0.0)
        store.run(Command("permits.release", ("{some}:permits:jobs:ab12",), ("b",)), 0.0)
        store.run(Command("permits.release", ("{some}:permits:jobs:ab12",), ("c",)), 0.0)

    (row,) = report(store.scan(), 10.0).rows

    assert (word, Key("some", "permits", "jobs", "ab12")) == (row.state, row.parts)


def test_the_facts_are_those_of_the_kind() -> None:
    """Numbers that JSON can hold; nothing where there is none."""
    (row,) = report(acquired(3, "a", "b").scan(), 10.0).rows

    assert {"in_flight": 2.0, "most": 3.0, "documented": 3.0, "lease_ends_in": 50.0} == row.facts


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({}, "ok"),
        ({"state": "half_open"}, "half_open"),
        ({"left": 0.5}, "empty"),
        ({"left": 1}, "ok"),
        ({"left": 0, "waiting": 2}, "waiting"),
        ({"left": 0, "waiting": 2, "paused": 0.1}, "paused"),
        ({"left": None, "paused": None}, "ok"),
    ],
)
def test_the_word_is_the_worst_that_is_true(facts: dict[str, Any], word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that names itself is called so."""
    describing(monkeypatch, lambda state, now: facts)

    (row,) = report([("{some}:permits:x", {})], 0.0).rows

    assert word == row.state


@pytest.mark.parametrize(
    "found",
    [None, 5, "text", ["left"], {"left": []}, {"left": {}}, {"left": b"1"}, {"left": 10**400}, {"left": "x" * 10**6}],
    ids=lambda value: repr(value)[:20],
)
def test_what_a_state_says_is_plain_or_unreadable(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a description makes of a state that it does not know: no list, no endless number, no endless text."""
    describing(monkeypatch, lambda state, now: found)

    (row,) = report([("{some}:permits:x", {})], 0.0).rows

    assert row.state == "unreadable" or all(len(str(value)) <= 100 for value in row.facts.values())
    assert json.dumps(row.facts, allow_nan=False)


def test_a_number_that_is_none_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON has no word for it; and of a hundred facts the first twenty are enough."""
    facts = {"left": math.nan, "most": math.inf, "waiting": -math.inf, "in_flight": True}
    describing(monkeypatch, lambda state, now: facts | {f"x{number}": 1 for number in range(100)})

    (row,) = report([("{some}:permits:x", {})], 0.0).rows

    assert (None, None, None, 1.0) == tuple(row.facts[name] for name in facts)
    assert 20 == len(row.facts)


def test_a_latch_is_shut() -> None:
    """With the words of whoever shut it, and when it opens or is looked at."""
    store = MemoryStore()
    store.run(Command("latch.shut", ("{some}:latch:account:ab12",), ("c", 0, 300.0, "402 NO_CREDITS")), 5.0)

    (row,) = report(store.scan(), 10.0).rows

    assert ("shut", Key("some", "latch", "account", "ab12")) == (row.state, row.parts)
    assert {"why": "402 NO_CREDITS", "for": 5.0, "opens_in": None, "looks_in": 295.0} == row.facts


def test_what_is_told_elsewhere_is_not_strange() -> None:
    """Budgets, the ledger and jobs have a command of their own."""
    keys = [f"{{a}}:{kind}:x" for kind in ("credits", "ledger", "job", "lodger")]
    # What a store that was away is told: whose calls it has counted already.
    keys.append(names_key("{a}:ledger:1", "process.1"))

    assert ((), 1) == ((found := report([(key, {}) for key in keys], 0.0)).rows, found.strange)


def test_keys_of_others_are_counted() -> None:
    """And not shown."""
    states: list[tuple[str, dict[str, Any]]] = [("celery", {}), ("{a}:permits:x", {}), ("{b}:permits:x", {})]

    assert (2, 1, False) == (len((found := report(states, 0.0)).rows), found.strange, found.more)


def test_a_store_without_an_end_is_not_read_to_it() -> None:
    """The report says that there is more."""

    def endless() -> Any:
        number = 0
        while True:
            yield f"{{some}}:permits:{number}", {"holders": {}, "number": 0}
            number += 1

    found = report(endless(), 0.0)

    assert (MOST_STATES, True) == (len(found.rows), found.more)


NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 0.0, 1, -1, 1e-300, 1e300, 10**400])
PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20) | st.binary(max_size=5),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4),
    max_leaves=10,
)
# What states of all kinds are made of; near enough to real ones that they are read to the end.
FIELDS = {
    **dict.fromkeys(
        ["amount", "seconds", "burst", "next", "base", "shift", "since", "start", "used", "last", "left", "left_since",
         "left_until", "paused_until", "earliest", "latest", "number", "most", "lowerings", "state", "generation",
         "until", "failures", "slot", "width", "length", "issued", "passed", "failed"],
        NUMBERS | PLAIN,
    ),
    **dict.fromkeys(["holes", "times", "counts", "ok", "bad", "due", "leased"], st.lists(NUMBERS, max_size=12) | PLAIN),
    "holders": st.dictionaries(st.text(max_size=5), NUMBERS) | PLAIN,
    "algorithm": st.sampled_from([*get_args(Algorithm), "unrated"]) | PLAIN,
}  # fmt: skip
STATES = st.fixed_dictionaries(FIELDS) | st.fixed_dictionaries({}, optional=FIELDS) | PLAIN
KEYS = st.text(max_size=30) | st.builds(
    "{{{}}}:{}:{}".format, st.text(max_size=9), st.sampled_from(list(KINDS)), st.text(max_size=20)
)


@example(
    [("{a}:bucket:x", {"algorithm": "unrated", "amount": 1, "seconds": 1.0, "burst": 1, "since": 1e17, "next": 1e18})],
    0.0,
)
@given(st.lists(st.tuples(KEYS, STATES), max_size=4), st.floats(-1e9, 1e12))
def test_nothing_in_a_foreign_store_breaks_it(states: Any, now: float) -> None:
    """Wrong types, numbers that are none, texts with anything in them: there is a row, and it is plain data."""
    found = report(states, now)

    assert len(states) == len(found.rows) + found.strange
    for row in found.rows:
        assert json.dumps([row.parts, row.state, row.facts], allow_nan=False)
        assert all(len(part) <= 100 for part in (*row.parts, row.state))


def test_real_states_of_every_kind_can_be_read() -> None:
    """Each says by itself how it is, at the time of the store."""
    store = MemoryStore()
    spec = ["token_bucket", 2, 1.0, 2, 1]
    for command in (
        *(Command("bucket.reserve", ("{a}:bucket:rate",), (60.0, [spec])) for _ in range(3)),
        Command("bucket.pause", ("{a}:bucket:paused",), (30.0, spec)),
        Command("breaker.force", ("{a}:breaker:b",), (1, 9.0)),
        Command("breaker.force", ("{a}:breaker:c",), (3, 0.0)),
        Command("permits.acquire", ("{a}:permits:p",), ("x", 60.0, 1)),
        Command("budget.withdraw", ("{a}:budget:ratio",), (0.2, 10, 10.0, [5])),
        Command("budget.spend", ("{a}:budget:quota",), (14, 14)),
    ):
        store.run(command, 100.0)

    rows = {row.parts.name: row for row in report(store.scan(), 100.0).rows}

    assert {
        "rate": "waiting", "paused": "paused", "b": "open", "c": "isolated", "p": "full", "ratio": "ok", "quota": "empty",
    } == {name: row.state for name, row in rows.items()}  # fmt: skip
    assert (30.0, 9.0) == (rows["paused"].facts["paused"], rows["b"].facts["retry_after"])
    assert ({"calls": 5.0, "retries": 1.0}, {"left": 0.0}) == (rows["ratio"].facts, rows["quota"].facts)
