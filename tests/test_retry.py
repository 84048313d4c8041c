"""Whether a call is sent again, and when: the decision alone, without a call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resilience import Category, Verdict
from resilience._categories import TREATMENTS
from resilience._library import NEVER_SENT, ErrorKind
from resilience._repeatable import IDEMPOTENT, may_send_again, why_not_again
from resilience._retry_policy import Again, PolicyRetry, Retry, Stop, decide, resolve
from resilience._units import duration_text
from tests.worlds import WORLDS, Step, World, policy

VECTORS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "vectors" / "waiting.yaml").read_text("utf-8"))
STEADY = {"backoff": {"initial": "1s", "multiplier": 2, "max": "8s", "jitter": "none"}}


def settings(**keys: Any) -> Retry:
    return Retry.model_validate({**STEADY, "spread": 0, **keys})


def throttled(seconds: float | None = None, source: str | None = "Retry-After") -> Verdict:
    return Verdict(Category.RATE_LIMITED, retryable=True, retry_after=seconds, retry_after_source=source)


def decision(retry: Retry, verdict: Verdict, **named: Any) -> Any:
    return decide(retry, verdict, **{"attempt": 1, "left": None, "previous": None, "chance": 0.0, **named})


@pytest.mark.parametrize(("attempt", "wait"), [(1, 1.0), (2, 2.0), (3, None), (4, None)])
def test_the_last_attempt_is_the_last(attempt: int, wait: float | None) -> None:
    """`max_attempts` counts the first one."""
    found = decision(settings(max_attempts=3), throttled(), attempt=attempt)

    assert found == (
        Stop("max_attempts", "max_attempts (3) reached") if wait is None else Again(wait, "backoff", "back-off")
    )


@pytest.mark.parametrize(
    ("asked", "chance", "wait"),
    [(10.0, 0.0, 10.0), (10.0, 0.5, 11.0), (10.0, 1.0, 12.0), (58.0, 1.0, 60.0), (60.0, 1.0, 60.0), (0.01, 0.0, 0.01)],
)
def test_a_stated_wait_is_kept_and_spread_upwards(asked: float, chance: float, wait: float) -> None:
    """By a share of it, within the longest wait, and never downwards."""
    found = decision(settings(spread=0.2), throttled(asked), chance=chance)

    assert (wait, "Retry-After") == (pytest.approx(found.wait), found.source)


@pytest.mark.parametrize("asked", [None, 0.0, 0.009])
def test_a_wait_of_nothing_leaves_the_backoff(asked: float | None) -> None:
    """A provider that says zero is not hammered."""
    assert Again(1.0, "backoff", "back-off") == decision(settings(), throttled(asked))


def test_a_wait_of_almost_nothing_is_kept_where_the_backoff_is_shorter() -> None:
    """Never earlier than the provider asked for."""
    found = decision(settings(backoff={"jitter": "full"}), throttled(0.005), chance=1.0)

    assert Again(0.005, "backoff", "back-off") == found


def test_a_wait_that_is_too_long_ends_the_call_or_is_taken_for_a_mistake() -> None:
    """`too_long` says which of the two; the reason names who asked."""
    given_back = decision(settings(), throttled(61.0))
    backed_off = decision(settings(too_long="back_off"), throttled(61.0))

    assert Stop("too_long", "Retry-After asks for 61s, longer than longest_wait (60s)") == given_back
    assert Again(1.0, "backoff", "back-off") == backed_off


def test_a_wait_without_a_source_is_the_answers() -> None:
    """The trail has a word for it."""
    assert "the answer" == decision(settings(), throttled(5.0, None)).source


@pytest.mark.parametrize(("left", "wait"), [(None, 1.0), (1.001, 1.0), (1.0, None), (0.5, None)])
def test_a_wait_that_would_pass_the_deadline_is_not_begun(left: float | None, wait: float | None) -> None:
    """The reason says how long it would have been, and how much was left."""
    found = decision(settings(), throttled(), left=left)

    late = Stop("deadline", f"a wait of 1s (back-off) would pass the deadline, {left or 0:.3g}s away")
    assert found == (late if wait is None else Again(wait, "backoff", "back-off"))


@pytest.mark.parametrize("left", [0.0, -3.0])
def test_after_the_deadline_nothing_is_begun(left: float) -> None:
    """Whatever the wait would have been."""
    found = decision(settings(backoff={"jitter": "full"}), throttled(), left=left, chance=1.0)

    assert Stop("deadline", "the deadline has passed") == found


def test_the_last_wait_feeds_a_decorrelated_backoff() -> None:
    """Whoever asked for it."""
    found = decision(settings(backoff={"jitter": "decorrelated"}), throttled(), attempt=2, previous=4.0, chance=1.0)

    assert 12.0 == found.wait


@given(
    hint=st.none() | st.floats(0, 1e308) | st.floats(0, 100) | st.integers(0, 10**308),
    attempt=st.integers(1, 25),
    left=st.none() | st.floats(-1e9, 1e9),
    previous=st.none() | st.floats(0, 1e308),
    chance=st.floats(0, 1),
    longest=st.integers(0, 366 * 86_400_000).map(lambda milliseconds: milliseconds / 1000),
    above=st.none() | st.integers(0, 366 * 86_400_000).map(lambda milliseconds: milliseconds / 1000),
    too_long=st.sampled_from(["give_back", "back_off"]),
    jitter=st.sampled_from(["none", "equal", "full", "decorrelated", 0, 0.25, 1]),
    spread=st.floats(0, 1),
)
def test_no_wait_breaks_a_promise(
    *,
    hint: float | None,
    attempt: int,
    left: float | None,
    previous: float | None,
    chance: float,
    longest: float,
    above: float | None,
    too_long: str,
    jitter: Any,
    spread: float,
) -> None:
    """Not negative, not past the deadline, within its bound, and only where an option says so less than was asked for."""
    keys: dict[str, Any] = {"max_attempts": 20, "longest_wait": duration_text(longest), "too_long": too_long}
    keys |= {"above_backoff": duration_text(above)} if above is not None else {}
    retry = Retry.model_validate({**keys, "spread": spread, "backoff": {"jitter": jitter}})

    found = decide(retry, throttled(hint), attempt=attempt, left=left, previous=previous, chance=chance)

    if isinstance(found, Stop):
        assert found.reason
    else:
        assert found.source
        assert attempt < 20
        assert found.wait >= 0
        assert left is None or found.wait < left
        assert found.wait <= (max(30, retry.longest_wait) if above is None else 30 + (retry.above_backoff or 0))
        if hint is not None and above is None and (too_long == "give_back" or hint <= retry.longest_wait):
            assert found.wait >= hint


@pytest.mark.parametrize(
    "case", VECTORS["envoy-reset-header"]["cases"], ids=lambda case: f"{case['as']} {case['value']}"
)
def test_a_reset_header_is_obeyed_or_leaves_the_backoff(case: dict[str, Any]) -> None:
    """What cannot be read, has passed, or is no whole number asks for nothing."""
    envoy = policy(
        retry={
            **STEADY,
            "spread": 0,
            "wait": [{"header": "x-ratelimit-reset", "as": case["as"]}],
            "longest_wait": "10m",
        }
    )
    headers = {"x-ratelimit-reset": case["value"], "Date": "Sun, 09 Sep 2001 01:46:40 GMT"}

    found = decision(envoy.retry, envoy.classify(status=429, headers=headers))

    assert (case["seconds"] or 1.0) == found.wait
    assert ("x-ratelimit-reset" if case["seconds"] else "back-off") == found.source


@pytest.mark.parametrize("case", VECTORS["ietf-ratelimit"]["limits"], ids=lambda case: case["value"])
def test_an_exhausted_ratelimit_field_is_waited_for(case: dict[str, Any]) -> None:
    """With quota left, or malformed, it asks for nothing; what it asks for is bounded."""
    ietf = policy(retry={**STEADY, "spread": 0, "wait": [{"header": "RateLimit"}], "longest_wait": "10m"})

    found = decision(ietf.retry, ietf.classify(status=429, headers={"RateLimit": case["value"]}))

    wait = case["wait"]
    assert (None if wait is not None and wait > 600 else wait or 1.0) == getattr(found, "wait", None)


def test_overrides_replace_only_the_keys_that_they_give() -> None:
    """The last one first; what nobody gives stays."""
    base = settings(max_attempts=5, longest_wait="30s")
    operation = Retry.model_validate({"max_attempts": 2, "too_long": "back_off"})
    rule = Retry.model_validate({"max_attempts": 7, "above_backoff": None})

    found = resolve(base, operation, None, rule)

    assert (7, "back_off", 30.0, base.backoff) == (
        found.max_attempts,
        found.too_long,
        found.longest_wait,
        found.backoff,
    )


def test_without_overrides_the_base_is_the_answer() -> None:
    """The same object: nothing is copied for each answer."""
    base = PolicyRetry()

    assert base is resolve(base, None, Retry())


NOT_PROCESSED = {Category.RATE_LIMITED, Category.CONCURRENCY_LIMITED}
DOCUMENTED = {Category.UPSTREAM_UNAVAILABLE, Category.OVERLOADED}


@pytest.mark.parametrize("category", list(Category))
@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY", "POST", "PATCH", "get"]
)
@pytest.mark.parametrize("rule", [None, "documented"])
def test_a_request_is_repeated_if_its_method_allows_or_nothing_was_processed(
    category: Category, method: str, rule: str | None
) -> None:
    """RFC 9110 section 9.2.2, and what the provider says of its own answer. Methods are case-sensitive."""
    verdict = Verdict(category, retryable=True, rule=rule)
    unprocessed = category in NOT_PROCESSED or (category in DOCUMENTED and rule is not None)

    assert (unprocessed or method in IDEMPOTENT) == may_send_again(verdict, method=method, repeatable=None)


@pytest.mark.parametrize("kind", list(ErrorKind))
@pytest.mark.parametrize("repeatable", [None, False, True, "answered"])
def test_what_never_left_may_always_be_sent(kind: ErrorKind, repeatable: Any) -> None:
    """And what may have arrived only where repeating is harmless even in silence."""
    verdict = Verdict(Category.NETWORK_ERROR, retryable=True, error=kind)

    assert (kind in NEVER_SENT or repeatable is True) == may_send_again(verdict, method="POST", repeatable=repeatable)


@pytest.mark.parametrize(
    ("method", "repeatable", "allowed"),
    [
        ("POST", True, True),
        ("POST", "answered", True),
        ("POST", False, False),
        ("GET", False, False),
        ("GET", None, True),
    ],
)
def test_the_declaration_comes_before_the_method(method: str, repeatable: Any, *, allowed: bool) -> None:
    """After an answer, `answered` is as good as true."""
    verdict = Verdict(Category.SERVER_ERROR, retryable=True)

    assert allowed == may_send_again(verdict, method=method, repeatable=repeatable)


@pytest.mark.parametrize(
    ("verdict", "repeatable", "why"),
    [
        (Verdict(Category.SERVER_ERROR, retryable=True), True, None),
        (
            Verdict(Category.TIMEOUT, retryable=True, error=ErrorKind.READ_TIMEOUT),
            "answered",
            "POST may be repeated after an answer, and none came",
        ),
        (
            Verdict(Category.SERVER_ERROR, retryable=True),
            None,
            "POST may not be repeated after server_error; declare it repeatable if it may",
        ),
    ],
)
def test_a_reason_says_what_would_change_it(verdict: Verdict, repeatable: Any, why: str | None) -> None:
    """For the trail and for `resilience explain`."""
    assert why == why_not_again(verdict, method="POST", repeatable=repeatable)


def test_an_error_of_the_limits_of_pace_needs_no_declaration() -> None:
    """Nothing was processed, so nothing is repeated."""
    assert may_send_again(throttled(), method="POST", repeatable=False)
    assert TREATMENTS[Category.RATE_LIMITED].retryable


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"max_attempts": 0}, "greater than or equal to 1"),
        ({"max_attempts": 21}, "less than or equal to 20"),
        ({"max_attempts": True}, "valid integer"),
        ({"max_attempts": "3"}, "valid integer"),
        ({"spread": 1.5}, "less than or equal to 1"),
        ({"longest_wait": 60}, "has no unit"),
        ({"longest_wait": None}, "has no unit"),
        ({"too_long": "wait"}, "Input should be 'give_back' or 'back_off'"),
        ({"categories": {}}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(keys: dict[str, Any], message: str) -> None:
    """Only a policy's own settings know categories."""
    with pytest.raises(ValidationError) as caught:
        Retry.model_validate(keys)

    assert message in str(caught.value)


def test_a_category_must_be_one_that_there_is() -> None:
    """The set is closed."""
    with pytest.raises(ValidationError, match="Input should be 'success', 'invalid_request'"):
        PolicyRetry.model_validate({"categories": {"flaky": {"max_attempts": 2}}})


@pytest.mark.parametrize("world", [World(name) for name in WORLDS if name != "virtual"], ids=repr)
def test_a_body_that_is_not_whole_any_more_leaves_the_first_answer(world: World) -> None:
    """Over the bound of what is kept, a stream is sent once only, and the trail says so."""

    def pieces() -> Iterator[bytes]:
        yield b"x" * 64

    async def pieces_async() -> AsyncIterator[bytes]:
        yield b"x" * 64

    content = pieces() if world.mode == "sync" else pieces_async()

    story = world.call(policy(retry=STEADY, replay="16B"), [Step(429)], method="POST", content=content)

    assert (429, 1) == (story.status, story.requests)
    assert "the request's body cannot be sent again: it is no longer whole" == story.trail.stopped
