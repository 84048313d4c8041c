"""What all rate limits have in common, however they count: pauses, slots given back, and the provider's word.

Fields of a state, beside those of its algorithm: `paused_until`; `shift`, by how many seconds pauses have moved what was
reserved; `holes`, slots given back in the middle (slot, cost, slot, cost...); `left`, how much the provider allows from
`left_since` until `left_until`; `algorithm`, `amount`, `seconds` and `burst`, for people.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from ._levels import TOLERANCE, Level, Spec, TokenBucket, Unrated
from ._longest import LONGEST_TIME
from ._transactions import State, Transaction
from ._windows import FixedWindow, MovingWindow, SlidingWindowCounter

__all__ = [
    "LEVELS",
    "MOST_HOLES",
    "Turn",
    "forget_word",
    "open_bucket",
    "save_bucket",
    "stop_clock",
    "take",
    "turn_of",
    "undo_holes",
]

LEVELS: Mapping[str, Level] = {
    "token_bucket": TokenBucket(),
    "fixed_window": FixedWindow(),
    "moving_window": MovingWindow(),
    "sliding_window_counter": SlidingWindowCounter(),
    "unrated": Unrated(),
}
MOST_HOLES = 64
"""Slots that are given back in the middle are kept for the next calls; over so many, they are lost."""
_COMMON = ("paused_until", "shift", "left", "left_since", "left_until")
# A waiting call may be late; until then its bucket is still there to tell of pauses.
_KEPT_FOR = 5.0


class Turn(NamedTuple):
    """When a call may go."""

    slot: float
    hole: int
    """Where in `holes` its slot stands, or -1."""
    is_held: bool
    """Whether it waits for the reset that the provider told."""


def open_bucket(transaction: Transaction, key: str, spec: Spec) -> tuple[State, Spec]:
    """The state of a bucket, without what has passed."""
    state = transaction.load(key)
    if not state:
        return {}, spec
    now = transaction.now
    if state["algorithm"] != spec.algorithm:
        # A policy has changed what it says of this limit: pauses and words still hold, counts mean something else.
        state = {name: state[name] for name in _COMMON if name in state}
    if state.get("left_until", math.inf) <= now + TOLERANCE:
        forget_word(state)
    holes: list[float] = state.get("holes", [])
    if holes and any(slot < now - TOLERANCE for slot in holes[::2]):
        kept: list[float] = []
        for slot, cost in zip(holes[::2], holes[1::2], strict=True):
            if slot >= now - TOLERANCE:
                kept += [slot, cost]
            else:
                # It was never sent: a window forgets it, a bucket that has gone on since cannot.
                LEVELS[spec.algorithm].undo(state, slot, now, spec._replace(cost=cost), at_once=True)
        state["holes"] = kept
    return state, spec


def turn_of(state: State, spec: Spec, now: float) -> Turn:
    """When a call may go; nothing is changed."""
    level = LEVELS[spec.algorithm]
    at = max(now, state.get("paused_until", now))
    slot = level.earliest(state, at, None, spec)
    if slot - now > 2 * LONGEST_TIME + spec.interval * max(spec.amount, spec.burst):
        # No wait is that long, and pauses add a year at most: another clock has written this.
        state.clear()
        return Turn(now, -1, is_held=False)
    reset = state.get("left_until", -math.inf)
    is_held = slot < reset and state["left"] < spec.cost
    if is_held:
        slot = level.earliest(state, at, reset, spec)
    hole = -1
    holes: list[float] = state.get("holes", [])
    for index in range(0, len(holes), 2):
        its = holes[index]
        if its < slot and holes[index + 1] == spec.cost and not (its < reset and state["left"] < spec.cost):
            slot, hole = its, index
    return Turn(slot, hole, is_held)


def take(state: State, spec: Spec, turn: Turn, slot: float, now: float) -> None:
    """Count a call, at once or for later."""
    level = LEVELS[spec.algorithm]
    if turn.is_held:
        # Whoever comes later waits behind this call, even if it costs less.
        level.hold(state, state["left_until"], spec)
    if turn.hole < 0:
        level.charge(state, slot, now, spec)
    else:
        del state["holes"][turn.hole : turn.hole + 2]
    if slot < state.get("left_until", slot):
        state["left"] -= spec.cost


def undo_holes(state: State, spec: Spec, now: float) -> None:
    """Holes that stand at the end now are not needed any more."""
    level = LEVELS[spec.algorithm]
    holes: list[float] = state.get("holes", [])
    index = 0
    while index < len(holes):
        if level.undo(state, holes[index], now, spec._replace(cost=holes[index + 1]), at_once=False):
            del holes[index : index + 2]
            index = 0
        else:
            index += 2


def stop_clock(state: State, spec: Spec, seconds: float, now: float) -> None:
    """Let nobody go for so long, and move everything that is reserved by as much; zero seconds empty the bucket."""
    level = LEVELS[spec.algorithm]
    paused_until = max(now, state.get("paused_until", now))
    if not seconds > 0:
        # After a pause the burst is gone anyway.
        if paused_until <= now:
            level.hold(state, now + spec.interval, spec)
        return
    until = now + min(seconds, LONGEST_TIME)
    longer = until - paused_until
    if longer <= TOLERANCE:
        return
    level.move(state, longer, now, spec)
    level.hold(state, until, spec)
    holes: list[float] = state.get("holes", [])
    holes[::2] = [slot + longer for slot in holes[::2]]
    state["paused_until"] = until
    state["shift"] = state.get("shift", 0) + longer


def forget_word(state: State) -> None:
    """The provider's word holds until its reset."""
    for name in ("left", "left_since", "left_until"):
        state.pop(name, None)


def save_bucket(transaction: Transaction, key: str, state: State, spec: Spec) -> None:
    """Keep a state as long as it says anything, and who it is for people."""
    if not state:
        return
    now = transaction.now
    end = LEVELS[spec.algorithm].end(state, spec)
    end = max(now, end, state.get("paused_until", now), state.get("left_until", now))
    state["algorithm"], state["amount"], state["seconds"], state["burst"] = spec[:4]
    transaction.save(key, state, end - now + _KEPT_FOR)
