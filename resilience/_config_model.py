"""What the user's configuration file may say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictBool,
    StringConstraints,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from ._budgets import Budget
from ._document import Document, Keys, children, shown
from ._finding import near
from ._hosts import Hosts
from ._model import Model, Name, Version
from ._modes import LAYERS, Layer, Mode
from ._units import duration_text, parse_duration
from .errors import ConfigurationError, Place, PolicyError

__all__ = ["Config", "Provider", "read_config"]

_LONGEST_STORE = 2000
_RELOADS = (0.1, 3600.0)
_MOST_CALLS = 10_000
_LONGEST_NUMBER = len(str(_MOST_CALLS))
# No part of a configuration stands deeper; a mapping of a program's may hold itself.
_DEEPEST = 8


def _for_all(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in set(Mode):
        # Said once, and not again for each layer.
        context = {"value": repr(value)[:40], "remedy": near(value, [mode.value for mode in Mode])}
        raise PydanticCustomError("mode", "{value} is no mode", context)
    return dict.fromkeys(LAYERS, value)


# Longer than any name: one that is spelt otherwise is told which plans there are, where its policy is known.
PlanName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Modes = Annotated[dict[Layer, Mode], BeforeValidator(_for_all)]
"""One mode for all layers, or modes by the names of layers."""


def _is_store(value: object) -> object:
    # Nothing of what is given is shown: it may hold a password, also where it is no URL at all.
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_STORE:
        example = "memory://, sqlite:///path or redis://host:6379"
        raise PydanticCustomError("store", "a store is a URL: {example}, as one text", {"example": example})
    return value


def _seconds_or_off(value: object) -> float:
    if value == "off":
        return 0.0
    try:
        seconds = parse_duration(value) if isinstance(value, str) else 0.0
    except ValueError:
        seconds = 0.0
    if not _RELOADS[0] <= seconds <= _RELOADS[1]:
        what = "{value} is no time between two looks; write off, or a duration from 100ms to 1h, as 5s"
        raise PydanticCustomError("reload", what, {"value": shown(value)})
    return seconds


Reload = Annotated[
    float,
    BeforeValidator(_seconds_or_off),
    PlainSerializer(lambda seconds: duration_text(seconds) if seconds else "off", return_type=str),
    WithJsonSchema({"type": "string", "examples": ["5s", "off"]}),
]
"""Seconds; 0 for never."""


def _is_number_or_word(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_CALLS
    if not is_number and value not in ("auto", "off"):
        if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and value.isascii() and value.isdigit():
            raise PydanticCustomError(
                "gate", "{value} is text, not a number; leave out the quotes", {"value": repr(value)}
            )
        what = "{value} is no number of calls at a time; write auto, off, or a whole number from 1 to 10000"
        raise PydanticCustomError("gate", what, {"value": shown(value)})
    return value


GateNumber = Annotated[
    Literal["auto", "off"] | Annotated[int, Field(ge=1, le=_MOST_CALLS)], BeforeValidator(_is_number_or_word)
]


class Provider(Model):
    """What the user says of one provider."""

    off: StrictBool = False
    """Leave this provider's hosts alone."""
    hosts: Hosts | None = None
    """The hosts that the policy speaks of, in place of its own: a gateway, a test server."""
    plan: PlanName | None = None
    """The plan that you have, by its name in the policy's `plans`; until it is named, answers teach its limits."""
    mode: Modes | None = None
    """What the layers do with their decisions; goes before the `mode` of the whole file."""
    refusals: Literal["reply", "raise"] | None = None
    """What a refused call gets; goes before the `refusals` of the whole file."""
    budgets: Annotated[tuple[Budget, ...], Field(max_length=30)] = ()
    """What may be spent on it."""
    ledger: StrictBool | None = None
    """Whether each settlement is written down, for `resilience credits`; by default where there are budgets."""

    @field_validator("budgets")
    @classmethod
    def _are_named_apart(cls, budgets: tuple[Budget, ...]) -> tuple[Budget, ...]:
        names = [budget.name for budget in budgets]
        strange = ["'balance' is the name of what the provider says itself"] if "balance" in names else []
        strange += [f"two have the name {name!r}" for name in dict.fromkeys(names) if names.count(name) > 1]
        if strange:
            raise PydanticCustomError("budget", "{strange}", {"strange": "; ".join(strange)})
        return budgets


class Config(Model):
    """The user's own file, `resilience.yaml`."""

    version: Version
    """The version of this file's language."""
    policies: tuple[str, ...] = ()
    """Policy files of the user's own, as paths from this file; one named like a shipped policy takes its place."""
    shipped: StrictBool | tuple[Name, ...] = Field(default=True)
    """Whether the shipped policies are active, or the names of those that are."""
    providers: dict[Name, Provider] = {}
    """Settings for single providers."""
    store: Annotated[str, BeforeValidator(_is_store), Field(repr=False)] = "memory://"
    """Where limits, permits, breakers and budgets keep their state: `memory://` (this process), `sqlite:///path` (this
    machine) or `redis://host:6379` (many machines). `${NAME}` stands for the environment variable."""
    namespace: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "resilience"
    """What all keys in a shared store begin with."""
    mode: Modes = {}
    """What the layers do with their decisions: `enforce`, `observe` or `off`, for all of them or by their names."""
    spans: Literal["always", "touched", "never", "off"] = "touched"
    """Which calls get a span of their own beside those of their attempts: `touched` are those that were retried, delayed
    or refused. `off` makes no spans at all."""
    gate: GateNumber = "auto"
    """How many async calls of a client are let into its connection pool at a time, until their answers begin: `auto` for
    as many as it takes to keep this program busy, a number, or `off` for all of them."""
    refusals: Literal["reply", "raise"] = "reply"
    """What a call gets that one of our layers refuses: a response in the provider's own shape, or an error."""
    reload: Reload = 5.0
    """How often to look whether this file, or a policy file that it names, has changed: a time between two looks, each
    made by a call, or `off`. For what `install` and `resilience run` have read from a file."""


def read_config(data: Mapping[str, Any]) -> Config:
    """A configuration from plain data.

    Raises:
        ConfigurationError: it cannot be honoured; in the words that a file would be told, with keys for places.
    """
    from ._validate import validate

    plain = _plain(data)
    places: dict[Keys, Place] = {}
    # A place for each value, by which a problem finds its keys again: no file says where they stand.
    named = dict(enumerate(_all_keys(plain)))
    for number, keys in named.items():
        places[keys] = Place("", number + 1, 1)
    try:
        return validate(Config, Document(plain, places, places))
    except PolicyError as error:
        lines: list[str] = []
        for each in error.problems:
            where = ".".join(map(str, named[each.place.line - 1]))
            remedy = f" ({each.remedy})" if each.remedy else ""
            lines.append(f"{where}: {each.message}{remedy}" if where else f"{each.message}{remedy}")
        raise ConfigurationError(f"the configuration cannot be honoured: {'; '.join(lines)}") from None


def _plain(value: object, depth: int = _DEEPEST) -> object:
    """The same of the types that a file has: other mappings and lists of a program are as good."""
    if isinstance(value, Mapping | list | tuple) and not depth:
        return "..."
    if isinstance(value, Mapping):
        return {str(key): _plain(each, depth - 1) for key, each in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(each, depth - 1) for each in cast("Sequence[object]", value)]
    return value


def _all_keys(value: object, keys: Keys = ()) -> Iterator[Keys]:
    yield keys
    for key, each in children(value):
        yield from _all_keys(each, (*keys, key))
