"""`when:` of a rule: which answers it speaks of, and which conditions lie within others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from resilience._conditions import Answer, When, compile_when, covers, is_media_type
from resilience._headers import FoldedHeaders
from resilience._matchers import MISSING
from resilience._paths import compile_path

BODY = {"error": {"code": 7, "tags": ["a", "b"]}, "items": [{"id": 1}, {"id": 2}, {}], "none": None}


def when(**keys: Any) -> When:
    return When.model_validate(keys)


def answer(
    status: int | None = 400, *, headers: Mapping[str, str] | None = None, document: object = None, **named: Any
) -> Answer:
    return Answer(status, FoldedHeaders(headers or {}), document=document, **named)


def holds(condition: When, found: Answer) -> bool:
    """As a rule is looked up: by its status first, and errors only by rules that name them."""
    if (condition.error is None) != (found.error is None):
        return False
    if condition.status is not None and found.status not in condition.status:
        return False
    return compile_when(condition)(found)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"method": "POST"}, True),
        ({"method": ["GET", "PUT"]}, False),
        ({"operation": ["other", "search"]}, True),
        ({"operation": "other"}, False),
        ({"code": ["x", "limit"]}, True),
        ({"code": "lim"}, False),
        ({"message": ["slow", "down"]}, True),
        ({"message": "Slow down!"}, False),
        ({"text": "<b>"}, True),
        ({"text": ["<i>", "<u>"]}, False),
        ({"content_type": "application/json"}, True),
        ({"content_type": ["text/*", "*+json"]}, False),
        ({"headers": {"x-left": "0"}}, True),
        ({"headers": {"X-Left": {"ne": "0"}}}, False),
        ({"headers": {"X-Other": {"present": False}}}, True),
        ({"headers": {"X-Other": {"ne": "1"}}}, False),
        ({"body": {"error.code": 7}}, True),
        ({"body": {"error.code": "7"}}, False),
        ({"body": {"error.tags": "a"}}, False),
        ({"body": {"error.tags[*]": "a"}}, True),
        ({"body": {"items[*].id": 2}}, True),
        ({"body": {"items[*].id": {"gt": 2}}}, False),
        ({"body": {"nothing[*].id": {"present": False}}}, True),
        ({"body": {"items[0].id": {"present": False}}}, False),
        ({"body": {"error.tags": {"present": True}}}, True),
        ({"body": {"none": None}}, True),
        ({"body": {"nothing": None}}, False),
        ({"absent": "nothing"}, True),
        ({"absent": ["nothing", "none"]}, False),
        ({"method": "POST", "code": "limit", "body": {"error.code": 7}}, True),
        ({"method": "POST", "code": "limit", "body": {"error.code": 8}}, False),
    ],
    ids=str,
)
def test_a_condition_holds_if_all_that_it_names_does(keys: dict[str, Any], *, expected: bool) -> None:
    """Of a list one is enough, except of the fields that must be absent."""
    found = answer(
        headers={"X-Left": "0", "Content-Type": "application/json; charset=utf-8"},
        document=BODY,
        method="POST",
        operation="search",
        code="limit",
        message="Please slow down",
        body=b"a <b> c",
    )

    assert expected == compile_when(when(**keys))(found)


def test_nothing_holds_of_an_answer_without_anything() -> None:
    """Neither a code nor a message nor a type is there to match."""
    bare = answer()

    assert not any(
        compile_when(when(**keys))(bare)
        for keys in ({"code": "None"}, {"message": "None"}, {"content_type": "text/plain"}, {"operation": "None"})
    )


def test_of_a_body_that_was_cut_short_nobody_knows_what_it_lacks() -> None:
    """`absent` holds of whole bodies only."""
    condition = compile_when(when(absent="error"))

    assert [True, False] == [condition(answer(complete=complete, document={})) for complete in (True, False)]


@pytest.mark.parametrize(("error", "expected"), [("read_timeout", True), ("connect_error", False), (None, False)])
def test_an_error_is_known_by_its_kind(error: str | None, *, expected: bool) -> None:
    """One kind or a list of them."""
    condition = compile_when(when(error=["read_timeout", "write_timeout"]))

    assert expected == condition(answer(None, error=error))


def test_a_number_is_a_code_by_its_digits() -> None:
    """Codes are texts; a file may write them as numbers."""
    assert (("7", "x"), ("42",)) == (when(code=[7, "x"]).code, when(code=42).code)


def test_the_text_of_a_body_follows_its_charset_and_is_decoded_once() -> None:
    """However many rules look at it."""
    found = answer(headers={"Content-Type": "text/plain; charset=latin-1"}, body="größer".encode("latin-1"))

    first = found.text

    assert "größer" == first
    assert first is found.text


def test_a_field_that_is_not_there_is_missing() -> None:
    """And a null is a value."""
    found = answer(document=BODY)

    assert (MISSING, None) == (found.field(compile_path("nothing")), found.field(compile_path("none")))


@pytest.mark.parametrize(
    ("media", "patterns", "expected"),
    [
        ("text/html", ("text/html",), True),
        ("text/html", ("text/plain", "text/*"), True),
        ("text/html", ("html", "text"), False),
        ("application/problem+json", ("*+json",), True),
        ("application/json", ("*+json",), False),
        ("application/json", ("*",), True),
        ("", ("text/*", "*+json"), False),
    ],
)
def test_a_media_type_may_be_named_by_its_beginning_or_its_end(
    media: str, patterns: tuple[str, ...], *, expected: bool
) -> None:
    """`text/*`, `*+json`."""
    assert expected == is_media_type(media, patterns)


def test_a_condition_knows_what_of_the_body_it_needs() -> None:
    """Nothing else is decoded, and a body is not looked at for a header."""
    fields = when(body={"a.b": 1}, absent=["c"])

    assert {"a.b", "c"} == fields.paths
    assert [True, True, True, True, False, False] == [
        condition.reads_body
        for condition in (fields, when(text="x"), when(code="x"), when(message="x"), when(headers={"A": "1"}), when(status=500))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "an empty condition matches every answer; name a status, a code or an error"),
        ({"status": None}, "an empty condition matches every answer"),
        ({"body": {}, "headers": {}}, "an empty condition matches every answer"),
        ({"error": "read_timeout", "status": 500}, "no response comes with a transport error"),
        ({"error": "read_timeout", "content_type": "text/*"}, "no response comes with a transport error"),
        ({"error": "read_timeout", "text": "x"}, "no response comes with a transport error"),
        ({"error": []}, "at least 1 item"),
        ({"error": "timeout"}, "Input should be 'connect_error'"),
        ({"code": True}, "valid string"),
        ({"code": ""}, "at least 1 character"),
        ({"body": {"a b": 1}}, "column 2: a step starts with . or ["),
        ({"absent": ["a["]}, "column 2: [ must be followed by"),
        ({"absent": []}, "at least 1 item"),
        ({"headers": {"X Left": "0"}}, "should match pattern"),
        ({"headers": {"X-Größe": "0"}}, "should match pattern"),
        ({"headers": {"X-Left": {}}}, "an empty mapping matches nothing in particular"),
        ({"regex": ".*"}, "Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_a_condition_that_cannot_be_honoured_is_refused(keys: dict[str, Any], message: str) -> None:
    """What matches everything by accident, or nothing at all, is a slip of the pen."""
    with pytest.raises(ValidationError) as caught:
        when(**keys)

    assert message in str(caught.value)


def test_an_error_may_be_narrowed_by_method_and_operation() -> None:
    """Both are known without a response; a key with nothing in it says nothing."""
    narrowed = when(error="read_timeout", method="POST", operation="search", headers={})

    assert ("read_timeout",) == narrowed.error


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ({"status": "4xx"}, {"status": [400, 429]}, True),
        ({"status": 429}, {"status": "4xx"}, False),
        ({"status": 429}, {"code": "x"}, False),
        ({"status": 429}, {"status": 429, "code": "x"}, True),
        ({"status": 429, "code": "x"}, {"status": 429}, False),
        ({"text": "ab", "status": None}, {"text": ["cab", "abc"]}, True),
        ({"message": "ab"}, {"message": ["cab", "a"]}, False),
        ({"absent": ["a"]}, {"absent": ["a", "b"]}, True),
        ({"absent": ["a", "b"]}, {"absent": ["a"]}, False),
        ({"headers": {"X": "1"}}, {"headers": {"X": "1", "Y": "2"}}, True),
        ({"headers": {"X": "1", "Y": "2"}}, {"headers": {"X": "1"}}, False),
        ({"body": {"a": {"gt": 1}}}, {"body": {"a": 2}}, True),
        ({"body": {"a": {"gt": 1}}}, {"body": {"a": 1}}, False),
        ({"body": {"a": {"gt": 1}}}, {"body": {"b": 2}}, False),
        ({"method": ["GET", "POST"]}, {"method": "GET"}, True),
        ({"method": "POST"}, {"method": "POST", "error": "read_timeout"}, False),
        ({"error": ["read_timeout", "read_error"]}, {"error": "read_error", "method": "GET"}, True),
        ({"error": "read_timeout"}, {"method": "GET"}, False),
    ],
    ids=str,
)
def test_a_condition_may_lie_within_another(wide: dict[str, Any], narrow: dict[str, Any], *, expected: bool) -> None:
    """Then a rule behind the wider one would never speak."""
    assert expected == covers(when(**wide), when(**narrow))


WORDS = st.lists(st.sampled_from(["a", "b", "ab", "ba"]), min_size=1, max_size=2)
VALUES = st.sampled_from([1, 2, True, "a", "ab", None, {"gt": 1}, {"gte": 1, "lt": 3}, {"present": True}, {"ne": 1},
                          {"present": False}, {"contains": "a"}, [1, "a"], {"in": [1, 2]}])  # fmt: skip
ANSWERED = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from([429, "4xx", [429, 500], "400-450", [500]]),
        "method": st.lists(st.sampled_from(["GET", "POST"]), min_size=1),
        "operation": WORDS,
        "code": WORDS,
        "message": WORDS,
        "text": WORDS,
        "content_type": st.lists(st.sampled_from(["text/*", "text/html", "*+json"]), min_size=1, max_size=2),
        "headers": st.dictionaries(st.sampled_from(["X", "Y"]), VALUES, min_size=1),
        "body": st.dictionaries(st.sampled_from(["a", "b[*]", "b[0]"]), VALUES, min_size=1),
        "absent": st.lists(st.sampled_from(["a", "b", "b[0]"]), min_size=1, max_size=2),
    },
)
FAILED = st.fixed_dictionaries(
    {"error": st.lists(st.sampled_from(["read_timeout", "read_error"]), min_size=1)},
    optional={"method": st.lists(st.sampled_from(["GET", "POST"]), min_size=1), "operation": WORDS},
)
# Few keys each, or nothing would lie within anything.
CONDITIONS = (ANSWERED | FAILED).filter(lambda keys: 0 < len(keys) < 4).map(When.model_validate)
TEXT = st.none() | st.sampled_from(["", "a", "ab", "cab", "b", "ba"])
ANSWERS = st.builds(
    answer,
    st.sampled_from([400, 404, 429, 500]),
    headers=st.dictionaries(st.sampled_from(["X", "Y"]), TEXT.filter(bool))
    | st.just({"Content-Type": "text/html"})
    | st.just({"content-type": "application/x+json"}),
    document=st.fixed_dictionaries(
        {},
        optional={
            "a": st.sampled_from([1, 2, 3, 1.5, True, None, "a", "ab", [1]]),
            "b": st.lists(st.sampled_from([1, 2, True, "a", None]), max_size=2) | st.sampled_from([1, None]),
        },
    ),
    method=st.sampled_from(["GET", "POST", "PUT"]),
    operation=TEXT,
    code=TEXT,
    message=TEXT,
    body=st.sampled_from([b"", b"a", b"ab", b"cab", b"ba"]),
    complete=st.booleans(),
)
ERRORS = st.builds(
    answer,
    st.none(),
    method=st.sampled_from(["GET", "POST", "PUT"]),
    operation=TEXT,
    error=st.sampled_from(["read_timeout", "read_error", "other_error"]),
)


@settings(max_examples=600)
@given(wide=CONDITIONS, narrow=CONDITIONS, found=st.lists(ANSWERS | ERRORS, min_size=1, max_size=20))
def test_no_answer_escapes_the_condition_that_covers_it(wide: When, narrow: When, found: list[Answer]) -> None:
    """`covers` may say no where it cannot tell, and is right wherever it says yes."""
    if covers(wide, narrow):
        assert [] == [each for each in found if holds(narrow, each) and not holds(wide, each)]


@given(condition=CONDITIONS)
def test_every_condition_covers_itself(condition: When) -> None:
    """Twice the same rule, and the second one never speaks."""
    assert covers(condition, condition)


@given(
    condition=CONDITIONS,
    body=st.binary(max_size=50),
    content_type=st.text(max_size=30),
    value=st.text(max_size=10),
    document=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner),
        max_leaves=6,
    ),
)
def test_no_answer_breaks_a_condition(
    *, condition: When, body: bytes, content_type: str, value: str, document: object
) -> None:
    """The answer is yes or no, whatever stands where."""
    found = answer(headers={"Content-Type": content_type, "X": value}, body=body, document=document, code=value)

    assert compile_when(condition)(found) in {True, False}
