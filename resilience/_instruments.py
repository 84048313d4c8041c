"""The table of metrics: name, kind, unit, what is counted and by which attributes; dashboard, alerts and docs are made from it.

An attribute has a closed set of values, or it is open and has no more than `most`; what comes after them is `_OTHER`. So
however many names an application and a provider invent, the number of series has a bound: `most_series`.
"""

from __future__ import annotations

from math import prod
from typing import Literal, NamedTuple, get_args

from ._categories import Category
from ._modes import LAYERS
from ._reasons import EndReason, RefusalReason, WaitReason
from ._trail import Ended

__all__ = ["ATTRIBUTES", "DURATION", "INSTRUMENTS", "MOST_SERIES", "OTHER", "Attribute", "Instrument", "most_series"]

Kind = Literal["counter", "histogram", "observable_up_down_counter", "observable_gauge"]
OTHER = "_OTHER"
"""In place of a value that is one too many, as the semantic conventions write it."""
MOST_SERIES = 1000
"""How many sets of attributes of one instrument keep their open ones."""
DURATION = "http.client.request.duration"
"""The metric of the semantic conventions, made only where opentelemetry-instrumentation-httpx does not make it."""
# The bounds that the conventions name for it, and two for calls that wait long.
_HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_SECONDS = (*_HTTP_SECONDS, 30.0, 60.0)
_RETRIES = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0)
_CATEGORIES = tuple(str(each) for each in Category)


class Attribute(NamedTuple):
    """What a metric is told apart by.

    Arguments:
        name: of the conventions, or within this library's namespace.
        description: for people.
        values: all that there are; none where it is open.
        most: how many values an open one has.
    """

    name: str
    description: str
    values: tuple[str | bool, ...] = ()
    most: int = 0


