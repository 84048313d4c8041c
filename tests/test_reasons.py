"""Reasons in one word, as the layers really give them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import resilience.httpx
from resilience import events, trail_of
from resilience._instruments import ATTRIBUTES
from resilience.testing import VirtualClock
from tests.worlds import HOST, policy

URL = f"https://{HOST}/things/1"
PATHS = {"operations": {"things": {"path": "/things/{id}"}, "health": {"path": "/health"}}}
FRAGILE = {"consecutive_failures": 1, "open_for": "60s", "jitter": 0}
ONCE = {"max_attempts": 1}
PAID = {
    "account": {"headers": ["x-api-key"]},
    "credits": {"costs": [{"cost": 5}], "charged": "billing.charged"},
    "breaker": {"off": True},
}


class Ears(events.Listener):
    """Remembers refusals and waits."""

    def __init__(self) -> None:
        self.refused: list[events.Refused] = []
        self.waited: list[events.Waited] = []

    def on_refusal(self, event: events.Refused, /) -> None:
        self.refused.append(event)

    def on_wait(self, event: events.Waited, /) -> None:
        self.waited.append(event)


def heard(
    parts: dict[str, Any],
    answers: list[Any],
    *,
    config: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    pause: float = 0.0,
    method: str = "GET",
) -> tuple[Ears, list[Any]]:
    """What is heard of two calls with a pause between them, and why each was sent no more, on virtual time."""
    left = list(answers)

    def handler(request: httpx.Request) -> httpx.Response:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise type(answer)(*answer.args)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(answer, json={})

    ears, clock, stopped = Ears(), VirtualClock(chances=itertools.repeat(0.0)), []
    made = policy(**{**PATHS, "retry": {"spread": 0}, **parts})
    transport: Any = resilience.httpx.Transport(
        httpx.MockTransport(handler),
        policies=[made],
        config={"version": 1, **(config or {})},
        clock=clock,
        listeners=[ears],
    )
    with httpx.Client(transport=transport, headers={"x-api-key": "k"}) as client:
        for _ in range(2):
            try:
                trail = trail_of(client.request(method, URL, extensions={"resilience": options or {}}))
            except httpx.TransportError as error:
                trail = trail_of(error)
            assert trail is not None
            stopped.append(trail.why)
            clock.advance(pause)
    return ears, stopped


def budget(limit: str, **more: Any) -> dict[str, Any]:
    """A configuration with one budget."""
    return {"providers": {"provider": {"budgets": [{"name": "b", "limit": limit, **more}]}}}


def balance(status: int = 200) -> httpx.Response:
    """An answer that tells what is left of the account."""
    return httpx.Response(status, json={"billing": {"charged": 5, "left": 2}})


@pytest.mark.parametrize(
    ("layer", "word", "story"),
    [
        ("breaker", "open", lambda: heard({"breaker": FRAGILE, "retry": ONCE}, [500])),
        (
            "breaker",
            "health",
            lambda: heard({"breaker": {**FRAGILE, "health": {"path": "/health"}}, "retry": ONCE}, [500], pause=61.0),
        ),
        (
            "limiter",
            "max_wait",
            lambda: heard({"limits": [{"name": "l", "rate": "1/minute", "burst": 1, "max_wait": "1s"}]}, [200]),
        ),
        (
            "limiter",
            "deadline",
            lambda: heard(
                {"limits": [{"name": "l", "rate": "1/minute", "burst": 1, "max_wait": "5m"}]},
                [200],
                options={"deadline": 10},
            ),
        ),
        ("credits", "budget", lambda: heard(PAID, [200], config=budget("5 credits/day"))),
        (
            "credits",
            "latch",
            lambda: heard(
                {**PAID, "answers": [{"rule": "r", "when": {"status": 402}, "category": "credits_exhausted"}]}, [402]
            ),
        ),
        (
            "credits",
            "unpriced",
            lambda: heard({**PAID, "credits": {"charged": "billing.charged"}}, [200], config=budget("5 credits/day")),
        ),
        (
            "credits",
            "balance",
            lambda: heard(
                {**PAID, "credits": {**PAID["credits"], "balance": "billing.left"}},
                [balance()],
                config=budget("500 credits/day"),
            ),
        ),
        (
            "retry_budget",
            "empty",
            lambda: heard({"retry": {"spread": 0, "budget": {"ratio": 0, "per_second": 0.001}}}, [500]),
        ),
    ],
)
def test_a_refusal_says_why_in_one_word(layer: Any, word: str, story: Callable[[], tuple[Ears, list[str]]]) -> None:
    """Beside its sentence."""
    ears, _ = story()

    found = {each.why for each in ears.refused if each.layer == layer}
    assert {word} == found, [each.reason for each in ears.refused]
    assert word in ATTRIBUTES["resilience.reason"].values


@pytest.mark.parametrize(
    ("parts", "answers", "named", "word"),
    [
        ({}, [503], {}, "max_attempts"),
        ({}, [404], {}, "not_retryable"),
        ({}, [500], {"method": "POST"}, "not_repeatable"),
        ({}, [500], {"options": {"repeatable": False}}, "not_repeatable"),
        ({}, [httpx.Response(429, headers={"Retry-After": "900"})], {}, "too_long"),
        ({}, [500], {"options": {"deadline": 0.5}, "config": {"mode": {"retry": "enforce"}}}, "deadline"),
        ({}, [500], {"config": {"mode": {"retry": "off"}}}, "off"),
        ({}, [500], {"config": {"mode": {"retry": "observe"}}}, "observed"),
        ({"breaker": FRAGILE, "retry": {"longest_wait": "5s"}}, [500], {}, "too_long"),
        ({"breaker": FRAGILE, "retry": ONCE}, [500], {}, "refused"),
        ({"retry": {"spread": 0, "budget": {"ratio": 0, "per_second": 0.001}}}, [500], {}, "budget"),
    ],
)
def test_why_a_call_was_not_sent_again_has_a_word(
    parts: dict[str, Any], answers: list[Any], named: dict[str, Any], word: str
) -> None:
    """Beside its sentence."""
    _, stopped = heard(parts, answers, **named)

    assert word in stopped
    assert word in ATTRIBUTES["resilience.retry.decision"].values


@pytest.mark.parametrize(
    ("parts", "answers", "layer", "word"),
    [
        ({}, [503, 200], "retry", "backoff"),
        ({}, [httpx.Response(429, headers={"Retry-After": "3"}), 200], "retry", "provider"),
        ({"breaker": FRAGILE}, [500, 200], "retry", "breaker"),
        ({"limits": [{"name": "l", "rate": "1/minute", "burst": 1, "max_wait": "5m"}]}, [200], "limiter", "limit"),
    ],
)
def test_a_wait_has_the_word_for_who_asked_for_it(
    parts: dict[str, Any], answers: list[Any], layer: str, word: str
) -> None:
    """Beside whom it names in words."""
    ears, _ = heard(parts, answers)

    found = {each.why for each in ears.waited if each.layer == layer}
    assert {word} == found, [each.source for each in ears.waited]
