"""The ASGI middleware beyond what all frameworks share: streams, background tasks, other kinds of scopes, FastAPI, Litestar."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import StreamingResponse
from litestar import Litestar, Request, Response, get
from litestar.exceptions import NotFoundException
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

import resilience
import resilience.httpx
from resilience import errors
from resilience._caller import attempts_left
from resilience._tags import tags_of
from resilience.asgi import Health, ResilienceMiddleware, health, route_of
from resilience.errors import ConfigurationError
from resilience.fastapi import SecondsLeft, add_resilience, within
from resilience.litestar import ResiliencePlugin
from resilience.stores import forget_all
from tests.rawserver import answer, raw_server
from tests.test_web_frameworks import DOWN, OPTIONS, RETRY, policy_for
from tests.webapps import Handlers, serve, serve_asgi
from tests.worlds import policy

REFUSED = errors.BreakerOpen("SECRET", layer="breaker", policy="p", retry_after=2.5)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    forget_all()


async def ask(app: Any, path: str = "/", *headers: tuple[str, str], method: str = "GET") -> httpx.Response:
    """One request, without a server."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        return await client.request(method, path, headers=list(headers))


def test_two_services_in_a_row_send_three_times_and_not_nine() -> None:
    """The first sends again itself, and its policy says so to the second."""
    told = {"attempts": {"header": "X-Attempts-Left"}, "deadline": {"header": "X-Timeout-Ms", "as": "milliseconds"}}
    with raw_server(DOWN) as provider:
        inner = Handlers(provider.url, policies=[policy_for(provider)])
        with serve("fastapi", inner, **OPTIONS) as service:
            host = str(service.base_url).removeprefix("http://").rstrip("/")
            next_service = policy(match={"hosts": [host]}, retry=RETRY, breaker={"off": True}, propagate=told)
            outer = Handlers(f"http://{host}/call", policies=[next_service])
            with serve("starlette", outer, **OPTIONS) as client:
                answered = client.get("/call", headers={"X-Timeout-Ms": "30000"})

    assert (3, 3) == (inner.called, len(provider.requests))
    assert (503, "provider_unavailable") == (answered.status_code, answered.json()["code"])


def test_a_stream_is_held_until_its_end_and_a_background_task_is_not() -> None:
    """Whoever waits for the answer waits for all of it; for what goes on after it nobody does."""
    seen: dict[str, Any] = {}

    async def after() -> None:
        seen["after"] = resilience.seconds_left(), attempts_left()

    app = FastAPI()
    # It runs the application in a task of its own, with a copy of the context.
    app.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
    add_resilience(app, timeout=50, attempts_header="X-Attempts-Left")

    @app.get("/")
    async def stream(tasks: BackgroundTasks) -> StreamingResponse:
        tasks.add_task(after)

        async def steps() -> AsyncIterator[bytes]:
            yield b"1"
            await asyncio.sleep(0)
            seen["within"] = resilience.seconds_left(), attempts_left()
            yield b"2"

        return StreamingResponse(steps(), background=tasks)

    with serve_asgi(app) as url:
        text = httpx.get(url, headers={"X-Attempts-Left": "1"}).text

    assert "12" == text
    left, attempts = seen["within"]
    assert 40 < left <= 50
    assert ((None, None), 1) == (seen["after"], attempts)


def test_an_error_after_the_answer_has_begun_is_passed_on() -> None:
    """It is too late for another status; the server ends the connection."""

    async def steps() -> AsyncIterator[bytes]:
        yield b"1"
        raise REFUSED

    app = FastAPI()
    app.add_middleware(ResilienceMiddleware)
    app.get("/")(lambda: StreamingResponse(steps()))

    with serve_asgi(app) as url, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(url)


