"""Where answers tell amounts, and in which forms."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience._amount_places import first_amount, number_after, places_for
from resilience._amounts import amount_text
from resilience._conditions import Answer
from resilience._credits_policy import Credits
from resilience._headers import FoldedHeaders


def read(
    place: Any,
    document: Any = None,
    headers: dict[str, str] | None = None,
    *,
    operation: str | None = None,
    **how: bool,
) -> Decimal | None:
    """The amount that an answer tells at one or several places."""
    places = places_for(Credits.model_validate({"charged": place}).charged, operation)
    return first_amount(places, Answer(200, FoldedHeaders(headers or {}), document=document), **how)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "5"), (0, "0"), (0.1, "0.1"), ("5", "5"), (" 0.0035 ", "0.0035"), ("1e2", "100"), (1e-7, "1E-7"),
        (-1, None), ("-1", None), (True, None), (None, None), ("", None), ("five", None), ("1,250", None), ([5], None),
        ({}, None), (float("nan"), None), (float("inf"), None), ("NaN", None), (10**10, None), ("9" * 5000, None),
        ("1_000", None), ("٣", None),
    ],
)  # fmt: skip
def test_an_amount_in_the_body_is_a_number_or_a_text_of_digits(value: Any, expected: str | None) -> None:
    """Nothing else, and nothing negative."""
    assert (None if expected is None else Decimal(expected)) == read("usage.credits", {"usage": {"credits": value}})


def test_an_amount_may_stand_in_a_header() -> None:
    """In any case of its name; several of one name are no amount."""
    place = {"header": "X-Credits-Used"}

    assert Decimal("2.5") == read(place, headers={"x-credits-USED": "2.5"})
    assert read(place) is None
    assert read(place, headers={"X-Credits-Used": "2, 2"}) is None


def test_the_first_place_that_holds_an_amount_counts() -> None:
    """Of those that speak of the operation."""
    places = [{"body": "a", "operations": "search"}, "b", {"header": "C"}]

    assert Decimal(1) == read(places, {"a": 1, "b": 2}, operation="search")
    assert Decimal(2) == read(places, {"a": 1, "b": 2}, operation="batch")
    assert Decimal(2) == read(places, {"a": 1, "b": 2})
    assert Decimal(3) == read(places, {"a": -1, "b": "?"}, {"C": "3"}, operation="search")


def test_a_balance_below_nothing_is_nothing() -> None:
    """Nothing is left of it either; without being told so it is no amount."""
    assert Decimal(0) == read("left", {"left": -3}, negative=True)
    assert read("left", {"left": -3}) is None
    assert "0" == str(read("left", {"left": -0.0}, negative=True)).removeprefix("-")


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("cost 10, balance 8", "balance ", "8"),
        ("cost 10, balance 8", "cost ", "10"),
        ("You need 5 credits. Current balance: 2", "Current balance:", "2"),
        ("You need 5 credits. Current balance: 2.", "balance: ", "2"),
        ("balance of yours: none; balance 1,250 left", "balance ", "1250"),
        ("balance 1,250,000.75", "balance ", "1250000.75"),
        ("balance 8credits", "balance ", "8"),
        ("balance $8.20", "balance $", "8.20"),
        ("cost 10,balance 8", "cost ", "10"),
        ("balance 10,20", "balance ", None),
        ("balance 1,2500", "balance ", None),
        ("balance 1.250.000", "balance ", None),
        ("balance 12,34,567", "balance ", None),
        ("balance 1e3", "balance ", None),
        ("balance 1E+3", "balance ", None),
        ("balance ٣", "balance ", None),
        ("balance", "balance", None),
        ("Balance 8", "balance ", None),
        ("balance " + "9" * 100, "balance ", None),
        ("balance 0." + "0" * 60 + "1", "balance ", None),
        ("balance -3", "balance ", None),
        ("balance x " * 30 + "balance 3", "balance ", None),
        ("balance x " * 19 + "balance 3", "balance ", "3"),
    ],
)
def test_an_amount_may_follow_a_text(text: str, after: str, expected: str | None) -> None:
    """At its first place where a number follows; what could be two numbers is none."""
    wanted = None if expected is None else Decimal(expected)

    assert wanted == read({"body": "m", "after": after}, {"m": text})
    assert wanted == read({"header": "M", "after": after}, headers={"M": text})


def test_a_number_that_follows_nothing_is_none() -> None:
    """A value that is no text has no place after which a number could stand."""
    assert read({"body": "m", "after": "balance "}, {"m": 8}) is None
    assert read({"body": "m", "after": "balance "}, {}) is None


def test_a_number_after_a_text_may_be_negative() -> None:
    """A balance that is overdrawn."""
    assert Decimal(0) == read({"body": "m", "after": "balance "}, {"m": "balance -3"}, negative=True)


@given(st.integers(0, 10**9), st.integers(0, 999_999), st.text(alphabet="abc ,.;", max_size=10))
def test_an_amount_as_we_write_it_is_read_back(whole: int, parts: int, tail: str) -> None:
    """With commas before thousands, whatever follows that is no number."""
    amount = min(Decimal(f"{whole}.{parts:06}"), Decimal(10**9))

    assert amount == read({"body": "m", "after": "left: "}, {"m": f"left: {amount_text(amount)}{tail}"})


@given(st.text(), st.text(min_size=1, max_size=3))
def test_a_number_after_a_text_stands_where_it_is_said_to(text: str, after: str) -> None:
    """In any text."""
    span = number_after(text, after)

    if span is not None:
        assert text[: span[0]].rstrip(" \t").endswith(after.rstrip(" \t"))
        assert text[span[0] : span[1]].replace(",", "").replace(".", "").removeprefix("-").isdigit()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=5,
)


@given(JSON, st.sampled_from(["a", "a.b", "a[0]", "a[*]", "a[-1].b"]), st.none() | st.just("a"), st.booleans())
def test_no_answer_is_too_strange(document: Any, path: str, after: str | None, negative: bool) -> None:
    """It tells an amount, or none."""
    place = {"body": path} if after is None else {"body": path, "after": after}

    found = read(place, document, negative=negative)

    assert found is None or 0 <= found <= 10**9
