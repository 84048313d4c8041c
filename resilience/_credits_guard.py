"""What guards the credits of a call: which budgets, counted apart by what."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._amounts import amount_text, millionths
from ._budget_state import BALANCE, PAGES
from ._deadline import attempt_seconds
from ._tags import key_part, tags_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._budgets import Budget, Period
    from ._outcome import Exchange
    from ._policy import Policy
    from ._registry import Settings

__all__ = [
    "ONE_REQUEST",
    "CreditsGuard",
    "Use",
    "guard_of",
    "lease_of",
    "ledger_page",
    "settling_key",
]

ONE_REQUEST = 1_000_000


class Use(NamedTuple):
    """One budget that the calls of an operation use."""

    name: str
    """With its unit, as in its keys."""
    budget: Budget | None
    """`None` for the provider's own balance."""
    unit: str
    counts_requests: bool
    limit: int
    """In millionths, -1 without end, -2 for the balance."""
    window: float
    warns: float
    """At how many millionths to warn, -1 never; of the balance, after how many seconds to look again."""
    scopes: tuple[str, ...]
    periods: list[Period]
    """The last one that was asked for."""

    def period_at(self, wall: float) -> Period:
        """The period that a moment lies in; of a budget, not of the balance."""
        last = self.periods[0] if self.periods else None
        if last is None or not last.begins <= wall < last.ends:
            from ._budgets import period_at

            assert self.budget is not None
            last = period_at(self.budget, wall)
            self.periods[:] = [last]
        return last

    @property
    def title(self) -> str:
        """For people."""
        if self.budget is None:
            return f"the account's balance, as {self.unit} go,"
        return (
            f"the budget {self.budget.name} ({amount_text(self.budget.limit.amount)} {self.unit}{_each(self.budget)})"
        )


class CreditsGuard(NamedTuple):
    """All budgets of the calls of one operation; the first counts in the provider's own unit."""

    uses: tuple[Use, ...]
    unit: str
    is_priced: bool
    """Whether a budget that is obeyed counts in that unit."""
    strict: bool
    """Whether no call goes out that a shared store has not let through."""


def _each(budget: Budget) -> str:
    period = budget.limit.period
    if period is None:
        return ""
    return f" in any {period}" if budget.rolling else f"/{period}"


def guard_of(exchange: Exchange) -> CreditsGuard | None:
    """The budgets of a call; `None` where nothing is counted. Compiled once for each operation."""
    settings = exchange.settings
    if not settings.ledger and not settings.budgets:
        return None
    operation = exchange.operation
    found: CreditsGuard | None = settings.guards.get(operation)
    if found is None:
        found = settings.guards[operation] = _compiled(exchange.policy, settings, operation)
    return found


def _compiled(policy: Policy, settings: Settings, operation: str | None) -> CreditsGuard:
    from ._budgets import REQUESTS, Budget

    unit = policy.credits.unit if policy.credits else REQUESTS
    budgets = [each for each in settings.budgets if each.operations is None or operation in each.operations]
    uses = [_use(budget, unit) for budget in budgets]
    # What the ledger says of a call is what its first budget counts.
    own = [use for use in uses if use.unit == unit]
    others = [use for use in uses if use.unit != unit]
    if not own:
        # One of the user's, of other operations, may have that name.
        name = "all"
        while any(name == budget.name for budget in settings.budgets):
            name = f"other-{name}"
        everything = Budget.model_validate({"name": name, "limit": "1/month", "per": "account", "hard": False})
        own = [_use(everything, unit)._replace(limit=-1, warns=-1.0)]
    priced = policy.credits
    if priced is not None and priced.balance and unit != REQUESTS:
        name = f"balance@{_slug(unit)}"
        balance = Use(name, None, unit, False, BALANCE, 0.0, priced.recheck, ("account",), [])  # noqa: FBT003  by position
        own.append(balance)
    hard = [budget for budget in budgets if budget.hard]
    is_priced = any(use.budget.hard for use in own if use.budget is not None)
    strict = any(budget.on_store_failure == "refuse" for budget in hard)
    return CreditsGuard((*own, *others), unit, is_priced, strict)


def _use(budget: Budget, own: str) -> Use:
    from ._budgets import REQUESTS, is_unit

    unit = own if budget.limit.unit is None or is_unit(budget.limit.unit, own) else REQUESTS
    limit = millionths(budget.limit.amount)
    warns = -1.0 if budget.warn_at is None else float(round(limit * budget.warn_at))
    return Use(
        f"{budget.name}@{_slug(unit)}", budget, unit, unit == REQUESTS, limit, budget.window, warns, budget.per, []
    )


def _slug(unit: str) -> str:
    return unit.replace(" ", "-")


def settling_key(exchange: Exchange, use: Use, label: str) -> str:
    """The key of a budget's state for a call.

    Arguments:
        exchange: the call.
        use: the budget.
        label: of its period.
    """
    parts = [f"{{{exchange.policy.provider}}}:credits:{use.name}:{label}"]
    tags: Mapping[str, str] | None = None
    for scope in use.scopes:
        if scope == "account":
            parts.append(f"account={exchange.account}")
        elif scope == "operation":
            parts.append(f"operation={exchange.operation or '-'}")
        else:
            tags = tags_of(exchange.options.tags) if tags is None else tags
            value = tags.get(scope.partition(".")[2])
            parts.append(f"{scope}={'-' if value is None else key_part(value)}")
    return ":".join(parts)


def ledger_page(exchange: Exchange, name: str) -> str:
    """The key of the page of the ledger that a call is written on."""
    return f"{{{exchange.policy.provider}}}:ledger:{int(name.rpartition('.')[2], 16) % PAGES}"


def lease_of(exchange: Exchange, now: float) -> float:
    """How long a call may be under way without a word: what the policy says, and as long as its own timeouts let it."""
    costs = exchange.policy.credits
    own: dict[str, float | None] = exchange.extensions.get("timeout") or {}
    seconds = attempt_seconds(exchange, now) or own.get("read") or 0.0
    # Twice: the time in the queue of a limit comes before it.
    return max(600.0 if costs is None else costs.lease, 2 * seconds)
