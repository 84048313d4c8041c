"""Paths mean what JMESPath says they mean, and what is no path is refused with its column."""

from __future__ import annotations

import json

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience._paths import ALL_ITEMS, Path, compile_path

NAMES = st.sampled_from(["a", "b", "_c1", "x-y", "é", "a b", 'say "hi"', "line\nbreak", "back\\slash", "😀", "0"])


def written(name: str, *, ascii_only: bool) -> str:
    """The name as a step of a path: bare where it may be, otherwise as a JSON string."""
    return name if name.isascii() and name.isidentifier() else json.dumps(name, ensure_ascii=ascii_only)


@st.composite
def path_texts(draw: st.DrawFn) -> str:
    """A text of the grammar of paths."""
    text = ""
    for _ in range(draw(st.integers(1, 6))):
        step = draw(NAMES | st.integers(-3, 3) | st.just(ALL_ITEMS))
        if isinstance(step, str):
            text += ("." if text else "") + written(step, ascii_only=draw(st.booleans()))
        else:
            text += f"[{step}]" if isinstance(step, int) else "[*]"
    return text


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=25
)


@st.composite
def texts_and_documents(draw: st.DrawFn) -> tuple[str, object]:
    """A path and a document in which it often leads somewhere."""
    text = draw(path_texts())
    document = draw(DOCUMENTS)
    for step in reversed(compile_path(text).steps):
        other = draw(DOCUMENTS)
        if isinstance(step, str):
            document = {step: document} if draw(st.booleans()) else {step: document, "other": other}
        else:
            document = [document, other] if draw(st.booleans()) else [other, document, None]
    return text, document


@given(texts_and_documents())
def test_agrees_with_jmespath_where_the_path_leads_somewhere(case: tuple[str, object]) -> None:
    """A path of the grammar finds in a document of its shape what JMESPath finds."""
    text, document = case

    expected = jmespath.search(text, document)

    assert expected == compile_path(text).search(document)


@given(path_texts(), DOCUMENTS)
def test_agrees_with_jmespath_in_any_document(text: str, document: object) -> None:
    """A path of the grammar finds in any document what JMESPath finds."""
    expected = jmespath.search(text, document)

    assert expected == compile_path(text).search(document)


@given(st.text(max_size=12) | st.text('ab"\\.[]*-01 u{}()|?@`:,\n', max_size=12), DOCUMENTS)
def test_what_is_accepted_is_jmespath(text: str, document: object) -> None:
    """Any text is refused with a ValueError, or is JMESPath with the same meaning."""
    try:
        path = compile_path(text)
    except ValueError:
        return

    assert jmespath.search(text, document) == path.search(document)


@given(texts_and_documents())
def test_find_and_search_agree(case: tuple[str, object]) -> None:
    """`find` hands back the value of `search`, and None wherever it found nothing."""
    text, document = case

    found, value = compile_path(text).find(document)

    assert compile_path(text).search(document) == value
    assert found or value is None


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("code", ("code",)),
        ("error.code", ("error", "code")),
        ('"x-error"."a\\u0041\\"b"', ("x-error", 'aA"b')),
        ("errors[0].message", ("errors", 0, "message")),
        ("jobs[-12]", ("jobs", -12)),
        ("[*][0].id", (ALL_ITEMS, 0, "id")),
        ('"é"."\\ud83d\\ude00"', ("é", "😀")),
    ],
)
def test_steps_of_a_path(text: str, steps: tuple[object, ...]) -> None:
    """A path is a chain of names, indexes and `[*]`, and its text is kept."""
    path = compile_path(text)

    assert steps == path.steps
    assert text == path.text == str(path)


