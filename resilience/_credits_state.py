"""Credits: what calls reserve of budgets before they are sent, and what is settled once their cost is known.

reserve ──▶ open ──▶ settled: what the call cost counts as spent, the rest is free again
                 └─▶ lost: its lease ended without a word, as after a crash. What it reserved counts as spent, or, where
                     the provider charges for answers alone, nothing; should it still speak, that is corrected

Each function is a script of the store (see `_transactions`) over the states of `_budget_state` and `_latch_state`;
`stores/lua` has a twin of each, line for line. Those that no call needs stand in `_credits_corrections`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._budget_state import (
    BALANCE,
    LARGEST,
    LATE_SECONDS,
    budget_of,
    end,
    free,
    keep,
    rename,
    seconds_until,
    spent_of,
    write,
)
from ._credits_corrections import report, reset, sweep
from ._latch_state import answer, ask, look
from ._transactions import Command

if TYPE_CHECKING:
    from ._transactions import Reply, State, Transaction


__all__ = ["JOB_SECONDS", "describe", "names_key", "renew", "report", "reserve", "reset", "settle", "sweep", "unsent"]

JOB_SECONDS = 7 * 86_400.0
"""How long after its lease the end of a job may be told."""
# More than a process may have under way to its store: what it owes goes in batches (`stores/_owed`, `stores/_worker`).
_MOST_NAMES = 512


def reserve(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Reserve the worst that a call may cost of all its budgets, or of none.

    Arguments:
        transaction: the states.
        keys: of the latches, of the ledger's page, of the budgets.
        arguments: the call's name; how many latches there are; 1 to obey them, 0 to tell only; seconds of the lease; of
            which budgets it counts as spent if it is never heard of again, as a sum of powers of two; its row for the
            ledger, without the charge; and for each budget a list: limit (-1: none, -2: a balance, which keeps the provider's word), amount, window in seconds
            (0: a calendar's), seconds for which the state is needed, at how much used to warn (-1: never; of a balance:
            after how many seconds a call may find out whether it still holds), 1 to obey the budget, 0 never to refuse, 2
            to tell only.

    Returns:
        1 if it was reserved, else 0; what stood in the way: 0 nothing, 1 a budget, 2 a latch (if it was reserved: this
        call looks whether it still holds, or latches are only told); its index; seconds until the call could be let through
        (-1: nobody knows); what is left of that budget, spent and reserved; and which budgets begin to be used up, as a sum
        of powers of two.
    """
    call, latches, obeys, lease, counts, row = arguments[:6]
    specs = arguments[6:]
    passed, latch, seconds = ask(transaction, keys[:latches], call)
    if not passed and obeys:
        return [0.0, 2.0, latch, seconds, 0.0, 0.0, 0.0, 0.0]
    rows: list[list[Any]] = []
    page = keys[int(latches)]
    budgets = keys[latches + 1 :]
    states = [budget_of(transaction, key, specs[index][0], specs[index][2], rows) for index, key in enumerate(budgets)]
    # A call whose reply never arrived asks again.
    rows.extend([] for state in states if free(state, call))
    refusal = _refusal(states, specs, transaction.now)
    granted = refusal is None or specs[int(refusal[1])][5] == 2
    warned = 0.0
    if granted:
        for index, state in enumerate(states):
            counted = counts // 2**index % 2
            reservation = [specs[index][1], transaction.now + lease, counted, row if index == 0 else 0]
            if _open(state, call, reservation, specs[index], transaction.now):
                warned += 2.0**index
        if passed > 1:
            look(transaction, keys[:latches], call)
    if granted or rows:
        for index, key in enumerate(budgets):
            keep(transaction, key, states[index], max(specs[index][3], lease + LATE_SECONDS))
        write(transaction, page, rows)
    if refusal is None:
        refusal = [0.0, -1.0, 0.0, 0.0, 0.0, 0.0] if passed == 1 else [2.0, latch, seconds, 0.0, 0.0, 0.0]
    return [1.0 if granted else 0.0, *refusal, warned]


def _refusal(states: list[State], specs: tuple[list[Any], ...], now: float) -> list[float] | None:
    """The budget that stands in the way longest; one that is obeyed goes before one that only tells.

    A call that came back when another one had room would only be refused by this one.
    """
    found: list[float] | None = None
    obeyed, longest = False, 0.0
    for index, state in enumerate(states):
        limit, amount, _, _, warns, manner = specs[index]
        spent = spent_of(state, now)
        left = max(0, state["limit"] - spent - state["reserved"])
        if not manner or state["limit"] < 0 or amount <= left:
            continue
        if limit == BALANCE and now >= state["seen"] + warns:
            # What the provider said long ago may be wrong by now.
            continue
        looks_in = max(0.0, state["seen"] + warns - now)
        seconds = looks_in if limit == BALANCE else seconds_until(state, amount, now)
        lasts = _lasting(state, specs[index], spent, seconds)
        if found is None or (manner == 1 and not obeyed) or ((manner == 1) == obeyed and lasts > longest):
            found = [1.0, float(index), seconds, float(left), float(spent), float(state["reserved"])]
            obeyed, longest = manner == 1, lasts
    return found


def _lasting(state: State, spec: list[Any], spent: int, seconds: float) -> float:
    """For how long a budget refuses a call at least, to compare it with others."""
    _, amount, _, period, _, _ = spec
    if seconds >= 0:
        return seconds
    if amount > state["limit"]:
        return float(LARGEST)
    # Else it is only calls under way that stand in the way, and they may cost less at any moment.
    return float(period) if spent + amount > state["limit"] else 0.0


