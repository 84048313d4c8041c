"""What an answer means: the first rule that fits, else the status alone, and never an exception."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience import Category, Verdict
from resilience._categories import category_of_status
from resilience._library import ErrorKind
from tests.worlds import policy


def rule(name: str, category: str, when: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"rule": name, "category": category, "when": when, **keys}


def test_the_first_rule_that_fits_decides() -> None:
    """And where none fits, the status does."""
    ordered = policy(
        answers=[
            rule("narrow", "auth", {"status": 429, "code": "key"}),
            rule("wide", "overloaded", {"status": 429}),
            rule("never", "timeout", {"status": 429}),
        ]
    )

    key = ordered.classify(status=429, body={"error": {"code": "key"}})
    other = ordered.classify(status=429, body={"error": {"code": "other"}})
    status = ordered.classify(status=503)

    assert [("narrow", "auth"), ("wide", "overloaded"), (None, "upstream_unavailable")] == [
        (verdict.rule, verdict.category) for verdict in (key, other, status)
    ]


def test_a_rule_without_a_status_speaks_of_all_of_them() -> None:
    """Also of those that say success."""
    everywhere = policy(answers=[rule("hidden", "server_error", {"body": {"ok": False}})])

    assert ["hidden", "hidden", None] == [
        everywhere.classify(status=status, body={"ok": ok}).rule
        for status, ok in ((200, False), (404, False), (200, True))
    ]


def test_a_verdict_says_all_that_is_known() -> None:
    """Code and message, the rule and its page, the operation, the target's status and the wait."""
    full = policy(
        docs={"errors": {"url": "https://docs.test/errors", "checked": "2026-01-01"}},
        operations={"fetch": {"path": "/fetch", "method": "POST"}},
        answers=[
            rule(
                "target", "target_error", {"status": 200, "body": {"ok": False}}, doc="errors", target_status="t.status"
            )
        ],
    )
    body = {"ok": False, "t": {"status": 503}, "error": {"code": 7, "message": "m"}}

    verdict = full.classify(
        method="post", url="https://provider.test/fetch?x=1", status=200, headers={"Retry-After": "9"}, body=body
    )

    assert (
        Verdict(
            Category.TARGET_ERROR,
            retryable=False,
            code="7",
            message="m",
            retry_after=9.0,
            retry_after_source="Retry-After",
            rule="target",
            doc="https://docs.test/errors",
            operation="fetch",
            target_status=503,
        )
        == verdict
    )


def test_a_rule_may_spell_the_code_itself() -> None:
    """Where the answer carries none, or another spelling; a page that the file does not have is none."""
    spelled = policy(answers=[rule("x", "auth", {"status": 401}, code="KEY", doc="missing")])

    verdict = spelled.classify(status=401, body={"error": {"code": "key"}})

    assert ("KEY", None) == (verdict.code, verdict.doc)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (404, 404),
        (100, 100),
        (999, 999),
        (99, None),
        (1000, None),
        (True, None),
        ("404", None),
        (404.0, None),
        (None, None),
    ],
)
def test_the_targets_status_is_a_status(value: object, expected: int | None) -> None:
    """Anything else is not shown as one."""
    target = policy(answers=[rule("t", "target_error", {"status": 502}, target_status="s")])

    assert expected == target.classify(status=502, body={"s": value}).target_status


@pytest.mark.parametrize(
    ("category", "stated", "expected"), [("auth", None, False), ("auth", True, True), ("overloaded", False, False)]
)
def test_a_rule_may_say_whether_another_attempt_is_worth_it(category: str, *, stated: bool, expected: bool) -> None:
    """Left out, the category decides."""
    said = policy(answers=[rule("x", category, {"status": 418}, **({} if stated is None else {"retryable": stated}))])

    assert expected == said.classify(status=418).retryable


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"x-retry": "false"}, {"retry": True}, False),
        ({"x-retry": " TRUE "}, {"retry": False}, True),
        ({"x-retry": "maybe"}, {"retry": False}, False),
        ({}, {"retry": "true"}, True),
        ({}, {"retry": 1}, True),
        ({}, {"retry": False}, False),
        ({}, {}, True),
    ],
    ids=str,
)
def test_the_answers_own_statement_is_believed(
    headers: dict[str, str], body: dict[str, Any], *, expected: bool
) -> None:
    """The first place that says true or false; the category only where none does."""
    stated = policy(retryable_from=[{"header": "X-Retry"}, {"body": "retry"}])

    assert expected == stated.classify(status=503, headers=headers, body=body).retryable


