"""The story of a call, in words, as data, and where it is found."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import Attempt, Category, Trail, Verdict, Wait, trail_of


def attempt(number: int, *, status: int | None = 503, error: str | None = None, **verdict: Any) -> Attempt:
    found = Verdict(**{"category": Category.OVERLOADED, "retryable": True, **verdict})
    return Attempt(number, number - 1.0, 0.25, status, error, found)


def test_a_trail_tells_attempts_waits_and_the_end_in_order() -> None:
    """With what each rests on."""
    trail = Trail(
        "anakin",
        "search",
        [
            attempt(1, code="busy", rule="overload", doc="https://docs.test/errors"),
            Wait(1.5, "Retry-After"),
            attempt(2, status=None, error="ReadTimeout", category=Category.TIMEOUT),
            Wait(2.0, "back-off"),
            attempt(3, status=200, category=Category.SUCCESS),
        ],
        "success",
    )

    assert [
        "anakin search: 3 attempts",
        "  1. 0.000s: 503 overloaded, code busy, rule overload, https://docs.test/errors",
        "     waited 1.500s, asked for by Retry-After",
        "  2. 1.000s: ReadTimeout timeout",
        "     waited 2.000s, asked for by back-off",
        "  3. 2.000s: 200 success",
        "  => success",
    ] == str(trail).splitlines()


def test_a_short_story_is_short() -> None:
    """One attempt is one attempt, and an unfinished call has no end."""
    assert "p: 1 attempt\n  1. 0.000s: 503 overloaded" == str(Trail("p", events=[attempt(1)]))
    assert "p: 0 attempts" == str(Trail("p"))


def test_attempts_and_waits_can_be_had_apart() -> None:
    """And the last verdict is the one that counts."""
    first, wait, second = attempt(1), Wait(1.0, "back-off"), attempt(2, status=404, category=Category.NOT_FOUND)
    trail = Trail("p", events=[first, wait, second])

    assert ((first, second), (wait,), second.verdict) == (trail.attempts, trail.waits, trail.verdict)
    assert ((), (), None) == (Trail("p").attempts, Trail("p").waits, Trail("p").verdict)


def test_a_trail_is_plain_data_for_json() -> None:
    """Each event says what it is."""
    trail = Trail("p", None, [attempt(1, code="x"), Wait(1.0, "back-off")], "success")

    found = json.loads(json.dumps(trail.to_dict()))

    assert {"provider": "p", "operation": None, "stopped": "success"} == {
        name: found[name] for name in ("provider", "operation", "stopped")
    }
    assert {"wait": {"seconds": 1.0, "source": "back-off", "layer": "retry", "observed": False}} == found["events"][1]
    assert (1, 503, "overloaded", "x") == (
        found["events"][0]["attempt"]["number"],
        found["events"][0]["attempt"]["status"],
        found["events"][0]["attempt"]["verdict"]["category"],
        found["events"][0]["attempt"]["verdict"]["code"],
    )


@given(code=st.text(min_size=1, max_size=50))
def test_nothing_that_a_provider_writes_begins_a_line_or_moves_a_cursor(code: str) -> None:
    """It stands where the code stands, and is printable."""
    lines = str(Trail("p", events=[attempt(1, code=code)])).split("\n")

    assert 2 == len(lines)
    assert lines[1].isprintable()


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (SimpleNamespace(extensions={"resilience": Trail("p")}), True),
        (SimpleNamespace(extensions={}), False),
        (SimpleNamespace(extensions={"resilience": "mine"}), False),
        (SimpleNamespace(trail=Trail("p")), True),
        (SimpleNamespace(trail="mine"), False),
        (ValueError("x"), False),
        (None, False),
    ],
)
def test_a_trail_is_found_on_responses_and_on_errors(answer: object, *, found: bool) -> None:
    """Where no policy applied there is none."""
    assert found == (trail_of(answer) is not None)
