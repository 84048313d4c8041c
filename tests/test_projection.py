"""A projection finds what the whole document holds at its paths, and never reports what a cut may have changed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resilience._paths import Path, compile_path
from resilience._projection import Projection

NAMES = st.sampled_from(["a", "b", "c", "x-y", "é", 'q"'])
STEPS = NAMES.map(lambda name: "." + json.dumps(name)) | st.sampled_from(["[0]", "[1]", "[-1]", "[*]"])
PATHS = st.lists(STEPS, min_size=1, max_size=4).map(lambda steps: compile_path("".join(steps).removeprefix(".")))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | TEXTS, inner, max_size=4),
    max_leaves=25,
)
WRITTEN = st.builds(
    lambda document, ascii_only, indent: json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode(),
    DOCUMENTS,
    st.booleans(),
    st.sampled_from([None, 1]),
)
NOTHING = (False, None)


def projection(*texts: str) -> Projection:
    """A projection to the paths with these texts."""
    return Projection(compile_path(text) for text in texts)


def found(paths: Iterable[Path], document: object) -> list[tuple[bool, object]]:
    """What each of the paths finds, so that `1`, `1.0` and `True` differ."""
    return [(there, repr(value)) for there, value in (path.find(document) for path in paths)]


@given(st.lists(PATHS, max_size=5), WRITTEN)
def test_finds_what_the_document_holds(paths: list[Path], data: bytes) -> None:
    """Every path finds in the projection what it finds in the whole document."""
    document = Projection(paths).read(data, complete=True)

    assert found(paths, json.loads(data)) == found(paths, document)


@given(st.lists(PATHS, min_size=1, max_size=3), WRITTEN)
def test_reports_nothing_that_a_cut_changes(paths: list[Path], data: bytes) -> None:
    """Cut at any byte, a value is found as it is in the whole document, or not at all."""
    fields = Projection(paths)
    whole = found(paths, json.loads(data))

    for end in range(len(data) + 1):
        for expected, actual in zip(whole, found(paths, fields.read(data[:end], complete=False)), strict=True):
            assert actual in (expected, (False, "None"))


@given(st.lists(PATHS, max_size=4), st.binary(max_size=40) | WRITTEN, st.integers(0, 99), st.binary(max_size=3))
def test_hostile_bytes_never_raise(paths: list[Path], data: bytes, position: int, noise: bytes) -> None:
    """Random bytes, and documents with random bytes in them, are read to something, complete or not."""
    fields = Projection(paths)
    damaged = data[:position] + noise + data[position + 1 :]

    for complete in (True, False):
        document = fields.read(damaged, complete=complete, content_type="application/json; charset=utf-16")

        assert len(found(paths, document)) == len(paths)


@given(
    st.lists(PATHS, max_size=4), WRITTEN, st.integers(0, 99), st.binary(max_size=3), st.sampled_from(["", "shift_jis"])
)
@example([compile_path("a")], b'{"b": "\x95\\", "a": 1, "": "}"}', 99, b"", "shift_jis")
@example([compile_path("a.b")], b'{"a": 1, "a": {"b": NaN}}', 99, b"", "")
@example([compile_path("a[0].b")], b'{"a": [null, {"b": "\\ud800"}]}', 99, b"", "")
def test_msgspec_changes_nothing(paths: list[Path], data: bytes, position: int, noise: bytes, charset: str) -> None:
    """Where it is not installed the same is read, of whole documents and of damaged ones."""
    damaged = data[:position] + noise + data[position + 1 :] if noise else data
    fields, without = Projection(paths), Projection(paths)
    assert fields._skim is not None
    without._skim = None

    with_it, without_it = (
        each.read(damaged, complete=True, content_type=f"application/json; charset={charset}")
        for each in (fields, without)
    )

    assert (without_it is None) == (with_it is None)
    assert found(paths, without_it) == found(paths, with_it)


def test_where_there_is_no_msgspec_it_reads_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on PyPy."""
    monkeypatch.setitem(sys.modules, "msgspec", None)

    fields = projection("a")

    assert fields._skim is None
    assert {"a": 1} == fields.read(b'{"a": 1, "b": 2}', complete=True)


@given(st.text('{}[]",:\\ud8ntrue0-.eE \n', max_size=25))
@example('{"a": "\\')
@example('{"a": {"\\ud800": [')
@example('{"a": ]}}]')
@example('{{{"a"')
def test_almost_json_never_raises(text: str) -> None:
    """What looks like JSON and is not is read to something, complete or not."""
    for fields in (projection("a.d", "u"), projection("[0].u", "[*]"), projection("a", "[0]")):
        for complete in (True, False):
            document = fields.read(text.encode(), complete=complete)

            assert len(found(fields.paths, document)) == len(fields.paths)


