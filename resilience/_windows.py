"""The windows of limits, for providers that document windows, with computed waits and reservations.

The methods are those of `_levels.Level`; `stores/lua/bucket.lua` has a twin of each.
"""

from __future__ import annotations

import math

from ._levels import TOLERANCE, Level, Paced, Spec
from ._transactions import State

__all__ = ["FixedWindow", "MovingWindow", "SlidingWindowCounter"]

# A moving window remembers each of so many calls; where it has more, those within one part of so many are counted together,
# as if all had come at the time of the last of them.
_PARTS = 512
# Windows in which nobody calls are kept as zeros, but not for ever.
_FAR = 64


class _InARow(Paced, Level):
    """Windows follow one another from `start` on."""

    def move(self, state: State, seconds: float, now: float, spec: Spec, /) -> None:
        # A window in which nobody waits ends when it ends, pause or not.
        if "start" in state and (self.free(state, now, spec) < 0 or state.get("next", now) > now):
            state["start"] += seconds
        super().move(state, seconds, now, spec)

    def _window(self, state: State, at: float, spec: Spec) -> int:
        start: float = state["start"]
        return math.floor((at - start + TOLERANCE) / spec.seconds)


class FixedWindow(_InARow):
    """`start` is when a call came that found no window; `used` counts through all.

    Call number n stands in the window n // amount. One that does not fit into the rest of a window begins the next.
    """

    def earliest(self, state: State, at: float, held: float | None, spec: Spec, /) -> float:
        at = super().earliest(state, at, held, spec)
        if "start" not in state or self._window(state, at, spec) >= math.ceil(state["used"] / spec.amount):
            return at
        place: float = state["start"] + math.floor(self._fitting(state, spec) / spec.amount) * spec.seconds
        return max(at, place)

    def charge(self, state: State, slot: float, now: float, spec: Spec, /) -> None:
        super().charge(state, slot, now, spec)
        if "start" not in state or (
            slot <= now and self._window(state, slot, spec) >= math.ceil(state["used"] / spec.amount)
        ):
            state["start"], state["used"] = slot, 0
        passed = self._window(state, slot, spec) * spec.amount
        state["used"] = max(self._fitting(state, spec), passed) + spec.cost

    def undo(self, state: State, slot: float, now: float, spec: Spec, /, *, at_once: bool) -> bool:
        # Within a window all places are alike.
        if "start" not in state or state["used"] < spec.cost:
            return False
        if self._window(state, slot, spec) != math.ceil(state["used"] / spec.amount) - 1:
            return False
        state["used"] -= spec.cost
        super().undo(state, slot, now, spec, at_once=at_once)
        return True

    def free(self, state: State, now: float, spec: Spec, /) -> float:
        window = self._window(state, now, spec) if "start" in state else 0
        if "start" not in state or window >= math.ceil(state["used"] / spec.amount):
            return spec.amount
        left: float = (max(window, -1) + 1) * spec.amount - state["used"]
        return left

    def end(self, state: State, spec: Spec, /) -> float:
        if "start" not in state:
            return super().end(state, spec)
        last: float = state["start"] + math.ceil(state["used"] / spec.amount) * spec.seconds
        return max(last, super().end(state, spec))

    def _fitting(self, state: State, spec: Spec) -> float:
        used: float = state["used"]
        rest = -used % spec.amount
        return used if not rest or spec.cost <= rest else used + rest


class MovingWindow(Paced):
    """`times` has when the calls of the last window went or will go, and how many: time, number, time, number..."""

    def earliest(self, state: State, at: float, held: float | None, spec: Spec, /) -> float:
        at = super().earliest(state, at, held, spec)
        times: list[float] = state.get("times", [])
        if not times:
            return at
        at = max(at, times[-2])
        room = spec.amount - spec.cost
        if sum(times[1::2]) <= room:
            return at
        index = len(times)
        while index and room >= -TOLERANCE:
            index -= 2
            room -= times[index + 1]
        return at if room >= -TOLERANCE else max(at, times[index] + spec.seconds)

    def charge(self, state: State, slot: float, now: float, spec: Spec, /) -> None:
        super().charge(state, slot, now, spec)
        times: list[float] = state.setdefault("times", [])
        gone = 0
        while gone < len(times) and times[gone] + spec.seconds <= now + TOLERANCE:
            gone += 2
        del times[:gone]
        if times and self._part(times[-2], spec) >= self._part(slot, spec):
            times[-2], times[-1] = slot, times[-1] + spec.cost
        else:
            times += [slot, spec.cost]

    def undo(self, state: State, slot: float, now: float, spec: Spec, /, *, at_once: bool) -> bool:
        times: list[float] = state.get("times", [])
        if not times or (slot > now + TOLERANCE and slot < times[-2] - TOLERANCE):
            return False
        together = 0 if spec.amount <= _PARTS else spec.seconds / _PARTS
        for index in range(0, len(times), 2):
            if times[index] >= slot - TOLERANCE:
                if times[index] > slot + together + TOLERANCE or times[index + 1] < spec.cost:
                    return False
                times[index + 1] -= spec.cost
                if not times[index + 1]:
                    del times[index : index + 2]
                super().undo(state, slot, now, spec, at_once=at_once)
                return True
        return False

    def move(self, state: State, seconds: float, now: float, spec: Spec, /) -> None:
        super().move(state, seconds, now, spec)
        times: list[float] = state.get("times", [])
        for index in range(0, len(times), 2):
            if times[index] > now:
                times[index] += seconds

    def free(self, state: State, now: float, spec: Spec, /) -> float:
        times: list[float] = state.get("times", [])
        past, waiting = 0.0, 0.0
        for index in range(0, len(times), 2):
            if times[index] > now + TOLERANCE:
                waiting += times[index + 1]
            elif times[index] + spec.seconds > now + TOLERANCE:
                past += times[index + 1]
        return -waiting if waiting else spec.amount - past

    def end(self, state: State, spec: Spec, /) -> float:
        times: list[float] = state.get("times", [])
        return max(times[-2] + spec.seconds if times else -math.inf, super().end(state, spec))

    def _part(self, time: float, spec: Spec) -> float:
        return time if spec.amount <= _PARTS else math.floor(time * _PARTS / spec.seconds)


