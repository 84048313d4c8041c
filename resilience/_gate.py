"""How many calls are in front of a connection pool at a time: as many as keep this program busy, and the rest in a line.

room ──▶ inside ──▶ the answer has begun, or failed ──▶ outside: the first of the line comes in
 │         ▲            └─ if there is room
 ▼         │
full ──▶ line, first come first served ──▶ the pool's timeout or the deadline: PoolTimeout
           └─ one of them sleeps for a moment, and measures how long the program rested: more room, or less

The pool of httpx looks at every connection and every waiting request for each call, so what a call costs grows with how
many there are. More of them at a time are faster only while the network is what they wait for.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict

from ._clock import Waker
from ._fork import renewed
from ._gate_room import Room
from ._worked import Worked

__all__ = ["Gate"]

# With so many over a loopback, the fastest network that there is, one core is busy; fewer leave it idle between two.
_FEWEST = 3
# Seconds from one measurement to the next, while more are let in, and otherwise: whoever measures costs something, too.
_SOON = 0.002
_LATER = 0.02
# Something else keeps the program busy if no call of these has ended for so many seconds; they wait for the network.
_STILL = 0.1


class Gate:
    """Who is inside and who waits, for one pool; safe for threads.

    Arguments:
        fixed: how many at a time; `None` for as many as it takes.
        most: never more than so many: the connections of the pool.
    """

    def __init__(self, fixed: int | None = None, most: float = math.inf) -> None:
        self._begin()
        self.set(fixed, most)
        renewed(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._line: OrderedDict[Waker, None] = OrderedDict()
        self._inside = 0
        self._looker: Waker | None = None
        self._peak = 0
        self._left_at = self._began = -math.inf
        self._worked = Worked(0.0, 0.0)

    def set(self, fixed: int | None, most: float) -> None:
        """Take other numbers, as the constructor does."""
        self._adapts = fixed is None
        most = max(1.0, min(fixed or math.inf, most))
        self._room = Room(min(_FEWEST, most) if self._adapts else most, most)

    def renew(self) -> None:
        """Begin anew in a child process: those who are inside or wait are its parent's."""
        self._begin()

    @property
    def inside(self) -> int:
        """How many are inside."""
        return self._inside

    @property
    def room(self) -> float:
        """How many may be."""
        return self._room.size

    @property
    def waiting(self) -> int:
        """How many stand in the line."""
        return len(self._line)

    def try_enter(self) -> bool:
        """Go in if there is room and nobody waits; whoever went in calls `leave` once."""
        with self._lock:
            if self._line or self._inside + 1 > self._room.size:
                return False
            self._enter()
            return True

    def leave(self, now: float) -> bool:
        """Go out; the first of the line comes in.

        Arguments:
            now: by the runtime's clock.

        Returns:
            Whether it is time to `measure`.
        """
        with self._lock:
            # A child process has forgotten who was inside.
            if self._inside:
                self._inside -= 1
            self._left_at = now
            served = self._serve()
            is_due = now - self._began >= _LATER and self._peak > self._room.fewest
        _wake(served)
        return is_due

    def join(self) -> Waker:
        """Stand at the end of the line; `is_served` tells when it is this one's turn."""
        waker = Waker()
        with self._lock:
            self._line[waker] = None
            served = self._serve()
        _wake(served)
        return waker

    def is_served(self, waker: Waker) -> bool:
        """Whether it has come in."""
        return waker not in self._line

    def give_up(self, waker: Waker, now: float) -> None:
        """Leave the line; who came in meanwhile goes out again."""
        with self._lock:
            is_served = waker not in self._line
            self._line.pop(waker, None)
            heir = self._passed_on(waker)
        if is_served:
            self.leave(now)
        _wake(heir)

    def look(self, waker: Waker, now: float, worked: Worked) -> float:
        """Have one of those who wait measure, also while no call ends.

        Arguments:
            waker: who asks.
            now: by the runtime's clock.
            worked: what its thread has worked so far.

        Returns:
            After how many seconds this one has to look again.
        """
        with self._lock:
            if not self._adapts or (self._looker is not None and self._looker is not waker):
                return math.inf
            if self._looker is None and now - self._began >= _STILL:
                # What was long ago says nothing of those who are here now.
                self._room.begin()
                self._began, self._worked, self._left_at = now, worked, now
            self._looker = waker
            if now - self._began < _SOON:
                return self._began + _SOON - now
            served = self._measure(now, worked)
            pause = _SOON if self._room.is_growing else _LATER
        _wake(served)
        return pause

    def measure(self, now: float, worked: Worked) -> None:
        """See how long this program has rested, and let more in, or fewer.

        Arguments:
            now: by the runtime's clock.
            worked: what its thread has worked so far.
        """
        with self._lock:
            served = self._measure(now, worked)
        _wake(served)

    def _measure(self, now: float, worked: Worked) -> list[Waker]:
        is_still = now - self._left_at >= _STILL
        work = 0.0 if is_still else worked.since(self._worked)
        self._room.measured(now - self._began, work, self._peak, is_short=bool(self._line))
        self._began, self._worked, self._peak = now, worked, self._inside
        return self._serve()

    def _enter(self) -> None:
        self._inside += 1
        self._peak = max(self._peak, self._inside)

    def _serve(self) -> list[Waker]:
        """Let in whom there is room for; to be woken when the lock is free."""
        served: list[Waker] = []
        while self._line and self._inside + 1 <= self._room.size:
            waker, _ = self._line.popitem(last=False)
            self._enter()
            served.append(waker)
            served += self._passed_on(waker)
        return served

    def _passed_on(self, waker: Waker) -> list[Waker]:
        """Whom to wake for looking, in place of one that has left the line: the last, who will stand there longest."""
        if self._looker is not waker:
            return []
        self._looker = next(reversed(self._line), None)
        return [] if self._looker is None else [self._looker]


def _wake(wakers: list[Waker]) -> None:
    for each in wakers:
        each.call()
