"""A fake provider answers over real HTTP as its policy documents it and as its script says."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import anyio
import httpx
import pytest

import resilience.httpx
from resilience._fake_provider import Application
from resilience._fake_server import Server
from resilience._policy import Policy
from resilience.errors import ConfigurationError
from resilience.testing import VirtualClock, fake_provider

DATA: dict[str, Any] = {
    "version": 1,
    "provider": "acme",
    "match": {"hosts": ["api.acme.test"]},
    "account": {"headers": ["X-Acme-Key"], "query": "acme_key"},
    "operations": {"search": {"method": "POST", "path": "/v1/search", "repeatable": True}},
    "envelopes": [{"code": "error"}],
    "answers": [{"rule": "rate-limit", "when": {"status": 429}, "category": "rate_limited"}],
    "retry": {"wait": [{"header": "Retry-After"}]},
    "examples": [
        {
            "request": {"method": "POST", "path": "/v1/search"},
            "answer": {"status": 429, "headers": {"Retry-After": "30"}, "body": {"error": "slow_down"}},
            "verdict": {"category": "rate_limited"},
        },
        {
            "request": {"method": "POST", "path": "/v1/search"},
            "answer": {"status": 401, "body": {"error": "no_key"}},
            "verdict": {"category": "auth"},
        },
        {
            "request": {"method": "POST", "path": "/v1/search"},
            "answer": {"status": 200, "body": {"results": ["a", "b", "c"]}},
            "verdict": {"category": "success"},
        },
    ],
}
ACME = Policy.model_validate(DATA)
FOUND = {"results": ["a", "b", "c"]}


@pytest.fixture(scope="module")
def client() -> Any:
    """Give all tests one client: its TLS settings take time to load."""
    with httpx.Client(trust_env=False) as client:
        yield client


def _raw(url: str, request: bytes) -> bytes:
    """All that comes back on one connection until it is closed."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def test_a_script_answers_one_request_after_the_other(client: httpx.Client) -> None:
    """Each request gets its step as documented, and after the last one the documented success."""
    with fake_provider(ACME, script="429 retry-after 1, 503, rate-limit") as provider:
        answers = [client.post(f"{provider.url}/v1/search") for _ in range(5)]

    assert [429, 503, 429, 200, 200] == [answer.status_code for answer in answers]
    assert ["1", None, "30", None, None] == [answer.headers.get("retry-after") for answer in answers]
    assert [{"error": "slow_down"}, FOUND] == [answers[0].json(), answers[3].json()]
    assert ["application/json", None] == [answer.headers.get("content-type") for answer in answers[:2]]
    assert all("date" in answer.headers and "server" not in answer.headers for answer in answers)


def test_a_resilient_client_obeys_the_policy_that_the_fake_speaks(client: httpx.Client) -> None:
    """The policy of the fake is for its address, and with a virtual clock its waits take no time."""
    clock = VirtualClock()
    with fake_provider(ACME, script="429, 429 retry-after 7") as provider:
        transport = resilience.httpx.Transport(policies=[provider.policy], clock=clock)
        with httpx.Client(transport=transport) as resilient:
            answer = resilient.post(f"{provider.url}/v1/search")

        assert FOUND == answer.json()
        assert 3 == len(provider.requests)
    assert [30.0, 7.0] == clock.slept
    assert ("api.acme.test",) == ACME.match.hosts


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_asynchronous_programs_are_answered_too(backend: str) -> None:
    """The server has its own thread, so the event loop of the test is free to call it."""

    async def call() -> list[int]:
        with fake_provider(ACME, script="429, 503") as provider:
            async with httpx.AsyncClient(trust_env=False) as client:
                return [(await client.get(provider.url)).status_code for _ in range(3)]

    assert [429, 503, 200] == anyio.run(call, backend=backend)


