"""What a store replies to a reservation of credits, by name: whether it was made, and what stood in the way."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BUDGET", "LATCH", "Reserved"]

BUDGET, LATCH = 1, 2


class Reserved(NamedTuple):
    """The reply of `credits.reserve`; all amounts are in millionths."""

    granted: float
    """1 if it was reserved, else 0."""
    obstacle: float
    """`BUDGET` or `LATCH`, 0 for nothing."""
    which: float
    """Which of the budgets, or of the latches."""
    seconds: float
    """Until the call could be let through; -1 where nobody knows."""
    left: float
    """Of that budget, as the next two."""
    spent: float
    reserved: float
    warned: float
    """The budgets that begin to be used up, as a sum of powers of two."""
