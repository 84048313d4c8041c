"""Shutting what an answer says is used up, or not allowed: no further call is sent until it is open again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._categories import Category
from ._credits_guard import latch_of
from ._holder import new_name
from ._hub import tell
from ._transactions import Command
from ._words import printable
from .events import Latched

if TYPE_CHECKING:
    from ._outcome import Exchange, Outcome
    from ._runtime import Runtime

__all__ = ["heed"]

_RECHECK = 300.0
_LONGEST_SHUT = 40 * 86_400.0


def heed(exchange: Exchange, outcome: Outcome, runtime: Runtime, name: str | None = None) -> None:
    """Shut what an answer says is used up, or not allowed.

    Arguments:
        exchange: the call.
        outcome: of its attempt.
        runtime: the call's.
        name: under which the call has asked the latches, if it has.
    """
    verdict = outcome.verdict
    if outcome.refusal is not None or (verdict.rule is None and verdict.category is Category.SUCCESS):
        return
    key = latch_of(exchange, verdict.category, verdict.rule)
    if key is not None:
        costs = exchange.policy.credits
        every = _RECHECK if costs is None else costs.recheck
        status = "" if outcome.response is None else f"{outcome.response.status_code} "
        # It is shown wherever the latch is: a provider's code must not move a terminal's cursor.
        why = (
            printable(f"{status}{verdict.code or verdict.category}"[:100]).encode("ascii", "backslashreplace").decode()
        )
        seconds = verdict.retry_after or 0.0
        # What lies further away than any page says is a mistake, and one call looks.
        arguments = (name or new_name(), seconds if 0 < seconds <= _LONGEST_SHUT else 0.0, every, why)
        runtime.tell(exchange.store, Command("latch.shut", (key,), arguments))
        told = Latched(
            exchange.policy.provider,
            exchange.operation,
            "operation" if ":latch:operation." in key else "account",
            arguments[1] or None,
            why,
            exchange.account,
        )
        tell(exchange, "on_latch", told)
