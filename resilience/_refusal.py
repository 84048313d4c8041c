"""What our own layers do not let through: why, when they would, and the outcome that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._categories import Category
from ._library import ErrorKind
from ._outcome import Outcome, Verdict
from ._trail import Refused

if TYPE_CHECKING:
    from ._library import Library
    from ._modes import Layer
    from ._outcome import Exchange
    from ._reasons import RefusalReason

__all__ = ["MEANINGS", "Refusal", "closed", "refused", "story_of"]

MEANINGS: dict[Layer, tuple[tuple[Category, ...], ...]] = {
    "limiter": ((Category.RATE_LIMITED,), (Category.CONCURRENCY_LIMITED,)),
    "concurrency": ((Category.CONCURRENCY_LIMITED,), (Category.RATE_LIMITED,)),
    "credits": ((Category.CREDITS_EXHAUSTED,), (Category.QUOTA_EXHAUSTED,), (Category.RATE_LIMITED,)),
    "breaker": ((Category.UPSTREAM_UNAVAILABLE, Category.OVERLOADED),),
}
"""What a refusal of each layer means in the categories of answers, the best first: not every provider has words for all.
The retry layer and its budget are not here: they refuse nothing, they hand the provider's own answer back."""


class Refusal(NamedTuple):
    """A call that one of our own layers did not let through.

    Arguments:
        layer: which one.
        reason: why, in words.
        retry_after: seconds until it would be let through; `None` where nobody can know.
        key: the state that decided, as `resilience status` shows it.
    """

    layer: Layer
    reason: str
    retry_after: float | None
    key: str = ""

    @property
    def story(self) -> str:
        """Why the call ended, in words for people."""
        return story_of(self)


def story_of(refused: Refusal | Refused) -> str:
    """The same of what stands in a trail.

    Arguments:
        refused: which layer did not let the call through, and why.
    """
    return f"refused by the {refused.layer}: {refused.reason}"


def refused(
    exchange: Exchange,
    *,
    layer: Layer,
    why: RefusalReason,
    reason: str,
    retry_after: float | None,
    key: str = "",
    scope: str = "",
) -> Outcome:
    """The outcome of a call that a layer does not let through; the trail is told.

    Arguments:
        exchange: the call.
        layer: the layer that refuses it.
        why: in one word.
        reason: in words: they become the message of the reply or the error, so they name no credential.
        retry_after: seconds until it would be let through; `None` where nobody can know.
        key: the state that decided.
        scope: what it counts apart, where that is a budget.
    """
    exchange.record(Refused(layer, why, reason, retry_after, scope=scope))
    verdict = Verdict(
        MEANINGS[layer][0][0],
        retryable=False,
        message=reason,
        retry_after=retry_after,
        retry_after_source=f"the {layer.replace('_', ' ')}",
        operation=exchange.operation,
    )
    return Outcome(verdict, refusal=Refusal(layer, reason, retry_after, key))


def closed(exchange: Exchange, library: Library, waited: str, verdict: Verdict | None = None) -> Outcome:
    """The outcome of a call whose client was closed while the call waited; the trail is told.

    Arguments:
        exchange: the call.
        library: of the client; the error is the one that its closed clients raise.
        waited: what for.
        verdict: on the answer that came before, if one did.
    """
    exchange.trail.stop("closed", f"the client was closed while this call waited {waited}")
    nothing_sent = Verdict(Category.NETWORK_ERROR, retryable=False, error=ErrorKind.OTHER, operation=exchange.operation)
    return Outcome(verdict or nothing_sent, error=library.client_closed(exchange.trail.stopped))
