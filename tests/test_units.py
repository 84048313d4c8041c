"""Durations and sizes carry their units, and what is written reads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from resilience._units import Duration, Size, TimeLimit, duration_text, parse_duration, parse_size, size_text

DURATION = TypeAdapter[float](Duration)
SIZE = TypeAdapter[int](Size)
YEAR = 366 * 86400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0.0),
        ("500ms", 0.5),
        ("1ms", 0.001),
        ("30s", 30.0),
        ("1.5s", 1.5),
        ("2m", 120.0),
        ("1m1ms", 60.001),
        ("1m30s", 90.0),
        ("2h", 7200.0),
        ("1d2h3m4.5s6ms", 93784.506),
        ("366d", float(YEAR)),
    ],
)
def test_a_duration_is_a_number_with_its_unit(text: str, seconds: float) -> None:
    """Several units go from large to small, and only seconds have decimals."""
    assert seconds == pytest.approx(parse_duration(text), abs=1e-9)


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", "1.5m", ".5s", "5.s", "-1s", "+1s", "1s1m", "1s1s", "30 s", " 30s", "30s ", "30s\n", "1e3s", "1S",
     "1min", "٣s", "1w", "inf", "1" * 41 + "s"],
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_the_forms_that_are(text: str) -> None:
    """A number without a unit could mean anything."""
    with pytest.raises(ValueError, match="is not a duration; write a number with its unit: 500ms, 30s, 1m30s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["367d", "366d1ms", "9" * 39 + "s"])
def test_nothing_is_waited_for_longer_than_a_year(text: str) -> None:
    """No provider documents such a wait: it is a slip of the pen."""
    with pytest.raises(ValueError, match="is longer than 366d"):
        parse_duration(text)


@given(milliseconds=st.integers(0, YEAR * 1000))
def test_a_duration_reads_back_as_it_was_written(milliseconds: int) -> None:
    """To the millisecond."""
    text = duration_text(milliseconds / 1000)

    assert milliseconds == round(parse_duration(text) * 1000)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (90, "1m30s"), (0.5, "500ms"), (93784.506, "1d2h3m4s506ms")])
def test_a_duration_is_written_in_whole_units(seconds: float, text: str) -> None:
    """As a person would."""
    assert text == duration_text(seconds)


@given(text=st.text(max_size=50) | st.text("0123456789.smhd", max_size=12))
def test_no_text_breaks_the_reader(text: str) -> None:
    """A duration is never negative and never endless; everything else is a ValueError."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        return

    assert 0 <= seconds <= YEAR


@pytest.mark.parametrize(
    ("text", "size"),
    [("0B", 0), ("7B", 7), ("64KiB", 65536), ("1MiB", 1048576), ("500kB", 500_000), ("2MB", 2_000_000),
     ("64MiB", 67108864)],
)  # fmt: skip
def test_a_size_is_a_whole_number_with_its_unit(text: str, size: int) -> None:
    """1024 and 1000 are told apart by their names."""
    assert size == parse_size(text)


@pytest.mark.parametrize(
    "text", ["", "64", "1.5MiB", "-1B", "64 KiB", "1KiB\n", "1GiB", "1kb", "KiB", "٣B", "1" * 41 + "B"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    """With the forms that are."""
    with pytest.raises(ValueError, match="is not a size; write a whole number with its unit: 64KiB, 1MiB, 500kB"):
        parse_size(text)


@pytest.mark.parametrize("text", ["65MiB", "67108865B"])
def test_a_size_is_bounded(text: str) -> None:
    """What is read ahead of an answer has to fit into memory, many times."""
    with pytest.raises(ValueError, match="is larger than 64MiB"):
        parse_size(text)


@given(size=st.integers(0, 64 * 1024**2))
def test_a_size_reads_back_as_it_was_written(size: int) -> None:
    """To the byte."""
    assert size == parse_size(size_text(size))


@pytest.mark.parametrize(("size", "text"), [(1024, "1KiB"), (1025, "1025B"), (3 * 1024**2, "3MiB")])
def test_a_size_is_written_in_the_largest_unit_that_divides_it(size: int, text: str) -> None:
    """`3MiB`, not `3145728B`."""
    assert text == size_text(size)


@pytest.mark.parametrize("value", [30, 1.5, True, None, ["30s"]])
@pytest.mark.parametrize(("adapter", "kind"), [(DURATION, "duration"), (SIZE, "size")])
def test_a_bare_number_is_refused_in_a_file(adapter: TypeAdapter[float], kind: str, value: object) -> None:
    """The message says how it is written."""
    with pytest.raises(ValidationError, match=f"has no unit; a {kind} is written as"):
        adapter.validate_python(value)


def test_a_bound_on_time_leaves_some() -> None:
    """A deadline of nothing would end every call before it began."""
    limit = TypeAdapter[float](TimeLimit)

    with pytest.raises(ValidationError, match="no time at all is too short for anything to happen"):
        limit.validate_python("0s")

    assert 0.001 == limit.validate_python("1ms")


def test_a_wrong_text_is_explained_in_a_file() -> None:
    """By the reader's own words."""
    with pytest.raises(ValidationError, match="'soon' is not a duration"):
        DURATION.validate_python("soon")
    with pytest.raises(ValidationError, match="'big' is not a size"):
        SIZE.validate_python("big")


def test_a_model_is_written_as_a_file_would_be() -> None:
    """In both directions, and the schema knows the forms."""
    assert ("1m30s", "64KiB") == (DURATION.dump_python(DURATION.validate_python("90s")), SIZE.dump_python(65536))
    assert ("string", "string") == (DURATION.json_schema()["type"], SIZE.json_schema()["type"])
