"""Whether the user's budgets fit the provider: its unit, its operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ._finding import near

if TYPE_CHECKING:
    from ._budgets import Budget
    from ._registry import Source

__all__ = ["strange_budgets"]


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
