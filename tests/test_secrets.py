"""Nothing secret leaves: known secrets go through every path, and all that comes out of this library is searched."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import itertools
import json
import logging
import secrets
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import httpx2
import pytest
import redis
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import resilience
import resilience.httpx
import resilience.httpx2
from resilience import Policy, errors, events, trail_of
from resilience._fake_provider import Application
from resilience._fake_server import Server
from resilience._hub import Hub
from resilience._outcome import Exchange, Outcome
from resilience._reservation import Reservation
from resilience.cli import main
from resilience.stores import forget_all, open_store
from resilience.testing import VirtualClock
from tests.servers import free_port, run_redis

CHECKOUT = Path(resilience.__file__).parent.parent
HOST = "provider.test"
LIBRARIES: dict[str, Any] = {"httpx": httpx, "httpx2": httpx2}
ADAPTERS: dict[str, Any] = {"httpx": resilience.httpx, "httpx2": resilience.httpx2}
POLICY = f"""
version: 1
provider: acme
match: {{hosts: [{HOST}]}}
account: {{headers: [X-Acme], query: [acme_id]}}
operations:
  scrape: {{path: /v1/scrape}}
  slow: {{path: /v1/slow}}
  single: {{path: /v1/single}}
  broken: {{path: /v1/broken}}
  dear: {{path: /v1/dear}}
  submit: {{path: /v1/jobs}}
  poll: {{path: "/v1/jobs/{{id}}"}}
docs: {{errors: {{url: "https://provider.test/errors", checked: 2026-11-21}}}}
envelopes: [{{code: code, message: error}}]
answers:
  - {{rule: used-up, when: {{status: 402}}, category: credits_exhausted, doc: errors}}
  - {{rule: refused, when: {{status: 200, body: {{ok: false}}}}, category: target_error, doc: errors}}
retry: {{max_attempts: 2, spread: 0, backoff: {{initial: 1s, jitter: none}}}}
breaker: {{consecutive_failures: 11, failure_rate: null, per: [account, operation], jitter: 0}}
limits:
  - {{name: daily, rate: 1/day, operations: [slow], max_wait: 1s}}
  - {{name: one, concurrency: 1, operations: [single], max_wait: 1s}}
credits:
  costs: [{{cost: 60, operations: dear}}, {{cost: 0, operations: poll}}, {{cost: 2}}]
  charged: billing.charged
  balance: {{header: X-Left}}
  jobs: [{{submit: submit, id: id, poll: poll, ended: {{body: {{status: done}}}}}}]
"""
BUDGETS = [{"name": "daily", "limit": "100 credits/day", "per": ["account", "tag.tenant"]}]


class Secrets:
    """Random texts, each for a place of its own, and all the forms in which one could come out."""

    def __init__(self) -> None:
        names = (
            "account bearer basic cookie user password api_key key token sig code nested body answer set_cookie store"
            " wanted proxied json referer unlisted"
        )
        self.of = {name: f"{name[:2]}/{secrets.token_hex(12)}+{secrets.token_hex(4)}" for name in names.split()}
        self.forms = {form: name for name, secret in self.of.items() for form in _forms(secret)}

    def __getattr__(self, name: str) -> str:
        return self.of[name]

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request that carries as many as it can."""
        return {
            "X-Acme": self.account,
            "Authorization": f"Bearer {self.bearer}",
            "Proxy-Authorization": "Basic " + base64.b64encode(f"me:{self.basic}".encode()).decode(),
            "Cookie": f"a=1; session={self.cookie}",
            "Referer": f"https://x.example/?access_token={quote(self.referer, safe='')}",
            "X-Api-Key": self.unlisted,
        }

    def url(self, path: str) -> str:
        """A URL that carries as many as it can."""
        names = {"api_key": self.api_key, "key": self.key, "Token": self.token, "sig": self.sig, "code": self.code}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in names.items())
        nested = quote(f"https://x.example/?access_token={quote(self.nested, safe='')}", safe="")
        user, password = quote(self.user, safe=""), quote(self.password, safe="")
        wanted, told = quote(f"Accept: */*\r\nX-Api-Key: {self.wanted}"), quote(json.dumps({"a": {"token": self.json}}))
        more = (
            f"headers={wanted}&json=%20{told}&to=me:{quote(self.proxied, safe='')}@x.example&k={quote(self.unlisted)}"
        )
        return f"https://{user}:{password}@{HOST}{path}?page=2&{query}&url={nested}&{more}"

    def quoted(self, request: Any) -> str:
        """What a provider or a library may say of a request: all that it has sent."""
        parts = (self.account, self.bearer, self.cookie, self.api_key, self.token, self.nested, self.wanted, self.json)
        cut = f"{self.proxied[:16]}... {self.key[:16]}****{self.sig[-14:]} {self.referer.upper()} {self.sig[:15]}'"
        return f"{' '.join(parts)} {cut} {request.url} {request.headers.raw}"

    def leaks(self, told: Mapping[str, list[str]]) -> list[tuple[str, str, str]]:
        """Where a secret stands in what was told: place, name, and some of the text around it."""
        found: list[tuple[str, str, str]] = []
        for place, texts in told.items():
            text = "\n".join(texts)
            for form, name in self.forms.items():
                at = text.find(form)
                if at >= 0:
                    found.append((place, name, text[max(0, at - 100) : at + 100]))
        return found


