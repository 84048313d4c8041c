"""When calls to a provider that is down are held back, and how it is found to be up again: what a policy may say of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from ._categories import Category
from ._model import Model
from ._scopes import Scopes
from ._units import Duration, TimeLimit

__all__ = ["BreakerPolicy", "Counted"]

Counted = Literal["success", "failure", "ignore"]
"""What an answer is to a breaker."""

_Count = Annotated[StrictInt, Field(ge=1, le=100_000)]


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
    """How much longer each time that a probe fails."""
    max_open: TimeLimit = 120.0
    """The longest that it stays open."""
    jitter: Annotated[StrictInt | StrictFloat, Field(ge=0, le=1)] = 0.1
    """The share that chance adds, so that many processes do not probe together."""
    probes: _Count = 1
    """How many calls are let through at a time to see whether the provider is up again."""
    close_after: _Count = 1
    """How many of the last `close_window` probes must have succeeded for it to close."""
    close_window: _Count | None = None
    """How many probes that looks at; by default `close_after`: all of them must succeed."""
    probe_lease: TimeLimit = 60.0
    """How long a probe may take before another call may take its place."""
    max_wait: Duration = 0.0
    """How long a call waits for an open breaker instead of being refused."""
    counts: dict[Category, Counted] = {}
    """What differs from the table of categories: `rate_limited: failure`."""

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
