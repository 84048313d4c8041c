"""What one call may say for itself: `extensions={"resilience": {"deadline": 20}}`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any, cast

from ._amounts import decimal_of
from ._finding import ALIKE
from ._longest import LONGEST_TIME
from ._tags import check_tags
from ._words import brief
from .errors import ConfigurationError

__all__ = ["NO_OPTIONS", "CallOptions", "read_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """The options of one call.

    Arguments:
        off: send this call as if the library were not there.
        deadline: seconds for the whole call, its waits included.
        attempt_timeout: seconds for each attempt.
        max_attempts: how often the call is sent in all.
        repeatable: whether this request may be sent twice, whatever its method.
        idempotency_key: the key that goes with every attempt; the provider must document keys.
        operation: the name of the policy's operation that this call belongs to.
        cost: what this call takes of the provider's rate limits: a number for all that it pays, or one for each by name.
        credits: what this call may cost at worst, in the unit of the provider's `credits`.
        tags: by which budgets count apart, `{"tenant": "acme"}`; they go before those of `resilience.tags()`.
    """

    off: bool = False
    deadline: float | None = None
    attempt_timeout: float | None = None
    max_attempts: int | None = None
    repeatable: bool | None = None
    idempotency_key: str | None = None
    operation: str | None = None
    cost: int | Mapping[str, int] | None = None
    credits: Decimal | None = None
    tags: Mapping[str, str] | None = None

    @property
    def names_provider(self) -> bool:
        """Whether something is named that only one provider knows."""
        return (self.operation, self.idempotency_key, self.cost, self.credits) != _NO_NAMES

    def elsewhere(self) -> CallOptions:
        """The same for another provider."""
        return replace(self, operation=None, idempotency_key=None, cost=None, credits=None)


_NO_NAMES = (None, None, None, None)
NO_OPTIONS = CallOptions()
"""Of a call that says nothing."""
_NAMES = {field.name for field in fields(CallOptions)}
_TYPES: dict[str, tuple[type, ...]] = {
    "off": (bool,),
    "deadline": (int, float),
    "attempt_timeout": (int, float),
    "max_attempts": (int,),
    "repeatable": (bool,),
    "idempotency_key": (str,),
    "operation": (str,),
    "cost": (int, Mapping),
    "credits": (int, float, str, Decimal),
    "tags": (Mapping,),
}
_LONGEST_KEY = 255
_HIGHEST_COST = 1_000_000_000


def read_options(extensions: Mapping[str, Any]) -> CallOptions:
    """The options that a request carries.

    Raises:
        ConfigurationError: an option is unknown or has a value that cannot be honoured.
    """
    given = extensions.get("resilience")
    if given is None:
        return NO_OPTIONS
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"extensions['resilience'] is a mapping of options, not {type(given).__name__}")
    options = cast("Mapping[str, Any]", given)
    for name, value in options.items():
        _check(name, value)
    found = CallOptions(**options)
    if found.credits is not None or found.tags is not None:
        found = replace(
            found, credits=_credits(found.credits), tags=None if found.tags is None else check_tags(found.tags)
        )
    if found.deadline is not None and found.attempt_timeout is not None and found.attempt_timeout >= found.deadline:
        raise ConfigurationError(
            "attempt_timeout in extensions['resilience'] is not shorter than deadline: no second attempt would fit"
        )
    return found


def _check(name: object, value: object) -> None:
    if name not in _NAMES:
        near = difflib.get_close_matches(str(name), _NAMES, n=1, cutoff=ALIKE)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(_NAMES))}"
        raise ConfigurationError(f"unknown option {name!r} in extensions['resilience']; {hint}")
    name = str(name)
    wanted = _TYPES[name]
    if value is None:
        return
    if name in {"credits", "tags"}:
        return
    if name == "cost":
        _check_cost(value)
        return
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        raise ConfigurationError(f"{name} in extensions['resilience'] is {brief(value)}; it takes {_in_words(wanted)}")
    if isinstance(value, float | int) and not isinstance(value, bool):
        least = 1 if name == "max_attempts" else 0.001
        most = 20 if name == "max_attempts" else LONGEST_TIME
        if not least <= value <= most:
            raise ConfigurationError(
                f"{name} in extensions['resilience'] is {brief(value)}; it is from {least} to {most}"
            )
    if name == "idempotency_key" and not _is_header_value(value):
        raise ConfigurationError("idempotency_key in extensions['resilience'] takes 1 to 255 visible ASCII characters")


def _credits(value: object) -> Decimal | None:
    if value is None:
        return None
    amount = decimal_of(value)
    if amount is None or amount < 0:
        raise ConfigurationError(
            f"credits in extensions['resilience'] is {brief(value)}; it takes a number from 0 to 1000000000"
        )
    return amount


def _check_cost(value: object) -> None:
    given: object = value
    costs = list(cast("Mapping[object, object]", given).items()) if isinstance(given, Mapping) else [("", given)]
    for limit, cost in costs:
        if not isinstance(limit, str) or not isinstance(cost, int) or isinstance(cost, bool):
            raise ConfigurationError(
                f"cost in extensions['resilience'] is {brief(value)}; it takes a whole number, or one for each limit by "
                "its name"
            )
        if not 1 <= cost <= _HIGHEST_COST:
            of = f" of {limit!r:.60}" if limit else ""
            raise ConfigurationError(
                f"cost{of} in extensions['resilience'] is {brief(cost)}; it is from 1 to {_HIGHEST_COST}"
            )


def _is_header_value(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_KEY and all("!" <= letter <= "~" for letter in value)


def _in_words(types: tuple[type, ...]) -> str:
    return (
        {bool: "True or False", int: "a whole number", str: "a text"}[types[0]]
        if len(types) == 1
        else "a number of seconds"
    )