def test_a_success_is_never_sent_again() -> None:
    """Whatever it says of itself; and a success without a rule is one and the same verdict."""
    stated = policy(
        retryable_from=[{"header": "X-Retry"}], answers=[rule("fine", "success", {"status": 200, "code": "ok"})]
    )

    known = stated.classify(status=200, headers={"X-Retry": "true"}, body={"error": {"code": "ok"}})
    plain = stated.classify(status=204, headers={"X-Retry": "true"})

    assert ("fine", "ok", False) == (known.rule, known.code, known.retryable)
    assert not plain.retryable
    assert plain is stated.classify(status=204)


def test_the_operation_narrows_the_rules() -> None:
    """For answers and for errors."""
    narrowed = policy(
        operations={"a": {"path": "/a"}, "b": {"path": "/b"}},
        answers=[
            rule("only-a", "not_ready", {"status": 404, "operation": "a"}),
            rule("silent-a", "overloaded", {"error": "read_timeout", "operation": "a"}),
        ],
    )

    answers = [narrowed.classify(status=404, url=url).rule for url in ("/a", "/b", "/c")]
    silence = [narrowed.classify(error="read_timeout", url=url).rule for url in ("/a", "/b", "/c")]

    assert (["only-a", None, None], ["silent-a", None, None]) == (answers, silence)


@pytest.mark.parametrize(
    ("kind", "category", "retryable"),
    [
        ("connect_error", "network_error", True),
        ("connect_timeout", "network_error", True),
        ("pool_timeout", "network_error", True),
        ("proxy_error", "network_error", True),
        ("tls_error", "network_error", True),
        ("certificate_error", "network_error", False),
        ("read_error", "network_error", True),
        ("read_timeout", "timeout", True),
        ("write_error", "network_error", True),
        ("write_timeout", "timeout", True),
        ("protocol_error", "network_error", True),
        ("request_error", "invalid_request", False),
        ("attempt_timeout", "timeout", True),
        ("other_error", "network_error", False),
    ],
)
def test_an_error_without_a_rule_is_known_by_its_kind(kind: str, category: str, *, retryable: bool) -> None:
    """A wrong certificate stays wrong, and a fault in a program stays one."""
    verdict = policy().classify(error=kind)

    assert Verdict(Category(category), retryable=retryable, error=kind) == verdict


def test_every_kind_of_error_has_a_meaning() -> None:
    """The table above is whole."""
    assert all(isinstance(policy().classify(error=kind), Verdict) for kind in ErrorKind)


def test_an_error_may_be_given_as_it_was_raised() -> None:
    """Or by its kind."""
    assert policy().classify(error="read_timeout") == policy().classify(error=httpx.ReadTimeout("x"))
    assert "other_error" == policy().classify(error=ValueError("x")).error


@pytest.mark.parametrize(
    "given_",
    [
        {},
        {"status": 200, "error": "read_timeout"},
        {"error": "timeout"},
        {"error": ""},
        {"status": 99},
        {"status": 1000},
        {"status": -1},
        {"status": "200"},
    ],
    ids=str,
)
def test_what_is_no_answer_is_refused(given_: dict[str, Any]) -> None:
    """Neither or both of status and error, and what does not exist of either."""
    with pytest.raises(ValueError, match="status|Kind"):
        policy().classify(**given_)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"status": 402, "until": "next_month_utc"}, "next_month_utc"),
        ({"status": 402, "headers": {"Retry-After": "7"}, "until": "next_day_utc"}, "Retry-After"),
        ({"status": 402}, None),
    ],
    ids=str,
)
def test_a_rule_knows_when_a_quota_returns(parts: dict[str, Any], expected: str | None) -> None:
    """Where the answer itself does not say."""
    until = {"until": parts.pop("until")} if "until" in parts else {}
    quota = policy(answers=[rule("quota", "quota_exhausted", {"status": 402}, **until)])

    verdict = quota.classify(**parts)

    assert expected == verdict.retry_after_source
    assert (expected is None) == (verdict.retry_after is None)


