"""The documented health endpoint, which is asked before a probe goes out."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import resilience.httpx
import resilience.httpx2
from resilience import listen
from resilience._attempt import attempt_layer
from resilience._breaker import ask_again, breaker_layer
from resilience._breaker_machine import describe
from resilience._clock import Closing
from resilience._config import policies_for
from resilience._deadline import deadline_layer
from resilience._health import HealthEndpoint, health_values
from resilience._modes import Mode
from resilience._outcome import Exchange, Outcome
from resilience._prepare import prepare
from resilience._registry import Settings
from resilience._runtime import SyncRuntime, run_now
from resilience.events import Attempted, Listener, Waited
from resilience.simulate import Answer, NoAnswer, Simulation
from resilience.stores._memory import MemoryStore
from resilience.testing import VirtualClock
from tests.worlds import policy

HEALTH: dict[str, Any] = {
    "path": "/network/health/{domain}",
    "variables": {"domain": [{"header": "X-Target-URL", "part": "host"}, {"body": "url", "part": "host"}]},
}
PARTS: dict[str, Any] = {
    "account": {"headers": ["X-API-Key"], "query": ["key"]},
    "operations": {
        "fetch": {"path": "/fetch"},
        "page": {"path": ["/pages", "/pages/{domain}/{page}"]},
        "health": {"method": "GET", "path": "/network/health/{domain}"},
    },
    "answers": [
        {"rule": "up", "when": {"operation": "health", "status": 200, "text": '"available"'}, "category": "success"},
        {"rule": "down", "when": {"operation": "health", "status": 200}, "category": "upstream_unavailable"},
    ],
}
FETCH = {"url": "https://provider.test/fetch", "headers": {"X-Target-URL": "https://Shop.example/a", "X-API-Key": "k1"}}
LIBRARIES: dict[str, tuple[Any, Any]] = {
    "httpx": (httpx, resilience.httpx.LIBRARY),
    "httpx2": (httpx2, resilience.httpx2.LIBRARY),
}


def build(runtime: Any) -> Any:
    """The layers that these tests are about."""
    return deadline_layer(breaker_layer(attempt_layer(runtime), runtime), runtime)


class Bench:
    """A breaker with a health endpoint over a mocked provider, in time that does not pass by itself."""

    def __init__(self, health: dict[str, Any] | None = None, library: str = "httpx", **parts: Any) -> None:
        self.module, self.library = LIBRARIES[library]
        breaker: dict[str, Any] = {"consecutive_failures": 1, "failure_rate": None, "open_for": "10s", "jitter": 0}
        breaker.update(parts.pop("breaker", {}))
        self.policy = policy(
            **{**PARTS, **parts, "breaker": {**breaker, "health": HEALTH if health is None else health}}
        )
        self.policies = policies_for([self.policy], {"version": 1})
        self.requests: list[Any] = []
        self.says: Any = {"agents": [{"id": "de5", "state": "available"}]}
        self.status, self.health_status = 200, 200
        self.clock, self.store = VirtualClock(), MemoryStore()
        self.mode = Mode.ENFORCE
        self.runtime = SyncRuntime(self.library, self.module.MockTransport(self.answer), self.clock)

    def answer(self, request: Any) -> Any:
        self.requests.append(request)
        if request.url.path.startswith("/network/health"):
            if isinstance(self.says, BaseException):
                raise self.says
            return self.module.Response(self.health_status, json=self.says)
        return self.module.Response(self.status)

    def exchange(self, method: str = "GET", **named: Any) -> Exchange:
        request = self.module.Request(method, **{**FETCH, **named})
        exchange = prepare(request, self.policies, self.library, Closing(), self.store)
        assert exchange is not None
        exchange.settings = Settings(modes={"breaker": self.mode})
        return exchange

    def run(self, exchange: Exchange) -> Outcome:
        return run_now(build(self.runtime)(exchange))

    def call(self, method: str = "GET", **named: Any) -> Outcome:
        return self.run(self.exchange(method, **named))

    def trip(self, **named: Any) -> Bench:
        """Open it, and wait until a probe may go."""
        self.status = 500
        self.call(**named)
        self.clock.advance(10.0)
        self.requests.clear()
        self.status = 200
        return self

    @property
    def paths(self) -> list[str]:
        return [request.url.raw_path.decode() for request in self.requests]

    @property
    def states(self) -> list[str]:
        return [describe(state, self.clock.now())["state"] for _, state in self.store.scan()]


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_endpoint_is_asked_before_the_probe(library: str) -> None:
    """It says that the provider is up, so the call goes, and its success closes the breaker."""
    bench = Bench(library=library).trip()

    exchange = bench.exchange()
    outcome = bench.run(exchange)

    assert outcome.refusal is None
    assert ["/network/health/shop.example", "/fetch"] == bench.paths
    assert ["closed"] == bench.states
    assert type(bench.requests[0]) is bench.module.Request
    assert ("GET", "k1", "provider.test") == (
        bench.requests[0].method,
        bench.requests[0].headers["X-API-Key"],
        bench.requests[0].headers["Host"],
    )


def test_only_what_carries_the_key_goes_with_the_question() -> None:
    """Neither the call's other headers nor its body."""
    bench = Bench().trip()

    bench.call("POST", headers={**FETCH["headers"], "Cookie": "c", "Authorization": "a", "User-Agent": "u"}, json={})

    assert {"host": "provider.test", "user-agent": "u", "x-api-key": "k1"} == dict(bench.requests[0].headers)
    assert b"" == bench.requests[0].read()


