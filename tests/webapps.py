"""The same small application on each web framework, under a real server: what its handlers do is the same everywhere."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import socketserver
import sys
import threading
import types
import wsgiref.simple_server
from collections.abc import Callable, Iterator
from typing import Any

import django
import httpx
import uvicorn
from django.conf import settings

import resilience.httpx
from resilience._caller import attempts_left
from resilience._tags import tags_of

__all__ = ["FRAMEWORKS", "Handlers", "configure_django", "serve", "serve_asgi", "serve_wsgi"]


class Handlers:
    """What the application does, for whichever framework.

    Arguments:
        url: of the provider.
        transport: made for each client of its own: options of `resilience.httpx.Transport`.
    """

    def __init__(self, url: str, **transport: Any) -> None:
        self.url = url
        self.called = 0
        self._sync = httpx.Client(transport=resilience.httpx.Transport(**transport), timeout=60)
        self._transport = transport

    def close(self) -> None:
        """It is served no more."""
        self._sync.close()

    def call(self) -> dict[str, Any]:
        """One call that has to succeed."""
        self.called += 1
        answer = self._sync.get(self.url, params={"api_key": "SECRET"}, headers={"Authorization": "Bearer SECRET"})
        return {"status": answer.raise_for_status().status_code}

    async def call_async(self) -> dict[str, Any]:
        self.called += 1
        transport = resilience.httpx.Transport(**self._transport)
        async with httpx.AsyncClient(transport=transport, timeout=60) as client:
            answer = await client.get(
                self.url, params={"api_key": "SECRET"}, headers={"Authorization": "Bearer SECRET"}
            )
            return {"status": answer.raise_for_status().status_code}

    def known(self) -> dict[str, Any]:
        """What a call at this place would be held to."""
        return {"left": resilience.seconds_left(), "attempts": attempts_left(), "tags": dict(tags_of(None))}

    def boom(self) -> dict[str, Any]:
        """A mistake of the application's own."""
        raise ValueError("a mistake")


