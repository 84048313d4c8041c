"""The slots that the calls of one line have reserved in a bucket: which is the earliest, and which is too old to be taken."""

from __future__ import annotations

import math
from bisect import insort
from typing import TYPE_CHECKING, NamedTuple

from ._fork import Lock

if TYPE_CHECKING:
    from ._levels import Spec

__all__ = ["CHARGED", "FRESH", "Slot", "Slots"]

CHARGED = -1.0
"""The shift of a slot that was paid when it was reserved: no pause can move it."""
FRESH = 0.05
"""A store that is far away is asked for pauses no more often than this, in seconds, for all of a line: if each call asked
before the next may go, the way there and back would be the rate."""
# Timers may be late by so many seconds, and all that is due by then is taken: else no fast rate would be reached.
_LATE = 0.01


class Slot(NamedTuple):
    """When a call may go."""

    due: float
    """By the runtime's clock."""
    at: float
    """By the store's clock."""
    shift: float
    """How far pauses had moved the bucket when it was reserved, as the store counts it."""

    def moved(self, seconds: float, shift: float) -> Slot:
        """The same after pauses."""
        return Slot(self.due + seconds, self.at + seconds, shift)


class Slots:
    """The slots of one line, the earliest first; safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._slots: list[Slot] = []
        self._shift = CHARGED
        self.asked = (-FRESH, CHARGED)
        """When the store said last whether a pause had moved slots, and the shift that it told."""
        self.went = -math.inf
        """When the first of the line took one and went, last: then it has not stopped, and the next one has just been woken."""
        self.lost = 0.0
        """By how many seconds slots that were missed have put off the last of the line, so far."""

    def add(self, slot: Slot) -> bool:
        """Add one; whether it is the earliest now."""
        with self._lock:
            self._learn(slot.shift)
            insort(self._slots, slot)
            return self._slots[0] is slot

    def add_instead(self, slot: Slot) -> None:
        """Add one for one that was missed, behind all others: they wait longer by what that is later than the last one."""
        with self._lock:
            if self._slots:
                self.lost += max(0.0, slot.due - self._slots[-1].due)
        self.add(slot)

    def earliest(self) -> float:
        """When the first one is due."""
        with self._lock:
            return self._slots[0].due

    def latest(self) -> float:
        """When the last one is due."""
        with self._lock:
            return self._slots[-1].due

    def take_due(self, now: float) -> Slot | None:
        """The first one, if it is due."""
        with self._lock:
            return self._slots.pop(0) if self._slots[0].due <= now else None

    def is_missed(self, slot: Slot, now: float, spec: Spec) -> bool:
        """Whether a slot is too old to be taken, as long as a later one is due, too.

        A loop that was busy finds many that are due, and taking all of them would be more calls at a time than the
        provider allows. While nobody goes its bucket fills until it is full; what is older than that is lost. The last
        one that is due is taken in any case, so that a loop which is always late goes on.

        Arguments:
            slot: the first, which has just been taken.
            now: by the runtime's clock.
            spec: the bucket's.
        """
        late = now - slot.due
        if late <= _LATE:
            return False
        with self._lock:
            is_last = not self._slots or self._slots[0].due > now
        return not is_last and late > max(_LATE, spec.burst * spec.interval)

    def take_last(self) -> Slot:
        """The last one."""
        with self._lock:
            return self._slots.pop()

    def move(self, slot: Slot, seconds: float, shift: float) -> None:
        """Put back a slot that has moved by so much."""
        with self._lock:
            self._learn(shift)
            insort(self._slots, slot.moved(seconds, shift))

    def _learn(self, shift: float) -> None:
        """Move each slot by as much as the shift has grown since its own was told: else their order would not be true."""
        # Compared with the last one, not the greatest: a store that has lost everything counts from zero again.
        if shift not in (self._shift, CHARGED):
            self._shift = shift
            self._slots = sorted(
                each.moved(shift - each.shift, shift) if CHARGED < each.shift < shift else each for each in self._slots
            )
