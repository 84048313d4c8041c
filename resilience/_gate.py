"""How many calls are in front of a connection pool at a time: as many as keep this program busy, and the rest in a line.

room ──▶ inside ──▶ the answer has begun, or failed ──▶ outside: the first of the line comes in
 │         ▲            └─ meanwhile busy, and others wait: now and then nobody comes in
 ▼         │
full ──▶ line, first come first served ──▶ the pool's timeout or the deadline: PoolTimeout
           └─ the program was idle although somebody waits: room for one more, then two, four, eight

The pools of httpx and httpx2 look at every connection and every waiting request for each call, so what a call costs
grows with how many there are. More of them at a time are faster only while the network is what they wait for. Whether it
is, one of those who wait finds out: it sleeps for a moment, and looks how much of the processor was used in it.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import NamedTuple

from ._clock import Waker
from ._fork import renewed

__all__ = ["Gate"]

# With so many over a loopback, the fastest network that there is, one core is busy; fewer leave it idle between two.
_FEWEST = 3
# A look lasts so many seconds. A loop that never rests may lose its core to other programs for longer: so what counts
# is how much it used of this time, and not of the time that really went by.
_LOOK = 0.002
# After a look at a program that is busy with these calls the next one begins so many seconds later: looks cost, too.
_REST = 0.01
# It rested if it used less than this share of it.
_IDLE = 0.25
# For each call that ends while the program is busy so much room is lost: what a look mistook is made good by and by.
_LOST = 0.5
# Something else keeps the program busy if no call of these has ended for so many seconds; they wait for the network.
_STILL = 0.1


class _Look(NamedTuple):
    """A look that is under way: who looks, since when, and what of the processor had been used by then."""

    looker: Waker
    began: float | None = None
    used: float = 0.0


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
        self._look: _Look | None = None
        self._step = 1.0
        self._left_at = -math.inf
        self._is_busy = True
        self._has_left = False

    def set(self, fixed: int | None, most: float) -> None:
        """Take other numbers, as the constructor does."""
        self._adapts = fixed is None
        self._most = max(1.0, min(fixed or math.inf, most))
        self._fewest = min(_FEWEST, self._most) if self._adapts else self._most
        self._room = float(self._fewest)

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
        return self._room

    @property
    def waiting(self) -> int:
        """How many stand in the line."""
        return len(self._line)

    def try_enter(self) -> bool:
        """Go in if there is room and nobody waits; whoever went in calls `leave` once."""
        with self._lock:
            if self._line or self._inside >= self._room:
                return False
            self._inside += 1
            return True

    def leave(self) -> None:
        """Go out; the first of the line comes in."""
        with self._lock:
            # A child process has forgotten who was inside.
            if self._inside:
                self._inside -= 1
            if not self._line:
                return
            self._step, self._has_left = 1.0, True
            if self._is_busy and self._adapts:
                self._room = max(self._fewest, self._room - _LOST)
            served = self._serve()
        _wake(served)

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

    def give_up(self, waker: Waker) -> None:
        """Leave the line; who came in meanwhile goes out again."""
        with self._lock:
            is_served = waker not in self._line
            self._line.pop(waker, None)
            heir = self._passed_on(waker)
        if is_served:
            self.leave()
        _wake(heir)

    def look(self, waker: Waker, now: float, used: float) -> float:
        """Have one of those who wait look whether the program rests, and let more in if it does.

        Arguments:
            waker: who asks.
            now: by the runtime's clock.
            used: the seconds of the processor that this program has used so far.

        Returns:
            After how many seconds this one has to look again.
        """
        with self._lock:
            if not self._adapts or (self._look is not None and self._look.looker is not waker):
                return math.inf
            if self._look is None or self._look.began is None:
                self._look, self._left_at = _Look(waker, now, used), now
                return _LOOK
            left = self._look.began + _LOOK - now
            if left > 0:
                return left
            has_left, self._has_left = self._has_left, False
            if has_left:
                self._left_at = now
            is_still = now - self._left_at >= _STILL
            self._is_busy = used - self._look.used >= _IDLE * _LOOK
            if self._is_busy and has_left:
                self._look = _Look(waker)
                return _REST
            self._look = _Look(waker, now, used)
            if self._is_busy and not is_still:
                return _LOOK
            self._room = min(self._most, self._room + self._step)
            self._step *= 2
            served = self._serve()
        _wake(served)
        return _LOOK

    def _serve(self) -> list[Waker]:
        """Let in whom there is room for; to be woken when the lock is free."""
        served: list[Waker] = []
        while self._line and self._inside + 1 <= self._room:
            waker, _ = self._line.popitem(last=False)
            self._inside += 1
            served.append(waker)
            served += self._passed_on(waker)
        return served

    def _passed_on(self, waker: Waker) -> list[Waker]:
        """Whom to wake for looking, in place of one that has left the line: the last, who will stand there longest."""
        if self._look is None or self._look.looker is not waker:
            return []
        if not self._line:
            self._look = None
            return []
        self._look = _Look(next(reversed(self._line)))
        return [self._look.looker]


def _wake(wakers: list[Waker]) -> None:
    for each in wakers:
        each.call()
