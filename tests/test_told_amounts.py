"""Amounts are written into documented answers where their policy says that answers tell them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience._amount_places import first_amount, places_for
from resilience._conditions import Answer
from resilience._credits_policy import Credits
from resilience._documented import Reply
from resilience._headers import FoldedHeaders
from resilience._paths import compile_path
from resilience._told_amounts import put, tell


def told(place: Any, body: Any, amount: str = "3", *, add: bool = False, **headers: str) -> tuple[Any, dict[str, str]]:
    """Body and headers of an answer after an amount was written into it."""
    places = places_for(Credits.model_validate({"charged": place}).charged, None)
    reply = tell(Reply(200, tuple(headers.items()), json.dumps(body).encode()), places, Decimal(amount), add=add)
    return json.loads(reply.body), dict(reply.headers)


@pytest.mark.parametrize(
    ("before", "amount", "after"),
    [
        (9, "3", 3), (9, "0.5", 0.5), (9, "1E+2", 100), ("9", "3", "3"), ("9", "100.50", "100.5"), (None, "3", 3),
        ({}, "0.000001", 1e-06), (9, "999999999.999999", 999999999.999999),
    ],
)  # fmt: skip
def test_an_amount_has_the_form_of_what_stood_there(before: Any, amount: str, after: Any) -> None:
    """A number or a text."""
    assert {"n": after} == told("n", {"n": before}, amount)[0]


def test_an_amount_after_a_text_takes_the_place_of_the_one_there() -> None:
    """The rest of the sentence stays."""
    place = {"body": "m", "after": "balance "}

    assert {"m": "cost 10, balance 3 left"} == told(place, {"m": "cost 10, balance 1,250 left"})[0]
    assert {"m": "balance 3"} == told(place, {"m": "nothing"})[0]
    assert {"m": "balance 3"} == told(place, {"m": 5})[0]


def test_all_places_that_an_answer_has_are_written() -> None:
    """None of them must tell of another call; those that it has not stay away."""
    places = ["a", "b[0].c", "b[1].c", {"header": "X-Cost"}, {"header": "X-Other"}]

    body, headers = told(places, {"a": 9, "b": [{"c": 8}], "d": 7}, **{"x-cost": "6", "Y": "5"})

    assert {"a": 3, "b": [{"c": 3}], "d": 7} == body
    assert {"Y": "5", "X-Cost": "3"} == headers


def test_the_first_place_is_added_to_an_answer_that_has_none() -> None:
    """Where that is wanted and possible."""
    assert {"usage": {"cost": 3}} == told(["usage.cost", "b"], {}, add=True)[0]
    assert {"b": 3} == told(["usage.cost", "b", "c"], {"b": 1}, add=True)[0]
    assert ({}, {"X-Cost": "3"}) == told([{"header": "X-Cost"}], {}, add=True)
    assert ({}, {"X-Cost": "cost: 3"}) == told([{"header": "X-Cost", "after": "cost: "}], {}, add=True)
    for path, body in (("a[0]", {"a": []}), ("a.b", {"a": 1}), ("a[0].b", {}), ("a", [1]), ("[0]", {})):
        assert body == told(path, body, add=True)[0]
    assert {} == told("a.b", {})[0]
    assert {"a": [{"b": 1}]} == told("a[*].b", {"a": [{"b": 1}]}, add=True)[0]


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_stays_as_it_is(body: bytes) -> None:
    """A page, an event stream."""
    reply = Reply(200, (), body)

    assert put(reply, compile_path("a"), 1, add=True) is None
    assert reply is tell(
        reply, places_for(Credits.model_validate({"charged": "a"}).charged, None), Decimal(1), add=True
    )


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=8,
)


@given(
    VALUES,
    st.lists(st.sampled_from(["a", "a.b", "b[0]", "b[-1].a", "a.a.a"]), min_size=1, max_size=3),
    st.none() | st.just("is "),
    st.integers(0, 10**15),
    st.booleans(),
)
def test_what_is_written_is_what_is_read(body: Any, paths: list[str], after: str | None, parts: int, add: bool) -> None:
    """At the places of an answer, whatever it looked like; an answer that tells none tells none afterwards."""
    amount = Decimal(parts) / 10**6
    spec = [{"body": path} if after is None else {"body": path, "after": after} for path in paths]
    places = places_for(Credits.model_validate({"charged": spec}).charged, None)
    answer = Answer(200, FoldedHeaders({}), document=body)
    before = first_amount(places, answer)

    answer.document = json.loads(tell(Reply(200, (), json.dumps(body).encode()), places, amount, add=add).body)

    found = first_amount(places, answer)
    assert found in {None, amount}
    assert before is None or amount == found
