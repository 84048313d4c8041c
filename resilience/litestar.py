"""Litestar: a plugin that puts the middleware in front of each route and answers for calls that ended here.

Litestar([report], plugins=[ResiliencePlugin(timeout=10, deadline_header="X-Request-Timeout")])
"""

from __future__ import annotations

from typing import Any, Unpack, cast

from litestar import Request, Response, asgi
from litestar.config.app import AppConfig
from litestar.exceptions import HTTPException, responses
from litestar.middleware import DefineMiddleware
from litestar.plugins import InitPlugin
from litestar.status_codes import HTTP_500_INTERNAL_SERVER_ERROR
from litestar.types import Receive, Scope, Send

from ._problem import problem_of, reply_to
from ._web_options import Given, options_from
from .asgi import Health, ResilienceMiddleware

__all__ = ["ResiliencePlugin"]


class ResiliencePlugin(InitPlugin):
    """Binds what a request leaves to its calls, and answers for those that ended here.

    Litestar answers for every error inside of its middleware; so this adds a handler for all of them, which leaves what
    is none of ours to the one that was there, or to Litestar. Handlers for errors of one kind go before it.

    Arguments:
        options: as for `resilience.asgi.ResilienceMiddleware`; functions among them are called with the scope.

    Raises:
        ConfigurationError: an option cannot be honoured.
    """

    def __init__(self, **options: Unpack[Given]) -> None:
        self._given = options
        self._options = options_from(options, "ResiliencePlugin")

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Called by Litestar.

        Arguments:
            app_config: of the application.
        """
        app_config.middleware.insert(0, DefineMiddleware(cast("Any", ResilienceMiddleware), **self._given))
        # Its types are known in part, as those of most of its functions.
        handlers = cast("dict[Any, Any]", app_config.exception_handlers)  # pyright: ignore[reportUnknownMemberType]
        default: Any = responses
        before: Any = handlers.get(Exception)

        def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
            problem = None if isinstance(error, HTTPException) else problem_of(error)
            if problem is not None:
                reply = reply_to(problem, self._options, request.method)
                headers = dict(reply.headers)
                kind = headers.pop("content-type")
                return Response(reply.content, status_code=reply.status, headers=headers, media_type=kind)
            own = before if before is not None or isinstance(error, HTTPException) else _of_mistakes(request)
            if own is not None:
                return cast("Response[Any]", own(request, error))
            if request.app.debug and not isinstance(error, HTTPException):
                return cast("Response[Any]", default.create_debug_response(request, error))
            return cast("Response[Any]", default.create_exception_response(request, error))

        handlers[Exception] = answer
        if self._options.health is not None:
            view: Any = Health(fails_when=self._options.health_fails_when)

            # Middleware of Litestar stands within its routes, and what has no route is missing.
            @asgi(self._options.health, copy_scope=False)
            async def health(scope: Scope, receive: Receive, send: Send) -> None:
                await view(scope, receive, send)

            app_config.route_handlers.append(health)
        return app_config


def _of_mistakes(request: Request[Any, Any, Any]) -> Any:
    """The application's own handler for 500: Litestar takes it for any error that has none of its kind, as ours now is."""
    app: Any = request.app
    scope: Any = request.scope
    route = scope.get("route_handler")
    found = app.exception_handlers if route is None else route.resolve_exception_handlers()
    return found.get(HTTP_500_INTERNAL_SERVER_ERROR)
