"""pydantic's errors become places, plain words and remedies, all of them at once."""

from __future__ import annotations

import time
from datetime import date
from enum import Enum
from types import NoneType
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Discriminator, Field, HttpUrl, RootModel, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from resilience._document import Document
from resilience._model import Model
from resilience._units import Duration
from resilience._validate import validate
from resilience._yaml import parse
from resilience.errors import Place, PolicyError


class Fixed(Model):
    """One member of a tagged union."""

    kind: Literal["fixed"]
    seconds: int


class Growing(Model):
    """Another member of it."""

    kind: Literal["growing", "rising"]
    factor: float = 2.0


class Named(Model):
    """A member of a union without a tag."""

    name: str


class Point(Model):
    """A member that shares a key with another."""

    x: int
    y: int
    name: str = ""


class Sized(Model):
    """Another one, with more keys."""

    size: int
    unit: str = "B"


class Colour(Enum):
    """Values that are written by their text."""

    RED = "red"
    GREEN = "green"


class Codes(RootModel[list[Literal["alpha", "beta"]]]):
    """A model that is written as what it holds."""


Backoff = Annotated[Fixed | Growing, Field(discriminator="kind")]


class Region(Model):
    """What stands in a mapping by names."""

    zone: str = ""
    hosts: list[str] = []


class Landscape(Model):
    """What stands alone and in a list."""

    hills: int = 0


class Roof(Model):
    """A file of which most stands one mapping lower."""

    match: Region | None = None
    regions: dict[str, Region] = {}
    first: Landscape | None = None
    listed: tuple[Landscape | None, ...] = ()
    tagged: Backoff | list[Backoff] | None = None


class Crowd(Model):
    """A file in which a key belongs in too many places to name them."""

    aa: Region | None = None
    bb: Region | None = None
    cc: Region | None = None
    dd: Region | None = None


def shape_of(value: Any) -> str | None:
    """Which member of a union a value is meant to be."""
    if isinstance(value, dict):
        return "word" if "x" in value else "sized"
    return "word" if isinstance(value, str) else None


Shaped = Annotated[Annotated[Sized, Tag("sized")] | Annotated[Point | int, Tag("word")], Discriminator(shape_of)]
Alias = TypeAliasType("Alias", Named | Sized)


class Root(Model):
    """Everything that an annotation may be."""

    count: Annotated[int, Field(ge=1, le=5)] = 1
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    even: Annotated[int, Field(multiple_of=2)] = 2
    flag: bool = False
    text: Annotated[str, Field(min_length=2, max_length=4, pattern="^[a-z]+$")] = "aa"
    day: date | None = None
    url: HttpUrl | None = None
    colour: Colour = Colour.RED
    level: Literal["full", "none", 3] = "full"
    several: Annotated[list[int], Field(min_length=1, max_length=2)] = [1]
    pair: tuple[int, str] = (1, "")
    backoff: Backoff | None = None
    either: Named | Sized | None = None
    eithers: tuple[Named | Sized, ...] = ()
    alias: Alias | None = None
    mixed: int | list[int] | Literal["all", "any"] | None = None
    nested: Backoff | list[Backoff] | None = None
    wait: Duration | Literal["never"] = 1.0
    shaped: Shaped | None = None
    codes: Codes = Codes(["alpha"])
    pointed: Named | Point | None = None
    number: int | float | None = None
    second: tuple[int, Literal["one", "two"]] = (1, "one")
    levels: tuple[Literal["full", "none"], ...] = ()
    by_colour: dict[Literal["red", "green"], Named] = {}
    matching: dict[Annotated[str, Field(pattern="^a")], int] = {}
    for_: tuple[str, ...] = Field(default=(), alias="for")
    secret: bytes = b""
    anything: Any = None
    looks: complex = 0j
    of_class: type[int] | None = None
    rules: dict[str, Any] = {}
    checked: str = ""

    @field_validator("checked")
    @classmethod
    def _check(cls, value: str) -> str:
        if value == "value":
            raise ValueError("the value is bad")
        if value == "assertion":
            raise AssertionError("the assertion is bad")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Root:
        if "at" in self.rules:
            context = {"at": self.rules["at"], "remedy": "do this"}
            raise PydanticCustomError("rules", "the rules do not agree", context)
        return self


def problems(text: str, model: type[Model] = Root) -> list[str]:
    """The problems of a text that must be refused."""
    with pytest.raises(PolicyError) as caught:
        validate(model, parse(text, "f"))
    return [str(problem) for problem in caught.value.problems]


