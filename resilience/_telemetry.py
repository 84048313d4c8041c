"""Whether an application traces and measures, and the names of what it is told: nothing is imported that it has not.

OpenTelemetry's API does nothing without an SDK, and only the application brings one. So this library looks for a real
provider, at the beginning of each call, and costs next to nothing where there is none.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ._imported import imported

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._outcome import Exchange
    from ._spans import Spans

__all__ = [
    "SCHEMA_URL",
    "SCOPE",
    "Tracing",
    "complain",
    "is_measured",
    "is_suppressed",
    "is_traced",
    "meter_provider",
    "start",
    "start_spans",
    "suppressing",
    "tracing",
]

SCOPE = "resilience"
"""The name of tracer and meter."""
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the semantic conventions that the attributes follow."""
_SUPPRESS = "suppress_instrumentation"
_METERS = "opentelemetry.metrics._internal"
_log = logging.getLogger("resilience.telemetry")


class Tracing(NamedTuple):
    """An application's tracer, and the modules of OpenTelemetry's API."""

    tracer: Any
    trace: Any
    context: Any
    propagate: Any
    spans: type[Spans]
    """Imported once, and not with each call."""


class _Known:
    """What was found last; a provider is seldom replaced, but it may come after the first calls."""

    traced: tuple[Any, Tracing | None] = (None, None)
    # What the API gives where nobody has set a provider it looks for in the environment, each time anew: that is asked
    # once, and after that the variable that it keeps a provider in.
    is_untraced: bool = False
    is_unmeasured: bool = False
    suppressing: tuple[str, ...] = ()
    has_complained: bool = False


def tracing() -> Tracing | None:
    """The application's tracer, `None` where nobody traces."""
    trace = imported("opentelemetry.trace")
    if trace is None:
        return None
    if _Known.is_untraced and getattr(trace, "_TRACER_PROVIDER", _Known) is None:
        return None
    provider = trace.get_tracer_provider()
    known, found = _Known.traced
    if known is provider:
        return found
    # Not remembered while there is none: it may come later.
    if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
        _Known.is_untraced = True
        return None
    found = _tracing(provider, trace)
    _Known.traced = (provider, found)
    return found


def _tracing(provider: Any, trace: Any) -> Tracing | None:
    from opentelemetry import context, propagate

    from ._spans import Spans

    tracer = provider.get_tracer(SCOPE, _version(), schema_url=SCHEMA_URL)
    # An SDK that is switched off (OTEL_SDK_DISABLED) has a tracer that makes nothing.
    return None if isinstance(tracer, trace.NoOpTracer) else Tracing(tracer, trace, context, propagate, Spans)


def meter_provider() -> Any | None:
    """The application's provider of meters, `None` where nobody measures."""
    metrics = imported("opentelemetry.metrics")
    if metrics is None:
        return None
    if _Known.is_unmeasured and getattr(sys.modules.get(_METERS), "_METER_PROVIDER", _Known) is None:
        return None
    provider = metrics.get_meter_provider()
    # The proxy's class is not public; a real one is whatever is neither.
    is_none = type(provider).__name__ == "_ProxyMeterProvider" or isinstance(provider, metrics.NoOpMeterProvider)
    _Known.is_unmeasured = is_none
    return None if is_none else provider


def is_suppressed() -> bool:
    """Whether what runs now wants no spans, as exporters do: they would tell of themselves without end."""
    context = imported("opentelemetry.context")
    current = None if context is None else context.get_current()
    if not current:
        return False
    for key in suppressing(context):  # noqa: SIM110  each call comes here, and a generator takes longer than the loop
        if current.get(key):
            return True
    return False


def suppressing(context: Any) -> tuple[str, ...]:
    """What stands in a context whose requests are to have no spans; the last of them says so of HTTP alone.

    Arguments:
        context: the module `opentelemetry.context`.
    """
    if not _Known.suppressing:
        keys = (getattr(context, f"_SUPPRESS_{which}INSTRUMENTATION_KEY", None) for which in ("", "HTTP_"))
        # The plain word is what older instrumentation writes.
        _Known.suppressing = (_SUPPRESS, *(key for key in keys if key is not None))
    return _Known.suppressing


def is_traced() -> bool:
    """Whether the application traces; what its provider raises, `start` complains of."""
    try:
        return "opentelemetry.trace" in sys.modules and tracing() is not None
    except Exception:  # noqa: BLE001  providers are the application's
        return True


def is_measured() -> bool:
    """Whether the application measures; what its provider raises, `start` complains of."""
    try:
        return "opentelemetry.metrics" in sys.modules and meter_provider() is not None
    except Exception:  # noqa: BLE001  providers are the application's
        return True


def start(exchange: Exchange, transport: Any, wall: Callable[[], float]) -> None:
    """Begin to tell of a call, where the application wants to hear of it.

    Arguments:
        exchange: the call.
        transport: the client's own, which may be traced already.
        wall: gives seconds since 1970.
    """
    try:
        provider = meter_provider()
        if provider is not None:
            from ._metrics import measure

            measure(provider, exchange, transport)
    except Exception:  # noqa: BLE001  a module may be half imported by another thread, a provider may raise what it likes
        complain()
    start_spans(exchange, transport, wall)


def start_spans(exchange: Exchange, transport: Any, wall: Callable[[], float]) -> None:
    """Begin the spans of a call that nobody measures, where the application traces.

    Arguments:
        exchange: the call.
        transport: the client's own, which may be traced already.
        wall: gives seconds since 1970.
    """
    try:
        found = None if exchange.settings.spans == "off" else tracing()
        if found is not None:
            parent = found.context.get_current()
            if not (parent and is_suppressed()):
                exchange.spans = found.spans(exchange, found, transport, parent, wall())
    except Exception:  # noqa: BLE001  a module may be half imported by another thread, a provider may raise what it likes
        complain()


def complain() -> None:
    """Log what the application's tracing or metrics have raised, the first time: the call goes on without them."""
    # A handler of the log may be what fails.
    with suppress(Exception):
        level = logging.DEBUG if _Known.has_complained else logging.WARNING
        _Known.has_complained = True
        _log.log(level, "the application's OpenTelemetry failed; the call goes on without it", exc_info=True)


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("httpx-resilience")
    except metadata.PackageNotFoundError:
        return ""
