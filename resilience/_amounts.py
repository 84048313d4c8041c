"""Amounts of credits, requests, tokens or money: exact decimals for people, whole millionths for a store."""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation

__all__ = ["CONTEXT", "LARGEST", "amount_text", "decimal_of", "from_millionths", "millionths"]

_PARTS = 1_000_000
_LONGEST = 40
LARGEST = Decimal(1_000_000_000)
"""A budget of so much, and a thousand times as much, is counted exactly in the numbers of every store."""
CONTEXT = Context(prec=80, rounding=ROUND_CEILING, traps=[])
"""Our own, since an application may have set the precision of its threads; what does not fit is rounded up, never down."""


def decimal_of(value: object) -> Decimal | None:
    """An amount as a provider or a user writes it: a number, or a text of digits; `None` for anything else.

    Arguments:
        value: what stands there. A float means the shortest decimal that it is written with, so 0.1 is a tenth.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    if isinstance(value, int) and value.bit_length() > 4 * _LONGEST:
        return None
    text = value.strip() if isinstance(value, str) else repr(value) if isinstance(value, float) else str(value)
    if len(text) > _LONGEST or not text.isascii() or "_" in text:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and -LARGEST <= amount <= LARGEST else None


def millionths(amount: Decimal) -> int:
    """Whole millionths, a smaller part rounded up: what costs something never costs nothing."""
    return int(CONTEXT.multiply(amount, Decimal(_PARTS)).to_integral_value(ROUND_CEILING, CONTEXT))


def from_millionths(parts: float) -> Decimal:
    """The amount of so many millionths."""
    return CONTEXT.divide(Decimal(int(parts)), Decimal(_PARTS))


def amount_text(amount: Decimal) -> str:
    """The amount for people: `1,250`, `0.0035`."""
    text = f"{amount.normalize(CONTEXT):,f}"
    return "0" if text == "-0" else text
