"""Of the answers that a policy documents, a request gets the one that fits it best."""

from __future__ import annotations

from typing import Any

import pytest

from resilience._documented import Documented, Reply
from resilience._policy import Policy
from resilience._script import Step
from resilience.errors import ConfigurationError

JSON = ("Content-Type", "application/json")


def _example(
    request: str, status: int, category: str, body: str | None = None, /, rule: str | None = None, **headers: str
) -> dict[str, Any]:
    method, path = request.split()
    verdict = {"category": category, **({"rule": rule} if rule else {})}
    answer: dict[str, Any] = {"status": status, "headers": headers}
    if body is not None:
        answer["text"] = body
    return {"request": {"method": method, "path": path}, "answer": answer, "verdict": verdict}


def _documented(*examples: dict[str, Any]) -> Documented:
    return Documented(
        Policy.model_validate(
            {
                "version": 1,
                "provider": "acme",
                "match": {"hosts": ["api.acme.test"]},
                "operations": {
                    "search": {"method": "POST", "path": "/v1/search"},
                    "job": {"method": "GET", "path": "/v1/jobs/{id}"},
                },
                "answers": [
                    {"rule": "slow-down", "when": {"status": 429}, "category": "rate_limited"},
                    {"rule": "outage", "when": {"status": 503}, "category": "overloaded"},
                ],
                "examples": examples,
            }
        )
    )


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        ("POST /v1/search", b"search"),
        ("GET /v1/jobs/2", b"job"),
        ("GET /v1/elsewhere", b"elsewhere"),
        ("GET /v1/nowhere", b"other"),
        ("GET /v1/search", b"other"),
    ],
)
def test_the_operation_of_a_request_chooses_among_the_examples_of_a_status(request_line: str, expected: bytes) -> None:
    """An example of the request's operation comes first, then the first of the file."""
    documents = _documented(
        _example("GET /other", 429, "rate_limited", "other"),
        _example("POST /v1/search", 429, "rate_limited", "search"),
        _example("POST /v1/search", 429, "rate_limited", "search again"),
        _example("GET /v1/jobs/1", 429, "rate_limited", "job"),
        _example("GET https://api.acme.test/v1/elsewhere?page=2", 429, "rate_limited", "elsewhere"),
    )

    reply = documents.reply(Step(status=429), *request_line.split())

    assert Reply(429, (), expected) == reply


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [("POST /v1/search", b"found"), ("GET /v1/jobs/2", b"done"), ("GET /v1/nowhere", b"found")],
)
def test_a_request_without_a_step_gets_the_documented_success(request_line: str, expected: bytes) -> None:
    """The success of the operation is the answer, and one that is complete before one that was only accepted."""
    documents = _documented(
        _example("POST /v1/search", 500, "server_error", "broken"),
        _example("POST /v1/search", 200, "target_error", "failed"),
        _example("GET /v1/jobs/1", 202, "success", "pending"),
        _example("POST /v1/search", 200, "success", "found"),
        _example("GET /v1/jobs/1", 200, "success", "done"),
    )

    reply = documents.reply(Step(), *request_line.split())

    assert Reply(200, (), expected) == reply


def test_an_accepted_request_is_a_success_where_nothing_else_is_documented() -> None:
    """A 202 is given where it is all that the operation has."""
    documents = _documented(
        _example("POST /v1/search", 200, "success", "found"), _example("GET /v1/jobs/1", 202, "success", "pending")
    )

    assert Reply(202, (), b"pending") == documents.reply(Step(), "GET", "/v1/jobs/2")


def test_a_200_means_a_success_where_one_is_documented() -> None:
    """A step with a status below 400 prefers the examples that are successes, and one with an error does not."""
    documents = _documented(
        _example("POST /v1/search", 200, "target_error", "failed"),
        _example("POST /v1/search", 200, "success", "found"),
        _example("GET /v1/jobs/1", 200, "target_error", "job failed"),
        _example("POST /v1/search", 404, "not_found", "nothing"),
        _example("POST /v1/search", 404, "success", "empty"),
    )

    assert b"found" == documents.reply(Step(status=200), "POST", "/v1/search").body
    assert b"job failed" == documents.reply(Step(status=200), "GET", "/v1/jobs/1").body
    assert b"nothing" == documents.reply(Step(status=404), "POST", "/v1/search").body