def test_an_error_asks_for_no_wait() -> None:
    """There was no answer that could have."""
    silent = policy(answers=[rule("silent", "overloaded", {"error": "read_timeout"}, until="next_hour_utc")])

    assert silent.classify(error="read_timeout").retry_after is None


def test_settings_come_from_the_policy_the_category_the_operation_and_the_rule() -> None:
    """The later comes before the earlier, key by key; the same answer gets the same settings."""
    layered = policy(
        retry={"max_attempts": 2, "longest_wait": "1s", "spread": 0, "too_long": "back_off",
               "categories": {"overloaded": {"max_attempts": 3, "longest_wait": "2s", "spread": 0.5}}},
        operations={"a": {"path": "/a", "retry": {"max_attempts": 4, "longest_wait": "3s"}}, "b": {"path": "/b"}},
        answers=[rule("r", "overloaded", {"status": 503}, retry={"max_attempts": 5})],
    )  # fmt: skip
    classifier = layered.classifier

    def settings_for(**parts: Any) -> tuple[Any, ...]:
        retry = classifier.retry_for(layered.classify(**parts))
        return retry.max_attempts, retry.longest_wait, retry.spread, retry.too_long

    assert (5, 3.0, 0.5, "back_off") == settings_for(status=503, url="/a")
    assert (5, 2.0, 0.5, "back_off") == settings_for(status=503, url="/b")
    assert (3, 2.0, 0.5, "back_off") == settings_for(status=529)
    assert (4, 3.0, 0, "back_off") == settings_for(status=500, url="/a")
    assert (2, 1.0, 0, "back_off") == settings_for(status=500)
    assert classifier.retry_for(layered.classify(status=503)) is classifier.retry_for(layered.classify(status=503))


HIDDEN = rule("hidden", "server_error", {"status": 200, "body": {"ok": False}})


@pytest.mark.parametrize(
    ("parts", "method", "status", "content_type", "expected"),
    [
        ({}, "GET", 500, "application/json", True),
        ({}, "GET", 500, "", True),
        ({}, "GET", 500, "image/png", False),
        ({}, "GET", 200, "application/json", False),
        ({}, "HEAD", 500, "application/json", False),
        ({"answers": [HIDDEN]}, "GET", 200, "application/json; charset=utf-8", True),
        ({"answers": [HIDDEN]}, "GET", 200, "text/event-stream", False),
        ({"answers": [HIDDEN]}, "GET", 201, "application/json", False),
        (
            {"answers": [rule("x", "auth", {"status": 200, "headers": {"X": "1"}})]},
            "GET",
            200,
            "application/json",
            False,
        ),
        ({"answers": [rule("x", "auth", {"text": "x"})]}, "GET", 204, "application/json", False),
        ({"answers": [rule("x", "auth", {"text": "x"})]}, "GET", 205, "application/json", False),
        ({"answers": [rule("x", "auth", {"text": "x"})]}, "GET", 304, "application/json", False),
        ({"answers": [rule("x", "auth", {"text": "x"})]}, "GET", 100, "application/json", False),
        ({"inspect": {"statuses": [500]}}, "GET", 500, "application/json", True),
        ({"inspect": {"statuses": [500]}}, "GET", 501, "application/json", False),
        ({"inspect": {"max_bytes": "0B"}}, "GET", 500, "application/json", False),
    ],
    ids=str,
)
def test_a_body_is_looked_at_where_something_asks(
    parts: dict[str, Any], method: str, status: int, content_type: str, *, expected: bool
) -> None:
    """Errors always, successes only for a rule; and never what has no body or no end."""
    assert expected == bool(policy(**parts).classifier.look(method, status, None, content_type))


def test_only_the_start_of_a_body_is_looked_at() -> None:
    """What stands behind the bound is not seen, and nothing is said to be absent from what was cut."""
    short = policy(
        inspect={"max_bytes": "40B"},
        answers=[rule("late", "auth", {"body": {"late": 1}}), rule("absent", "conflict", {"absent": "late"}),
                 rule("early", "not_found", {"body": {"early": 1}})],
    )  # fmt: skip
    long = json.dumps({"early": 1, "filler": "x" * 50, "late": 1})

    assert "early" == short.classify(status=500, headers={"Content-Type": "application/json"}, body=long).rule
    assert "late" == short.classify(status=500, body={"late": 1}).rule
    assert "absent" == short.classify(status=500, body={}).rule


