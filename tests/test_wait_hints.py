"""The first usable hint of an answer says how long the provider asks to wait."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from resilience._wait_hints import Hint, WaitHint, WaitHints, read_hints

DRAFT: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "vectors" / "waiting.yaml").read_text("utf-8"))[
    "ietf-ratelimit"
]
WALL = 1_696_004_797.0  # Fri, 29 Sep 2023 16:26:37 GMT
HINTS = TypeAdapter[tuple[WaitHint, ...]](WaitHints)
RETRY_AFTER = {"header": "Retry-After"}
RESET = {"header": "X-RateLimit-Reset", "as": "epoch"}


def read(
    hints: list[dict[str, Any]],
    headers: Mapping[str, str] | None = None,
    body: Mapping[str, object] | None = None,
    *,
    category: str = "rate_limited",
) -> Hint | None:
    """What the hints find in an answer with these headers and these values at the paths of its body."""
    folded = {name.lower(): value for name, value in (headers or {}).items()}
    return read_hints(
        [hint for hint in HINTS.validate_python(hints) if hint.counts_for(category)],
        header=lambda name: folded.get(name.lower()),
        field=(body or {}).get,
        wall=WALL,
    )


@pytest.mark.parametrize(
    ("hint", "headers", "body", "expected"),
    [
        (RETRY_AFTER, {"retry-after": "7"}, {}, Hint(7.0, "Retry-After")),
        ({"header": "retry-after-ms"}, {"Retry-After-Ms": "250"}, {}, Hint(0.25, "retry-after-ms")),
        ({"header": "RateLimit"}, {"ratelimit": '"a";r=0;t=9'}, {}, Hint(9.0, "RateLimit")),
        (RESET, {"X-RateLimit-Reset": "1696004807"}, {}, Hint(10.0, "X-RateLimit-Reset")),
        ({"body": "error.wait", "as": "duration"}, {}, {"error.wait": "1.5s"}, Hint(1.5, "body error.wait")),
        ({"body": "retry_after", "as": "seconds"}, {}, {"retry_after": 0.25}, Hint(0.25, "body retry_after")),
    ],
)
def test_a_hint_reads_its_header_or_its_field(
    hint: dict[str, Any], headers: dict[str, str], body: dict[str, object], expected: Hint
) -> None:
    """The value is read where the hint says, in the dialect that it says or that its name implies, and named so."""
    assert expected == read([hint], headers, body)


def test_the_first_usable_hint_wins() -> None:
    """A hint that is absent or does not read gives way to the next; one that reads ends the search."""
    hints = [{"header": "X-Wait", "as": "seconds"}, {"header": "retry-after-ms"}, RETRY_AFTER, RESET]
    headers = {"retry-after-ms": "soon", "Retry-After": "5", "X-RateLimit-Reset": "1696004799"}

    assert Hint(5.0, "Retry-After") == read(hints, headers)


def test_a_wait_of_nothing_is_a_wait() -> None:
    """`Retry-After: 0` is obeyed and does not fall through to the next hint."""
    assert Hint(0.0, "Retry-After") == read(
        [RETRY_AFTER, RESET], {"Retry-After": "0", "X-RateLimit-Reset": "1696009999"}
    )


def test_an_answer_without_a_hint_asks_for_nothing() -> None:
    """No usable hint is None, and so is a policy without hints."""
    assert (None, None) == (read([RETRY_AFTER], {}), read([], {"Retry-After": "5"}))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([None, "soon", "3s", "4s"], Hint(3.0, "body details")),
        ([], None),
        (["x"] * 100 + ["3s"], None),
        (["x"] * 99 + ["3s"], Hint(3.0, "body details")),
        ([["3s"]], None),
    ],
)
def test_the_first_usable_value_of_a_list_counts(values: list[object], expected: Hint | None) -> None:
    """A path that finds several values gives the first that reads, among the first hundred."""
    assert expected == read([{"body": "details", "as": "duration"}], body={"details": values})


@pytest.mark.parametrize(
    ("remaining", "expected"), [("0", 10.0), (" 0\t", 10.0), ("1", None), ("00", None), (None, None)]
)
def test_a_condition_must_hold(remaining: str | None, expected: float | None) -> None:
    """A hint with `when_header` is passed over unless that header has exactly that value."""
    hint = RESET | {"when_header": {"X-RateLimit-Remaining": "0"}}
    headers = {"X-RateLimit-Reset": "1696004807"} | ({} if remaining is None else {"x-ratelimit-remaining": remaining})

    found = read([hint], headers)

    assert expected == (found and found.seconds)


def test_every_condition_must_hold() -> None:
    """Of two conditions, one that fails is enough to pass the hint over."""
    hint = RESET | {"when_header": {"X-A": "1", "X-B": "1"}}

    assert read([hint], {"X-RateLimit-Reset": "1696004807", "X-A": "1", "X-B": "2"}) is None


@pytest.mark.parametrize(
    ("hint", "paced", "other"),
    [
        (RETRY_AFTER, True, True),
        ({"header": "retry-after-ms"}, True, True),
        ({"header": "x-amz-retry-after", "as": "milliseconds"}, True, True),
        ({"header": "x-ms-retry-after-ms"}, True, True),
        ({"body": "wait", "as": "seconds"}, True, True),
        ({"header": "RateLimit"}, True, False),
        ({"header": "X-RateLimit-Reset-After", "as": "seconds"}, True, False),
        ({"header": "x-reset-ms"}, True, False),
        (RESET | {"categories": ["server_error"]}, False, True),
        (RETRY_AFTER | {"categories": ["rate_limited"]}, True, False),
    ],
)
def test_a_reset_header_counts_only_when_the_pace_was_the_trouble(
    hint: dict[str, Any], *, paced: bool, other: bool
) -> None:
    """What is sent on every answer does not delay the repetition of a server error, unless the policy says so."""
    found = WaitHint.model_validate(hint)

    assert [paced, other] == [found.counts_for("rate_limited"), found.counts_for("server_error")]


@pytest.mark.parametrize("category", ["rate_limited", "concurrency_limited", "quota_exhausted"])
def test_a_reset_header_counts_for_every_limit_of_pace(category: str) -> None:
    """A rate, a concurrency and a quota limit all lift at the reset."""
    assert Hint(10.0, "X-RateLimit-Reset") == read([RESET], {"X-RateLimit-Reset": "1696004807"}, category=category)


def test_a_hint_of_another_category_gives_way() -> None:
    """A server error with a reset an hour away asks for nothing; its Retry-After is obeyed."""
    headers = {"X-RateLimit-Reset": "1696008397"}

    assert read([RESET], headers, category="server_error") is None
    assert Hint(2.0, "Retry-After") == read(
        [RESET, RETRY_AFTER], headers | {"Retry-After": "2"}, category="server_error"
    )


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Fri, 29 Sep 2023 18:00:00 GMT", 30.0),
        ("Friday, 29-Sep-23 18:00:00 GMT", 30.0),
        ("yesterday", 5633.0),
        (None, 5633.0),
    ],
)
def test_a_point_in_time_is_measured_on_the_providers_clock(date: str | None, expected: float) -> None:
    """The answer's own `Date` is now; without a readable one it is our clock."""
    headers = {"Retry-After": "Fri, 29 Sep 2023 18:00:30 GMT"} | ({} if date is None else {"Date": date})

    assert Hint(expected, "Retry-After") == read([RETRY_AFTER], headers)