def test_other_scopes_are_passed_on_as_they_are() -> None:
    """A WebSocket has no deadline: it may live for days; a server's lifespan is none of our business."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send, resilience.seconds_left()))

    scopes: list[dict[str, Any]] = [
        {"type": "websocket", "path": "/", "headers": [(b"x-timeout-ms", b"0")]},
        {"type": "lifespan"},
    ]
    for scope in scopes:
        asyncio.run(ResilienceMiddleware(app, **OPTIONS, timeout=5)(scope, receive_nothing, send_nothing))

    assert [(scope, receive_nothing, send_nothing, None) for scope in scopes] == seen


async def receive_nothing() -> dict[str, Any]:
    return {}


async def send_nothing(_: Any) -> None: ...


def test_a_head_gets_no_body() -> None:
    """And the headers that a GET would get."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise REFUSED

    answers = [asyncio.run(ask(ResilienceMiddleware(app), method=method)) for method in ("GET", "HEAD")]

    assert [503, 503] == [each.status_code for each in answers]
    assert dict(answers[0].headers) == dict(answers[1].headers)
    assert "3" == answers[0].headers["retry-after"]
    assert b"" == answers[1].content != answers[0].content


def test_a_request_that_was_answered_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One line, without the words of the error."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise REFUSED

    with caplog.at_level(logging.INFO, "resilience"):
        asyncio.run(ask(ResilienceMiddleware(app)))

    assert ["a request was answered 503: provider_unavailable, provider p"] == caplog.messages


def test_the_error_of_an_sdk_becomes_a_problem() -> None:
    """The SDK raises its own after the last attempt; its cause or its response has the trail."""
    with raw_server(answer(429, b'{"error": {"message": "SECRET"}}', "Retry-After: 7")) as provider:
        limited = policy_for(provider, retry={"max_attempts": 1})
        transport = resilience.httpx.Transport(policies=[limited])
        app = FastAPI()
        add_resilience(app)

        @app.get("/")
        async def models() -> str:
            async with httpx.AsyncClient(transport=transport) as http:
                client = AsyncOpenAI(api_key="SECRET", base_url=provider.url, http_client=http, max_retries=0)
                async with asyncio.TaskGroup() as group:
                    group.create_task(list_models(client))
            return "done"

        answered = asyncio.run(ask(app))

    assert (503, "7", 1) == (answered.status_code, answered.headers["retry-after"], len(provider.requests))
    assert "provider_busy" == answered.json()["code"]
    assert "SECRET" not in answered.text


async def list_models(client: AsyncOpenAI) -> None:
    await client.models.list()


def test_an_endpoint_has_its_own_deadline_and_knows_it() -> None:
    """The smaller of both counts; async and threaded endpoints alike."""
    app = FastAPI()
    add_resilience(app, timeout=50, deadline_header="X-Timeout", margin=0)

    @app.get("/async", dependencies=[Depends(within(20))])
    async def slow(left: SecondsLeft) -> list[float | None]:
        await asyncio.sleep(0)
        return [left, resilience.seconds_left()]

    @app.get("/thread", dependencies=[Depends(within(20))])
    def thread() -> list[float | None]:
        return [resilience.seconds_left()]

    @app.get("/whole")
    def whole(left: Annotated[float | None, SecondsLeft]) -> list[float | None]:
        return [left]

    with serve_asgi(app) as url:
        both = httpx.get(f"{url}/async").json()
        hasty = httpx.get(f"{url}/async", headers={"X-Timeout": "9"}).json()
        threaded = httpx.get(f"{url}/thread").json()
        spare = httpx.get(f"{url}/thread").json()

    assert all(15 < left <= 20 for left in (both[1], *threaded, *spare))
    assert 5 < hasty[1] <= 9


def test_an_answer_of_fastapi_goes_through_the_middleware_that_is_within() -> None:
    """CORS among them: a browser's program reads the problem."""
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    add_resilience(app)

    @app.get("/")
    def refuse() -> None:
        raise REFUSED

    answered = asyncio.run(ask(app, "/", ("Origin", "http://browser.example")))

    assert (503, "*") == (answered.status_code, answered.headers["access-control-allow-origin"])


def test_an_answer_that_the_application_has_made_of_an_error_stays() -> None:
    """It has its reasons."""
    app = FastAPI()
    add_resilience(app)

    @app.get("/")
    def not_there() -> None:
        raise HTTPException(404, "not there") from REFUSED

    answered = asyncio.run(ask(app))

    assert (404, {"detail": "not there"}) == (answered.status_code, answered.json())


