"""What an answer says of the cost of its call."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience import Policy
from resilience._categories import Category
from resilience._charges import CostReader, Said, reader_of
from resilience._conditions import Answer
from resilience._headers import FoldedHeaders
from resilience._outcome import Verdict
from tests.worlds import policy

OPERATIONS = {
    "search": {"path": "/search"},
    "batch": {"path": "/batch"},
    "job": {"path": ["/jobs/{id}", "/{tenant}/jobs/{id}"]},
    "status": {"path": "/status"},
}
JSON = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream; charset=utf-8"}
SUCCESS = Verdict(Category.SUCCESS, retryable=False)
FAILURE = Verdict(Category.SERVER_ERROR, retryable=True)


def priced(**parts: Any) -> Policy:
    """A policy with these `credits`."""
    others = {name: parts.pop(name) for name in ("inspect", "envelopes") if name in parts}
    return policy(operations=OPERATIONS, credits=parts, **others)


def reader(spec: Policy, operation: str | None = "search") -> CostReader:
    """How a policy reads the answers of an operation."""
    found = reader_of(spec, operation)
    assert found is not None
    return found


def said(
    spec: Policy,
    body: Any = None,
    *,
    operation: str | None = "search",
    status: int = 200,
    headers: dict[str, str] | None = None,
    verdict: Verdict = SUCCESS,
    path: str = "",
    complete: bool = True,
    decoded: bool = False,
) -> Said:
    """What an answer says by a policy."""
    answer = Answer(status, FoldedHeaders(JSON if headers is None else headers), "GET", operation)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = reader(spec, operation)
    found.fill(answer, data, complete=complete, decoded=decoded)
    return found.read(answer, verdict, path)


def test_a_policy_without_credits_reads_nothing() -> None:
    """There is nothing to be paid."""
    assert reader_of(policy(operations=OPERATIONS), "search") is None


def test_a_reader_is_made_once_for_each_operation() -> None:
    """Also for requests that belong to none."""
    spec = priced(charged="credits")

    assert reader(spec) is reader(spec)
    assert reader(spec, None) is reader(spec, None)
    assert reader(spec) is not reader(spec, "batch")


def test_an_answer_tells_what_its_call_has_cost() -> None:
    """In its body or a header, whether it is a success or not."""
    spec = priced(charged=["usage.credits", {"header": "X-Cost"}])

    assert Said(Decimal(3)) == said(spec, {"usage": {"credits": 3}})
    assert Said(Decimal("0.5")) == said(spec, {}, headers={"X-Cost": "0.5"}, verdict=FAILURE)
    assert Said(Decimal(0)) == said(spec, {"usage": {"credits": 0}})


@pytest.mark.parametrize("category", Category)
def test_what_does_not_tell_it_costs_what_its_category_does(category: Category) -> None:
    """Where the provider has done its work the worst case, else nothing."""
    worked = category in {"success", "target_blocked", "target_error", "job_failed"}

    found = said(priced(charged="credits"), {"credits": "?"}, verdict=Verdict(category, retryable=False))

    assert Said(None if worked else Decimal(0)) == found


@pytest.mark.parametrize("category", Category)
def test_a_policy_may_say_what_failures_cost(category: Category) -> None:
    """It says nothing of successes, nor of failures that tell it themselves."""
    verdict = Verdict(category, retryable=False)
    free, charged = priced(charged="credits", failed_calls="free"), priced(charged="credits", failed_calls="charged")

    assert [Decimal(0) if category != "success" else None, None] == [
        said(spec, {}, verdict=verdict).charged for spec in (free, charged)
    ]
    assert Decimal(2) == said(charged, {"credits": 2}, verdict=verdict).charged


def test_what_an_answer_tells_goes_before_what_the_page_says_of_it() -> None:
    """Where it tells nothing the first entry that fits decides, by status, headers, body, code, message, text, operation and method."""
    spec = priced(
        charged="credits",
        failed_calls="charged",
        envelopes={"code": "error.code", "message": "error.message"},
        charges=[
            {"when": {"body": {"cached": True}}, "cost": 0},
            {"when": {"status": 404, "code": "NO_PAGE"}, "cost": 1},
            {"when": {"status": 404, "message": "gone"}, "cost": 2},
            {"when": {"status": "5xx"}, "cost": 0},
            {"when": {"headers": {"X-Cache": "HIT"}}, "cost": "0.1"},
            {"when": {"text": "partial"}, "cost": "worst"},
            {"when": {"error": "read_timeout"}, "cost": 50},
            {"when": {"operation": "batch", "method": "GET", "absent": "items"}, "cost": 7},
        ],
    )
    refused = {"verdict": FAILURE}

    assert Decimal(5) == said(spec, {"cached": True, "credits": 5}).charged
    assert Decimal(0) == said(spec, {"cached": True}).charged
    assert Decimal(1) == said(spec, {"error": {"code": "NO_PAGE"}}, status=404, **refused).charged
    assert Decimal(2) == said(spec, {"error": {"message": "gone"}}, status=404, **refused).charged
    assert said(spec, {"error": {"code": "OTHER"}}, status=404, **refused).charged is None
    assert Decimal(0) == said(spec, {}, status=503, **refused).charged
    assert Decimal("0.1") == said(spec, {}, headers={**JSON, "X-Cache": "HIT"}).charged
    assert said(spec, {"state": "partial"}).charged is None
    assert Decimal(7) == said(spec, {}, operation="batch").charged
    assert said(spec, {"items": []}, operation="batch").charged is None
    assert said(spec, {}, operation="batch", complete=False).charged is None


def test_problem_json_has_a_code_whatever_the_page_says() -> None:
    """RFC 9457."""
    spec = priced(charges=[{"when": {"code": "about:empty"}, "cost": 3}])

    found = said(spec, {"type": "about:empty"}, headers={"Content-Type": "application/problem+json"}, status=402)

    assert Decimal(3) == found.charged


def test_an_answer_tells_what_is_left() -> None:
    """Of the account, at places of its own, also in words; an overdrawn one has nothing."""
    spec = priced(
        balance=["credits.left", {"body": "message", "after": "balance "}, {"header": "X-Left"}], charged="credits.used"
    )

    assert Said(Decimal(1), Decimal(9)) == said(spec, {"credits": {"used": 1, "left": 9}})
    assert Said(Decimal(0), Decimal(1250)) == said(spec, {"message": "cost 10, balance 1,250"}, verdict=FAILURE)
    assert Said(None, Decimal(0)) == said(spec, {"credits": {"left": -5}})
    assert Said(None, Decimal(3)) == said(spec, {}, headers={**JSON, "X-Left": "3"})
    assert Said(None) == said(spec, {})


def test_places_are_those_of_the_operation() -> None:
    """An endpoint may tell with one name what another tells with it of something else."""
    spec = priced(charged=[{"operations": "search", "body": "n"}], balance=[{"operations": "batch", "body": "n"}])

    assert Said(Decimal(4)) == said(spec, {"n": 4})
    assert Said(None, Decimal(4)) == said(spec, {"n": 4}, operation="batch")
    assert Said(None) == said(spec, {"n": 4}, operation=None)


JOB = {"submit": "batch", "id": "job.id", "poll": "job", "ended": {"body": {"status": ["completed", "failed"]}}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("j-1", "j-1"), (17, "17"), (-17, "-17"), ("x" * 200, "x" * 200), (10**199, "1" + "0" * 199),
        ("", None), ("x" * 201, None), (10**200, None), (10**4000, None), (True, None), (1.5, None), (None, None),
        (["a"], None),
    ],
)  # fmt: skip
def test_the_answer_that_begins_a_job_names_it(value: Any, expected: str | None) -> None:
    """By a text or a whole number."""
    assert expected == said(priced(jobs=[JOB]), {"job": {"id": value}}, operation="batch").job


def test_a_number_that_takes_long_to_write_names_no_job() -> None:
    """Python refuses to write it at all."""
    answer = Answer(200, FoldedHeaders({}), "POST", "batch", document={"job": {"id": 10**5000}})

    assert reader(priced(jobs=[JOB]), "batch").read(answer, SUCCESS).job is None


@pytest.mark.parametrize("category", Category)
def test_a_failure_begins_no_job(category: Category) -> None:
    """Its id would be that of the error."""
    begins = category in {"success", "not_ready"}

    found = said(
        priced(jobs=[JOB]), {"job": {"id": "a"}}, operation="batch", verdict=Verdict(category, retryable=False)
    )

    assert ("a" if begins else None) == found.job


def test_the_answer_to_a_poll_says_that_the_job_has_ended() -> None:
    """It is named by the path; what it cost is said as by any answer."""
    spec = priced(jobs=[JOB], charged="used")

    assert Said(Decimal(4), ended="a/b") == said(
        spec, {"status": "completed", "used": 4}, operation="job", path="/jobs/a%2Fb"
    )
    assert Said(None, ended="7") == said(spec, {"status": "failed"}, operation="job", path="/acme/jobs/7")
    assert Said(None) == said(spec, {"status": "running"}, operation="job", path="/jobs/7")
    assert Said(None) == said(spec, {"status": "failed", "job": {"id": "a"}}, operation="job", path="/elsewhere/7/8/9")
    assert Said(None) == said(spec, {"status": "failed"}, operation="search", path="/jobs/7")


def test_the_answer_to_a_poll_may_name_the_job_itself() -> None:
    """Where no path does; the status counts too."""
    job = {**JOB, "poll": "status", "poll_id": "id", "ended": {"status": 200, "body": {"done": True}}}
    spec = priced(jobs=[job])

    assert "7" == said(spec, {"id": 7, "done": True}, operation="status", path="/status").ended
    assert said(spec, {"id": 7, "done": True}, operation="status", path="/status", status=202).ended is None
    assert said(spec, {"done": True}, operation="status", path="/status").ended is None


def test_a_job_that_has_ended_as_soon_as_it_began_is_a_call_like_any_other() -> None:
    """One operation submits and polls."""
    spec = priced(jobs=[{**JOB, "id": "id", "poll_id": "id", "poll": ["batch"]}])

    assert Said(None) == said(spec, {"id": "a", "status": "completed"}, operation="batch")
    assert Said(None, job="a") == said(spec, {"id": "a", "status": "running"}, operation="batch")


def test_of_several_jobs_that_speak_of_an_operation_the_first_that_finds_an_id_counts() -> None:
    """Two generations of one interface."""
    jobs = [{**JOB, "poll_id": "old"}, {**JOB, "id": "new_id", "poll_id": "new"}]
    spec = priced(jobs=jobs)

    assert ["a", "b"] == [
        said(spec, body, operation="batch").job for body in ({"job": {"id": "a"}, "new_id": "b"}, {"new_id": "b"})
    ]
    assert ["a", "b"] == [
        said(spec, {"status": "failed", **body}, operation="job").ended
        for body in ({"old": "a", "new": "b"}, {"new": "b"})
    ]


def test_a_body_is_looked_at_where_something_in_it_is_asked_for() -> None:
    """By the operation, the status and the media type."""
    told = priced(charged=[{"operations": "search", "body": "n"}, {"header": "X-Cost"}])
    conditions = priced(
        charges=[{"when": {"status": [200, 404], "text": "cached"}, "cost": 0}, {"when": {"status": 500}, "cost": 0}]
    )
    jobs = priced(jobs=[JOB])

    assert [True, True, False, False] == [reader(told).looks(status) for status in (200, 500, 204, 304)]
    assert not reader(told, "batch").looks(200)
    assert [True, True, False] == [reader(conditions).looks(status) for status in (200, 404, 500)]
    assert [True, True, False] == [reader(jobs, name).looks(200) for name in ("batch", "job", "search")]
    types = (
        "application/json",
        "application/vnd.acme+json",
        "text/event-stream",
        "application/x-ndjson",
        "",
        "image/png",
    )
    assert [True] * 5 + [False] == [reader(told).looks(200, media) for media in types]


def test_a_compressed_body_is_read() -> None:
    """As far as it is decoded; what was decoded already is not decoded again."""
    spec = priced(charged="n")
    body = json.dumps({"n": 3, "data": "x" * 1000}).encode()
    packed = {**JSON, "Content-Encoding": "gzip"}

    assert Decimal(3) == said(spec, gzip.compress(body), headers=packed).charged
    assert Decimal(3) == said(spec, gzip.compress(body)[:40], headers=packed).charged
    assert Decimal(3) == said(spec, body, headers=packed, decoded=True).charged
    assert said(spec, body, headers=packed).charged is None


def test_of_a_body_that_was_cut_what_is_certain_counts() -> None:
    """No number that may go on."""
    spec = priced(charged="n")

    assert Decimal(3) == said(spec, b'{"n": 3, "m": [1', complete=False).charged
    assert said(spec, b'{"m": 1, "n": 3', complete=False).charged is None


@pytest.mark.parametrize("decoded", [False, True])
def test_no_more_of_a_body_is_read_than_the_policy_allows(decoded: bool) -> None:
    """A bomb ends at the bound, and what comes after it is not there."""
    spec = priced(charged="n", charges=[{"when": {"absent": "gone"}, "cost": 7}], inspect={"max_bytes": "1KiB"})
    long = {"n": 3, "data": "x" * 2000}
    late = {"data": "x" * 2000, "n": 3}
    answer = Answer(200, FoldedHeaders(JSON))

    reader(spec).fill(answer, json.dumps(long).encode(), complete=True, decoded=decoded)

    assert (1024, False) == (len(answer.body), answer.complete)
    assert Decimal(3) == said(spec, long, decoded=decoded).charged
    assert said(spec, late, decoded=decoded).charged is None


def test_a_stream_tells_it_with_its_last_event() -> None:
    """With the last that tells anything: others follow that only end it."""
    spec = priced(charged="usage.credits", balance="left")
    stream = b'data: {"usage": {"credits": 1}}\n\ndata: {"usage": {"credits": 4}, "left": 6}\n\ndata: {"end": true}\n\ndata: [DONE]\n\n'
    lines = b'{"usage": {"credits": 1}}\n{"usage": {"credits": 2}}\n{"end": 1}\n{"usage": {"cre'

    assert Said(Decimal(4), Decimal(6)) == said(spec, stream, headers=EVENTS)
    assert Said(Decimal(4), Decimal(6)) == said(
        spec, gzip.compress(stream), headers={**EVENTS, "Content-Encoding": "gzip"}
    )
    assert Said(Decimal(2)) == said(spec, lines, headers={"Content-Type": "application/x-ndjson"})
    assert Said(None) == said(spec, b"data: hello\n\n", headers=EVENTS)


def test_of_a_stream_that_did_not_come_to_its_end_nothing_is_told() -> None:
    """Its first events may tell less than the last would."""
    spec = priced(charged="n")
    stream = b'data: {"n": 1}\n\n'
    packed = gzip.compress(b": " + bytes(range(256)) * 20 + b"\n" + stream)

    assert said(spec, stream, headers=EVENTS, complete=False).charged is None
    assert said(spec, packed[:-9], headers={**EVENTS, "Content-Encoding": "gzip"}).charged is None


def test_a_stream_that_says_that_it_is_done_has_told_everything() -> None:
    """SDKs close it there, before the connection's body has ended; compressed, its last bytes may be missing."""
    spec = priced(charged="n")
    stream = b": " + bytes(range(32, 127)) * 50 + b'\ndata: {"n": 1}\n\ndata: {"n": 4}\n\ndata: [DONE]\n\n'
    packed = {**EVENTS, "Content-Encoding": "gzip"}

    assert Decimal(4) == said(spec, stream, headers=EVENTS, complete=False).charged
    assert Decimal(4) == said(spec, gzip.compress(stream)[:-8], headers=packed, complete=False).charged
    assert said(spec, stream[:-6], headers=EVENTS, complete=False).charged is None


