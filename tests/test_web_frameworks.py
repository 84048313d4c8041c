"""Each web framework under a real server: what a request leaves holds for its calls, and what comes up is answered for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from resilience import Policy
from resilience.stores import forget_all
from tests.rawserver import RawServer, answer, raw_server
from tests.webapps import FRAMEWORKS, Handlers, serve
from tests.worlds import policy

OPTIONS: dict[str, Any] = {
    "deadline_header": "X-Timeout-Ms",
    "deadline_as": "milliseconds",
    "attempts_header": "X-Attempts-Left",
    "tag_headers": {"tenant": "X-Tenant"},
}
RETRY = {"max_attempts": 3, "spread": 0, "backoff": {"initial": "1ms", "max": "1ms"}}
# What a provider says that is nobody's business.
DOWN = answer(503, b'{"error": {"message": "account SECRET of db.internal is down"}}', "X-Debug: SECRET")
GOOD = answer(200, b"{}")


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    forget_all()


def policy_for(server: RawServer, **parts: Any) -> Policy:
    """A policy of the provider that a test runs."""
    host = server.url.removeprefix("http://")
    return policy(**{"match": {"hosts": [host]}, "retry": RETRY, "breaker": {"off": True}, **parts})


class Hanging:
    """An answer that comes when it is let go."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __call__(self, connection: socket.socket) -> bool:
        assert self.released.wait(60)
        connection.sendall(GOOD)
        return True


def test_a_deadline_in_a_header_is_honoured(framework: str) -> None:
    """A provider that does not answer is given up in time, and the caller gets a problem."""
    hanging = Hanging()
    with raw_server(hanging) as provider:
        handlers = Handlers(provider.url, policies=[policy_for(provider)])
        with serve(framework, handlers, **OPTIONS) as client:
            began = time.monotonic()
            answered = client.get("/call", headers={"X-Timeout-Ms": "400"})
            took = time.monotonic() - began
        hanging.released.set()

    assert (504, "application/problem+json") == (answered.status_code, answered.headers["content-type"])
    assert {"code": "deadline_exceeded", "provider": "provider", "status": 504} == {
        name: answered.json()[name] for name in ("code", "provider", "status")
    }
    assert 0.3 < took < 20
    assert 1 == len(provider.requests)


@pytest.mark.parametrize(("headers", "sent"), [({}, 3), ({"X-Attempts-Left": "1"}, 1), ({"X-Attempts-Left": "2"}, 2)])
def test_attempts_in_a_header_bound_what_is_sent(framework: str, headers: dict[str, str], sent: int) -> None:
    """Whoever calls again himself says so, and the provider is asked no more often; then it is a 503."""
    with raw_server(DOWN) as provider:
        handlers = Handlers(provider.url, policies=[policy_for(provider)])
        with serve(framework, handlers, **OPTIONS) as client:
            answered = client.get("/call", headers=headers)

    assert sent == len(provider.requests)
    assert (503, "provider_unavailable") == (answered.status_code, answered.json()["code"])


def test_a_request_that_comes_too_late_reaches_nobody(framework: str) -> None:
    """Nobody waits for its answer any more."""
    with raw_server(GOOD) as provider:
        handlers = Handlers(provider.url, policies=[policy_for(provider)])
        with serve(framework, handlers, **OPTIONS) as client:
            answered = client.get("/call", headers={"X-Timeout-Ms": "0"})

    assert (504, "deadline_exceeded") == (answered.status_code, answered.json()["code"])
    assert (0, 0) == (handlers.called, len(provider.requests))


def test_a_refusal_becomes_a_503_that_says_when(framework: str) -> None:
    """The caller has done nothing wrong; the provider is not asked."""
    limits = [{"name": "minute", "rate": "1/minute", "max_wait": "0s"}]
    with raw_server(GOOD) as provider:
        handlers = Handlers(provider.url, policies=[policy_for(provider, limits=limits)])
        with serve(framework, handlers, **OPTIONS) as client:
            first, second = client.get("/call"), client.get("/call")

    assert (200, {"status": 200}) == (first.status_code, first.json())
    assert (503, 1) == (second.status_code, len(provider.requests))
    told = second.json()
    assert ("rate_limited", "limiter", "provider") == (told["code"], told["layer"], told["provider"])
    assert ("about:blank", "Service Unavailable", 503) == (told["type"], told["title"], told["status"])
    assert 1 <= int(second.headers["retry-after"]) == told["retry_after"] <= 60


def test_a_tenant_whose_budget_is_used_up_gets_429_and_others_go_on(framework: str) -> None:
    """The tag of the gateway's header reaches the budget."""
    budgets = [{"name": "tenants", "limit": "1 requests/day", "per": "tag.tenant"}]
    with raw_server(GOOD) as provider:
        config = {"version": 1, "providers": {"provider": {"budgets": budgets}}}
        handlers = Handlers(provider.url, policies=[policy_for(provider)], config=config)
        with serve(framework, handlers, **OPTIONS) as client:
            answers = [client.get("/call", headers={"X-Tenant": each}) for each in ("acme", "acme", "globex", "acme")]

    assert ([200, 429, 200, 429], 2) == ([each.status_code for each in answers], len(provider.requests))
    told = answers[1].json()
    assert ("budget_used_up", "credits", 429) == (told["code"], told["layer"], told["status"])
    assert 0 < int(answers[1].headers["retry-after"]) <= 86_400