def _open(state: State, call: str, reservation: list[Any], spec: list[Any], now: float) -> bool:
    """Reserve; whether the budget begins to be used up by that."""
    limit, amount, _, _, warns, _ = spec
    used = spent_of(state, now) + state["reserved"]
    left = max(0, state["limit"] - used)
    if limit == BALANCE and state["limit"] >= 0 and amount > left and now >= state["seen"] + warns:
        # This call finds out; the next one waits for what it is told.
        state["seen"] = now
    # More than can be counted is not reserved, so that what is can be given back.
    reservation[0] = min(amount, LARGEST - state["reserved"])
    state["earliest"] = min(state["earliest"] or reservation[1], reservation[1])
    state["reserved"] += reservation[0]  # first: whatever interrupts this (a signal, in memory), nothing is given away
    state["open"][call] = reservation
    if limit == BALANCE or warns < 0:
        return False
    # Calls that reserve and cost less make it go to and fro about the mark: nobody wants to hear of each.
    before = state["warned"] if 2 * used >= warns else 0
    state["warned"] = 1 if before or used + amount >= warns else 0
    return bool(state["warned"] and not before)


def settle(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """End a reservation: what it cost counts as spent, the rest is free again. Asked again, it changes nothing.

    Arguments:
        transaction: the states.
        keys: as of the reservation; of what was reserved elsewhere also `names_key`.
        arguments: the call's name; how many latches there are; what its answer says of a latch that it looked at (1 open,
            0 nothing, -1 it was never sent); 1 to count also what was reserved elsewhere, or nowhere; its row for the
            ledger without the charge, or 0 (of a call that was never sent, it is written where it corrects one); and for
            each budget a list: what it cost (-1: what was reserved), window in seconds, seconds for which the state is
            needed.

    Returns:
        1 if this ended it, 0 if it had ended before.
    """
    call, latches, word, elsewhere, row = arguments[:5]
    charges = arguments[5:]
    answer(transaction, keys[:latches], call, word)
    rows: list[list[Any]] = []
    page = keys[int(latches)]
    ended, counts = False, bool(elsewhere) and _is_first(transaction, keys[-1], call)
    for index, key in enumerate(keys[latches + 1 : latches + 1 + len(charges)]):
        charged, window, seconds = charges[index]
        before = len(rows)
        state = budget_of(transaction, key, BALANCE, window, rows)
        change = end(state, call, charged, transaction.now, elsewhere=counts)
        if change is not None:
            ended = ended or index == 0
            rows.append([*row, change] if index == 0 and row and (change or word >= 0) else [])
        if len(rows) > before:
            keep(transaction, key, state, seconds)
    write(transaction, page, rows)
    return [1.0 if ended else 0.0]


def _is_first(transaction: Transaction, key: str, call: str) -> bool:
    """Whether a call is counted for the first time; its process tells it again where the reply was lost."""
    state = transaction.load(key) or {"names": []}
    if call in state["names"]:
        return False
    state["names"] = [*state["names"], call][-_MOST_NAMES:]
    transaction.save(key, state, LATE_SECONDS)
    return True


def names_key(page: str, call: str) -> str:
    """The key of the names that `_is_first` keeps, by a page of the ledger and a call.

    Each process has its own: what others pay at the same time, after an outage, must not push them out.
    """
    return f"{page.partition('}')[0]}}}:settled:{call.rpartition('.')[0]}"


def unsent(reservation: Command, *, elsewhere: bool = False) -> Command:
    """What gives a reservation back whose call was never sent.

    Arguments:
        reservation: the `credits.reserve`.
        elsewhere: whether a process has decided it alone, so that a store that was away need not hear of it.
    """
    call, latches, _, _, _, row, *specs = reservation.arguments
    charges = [[0, spec[2], spec[3]] for spec in specs]
    keys = reservation.keys + ((names_key(reservation.keys[int(latches)], call),) if elsewhere else ())
    return Command("credits.settle", keys, (call, latches, -1, 1 if elsewhere else 0, row, *charges))


def renew(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Begin the lease anew: the call is still under way, or goes on under another name as a job of the provider's.

    Arguments:
        transaction: the states.
        keys: of the budgets.
        arguments: the call's name, its new name (which may be the same), and the seconds of the lease.

    Returns:
        In how many budgets it is open. Where it was lost, what becomes of it is counted under the new name.
    """
    call, name, lease = arguments
    found = 0.0
    for key in keys:
        state = transaction.load(key)
        if state is not None:
            found += 1.0 if rename(state, call, name, transaction.now + lease) else 0.0
            keep(transaction, key, state, lease + (LATE_SECONDS if name == call else JOB_SECONDS))
    return [found]


def describe(state: State, now: float) -> dict[str, float | None]:
    """A budget for people, in millionths: `limit` (`None` without end), `spent`, `reserved`, `left`; and `calls` open."""
    spent, limit = spent_of(state, now), state["limit"]
    left = None if limit < 0 else max(0, limit - spent - state["reserved"])
    calls = len(dict(state["open"]))
    return {
        "limit": None if limit < 0 else limit,
        "spent": spent,
        "reserved": state["reserved"],
        "left": left,
        "calls": calls,
    }