@pytest.mark.parametrize(
    ("status", "operation", "plain"), [(200, None, True), (200, "a", False), (204, None, True), (429, None, False)]
)
def test_most_answers_go_the_short_way(status: int, operation: str | None, *, plain: bool) -> None:
    """A success of which no rule speaks needs no look at its headers."""
    quick = policy(operations={"a": {"path": "/a"}}, answers=[rule("x", "auth", {"status": 200, "operation": "a"})])

    found = quick.classifier.plain_success(status, operation)

    assert plain == (found is not None)
    assert not plain or found == Verdict(Category.SUCCESS, retryable=False, operation=operation)


@pytest.mark.parametrize(
    "body", [b'{"ok": false}', bytearray(b'{"ok": false}'), '{"ok": false}', {"ok": False}], ids=str
)
def test_a_body_may_be_given_in_several_forms(body: object) -> None:
    """Bytes and text need the answer's own type; plain data stands for JSON."""
    headers = {} if isinstance(body, dict) else {"content-TYPE": "application/json"}

    assert "hidden" == policy(answers=[HIDDEN]).classify(status=200, headers=headers, body=body).rule


def test_plain_data_has_the_type_that_the_headers_give() -> None:
    """The answer's own type is believed."""
    assert (
        policy(answers=[HIDDEN]).classify(status=200, headers={"Content-Type": "image/png"}, body={"ok": False}).rule
        is None
    )


