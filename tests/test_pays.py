"""Which limits a call pays, with which cost and of which bucket."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import Policy
from resilience._clock import Closing
from resilience._options import CallOptions, read_options
from resilience._outcome import Exchange
from resilience._pays import BucketNames, bill_of, check_cost, keys_of
from resilience._registry import Settings
from resilience._trail import Trail
from resilience.errors import ConfigurationError
from resilience.simulate import Request
from resilience.stores._memory import MemoryStore
from tests.worlds import policy

OPERATIONS = {
    "search": {"method": "GET", "path": "/search"},
    "upload": {"method": "POST", "path": "/upload"},
    "free": {"method": "GET", "path": "/free"},
}


def exchange_of(
    policy: Policy,
    operation: str | None = None,
    *,
    plan: str | None = None,
    account: str = "me",
    url: str = "https://provider.test/",
    cost: Any = None,
) -> Exchange:
    request: Any = Request("GET", url, {}, b"")
    options = CallOptions(cost=cost)
    settings = Settings(plan=plan)
    return Exchange(request, policy, operation, options, Trail("provider"), Closing(), MemoryStore(), settings, account)


def paid(policy: Policy, operation: str | None = None, **more: Any) -> list[tuple[str, list[Any]]]:
    bill = bill_of(exchange_of(policy, operation, **more))
    assert [pay.spec for pay in bill.payments] == bill.specs
    return [(pay.name, pay.spec) for pay in bill.payments]


def keys(policy: Policy, operation: str | None = None, **more: Any) -> tuple[str, ...]:
    exchange = exchange_of(policy, operation, **more)
    return keys_of(exchange, bill_of(exchange))


PLAN = policy(
    operations=OPERATIONS,
    plans={"small": {"pace": "60/minute", "daily": None}, "big": {"pace": "600/minute", "daily": "1000/day"}},
    limits=[
        {"name": "pace", "rate": "{plan.pace}", "burst": 5, "max_wait": "20s", "operations": ["search", "upload"]},
        {"name": "daily", "rate": "{plan.daily}", "algorithm": "fixed_window", "operations": "search"},
        {"name": "uploads", "rate": "10/second", "operations": "upload", "cost": {"upload": 3}, "max_wait": "10s"},
        {"name": "places", "concurrency": 3},
    ],
)


@pytest.mark.parametrize(
    ("operation", "plan", "expected"),
    [
        ("search", "small", [("pace", ["token_bucket", 60, 60.0, 5, 1])]),
        (
            "search",
            "big",
            [
                ("pace", ["token_bucket", 600, 60.0, 5, 1]),
                ("daily", ["fixed_window", 1000, 86400.0, 1000, 1]),
            ],
        ),
        (
            "upload",
            "small",
            [("pace", ["token_bucket", 60, 60.0, 5, 1]), ("uploads", ["token_bucket", 10, 1.0, 10, 3])],
        ),
        ("search", None, [("pace", ["unrated", 1, 1.0, 1, 1]), ("daily", ["unrated", 1, 1.0, 1, 1])]),
        ("free", "big", [("answers", ["unrated", 1, 1.0, 1, 1])]),
        (None, "big", [("answers", ["unrated", 1, 1.0, 1, 1])]),
    ],
)
def test_a_call_pays_the_rates_of_its_operation_and_plan(
    operation: str | None, plan: str | None, expected: list[tuple[str, list[Any]]]
) -> None:
    """A rate of a plan that nobody named is paid without numbers; without any there is one bucket for what answers say."""
    assert expected == paid(PLAN, operation, plan=plan)


def test_the_shortest_patience_counts() -> None:
    """Of several limits."""
    assert 10.0 == bill_of(exchange_of(PLAN, "upload", plan="small")).max_wait
    assert 60.0 == bill_of(exchange_of(PLAN, "free", plan="small")).max_wait


def test_a_bill_is_compiled_once() -> None:
    """For each plan and operation; only a call with a cost of its own has its own."""
    assert bill_of(exchange_of(PLAN, "upload", plan="big")) is bill_of(exchange_of(PLAN, "upload", plan="big"))
    assert bill_of(exchange_of(PLAN, "upload", plan="big")) is not bill_of(exchange_of(PLAN, "upload", plan="small"))


def test_other_numbers_are_another_bucket() -> None:
    """After a change of plan the old level says nothing; another cost is still the same bucket."""
    small, big, unnamed = (keys(PLAN, "search", plan=plan)[0] for plan in ("small", "big", None))

    assert 3 == len({small, big, unnamed})
    assert all(key.startswith("{provider}:bucket:pace") and key.endswith(":me") for key in (small, big, unnamed))
    assert small == keys(PLAN, "search", plan="small", cost=4)[0]
    assert small != keys(PLAN, "search", plan="small", account="you")[0]


@pytest.mark.parametrize("other", [{"rate": "9/second"}, {"burst": 9}, {"algorithm": "moving_window", "burst": None}])
def test_every_number_makes_a_bucket_of_its_own(other: dict[str, Any]) -> None:
    """Amount, time, burst and algorithm."""
    base = {"name": "pace", "rate": "10/second", "burst": 10}
    given = {name: value for name, value in {**base, **other}.items() if value is not None}

    assert keys(policy(limits=[base])) != keys(policy(limits=[given]))


def test_what_is_counted_apart_has_keys_of_its_own() -> None:
    """Account, operation and host."""
    limits = policy(operations=OPERATIONS, limits=[{"rate": "1/second", "per": ["account", "operation", "host"]}])

    assert keys(limits, "search")[0].endswith(":me:search:provider.test")
    assert ("{provider}:bucket:answers:me",) == keys(policy())


@pytest.mark.parametrize(
    ("cost", "expected"),
    [(4, [4, 4]), ({"uploads": 7}, [1, 7]), ({"pace": 2}, [2, 3]), ({"daily": 9}, [1, 3]), ({}, [1, 3])],
)
def test_a_call_may_say_what_it_costs(cost: Any, expected: list[int]) -> None:
    """One number for all that it pays, or one for each limit by its name; a limit that it does not pay is none of its."""
    exchange = exchange_of(PLAN, "upload", plan="small", cost=cost)
    check_cost(exchange)

    assert expected == [spec[4] for spec in bill_of(exchange).specs]
    assert [1, 3] == [spec[4] for spec in bill_of(exchange_of(PLAN, "upload", plan="small")).specs]


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ({"upload": 1}, "names 'upload', which is no rate limit of provider; there are: daily, pace, uploads"),
        ({"places": 1}, "names 'places', which is no rate limit"),
        (6, r"is 6, and limit pace \(60/minute\) of provider never holds more than 5: the call would wait for ever"),
        ({"uploads": 11}, r"is 11, and limit uploads \(10/second\) of provider never holds more than 10"),
    ],
)
def test_a_cost_that_cannot_be_paid_is_refused(cost: Any, message: str) -> None:
    """When the call is made, not after a wait for ever."""
    with pytest.raises(ConfigurationError, match=message):
        check_cost(exchange_of(PLAN, "upload", plan="small", cost=cost))


def test_a_cost_without_a_known_rate_is_not_compared() -> None:
    """Nobody knows how much fits; without any limit it means nothing."""
    check_cost(exchange_of(PLAN, "search", cost=10**9))
    check_cost(exchange_of(policy(), cost=10**9))
    check_cost(exchange_of(policy()))
    with pytest.raises(ConfigurationError, match="there are: none"):
        check_cost(exchange_of(policy(), cost={"pace": 1}))


@pytest.mark.parametrize("cost", [1, 10**9, {"pace": 1}, {}, None])
def test_the_option_is_read(cost: Any) -> None:
    """A whole number, or a mapping of them."""
    assert cost == read_options({"resilience": {"cost": cost}}).cost


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (True, "cost in extensions['resilience'] is True; it takes a whole number, or one for each limit by its name"),
        (1.5, "is 1.5; it takes a whole number"),
        ("3", "is '3'; it takes a whole number"),
        ([1], "it takes a whole number"),
        ({"pace": 1.0}, "it takes a whole number"),
        ({"pace": False}, "it takes a whole number"),
        ({3: 1}, "it takes a whole number"),
        (0, "cost in extensions['resilience'] is 0; it is from 1 to 1000000000"),
        (-1, "it is from 1 to"),
        (10**9 + 1, "it is from 1 to"),
        ({"pace": 0}, "cost of 'pace' in extensions['resilience'] is 0; it is from 1 to"),
    ],
)
def test_another_cost_is_refused(cost: Any, message: str) -> None:
    """In words."""
    with pytest.raises(ConfigurationError) as caught:
        read_options({"resilience": {"cost": cost}})

    assert message in str(caught.value)


def test_a_cost_does_not_follow_a_redirect_to_another_provider() -> None:
    """What it counts is this provider's."""
    options = CallOptions(cost={"pace": 3}, deadline=4.0)

    assert options.names_provider
    assert CallOptions(deadline=4.0) == options.elsewhere()


