"""How many calls there is room for in front of a pool: so many that this program is just busy with them.

more of them ◀── it rests ── enough ── it never rests ──▶ fewer

What a call costs in a pool grows with how many there are, so more than keep the program busy only make all of them dearer;
and fewer leave it idle while calls wait. How many that are follows from what each costs here and how long the
network takes for it, and neither is known. What can be measured is the share of its time in which the program rests.
"""

from __future__ import annotations

import math

__all__ = ["Room"]

# It counts as busy if it rests for less than this share of its time, and has too few calls if for more than that.
_BUSY = 0.02
_RESTS = 0.05
# A measurement that lasted so many seconds is believed alone, a shorter one with those before it.
_MEMORY = 0.05
# In so many seconds of work that is too much for the program, this share of the room goes.
_LOST = 0.25
# What one measurement can multiply the room by.
_MOST_AT_ONCE = 2.0


class Room:
    """The number, as long as one measures.

    Arguments:
        fewest: never fewer, and so many at first.
        most: never more.
    """

    def __init__(self, fewest: float, most: float = math.inf) -> None:
        self.fewest, self.most = fewest, most
        self.size = float(fewest)
        self.begin()

    def begin(self) -> None:
        """Forget what was measured: the next measurement is believed alone."""
        self._rests, self._is_new = 0.0, True

    @property
    def is_growing(self) -> bool:
        """Whether the next measurement may make it larger, so that it should come soon."""
        return self._is_new or (self._rests > _RESTS and self.size < self.most)

    def measured(self, seconds: float, worked: float, inside: int, *, is_short: bool) -> None:
        """Take another number for what was measured.

        Arguments:
            seconds: that the measurement lasted.
            worked: of these the program has worked so many.
            inside: so many calls were inside at a time, at the most.
            is_short: somebody waits for room.
        """
        weight = min(1.0, seconds / _MEMORY)
        share = min(1.0, max(0.0, 1 - worked / seconds)) if seconds > 0 else self._rests
        self._rests += (share - self._rests) * (1.0 if self._is_new else weight)
        self._is_new = False
        if self._rests < _BUSY:
            self.size = max(self.fewest, min(self.size, inside) * (1 - _LOST * weight))
        elif is_short and self._rests > _RESTS:
            # With n calls it works for a share of its time; were each to cost what it costs now, n divided by that share
            # would keep it busy. What is let in shows later, so that is approached in the time of a few measurements.
            missing = self._rests / max(1 - self._rests, 1e-9)
            self.size = min(self.most, self.size * min(_MOST_AT_ONCE, 1 + missing * weight))
