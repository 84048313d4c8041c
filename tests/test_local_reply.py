"""What a refusal looks like in the words of a provider: status, headers and body, found in its own policy."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import Category, Policy, load_policy
from resilience._conditions import Answer
from resilience._delays import Dialect, read_delay
from resilience._headers import FoldedHeaders
from resilience._local_documents import put
from resilience._local_reply import _MOST_SHAPES
from resilience._local_shape import LocalReply
from resilience._local_waits import MOMENTS, whole_seconds, write_wait
from resilience._refusal import MEANINGS, Refusal
from resilience._shipped import shipped_names
from tests.worlds import policy

WALL = 1_767_225_600.25
# Every 429 of this operation means that the target blocked the search: the provider has no words for its own pace there.
MUTE = {("scrapio", "google-search", "limiter"), ("scrapio", "google-search", "concurrency")}


def reply_of(
    made: Policy,
    layer: Any = "limiter",
    *,
    operation: str | None = None,
    method: str = "GET",
    seconds: float | None = 11.2,
    reason: str = "our reason",
) -> LocalReply:
    return made.local_replies.reply(Refusal(layer, reason, seconds), operation=operation, method=method, wall=WALL)


def verdict_of(made: Policy, reply: LocalReply, operation: str | None = None, method: str = "GET") -> Any:
    """What the policy makes of the reply, for a call of the operation."""
    answer = Answer(reply.status, FoldedHeaders(reply.headers), method, operation)
    limit = made.classifier.look(method, reply.status, operation, reply.headers.get("content-type", ""))
    answer.body, answer.complete = reply.content[:limit], len(reply.content) <= limit
    return made.classifier.classify(answer, WALL)


def shipped(*names: str) -> Iterator[tuple[str, str | None, str]]:
    for name in names or shipped_names():
        for operation in (None, *load_policy(name).operations):
            for layer in MEANINGS:
                yield name, operation, layer


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("name", "operation", "layer"), list(shipped()))
def test_every_shipped_policy_understands_our_replies(
    name: str, operation: str | None, layer: Any, method: str
) -> None:
    """The category that we mean, our reason as its message, and the wait, rounded up and no other."""
    made = load_policy(name)

    verdict = verdict_of(made, reply_of(made, layer, operation=operation, method=method), operation, method)

    known = {category for group in MEANINGS[layer] for category in group}
    assert ((name, operation, layer) in MUTE) == (verdict.category not in known)
    assert ("our reason", 12.0) == (verdict.message, verdict.retry_after)


@pytest.mark.parametrize(
    ("name", "layer", "status", "body"),
    [
        ("55-tech", "limiter", 429, {"detail": "our reason"}),
        ("omniscrape", "limiter", 429, {"success": False, "error": "our reason"}),
        (
            "omniscrape",
            "concurrency",
            429,
            {"success": False, "error": "our reason", "code": "CONCURRENCY_LIMIT"},
        ),
        ("omniscrape", "breaker", 503, {"success": False, "error": "our reason"}),
        (
            "technologychecker",
            "limiter",
            429,
            {"success": False, "error": {"code": "RATE_LIMIT", "message": "our reason"}},
        ),
        (
            "scrapio",
            "breaker",
            503,
            {"error": {"code": "backend_unavailable", "message": "our reason"}},
        ),
    ],
)
def test_a_documented_answer_lends_its_shape(name: str, layer: str, status: int, body: object) -> None:
    """Status and body are the page's, the words are ours."""
    reply = reply_of(load_policy(name), layer)

    assert (status, body) == (reply.status, json.loads(reply.content))


def example(status: int, category: str, body: Any = None, **parts: Any) -> dict[str, Any]:
    answer = {"status": status, **({} if body is None else {"body": body}), **parts.pop("answer", {})}
    return {"answer": answer, "verdict": {"category": category, **parts.pop("verdict", {})}, **parts}


def test_the_answer_of_the_same_operation_goes_first() -> None:
    """Another operation's is better than none."""
    made = policy(
        operations={"jobs": {"path": "/jobs"}, "files": {"path": "/files"}},
        examples=[
            example(
                429, "rate_limited", {"error": {"code": "a", "message": "m"}, "of": "files"}, request={"path": "/files"}
            ),
            example(
                429, "rate_limited", {"error": {"code": "b", "message": "m"}, "of": "jobs"}, request={"path": "/jobs"}
            ),
        ],
    )

    found = {name: json.loads(reply_of(made, operation=name).content)["of"] for name in ("files", "jobs", None)}

    assert {"files": "files", "jobs": "jobs", None: "files"} == found