def test_a_key_in_the_query_goes_with_the_question_and_not_onto_the_trail() -> None:
    """Where the policy says that the query carries it; other parameters stay away."""
    bench = Bench().trip()

    exchange = bench.exchange(
        url="https://provider.test/fetch?key=s%26cret&x=1", headers={"X-Target-URL": "shop.example"}
    )
    bench.run(exchange)

    assert "/network/health/shop.example?key=s%26cret" == bench.paths[0]
    assert "cret" not in str(exchange.trail)


def test_where_the_endpoint_says_that_it_is_down_the_call_is_not_sent() -> None:
    """The breaker stays open for longer, as after a probe that failed, and the refusal tells why."""
    bench = Bench().trip()
    bench.says = {"agents": [{"state": "unavailable"}]}

    outcome, later = bench.call(), bench.call()

    assert outcome.refusal is not None
    assert later.refusal is not None
    assert (
        "the health endpoint GET /network/health/shop.example answered upstream_unavailable" == outcome.refusal.reason
    )
    assert (20.0, 20.0) == (outcome.refusal.retry_after, later.refusal.retry_after)
    assert ["/network/health/shop.example"] == bench.paths


def test_the_trail_tells_of_the_question_as_a_wait() -> None:
    """It is no attempt of the call."""
    bench = Bench().trip()
    exchange = bench.exchange()

    bench.run(exchange)

    assert ["the health endpoint GET /network/health/shop.example answered success"] == [
        wait.source for wait in exchange.trail.waits
    ]
    assert "breaker" == exchange.trail.waits[0].layer
    assert [1] == [attempt.number for attempt in exchange.trail.attempts]
    assert 1 == exchange.sent


@pytest.mark.parametrize(
    ("status", "error"), [(503, None), (500, None), (200, httpx.ReadTimeout("slow")), (200, httpx.ConnectError("no"))]
)
def test_an_endpoint_that_fails_itself_is_no_sign_of_health(status: int, error: Exception | None) -> None:
    """What is a failure of a call is one here."""
    bench = Bench().trip()
    bench.health_status = status
    bench.says = error or bench.says

    outcome = bench.call()

    assert outcome.refusal is not None
    assert (["open"], 1) == (bench.states, len(bench.requests))


