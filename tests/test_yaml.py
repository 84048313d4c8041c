"""YAML becomes plain data with places, or a list of problems with places; never anything else, and never late."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from resilience import _yaml
from resilience._document import LARGEST_FILE, Document, shown
from resilience._yaml import DEEPEST, MOST_NODES, decode, parse, plain
from resilience.errors import Place, PolicyError, Problem

# There is a wheel with libyaml for most machines; PyYAML that was built without it has one loader.
LOADERS = list({getattr(yaml, "CSafeLoader", yaml.SafeLoader): None, yaml.SafeLoader: None})
PIECES = [
    *("a", "b", "k: ", "- ", "? ", ": ", "&a ", "*a", "!t ", "!!str ", "%YAML 1.1\n", "---\n", "...\n", "|\n", "> \n"),
    *("|+2\n", "'", '"', "\\x41", "\\uD800", "\\UFFFFFFFF", "\\0", "{", "}", "[", "]", ",", "\n", "\n  ", "  ", " "),
    *(
        "#c\n",
        "\t",
        "<<: ",
        "1",
        "0x",
        "1e",
        "2026-01-01",
        "\r",
        "\u2028",
        "\ufeff",
        "😀",
        "`",
        "!<tag:%FF>",
        "~",
        "\0",
    ),
]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's parsers."""
    monkeypatch.setattr(_yaml, "_LOADER", request.param)


both_parsers = pytest.mark.usefixtures("_loader")


def problems(text: str | bytes) -> list[str]:
    """The problems of a text that must be refused."""
    with pytest.raises(PolicyError) as caught:
        parse(text, "f")
    return [str(problem) for problem in caught.value.problems]


def outcome(text: str | bytes) -> Document | tuple[Problem, ...]:
    """What a text of any kind becomes; any other error fails the test."""
    try:
        return parse(text, "f")
    except PolicyError as error:
        return error.problems


@both_parsers
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[(text, True) for text in ("true", "True", "TRUE")],
        *[(text, False) for text in ("false", "False", "FALSE")],
        *[(text, None) for text in ("", "~", "null", "Null", "NULL")],
        *[
            (text, text)
            for text in ("NO", "no", "on", "off", "yes", "y", "tRue", "1:30", "0o17", "1_000", "1e", "+", ".")
        ],
        *[(text, text) for text in ("2026-1-2", "2026-11-21T00:00:00Z", "-0x1F", "0x", "1.2.3", "x1", "-a", "=")],
        *[("0", 0), ("-12", -12), ("+7", 7), ("007", 7), ("0x1F", 31), (str(2**63 - 1), 2**63 - 1)],
        *[(".5", 0.5), ("1e3", 1000.0), ("-1.5E-2", -0.015), ("1.", 1.0)],
        *[("2026-11-21", date(2026, 11, 21)), ("'5'", "5"), ('"true"', "true"), ("''", "")],
    ],
)
def test_reads_the_scalars_of_the_core_schema(text: str, expected: object) -> None:
    """Only the words of YAML 1.2, numbers and dates are more than text, and what is quoted is text."""
    actual: Any = parse(f"a: {text}", "f").data

    assert (expected, type(expected)) == (actual["a"], type(actual["a"]))


@both_parsers
@pytest.mark.parametrize(
    ("text", "message"),
    [
        *[(text, f"{text} is not a finite number") for text in (".inf", "-.Inf", "+.INF", ".nan", ".NaN")],
        ("2026-02-30", "there is no day 2026-02-30"),
        ("1e999", "1e999 is too large a number"),
        (str(2**63), f"{2**63} is too large a number"),
        (str(-(2**63) - 1), f"{-(2**63) - 1} is too large a number"),
        ("0xFFFFFFFFFFFFFFFF", "0xFFFFFFFFFFFFFFFF is too large a number"),
        ("9" * 5000, f"{'9' * 40} is too long a number"),
        (f".{'1' * 64}", f".{'1' * 39} is too long a number"),
    ],
)
def test_refuses_numbers_and_dates_that_cannot_be_used(text: str, message: str) -> None:
    """What looks like a number or a date and is none is an error, not quietly text."""
    actual = problems(f"a: {text}")

    assert [f"f:1:4: {message} (put it in quotes if it is text)"] == actual


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_come_back(number: int) -> None:
    """Every number of 64 bits is read as itself."""
    assert number == plain(str(number))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back(number: float) -> None:
    """Every finite double is read as itself."""
    assert number == plain(repr(number))


