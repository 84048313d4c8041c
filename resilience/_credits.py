"""What calls cost: each attempt reserves its worst case before it is sent, and settles on what its answer says.

reserve ──▶ a budget is used up, or an answer has shut the account ──▶ refused, nothing is sent
   └──────▶ attempt ──▶ its body ends ──▶ settled
                    └─▶ without credits: the account is shut until a stated time, or until one call finds it open
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from ._amounts import amount_text, from_millionths
from ._budget_warnings import BudgetWarning, warn
from ._costs import costs_of
from ._credits_guard import guard_of, latches_of, operation_latch, word_of
from ._heed import heed
from ._library import NEVER_SENT
from ._modes import Mode
from ._refusal import refused
from ._request_parts import view_of
from ._reservation import Reservation
from ._sending import Watch
from ._trail import Refused
from ._transactions import Alone
from ._units import duration_text, seconds_text

if TYPE_CHECKING:
    from ._credits_guard import CreditsGuard, Use
    from ._jobs import Noted
    from ._outcome import Call, Exchange, Outcome
    from ._reasons import RefusalReason
    from ._runtime import Runtime
    from ._transactions import Reply

__all__ = ["credits_layer", "latch_keys"]

_BUDGET, _LATCH = 1, 2


class _Why(NamedTuple):
    """Why a call is refused: in one word, in words for people, until when, by which state, and for whom it counts."""

    word: RefusalReason
    reason: str
    retry_after: float | None
    key: str = ""
    scope: str = ""


def credits_layer(inner: Call, runtime: Runtime) -> Call:
    """Send nothing that a budget has no credits for, and count what was sent."""

    async def credits_call(exchange: Exchange) -> Outcome:
        mode = exchange.settings.modes.get("credits", Mode.ENFORCE)
        if mode is Mode.OFF:
            return await inner(exchange)
        # What was sent before has asked the latches.
        guard, latches = guard_of(exchange), latch_keys(exchange) if exchange.ahead is None else ()
        if exchange.ahead is not None or (guard is None and not any(map(exchange.store.holds, latches))):
            outcome = await inner(exchange)
            heed(exchange, outcome, runtime)
            return outcome
        worst = _worst(exchange, runtime)
        if worst == 0:
            # What costs nothing needs no credits: the result of a job that was paid for, the question what is left.
            latches = latches[1:]
        return await _guarded(inner, exchange, runtime, (guard, latches, mode, worst))

    return credits_call


async def _guarded(
    inner: Call,
    exchange: Exchange,
    runtime: Runtime,
    how: tuple[CreditsGuard | None, tuple[str, ...], Mode, Decimal | None],
) -> Outcome:
    guard, latches, mode, worst = how
    obeyed = mode is Mode.ENFORCE
    if worst is None and guard is not None and guard.is_priced:
        unknown = _Why("unpriced", _unknown(exchange), None)
        if obeyed:
            return _refuse(exchange, unknown)
        _observe(exchange, unknown)
    exchange.is_under_way = False
    exchange.watch = Watch() if guard is not None and runtime.tells_sending else None
    reservation = Reservation(exchange, runtime, guard, latches, worst or Decimal(0), obeyed=obeyed)
    try:
        reply = await reservation.ask()
        # Cancelled while a store that is far away was asked: nothing has been sent yet.
        await runtime.checkpoint(exchange.store)
        why = _judge(exchange, reservation, reply)
        if why is not None and obeyed:
            reservation.give_back()
            return _refuse(exchange, why)
        if why is not None:
            _observe(exchange, why)
        job = None if guard is None else await _job(exchange, runtime)
        outcome = await inner(exchange)
    except BaseException:
        # Cancelled, also while the store was asked: whether it granted anything or not, there is nothing now.
        if exchange.may_have_left:
            reservation.leave()
        else:
            reservation.give_back()
        raise
    heed(exchange, outcome, runtime, reservation.name)
    await _end(exchange, outcome, runtime, (reservation, job))
    return outcome


async def _job(exchange: Exchange, runtime: Runtime) -> Noted | None:
    """What is known of the job that a call asks about."""
    if exchange.policy.credits is None or not exchange.policy.credits.jobs:
        return None
    from ._jobs import recall

    return await recall(exchange, runtime)


async def _end(exchange: Exchange, outcome: Outcome, runtime: Runtime, held: tuple[Reservation, Noted | None]) -> None:
    """End the reservation, or have the body of the answer end it."""
    reservation, job = held
    unsent = outcome.response is None and not exchange.may_have_left
    if outcome.refusal is not None or unsent or outcome.verdict.error in NEVER_SENT:
        reservation.give_back()
    elif outcome.response is None:
        reservation.leave()
    elif reservation.guard is None:
        reservation.settle(Decimal(0), "settled", word=word_of(outcome.verdict))
    else:
        from ._settling import settle

        await settle(exchange, runtime, outcome, reservation, job)


def _worst(exchange: Exchange, runtime: Runtime) -> Decimal | None:
    """What a call may cost at worst; `None` where nobody knows."""
    if exchange.policy.credits is None:
        # Its requests are all that is counted.
        return Decimal(1)
    if exchange.options.credits is not None:
        return exchange.options.credits
    costs = costs_of(exchange.policy, exchange.operation)
    if costs is None or costs.is_fixed:
        return None if costs is None else costs.fixed
    return costs.worst(view_of(exchange.request, exchange.operation, runtime.library))


def latch_keys(exchange: Exchange) -> tuple[str, ...]:
    """The keys of the latches that may shut a call out, the account's first.

    Arguments:
        exchange: the call.
    """
    latches = latches_of(exchange.policy)
    account = latches.account + exchange.account
    return (account, operation_latch(exchange)) if exchange.operation in latches.operations else (account,)


def _judge(exchange: Exchange, reservation: Reservation, reply: Reply) -> _Why | None:
    """Why the call is refused, or would be; tells of budgets that begin to be used up."""
    guard = reservation.guard
    if not reply:
        reservation.elsewhere = True
        budgets = [use.budget for use in guard.uses if use.budget is not None] if guard else []
        if any(budget.hard and budget.on_store_failure == "refuse" for budget in budgets):
            return _Why("store_away", "the store of its budgets is away, and nobody knows what is left of them", None)
        return None
    reservation.elsewhere = isinstance(reply, Alone)
    if guard is not None:
        _warn(exchange, reservation, int(reply[7]))
    granted, source, index = bool(reply[0]), int(reply[1]), int(reply[2])
    reservation.looks = source == _LATCH and granted and reply[3] == 0
    if source == _BUDGET and guard is not None:
        budget = guard.uses[index].budget
        if reservation.elsewhere and budget is not None and budget.on_store_failure == "allow":
            return None
        return _used_up(reservation, guard.uses[index], index, reply)
    if source == _LATCH and not reservation.looks:
        key = reservation.command.keys[index]
        what = f"{exchange.operation} for this account" if ":latch:operation." in key else "this account"
        return _Why(
            "latch", f"the provider has shut {what}; a call may look again in {_later(reply[3])}", reply[3], key
        )
    return None


def _used_up(reservation: Reservation, use: Use, index: int, reply: Reply) -> _Why:
    amount, left, spent, reserved = (
        from_millionths(each) for each in (reservation.command.arguments[6 + index][1], reply[4], reply[5], reply[6])
    )
    period = reservation.periods[index]
    seconds: float | None = reply[3] if reply[3] >= 0 else None
    fits = use.limit < 0 or reservation.command.arguments[6 + index][1] <= use.limit
    waits = reservation.command.arguments[6 + index][1] + reply[5] > use.limit
    if seconds is None and fits and waits and period is not None and period.ends < float("inf"):
        # Else it is only calls under way that stand in the way, and they may cost less at any moment.
        seconds = reservation.seconds_left(period)
    again = "" if seconds is None else f"; more is free in {_later(seconds)}"
    if use.budget is None and seconds is not None:
        again = f"; a call may find out more in {_later(seconds)}"
    if not fits:
        again = "; that is more than the whole of it"
    scopes = ", ".join(reservation.budget_keys[index].split(":")[4:])
    text = (
        f"{use.title}{f' of {scopes}' if scopes else ''} has {amount_text(left)} left, and this call may cost {amount_text(amount)} {use.unit} "
        f"({amount_text(spent)} spent, {amount_text(reserved)} reserved by calls under way){again}"
    )
    return _Why("balance" if use.budget is None else "budget", text, seconds, reservation.budget_keys[index], scopes)


def _warn(exchange: Exchange, reservation: Reservation, which: int) -> None:
    for index, use in enumerate(reservation.guard.uses if reservation.guard else ()):
        if which >> index & 1 and use.budget is not None:
            period = reservation.periods[index]
            ends = None if period is None or period.ends == float("inf") else reservation.seconds_left(period)
            used = from_millionths(use.warns)
            scopes = tuple(reservation.budget_keys[index].split(":")[4:])
            limit = use.budget.limit.amount
            warning = BudgetWarning(exchange.policy.provider, use.budget.name, limit, used, use.unit, scopes, ends)
            warn(warning, exchange.listeners)


def _later(seconds: float) -> str:
    return seconds_text(seconds) if seconds < 120 else duration_text(math.ceil(seconds))


def _unknown(exchange: Exchange) -> str:
    operation = f"the operation {exchange.operation}" if exchange.operation else "such a call"
    return (
        f"nobody knows what {operation} may cost, and a budget bounds it; say so in the policy's credits.costs or "
        "credits.unknown_cost, or with extensions={'resilience': {'credits': ...}}"
    )


def _refuse(exchange: Exchange, why: _Why) -> Outcome:
    word, reason, retry_after, key, scope = why
    return refused(exchange, layer="credits", why=word, reason=reason, retry_after=retry_after, key=key, scope=scope)


def _observe(exchange: Exchange, why: _Why) -> None:
    exchange.record(Refused("credits", why.word, why.reason, why.retry_after, observed=True, scope=why.scope))
