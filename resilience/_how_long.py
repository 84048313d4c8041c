"""How long something takes, as people say it: `2.5s`, and `10h35m24s` where nobody counts in seconds any more."""

from __future__ import annotations

import math

from ._words import seconds_text

__all__ = ["how_long"]

_FEW = 120.0


def how_long(seconds: float) -> str:
    """Seconds for people: three digits of a few of them, else whole ones in days, hours and minutes."""
    if seconds < _FEW or not math.isfinite(seconds):
        return seconds_text(seconds)
    # Only where somebody reads it: with this comes all that policies are read with.
    from ._units import duration_text

    return duration_text(math.ceil(seconds))