class SlidingWindowCounter(_InARow):
    """`counts` has the calls of the window at `start` and of those after it; the second is the current one.

    The count of the window before weighs as much as of that window lies within the last `seconds`; the weighted sum is
    rounded down, as limits documents it.
    """

    def earliest(self, state: State, at: float, held: float | None, spec: Spec, /) -> float:
        at = super().earliest(state, at, held, spec)
        if "start" not in state:
            return at
        counts: list[float] = state["counts"]
        window = max(self._window(state, at, spec), self._last(state))
        count = counts[window] if 0 <= window < len(counts) else 0
        if count + spec.cost > spec.amount:
            window, count = window + 1, 0
        return max(at, self._due(state, window, spec.amount - spec.cost - count, spec))

    def charge(self, state: State, slot: float, now: float, spec: Spec, /) -> None:
        super().charge(state, slot, now, spec)
        if "start" not in state:
            state["start"] = (math.floor(now / spec.seconds) - 1) * spec.seconds
            state["counts"] = [0.0, 0.0]
        counts: list[float] = state["counts"]
        passed = max(0, self._window(state, now, spec) - 1)
        del counts[:passed]
        state["start"] += passed * spec.seconds
        window = self._window(state, slot, spec)
        if window > len(counts) + _FAR:
            # After a long pause: nobody comes before this call any more, so what was before it need not be known.
            state["start"] += (window - 1) * spec.seconds
            counts[:] = [0.0, 0.0]
            window = 1
        counts += [0.0] * (window + 1 - len(counts))
        counts[window] += spec.cost

    def undo(self, state: State, slot: float, now: float, spec: Spec, /, *, at_once: bool) -> bool:
        if "start" not in state:
            return False
        counts: list[float] = state["counts"]
        window = self._window(state, slot, spec)
        if not 0 <= window < len(counts) or counts[window] < spec.cost:
            return False
        if at_once:
            # A lighter past would let the next call overtake those that have their slots already.
            alike = self.free(state, now, spec) >= 0
        else:
            tail = self._due(state, window, spec.amount - counts[window], spec)
            alike = window == self._last(state) and abs(slot - tail) <= TOLERANCE
        if alike:
            counts[window] -= spec.cost
            super().undo(state, slot, now, spec, at_once=at_once)
        return alike

    def free(self, state: State, now: float, spec: Spec, /) -> float:
        if "start" not in state:
            return spec.amount
        counts: list[float] = state["counts"]
        window = self._window(state, now, spec)
        before = counts[window - 1] if 0 < window <= len(counts) else 0
        left = 1 - (now - state["start"] - window * spec.seconds) / spec.seconds
        free: float = spec.amount - math.floor(before * left) - sum(counts[max(window, 0) :])
        return free

    def end(self, state: State, spec: Spec, /) -> float:
        if "start" not in state:
            return super().end(state, spec)
        last: float = state["start"] + (self._last(state) + 2) * spec.seconds
        return max(last, super().end(state, spec))

    def _last(self, state: State) -> int:
        """The last window in which calls stand."""
        counts: list[float] = state["counts"]
        return max((index for index, count in enumerate(counts) if count), default=0)

    def _due(self, state: State, window: int, room: float, spec: Spec) -> float:
        """From when on the weight of the window before leaves so much room besides the call."""
        counts: list[float] = state["counts"]
        begin: float = state["start"] + window * spec.seconds
        before = counts[window - 1] if 0 < window <= len(counts) else 0
        if before < room + 1:
            return begin
        # Rounded down, the weight is less than one over what there is room for only after this moment.
        return begin + spec.seconds * (1 - (room + 1) / before) + TOLERANCE
