"""Django: an entry of `MIDDLEWARE`, its settings, and a health view; for WSGI and ASGI, sync and async views.

MIDDLEWARE = [..., "resilience.django.ResilienceMiddleware"]
RESILIENCE = {"TIMEOUT": 10, "DEADLINE_HEADER": "X-Request-Timeout"}
urlpatterns = [path("health/resilience", resilience.django.health)]
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import asgiref.sync
import django.conf  # type: ignore[import-untyped]  # Django has no types of its own
import django.core.exceptions  # type: ignore[import-untyped]
import django.http  # type: ignore[import-untyped]

from ._inbound import Inbound
from ._problem import LATE, Reply, problem_of, reply_to
from ._readiness import readiness
from ._web_options import settings_from
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._inbound import Arrival

__all__ = ["ResilienceMiddleware", "health"]

_conf: Any = django.conf
_marks: Any = asgiref.sync
_errors: Any = django.core.exceptions
_http: Any = django.http
# What Django itself makes an answer of, whatever it was raised from.
_ANSWERED = (_http.Http404, _errors.PermissionDenied, _errors.SuspiciousOperation, _errors.BadRequest)


class ResilienceMiddleware:
    """Binds what a request leaves to its calls, and answers for those that ended here.

    The settings are in `RESILIENCE`: the options of all frameworks, in capitals; functions among them are called with
    Django's request. The deadline holds until the whole answer is handed over, also while it is streamed.

    Arguments:
        get_response: what is wrapped.

    Raises:
        ImproperlyConfigured: a setting cannot be honoured.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        try:
            self._options = settings_from(getattr(_conf.settings, "RESILIENCE", {}), "RESILIENCE in the settings")
        except ConfigurationError as error:
            raise _errors.ImproperlyConfigured(str(error)) from error
        self._get_response = get_response
        self._inbound = Inbound(self._options, _route_of)
        # Django's own: that of the standard library cannot mark before Python 3.12.
        self._is_async: bool = _marks.iscoroutinefunction(get_response)
        if self._is_async:
            _marks.markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Answer a request; a coroutine where what is wrapped gives one.

        Arguments:
            request: of Django.
        """
        if self._is_async:
            return self._call_async(request)
        arrival, response = self._receive(request)
        if response is not None:
            return response
        with arrival.held():
            response = self._get_response(request)
        return _finish(response, arrival)

    async def _call_async(self, request: Any) -> Any:
        arrival, response = self._receive(request)
        if response is not None:
            return response
        with arrival.held():
            response = await self._get_response(request)
        return _finish(response, arrival)

    def _receive(self, request: Any) -> tuple[Arrival, Any]:
        """The request, and the answer that it gets without anybody being asked."""

        def values(name: str) -> list[str]:
            found: str | None = request.headers.get(name)
            return [] if found is None else [found]

        # Of ASGI its own scope, else the environment of WSGI.
        scope = getattr(request, "scope", None) or request.META
        arrival, options = self._inbound.receive(values, request, scope), self._options
        if options.health is not None and request.path_info == options.health:
            return arrival, _respond(readiness(method=request.method, fails_when=options.health_fails_when))
        return arrival, _respond(reply_to(LATE, options, request.method)) if arrival.is_late else None

    def process_exception(self, request: Any, exception: Exception) -> Any:
        """Called by Django with what a view has raised; `None` leaves it to Django.

        Arguments:
            request: the request.
            exception: what came up.
        """
        problem = None if isinstance(exception, _ANSWERED) else problem_of(exception)
        return None if problem is None else _respond(reply_to(problem, self._options, request.method))


def health(request: Any) -> Any:
    """The view that tells which breakers are open and which accounts are latched; it takes a moment at most.

    Arguments:
        request: of Django.
    """
    return _respond(readiness(method=request.method))


def _respond(reply: Reply) -> Any:
    return _http.HttpResponse(reply.content, status=reply.status, headers=dict(reply.headers))


def _route_of(request: Any) -> str | None:
    found: object = getattr(request.resolver_match, "route", None)
    return f"/{found}" if isinstance(found, str) else None


def _finish(response: Any, arrival: Arrival) -> Any:
    """The answer; one that is streamed is held to the request step by step."""
    if not getattr(response, "streaming", False) or getattr(response, "file_to_stream", None) is not None:
        arrival.end()
    elif response.is_async:
        response.streaming_content = _steps_async(response.streaming_content, arrival)
    else:
        response.streaming_content = _steps(response.streaming_content, arrival)
    return response


def _steps(content: Any, arrival: Arrival) -> Iterator[Any]:
    steps = iter(content)
    try:
        while True:
            with arrival.held():
                try:
                    chunk = next(steps)
                except StopIteration:
                    return
            yield chunk
    finally:
        arrival.end()


async def _steps_async(content: Any, arrival: Arrival) -> AsyncIterator[Any]:
    steps = aiter(content)
    try:
        while True:
            with arrival.held():
                try:
                    chunk = await anext(steps)
                except StopAsyncIteration:
                    return
            yield chunk
    finally:
        arrival.end()
