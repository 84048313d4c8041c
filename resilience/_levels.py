"""How each algorithm counts: the token bucket, and the bucket whose rate nobody knows; `_windows` has the others.

The methods change nothing but the fields of the state that they name. `stores/lua/bucket.lua` has a twin of each.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

from ._transactions import State

__all__ = ["TOLERANCE", "Level", "Paced", "Spec", "TokenBucket", "Unrated"]

TOLERANCE = 1e-6
"""Seconds by which two times may differ and still be the same: the clocks of servers count no finer."""
# A call may take its slot so much later than it was due, and until it has, a pause moves it.
_LATE = 5.0


class Spec(NamedTuple):
    """A rate and what a call costs of it."""

    algorithm: str
    amount: float
    """So many calls..."""
    seconds: float
    """...in so many seconds."""
    burst: float
    """So many at once after a rest."""
    cost: float

    @classmethod
    def of(cls, values: list[Any]) -> Spec:
        """From plain data. A cost over the whole bucket, which the caller refuses, is as much as there is."""
        algorithm, amount, seconds, burst, cost = values
        if algorithm == "unrated":
            return cls(algorithm, 0, 0, 0, cost)
        most = burst if algorithm == "token_bucket" else amount
        return cls(algorithm, amount, seconds, most, min(cost, most))

    @property
    def interval(self) -> float:
        """Seconds from one call to the next when they come evenly."""
        return self.seconds / self.amount if self.amount else _RESUMED_EVERY


# Calls that waited for an unrated bucket come back one every 50 ms, and twice as fast with each second that goes well,
# so that a rate far above 20 per second is soon reached again; after ten of them it is 20,000 per second, no limit any more.
_RESUMED_EVERY = 0.05
_RESUMED_FOR = 10.0


class Level(Protocol):
    """One way to count. All times are the store's."""

    def earliest(self, state: State, at: float, held: float | None, spec: Spec, /) -> float:
        """When a call may go: from `at` on, and if `held` is given, from then on at the even pace."""
        ...

    def charge(self, state: State, slot: float, now: float, spec: Spec, /) -> None:
        """Count a call that goes at a time that `earliest` gave."""
        ...

    def undo(self, state: State, slot: float, now: float, spec: Spec, /, *, at_once: bool) -> bool:
        """Take a call back, if that leaves everything as if it had never been counted.

        Arguments:
            state: the bucket's.
            slot: when it went, or would have gone.
            now: the time.
            spec: its rate and cost.
            at_once: whether it was let through when it came, rather than reserved for later.
        """
        ...

    def move(self, state: State, seconds: float, now: float, spec: Spec, /) -> None:
        """Let everything that is reserved be so much later."""
        ...

    def hold(self, state: State, until: float, spec: Spec, /) -> None:
        """Let nobody else go before a time, and from then on at the even pace."""
        ...

    def free(self, state: State, now: float, spec: Spec, /) -> float:
        """How much may go now; below zero, how much waits."""
        ...

    def end(self, state: State, spec: Spec, /) -> float:
        """From when on the state says nothing that no state would not say."""
        ...


def _note_reserved(state: State, slot: float, now: float) -> None:
    if slot > now:
        state["reserved"] = max(slot, state.get("reserved", slot))


def _is_reserved(state: State, now: float) -> bool:
    """Whether somebody may still wait for a slot."""
    return bool(state.get("reserved", -math.inf) > now - _LATE)


