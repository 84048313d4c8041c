"""Why credits let a call not through: what the store replied to its reservation, in words for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from ._amounts import amount_text, from_millionths
from ._budget_warnings import BudgetWarning, warn
from ._reserved import BUDGET, LATCH, Reserved
from ._transactions import Alone
from ._units import duration_text, seconds_text

if TYPE_CHECKING:
    from ._credits_guard import Use
    from ._outcome import Exchange
    from ._reasons import RefusalReason
    from ._reservation import Reservation
    from ._transactions import Reply

__all__ = ["Why", "left_alone", "unpriced", "why_not"]


class Why(NamedTuple):
    """Why a call is refused: in one word, in words for people, until when, by which state, and for whom it counts."""

    word: RefusalReason
    reason: str
    retry_after: float | None
    key: str = ""
    scope: str = ""


def why_not(exchange: Exchange, reservation: Reservation, reply: Reply) -> Why | None:
    """Why the call is refused, or would be; tells of budgets that begin to be used up.

    Arguments:
        exchange: the call.
        reservation: of the call.
        reply: of the store.
    """
    guard = reservation.guard
    if not reply:
        reservation.elsewhere = True
        budgets = [use.budget for use in guard.uses if use.budget is not None] if guard else []
        if any(budget.hard and budget.on_store_failure == "refuse" for budget in budgets):
            return Why("store_away", "the store of its budgets is away, and nobody knows what is left of them", None)
        return None
    reservation.elsewhere = isinstance(reply, Alone)
    told = Reserved(*reply)
    if guard is not None:
        _warn(exchange, reservation, int(told.warned))
    index = int(told.which)
    reservation.looks = told.obstacle == LATCH and told.granted == 1 and told.seconds == 0
    if told.obstacle == BUDGET and guard is not None:
        return None if _lets_go(reservation, index) else _used_up(reservation, guard.uses[index], told)
    if told.obstacle == LATCH and not reservation.looks:
        key = reservation.command.keys[index]
        what = f"{exchange.operation} for this account" if ":latch:operation." in key else "this account"
        return Why(
            "latch", f"the provider has shut {what}; a call may look again in {_later(told.seconds)}", told.seconds, key
        )
    return None


def left_alone(reservation: Reservation, reply: Reply) -> int | None:
    """Which budget refuses by what this process alone knows, and allows that; `None` if none does.

    Arguments:
        reservation: the call's.
        reply: of the store.
    """
    reservation.elsewhere = isinstance(reply, Alone)
    told = Reserved(*reply) if reply else None
    if told is None or told.granted or told.obstacle != BUDGET or not _lets_go(reservation, int(told.which)):
        return None
    return int(told.which)


def _lets_go(reservation: Reservation, index: int) -> bool:
    """Whether a budget lets calls go while its store is away, whatever this process alone knows of it."""
    budget = reservation.guard.uses[index].budget if reservation.guard else None
    return reservation.elsewhere and budget is not None and budget.on_store_failure == "allow"


def _used_up(reservation: Reservation, use: Use, told: Reserved) -> Why:
    index = int(told.which)
    needed = reservation.amount_of(index)
    amount, left, spent, reserved = map(from_millionths, (needed, told.left, told.spent, told.reserved))
    period = reservation.periods[index]
    seconds = told.seconds if told.seconds >= 0 else None
    fits = use.limit < 0 or needed <= use.limit
    waits = needed + told.spent > use.limit
    if seconds is None and fits and waits and period is not None and period.ends < float("inf"):
        # Else it is only calls under way that stand in the way, and they may cost less at any moment.
        seconds = reservation.seconds_left(period)
    again = "" if seconds is None else f"; more is free in {_later(seconds)}"
    if use.budget is None and seconds is not None:
        again = f"; a call may find out more in {_later(seconds)}"
    if not fits:
        again = "; that is more than the whole of it"
    scopes = ", ".join(reservation.scopes_of(index))
    text = (
        f"{use.title}{f' of {scopes}' if scopes else ''} has {amount_text(left)} left, and this call may cost {amount_text(amount)} {use.unit} "
        f"({amount_text(spent)} spent, {amount_text(reserved)} reserved by calls under way){again}"
    )
    return Why("balance" if use.budget is None else "budget", text, seconds, reservation.budget_keys[index], scopes)


def _warn(exchange: Exchange, reservation: Reservation, which: int) -> None:
    for index, use in enumerate(reservation.guard.uses if reservation.guard else ()):
        if which >> index & 1 and use.budget is not None:
            period = reservation.periods[index]
            ends = None if period is None or period.ends == float("inf") else reservation.seconds_left(period)
            used = from_millionths(use.warns)
            scopes = reservation.scopes_of(index)
            limit = use.budget.limit.amount
            warning = BudgetWarning(exchange.policy.provider, use.budget.name, limit, used, use.unit, scopes, ends)
            warn(warning, exchange.listeners)


def _later(seconds: float) -> str:
    return seconds_text(seconds) if seconds < 120 else duration_text(math.ceil(seconds))


def unpriced(exchange: Exchange) -> str:
    """That nobody knows what a call may cost, in words for people."""
    operation = f"the operation {exchange.operation}" if exchange.operation else "such a call"
    return (
        f"nobody knows what {operation} may cost, and a budget bounds it; say so in the policy's credits.costs or "
        "credits.unknown_cost, or with extensions={'resilience': {'credits': ...}}"
    )
