"""Times and amounts as people say them: `2.5s`, `10h35m24s`, `1 request`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ._amounts import amount_text
from ._words import printable, seconds_text

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["how_long", "how_much"]

_FEW = 120.0
_MANY = {"requests": "request", "credits": "credit"}


def how_long(seconds: float) -> str:
    """Seconds for people: three digits of a few of them, else whole ones in days, hours and minutes."""
    if seconds < _FEW or not math.isfinite(seconds):
        return seconds_text(seconds)
    # Only where somebody reads it: with this comes all that policies are read with.
    from ._units import duration_text

    return duration_text(math.ceil(seconds))


def how_much(amount: Decimal, unit: str) -> str:
    """An amount with its unit.

    Arguments:
        amount: how much.
        unit: as a policy has it: `credits`, `USD`, `requests`.
    """
    return f"{amount_text(amount)} {printable(_MANY.get(unit, unit) if amount == 1 else unit)}"
