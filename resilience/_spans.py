"""A call in a tracing backend: a CLIENT span for each attempt, and an INTERNAL one around those of a call that was touched.

The call's own span has no HTTP in it, since a call may be refused without any. It begins when it is touched: before the
first attempt if that has to wait, else with the first retry, and then spans the whole call. Where
opentelemetry-instrumentation-httpx makes spans of the attempts already, those are enriched instead.
"""

from __future__ import annotations

from _thread import start_new_thread
from contextlib import suppress
from sys import maxsize
from typing import TYPE_CHECKING, Any

from ._attempt_span import NAMESPACE, AttemptSpan, parts_of, verdict_attributes
from ._body import Body
from ._ending import ended_by, error_type
from ._enriched import Enriched, is_there, is_traced, may_be_traced
from ._held import hold
from ._telemetry import complain
from ._trail import Attempt, Charged, Refused, Wait
from ._units import seconds_text

if TYPE_CHECKING:
    from ._outcome import Exchange, Outcome
    from ._runtime import Runtime
    from ._telemetry import Tracing
    from ._trail import Trail

__all__ = ["Spans"]

_LONGEST = 200
_MOST_WAITS = 20


class Spans:
    """The spans of one call. Nothing that the application's tracing raises reaches the call.

    Arguments:
        exchange: the call.
        tracing: what the application traces with.
        transport: the client's own.
        parent: the context in which the call is made.
        wall: seconds since 1970, when the call begins.
    """

    __slots__ = ("_attempt", "_began", "_call", "_enriches", "_left_out", "_may_enrich", "_parent", "_tracing")

    def __init__(self, exchange: Exchange, tracing: Tracing, transport: Any, parent: Any, wall: float) -> None:
        self._tracing = tracing
        self._enriches = self._may_enrich = False
        if is_there():
            self._enriches = is_traced(transport)
            self._may_enrich = self._enriches or may_be_traced(transport)
        self._parent = parent
        self._began = wall
        self._call: Any = None
        self._attempt: AttemptSpan | None = None
        self._left_out: tuple[Enriched, Exchange, int] | None = None
        if exchange.settings.spans == "always":
            self._open(exchange)

    def heard(self, exchange: Exchange, happened: Attempt | Wait | Refused | Charged) -> None:
        """Something was written into the trail: what is more than an attempt, and did happen, touches the call."""
        if (
            self._call is None
            and isinstance(happened, (Wait, Refused))
            and not happened.observed
            and exchange.settings.spans == "touched"
        ):
            self._open(exchange)

    def enter(self, exchange: Exchange, runtime: Runtime) -> AttemptSpan | Enriched | None:
        """Begin a span for the attempt that is sent now, and put its context into the headers."""
        try:
            parent = self._within()
            if self._may_enrich:
                return self._enrich(exchange, parent, runtime)
            self._attempt = attempt = AttemptSpan(self._tracing, parent, exchange)
            attempt.enter(exchange.request, parent)
        except Exception:  # noqa: BLE001  tracers, samplers and span processors are the application's
            complain()
            return None
        return attempt

    def answered(self, runtime: Runtime, outcome: Outcome) -> None:
        """Say what an answer means, and end its span with its body."""
        attempt, response = self._over(), outcome.response
        if attempt is None or response is None:
            return
        is_recorded = True
        try:
            is_recorded = attempt.answered(outcome)
        except Exception:  # noqa: BLE001  spans are the application's
            complain()
        # Of a span that nobody records nobody asks for the end.
        if not is_recorded or response.is_closed or _has_come(response.stream):
            attempt.release()
        else:
            hold(runtime, response, attempt)

    def unanswered(self, outcome: Outcome | None = None) -> None:
        """The attempt is over without an answer for the application; without an outcome it was cancelled.

        The conventions: what the caller has cancelled is no error.
        """
        attempt = self._over()
        if attempt is None:
            return
        if outcome is not None and outcome.error is not None:
            try:
                attempt.failed(outcome.error, outcome.verdict)
            except Exception:  # noqa: BLE001  spans are the application's
                complain()
        attempt.release()

    def end(self, exchange: Exchange, outcome: Outcome | None) -> None:
        """The call is over; without an outcome it was cancelled."""
        span, self._call = self._call, None
        if span is None:
            return
        try:
            if span.is_recording():
                self._conclude(span, exchange.trail, outcome)
            span.end()
        except Exception:  # noqa: BLE001  spans are the application's
            complain()

    def abandon(self, exchange: Exchange) -> None:
        """The same from the garbage collector: it may have come while this very thread held the lock of a span processor."""
        with suppress(RuntimeError):
            start_new_thread(self._abandoned, (exchange,))

    def _abandoned(self, exchange: Exchange) -> None:
        self.unanswered()
        self.end(exchange, None)

    def _conclude(self, span: Any, trail: Trail, outcome: Outcome | None) -> None:
        """Say how the call ended. That attempts of it have failed is no error of the call's."""
        attributes = {} if outcome is None else verdict_attributes(outcome.verdict)
        attributes[f"{NAMESPACE}.attempts"] = len(trail.attempts)
        waits = trail.waits
        if waits:
            attributes[f"{NAMESPACE}.waited"] = sum(wait.seconds for wait in waits)
            attributes[f"{NAMESPACE}.waits"] = [_in_words(wait) for wait in waits[:_MOST_WAITS]]
        if trail.stopped:
            attributes[f"{NAMESPACE}.stopped"] = trail.stopped[:_LONGEST]
        if trail.why not in {None, "success"}:
            attributes[f"{NAMESPACE}.retry.decision"] = trail.why
        refused = next((each for each in reversed(trail.refusals) if not each.observed), None)
        if refused is not None:
            attributes |= {f"{NAMESPACE}.layer": refused.layer, f"{NAMESPACE}.reason": refused.why}
            if refused.retry_after is not None:
                attributes[f"{NAMESPACE}.retry_after"] = refused.retry_after
        attributes[f"{NAMESPACE}.outcome"] = ended = ended_by(outcome)
        refusal = None if outcome is None else outcome.refusal
        category = None if outcome is None else outcome.verdict.category
        error = error_type(ended, None if refusal is None else refusal.layer, category)
        if error is not None:
            attributes["error.type"] = error
            span.set_status(self._tracing.trace.StatusCode.ERROR)
        span.set_attributes(attributes)

    def _enrich(self, exchange: Exchange, parent: Any, runtime: Runtime) -> Enriched:
        """Have the span of somebody else know of the attempt that is sent now."""
        attributes = parts_of(exchange)[1]
        entered = Enriched(self._tracing, parent, attributes, exchange.request, is_surely=self._enriches)
        if not self._enriches:
            # A transport of the application's may hand on to one that is traced, or to one that is not: that will be seen.
            self._left_out = (entered, exchange, int(runtime.clock.wall() * 1e9))
        return entered

    def _within(self) -> Any:
        """The context that attempts are made in."""
        return self._parent if self._call is None else self._tracing.trace.set_span_in_context(self._call, self._parent)

    def _over(self) -> AttemptSpan | None:
        """The span of the attempt that is over; one that nobody else has made is made up for."""
        attempt, self._attempt = self._attempt, None
        left_out, self._left_out = self._left_out, None
        if left_out is not None and not left_out[0].is_seen:
            try:
                return AttemptSpan(self._tracing, self._within(), left_out[1], left_out[2])
            except Exception:  # noqa: BLE001  tracers, samplers and span processors are the application's
                complain()
        return attempt

    def _open(self, exchange: Exchange) -> None:
        """Begin the call's own span, at the time when the call began."""
        operation, plan = exchange.operation, exchange.settings.plan
        provider = exchange.policy.provider
        attributes: dict[str, Any] = {f"{NAMESPACE}.provider": provider}
        if operation is not None:
            attributes[f"{NAMESPACE}.operation"] = operation
        if plan is not None:
            attributes[f"{NAMESPACE}.plan"] = plan
        try:
            self._call = self._tracing.tracer.start_span(
                f"{provider} {operation}" if operation else provider,
                context=self._parent,
                kind=self._tracing.trace.SpanKind.INTERNAL,
                attributes=attributes,
                start_time=int(self._began * 1e9),
            )
        except Exception:  # noqa: BLE001  tracers, samplers and span processors are the application's
            complain()


def _has_come(stream: Any) -> bool:
    """Whether a layer has read all of a body: what the others know of it, they are to know still."""
    return isinstance(stream, Body) and stream.whole(maxsize) is not None


def _in_words(wait: Wait) -> str:
    return f"{wait.layer} {seconds_text(wait.seconds)}: {wait.source}"[:_LONGEST]