def test_litestar_keeps_its_own_answers_and_an_application_its_handler() -> None:
    """The plugin's handler is for all errors, and leaves what is none of ours to whoever was there."""

    @get("/missing", sync_to_thread=False)
    def missing() -> None:
        raise NotFoundException("not there") from REFUSED

    @get("/boom", sync_to_thread=False)
    def boom() -> None:
        raise ValueError("SECRET")

    @get("/refused", sync_to_thread=False)
    def refuse() -> None:
        raise REFUSED

    def own(_request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        return Response({"own": type(error).__name__}, status_code=418)

    routes = [missing, boom, refuse]
    plain = Litestar(routes, plugins=[ResiliencePlugin()])
    debug = Litestar(routes, plugins=[ResiliencePlugin()], debug=True)
    handled = Litestar(routes, plugins=[ResiliencePlugin()], exception_handlers={Exception: own})

    assert (404, "not there") == ((found := asyncio.run(ask(plain, "/missing"))).status_code, found.json()["detail"])
    assert (500, False) == ((found := asyncio.run(ask(plain, "/boom"))).status_code, "SECRET" in found.text)
    assert (500, True) == ((found := asyncio.run(ask(debug, "/boom"))).status_code, "SECRET" in found.text)
    assert [503, 503, 503] == [asyncio.run(ask(app, "/refused")).status_code for app in (plain, debug, handled)]
    assert (418, {"own": "ValueError"}) == (
        (found := asyncio.run(ask(handled, "/boom"))).status_code,
        found.json(),
    )


def test_litestar_takes_the_handler_for_500_for_mistakes_of_the_application() -> None:
    """That of the route before that of the application; ours is for errors of every kind, which Litestar asks first."""

    def own(name: str) -> Any:
        return lambda _request, error: Response({name: type(error).__name__}, status_code=500)

    @get("/boom", sync_to_thread=False)
    def boom() -> None:
        raise ValueError("SECRET")

    @get("/special", sync_to_thread=False, exception_handlers={500: own("route")})
    def special() -> None:
        raise ValueError("SECRET")

    @get("/refused", sync_to_thread=False)
    def refuse() -> None:
        raise REFUSED

    @get("/wrong", sync_to_thread=False)
    def wrong() -> None:
        raise NotFoundException("not there")

    app = Litestar([boom, special, refuse, wrong], plugins=[ResiliencePlugin()], exception_handlers={500: own("app")})

    answers = [asyncio.run(ask(app, path)) for path in ("/boom", "/special", "/refused", "/wrong", "/missing")]

    assert [{"app": "ValueError"}, {"route": "ValueError"}] == [each.json() for each in answers[:2]]
    assert [503, 404, 404] == [each.status_code for each in answers[2:]]


def test_a_route_is_a_template_or_nothing() -> None:
    """Never the path itself; before routing there is none."""
    seen: list[str | None] = []

    async def known(request: Any) -> JSONResponse:
        seen.append(route_of(request.scope))
        return JSONResponse({})

    async def known_there(request: Any) -> JSONResponse:
        return await known(request)

    app = Starlette(routes=[Route("/own/{item}", known), Mount("/other", routes=[Route("/{item}", known_there)])])
    for path in ("/own/1", "/other/1"):
        asyncio.run(ask(app, path))

    assert "/own/{item}" == seen[0]
    # Starlette tells it since 1.0, without the path of the mount.
    assert seen[1] in {None, "/{item}"}
    assert route_of({"type": "http"}) is None


def test_a_file_that_the_server_sends_itself_ends_the_answer(tmp_path: Path) -> None:
    """Background tasks after it are free, as after any other."""
    (tmp_path / "file").write_bytes(b"x")
    seen: list[float | None] = []
    sent: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        # As frameworks do where the server says that it can (https://asgi.readthedocs.io/en/latest/extensions.html#path-send).
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})
        seen.append(resilience.seconds_left())

    async def keep(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "extensions": {"http.response.pathsend": {}}}
    asyncio.run(ResilienceMiddleware(app, timeout=5)(scope, receive_nothing, keep))

    assert ["http.response.start", "http.response.pathsend"] == sent
    assert [None] == seen