def test_an_answer_that_is_shown_in_full_comes_before_a_bare_status() -> None:
    """An example with a body says more than one without."""
    documents = _documented(
        _example("POST /v1/search", 500, "server_error"),
        _example("POST /v1/search", 500, "server_error", "broken"),
        _example("GET /v1/jobs/1", 500, "server_error"),
    )

    assert b"broken" == documents.reply(Step(status=500), "POST", "/v1/search").body
    assert b"" == documents.reply(Step(status=500), "GET", "/v1/jobs/2").body


def test_a_provider_without_examples_still_answers() -> None:
    """Nothing documented is an empty object for a success, and nothing but the status for a status."""
    documents = _documented()

    assert Reply(200, (JSON,), b"{}") == documents.reply(Step(), "GET", "/")
    assert Reply(503) == documents.reply(Step(status=503), "GET", "/")


def test_a_rule_is_answered_by_an_example_that_gets_it() -> None:
    """The rule of an example is the one it expects; where it expects none, the one the policy finds."""
    documents = _documented(
        _example("POST /v1/search", 500, "server_error", "no rule"),
        _example("POST /v1/search", 429, "rate_limited", "search"),
        _example("GET /v1/jobs/1", 429, "rate_limited", "job", rule="slow-down"),
        _example("GET /v1/jobs/1", 418, "overloaded", "tea", rule="outage"),
    )

    assert ("slow-down", "outage") == documents.rules
    assert b"job" == documents.reply(Step(rule="slow-down"), "GET", "/v1/jobs/2").body
    assert b"search" == documents.reply(Step(rule="slow-down"), "GET", "/v1/nowhere").body
    assert Reply(418, (), b"tea") == documents.reply(Step(rule="outage"), "POST", "/v1/search")


def test_what_a_step_says_takes_the_place_of_what_is_documented() -> None:
    """Headers of the step replace those of the same name, whatever their case, and its body brings its type."""
    documents = _documented(
        _example("GET /", 429, "rate_limited", "slow", **{"retry-after": "9", "Content-Type": "a/b"})
    )

    headed = documents.reply(Step(status=429, headers=(("Retry-After", "1"), ("Retry-After", "2"))), "GET", "/")
    bodied = documents.reply(Step(status=429, body='{"a": 1}'), "GET", "/")
    typed = documents.reply(Step(status=429, body="1", headers=(("CONTENT-TYPE", "c/d"),)), "GET", "/")

    assert Reply(429, (("Content-Type", "a/b"), ("Retry-After", "1"), ("Retry-After", "2")), b"slow") == headed
    assert Reply(429, (("retry-after", "9"), JSON), b'{"a": 1}') == bodied
    assert Reply(429, (("retry-after", "9"), ("CONTENT-TYPE", "c/d")), b"1") == typed


def test_a_body_that_is_no_unicode_is_sent_all_the_same() -> None:
    """A lone surrogate in a script's body becomes a question mark."""
    documents = _documented()

    assert b'"?"' == documents.reply(Step(status=429, body='"\ud800"'), "GET", "/").body


def test_headers_about_the_framing_of_a_documented_answer_are_left_out() -> None:
    """How the documented answer was sent is not how this one is sent."""
    framing = {
        "Content-Length": "99",
        "transfer-encoding": "chunked",
        "Content-Encoding": "gzip",
        "Connection": "close",
    }
    documents = _documented(_example("GET /", 200, "success", "x", **framing, **{"X-Id": " 1\t", "Keep-Alive": "3"}))

    assert Reply(200, (("X-Id", "1"),), b"x") == documents.reply(Step(), "GET", "/")


def test_an_example_that_cannot_be_sent_is_shown_when_the_policy_is_read() -> None:
    """A header that would break the framing is refused before the first request."""
    with pytest.raises(ConfigurationError, match="an example of acme for 200 cannot be sent: the value of X-Id has"):
        _documented(_example("GET /", 200, "success", "x", **{"X-Id": "1\r\nX-Evil: 2"}))


def test_answers_that_no_server_can_give_are_no_examples() -> None:
    """Transport errors, and statuses that end no request, are not answered with."""
    lost = {"answer": {"error": "read_timeout"}, "verdict": {"category": "timeout"}}
    documents = _documented(lost, _example("GET /", 103, "success", "early"), _example("GET /", 999, "success", "x"))

    assert () == documents.rules
    assert Reply(200, (JSON,), b"{}") == documents.reply(Step(), "GET", "/")


def test_a_path_that_is_no_address_belongs_to_no_operation() -> None:
    """An example with a broken URL is one without a path."""
    documents = _documented(_example("GET http://[x/v1", 200, "success", "broken"))

    assert b"broken" == documents.reply(Step(), "GET", "/").body