@both_parsers
def test_knows_the_place_of_every_key_and_value() -> None:
    """Lines and columns count from 1; in flow style as in block style."""
    document = parse("a:\n  - x: 1\n    é: [y, {z: 2}]\n", "f")

    expected = {
        (): "f:1:1",
        ("a",): "f:2:3",
        ("a", 0): "f:2:5",
        ("a", 0, "x"): "f:2:8",
        ("a", 0, "é"): "f:3:8",
        ("a", 0, "é", 0): "f:3:9",
        ("a", 0, "é", 1): "f:3:12",
        ("a", 0, "é", 1, "z"): "f:3:16",
    }
    keys = {("a",): "f:1:1", ("a", 0, "x"): "f:2:5", ("a", 0, "é"): "f:3:5", ("a", 0, "é", 1, "z"): "f:3:13"}
    assert expected == {path: str(place) for path, place in document.places.items()}
    assert keys == {path: str(place) for path, place in document.key_places.items()}


def test_an_unknown_place_is_its_nearest_parents() -> None:
    """A key that is missing is looked for where its mapping stands."""
    document = Document({}, {(): Place("f", 1, 1), ("a",): Place("f", 2, 3)}, {("a",): Place("f", 2, 1)})

    assert Place("f", 2, 1) == document.place(("a",), key=True)
    assert Place("f", 2, 3) == document.place(("a", "b", 0), key=True)
    assert Place("f", 1, 1) == document.place(("b",))


@both_parsers
def test_aliases_stand_for_what_is_anchored() -> None:
    """An alias has its own place, what is in it the place where it is written; a later anchor takes a name over."""
    document = parse("a: &x [1, {b: 2}]\nc: *x\nd: &x 5\n&k e: *x\nf: {*k : 0}\n", "f")

    assert {"a": [1, {"b": 2}], "c": [1, {"b": 2}], "d": 5, "e": 5, "f": {"e": 0}} == document.data
    assert "f:2:4" == str(document.places["c",])
    assert "f:1:15" == str(document.places["c", 1, "b"])
    assert "f:1:12" == str(document.key_places["c", 1, "b"])


@both_parsers
def test_collects_every_problem_of_keys_tags_and_aliases() -> None:
    """One run shows them all, in order, and what follows a refused key is still looked at."""
    actual = problems(
        "a: {x: 1}\na: {x: 2}\n404: x\ntrue: y\n? [b]\n: 1\n? [b]\n: {t: !!python/object z}\n<<: 3\n"
        'q: *zz\nr: &r [*r]\ns: .inf\nt: "\\0"\nu: ! v\n!x w: !<tag:example.com,2026:y> [1]\n'
    )

    assert [
        "f:2:1: the key 'a' stands twice (it stood first at f:1:1; keep one)",
        "f:3:1: a key must be text, not 404 (put it in quotes)",
        "f:4:1: a key must be text, not true (put it in quotes)",
        "f:5:3: a key must be text, not a list (put it in quotes)",
        "f:7:3: a key must be text, not a list (put it in quotes)",
        "f:8:7: the tag !!python/object is not allowed (leave it out; quote what must stay text)",
        "f:9:1: the merge key << is not allowed (use `extends`, or write the keys out)",
        "f:10:4: the alias 'zz' has no anchor before it (write the value out)",
        "f:11:8: the alias 'r' stands within its own anchor (write the value out)",
        "f:12:4: .inf is not a finite number (put it in quotes if it is text)",
        "f:13:4: the character U+0000 is not allowed (leave out its escape)",
        "f:14:4: the tag ! is not allowed (leave it out; quote what must stay text)",
        "f:15:1: the tag !x is not allowed (leave it out; quote what must stay text)",
        "f:15:7: the tag tag:example.com,2026:y is not allowed (leave it out; quote what must stay text)",
    ] == actual


