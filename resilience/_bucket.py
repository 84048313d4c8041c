"""What is left of a rate limit, and when the next call may go.

Each function is a script of the store (see `_transactions`); `stores/lua` has a twin of each, line for line.

A `spec` is `[algorithm, amount, seconds, burst, cost]`; the algorithm is `token_bucket`, `fixed_window`, `moving_window`,
`sliding_window_counter`, or `unrated` for a bucket whose rate nobody knows (its numbers but the cost are passed over).
`_bucket_state` has what is common to all algorithms, `_levels` and `_windows` how each of them counts.
"""

from __future__ import annotations

import math
from typing import Any

from ._bucket_state import (
    LEVELS,
    MOST_HOLES,
    forget_word,
    open_bucket,
    save_bucket,
    stop_clock,
    take,
    turn_of,
    undo_holes,
)
from ._levels import TOLERANCE, Spec
from ._longest import LONGEST_TIME
from ._transactions import Reply, State, Transaction

__all__ = ["confirm", "correct", "describe", "give_back", "look", "pause", "reserve"]

# Seconds by which two words on the same reset may differ.
_COARSE = 1.0


def reserve(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[float, list[list[Any]]]) -> Reply:
    """Take what a call costs of all buckets at once, or the slot of the one that is free last.

    If all have enough, all are charged. Otherwise, if the slot of the slowest is no more than `max_wait` away, that
    slot alone is reserved: when it is due, `confirm` it and reserve in the others. Otherwise nothing is taken.

    Arguments:
        transaction: the store's.
        keys: of the buckets, each once.
        arguments: the longest wait in seconds, and a spec for each key.

    Returns:
        [granted: 1 or 0, seconds to wait, index of the bucket that was reserved (of the one that would have kept the
        call waiting too long, if nothing was granted) or -1 if all were charged now, slot (store time), shift]. `slot`
        and `shift` are what `give_back` and `confirm` need; the shift is -1 if all were charged now.
    """
    max_wait, specs = arguments
    now = transaction.now
    buckets = [open_bucket(transaction, key, Spec.of(values)) for key, values in zip(keys, specs, strict=True)]
    turns = [turn_of(state, spec, now) for state, spec in buckets]
    index = max(range(len(turns)), key=lambda each: turns[each].slot)
    slot = turns[index].slot
    if slot <= now + TOLERANCE:
        for key, (state, spec), turn in zip(keys, buckets, turns, strict=True):
            take(state, spec, turn, now, now)
            save_bucket(transaction, key, state, spec)
        return [1, 0, -1, now, -1]
    state, spec = buckets[index]
    shift = state.get("shift", 0)
    if slot - now > max_wait + TOLERANCE:
        return [0, slot - now, index, slot, shift]
    take(state, spec, turns[index], slot, now)
    save_bucket(transaction, keys[index], state, spec)
    return [1, slot - now, index, slot, shift]


def look(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[list[list[Any]]]) -> Reply:
    """The wait in seconds that `reserve` would say, changing nothing. Returns: [wait]."""
    now = transaction.now
    slot = now
    for key, values in zip(keys, arguments[0], strict=True):
        state, spec = open_bucket(transaction, key, Spec.of(values))
        slot = max(slot, turn_of(state, spec, now).slot)
    return [slot - now if slot > now + TOLERANCE else 0]


def give_back(transaction: Transaction, keys: tuple[str], arguments: tuple[list[Any], float, float]) -> Reply:
    """Give back what a call that was not sent has taken of one bucket.

    Arguments:
        transaction: the store's.
        keys: the bucket's.
        arguments: spec, slot and shift. Slot and shift are of the same moment: as `reserve` gave them, or, after a
            `confirm`, the slot plus every additional wait with the shift that came with it.

    Returns:
        [1 if it is as if it had never been taken, 2 if the slot is kept for the next call of the same cost, 0 if it is
        too late for either].
    """
    if transaction.load(keys[0]) is None:
        return [0]
    values, slot, shift = arguments
    now = transaction.now
    state, spec = open_bucket(transaction, keys[0], Spec.of(values))
    level = LEVELS[spec.algorithm]
    holes: list[float] = state.get("holes", [])
    at_once = shift < 0
    if not at_once:
        slot += max(0, state.get("shift", 0) - shift)
    result = 1 if level.undo(state, slot, now, spec, at_once=at_once) else 0
    if result:
        undo_holes(state, spec, now)
    elif not at_once and slot >= now - TOLERANCE and len(holes) < 2 * MOST_HOLES:
        state["holes"] = [*holes, slot, spec.cost]
        result = 2
    if result and slot < state.get("left_until", slot) and not (at_once and slot < state["left_since"]):
        state["left"] += spec.cost
    save_bucket(transaction, keys[0], state, spec)
    return [result]