def test_several_providers_run_at_once(client: httpx.Client) -> None:
    """Each has its own port, script and records."""
    with fake_provider(ACME, script="500 ...") as one, fake_provider(ACME, script="404 ...") as other:
        statuses = [client.get(url).status_code for url in (one.url, other.url, one.url)]

        assert [500, 404, 500] == statuses
        assert [2, 1] == [len(one.requests), len(other.requests)]
    assert one.url != other.url


def test_another_process_is_answered() -> None:
    """It is real HTTP: a program of its own can be tested."""
    program = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=20).read().decode())"
    with fake_provider(ACME) as provider:
        done = subprocess.run([sys.executable, "-c", program, provider.url], capture_output=True, text=True, check=True)

        assert FOUND == json.loads(done.stdout)
        assert ["GET"] == [request.method for request in provider.requests]


def test_requests_are_recorded_in_the_order_of_arrival(client: httpx.Client) -> None:
    """A record has what came, when, and what it was answered with."""
    with fake_provider(ACME, script="429, drop") as provider:
        client.post(
            f"{provider.url}/v1/s%20h?page=2", content=b"hello", headers={"X-Twice": "1", "Idempotency-Key": "k"}
        )
        with pytest.raises(httpx.RemoteProtocolError):
            client.put(f"{provider.url}/other")
        client.get(provider.url)
        first, second, third = provider.requests

    assert ("POST", "/v1/s%20h", "page=2", "/v1/s%20h?page=2") == (first.method, first.path, first.query, first.target)
    assert (b"hello", 5, hashlib.sha256(b"hello").hexdigest()) == (first.body, first.size, first.sha256)
    assert ("1", "k") == (first.headers["x-twice"], first.headers["idempotency-key"])
    assert [(1, "429", 429), (2, "drop", None), (3, "", 200)] == [
        (request.number, request.step, request.status) for request in (first, second, third)
    ]
    assert "/other" == second.target
    assert 0 <= first.at <= second.at <= third.at


def test_a_large_body_is_measured_but_not_kept(client: httpx.Client) -> None:
    """Of a body 64 KiB are kept, and its size and digest tell the rest."""
    body = bytes(range(256)) * 4096
    with fake_provider(ACME) as provider:
        client.post(provider.url, content=body)

    (request,) = provider.requests
    assert (body[:65536], len(body)) == (request.body, request.size)
    assert hashlib.sha256(body).hexdigest() == request.sha256


