"""What a provider allows: rates and calls at a time, and what of it depends on the user's plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field, StrictInt, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from ._delays import Dialect
from ._headers import HeaderName
from ._matchers import Texts
from ._model import Model, Name
from ._rate import Rate, RateField
from ._scopes import Scopes
from ._units import Duration

if TYPE_CHECKING:
    from ._policy import Policy

__all__ = [
    "NO_LIMIT",
    "Algorithm",
    "FeedbackHeaders",
    "Limit",
    "PlanNumbers",
    "PlanReference",
    "Resolved",
    "resolve_limits",
]

Algorithm = Literal["token_bucket", "fixed_window", "moving_window", "sliding_window_counter"]
"""How a rate is counted; the windows are those of limits."""

Positive = Annotated[StrictInt, Field(ge=1, le=1_000_000_000)]

PlanReference = Annotated[str, StringConstraints(pattern=r"^\{plan\.[a-z][a-z0-9_]{0,31}\}$")]
"""A number of the user's plan: `{plan.concurrency}`."""


NO_LIMIT = "none"
"""What stands in a rule whose answers speak of no limit."""

PlanNumbers = dict[
    Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")],
    Annotated[Positive | RateField | None, Field(union_mode="left_to_right")],
]
"""The numbers of one plan by the names that limits refer to: a number, a rate, or `null` where it has no such limit."""


class FeedbackHeaders(Model):
    """The headers by which answers tell how much of a limit is left."""

    limit: HeaderName | None = None
    """How much there is in all."""
    remaining: HeaderName
    """How much is left."""
    reset: HeaderName | None = None
    """When it is whole again."""
    reset_as: Dialect = "auto"
    """How `reset` is written, in the dialects of `retry.wait`."""
    bucket: HeaderName | None = None
    """The header that names the bucket, where the provider has buckets that only its answers tell."""


class Limit(Model):
    """One limit: a rate, or a number of calls at a time."""

    name: Name | None = None
    """Its name, for people and for `limit` in a rule; by default what it says."""
    rate: RateField | PlanReference | None = None
    """How many calls in which time. Exactly one of `rate` and `concurrency`."""
    concurrency: Positive | PlanReference | None = None
    """How many calls at a time; a streamed answer counts until its body is closed."""
    algorithm: Algorithm = "token_bucket"
    """How the provider counts a rate. `token_bucket` refills evenly; windows are whole again at once."""
    burst: Positive | None = None
    """How many calls may come at once after a rest; by default the number of the rate. Token buckets only."""
    per: Scopes = ("account",)
    """What is counted apart: `account`, `operation`, `host` (several as a list), or `provider` for all together."""
    operations: Texts | None = None
    """The operations that count; all calls if left out."""
    cost: Positive | dict[Name, Positive] = 1
    """What a call takes of a rate, or what calls of single operations take; a call's own `cost` goes before it."""
    max_wait: Duration = 60.0
    """How long a call waits for its turn; one that would wait longer is refused at once."""
    queue: Positive = 1000
    """How many calls wait for their turn, in one process; one more is refused at once."""
    headers: FeedbackHeaders | None = None
    """The headers that tell how much is left, beside the usual ones."""
    doc: str | None = None
    """The page, by its name in `docs`."""

    @model_validator(mode="after")
    def _check(self) -> Limit:
        if (self.rate is None) == (self.concurrency is None):
            raise PydanticCustomError("limit", "a limit is either a 'rate' or a 'concurrency'")
        given = self.model_fields_set & {"algorithm", "burst", "cost", "headers"}
        if self.concurrency is not None and given:
            raise PydanticCustomError(
                "limit", "'{key}' speaks of a rate, and this is a concurrency", {"key": min(given)}
            )
        if self.burst is not None and self.algorithm != "token_bucket":
            raise PydanticCustomError("limit", "'burst' belongs to a token bucket; a window has none")
        if isinstance(self.rate, Rate):
            check_cost(self, self.rate)
        return self


def check_cost(limit: Limit, rate: Rate) -> None:
    """Refuse a cost that no full bucket could pay: such a call would wait for ever.

    Raises:
        PydanticCustomError: a cost is higher than the bucket holds.
    """
    most = limit.burst or rate.amount
    costs = limit.cost.values() if isinstance(limit.cost, dict) else (limit.cost,)
    if max(costs, default=1) > most:
        raise PydanticCustomError(
            "limit", "a cost of {cost} never fits into {most}; the call would wait for ever",
            {"cost": max(costs), "most": most},
        )  # fmt: skip


class Resolved(NamedTuple):
    """A limit with the numbers of the user's plan."""

    name: str
    limit: Limit
    rate: Rate | None
    """`None` for a concurrency, and for a rate of a plan that nobody named: then answers teach it."""
    concurrency: int | None
    """`None` for a rate, and for a concurrency of a plan that nobody named: then answers teach it."""


def resolve_limits(policy: Policy, plan: str | None) -> tuple[Resolved, ...]:
    """The limits of a policy for a plan; those that the plan says it does not have are left out.

    Arguments:
        policy: the provider's.
        plan: the name of the user's plan, `None` if nobody named it.
    """
    values = policy.plans[plan] if plan is not None else None
    found: list[Resolved] = []
    for index, limit in enumerate(policy.limits):
        number: Any = limit.rate if limit.rate is not None else limit.concurrency
        if isinstance(number, str):
            number = None if values is None else values[number[6:-1]]
            if number is None and values is not None:
                continue
        name = limit.name or f"{'rate' if limit.rate is not None else 'concurrency'}-{index + 1}"
        is_rate = limit.rate is not None
        found.append(Resolved(name, limit, number if is_rate else None, None if is_rate else number))
    return tuple(found)
