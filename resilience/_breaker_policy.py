"""When calls to a provider that is down are held back, and how it is found to be up again: what a policy may say of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from ._breaker_machine import FAILURE, SUCCESS, BreakerSettings
from ._categories import TREATMENTS, Category
from ._health import HealthEndpoint
from ._model import Model
from ._scopes import Scopes
from ._units import Duration, TimeLimit

__all__ = ["DOCUMENTED", "IGNORED", "BreakerPlan", "BreakerPolicy", "Counted"]

Counted = Literal["success", "failure", "ignore"]
"""What an answer is to a breaker."""
IGNORED = 0
"""The result of an answer that says nothing of the provider's health."""
_RESULTS: Mapping[Counted, int] = {"success": SUCCESS, "failure": FAILURE, "ignore": IGNORED}
DOCUMENTED: Mapping[Category, int] = {category: _RESULTS[TREATMENTS[category].breaker] for category in Category}
"""What answers are to a breaker unless a policy says otherwise."""

_Count = Annotated[StrictInt, Field(ge=1, le=100_000)]
_Few = Annotated[StrictInt, Field(ge=1, le=1000)]


@dataclass(frozen=True, slots=True)
class BreakerPlan:
    """What the layer needs of a policy, made once.

    Arguments:
        settings: what decides.
        name: of these settings in keys; other numbers are another breaker.
        results: what the answers of each category are.
    """

    settings: BreakerSettings
    name: str
    results: Mapping[Category, int]


class BreakerPolicy(Model):
    """The circuit breaker of a provider."""

    off: StrictBool = False
    """Have none."""
    per: Scopes = ("host",)
    """What has a breaker of its own: `host`, `operation`, `account` (several as a list), or `provider` for one in all."""
    consecutive_failures: _Count | None = 10
    """It opens after so many failures in a row."""
    failure_rate: Annotated[StrictInt | StrictFloat, Field(gt=0, le=1)] | None = 0.5
    """It also opens when this share of the calls within `window` failed."""
    window: TimeLimit = 60.0
    """How far back the failure rate looks."""
    min_calls: _Count = 20
    """How many calls the window must hold for its failure rate to mean anything."""
    open_for: TimeLimit = 5.0
    """How long it stays open the first time; a Retry-After of the answer that opened it may make it longer."""
    multiplier: Annotated[StrictInt | StrictFloat, Field(ge=1, le=10)] = 2
    """How much longer each time that it opens again without having closed."""
    max_open: TimeLimit = 120.0
    """The longest that it stays open by itself."""
    longest_retry_after: Duration = 600.0
    """The longest Retry-After that keeps it open; of a longer one this much is believed."""
    jitter: Annotated[StrictInt | StrictFloat, Field(ge=0, le=1)] = 0.1
    """The share that chance adds, so that many processes do not probe together."""
    probes: _Few = 1
    """How many calls are let through at a time to see whether the provider is up again."""
    close_after: _Few = 1
    """How many of `close_window` probes must succeed for it to close."""
    close_window: _Few | None = None
    """Of how many probes; by default `close_after`: all of them must succeed. It opens again as soon as too many failed."""
    probe_lease: TimeLimit = 60.0
    """How long a probe may take before another call may take its place; never less than the call's own timeouts."""
    max_wait: Duration = 0.0
    """How long a call waits for an open breaker instead of being refused."""
    queue: _Count = 1000
    """How many calls wait so, in one process; one more is refused at once."""
    counts: dict[Category, Counted] = {}
    """What differs from the table of categories: `rate_limited: failure`."""
    health: HealthEndpoint | None = None
    """The provider's documented health endpoint, which is asked before a probe."""

    @model_validator(mode="after")
    def _check(self) -> BreakerPolicy:
        if self.consecutive_failures is None and self.failure_rate is None and not self.off:
            raise PydanticCustomError(
                "breaker",
                "without 'consecutive_failures' and 'failure_rate' it never opens; write `off: true` for none",
            )
        if self.max_open < self.open_for:
            raise PydanticCustomError("breaker", "'max_open' is shorter than 'open_for'")
        if self.close_window is not None and self.close_window < self.close_after:
            raise PydanticCustomError("breaker", "'close_window' is smaller than 'close_after'")
        return self

    @cached_property
    def plan(self) -> BreakerPlan:
        """The same, compiled."""
        settings = self.settings
        name = hashlib.blake2b(repr(tuple(settings)).encode(), digest_size=4, person=b"resilience").hexdigest()
        results = {**DOCUMENTED, **{category: _RESULTS[counted] for category, counted in self.counts.items()}}
        return BreakerPlan(settings, name, results)

    @property
    def settings(self) -> BreakerSettings:
        """What decides, as the scripts take it."""
        return BreakerSettings(
            consecutive_failures=self.consecutive_failures or 0,
            failure_rate=self.failure_rate or 0,
            window=self.window,
            min_calls=self.min_calls,
            open_for=self.open_for,
            multiplier=self.multiplier,
            max_open=self.max_open,
            longest_retry_after=self.longest_retry_after,
            jitter=self.jitter,
            probes=self.probes,
            close_after=self.close_after,
            close_window=self.close_window or self.close_after,
        )
