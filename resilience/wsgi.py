"""Middleware and a health view for WSGI: Flask, Django and whatever else speaks it.

    application = ResilienceMiddleware(application, timeout=10, deadline_header="X-Request-Timeout")

Frameworks that answer for every error themselves have modules of their own: `resilience.flask`, `resilience.django`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Unpack

from ._inbound import Inbound
from ._problem import LATE, Reply, problem_of, reply_to
from ._readiness import View
from ._web_options import Given, options_from

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from ._inbound import Arrival
    from ._web_options import Options

__all__ = ["Health", "ResilienceMiddleware", "health"]

_Answer = Callable[[Exception], Reply | None]


class ResilienceMiddleware:
    """Binds what a request leaves to its calls, and answers for those that ended here.

    The deadline holds until the whole answer is handed over: also for calls that are made while it is streamed. An error
    that comes up when the answer has begun is passed on, and so is any that has nothing to do with our calls.

    Arguments:
        app: what is wrapped.
        options: the same for all frameworks; functions among them are called with the environment of the request.

    Raises:
        ConfigurationError: an option cannot be honoured.
    """

    def __init__(self, app: WSGIApplication, **options: Unpack[Given]) -> None:
        self._prepare(app, options_from(options, "the middleware"))

    def _prepare(self, app: WSGIApplication, options: Options) -> None:
        self._app = app
        self._options = options
        self._inbound = Inbound(options, self.route_of)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request.

        Arguments:
            environ: the request.
            start_response: of the server.
        """
        options, method = self._options, environ["REQUEST_METHOD"]
        if options.health is not None and environ.get("PATH_INFO") == options.health:
            return Health(fails_when=options.health_fails_when)(environ, start_response)

        def values(name: str) -> list[str]:
            found = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
            return [] if found is None else [found]

        def answer(error: Exception) -> Reply | None:
            problem = problem_of(error)
            return None if problem is None else reply_to(problem, options, method)

        arrival = self._inbound.receive(values, environ, environ)
        if arrival.is_late:
            return _start(start_response, reply_to(LATE, options, method))
        begun = _Begun(start_response)
        try:
            with arrival.held():
                found = self._app(environ, begun.start)
        except Exception as error:
            arrival.end()
            reply = None if begun.has_written else answer(error)
            if reply is None:
                raise
            return begun.replace(reply)
        # PEP 3333: a callable, and not always a class.
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(found, (list, tuple)) or (isinstance(wrapper, type) and isinstance(found, wrapper)):
            # All of it is there; servers look at what it is, to send a file at once.
            begun.tell()
            arrival.end()
            return found
        return _Steps(found, begun, arrival, answer).begun()

    @staticmethod
    def route_of(_request: Any) -> str | None:
        """The template of the route that a request goes, where a framework tells it: WSGI itself does not."""
        return None


class _Begun:
    """How an answer begins: the server is told once there is some of it, or where its application is done.

    A server that is told of another beginning need only not have sent the first one: gunicorn sends the headers of both.
    """

    def __init__(self, start: StartResponse) -> None:
        self._start = start
        self._held: tuple[str, list[tuple[str, str]]] | None = None
        self._write: Callable[[bytes], object] | None = None
        self.has_written = False

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        # What it makes of its own first beginning, with an error or by mistake, is between the application and the server.
        self.tell()
        if self._write is None and not exc_info:
            self._held = status, headers
        else:
            self._write = self._start(status, headers, exc_info) if exc_info else self._start(status, headers)
        return self._written

    def tell(self) -> None:
        """Have the server know how the answer begins, where it does not yet."""
        if self._held is not None:
            self._write, self._held = self._start(*self._held), None

    def replace(self, reply: Reply) -> Iterable[bytes]:
        self._held = None
        return _start(self._start, reply, anew=self._write is not None)

    def _written(self, data: bytes, /) -> object:
        self.tell()
        self.has_written = True
        return None if self._write is None else self._write(data)


class _Steps:
    """An answer that is made step by step: each is held to what the request leaves."""

    def __init__(self, answer: Iterable[bytes], begun: _Begun, arrival: Arrival, instead: _Answer) -> None:
        self._answer, self._begun, self._arrival, self._instead = answer, begun, arrival, instead
        self._iterator: Iterator[bytes] | None = None
        self._first: list[bytes] = []

    def begun(self) -> _Steps:
        """The same with its first step made: who is around it may look for the status as soon as it has it."""
        try:
            self._first.extend(islice(self, 1))
            self._begun.tell()
        except BaseException:
            # The server, which would close it, never gets it.
            self.close()
            raise
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first:
            return self._first.pop()
        try:
            with self._arrival.held():
                self._iterator = iter(self._answer) if self._iterator is None else self._iterator
                chunk = next(self._iterator)
        except StopIteration:
            self._arrival.end()
            raise
        except Exception as error:
            reply = None if self._begun.has_written else self._instead(error)
            if reply is None:
                raise
            self._iterator = iter(self._begun.replace(reply))
            return next(self._iterator)
        self._begun.tell()
        # A server sends nothing before the first bytes that are some (PEP 3333).
        self._begun.has_written = self._begun.has_written or bool(chunk)
        return chunk

    def close(self) -> None:
        """Called by the server, whether all of it was sent or not."""
        close = getattr(self._answer, "close", None)
        try:
            if close is not None:
                with self._arrival.held():
                    close()
        finally:
            self._arrival.end()


class Health(View):
    """A WSGI application that tells which breakers are open and which accounts are latched; it takes a moment at most.

    Arguments:
        providers: of these alone; by default all that are in the stores of this process.
        fails_when: for what the answer is 503 (`breaker`, `latch`, `store`); by default it is 200 whatever is open.

    Raises:
        ConfigurationError: `fails_when` has something else.
    """

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request.

        Arguments:
            environ: the request.
            start_response: of the server.
        """
        return _start(start_response, self._answer(environ["REQUEST_METHOD"]))


health = Health()
"""The view itself."""


def _start(start: StartResponse, reply: Reply, *, anew: bool = False) -> list[bytes]:
    from http import HTTPStatus

    status = f"{reply.status} {HTTPStatus(reply.status).phrase}"
    if anew:
        # PEP 3333: headers that were not sent yet are replaced.
        start(status, list(reply.headers), sys.exc_info())
    else:
        start(status, list(reply.headers))
    return [reply.content]