def test_of_a_long_stream_its_end_is_read() -> None:
    """The beginning may be missing; then nobody knows what it lacks."""
    spec = priced(charged="n", charges=[{"when": {"absent": "gone"}, "cost": 7}], inspect={"max_bytes": "1KiB"})
    stream = b'data: {"n": 1}\n\n' + b": waiting\n" * 1000 + b'data: {"n": 4}\n\n'

    assert Decimal(4) == said(spec, stream, headers=EVENTS).charged
    assert Decimal(4) == said(spec, stream, headers={**EVENTS, "Content-Encoding": "identity"}).charged
    assert Decimal(4) == said(spec, stream, headers=EVENTS, decoded=True).charged
    assert Decimal(7) == said(spec, b'data: {"m": 4}\n\n', headers=EVENTS).charged
    packed = {**EVENTS, "Content-Encoding": "gzip"}
    assert said(spec, gzip.compress(stream), headers=packed).charged is None


def test_nothing_is_kept_where_the_policy_reads_nothing() -> None:
    """A bound of no bytes is one for the end of a stream too."""
    spec = priced(charged="n", inspect={"max_bytes": "0B"})
    answer = Answer(200, FoldedHeaders(EVENTS))

    reader(spec).fill(answer, b'data: {"n": 1}\n\n', complete=True)

    assert b"" == answer.body