@pytest.mark.parametrize("case", DRAFT["precedence"], ids=lambda case: str(case["headers"]))
def test_retry_after_takes_precedence_over_ratelimit(case: dict[str, Any]) -> None:
    """Where both are sent, the draft wants the Retry-After obeyed."""
    assert Hint(case["wait"], "Retry-After") == read([RETRY_AFTER, {"header": "RateLimit"}], case["headers"])


def test_a_policy_cannot_put_ratelimit_before_retry_after() -> None:
    """The order that the draft forbids is refused, and the message says what to do."""
    with pytest.raises(ValidationError, match="put the Retry-After hint before it"):
        read([{"header": "X-Limit", "as": "ratelimit"}, RESET, {"header": "retry-after"}])


def test_other_headers_may_stand_before_retry_after() -> None:
    """Only a RateLimit field must not be first."""
    assert Hint(0.2, "retry-after-ms") == read(
        [{"header": "retry-after-ms"}, RESET, RETRY_AFTER, {"header": "RateLimit"}],
        {"retry-after-ms": "200", "Retry-After": "1"},
    )


@pytest.mark.parametrize(("age", "expected"), [("1", None), ("0", 9.0), ("00", 9.0), ("x", 9.0), (None, 9.0)])
def test_a_ratelimit_field_from_a_cache_is_ignored(age: str | None, expected: float | None) -> None:
    """An answer with a positive Age says nothing about the quota of today."""
    headers = {"RateLimit": '"a";r=0;t=9'} | ({} if age is None else {"Age": age})

    found = read([{"header": "RateLimit"}], headers)

    assert expected == (found and found.seconds)


