"""Where no rule intervenes a client is the bare one: programs and servers by chance, by each door, against the bare client.

Every seed is one program: a client, some calls, and what a server answers on real connections. It is played to the bare client and
to one behind each door, and everything that an application could look at has to be the same.
"""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
import logging
import pickle
import random
import ssl
import zlib
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

import resilience
import resilience.httpx
import resilience.httpx2
from tests.rawserver import Answer, RawServer, raw_server
from tests.test_transparency import LIBRARIES

DOORS = ("wrap", "install", "transport")
MODES = ("sync", "asyncio", "trio")
SEEDS = range(60)
# To make one takes longer than all else that a program does.
TLS = ssl.create_default_context()
# None of them ever says that something is to be done otherwise.
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "operations": {"operations": {"find": {"path": "/find"}, "make": {"method": "POST", "path": "/make"}}},
    "looking": {
        "answers": [{"rule": "no", "when": {"body": {"none.such": {"gte": 400}}}, "category": "target_error"}],
        "envelopes": [{"code": "error.code", "message": "error.message"}],
    },
    "paced": {
        "limits": [
            {"name": "pace", "rate": "1000000/1 second", "per": "provider"},
            {"name": "places", "concurrency": 1000, "per": "provider"},
        ]
    },
    "timed": {"attempt_timeout": "60s", "deadline": "120s"},
    "keyed": {"account": {"headers": ["X-Key"]}},
}
BODIES = (
    b"",
    b"x",
    json.dumps({"a": "\u00fc", "none": {"such": 1}}).encode(),
    b"one\ntwo\r\nthr\xc3\xbc",
    b"\xff\xfe",
    b"z" * 40_000,
)
TYPES = (
    "application/json",
    "text/plain; charset=iso-8859-1",
    "text/html; charset=nope",
    "",
    "text/event-stream",
    "TEXT/JSON",
)
COOKIES = (
    "a=1",
    "a=2; Path=/",
    "b=3; Max-Age=0",
    "c",
    "=d",
    ";;",
    "e=5; Expires=garbage",
    "f=6; Domain=other.test",
    'g="h;i"',
)
HEADERS = (
    "X-Dup: 1",
    "X-Dup: 2",
    "X-Empty:",
    "X-Odd: \u00fc",
    "Retry-After: soon",
    "Link: <http://x.test/>; rel=next",
    "ETag: W/1",
)
PLACES = (
    "/find",
    "next",
    "?again",
    "//127.0.0.1:{port}/make",
    "http://localhost:{port}/find",
    "http://[no/",
    "",
    "ftp://x/",
    "/\u00fc",
)
PATHS = (
    "/find",
    "/find",
    "/make",
    "/a%2Fb",
    "/\u00fc b",
    "/./c/../d",
    "/e?x=1&x=2",
    "/f#g",
    "/" + "h" * 3000,
    "//i",
    "/%zz",
)
Json = Any


def policy_of(kind: str) -> dict[str, Any]:
    once = {"retry": {"max_attempts": 1}, "breaker": {"off": True}}
    return {"version": 1, "provider": kind, "match": {"hosts": ["127.0.0.1"]}, **once, **KINDS[kind]}


