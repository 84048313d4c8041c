"""Durations and sizes as people write them: `500ms`, `1m30s`, `64KiB`; a bare number has no unit and is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from ._longest import LONGEST_TIME
from ._words import seconds_text

__all__ = [
    "Duration",
    "Size",
    "TimeLimit",
    "duration_text",
    "parse_duration",
    "parse_size",
    "seconds_text",
    "size_text",
]

# This project's own fixed patterns; a policy brings none (docs/design/0003-no-regular-expressions.md).
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PATTERN = r"^(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?s)?(?:\d+ms)?$"
_DURATION = re.compile(_DURATION_PATTERN, re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])", re.ASCII)
_SIZE_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "kB": 1000, "MB": 1000**2}
_SIZE_PATTERN = r"^\d+(?:B|KiB|MiB|kB|MB)$"
_SIZE = re.compile(r"^(\d+)(B|KiB|MiB|kB|MB)$", re.ASCII)
_LARGEST = 64 * 1024**2


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `500ms`, `30s`, `1m30s` or `2d`, the units from large to small.

    Raises:
        ValueError: the text is no such duration, or is longer than 366 days.
    """
    if not text or len(text) > 40 or not _DURATION.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a duration; write a number with its unit: 500ms, 30s, 1m30s, 2h, 1d")
    seconds = sum(float(number) * _DURATION_UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    if seconds > LONGEST_TIME:
        raise ValueError(f"{text} is longer than 366d")
    return seconds


def duration_text(seconds: float) -> str:
    """The duration as `parse_duration` reads it, in whole milliseconds: `1m30s`."""
    milliseconds = round(seconds * 1000)
    parts: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Bytes of a size such as `64KiB`, `1MiB` or `500kB`.

    Raises:
        ValueError: the text is no such size, or is larger than 64MiB.
    """
    match = _SIZE.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a size; write a whole number with its unit: 64KiB, 1MiB, 500kB")
    size = int(match[1]) * _SIZE_UNITS[match[2]]
    if size > _LARGEST:
        raise ValueError(f"{text} is larger than 64MiB")
    return size


def size_text(size: int) -> str:
    """The size as `parse_size` reads it, in the largest unit that divides it: `64KiB`."""
    unit = next(unit for unit in ("MiB", "KiB", "B") if size % _SIZE_UNITS[unit] == 0)
    return f"{size // _SIZE_UNITS[unit]}{unit}"


def _read(parse: Callable[[str], float], kind: str, example: str) -> BeforeValidator:
    def read(value: object) -> float:
        if not isinstance(value, str):
            raise PydanticCustomError(
                "unit",
                "{value} has no unit; a {kind} is written as {example}",
                {"value": repr(value)[:40], "kind": kind, "example": example},
            )
        try:
            return parse(value)
        except ValueError as error:
            raise PydanticCustomError("unit", "{error}", {"error": str(error)}) from None

    return BeforeValidator(read)


def _schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


Duration = Annotated[
    float,
    _read(parse_duration, "duration", "30s or 1m30s"),
    PlainSerializer(duration_text, return_type=str),
    _schema(_DURATION_PATTERN, "1m30s"),
]
"""Seconds; in a file, a number with its unit."""


def _is_some_time(seconds: float) -> float:
    if seconds <= 0:
        raise PydanticCustomError(
            "unit", "no time at all is too short for anything to happen; leave it out for no bound"
        )
    return seconds


TimeLimit = Annotated[Duration, AfterValidator(_is_some_time)]
"""Seconds, more than none; in a file, a number with its unit."""

Size = Annotated[
    int,
    _read(parse_size, "size", "64KiB or 1MiB"),
    PlainSerializer(size_text, return_type=str),
    _schema(_SIZE_PATTERN, "64KiB"),
]
"""Bytes; in a file, a whole number with its unit."""