def test_a_retry_after_from_a_cache_is_obeyed() -> None:
    """Age concerns the RateLimit fields alone."""
    assert Hint(9.0, "Retry-After") == read([RETRY_AFTER], {"Retry-After": "9", "Age": "5"})


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        ({}, "exactly one of `header` and `body`"),
        ({"header": "Retry-After", "body": "error"}, "exactly one of `header` and `body`"),
        (
            {"header": "X-RateLimit-Reset"},
            "`X-RateLimit-Reset` states a wait; add `as:` with one of retry_after, seconds",
        ),
        ({"body": "error.retry_after"}, "`error.retry_after` states a wait; add `as:`"),
        ({"header": "Retry-After", "as": "minutes"}, "Input should be 'retry_after', 'seconds'"),
        ({"header": "Retry-After", "as_": "seconds"}, "Extra inputs are not permitted"),
        ({"header": "Retry After"}, "should match pattern"),
        ({"header": ""}, "should match pattern"),
        ({"body": "", "as": "seconds"}, "a name is missing"),
        ({"header": "Retry-After", "categories": ["rate_limit"]}, "Input should be 'success', 'invalid_request'"),
        ({"header": "Retry-After", "categories": []}, "at least 1 item"),
        ({"header": "Retry-After", "when_header": {"X-Left": 0}}, "should be a valid string"),
        ({"header": "Retry-After", "when_header": {"X Left": "0"}}, "should match pattern"),
    ],
)
def test_a_hint_that_cannot_be_honoured_is_refused(hint: dict[str, Any], message: str) -> None:
    """A hint that would never read, or not be understood, is an error of the policy."""
    with pytest.raises(ValidationError) as caught:
        WaitHint.model_validate(hint)

    assert message in str(caught.value)


def test_a_hint_is_written_as_it_is_read() -> None:
    """The dialect is `as` in a file, in both directions."""
    hint = WaitHint.model_validate(RESET)

    assert RESET == hint.model_dump(by_alias=True, exclude_defaults=True)


def test_every_field_of_a_hint_is_described() -> None:
    """The reference page and the schema have a text for each key."""
    properties = WaitHint.model_json_schema()["properties"]

    assert ["as", "body", "categories", "header", "when_header"] == sorted(properties)
    assert all(described["description"] for described in properties.values())


@given(
    value=st.text(),
    date=st.text() | st.none(),
    found=st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists),
)
def test_no_answer_raises(value: str, date: str | None, found: object) -> None:
    """Whatever the headers and the body hold, the answer is a finite wait or none."""
    headers = dict.fromkeys(("Retry-After", "retry-after-ms", "X-RateLimit-Reset", "RateLimit", "Age"), value)
    hints = [RETRY_AFTER, {"header": "retry-after-ms"}, RESET, {"header": "RateLimit"}, {"body": "wait", "as": "auto"}]

    hint = read(hints, headers | ({} if date is None else {"Date": date}), {"wait": found})

    assert hint is None or 0 <= hint.seconds < float("inf")
