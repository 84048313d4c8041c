"""When and how often calls are sent again: what a policy may say of it, and what follows for one answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field, StrictFloat, StrictInt

from ._backoff import Backoff
from ._categories import Category
from ._model import Model
from ._retry_budget import RetryBudget
from ._units import Duration, seconds_text
from ._wait_hints import WaitHint, WaitHints

if TYPE_CHECKING:
    from ._outcome import Verdict
    from ._reasons import EndReason, WaitReason

__all__ = ["Again", "Decision", "PolicyRetry", "Retry", "Stop", "decide", "resolve"]

# A shorter wait (a zero, a date in the past, a nanosecond) is no reason to hammer: then the back-off stands.
_SHORTEST_WAIT = 0.01


class Retry(Model):
    """When and how often a call is sent again. In a rule, an operation or a category only the keys given there differ."""

    max_attempts: Annotated[StrictInt, Field(ge=1, le=20)] = 3
    """How often a call is sent in all, the first time included."""
    backoff: Backoff = Backoff.model_construct()
    """The wait where the provider does not say how long."""
    wait: WaitHints = (WaitHint.model_construct(header="Retry-After"),)
    """Where the provider says how long to wait, in order of precedence."""
    longest_wait: Duration = 60.0
    """The longest single wait that a call bears."""
    too_long: Literal["give_back", "back_off"] = "give_back"
    """When the provider asks for more than `longest_wait`: hand the answer back at once, or (`back_off`) take the
    request for a mistake and wait as if it had not been made."""
    above_backoff: Duration | None = None
    """Keep the provider's wait within the back-off and this much more, as the AWS SDKs do with theirs."""
    spread: Annotated[StrictInt | StrictFloat, Field(ge=0, le=1)] = 0.1
    """The share that chance adds to the provider's wait, so that many clients do not come back together; never less
    than the provider asked for."""


class PolicyRetry(Retry):
    """The same for all calls of a provider."""

    categories: dict[Category, Retry] = {}
    """What differs for answers of a category."""
    budget: RetryBudget = RetryBudget.model_construct()
    """How many of all the provider's calls may be sent again."""


def resolve(base: Retry, *overrides: Retry | None) -> Retry:
    """The base with the keys that the overrides give, the last one first."""
    given = {name: getattr(override, name) for override in overrides if override for name in override.model_fields_set}
    return base.model_copy(update=given) if given else base


class Again(NamedTuple):
    """The call is sent again, after so many seconds."""

    wait: float
    why: WaitReason
    """Who asked for the wait, in one word."""
    source: str
    """The same in words for people."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The call ends here."""

    why: EndReason
    """In one word."""
    reason: str
    """In words for people."""
    later: float | None = field(default=None, compare=False)
    """Seconds after which it might be sent again, where that is too long for this call."""


Decision = Again | Stop


def decide(
    retry: Retry,
    verdict: Verdict,
    *,
    attempt: int,
    left: float | None,
    previous: float | None,
    chance: float,
) -> Decision:
    """Whether to send again after this verdict, and when.

    Arguments:
        retry: the settings that apply to this answer.
        verdict: what the last answer means.
        attempt: how often the call has been sent, from 1.
        left: seconds to the deadline, `None` without one.
        previous: the last wait of this call in seconds.
        chance: a number from 0 up to 1.
    """
    if attempt >= retry.max_attempts:
        return Stop("max_attempts", f"max_attempts ({retry.max_attempts}) reached")
    wait = retry.backoff.wait(attempt - 1, previous, chance)
    why: WaitReason = "backoff"
    source = "back-off"
    asked, named = verdict.retry_after or 0.0, verdict.retry_after_source or "the answer"
    if asked < _SHORTEST_WAIT:
        wait = max(wait, asked)
    elif retry.above_backoff is not None:
        wait, why, source = min(max(asked, wait), wait + retry.above_backoff), "provider", named
    elif asked <= retry.longest_wait:
        wait = max(asked, min(asked * (1 + retry.spread * chance), retry.longest_wait))
        why, source = "provider", named
    elif retry.too_long == "give_back":
        bound = f"longer than longest_wait ({retry.longest_wait:.0f}s)"
        return Stop("too_long", f"{named} asks for {asked:.0f}s, {bound}", asked)
    if left is not None and left <= 0:
        return Stop("deadline", "the deadline has passed")
    if left is not None and wait >= left:
        return Stop(
            "deadline",
            f"a wait of {seconds_text(wait)} ({source}) would pass the deadline, {seconds_text(left)} away",
            wait,
        )
    return Again(wait, why, source)
