"""How long to wait before another attempt when the provider does not say: exponential, with jitter."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from ._model import Model
from ._units import Duration

__all__ = ["Backoff"]

Jitter = Literal["none", "equal", "full", "decorrelated"]
_SHARES: dict[str, float] = {"none": 0.0, "equal": 0.5, "full": 1.0}


class Backoff(Model):
    """Waits that grow: `initial`, then `multiplier` times as long each, at most `max`; or a fixed range `between`."""

    initial: Duration = 1.0
    """The base of the first wait."""
    multiplier: Annotated[StrictInt | StrictFloat, Field(ge=1, le=10)] = 2
    """How many times longer each following base is."""
    max: Duration = 30.0
    """No base is longer than this."""
    jitter: Jitter | Annotated[StrictInt | StrictFloat, Field(ge=0, le=1)] = "full"
    """What is drawn by chance, so that many clients do not come back together: `full` (from nothing up to the base),
    `equal` (from half of it), `none`, `decorrelated` (from `initial` up to three times the last wait), or the share of
    the base that chance may take off, as a number from 0 to 1."""
    between: tuple[Duration, Duration] | None = None
    """Every wait is drawn evenly from this range, as in "wait 30-60 seconds"."""

    @model_validator(mode="after")
    def _agrees(self) -> Backoff:
        if self.between is not None:
            if self.model_fields_set != {"between"}:
                raise PydanticCustomError("backoff", "'between' is a whole back-off; remove the other keys")
            if self.between[0] > self.between[1]:
                raise PydanticCustomError("backoff", "'between' begins with the shorter wait")
        elif self.initial > self.max:
            raise PydanticCustomError("backoff", "'initial' is longer than 'max'")
        return self

    def wait(self, retry: int, previous: float | None, chance: float) -> float:
        """Seconds to wait before the given retry.

        Arguments:
            retry: 0 before the second attempt, 1 before the third, and so on.
            previous: the last wait of this call in seconds, for `decorrelated`.
            chance: a number from 0 to 1.
        """
        if self.between is not None:
            shortest, longest = self.between
            return shortest + chance * (longest - shortest)
        if self.jitter == "decorrelated":
            # AWS, "Exponential backoff and jitter" (2015): min(cap, uniform(base, previous * 3)).
            longest = max(self.initial, 3 * (self.initial if previous is None else previous))
            return min(self.max, self.initial + chance * (longest - self.initial))
        # Past 2^64 times the first wait `max` has long been reached; the power must not overflow.
        base = min(self.initial * float(self.multiplier) ** min(retry, 64), self.max)
        share = _SHARES[self.jitter] if isinstance(self.jitter, str) else self.jitter
        return base * (1 - share * chance)