def starlette_app(handlers: Handlers, *, threads: bool, **options: Any) -> Any:
    """Starlette, with the middleware as Starlette adds it."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from resilience.asgi import ResilienceMiddleware

    async def call(_: Request) -> JSONResponse:
        return JSONResponse(await handlers.call_async())

    def call_in_thread(_: Request) -> JSONResponse:
        return JSONResponse(handlers.call())

    def known(_: Request) -> JSONResponse:
        return JSONResponse(handlers.known())

    async def known_async(_: Request) -> JSONResponse:
        return JSONResponse(handlers.known())

    def boom(_: Request) -> JSONResponse:
        return JSONResponse(handlers.boom())

    routes = [
        Route("/call", call_in_thread if threads else call, methods=["GET", "HEAD"]),
        Route("/known/{item}", known if threads else known_async),
        Route("/boom", boom),
    ]
    return Starlette(routes=routes, middleware=[Middleware(ResilienceMiddleware, **options)])


def fastapi_app(handlers: Handlers, *, threads: bool, **options: Any) -> Any:
    from fastapi import FastAPI

    from resilience.fastapi import add_resilience

    app = FastAPI()
    add_resilience(app, **options)
    app.api_route("/call", methods=["GET", "HEAD"])(handlers.call if threads else handlers.call_async)
    app.get("/known/{item}")(handlers.known)
    app.get("/boom")(handlers.boom)
    return app


def litestar_app(handlers: Handlers, *, threads: bool, **options: Any) -> Any:
    from litestar import Litestar, get, head

    from resilience.litestar import ResiliencePlugin

    if threads:

        @get("/call", sync_to_thread=True)
        def call() -> dict[str, Any]:
            return handlers.call()
    else:

        @get("/call")
        async def call() -> dict[str, Any]:
            return await handlers.call_async()

    @head("/call", sync_to_thread=True)
    def call_head() -> None:
        handlers.call()

    @get("/known/{item:str}", sync_to_thread=threads)
    def known() -> dict[str, Any]:
        return handlers.known()

    @get("/boom", sync_to_thread=False)
    def boom() -> dict[str, Any]:
        return handlers.boom()

    return Litestar([call, call_head, known, boom], plugins=[ResiliencePlugin(**options)])


def flask_app(handlers: Handlers, **options: Any) -> Any:
    from flask import Flask

    from resilience.flask import Resilience

    app = Flask("webapps")
    Resilience(app, **options)
    app.get("/call")(handlers.call)
    app.add_url_rule("/known/<item>", view_func=lambda item: handlers.known(), endpoint="known")
    app.get("/boom")(handlers.boom)
    return app


def wsgi_app(handlers: Handlers, **options: Any) -> Any:
    """No framework at all."""
    import json

    from resilience.wsgi import ResilienceMiddleware

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        path: str = environ["PATH_INFO"]
        does = {"/call": handlers.call, "/boom": handlers.boom}.get(path, handlers.known)
        found = json.dumps(does()).encode()
        start_response("200 OK", [("Content-Type", "application/json")])
        yield found

    return ResilienceMiddleware(app, **options)


_django: dict[str, Any] = {}


def configure_django() -> None:
    """Once in a process: settings, and a module of URLs."""
    if settings.configured:
        return
    from django.http import HttpRequest, JsonResponse
    from django.urls import path

    def call(_: HttpRequest) -> JsonResponse:
        return JsonResponse(_django["handlers"].call())

    async def call_async(_: HttpRequest) -> JsonResponse:
        return JsonResponse(await _django["handlers"].call_async())

    def known(_: HttpRequest, item: str) -> JsonResponse:
        return JsonResponse(_django["handlers"].known())

    async def known_async(_: HttpRequest, item: str) -> JsonResponse:
        return JsonResponse(_django["handlers"].known())

    def boom(_: HttpRequest) -> JsonResponse:
        return JsonResponse(_django["handlers"].boom())

    for name, views in {"sync": (call, known), "async": (call_async, known_async)}.items():
        urls: Any = types.ModuleType(f"webapps_urls_{name}")
        urls.urlpatterns = [path("call", views[0]), path("known/<item>", views[1]), path("boom", boom)]
        sys.modules[urls.__name__] = urls
    settings.configure(
        ALLOWED_HOSTS=["*"], SECRET_KEY="-", DEBUG=False, ROOT_URLCONF="webapps_urls_sync", LOGGING_CONFIG=None
    )
    django.setup()


def django_app(handlers: Handlers, *, views: str, server: str, **options: Any) -> Any:
    configure_django()
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings
    from django.urls import clear_url_caches

    _django["handlers"] = handlers
    clear_url_caches()
    chosen = override_settings(
        ROOT_URLCONF=f"webapps_urls_{views}",
        MIDDLEWARE=["resilience.django.ResilienceMiddleware"],
        RESILIENCE={name.upper(): value for name, value in options.items()},
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(chosen)
        app = WSGIHandler() if server == "wsgi" else ASGIHandler()
        # They hold while requests are answered, too.
        _django["settings"] = stack.pop_all()
    return app


FRAMEWORKS: dict[str, Callable[..., Any]] = {
    "starlette": lambda handlers, **options: starlette_app(handlers, threads=False, **options),
    "starlette-threads": lambda handlers, **options: starlette_app(handlers, threads=True, **options),
    "fastapi": lambda handlers, **options: fastapi_app(handlers, threads=False, **options),
    "fastapi-threads": lambda handlers, **options: fastapi_app(handlers, threads=True, **options),
    "litestar": lambda handlers, **options: litestar_app(handlers, threads=False, **options),
    "litestar-threads": lambda handlers, **options: litestar_app(handlers, threads=True, **options),
    "django-asgi": lambda handlers, **options: django_app(handlers, views="async", server="asgi", **options),
    "django-asgi-sync": lambda handlers, **options: django_app(handlers, views="sync", server="asgi", **options),
    "wsgi": wsgi_app,
    "flask": flask_app,
    "django-wsgi": lambda handlers, **options: django_app(handlers, views="sync", server="wsgi", **options),
}
_WSGI = {"wsgi", "flask", "django-wsgi"}


class _Uvicorn(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        # uvicorn looks ten times a second whether it should exit.
        while not self.should_exit:
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def serve_asgi(app: Any) -> Iterator[str]:
    """Serve with uvicorn, in a thread; gives the URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=5)
    server = _Uvicorn(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        assert server.ready.wait(60)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()


class _Threads(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """The standard library's server, with a thread for each request."""

    daemon_threads = True


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def get_stderr(self) -> Any:
        return io.StringIO()


@contextlib.contextmanager
def serve_wsgi(app: Any) -> Iterator[str]:
    """Serve with the standard library's server and threads; gives the URL."""
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, _Threads, _Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()


@contextlib.contextmanager
def serve(name: str, handlers: Handlers, **options: Any) -> Iterator[httpx.Client]:
    """Serve the application on one of the frameworks; gives a client for it."""
    app = FRAMEWORKS[name](handlers, **options)
    try:
        with (
            (serve_wsgi if name in _WSGI else serve_asgi)(app) as url,
            httpx.Client(base_url=url, timeout=60) as client,
        ):
            yield client
    finally:
        handlers.close()
        if held := _django.pop("settings", None):
            held.close()
