"""Whether nothing at all holds a call up: all that its layers would ask before it is sent, in one decision of a store."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from ._breaker_machine import CLOSED, OPEN, SUCCESS, count, new
from ._breaker_state import IDLE, held_back
from ._bucket import reserve
from ._permits import acquire, release

if TYPE_CHECKING:
    from ._transactions import Reply, Transaction

__all__ = ["enter", "leave"]

_NO_PLACES = [1.0]


def enter(
    transaction: Transaction, keys: tuple[str, ...], arguments: tuple[int, list[list[Any]], tuple[Any, ...]]
) -> Reply:
    """Pay the limits of a call and take its permits if nothing else holds it up; otherwise take nothing.

    Arguments:
        transaction: the store's.
        keys: the breaker's; what must not be there at all; the buckets'; those of the limits on calls in flight.
        arguments: how many of the keys must not be there, a spec for each bucket, as `bucket.reserve` has it, and what
            `permits.acquire` has, if there are such limits.

    Returns:
        [the generation of the closed breaker; until when the next call would get the same reply, if no state is saved
        meanwhile; and what `permits.acquire` tells of each limit]; of an open breaker, if nothing was asked before it, what
        `breaker.admit` replies, with -1 in the place of REFUSED; or nothing.
    """
    shutters, specs, places = arguments
    for key in keys[1 : shutters + 1]:
        if transaction.load(key) is not None:
            return []
    state = transaction.load(keys[0])
    if state is not None and state["state"] != CLOSED:
        if state["state"] == OPEN and transaction.now < state["ends"]:
            reply = held_back(state, transaction.now)
            reply[0] = -1.0
            return reply
        return []
    buckets = shutters + 1 + len(specs)
    taken = acquire(transaction, keys[buckets:], places) if places else _NO_PLACES
    if not taken[0]:
        return []
    # While a limit is low its successes raise it again: that is the layers' to tell.
    if any(taken[4::2]) or (specs and not reserve(transaction, keys[shutters + 1 : buckets], (0.0, specs))[0]):
        if places:
            release(transaction, keys[buckets:], places[:1])
        return []
    if specs or places:
        return [0 if state is None else state["generation"], 0.0, *taken[3:]]
    # It was saved when the slot began, or later, for so long at least.
    return [0, inf] if state is None else [state["generation"], state["slot"] * state["width"] + IDLE]


def leave(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[float, int]) -> Reply:
    """Count a success as `breaker.record` does in a closed breaker, which is where it can change nothing else.

    Arguments:
        transaction: the store's.
        keys: the breaker's.
        arguments: the breaker's window in seconds, and the generation that `enter` gave.

    Returns:
        [1], or nothing where it is a result of another generation.
    """
    window, generation = arguments
    key = keys[0]
    state = transaction.load(key)
    if state is None:
        state = new(transaction.now)
    if state["generation"] != generation or state["state"] != CLOSED:
        return []
    slot = state["slot"]
    count(state, transaction.now, window, SUCCESS)
    if state["slot"] != slot:
        # Within a slot it is changed in place: a store in this process keeps this very state, for a good deal longer.
        transaction.save(key, state, max(IDLE, window))
    return [1]
