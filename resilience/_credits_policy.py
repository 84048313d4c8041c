"""What a provider's calls cost, by its documentation: before they are sent, and by what their answers say."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ._amounts import decimal_of
from ._conditions import BodyPath, When
from ._headers import HeaderName
from ._matchers import Matcher, Texts
from ._model import Model, Name
from ._units import TimeLimit

__all__ = ["Charge", "Cost", "Credits", "Job", "Place", "RequestWhen", "Times"]

_Query = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_Many = Annotated[StrictInt, Field(ge=1, le=1_000_000)]


def _read(value: object) -> Decimal:
    amount = decimal_of(value)
    if amount is None or amount < 0:
        raise PydanticCustomError(
            "amount",
            "{value} is no amount; write a number from 0 to 1000000000, as 5 or 0.0035",
            {"value": repr(value)[:40]},
        )
    return amount


Amount = Annotated[
    Decimal,
    BeforeValidator(_read),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": ["number", "string"], "minimum": 0, "maximum": 1_000_000_000, "examples": [5, 0.0035]}),
]
"""Zero or more of the unit; an exact decimal."""


class RequestWhen(Model):
    """What a request must look like; all that is given must hold."""

    body: dict[BodyPath, Matcher] = {}
    """Fields of its JSON body."""
    query: dict[_Query, Matcher] = {}
    """Parameters of its query; their values are texts."""
    headers: dict[HeaderName, Matcher] = {}
    """Its headers; their values are texts."""

    @model_validator(mode="after")
    def _says_something(self) -> RequestWhen:
        if not (self.body or self.query or self.headers):
            raise PydanticCustomError("when", "an empty condition holds for every request; leave 'when' out instead")
        return self


class Times(Model):
    """By what a cost is multiplied: the items of a list in the request, or a number that it names."""

    body: BodyPath | None = None
    """A list of the JSON body, whose items count, or a number in it. Exactly one of `body` and `query`."""
    query: _Query | None = None
    """A parameter of the query: a number, or items separated by commas."""
    default: _Many = 1
    """How many where the request does not say."""
    most: _Many
    """How many at most, as the provider documents: what is counted where the body cannot be read before it is sent."""

    @model_validator(mode="after")
    def _is_one_place(self) -> Times:
        if self.default > self.most:
            raise PydanticCustomError("times", "'default' is more than 'most'")
        if (self.body is None) == (self.query is None):
            raise PydanticCustomError("times", "the number stands in exactly one of 'body' and 'query'")
        return self


class Cost(Model):
    """What some calls cost, at worst."""

    operations: Texts | None = None
    """The operations; all calls if left out."""
    when: RequestWhen | None = None
    """Which of their requests; all if left out."""
    cost: Amount
    """In the unit; 0 for free."""
    times: Times | None = None
    """By what it is multiplied."""
    doc: str | None = None
    """The page, by its name in `docs`."""


class Place(Model):
    """Where an answer tells an amount."""

    operations: Texts | None = None
    """The operations whose answers tell it; all if left out."""
    body: BodyPath | None = None
    """A field of the JSON body: a number, or a text of digits. Exactly one of `body` and `header`."""
    header: HeaderName | None = None
    """A header."""
    after: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """The amount is the number that follows this text in the value: `balance: `."""

    @model_validator(mode="after")
    def _is_one_place(self) -> Place:
        if (self.body is None) == (self.header is None):
            raise PydanticCustomError("place", "the amount stands in exactly one of 'body' and 'header'")
        return self


Places = Annotated[
    tuple[Annotated[Place, BeforeValidator(lambda value: {"body": value} if isinstance(value, str) else value)], ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str | dict) else value),
    Field(max_length=20),
]
"""Places in order of precedence; a text is the path of a body field."""


class Charge(Model):
    """What an answer means for the cost of its call, where it does not tell the amount."""

    when: When
    """Which answers."""
    cost: Amount | Literal["worst"]
    """What such a call has cost, or `worst` for what was reserved for it."""
    doc: str | None = None
    """The page, by its name in `docs`."""


class Job(Model):
    """Calls that begin a job, which is paid for when it ends."""

    submit: Texts
    """The operations that begin one."""
    id: BodyPath
    """Where their answer names it."""
    poll: Texts
    """The operations that ask how it stands."""
    poll_id: BodyPath | None = None
    """Where the answer of those names it; by default the part of the path that their template puts in braces."""
    ended: When
    """Which of their answers tell that it has ended; what it cost is settled then, as for any answer."""
    lease: TimeLimit = 3600.0
    """After how long a job that nobody asks about counts as paid for."""


class Credits(Model):
    """What calls cost."""

    unit: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z ]{0,19}$")] = "credits"
    """What is paid with: `credits`, `requests`, `tokens`, `USD`."""
    costs: Annotated[tuple[Cost, ...], Field(max_length=500)] = ()
    """What a call may cost, at worst: the first that fits."""
    surcharges: Annotated[tuple[Cost, ...], Field(max_length=100)] = ()
    """What is added to that: each that fits."""
    unknown_cost: Amount | Literal["refuse"] = "refuse"
    """What a call costs that none of them fits; `refuse` sends no such call where a budget applies to it."""
    charged: Places = ()
    """Where an answer tells what its call has cost."""
    charges: Annotated[tuple[Charge, ...], Field(max_length=100)] = ()
    """What answers cost that do not tell it: the first that fits."""
    failed_calls: Literal["free", "charged"] | None = None
    """What failures cost of which neither speaks; left out, the category decides (docs/layers/credits.md)."""
    unanswered: Literal["charged", "free"] = "charged"
    """What is taken of a call that was sent and whose answer nobody saw: its worst case, or nothing."""
    balance: Places = ()
    """Where an answer tells what is left of the account."""
    jobs: Annotated[tuple[Job, ...], Field(max_length=20)] = ()
    """Calls whose cost is known only when what they began has ended."""
    recheck: TimeLimit = 300.0
    """After how long one call looks whether an account is still without credits, where the provider names no time."""
    lease: TimeLimit = 600.0
    """After how long a call counts as never answered that is not heard of; a body that is read renews it."""
    doc: Name | None = None
    """The page, by its name in `docs`."""
