"""Documented answers, and where a verdict differs from what they must get."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from resilience._examples import Example, ExampleAnswer, differences
from tests.worlds import policy

LIMIT = policy(
    answers=[{"rule": "limit", "when": {"status": 400, "code": "limit"}, "category": "rate_limited"},
             {"rule": "words", "when": {"status": 400, "text": "<b>limit"}, "category": "overloaded"},
             {"rule": "silence", "when": {"error": "read_timeout"}, "category": "overloaded"}],
    operations={"search": {"path": "/search", "method": "POST"}},
)  # fmt: skip


def example(answer: dict[str, Any], request: dict[str, Any] | None = None, **verdict: Any) -> Example:
    return Example.model_validate({"request": request or {}, "answer": answer, "verdict": verdict})


@pytest.mark.parametrize(
    ("answer", "request_", "verdict"),
    [
        (
            {"status": 400, "body": {"error": {"code": "limit", "message": "m"}}, "headers": {"Retry-After": "5"}},
            {"method": "post", "path": "/search?q=1"},
            {"category": "rate_limited", "code": "limit", "message": "m", "retryable": True, "retry_after": 5,
             "rule": "limit", "operation": "search", "target_status": None},
        ),
        ({"status": 400, "text": "<b>limit</b>", "headers": {"Content-Type": "text/html"}}, {}, {"category": "overloaded"}),
        ({"status": 500}, {}, {"category": "server_error", "rule": None, "retry_after": None}),
        ({"error": "read_timeout"}, {}, {"category": "overloaded", "rule": "silence"}),
        ({"error": "certificate_error"}, {}, {"category": "network_error", "retryable": False}),
    ],
)  # fmt: skip
def test_an_example_that_holds_differs_in_nothing(answer: Any, request_: Any, verdict: dict[str, Any]) -> None:
    """Only what it expects is compared."""
    assert {} == differences(LIMIT, example(answer, request_, **verdict))


def test_what_differs_is_named_with_both_values() -> None:
    """In the order of the verdict's fields."""
    wrong = example(
        {"status": 400, "body": {"error": {"code": "other"}}},
        {"path": "//[", "method": "?"},
        rule="limit",
        code="other",
        retryable=True,
        category="rate_limited",
    )

    found = differences(LIMIT, wrong)

    assert [
        ("category", ("rate_limited", "invalid_request")),
        ("retryable", (True, False)),
        ("rule", ("limit", None)),
    ] == list(found.items())


@pytest.mark.parametrize(
    ("answer", "raw", "headers"),
    [
        ({"status": 200}, b"", {}),
        ({"status": 200, "text": "größer"}, "größer".encode(), {}),
        ({"status": 200, "body": None}, b"null", {"Content-Type": "application/json"}),
        ({"status": 200, "body": {"ü": 1}}, '{"ü": 1}'.encode(), {"Content-Type": "application/json"}),
        (
            {"status": 200, "body": 1, "headers": {"CONTENT-TYPE": "text/plain"}},
            b"1",
            {"CONTENT-TYPE": "text/plain"},
        ),
        (
            {"status": 200, "body": 1, "headers": {"X": "1"}},
            b"1",
            {"Content-Type": "application/json", "X": "1"},
        ),
    ],
    ids=str,
)
def test_an_answer_is_sent_as_it_is_written(answer: Any, raw: bytes, headers: dict[str, str]) -> None:
    """A JSON body brings its type, unless the answer names another."""
    found = ExampleAnswer.model_validate(answer)

    assert (raw, headers) == (found.raw, found.all_headers)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "an answer has either a status or an error"),
        ({"status": 500, "error": "read_error"}, "an answer has either a status or an error"),
        ({"status": 500, "body": 1, "text": "1"}, "an answer has either a JSON 'body' or a 'text'"),
        ({"status": 99}, "greater than or equal to 100"),
        ({"status": 1000}, "less than or equal to 999"),
        ({"status": "500"}, "valid integer"),
        ({"error": "timeout"}, "Input should be 'connect_error'"),
        ({"status": 500, "headers": {"A": 1}}, "valid string"),
    ],
    ids=str,
)
def test_an_answer_that_cannot_come_is_refused(answer: dict[str, Any], message: str) -> None:
    """Neither of two, or both."""
    with pytest.raises(ValidationError) as caught:
        ExampleAnswer.model_validate(answer)

    assert message in str(caught.value)
