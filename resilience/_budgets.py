"""What the user allows to be spent on a provider: an amount in each hour, day, week, month or year, or once and for all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictBool,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ._amounts import amount_text, decimal_of
from ._matchers import Texts
from ._model import Model, Name

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["REQUESTS", "Budget", "BudgetLimit", "Period", "PeriodName", "is_unit", "period_at"]

REQUESTS = "requests"
"""The unit of which each attempt that is sent costs one, whatever the provider is paid with."""
PeriodName = Literal["hour", "day", "week", "month", "year"]
_NAMES: tuple[PeriodName, ...] = get_args(PeriodName)
_ROLLING: dict[PeriodName, int] = {
    "hour": 3600,
    "day": 86_400,
    "week": 604_800,
    "month": 30 * 86_400,
    "year": 365 * 86_400,
}
# This project's own fixed pattern, for a text of at most 60 characters.
_LIMIT = re.compile(r"([0-9][0-9_.]*) *([A-Za-z][A-Za-z ]{0,18}[A-Za-z])? *(?:(?:/|per ) *([a-z]+))?", re.ASCII)
_LONGEST = 60
_LEAST = Decimal("0.000001")
# Longer than any rolling window: of two budgets in the way, what is spent for all time is the longer one.
_EVER_SECONDS = 2 * 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class BudgetLimit:
    """How much, of what, in which time."""

    amount: Decimal
    unit: str | None
    """As it was written; `None` for the provider's own."""
    period: PeriodName | None
    """`None`: once and for all."""

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        period = f"/{self.period}" if self.period else ""
        return f"{amount_text(self.amount).replace(',', '')}{unit}{period}"


def _read(value: object) -> BudgetLimit:
    if isinstance(value, BudgetLimit):
        return value
    text = value.strip() if isinstance(value, str) and len(value) <= _LONGEST else ""
    # A "per" is no part of a unit.
    match = _LIMIT.fullmatch(text.replace(" per ", " / "))
    amount = decimal_of(match[1].replace("_", "")) if match else None
    period: PeriodName | None = next((name for name in _NAMES if match and match[3] in {name, f"{name}s"}), None)
    if match is None or amount is None or amount < _LEAST or (match[3] and period is None):
        raise PydanticCustomError(
            "budget",
            "{value} is no budget; write an amount from 0.000001, its unit and the time: 500 credits/day, 20000/month, "
            "5 USD/hour, or 100 credits for all time",
            {"value": repr(value)[:80]},
        )
    return BudgetLimit(amount, match[2], period)


_Limit = Annotated[
    BudgetLimit,
    BeforeValidator(_read),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["500 credits/day", "20000/month", "1000 requests/hour", "5 USD"]}),
]


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        # A name that is not there is a KeyError of its own kind.
        raise PydanticCustomError(
            "timezone",
            "{name} is no time zone that this machine knows; write UTC or a name like Europe/Berlin (on a machine without "
            "a list of them, `pip install tzdata`)",
            {"name": repr(name)[:60]},
        ) from None
    return name


def _is_scope(text: str) -> str:
    kind, dot, name = text.partition(".")
    if text in {"account", "operation"} or (kind == "tag" and dot and name.isidentifier() and len(name) <= 32):
        return text
    raise PydanticCustomError(
        "scope",
        "{text} is nothing that a budget can be counted by; write account, operation or tag.<name>, as tag.tenant",
        {"text": repr(text)[:60]},
    )


def is_unit(one: str, other: str) -> bool:
    """Whether two texts name one unit: letters may be large or small, and one or many."""
    return one.lower().rstrip("s") == other.lower().rstrip("s")


