"""What calls cost: each attempt reserves its worst case before it is sent, and settles on what its answer says.

reserve ──▶ a budget is used up, or an answer has shut the account ──▶ refused, nothing is sent
   └──────▶ attempt ──▶ its body ends ──▶ settled
                    └─▶ without credits: the account is shut until a stated time, or until one call finds it open
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ._costs import costs_of
from ._credits_guard import guard_of
from ._credits_refusal import Why, left_alone, unpriced, why_not
from ._latches import heed, latch_keys, word_of
from ._library import NEVER_SENT
from ._modes import Mode
from ._refusal import refused
from ._request_parts import view_of
from ._reservation import Reservation
from ._sending import Watch
from ._trail import Refused

if TYPE_CHECKING:
    from ._credits_guard import CreditsGuard
    from ._jobs import Noted
    from ._outcome import Call, Exchange, Outcome
    from ._runtime import Runtime

__all__ = ["credits_layer"]


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
        unknown = Why("unpriced", unpriced(exchange), None)
        if obeyed:
            return _refuse(exchange, unknown)
        _observe(exchange, unknown)
    exchange.watch = Watch() if guard is not None and runtime.tells_sending else None
    reservation = Reservation(exchange, runtime, guard, latches, worst or Decimal(0), obeyed=obeyed)
    try:
        reply = await reservation.ask()
        while (index := left_alone(reservation, reply)) is not None:
            # The other budgets hold all the same, and are reserved of.
            reservation.only_tell(index)
            reply = await reservation.ask()
        # Cancelled while a store that is far away was asked: nothing has been sent yet.
        await runtime.checkpoint(exchange.store)
        why = why_not(exchange, reservation, reply)
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
    try:
        heed(exchange, outcome, runtime, reservation.name)
    finally:
        # Whatever a listener raises that hears of a latch.
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
    if outcome.response is None:
        was_sent = outcome.refusal is None and exchange.may_have_left and outcome.verdict.error not in NEVER_SENT
        if was_sent:
            reservation.leave()
        else:
            reservation.give_back()
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


def _refuse(exchange: Exchange, why: Why) -> Outcome:
    word, reason, retry_after, key, scope = why
    return refused(exchange, layer="credits", why=word, reason=reason, retry_after=retry_after, key=key, scope=scope)


def _observe(exchange: Exchange, why: Why) -> None:
    exchange.record(Refused("credits", why.word, why.reason, why.retry_after, observed=True, scope=why.scope))