def test_only_the_last_requests_are_kept(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that runs for long does not fill the memory."""
    monkeypatch.setattr("resilience._fake_provider._KEPT_REQUESTS", 3)
    with fake_provider(ACME) as provider:
        for _ in range(5):
            client.get(provider.url)

    assert [3, 4, 5] == [request.number for request in provider.requests]


def test_keys_are_nowhere_to_be_seen(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    """Headers and parameters that carry a key are hidden in the records, and nothing of them reaches any log."""
    caplog.set_level(0)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    headers = [(name, "s3cret") for name in ("X-Acme-Key", "Authorization", "Cookie", "x-api-key", "X-ACME-KEY")]
    with fake_provider(ACME) as provider:
        client.get(f"{provider.url}/p?acme_key=s3cret&ACME%5Fkey=s3cret&api_key=s3cret&page=2&x", headers=headers)

    (request,) = provider.requests
    assert "acme_key=REDACTED&ACME%5Fkey=REDACTED&api_key=REDACTED&page=2&x" == request.query
    assert {"REDACTED"} == {request.headers[name.lower()] for name, _ in headers}
    assert "s3cret" not in repr(request)
    assert "s3cret" not in caplog.text


def test_repeated_headers_are_all_recorded(client: httpx.Client) -> None:
    """Several headers of one name are joined as one."""
    with fake_provider(ACME) as provider:
        client.get(provider.url, headers=[("X-Id", "1"), ("X-Id", "2")])

    assert "1, 2" == provider.requests[0].headers["x-id"]


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ("", {}, 401),
        ("", {"X-Acme-Key": ""}, 401),
        ("?acme_key=", {}, 401),
        ("?other=1", {"Authorization": "x"}, 401),
        ("", {"x-acme-key": "k"}, 429),
        ("?acme_key=k", {}, 429),
    ],
)
def test_a_key_can_be_required(client: httpx.Client, query: str, headers: dict[str, str], expected: int) -> None:
    """A request without a key is answered as documented for 401 and takes no step of the script."""
    with fake_provider(ACME, script="429", require_key=True) as provider:
        answer = client.post(f"{provider.url}/v1/search{query}", headers=headers)
        following = client.post(f"{provider.url}/v1/search", headers={"X-Acme-Key": "k"})

    assert expected == answer.status_code
    assert {401: "no_key", 429: "slow_down"}[expected] == answer.json()["error"]
    assert {401: 429, 429: 200}[expected] == following.status_code


def test_no_key_can_be_required_where_none_is_documented() -> None:
    """A policy that does not say where keys go cannot check them."""
    policy = Policy.model_validate({**DATA, "account": None})

    with (
        pytest.raises(ConfigurationError, match="'acme' does not say under 'account'"),
        fake_provider(policy, require_key=True),
    ):
        pass


def test_rates_give_the_same_answers_again(client: httpx.Client) -> None:
    """The same beginning of chance gives the same answers, another gives others, and about as many as asked for."""

    def statuses(seed: int) -> list[int]:
        with fake_provider(ACME, script="404", rates="429=30%, 500=20%", seed=seed) as provider:
            return [client.get(provider.url).status_code for _ in range(200)]

    first = statuses(1)

    assert first == statuses(1)
    assert first != statuses(2)
    assert 404 == first[0]
    assert {200, 429, 500} == set(first[1:])
    assert 40 < first.count(429) < 80
    assert 20 < first.count(500) < 60


def test_a_dropped_connection_brings_nothing() -> None:
    """The connection is closed without a byte."""
    with fake_provider(ACME, script="drop") as provider:
        answer = _raw(provider.url, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert b"" == answer


def test_a_reset_connection_is_reset() -> None:
    """The client's socket reports a reset, not an end."""
    with fake_provider(ACME, script="reset") as provider, pytest.raises(ConnectionResetError):
        _raw(provider.url, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


def test_a_truncated_answer_ends_before_its_end(client: httpx.Client) -> None:
    """The headers promise all of the body, and half of it comes."""
    whole = json.dumps(FOUND).encode()
    with fake_provider(ACME, script="200 truncate") as provider:
        head, _, body = _raw(provider.url, b"POST /v1/search HTTP/1.1\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")

    assert f"content-length: {len(whole)}".encode() in head.lower()
    assert whole[: len(whole) // 2] == body


def test_an_empty_answer_can_be_truncated(client: httpx.Client) -> None:
    """An answer without a body promises a byte that does not come."""
    with fake_provider(ACME, script="503 truncate") as provider, pytest.raises(httpx.RemoteProtocolError):
        client.get(provider.url)


def test_a_trickling_answer_comes_in_pieces(client: httpx.Client) -> None:
    """The body comes whole, in ten pieces with a pause between them."""
    with fake_provider(ACME, script="200 trickle 10ms") as provider:
        started = time.monotonic()
        with client.stream("POST", f"{provider.url}/v1/search") as answer:
            pieces = list(answer.iter_raw())
        took = time.monotonic() - started

    assert FOUND == json.loads(b"".join(pieces))
    assert 10 >= len(pieces) > 1
    assert took >= 0.09


def test_an_empty_body_trickles_in_no_time(client: httpx.Client) -> None:
    """Where there is nothing to send, there is no pause."""
    with fake_provider(ACME, script="503 trickle 1h") as provider:
        assert 503 == client.get(provider.url).status_code


def test_a_delayed_answer_takes_its_time(client: httpx.Client) -> None:
    """Nothing comes before the delay is over."""
    with fake_provider(ACME, script="429 delay 50ms") as provider:
        started = time.monotonic()
        answer = client.get(provider.url)

    assert 429 == answer.status_code
    assert time.monotonic() - started >= 0.05


def test_a_hanging_answer_never_comes(client: httpx.Client) -> None:
    """The connection is held for so long, and then closed."""
    with fake_provider(ACME, script="hang 50ms") as provider:
        started = time.monotonic()
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(provider.url)

    assert time.monotonic() - started >= 0.05


def test_an_impatient_client_meets_its_own_timeout(client: httpx.Client) -> None:
    """A client that gives up is let go, and the next request is answered."""
    with fake_provider(ACME, script="hang 1h, delay 1h, 200 trickle 1h") as provider:
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                client.post(f"{provider.url}/v1/search", timeout=0.05)

        assert 200 == client.get(provider.url).status_code
        assert [1, 2, 3, 4] == [request.number for request in provider.requests]


@pytest.mark.parametrize(("status", "length"), [(204, None), (304, None), (205, "0"), (404, "0")])
def test_answers_without_a_body_have_none(client: httpx.Client, status: int, length: str | None) -> None:
    """A status that has no body gets none, whatever the script says of one, and the connection stays usable."""
    script = f"{status} body [1]" if status != 404 else "404"
    with fake_provider(ACME, script=script) as provider:
        answer = client.get(provider.url)
        following = client.get(provider.url)

    assert (status, b"", length) == (answer.status_code, answer.content, answer.headers.get("content-length"))
    assert 200 == following.status_code


def test_a_head_request_gets_the_headers_alone(client: httpx.Client) -> None:
    """The length is that of the body that a GET would get."""
    with fake_provider(ACME) as provider:
        answer = client.head(provider.url)

    assert (200, b"", str(len(json.dumps(FOUND)))) == (
        answer.status_code,
        answer.content,
        answer.headers["content-length"],
    )


def test_a_date_that_is_documented_stays(client: httpx.Client) -> None:
    """The server writes the date only where the answer has none."""
    with fake_provider(ACME, script='200 header Date "Sat, 01 Jan 2000 00:00:00 GMT"') as provider:
        answer = client.get(provider.url)

    assert ["Sat, 01 Jan 2000 00:00:00 GMT"] == answer.headers.get_list("date")


def test_many_at_once_get_one_step_each() -> None:
    """However many requests come together, each step is given once."""
    with fake_provider(ACME, script="500 *30, 429 *20") as provider, httpx.Client(trust_env=False) as client:
        with ThreadPoolExecutor(20) as pool:
            statuses = list(pool.map(lambda _: client.get(provider.url).status_code, range(60)))

        assert {500: 30, 429: 20, 200: 10} == {status: statuses.count(status) for status in set(statuses)}
        assert [*range(1, 61)] == [request.number for request in provider.requests]


def test_a_connection_is_kept_after_an_answer() -> None:
    """An answer that is no fault leaves the connection usable, as a provider would."""
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with fake_provider(ACME, script="429, 503 body {}, drop") as provider:
        answer = _raw(provider.url, request * 3)

    assert [b"429", b"503"] == [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]


def test_an_answer_is_not_held_back(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small packets are sent at once, on every connection."""
    options: list[int] = []

    async def look(request: Any, seconds: float) -> bool:
        connection = request.scope["state"]["transport"].get_extra_info("socket")
        options.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return seconds < 0

    monkeypatch.setattr("resilience._fake_provider._left", look)
    with fake_provider(ACME, script="200 delay 1h") as provider:
        assert 200 == client.get(provider.url).status_code

    assert [True] == [bool(option) for option in options]


def test_nothing_is_left_when_the_block_ends(client: httpx.Client) -> None:
    """The thread has ended, nobody listens and every connection is closed, whatever was under way."""
    before = threading.active_count()
    with fake_provider(ACME, script="200 trickle 1h") as provider:
        answer = client.send(client.build_request("POST", f"{provider.url}/v1/search"), stream=True)
        pieces = answer.iter_raw()
        next(pieces)
        address = (httpx.URL(provider.url).host, httpx.URL(provider.url).port)
        idle = socket.create_connection(address, timeout=10)
        half = socket.create_connection(address, timeout=10)
        half.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123")

    assert before == threading.active_count()
    with idle, half:
        assert [b"", b""] == [_last(idle), _last(half)]
    with pytest.raises(httpx.RemoteProtocolError):
        next(pieces)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=10)


def test_a_block_that_fails_ends_the_server() -> None:
    """An exception of the test leaves no thread behind."""
    before = threading.active_count()

    with pytest.raises(ZeroDivisionError), fake_provider(ACME):
        1 / 0  # noqa: B018  any exception

    assert before == threading.active_count()


def test_connections_that_come_while_it_ends_are_closed(client: httpx.Client) -> None:
    """A client that keeps connecting does not leave the server with a connection it does not know."""
    over = threading.Event()
    urls: list[str] = []

    def connect() -> None:
        while not over.is_set():
            for url in urls[-1:]:
                with suppress(OSError):
                    socket.create_connection((httpx.URL(url).host, httpx.URL(url).port), timeout=10).close()

    statuses: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        pool.submit(connect)
        pool.submit(connect)
        for _ in range(20):
            with fake_provider(ACME) as provider:
                urls.append(provider.url)
                statuses.append(client.get(provider.url).status_code)
        over.set()

    gc.collect()  # a socket that nobody closed is a warning, and so an error
    assert [200] * 20 == statuses


def test_a_server_that_is_interrupted_before_it_began_ends_at_once() -> None:
    """An interrupt while it starts is not forgotten."""
    server = Server(Application(ACME), "127.0.0.1", 0)

    server._server.handle_exit(signal.SIGTERM, None)
    thread = threading.Thread(target=server.run)
    thread.start()
    thread.join(timeout=30)

    assert not thread.is_alive()


def test_a_request_that_is_none_is_refused_and_not_recorded() -> None:
    """What is no HTTP gets the server's own 400."""
    with fake_provider(ACME) as provider:
        answer = _raw(provider.url, b"nonsense\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400")
    assert () == provider.requests


def test_a_mistake_is_found_before_anything_is_started() -> None:
    """Script and rates are checked against the rules that have an example."""
    with pytest.raises(ConfigurationError, match=r"script:1:6: step 2: 'rate-limt' is .*did you mean 'rate-limit'"):
        fake_provider(ACME, script="429, rate-limt").__enter__()
    with pytest.raises(ConfigurationError, match="rates:1:5: step 1: this is no share"):
        fake_provider(ACME, rates="429=").__enter__()


@pytest.mark.parametrize("port", [None, 70000])
def test_an_address_that_is_taken_is_named(port: int | None) -> None:
    """A port that cannot be listened on is an error that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = port or other.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=rf"cannot listen on 127.0.0.1:{port}: .*; choose another host or port"
        ):
            fake_provider(ACME, port=port).__enter__()


@pytest.mark.parametrize("host", ["nobody.invalid", "b\N{LATIN SMALL LETTER U WITH DIAERESIS}..test", "\0"])
def test_a_host_that_is_none(host: str) -> None:
    """Also one that no name service could be asked for."""
    with pytest.raises(ConfigurationError, match="cannot listen on .*; choose another host or port"):
        fake_provider(ACME, host=host).__enter__()


def test_it_listens_on_the_address_that_is_named(client: httpx.Client) -> None:
    """Host and port can be chosen, and an IPv6 address stands in brackets."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with fake_provider(ACME, port=port, host="localhost") as provider:
        assert 200 == client.get(provider.url).status_code
        assert f"http://localhost:{port}" == provider.url
        assert (f"localhost:{port}",) == provider.policy.match.hosts
    with fake_provider(ACME, host="::1") as provider:
        assert 200 == client.get(provider.url).status_code
        assert provider.url.startswith("http://[::1]:")
        assert provider.policy.match.hosts == (provider.url.removeprefix("http://").replace("[::1]", "::1"),)


def _last(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1)
    except ConnectionResetError:
        return b""