def test_what_calls_ignore_is_a_failure_of_the_endpoint() -> None:
    """A 502 of a call speaks of its target, where the policy says so; one of the endpoint speaks of the provider."""
    bench = Bench(breaker={"counts": {"upstream_unavailable": "ignore"}}).trip()
    bench.health_status = 502

    assert bench.call().refusal is not None


@pytest.mark.parametrize("status", [401, 404, 429])
def test_an_endpoint_that_says_nothing_holds_nobody_back_for_ever(status: int) -> None:
    """Then the call itself is the probe."""
    bench = Bench().trip()
    bench.health_status = status

    outcome = bench.call()

    assert outcome.refusal is None
    assert (2, ["closed"]) == (len(bench.requests), bench.states)


def test_a_call_that_does_not_say_what_to_ask_about_is_the_probe_itself() -> None:
    """No header, no body, no question."""
    bench = Bench().trip()

    bench.call(headers={})

    assert (["/fetch"], ["closed"]) == (bench.paths, bench.states)


def test_a_probe_that_waited_for_the_limiter_does_not_ask_twice() -> None:
    """Its lease is renewed; a call that becomes a probe while it waits asks then."""
    bench = Bench().trip()

    async def limiter(exchange: Exchange) -> Outcome:
        assert await ask_again(exchange, bench.runtime) is None
        return await attempt_layer(bench.runtime)(exchange)

    run_now(breaker_layer(limiter, bench.runtime)(bench.exchange()))
    asked = bench.paths

    async def slow(exchange: Exchange) -> Outcome:
        bench.trip()
        return await limiter(exchange)

    run_now(breaker_layer(slow, bench.runtime)(bench.exchange()))

    assert ["/network/health/shop.example", "/fetch"] == asked == bench.paths
    assert ["closed"] == bench.states


@pytest.mark.parametrize("is_simulated", [False, True])
def test_nobody_hears_of_an_attempt_that_was_none_of_the_call(*, is_simulated: bool) -> None:
    """It is heard of as a wait; of a simulation nobody hears anything."""
    heard: list[tuple[str, object]] = []

    class Listening(Listener):
        def on_attempt(self, event: Attempted, /) -> None:
            heard.append(("attempt", event.operation))

        def on_wait(self, event: Waited, /) -> None:
            heard.append((event.layer, event.why))

    bench = Bench().trip()
    exchange = bench.exchange()
    exchange.is_untold = is_simulated
    remove = listen(Listening())
    bench.run(exchange)
    remove()

    assert ["/network/health/shop.example", "/fetch"] == bench.paths
    assert ([] if is_simulated else [("breaker", "health"), ("attempt", "fetch")]) == heard


def test_while_the_breaker_is_closed_nobody_is_asked() -> None:
    """The endpoint is for probes."""
    bench = Bench()

    bench.call()

    assert ["/fetch"] == bench.paths


def test_where_the_breaker_only_observes_nothing_is_asked() -> None:
    """It would delay the call."""
    bench = Bench()
    bench.mode = Mode.OBSERVE
    bench.trip()

    bench.call()

    assert ["/fetch"] == bench.paths


def test_the_question_is_bounded_by_the_attempts_timeout() -> None:
    """The call's own, else the policy's, else ten seconds; and each of the request's own timeouts if that is shorter."""
    bench = Bench().trip()
    bench.call(extensions={"resilience": {"attempt_timeout": 3}})
    own = bench.requests[0].extensions["timeout"]
    bench.trip()
    bench.call(extensions={"timeout": {"connect": 2.0, "read": None}, "sni_hostname": "inner"})
    short = bench.requests[0].extensions
    other = Bench(attempt_timeout="4s").trip()
    other.call()

    assert {"connect": 3, "read": 3, "write": 3, "pool": 3} == own
    assert {"connect": 2.0, "read": 10.0, "write": 10.0, "pool": 10.0} == short["timeout"]
    assert "inner" == short["sni_hostname"]
    assert 4.0 == other.requests[0].extensions["timeout"]["read"]