def test_an_answer_that_passes_goes_before_one_that_lasts_and_the_usual_status_before_another() -> None:
    """A refusal is over in a moment; applications look for 503."""
    lasting = example(503, "upstream_unavailable", {"error": {"message": "m"}, "n": 1}, verdict={"retryable": False})
    unusual = example(502, "upstream_unavailable", {"error": {"message": "m"}, "n": 2})
    usual = example(503, "upstream_unavailable", {"error": {"message": "m"}, "n": 3})

    found = [
        json.loads(reply_of(policy(examples=examples), "breaker").content)["n"]
        for examples in ([lasting, unusual, usual], [lasting, unusual], [lasting])
    ]

    assert [3, 2, 1] == found


@pytest.mark.parametrize(
    "examples",
    [
        [],
        [example(429, "rate_limited")],
        [example(429, "rate_limited", "a text")],
        [{"answer": {"error": "read_timeout"}, "verdict": {"category": "rate_limited"}}],
        [example(200, "rate_limited", {"error": {"message": "in a success"}})],
        [example(429, "rate_limited", {"error": {"message": "m"}, "long": "x" * 20_000})],
        [example(404, "rate_limited", {"error": {"message": "which it is not"}})],
    ],
    ids=str,
)
def test_without_a_fitting_answer_the_envelope_gives_the_shape(examples: list[Any]) -> None:
    """What has no JSON body, is no error, is very long, or does not mean what it says, lends nothing."""
    reply = reply_of(policy(examples=examples))

    assert (429, {"error": {"code": "rate_limited", "message": "our reason"}}) == (
        reply.status,
        json.loads(reply.content),
    )


def test_a_documented_code_goes_into_a_shape_that_is_built() -> None:
    """A rule tells the code of what it means, also where no example shows it, and the status if it is another."""
    rules = [
        {"rule": "slow", "when": {"status": [420, 403], "code": "SLOW_DOWN"}, "category": "rate_limited"},
        {"rule": "all", "when": {"status": 429}, "category": "quota_exhausted"},
    ]

    reply = reply_of(policy(answers=rules))

    assert (403, {"error": {"code": "SLOW_DOWN", "message": "our reason"}}) == (
        reply.status,
        json.loads(reply.content),
    )


@pytest.mark.parametrize(
    ("envelope", "body"),
    [
        ({"message": "detail"}, {"detail": "our reason"}),
        ({"code": "code", "message": ["text", "words"]}, {"code": "rate_limited", "text": "our reason"}),
        ({"message": "errors[0].message"}, {"errors": [{"message": "our reason"}]}),
        ({"message": "e.m", "when": {"ok": False}}, {"ok": False, "e": {"m": "our reason"}}),
        ({"message": "m", "when": {"kind": {"in": ["a"]}}}, None),
        ({"message": "m", "when": {"kind": {"eq": "a"}}}, {"kind": "a", "m": "our reason"}),
        ({"code_header": "X-Code"}, None),
        ({"code": "error", "message": "error.message"}, None),
    ],
    ids=str,
)
def test_an_envelope_is_filled_as_it_is_read(envelope: dict[str, Any], body: object) -> None:
    """Where it cannot be, the answer is a problem of RFC 9457, which the policy reads as well."""
    made = policy(envelopes=[envelope])

    reply = reply_of(made)

    assert "our reason" == verdict_of(made, reply).message
    if body is not None:
        assert ("application/json", body) == (reply.headers["content-type"], json.loads(reply.content))
    else:
        assert "application/problem+json" == reply.headers["content-type"]
        assert {"title": "rate limited", "status": 429, "detail": "our reason"} == json.loads(reply.content)


def test_what_the_rules_describe_goes_before_the_usual_status() -> None:
    """An SDK of the provider knows it; also where a policy that extends another has left its examples behind."""
    made = policy(
        answers=[
            {"rule": "quota", "when": {"status": 429, "code": "no_quota"}, "category": "credits_exhausted"},
            {"rule": "full", "when": {"status": 529}, "category": "overloaded"},
        ]
    )

    assert [429, 529] == [reply_of(made, layer).status for layer in ("credits", "breaker")]
    assert [402, 503] == [reply_of(policy(), layer).status for layer in ("credits", "breaker")]