def reply_by(chance: random.Random, port: int, *, is_whole: bool) -> bytes:
    """One answer, as it stands on the connection: honest, odd, or broken off.

    Arguments:
        chance: of the program.
        port: of the server.
        is_whole: whether each coding is right.
    """
    status = chance.choice([200] * 6 + [201, 204, 206, 301, 302, 303, 307, 308, 304, 400, 401, 404, 418, 500, 503])
    lines = [f"Content-Type: {chance.choice(TYPES)}", *chance.sample(HEADERS, chance.choice([0, 0, 1, 3]))]
    lines += [f"Set-Cookie: {each}" for each in chance.sample(COOKIES, chance.choice([0, 0, 1, 2]))]
    if status == 401:
        lines.append('WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"')
    body = chance.choice(BODIES)
    coding = chance.choice(["", "", "", "gzip", "deflate", "broken"])
    if coding and not (is_whole and coding == "broken"):
        # In gzip's head stands the time, if nobody says another: two plays of a program may come in two seconds.
        body = {"gzip": partial(gzip.compress, mtime=0), "deflate": zlib.compress, "broken": bytes}[coding](body)
        lines.append(f"Content-Encoding: {coding.replace('broken', 'gzip')}")
    if 300 < status < 309 and status != 304:
        lines.append(f"Location: {chance.choice(PLACES).format(port=port)}")
    end = chance.choice(["length"] * 5 + ["chunks"] * 3 + ["close", "short", "torn", "garbage"])
    if end == "garbage":
        return b"no answer at all\r\n\r\n"
    if end not in ("length", "chunks"):
        # So that nobody sends another request on it, and the order of things is the same each time.
        lines.append("Connection: close")
    if status in (204, 304):
        body = b""
    elif end in ("chunks", "torn"):
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part)
        body += b"0\r\n\r\n" if end == "chunks" else b""
    elif end != "close":
        lines.append(f"Content-Length: {len(body) + (9 if end == 'short' else 0)}")
    early = chance.choice([b""] * 9 + [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"])
    return early + f"HTTP/1.1 {status} Reason\r\n".encode() + "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Program:
    """What one seed does with a client, and what it sees.

    Arguments:
        seed: of all its chances.
        library: the name of the library.
        mode: sync, asyncio or trio.
        server: which answers it.
    """

    def __init__(self, seed: int, library: str, mode: str, server: RawServer) -> None:
        self.chance = random.Random(seed)
        self.module, self.is_async = LIBRARIES[library], mode != "sync"
        self.server, self.port = server, server.url.rpartition(":")[2]
        self.seen: list[Json] = []

    def client(self) -> Any:
        """The client, bare."""
        chance, module = self.chance, self.module
        options: dict[str, Any] = {
            "base_url": chance.choice([self.server.url, f"{self.server.url}/v1/?q=1", f"http://localhost:{self.port}"]),
            "follow_redirects": chance.random() < 0.6,
            "max_redirects": chance.choice([20, 1]),
            "headers": chance.choice(
                [None, {"X-A": "1"}, [("X-D", "1"), ("x-d", "2")], {b"X-B": b"\xfc"}, {"X-Key": "me"}]
            ),
            "params": chance.choice([None, None, {"k": ["a", "b"]}, "raw=%20"]),
            "cookies": chance.choice([None, {"own": "1"}]),
            "auth": chance.choice([None, None, ("u", "p"), module.DigestAuth("u", "p"), self.signing()]),
            "event_hooks": chance.choice([None, self.hooks(), self.hooks()]),
            "default_encoding": chance.choice(["utf-8", lambda _: "cp1252"]),
            "timeout": chance.choice([5.0, module.Timeout(None), module.Timeout(5, pool=None)]),
        }
        transport = module.AsyncHTTPTransport if self.is_async else module.HTTPTransport
        kind = module.AsyncClient if self.is_async else module.Client
        return kind(
            transport=transport(verify=TLS), **{name: value for name, value in options.items() if value is not None}
        )

    def signing(self) -> Any:
        program = self

        class Signing(self.module.Auth):  # type: ignore[misc, name-defined]
            requires_request_body = requires_response_body = self.chance.random() < 0.5

            def auth_flow(self, request: Any) -> Any:
                request.headers["X-Signed"] = "once"
                response = yield request
                program.seen.append(["auth", response.status_code, response.is_closed])
                if response.status_code >= 400:
                    request.headers["X-Signed"] = "twice"
                    yield request

        return Signing()

    def hooks(self) -> dict[str, list[Any]]:
        fault = self.chance.choice([None, None, None, "request", "response"])

        def note(kind: str, message: Any) -> None:
            request = message if kind == "request" else message.request
            self.seen.append([kind, request.method, self.plain(request.url), sorted(request.extensions)])
            if kind == "response":
                self.seen.append([message.status_code, message.is_closed, len(message.history)])
            if kind == fault:
                raise LookupError("a fault of the hook")

        async def asynchronous(kind: str, message: Any) -> None:
            note(kind, message)

        def hook(kind: str) -> Any:
            async def later(message: Any) -> None:
                await asynchronous(kind, message)

            return later if self.is_async else lambda message: note(kind, message)

        return {"request": [hook("request")], "response": [hook("response")] * 2}

    async def play(self, client: Any) -> None:
        """Make some calls, one of them while an error of the application's own is handled, and look at all of it."""
        for number in range(self.chance.choice([1, 2, 3])):
            if number != 1:
                await self.call(client)
                continue
            try:
                [].pop()
            except IndexError:
                await self.call(client)
        self.seen += [client.is_closed, sorted([each.name, each.value, each.domain] for each in client.cookies.jar)]
        await self.done(client.aclose() if self.is_async else client.close())
        try:
            await self.done(client.get(self.server.url))
        except Exception as error:
            self.seen.append(self.failed(error))

    async def call(self, client: Any) -> None:
        chance = self.chance
        method = chance.choice(["GET", "GET", "POST", "PUT", "get", "OPTIONS"])
        url = chance.choice(["", "", self.server.url, f"http://localhost:{self.port}"]) + chance.choice(PATHS)
        options: dict[str, Any] = {
            "headers": chance.choice(
                [None, None, {"X-R": "1"}, {"Cookie": "h=1"}, {"X-Key": "you"}, {"Connection": "close"}]
            ),
            "params": chance.choice([None, None, {"p q": "r&s"}]),
            "content": chance.choice([None, b"bytes", "t\u00fcxt", self.chunks()])
            if method in ("POST", "PUT")
            else None,
            "extensions": chance.choice([None, None, {"mine": 1}, {"resilience": {}}]),
        }
        way = chance.choice(["read", "read", "raw", "bytes", "lines", "close", "twice"])
        try:
            request = client.build_request(
                method, url, **{name: each for name, each in options.items() if each is not None}
            )
            response = await self.done(client.send(request, stream=way != "read"))
            if way != "read":
                self.seen.append([response.is_closed, response.num_bytes_downloaded])
                await self.read(response, way)
            self.look(response)
            assert response.request is request or response.history
            if way == "twice":
                self.look(await self.done(client.send(request)))
        except Exception as error:
            self.seen.append(self.failed(error))

    def chunks(self) -> Any:
        breaks = self.chance.random() < 0.2

        def chunks() -> Any:
            yield b"one"
            if breaks:
                raise ArithmeticError("a fault of the body")
            yield b"two"

        async def asynchronous() -> Any:
            for chunk in chunks():
                yield chunk

        return asynchronous() if self.is_async else chunks()

    async def read(self, response: Any, way: str) -> None:
        prefix = "a" if self.is_async else ""
        if way in ("close", "twice"):
            await self.done(getattr(response, f"{prefix}{'close' if way == 'close' else 'read'}")())
            return
        # Without a size they are as the network has cut them.
        pieces = getattr(response, f"{prefix}iter_{way}")(*({"raw": [5], "bytes": [4096]}.get(way, [])))
        try:
            if self.is_async:
                self.seen.append([repr(piece) async for piece in pieces])
            else:
                self.seen.append([repr(piece) for piece in pieces])
        finally:
            await self.done(getattr(response, f"{prefix}close")())

    async def done(self, value: Any) -> Any:
        return await value if inspect.isawaitable(value) else value

    def look(self, response: Any) -> None:
        """Note all that an application could look at."""
        request, again = response.request, pickle.dumps(response) if response.default_encoding == "utf-8" else b""
        self.seen += [
            [type(response).__name__, response.status_code, response.reason_phrase, response.http_version],
            [
                (name.decode(), self.plain(value.decode("latin-1")))
                for name, value in response.headers.raw
                if name != b"x-should-retry"
            ],
            [response.is_closed, response.is_stream_consumed, response.num_bytes_downloaded, b"resilience." in again],
            [self.plain(each.url) for each in (response, *response.history)],
            [
                type(request.stream).__name__,
                request.method,
                sorted(request.extensions),
                request.extensions.get("timeout"),
            ],
            [(name, self.plain(value)) for name, value in request.headers.multi_items() if "auth" not in name],
            sorted(set(response.extensions) - {"resilience"}),
            [response.next_request and self.plain(response.next_request.url), response.encoding],
        ]
        for name in ("content", "text", "elapsed"):
            try:
                found = getattr(response, name)
                self.seen.append([name, "some" if name == "elapsed" else repr(found)])
            except Exception as error:
                self.seen.append(self.failed(error))

    def failed(self, error: BaseException | None) -> Json:
        """An error, its request, what it came from and what it was raised for."""
        found: list[Any] = []
        while error is not None:
            request = getattr(error, "_request", None)
            cause = type(error.__cause__).__name__
            found.append([type(error).__name__, self.plain(error), request and self.plain(request.url), cause])
            error = error.__context__
        return found

    def plain(self, value: object) -> str:
        return str(value).replace(self.port, "PORT")


def run(mode: str, work: Coroutine[Any, Any, None]) -> None:
    """To its end, a sync program too, which never suspends."""
    if mode == "asyncio":
        asyncio.run(_awaited(work))
    elif mode == "trio":
        trio.run(_awaited, work)
    else:
        with pytest.raises(StopIteration):
            work.send(None)


async def _awaited(work: Coroutine[Any, Any, None]) -> None:
    await work


def played(seed: int, library: str, mode: str, door: str, folder: Path, caplog: pytest.LogCaptureFixture) -> list[Json]:
    """All that there is to see of the program of a seed, behind a door."""
    chance = random.Random(seed)
    kind = chance.choice(sorted(KINDS))
    replies: list[bytes] = []

    def answer(connection: Any) -> bool:
        reply = replies[min(len(server.requests), len(replies)) - 1]
        connection.sendall(reply)
        return b"Connection: close" not in reply and reply.startswith(b"HTTP")

    given: Answer = answer
    caplog.clear()
    with raw_server(given) as server:
        program = Program(seed, library, mode, server)
        # Bare, too, both libraries leave generators to the collector where a coding is wrong, of which trio warns.
        replies += [reply_by(chance, int(program.port), is_whole=mode == "trio") for _ in range(12)]
        client = program.client()
        if door == "install":
            resilience.install(folder / f"{kind}.yaml")
        elif door == "wrap":
            resilience.wrap(client, config=folder / f"{kind}.yaml")
        elif door == "transport":
            inner = client._transport
            client._transport = getattr(resilience, library).Transport(inner, config=folder / f"{kind}.yaml")
        try:
            run(mode, program.play(client))
        finally:
            resilience.uninstall()
    sent = [
        [line for line in seen.head.decode("latin-1").splitlines() if not line.startswith("Authorization: Digest")]
        for seen in server.requests
    ]
    said = [record.getMessage() for record in caplog.records if record.name == library]
    return [
        kind,
        *program.seen,
        *json.loads(program.plain(json.dumps([sent, said]))),
        [seen.body for seen in server.requests],
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration for each kind of policy."""
    made = tmp_path_factory.mktemp("kinds")
    for kind in KINDS:
        (made / f"{kind}.policy.yaml").write_text(json.dumps(policy_of(kind)))
        (made / f"{kind}.yaml").write_text(f"version: 1\nshipped: false\npolicies: [./{kind}.policy.yaml]\n")
    return made


@pytest.mark.parametrize("seed", SEEDS)
def test_a_program_sees_what_it_sees_without_us(
    seed: int, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers, errors, hooks, requests, cookies, log: by each door, with policies that leave everything as it is."""
    caplog.set_level(logging.INFO)
    library, mode = sorted(LIBRARIES)[seed % 2], MODES[seed % 3]

    bare = played(seed, library, mode, "bare", folder, caplog)

    for door in DOORS:
        assert bare == played(seed, library, mode, door, folder, caplog), door
