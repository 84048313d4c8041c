"""How a call goes: every scenario runs sync, asyncio, trio and in virtual time, over httpx and httpx2."""

from __future__ import annotations

from typing import Any

import http_sf
import pytest

from resilience import errors
from tests.worlds import Step, World, policy

BACKOFF = {"backoff": {"initial": "1s", "multiplier": 2, "max": "8s", "jitter": "none"}, "spread": 0, "max_attempts": 4}


def test_a_good_answer_is_handed_on_at_once(world: World) -> None:
    """One request, no wait, and a trail that says success."""
    story = world.call(policy(), [Step(200, body={"ok": True})])

    assert (200, 1, []) == (story.status, story.requests, story.slept)
    assert "success" == story.trail.stopped


def test_a_throttled_call_waits_as_long_as_the_provider_says(world: World) -> None:
    """Two stated waits are kept, each from its own answer, then the good answer is handed on."""
    steps = [Step(429, {"Retry-After": "3"}), Step(429, {"Retry-After": "7"}), Step(200)]

    story = world.call(policy(retry=BACKOFF), steps, method="POST")

    assert (200, 3, [3.0, 7.0]) == (story.status, story.requests, story.slept)
    assert ["Retry-After", "Retry-After"] == [wait.source for wait in story.trail.waits]


def test_without_a_stated_wait_the_backoff_grows(world: World) -> None:
    """1, 2 and 4 seconds, and after the last attempt the provider's own answer."""
    story = world.call(policy(retry=BACKOFF), [Step(503)])

    assert (503, 4, [1.0, 2.0, 4.0]) == (story.status, story.requests, story.slept)
    assert "max_attempts (4) reached" == story.trail.stopped


def test_an_answer_that_was_given_up_on_tells_sdks_not_to_retry(world: World) -> None:
    """`x-should-retry: false` is on the last answer, and on no other."""
    given_up = world.call(policy(retry=BACKOFF), [Step(503, {"x-should-retry": "true"})])
    good = world.call(policy(retry=BACKOFF), [Step(200)])

    assert "false" == given_up.headers.get("x-should-retry")
    assert "x-should-retry" not in good.headers


def test_an_endpoint_that_the_policy_does_not_know_is_left_to_its_sdk(world: World) -> None:
    """Whether a POST may be sent again nobody here knows; where somebody does, SDKs are told to stop."""
    known = policy(retry=BACKOFF, operations={"make": {"method": "POST", "path": "/things"}})
    unsure = world.call(policy(retry=BACKOFF), [Step(500)], method="POST")
    told = world.call(known, [Step(500)], method="POST")

    assert [1, 1] == [unsure.requests, told.requests]
    assert "x-should-retry" not in unsure.headers
    assert "false" == told.headers.get("x-should-retry")


