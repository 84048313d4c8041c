"""Amounts in answers: at a place of the body or in a header, as a number or after a text of a sentence."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from ._amounts import decimal_of
from ._matchers import MISSING
from ._paths import compile_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._conditions import Answer
    from ._credits_policy import Place
    from ._paths import Path

__all__ = ["AmountPlace", "first_amount", "number_after", "places_for"]

_ZERO = Decimal(0)
# This project's own fixed pattern, matched at one place of at most so many characters. Commas stand before thousands;
# what could as well be another number ("10,20", "1.250.000", "1e3") is none.
_NUMBER = re.compile(
    r"[ \t]{0,3}(-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)(?![0-9]|[.,][0-9]|[eE][+-]?[0-9])"
)
_LONGEST_NUMBER = 64
_MOST_OCCURRENCES = 20


class AmountPlace(NamedTuple):
    """A place where answers tell an amount; either `path` or `header`."""

    path: Path | None
    header: str | None
    after: str | None

    def value(self, answer: Answer) -> object:
        """What stands there, `MISSING` if nothing does."""
        if self.path is not None:
            return answer.field(self.path)
        found = answer.header(self.header or "")
        return MISSING if found is None else found

    def amount(self, answer: Answer) -> Decimal | None:
        """The amount there, also a negative one; `None` if there is none."""
        value = self.value(answer)
        if self.after is None:
            return decimal_of(value)
        span = number_after(value, self.after) if isinstance(value, str) else None
        return decimal_of(str(value)[span[0] : span[1]].replace(",", "")) if span is not None else None


def places_for(places: Iterable[Place], operation: str | None) -> tuple[AmountPlace, ...]:
    """The places of an operation's answers, in their order."""
    return tuple(
        AmountPlace(None if place.body is None else compile_path(place.body), place.header, place.after)
        for place in places
        if place.operations is None or operation in place.operations
    )


def first_amount(places: Iterable[AmountPlace], answer: Answer, *, negative: bool = False) -> Decimal | None:
    """The amount at the first place that holds one.

    Arguments:
        places: in order of precedence.
        answer: the answer.
        negative: whether less than nothing is an amount there; it counts as nothing.
    """
    for place in places:
        amount = place.amount(answer)
        if amount is not None and (negative or amount >= 0):
            return max(_ZERO, amount)
    return None


def number_after(text: str, after: str) -> tuple[int, int] | None:
    """From where to where in a text the number stands that follows another: `balance ` in "cost 10, balance 8"."""
    at = 0
    for _ in range(_MOST_OCCURRENCES):
        found = text.find(after, at)
        if found < 0:
            return None
        at = found + len(after)
        if match := _NUMBER.match(text, at, at + _LONGEST_NUMBER):
            return match.span(1)
    return None
