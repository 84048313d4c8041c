"""Times and amounts as people say them."""

from __future__ import annotations

from decimal import Decimal

from resilience._plainly import how_long, how_much


def test_times() -> None:
    """A few seconds by their digits, many in larger units, and never less than there are."""
    told = [how_long(each) for each in (0.0, 0.25, 119.9, 120.0, 300.2, 38_124.0, 200_000.0, float("inf"))]

    assert ["0s", "0.25s", "120s", "2m", "5m1s", "10h35m24s", "2d7h33m20s", "infs"] == told


def test_amounts() -> None:
    """One of something is no several; currencies have no such form."""
    amounts = [(1, "requests"), (2, "requests"), (0, "requests"), (1, "credits"), (1, "USD"), (0.5, "credits")]

    told = [how_much(Decimal(str(amount)), unit) for amount, unit in amounts]

    assert ["1 request", "2 requests", "0 requests", "1 credit", "1 USD", "0.5 credits"] == told
