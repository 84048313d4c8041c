"""What providers write when they say how long to wait is read as seconds, and everything else is refused quietly."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from resilience._delays import DIALECTS, Dialect, http_date, is_relative, read_delay, retry_after

VECTORS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "vectors" / "waiting.yaml").read_text("utf-8"))
STAINLESS = VECTORS["stainless-retry-after"]
AWS = VECTORS["aws-std-v21-retry-after"]
ENVOY = VECTORS["envoy-reset-header"]

NOW = 1_696_004_797.0  # Fri, 29 Sep 2023 16:26:37 GMT
MOMENTS = st.integers(min_value=0, max_value=4_102_444_800)
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet="0123456789.:-+TZ ,eE_ GMThmsun\u00b5\u00b2\uff10"),
    st.from_regex(r"[A-Z][a-z]{2}, [0-9]{2} (Jan|Feb|Sep) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT", fullmatch=True),
    st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?", fullmatch=True
    ),
)
OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.mark.parametrize(("value", "expected"), STAINLESS["parse"])
def test_the_values_of_the_stainless_clients_read_as_theirs(value: str, expected: float | None) -> None:
    """A Retry-After inside the window of the generated clients is read as they read it."""
    seconds = retry_after(value, now=STAINLESS["now"])

    usable = seconds if seconds is not None and 0 < seconds <= STAINLESS["longest"] else None
    assert expected == usable


@pytest.mark.parametrize("case", AWS["cases"], ids=lambda case: case["value"])
def test_the_values_of_the_aws_clients_read_as_theirs(case: dict[str, Any]) -> None:
    """The milliseconds of x-amz-retry-after are read as the AWS clients read them."""
    assert case["seconds"] == read_delay(case["value"], "milliseconds", now=NOW)


@pytest.mark.parametrize("case", ENVOY["cases"], ids=lambda case: case["value"])
def test_the_values_of_envoy_read_as_its_own(case: dict[str, Any]) -> None:
    """Whole seconds and whole points in time are as strict as Envoy's reset headers."""
    assert case["seconds"] == read_delay(case["value"], case["as"], now=ENVOY["now"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("-0", None),
        ("+1", None),
        ("1.5", 1.5),
        (".5", None),
        ("5.", None),
        ("1e3", None),
        ("1_000", None),
        ("0x10", None),
        (" \t20\t ", 20.0),
        ("20\n", None),
        ("\u00a020", None),
        ("   ", None),
        ("²", None),
        ("\uff12\uff10", None),
        ("٢", None),
        ("5, 5", 5.0),
        ("2, 7", 7.0),
        ("2, soon", None),
        ("99999999999999999999", 1e20),
        ("9" * 64, float("9" * 64)),
        ("9" * 65, None),
        ("9" * 1_000_000, None),
        ("Zun, 29 Sep", None),
        ("fri, 29 sep 2023 16:26:57 gmt", None),
        ("Fri, 29 Sep 2023 16:26:57 UTC", None),
        ("Fri, 29 Sep 2023 16:26:57 GMT\n", None),
        ("Fri, 31 Sep 2023 16:26:57 GMT", None),
        ("Fri, 29 Sep 2023 24:26:57 GMT", None),
        ("Fri, 29 Sep 2023 16:60:57 GMT", None),
        ("Fri, 29 Sep 0000 16:26:57 GMT", None),
        (20, 20.0),
        (1.5, 1.5),
        (True, None),
        (None, None),
        (b"20", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_and_nothing_else(value: object, expected: float | None) -> None:
    """Numbers without a sign, with or without decimals, and HTTP-dates are read; only SP and HTAB are stripped."""
    assert expected == retry_after(value, now=NOW)


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_each_format_of_an_http_date_names_the_same_moment(text: str) -> None:
    """The three formats of RFC 9110 5.6.7 (its own examples) are all accepted."""
    assert 784_111_777.0 == http_date(text, near=NOW)


def test_an_asctime_date_may_have_two_digits_in_its_day() -> None:
    """A day of two digits stands in asctime-date without padding."""
    assert http_date("Wed, 16 Nov 1994 08:49:37 GMT", near=NOW) == http_date("Wed Nov 16 08:49:37 1994", near=NOW)


def test_a_leap_second_is_the_start_of_the_next_minute() -> None:
    """`:60`, which the grammar allows, is one second after `:59`."""
    assert 1_483_228_800.0 == http_date("Sat, 31 Dec 2016 23:59:60 GMT", near=NOW)


@pytest.mark.parametrize(("year", "expected"), [("73", 2073), ("74", 1974), ("00", 2000), ("99", 1999), ("23", 2023)])
def test_a_two_digit_year_is_at_most_fifty_years_ahead(year: str, expected: int) -> None:
    """A two-digit year is the latest year with those digits that is not more than 50 years after the answer."""
    moment = http_date(f"Sunday, 06-Nov-{year} 08:49:37 GMT", near=NOW)

    assert moment is not None
    assert expected == datetime.fromtimestamp(moment, UTC).year


def test_a_two_digit_year_may_be_of_the_next_century() -> None:
    """In 2099 the year `01` is 2101, not 98 years ago."""
    in_2099 = datetime(2099, 6, 1, tzinfo=UTC).timestamp()

    assert datetime(2101, 1, 2, tzinfo=UTC).timestamp() == http_date("Sunday, 02-Jan-01 00:00:00 GMT", near=in_2099)


@pytest.mark.parametrize(
    ("dialect", "value", "expected"),
    [
        ("seconds", "2.5", 2.5),
        ("seconds", 2.5, 2.5),
        ("seconds", -1, None),
        ("seconds", math.nan, None),
        ("seconds", math.inf, None),
        ("seconds", 10**400, None),
        ("seconds", False, None),
        ("seconds", "Fri, 29 Sep 2023 16:26:57 GMT", None),
        ("seconds", [5], None),
        ("integer", 5, 5.0),
        ("integer", 5.0, None),
        ("integer", True, None),
        ("milliseconds", "250", 0.25),
        ("milliseconds", "0.5", 0.0005),
        ("milliseconds", 1500, 1.5),
        ("milliseconds", "1s", None),
        ("epoch", "1696004807", 10.0),
        ("epoch", "1696004797.5", 0.5),
        ("epoch", 1_696_004_807, 10.0),
        ("epoch", "1696004000", 0.0),
        ("epoch", "soon", None),
        ("epoch_integer", 1_696_004_807, 10.0),
        ("epoch_integer", "-5", None),
        ("epoch_milliseconds", "1696004798500", 1.5),
        ("epoch_milliseconds", "1696004000000", 0.0),
        ("epoch_milliseconds", "x", None),
        ("rfc3339", "2023-09-29T16:26:47Z", 10.0),
        ("rfc3339", "2023-09-29t16:26:47z", 10.0),
        ("rfc3339", "2023-09-29 16:26:47.250Z", 10.25),
        ("rfc3339", "2023-09-29T16:27Z", 23.0),
        ("rfc3339", "2023-09-29T16:26:47", 10.0),
        ("rfc3339", "2023-09-29T18:26:47+02:00", 10.0),
        ("rfc3339", "2023-09-29T18:26:47+0200", 10.0),
        ("rfc3339", "2023-09-29T16:26:37.123456789Z", 0.123456),
        ("rfc3339", "2023-09-29T16:00:00Z", 0.0),
        ("rfc3339", "2023-02-30T16:00:00Z", None),
        ("rfc3339", "2023-09-29T16:00:00+24:00", None),
        ("rfc3339", "0001-01-01T00:00:00+23:59", 0.0),
        ("rfc3339", "2023-09-29", None),
        ("rfc3339", "2023-W39-5T16:00:00", None),
        ("rfc3339", 1_696_004_807, None),
        ("http_date", "Fri, 29 Sep 2023 16:26:57 GMT", 20.0),
        ("http_date", "Fri, 29 Sep 2023 16:26:17 GMT", 0.0),
        ("http_date", "20", None),
        ("duration", "6m0s", 360.0),
        ("duration", "1s", 1.0),
        ("duration", "5.289s", 5.289),
        ("duration", "45.837906927s", 45.837906927),
        ("duration", "1h2m3.5s", 3723.5),
        ("duration", "250ms", 0.25),
        ("duration", "1us", 1e-6),
        ("duration", "1\u00b5s", 1e-6),
        ("duration", "1\u03bcs", 1e-6),
        ("duration", "5ns", 5e-9),
        ("duration", "2m59.56s", 179.56),
        ("duration", "0s", 0.0),
        ("duration", "-1s", None),
        ("duration", "10", None),
        ("duration", "1d", None),
        ("duration", "1s x 2s", None),
        ("duration", "1.2.3s", None),
        ("duration", "1m 30s", None),
        ("duration", "", None),
        ("duration", "1s" * 9, None),
        ("duration", "1s" * 500_000, None),
        ("duration", 5, None),
        ("ratelimit", '"a";r=0;t=5', 5.0),
        ("auto", "60", 60.0),
        ("auto", "999999999", 999_999_999.0),
        ("auto", "1000000000", 0.0),
        ("auto", "1696004807", 10.0),
        ("auto", "99999999999", 99_999_999_999.0 - NOW),
        ("auto", "100000000000", 0.0),
        ("auto", "1696004807000", 10.0),
        ("auto", "99999999999999", 99_999_999_999.999 - NOW),
        ("auto", "100000000000000", None),
        ("auto", 1_696_004_807, 10.0),
        ("auto", "6m0s", 360.0),
        ("auto", "2023-09-29T16:26:47Z", 10.0),
        ("auto", "Fri, 29 Sep 2023 16:26:57 GMT", 20.0),
        ("auto", "tomorrow", None),
        ("auto", None, None),
    ],
)
def test_each_dialect_reads_its_own(dialect: Dialect, value: object, expected: float | None) -> None:
    """A value reads as seconds in its dialect; a point in time that passed is 0, and what is not of it is None."""
    seconds = read_delay(value, dialect, now=NOW)

    assert expected == (seconds if seconds is None else pytest.approx(seconds, abs=1e-6, rel=1e-12))


def test_a_zero_from_a_body_has_no_sign() -> None:
    """A negative zero does not reach what is logged."""
    assert "0.0" == str(read_delay(-0.0, "seconds", now=NOW))


@given(value=OBJECTS, dialect=st.sampled_from(DIALECTS), now=MOMENTS)
def test_whatever_is_read_is_a_finite_wait_or_none(value: object, dialect: str, now: int) -> None:
    """No text and no object raises, and what comes out is None, or finite and not negative."""
    seconds = read_delay(value, cast("Dialect", dialect), now=now)

    assert seconds is None or 0 <= seconds < math.inf


@given(value=OBJECTS | st.integers(0, 10**13).map(str), now=MOMENTS, other=MOMENTS)
@example(value="4102444801", now=0, other=1)
@example(value="4102444801000", now=0, other=1)
@example(value="2100-01-01T00:00:00Z", now=0, other=1)
@example(value="Fri, 01 Jan 2100 00:00:00 GMT", now=0, other=1)
def test_what_states_no_point_in_time_reads_the_same_at_any_time(value: object, now: int, other: int) -> None:
    """Where no clock is needed, none changes what is read."""
    for dialect in DIALECTS:
        if is_relative(value, dialect):
            assert read_delay(value, dialect, now=now) == read_delay(value, dialect, now=other)


def test_a_retry_after_in_seconds_needs_no_clock() -> None:
    """What most answers say is read without a look at their `Date`; a date is not."""
    assert is_relative("20", "retry_after")
    assert not is_relative("Sun, 06 Nov 1994 08:49:37 GMT", "retry_after")


@given(number=st.integers(min_value=0, max_value=2**53), now=MOMENTS)
def test_whole_seconds_are_read_exactly(number: int, now: int) -> None:
    """A valid number of seconds is that number."""
    for dialect in ("retry_after", "seconds", "integer"):
        assert number == read_delay(str(number), dialect, now=now)


@given(date=MOMENTS, wait=st.integers(min_value=0, max_value=10**8))
def test_a_date_is_measured_against_the_answers_own_date(date: int, wait: int) -> None:
    """An HTTP-date so many seconds after `Date` asks for so many seconds, whatever our own clock says."""
    sent = format_datetime(datetime.fromtimestamp(date, UTC), usegmt=True)
    until = format_datetime(datetime.fromtimestamp(date + wait, UTC), usegmt=True)

    now = http_date(sent, near=0)

    assert now is not None
    assert wait == retry_after(until, now=now)


@given(wait=st.integers(min_value=0, max_value=10**8), now=MOMENTS)
def test_one_moment_reads_the_same_in_every_dialect(wait: int, now: int) -> None:
    """A point in time is the same wait, however it is written."""
    moment = now + wait
    until = datetime.fromtimestamp(moment, UTC)
    written: dict[Dialect, str] = {
        "epoch": str(moment),
        "epoch_integer": str(moment),
        "epoch_milliseconds": str(moment * 1000),
        "rfc3339": until.isoformat(),
        "http_date": format_datetime(until, usegmt=True),
        "duration": f"{wait}s",
    }

    read = {dialect: read_delay(text, dialect, now=now) for dialect, text in written.items()}

    assert dict.fromkeys(written, wait) == read