@both_parsers
def test_a_quoted_merge_key_is_a_key() -> None:
    """Quotes make any scalar plain text, keys as well as values."""
    document = parse("\"<<\": '<<'\n'404': 1\n'': 2", "f")

    assert {"<<": "<<", "404": 1, "": 2} == document.data


@both_parsers
def test_a_syntax_error_comes_after_the_problems_before_it() -> None:
    """The parser's own words are kept, with the place where it gave up."""
    actual = problems("a: 1\na: 2\nb: [1, 2\nc: 3\n")

    assert "f:2:1: the key 'a' stands twice (it stood first at f:1:1; keep one)" == actual[0]
    assert actual[1].startswith("f:4:")
    assert "this is not YAML: while parsing a flow sequence" in actual[1]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("\ta: 1", "1:1"),
        ("a:\n\tb: 1", "2:1"),
        ("ä: ß\r\nb:\r\n  \tc: 1", "3:3"),
        ("a:\n  b: 1\n\tc: 2", "3:1"),
    ],
)
@both_parsers
def test_a_tab_that_indents_is_named(text: str, place: str) -> None:
    """The parsers speak of a character that cannot start any token."""
    message = f"f:{place}: this is not YAML: a tab stands where YAML takes only blanks (indent with blanks)"

    assert [message] == problems(text)


@pytest.mark.parametrize("text", ["%YAML 1." + "1" * 5000 + "\n---\na: 1", 'a: "\\UFFFFFFFF"', 'a: "\\uD800"'])
@both_parsers
def test_strange_escapes_are_problems(text: str) -> None:
    """What only one of PyYAML's parsers refuses, or with an error of Python's, is refused alike."""
    assert 1 == len(problems(text))


@pytest.mark.parametrize("error", [yaml.MarkedYAMLError(problem="odd"), yaml.YAMLError("odd")])
def test_an_error_without_a_place_is_shown_at_the_top(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML does not promise that its errors have places."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(yaml, "parse", fail)

    assert problems("a: 1")[0].startswith("f:1:1: this is not YAML: odd (")


@both_parsers
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "f:1:1: the file is empty (write at least one key)"),
        ("# only this\n", "f:1:1: the file is empty (write at least one key)"),
        ("---\n...\n", "f:1:1: the file is empty (write at least one key)"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document starts here (keep one document in one file)"),
        (b"a: 1\r\nb\xff: 2", "f:2:2: the byte 0xff is not UTF-8 (save the file as UTF-8 text)"),
        ("a: \ud800", "f:1:4: the byte 0xed is not UTF-8 (save the file as UTF-8 text)"),
        ("a: 1".encode("utf-16"), "f:1:1: the file is UTF-16 (save it as UTF-8)"),
        (b"\xfe\xff\0a", "f:1:1: the file is UTF-16 (save it as UTF-8)"),
        ("a: 1\rb: \0", "f:2:4: the character U+0000 is not allowed (the file must be plain text)"),
        ("a: \u2028", "f:1:4: the character U+2028 is not allowed (the file must be plain text)"),
        ("a: \x85", "f:1:4: the character U+0085 is not allowed (the file must be plain text)"),
        ("a: b\ufeff", "f:1:5: the character U+FEFF is not allowed (the file must be plain text)"),
        ("%TAG ! x\n---\na: 1", "f:1:1: the directive %TAG is not allowed (leave it out: tags are not allowed either)"),
        ("#\r%TAG ! x", "f:2:1: the directive %TAG is not allowed (leave it out: tags are not allowed either)"),
        (b"a" * (LARGEST_FILE + 1), "f:1:1: the file is larger than 1 MiB (split it into several files)"),
    ],
)
def test_refuses_what_is_not_one_document_of_plain_text(text: str | bytes, expected: str) -> None:
    """Each with its place and what to do."""
    assert [expected] == problems(text)


@both_parsers
def test_a_leading_byte_order_mark_is_no_part_of_the_text() -> None:
    """Some editors write one; columns count without it."""
    document = parse(b"\xef\xbb\xbfa: 1", "f")

    assert "f:1:1" == str(document.place(("a",), key=True))
    assert "a: 1" == decode("\ufeffa: 1", "f")
    assert "f:1:4: the byte 0xff" in problems(b"\xef\xbb\xbfa: \xff")[0]


