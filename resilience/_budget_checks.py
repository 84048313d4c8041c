"""Whether the user's budgets fit the provider: its unit, its operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ._finding import near

if TYPE_CHECKING:
    from decimal import Decimal

    from ._budgets import Budget
    from ._policy import Policy
    from ._registry import Source

__all__ = ["strange_budgets", "unpriced", "unspent"]


def strange_budgets(source: Source, budgets: tuple[Budget, ...]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """What cannot be honoured: where it stands among the budgets, what it is, and what to do.

    Arguments:
        source: the provider's policy, which is loaded if there are any budgets.
        budgets: of the user.
    """
    if not budgets:
        return
    from ._budgets import REQUESTS, is_unit

    policy = source.policy()
    own = policy.credits.unit if policy.credits else REQUESTS
    for index, budget in enumerate(budgets):
        unit = budget.limit.unit
        if unit is not None and not is_unit(unit, own) and not is_unit(unit, REQUESTS):
            known = own if own == REQUESTS else f"{own} or {REQUESTS}"
            yield (index, "limit"), f"{source.name} is not paid in {unit}", f"write {known}"
        for name in budget.operations or ():
            if name not in policy.operations:
                yield (index, "operations"), f"{source.name} has no operation {name!r}", near(name, policy.operations)


def unpriced(source: Source) -> str | None:
    """What a user should know whose budgets refuse calls because nobody knows what they cost; `None` if there are none.

    Arguments:
        source: a provider with its settings.
    """
    priced = [budget for budget in _priced(source) if budget.hard]
    if not priced:
        return None
    policy = source.policy()
    refused = [
        name or "any call"
        for name in policy.operations or (None,)
        if any(budget.operations is None or name in budget.operations for budget in priced)
        and _fixed(policy, name) == (None,)
    ]
    if not refused:
        return None
    return (
        f"{source.name}: nobody knows what {', '.join(refused[:8])}{', ...' if len(refused) > 8 else ''} may cost, and the "
        f"budget {priced[0].name} refuses them; say it for each call (`credits`), or in a policy that extends this one "
        "(`credits.unknown_cost`)"
    )


def unspent(source: Source) -> str | None:
    """What a user should know whose budget nothing is ever spent of, since all that it counts is free; `None` if there is none.

    Arguments:
        source: a provider with its settings.
    """
    priced = _priced(source)
    policy = source.policy() if priced else None
    told = None if policy is None else policy.credits
    # What an answer says that it cost is spent too.
    if policy is None or told is None or told.charged or any(charge.cost for charge in told.charges):
        return None
    for budget in priced:
        if all(
            (cost := _fixed(policy, name)) and cost[0] == 0
            for name in budget.operations or policy.operations or (None,)
        ):
            return (
                f"{source.name}: all that the budget {budget.name} counts costs nothing, so it never refuses and never "
                "warns; count requests instead, or say what calls cost in a policy that extends this one"
            )
    return None


def _priced(source: Source) -> list[Budget]:
    """The budgets of a provider that are in its own unit; none where its policy says nothing of costs."""
    from ._budgets import REQUESTS, is_unit

    budgets = source.settings.budgets
    if not budgets or source.policy().credits is None:
        return []
    return [budget for budget in budgets if budget.limit.unit is None or not is_unit(budget.limit.unit, REQUESTS)]


def _fixed(policy: Policy, operation: str | None) -> tuple[Decimal | None, ...]:
    """What each call of an operation costs, `None` in it if nobody knows; nothing where that depends on the call."""
    from ._costs import costs_of

    costs = costs_of(policy, operation)
    return () if costs is None or not costs.is_fixed else (costs.fixed,)