class TokenBucket:
    """GCRA: the bucket is full again at `base + n * interval`, and each call moves that by its cost.

    `n` counts, so that neither undoing nor a million calls in a row gather errors of rounding. `last` is when the latest
    call goes.
    """

    def earliest(self, state: State, at: float, held: float | None, spec: Spec, /) -> float:
        full = self.end(state, spec)
        if held is not None:
            full = max(full, held + (spec.burst - 1) * spec.seconds / spec.amount)
        return max(at, full - (spec.burst - spec.cost) * spec.seconds / spec.amount)

    def charge(self, state: State, slot: float, now: float, spec: Spec, /) -> None:
        _note_reserved(state, slot, now)
        if self.end(state, spec) <= slot - TOLERANCE:
            state["base"], state["n"] = slot, 0
        state["n"] += spec.cost
        state["last"] = slot

    def undo(self, state: State, slot: float, _now: float, spec: Spec, /, *, at_once: bool) -> bool:
        # Of what is reserved the last stands where the bucket would be empty, whatever each of them cost. Of what went at
        # once the bucket might have been full again before the latest call: as much as that time fills is gone.
        empty = self.end(state, spec) - spec.burst * spec.seconds / spec.amount
        latest = state.get("last", -math.inf) if at_once else empty
        cost = spec.cost - max(0.0, latest - slot) * spec.amount / spec.seconds
        if latest < slot - TOLERANCE or (not at_once and latest > slot + TOLERANCE):
            return False
        if cost <= TOLERANCE or state.get("n", 0) < cost - TOLERANCE:
            return False
        state["n"] -= cost if at_once else spec.cost
        return True

    def move(self, state: State, seconds: float, now: float, _spec: Spec, /) -> None:
        # Where nobody waits there is nothing to move: time that passes in a pause fills the bucket as any other does.
        if _is_reserved(state, now):
            state["base"] += seconds
            state["reserved"] += seconds
            state.pop("last", None)

    def hold(self, state: State, until: float, spec: Spec, /) -> None:
        full = until + (spec.burst - 1) * spec.seconds / spec.amount
        if self.end(state, spec) < full:
            state["base"], state["n"] = full, 0
            state.pop("last", None)

    def free(self, state: State, now: float, spec: Spec, /) -> float:
        return spec.burst - max(0.0, self.end(state, spec) - now) * spec.amount / spec.seconds

    def end(self, state: State, spec: Spec, /) -> float:
        if "base" not in state:
            return -math.inf
        full: float = state["base"] + state["n"] * spec.seconds / spec.amount
        return full


class Paced:
    """What has no even pace of its own gets one after a pause: `next` is free from `since` on."""

    def earliest(self, state: State, at: float, held: float | None, _spec: Spec, /) -> float:
        at = max(at, state.get("next", at))
        return at if held is None else max(at, held)

    def charge(self, state: State, slot: float, now: float, spec: Spec, /) -> None:
        _note_reserved(state, slot, now)
        since = state.get("since")
        if since is not None and slot < since + self.span(spec):
            state["next"] = slot + self.gap(slot - since, spec)

    def undo(self, state: State, slot: float, _now: float, spec: Spec, /, *, at_once: bool) -> bool:
        if "next" not in state or abs(slot + self.gap(slot - state["since"], spec) - state["next"]) > TOLERANCE:
            return at_once and "next" not in state
        state["next"] = slot
        return True

    def move(self, state: State, seconds: float, now: float, _spec: Spec, /) -> None:
        # The gap behind a call that has gone is nobody's place: a pause takes it in.
        if _is_reserved(state, now):
            state["reserved"] += seconds
            if "next" in state:
                state["next"] += seconds

    def hold(self, state: State, until: float, _spec: Spec, /) -> None:
        state["next"] = max(until, state.get("next", until))
        state["since"] = until

    def end(self, state: State, spec: Spec, /) -> float:
        return max(state["next"], state["since"] + self.span(spec)) if "next" in state else -math.inf

    def gap(self, _after: float, spec: Spec, /) -> float:
        """Seconds from a call to the next one, so long after the pace has begun."""
        return spec.cost * spec.seconds / spec.amount

    def span(self, spec: Spec, /) -> float:
        """Seconds for which the pace is kept."""
        return spec.seconds


class Unrated(Paced):
    """Lets everything through, unless it is paused; then the calls that waited come back one after the other."""

    def gap(self, after: float, _spec: Spec, /) -> float:
        return _RESUMED_EVERY * 0.5 ** max(0, math.floor(after + TOLERANCE))

    def free(self, state: State, now: float, spec: Spec, /) -> float:
        if "next" not in state:
            return math.inf
        # Counted from `since`: beside a small number a step is never lost in rounding, so this ends whatever the state says.
        waiting, after = 0, 0.0
        end = min(state["next"] - TOLERANCE - state["since"], _RESUMED_FOR)
        while after < end:
            waiting += state["since"] + after > now + TOLERANCE
            after += self.gap(after, spec)
        return -waiting or math.inf

    def span(self, _spec: Spec, /) -> float:
        return _RESUMED_FOR
