"""Credits: what corrects budgets beside the calls: the provider's word on its account, a look at what was lost, a new beginning.

Scripts of the store, as those of `_credits_state`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._budget_state import BALANCE, budget_of, keep, spent_of, write

if TYPE_CHECKING:
    from ._transactions import Reply, State, Transaction

__all__ = ["report", "reset", "sweep"]


def report(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Take the provider's word on what is left of its account.

    Arguments:
        transaction: the states.
        keys: of the ledger's page and of the balance.
        arguments: the balance; for how many seconds the state is needed; and the row for the ledger where the balance is
            less than it should be by its own count: what is missing becomes its charge.

    Returns:
        What is missing, 0 if nothing was known before or calls are under way.
    """
    balance, seconds, row = arguments
    rows: list[list[Any]] = []
    state = budget_of(transaction, keys[1], BALANCE, 0.0, rows)
    missing = 0
    # What calls that are under way will cost may be taken off already.
    if state["limit"] >= 0 and not state["open"]:
        missing = max(0, state["limit"] - spent_of(state, transaction.now) - balance)
    state["limit"], state["seen"] = balance, transaction.now
    # What calls have cost is taken off.
    _forget(state)
    if missing:
        rows.append([*row, missing])
    keep(transaction, keys[1], state, seconds)
    write(transaction, keys[0], rows)
    return [float(missing)]


def sweep(transaction: Transaction, keys: tuple[str, ...], _arguments: tuple[Any, ...]) -> Reply:
    """Count what was lost, as the next call would. Keys: of the ledger's page and of budgets. Returns in how many places."""
    rows: list[list[Any]] = []
    for key in keys[1:]:
        before = len(rows)
        state = budget_of(transaction, key, BALANCE, 0.0, rows)
        if len(rows) > before:
            keep(transaction, key, state, 0.0)
    write(transaction, keys[0], rows)
    return [float(len(rows))]


def reset(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Forget by hand what was spent; what calls that are under way have reserved stays, and counts once they are settled.

    Arguments:
        transaction: the states.
        keys: of the budgets.
        arguments: 1 to forget also the limit, as of a balance: nobody but the provider knows it.

    Returns:
        In how many budgets something was forgotten.
    """
    found = 0.0
    for key in keys:
        state = transaction.load(key)
        if state is None:
            continue
        if spent_of(state, transaction.now) or (arguments[0] and state["limit"] >= 0):
            found += 1.0
        state["limit"] = -1 if arguments[0] else state["limit"]
        _forget(state)
        keep(transaction, key, state, 0.0)
    return [found]


def _forget(state: State) -> None:
    """Nothing is spent any more, also not by calls that were lost: what they say late is a correction of nothing."""
    state["slots"], state["warned"] = [], 0
    for each in state["lost"]:
        each[3] = -1
