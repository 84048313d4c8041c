"""Who waits for the same thing in this process, in the order in which they came.

Only the first of a line acts (it sleeps until its slot, or asks for a permit); all others sleep until they are the
first. So a thousand waiting calls cost one timer, whoever leaves early is followed at once by the next, and calls of
threads and of several event loops stand in one line. Who waits in an event loop that does not run is passed by, until
that runs again: nobody has told its calls that they are over, and none of them can leave.
"""

from __future__ import annotations

from collections import OrderedDict

from ._fork import Lock
from ._waker import Waker

__all__ = ["Line", "Lines"]

# After so many seconds one looks again whose turn it is, and all of a line no more than so many times a second.
_WATCH = 5.0
_MOST_LOOKS = 100.0


class Line:
    """One line; safe for threads.

    Arguments:
        lock: of all lines of a store, which wait for no other one: the collector may have one left within another.
    """

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = lock or Lock()
        # Anybody can leave it from anywhere; a plain mapping would look for its first behind all that have left.
        self._waiting: OrderedDict[Waker, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, most: int) -> Waker | None:
        """Stand at the end; `None` if `most` wait already."""
        with self._lock:
            if len(self._waiting) >= most and self._going_on() >= most:
                return None
            waker = Waker()
            self._waiting[waker] = None
            return waker

    @property
    def watch(self) -> float:
        """After how many seconds whoever waits should look again: those before it may be stranded, or no more."""
        return max(_WATCH, len(self._waiting) / _MOST_LOOKS)

    def is_first(self, waker: Waker) -> bool:
        """Whether it is this one's turn."""
        with self._lock:
            return self._first() is waker

    def leave(self, waker: Waker) -> None:
        """Go, served or not; the next one is woken if it is the first now."""
        with self._lock:
            first = self._first()
            self._waiting.pop(waker, None)
            following = self._first() if first is waker else None
        if following is not None:
            following.call()

    def wake_first(self) -> None:
        """Have the first one look again: something has become free, or earlier."""
        with self._lock:
            first = self._first()
        if first is not None:
            first.call()

    def _first(self) -> Waker | None:
        """The first that can go on."""
        first = next(iter(self._waiting), None)
        if first is None or not first.is_stranded:
            return first
        if first.is_lost:
            self._going_on()
            first = next(iter(self._waiting), None)
        # Where all are stranded, the first of them goes on when its loop does.
        return next((each for each in list(self._waiting) if not each.is_stranded), first)

    def _going_on(self) -> int:
        """How many can go on; those whose loop was closed will not come back, and are forgotten."""
        for each in [each for each in list(self._waiting) if each.is_lost]:
            self._waiting.pop(each, None)
        return sum(not each.is_stranded for each in list(self._waiting))


class Lines:
    """The lines of a process by key; one that nobody stands in is forgotten."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lines: dict[str, Line] = {}

    def get(self, key: str) -> Line | None:
        """The line of a key, if anybody has stood in it."""
        return self._lines.get(key)

    def enter(self, key: str, most: int) -> tuple[Line, Waker] | None:
        """Stand at the end of a key's line; `None` if `most` wait there already."""
        with self._lock:
            line = self._lines.get(key)
            if line is None:
                line = Line(self._lock)
            waker = line.join(most)
            if waker is None:
                return None
            # Last: the collector may have ended a call meanwhile, and with it the line.
            self._lines[key] = line
            return line, waker

    def lengths(self) -> dict[str, int]:
        """How many stand in each line."""
        with self._lock:
            return {key: len(line) for key, line in list(self._lines.items())}

    def leave(self, key: str, line: Line, waker: Waker) -> None:
        """Go, served or not."""
        with self._lock:
            line.leave(waker)
            if not len(line) and self._lines.get(key) is line:
                self._lines.pop(key, None)
