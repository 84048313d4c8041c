"""`http.client.request.duration` of the attempts of one call, where no instrumentation of the HTTP library makes it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from . import events
from ._attempt_span import error_type
from ._enriched import is_there, is_traced
from ._instruments import OTHER
from ._library import PORTS
from ._telemetry import is_suppressed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._library import Request
    from ._outcome import Exchange
    from ._series import Series

__all__ = ["HttpDuration"]

_OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"


class HttpDuration(events.Listener):
    """Hears of the attempts of one call.

    Arguments:
        request: that is sent.
        record: of the histogram.
        series: its sets of attributes.
    """

    def __init__(self, request: Request, record: Callable[[float, Any], object], series: Series) -> None:
        self._request = request
        self._record = record
        self._series = series

    @staticmethod
    def is_wanted(exchange: Exchange, transport: Any) -> bool:
        """Whether nobody else measures the requests of a call, and nobody wants them not to be.

        Arguments:
            exchange: the call.
            transport: the client's own.
        """
        if is_suppressed():
            return False
        # It makes this metric only where the stable names were chosen, and one of another name otherwise.
        if not is_there() or not _makes_ours():
            return True
        return not is_traced(transport) and not _is_measured_within(exchange.request, transport)

    def on_attempt(self, event: events.Attempted, /) -> None:
        """How long it took, until as much of its answer was there as tells what it means."""
        request = self._request
        failed, verdict = event.error, event.verdict
        error = error_type(event.status, verdict) if failed is None else self._class_named(failed)
        url = request.url
        port = url.port or PORTS.get(url.scheme)
        self._record(event.seconds, self._series.of(request.method, url.host, port, event.status, error))

    def _class_named(self, name: str) -> str:
        """The full name of an error of the HTTP library or of ours; what else a transport raises has names without end."""
        library = _library_of(self._request)
        for module in (library, f"resilience.{library}"):
            known = getattr(sys.modules.get(module), name, None)
            if isinstance(known, type):
                # As of the span.
                return f"{known.__module__}.{known.__qualname__}"
        return OTHER


def _makes_ours() -> bool:
    """Whether opentelemetry-instrumentation-httpx makes this very metric, as its documentation says when."""
    chosen = os.environ.get(_OPT_IN, "")
    return not {"http", "http/dup"}.isdisjoint(each.strip() for each in chosen.split(","))


def _is_measured_within(request: Request, transport: Any) -> bool:
    """Whether a transport that is not instrumented itself may send by one that is."""
    library = _library_of(request)
    if type(transport).__module__.partition(".")[0] == library:
        return False
    # An application's own may send by whatever it likes, mostly by those of the library: better never than twice.
    theirs = [getattr(sys.modules.get(library), name, None) for name in ("HTTPTransport", "AsyncHTTPTransport")]
    return any(map(is_traced, (*theirs, *getattr(transport, "__dict__", {}).values())))


def _library_of(request: Request) -> str:
    return type(request).__module__.partition(".")[0]
