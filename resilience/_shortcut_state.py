"""Whether nothing at all holds a call up: all that its layers would ask before it is sent, in one decision of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._breaker_machine import CLOSED, OPEN, SUCCESS, count, new
from ._breaker_state import IDLE, admit
from ._bucket import reserve

if TYPE_CHECKING:
    from ._transactions import Reply, Transaction

__all__ = ["enter", "leave"]

# What `breaker.admit` is told by a call that holds nothing; an open breaker asks for none of it.
_NO_PROBE = ((), 0.0, 0, 0)


def enter(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[int, list[list[Any]]]) -> Reply:
    """Pay the limits of a call if nothing else holds it up; otherwise take nothing, and change nothing.

    Arguments:
        transaction: the store's.
        keys: the breaker's; what must not be there at all; the buckets'.
        arguments: how many of the keys must not be there, and a spec for each bucket, as `bucket.reserve` has it.

    Returns:
        [the generation of the closed breaker]; of an open one, if nothing was asked before it, what `breaker.admit`
        replies; or nothing.
    """
    shutters, specs = arguments
    for key in keys[1 : shutters + 1]:
        if transaction.load(key) is not None:
            return []
    state = transaction.load(keys[0])
    if state is not None and state["state"] != CLOSED:
        if state["state"] == OPEN and transaction.now < state["ends"]:
            return admit(transaction, keys[:1], _NO_PROBE)
        return []
    if specs and not reserve(transaction, keys[shutters + 1 :], (0.0, specs))[0]:
        return []
    return [0 if state is None else state["generation"]]


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
