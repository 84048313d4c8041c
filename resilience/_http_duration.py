"""`http.client.request.duration` of the attempts of one call, where no instrumentation of the HTTP library makes it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from . import events
from ._enriched import is_traced
from ._instruments import OTHER
from ._telemetry import is_suppressed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._library import Request
    from ._series import Series

__all__ = ["HttpDuration"]

_PORTS = {"http": 80, "https": 443}


class HttpDuration(events.Listener):
    """Hears of the attempts of one call.

    Arguments:
        request: that is sent.
        record: of the histogram.
        series: its sets of attributes.
    """

    __slots__ = ("_record", "_request", "_series")

    def __init__(self, request: Request, record: Callable[[float, Any], object], series: Series) -> None:
        self._request = request
        self._record = record
        self._series = series

    @staticmethod
    def is_wanted(transport: Any) -> bool:
        """Whether nobody else measures the requests of a transport, and nobody wants them not to be."""
        return not is_traced(transport) and not is_suppressed()

    def on_attempt(self, event: events.Attempted, /) -> None:
        """How long it took, until as much of its answer was there as tells what it means."""
        request, error = self._request, None
        if event.error is not None:
            error = self._class_named(event.error)
        elif event.verdict.category != "success":
            # As of the span: the status, or where that says that all is well, what the policy says it means.
            failed = event.status is not None and event.status >= 400
            error = str(event.status) if failed else str(event.verdict.category)
        url = request.url
        port = url.port or _PORTS.get(url.scheme)
        self._record(event.seconds, self._series.of(request.method, url.host, port, event.status, error))

    def _class_named(self, name: str) -> str:
        """The full name of an error of the HTTP library or of ours; what else a transport raises has names without end."""
        library = type(self._request).__module__.partition(".")[0]
        for module in (library, f"resilience.{library}"):
            known = getattr(sys.modules.get(module), name, None)
            if isinstance(known, type):
                # As of the span.
                return f"{known.__module__}.{known.__qualname__}"
        return OTHER
