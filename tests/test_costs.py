"""What a call may cost at worst, from its request."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience import Policy
from resilience._costs import costs_of, worst_case
from resilience._headers import FoldedHeaders
from resilience._matchers import MISSING
from resilience._request_parts import RequestView
from tests.worlds import policy

OPERATIONS = {name: {"path": f"/{name}"} for name in ("search", "batch", "usage")}


def priced(*costs: dict[str, Any], **parts: Any) -> Policy:
    """A policy with these costs."""
    return policy(operations=OPERATIONS, credits={"costs": costs, **parts})


def view(
    operation: str | None = "search",
    *,
    body: Any = None,
    query: dict[str, list[str]] | None = None,
    headers: dict[str, str] | None = None,
) -> RequestView:
    """A view of a request; a part that is not given must not be needed to tell its cost, or is empty."""
    return RequestView(operation, FoldedHeaders(headers or {}), lambda: query or {}, lambda: body)


def worst(spec: Policy, **parts: Any) -> Decimal | None:
    """What a call may cost by a policy."""
    return worst_case(spec, view(**parts))


def _fail() -> Any:
    raise AssertionError


BY_BODY = [{"when": {"body": {"browser": True}}, "cost": 5}, {"cost": 1}]


def test_the_first_cost_that_fits_counts() -> None:
    """By the operation, then in the order of the file."""
    spec = priced(
        {"operations": ["batch", "usage"], "cost": 0}, {"operations": "search", "cost": "0.0035"}, {"cost": 7}
    )

    assert [Decimal(0), Decimal("0.0035"), Decimal(7)] == [
        worst(spec, operation=operation) for operation in ("usage", "search", None)
    ]


def test_what_stands_behind_the_first_that_fits_does_not_count() -> None:
    """Though it be dearer, and neither does what is unknown."""
    cheap = {"when": {"body": {"cached": True}}, "cost": 1}

    assert [Decimal(1), Decimal(5)] == [
        worst(priced(cheap, {"cost": 5}, unknown_cost=100), body={"cached": cached}) for cached in (True, False)
    ]
    assert [Decimal(1), Decimal(100)] == [
        worst(priced(cheap, unknown_cost=100), body={"cached": cached}) for cached in (True, False)
    ]


def test_conditions_look_at_body_query_and_headers() -> None:
    """All that a condition names must hold."""
    spec = priced(
        {"when": {"body": {"browser": True, "wait": {"gte": 5}}}, "cost": 20},
        {"when": {"query": {"render": ["1", "true"]}, "headers": {"X-Premium": {"present": True}}}, "cost": 10},
        {"when": {"body": {"items[*].kind": "large"}}, "cost": 4},
        {"cost": 1},
    )

    assert Decimal(20) == worst(spec, body={"browser": True, "wait": 5})
    assert Decimal(1) == worst(spec, body={"browser": True, "wait": 4})
    assert Decimal(10) == worst(spec, query={"render": ["true"]}, headers={"x-pREMIUM": ""})
    assert Decimal(1) == worst(spec, query={"render": ["true"]})
    assert Decimal(1) == worst(spec, headers={"X-Premium": "1"})
    assert Decimal(4) == worst(spec, body={"items": [{"kind": "small"}, {"kind": "large"}]})


def test_what_is_absent_can_be_a_condition() -> None:
    """In the body, the query and the headers; a request without a body has no field."""
    gone = {"present": False}
    spec = priced({"when": {"body": {"a": gone}, "query": {"b": gone}, "headers": {"c": gone}}, "cost": 3}, {"cost": 1})

    assert Decimal(3) == worst(spec)
    assert [Decimal(1)] * 3 == [
        worst(spec, body={"a": None}), worst(spec, query={"b": [""]}), worst(spec, headers={"C": ""})
    ]  # fmt: skip


def test_surcharges_are_added_each_that_fits() -> None:
    """To the cost that fits."""
    spec = priced(
        {"cost": 1},
        surcharges=[
            {"when": {"body": {"proxy": "residential"}}, "cost": 10},
            {"when": {"query": {"shot": "1"}}, "cost": "0.5"},
            {"operations": "batch", "cost": 100},
        ],
    )

    assert Decimal(1) == worst(spec)
    assert Decimal("11.5") == worst(spec, body={"proxy": "residential"}, query={"shot": ["1"]})
    assert Decimal(101) == worst(spec, operation="batch")


def test_what_nobody_knows_costs_what_the_policy_says_or_is_unknown() -> None:
    """It is never free by omission; a surcharge alone is no cost."""
    cost = {"operations": "usage", "cost": 0}
    surcharge = [{"cost": 2}]

    assert worst(priced(cost)) is None
    assert worst(priced(cost, surcharges=surcharge)) is None
    assert Decimal(6) == worst(priced(cost, unknown_cost=4, surcharges=surcharge))
    assert Decimal(4) == worst(priced({"when": {"query": {"a": "1"}}, "cost": 9}, unknown_cost=4))
    assert worst(policy(operations=OPERATIONS)) is None
    assert costs_of(policy(operations=OPERATIONS), "search") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2, 3], 3), ([1] * 15, 15), ([], 2), (3, 3), (3.0, 3), (15, 15), (1_000_000, 1_000_000), (1_000_001, 10),
        (0, 10), (-1, 10), (2.5, 10), (float("inf"), 10), (float("nan"), 10), (True, 10), (None, 10), ("3", 10), ({}, 10),
        (10**400, 10),
    ],
)  # fmt: skip
def test_a_count_is_that_of_the_list_or_the_number_in_the_body(value: Any, expected: int) -> None:
    """More than there should be counts as it is; what is no count is the most there can be."""
    spec = priced({"cost": 1, "times": {"body": "urls", "default": 2, "most": 10}})

    assert Decimal(expected) == worst(spec, body={"urls": value})


def test_a_count_that_the_request_does_not_say_has_a_default() -> None:
    """One, or what the policy says; a body that cannot be read has the most."""
    times = {"body": "data.urls", "most": 10}
    spec = priced({"cost": 2, "times": times})

    assert [Decimal(2), Decimal(2), Decimal(2), Decimal(20)] == [
        worst(spec, body=body) for body in (None, {"data": []}, [], MISSING)
    ]
    assert Decimal(8) == worst(priced({"cost": 2, "times": {**times, "default": 4}}), body={})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["7"], 7), ([" 7 "], 7), (["15"], 15), (["1e1"], 10), (["7.0"], 7), (["1000001"], 10), (["1e999999999"], 10),
        (["0"], 10), (["-1"], 10), (["2.5"], 10), (["Infinity"], 10), (["a"], 1), (["a,b,c"], 3), (["1,2"], 2), (["a,,b"], 3),
        ([",".join("a" * 15)], 15), ([""], 2), ([], 2), (["a", "b,c"], 3), (["4", "5"], 9), (["nan"], 1), (["9" * 5000], 10),
    ],
)  # fmt: skip
def test_a_count_in_the_query_is_a_number_or_items(values: list[str], expected: int) -> None:
    """Separated by commas, or each in a parameter of its own."""
    spec = priced({"cost": 1, "times": {"query": "ids", "default": 2, "most": 10}})

    assert Decimal(expected) == worst(spec, query={"ids": values})


def test_surcharges_are_multiplied_too() -> None:
    """Each by its own number."""
    spec = priced({"cost": 1}, surcharges=[{"cost": 3, "times": {"query": "pages", "most": 9}}])

    assert Decimal(13) == worst(spec, query={"pages": ["4"]})


def test_of_a_body_that_cannot_be_read_the_dearest_that_could_fit_counts() -> None:
    """Up to the one that surely fits, each with all that it could be, and every surcharge."""
    spec = priced(
        {"when": {"body": {"a": 1}, "query": {"b": "1"}}, "cost": 1000},
        {"when": {"body": {"browser": True}}, "cost": 5},
        {"cost": 2, "times": {"body": "urls", "most": 10}},
        {"cost": 500},
        surcharges=[
            {"when": {"body": {"proxy": True}}, "cost": 1, "times": {"body": "n", "most": 3}},
            {"when": {"body": {"proxy": True}, "headers": {"x": "y"}}, "cost": 100},
        ],
    )

    assert Decimal(23) == worst(spec, body=MISSING)
    assert Decimal(1003) == worst(spec, body=MISSING, query={"b": ["1"]})
    assert Decimal(123) == worst(spec, body=MISSING, headers={"X": "y"})


def test_a_call_that_may_fit_none_of_the_costs_may_cost_what_is_unknown() -> None:
    """Where the policy has a number for it; else the dearest that it knows."""
    cost = {"when": {"body": {"browser": True}}, "cost": 5}

    assert Decimal(9) == worst(priced(cost, unknown_cost=9), body=MISSING)
    assert Decimal(5) == worst(priced(cost), body=MISSING)
    assert worst(priced(cost), body={}) is None


def test_of_a_parameter_that_stands_twice_nobody_knows_which_is_taken() -> None:
    """So the dearer counts, as for a body that cannot be read."""
    spec = priced({"when": {"query": {"render": "true"}}, "cost": 5}, {"cost": 1})

    assert [Decimal(5), Decimal(5), Decimal(1), Decimal(5)] == [
        worst(spec, query={"render": values}) for values in (["true"], ["true", "false"], ["false"] * 2, ["true"] * 2)
    ]
    cheap = priced({"when": {"query": {"render": "false"}}, "cost": 1}, {"cost": 5})
    assert [Decimal(5), Decimal(1)] == [
        worst(cheap, query={"render": values}) for values in (["true", "false"], ["false"] * 2)
    ]


def test_a_call_never_costs_more_than_a_billion() -> None:
    """What a store can count exactly."""
    spec = priced(
        {"cost": 1_000_000_000, "times": {"body": "n", "most": 1_000_000}}, surcharges=[{"cost": 1_000_000_000}]
    )

    assert Decimal(1_000_000_000) == worst(spec, body={"n": 1_000_000})


def test_a_call_whose_cost_is_fixed_is_not_looked_at() -> None:
    """Neither its query nor its body; costs after the one that fits all do not count."""
    spec = priced({"operations": "search", "cost": 1}, *BY_BODY, surcharges=[{"operations": "search", "cost": 2}])
    blind = RequestView("search", FoldedHeaders({}), _fail, _fail)
    costs = costs_of(spec, "search")

    assert Decimal(3) == worst_case(spec, blind)
    assert costs is not None
    assert costs is costs_of(spec, "search")
    assert (True, Decimal(3)) == (costs.is_fixed, costs.fixed)
    other = costs_of(spec, "batch")
    assert other is not None
    assert (False, None) == (other.is_fixed, other.fixed)


def test_only_what_a_condition_asks_for_is_read() -> None:
    """A condition on headers needs no body."""
    spec = priced({"when": {"headers": {"X": "1"}, "body": {"a": 1}}, "cost": 5}, {"cost": 1})

    assert Decimal(1) == worst_case(spec, RequestView("search", FoldedHeaders({}), _fail, _fail))


def test_a_copy_of_a_policy_has_costs_of_its_own() -> None:
    """What was compiled stays with the old one."""
    spec = priced({"cost": 1})
    dear = priced({"cost": 2})

    assert Decimal(1) == worst(spec)
    assert Decimal(2) == worst(spec.model_copy(update={"credits": dear.credits}))


def test_sums_are_exact_whatever_the_application_does_with_decimals() -> None:
    """It may have set a precision of its own, for its own sums."""
    spec = priced({"cost": "123456.654321", "times": {"body": "n", "most": 10}}, surcharges=[{"cost": "0.000001"}])

    with decimal.localcontext(decimal.Context(prec=3, traps=[decimal.Inexact])):
        assert Decimal("864196.580248") == worst(spec, body={"n": 7})


AMOUNTS = st.decimals(0, 1_000_000_000, places=6)
BODIES = st.dictionaries(
    st.sampled_from(["a", "b", "n"]),
    st.none() | st.booleans() | st.integers(-5, 20) | st.lists(st.none(), max_size=10) | st.text(max_size=3),
)
WHEN = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 2) | st.booleans(), min_size=1)
COSTS = st.lists(
    st.fixed_dictionaries(
        {"cost": AMOUNTS},
        optional={
            "when": st.fixed_dictionaries({"body": WHEN}),
            "times": st.just({"body": "n", "most": 20, "default": 1}),
        },
    ),
    max_size=4,
)


@settings(max_examples=200)
@given(COSTS, COSTS, BODIES)
def test_a_body_that_cannot_be_read_never_costs_less_than_it_turns_out_to(
    costs: list[Any], surcharges: list[Any], body: dict[str, Any]
) -> None:
    """As long as it keeps to what the provider documents."""
    spec = priced(*costs, surcharges=surcharges, unknown_cost=0)

    real, unseen = worst(spec, body=body), worst(spec, body=MISSING)

    assert real is not None
    assert unseen is not None
    assert 0 <= real <= unseen <= 1_000_000_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "n", "x"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=200)
@given(COSTS, COSTS, JSON, st.dictionaries(st.just("n"), st.lists(st.text(max_size=10), max_size=3)))
def test_no_request_is_too_strange(
    costs: list[Any], surcharges: list[Any], body: Any, query: dict[str, list[str]]
) -> None:
    """Its cost is an amount."""
    spec = priced(*costs, surcharges=[*surcharges, {"cost": 1, "times": {"query": "n", "most": 3}}], unknown_cost=1)

    found = worst(spec, body=body, query=query)

    assert found is not None
    assert 0 < found <= 1_000_000_000
