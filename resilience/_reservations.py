"""Waiting in line for a rate: slots that are reserved in a bucket, and the calls of this process that take them in turn.

reserve ──▶ at the end of the line, the slot among the line's ──▶ first ──▶ the earliest slot is due ──▶ confirm ──▶ go
                    │                                               ▲         │                            │
                    │                                               ├─────────┘ missed: another instead    │
                    │                                               └─────── a pause has moved it ◀────────┘
                    └─ cancelled, closed, too late: gives back the last slot of the line; those behind move up

Slots of one bucket and one cost are all alike, so they belong to the line, not to the calls: the first takes the
earliest, and nobody overtakes.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ._fork import Lock
from ._levels import Spec
from ._longest import LONGEST_TIME
from ._slots import CHARGED, FRESH, Slot, Slots
from ._transactions import Command

if TYPE_CHECKING:
    from ._clock import Closing
    from ._line import Line
    from ._pays import Payment
    from ._runtime import Runtime
    from ._transactions import Store
    from ._waker import Waker

__all__ = ["CHARGED", "Place", "Slot", "Standing", "give_back", "overtaken"]

# A call whose time is up while the calls before it are being let through looks again after so many seconds.
_MOMENT = 0.02
# So much later than its time a call is refused although its slot is due: whoever stands before it has a moment to go.
_GRACE = 0.5
# How often a call that is not the first looks whether the first goes at all, and how long after its slot it must have
# gone: its event loop may be blocked, or stopped for good, and those behind it must not stand there with it. None looks
# before the slot that it brought is overdue: until then it loses nothing, and thousands would look in vain.
_WATCH = 5.0
_OVERDUE = 1.0


class Standing(Enum):
    """How standing in line ended."""

    SERVED = "served"
    LATE = "late"
    CLOSED = "closed"


_lock = Lock()
_slots_of: WeakKeyDictionary[Line, Slots] = WeakKeyDictionary()


def overtaken(store: Store, keys: tuple[str, ...], payments: tuple[Payment, ...]) -> int | None:
    """Which of the buckets others of this process wait for: a call that is let through at once would overtake them."""
    for index, (key, pay) in enumerate(zip(keys, payments, strict=True)):
        if store.lines.get(line_key(key, pay.spec)) is not None:
            return index
    return None


def give_back(store: Store, runtime: Runtime, key: str, spec: list[Any], slot: Slot) -> None:
    """Give back what was reserved or charged, without waiting for it."""
    runtime.tell(store, Command("bucket.give_back", (key,), (spec, slot.at, slot.shift)))


class Place:
    """A call's place in the line of one bucket.

    Arguments:
        store: where the bucket is.
        runtime: the call's.
        key: of the bucket.
        spec: of the bucket, with the cost; other costs stand in other lines.
        entered: the line, and the call's place in it.
        due: when the slot that it brings is due.
    """

    def __init__(
        self, store: Store, runtime: Runtime, key: str, spec: list[Any], entered: tuple[Line, Waker], *, due: float
    ) -> None:
        self._store, self._runtime = store, runtime
        self.key, self.spec, self._due = key, spec, due
        self._line, self._waker = entered
        with _lock:
            self._slots = _slots_of.setdefault(self._line, Slots())
        self._lost = self._slots.lost
        self.slot: Slot | None = None
        """The slot in hand."""
        self._served = False

    @classmethod
    def enter(cls, store: Store, runtime: Runtime, key: str, spec: list[Any], slot: Slot, *, most: int) -> Place | None:
        """Bring a slot and stand at the end of its line; `None` if `most` stand there already."""
        entered = store.lines.enter(line_key(key, spec), most)
        if entered is None:
            return None
        place = cls(store, runtime, key, spec, entered, due=slot.due)
        if place._slots.add(slot):
            # The first may sleep until another slot, which is later.
            place._line.wake_first()
        return place

    @property
    def latest(self) -> float:
        """When the last slot of the line is due: a call that left and came again would wait until then."""
        return self._slots.latest()

    async def stand(self, closing: Closing, longest: float, deadline: float = math.inf) -> Standing:
        """Wait for a slot.

        Arguments:
            closing: of the call's client.
            longest: how long the call waits, by the runtime's clock; and longer, if slots before its own were missed.
            deadline: when its time is up, whatever was missed.
        """
        clock, waker = self._runtime.clock, self._waker
        # Whoever has just come does not know whether the first has stopped.
        has_watched = False
        while True:
            # Before the look, not after it: whoever leaves from here on wakes this call.
            waker.reset()
            now, due = clock.now(), self._slots.earliest()
            # What was granted is kept to.
            until = max(longest, min(longest + self._slots.lost - self._lost, deadline))
            is_first = self._line.is_first(waker)
            if is_first or (has_watched and max(due, self._slots.went) + _OVERDUE <= now):
                if due <= now:
                    if await self._take(now, is_first=is_first):
                        return Standing.SERVED
                    continue
                if due > until:
                    # A pause has moved it.
                    return Standing.LATE
                pause = due - now
            elif now < until:
                overdue = self._due + _OVERDUE - now
                pause = min(until - now, overdue if overdue > 0 else _WATCH)
            elif due <= now < until + _GRACE:
                pause = _MOMENT
            else:
                return Standing.LATE
            if not await self._runtime.sleep(pause, closing, waker):
                return Standing.CLOSED
            # Else this loop was busy, and perhaps it is the first one's, too.
            has_watched = not waker.called and clock.now() < now + pause + _OVERDUE

    def leave(self) -> None:
        """Go, and let the next one come first. Whoever goes unserved gives back the last slot of the line."""
        try:
            if not self._served:
                if self.slot is not None:
                    self._slots.add(self.slot)
                give_back(self._store, self._runtime, self.key, self.spec, self._slots.take_last())
        finally:
            self._store.lines.leave(line_key(self.key, self.spec), self._line, self._waker)

    async def _take(self, now: float, *, is_first: bool) -> bool:
        slot = self.slot = self._slots.take_due(now)
        if slot is None:
            return False
        # Behind a call that has stopped nobody would have a slot for long. And to ask a store that is far away for each
        # of them would take longer than the next ones take to come.
        if is_first and self._store.instant and self._slots.is_missed(slot, now, Spec.of(self.spec)):
            command = Command("bucket.reserve", (self.key,), (LONGEST_TIME, [self.spec]))
            _, seconds, _, at, shift = await self._runtime.decide(self._store, command)
            self.slot = None
            self._slots.add_instead(Slot(self._runtime.clock.now() + seconds, at, shift))
            return False
        if slot.shift != CHARGED and not self._is_fresh(slot, now):
            command = Command("bucket.confirm", (self.key,), (slot.shift,))
            moved, shift = await self._runtime.decide(self._store, command)
            self._slots.asked = (self._runtime.clock.now(), shift)
            if moved > 0:
                self.slot = None
                self._slots.move(slot, moved, shift)
                return False
        self._served = True
        if is_first:
            self._slots.went = now
        return True

    def _is_fresh(self, slot: Slot, now: float) -> bool:
        asked, shift = self._slots.asked
        return not self._store.instant and now < asked + FRESH and slot.shift == shift


def line_key(key: str, spec: list[Any]) -> str:
    return f"{key}#{spec[4]}"
