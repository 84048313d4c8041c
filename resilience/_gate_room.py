"""How many calls there is room for in front of a pool: so many that this program is just busy with them.

more of them ◀── it rests ── enough ── it never rests ──▶ fewer

What a call costs in a pool grows with how many there are, so more than keep the program busy only make all of them dearer;
and fewer leave it idle while calls wait. How many that are follows from what each costs here and how long the
network takes for it, and neither is known. What can be measured is the share of its time in which the program rests,
and how much of its work is that of these calls: one that is busy with something else gains nothing if they wait.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Room", "Work"]

# It counts as busy if it rests for less than this share of its time, and has too few calls if for more than that.
_BUSY = 0.02
_RESTS = 0.05
# These calls keep it busy if so much of its work is done in front of the network for them; what they cost around it, in
# the client and in the application, is not told apart from other work.
_OURS = 0.35
# A measurement that lasted so many seconds is believed alone, a shorter one with those before it.
_MEMORY = 0.04
# In so many seconds of work that is too much for the program, this share of the room goes.
_LOST = 0.5
# Less than this is divided by in no case.
_NOTHING = 1e-9
# What one measurement can multiply the room by.
_MOST_AT_ONCE = 2.0


class Work(NamedTuple):
    """What a program did in some time, in seconds.

    Arguments:
        used: what it used of the processor.
        worked: the same, with what it waited for a core.
        own: of what it used, what the calls inside have used.
        ended: so many of these have ended.
    """

    used: float
    worked: float
    own: float
    ended: int


class Room:
    """The number, as long as one measures.

    Arguments:
        fewest: never fewer, and so many at first.
        most: never more.
    """

    def __init__(self, fewest: float, most: float) -> None:
        self.fewest, self.most = fewest, most
        self.size = float(fewest)
        self.begin()

    def begin(self) -> None:
        """Forget what was measured: until a call has ended, each measurement is believed alone."""
        self._rests, self._own, self._is_new = 0.0, 0.0, True

    @property
    def is_growing(self) -> bool:
        """Whether the next measurement may make it larger, so that it should come soon."""
        return self._is_new or (self._rests > _RESTS and self.size < self.most)

    def measured(self, seconds: float, work: Work, inside: int, *, is_short: bool) -> None:
        """Take another number for what was measured.

        Arguments:
            seconds: that the measurement lasted.
            work: what was done in them.
            inside: so many calls were inside at a time, at the most.
            is_short: somebody waits for room.
        """
        if seconds <= 0:
            return
        weight = min(1.0, seconds / _MEMORY)
        believed = 1.0 if self._is_new else weight
        self._is_new = self._is_new and not work.ended
        self._own += (work.own / seconds - self._own) * believed
        ours = min(1.0, self._own / max(_OURS * work.used / seconds, _NOTHING))
        share = min(1.0, max(0.0, 1 - ours * work.worked / seconds))
        self._rests += (share - self._rests) * believed
        if self._rests < _BUSY:
            self.size = max(self.fewest, min(self.size, inside) * (1 - _LOST * weight))
        elif is_short and self._rests > _RESTS:
            # With n calls it works for a share of its time; were each to cost what it costs now, n divided by that share
            # would keep it busy. What is let in shows later, so that is approached in the time of a few measurements.
            missing = self._rests / max(1 - self._rests, _NOTHING)
            self.size = min(self.most, self.size * min(_MOST_AT_ONCE, 1 + missing * weight))
