"""Permits: how many calls are in flight under a limit, who holds a place, and how many the provider bears just now.

A state is one limit of one account (operation, host):

    holders    who is in flight, and when the lease of each ends
    earliest   no lease ends before; so most calls need not look at all of them
    latest     no lease ends after
    number     what is documented, as the last call knew it; 0 where nobody said which plan it is
    most       while the provider bears less than that: how much
    lowerings  how often it was lowered

The documented number is the caller's: after a change of plan the holders stay, and the new number counts at once.

Each function is a script of the store (see `_transactions`); `stores/lua` has a twin of each, line for line.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._transactions import Reply, State, Transaction

__all__ = ["acquire", "describe", "lower", "raise_", "release", "renew"]

# What was learned is forgotten after an hour without a call: the provider may have more room by then.
_LEARNED_SECONDS = 3600.0


def acquire(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Take a place under every key, or under none.

    Arguments:
        transaction: the states.
        keys: of the limits.
        arguments: a unique text for the call, the seconds of its lease, and the documented number of each limit, 0
            where it is unknown. A call that has its places already keeps them, with a new lease.

    Returns:
        1, 0, -1, and for each key how often it was lowered and whether it is lowered now; or 0, the seconds until the
        earliest lease of a full one ends, its index, and the number that it bears.
    """
    holder, lease = arguments[0], arguments[1]
    states: list[State] = []
    for index, key in enumerate(keys):
        state = _live(transaction, key)
        holders, most = state["holders"], _most(state, arguments[2 + index])
        if holder not in holders and len(holders) + 1 > most:
            return [0.0, min(holders.values()) - transaction.now, float(index), float(most)]
        states.append(state)
    reply = [1.0, 0.0, -1.0]
    for index, key in enumerate(keys):
        state = states[index]
        state["number"] = arguments[2 + index]
        _hold(transaction, state, holder, lease)
        _keep(transaction, key, state)
        reply += [float(state["lowerings"]), 1.0 if "most" in state else 0.0]
    return reply


def release(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Give the places back.

    Arguments:
        transaction: the states.
        keys: of the limits.
        arguments: the text of the call.

    Returns:
        How many there were.
    """
    given = 0.0
    for key in keys:
        state = _live(transaction, key)
        if state["holders"].pop(arguments[0], None) is not None:
            given += 1.0
            _keep(transaction, key, state)
    return [given]


def renew(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Begin the leases anew: the call is still in flight.

    That is true whatever the number says, so a place that was lost (its lease ran out while nobody read, the store was
    restarted) is taken again.

    Arguments:
        transaction: the states.
        keys: of the limits.
        arguments: the text of the call, and the seconds of its lease.

    Returns:
        How many of its places it still had.
    """
    kept = 0.0
    for key in keys:
        state = _live(transaction, key)
        if arguments[0] in state["holders"]:
            kept += 1.0
        _hold(transaction, state, arguments[0], arguments[1])
        _keep(transaction, key, state)
    return [kept]


def lower(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """The provider refused a call for too many at a time: bear half of what was in flight.

    That is TCP's answer to a loss (RFC 5681 section 3.1, equation 4): half of what is in flight, not half of what
    would be allowed, which may be far more. Many calls are refused by one crowd; only the first of them counts, that
    is one which was admitted after the last lowering.

    Arguments:
        transaction: the states.
        keys: of one limit.
        arguments: how often it had been lowered when the call was admitted, and the documented number or 0.

    Returns:
        Whether this lowered it.
    """
    state = _live(transaction, keys[0])
    if state["lowerings"] != arguments[0]:
        return [0.0]
    in_flight = max(1, len(state["holders"]))
    state["most"] = max(1.0, min(_most(state, arguments[1]), in_flight) / 2.0)
    state["lowerings"] += 1
    _keep(transaction, keys[0], state)
    return [1.0]


def raise_(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """A call succeeded under a lowered number: bear one more for as many successes as the number is high.

    The end is the documented number. Where none is known it rises only while it is what holds calls back (RFC 7661
    section 4.3: a window that is not used proves nothing).

    Arguments:
        transaction: the states.
        keys: of one limit.
        arguments: how often it had been lowered when the call was admitted, and the documented number or 0.

    Returns:
        Whether this raised it.
    """
    state = _live(transaction, keys[0])
    most, documented = state.get("most"), arguments[1]
    if most is None or state["lowerings"] != arguments[0]:
        return [0.0]
    if not documented and len(state["holders"]) + 1 <= most:
        return [0.0]
    state["most"] = most + 1.0 / most
    if documented and state["most"] >= documented:
        del state["most"]
    _keep(transaction, keys[0], state)
    return [1.0]


def describe(state: State, now: float) -> dict[str, float | None]:
    """A state for people.

    Arguments:
        state: as the store keeps it.
        now: seconds of the store's clock.

    Returns:
        `in_flight`: how many calls; `most`: how many may be, `None` without an end; `documented`: how many the
        provider documents, `None` if unknown; `lease_ends_in`: seconds until the earliest lease ends, `None` without.
    """
    # A store that packs Lua's tables gives an empty one as a list.
    left = [ends - now for ends in dict(state["holders"]).values() if ends > now]
    most = _most(state, state["number"])
    return {
        "in_flight": float(len(left)),
        "most": None if most == math.inf else float(math.floor(most)),
        "documented": float(state["number"]) if state["number"] else None,
        "lease_ends_in": min(left, default=None),
    }


def _live(transaction: Transaction, key: str) -> State:
    """The state without holders whose lease has ended."""
    now = transaction.now
    state = transaction.load(key)
    if state is None:
        return {"holders": {}, "earliest": 0.0, "latest": now, "number": 0, "lowerings": 0}
    if state["earliest"] <= now:
        holders = {holder: ends for holder, ends in state["holders"].items() if ends > now}
        # A copy: whoever refuses does not save.
        state = {**state, "holders": holders, "earliest": min(holders.values(), default=0.0)}
    return state


def _most(state: State, documented: float) -> float:
    """How many calls at a time."""
    allowed: float = documented or math.inf
    most: float = state.get("most", allowed)
    return min(most, allowed)


def _hold(transaction: Transaction, state: State, holder: str, lease: float) -> None:
    ends = transaction.now + lease
    state["earliest"] = min(state["earliest"], ends) if state["holders"] else ends
    state["latest"] = max(state["latest"], ends)
    state["holders"][holder] = ends


def _keep(transaction: Transaction, key: str, state: State) -> None:
    """Save what says something: nobody in flight and nothing learned is what a new state says too."""
    if not state["holders"] and "most" not in state:
        transaction.save(key, None, 0.0)
    else:
        learned = _LEARNED_SECONDS if "most" in state else 0.0
        transaction.save(key, state, max(state["latest"] - transaction.now, learned))
