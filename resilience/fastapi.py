"""FastAPI: the middleware with its handlers in one call, and dependencies for an endpoint's deadline.

add_resilience(app, timeout=10, deadline_header="X-Request-Timeout")

@app.get("/report", dependencies=[Depends(within(2.5))])
async def report(left: SecondsLeft) -> ...
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Unpack

import fastapi

from ._caller import bounded, check_seconds, seconds_left
from ._inbound import ARRIVAL
from ._problem import problem_of, reply_to
from ._web_options import Given, options_from
from .asgi import ResilienceMiddleware
from .errors import CallError, ConfigurationError

__all__ = ["SecondsLeft", "add_resilience", "within"]


async def _seconds_left() -> float | None:
    return seconds_left()


SecondsLeft = Annotated[float | None, fastapi.Depends(_seconds_left, use_cache=False)]
"""What is left of the deadline when an endpoint begins, in seconds; `None` without one."""


def add_resilience(app: fastapi.FastAPI, **options: Unpack[Given]) -> None:
    """Add the middleware, and the handler for the errors of this library.

    Middleware that is added later stands outside of it, and sees its answers: CORS headers among them.

    Arguments:
        app: the application.
        options: as for `resilience.asgi.ResilienceMiddleware`; functions among them are called with the scope.

    Raises:
        ConfigurationError: an option cannot be honoured, or the application has the middleware already.
    """
    checked = options_from(options, "add_resilience")
    added: list[Any] = [each.cls for each in app.user_middleware]
    if ResilienceMiddleware in added:
        raise ConfigurationError(
            "this FastAPI app has the middleware already; call add_resilience once, with all options"
        )

    async def answer(request: fastapi.Request, error: Exception) -> fastapi.Response:
        problem = problem_of(error)
        if problem is None:
            raise error
        reply = reply_to(problem, checked, request.method)
        return fastapi.Response(reply.content, reply.status, dict(reply.headers))

    app.add_middleware(ResilienceMiddleware, **options)
    # Inside of every middleware: all of them see an answer, as for FastAPI's own exceptions.
    app.add_exception_handler(CallError, answer)


def within(seconds: float) -> Callable[[fastapi.Request], AsyncIterator[None]]:
    """A dependency that gives a route so much time, or what is left of the request's where that is less.

    Arguments:
        seconds: for all its calls together.

    Raises:
        ConfigurationError: this is no number of seconds.
    """
    check_seconds(seconds)

    async def bound(request: fastapi.Request) -> AsyncIterator[None]:
        with bounded(seconds) as made:
            # FastAPI ends this block after the background tasks, which nobody waits for.
            if (arrival := request.scope.get(ARRIVAL)) is not None:
                arrival.ends(made)
            yield

    return bound
