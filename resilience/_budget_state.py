"""What was spent of one budget, in one period, by one account or tag: plain data that the scripts of credits share.

Amounts are whole millionths, so that no fraction is ever lost.

    limit     what may be spent, -1 without end; of a balance: what the provider said last
    window    seconds of a rolling window, 0 for a calendar's period
    slots     what was spent: pairs of the part of the window and an amount; a period has one part
    reserved  what calls that are under way may still cost, in all
    open      the same by call: amount, when its lease ends, 1 if it counts as spent should that happen, its ledger row
    earliest  no lease ends before; so most calls need not look at all of them
    lost      calls whose lease has ended: name, what was counted, what was reserved, in which part: they may still speak
    warned    1 once so much is used that its user wants to know, until half of that is
    seen      of a balance: when the provider told it, or a call was sent to find out
    keeps     until when the state is needed

`stores/lua/credits.lua` has a twin of each function, line for line.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._transactions import State, Transaction

__all__ = [
    "BALANCE",
    "BALANCE_SECONDS",
    "LARGEST",
    "LATE_SECONDS",
    "PAGES",
    "SLOTS",
    "budget_of",
    "end",
    "free",
    "keep",
    "rename",
    "seconds_until",
    "spend",
    "spent_of",
    "write",
]

SLOTS = 60
"""In how many parts a rolling window is counted; each is forgotten whole, once all of it has left the window."""
PAGES = 256
"""In how many states a ledger is kept, so that a settlement writes little."""
BALANCE = -2
"""In place of a limit: the provider tells it, or it stays as it is."""
BALANCE_SECONDS = 7 * 86_400.0
"""How long what a provider has told of a balance is kept."""
LARGEST = 9_007_199_254_740_991
"""Up to here every whole number can be told from the next (IEEE 754), in whichever language."""
_MOST_ROWS, _MOST_NAMES = 32, 256
_LEDGER_SECONDS = 35 * 86_400.0
LATE_SECONDS = 86_400.0  # after its lease: a call may still speak, and somebody find that it was lost


def budget_of(transaction: Transaction, key: str, limit: int, window: float, rows: list[list[Any]]) -> State:
    """The state as it is now; rows of calls that were lost are added for the ledger, empty ones where it is to be saved."""
    now = transaction.now
    state = transaction.load(key) or _new(limit, window, now)
    if limit not in {BALANCE, state["limit"]}:
        state["limit"] = limit
        rows.append([])
    if state["earliest"] and state["earliest"] <= now:
        _lose(state, now, rows)
    if state["window"]:
        oldest = _slot_of(state, now) - SLOTS
        while state["slots"] and state["slots"][0][0] < oldest:
            del state["slots"][0]
    return state


def _new(limit: int, window: float, now: float) -> State:
    """Of which nothing is known but its settings."""
    return {
        "limit": max(limit, -1),
        "window": window,
        "slots": [],
        "reserved": 0,
        "open": {},
        "earliest": 0.0,
        "lost": [],
        "warned": 0,
        "seen": now,
        "keeps": now,
    }


def _lose(state: State, now: float, rows: list[list[Any]]) -> None:
    """Calls whose lease has ended are no longer open; what each is taken to have cost is spent."""
    earliest = 0.0
    for call in sorted(state["open"]):
        amount, ends, counts, row = state["open"][call]
        if ends > now:
            earliest = min(earliest or ends, ends)
            continue
        del state["open"][call]
        state["reserved"] -= amount
        charged = amount if counts else 0
        spend(state, now, charged)
        state["lost"].append([call, charged, amount, _slot_of(state, now)])
        rows.append([*row, charged] if row else [])
    while len(state["lost"]) > _MOST_NAMES:
        del state["lost"][0]
    state["earliest"] = earliest


def _slot_of(state: State, now: float) -> int:
    """The part of the window that it is now."""
    return math.floor(now * SLOTS / state["window"]) if state["window"] else 0


def spent_of(state: State, now: float) -> int:
    """What counts as spent."""
    oldest = _slot_of(state, now) - SLOTS
    spent = 0
    for slot, amount in state["slots"]:
        if slot >= oldest:
            spent = min(spent + amount, LARGEST)
    return spent


def spend(state: State, now: float, amount: int) -> None:
    """Count an amount as spent."""
    if amount == 0:
        return
    slot = _slot_of(state, now)
    slots: list[list[int]] = state["slots"]
    if slots and slots[-1][0] == slot:
        slots[-1][1] = min(slots[-1][1] + amount, LARGEST)
    else:
        slots.append([slot, amount])


def free(state: State, call: str) -> list[Any] | None:
    """Give back what a call has reserved; returns its reservation, `None` if there is none."""
    reservation: list[Any] | None = state["open"].pop(call, None)
    if reservation is not None:
        state["reserved"] -= reservation[0]
        if not state["open"]:
            state["earliest"], state["reserved"] = 0.0, 0
    return reservation


def end(state: State, call: str, charged: int, now: float, *, elsewhere: bool) -> int | None:
    """End a reservation: what it cost is spent.

    Arguments:
        state: the budget's.
        call: the name of the reservation.
        charged: what it cost, -1 for what was reserved.
        now: seconds of the store's clock.
        elsewhere: whether it counts also if nothing is known of it here.

    Returns:
        By how much what was ever spent has changed; `None` if it had ended before.
    """
    reservation = free(state, call)
    lost = [each for each in state["lost"] if each[0] == call]
    if reservation is None and not lost and not elsewhere:
        return None
    amount, counted = reservation[0] if reservation is not None else 0, 0
    for each in lost:
        amount, counted = min(amount + each[2], LARGEST), min(counted + each[1], LARGEST)
    state["lost"] = [each for each in state["lost"] if each[0] != call]
    change: int = (amount if charged < 0 else charged) - counted
    spend(state, now, max(0, change))
    _take_back(state, lost, max(0, -change))
    return change


def _take_back(state: State, lost: list[list[Any]], amount: int) -> None:
    """Correct what was counted too much, in the parts in which it was: another one still holds what others have spent."""
    for _, counted, _, part in lost:
        for slot in state["slots"]:
            if slot[0] == part:
                slot[1] = max(0, slot[1] - min(counted, amount))
        amount -= min(counted, amount)


def rename(state: State, call: str, name: str, ends: float) -> bool:
    """Begin a lease anew, under a name that may be another; whether the reservation was open.

    Arguments:
        state: the budget's.
        call: the name of the reservation.
        name: its new name; what is open under it becomes one reservation with this.
        ends: when the lease ends.
    """
    for each in state["lost"]:
        if each[0] == call:
            each[0] = name
    reservation = state["open"].pop(call, None)
    other = state["open"].pop(name, None)
    if reservation is None or other is None:
        reservation = reservation or other
    else:
        reservation = [reservation[0] + other[0], ends, max(reservation[2], other[2]), reservation[3] or other[3]]
    if reservation is None:
        return False
    reservation[1] = ends
    state["open"][name] = reservation
    state["earliest"] = min(state["earliest"], ends)
    return True


def seconds_until(state: State, amount: int, now: float) -> float:
    """Seconds until so much of a rolling window is free again; -1 where nobody knows."""
    needed = spent_of(state, now) + (amount - state["limit"])
    if amount > state["limit"] or needed <= 0:
        # Never, or as soon as calls that are under way cost less than they might.
        return -1.0
    for slot, spent in state["slots"] if state["window"] else ():
        needed -= spent
        if needed <= 0:
            return float(max(0.0, (slot + SLOTS + 1) * state["window"] / SLOTS - now))
    return -1.0


def keep(transaction: Transaction, key: str, state: State, seconds: float) -> None:
    """Save the state for as long as it is needed, and for a day after the last call: it may still speak."""
    now = transaction.now
    # What is spent now is counted until its part has left the window.
    counted = state["window"] * (SLOTS + 1) / SLOTS
    state["keeps"] = max(state["keeps"], now + seconds, now + counted, now + LATE_SECONDS)
    transaction.save(key, state, state["keeps"] - now)


def write(transaction: Transaction, page: str, rows: list[list[Any]]) -> None:
    """Add rows to a page of the ledger; the oldest of a full one is forgotten, and only its charge is kept."""
    told = [row for row in rows if row]
    if not told:
        return
    state = transaction.load(page) or {"rows": [], "dropped": 0, "charged": 0}
    for row in told:
        state["rows"].append(row)
    while len(state["rows"]) > _MOST_ROWS:
        state["charged"] = max(-LARGEST, min(state["charged"] + state["rows"][0][-1], LARGEST))
        state["dropped"] += 1
        del state["rows"][0]
    transaction.save(page, state, _LEDGER_SECONDS)
