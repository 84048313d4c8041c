"""Whether a call is sent again, and after how long: the only loop in the chain.

attempt ──▶ good, or not worth another ───────────────────────────────▶ the answer
   ▲        worth another, and the request may be sent again
   │           ├─ attempts, deadline or patience used up ──────────────▶ the answer, marked as final
   └── wait ◀──┘
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt

from ._backoff import Backoff
from ._body import discard
from ._categories import TREATMENTS, Category, Resend
from ._library import NEVER_SENT
from ._model import Model
from ._outcome import Outcome
from ._retry_budget import RetryBudget
from ._trail import Wait
from ._units import Duration
from ._wait_hints import WaitHint, WaitHints

if TYPE_CHECKING:
    from ._outcome import Call, Exchange, Verdict
    from ._runtime import Runtime

__all__ = [
    "IDEMPOTENT",
    "Decision",
    "PolicyRetry",
    "Repeatable",
    "Retry",
    "decide",
    "may_send_again",
    "resolve",
    "retry_layer",
    "why_not_again",
]

# RFC 9110 section 9.2.2: sending one of these twice has the effect of sending it once.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})


# A shorter wait (a zero, a date in the past, a nanosecond) is no reason to hammer: then the back-off stands.
_SHORTEST_WAIT = 0.01


class Retry(Model):
    """When and how often a call is sent again. In a rule, an operation or a category only the keys given there differ."""

    max_attempts: Annotated[StrictInt, Field(ge=1, le=20)] = 3
    """How often a call is sent in all, the first time included."""
    backoff: Backoff = Backoff()
    """The wait where the provider does not say how long."""
    wait: WaitHints = (WaitHint(header="Retry-After"),)
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
    budget: RetryBudget = RetryBudget()
    """How many of all the provider's calls may be sent again."""


def resolve(base: Retry, *overrides: Retry | None) -> Retry:
    """The base with the keys that the overrides give, the last one first."""
    given = {name: getattr(override, name) for override in overrides if override for name in override.model_fields_set}
    return base.model_copy(update=given) if given else base


@dataclass(frozen=True, slots=True)
class Decision:
    """`wait` in seconds before the next attempt, and who asked for it; or `None`, and why the call ends here."""

    wait: float | None
    reason: str


_SUCCESS = Decision(None, "success")


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
        return Decision(None, f"max_attempts ({retry.max_attempts}) reached")
    wait = retry.backoff.wait(attempt - 1, previous, chance)
    source = "back-off"
    asked, named = verdict.retry_after or 0.0, verdict.retry_after_source or "the answer"
    if asked < _SHORTEST_WAIT:
        wait = max(wait, asked)
    elif retry.above_backoff is not None:
        wait, source = min(max(asked, wait), wait + retry.above_backoff), named
    elif asked <= retry.longest_wait:
        wait, source = max(asked, min(asked * (1 + retry.spread * chance), retry.longest_wait)), named
    elif retry.too_long == "give_back":
        bound = f"longer than longest_wait ({retry.longest_wait:.0f}s)"
        return Decision(None, f"{named} asks for {asked:.0f}s, {bound}")
    if left is not None and left <= 0:
        return Decision(None, "the deadline has passed")
    if left is not None and wait >= left:
        return Decision(None, f"a wait of {wait:.3g}s ({source}) would pass the deadline, {left:.3g}s away")
    return Decision(wait, source)


Repeatable = StrictBool | Literal["answered"]
"""Whether sending the same request twice is harmless; `answered`: only after an answer that says so, not after silence."""


def may_send_again(verdict: Verdict, *, method: str, repeatable: Repeatable | None) -> bool:
    """Whether a request may be sent again after this verdict.

    Arguments:
        verdict: what the last answer means.
        method: the request's method.
        repeatable: what the operation or the call declares, `None` if neither does.
    """
    if verdict.error in NEVER_SENT:
        return True
    resend = TREATMENTS[verdict.category].resend
    if resend is Resend.ANY or (resend is Resend.DOCUMENTED and verdict.rule is not None):
        # Not processed, so nothing is repeated.
        return True
    if repeatable is None:
        return method in IDEMPOTENT
    return verdict.error is None if repeatable == "answered" else repeatable


def why_not_again(verdict: Verdict, *, method: str, repeatable: Repeatable | None) -> str | None:
    """Why such a request is not sent again after this verdict, in words; `None` if it may be."""
    if may_send_again(verdict, method=method, repeatable=repeatable):
        return None
    if repeatable == "answered":
        return f"{method} may be repeated after an answer, and none came"
    return f"{method} may not be repeated after {verdict.category}; declare it repeatable if it may"


def retry_layer(inner: Call, runtime: Runtime) -> Call:
    """Send again what may be sent again, as the policy says."""

    async def retry_call(exchange: Exchange) -> Outcome:
        attempt, previous = 0, None
        while True:
            attempt += 1
            outcome = await inner(exchange)
            decision = _decision(exchange, outcome.verdict, attempt, previous, runtime)
            if decision.wait is None:
                exchange.trail.stopped = decision.reason
                _mark_final(outcome)
                return outcome
            closing = exchange.closing
            if closing.is_set():
                exchange.trail.stopped = "the client is closed"
                _mark_final(outcome)
                return outcome
            exchange.trail.events.append(Wait(decision.wait, decision.reason))
            outcome.forget_error()
            if outcome.response is not None:
                # Before the wait, not after it: the connection serves other calls meanwhile.
                await discard(runtime, exchange, outcome.response)
            previous = decision.wait
            if not await runtime.sleep(decision.wait, closing):
                exchange.trail.stopped = "the client was closed while this call waited to be sent again"
                return Outcome(outcome.verdict, error=runtime.library.client_closed(exchange.trail.stopped))

    return retry_call


def _decision(exchange: Exchange, verdict: Verdict, attempt: int, previous: float | None, runtime: Runtime) -> Decision:
    if not verdict.retryable:
        return (
            _SUCCESS if verdict.category is Category.SUCCESS else Decision(None, f"{verdict.category} is not retried")
        )
    request, options = exchange.request, exchange.options
    if options.repeatable is False:
        return Decision(None, "the call forbids its repetition")
    repeatable = options.repeatable or exchange.repeatable
    if (why := why_not_again(verdict, method=request.method, repeatable=repeatable)) is not None:
        return Decision(None, why)
    # SDKs generated by Stainless count their own retries in this header: two loops would multiply.
    outer = request.headers.get("x-stainless-retry-count", "0")
    if outer != "0":
        return Decision(None, f"the caller is retrying already (x-stainless-retry-count: {outer[:4]})")
    retry = exchange.policy.classifier.retry_for(verdict)
    if options.max_attempts is not None:
        retry = retry.model_copy(update={"max_attempts": options.max_attempts})
    left = None if exchange.deadline is None else exchange.deadline - runtime.clock.now()
    decision = decide(retry, verdict, attempt=attempt, left=left, previous=previous, chance=runtime.clock.random())
    if decision.wait is not None and exchange.replay is not None and not exchange.replay.rewind():
        return Decision(None, "the request's body cannot be sent again: it is no longer whole")
    return decision


def _mark_final(outcome: Outcome) -> None:
    """Tell SDKs that this loop has done what can be done (the header that those generated by Stainless obey)."""
    response = outcome.response
    if response is not None and response.status_code >= 400:
        response.headers["x-should-retry"] = "false"
