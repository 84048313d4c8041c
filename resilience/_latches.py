"""Latches: which answers shut an account or an operation out, and which of them a call has to ask before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ._categories import Category
from ._holder import new_name
from ._hub import tell
from ._transactions import Command
from ._words import printable
from .events import Latched

if TYPE_CHECKING:
    from ._outcome import Exchange, Outcome, Verdict
    from ._policy import Policy
    from ._runtime import Runtime

__all__ = ["heed", "latch_keys", "word_of"]

_RECHECK = 300.0
_LONGEST_SHUT = 40 * 86_400.0
_WORKED = frozenset(
    {Category.SUCCESS, Category.NOT_READY, Category.TARGET_BLOCKED, Category.TARGET_ERROR, Category.JOB_FAILED}
)
_SHUT_BY_DEFAULT = frozenset({Category.CREDITS_EXHAUSTED, Category.QUOTA_EXHAUSTED})


class _Latches(NamedTuple):
    """The latches of a policy's calls."""

    account: str
    """What the key of an account's latch begins with."""
    operations: frozenset[str]
    """The operations that an answer may shut."""


def latch_keys(exchange: Exchange) -> tuple[str, ...]:
    """The keys of the latches that may shut a call out, the account's first.

    Arguments:
        exchange: the call.
    """
    latches = _latches_of(exchange.policy)
    account = latches.account + exchange.account
    return (account, _operation_latch(exchange)) if exchange.operation in latches.operations else (account,)


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
    key = _latch_of(exchange, verdict.category, verdict.rule)
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


def word_of(verdict: Verdict) -> int:
    """What an answer says of a latch that its call has looked at: 1 that it holds no more, 0 nothing.

    Only an answer for which the provider has done its work shows that it would take others; one to a server that is down,
    or to a key that is wrong, does not.
    """
    return 1 if verdict.category in _WORKED else 0


def _latch_of(exchange: Exchange, category: Category, rule: str | None) -> str | None:
    """The key of the latch that an answer shuts, `None` for most."""
    policy = exchange.policy
    shuts: Any = None if rule is None else policy.rules[rule].latch
    if shuts is None and category in _SHUT_BY_DEFAULT:
        shuts = "account"
    if shuts == "account":
        return _latches_of(policy).account + exchange.account
    if shuts == "operation":
        return _operation_latch(exchange)
    return None


def _latches_of(policy: Policy) -> _Latches:
    """The latches of a policy."""
    found: _Latches | None = vars(policy).get("_latches")
    if found is None:
        operations: set[str] = set()
        for rule in policy.answers:
            if rule.latch == "operation":
                operations |= set(rule.when.operation or policy.operations)
        prefix = f"{{{policy.provider}}}:latch:"
        found = vars(policy)["_latches"] = _Latches(f"{prefix}account:", frozenset(operations))
    return found


def _operation_latch(exchange: Exchange) -> str:
    """The key of the latch of a call's operation."""
    return f"{{{exchange.policy.provider}}}:latch:operation.{exchange.operation or '-'}:{exchange.account}"