class Instrument(NamedTuple):
    """One metric.

    Arguments:
        name: of the conventions, or within this library's namespace.
        kind: of the OpenTelemetry instrument.
        unit: as UCUM has it.
        description: for people.
        attributes: all that it can have, in the order in which they are recorded.
        bounds: of a histogram's buckets, which a view may change.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...]
    bounds: tuple[float, ...] = ()


ATTRIBUTES: dict[str, Attribute] = {
    each.name: each
    for each in (
        Attribute("resilience.provider", "the policy's name", most=200),
        Attribute("resilience.operation", "the policy's name for what is called; absent where it has none", most=500),
        Attribute("resilience.outcome", "how the call ended: `rejected` by one of our layers, without an answer; "
                  "`interrupted` by its caller", get_args(Ended)),
        Attribute("resilience.category", "what the answer means", _CATEGORIES),
        Attribute("resilience.layer", "which layer decides or waits", LAYERS),
        Attribute("resilience.reason", "why, in one word",
                  get_args(RefusalReason)),
        Attribute("resilience.observed", "whether the layer only observes: nobody was refused", (False, True)),
        Attribute("resilience.wait.source", "who asked for the wait: `provider` is an answer that said how long",
                  get_args(WaitReason)),
        Attribute("resilience.retry.decision", "sent again, or why not",
                  ("retried", *(each for each in get_args(EndReason) if each not in {"success", "interrupted"}))),
        Attribute("resilience.circuit_breaker.state", "of a breaker", ("closed", "half_open", "open", "isolated")),
        Attribute("resilience.circuit_breaker.previous_state", "the one before",
                  ("closed", "half_open", "open", "isolated")),
        Attribute("resilience.limit", "the policy's name of a limit", most=300),
        Attribute("resilience.budget", "its name in the configuration; `balance` is the provider's own word", most=100),
        Attribute("resilience.credits.unit", "what is counted: credits, USD, requests", most=30),
        Attribute("resilience.credits.outcome", "how it is known: `unanswered` where nobody saw the answer",
                  ("settled", "failed", "job", "unanswered")),
        Attribute("resilience.scope", "what is shut", ("account", "operation")),
        Attribute("resilience.store.url", "where the store is, without credentials", most=20),
        Attribute("resilience.store.state", "`alone`: it is away, and this process decides by itself", ("shared", "alone")),
        Attribute("error.type", "what went wrong; absent where nothing did", most=100),
        Attribute("http.request.method", "of the request",
                  ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")),
        Attribute("http.response.status_code", "of the answer; absent where none came", most=100),
        Attribute("server.address", "the host", most=50),
        Attribute("server.port", "its port", most=20),
    )
}  # fmt: skip

_P, _O = "resilience.provider", "resilience.operation"
_BUDGET = (_P, "resilience.budget", "resilience.credits.unit")
_OF_BUDGETS = (
    "of budgets in this process's stores; of one with several parts (accounts, tags), of that with the least left"
)
INSTRUMENTS: dict[str, Instrument] = {
    each.name: each
    for each in (
        Instrument("resilience.call.duration", "histogram", "s",
                   "How long calls take until their answer is handed on, waits and retries included.",
                   (_P, _O, "resilience.outcome", "error.type"), _SECONDS),
        Instrument("resilience.call.attempts", "counter", "{attempt}", "How often requests were sent.",
                   (_P, _O, "resilience.category", "http.response.status_code")),
        Instrument("resilience.call.retries", "histogram", "{retry}",
                   "How often a call was sent again, of those that were.", (_P, _O, "resilience.outcome"), _RETRIES),
        Instrument("resilience.call.wait", "histogram", "s", "How long calls wait, each time that they do.",
                   (_P, _O, "resilience.layer", "resilience.wait.source"), _SECONDS),
        Instrument("resilience.call.queue", "observable_up_down_counter", "{call}",
                   "How many calls of this process stand in line now.", (_P, "resilience.layer", "resilience.limit")),
        Instrument("resilience.retry.decisions", "counter", "{decision}",
                   "Why calls whose answer was not good were sent again, or were not.",
                   (_P, _O, "resilience.category", "resilience.retry.decision")),
        Instrument("resilience.refusals", "counter", "{refusal}", "What layers did not let through, or would not have.",
                   (_P, _O, "resilience.layer", "resilience.reason", "resilience.observed")),
        Instrument("resilience.circuit_breaker.transitions", "counter", "{transition}", "Changes of state of breakers.",
                   (_P, "resilience.circuit_breaker.state", "resilience.circuit_breaker.previous_state")),
        Instrument("resilience.circuit_breaker.status", "observable_up_down_counter", "{breaker}",
                   "How many breakers are in a state, of those that were used lately.",
                   (_P, "resilience.circuit_breaker.state")),
        Instrument("resilience.rate_limiter.pauses", "counter", "{pause}", "How often answers have paused a limit.",
                   (_P, "resilience.limit")),
        Instrument("resilience.credits.charged", "counter", "{unit}",
                   "What calls of this process have cost, in the provider's unit.",
                   (_P, _O, "resilience.credits.unit", "resilience.credits.outcome")),
        Instrument("resilience.credits.limit", "observable_gauge", "{unit}", f"How much may be spent, {_OF_BUDGETS}.",
                   _BUDGET),
        Instrument("resilience.credits.spent", "observable_gauge", "{unit}", f"What is spent, {_OF_BUDGETS}.", _BUDGET),
        Instrument("resilience.credits.reserved", "observable_gauge", "{unit}",
                   f"What calls under way may still cost, {_OF_BUDGETS}.", _BUDGET),
        Instrument("resilience.credits.left", "observable_gauge", "{unit}",
                   f"What is neither spent nor reserved, {_OF_BUDGETS}.", _BUDGET),
        Instrument("resilience.credits.warnings", "counter", "{warning}", "How often a budget began to be used up.",
                   _BUDGET),
        Instrument("resilience.credits.latches", "counter", "{latch}",
                   "How often an answer has shut an account, or an operation of it.", (_P, "resilience.scope")),
        Instrument("resilience.credits.latched", "observable_up_down_counter", "{latch}",
                   "How many accounts or operations are shut now.", (_P, "resilience.scope")),
        Instrument("resilience.store.fallbacks", "counter", "{fallback}", "How often a shared store was lost.",
                   ("resilience.store.url",)),
        Instrument("resilience.store.status", "observable_up_down_counter", "1",
                   "1 for the state that a shared store is in, as this process sees it, 0 for the other.",
                   ("resilience.store.url", "resilience.store.state")),
        Instrument(DURATION, "histogram", "s", "Duration of HTTP client requests.",
                   ("http.request.method", "server.address", "server.port", "http.response.status_code", "error.type"),
                   _HTTP_SECONDS),
    )
}  # fmt: skip


def most_series(instrument: Instrument) -> int:
    """How many series an instrument can have, whatever happens: those with open attributes, and those that came after."""
    return MOST_SERIES + prod(len(ATTRIBUTES[name].values) + 2 for name in instrument.attributes)
