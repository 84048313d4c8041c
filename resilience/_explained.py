"""Telling at the end of a program what was done to its calls: `resilience run --explain`."""

from __future__ import annotations

import atexit
import sys
from collections import deque
from typing import TYPE_CHECKING

from ._trail import observers

if TYPE_CHECKING:
    from ._trail import Trail

__all__ = ["explain_at_exit"]

_MOST = 100


def explain_at_exit() -> None:
    """Print the trails of the touched calls to stderr when this process ends, the last hundred of them."""
    touched: deque[Trail] = deque(maxlen=_MOST)
    counts = {"calls": 0, "touched": 0}

    def finished(trail: Trail) -> None:
        counts["calls"] += 1
        # A call that went through at the first attempt has no story.
        if len(trail.events) > 1 or trail.stopped != "success":
            counts["touched"] += 1
            touched.append(trail)

    def tell() -> None:
        if not counts["calls"]:
            return
        lines = [f"\nresilience: {counts['touched']} of {counts['calls']} calls touched", *map(str, touched), ""]
        sys.stderr.write("\n".join(lines))

    observers.append(finished)
    atexit.register(tell)