@both_parsers
def test_depth_is_bounded_with_aliases_expanded() -> None:
    """32 lists within one another are read and 33 are refused, however they are written."""
    assert [] != parse("[" * DEEPEST + "]" * DEEPEST, "f").data
    assert ["f:1:33: more than 32 mappings and lists stand within one another (nest them less)"] == problems(
        "[" * 99999
    )
    inner = "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    assert parse(f"a: &a {inner}\nb: *a", "f").data
    assert "f:2:5: more than 32" in problems(f"a: &a {inner}\nb: [*a]")[0]
    assert "f:2:9: more than 32" in problems(f"a: &a {inner}\nb: {{c:  *a}}")[0]


@both_parsers
def test_nodes_are_bounded_with_aliases_expanded() -> None:
    """20,000 keys and values are read and one more is refused; an alias costs what it stands for."""
    assert MOST_NODES - 1 == len(parse("- 1\n" * (MOST_NODES - 1), "f").data)  # type: ignore[arg-type]
    assert "f:20000:3: the file holds more than 20000 keys" in problems("- 1\n" * MOST_NODES)[0]
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} {{l: *a{n - 1}, r: *a{n - 1}}}\n" for n in range(1, 25))
    assert "the file holds more than 20000 keys" in problems(bomb)[0]


def test_the_list_of_problems_is_bounded() -> None:
    """A hostile file cannot fill the screen."""
    actual = problems("a: 1\n" * 5000)

    assert 101 == len(actual)
    assert "f:101:1: there are more problems than are shown (correct these first)" == actual[-1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[
            (None, "nothing"),
            (True, "true"),
            (False, "false"),
            (1, "1"),
            (0.5, "0.5"),
            (date(2026, 1, 2), "2026-01-02"),
        ],
        *[({}, "a mapping"), ([], "a list"), ("a'b", '"a\'b"'), ("x" * 58, f"'{'x' * 58}'")],
        *[("x" * 59, f"'{'x' * 56}..."), ("\x01" * 99, "'" + "\\x01" * 14 + "..."), (10**80, "1" + "0" * 56 + "...")],
    ],
)
def test_shows_values_in_yamls_words_and_short(value: object, expected: str) -> None:
    """Never more than 60 characters."""
    actual = shown(value)

    assert expected == actual
    assert len(actual) <= 60


@given(st.binary() | st.text() | st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.sampled_from(LOADERS))
def test_any_text_is_data_or_problems(text: str | bytes, loader: Any) -> None:
    """Nothing else comes out, each problem has its place, and it does not take long."""
    started = time.perf_counter()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_yaml, "_LOADER", loader)
        found = outcome(text)

    assert () in found.places if isinstance(found, Document) else found
    assert isinstance(found, Document) or all(problem.place > Place("f", 1, 0) for problem in found)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "text",
    [
        *["[" * LARGEST_FILE, "- " * (LARGEST_FILE // 2), "? " * (LARGEST_FILE // 2), "a" * LARGEST_FILE],
        *[
            "a\n" * (LARGEST_FILE // 2),
            '"' + "\\x41" * (LARGEST_FILE // 5) + '"',
            "1" * LARGEST_FILE,
            "a: 1\n" * 200_000,
        ],
        *["".join(f"%TAG !{n}! x\n" for n in range(40_000)), "a: &a [1]\nb: [" + "*a, " * 200_000, "--- 1\n" * 150_000],
        *["&" + "a" * (LARGEST_FILE - 9) + " x", "a:\t" * 300_000, "".join(f"{' ' * n}a:\n" for n in range(1000))],
    ],
    ids=lambda text: str(text[:12]),
)
def test_large_hostile_files_are_read_quickly(text: str) -> None:
    """No construction of a megabyte costs more than a few seconds, whichever way it ends."""
    started = time.perf_counter()

    found = outcome(text)

    assert isinstance(found, Document) or 1 <= len(found) <= 101
    assert time.perf_counter() - started < 4
