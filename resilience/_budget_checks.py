"""Whether the user's budgets fit the provider: its unit, its operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ._finding import near

if TYPE_CHECKING:
    from ._budgets import Budget
    from ._registry import Source

__all__ = ["strange_budgets", "unpriced"]


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
    from ._budgets import REQUESTS, is_unit
    from ._costs import costs_of

    policy = source.policy() if source.settings.budgets else None
    told = None if policy is None else policy.credits
    if policy is None or told is None:
        return None
    priced = [
        budget
        for budget in source.settings.budgets
        if budget.hard and (budget.limit.unit is None or not is_unit(budget.limit.unit, REQUESTS))
    ]
    refused = [
        name
        for name in policy.operations
        if any(budget.operations is None or name in budget.operations for budget in priced)
        and (costs := costs_of(policy, name)) is not None
        and costs.is_fixed
        and costs.fixed is None
    ]
    if not refused:
        return None
    return (
        f"{source.name}: nobody knows what {', '.join(refused[:8])}{', ...' if len(refused) > 8 else ''} may cost, and the "
        f"budget {priced[0].name} refuses them; say it for each call (`credits`), or in a policy that extends this one "
        "(`credits.unknown_cost`)"
    )
