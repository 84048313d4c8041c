"""The WSGI middleware beyond what all frameworks share: streams, files, servers that fork; Flask and Django."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import flask
import httpx
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory, override_settings
from werkzeug.exceptions import NotFound

import resilience
from resilience import errors
from resilience._caller import attempts_left
from resilience.errors import ConfigurationError
from resilience.stores import forget_all
from resilience.wsgi import Health, ResilienceMiddleware, health
from tests.rawserver import answer, raw_server
from tests.servers import free_port
from tests.webapps import configure_django, serve_wsgi

configure_django()
import resilience.django as our_django  # noqa: E402  Django wants its settings first
from resilience.flask import Resilience  # noqa: E402
from resilience.flask import health as flask_health  # noqa: E402

ROOT = Path(__file__).parent.parent
REFUSED = errors.BreakerOpen("SECRET", layer="breaker", policy="p", retry_after=2.5)
Start = Callable[..., Any]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    forget_all()


def environ(path: str = "/", method: str = "GET", **given: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "",
        "SERVER_NAME": "app", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False, **given,
    }  # fmt: skip


class Started:
    """What a server was told."""

    def __init__(self) -> None:
        self.statuses: list[str] = []
        self.written: list[bytes] = []

    def __call__(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        assert exc_info or not self.statuses
        self.statuses.append(status)
        return self.written.append


def test_the_middleware_keeps_to_the_rules_of_wsgi() -> None:
    """The standard library's validator stands on both of its sides."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"1", b"2"])

    def refuse(environ: Any, start_response: Start) -> Iterable[bytes]:
        raise REFUSED

    for inner, status in ((app, 200), (refuse, 503)):
        with serve_wsgi(validator(ResilienceMiddleware(validator(inner), timeout=5))) as url:
            assert status == httpx.get(url).status_code


def test_a_stream_is_held_at_each_step_and_what_is_beside_it_is_not() -> None:
    """Also while it is closed; between the steps the thread belongs to the server."""
    seen: list[Any] = []

    class Body:
        def __init__(self) -> None:
            self.left = 2

        def __iter__(self) -> Any:
            seen.append(attempts_left())
            return self

        def __next__(self) -> bytes:
            self.left -= 1
            seen.append(attempts_left())
            if self.left < 0:
                raise StopIteration
            return b"x"

        def close(self) -> None:
            seen.append("closed")

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Body()

    found: Any = ResilienceMiddleware(app, attempts_header="X-Left")(environ(HTTP_X_LEFT="2"), Started())
    between = [(chunk, attempts_left(), resilience.seconds_left()) for chunk in found]
    found.close()

    assert [(b"x", None, None)] * 2 == between
    # The last step only finds out that there is none.
    assert [2, 2, 2, 2, "closed"] == seen


def test_an_error_before_the_first_bytes_is_answered_for_and_one_after_them_is_passed_on() -> None:
    """A server sends nothing before the first bytes that are some."""

    def app(first: bytes) -> Any:
        def generator(environ: Any, start_response: Start) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield first
            raise REFUSED

        return ResilienceMiddleware(generator)

    started = Started()
    answered = b"".join(app(b"")(environ(), started))
    with pytest.raises(errors.BreakerOpen):
        list(app(b"x")(environ(), Started()))

    assert ["200 OK", "503 Service Unavailable"] == started.statuses
    assert b'"provider_unavailable"' in answered