def naming() -> Policy:
    """A policy whose buckets only answers name."""
    headers = {"remaining": "X-Left", "bucket": "X-Bucket"}
    per = ["account", "operation"]
    return policy(operations=OPERATIONS, limits=[{"name": "route", "rate": "5/second", "per": per, "headers": headers}])


def test_operations_of_one_named_bucket_share_it() -> None:
    """Once answers have told that they belong together."""
    named = naming()
    search, upload = exchange_of(named, "search"), exchange_of(named, "upload")
    bill = bill_of(search)
    assert bill.learns
    assert keys_of(search, bill) != keys_of(upload, bill_of(upload))

    for exchange in (search, upload):
        bill_of(exchange).names.learn(keys_of(exchange, bill)[0], exchange.operation, "abc_1")

    assert keys_of(search, bill) == keys_of(upload, bill_of(upload))
    assert keys_of(search, bill)[0].endswith(".abc_1:me")
    assert keys_of(search, bill) != keys_of(exchange_of(named, "search", account="you"), bill)


def test_the_names_of_buckets_are_bounded() -> None:
    """The one that was not used for longest is forgotten."""
    names = BucketNames(most=2)
    names.learn("a", "one", "A")
    names.learn("b", "one", "B")
    assert "A" == names.get("a", "one")
    names.learn("c", None, "C")

    assert ["A", None, "C", None] == [
        names.get("a", "one"), names.get("b", "one"), names.get("c", None), names.get("c", "one")
    ]  # fmt: skip


@given(st.text(max_size=300))
def test_any_name_becomes_a_short_plain_part_of_a_key(told: str) -> None:
    """The same one each time, others for others."""
    names = BucketNames()
    names.learn("a", None, told)
    names.learn("b", None, told)
    name = names.get("a", None)

    assert name is not None
    assert name == names.get("b", None)
    assert 0 < len(name) <= 64
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_threads_may_learn_at_once() -> None:
    """Nothing is torn."""
    names = BucketNames(most=8)

    def learn(number: int) -> None:
        for turn in range(300):
            names.learn(str(turn % 20), None, str(number))
            names.get(str(turn % 20), None)

    threads = [threading.Thread(target=learn, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 8 == sum(names.get(str(number), None) is not None for number in range(20))