def test_data_that_fits_becomes_the_model() -> None:
    """Nothing is asked of the places then."""
    actual = validate(Root, Document({"count": 3, "for": ["a"]}, {(): Place("f", 1, 1)}, {}))

    assert Root.model_validate({"count": 3, "for": ["a"]}) == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count: x", "f:1:8: 'count' must be a whole number, not 'x'"),
        ("count: 1.5", "f:1:8: 'count' must be a whole number, not 1.5"),
        ("count:", "f:1:7: 'count' must be a whole number, not nothing"),
        ("count: {a: 1}", "f:1:8: 'count' must be a whole number, not a mapping"),
        ("count: 0", "f:1:8: 'count' must be at least 1, not 0"),
        ("count: 6", "f:1:8: 'count' must be at most 5, not 6"),
        ("ratio: x", "f:1:8: 'ratio' must be a number, not 'x'"),
        ("ratio: 0", "f:1:8: 'ratio' must be more than 0.0, not 0"),
        ("ratio: 1", "f:1:8: 'ratio' must be less than 1.0, not 1"),
        ("even: 3", "f:1:7: 'even' must be a multiple of 2, not 3"),
        ("flag: maybe", "f:1:7: 'flag' must be true or false, not 'maybe'"),
        ("flag: []", "f:1:7: 'flag' must be true or false, not a list"),
        ("text: 5", "f:1:7: 'text' must be text, not 5"),
        ("text: a", "f:1:7: 'text' must have at least 2 characters, not be 'a'"),
        ("text: abcde", "f:1:7: 'text' must have at most 4 characters, not be 'abcde'"),
        ("text: AB", "f:1:7: 'text' must be text of the form ^[a-z]+$, not 'AB'"),
        ("day: soon", "f:1:6: 'day' must be a date such as 2026-11-21, not 'soon'"),
        ("url: here", "f:1:6: 'url' must be a URL such as https://example.com/page, not 'here'"),
        ("url: 'ftp://a/'", "f:1:6: 'url' must be a URL such as https://example.com/page, not 'ftp://a/'"),
        ("several: {}", "f:1:10: 'several' must be a list, not a mapping"),
        ("several: []", "f:1:10: 'several' must have at least one entry"),
        ("several: [1, 2, 3]", "f:1:10: 'several' must have at most 2 entries"),
        ("several: [1, x]", "f:1:14: item 2 of 'several' must be a whole number, not 'x'"),
        ("pair: [1]", "f:1:7: item 2 of 'pair' is missing (write it)"),
        ("pair: [1, 2]", "f:1:11: item 2 of 'pair' must be text, not 2"),
        ("rules: 5", "f:1:8: 'rules' must be a mapping, not 5"),
        ("secret: 5", "f:1:9: 'secret' must be text, not 5"),
        ("looks: [1]", "f:1:8: 'looks' cannot be a list"),
        ("of_class: 5", "f:1:11: 'of_class' cannot be 5"),
        ("checked: value", "f:1:10: the value is bad"),
        ("checked: assertion", "f:1:10: the assertion is bad"),
        ("[1]", "f:1:1: the file must be a mapping, not a list"),
        ("5", "f:1:1: the file must be a mapping, not 5"),
    ],
)
def test_says_what_a_value_must_be(text: str, expected: str) -> None:
    """In words that an author of YAML knows, at the value's own place."""
    assert [expected] == problems(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("level: ful", "f:1:8: 'level' must be 'full', 'none' or 3, not 'ful' (did you mean 'full'?)"),
        ("level: 4", "f:1:8: 'level' must be 'full', 'none' or 3, not 4"),
        ("colour: gren", "f:1:9: 'colour' must be 'red' or 'green', not 'gren' (did you mean 'green'?)"),
        ("by_colour: {rde: {name: x}}", "f:1:13: the key must be 'red' or 'green', not 'rde' (did you mean 'red'?)"),
        ("second: [1, on]", "f:1:13: item 2 of 'second' must be 'one' or 'two', not 'on' (did you mean 'one'?)"),
        ("codes: [alpa]", "f:1:9: item 1 of 'codes' must be 'alpha' or 'beta', not 'alpa' (did you mean 'alpha'?)"),
        ("matching: {bc: 1}", "f:1:12: the key must be text of the form ^a, not 'bc'"),
        (
            "mixed: al",
            "f:1:8: 'mixed' must be a whole number, a list, 'all' or 'any', not 'al' (did you mean 'all'?)",
        ),
        (
            "backoff: {kind: fixt, seconds: 1}",
            "f:1:17: 'kind' must be one of 'fixed', 'growing', 'rising', not 'fixt' (did you mean 'fixed'?)",
        ),
        (f"level: {'x' * 500}", f"f:1:8: 'level' must be 'full', 'none' or 3, not '{'x' * 56}..."),
    ],
)
def test_offers_the_nearest_spelling(text: str, expected: str) -> None:
    """Of literals, enumerations, tags and the keys of mappings."""
    assert [expected] == problems(text)