def _forms(secret: str) -> Iterator[str]:
    data = secret.encode()
    # A part of one that was cut, too.
    yield from (secret[:14], secret[-14:], quote(secret, safe=""), quote(quote(secret, safe=""), safe=""))
    yield from (quote_plus(secret), json.dumps(secret)[1:-1], data.hex(), repr(secret)[1:-1], secret[::-1])
    for encoded in (data, data[1:], data[2:]):
        # Whatever stands before it, one of the three; the last signs depend on what follows.
        text = base64.b64encode(encoded).decode()[:-4]
        yield from (text, text.replace("+", "-").replace("/", "_"))
    for name in ("md5", "sha1", "sha256", "sha512", "blake2b", "blake2s"):
        digest = hashlib.new(name, data, usedforsecurity=False)
        yield from (digest.hexdigest()[:16], base64.b64encode(digest.digest()).decode()[:16])
    for size in (4, 8, 10, 16, 32):
        yield hashlib.blake2b(data, digest_size=size).hexdigest()


class Ear(events.Listener):
    """Writes down every event, and fails at some, so that the log tells of that."""

    def __init__(self, told: list[str]) -> None:
        for name in vars(events.Listener):
            if name.startswith("on_"):
                setattr(self, name, partial(self._hear, told, fails=name == "on_retry"))

    @staticmethod
    def _hear(told: list[str], event: object, *, fails: bool) -> None:
        told.append(repr(event))
        if fails:
            raise ValueError(f"cannot hear {event}")