def test_a_policy_without_envelopes_answers_with_a_problem() -> None:
    """RFC 9457."""
    reply = reply_of(policy(envelopes=[]), "breaker")

    assert (503, "application/problem+json") == (reply.status, reply.headers["content-type"])


def test_what_a_page_does_not_print_is_left_out() -> None:
    """An application would take the dots for a code, or for a number to quote to the provider."""
    body = {"id": "...", "error": {"code": "...", "message": "...", "details": ["...", {"at": "...", "more": 1}]}}
    made = policy(examples=[example(429, "rate_limited", body)])

    reply = reply_of(made)

    assert {"error": {"message": "our reason", "details": [{"more": 1}]}} == json.loads(reply.content)


@pytest.mark.parametrize("name", shipped_names())
def test_no_reply_of_a_shipped_policy_has_a_placeholder(name: str) -> None:
    """In whichever operation and layer."""
    made = load_policy(name)

    replies = [reply_of(made, layer, operation=operation) for _, operation, layer in shipped(name)]

    assert replies
    assert not any(b'"..."' in reply.content for reply in replies)


def test_an_example_without_words_gets_some() -> None:
    """Where its envelope would look for them."""
    made = policy(examples=[example(429, "rate_limited", {"error": {"code": "slow"}})])
    before = made.model_dump_json()

    assert {"error": {"code": "slow", "message": "our reason"}} == json.loads(reply_of(made).content)
    assert before == made.model_dump_json()


def test_a_success_that_means_a_throttle_lends_nothing() -> None:
    """Applications look at the status, and a refused call has not succeeded."""
    rules = [{"rule": "r", "when": {"status": 200, "body": {"slow": True}}, "category": "rate_limited"}]
    made = policy(answers=rules, examples=[example(200, "rate_limited", {"slow": True, "error": {"message": "m"}})])

    assert 429 == reply_of(made).status


def test_an_example_whose_words_have_no_place_is_passed_over() -> None:
    """A text stands where the envelope looks for an object."""
    made = policy(examples=[example(429, "rate_limited", {"error": "busy"})])

    assert {"error": {"code": "rate_limited", "message": "our reason"}} == json.loads(reply_of(made).content)


def test_an_example_that_has_no_place_for_words_is_better_than_another_meaning() -> None:
    """Then the status and the code speak."""
    made = policy(
        envelopes=[{"code": "error"}],
        answers=[{"rule": "r", "when": {"status": 429, "code": "busy"}, "category": "concurrency_limited"}],
        examples=[example(429, "concurrency_limited", {"error": "busy", "documented": True})],
    )

    reply = reply_of(made, "concurrency")

    assert {"error": "busy", "documented": True} == json.loads(reply.content)


def test_the_content_type_of_an_example_is_kept_and_no_other_header() -> None:
    """What it says of rates and requests belongs to another answer."""
    headers = {"Content-Type": "application/vnd.api+json", "X-RateLimit-Remaining": "0", "Set-Cookie": "a=b"}
    made = policy(examples=[example(429, "rate_limited", {"error": {"message": "m"}}, answer={"headers": headers})])

    reply = reply_of(made)

    assert {
        "content-type": "application/vnd.api+json",
        "content-length": str(len(reply.content)),
        "retry-after": "12",
        "x-should-retry": "false",
        "x-resilience-refused": "limiter",
    } == reply.headers


@pytest.mark.parametrize(("layer", "status"), [("limiter", 429), ("concurrency", 429), ("breaker", 503)])
def test_a_head_has_no_body(layer: str, status: int) -> None:
    """RFC 9110 section 9.3.2."""
    reply = reply_of(policy(), layer, method="HEAD")

    assert (status, b"", False) == (reply.status, reply.content, "content-type" in reply.headers)


def test_a_head_has_the_documented_status_all_the_same() -> None:
    """Only its body is left out."""
    made = policy(examples=[example(502, "upstream_unavailable", {"error": {"message": "m"}})])

    reply = reply_of(made, "breaker", method="HEAD")

    assert (502, b"") == (reply.status, reply.content)