def test_the_question_keeps_to_the_calls_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """In virtual time: the endpoint would take a minute, and the call has two seconds."""
    bench = Bench()
    asked: list[float] = []

    def provider(request: Any, now: float) -> Answer:
        if request.url.path.startswith("/network"):
            asked.append(now)
            return Answer(200, latency=60.0)
        return Answer(500)

    monkeypatch.setattr("resilience.simulate.build", build)
    simulation = Simulation([bench.policy], provider)
    simulation.call("GET", FETCH["url"], headers=FETCH["headers"])
    call = simulation.call("GET", FETCH["url"], headers=FETCH["headers"], at=10.0, options={"deadline": 2})
    simulation.run()

    assert ([10.0], 12.0) == (asked, call.ended)


def test_a_question_that_is_cancelled_gives_the_probe_back() -> None:
    """And the next call is the probe."""
    bench = Bench().trip()
    bench.says = KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        bench.call()
    bench.says = {"state": "available"}

    assert bench.call().refusal is None
    assert ["closed"] == bench.states


def test_apart_each_value_has_a_breaker_of_its_own() -> None:
    """A domain that no agent reaches does not hold the others back; calls without one share theirs."""
    bench = Bench({**HEALTH, "apart": True}).trip()
    bench.says = {"state": "unavailable"}

    other = bench.call(headers={"X-Target-URL": "https://other.example"})
    nameless = bench.call(headers={})
    strange = bench.call(headers={"X-Target-URL": "https://strange_" + "x" * 90})
    stopped = bench.call()

    assert [None] * 3 == [outcome.refusal for outcome in (other, nameless, strange)]
    assert stopped.refusal is not None
    keys = sorted(key.rpartition("provider.test:")[2] for key, _ in bench.store.scan())
    assert ["-", "other.example", "shop.example"] == [key for key in keys if len(key) != 16]
    assert 4 == len(keys)


VALUES = {"path": "/health/{name}"}


@pytest.mark.parametrize(
    ("place", "call", "expected"),
    [
        ({"header": "X-Name"}, {"headers": {"x-name": "a"}}, "a"),
        ({"header": "X-Name"}, {"headers": {"x-name": ""}}, None),
        ({"query": "q"}, {"url": "https://provider.test/fetch?q=a%20b&q=c"}, "c"),
        ({"query": "q"}, {"url": "https://provider.test/fetch?" + "&".join(f"q{n}=1" for n in range(200))}, None),
        ({"body": "target.url"}, {"json": {"target": {"url": "a"}}}, "a"),
        ({"body": "target.url"}, {"json": {"target": 7}}, None),
        ({"body": "url"}, {"json": {"url": 7}}, None),
        ({"body": "url"}, {"content": b"{"}, None),
        ({"body": "url"}, {"content": b"[" * 60_000}, None),
        ({"body": "url"}, {"content": b'{"url": "a"}' + b" " * 1_100_000}, None),
        ({"body": "url"}, {"content": iter([b'{"url": "a"}'])}, None),
        ({"body": "url"}, {}, None),
        ({"path": "domain"}, {"url": "https://provider.test/pages/a%2Fb/7"}, "a/b"),
        ({"path": "domain"}, {"url": "https://provider.test/pages"}, None),
        ({"path": "domain"}, {"url": "https://provider.test/elsewhere"}, None),
        ({"header": "X-Name", "part": "host"}, {"headers": {"x-name": "https://User:pw@Shop.example:8443/x?y"}}, "shop.example"),
        ({"header": "X-Name", "part": "host"}, {"headers": {"x-name": "shop.example/x"}}, "shop.example"),
        ({"header": "X-Name", "part": "host"}, {"headers": {"x-name": "https://[::1"}}, None),
        ({"header": "X-Name", "part": "host"}, {"headers": {"x-name": "/just/a/path"}}, None),
        ({"header": "X-Name"}, {"headers": {"x-name": ".."}}, None),
        ({"header": "X-Name"}, {"headers": {"x-name": "a" * 254}}, None),
        ({"query": "q"}, {"url": "https://provider.test/fetch?q=a%0D%0Ab"}, None),
    ],
)  # fmt: skip
def test_values_come_from_where_the_policy_says(
    place: dict[str, Any], call: dict[str, Any], expected: str | None
) -> None:
    """What is not there, too long, or no name of anything is no value."""
    bench = Bench({**VALUES, "variables": {"name": place}})
    endpoint = HealthEndpoint.model_validate({**VALUES, "variables": {"name": place}})

    values = health_values(endpoint, bench.exchange("POST", **{"headers": {}, **call}), bench.library)

    assert (None if expected is None else (expected,)) == values