def confirm(transaction: Transaction, keys: tuple[str], arguments: tuple[float]) -> Reply:
    """Ask, once a slot is due, whether pauses have moved it since.

    Arguments:
        transaction: the store's.
        keys: the bucket's.
        arguments: the shift that came with the slot, or with the last `confirm`.

    Returns:
        [seconds to wait in addition, from now: the slot has moved by so much; 0 if the call may go, shift now].
    """
    state = transaction.load(keys[0])
    if state is None:
        return [0, 0]
    now = transaction.now
    shift = state.get("shift", 0)
    wait = max(0, shift - max(0, arguments[0]), state.get("paused_until", now) - now)
    return [wait if wait > TOLERANCE else 0, shift]


def pause(transaction: Transaction, keys: tuple[str], arguments: tuple[float, list[Any]]) -> Reply:
    """Stop the clock of a bucket: nobody goes before its end, everything that is reserved moves by it, the burst is gone.

    Arguments:
        transaction: the store's.
        keys: the bucket's.
        arguments: seconds from now (at most 366 days), and the spec. Zero seconds stop nothing and empty the bucket.
            A pause never shortens another.

    Returns:
        [seconds for which the bucket is paused from now].
    """
    seconds, values = arguments
    state, spec = open_bucket(transaction, keys[0], Spec.of(values))
    stop_clock(state, spec, seconds, transaction.now)
    save_bucket(transaction, keys[0], state, spec)
    return [max(0, state.get("paused_until", transaction.now) - transaction.now)]


def correct(transaction: Transaction, keys: tuple[str], arguments: tuple[float, float, list[Any]]) -> Reply:
    """Take the provider's word: no more than so many until the reset. It only ever lowers what is left.

    Arguments:
        transaction: the store's.
        keys: the bucket's.
        arguments: how much the provider says remains, seconds until it is whole again (0 if it did not say), the spec.

    Returns:
        [how much is left until then, what calls that wait have reserved not counted].
    """
    remaining, reset_in, values = arguments
    now = transaction.now
    state, spec = open_bucket(transaction, keys[0], Spec.of(values))
    level = LEVELS[spec.algorithm]
    reset_in = min(reset_in, LONGEST_TIME) if reset_in > 0 else 0
    if remaining < 1 and reset_in:
        stop_clock(state, spec, reset_in, now)
        forget_word(state)
        save_bucket(transaction, keys[0], state, spec)
        return [0]
    remaining = max(0, remaining)
    free = level.free(state, now, spec)
    # A bucket fills from the level that it has; a window whose reset the provider tells ends then.
    lowers = spec.algorithm == "token_bucket" or not reset_in
    if lowers and remaining < free - TOLERANCE and free < math.inf:
        level.charge(state, now, now, spec._replace(cost=free - remaining))
        # The provider has counted all that went before: none of it can be given back.
        state.pop("last", None)
    # What waits already has its slots, and the provider counts it only when it comes; nobody waits in a hole.
    waiting = min(0, math.floor(free + sum(state.get("holes", [])[1::2]) + TOLERANCE)) if free < math.inf else 0
    left = remaining + waiting
    # An answer that was overtaken says more of the same reset, which is told in whole seconds; another reset is news.
    if reset_in and (left <= state.get("left", left) or now + reset_in > state["left_until"] + _COARSE):
        state["left"], state["left_since"], state["left_until"] = left, now, now + reset_in
    save_bucket(transaction, keys[0], state, spec)
    return [max(0, min(left, state.get("left", left)))]


def describe(state: State, now: float) -> dict[str, float | str]:
    """What a bucket's state says, for people.

    Arguments:
        state: as the store keeps it.
        now: the store's time.

    Returns:
        `algorithm`, `amount`, `seconds`, `burst` as last used; `left`: calls that may go now; `paused`: seconds that it is
        paused for; `waiting`: what is reserved for later; `next`: seconds until a call of cost 1 may go.
    """
    spec = Spec.of([state["algorithm"], state["amount"], state["seconds"], state["burst"], 1])
    level = LEVELS[spec.algorithm]
    resumes = max(now, state.get("paused_until", now))
    free = level.free(state, resumes, spec)
    word = state["left"] if now < state.get("left_until", now) else math.inf
    if resumes > now:
        word = 0
    return {
        "algorithm": spec.algorithm,
        "amount": spec.amount,
        "seconds": spec.seconds,
        "burst": spec.burst,
        "left": max(0, min(free, word)),
        "paused": resumes - now,
        "waiting": max(0, math.ceil(-free - TOLERANCE)) if free < math.inf else 0,
        "next": max(0, turn_of(dict(state), spec, now).slot - now),
    }
