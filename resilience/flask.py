"""Flask: an extension that binds what a request leaves to its calls, and answers for those that ended here.

Resilience(app, timeout=10, deadline_header="X-Request-Timeout")
"""

from __future__ import annotations

from typing import Any, Unpack, cast

import flask
from werkzeug.exceptions import HTTPException, InternalServerError

from ._problem import problem_of, reply_to
from ._readiness import readiness
from ._web_options import Given, Options, settings_from
from .errors import ConfigurationError
from .wsgi import ResilienceMiddleware

__all__ = ["Resilience", "health"]


class Resilience:
    """The extension: `Resilience(app)`, or `Resilience()` and `init_app(app)` in a factory.

    Options are given here, or stand in `app.config["RESILIENCE"]`; those given here go before them. Functions among them are
    called with the environment of the request; Flask's own `request` is there in them too, once a view has begun.

    Arguments:
        app: the application; `None` where it is made later.
        options: the same for all frameworks.

    Raises:
        ConfigurationError: an option cannot be honoured.
    """

    def __init__(self, app: flask.Flask | None = None, **options: Unpack[Given]) -> None:
        self._given: dict[str, Any] = dict(options)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Prepare an application.

        Arguments:
            app: the application.

        Raises:
            ConfigurationError: an option cannot be honoured.
        """
        config = cast("dict[str, object]", app.config)
        options = settings_from(config.get("RESILIENCE", {}), 'app.config["RESILIENCE"]', self._given)
        before = app.extensions.get("resilience")
        if before is self:
            return
        if isinstance(before, Resilience):
            raise ConfigurationError("this Flask app has a Resilience already, with options of its own")
        app.extensions["resilience"] = self
        app.wsgi_app = _Middleware(app.wsgi_app, options)  # type: ignore[method-assign]  # as Flask's documentation does
        handlers = app.error_handler_spec[None][None]
        own: Any = handlers.get(Exception)

        def answer(error: Exception) -> Any:
            problem = None if isinstance(error, HTTPException) else problem_of(error)
            if problem is not None:
                reply = reply_to(problem, options, flask.request.method)
                return flask.Response(reply.content, reply.status, reply.headers)
            if own is not None:
                return app.ensure_sync(own)(error)
            # What is trapped goes on as a mistake of the application, and comes again as the page for that.
            is_page = isinstance(error, InternalServerError) and error.original_exception is not None
            if isinstance(error, HTTPException) and (is_page or not app.trap_http_exception(error)):
                return error
            raise error

        app.register_error_handler(Exception, answer)


class _Middleware(ResilienceMiddleware):
    def __init__(self, app: Any, options: Options) -> None:
        self._prepare(app, options)

    @staticmethod
    def route_of(_request: Any) -> str | None:
        """The rule of the view, once it is found."""
        rule = flask.request.url_rule if flask.has_request_context() else None
        return None if rule is None else rule.rule


def health() -> flask.Response:
    """The view that tells which breakers are open and which accounts are latched: `app.add_url_rule("/health", view_func=health)`."""
    reply = readiness(method=flask.request.method)
    return flask.Response(reply.content, reply.status, reply.headers)