def test_the_health_path_is_found_below_where_the_application_stands() -> None:
    """Servers write their root path before each path, and so do mounts; some proxies take it away."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await JSONResponse({}, 404)(scope, receive, send)

    wrapped = ResilienceMiddleware(app, health="/health")
    asked = [
        ("/api/health", "/api"), ("/api/health", "/api/"), ("/health", "/api"), ("/health", "/health"), ("/health", ""),
        ("/apihealth", "/api"), ("/other/health", "/api"), ("/api/healthy", "/api"), ("/api", "/api"),
    ]  # fmt: skip
    found: list[int] = []
    for path, root in asked:
        sent: list[Any] = []

        async def keep(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "root_path": root, "headers": []}
        asyncio.run(wrapped(scope, receive_nothing, keep))
        found.append(sent[0]["status"])

    assert [200] * 5 + [404] * 4 == found


def test_the_health_view_can_be_mounted() -> None:
    """It is an application by itself, and answers nothing but requests."""
    app = Starlette(
        routes=[Route("/health", health), Route("/strict", Health(providers=["p"], fails_when=["breaker", "store"]))],
        middleware=[Middleware(ResilienceMiddleware)],
    )

    answers = [asyncio.run(ask(app, path)) for path in ("/health", "/strict")]

    assert [(200, "ok")] * 2 == [(each.status_code, each.json()["status"]) for each in answers]
    assert "no-store" == answers[0].headers["cache-control"]
    with pytest.raises(RuntimeError, match="answers HTTP requests alone, and this is websocket"):
        asyncio.run(health({"type": "websocket"}, receive_nothing, send_nothing))


def test_an_option_that_cannot_be_honoured_is_refused_at_once() -> None:
    """By each of the ways in."""
    with pytest.raises(ConfigurationError, match="the middleware has no option 'timout'"):
        ResilienceMiddleware(send_nothing, timout=3)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="add_resilience: timeout is 0"):
        add_resilience(FastAPI(), timeout=0)
    app = FastAPI()
    add_resilience(app, timeout=5)
    with pytest.raises(
        ConfigurationError, match="this FastAPI app has the middleware already; call add_resilience once"
    ):
        add_resilience(app, health="/health")
    with pytest.raises(ConfigurationError, match="ResiliencePlugin: timeout is 0"):
        ResiliencePlugin(timeout=0)
    with pytest.raises(ConfigurationError, match="the health view: health_fails_when is"):
        Health(fails_when=["all"])  # type: ignore[list-item]


def test_a_request_of_a_kept_connection_has_nothing_of_the_one_before() -> None:
    """A large body has the server go on in the context of the request that reads it; others of the connection begin anew."""

    async def tell(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body", False):
            pass
        found = {
            "tags": dict(tags_of(None)),
            "left": resilience.seconds_left() is not None,
            "attempts": attempts_left(),
        }
        await JSONResponse(found)(scope, receive, send)

    names = {"deadline_header": "X-Left", "attempts_header": "X-Attempts"}
    app = ResilienceMiddleware(tell, tag_headers={"tenant": "X-Tenant"}, **names)
    own = {"X-Tenant": "acme", "X-Left": "30", "X-Attempts": "1"}
    with serve_asgi(app) as url, httpx.Client() as client:
        answers = [
            client.post(url, content=b"x" * 300_000, headers=headers).json() for headers in (own, {}, {}, own, {})
        ]

    first = {"tags": {"tenant": "acme"}, "left": True, "attempts": 1}
    other = {"tags": {}, "left": False, "attempts": None}
    assert [first, other, other, first, other] == answers


def test_background_tasks_are_free_of_a_deadline_that_a_dependency_gave() -> None:
    """FastAPI ends the dependency's block after them."""
    app, seen = FastAPI(), list[float | None]()
    add_resilience(app)

    @app.get("/", dependencies=[Depends(within(5))])
    async def endpoint(background: BackgroundTasks) -> None:
        seen.append(resilience.seconds_left())
        background.add_task(lambda: seen.append(resilience.seconds_left()))

    with serve_asgi(app) as url:
        assert 200 == httpx.get(url).status_code

    assert [True, False] == [each is not None for each in seen]


@pytest.mark.parametrize("seconds", ["x", None, float("nan")])
def test_a_time_that_cannot_be_honoured_is_refused_when_the_application_begins(seconds: Any) -> None:
    """Not at each request."""
    with pytest.raises(ConfigurationError, match="a deadline is a number of seconds"):
        within(seconds)
