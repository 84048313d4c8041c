"""A line of a kind is written now and then, and says how many were left out: not a thousand for a thousand calls."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._clock import RealClock
from ._fork import Lock

if TYPE_CHECKING:
    from ._clock import Clock

__all__ = ["Seldom"]

# Lines of one kind, of one provider, no more often than this, in seconds; the next one says how many were left out.
_EVERY = 10.0
_MOST_KINDS = 1000


@dataclass(slots=True)
class _Line:
    """When the next line of a kind may be written, and how many were left out since the last."""

    again_at: float
    left_out: int = 0


class Seldom:
    """Lets one line of a kind through in so many seconds, and counts the others.

    Arguments:
        clock: whose seconds they are.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or RealClock()
        self._lock = Lock()
        self._kinds: OrderedDict[tuple[object, ...], _Line] = OrderedDict()

    def more(self, *kind: object) -> str | None:
        """What the line says of those that were left out before it; `None` if it is left out too."""
        now = self._clock.now()
        with self._lock.held:
            if self._is_early(kind, now):
                return None
            before = self._kinds.pop(kind, None)
            self._kinds[kind] = _Line(now + _EVERY)
            while len(self._kinds) > _MOST_KINDS:
                self._kinds.popitem(last=False)
        left_out = 0 if before is None else before.left_out
        return f" ({left_out} more like this {'was' if left_out == 1 else 'were'} not written)" if left_out else ""

    def leaves_out(self, *kind: object) -> bool:
        """Whether a line comes too early, and is counted as left out: then it need not even be made."""
        now = self._clock.now()
        with self._lock.held:
            return self._is_early(kind, now)

    def forget(self) -> None:
        """Let the next line of each kind through."""
        with self._lock:
            self._kinds.clear()

    def _is_early(self, kind: tuple[object, ...], now: float) -> bool:
        line = self._kinds.get(kind)
        if line is None or now >= line.again_at:
            return False
        line.left_out += 1
        self._kinds.move_to_end(kind)
        return True