class Witness:
    """Collects all that comes out of this library."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: dict[str, list[str]] = {}
        self.spans, self.metrics = InMemorySpanExporter(), InMemoryMetricReader()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        meters = MeterProvider([self.metrics])
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", tracers)
        monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", meters)
        monkeypatch.setattr(Hub, "listeners", ())
        self._watch(monkeypatch, Exchange, "record")
        self._watch(monkeypatch, Reservation, "settle")
        self.handler = logging.Handler(logging.DEBUG)
        self.handler.emit = self._emit  # type: ignore[method-assign]

    def hear(self, place: str, *what: object) -> None:
        """Write down what was told."""
        self.told.setdefault(place, []).extend(map(str, what))

    def answer(self, answer: Any) -> None:
        """A response or an error, as far as it is of this library."""
        trail = trail_of(answer)
        if trail is not None:
            self.hear("trail", trail, json.dumps(trail.to_dict()), repr(trail), *getattr(answer, "__notes__", ()))
        if isinstance(answer, errors.ResilienceError):
            self.hear("error", answer, repr(answer), vars(answer) | {"_request": "", "trail": ""})
            answer.__cause__ = answer.__context__ = None
            self.hear("traceback", *traceback.format_exception(answer))
        elif not isinstance(answer, Exception) and "x-resilience-refused" in answer.headers:
            self.hear("local reply", answer.text, answer.headers)

    def reprs(self, transport: Any, *others: object) -> None:
        """Whatever an application can get hold of."""
        chain = transport.chain
        found = (transport, chain, transport.policies, *transport.policies.sources, *others)
        self.hear("repr", *map(repr, found), *(repr(each.settings) for each in transport.policies.sources))
        self.hear("repr", repr(open_store(transport.policies.store)))

    def exported(self) -> None:
        """Spans and metrics."""
        data = self.metrics.get_metrics_data()
        self.hear("metrics", "" if data is None else data.to_json())
        self.hear("spans", *(span.to_json() for span in self.spans.get_finished_spans()))

    def _emit(self, record: logging.LogRecord) -> None:
        raised = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self.hear("log", record.getMessage(), vars(record), raised)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> None:
        method = getattr(kind, name)

        def watched(this: Any, *arguments: Any, **named: Any) -> Any:
            self.hear("repr", repr(this))
            return method(this, *arguments, **named)

        monkeypatch.setattr(kind, name, watched)


@pytest.fixture
def witness(monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    """Hears all of it, the log at its lowest level."""
    found, logger = Witness(monkeypatch), logging.getLogger("resilience")
    level = logger.level
    logger.addHandler(found.handler)
    logger.setLevel(logging.DEBUG)
    yield found
    logger.removeHandler(found.handler)
    logger.setLevel(level)


class Caller:
    """An application that calls a provider by one library, sync or async, and everything goes wrong that can."""

    def __init__(self, witness: Witness, given: Secrets, library: str, *, is_async: bool, config: Any) -> None:
        self.witness = witness
        self.secrets = given
        self.module, self.adapter = LIBRARIES[library], ADAPTERS[library]
        self.is_async = is_async
        self.policy = Policy.model_validate(_policy())
        self.layers: set[str] = set()
        self.config = config
        self.clock = VirtualClock(chances=itertools.repeat(0.0))
        self._ear = Ear(witness.told.setdefault("events", []))

    def respond(self, status: int, body: Any = None, **headers: str) -> Any:
        """An answer whose body and headers hold secrets too."""
        given = {"Set-Cookie": f"session={self.secrets.set_cookie}", **headers}
        return self.module.Response(status, headers=given, json={"secret": self.secrets.answer, **(body or {})})

    def answering(self, status: int, body: Any = None, **headers: str) -> Callable[[Any], Any]:
        """A provider that answers so, whatever it is asked."""

        def handler(_request: Any) -> Any:
            return self.respond(status, body, **headers)

        return handler

    def call(self, path: str, handler: Callable[[Any], Any], **config: Any) -> Any:
        """One call; what becomes of it is written down."""
        transport = self.adapter.Transport(
            self.module.MockTransport(handler),
            policies=[self.policy],
            config={**self.config, **config},
            clock=self.clock,
            listeners=[self._ear],
        )
        self.witness.reprs(transport, self.policy, self.policy.account)
        named: dict[str, Any] = {
            "headers": self.secrets.headers,
            "json": {"password": self.secrets.body},
            "extensions": {"resilience": {"tags": {"tenant": "t-1"}, "repeatable": True}},
            "auth": _unchanged,
            "follow_redirects": True,
        }
        answer: Any
        try:
            answer = self._send(transport, self.secrets.url(path), named)
        except Exception as error:
            answer = error
        self.witness.answer(answer)
        trail = trail_of(answer)
        self.layers |= {each.layer for each in trail.refusals} if trail is not None else set()
        return answer

    def _send(self, transport: Any, url: str, named: Any) -> Any:
        if not self.is_async:
            with self.module.Client(transport=transport) as client:
                return client.post(url, **named)

        async def go() -> Any:
            async with self.module.AsyncClient(transport=transport) as client:
                return await client.post(url, **named)

        return asyncio.run(go())


def _unchanged(request: Any) -> Any:
    """No authentication: else the user in the URL would take the place of the header."""
    return request


def _policy() -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = yaml.safe_load(POLICY)
    return found


def go_through_everything(app: Caller) -> None:
    """Success, and everything that can go wrong."""
    given, module = app.secrets, app.module
    app.layers.clear()
    sent: list[Any] = []

    def failing(request: Any) -> Any:
        sent.append(request)
        words = {"code": f"bad-{given.account}", "error": given.quoted(request)}
        return app.respond(503, words) if len(sent) % 2 else app.respond(200, {"billing": {"charged": 1}})

    def raising(kind: str) -> Callable[[Any], Any]:
        def handler(request: Any) -> Any:
            raise getattr(module, kind)(f"cannot reach {given.quoted(request)}")

        return handler

    def telling(code: int, **more: Any) -> Callable[[Any], Any]:
        def handler(request: Any) -> Any:
            return app.respond(code, {"code": f"x-{given.bearer}", "error": "." * 1984 + given.quoted(request), **more})

        return handler

    def redirecting(request: Any) -> Any:
        if request.url.host == HOST and request.url.path != "/v1/slow":
            return app.respond(302, Location=given.url("/v1/slow"))
        return app.respond(200)

    assert 200 == app.call("/v1/scrape", failing).status_code
    assert {"refused"} == {trail_of(app.call("/v1/scrape", telling(200, ok=False))).verdict.rule}  # type: ignore[union-attr]
    for kind in ("ReadTimeout", "ConnectTimeout", "ConnectError", "LocalProtocolError", "RemoteProtocolError"):
        assert isinstance(app.call("/v1/scrape", raising(kind)), getattr(module, kind))
    assert 401 == app.call("/v1/scrape", telling(401)).status_code
    assert 200 == app.call("/v1/scrape", redirecting).status_code
    for refusals in ("reply", "raise"):
        paths = ["/v1/slow", *["/v1/broken"] * 6]
        refused = [app.call(path, telling(503), refusals=refusals) for path in paths]
        app.call("/v1/single", _busy(app), refusals=refusals)
        refused.append(app.call("/v1/broken", telling(503), refusals=refusals))
        app.call("/v1/dear", telling(200), refusals=refusals)
        refused.append(app.call("/v1/dear", telling(200), refusals=refusals))
        assert any(isinstance(each, errors.Refused) for each in refused) == (refusals == "raise")
    assert {"limiter", "breaker", "credits"} | ({"concurrency"} if not app.is_async else set()) <= app.layers
    assert 202 == app.call("/v1/jobs", app.answering(202, {"id": "job-1"}, **{"X-Left": "70"})).status_code
    assert 200 == app.call("/v1/jobs/job-1", telling(200, status="done")).status_code
    assert 402 == app.call("/v1/scrape", telling(402)).status_code
    assert isinstance(app.call("/v1/scrape", telling(200), refusals="raise"), errors.CreditLimitExceeded)
    app.call("/v1/scrape", telling(503), spans="always", mode={"credits": "observe", "retry": "observe"})


def _busy(app: Caller) -> Callable[[Any], Any]:
    """Calls itself while it is called, so that one call too many is under way."""
    calls: list[int] = []

    def handler(_request: Any) -> Any:
        calls.append(1)
        if len(calls) == 1 and not app.is_async:
            app.call("/v1/single", handler, refusals="raise")
        return app.respond(200)

    return handler


def mistakes(given: Secrets) -> Iterator[Exception]:
    """Options and configurations that cannot be honoured, with secrets where users put them."""

    def no_call(_request: Any) -> Any:
        raise AssertionError("nothing is sent")

    policy = Policy.model_validate(_policy())
    for options in ({"deadlin": 1}, {"deadline": -1}, {"operation": "x"}, {"cost": {"x": 1}}, {"idempotency_key": "k"}):
        client = httpx.Client(transport=resilience.httpx.Transport(httpx.MockTransport(no_call), policies=[policy]))
        with client, pytest.raises(errors.ConfigurationError) as caught:
            client.get(given.url("/v1/scrape"), headers=given.headers, extensions={"resilience": options})
        yield caught.value
    quoted = quote(given.store, safe="")
    for store in (
        f"redis://me:{quoted}@h:x",
        f"reddis://me:{quoted}@h",
        f"redis://me:{given.store}@h/0",
        f"redis://h/0?password={quoted}&db=x",
        f"redis+sentinel://:{quoted}@h",
        f"redis+cluster://me:{quoted}@",
        f"redis://me:{quoted}@h/0?socket_timeout=x&password={quoted}",
        f"sqlite://{quoted}@h/x",
        f"memory://{quoted}",
    ):
        try:
            open_store(resilience.httpx.Transport(config={"version": 1, "store": store}).policies.store)
        except errors.ConfigurationError as error:
            yield error


COMMANDS = [
    ["status"],
    ["status", "--json"],
    ["credits"],
    ["credits", "--json"],
    ["credits", "ledger"],
    ["credits", "ledger", "--csv", "-"],
    ["credits", "ledger", "--json"],
]


def run(command: list[str]) -> object:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main(command)
    return end.value.code


def commands(witness: Witness, capsys: pytest.CaptureFixture[str], store: str, directory: Path) -> None:
    """What the commands show of a store."""
    (directory / "acme.yaml").write_text(POLICY)
    config = {"version": 1, "shipped": False, "policies": ["acme.yaml"], "providers": {"acme": {"budgets": BUDGETS}}}
    (directory / "resilience.yaml").write_text(json.dumps({**config, "store": store}))
    for command in COMMANDS:
        code = run([*command, "--config", str(directory / "resilience.yaml")])
        output = capsys.readouterr()
        assert 0 == code, output
        assert "acme" in output.out
        witness.hear(" ".join(command), output.out, output.err)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("mode", ["sync", "asyncio"])
def test_no_secret_comes_out_of_anything(
    library: str, mode: str, witness: Witness, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Spans, metrics, logs, trails, errors, replies, events, the store's file, the ledger and what the commands show."""
    given = Secrets()
    store = f"sqlite:///{tmp_path}/state.db"
    config = {"version": 1, "store": store, "providers": {"acme": {"budgets": BUDGETS, "ledger": True}}}

    go_through_everything(Caller(witness, given, library, is_async=mode == "asyncio", config=config))
    witness.hear("store", *open_store(store).scan())
    commands(witness, capsys, store, tmp_path)
    witness.exported()
    forget_all()
    gc.collect()
    for file in tmp_path.glob("state.db*"):
        witness.hear("file", file.read_bytes().decode("latin-1"))

    assert [] == given.leaks(witness.told)
    wanted = {
        "spans",
        "metrics",
        "log",
        "trail",
        "error",
        "traceback",
        "local reply",
        "events",
        "repr",
        "store",
        "file",
    }
    assert wanted <= {place for place, texts in witness.told.items() if "".join(texts)}


