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

from ._fork import renewed
from ._gate_room import Room, Work
from ._waker import Waker
from ._worked import Worked

__all__ = ["Gate"]

# With so many over a loopback, the fastest network that there is, one core is busy; fewer leave it idle between two.
_FEWEST = 3
# Seconds from one measurement to the next, while more are let in, and otherwise: whoever measures costs something, too.
_SOON = 0.002
_LATER = 0.02
# Of those who are inside while it is crowded each eighth is measured, and each measurement counts for so much.
_EACH = 8
# What a call costs, in seconds of the processor, as long as none was measured: the first ones open connections.
_COST = 0.002


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
        # Taken again by whom the collector ends within it, as `_fork.Lock`.
        self._lock = threading.RLock()
        self._line: OrderedDict[Waker, None] = OrderedDict()
        self._inside = 0
        self._looker: Waker | None = None
        self._peak = 0
        self._began = -math.inf
        self._worked = Worked(0.0, 0.0)
        self._entered = self._ended = self._entered_before = 0
        self._is_first = True
        self._cost: float | None = None

    def set(self, fixed: int | None, most: float) -> None:
        """Take other numbers, as the constructor does."""
        with self._lock:
            self._adapts = fixed is None
            most = max(1.0, min(fixed or math.inf, most))
            self._room = Room(min(_FEWEST, most) if self._adapts else most, most)
            served = self._serve()
        _wake(served)

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
            self._ended += 1
            # What was measured before says nothing of those who come later.
            self._is_first = self._is_first or not self._inside
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

    def come_in(self, waker: Waker) -> bool:
        """Go in where nothing but this gate's own guess is in the way: whether it is in.

        Arguments:
            waker: of one who cannot wait much longer.
        """
        heir: list[Waker] = []
        with self._lock:
            if waker in self._line:
                if self._inside + 1 > self._room.most:
                    return False
                del self._line[waker]
                self._enter()
                heir = self._passed_on(waker)
        _wake(heir)
        return True

    def give_up(self, waker: Waker, now: float) -> None:
        """Leave the line; who came in meanwhile goes out again."""
        with self._lock:
            is_served = waker not in self._line
            self._line.pop(waker, None)
            heir = self._passed_on(waker)
        if is_served:
            self.leave(now)
        _wake(heir)

    def is_looking(self, waker: Waker) -> bool:
        """Whether this one of those who wait is the one that measures while no call ends; otherwise it just waits."""
        with self._lock:
            if self._looker is None and self._adapts:
                self._looker = waker
            return self._looker is waker

    def measure(self, now: float, worked: Worked) -> float:
        """See how long this program has rested, and let more in, or fewer.

        Arguments:
            now: by the runtime's clock.
            worked: what its thread has worked so far.

        Returns:
            After how many seconds whoever looks should look again.
        """
        with self._lock:
            seconds = now - self._began
            if 0 <= seconds < _SOON:
                return _SOON - seconds
            if self._is_first:
                self._room.begin()
            else:
                self._room.measured(seconds, self._work_since(worked), self._peak, is_short=bool(self._line))
            self._is_first = False
            self._began, self._worked, self._peak = now, worked, self._inside
            self._ended, self._entered_before = 0, self._entered
            pause = _SOON if self._room.is_growing else _LATER
            served = self._serve()
        _wake(served)
        return pause

    @property
    def is_sampled(self) -> bool:
        """Whether what the call that has just come in costs should be measured, and told to `costs`."""
        is_one = self._cost is None or self._entered % _EACH == 0
        return is_one and (self._peak > self._room.fewest or bool(self._line))

    def costs(self, seconds: float) -> None:
        """Learn what a call costs.

        Arguments:
            seconds: of the processor that one has used inside.
        """
        with self._lock:
            self._cost = seconds if self._cost is None else self._cost + (seconds - self._cost) / _EACH

    def _work_since(self, worked: Worked) -> Work:
        # What a call costs it costs when it is sent and when its answer comes.
        cost = _COST if self._cost is None else self._cost
        own = (self._entered - self._entered_before + self._ended) / 2 * cost
        return Work(worked.used - self._worked.used, worked.since(self._worked), own, self._ended)

    def _enter(self) -> None:
        self._inside += 1
        self._entered += 1
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
