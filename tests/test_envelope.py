"""Where a provider puts code and message: the first place that has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from resilience._conditions import Answer
from resilience._envelope import Envelope, Envelopes, compile_envelopes
from resilience._headers import FoldedHeaders

ENVELOPES = TypeAdapter[tuple[Envelope, ...]](Envelopes)


def read(
    envelopes: object, document: object, headers: Mapping[str, str] | None = None
) -> tuple[str | None, str | None]:
    """Code and message that the envelopes find."""
    found = compile_envelopes(ENVELOPES.validate_python(envelopes))
    return found(Answer(400, FoldedHeaders(headers or {}), document=document))


def test_code_and_message_stand_where_the_envelope_says() -> None:
    """One envelope needs no list."""
    envelope = {"code": "error.code", "message": "error.message"}

    assert ("limit", "Slow down") == read(envelope, {"error": {"code": "limit", "message": "Slow down"}})


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("x", "x"),
        ("x" * 200, "x" * 200),
        ("x" * 201, None),
        ("", None),
        (429, "429"),
        (0, "0"),
        (-1, "-1"),
        (10**18, None),
        (10**18 - 1, "9" * 18),
        (True, None),
        (1.5, None),
        (None, None),
        (["x"], None),
        ({"x": 1}, None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_code_is_a_short_text_or_a_number(value: object, code: str | None) -> None:
    """Anything else is not one: it would not be compared, and should not be shown."""
    assert code == read({"code": "code"}, {"code": value})[0]


@pytest.mark.parametrize(
    ("value", "message"),
    [("x", "x"), ("x" * 2001, "x" * 2000), ("", None), (7, None), (None, None), (["x"], None)],
    ids=lambda value: str(value)[:20],
)
def test_a_message_is_a_text_of_bounded_length(value: object, message: str | None) -> None:
    """A long one is cut."""
    assert message == read({"message": "message"}, {"message": value})[1]


def test_of_several_paths_the_first_that_has_something_counts() -> None:
    """What is empty or of another type gives way to the next."""
    envelope = {"code": ["a", "b", "c"], "message": ["d", "e"]}

    assert ("x", "m") == read(envelope, {"a": True, "b": "x", "c": "y", "d": "", "e": "m"})


def test_the_first_envelope_with_a_code_wins_and_brings_its_own_message() -> None:
    """Code and message of one error are not mixed with those of another."""
    envelopes = [{"code": "a", "message": "b"}, {"code": "c", "message": "d"}]

    assert ("x", None) == read(envelopes, {"b": "first", "c": "x"})
    assert ("y", "first") == read(envelopes, {"a": "y", "b": "first", "c": "x", "d": "second"})


def test_without_a_code_the_first_message_counts() -> None:
    """A message alone is better than nothing."""
    envelopes = [{"code": "a", "message": "b"}, {"code": "c", "message": "d"}]

    assert (None, "second") == read(envelopes, {"d": "second"})
    assert (None, "first") == read(envelopes, {"b": "first", "d": "second"})
    assert (None, None) == read(envelopes, {})


def test_an_envelope_may_be_told_by_its_fields() -> None:
    """All of them must match."""
    envelopes = [{"code": "code", "when": {"kind": "old", "v": {"lt": 2}}}, {"code": "error"}]

    assert ("a", None) == read(envelopes, {"kind": "old", "v": 1, "code": "a", "error": "b"})
    assert ("b", None) == read(envelopes, {"kind": "old", "v": 2, "code": "a", "error": "b"})


def test_headers_may_carry_what_the_body_does_not() -> None:
    """The body comes first."""
    envelope = {"code": "code", "message": "message", "code_header": "X-Code", "message_header": "X-Message"}
    headers = {"x-code": "h", "x-message": "m"}

    assert ("h", "m") == read(envelope, {}, headers)
    assert ("c", "b") == read(envelope, {"code": "c", "message": "b"}, headers)
    assert (None, None) == read({"code_header": "X-Code", "message_header": "X-Message"}, {"X-Code": "c"})


def test_a_problem_document_needs_no_envelope() -> None:
    """RFC 9457: the media type promises the fields; the policy's own envelopes come first."""
    document = {"type": "https://p.test/limit", "title": "Limit", "detail": "Slow down", "code": "own"}
    problem = {"Content-Type": "application/problem+json; charset=utf-8"}

    assert ("https://p.test/limit", "Slow down") == read([], document, problem)
    assert ("https://p.test/limit", "Limit") == read([], {**document, "detail": 7}, problem)
    assert ("own", None) == read({"code": "code"}, document, problem)
    assert (None, None) == read([], document, {"Content-Type": "application/json"})


def test_a_problem_that_is_about_nothing_has_no_code() -> None:
    """RFC 9457 section 4.2.1: it means no more than its status."""
    problem = {"Content-Type": "application/problem+json"}

    assert (None, "Busy") == read([], {"type": "about:blank", "title": "Busy"}, problem)


def test_an_envelope_knows_the_fields_that_it_reads() -> None:
    """Nothing else is decoded for it."""
    envelope = Envelope.model_validate({"code": ["a", "b"], "message": "c", "when": {"d": 1}})

    assert ({"a", "b", "c", "d"}, set[str]()) == (envelope.paths, Envelope(code_header="X").paths)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "an envelope names where the code or the message stands"),
        ({"when": {"a": 1}}, "an envelope names where the code or the message stands"),
        ({"code": None}, "an envelope names where the code or the message stands"),
        ({"code": []}, "at least 1 item"),
        ({"code": "a", "when": {}}, "at least 1 item"),
        ({"code": "a b"}, "a step starts with . or ["),
        ({"code_header": "X Code"}, "should match pattern"),
        ({"code_header": "ß"}, "should match pattern"),
        ({"status": "a"}, "Extra inputs are not permitted"),
        ("code", "valid tuple"),
    ],
    ids=str,
)
def test_an_envelope_that_finds_nothing_is_refused(given: object, message: str) -> None:
    """It would hide that nothing was found."""
    with pytest.raises(ValidationError) as caught:
        ENVELOPES.validate_python(given)

    assert message in str(caught.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["code", "a", "type"]), inner),
    max_leaves=8,
)


@given(document=ANYTHING, header=st.text(max_size=300), content_type=st.text(max_size=20))
def test_no_body_breaks_an_envelope(document: Any, header: str, content_type: str) -> None:
    """Whatever stands where a code should, the answer is a text of bounded length or nothing."""
    envelopes = [
        {"code": ["code", "a[0]", "a[*]"], "message": "a.code", "when": {"a": {"present": True}}},
        {"code_header": "X-Code", "message": "type"},
    ]

    code, message = read(envelopes, document, {"X-Code": header, "Content-Type": content_type})

    assert code is None or 0 < len(code) <= 200
    assert message is None or 0 < len(message) <= 2000