@pytest.mark.parametrize(
    ("text", "column", "what"),
    [
        ("", 1, "a name is missing"),
        (".a", 1, "a name is missing"),
        ("a.", 3, "a name is missing"),
        ("a..b", 3, "a name is missing"),
        ("a.[0]", 3, "a name is missing"),
        ("1a", 1, "a name is missing"),
        ("x-y", 2, "a step starts with"),
        ("é", 1, "a name is missing"),
        (" a", 1, "a name is missing"),
        ("a .b", 2, "a step starts with"),
        ("a\n", 2, "a step starts with"),
        ('"a"b', 4, "a step starts with"),
        ("a[]", 2, "[ must be followed"),
        ("a[1:2]", 2, "[ must be followed"),
        ("a[?b]", 2, "[ must be followed"),
        ("a[01]", 2, "[ must be followed"),
        ("a[-0]", 2, "[ must be followed"),
        ("a[٣]", 2, "[ must be followed"),
        ("a[1234567]", 2, "[ must be followed"),
        ("a[ 0 ]", 2, "[ must be followed"),
        ("[0", 1, "[ must be followed"),
        ("a.*", 3, "a name is missing"),
        ("@", 1, "a name is missing"),
        ("length(a)", 7, "a step starts with"),
        ("a|b", 2, "a step starts with"),
        ("{a: b}", 1, "a name is missing"),
        ("`1`", 1, "a name is missing"),
        ('a.""', 3, "a name is missing"),
        ('a."b', 3, "a name is missing"),
        ('a."\\x"', 3, "JSON string"),
        ('"a\tb"', 1, "JSON string"),
        ('a."\\ud800"', 3, "surrogate"),
        ('"\ud800"', 1, "surrogate"),
        (".".join("a" * 17), 32, "more than 16 steps"),
    ],
)
def test_what_is_no_path_is_refused(text: str, column: int, what: str) -> None:
    """A refusal names the column, what is wrong there and how a path is written."""
    with pytest.raises(ValueError, match="a path is written like") as refusal:
        compile_path(text)

    assert f"{text!r}, column {column}: " in str(refusal.value)
    assert what in str(refusal.value)


def test_a_long_path_is_refused() -> None:
    """A path has 200 characters at most, and the refusal does not repeat it."""
    compile_path("a" * 200)

    with pytest.raises(ValueError, match=r"^a path of 201 characters is too long \(200 at most\)$"):
        compile_path("a" * 201)


def test_sixteen_steps_are_accepted() -> None:
    """The largest number of steps is a path."""
    assert compile_path(".".join("a" * 16)).steps == ("a",) * 16


@pytest.mark.parametrize(
    ("text", "document", "expected"),
    [
        ("a", {"a": None}, (True, None)),
        ("a", {}, (False, None)),
        ("a.b", {"a": None}, (False, None)),
        ("a", [1], (False, None)),
        ("a", "a", (False, None)),
        ("[0]", [None], (True, None)),
        ("[0]", [], (False, None)),
        ("[1]", [0], (False, None)),
        ("[-1]", [0, 1], (True, 1)),
        ("[-2]", [0], (False, None)),
        ("[0]", "text", (False, None)),
        ("[0]", {"0": 1}, (False, None)),
        ("a[*]", {"a": [1, None, 0, False]}, (True, [1, 0, False])),
        ("a[*].b", {"a": []}, (True, [])),
        ("a[*].b", {"a": [1, {"b": None}]}, (True, [])),
        ("a[*].b", {"a": {}}, (False, None)),
        ("a[*].b[*].c", {"a": [{"b": [{"c": 1}, {"c": 2}]}, {"b": 3}, {"b": []}]}, (True, [[1, 2], []])),
        ("[*][0]", [[1, 2], [], 3, [4]], (True, [1, 4])),
    ],
)
def test_find_tells_null_from_absent(text: str, document: object, expected: tuple[bool, object]) -> None:
    """A null is there, a missing field or item is not, and `[*]` is there whenever its list is."""
    assert expected == compile_path(text).find(document)


def test_equal_texts_are_equal_paths() -> None:
    """A path is a value: equal and hashable."""
    assert {Path("a[*]", ("a", ALL_ITEMS))} == {compile_path("a[*]")}
