"""What providers write when they say how long to wait: numbers, points in time and durations."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, get_args

from ._ratelimit_fields import ratelimit

__all__ = [
    "DIALECTS",
    "Dialect",
    "http_date",
    "is_relative",
    "read_delay",
    "retry_after",
]

Dialect = Literal[
    "retry_after",
    "seconds",
    "integer",
    "milliseconds",
    "epoch",
    "epoch_integer",
    "epoch_milliseconds",
    "rfc3339",
    "http_date",
    "duration",
    "ratelimit",
    "auto",
]
DIALECTS: tuple[str, ...] = get_args(Dialect)
_RELATIVE: frozenset[Dialect] = frozenset({"seconds", "integer", "milliseconds", "duration", "ratelimit"})

# Every pattern bounds its own repetitions, so that a text of any length is answered in constant time after the strip.
# Longer lists of waits are nobody's meaning.
_LONGEST_LIST = 200
_OWS = " \t"  # RFC 9110 5.6.3
_NUMBER = re.compile(r"[0-9]{1,64}(?:\.[0-9]{1,64})?")
_DURATION_PART = r"([0-9]{1,19}(?:\.[0-9]{1,19})?)(h|ms|m|s|us|\u00b5s|\u03bcs|ns)"
_DURATION = re.compile(rf"(?:{_DURATION_PART}){{1,8}}")
_DURATION_PARTS = re.compile(_DURATION_PART)
# The micro sign and the Greek mu: Go prints the one and reads both.
_DURATION_UNITS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ns": 1e-9}
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,12})?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)
# A bare number that is a delay or a point in time: nobody asks for 31 years, or names a time before 2001 or after 5138.
_EARLIEST_EPOCH = 1e9
_EARLIEST_EPOCH_MILLISECONDS = 1e11
_END_OF_EPOCH_MILLISECONDS = 1e14
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-5][0-9]|60)"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
# RFC 9110 5.6.7: a recipient must accept all three; names are case-sensitive. The standard library's own reader
# (email.utils) takes any word for a weekday, and strptime reads the names of the process's locale.
_IMF_FIXDATE = re.compile(rf"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT")
_RFC850_DATE = re.compile(rf"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT")
_ASCTIME_DATE = re.compile(rf"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})")
_HTTP_DATES = (_IMF_FIXDATE, _RFC850_DATE, _ASCTIME_DATE)


def retry_after(value: object, *, now: float) -> float | None:
    """Seconds of a Retry-After value: a number of seconds, or an HTTP-date (one that passed is 0).

    RFC 9110 10.2.3 knows whole seconds only; decimals are read because providers send them.

    Arguments:
        value: the field value.
        now: epoch seconds that a date is measured against, best the answer's own `Date`.
    """
    number = _number(value)
    if number is None and isinstance(value, str) and "," in value:
        # Two fields of one name are joined by a comma (RFC 9110 5.3). Of two waits the longer one is never too early.
        numbers = [_number(part) for part in value[:_LONGEST_LIST].split(",")]
        known = [part for part in numbers if part is not None]
        number = max(known) if len(known) == len(numbers) else None
    return _until(http_date(value, near=now), now) if number is None else number


def http_date(value: object, *, near: float) -> float | None:
    """Epoch seconds of an HTTP-date in any of the three formats of RFC 9110 5.6.7.

    Arguments:
        value: the field value.
        near: epoch seconds; a two-digit year is read as at most 50 years after it.
    """
    if not isinstance(value, str):
        return None
    text = value.strip(_OWS)
    match = next(filter(None, (pattern.fullmatch(text) for pattern in _HTTP_DATES)), None)
    if match is None:
        return None
    year = int(match["year"])
    if match.re is _RFC850_DATE:
        # "More than 50 years in the future" is the most recent year in the past with the same last two digits.
        latest = datetime.fromtimestamp(near, UTC).year + 50
        year = latest - (latest - year) % 100
    month = _MONTHS.index(match["month"]) + 1
    try:
        minute = datetime(year, month, int(match["day"]), int(match["hour"]), int(match["minute"]), tzinfo=UTC)
    except ValueError:
        return None
    # Added apart, because the grammar allows a leap second and datetime does not.
    return minute.timestamp() + int(match["second"])


def is_relative(value: object, dialect: Dialect) -> bool:
    """Whether a value surely states no point in time, so that no clock is needed to read it.

    Arguments:
        value: a header's text, or whatever a body holds there.
        dialect: how the provider writes it.
    """
    return dialect in _RELATIVE or (dialect == "retry_after" and isinstance(value, str) and value.isdecimal())


def read_delay(value: object, dialect: Dialect, *, now: float) -> float | None:
    """Seconds to wait that a header or body value asks for, never negative; None if it is not of that dialect.

    Arguments:
        value: a header's text, or whatever a body holds there.
        dialect: how the provider writes it.
        now: epoch seconds that a point in time is measured against.
    """
    return _READERS[dialect](value, now)


def _number(value: object) -> float | None:
    if isinstance(value, str):
        text = value.strip(_OWS)
        return float(text) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    # The sign of a zero would show in what is logged.
    return abs(number) if 0 <= number < float("inf") else None


def _integer(value: object) -> float | None:
    whole = "." not in value if isinstance(value, str) else isinstance(value, int)
    return _number(value) if whole else None


def _until(moment: float | None, now: float, *, scale: float = 1.0) -> float | None:
    return None if moment is None else max(0.0, moment / scale - now)


def _epoch_integer(value: object, now: float) -> float | None:
    moment = _integer(value)
    return None if moment is None or moment < now else moment - now


def _milliseconds(value: object) -> float | None:
    number = _number(value)
    return None if number is None else number / 1000


def _rfc3339(value: object) -> float | None:
    text = value.strip(_OWS) if isinstance(value, str) else ""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return None


def _duration(value: object) -> float | None:
    text = value.strip(_OWS) if isinstance(value, str) else ""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in _DURATION_PARTS.findall(text))


def _auto(value: object, now: float) -> float | None:
    number = _number(value)
    if number is None:
        duration = _duration(value)
        if duration is not None:
            return duration
        moment = _rfc3339(value)
        return _until(http_date(value, near=now) if moment is None else moment, now)
    if number < _EARLIEST_EPOCH:
        return number
    if number < _EARLIEST_EPOCH_MILLISECONDS:
        return _until(number, now)
    return _until(number, now, scale=1000) if number < _END_OF_EPOCH_MILLISECONDS else None


_READERS: dict[Dialect, Callable[[object, float], float | None]] = {
    "retry_after": lambda value, now: retry_after(value, now=now),
    "seconds": lambda value, _now: _number(value),
    "integer": lambda value, _now: _integer(value),
    "milliseconds": lambda value, _now: _milliseconds(value),
    "epoch": lambda value, now: _until(_number(value), now),
    "epoch_integer": _epoch_integer,
    "epoch_milliseconds": lambda value, now: _until(_number(value), now, scale=1000),
    "rfc3339": lambda value, now: _until(_rfc3339(value), now),
    "http_date": lambda value, now: _until(http_date(value, near=now), now),
    "duration": lambda value, _now: _duration(value),
    "ratelimit": lambda value, _now: ratelimit(value),
    "auto": _auto,
}