@pytest.mark.parametrize("value", ["0", "-5", "nan", "inf", "soon", "", "1e999", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_useless_wait_is_no_reason_to_hammer(world: World, value: str) -> None:
    """Zero, past and malformed waits leave the back-off in charge."""
    story = world.call(policy(retry=BACKOFF), [Step(429, {"Retry-After": value}), Step(200)])

    assert (200, [1.0]) == (story.status, story.slept)


def test_a_wait_that_is_too_long_gives_the_answer_back_at_once(world: World) -> None:
    """Nobody sleeps a shorter time and calls early."""
    story = world.call(policy(retry={**BACKOFF, "longest_wait": "60s"}), [Step(429, {"Retry-After": "61"})])

    assert (429, 1, []) == (story.status, story.requests, story.slept)
    assert "Retry-After asks for 61s, longer than longest_wait (60s)" == story.trail.stopped


def test_a_wait_past_the_deadline_gives_the_answer_back_at_once(world: World) -> None:
    """The deadline bounds the sum of all waits: 1 + 2 fit into 6 seconds, 4 more do not."""
    story = world.call(policy(retry=BACKOFF, deadline="6s"), [Step(503)])

    assert (503, 3, [1.0, 2.0]) == (story.status, story.requests, story.slept)
    assert "would pass the deadline" in story.trail.stopped


def test_a_call_can_bring_its_own_deadline(world: World) -> None:
    """The call's own deadline comes before the policy's."""
    story = world.call(policy(retry=BACKOFF, deadline="60s"), [Step(503)], options={"deadline": 1.5})

    assert (503, [1.0]) == (story.status, story.slept)


@pytest.mark.parametrize(
    ("method", "attempts"), [("GET", 4), ("PUT", 4), ("DELETE", 4), ("HEAD", 4), ("POST", 1), ("PATCH", 1)]
)
def test_only_idempotent_methods_are_repeated_after_a_server_error(world: World, method: str, attempts: int) -> None:
    """A POST that may have been processed is not sent twice."""
    story = world.call(policy(retry=BACKOFF), [Step(500)], method=method)

    assert (500, attempts) == (story.status, story.requests)


def test_a_post_may_be_repeated_where_the_operation_says_so(world: World) -> None:
    """`repeatable: true` is a promise of the provider's documentation."""
    repeatable = policy(retry=BACKOFF, operations={"things": {"path": "/things", "repeatable": True}})

    story = world.call(repeatable, [Step(500), Step(200)], method="POST")

    assert (200, 2) == (story.status, story.requests)


def test_a_request_may_be_repeatable_only_where_an_answer_came(world: World) -> None:
    """`repeatable: answered`: a 500 is sent again, silence is not, and a throttle is whatever the operation says."""
    answered = policy(retry=BACKOFF, operations={"things": {"path": "/things", "repeatable": "answered"}})
    never = policy(retry=BACKOFF, operations={"things": {"path": "/things", "repeatable": False}})

    failed = world.call(answered, [Step(500), Step(200)], method="POST")
    silent = world.call(answered, [Step(error="read_timeout"), Step(200)], method="POST")
    throttled = world.call(never, [Step(429), Step(200)])
    broken = world.call(never, [Step(500), Step(200)])

    assert (2, 1, 2, 1) == (failed.requests, silent.requests, throttled.requests, broken.requests)


def test_a_call_can_forbid_and_allow_its_own_repetition(world: World) -> None:
    """The caller knows best what its request does."""
    allowed = world.call(policy(retry=BACKOFF), [Step(500), Step(200)], method="POST", options={"repeatable": True})
    forbidden = world.call(policy(retry=BACKOFF), [Step(500)], options={"repeatable": False})
    not_even_a_throttle = world.call(policy(retry=BACKOFF), [Step(429)], options={"repeatable": False})

    assert (2, 1, 1) == (allowed.requests, forbidden.requests, not_even_a_throttle.requests)


@pytest.mark.parametrize("error", ["connect_error", "connect_timeout", "pool_timeout"])
def test_a_request_that_never_left_may_be_sent_again(world: World, error: str) -> None:
    """Whatever its method, nothing was processed."""
    story = world.call(policy(retry=BACKOFF), [Step(error=error), Step(200)], method="POST")

    assert (200, [1.0]) == (story.status, story.slept)


@pytest.mark.parametrize("error", ["read_timeout", "read_error", "protocol_error"])
def test_a_request_that_may_have_arrived_is_not_repeated_blindly(world: World, error: str) -> None:
    """A GET is sent again after a broken connection, a POST is not, and the error is the library's own."""
    post = world.call(policy(retry=BACKOFF), [Step(error=error), Step(200)], method="POST")
    get = world.call(policy(retry=BACKOFF), [Step(error=error), Step(200)])

    assert (None, 1) == (post.status, post.requests)
    assert post.error is not None
    assert "may not be repeated" in post.trail.stopped
    assert (200, 2) == (get.status, get.requests)


def test_a_raised_error_tells_its_story_in_a_note(world: World) -> None:
    """Whoever reads the traceback learns how often it was tried."""
    story = world.call(policy(retry=BACKOFF), [Step(error="connect_error")])

    assert story.error is not None
    assert "provider: 4 attempts" in "".join(story.error.__notes__)


@pytest.mark.parametrize(
    ("status", "category"),
    [(400, "invalid_request"), (401, "auth"), (402, "credits_exhausted"), (403, "permission"), (404, "not_found"),
     (409, "conflict"), (422, "unprocessable"), (501, "invalid_request")],
)  # fmt: skip
def test_a_fault_of_the_caller_is_not_retried(world: World, status: int, category: str) -> None:
    """Sending the same mistake again gives the same answer."""
    story = world.call(policy(retry=BACKOFF), [Step(status)])

    assert (status, 1) == (story.status, story.requests)
    assert story.trail.verdict is not None
    assert category == story.trail.verdict.category


def test_a_rule_can_set_its_own_attempts_and_waits(world: World) -> None:
    """Wait 30-60 s, and try once more only."""
    maintenance = {
        "rule": "maintenance",
        "when": {"status": 503, "code": "down"},
        "category": "overloaded",
        "retry": {"max_attempts": 2, "backoff": {"between": ["30s", "60s"]}},
    }

    story = world.call(
        policy(retry=BACKOFF, answers=[maintenance]), [Step(503, body={"error": {"code": "down"}})], method="POST"
    )

    assert (503, 2) == (story.status, story.requests)
    assert all(30 <= wait <= 60 for wait in story.slept)


def test_an_operation_and_a_category_can_differ(world: World) -> None:
    """The operation's setting comes before the category's, the rule's before both."""
    parts: dict[str, Any] = {
        "retry": {**BACKOFF, "categories": {"server_error": {"max_attempts": 2}}},
        "operations": {"patient": {"path": "/patient", "retry": {"max_attempts": 3}}},
    }

    by_category = world.call(policy(**parts), [Step(500)])
    by_operation = world.call(policy(**parts), [Step(500)], url="https://provider.test/patient")

    assert (2, 3) == (by_category.requests, by_operation.requests)


def test_an_error_inside_a_200_is_seen(world: World) -> None:
    """The body decides where the policy says so, and the answer that is handed on is the provider's."""
    hidden = {"rule": "hidden", "when": {"status": 200, "body": {"success": False}}, "category": "rate_limited"}

    story = world.call(
        policy(retry=BACKOFF, answers=[hidden]), [Step(200, body={"success": False}), Step(200, body={"success": True})]
    )

    assert (200, 2, [1.0]) == (story.status, story.requests, story.slept)


def test_the_answer_itself_may_forbid_the_retry(world: World) -> None:
    """What the answer states is believed over the table."""
    stated = policy(retry=BACKOFF, retryable_from=[{"body": "diagnostics.retryable"}, {"header": "x-should-retry"}])

    by_body = world.call(stated, [Step(503, body={"diagnostics": {"retryable": False}})])
    by_header = world.call(stated, [Step(503, {"x-should-retry": "false"})])
    allowed = world.call(stated, [Step(404, {"x-should-retry": "true"}), Step(200)])

    assert (1, 1, 2) == (by_body.requests, by_header.requests, allowed.requests)


def test_every_attempt_of_a_call_carries_the_same_idempotency_key(world: World) -> None:
    """One key per call, a new one for the next, and with it a POST may be repeated."""
    keyed = policy(retry=BACKOFF, idempotency={"header": "Idempotency-Key"})

    first = world.call(keyed, [Step(500), Step(503), Step(200)], method="POST")
    own = world.call(keyed, [Step(500), Step(200)], method="POST", headers={"Idempotency-Key": "mine"})
    named = world.call(keyed, [Step(500), Step(200)], method="POST", options={"idempotency_key": "given"})

    keys = [request.headers.get("Idempotency-Key") for request in first.seen]
    assert (3, 1) == (len(keys), len(set(keys)))
    assert keys[0]
    assert {"mine"} == {request.headers.get("Idempotency-Key") for request in own.seen}
    assert {"given"} == {request.headers.get("Idempotency-Key") for request in named.seen}


@pytest.mark.parametrize("key", ["order-4711", 'a"b', "a\\b", '"whole"', "\\"])
def test_a_key_in_quotes_is_a_string_that_says_the_key(key: str, world: World) -> None:
    """As a structured field has it, for whoever parses it by its rules; the own and the random ones alike."""
    keyed = policy(retry=BACKOFF, idempotency={"header": "Idempotency-Key", "quoted": True})

    named = world.call(keyed, [Step(500), Step(200)], method="POST", options={"idempotency_key": key})
    random = world.call(keyed, [Step(200)], method="POST")

    sent = {request.headers["Idempotency-Key"] for request in named.seen}
    assert [(key, {})] == [http_sf.parse(value.encode(), tltype="item") for value in sent]
    assert isinstance(http_sf.parse(random.seen[0].headers["Idempotency-Key"].encode(), tltype="item")[0], str)


def test_a_key_that_the_provider_does_not_know_is_refused(world: World) -> None:
    """It would promise a safety that is not there."""
    with pytest.raises(errors.ConfigurationError, match="documents no idempotency keys"):
        world.call(policy(), [Step(200)], method="POST", options={"idempotency_key": "k"})


def test_the_callers_own_retry_loop_is_not_multiplied(world: World) -> None:
    """An SDK that counts its retries in a header is left to its own loop; where it has not begun one, ours is the only one."""
    counts = ("1", "12345", "0, 0", "0")

    stories = [
        world.call(policy(retry=BACKOFF), [Step(503)], headers={"X-Stainless-Retry-Count": count}) for count in counts
    ]

    assert [(503, 1), (503, 1), (503, 1), (503, 4)] == [(story.status, story.requests) for story in stories]
    assert [f"the caller is retrying already (x-stainless-retry-count: {count[:4]})" for count in counts[:3]] == [
        story.trail.stopped for story in stories[:3]
    ]
    assert [None, None, None, "false"] == [story.headers.get("x-should-retry") for story in stories]


def test_a_call_can_say_how_often_it_is_sent(world: World) -> None:
    """`max_attempts` of a call comes before the policy's."""
    story = world.call(policy(retry=BACKOFF), [Step(503)], options={"max_attempts": 2})

    assert 2 == story.requests


def test_a_quota_is_not_waited_for(world: World) -> None:
    """The wait is known, and so long that waiting for it helps nobody."""
    monthly = {"rule": "monthly", "when": {"status": 402}, "category": "quota_exhausted", "until": "next_month_utc"}

    story = world.call(policy(retry=BACKOFF, answers=[monthly]), [Step(402)])

    verdict = story.trail.verdict
    assert verdict is not None
    assert (402, 1, "next_month_utc") == (story.status, story.requests, verdict.retry_after_source)
    assert verdict.retry_after is not None
    assert 0 < verdict.retry_after <= 31 * 86400
