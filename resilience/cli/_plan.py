"""What would be done with one request after one answer: sent again, and after how long, or not, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resilience._categories import Category
from resilience._repeatable import IDEMPOTENT, why_not_again
from resilience._retry_policy import Again, Stop, decide

if TYPE_CHECKING:
    from resilience._outcome import Verdict
    from resilience._policy import Policy
    from resilience._repeatable import Repeatable
    from resilience._retry_policy import Retry

__all__ = ["Plan", "plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done.

    Arguments:
        sends_again: whether the request would be sent again.
        reason: who asks for the wait; or why the answer would be handed back.
        attempt: the number of the next attempt.
        max_attempts: how many there may be.
        shortest: seconds that would be waited at least; `None` if the request would not be sent again.
        longest: seconds that would be waited at most: chance decides between the two.
        otherwise: why the answer would be handed back if chance draws a long wait.
    """

    sends_again: bool
    reason: str
    attempt: int
    max_attempts: int
    shortest: float | None = None
    longest: float | None = None
    otherwise: str | None = None


def plan(policy: Policy, verdict: Verdict, *, method: str, attempt: int) -> Plan:
    """What would be done with a request whose attempts have taken no time of its deadline.

    Arguments:
        policy: the policy.
        verdict: what the last answer means.
        method: the request's method.
        attempt: how often it has been sent, from 1.
    """
    retry = policy.classifier.retry_for(verdict)
    refused = _refusal(policy, verdict, method)
    if refused is not None:
        return Plan(sends_again=False, reason=refused, attempt=attempt, max_attempts=retry.max_attempts)
    deadline = policy.times_for(verdict.operation)[0]
    previous = _longest_before(retry, attempt)
    decisions = [
        decide(retry, verdict, attempt=attempt, left=deadline, previous=previous, chance=chance)
        for chance in (0.0, 1.0)
    ]
    sendings = [decision for decision in decisions if isinstance(decision, Again)]
    against = next((decision.reason for decision in decisions if isinstance(decision, Stop)), None)
    if not sendings:
        return Plan(sends_again=False, reason=against or "", attempt=attempt, max_attempts=retry.max_attempts)
    waits = sorted(each.wait for each in sendings)
    return Plan(
        sends_again=True,
        reason=sendings[0].source,
        attempt=attempt + 1,
        max_attempts=retry.max_attempts,
        shortest=round(waits[0], 3),
        longest=round(waits[-1], 3),
        otherwise=against,
    )


def _refusal(policy: Policy, verdict: Verdict, method: str) -> str | None:
    """Why such a request is not sent again after such an answer, whatever the number of the attempt."""
    if verdict.category is Category.SUCCESS:
        return "success"
    if not verdict.retryable:
        return f"{verdict.category} is not retried"
    return why_not_again(verdict, method=method, repeatable=_repeatable(policy, verdict.operation, method))


def _repeatable(policy: Policy, operation: str | None, method: str) -> Repeatable | None:
    """What the operation declares, or the idempotency key ensures that would go with the request."""
    declared = policy.operations[operation].repeatable if operation else None
    keys = policy.idempotency
    takes_key = keys is not None and (keys.operations is None or operation in keys.operations)
    return True if takes_key and declared is not False and method not in IDEMPOTENT else declared


def _longest_before(retry: Retry, attempt: int) -> float | None:
    """The longest that the last wait can have been: `decorrelated` back-off grows from it."""
    previous = None
    for number in range(min(attempt, retry.max_attempts) - 1):
        previous = max(retry.backoff.wait(number, previous, chance) for chance in (0.0, 1.0))
    return previous
