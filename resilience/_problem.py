"""What an application's own caller is told when a call ended here, or a provider has failed: a problem of RFC 9457.

Nothing of the provider's words, of URLs or of keys is in it: they are the application's.
"""

from __future__ import annotations

import json
import logging
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from ._categories import Category
from ._library import ErrorKind
from ._longest import LONGEST_TIME
from ._trail import Attempt, Refused, Trail
from ._trail_of import causes_of, leaves_of, trail_of
from .errors import AttemptTimeout, CallError, ClientClosed, DeadlineExceeded
from .errors import Refused as RefusedError

if TYPE_CHECKING:
    from ._web_options import Options

__all__ = ["LATE", "Problem", "Reply", "problem_of", "reply_to"]

_log = logging.getLogger("resilience")
_MOST_ERRORS = 100


class Problem(NamedTuple):
    """Why a request is not answered.

    Arguments:
        status: of the answer.
        code: what it is, in one word.
        detail: the same in a sentence.
        provider: whose call it was.
        layer: the layer that refused it.
        retry_after: seconds; `None` where nobody can know.
    """

    status: int
    code: str
    detail: str
    provider: str | None = None
    layer: str | None = None
    retry_after: float | None = None


class Reply(NamedTuple):
    """An answer of our own."""

    status: int
    headers: tuple[tuple[str, str], ...]
    content: bytes


LATE = Problem(504, "deadline_exceeded", "The time for this request was up before there was an answer.")
_CLOSED = Problem(503, "unavailable", "The service is shutting down.")
_UP = "A provider that this service needs "
_UNAVAILABLE = Problem(503, "provider_unavailable", f"{_UP}is not available.")
_BUSY = Problem(503, "provider_busy", f"{_UP}takes no more calls just now.")
_SPENT = Problem(503, "credits_used_up", f"{_UP}has no credits left for it.")
_FAILED = Problem(503, "provider_failed", f"{_UP}failed.")
_SLOW = Problem(504, "provider_timeout", f"{_UP}did not answer in time.")
# What the provider says of the request itself (it is wrong, it is not allowed, its target failed) is the application's
# to tell.
_ANSWERS = {
    Category.NOT_READY: _BUSY,
    Category.RATE_LIMITED: _BUSY,
    Category.CONCURRENCY_LIMITED: _BUSY,
    Category.QUOTA_EXHAUSTED: _SPENT,
    Category.CREDITS_EXHAUSTED: _SPENT,
    Category.UPSTREAM_UNAVAILABLE: _UNAVAILABLE,
    Category.OVERLOADED: _UNAVAILABLE,
    Category.SERVER_ERROR: _FAILED,
    Category.TIMEOUT: _SLOW,
    Category.NETWORK_ERROR: _FAILED,
}
_LAYERS = {
    "breaker": _UNAVAILABLE,
    "limiter": Problem(503, "rate_limited", f"{_UP}takes no more calls at this rate."),
    "concurrency": Problem(503, "concurrency_limited", f"{_UP}takes no more calls at a time."),
    "credits": _SPENT,
}
_OWN_BUDGET = Problem(429, "budget_used_up", "The budget for these requests is used up.")
# Such a request could not even be sent, or its client was closed by the application: that is a mistake of its own.
_OWN_ERRORS = (ErrorKind.REQUEST, ErrorKind.OTHER)


def problem_of(error: BaseException) -> Problem | None:
    """What an error is to the caller of this application; `None` for one that has nothing to do with our calls.

    Arguments:
        error: of ours; of httpx or an SDK, with a trail; one that was raised from such a one; or a group of such alone.
    """
    found: Problem | None = None
    for number, each in enumerate(leaves_of(error)):
        problem = _problem_of(each) if number < _MOST_ERRORS else None
        if problem is None:
            return None
        found = found or problem
    return found


def _problem_of(error: BaseException) -> Problem | None:
    trail = trail_of(error)
    # It, or what it was made of.
    ours = next((each for each in causes_of(error) if isinstance(each, CallError)), None)
    provider = trail.provider if trail is not None else None
    refusal = None if trail is None else _refusal(trail)
    if refusal is not None:
        # A budget that is counted by tags is one that the application gave to its caller.
        is_own = refusal.why == "budget" and any(each.startswith("tag.") for each in refusal.scope.split(", "))
        problem = _OWN_BUDGET if is_own else _LAYERS[refusal.layer]
        return problem._replace(provider=provider, layer=refusal.layer, retry_after=refusal.retry_after)
    if isinstance(ours, RefusedError):
        problem = _LAYERS.get(ours.layer, _UNAVAILABLE)
        return problem._replace(provider=ours.policy or None, layer=ours.layer or None, retry_after=ours.retry_after)
    if isinstance(ours, DeadlineExceeded):
        return LATE._replace(provider=provider)
    if isinstance(ours, AttemptTimeout):
        return _SLOW._replace(provider=provider)
    if isinstance(ours, ClientClosed):
        return _CLOSED
    return None if trail is None else _exhausted(trail)


def _refusal(trail: Trail) -> Refused | None:
    """The refusal that a call ended with. A retry that has no budget is none: its caller gets the provider's answer."""
    for event in reversed(trail.events):
        if isinstance(event, Attempt):
            return None
        if isinstance(event, Refused) and not event.observed and event.layer in _LAYERS:
            return event
    return None


def _exhausted(trail: Trail) -> Problem | None:
    verdict = trail.verdict
    if verdict is None or verdict.error in _OWN_ERRORS:
        return None
    problem = _ANSWERS.get(verdict.category)
    return None if problem is None else problem._replace(provider=trail.provider, retry_after=verdict.retry_after)


def reply_to(problem: Problem, options: Options, method: str) -> Reply:
    """The problem as an answer.

    Arguments:
        problem: what it is.
        options: of the application.
        method: of the request; a HEAD gets no body.
    """
    base = options.problem_types
    phrase = HTTPStatus(problem.status).phrase
    # RFC 9457 section 4.2.1: the title of about:blank is the phrase of the status.
    title = phrase if base is None else problem.code.replace("_", " ").capitalize()
    kind = "about:blank" if base is None else f"{base}{problem.code.replace('_', '-')}"
    told: dict[str, object] = {"type": kind, "title": title, "status": problem.status, "detail": problem.detail}
    told["code"] = problem.code
    if options.show_provider and problem.provider:
        told["provider"] = problem.provider
    if problem.layer:
        told["layer"] = problem.layer
    headers = [("content-type", "application/problem+json"), ("cache-control", "no-store")]
    seconds = problem.retry_after
    if seconds is not None and 0 <= seconds <= LONGEST_TIME:
        # RFC 9110 section 10.2.3: whole seconds; earlier would be too early.
        told["retry_after"] = whole = math.ceil(seconds)
        headers.append(("retry-after", str(whole)))
    content = json.dumps(told).encode()
    headers.append(("content-length", str(len(content))))
    _log.info("a request was answered %d: %s, provider %s", problem.status, problem.code, problem.provider or "-")
    return Reply(problem.status, tuple(headers), b"" if method == "HEAD" else content)
