"""Spans that opentelemetry-instrumentation-httpx makes of attempts: what we know of an attempt is added to them.

It wraps the methods of the libraries' own transports, of their classes or (`instrument_client`) of one client's. What
it has wrapped is told by its module, each time anew: it may come and go.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import ref

from ._carried import Carried, carry
from ._redact import safe_address
from ._telemetry import complain

if TYPE_CHECKING:
    from ._library import Request
    from ._telemetry import Tracing

__all__ = ["SENDERS", "Enriched", "is_there", "is_traced", "may_be_traced", "moved_inwards", "stand_in"]

_KNOWN = frozenset({"httpx", "httpx2", "resilience"})
_SCOPE = "opentelemetry.instrumentation.httpx"
SENDERS = ("handle_request", "handle_async_request")
"""The methods of a transport that send."""
_known: ContextVar[Enriched | None] = ContextVar("resilience_attempt", default=None)
# By their ids: a provider may have no hash, as logfire's has none.
_providers: dict[int, ref[Any]] = {}
# All else that instrumentation says itself, in whichever version of the conventions.
_OURS = ("resilience.", "http.request.resend_count", "url.template")
# But what it says of a URL shows keys: the name of the stable conventions, and the one of those before.
_URLS = ("url.full", "http.url")


def is_there() -> bool:
    """Whether this process has that instrumentation at all."""
    return _SCOPE in sys.modules


def is_traced(transport: Any) -> bool:
    """Whether a transport's requests get spans of their own.

    Arguments:
        transport: the client's own.
    """
    if not is_there():
        return False
    if type(transport).__module__.startswith(_SCOPE):
        return True
    # Ours that was given none sends by those of the library.
    where = (transport, *getattr(transport, "sends_by", ()))
    return any(_is_its(getattr(each, name, None)) for each in where for name in SENDERS)


def may_be_traced(transport: Any) -> bool:
    """Whether a transport that is not traced itself may hand on to one that is: an application's own may do anything.

    Arguments:
        transport: the client's own.
    """
    return is_there() and type(transport).__module__.partition(".")[0] not in _KNOWN


def _is_its(method: Any) -> bool:
    # Its wrappers are proxies that know what they wrap, and who wraps it: a partial of a method of its classes.
    wrapper = getattr(method, "_self_wrapper", None)
    return str(getattr(getattr(wrapper, "func", wrapper), "__module__", "")).startswith(_SCOPE)


def stand_in(transport: Any) -> None:
    """Have `uninstrument_client` find what it looks for on our own transport, where the one that sends is traced.

    Arguments:
        transport: ours, which was just put around the other.
    """
    if is_there():
        for name in SENDERS:
            theirs: Any = _own(transport.inner).get(name)
            if _is_its(theirs):
                _own(transport).update({each: type(theirs)(getattr(transport, each), _through) for each in SENDERS})


def moved_inwards(transport: Any, name: str, method: Any) -> Any:
    """What takes the place of a method of our own transport.

    `instrument_client` wraps the transports that a client has. Around ours its span would be one for all attempts, with
    one context for all of them; so it is put around the transport that sends.

    Arguments:
        transport: ours.
        name: of the method.
        method: what is put in its place.
    """
    inner, before = transport.inner, _own(transport).get(name)
    if getattr(before, "_self_wrapper", None) is _through:
        _take_off(transport)
    if not _is_its(method):
        return method
    # An asynchronous transport has no method for sync calls, and a proxy of ours for it does no harm.
    if hasattr(inner, name):
        try:
            setattr(inner, name, type(method)(getattr(inner, name), method._self_wrapper))  # noqa: SLF001  it has no other
        except AttributeError:
            # A transport with slots: better one span for all attempts than none.
            return method
    return type(method)(method.__wrapped__, _through)


def _take_off(transport: Any) -> None:
    """Undo what stands on our transport and on the one that sends; `uninstrument_client` knows one method of the two."""
    for name in SENDERS:
        _own(transport).pop(name, None)
        theirs: Any = _own(transport.inner).get(name)
        if _is_its(theirs):
            setattr(transport.inner, name, theirs.__wrapped__)


def _own(transport: Any) -> dict[str, Any]:
    """What was set on this one transport; one with slots has nothing."""
    found: dict[str, Any] = getattr(transport, "__dict__", {})
    return found


def _through(wrapped: Any, _instance: Any, arguments: Any, named: Any) -> Any:
    return wrapped(*arguments, **named)


class Enriched:
    """While an attempt is sent: the span that is begun for it gets what we know, and our own as its parent.

    Arguments:
        tracing: what the application traces with.
        parent: the context in which the attempt is made.
        attributes: of the attempt.
        request: what is sent; that instrumentation gives it other headers, and it gets its own back.
        is_surely: whether the transport is known to be traced; else the application's own may also send other requests.
    """

    __slots__ = (
        "_before",
        "_carried",
        "_context",
        "_headers",
        "_request",
        "_token",
        "attributes",
        "is_seen",
        "is_surely",
        "shown",
    )

    def __init__(
        self, tracing: Tracing, parent: Any, attributes: Mapping[str, Any], request: Request, *, is_surely: bool
    ) -> None:
        self.attributes = {name: value for name, value in attributes.items() if name.startswith(_OURS)}
        self.is_surely = is_surely
        self.shown: str = attributes["url.full"]
        """The address, without what is secret in it."""
        self.is_seen = False
        """Whether a span of this attempt was begun."""
        self._request = request
        self._headers = request.headers
        self._context = tracing.context
        try:
            _listen_to(tracing.trace.get_tracer_provider())
        except Exception:  # noqa: BLE001  a provider of the application's that takes no processor, or cannot be referred to
            complain()
        self._carried: Carried | None = None
        if not is_surely:
            # Whoever traces it puts its own context in place of this one.
            self._carried = carry(tracing, parent, request)
        self._before = _known.set(self)
        self._token = tracing.context.attach(parent)

    def is_of(self, span: Any) -> bool:
        """Whether a span is about this request, and not about one that its transport makes beside it."""
        found: Mapping[str, Any] = getattr(span, "attributes", None) or {}
        full, url = found.get("url.full") or found.get("http.url"), self._request.url
        if full is None:
            return self.is_surely
        parts = urlsplit(str(full))
        if parts.hostname not in {url.host, url.raw_host.decode("ascii", "replace")}:
            return False
        path = url.raw_path.decode("ascii", "replace").partition("?")[0]
        method = found.get("http.request.method") or found.get("http.method")
        return self.is_surely or (method, parts.path or "/") == (self._request.method, path)

    def leave(self) -> None:
        """The request was sent."""
        self._request.headers = self._headers
        if self._carried is not None:
            self._carried.take_out()
        self._context.detach(self._token)
        # A coroutine that the collector closes is closed in another context.
        with suppress(ValueError):
            _known.reset(self._before)


class _Enricher:
    """A span processor (of the SDK's interface) that adds what is known of the attempt under way."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ARG002  as the SDK calls it
        known = _known.get()
        scope = getattr(span, "instrumentation_scope", None)
        if known is not None and scope is not None and scope.name.startswith(_SCOPE):
            given: Mapping[str, Any] = span.attributes or {}
            urls = {name: str(given[name]) for name in _URLS if name in given}
            if known.is_of(span):
                known.is_seen = True
                span.set_attributes({**known.attributes, **dict.fromkeys(urls, known.shown)})
            else:
                # A request that the transport makes beside it, for a token perhaps.
                span.set_attributes({name: safe_address(url) for name, url in urls.items()})

    def _on_ending(self, span: Any) -> None:
        """Newer SDKs call this before a span ends."""

    def on_end(self, span: Any) -> None:
        """Nothing to add."""

    def shutdown(self) -> None:
        """Nothing is held."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002  as the SDK calls it
        return True


def _listen_to(provider: Any) -> None:
    """Add the processor to the application's provider, once."""
    key = id(provider)
    if key not in _providers:
        # It goes with its provider, before another one can have the id.
        _providers[key] = ref(provider, lambda _: _providers.pop(key, None))
        add = getattr(provider, "add_span_processor", None)
        if add is not None:
            add(_Enricher())
