"""One attempt: send the request, look at what comes, and say what it means; the only layer that turns exceptions into outcomes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ._body import peek
from ._categories import Category
from ._classifier import TIMEOUTS
from ._conditions import Answer
from ._deadline import attempt_seconds, cut_timeouts, deadline_passed
from ._decode import decode
from ._fields import texts_of
from ._library import ErrorKind
from ._outcome import Outcome, Verdict
from ._propagation import propagate
from ._quoted import safe_verdict
from ._trail import Attempt

if TYPE_CHECKING:
    from ._library import Response
    from ._outcome import Call, Exchange
    from ._runtime import Runtime

__all__ = ["attempt_layer", "interrupted", "look_at", "unsent"]

# Whoever calls has set a time, or has lost interest: the provider has said nothing.
_INTERRUPTED = Verdict(Category.TIMEOUT, retryable=False, message="its caller did not wait for the answer")
# Seconds for which the body of a success, and of an error, is looked at: one that trickles on keeps nobody for ever. For
# a success some rule asks; of an error most is known without its body.
_LONGEST_LOOKS = (60.0, 5.0)
# What Python makes of a StopIteration that a coroutine raises (PEP 479).
_STOPPED = ("coroutine raised StopIteration",)
_OUT_OF_TIME = TIMEOUTS | {ErrorKind.CONNECT_TIMEOUT, ErrorKind.POOL_TIMEOUT}


def attempt_layer(runtime: Runtime) -> Call:
    """Send one attempt and turn whatever comes of it into an outcome."""

    async def attempt_call(exchange: Exchange) -> Outcome:
        ahead = exchange.ahead
        started = runtime.clock.now() if ahead is None else ahead.times[1]
        # What was sent before has had its time.
        seconds = attempt_seconds(exchange, started) if ahead is None else None
        if seconds is not None or exchange.pool_wait or (exchange.cuts and ahead is None):
            cut_timeouts(exchange, seconds)
        until = None if seconds is None else started + seconds
        if exchange.policy.propagate is not None:
            propagate(exchange.policy.propagate, exchange, runtime)
        try:
            work = _attempt(exchange, until, runtime)
            outcome = await (work if seconds is None else runtime.attempt(seconds, work))
        except Exception as error:  # noqa: BLE001  the one place where errors become values
            outcome = _failed(exchange, error, runtime)
            if exchange.spans is not None:
                exchange.spans.unanswered(outcome)
        except BaseException as interruption:
            # Of a coroutine that is left, the spans are ended with its call.
            if exchange.spans is not None and not isinstance(interruption, GeneratorExit):
                exchange.spans.unanswered()
            interrupted(exchange, started, runtime, interruption)
            raise
        _note(exchange, started, runtime, outcome, outcome.error)
        return outcome

    return attempt_call


def interrupted(exchange: Exchange, started: float, runtime: Runtime, interruption: BaseException) -> None:
    """Note an attempt whose caller did not wait for what comes of it, if it was sent.

    Arguments:
        exchange: the call.
        started: when the attempt began, by the runtime's clock.
        runtime: the call's.
        interruption: what has ended it.
    """
    if exchange.is_under_way:
        # The provider has it, perhaps, and may charge for it.
        _note(exchange, started, runtime, Outcome(_INTERRUPTED), interruption)


def unsent(exchange: Exchange, started: float, runtime: Runtime, error: Exception) -> Outcome:
    """The outcome of an attempt that has waited in vain for its turn to be sent.

    Arguments:
        exchange: the call.
        started: when it began to wait, by the runtime's clock.
        runtime: the call's.
        error: what the library raises for that.
    """
    outcome = _failed(exchange, error, runtime)
    _note(exchange, started, runtime, outcome, outcome.error)
    return outcome


def _note(exchange: Exchange, started: float, runtime: Runtime, outcome: Outcome, error: BaseException | None) -> None:
    exchange.sent += 1
    exchange.record(
        Attempt(
            number=exchange.sent,
            started=started - exchange.started,
            seconds=runtime.clock.now() - started,
            status=None if outcome.response is None else outcome.response.status_code,
            error=None if error is None else type(error).__name__,
            verdict=outcome.verdict,
        )
    )


async def _attempt(exchange: Exchange, until: float | None, runtime: Runtime) -> Outcome:
    exchange.is_under_way = True
    spans = exchange.spans
    ahead, exchange.ahead = exchange.ahead, None
    # What was sent before has its span already.
    entered = None if spans is None or ahead is not None else spans.enter(exchange, runtime)
    try:
        if ahead is not None:
            response = ahead.take()
        else:
            response = await (runtime.send(exchange.request) if exchange.watch is None else _watched(exchange, runtime))
    except GeneratorExit:
        # The coroutine is left, mostly to the collector: in a context that is not that of the call.
        entered = None
        raise
    finally:
        if entered is not None:
            entered.leave()
    exchange.answer = response
    verdict = None if ahead is None else ahead.verdict
    outcome = Outcome(verdict or await look_at(exchange, response, until, runtime), response)
    if spans is not None:
        spans.answered(runtime, outcome)
    return outcome


async def _watched(exchange: Exchange, runtime: Runtime) -> Response:
    request, watch = exchange.request, exchange.watch
    assert watch is not None
    before = watch.begin(request, is_async=runtime.is_async)
    try:
        return await runtime.send(request)
    finally:
        watch.end(request, before)


async def look_at(exchange: Exchange, response: Response, until: float | None, runtime: Runtime) -> Verdict:
    """What an answer means, by as much of its body as the policy asks for.

    Arguments:
        exchange: the call.
        response: the answer; it gives its application the same body again.
        until: when to stop reading, by the runtime's clock.
        runtime: the call's.
    """
    classifier = exchange.policy.classifier
    try:
        plain = classifier.plain_success(response.status_code, exchange.operation)
        return await _verdict(exchange, response, until, runtime) if plain is None else plain
    except BaseException:
        # Cancelled while its body was looked at: nobody else will close it, and whatever that raises, it is cancelled.
        exchange.answer = None
        with suppress(Exception):
            await runtime.close(response.stream)
        raise


async def _verdict(exchange: Exchange, response: Response, until: float | None, runtime: Runtime) -> Verdict:
    classifier = exchange.policy.classifier
    # It is asked for some of them again and again.
    headers = texts_of(response.headers)
    answer = Answer(response.status_code, headers, exchange.request.method, exchange.operation)
    limit = classifier.look(answer.method, response.status_code, answer.operation, headers.get("content-type", ""))
    broken = None
    if limit and response.is_closed:
        # A transport that has read the body itself, as mocks do; `content` is decompressed already.
        content = b""
        with suppress(Exception):
            # It raises where a transport has closed what nobody read.
            content = response.content
        answer.body, answer.complete = content[:limit], len(content) <= limit
    elif limit:
        longest = runtime.clock.now() + _LONGEST_LOOKS[response.status_code >= 400]
        peeked = await peek(runtime, response, limit, longest if until is None else min(until, longest))
        decoded = decode(peeked.data, headers.get("content-encoding", ""), limit=limit)
        answer.body, answer.complete, broken = decoded.data, decoded.complete and peeked.complete, peeked.error
    verdict = safe_verdict(classifier.classify(answer, runtime.clock.wall()), exchange.request, exchange.policy)
    if broken is not None and response.status_code < 400 and not verdict.retryable:
        # The application would meet this error while reading what the status calls a success.
        return _error_verdict(exchange, broken, runtime)
    return verdict


def _error_verdict(exchange: Exchange, error: Exception, runtime: Runtime) -> Verdict:
    failure = None if exchange.replay is None else exchange.replay.failure
    # What the request's own body raised says nothing of the provider, whatever its class.
    kind = ErrorKind.OTHER if failure is error else runtime.library.kind_of(error)
    answer = Answer(None, {}, exchange.request.method, exchange.operation, kind)
    return exchange.policy.classifier.classify(answer, runtime.clock.wall())


def _failed(exchange: Exchange, error: Exception, runtime: Runtime) -> Outcome:
    if not runtime.is_async and isinstance(error.__cause__, StopIteration) and error.args == _STOPPED:
        # Raised by a sync transport, a test's that has no answers left perhaps; no coroutine can hand it on as it is.
        error = error.__cause__
    verdict = _error_verdict(exchange, error, runtime)
    if verdict.error in _OUT_OF_TIME and deadline_passed(exchange, runtime.clock.now()):
        late = runtime.library.deadline_exceeded("the call's deadline passed before an answer came")
        late.__cause__ = error
        error = late
    return Outcome(verdict, error=error)
