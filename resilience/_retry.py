"""Whether a call is sent again, and after how long: the only loop in the chain.

attempt ──▶ good, or not worth another ───────────────────────────────▶ the answer
   ▲  │     worth another, and the request may be sent again
   │  │        ├─ attempts, deadline or patience used up, an inner
   │  │        │  layer would let nothing through for longer, or the
   │  │        │  retry budget is empty ───────────────────────────────▶ the answer, marked as final
   └──┼ wait ◀─┘
      └───▶ refused by an inner layer, nothing was sent ──────────────▶ the last answer, else the refusal
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._body import set_aside
from ._caller import attempts_left
from ._categories import Category
from ._fields import fields_of
from ._hub import tell_retry
from ._modes import Mode
from ._refusal import closed
from ._repeatable import why_not_again
from ._retry_allowance import Purse
from ._retry_policy import Again, Decision, Retry, Stop, decide
from ._trail import Wait
from ._units import seconds_text

if TYPE_CHECKING:
    from ._modes import Layer
    from ._outcome import Call, Exchange, Outcome, Verdict
    from ._refusal import Refusal
    from ._runtime import Runtime

__all__ = ["Ahead", "retry_layer"]

_OFF = Stop("off", "retries are switched off")
_OBSERVED = Stop("observed", "retries are only observed")
_SUCCESS = Stop("success", "success")

Ahead = Callable[["Exchange", "Runtime"], Coroutine[Any, Any, float]]
"""Asks an inner layer for how many seconds it would hold the next attempt back, and takes nothing of it."""
_Asked = tuple[tuple["Layer", Ahead], ...]


def retry_layer(inner: Call, runtime: Runtime, ahead: Mapping[Layer, Ahead] | None = None) -> Call:
    """Send again what may be sent again, as the policy says.

    Arguments:
        inner: the layers that each attempt goes through.
        runtime: where waiting happens.
        ahead: the inner layers that are asked before an answer is let go of: this layer waits for the longest of them,
            and where that is too long the answer is handed back at once.
    """
    asked = tuple((ahead or {}).items())

    async def retry_call(exchange: Exchange) -> Outcome:
        mode = exchange.settings.modes.get("retry", Mode.ENFORCE)
        if mode is not Mode.ENFORCE:
            return await _once(inner, exchange, mode, asked, runtime)
        purse = Purse(exchange, runtime)
        attempt = 0
        previous: float | None = None
        kept: Outcome | None = None
        while True:
            attempt += 1
            exchange.is_under_way = False
            try:
                outcome = await inner(exchange)
            except BaseException:
                if not exchange.is_under_way:
                    # Cancelled in a line within: it was not sent again.
                    purse.give_back()
                raise
            if outcome.refusal is not None:
                purse.give_back()
                return _end(exchange, kept or outcome, _refused(outcome.refusal))
            if exchange.trail.why == "closed":
                # While it waited within: nothing was sent that anybody could judge.
                purse.give_back()
                return outcome
            purse.pay(outcome.verdict, attempt)
            decision = _decision(exchange, outcome.verdict, attempt, previous, runtime)
            if isinstance(decision, Again):
                decision = await _plan(exchange, outcome, decision, asked=asked, runtime=runtime, purse=purse)
            if isinstance(decision, Stop):
                return _end(exchange, outcome, decision)
            previous = decision.wait
            place = exchange.begin_wait(Wait(decision.wait, "retry", decision.why, decision.source))
            began, waited = runtime.clock.now(), False
            try:
                tell_retry(exchange, decision.wait, decision.why, decision.source)
                kept = await _keep(exchange, outcome, runtime)
                waited = await runtime.sleep(decision.wait, exchange.closing)
            finally:
                if not waited:
                    purse.give_back()
                exchange.end_wait(place, decision.wait if waited else min(decision.wait, runtime.clock.now() - began))
            if not waited:
                return closed(exchange, runtime.library, "to be sent again", outcome.verdict)

    return retry_call


async def _once(inner: Call, exchange: Exchange, mode: Mode, asked: _Asked, runtime: Runtime) -> Outcome:
    """Send once; where the layer observes, the trail says what would have followed."""
    outcome = await inner(exchange)
    if exchange.trail.why == "closed":
        return outcome
    decision: Decision
    if outcome.refusal is not None:
        decision = _refused(outcome.refusal)
    elif mode is Mode.OFF:
        decision = _SUCCESS if outcome.verdict.category is Category.SUCCESS else _OFF
    else:
        decision = _decision(exchange, outcome.verdict, 1, None, runtime)
        if isinstance(decision, Again):
            decision = await _plan(exchange, outcome, decision, asked=asked, runtime=runtime, purse=None)
        if isinstance(decision, Again):
            exchange.record(Wait(decision.wait, "retry", decision.why, decision.source, observed=True))
            decision = _OBSERVED
    return _stopped(exchange, outcome, decision)


def _decision(exchange: Exchange, verdict: Verdict, attempt: int, previous: float | None, runtime: Runtime) -> Decision:
    """What the policy, the call and its caller say."""
    if not verdict.retryable:
        return (
            _SUCCESS
            if verdict.category is Category.SUCCESS
            else Stop("not_retryable", f"{verdict.category} is not retried")
        )
    request, options = exchange.request, exchange.options
    if options.repeatable is False:
        return Stop("not_repeatable", "the call forbids its repetition")
    repeatable = options.repeatable or exchange.repeatable
    if (why := why_not_again(verdict, method=request.method, repeatable=repeatable)) is not None:
        return Stop("not_repeatable", why)
    # SDKs generated by Stainless count their own retries in this header: two loops would multiply.
    counts = [value for _, name, value in fields_of(request.headers) if name == b"x-stainless-retry-count"]
    if counts not in ([], [b"0"]):
        outer = request.headers["x-stainless-retry-count"][:4]
        return Stop("caller", f"the caller is retrying already (x-stainless-retry-count: {outer})")
    left = _left(exchange, runtime)
    retry = _settings(exchange, verdict)
    return decide(retry, verdict, attempt=attempt, left=left, previous=previous, chance=runtime.clock.random())


def _settings(exchange: Exchange, verdict: Verdict) -> Retry:
    retry = exchange.policy.classifier.retry_for(verdict)
    most = own = exchange.options.max_attempts or retry.max_attempts
    if (left := attempts_left()) is not None:
        most = min(own, left)
    return retry if most == retry.max_attempts else retry.model_copy(update={"max_attempts": most})


def _left(exchange: Exchange, runtime: Runtime) -> float | None:
    return None if exchange.deadline is None else exchange.deadline - runtime.clock.now()


async def _plan(
    exchange: Exchange, outcome: Outcome, planned: Again, *, asked: _Asked, runtime: Runtime, purse: Purse | None
) -> Decision:
    """What the client, the layers ahead, the request's body and the budget say; without a purse only the first two."""
    if exchange.closing.is_set():
        return Stop("closed", "the client is closed")
    decision = await _look_ahead(exchange, outcome.verdict, planned, asked, runtime)
    if purse is None or isinstance(decision, Stop):
        return decision
    if exchange.replay is not None and not exchange.replay.rewind():
        return Stop("not_repeatable", "the request's body cannot be sent again: it is no longer whole")
    empty = await purse.withdraw(outcome.verdict)
    return decision if empty is None else Stop("budget", empty)


