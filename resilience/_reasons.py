"""Why a call was refused, waited or was not sent again, in one word of a closed set: the trail has it in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._instruments import OTHER

if TYPE_CHECKING:
    from ._modes import Layer

__all__ = ["reason_of_refusal", "reason_of_stop", "source_of_wait"]

_Marks = tuple[tuple[str, str], ...]
"""What stands in a sentence, and the word for it; the first that is there speaks."""
_REFUSALS: dict[Layer, _Marks] = {
    "breaker": (
        ("the health endpoint ", "health"),
        ("the breaker has been half open", "half_open"),
        ("the breaker has been open", "open"),
        ("the breaker has been isolated", "isolated"),
    ),
    "limiter": (
        (" calls are waiting already: ", "queue_full"),
        (", which would pass the deadline", "deadline"),
        (", longer than its max_wait", "max_wait"),
    ),
    "concurrency": (
        (" calls are waiting already: ", "queue_full"),
        ("no call ended before the deadline", "deadline"),
        ("no call ended within ", "max_wait"),
    ),
    "credits": (
        ("the provider has shut ", "latch"),
        ("the store of its budgets is away", "store_away"),
        ("nobody knows what ", "unpriced"),
        ("the account's balance", "balance"),
        ("the budget ", "budget"),
    ),
    "retry_budget": (("the retry budget is empty", "empty"),),
}
_STOPS: _Marks = (
    ("refused by the ", "refused"),
    ("max_attempts (", "max_attempts"),
    ("the retry budget is empty", "budget"),
    ("retries are switched off", "off"),
    ("retries are only observed", "observed"),
    ("the client is closed", "closed"),
    ("the client was closed", "closed"),
    ("the caller is retrying already", "caller"),
    (" is not retried", "not_retryable"),
    ("the call forbids its repetition", "not_repeatable"),
    (" be repeated after ", "not_repeatable"),
    ("the request's body cannot be sent again", "not_repeatable"),
    (", longer than longest_wait", "too_long"),
    ("the deadline", "deadline"),
)
_SOURCES = {"back-off": "backoff", "the breaker": "breaker", "the limiter": "limit"}


def reason_of_refusal(layer: Layer, reason: str) -> str:
    """Why a layer did not let a call through.

    Arguments:
        layer: which.
        reason: in words.
    """
    return _word(_REFUSALS.get(layer, ()), reason)


def reason_of_stop(stopped: str) -> str:
    """Why a call was not sent again.

    Arguments:
        stopped: as its trail has it.
    """
    return _word(_STOPS, stopped)


def source_of_wait(layer: Layer, source: str) -> str:
    """Who asked for a wait.

    Arguments:
        layer: the one that waits.
        source: as the trail has it.
    """
    if layer == "retry":
        # Else it is a header or a field of the answer.
        return _SOURCES.get(source, "provider")
    if layer == "breaker":
        return "health" if source.startswith("the health endpoint ") else "breaker"
    return "limit"


def _word(marks: _Marks, text: str) -> str:
    return next((word for mark, word in marks if mark in text), OTHER)
