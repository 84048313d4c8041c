"""Middleware and a health view for ASGI: Starlette, FastAPI, Litestar, Quart and whatever else speaks it.

    app.add_middleware(ResilienceMiddleware, timeout=10, deadline_header="X-Request-Timeout")

Every call that is made for a request keeps to its deadline, its attempts and its tags; what comes up of a call that ended
here, or of a provider that has failed, becomes `application/problem+json`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Unpack, cast

from ._inbound import Inbound
from ._problem import LATE, Reply, problem_of, reply_to
from ._readiness import View, is_instant
from ._web_options import Given, options_from

__all__ = ["Health", "ResilienceMiddleware", "health", "route_of"]

_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]
# What an answer ends with: its body, or the name of a file where the server sends that itself (the extension pathsend).
_LAST = ("http.response.body", "http.response.pathsend")


class ResilienceMiddleware:
    """Binds what a request leaves to its calls, and answers for those that ended here. Only `http` is touched.

    The deadline holds until the whole answer is sent: also for calls that are made while it is streamed, and not for
    background tasks that go on after it. It ends no stream that a provider has begun. An error that comes up when the
    answer has begun is passed on, and so is any that has nothing to do with our calls.

    Arguments:
        app: what is wrapped.
        options: the same for all frameworks; functions among them are called with the scope.

    Raises:
        ConfigurationError: an option cannot be honoured.
    """

    def __init__(self, app: Any, **options: Unpack[Given]) -> None:
        # Each framework has types of its own for what ASGI says of an application.
        self._app = cast("_App", app)
        self._options = options_from(options, "the middleware")
        self._inbound = Inbound(self._options, route_of)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer a request, or pass on whatever else comes.

        Arguments:
            scope: of what has come.
            receive: of the server.
            send: of the server.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        options, method = self._options, scope["method"]
        if options.health is not None and options.health in _paths(scope):
            await Health(fails_when=options.health_fails_when)(scope, receive, send)
            return
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])

        def values(name: str) -> list[str]:
            # ASGI has the names in lower case.
            wanted = name.lower().encode()
            return [value.decode("latin-1") for each, value in headers if each == wanted]

        arrival = self._inbound.receive(values, scope, scope)
        if arrival.is_late:
            await _send(send, reply_to(LATE, options, method))
            return
        has_begun = False

        async def send_on(message: _Message) -> None:
            nonlocal has_begun
            # Hints may go before an answer.
            has_begun = has_begun or message["type"] == "http.response.start"
            await send(message)
            if message["type"] in _LAST and not message.get("more_body", False):
                arrival.end()

        try:
            with arrival.held():
                await self._app(scope, receive, send_on)
        except Exception as error:
            problem = None if has_begun else problem_of(error)
            if problem is None:
                raise
        else:
            return
        finally:
            arrival.end()
        await _send(send, reply_to(problem, options, method))


class Health(View):
    """An ASGI application that tells which breakers are open and which accounts are latched; it takes a moment at most.

    Arguments:
        providers: of these alone; by default all that are in the stores of this process.
        fails_when: for what the answer is 503 (`breaker`, `latch`, `store`); by default it is 200 whatever is open.

    Raises:
        ConfigurationError: `fails_when` has something else.
    """

    async def __call__(self, scope: _Scope, _receive: _Receive, send: _Send) -> None:
        """Answer a request.

        Arguments:
            scope: of it.
            send: of the server.
        """
        if scope["type"] != "http":
            raise RuntimeError(f"the health view answers HTTP requests alone, and this is {scope['type']}")

        def read() -> Reply:
            return self._answer(scope["method"])

        if is_instant():
            reply = read()
        else:
            from anyio.to_thread import run_sync

            # A shared store may take its time; the other requests go on.
            reply = await run_sync(read)
        await _send(send, reply)


health = Health()
"""The view itself: `Mount("/health/resilience", app=health)`."""


def route_of(scope: _Scope) -> str | None:
    """The template of the route that a request goes, once the framework has found it; `None` before, and where it does not tell.

    Arguments:
        scope: of the request.
    """
    found: object = scope.get("path_template") or getattr(scope.get("route"), "path", None)
    if found is None and (endpoint := scope.get("endpoint")) is not None:
        routes: Any = getattr(scope.get("router"), "routes", ())
        found = next((each.path for each in routes if getattr(each, "endpoint", None) is endpoint), None)
    return found if isinstance(found, str) else None


def _paths(scope: _Scope) -> tuple[str, str]:
    """The path of a request, and the same below where the application stands: servers with a root path, and mounts, put it before."""
    path: str = scope["path"]
    root = str(scope.get("root_path") or "").rstrip("/")
    return path, path[len(root) :] if path.startswith(f"{root}/") else path


async def _send(send: _Send, reply: Reply) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.content})
