"""What of a policy's limits, plans and breaker leads nowhere or contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from ._categories import TREATMENTS
from ._document import shown
from ._finding import Finding, Path, near
from ._limits import NO_LIMIT
from ._rate import Rate

if TYPE_CHECKING:
    from ._limits import Limit
    from ._policy import Policy

__all__ = ["limits"]

_TAKEN = "answers"


def limits(policy: Policy) -> Iterator[Finding]:
    """What of limits, plans and the breaker leads nowhere or contradicts itself.

    Arguments:
        policy: the policy, valid in each of its parts.
    """
    checks = (_duplicates, _operations, _scopes, _plans, _unused_numbers, _rules)
    return chain.from_iterable(check(policy) for check in checks)


def _named(policy: Policy) -> list[tuple[int, str, Limit]]:
    """The limits with their places and the names that they go by, given or not."""
    return [(index, each.name, each.limit) for index, each in enumerate(policy.limits_for(None))]


def _duplicates(policy: Policy) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, name, _ in _named(policy):
        number = first.setdefault(name, index)
        if name == _TAKEN:
            message = f"{name!r} is what calls are counted under that no limit of the policy counts"
            yield Finding(("limits", index, "name"), message, "give the limit another name")
        if name == NO_LIMIT:
            message = f"{name!r} is what a rule says that speaks of no limit"
            yield Finding(("limits", index, "name"), message, "give the limit another name")
        elif number != index:
            message = f"the limit {name!r} stands twice, first as number {number + 1} of 'limits'"
            yield Finding(("limits", index, "name"), message, "give each limit a name of its own")


def _operations(policy: Policy) -> Iterator[Finding]:
    """Limits for operations, and costs of operations, that the policy does not have or the limit does not count."""
    known = policy.operations
    for index, name, limit in _named(policy):
        for item, operation in enumerate(limit.operations or ()):
            if operation not in known:
                message = f"there is no operation {shown(operation)} in 'operations'"
                yield Finding(("limits", index, "operations", item), message, near(operation, known))
        for operation in limit.cost if isinstance(limit.cost, dict) else ():
            path: Path = ("limits", index, "cost", operation)
            if operation not in known:
                message = f"there is no operation {shown(operation)} in 'operations'"
                yield Finding(path, message, near(operation, known))
            elif limit.operations is not None and operation not in limit.operations:
                message = f"the limit {name!r} does not count {shown(operation)}, which has a cost here"
                yield Finding(path, message, "add it to the limit's 'operations', or take the cost out")


def _scopes(policy: Policy) -> Iterator[Finding]:
    """What is counted apart although the policy cannot tell it apart: all calls would share one number."""
    given = [(("limits", index), f"the limit {name!r}", limit.per) for index, name, limit in _named(policy)]
    breaker = policy.breaker
    apart: list[tuple[Path, str, tuple[str, ...]]] = [*given]
    if not breaker.off:
        apart.append((("breaker",), "the breaker", breaker.per))
    for path, what, scopes in apart:
        if "account" in scopes and policy.account is None:
            message = f"{what} is per account, and the policy does not say whose key a request carries: all share one"
            remedy = "name the header in `account: {headers: [...]}`, or write `per: provider`"
            yield Finding((*path, "per"), message, remedy)
        if "operation" in scopes and not policy.operations:
            message = f"{what} is per operation, and the policy names none: all calls share one"
            yield Finding((*path, "per"), message, "name the 'operations', or leave the scope out")


class _Reference(NamedTuple):
    """A number of the plan that a limit takes; `at` is its place among the limits."""

    at: int
    name: str
    limit: Limit
    key: str

    @property
    def takes_rate(self) -> bool:
        return self.limit.rate is not None

    @property
    def path(self) -> Path:
        return ("limits", self.at, "rate" if self.takes_rate else "concurrency")


def _references(policy: Policy) -> list[_Reference]:
    return [
        _Reference(index, name, limit, number.removeprefix("{plan.").removesuffix("}"))
        for index, name, limit in _named(policy)
        for number in (limit.rate, limit.concurrency)
        if isinstance(number, str)
    ]


def _plans(policy: Policy) -> Iterator[Finding]:
    """Numbers of the plan that a limit takes, and that a plan does not have, or has in another form."""
    for reference in _references(policy):
        key = reference.key
        if not any(key in numbers for numbers in policy.plans.values()):
            keys = {key: None for numbers in policy.plans.values() for key in numbers}
            message = f"no plan has a number {key!r}" if policy.plans else "the policy has no 'plans'"
            remedy = near(key, keys) if keys else f"write it in `plans: {{NAME: {{{key}: ...}}}}`"
            yield Finding(reference.path, message, remedy)
            continue
        for plan, numbers in policy.plans.items():
            if key not in numbers:
                message = f"the plan {plan!r} says nothing of {key!r}, which the limit {reference.name!r} takes"
                yield Finding(("plans", plan), message, f"write `{key}: null` if it has no such limit")
                continue
            number = numbers[key]
            if number is not None and isinstance(number, Rate) != reference.takes_rate:
                found, wanted = ("a number", "a rate") if reference.takes_rate else ("a rate", "a number")
                message = f"{key!r} is {found} here, and the limit {reference.name!r} takes it as {wanted}"
                remedy = f"write {wanted} such as {'60/minute' if reference.takes_rate else '5'}"
                yield Finding(("plans", plan, key), message, remedy)
        yield from _costs(policy, reference)


def _costs(policy: Policy, reference: _Reference) -> Iterator[Finding]:
    """A cost that no full bucket of the smallest plan could pay."""
    limit, rates = reference.limit, [numbers.get(reference.key) for numbers in policy.plans.values()]
    most = limit.burst or min((rate.amount for rate in rates if isinstance(rate, Rate)), default=None)
    highest = max(limit.cost.values(), default=1) if isinstance(limit.cost, dict) else limit.cost
    if reference.takes_rate and most is not None and highest > most:
        where = "its burst" if limit.burst else "the smallest plan"
        message = f"a cost of {highest} never fits into the {most} of {where}: the call would wait for ever"
        yield Finding(("limits", reference.at, "cost"), message, "lower the cost, or raise 'burst'")


def _unused_numbers(policy: Policy) -> Iterator[Finding]:
    """Numbers of plans that no limit takes: most likely one of the two is misspelt."""
    taken = {reference.key: None for reference in _references(policy)}
    seen = set(taken)
    for plan, numbers in policy.plans.items():
        for key in numbers:
            if key not in seen:
                # Once, not for each plan: there may be many.
                seen.add(key)
                remedy = near(key, taken) if taken else "write it as `{plan." + key + "}` in a limit, or take it out"
                yield Finding(("plans", plan, key), f"no limit takes the number {key!r}", remedy)


def _rules(policy: Policy) -> Iterator[Finding]:
    """Rules that name a limit which does not exist, or which their category does nothing to."""
    known = {name: limit for _, name, limit in _named(policy)}
    for index, rule in enumerate(policy.answers):
        if rule.limit is None:
            continue
        path: Path = ("answers", index, "limit")
        limit = known.get(rule.limit)
        does = TREATMENTS[rule.category].limiter
        if limit is None and rule.limit != NO_LIMIT:
            yield Finding(path, f"there is no limit {rule.limit!r} in 'limits'", near(rule.limit, known))
        elif not does:
            message = f"{rule.category} answers do nothing to a limit"
            yield Finding(path, message, "choose rate_limited or concurrency_limited, or take 'limit' out")
        elif limit is None:
            continue
        elif does == "pause" and limit.rate is None:
            message = f"{rule.category} answers pause a rate, and {rule.limit!r} is a concurrency"
            yield Finding(path, message, "name a rate, or choose concurrency_limited")
        elif does == "lower" and limit.rate is not None:
            message = f"{rule.category} answers lower a concurrency, and {rule.limit!r} is a rate"
            yield Finding(path, message, "name a concurrency, or choose rate_limited")