@pytest.mark.parametrize(
    ("model", "key", "remedy"),
    [
        (Roof, "hosts", "write `match: {hosts: ...}` or `regions: {NAME: {hosts: ...}}`"),
        (Roof, "hills", "write `first: {hills: ...}` or `listed: [{hills: ...}]`"),
        (Roof, "factor", "write `tagged: {factor: ...}` or `tagged: [{factor: ...}]`"),
        (Crowd, "hosts", "known keys: aa, bb, cc, dd"),
    ],
)
def test_a_key_that_stands_too_high_is_told_where_it_belongs(model: type[Model], key: str, remedy: str) -> None:
    """In a mapping below, in each entry of one by names or of a list, unless that would be anywhere."""
    with pytest.raises(PolicyError) as caught:
        validate(model, parse(f"{key}: 1", "f"))

    assert f"f:1:1: unknown key '{key}' ({remedy})" == str(caught.value)


KNOWN = ", ".join(field.alias or name for name, field in Root.model_fields.items())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\ncuont: 1", "f:2:1: unknown key 'cuont' (did you mean 'count'?)"),
        ("form: [x]", "f:1:1: unknown key 'form' (did you mean 'for'?)"),
        ("either: {nmae: x, name: y}", "f:1:10: unknown key 'nmae' (did you mean 'name'?)"),
        ("eithers: [{name: x}, {siz: 1, size: 1}]", "f:1:23: unknown key 'siz' (did you mean 'size'?)"),
        ("alias: {uint: x, size: 1}", "f:1:9: unknown key 'uint' (did you mean 'unit'?)"),
        ("by_colour: {red: {name: x, zz: 1}}", "f:1:28: unknown key 'zz' (known keys: name)"),
        ("backoff: {kind: rising, fctor: 1}", "f:1:25: unknown key 'fctor' (did you mean 'factor'?)"),
        ("nested: [{kind: fixed, seconds: 1, secs: 2}]", "f:1:36: unknown key 'secs' (did you mean 'seconds'?)"),
        ("nested: {kind: fixed, seconds: 1, secs: 2}", "f:1:35: unknown key 'secs' (did you mean 'seconds'?)"),
        ("shaped: {size: 1, zz: x}", "f:1:19: unknown key 'zz' (known keys: size, unit)"),
        ("shaped: {x: 1, y: 2, nmae: x}", "f:1:22: unknown key 'nmae' (did you mean 'name'?)"),
        ("shaped: {size: 1, uni: x}", "f:1:19: unknown key 'uni' (did you mean 'unit'?)"),
        ("y: 2", "f:1:1: unknown key 'y' (write `shaped: {y: ...}` or `pointed: {y: ...}`)"),
        ("z: 2", f"f:1:1: unknown key 'z' (known keys: {KNOWN})"),
        ("'{}': 2", f"f:1:1: unknown key '{{}}' (known keys: {KNOWN})"),
    ],
)
def test_offers_the_nearest_key(text: str, expected: str) -> None:
    """An unknown key stands at the key's own place; the keys of the model at that place are offered, by their aliases."""
    actual = [line for line in problems(text) if "unknown key 'a'" not in line]

    assert [expected] == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("either: 5", ["f:1:9: 'either' must be a mapping, not 5"]),
        ("mixed: {}", ["f:1:8: 'mixed' must be a whole number, a list, 'all' or 'any', not a mapping"]),
        ("mixed: [x]", ["f:1:9: item 1 of 'mixed' must be a whole number, not 'x'"]),
        ("wait: 30", ["f:1:7: 30 has no unit; a duration is written as 30s or 1m30s; or it must be 'never'"]),
        ("either: {size: x}", ["f:1:16: 'size' must be a whole number, not 'x'"]),
        ("either: {name: 1}", ["f:1:16: 'name' must be text, not 1"]),
        ("backoff: 5", ["f:1:10: 'backoff' must be a mapping, not 5"]),
        ("backoff: {}", ["f:1:10: missing key 'kind' (write `kind: ...`)"]),
        ("nested: 5", ["f:1:9: 'nested' must be a mapping or a list, not 5"]),
        ("nested: [5]", ["f:1:10: item 1 of 'nested' must be a mapping, not 5"]),
        (
            "pointed: {name: n, x: a, y: 1, z: 1}",
            ["f:1:23: 'x' must be a whole number, not 'a'", "f:1:32: unknown key 'z' (known keys: x, y, name)"],
        ),
        (
            "pointed: {name: n, x: a, y: b}",
            ["f:1:23: 'x' must be a whole number, not 'a'", "f:1:29: 'y' must be a whole number, not 'b'"],
        ),
        ("number: x", ["f:1:9: 'number' must be a number, not 'x'"]),
        ("shaped: []", ["f:1:9: 'shaped' cannot be a list"]),
        ("shaped: abc", ["f:1:9: 'shaped' must be a mapping or a whole number, not 'abc'"]),
        (
            "backoff: {kind: fixed, x: 1}",
            [
                "f:1:10: missing key 'seconds' (write `seconds: ...`)",
                "f:1:24: unknown key 'x' (known keys: kind, seconds)",
            ],
        ),
    ],
)
def test_a_union_speaks_once(text: str, expected: list[str]) -> None:
    """The member that fits best speaks; if none fits, one message says what all of them want."""
    assert expected == problems(text)


