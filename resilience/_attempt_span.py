"""The CLIENT span of one attempt, as the HTTP semantic conventions want it ("an HTTP span for each attempt").

What is known before the request is sent is given when the span begins, since samplers decide by it. The span's context
goes with the request, and the span ends when the answer's body does.
"""

from __future__ import annotations

import math
import re
from _thread import start_new_thread
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ._carried import Carried, carry
from ._fork import after_fork
from ._library import PORTS
from ._quoted import SHORTEST_SECRET, may_show, shown_url
from ._telemetry import complain

if TYPE_CHECKING:
    from ._library import Request
    from ._outcome import Exchange, Outcome, Verdict
    from ._telemetry import Tracing

__all__ = ["NAMESPACE", "AttemptSpan", "Parts", "error_type", "parts_of", "verdict_attributes"]

NAMESPACE = "resilience"
"""What attributes of our own begin with."""
# Each call is told it, and a text that is put together anew is hashed anew.
_CATEGORY = f"{NAMESPACE}.category"
# RFC 9110 section 9, RFC 5789 and QUERY: the names that the conventions know.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
_VERSIONS = {b"HTTP/1.0": "1.0", b"HTTP/1.1": "1.1", b"HTTP/2": "2", b"HTTP/3": "3"}
_PLAIN = re.compile(r"https?://[A-Za-z0-9.-]{1,255}(:[0-9]{1,5})?[A-Za-z0-9._~/-]{0,200}")
_LONGEST = 200
_MOST_URLS = 200


class _Forks:
    """How often this process was forked off since the package was imported; asking for its id is a call of the system."""

    count = 0


@after_fork
def _count() -> None:
    _Forks.count += 1


Parts = tuple[str, Mapping[str, Any], int | None]
"""What the spans of attempts at one URL have in common: their name, what is known before the request is sent, and, where
the URL has a place for what a header may carry as well, the hash of the headers of which none does."""


def parts_of(exchange: Exchange) -> tuple[str, Mapping[str, Any]]:
    """The name of an attempt's span, and what is known before the request is sent."""
    request, kept = exchange.request, exchange.policy.span_parts
    full = str(request.url)
    key = (exchange.operation, request.method, full)
    found = kept.get(key)
    if found is not None and found[2] is not None and found[2] != (hashed := _hash_of(request)):
        found = None if may_show(full, request, exchange.policy) else (*found[:2], hashed)
        if found is not None:
            kept[key] = found
    if found is None:
        is_plain = _PLAIN.fullmatch(full) is not None
        found = _parts(exchange, full if is_plain else None)
        if is_plain and request.method in _METHODS:
            # What holds no secret and has no end of forms is kept: many URLs are called again. One that was hidden for
            # one request is hidden for all.
            if len(kept) >= _MOST_URLS:
                kept.clear()
            kept[key] = found
    name, attributes, _ = found
    if exchange.sent:
        attributes = {**attributes, "http.request.resend_count": exchange.sent}
    return name, attributes


def _parts(exchange: Exchange, plain: str | None) -> Parts:
    policy, operation, url = exchange.policy, exchange.operation, exchange.request.url
    name = method = exchange.request.method
    found: dict[str, Any] = {"http.request.method": method, f"{NAMESPACE}.provider": policy.provider}
    if method not in _METHODS:
        name, found["http.request.method"] = "HTTP", "_OTHER"
        found["http.request.method_original"] = method[:_LONGEST]
    templates: tuple[str, ...] = ()
    if operation is not None:
        found[f"{NAMESPACE}.operation"] = operation
        templates = policy.operations[operation].path
        if len(templates) == 1:
            found["url.template"] = templates[0]
            name = f"{name} {templates[0]}"
    found["server.address"] = url.host
    port = url.port or PORTS.get(url.scheme)
    if port is not None:
        found["server.port"] = port
    # Most URLs have nothing to hide, nor a place for it.
    shown = found["url.full"] = shown_url(exchange.request, policy, plain)
    words = {word for template in templates for word in template.split("/")}
    has_place = shown == plain and any(
        len(word) >= SHORTEST_SECRET and word not in words for word in shown.split("/")[3:]
    )
    # Samplers and span processors see it, and it is seen again.
    return name, MappingProxyType(found), _hash_of(exchange.request) if has_place else None


def _hash_of(request: Request) -> int:
    # Credentials are not kept, and no hash of this sort tells one to who does not know it.
    return hash(tuple(request.headers.raw))


