"""What an error is to the caller of an application: a problem, or none of our business."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

import resilience
import resilience.httpx
from resilience import Category, Trail, Verdict, errors
from resilience._problem import LATE, Problem, problem_of, reply_to
from resilience._trail import Attempt, Charged, Refused
from resilience._web_options import Options
from resilience.testing import VirtualClock
from tests.worlds import URL, policy

REQUEST = httpx.Request("GET", URL)


def with_trail(error: Any, *events: Any) -> Any:
    error.trail = Trail("p", events=list(events))
    return error


def attempt(category: Category = Category.SUCCESS, **verdict: Any) -> Attempt:
    return Attempt(1, 0.0, 0.1, 500, None, Verdict(category, retryable=False, **verdict))


def refused(layer: Any, why: Any = "max_wait", scope: str = "", *, observed: bool = False) -> Refused:
    return Refused(layer, why, "SECRET words", 1.2, observed, scope)


@pytest.mark.parametrize(
    ("events", "status", "code", "layer"),
    [
        ([refused("breaker", "open")], 503, "provider_unavailable", "breaker"),
        ([refused("limiter")], 503, "rate_limited", "limiter"),
        ([refused("concurrency")], 503, "concurrency_limited", "concurrency"),
        ([refused("credits", "latch")], 503, "credits_used_up", "credits"),
        ([refused("credits", "budget")], 503, "credits_used_up", "credits"),
        ([refused("credits", "budget", "operation=search")], 503, "credits_used_up", "credits"),
        ([refused("credits", "budget", "account=-, tag.tenant=acme")], 429, "budget_used_up", "credits"),
        ([refused("credits", "balance", "tag.tenant=acme")], 503, "credits_used_up", "credits"),
        ([attempt(Category.OVERLOADED), refused("limiter")], 503, "rate_limited", "limiter"),
        ([refused("breaker"), attempt(Category.SERVER_ERROR)], 503, "provider_failed", None),
        ([attempt(Category.SERVER_ERROR), refused("breaker", observed=True)], 503, "provider_failed", None),
        ([attempt(Category.SERVER_ERROR), refused("retry_budget", "empty")], 503, "provider_failed", None),
        (
            [attempt(Category.SERVER_ERROR), Charged(Decimal(1), "credits", Decimal(1), "failed")],
            503,
            "provider_failed",
            None,
        ),
        ([attempt(Category.RATE_LIMITED)], 503, "provider_busy", None),
        ([attempt(Category.QUOTA_EXHAUSTED)], 503, "credits_used_up", None),
        ([attempt(Category.UPSTREAM_UNAVAILABLE)], 503, "provider_unavailable", None),
        ([attempt(Category.TIMEOUT)], 504, "provider_timeout", None),
        ([attempt(Category.NETWORK_ERROR, error="connect_error")], 503, "provider_failed", None),
    ],
    ids=str,
)
def test_what_has_a_trail_becomes_a_problem(events: list[Any], status: int, code: str, layer: str | None) -> None:
    """By the refusal that it ended with, else by what the last answer meant."""
    found = problem_of(with_trail(httpx.ReadError("x"), *events))

    assert found is not None
    assert (status, code, layer, "p") == (found.status, found.code, found.layer, found.provider)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        httpx.ReadTimeout("without a trail"),
        KeyboardInterrupt(),
        with_trail(httpx.ReadError("x")),
        with_trail(httpx.ReadError("x"), attempt()),
        *(
            with_trail(httpx.ReadError("x"), attempt(category))
            for category in (Category.INVALID_REQUEST, Category.AUTH, Category.NOT_FOUND, Category.TARGET_ERROR)
        ),
        with_trail(httpx.UnsupportedProtocol("x"), attempt(Category.NETWORK_ERROR, error="request_error")),
        ExceptionGroup("both", [with_trail(httpx.ReadError("x"), refused("limiter")), ValueError("x")]),
        ExceptionGroup("many", [with_trail(httpx.ReadError("x"), refused("limiter")) for _ in range(200)]),
    ],
    ids=repr,
)
def test_what_has_nothing_to_do_with_our_calls_is_no_problem(error: BaseException) -> None:
    """Mistakes of the application among them: what it has sent is wrong, or not allowed."""
    assert problem_of(error) is None


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (resilience.httpx.DeadlineExceeded("x", request=REQUEST), 504, "deadline_exceeded"),
        (resilience.httpx.AttemptTimeout("x", request=REQUEST), 504, "provider_timeout"),
        (resilience.httpx.ClientClosed("x", request=REQUEST), 503, "unavailable"),
        (errors.BreakerOpen("x", layer="breaker", policy="p", retry_after=3), 503, "provider_unavailable"),
        (errors.Refused("x"), 503, "provider_unavailable"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_errors_of_ours_are_problems_by_themselves(error: Exception, status: int, code: str) -> None:
    """Also without a trail, and where another was raised from them, or all of a group are such."""
    outer = RuntimeError("could not make the report")
    outer.__cause__ = error

    for each in (error, outer, ExceptionGroup("g", [error, ExceptionGroup("h", [outer])])):
        found = problem_of(each)
        assert found is not None
        assert (status, code) == (found.status, found.code)


def test_a_group_may_be_nested_deeper_than_functions_may_call() -> None:
    error: Exception = errors.BreakerOpen("x", layer="breaker", policy="p", retry_after=3)
    for _ in range(10_000):
        error = ExceptionGroup("g", [error])

    found = problem_of(error)

    assert found is not None
    assert found.code == "provider_unavailable"


@pytest.mark.parametrize("refusals", ["reply", "raise"])
def test_a_real_refusal_is_found_whichever_form_it_has(refusals: str) -> None:
    """As an answer that the application raises for, as an error, and behind an SDK's own."""
    clock = VirtualClock()
    limited = policy(limits=[{"name": "all", "rate": "1/minute", "max_wait": "0s"}])
    config = {"version": 1, "refusals": refusals}

    def good(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={})

    transport = resilience.httpx.Transport(httpx.MockTransport(good), policies=[limited], config=config, clock=clock)
    with httpx.Client(transport=transport) as client:
        client.get(URL)
        with pytest.raises(httpx.HTTPError) as caught:
            client.get(URL).raise_for_status()
        sdk = openai.OpenAI(api_key="k", base_url=URL, http_client=client, max_retries=0)
        with pytest.raises(openai.APIError) as caught_by_sdk:
            sdk.models.list()

    for error in (caught.value, caught_by_sdk.value):
        found = problem_of(error)
        assert found is not None
        assert (503, "rate_limited", "limiter", "provider") == (found.status, found.code, found.layer, found.provider)
        assert found.retry_after is not None
        assert 50 < found.retry_after <= 60


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, None), (0.0, "0"), (1.2, "2"), (float("inf"), None), (float("nan"), None), (-1.0, None)],
)
def test_retry_after_is_in_whole_seconds_and_never_too_early(seconds: float | None, told: str | None) -> None:
    """RFC 9110 section 10.2.3; where nobody can know, it is not there."""
    reply = reply_to(Problem(503, "c", "d", retry_after=seconds), Options(), "GET")

    assert told == dict(reply.headers).get("retry-after")
    assert told == (str(found) if (found := json.loads(reply.content).get("retry_after")) is not None else None)


def test_a_problem_names_its_type_where_there_is_a_page_of_them() -> None:
    """RFC 9457 section 3.1.1; without one it is about:blank, and the title is the status's."""
    plain = json.loads(reply_to(LATE, Options(), "GET").content)
    typed = json.loads(reply_to(LATE, Options(problem_types="https://a.example/problems/"), "GET").content)

    assert ("about:blank", "Gateway Timeout") == (plain["type"], plain["title"])
    assert ("https://a.example/problems/deadline-exceeded", "Deadline exceeded") == (typed["type"], typed["title"])
    assert b"" == reply_to(LATE, Options(), "HEAD").content


def test_words_of_providers_are_not_told() -> None:
    """Nor those of refusals, which name budgets and tenants."""
    error = with_trail(httpx.ReadError("SECRET"), refused("credits", "budget", "tag.tenant=SECRET"))
    answered = with_trail(httpx.ReadError("SECRET"), attempt(Category.OVERLOADED, message="SECRET", code="SECRET"))

    for each in (error, answered):
        found = problem_of(each)
        assert found is not None
        assert "SECRET" not in str(reply_to(found, Options(), "GET"))
