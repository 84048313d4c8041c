"""What an answer tells the buckets: the provider's word, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import Policy
from resilience._categories import Category
from resilience._feedback import feedback
from resilience._headers import FoldedHeaders
from resilience._outcome import Outcome, Verdict
from resilience._pays import bill_of, keys_of
from resilience.simulate import Answer, Simulation
from tests.test_pays import OPERATIONS, exchange_of, naming
from tests.worlds import URL, policy

HEADERS: list[Any] = [httpx.Headers, httpx2.Headers, FoldedHeaders]
WALL = 1_767_225_600.0  # 2026-01-01T00:00:00Z
DATE = "Thu, 01 Jan 2026 01:00:00 GMT"

SUBMIT = policy(
    operations=OPERATIONS,
    answers=[
        {
            "rule": "uploads-busy",
            "when": {"status": 429, "code": "UPLOADS"},
            "category": "rate_limited",
            "limit": "uploads",
        },
        {"rule": "own", "when": {"status": 429, "code": "OWN"}, "category": "rate_limited", "limit": "none"},
        {"rule": "daily-busy", "when": {"status": 429, "code": "DAILY"}, "category": "rate_limited", "limit": "daily"},
    ],
    limits=[
        {"name": "pace", "rate": "60/minute", "per": "provider"},
        {"name": "uploads", "rate": "600/hour", "per": "provider", "operations": ["upload"]},
        {"name": "daily", "rate": "1000/2 days", "per": "provider", "operations": ["search"]},
    ],
)


class Response:
    def __init__(self, headers: Any) -> None:
        self.headers = headers


def told(
    policy: Policy,
    headers: Mapping[str, str] | None = None,
    *,
    operation: str | None = "upload",
    kind: Any = FoldedHeaders,
    category: Category = Category.SUCCESS,
    retry_after: float | None = None,
    rule: str | None = None,
) -> list[tuple[str, str, tuple[Any, ...]]]:
    """Script, name of the limit, and arguments without the spec, for each command."""
    exchange = exchange_of(policy, operation)
    bill = bill_of(exchange)
    verdict = Verdict(category, retryable=False, retry_after=retry_after, rule=rule)
    response: Any = Response(kind(headers or {}))
    commands = feedback(exchange, Outcome(verdict, response), bill, keys_of(exchange, bill), WALL)
    assert all(command.arguments[-1][4] == 1 for command in commands)
    return [(each.name, each.keys[0].split(":")[2].partition("@")[0], each.arguments[:-1]) for each in commands]


def left(*items: Any) -> list[tuple[str, str, tuple[Any, ...]]]:
    """The correction of the limit `pace`."""
    return [("bucket.correct", "pace", items)]


# Throttles


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(7.5, 7.5), (0.01, 0.01), (0.009, 0.0), (0.0, 0.0), (None, 0.0), (1e12, 3600.0)]
)
def test_a_throttle_pauses_for_as_long_as_it_asks(retry_after: float | None, seconds: float) -> None:
    """No longer than a day; without a wait the bucket is empty, which a pause of no time says."""
    expected = [("bucket.pause", "pace", (seconds,))]

    assert expected == told(SUBMIT, category=Category.RATE_LIMITED, retry_after=retry_after)


def test_a_throttle_pauses_the_limit_that_its_rule_names() -> None:
    """Also one that the call itself does not pay; a window that is longer than a day may be waited for."""
    throttled: dict[str, Any] = {"category": Category.RATE_LIMITED, "retry_after": 1e9}

    assert [("bucket.pause", "uploads", (3600.0,))] == told(SUBMIT, rule="uploads-busy", **throttled)
    assert [("bucket.pause", "daily", (2 * 86400.0,))] == told(SUBMIT, rule="daily-busy", **throttled)


def test_a_throttle_that_speaks_of_its_own_call_alone_tells_nothing() -> None:
    """Neither by the wait that it asks for nor by its headers: other calls would be accepted."""
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}
    throttled: dict[str, Any] = {"category": Category.RATE_LIMITED, "rule": "own"}

    assert [] == told(SUBMIT, retry_after=2.0, **throttled)
    assert [] == told(SUBMIT, headers, **throttled)


def test_a_throttle_without_any_limit_pauses_all_calls_of_the_account() -> None:
    """In the bucket that is there for that."""
    throttled: dict[str, Any] = {"category": Category.RATE_LIMITED, "retry_after": 3.0}
    unnamed = policy(
        plans={"small": {"none": None}},
        limits=[{"name": "gone", "rate": "{plan.none}", "per": "provider"}],
        answers=[{"rule": "busy", "when": {"status": 429}, "category": "rate_limited", "limit": "gone"}],
    )
    small = exchange_of(unnamed, plan="small")
    bill = bill_of(small)
    verdict = Verdict(Category.RATE_LIMITED, retryable=True, retry_after=3.0, rule="busy")

    assert [("bucket.pause", "answers", (3.0,))] == told(policy(), **throttled)
    assert [("bucket.pause", "gone", (3.0,))] == told(unnamed, rule="busy", **throttled)
    assert ["{provider}:bucket:answers:me"] == [
        key for each in feedback(small, Outcome(verdict), bill, keys_of(small, bill), WALL) for key in each.keys
    ]


@pytest.mark.parametrize("category", sorted(set(Category) - {Category.RATE_LIMITED}))
def test_other_answers_pause_nothing(category: Category) -> None:
    """However long they ask to wait: that is the retry's business, or the breaker's."""
    assert [] == told(SUBMIT, category=category, retry_after=5.0)


def test_the_wait_of_a_throttle_goes_before_its_headers() -> None:
    """A reset that is later does not hold calls any longer; without a wait both are told."""
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}
    throttled: dict[str, Any] = {"category": Category.RATE_LIMITED}

    assert [("bucket.pause", "pace", (2.0,))] == told(SUBMIT, headers, retry_after=2.0, **throttled)
    assert [("bucket.pause", "pace", (0.0,)), *left(0.0, 30.0)] == told(SUBMIT, headers, **throttled)
    assert [("bucket.pause", "uploads", (2.0,)), *left(0.0, 30.0)] == told(
        SUBMIT, headers, retry_after=2.0, rule="uploads-busy", **throttled
    )


def test_an_error_of_the_transport_tells_nothing() -> None:
    """There are no headers."""
    exchange = exchange_of(SUBMIT, "upload")
    bill = bill_of(exchange)
    outcome = Outcome(Verdict(Category.NETWORK_ERROR, retryable=True), error=OSError())

    assert [] == feedback(exchange, outcome, bill, keys_of(exchange, bill), WALL)


# The usual headers


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, []),
        ({"Content-Type": "text/plain", "Retry-After": "5"}, []),
        ({"X-RateLimit-Remaining": "12"}, left(12.0, 0.0)),
        ({"x-ratelimit-remaining": "12", "x-ratelimit-reset": "20"}, left(12.0, 20.0)),
        ({"X-RATELIMIT-LIMIT": "60", "X-RATELIMIT-REMAINING": "0", "X-RATELIMIT-RESET": "20"}, left(0.0, 20.0)),
        ({"RateLimit-Limit": "60, 60;w=60", "RateLimit-Remaining": "3", "RateLimit-Reset": "9"}, left(3.0, 9.0)),
        ({"X-RateLimit-Remaining": "9.3"}, left(9.3, 0.0)),
        ({"X-RateLimit-Remaining": "12, 3"}, left(3.0, 0.0)),
        # The numbers say which limit is meant.
        (
            {"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "1800"},
            [("bucket.correct", "uploads", (5.0, 1800.0))],
        ),
        ({"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "5"}, left(5.0, 0.0)),
        # A point in time, by the provider's own clock where it tells it.
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": str(int(WALL) + 15)}, left(1.0, 15.0)),
        ({"Date": DATE, "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": str(int(WALL) + 3610)}, left(1.0, 10.0)),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "2026-01-01T00:00:30Z"}, left(1.0, 30.0)),
        # What cannot be is not believed: no minute lasts longer than one.
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "60000"}, left(1.0, 60.0)),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "soon"}, left(1.0, 0.0)),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "-5"}, left(1.0, 0.0)),
        ({"X-RateLimit-Remaining": "-1"}, left(0.0, 0.0)),
        ({"X-RateLimit-Remaining": "unlimited"}, []),
        ({"X-RateLimit-Remaining": "9" * 40}, []),
        ({"X-RateLimit-Remaining": "1," * 150}, []),
        ({"X-RateLimit-Remaining": ""}, []),
        ({"X-RateLimit-Reset": "5"}, []),
        ({"X-RateLimit-Remaining": "1", "Age": "0"}, left(1.0, 0.0)),
        ({"X-RateLimit-Remaining": "1", "Age": "1"}, []),
        # The IETF's fields.
        ({"RateLimit": '"default";r=50;t=30'}, left(50.0, 30.0)),
        ({"RateLimit": '"default";r=50'}, left(50.0, 0.0)),
        ({"RateLimit": '"uploads";r=5;t=30'}, [("bucket.correct", "uploads", (5.0, 30.0))]),
        (
            {"RateLimit": '"x";r=5;t=30', "RateLimit-Policy": '"x";q=600;w=3600'},
            [("bucket.correct", "uploads", (5.0, 30.0))],
        ),
        ({"RateLimit": '"x";r=5;t=30', "RateLimit-Policy": '"x";q=600;w=60'}, left(5.0, 30.0)),
        ({"RateLimit": '"x";r=5;t=30', "RateLimit-Policy": '"x";q=60;qu="content-bytes"'}, []),
        ({"RateLimit": '"a";r=9;t=9, "b";r=4;t=20, "c";r=4;t=10'}, left(4.0, 20.0)),
        (
            {"RateLimit": '"pace";r=9;t=9, "uploads";r=4;t=20'},
            [*left(9.0, 9.0), ("bucket.correct", "uploads", (4.0, 20.0))],
        ),
        ({"RateLimit": '"default";r=50;t=30', "Age": "3"}, []),
        ({"RateLimit": "default;r=oops", "X-RateLimit-Remaining": "3"}, left(3.0, 0.0)),
        ({"RateLimit": '"default";r=7', "X-RateLimit-Remaining": "3"}, left(7.0, 0.0)),
    ],
)
def test_headers_tell_what_is_left(kind: Any, headers: dict[str, str], expected: list[Any]) -> None:
    """Whatever library holds them, in any case of letters."""
    assert expected == told(SUBMIT, headers, kind=kind)


def test_without_a_limit_an_hour_is_believed() -> None:
    """The unit of the number is nobody's promise."""
    headers = {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "60000"}

    assert [("bucket.correct", "answers", (1.0, 3600.0))] == told(policy(), headers)


