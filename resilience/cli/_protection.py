"""What one request pays, by plan, and what an answer does to its limits and its breaker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from resilience._categories import TREATMENTS
from resilience._finding import near
from resilience._units import duration_text

from ._output import fail

if TYPE_CHECKING:
    from resilience._limits import Limit
    from resilience._outcome import Verdict
    from resilience._policy import Policy

__all__ = ["Paid", "Protection", "protection"]


class Paid(NamedTuple):
    """One limit that the request pays.

    Arguments:
        name: the limit's.
        numbers: the rate or the number of calls at a time, by plan; by `None` where it is the same for all, or known.
        is_rate: whether they are rates.
        per: what is counted apart.
        does: what the answer does to it: `pause`, `lower` or nothing.
    """

    name: str
    numbers: dict[str | None, str | int | None]
    is_rate: bool
    per: tuple[str, ...]
    does: str


class Protection(NamedTuple):
    """What stands between the request and the provider.

    Arguments:
        plan: the plan that is asked about, `None` for all of them.
        limits: what the request pays, and what the answer speaks of.
        counts: what the answer is to the breaker: `success`, `failure` or `ignore`; `None` where there is none.
        breaker: when it opens, in words.
    """

    plan: str | None
    limits: tuple[Paid, ...]
    counts: str | None
    breaker: str

    def rows(self) -> Iterator[tuple[str, str]]:
        """The same for people."""
        for paid in self.limits:
            words = {"pause": "; this answer pauses it", "lower": "; this answer lowers it"}.get(paid.does, "")
            yield "limit", f"{paid.name}: {_numbers(paid)}, {_apart(paid.per)}{words}"
        if self.counts is None:
            yield "breaker", "none"
        else:
            counted = {"success": "a success", "failure": "a failure", "ignore": "nothing"}[self.counts]
            yield "breaker", f"counts this as {counted}; {self.breaker}"

    def data(self) -> dict[str, Any]:
        """The same for machines."""
        limits = [
            {
                "limit": paid.name,
                "rate" if paid.is_rate else "concurrency": paid.numbers.get(None),
                "by_plan": {plan: number for plan, number in paid.numbers.items() if plan is not None},
                "per": paid.per,
                "does": paid.does or None,
            }
            for paid in self.limits
        ]
        return {"plan": self.plan, "limits": limits, "breaker": self.counts}


def protection(policy: Policy, verdict: Verdict, plan: str | None) -> Protection:
    """What a request pays and what its answer does.

    Arguments:
        policy: the provider's.
        verdict: what the answer means; it names the operation and the rule.
        plan: the user's plan; one that does not exist ends the command.
    """
    if plan is not None and plan not in policy.plans:
        fail(f"{policy.provider} has no plan {plan!r}; {near(plan, policy.plans)}")
    paid = [
        Paid(each.name, _by_plan(policy, each.limit, plan), each.limit.rate is not None, each.limit.per, "")
        for each in policy.limits_for(None)
        if each.limit.operations is None or verdict.operation in each.limit.operations
    ]
    rule = policy.rules.get(verdict.rule or "")
    does = TREATMENTS[verdict.category].limiter
    # As the layers do: the limit that the rule names, else the first of its kind that the call pays.
    fitting = [each.name for each in paid if each.is_rate == (does == "pause")] if does else []
    hit = (rule and rule.limit) or next(iter(fitting), None)
    limits = tuple(each._replace(does=does) if does and each.name == hit else each for each in paid)
    breaker = policy.breaker
    if breaker.off:
        return Protection(plan, limits, None, "")
    counts = breaker.counts.get(verdict.category, TREATMENTS[verdict.category].breaker)
    return Protection(plan, limits, counts, f"{_apart(breaker.per)}, {_opens(policy)}")


def _by_plan(policy: Policy, limit: Limit, plan: str | None) -> dict[str | None, str | int | None]:
    number = limit.rate if limit.rate is not None else limit.concurrency
    if not isinstance(number, str):
        return {None: _plain(number)}
    key = number.removeprefix("{plan.").removesuffix("}")
    if plan is not None:
        return {None: _plain(policy.plans[plan][key])}
    return {name: _plain(numbers[key]) for name, numbers in policy.plans.items()}


def _plain(number: object) -> str | int | None:
    return number if isinstance(number, int) else None if number is None else str(number)


def _numbers(paid: Paid) -> str:
    unit = "" if paid.is_rate else " at a time"
    if None in paid.numbers:
        number = paid.numbers[None]
        return "without a bound on this plan" if number is None else f"{number}{unit}"
    each = ", ".join(f"{plan} {'unbounded' if number is None else number}" for plan, number in paid.numbers.items())
    return f"{each}{unit} (name your plan)"


def _apart(scopes: tuple[str, ...]) -> str:
    return "for all calls together" if scopes == ("provider",) else f"per {' and '.join(scopes)}"


def _opens(policy: Policy) -> str:
    breaker = policy.breaker
    ways: list[str] = []
    if breaker.consecutive_failures is not None:
        ways.append(f"{breaker.consecutive_failures} failures in a row")
    if breaker.failure_rate is not None:
        share = f"{breaker.failure_rate * 100:g} %"
        ways.append(f"{share} of {breaker.min_calls} or more calls in {duration_text(breaker.window)}")
    return f"opens after {' or '.join(ways)}"