class Budget(Model):
    """One budget: how much may be spent on a provider, and what happens then."""

    name: Name
    """Its name, in refusals and in `resilience credits`."""
    limit: _Limit
    """`500 credits/day`, `20000/month`, `1000 requests/hour`; without a time, once and for all. The unit is the policy's,
    or `requests`, of which each attempt that is sent costs one."""
    rolling: StrictBool = False
    """Count the last hour, day, week (7 days), month (30 days) or year (365 days) instead of the calendar's."""
    timezone: Annotated[str, AfterValidator(_is_zone)] = "UTC"
    """Where days begin, as `Europe/Berlin`."""
    per: Annotated[
        tuple[Annotated[str, AfterValidator(_is_scope)], ...],
        BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
        Field(max_length=5),
    ] = ()
    """What is counted apart: `account`, `operation`, `tag.<name>`; left out, all calls to the provider together."""
    operations: Texts | None = None
    """The operations that count; all if left out."""
    hard: StrictBool = True
    """Refuse what does not fit; a budget that is not hard only warns."""
    warn_at: Annotated[float, Field(gt=0, le=1)] | None = 0.8
    """Of which part used, spent or reserved, to warn: once, by the log and `on_budget_warning`."""
    on_store_failure: Literal["refuse", "allow", "local"] = "refuse"
    """What becomes of calls while a shared store is away: refused, let through and counted later, or held to the budget
    by each process alone."""

    @model_validator(mode="after")
    def _agrees(self) -> Budget:
        if self.timezone != "UTC" and (self.rolling or self.limit.period is None):
            raise PydanticCustomError("budget", "'timezone' says where days begin, and this budget has none")
        if self.rolling and self.limit.period is None:
            raise PydanticCustomError(
                "budget", "a budget for all time cannot be rolling; write a time: 500 credits/day"
            )
        if len(set(self.per)) < len(self.per):
            raise PydanticCustomError("budget", "each scope stands once in 'per'")
        return self

    @property
    def window(self) -> float:
        """Seconds of a rolling window, 0 for a calendar's period."""
        return float(_ROLLING[self.limit.period]) if self.rolling and self.limit.period else 0.0


@dataclass(frozen=True, slots=True)
class Period:
    """One period of a budget.

    Arguments:
        label: in the keys of its states.
        begins: seconds since 1970; of a rolling window or all time, 0.
        ends: seconds since 1970; infinite for those.
    """

    label: str
    begins: float
    ends: float

    def seconds_needed(self, wall: float, window: float) -> float:
        """For how long a state of this period is needed."""
        if window:
            return 2 * window
        return _EVER_SECONDS if self.ends == float("inf") else max(0.0, self.ends - wall)


_EVER = Period("ever", 0.0, float("inf"))


def period_at(budget: Budget, wall: float) -> Period:
    """The period of a budget that a moment lies in.

    Arguments:
        budget: the budget.
        wall: seconds since 1970.
    """
    name = budget.limit.period
    if name is None:
        return _EVER
    if budget.rolling:
        return Period(f"rolling-{_ROLLING[name]}", 0.0, float("inf"))
    zone = UTC if budget.timezone == "UTC" else ZoneInfo(budget.timezone)
    here = datetime.fromtimestamp(wall, zone)
    if name == "hour":
        # Hours are counted as they pass: one that comes twice is two. Not every zone is off by whole hours.
        past = (wall + (here.utcoffset() or timedelta()).total_seconds()) % 3600
        return _period(wall - past, wall - past + 3600)
    beginning = _BEGINNINGS[name]
    begin = beginning(here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0))
    # In the zone's own days: one in which clocks are changed has 23 or 25 hours.
    return _period(begin.timestamp(), beginning(begin + _LONGER[name]).timestamp())


def _period(begins: float, ends: float) -> Period:
    return Period(f"{begins:.0f}-{ends:.0f}", begins, ends)


_BEGINNINGS: dict[PeriodName, Callable[[datetime], datetime]] = {
    "day": lambda day: day,
    # ISO 8601: a week begins on Monday.
    "week": lambda day: day - timedelta(days=day.weekday()),
    "month": lambda day: day.replace(day=1),
    "year": lambda day: day.replace(month=1, day=1),
}
_LONGER: dict[PeriodName, timedelta] = {
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
    "year": timedelta(days=366),
}