def test_an_answer_of_ours_has_none_of_the_headers_that_the_application_had_begun_with() -> None:
    """Under gunicorn a second beginning adds its headers to those of the first: two lengths, which clients refuse."""

    def app(is_step: bool) -> Any:
        def stream() -> Iterator[bytes]:
            raise REFUSED
            yield b""

        def begin(environ: Any, start_response: Start) -> Iterable[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
            return stream() if is_step else list(stream())

        return ResilienceMiddleware(begin)

    for is_step in (True, False):
        started = Started()
        answered = b"".join(app(is_step)(environ(), started))

        assert ["503 Service Unavailable"] == started.statuses
        assert b'"provider_unavailable"' in answered


def test_a_stream_has_begun_when_the_server_gets_it() -> None:
    """What stands around the middleware may look for the status at once; a stream that cannot begin is closed all the same."""
    seen: list[str] = []

    def stream(number: int) -> Iterator[bytes]:
        try:
            yield str(1 // number).encode()
            yield b"2"
        finally:
            seen.append("closed")

    def app(number: int) -> Any:
        def begin(environ: Any, start_response: Start) -> Iterable[bytes]:
            start_response("200 OK", [])
            return stream(number)

        return ResilienceMiddleware(begin)

    started = Started()
    found = app(1)(environ(), started)
    begun = list(started.statuses)
    with pytest.raises(ZeroDivisionError):
        app(0)(environ(), Started())

    assert ["200 OK"] == begun
    assert ["closed"] == seen
    assert [b"1", b"2"] == list(found)


def test_what_was_written_at_once_has_begun_too() -> None:
    """The old way, by the function that a server gives."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])(b"x")
        raise REFUSED

    started = Started()
    with pytest.raises(errors.BreakerOpen):
        ResilienceMiddleware(app)(environ(), started)

    assert (["200 OK"], [b"x"]) == (started.statuses, started.written)


def test_an_application_may_replace_its_own_answer() -> None:
    """Its errors go to the server as they are."""

    def app(environ: Any, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            int("x")
        except ValueError:
            start_response("500 Internal Server Error", [], sys.exc_info())
        return [b"x"]

    started = Started()

    assert [b"x"] == ResilienceMiddleware(app)(environ(), started)
    assert ["200 OK", "500 Internal Server Error"] == started.statuses


@pytest.mark.parametrize("body", [[b"x"], FileWrapper(io.BytesIO(b"x"))], ids=["list", "file"])
def test_what_is_there_as_a_whole_stays_what_it_is(body: Any) -> None:
    """Servers look at it: for its length, or to hand a file to the system."""
    found = ResilienceMiddleware(lambda *_: body, timeout=5)(environ(**{"wsgi.file_wrapper": FileWrapper}), Started())

    assert body is found


@pytest.mark.parametrize("workers", [["--threads", "4"], []], ids=["threads", "sync"])
@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn needs fork, which Windows has not")
def test_under_gunicorn_a_deadline_is_honoured_and_a_refusal_says_when(tmp_path: Path, workers: list[str]) -> None:
    """Preloaded, and served by a process that was forked; counted at the provider."""
    (tmp_path / "shop.py").write_text(
        textwrap.dedent(
            """
            import os, httpx, flask, resilience
            from resilience.flask import Resilience

            resilience.install(os.environ["TEST_CONFIG"])
            app = flask.Flask("shop")
            Resilience(app, deadline_header="X-Timeout", attempts_header="X-Attempts")
            client = httpx.Client(timeout=60)

            @app.get("/call")
            def call():
                return client.get(os.environ["TEST_PROVIDER"]).raise_for_status().json()
            """
        )
    )

    def hang(connection: Any) -> bool:
        return bool(connection.recv(1))

    with raw_server(hang, answer(503, b"{}"), answer(503, b"{}"), answer(200, b"{}")) as provider:
        host = provider.url.removeprefix("http://")
        (tmp_path / "p.yaml").write_text(
            f'{{version: 1, provider: p, match: {{hosts: ["{host}"]}}, breaker: {{off: true}},\n'
            " retry: {max_attempts: 3, spread: 0, backoff: {initial: 1ms, max: 1ms}},\n"
            " limits: [{name: all, rate: 4/hour, per: provider, max_wait: 0s}]}\n"
        )
        (tmp_path / "resilience.yaml").write_text("{version: 1, shipped: false, policies: [./p.yaml]}\n")
        with gunicorn(tmp_path, provider.url, workers) as url, httpx.Client(base_url=url, timeout=60) as client:
            # What a slow machine spends before it sends anything is the provider's to miss: then more is left.
            late = [client.get("/call", headers={"X-Timeout": "0.5"})]
            while not provider.requests:
                late.append(client.get("/call", headers={"X-Timeout": str(2 ** len(late))}))
            answers = [
                late[-1],
                client.get("/call", headers={"X-Attempts": "1"}),
                client.get("/call"),
                client.get("/call"),
            ]

    assert {504} == {each.status_code for each in late}
    assert [504, 503, 200, 503] == [each.status_code for each in answers]
    assert 4 == len(provider.requests)
    assert ["deadline_exceeded", "provider_unavailable", "rate_limited"] == [
        each.json()["code"] for each in answers if each.status_code != 200
    ]
    assert 0 < int(answers[3].headers["retry-after"]) <= 3600


@contextlib.contextmanager
def gunicorn(folder: Path, provider: str, arguments: list[str]) -> Iterator[str]:
    """The application `shop:app` in a process of its own."""
    port = free_port()
    config = str(folder / "resilience.yaml")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TEST_PROVIDER": provider, "TEST_CONFIG": config}
    command = ["-m", "gunicorn", "--preload", "-b", f"127.0.0.1:{port}", "-w", "1", "--no-control-socket", *arguments]
    log = folder / "gunicorn.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, "shop:app"], cwd=folder, env=environment, stdout=output, stderr=output
        )
    try:
        until = time.monotonic() + 60
        while b"Booting worker" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def test_flask_keeps_its_own_answers_and_an_application_its_handlers() -> None:
    """The extension's handler is for all errors, and leaves what is none of ours to whoever was there."""
    answers: list[tuple[int, str]] = []
    for has_own in (False, True):
        app = flask.Flask("shop")
        if has_own:
            app.register_error_handler(Exception, lambda error: (f"own {type(error).__name__}", 418))
        extension = Resilience()
        app.config["RESILIENCE"] = {"TIMEOUT": 5}
        extension.init_app(app)
        assert app.extensions["resilience"] is extension

        @app.get("/missing")
        def missing() -> None:
            raise NotFound from REFUSED

        @app.get("/boom")
        def boom() -> None:
            raise ValueError("SECRET")

        @app.get("/refused")
        def refuse() -> None:
            raise REFUSED

        app.add_url_rule("/left", view_func=lambda: {"left": resilience.seconds_left()})
        app.add_url_rule("/health", view_func=flask_health)
        client = app.test_client()
        for path in ("/missing", "/boom", "/refused"):
            found = client.get(path)
            answers.append((found.status_code, found.text))
        assert 4 < client.get("/left").json["left"] <= 5
        found = client.get("/health")
        assert (200, "ok") == (found.status_code, found.json["status"])

    assert [404, 500, 503, 418, 418, 503] == [status for status, _ in answers]
    assert ["own NotFound", "own ValueError"] == [text for status, text in answers if status == 418]
    assert not any("SECRET" in text for _, text in answers)


def test_flask_debugging_still_sees_an_error_of_the_application() -> None:
    """Where errors are propagated, as in tests."""
    app = flask.Flask("shop")
    Resilience(app)
    app.testing = True

    @app.get("/boom")
    def boom() -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        app.test_client().get("/boom")


def test_flask_options_of_the_program_go_before_those_of_the_configuration() -> None:
    """And an option that is none is refused when the extension is prepared."""
    app = flask.Flask("shop")
    app.config["RESILIENCE"] = {"TIMEOUT": 5}
    Resilience(app, timeout=2)
    app.add_url_rule("/left", view_func=lambda: {"left": resilience.seconds_left()})
    wrong = flask.Flask("shop")
    wrong.config["RESILIENCE"] = {"TIMOUT": 5}

    assert 1 < app.test_client().get("/left").json["left"] <= 2
    with pytest.raises(ConfigurationError, match=r"app.config\[\"RESILIENCE\"\] has no option 'timout'"):
        Resilience(wrong)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"TIMOUT": 3}, "RESILIENCE in the settings has no option 'timout'; did you mean"),
        ({"TIMEOUT": "3"}, "timeout is '3'; write a number of seconds"),
        (["TIMEOUT"], "RESILIENCE in the settings is a mapping of options"),
    ],
    ids=str,
)
def test_django_refuses_settings_that_cannot_be_honoured(given: Any, message: str) -> None:
    """When it starts, in its own way."""
    with override_settings(RESILIENCE=given), pytest.raises(ImproperlyConfigured) as caught:
        our_django.ResilienceMiddleware(lambda _: HttpResponse())

    assert message in str(caught.value)


