"""How many calls of a provider may be sent again, all its calls together.

As a ratio: within `window` there are `per_second` retries for each of its seconds, and `ratio` of a retry for each call
(Finagle's and Linkerd's form). As a quota: a store of units that retries take from and successes fill up again (the AWS
SDKs'). Scripts, as the stores run them; their Lua twins stand in `stores/lua`.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, StrictBool, StrictFloat, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from ._model import Model
from ._units import TimeLimit

if TYPE_CHECKING:
    from ._transactions import Reply, State, Transaction

__all__ = ["SLOTS", "RetryBudget", "describe", "give_back", "restore", "spend", "withdraw"]

SLOTS = 10
"""In how many parts a window is counted; the oldest is forgotten whole."""
# A share of calls is a sum of fractions: 0.15 * 20 must pay for three retries.
_ROUNDING = 1e-9
# A quota that nobody has used for so long is forgotten, which makes it full.
_QUOTA_SECONDS = 86_400.0


class RetryBudget(Model):
    """A bound on retries, shared by all calls of a provider: as a share of its calls, or as a quota (the AWS SDKs')."""

    off: StrictBool = False
    """Have none."""
    ratio: Annotated[StrictInt | StrictFloat, Field(ge=0, le=10)] = 0.2
    """How many retries each call pays for."""
    per_second: Annotated[StrictInt | StrictFloat, Field(ge=0, le=10_000)] = 10
    """How many retries there are each second however few the calls."""
    window: TimeLimit = 10.0
    """How long what a call paid can be spent."""
    quota: Annotated[StrictInt, Field(ge=0, le=1_000_000)] | None = None
    """Instead: so many units, of which a retry takes `fault` or `throttle`, and which successes give back."""
    fault: Annotated[StrictInt, Field(ge=0, le=1_000_000)] = 14
    """What a retry after a fault takes of the quota."""
    throttle: Annotated[StrictInt, Field(ge=0, le=1_000_000)] = 5
    """What a retry after a throttle takes of the quota."""

    @model_validator(mode="after")
    def _is_one_form(self) -> RetryBudget:
        ratio, quota = {"ratio", "per_second", "window"}, {"fault", "throttle"}
        mixed = self.model_fields_set & (ratio if self.quota is not None else quota)
        if mixed:
            form = "a quota" if self.quota is not None else "a ratio; name the 'quota' too"
            raise PydanticCustomError("budget", "'{key}' does not belong to {form}", {"key": min(mixed), "form": form})
        return self

    @cached_property
    def name(self) -> str:
        """What tells its state from that of a budget with other numbers."""
        if self.quota is not None:
            return f"quota-{self.quota}-{self.fault}-{self.throttle}"
        return f"ratio-{self.ratio}-{self.per_second}-{self.window}"


def withdraw(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Take one retry from a ratio, after counting the calls that a process has made since it last asked.

    State: `slot` (the number of the newest part of the window), `calls` and `retries` of each part, newest first.

    Arguments:
        transaction: the store's.
        keys: of the budget.
        arguments: `ratio`, `per_second`, `window` in seconds, and a list of calls: those of this part of the window
            first, then those of the part before it, and so on.

    Returns:
        1 if there was one (else 0), how many are left, and the part that it was taken in.
    """
    ratio, per_second, window, made = arguments
    slot, calls, retries = _window(transaction.load(keys[0]), math.floor(transaction.now * SLOTS / window))
    for age, count in enumerate(made):
        calls[age] += count
    left = per_second * window + ratio * sum(calls) - sum(retries)
    granted = left >= 1 - _ROUNDING
    if granted:
        retries[0] += 1
        left -= 1
    transaction.save(keys[0], {"slot": slot, "calls": calls, "retries": retries}, window)
    return [1.0 if granted else 0.0, left, slot]


def give_back(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Undo a `withdraw` whose retry was not sent.

    Arguments:
        transaction: the store's.
        keys: of the budget.
        arguments: `window` in seconds, and the part that the retry was taken in.

    Returns:
        1 if it was still counted, else 0.
    """
    window, taken = arguments
    state = transaction.load(keys[0])
    slot, calls, retries = _window(state, math.floor(transaction.now * SLOTS / window))
    age = int(slot - taken)
    if not 0 <= age < SLOTS or retries[age] < 1:
        return [0.0]
    retries[age] -= 1
    transaction.save(keys[0], {"slot": slot, "calls": calls, "retries": retries}, window)
    return [1.0]


def _window(state: State | None, slot: int) -> tuple[int, list[float], list[float]]:
    """The window as it is now: what has left it is forgotten, what is new to it is empty."""
    if state is None:
        return slot, [0] * SLOTS, [0] * SLOTS
    slot = max(slot, state["slot"])
    passed = min(slot - state["slot"], SLOTS)
    kept = SLOTS - passed
    return slot, [0] * passed + state["calls"][:kept], [0] * passed + state["retries"][:kept]


def spend(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Take the cost of one retry from a quota; what does not suffice is left untouched.

    State: `left`, in units; a quota without a state is full.

    Arguments:
        transaction: the store's.
        keys: of the budget.
        arguments: the capacity and the cost, in units.

    Returns:
        1 if there was enough (else 0), and how much is left.
    """
    capacity, cost = arguments
    state = transaction.load(keys[0])
    left = capacity if state is None else state["left"]
    granted = left >= cost
    if granted:
        left -= cost
        transaction.save(keys[0], {"left": left}, _QUOTA_SECONDS)
    return [1.0 if granted else 0.0, left]


def restore(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Give units back to a quota, never above its capacity.

    Arguments:
        transaction: the store's.
        keys: of the budget.
        arguments: the capacity and the amount, in units.

    Returns:
        How much is left.
    """
    capacity, amount = arguments
    state = transaction.load(keys[0])
    left = capacity if state is None else min(capacity, state["left"] + amount)
    if state is not None:
        transaction.save(keys[0], {"left": left}, _QUOTA_SECONDS)
    return [left]


def describe(state: State, now: float) -> dict[str, float]:  # noqa: ARG001  as of the other kinds
    """A state for people.

    Arguments:
        state: as the store keeps it.
        now: seconds of the store's clock.

    Returns:
        Of a quota: `left`, in units. Of a ratio: `calls` and `retries` within the window.
    """
    if "left" in state:
        return {"left": state["left"]}
    return {"calls": sum(state["calls"]), "retries": sum(state["retries"])}