def test_a_policy_that_means_something_else_by_every_such_answer_still_gets_one() -> None:
    """The status, the reason and our mark."""
    rules = [
        {"rule": "all", "when": {"status": "4xx"}, "category": "permission"},
        {"rule": "rest", "when": {"status": "5xx"}, "category": "permission"},
    ]

    found = [reply_of(policy(answers=rules), layer) for layer in MEANINGS]

    assert [429, 429, 402, 503] == [reply.status for reply in found]
    assert ["our reason"] * 4 == [json.loads(reply.content)["error"]["message"] for reply in found]
    assert b"" == reply_of(policy(answers=rules), method="HEAD").content


@pytest.mark.parametrize(
    ("hint", "name", "value"),
    [
        ({"header": "retry-after-ms"}, "retry-after-ms", "12000"),
        ({"header": "X-Wait", "as": "seconds"}, "x-wait", "12"),
        ({"header": "X-Wait", "as": "epoch"}, "x-wait", "1767225612"),
        ({"header": "X-Reset", "as": "epoch", "categories": ["rate_limited"]}, "x-reset", "1767225612"),
        ({"header": "RateLimit"}, "ratelimit", '"default";r=0;t=12'),
        ({"header": "X-Wait-ms", "categories": ["overloaded"]}, None, None),
    ],
    ids=str,
)
def test_the_wait_also_stands_where_the_policy_looks_first(
    hint: dict[str, Any], name: str | None, value: str | None
) -> None:
    """In its dialect; Retry-After is there in any case."""
    made = policy(retry={"wait": [hint]})

    reply = reply_of(made)

    assert "12" == reply.headers["retry-after"]
    if name is not None:
        assert value == reply.headers[name]
        assert 11.2 <= verdict_of(made, reply).retry_after < 12.5
    else:
        # It says nothing of answers of this category.
        assert hint["header"].lower() not in reply.headers


def test_the_conditions_of_a_wait_hint_are_met() -> None:
    """Else it would not be read."""
    hint = {"header": "X-Reset", "as": "seconds", "when_header": {"X-Remaining": "0"}}
    made = policy(retry={"wait": [hint]})

    assert ("0", 12.0) == (reply_of(made).headers["x-remaining"], verdict_of(made, reply_of(made)).retry_after)
    assert not {"x-remaining", "x-reset", "retry-after"} & reply_of(made, seconds=None).headers.keys()


@pytest.mark.parametrize(
    ("hint", "body", "wait"),
    [
        ({"body": "error.retry_after", "as": "seconds"}, {"error": {"message": "m", "retry_after": 3600}}, 12),
        ({"body": "error.ms", "as": "milliseconds"}, {"error": {"message": "m", "ms": 1}}, 12000),
        ({"body": "error.in", "as": "duration"}, {"error": {"message": "m"}}, "12s"),
        ({"body": "items[*].wait", "as": "seconds"}, {"error": {"message": "m"}, "items": [{"wait": 99}]}, 12),
    ],
    ids=str,
)
def test_a_wait_in_the_body_is_ours_too(hint: dict[str, Any], body: dict[str, Any], wait: object) -> None:
    """A documented answer's own wait would be obeyed in its place; where nobody knows one it is null."""
    made = policy(retry={"wait": [hint, {"header": "Retry-After"}]}, examples=[example(429, "rate_limited", body)])

    reply = reply_of(made)

    assert 12.0 == verdict_of(made, reply).retry_after
    assert json.dumps(wait) in reply.content.decode()
    unknown = reply_of(made, seconds=None).content.decode()
    assert ("null" in unknown, '"null"' in unknown) == (True, False)


def test_a_body_hint_that_has_no_place_is_passed_over() -> None:
    """The next hint is read then."""
    made = policy(
        retry={"wait": [{"body": "error.message.wait", "as": "seconds"}, {"header": "Wait-ms"}]},
    )

    assert ("12000", 12.0) == (reply_of(made).headers["wait-ms"], verdict_of(made, reply_of(made)).retry_after)


def test_a_wait_that_the_policy_reads_from_the_calendar_does_not_cost_the_shape() -> None:
    """No answer could say it otherwise; status, words and Retry-After are ours all the same."""
    rules = [{"rule": "r", "when": {"status": 429}, "category": "rate_limited", "until": "next_month_utc"}]
    made = policy(answers=rules, retry={"wait": []})

    reply = reply_of(made)

    assert ({"code": "rate_limited", "message": "our reason"}, "12") == (
        json.loads(reply.content)["error"],
        reply.headers["retry-after"],
    )