def test_django_keeps_its_own_answers() -> None:
    """A page that is missing is missing, whatever it was that was not found there."""
    missing = Http404("not there")
    missing.__cause__ = REFUSED
    middleware = our_django.ResilienceMiddleware(lambda _: HttpResponse())
    request = RequestFactory().get("/")

    assert middleware.process_exception(request, missing) is None
    assert middleware.process_exception(request, ValueError()) is None
    assert (503, "3") == ((found := middleware.process_exception(request, REFUSED)).status_code, found["Retry-After"])
    assert (200, b'{"status": "ok"') == ((found := our_django.health(request)).status_code, found.content[:15])


def test_django_streams_are_held_at_each_step() -> None:
    """Sync ones and async ones, and not between the steps."""
    with override_settings(RESILIENCE={"ATTEMPTS_HEADER": "X-Left", "TIMEOUT": 50}):

        def steps() -> Iterator[str]:
            yield str(attempts_left())
            yield str((resilience.seconds_left() or 0) > 40)

        async def steps_async() -> Any:
            for each in steps():
                yield each

        async def view(_: Any) -> Any:
            await asyncio.sleep(0)
            return StreamingHttpResponse(steps_async())

        async def whole() -> list[Any]:
            answered = await our_django.ResilienceMiddleware(view)(RequestFactory().get("/", headers={"X-Left": "2"}))
            return [(each, attempts_left()) async for each in answered]

        sync = our_django.ResilienceMiddleware(lambda _: StreamingHttpResponse(steps()))
        answered = sync(RequestFactory().get("/", headers={"X-Left": "2"}))
        found = [(each, attempts_left()) for each in answered]

        assert [(b"2", None), (b"True", None)] == found == asyncio.run(whole())


def test_the_health_view_is_an_application_of_its_own() -> None:
    """With a status that can follow what is wrong; a HEAD gets no body."""
    started = Started()

    found = [
        b"".join(app(environ(method=method), Started()))
        for app in (health, Health(fails_when=["latch"]))
        for method in ("GET", "HEAD")
    ]
    list(health(environ(), started))

    assert ["200 OK"] == started.statuses
    assert [True, False, True, False] == [each.startswith(b'{"status": "ok"') for each in found]
    with pytest.raises(ConfigurationError, match="the health view"):
        Health(fails_when=["all"])  # type: ignore[list-item]


def test_a_file_wrapper_need_not_be_a_class() -> None:
    """PEP 3333 asks for a callable, and some servers have a function."""
    app = ResilienceMiddleware(lambda _, start: (start("200 OK", []) and None) or iter([b"hello"]))

    found = app(environ(**{"wsgi.file_wrapper": lambda file, size=None: file}), Started())

    assert [b"hello"] == list(found)