def test_no_secret_stands_in_memory_or_redis(
    witness: Witness, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Keys and values, as the server dumps them; nor is its own password told when it is lost."""
    given = Secrets()
    with run_redis("--requirepass", given.store) as server:
        password = quote(given.store, safe="")
        url = f"redis://:{password}@127.0.0.1:{server.port}"
        providers = {"acme": {"budgets": BUDGETS, "ledger": True}}
        app = Caller(witness, given, "httpx", is_async=False, config={"version": 1, "providers": providers})
        for store in ("memory://", url):
            app.config = {**app.config, "store": store}
            go_through_everything(app)
            witness.hear("store", *open_store(store, clock=app.clock).scan())
        commands(witness, capsys, url, tmp_path)
        client: Any = redis.Redis(port=server.port, password=given.store)
        with client:
            names = client.keys("*")
            witness.hear("redis", *names, *(client.dump(name).decode("latin-1") for name in names))
        server.stop()
        app.call("/v1/scrape", app.answering(200))
        run(["status", "--config", str(tmp_path / "resilience.yaml")])
        witness.hear("lost", *capsys.readouterr())
        forget_all()
        wrong = f"redis://:{password}wrong@127.0.0.1:{server.port}"
        server.start()
        app.config = {**app.config, "store": wrong}
        app.call("/v1/scrape", app.answering(200))
        run(["status", "--config", str(tmp_path / "resilience.yaml"), "--store", wrong])
        witness.hear("lost", *capsys.readouterr())
    witness.exported()

    assert [] == given.leaks(witness.told)
    assert any(b"ledger" in name for name in names)
    assert any("cannot be used" in text for text in witness.told["log"])


def test_no_secret_stands_in_what_is_said_of_mistakes(witness: Witness) -> None:
    """Neither in the error nor in what it came from: a traceback shows both."""
    given = Secrets()

    found = list(mistakes(given))
    for error in found:
        witness.hear("mistake", error, repr(error), *traceback.format_exception(error))

    assert [] == given.leaks(witness.told)
    assert 14 == len(found)


def test_no_secret_of_a_store_that_nobody_reaches(witness: Witness, capsys: pytest.CaptureFixture[str]) -> None:
    """Its URL is told without user, password and query."""
    given = Secrets()
    url = f"redis://{quote(given.user, safe='')}:{quote(given.store, safe='')}@127.0.0.1:{free_port()}/0"
    app = Caller(witness, given, "httpx2", is_async=False, config={"version": 1, "store": url})

    assert 200 == app.call("/v1/scrape", app.answering(200)).status_code
    assert 1 == run(["status", "--store", url])
    witness.hear("status", *capsys.readouterr())
    witness.exported()

    assert [] == given.leaks(witness.told)
    assert any("cannot be used" in text for text in witness.told["log"])


def test_no_secret_is_explained(witness: Witness, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`resilience explain` shows the path that it was given, and of the answer what the provider says."""
    given = Secrets()
    (tmp_path / "acme.yaml").write_text(POLICY)
    path = given.url("/v1/scrape").partition(HOST)[2] + f"&acme_id={quote(given.account, safe='')}"
    # No header is given that would tell what this is.
    path = path.replace(f"&k={quote(given.unlisted)}", "")
    body = json.dumps({"code": "no", "error": "no", "secret": given.answer})

    for command in ([], ["--json"]):
        header = ["--header", f"Set-Cookie: a={given.set_cookie}"]
        words = ["--status", "401", "--path", path, "--body", body, *header, *command]
        assert 0 == run(["explain", str(tmp_path / "acme.yaml"), *words])
        witness.hear("explain", *capsys.readouterr())

    assert [] == given.leaks(witness.told)
    assert any("scrape" in text for text in witness.told["explain"])


def test_no_secret_comes_out_of_a_fake_provider(witness: Witness) -> None:
    """Neither in its lines nor in its records, but for the body as it came, which a test may want to look at."""
    given = Secrets()
    lines: list[str] = []
    policy = Policy.model_validate({**_policy(), "examples": []})
    server = Server(Application(policy, script="200 *9", log=lines.append), "127.0.0.1", 0)
    with server.in_thread(), httpx.Client() as client:
        url = given.url("/v1/scrape").replace("https:", "http:").replace(HOST, server.netloc)
        for library in (client, httpx2.Client()):
            named: dict[str, Any] = {"headers": given.headers, "json": {"password": given.body}}
            library.post(f"{url}&acme_id={quote(given.account, safe='')}", auth=_unchanged, **named)
            library.close()
    received = server.application.requests
    witness.hear("lines", *lines)
    witness.hear("received", *map(repr, received), *(f"{each.target} {dict(each.headers)}" for each in received))
    witness.hear("accounts", server.application.charged_by)

    assert [] == given.leaks(witness.told)
    assert 2 == len(lines) == len(received)
    assert given.body.encode() in received[0].body


PROGRAM = """
import os, {library}
with {library}.Client() as client:
    for _ in range(2):
        client.post(os.environ["URL"], headers={{"X-Acme": os.environ["KEY"]}}, auth=lambda request: request)
"""


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_no_secret_is_told_at_the_end_of_a_program(library: str, witness: Witness, tmp_path: Path) -> None:
    """`resilience run --explain` shows what the provider said, but not the key that it quotes."""
    given = Secrets()
    policy = Policy.model_validate({**_policy(), "examples": []})
    body = json.dumps({"code": f"x-{given.account}", "error": given.account})
    server = Server(Application(policy, script=f"503 body {body}, 401 body {body}"), "127.0.0.1", 0)
    (tmp_path / "acme.yaml").write_text(POLICY.replace(f"[{HOST}]", f'["{server.netloc}"]'))
    (tmp_path / "resilience.yaml").write_text("{version: 1, shipped: false, policies: [acme.yaml]}")
    url = given.url("/v1/scrape").replace("https:", "http:").replace(HOST, server.netloc)
    own = {"PYTHONPATH": str(CHECKOUT), "URL": url, "KEY": given.account}

    with server.in_thread():
        done = subprocess.run(
            [sys.executable, "-m", "resilience", "run", "--explain", "--", sys.executable, "-c", PROGRAM.format(library=library)],
            cwd=tmp_path, env=own, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    witness.hear("explained", done.stdout, done.stderr)

    assert 0 == done.returncode
    assert "x-REDACTED" in done.stderr
    assert [] == given.leaks(witness.told)


@pytest.mark.parametrize("place", ["store", "log", "spans"])
def test_a_secret_that_came_out_would_be_found(place: str) -> None:
    """In whatever form: as it is, in part, encoded, or digested by anything that needs no key."""
    given = Secrets()
    secret = given.account
    told = [
        f"the key {secret}.",
        secret[:15],
        quote(secret, safe=""),
        base64.b64encode(f"a{secret}b".encode()).decode(),
        base64.urlsafe_b64encode(f"ab{secret}".encode()).decode(),
        secret.encode().hex(),
        hashlib.sha256(secret.encode()).hexdigest(),
        hashlib.md5(secret.encode(), usedforsecurity=False).hexdigest(),
    ]

    for text in told:
        assert {(place, "account")} == {found[:2] for found in given.leaks({place: [text]})}
    assert [] == given.leaks({place: ["nothing"]})


def test_what_layers_hold_shows_nothing_of_a_request() -> None:
    """A traceback with local variables, or a debugger's log, may show their `repr`."""
    outcome = Outcome(events.Refused, error=ValueError("https://me:password@h/"))  # type: ignore[arg-type]

    assert "password" not in repr(outcome)