def test_shows_every_problem_in_the_order_of_their_places() -> None:
    """One run is enough to correct a file."""
    actual = problems("level: x\ncount: x\nzzz: 1\nby_colour:\n  red:\n    {}\n")

    assert [
        "f:1:8: 'level' must be 'full', 'none' or 3, not 'x'",
        "f:2:8: 'count' must be a whole number, not 'x'",
        "f:3:1: unknown key 'zzz'",
        "f:6:5: missing key 'name' (write `name: ...`)",
    ] == [line.split(" (known")[0] for line in actual]


@pytest.mark.parametrize(
    ("at", "place"),
    [
        ("[rules, b, 0]", "f:3:7"),
        ("[rules, b]", "f:3:6"),
        ("[rules, b, 1]", "f:3:6"),
        ("[rules, b, 7]", "f:3:6"),
        ("[nowhere]", "f:1:1"),
    ],
)
def test_a_validator_of_ours_names_place_and_remedy(at: str, place: str) -> None:
    """Its message is shown as it is; `at` leads on from where the validator stands, as far as it can."""
    text = f"rules:\n  at: {at}\n  b: [1]\n"

    assert [f"{place}: the rules do not agree (do this)"] == problems(text)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Annotated[Any, Field(gt=3)], 1, "f:1:4: 'a' must be more than 3, not 1"),
        (list[list[int]], [[1], ["x"]], "f:1:4: item 1 of item 2 of 'a' must be a whole number, not 'x'"),
        (frozenset[int], 5, "f:1:4: 'a' must be a list, not 5"),
        (dict[str, int] | dict[str, list[int]], {"b": {}}, "f:1:4: 'b' must be a whole number, not a mapping"),
        (NoneType, 5, "f:1:4: 'a' must be nothing, not 5"),
    ],
)
def test_follows_annotations_of_every_kind(annotation: Any, value: object, expected: str) -> None:
    """Also where only the nearest parent's place is known."""

    class Made(Model):
        a: annotation

    document = Document({"a": value}, {(): Place("f", 1, 1), ("a",): Place("f", 1, 4)}, {})

    with pytest.raises(PolicyError) as caught:
        validate(Made, document)

    assert expected == str(caught.value)


def test_a_hostile_file_gets_a_hundred_problems_quickly() -> None:
    """Ten thousand unknown keys, or ten thousand bad members of a union, do not keep anybody waiting."""
    started = time.perf_counter()

    counts = [len(problems("".join(f"key_{n}: 1\n" for n in range(number)))) for number in (100, 101, 9000)]
    members = problems("eithers:\n" + "- 5\n" * 15_000)
    key = problems(f"? {'x' * 900_000}\n: 1")
    words = problems(f"anything: &a {'x' * 900_000}\nlevels: [{'*a, ' * 100}]")

    assert [100, 101, 101, 101, 1, 100] == [*counts, len(members), len(key), len(words)]
    assert "f:101:3: there may be more problems than are shown (correct these first)" in members
    assert f"f:1:3: unknown key '{'x' * 56}... (known keys: count" in key[0]
    assert time.perf_counter() - started < 8


DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Root.model_fields, "for", "kind", "size", "name", "at", "[key]", "int"]), inner
        )
    ),
    max_leaves=20,
)


@given(DATA)
def test_any_data_is_a_model_or_problems(data: object) -> None:
    """No shape of data brings anything else out, and nobody sees pydantic's words."""
    try:
        validate(Root, Document(data, {(): Place("f", 1, 1)}, {}))
    except PolicyError as error:
        text = str(error)
    else:
        text = ""

    assert not [word for word in ("pydantic", "Input should", "Field required", "https://errors") if word in text]