def test_only_the_fields_asked_for_are_read() -> None:
    """The rest of the document is not built."""
    data = b'{"data": {"status_code": 200, "content": "<p>"}, "more": [1, 2, 3], "items": [{"id": 1, "name": "x"}, 5]}'

    document = projection("data.status_code", "items[0].id").read(data, complete=True)

    assert document == {"data": {"status_code": 200}, "items": [{"id": 1}, None]}


def test_the_paths_are_kept() -> None:
    """A projection says which paths it reads."""
    assert (compile_path("a"), compile_path("b[0]")) == projection("a", "b[0]").paths


@pytest.mark.parametrize(
    ("texts", "data", "expected"),
    [
        (["error", "error.code"], '{"error": {"code": 1, "x": 2}}', {"error": {"code": 1, "x": 2}}),
        (["error.code", "error"], '{"error": "text"}', {"error": "text"}),
        (["error.code", "error[0].code"], '{"error": [{"code": 1}]}', {"error": [{"code": 1}]}),
        (["error.code", "error[0].code"], '{"error": {"code": 1}}', {"error": {"code": 1}}),
        (["error.code"], '{"error": null}', {}),
        (["error.code"], '{"error": {"code": null}}', {"error": {"code": None}}),
        (["a[0].b"], '{"a": {"0": {"b": 1}}}', {}),
        (["a.b"], "[1]", None),
        (["[0]"], '{"a": 1}', None),
        (["a"], "1", None),
        ([], '{"a": 1}', {}),
    ],
)
def test_values_of_another_type_are_absent(texts: list[str], data: str, expected: object) -> None:
    """A prefix is read whole, and what has another type than the paths expect leads nowhere."""
    assert expected == projection(*texts).read(data.encode(), complete=True)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", NOTHING),
        (b"   ", NOTHING),
        (b'{"a": 1', NOTHING),
        (b'{"a": 1} x', NOTHING),
        (b"{'a': 1}", NOTHING),
        (b"<html>", NOTHING),
        (b"[" * 100_000, NOTHING),
        (b'{"a":' * 100_000, NOTHING),
        (b'{"a": ' + b"9" * 100_000 + b"}", NOTHING),
        (b'{"a": 123456789012345678901234567890}', (True, 123456789012345678901234567890)),
        (b'{"a": 1e999}', (True, float("inf"))),
        (b'{"a": 1, "a": 2}', (True, 2)),
        (b'{"a": 1, "a": {"b": 2}}', (True, {"b": 2})),
        (b'\xef\xbb\xbf{"a": 1}', (True, 1)),
        (b'{"a": "\xff"}', (True, "\ufffd")),
        (b'{"a": "\\ud83d\\ude00"}', (True, "😀")),
        (b'{"a": "\\ud83d\\ude00\\uDE00x\\\\ud800\\ud800"}', (True, "😀\ufffdx\\ud800\ufffd")),
        (b'{"b": "\\ud800", "a": 1}', (True, 1)),
        (b'{"a": "\\u12"}', NOTHING),
        ('{"a": "é"}'.encode("utf-16"), NOTHING),
    ],
)
def test_strange_bodies(data: bytes, expected: tuple[bool, object]) -> None:
    """What is no JSON holds nothing; what is strange but can be read is read, the last of equal keys and U+FFFD."""
    assert expected == compile_path("a").find(projection("a").read(data, complete=True))


def test_what_stands_beside_a_field_may_be_nested_without_end() -> None:
    """It ends the reading, or is passed over (by msgspec, where the interpreter bounds its stack and not the depth)."""
    data = b'{"a": 1, "b": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    assert compile_path("a").find(projection("a").read(data, complete=True)) in (NOTHING, (True, 1))


def test_not_a_number_is_read_as_python_reads_it() -> None:
    """NaN is no JSON, but servers send it, and it does no harm to the other fields."""
    there, value = compile_path("a").find(projection("a").read(b'{"a": NaN}', complete=True))

    assert there
    assert repr(value) == "nan"


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        ('{"a": "é"}'.encode("latin-1"), "application/json; charset=iso-8859-1"),
        ('{"a": "é"}'.encode("utf-16"), "application/json; charset=UTF-16"),
        ('{"a": "é"}'.encode(), "application/json; charset=iso-8859-1"),
    ],
)
def test_the_charset_is_used_for_what_is_not_utf_8(data: bytes, content_type: str) -> None:
    """JSON is UTF-8; only what is not is decoded as declared."""
    assert projection("a").read(data, complete=True, content_type=content_type) == {"a": "é"}