NAMES = ["a", "b", "c", "code", "message", "wait", "retry", "list", "id", "status"]
EVERYTHING = policy(
    docs={"page": {"url": "https://docs.test", "checked": "2026-01-01"}},
    operations={"o": {"path": "/o/{x...}", "retry": {"wait": [{"body": "wait.a", "as": "duration"}]}}},
    envelopes=[
        {"code": ["code", "a.code"], "message": "message", "when": {"status": {"present": True}}},
        {"code_header": "X-Code", "message_header": "X-Message", "message": ["b", "list[0].message"]},
    ],
    answers=[
        rule("numbers", "server_error", {"body": {"a": {"gt": 1, "lte": 9.5}, "b.c": {"ne": 3}}}, target_status="status"),
        rule("contains", "auth", {"status": "2xx", "body": {"a": {"contains": ["x", "y"]}}}, until="next_hour_utc"),
        rule("starts", "permission", {"status": [200, 404], "body": {"message": {"starts_with": "q"}}}),
        rule("in", "conflict", {"body": {"code": {"in": [1, "1", None, True]}}, "method": "POST"}),
        rule("items", "target_error", {"body": {"list[*].id": [1, "a"], "list[-1]": {"present": True}}},
             target_status="list[0].status", doc="page"),
        rule("absent", "not_ready", {"status": [200, 500], "absent": ["a", "list[-1]", "list[*].id"]}),
        rule("text", "overloaded", {"text": ["boom", "\u00fc"], "content_type": ["text/*", "*+json"]}, retryable=False),
        rule("code", "rate_limited", {"code": ["x", 7]}, retry={"wait": [{"body": "wait", "as": "auto"}]}, code="X"),
        rule("message", "unprocessable", {"message": "no", "headers": {"X-A": {"present": False}}}),
        rule("headers", "not_found", {"headers": {"X-A": {"gt": 1}, "X-B": ["1", "2"]}}),
        rule("operation", "job_failed", {"operation": "o", "status": "5xx"}),
        rule("error", "timeout", {"error": ["read_timeout"]}),
    ],
    retryable_from=[{"body": "retry"}, {"header": "x-should-retry"}],
    retry={"wait": [{"header": "Retry-After"}, {"body": "wait.b", "as": "epoch"}, {"body": "list[*].id", "as": "rfc3339"},
                    {"header": "X-Reset", "as": "epoch_milliseconds", "when_header": {"X-A": "0"}}],
           "categories": {"auth": {"wait": [{"body": "id", "as": "http_date"}]}}},
)  # fmt: skip
# The policy's own field names, with whatever values.
DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([1, "x", "boom", "no", "q", 10**30, 1e308, "9" * 400, "1m30s"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)
CONTENT_TYPES = st.text(max_size=30) | st.sampled_from(
    ["application/json", "text/html", "text/plain; charset=utf-16", "application/x+json;charset=koi8-r",
     "application/problem+json", "text/event-stream", "application/json; charset=punycode"]
)  # fmt: skip
BODIES = (
    st.binary(max_size=200)
    | DOCUMENTS.map(lambda document: json.dumps(document).encode())
    | DOCUMENTS.map(lambda document: json.dumps(document).encode()[:-1])
    | DOCUMENTS.map(lambda document: json.dumps(document, ensure_ascii=False).encode("utf-16", "surrogatepass"))
    | st.sampled_from([b"[" * 5000, b'{"a":' * 5000, b'{"a":1e999}', b'{"a":NaN}', b'"\\ud800"', b"\xff\xfe", b"\x00"])
)


@settings(max_examples=600)
@given(
    status=st.integers(100, 999),
    headers=st.dictionaries(
        st.sampled_from(
            ["Retry-After", "X-A", "X-B", "X-Code", "X-Message", "X-Reset", "x-should-retry", "Date", "Age"]
        )
        | st.text(max_size=5),
        st.text(max_size=20) | st.sampled_from(["0", "1", "true", "Fri, 29 Sep 2023 16:26:37 GMT"]),
    ),
    content_type=CONTENT_TYPES,
    body=BODIES,
    method=st.sampled_from(["GET", "POST", "HEAD"]) | st.text(max_size=5),
    url=st.sampled_from(["/o/1", "https://provider.test/o/1/2?x#y", "", "//[", "http://["]) | st.text(max_size=20),
)
def test_no_answer_breaks_the_classifier(
    *, status: int, headers: dict[str, str], content_type: str, body: bytes, method: str, url: str
) -> None:
    """Whatever comes, there is exactly one verdict, and everything in it is what it should be."""
    verdict = EVERYTHING.classify(
        method=method, url=url, status=status, headers={**headers, "Content-Type": content_type}, body=body
    )

    rules = {each.rule: each for each in EVERYTHING.answers}
    assert (rules[verdict.rule].category if verdict.rule else category_of_status(status)) is verdict.category
    assert verdict.retry_after is None or (math.isfinite(verdict.retry_after) and verdict.retry_after >= 0)
    assert (verdict.retry_after is None) == (verdict.retry_after_source is None)
    assert verdict.target_status is None or 100 <= verdict.target_status <= 999
    assert verdict.code is None or 0 < len(verdict.code) <= 200
    assert verdict.message is None or 0 < len(verdict.message) <= 2000
    assert verdict.error is None
    assert verdict.category is not Category.SUCCESS or not verdict.retryable
    assert EVERYTHING.classifier.retry_for(verdict).max_attempts == 3


@settings(max_examples=300)
@given(document=DOCUMENTS, status=st.sampled_from([200, 404, 500]))
def test_plain_data_gets_the_verdict_of_its_json(document: Any, status: int) -> None:
    """However it is given."""
    as_json = json.dumps(document)
    headers = {"Content-Type": "application/json"}

    found = EVERYTHING.classify(status=status, body=as_json, headers=headers)

    assert found.rule == EVERYTHING.classify(status=status, body=as_json.encode(), headers=headers).rule
    if not isinstance(document, str):
        assert found.rule == EVERYTHING.classify(status=status, body=document).rule


def test_a_hint_counts_for_some_categories() -> None:
    """A reset that stands on every answer is no wait for a server error; each category has its own of one policy."""
    reset = {"header": "X-Reset", "as": "seconds"}
    paced = policy(retry={"wait": [{**reset, "categories": ["conflict"]}, reset | {"header": "X-RateLimit-Reset"}]})
    headers = {"X-Reset": "7", "X-RateLimit-Reset": "9"}

    waits = [paced.classify(status=status, headers=headers).retry_after for status in (409, 429, 500, 409)]

    assert [7, 9, None, 7] == waits