# The policy's own headers


@pytest.mark.parametrize("kind", HEADERS)
def test_the_headers_that_a_policy_names_are_read(kind: Any) -> None:
    """In their dialect, beside the usual ones; the least counts."""
    stated = policy(
        limits=[
            {"name": "first", "rate": "10/second", "per": "provider"},
            {
                "name": "pace",
                "rate": "60/minute",
                "per": "provider",
                "headers": {"remaining": "Quota-Left", "reset": "Quota-Until", "reset_as": "milliseconds"},
            },
        ]
    )

    assert left(3.0, 1.5) == told(stated, {"quota-left": "3", "quota-until": "1500"}, kind=kind)
    assert left(3.0, 3600.0) == told(stated, {"Quota-Left": "3", "Quota-Until": "9" * 18}, kind=kind)
    assert left(3.0, 0.0) == told(stated, {"Quota-Left": "3"}, kind=kind)
    assert [] == told(stated, {"Quota-Left": "none", "Quota-Until": "1500"}, kind=kind)
    assert [] == told(stated, {"Quota-Until": "1500"}, kind=kind)
    both = {"Quota-Left": "3", "X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "2", "X-RateLimit-Reset": "5"}
    assert left(2.0, 5.0) == told(stated, both, kind=kind)
    assert left(3.0, 0.0) == told(stated, {**both, "X-RateLimit-Remaining": "4"}, kind=kind)


@pytest.mark.parametrize("kind", HEADERS)
def test_an_answer_that_names_its_bucket_tells_it_and_is_remembered(kind: Any) -> None:
    """The next call of that operation pays that bucket, and so does a throttle that names it."""
    exchange = exchange_of(naming(), "free")
    bill = bill_of(exchange)
    before = keys_of(exchange, bill)
    answer: Any = Response(kind({"X-Left": "4", "X-Bucket": "r2d2"}))
    commands = feedback(exchange, Outcome(Verdict(Category.SUCCESS, retryable=False), answer), bill, before, WALL)
    after = keys_of(exchange, bill)

    assert before != after
    assert [after] == [each.keys for each in commands]
    renamed: Any = Response(kind({"X-Bucket": "c3"}))
    throttled = Outcome(Verdict(Category.RATE_LIMITED, retryable=True, retry_after=3.0), renamed)
    assert [keys_of(exchange, bill)] != [each.keys for each in feedback(exchange, throttled, bill, after, WALL)]
    assert ["bucket.pause"] == [each.name for each in feedback(exchange, throttled, bill, after, WALL)]
    assert keys_of(exchange, bill)[0].split(":")[2].endswith(".c3")


@given(
    st.dictionaries(
        st.sampled_from(
            ["RateLimit", "RateLimit-Policy", "X-RateLimit-Remaining", "X-RateLimit-Limit", "X-RateLimit-Reset",
             "RateLimit-Remaining", "RateLimit-Reset", "Age", "Date", "X-Left", "X-Bucket"]
        ),
        st.one_of(
            st.text(max_size=80),
            st.integers().map(str),
            st.floats().map(str),
            st.sampled_from(['"a";r=1;t=1', '"a";q=1;w=1', '"a";r=99999999999999999', "9" * 400, DATE, "1e400", "inf"]),
        ),
    )
)  # fmt: skip
def test_no_header_breaks_a_call(headers: dict[str, str]) -> None:
    """Whatever a broken server writes, what is told is bounded and no less than nothing."""
    for name, arguments in ((each[0], each[2]) for each in told(naming(), headers) + told(SUBMIT, headers)):
        assert "bucket.correct" == name
        assert 0 <= arguments[0] <= 1e15
        assert 0 <= arguments[1] <= 86400.0


# As a whole


def test_calls_stop_when_the_provider_says_that_nothing_is_left() -> None:
    """Although the documented rate has more: another process has used it; when the reset comes they go on at the rate."""
    sent: list[float] = []

    def provider(request: Any, now: float) -> Answer:
        sent.append(now)
        return Answer(200, {"X-RateLimit-Remaining": str(max(0, 3 - len(sent))), "X-RateLimit-Reset": "40"})

    simulation = Simulation([policy(limits=[{"rate": "60/minute", "per": "provider"}])], provider)
    for number in range(6):
        simulation.call("GET", URL, at=0.1 * number)
    simulation.run()

    assert pytest.approx([0.0, 0.1, 0.2]) == sent[:3]
    assert sent[3] >= 40.0