def test_where_only_conditions_ask_the_last_event_that_they_speak_of_counts() -> None:
    """A stream that says at its end that all came from a cache."""
    spec = priced(charges=[{"when": {"body": {"cached": True}}, "cost": 0}])

    assert Decimal(0) == said(spec, b'data: {"cached": true}\n\ndata: {"x": 1}\n\n', headers=EVENTS).charged


EVERYTHING = priced(
    charged=["a", "b[*].a", {"body": "b", "after": "a"}, {"header": "X-A", "after": " "}],
    balance=["b.a", {"header": "X-A"}],
    charges=[{"when": {"body": {"b[0].a": {"gt": 1}}, "text": "a"}, "cost": 1}, {"when": {"code": "a"}, "cost": 2}],
    jobs=[{"submit": "search", "id": "a", "poll": "search", "poll_id": "b", "ended": {"absent": "b.a"}}],
    envelopes={"code": "a", "message": "b"},
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=8,
)
BODIES = VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200)


@settings(max_examples=300)
@given(
    st.lists(BODIES, max_size=3),
    st.sampled_from([b"", b"\n", b"\n\ndata: "]),
    st.sampled_from(["application/json", "text/event-stream", "application/x-ndjson", "text/html; charset=utf-7", ""]),
    st.sampled_from(["", "gzip", "br, gzip", "nonsense"]),
    st.text(max_size=20),
    st.sampled_from(list(Category)),
    st.booleans(),
    st.booleans(),
)
def test_no_answer_is_too_strange(
    parts: list[bytes],
    between: bytes,
    media: str,
    encoding: str,
    header: str,
    category: Category,
    complete: bool,
    decoded: bool,
) -> None:
    """Whatever comes, it has cost an amount or the worst case, and names are short."""
    body = b"data: " + between.join(parts) if between else b"".join(parts)
    headers = {"Content-Type": media, "Content-Encoding": encoding, "X-A": header}
    found = said(
        EVERYTHING, body, headers=headers, verdict=Verdict(category, retryable=False), complete=complete,
        decoded=decoded, path=f"/jobs/{header}",
    )  # fmt: skip

    assert found.charged is None or 0 <= found.charged <= 10**9
    assert found.balance is None or 0 <= found.balance <= 10**9
    assert all(name is None or 0 < len(name) <= 200 for name in (found.job, found.ended))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000, b'{"a":' * 200_000, b'{"a": ' + b"9" * 900_000 + b"}", b"data: " * 150_000, b"\n" * 900_000,
        b'data: {"a": "x\n\n' * 60_000, b"data: {\n\n" * 100_000, b'{"a": "' + b"1" * 900_000 + b'"}',
        b'{"b": "' + b"a" * 900_000 + b'"}',
    ],
    ids=range(9),
)  # fmt: skip
@pytest.mark.parametrize("media", ["application/json", "text/event-stream", "application/x-ndjson"])
def test_hostile_bodies_take_no_time(body: bytes, media: str) -> None:
    """Nested without end, endless numbers, a million lines: the worst case."""
    assert said(EVERYTHING, body, headers={"Content-Type": media}).charged is None
