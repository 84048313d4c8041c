"""How many calls of a provider may be sent again, all its calls together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool, StrictFloat, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from ._model import Model
from ._units import TimeLimit

__all__ = ["RetryBudget"]


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
