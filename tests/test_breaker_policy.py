"""What a policy may say of a breaker, and what the breaker makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from resilience._breaker_machine import FAILURE, SUCCESS, BreakerSettings
from resilience._breaker_policy import DOCUMENTED, IGNORED, BreakerPolicy
from resilience._categories import Category


def test_without_a_word_it_opens_after_ten_failures_in_a_row_or_half_of_twenty_calls() -> None:
    """The defaults, as the scripts take them."""
    assert BreakerSettings(10, 0.5, 60.0, 20, 5.0, 2, 120.0, 600.0, 0.1, 1, 1, 1) == BreakerPolicy().settings


def test_all_that_is_said_arrives() -> None:
    """Each key of the policy is a setting of the scripts."""
    policy = BreakerPolicy.model_validate(
        {
            "consecutive_failures": None,
            "failure_rate": 0.25,
            "window": "10s",
            "min_calls": 7,
            "open_for": "2s",
            "multiplier": 3,
            "max_open": "1m",
            "longest_retry_after": "5m",
            "jitter": 0,
            "probes": 2,
            "close_after": 3,
            "close_window": 5,
        }
    )

    assert BreakerSettings(0, 0.25, 10.0, 7, 2.0, 3, 60.0, 300.0, 0, 2, 3, 5) == policy.settings
    assert policy.settings == policy.plan.settings


def test_all_probes_must_succeed_unless_the_policy_says_of_how_many() -> None:
    """`close_after: 3` alone is three of three."""
    policy = BreakerPolicy.model_validate({"close_after": 3, "failure_rate": None})

    assert (3, 3, 0) == (policy.settings.close_after, policy.settings.close_window, policy.settings.failure_rate)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"consecutive_failures": None, "failure_rate": None}, "it never opens"),
        ({"open_for": "3m"}, "'max_open' is shorter than 'open_for'"),
        ({"close_after": 3, "close_window": 2}, "'close_window' is smaller than 'close_after'"),
        ({"failure_rate": 0}, "greater than 0"),
        ({"failure_rate": 1.5}, "less than or equal to 1"),
        ({"jitter": -0.1}, "greater than or equal to 0"),
        ({"probes": 0}, "greater than or equal to 1"),
        ({"probes": 1001}, "less than or equal to 1000"),
        ({"window": 60}, "has no unit"),
        ({"open_for": "0s"}, "no time at all"),
        ({"counts": {"teapot": "failure"}}, "Input should be"),
        ({"counts": {"rate_limited": "maybe"}}, "Input should be"),
        ({"per": ["host", "host"]}, "each scope stands once"),
        ({"half_open": True}, "not permitted"),
    ],
)
def test_what_cannot_be_honoured_is_refused(given: dict[str, Any], message: str) -> None:
    """With what is wrong about it."""
    with pytest.raises(ValidationError, match=message):
        BreakerPolicy.model_validate(given)


def test_a_breaker_that_is_off_need_not_open() -> None:
    """`off: true` beside two nulls is no contradiction."""
    assert BreakerPolicy(off=True, consecutive_failures=None, failure_rate=None).off


def test_every_category_is_something_to_a_breaker() -> None:
    """The table of categories, and what differs."""
    plan = BreakerPolicy.model_validate({"counts": {"rate_limited": "failure", "server_error": "ignore"}}).plan

    assert set(Category) == set(plan.results) == set(DOCUMENTED)
    assert (IGNORED, FAILURE) == (DOCUMENTED[Category.RATE_LIMITED], plan.results[Category.RATE_LIMITED])
    assert (FAILURE, IGNORED) == (DOCUMENTED[Category.SERVER_ERROR], plan.results[Category.SERVER_ERROR])
    assert SUCCESS == plan.results[Category.SUCCESS]


def test_other_numbers_are_another_breaker() -> None:
    """The name in its key changes with what decides, and with nothing else; it is the same in every process."""
    policy = BreakerPolicy()

    assert policy.plan.name == BreakerPolicy.model_validate({"max_wait": "5s", "probe_lease": "9s"}).plan.name
    assert policy.plan.name != BreakerPolicy(probes=2).plan.name
    assert "166ea894" == policy.plan.name
    assert policy.plan is policy.plan
