"""Rates in the notation of limits: `10/second`, `60 per minute`, `1000/2 hours`."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

__all__ = ["Rate", "RateField", "parse_rate"]

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "month": 2_592_000, "year": 31_104_000}
_PATTERN = r"^\s*(\d{1,9})\s*(?:/|per)\s*(\d{1,6})?\s*(second|minute|hour|day|month|year)s?\s*$"
_RATE = re.compile(_PATTERN, re.ASCII | re.IGNORECASE)


class Rate(NamedTuple):
    """So many calls in so many seconds."""

    amount: int
    seconds: float
    text: str

    def __str__(self) -> str:
        return self.text


def parse_rate(text: str) -> Rate:
    """A rate from its notation, which is that of limits (its months have 30 days, its years twelve of them).

    Raises:
        ValueError: the text is no rate, or one of nothing.
    """
    match = _RATE.match(text) if len(text) <= 60 else None
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a rate; write 10/second, 60 per minute, 1000/2 hours")
    amount, multiples = int(match[1]), int(match[2] or 1)
    if not amount or not multiples:
        raise ValueError(f"{text.strip()!r} lets nothing through; leave the limit out, or switch the provider off")
    unit = match[3].lower()
    span = unit if multiples == 1 else f"{multiples} {unit}s"
    return Rate(amount, float(multiples * _SECONDS[unit]), f"{amount}/{span}")


def _read(value: object) -> Rate:
    try:
        return parse_rate(value if isinstance(value, str) else repr(value))
    except ValueError as error:
        raise PydanticCustomError("rate", "{error}", {"error": str(error)}) from None


RateField = Annotated[
    Rate,
    BeforeValidator(lambda value: value if isinstance(value, Rate) else _read(value)),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["60/minute"]}),
]
"""A rate; in a file, its text."""