def test_an_error_that_is_none_of_ours_stays_what_it_is(framework: str) -> None:
    """The framework answers for it."""
    handlers = Handlers("http://provider.test", policies=[policy()])
    with serve(framework, handlers, **OPTIONS) as client:
        answered = client.get("/boom")

    assert 500 == answered.status_code
    assert "application/problem+json" != answered.headers["content-type"]
    assert "deadline" not in answered.text


def test_nothing_of_the_provider_is_told(framework: str) -> None:
    """Neither its words, nor the URL, nor the key; its name can be kept back, too."""
    with raw_server(DOWN) as provider:
        handlers = Handlers(provider.url, policies=[policy_for(provider)])
        with serve(framework, handlers, **OPTIONS, show_provider=False) as client:
            answered = client.get("/call")

    everything = f"{answered.headers} {answered.text}"
    assert 503 == answered.status_code
    assert not [each for each in ("SECRET", "internal", provider.url, "api_key", '"provider"') if each in everything]


def test_two_requests_at_the_same_time_have_their_own_deadlines(framework: str) -> None:
    """One is given up, and the other gets its answer afterwards."""
    hanging = Hanging()
    with raw_server(hanging) as provider, ThreadPoolExecutor() as pool:
        handlers = Handlers(provider.url, policies=[policy_for(provider)])
        with serve(framework, handlers, **OPTIONS) as client:
            patient = pool.submit(client.get, "/call", headers={"X-Timeout-Ms": "60000"})
            hasty = client.get("/call", headers={"X-Timeout-Ms": "300"})
            assert not patient.done()
            hanging.released.set()
            assert 504 == hasty.status_code
            assert 200 == patient.result().status_code


HOSTILE = ["-1", "nan", "inf", "1e3", "9" * 5000, "9" * 60, "1" * 201 + ",5", "", "1_000", "\u00b2", "," * 300]
ENCODED = [each.encode("latin-1") for each in HOSTILE]


@pytest.mark.parametrize("name", ["X-Timeout-Ms", "X-Attempts-Left"])
def test_a_hostile_header_is_no_error_and_gives_nobody_more(framework: str, name: str) -> None:
    """What cannot be read says nothing; what is very much is bounded by what the server gives itself.

    Less than no time is readable: whoever says so is late.
    """
    handlers = Handlers("http://provider.test", policies=[policy()])
    with serve(framework, handlers, **OPTIONS, timeout=7) as client:
        if name == "X-Timeout-Ms":
            assert 504 == client.get("/known/1", headers={name: "-1"}).status_code
        for value in ENCODED[name == "X-Timeout-Ms" :]:
            answered = client.get("/known/1", headers=[(name.encode(), value), (b"X-Tenant", b"\xfc" * 300)])
            told = answered.json()

            assert 200 == answered.status_code, value
            assert 0 < told["left"] <= 7
            assert told["attempts"] is None
            assert told["tags"]["tenant"].startswith("~")


def test_what_a_request_says_is_known_at_its_calls(framework: str) -> None:
    """Also in threads of the framework; of several values the least counts, and afterwards nothing is left of it."""
    handlers = Handlers("http://provider.test", policies=[policy()])
    with serve(framework, handlers, **OPTIONS, margin=0) as client:
        headers = [
            ("X-Timeout-Ms", "9000"),
            ("X-Timeout-Ms", "5000"),
            ("X-Attempts-Left", "4"),
            ("X-Attempts-Left", "2"),
        ]
        with_all = client.get("/known/1", headers=[*headers, ("X-Tenant", "acme")]).json()
        without = client.get("/known/1").json()

    assert 4 < with_all["left"] <= 5
    assert (2, {"tenant": "acme"}) == (with_all["attempts"], with_all["tags"])
    assert {"left": None, "attempts": None, "tags": {}} == without


def test_the_template_of_the_route_is_a_tag(framework: str) -> None:
    """Not the path, of which there are as many as the callers like; and a function may add others."""
    if framework == "wsgi":
        return  # it has no routes
    handlers = Handlers("http://provider.test", policies=[policy()])
    with serve(framework, handlers, route_tag="route", tags=lambda _request: {"own": 1}) as client:
        known = client.get("/known/4711").json()

    assert {"/known/{item}", "/known/{item:str}", "/known/<item>"} >= {known["tags"]["route"]}
    assert "1" == known["tags"]["own"]


def test_an_open_breaker_is_seen_in_the_health_view(framework: str) -> None:
    """It answers 200, as the service copes; and tells no more than names."""
    with raw_server(DOWN) as provider:
        parts = {"breaker": {"consecutive_failures": 1}, "retry": {"max_attempts": 1}}
        handlers = Handlers(provider.url, policies=[policy_for(provider, **parts)])
        with serve(framework, handlers, **OPTIONS, health="/health/calls") as client:
            before = client.get("/health/calls")
            answers = [client.get("/call"), client.get("/call")]
            after = client.get("/health/calls")

    assert (200, "ok") == (before.status_code, before.json()["status"])
    assert (1, [503, 503]) == (len(provider.requests), [each.status_code for each in answers])
    assert ("provider_unavailable", "breaker") == (answers[1].json()["code"], answers[1].json()["layer"])
    assert 1 <= int(answers[1].headers["retry-after"]) <= 60
    assert (200, "degraded") == (after.status_code, after.json()["status"])
    (breaker,) = after.json()["breakers"]
    assert ("provider", "open") == (breaker["provider"], breaker["state"])
    assert f"provider {breaker['scope']}" == breaker["name"]
    assert breaker["settings"] not in breaker["name"]
    assert {"kind": "memory", "state": "ok"} in after.json()["stores"]
    assert "SECRET" not in after.text
