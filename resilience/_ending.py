"""How a call ended, and the type of its error, in the words of listeners, spans and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._outcome import Outcome
    from ._trail import Ended

__all__ = ["ended_by", "error_type"]

_REFUSED = {
    "breaker": "circuit_open",
    "limiter": "rate_limited",
    "concurrency": "concurrency_limited",
    "credits": "credits_exhausted",
}


def ended_by(outcome: Outcome | None) -> Ended:
    """How a call ended.

    Arguments:
        outcome: what came of it; `None` if it was interrupted.
    """
    if outcome is None:
        return "interrupted"
    if outcome.refusal is not None:
        return "rejected"
    return "success" if outcome.verdict.category == "success" else "failure"


def error_type(ended: str, layer: str | None, category: str | None) -> str | None:
    """The `error.type` of the semantic conventions: what its caller has cancelled is no error.

    Arguments:
        ended: how the call ended.
        layer: the layer of ours that refused it, if one has.
        category: what its last answer means, if there was one.
    """
    if ended == "rejected":
        return "_OTHER" if layer is None else _REFUSED.get(layer, "_OTHER")
    return str(category) if ended == "failure" and category is not None else None