async def _look_ahead(
    exchange: Exchange, verdict: Verdict, decision: Again, asked: _Asked, runtime: Runtime
) -> Decision:
    """The longest of all waits, since they pass together; the answer is handed back where that is too long."""
    for layer, look in asked:
        seconds = await look(exchange, runtime)
        if seconds <= decision.wait:
            continue
        state = "the breaker is open" if layer == "breaker" else f"the {layer} lets no call through"
        # Infinity: until somebody closes it by hand.
        state += f" for another {seconds_text(seconds)}" if math.isfinite(seconds) else " until further notice"
        left, longest = _left(exchange, runtime), _settings(exchange, verdict).longest_wait
        if seconds > longest:
            return Stop("too_long", f"{state}, longer than longest_wait ({longest:.0f}s)", seconds)
        if left is not None and seconds >= left:
            return Stop("deadline", f"{state}, and the deadline is {seconds_text(left)} away", seconds)
        decision = Again(seconds, "breaker" if layer == "breaker" else "limit", f"the {layer}")
    return decision


async def _keep(exchange: Exchange, outcome: Outcome, runtime: Runtime) -> Outcome | None:
    """Give the connection back before the wait, so that it serves other calls meanwhile; keep the answer if it is small.

    Should no further attempt get through, this answer is the provider's last word.
    """
    if outcome.response is None:
        # The error goes into an outcome that no frame of its traceback knows.
        return replace(outcome, error=outcome.forget_error())
    return outcome if await set_aside(runtime, exchange, outcome.response) else None


def _refused(refusal: Refusal) -> Stop:
    return Stop("refused", refusal.story, refusal.retry_after)


def _end(exchange: Exchange, outcome: Outcome, decision: Stop) -> Outcome:
    """Tell SDKs that this loop has done what can be done (the header that those generated by Stainless obey)."""
    _stopped(exchange, outcome, decision)
    response = outcome.response
    if response is not None and response.status_code >= 400 and not _leaves_it_to_others(exchange, decision):
        response.headers["x-should-retry"] = "false"
    return outcome


def _stopped(exchange: Exchange, outcome: Outcome, decision: Stop) -> Outcome:
    """Have the trail say why the call ends, and when calling again might help: what the layers know, else the answer."""
    wait = decision.later
    if wait is None and decision.why not in {"success", "refused"}:
        wait = outcome.verdict.retry_after
    exchange.trail.stop(decision.why, decision.reason, wait)
    return outcome


def _leaves_it_to_others(exchange: Exchange, decision: Stop) -> bool:
    """Whether an SDK has more to say: its own loop has begun, or it knows an endpoint that its policy does not."""
    if decision.why == "caller":
        return True
    return decision.why == "not_repeatable" and exchange.operation is None and exchange.options.repeatable is None