def test_a_part_without_a_place_comes_from_the_part_of_that_name_in_the_calls_path() -> None:
    """The usual case needs no words."""
    bench = Bench({"path": "/network/health/{domain}"})
    trip = {"url": "https://provider.test/pages/shop.example/7"}
    bench.trip(**trip)

    bench.call(**trip)

    assert "/network/health/shop.example" == bench.paths[0]


def test_a_path_that_does_not_vary_needs_nothing_of_the_call() -> None:
    """`/healthz`, asked by HEAD."""
    bench = Bench({"method": "HEAD", "path": "/network/healthz"}).trip()

    bench.call(headers={})

    assert [("HEAD", "/network/healthz"), ("GET", "/fetch")] == [
        (request.method, request.url.path) for request in bench.requests
    ]


@given(st.text(max_size=300))
def test_no_value_leads_to_another_path(value: str) -> None:
    """Whatever a body says, it is one part of the path, or nothing is asked."""
    bench = Bench({**HEALTH, "variables": {"domain": {"body": "url"}}}).trip()

    bench.call("POST", json={"url": value})

    assert bench.paths[-1] == "/fetch"
    for path in bench.paths[:-1]:
        head, _, rest = path.rpartition("/")
        assert ("/network/health", True, False) == (head, bool(rest), rest in {".", ".."})
        assert rest.isascii()
        assert not set(rest) & set("?#\\ \r\n")


@pytest.mark.parametrize(
    ("health", "message"),
    [
        ({}, "Field required"),
        ({"path": "network"}, "no path template"),
        ({"path": "/health/{rest...}"}, "has no '...'"),
        ({"path": "/health", "variables": {"domain": {"header": "X"}}}, "no {domain} in the path"),
        ({"path": "/health", "apart": True}, "'apart' needs a part in braces"),
        ({"path": "/h/{d}", "variables": {"d": {}}}, "exactly one of"),
        ({"path": "/h/{d}", "variables": {"d": {"header": "X", "query": "q"}}}, "exactly one of"),
        ({"path": "/h/{d}", "variables": {"d": []}}, "at least 1"),
        ({"path": "/h/{d}", "variables": {"d": {"body": "a[?b]"}}}, "column"),
        ({"path": "/h", "method": "POST"}, "'GET' or 'HEAD'"),
    ],
)
def test_what_cannot_be_asked_is_refused(health: dict[str, Any], message: str) -> None:
    """With what is wrong about it."""
    with pytest.raises(ValidationError, match=message):
        HealthEndpoint.model_validate(health)


def test_a_simulated_provider_is_asked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's requests know what the real ones know."""
    bench = Bench({**HEALTH, "variables": {"domain": {"body": "url", "part": "host"}}})
    paths: list[str] = []

    def provider(request: Any, now: float) -> Answer:
        paths.append(request.url.path)
        if now < 5:
            raise NoAnswer
        return Answer(200, {"Content-Type": "application/json"}, b'"available"')

    monkeypatch.setattr("resilience.simulate.build", build)
    simulation = Simulation([bench.policy], provider)
    for at in (0.0, 10.0):
        simulation.call("POST", FETCH["url"], content=b'{"url": "https://shop.example/"}', at=at)
    simulation.run()

    assert ["/fetch", "/network/health/shop.example", "/fetch"] == paths