@pytest.mark.parametrize(
    ("text", "data", "expected"),
    [
        ("a", '{"a": 40', NOTHING),
        ("a", '{"a": 404,', (True, 404)),
        ("a", '{"a": 404}', (True, 404)),
        ("a", '{"a": 1e', NOTHING),
        ("a", '{"a": tru', NOTHING),
        ("a", '{"a": "x', NOTHING),
        ("a", '{"a": "x"', (True, "x")),
        ("a", '{"a": "x", "b": "long te', (True, "x")),
        ("a", '{"a": "{[", "b": "]}\\', (True, "{[")),
        ("a", '{"a": null, "b"', (True, None)),
        ("a", '{"b": {"a": 1}, "a": 2, "c": {"a": 3', (True, 2)),
        ("a", '{"s": "a", "n": 1, "a": {"b": 1', NOTHING),
        ("a.b", '{"a": {"b": 1, "c": 2', (True, 1)),
        ("a.b", '{"x": [[{"a": {"b": 5}}]], "a": {"b": 1, ', (True, 1)),
        ("a", '{"a": {"b": 1', NOTHING),
        ("a", '{"a": {"b": 1}', (True, {"b": 1})),
        ("a", '{"a": {"b": [1, "}"]}, "c": [1', (True, {"b": [1, "}"]})),
        ("a", '{"b": [[[[[[[[[{}]]]]]]]]], "a": {"b": 1', NOTHING),
        ("a.b", '{"b": [[[[[[[[[{}]]]]]]]]], "a": {"b": [1], "c": 2', (True, [1])),
        ("a", '{"a": {"b": [[[[[[[[[{}]]]]]]]]]}, "c": [', (True, {"b": [[[[[[[[[{}]]]]]]]]]})),
        ("a", '{"a": [1, 2', NOTHING),
        ("a[0]", '{"a": [1, 2', (True, 1)),
        ("a[0]", '{"a": [[1, 2], [3', (True, [1, 2])),
        ("a[0]", '{"a": [[1, 2', NOTHING),
        ("a[0].b", '{"a": [{"b": 1, ', (True, 1)),
        ("a[-1]", '{"a": [1, 2', NOTHING),
        ("a[-1]", '{"a": [1, 2]', (True, 2)),
        ("a[*].b", '{"a": [{"b": 1}, {"b": 2}', NOTHING),
        ("a[*].b", '{"a": [{"b": 1}, {"b": 2}], "c', (True, [1, 2])),
        ("a[0][*]", '{"a": [[1, 2], 3', (True, [1, 2])),
        ("[0]", "[1, 2", (True, 1)),
        ("[*]", "[1, 2", NOTHING),
        ('"a\\"b"', '{"a\\"b": {"c": 1', NOTHING),
        ('"é"', '{"\\u00e9": {"c": 1', NOTHING),
        ("a", '{"\ud800', NOTHING),
        ("a", '{"a": 1, "b": x', NOTHING),
        ("a", ' {"a": [1]} ]} {{"a": [', (True, [1])),
        ("a", '{"a": [1]}{"a": [1', (True, [1])),
    ],
)
def test_what_is_certain_before_a_cut(text: str, data: str, expected: tuple[bool, object]) -> None:
    """What stood completely before the cut is found; a value that the rest could change is not."""
    document = projection(text).read(data.encode("utf-8", "surrogatepass"), complete=False)

    assert expected == compile_path(text).find(document)


def test_a_prefix_that_is_cut_takes_its_fields_along() -> None:
    """Where an object and one of its fields are asked for, and the object is cut, neither is reported."""
    fields = projection("error", "error.code", "status")

    document = fields.read(b'{"status": 4, "error": {"code": 1, "mess', complete=False)

    assert document == {"status": 4}


def test_a_cut_before_the_damage_is_no_damage() -> None:
    """A character that the cut divides, at the end of a string that nobody asked for, does no harm."""
    data = '{"a": "é", "b": "é'.encode()[:-1]

    assert projection("a", "b").read(data, complete=False) == {"a": "é"}


def test_importing_does_not_import_pydantic_core() -> None:
    """The parser is imported with the first projection, not with the package."""
    code = "import sys, resilience._projection; print('pydantic_core' in sys.modules)"

    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert answer.stdout == "False\n"