def verdict_attributes(verdict: Verdict) -> dict[str, Any]:
    """What the policy says of an answer."""
    found: dict[str, Any] = {_CATEGORY: str(verdict.category)}
    if verdict.code is not None:
        found[f"{NAMESPACE}.code"] = verdict.code[:_LONGEST]
    if verdict.rule is not None:
        found[f"{NAMESPACE}.rule"] = verdict.rule[:_LONGEST]
    if verdict.doc is not None:
        found[f"{NAMESPACE}.doc"] = verdict.doc[:_LONGEST]
    return found


def error_type(status: int | None, verdict: Verdict) -> str | None:
    """`error.type` of an answer: by the conventions its status; where that says that all is well, what the policy says it means.

    Arguments:
        status: of the answer.
        verdict: on it.
    """
    if verdict.category == "success":
        return None
    return str(status) if status is not None and status >= 400 else str(verdict.category)


class AttemptSpan:
    """The span of one attempt; held by the response's stream until its body is over.

    Arguments:
        tracing: what the application traces with.
        parent: the context in which the attempt is made.
        exchange: the call.
        began: when it began, in nanoseconds since 1970; by default now.
    """

    __slots__ = ("_carried", "_forks", "_is_over", "_token", "_tracing", "span")

    renew_at = math.inf
    """A span has no end of its own."""

    def __init__(self, tracing: Tracing, parent: Any, exchange: Exchange, began: int | None = None) -> None:
        name, attributes = parts_of(exchange)
        self._is_over = False
        self._forks = _Forks.count
        self._tracing = tracing
        self._carried: Carried | None = None
        self._token: Any = None
        self.span: Any = tracing.tracer.start_span(
            name, context=parent, kind=tracing.trace.SpanKind.CLIENT, attributes=attributes, start_time=began
        )

    def enter(self, request: Request, parent: Any) -> None:
        """Have the request carry the context of this span, and whatever is begun while it is sent be within it."""
        tracing = self._tracing
        within = tracing.trace.set_span_in_context(self.span, parent)
        self._carried = carry(tracing, within, request)
        self._token = tracing.context.attach(within)

    def leave(self) -> None:
        """The request was sent: it gets its own headers back, and the context is the application's again."""
        carried, token = self._carried, self._token
        # An answer is kept until the collector comes: what is over is not kept with it.
        self._carried = self._token = None
        self._tracing.context.detach(token)
        try:
            if carried is not None:
                carried.take_out()
        except Exception:  # noqa: BLE001  headers are whatever the transport has made of them
            complain()

    def answered(self, outcome: Outcome) -> bool:
        """An answer came: say what it means; `False` where nobody records it, as of a span that is not sampled."""
        span, verdict, response = self.span, outcome.verdict, outcome.response
        if response is None or not span.is_recording():
            return False
        found = verdict_attributes(verdict)
        status = found["http.response.status_code"] = response.status_code
        version = _VERSIONS.get(response.extensions.get("http_version"))
        if version is not None:
            found["network.protocol.version"] = version
        error = error_type(status, verdict)
        if error is not None:
            found["error.type"] = error
            span.set_status(self._tracing.trace.StatusCode.ERROR)
        span.set_attributes(found)
        return True

    def failed(self, error: Exception, verdict: Verdict) -> None:
        """No answer came, or none in time."""
        if self.span.is_recording():
            self.span.set_attributes(verdict_attributes(verdict) | {"error.type": _class_of(error)})
            self.span.set_status(self._tracing.trace.StatusCode.ERROR)

    def renew(self) -> None:
        """There is nothing to do."""

    def ended(self) -> None:
        """The body has come to its end."""
        self.release()

    def broke(self, error: BaseException) -> None:
        """The body broke off; what the caller has cancelled is no error, as the conventions have it."""
        span = self.span
        try:
            if span is not None and isinstance(error, Exception) and span.is_recording():
                span.set_attribute("error.type", _class_of(error))
                span.set_status(self._tracing.trace.StatusCode.ERROR)
        except Exception:  # noqa: BLE001  spans are the application's
            complain()
        self.release()

    def release(self) -> None:
        """The answer is over."""
        # A process that was forked off has a copy of what it did not begin.
        if not self._is_over and self._forks == _Forks.count:
            self._is_over = True
            span, self.span = self.span, None
            try:
                span.end()
            except Exception:  # noqa: BLE001  a span processor of the application's
                complain()

    def abandon(self) -> None:
        """Nobody has closed the answer."""
        if not self._is_over and self._forks == _Forks.count:
            # The collector may have come while this very thread held the lock of a span processor.
            with suppress(RuntimeError):
                start_new_thread(self.release, ())


def _class_of(error: Exception) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
