"""Notes: numbers that the store keeps for whoever asks, as of a job that another process asks about.

Each function is a script of the store (see `_transactions`); `stores/lua` has a twin of each, line for line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._transactions import Reply, Transaction

__all__ = ["keep", "recall"]


def keep(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Keep numbers: for how many seconds, and the numbers; without them, what was noted is forgotten. Returns 1."""
    numbers = list(arguments[1:])
    transaction.save(keys[0], {"numbers": numbers} if numbers else None, arguments[0])
    return [1.0]


def recall(transaction: Transaction, keys: tuple[str, ...], _arguments: tuple[Any, ...]) -> Reply:
    """The numbers that were kept, none if there are none."""
    state = transaction.load(keys[0])
    return [] if state is None else [float(number) for number in state["numbers"]]
