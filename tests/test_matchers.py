"""Comparing one value of an answer with what a policy asks of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from resilience._matchers import (
    MISSING,
    Matcher,
    Operators,
    Statuses,
    Texts,
    compile_matcher,
    implies,
    same,
    values_of,
)

MATCHER = TypeAdapter[Any](dict[str, Matcher])
STATUSES = TypeAdapter[frozenset[int]](Statuses)
TEXTS = TypeAdapter[tuple[str, ...]](Texts)
THINGS: list[object] = [
    MISSING, None, True, False, 0, 1, 2, 5, -3, 1.0, 2.5, float("nan"), float("inf"), 2**53 + 1, 10**400, "", "1", "a",
    "ab", "cab", "b", [], [1], {}, {"a": 1},
]  # fmt: skip


def matcher(given: object) -> Any:
    return MATCHER.validate_python({"field": given})["field"]


def accepted(given: object) -> list[object]:
    """What of THINGS a matcher accepts."""
    test = compile_matcher(matcher(given))
    return [thing for thing in THINGS if test(thing)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1, [1, 1.0]),
        (1.0, [1, 1.0]),
        ("1", ["1"]),
        (True, [True]),
        (False, [False]),
        (0, [0]),
        (None, [None]),
        ([1, "a", None], [None, 1, 1.0, "a"]),
        ([], []),
        ({"eq": None}, [None]),
        ({"eq": 2}, [2]),
        ({"in": [True, "b"]}, [True, "b"]),
        ({"gt": 2}, [5, 2.5, float("inf"), 2**53 + 1, 10**400]),
        ({"gte": 2}, [2, 5, 2.5, float("inf"), 2**53 + 1, 10**400]),
        ({"lt": 0}, [-3]),
        ({"lte": 0}, [0, -3]),
        ({"gt": 0, "lte": 2}, [1, 2, 1.0]),
        ({"gt": 9007199254740992.0, "lt": 1e300}, [2**53 + 1]),
        ({"contains": "a"}, ["a", "ab", "cab"]),
        ({"contains": ["ab", "1"]}, ["1", "ab", "cab"]),
        ({"starts_with": "a"}, ["a", "ab"]),
        ({"starts_with": ["c", "1"]}, ["1", "cab"]),
        ({"starts_with": "a", "ne": "a"}, ["ab"]),
        ({"present": False}, [MISSING]),
        ({"present": False, "gt": 0}, []),
    ],
    ids=str,
)
def test_a_matcher_accepts_these_values_and_no_others(given: object, expected: list[object]) -> None:
    """Numbers compare with numbers, `true` is no number, `null` is a value, and nothing that is absent is equal."""
    assert expected == accepted(given)


def test_what_is_there_is_present() -> None:
    """Also a null, an empty text and an empty list."""
    assert THINGS[1:] == accepted({"present": True})


def test_what_is_not_equal_must_be_there() -> None:
    """A field that is absent is not `ne`; a value of another type is."""
    found = accepted({"ne": 1})

    assert [thing for thing in THINGS[1:] if not same(thing, 1)] == found
    assert True in found


def test_a_missing_value_says_so() -> None:
    """In a message or a debugger."""
    assert "MISSING" == repr(MISSING)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, (1,)), ("ab", ("ab",)), (None, (None,)), ([1, 2], (1, 2)), ((), ()), ({3}, (3,)), (frozenset({4}), (4,))],
)
def test_one_value_stands_for_a_list_of_one(value: object, expected: tuple[object, ...]) -> None:
    """A text is one value."""
    assert expected == values_of(value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "an empty mapping matches nothing in particular; name an operator"),
        ({"gt": None}, "'gt' has no value; remove it, or give it one"),
        ({"in": None}, "'in' has no value; remove it, or give it one"),
        ({"present": None, "eq": 1}, "'present' has no value"),
        ({"in": []}, "at least 1 item"),
        ({"contains": []}, "at least 1 item"),
        ({"contains": ""}, "at least 1 character"),
        ({"contains": 7}, "valid tuple"),
        ({"gt": "1"}, "valid number"),
        ({"gt": True}, "valid number"),
        ({"gt": float("nan")}, "finite number"),
        ({"gt": float("inf")}, "finite number"),
        ({"matches": ".*"}, "Extra inputs are not permitted"),
        ([[1]], "valid string"),
        ({"eq": [1]}, "valid string"),
    ],
    ids=str,
)
def test_a_matcher_that_says_nothing_or_too_much_is_refused(given: object, message: str) -> None:
    """There are no expressions and no regular expressions."""
    with pytest.raises(ValidationError) as caught:
        matcher(given)

    assert message in str(caught.value)


@pytest.mark.parametrize("given", [True, 1, 1.0, "1", None, [True, 1, 1.5, "x", None]])
def test_a_value_keeps_its_type(given: object) -> None:
    """`1`, `1.0`, `"1"` and `true` are told apart in a file, and stay apart."""
    found = matcher(given)

    assert [type(item) for item in values_of(given)] == [type(item) for item in values_of(found)]
    assert given == (list(found) if isinstance(found, tuple) else found)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (429, {429}),
        ([500, 502, 500], {500, 502}),
        ("5xx", set(range(500, 600))),
        ("9xx", set(range(900, 1000))),
        ("500-599", set(range(500, 600))),
        ("429-429", {429}),
        ([404, "410-412", "1xx"], {404, 410, 411, 412, *range(100, 200)}),
        (frozenset({100, 999}), {100, 999}),
    ],
)
def test_statuses_are_written_in_three_ways(given: object, expected: set[int]) -> None:
    """One, a range, a class, or a list of these."""
    assert expected == STATUSES.validate_python(given)


@pytest.mark.parametrize(
    "given",
    [99, 1000, True, 429.0, "429", "5XX", "0xx", "axx", "5xxx", "599-500", "099-200", "100-1000", "500599-", "-500599",
     "5005-99", "50-5999", "500_599", "50²-599", "٥٠٠-٥٩٩", "", None, [[500]], {"gte": 500}],
    ids=str,
)  # fmt: skip
def test_what_is_no_status_is_refused(given: object) -> None:
    """With what to write instead."""
    with pytest.raises(ValidationError, match="is no status; write 429, a range '500-599', '5xx', or a list of these"):
        STATUSES.validate_python(given)


def test_an_empty_list_of_statuses_is_refused() -> None:
    """It would never match."""
    with pytest.raises(ValidationError, match="at least 1 item"):
        STATUSES.validate_python([])


@pytest.mark.parametrize(("given", "expected"), [("ab", ("ab",)), (["a", "b"], ("a", "b"))])
def test_one_text_stands_for_a_list_of_one(given: object, expected: tuple[str, ...]) -> None:
    """Not for its letters."""
    assert expected == TEXTS.validate_python(given)


@pytest.mark.parametrize(
    ("narrow", "wide", "expected"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1, True, False),
        (True, 1, False),
        (1, [1, 2], True),
        ([1, 2], [2, 1, 0], True),
        ([1, True], [1, 2], False),
        ({"in": [1, 2]}, {"gt": 0}, True),
        ({"in": [1, -2]}, {"gt": 0}, False),
        ({"eq": 1, "present": True}, {"lte": 1}, True),
        ({"eq": None}, {"present": True}, True),
        ({"eq": 1}, {"present": False}, False),
        ({"in": [1, -2], "ne": -2}, {"gt": 0}, True),
        ({"eq": 1, "gt": 1}, {"eq": 2}, True),
        ({"ne": 1}, {"ne": 1}, True),
        ({"ne": 1}, {"ne": True}, False),
        ({"ne": 1}, {"ne": 2}, False),
        ({"eq": None}, {"ne": None}, False),
        ({"ne": None}, {"eq": None}, False),
        ({"gt": 3}, {"present": True}, True),
        ({"contains": "a"}, {"present": False}, False),
        ({"present": False}, {"present": True}, False),
        ({"present": False}, {"present": False}, True),
        ({"present": True}, {"present": True}, True),
        ({"contains": ["abc", "xb"]}, {"contains": ["b"]}, True),
        ({"contains": ["abc", "x"]}, {"contains": ["b"]}, False),
        ({"starts_with": "ab"}, {"contains": "a"}, False),
        ({"starts_with": "ab"}, {"starts_with": "ab"}, True),
        ({"starts_with": "ab"}, {"starts_with": "a"}, False),
        ({"gt": 5}, {"gt": 4}, True),
        ({"gt": 5}, {"gt": 5.0}, True),
        ({"gt": 5}, {"gte": 5}, True),
        ({"gte": 5}, {"gt": 5}, False),
        ({"gte": 5}, {"gte": 5}, True),
        ({"gt": 5}, {"gt": 6}, False),
        ({"lt": 5}, {"lte": 5}, True),
        ({"lte": 5}, {"lt": 5}, False),
        ({"lt": 5}, {"gt": 1}, False),
        ({"gte": 3, "lte": 4}, {"gt": 2, "lt": 5}, True),
        ({"gte": 3}, {"gt": 2, "lt": 5}, False),
        ({"gte": 3, "contains": "a"}, {"gt": 2}, True),
        ({"gt": 2}, {"gt": 1, "ne": 3}, False),
        ({"contains": "a"}, {"gt": 1}, False),
        ({"gt": 2}, [3, 4], False),
        ([], 1, True),
    ],
    ids=str,
)
def test_one_matcher_may_be_within_another(narrow: object, wide: object, *, expected: bool) -> None:
    """Where it can be told; where not, the answer is no."""
    assert expected == implies(matcher(narrow), matcher(wide))


SCALARS = st.sampled_from([True, False, None, 0, 1, 2, 1.0, 1.5, -1, "", "a", "ab", "b", "1"])
NUMBERS = st.sampled_from([-1, 0, 1, 1.0, 1.5, 2, 2**53, 2.0**53, 2**53 + 1])
TEXT_LISTS = st.lists(st.sampled_from(["a", "b", "ab", "ba", "1"]), min_size=1, max_size=3)
OPERATORS = (
    st.fixed_dictionaries(
        {},
        optional={
            "eq": SCALARS,
            "ne": SCALARS,
            "in": st.lists(SCALARS, min_size=1, max_size=3),
            "gt": NUMBERS,
            "gte": NUMBERS,
            "lt": NUMBERS,
            "lte": NUMBERS,
            "contains": TEXT_LISTS,
            "starts_with": TEXT_LISTS,
            "present": st.booleans(),
        },
    )
    .map(lambda keys: dict(list(keys.items())[:2]))
    .filter(bool)
)
MATCHERS = SCALARS | st.lists(SCALARS, max_size=3) | OPERATORS


@settings(max_examples=800)
@given(narrow=MATCHERS, wide=MATCHERS)
def test_what_is_said_to_be_within_is_within(narrow: object, wide: object) -> None:
    """No value that the narrow one accepts is refused by the wide one."""
    inner, outer = matcher(narrow), matcher(wide)

    if implies(inner, outer):
        refused = [thing for thing in [*THINGS, 1.5, 2**53, "ba", "ab1"] if not compile_matcher(outer)(thing)]

        assert [] == [thing for thing in refused if compile_matcher(inner)(thing)]


@given(given=MATCHERS)
def test_every_matcher_is_within_itself(given: object) -> None:
    """As every value that it accepts is one that it accepts."""
    found = matcher(given)

    assert implies(found, found)


@given(
    given=MATCHERS,
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
)
def test_no_value_breaks_a_matcher(given: object, value: object) -> None:
    """The answer is yes or no."""
    assert compile_matcher(matcher(given))(value) in {True, False}


def test_operators_are_written_as_they_are_read() -> None:
    """`in` is a word of Python, and not of the file."""
    found = Operators.model_validate({"in": [1, None]})

    assert {"in": (1, None)} == found.model_dump(by_alias=True, exclude_unset=True)