def test_a_wait_hint_that_changes_what_the_answer_means_is_left_out() -> None:
    """The category comes first."""
    rules = [{"rule": "r", "when": {"status": 429, "body": {"wait": {"present": True}}}, "category": "quota_exhausted"}]
    made = policy(answers=rules, retry={"wait": [{"body": "wait", "as": "seconds"}]})

    assert {"error": {"code": "rate_limited", "message": "our reason"}} == json.loads(reply_of(made).content)


@given(
    reason=st.text(max_size=300), seconds=st.none() | st.floats(0, 1e9) | st.sampled_from([math.inf, math.nan, -1.0])
)
def test_no_reason_and_no_wait_breaks_a_reply(reason: str, seconds: float | None) -> None:
    """JSON and headers stay what they are, whatever stands in a key or a time."""
    for layer in MEANINGS:
        reply = reply_of(MADE, layer, reason=reason, seconds=seconds)

        document = json.loads(reply.content)
        assert reason == document["error"]["message"]
        assert str(len(reply.content)) == reply.headers["content-length"]
        assert all(value.isascii() and value.isprintable() for value in reply.headers.values())
        assert (seconds is None) == ("retry-after" not in reply.headers)


MADE = policy(
    retry={"wait": [{"header": "X-Reset", "as": "rfc3339"}, {"body": "error.wait", "as": "seconds"}]},
    examples=[example(429, "rate_limited", {"error": {"message": "m", "wait": 3}})],
)


@given(
    seconds=st.floats(0, 366 * 86_400),
    dialect=st.sampled_from(get_args(Dialect)),
    wall=st.floats(1e9, 4e9),
)
def test_a_wait_that_was_written_is_read_as_long(seconds: float, dialect: Any, wall: float) -> None:
    """Never shorter, and at most a second longer (points in time are whole seconds too)."""
    text = write_wait(seconds, dialect, wall=wall)

    found = read_delay(text, dialect, now=wall)

    assert found is not None
    assert seconds - 1e-6 <= found <= seconds + 1 + 1e-6


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("retry_after", "12"),
        ("seconds", "12"),
        ("integer", "12"),
        ("auto", "12"),
        ("milliseconds", "12000"),
        ("epoch", "1767225612"),
        ("epoch_integer", "1767225612"),
        ("epoch_milliseconds", "1767225612000"),
        ("rfc3339", "2026-01-01T00:00:12Z"),
        ("http_date", "Thu, 01 Jan 2026 00:00:12 GMT"),
        ("duration", "12s"),
        ("ratelimit", '"default";r=0;t=12'),
    ],
)
def test_each_dialect_is_written_as_providers_write_it(dialect: Any, text: str) -> None:
    """All of `retry.wait`."""
    assert text == write_wait(11.2, dialect, wall=WALL)


@given(
    seconds=st.floats(0, 366 * 86_400),
    dialect=st.sampled_from(get_args(Dialect)),
    wall=st.floats(1e9, 4e9),
    later=st.floats(1, 1e9),
)
def test_only_a_point_in_time_moves_on_without_the_wait(
    seconds: float, dialect: Any, wall: float, later: float
) -> None:
    """Whoever has written the others once may write them again for as long as the whole seconds are the same."""
    texts = {write_wait(each, dialect, wall=wall) for each in (seconds, float(whole_seconds(seconds)))}
    texts.add(write_wait(seconds, dialect, wall=wall + later))

    assert (dialect in MOMENTS) == (len(texts) > 1)


@pytest.mark.parametrize(
    ("seconds", "whole"),
    [
        (0.0, 0),
        (0.001, 1),
        (1.0, 1),
        (1.2, 2),
        (-3.0, 0),
        (math.inf, 366 * 86_400),
        (math.nan, 0),
        (1e300, 366 * 86_400),
    ],
)
def test_seconds_are_rounded_up(seconds: float, whole: int) -> None:
    """A shorter wait than was meant would only be refused again."""
    assert whole == whole_seconds(seconds)
    assert str(whole) == write_wait(seconds, "seconds", wall=WALL)
    assert write_wait(seconds, "http_date", wall=WALL).endswith(" GMT")


@pytest.mark.parametrize(
    ("document", "path", "found"),
    [
        (None, "a.b", {"a": {"b": 1}}),
        ({"a": None}, "a.b", {"a": {"b": 1}}),
        ({"a": "text"}, "a.b", None),
        ({"a": {"b": 2}}, "a.b", {"a": {"b": 1}}),
        (None, "a[0].b", {"a": [{"b": 1}]}),
        (None, "a[-1]", {"a": [1]}),
        (None, "a[1]", None),
        ({"a": [1, 2]}, "a[1].b", None),
        ({"a": [{}, {}]}, "a[*].b", {"a": [{"b": 1}, {}]}),
        ({"a": {}}, "a[0]", None),
        ([], "a", None),
    ],
    ids=str,
)
def test_a_value_goes_where_a_path_leads(document: Any, path: str, found: object) -> None:
    """What is missing on the way is added; what is something else stays."""
    assert found == (None if (changed := put(document, path, 1)) is None else changed[0])


def test_shapes_are_made_once_and_bounded() -> None:
    """Operations are the policy's, methods the application's."""
    made = policy()
    replies = made.local_replies

    for number in range(_MOST_SHAPES + 10):
        reply_of(made, method=f"M{number}")
    shape = replies._shapes["limiter", None, f"M{number}"]
    reply_of(made, method=f"M{number}")

    assert len(replies._shapes) <= _MOST_SHAPES
    assert shape is replies._shapes["limiter", None, f"M{number}"]
    assert replies is made.local_replies


def test_a_reply_is_made_anew_when_what_it_says_changes() -> None:
    """The reason, the whole seconds, the point in time; what is left of a second makes no other."""
    made = policy(retry={"wait": [{"header": "X-Again-At", "as": "epoch"}]})

    def said(reason: str, seconds: float | None, wall: float) -> LocalReply:
        refusal = Refusal("limiter", reason, seconds)
        return made.local_replies.reply(refusal, operation=None, method="GET", wall=wall)

    first, same = said("a", 4.5, WALL), said("a", 4.25, WALL)
    replies = [first, said("b", 4.5, WALL), said("b", 5.5, WALL), said("b", 5.5, WALL + 1), said("b", None, WALL)]

    assert same is first
    told = [(each.headers.get("retry-after"), each.headers.get("x-again-at")) for each in replies]
    assert [("5", "1767225605"), ("5", "1767225605"), ("6", "1767225606"), ("6", "1767225607"), (None, None)] == told
    assert ["a", "b", "b", "b", "b"] == [json.loads(each.content)["error"]["message"] for each in replies]


def test_a_wait_in_seconds_is_written_once_while_it_is_the_same() -> None:
    """Whatever the time is by then; where nobody knows it, too."""
    made = policy(retry={"wait": [{"header": "X-Again-In", "as": "milliseconds"}]})

    def said(seconds: float | None, wall: float = WALL) -> LocalReply:
        return made.local_replies.reply(Refusal("limiter", "a", seconds), operation=None, method="GET", wall=wall)

    first = said(4.5)
    assert first is said(4.25, WALL + 9)
    replies = [first, said(5.5), said(0.0), said(None)]

    assert replies[-1] is said(None)
    told = [(each.headers.get("retry-after"), each.headers.get("x-again-in")) for each in replies]
    assert [("5", "5000"), ("6", "6000"), ("0", "0"), (None, None)] == told


def test_a_strangers_policy_does_not_cost_much() -> None:
    """Of thousands of examples that all mean something else, a bounded number is tried."""
    bodies = [example(429, "rate_limited", {"error": {"message": "m", "n": number}}) for number in range(3000)]
    rules = [{"rule": "other", "when": {"status": 429}, "category": "quota_exhausted"}]
    made = policy(examples=bodies, answers=rules)
    tried: list[object] = []
    classify = made.classifier.classify
    made.classifier.classify = lambda *parts: (tried.append(parts), classify(*parts))[1]  # type: ignore[method-assign]

    reply = reply_of(made)

    assert 429 == reply.status
    assert len(tried) <= 400 * 3


def test_a_category_of_a_reply_is_known() -> None:
    """The table names categories of pace, of money and of providers that are down, nothing else."""
    assert {
        Category.CREDITS_EXHAUSTED,
        Category.QUOTA_EXHAUSTED,
        Category.RATE_LIMITED,
        Category.CONCURRENCY_LIMITED,
        Category.UPSTREAM_UNAVAILABLE,
        Category.OVERLOADED,
    } == {category for groups in MEANINGS.values() for group in groups for category in group}
