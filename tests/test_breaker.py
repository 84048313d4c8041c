"""The breaker around attempts: who is let through, what counts, what is given back, who waits, and who is refused."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest
import trio

import resilience.httpx
from resilience import Policy
from resilience._attempt import attempt_layer
from resilience._breaker import ask_again, breaker_layer, look_ahead
from resilience._breaker_machine import describe
from resilience._clock import Closing, RealClock
from resilience._config import policies_for
from resilience._deadline import deadline_layer
from resilience._modes import Mode
from resilience._outcome import Exchange, Outcome
from resilience._prepare import prepare
from resilience._refusal import refused
from resilience._retry import retry_layer
from resilience._runtime import AsyncRuntime, SyncRuntime, run_now
from resilience._trail import Refused, Wait
from resilience._transactions import Command
from resilience.simulate import Answer, NoAnswer, Simulation
from resilience.stores._memory import MemoryStore
from resilience.testing import VirtualClock
from tests.worlds import policy

Handler = Callable[[httpx.Request], httpx.Response]
TWO = {"consecutive_failures": 2, "failure_rate": None, "open_for": "10s", "jitter": 0}


def provider(**parts: Any) -> Policy:
    """A policy whose breaker opens after two failures in a row, for ten seconds."""
    return policy(**{**parts, "breaker": {**TWO, **parts.get("breaker", {})}})


class Bench:
    """The breaker's layer over attempts of a mocked transport, in time that does not pass by itself."""

    def __init__(self, handler: Handler | int, **parts: Any) -> None:
        self.status = handler if isinstance(handler, int) else 0
        self.handler = self.answer if isinstance(handler, int) else handler
        self.headers: dict[str, str] = {}
        self.sent = 0
        self.mode = parts.pop("mode", Mode.ENFORCE)
        self.policies = policies_for([provider(**parts)], {"version": 1})
        self.clock = VirtualClock()
        self.store = MemoryStore()
        self.closing = Closing()
        self.runtime = SyncRuntime(resilience.httpx.LIBRARY, httpx.MockTransport(self.handle), self.clock)

    def answer(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(self.status, headers=self.headers)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        return self.handler(request)

    def exchange(self, method: str = "GET", url: str = "https://provider.test/things", **named: Any) -> Exchange:
        request = httpx.Request(method, url, **named)
        exchange = prepare(request, self.policies, resilience.httpx.LIBRARY, self.closing, self.store)
        assert exchange is not None
        exchange.settings = replace(exchange.settings, modes={"breaker": self.mode})
        return exchange

    def run(self, exchange: Exchange, inner: Any = None) -> Outcome:
        layer = breaker_layer(inner or attempt_layer(self.runtime), self.runtime)
        return run_now(deadline_layer(layer, self.runtime)(exchange))

    def call(self, **named: Any) -> Outcome:
        return self.run(self.exchange(**named))

    def trip(self) -> Bench:
        """Two failures, whatever is answered otherwise."""
        status, self.status = self.status, 500
        handler, self.handler = self.handler, self.answer
        for _ in range(2):
            self.call()
        self.status, self.handler, self.sent = status, handler, 0
        assert "open" == self.state["state"]
        return self

    @property
    def state(self) -> dict[str, Any]:
        found = next(self.store.scan(), None)
        return {} if found is None else describe(found[1], self.store.now(self.clock.now()))


def test_an_outage_opens_it_and_the_calls_after_are_not_sent() -> None:
    """The call that opened it keeps its own answer; the next ones are refused in no time, with the reason and the wait."""
    bench = Bench(500)

    answers = [bench.call() for _ in range(2)]
    bench.clock.advance(4.0)
    stopped = bench.call()

    assert [500, 500] == [outcome.response.status_code for outcome in answers if outcome.response]
    assert 2 == bench.sent
    assert stopped.refusal is not None
    assert ("breaker", 6.0) == (stopped.refusal.layer, stopped.refusal.retry_after)
    assert "the breaker has been open for 4s" == stopped.refusal.reason
    assert stopped.refusal.key.startswith("{provider}:breaker:")
    assert stopped.refusal.key.endswith(":provider.test")


def test_a_probe_closes_it() -> None:
    """After the open time one call goes; its success lets all go again."""
    bench = Bench(200).trip()
    bench.clock.advance(10.0)

    outcomes = [bench.call() for _ in range(3)]

    assert [None] * 3 == [outcome.refusal for outcome in outcomes]
    assert (3, "closed") == (bench.sent, bench.state["state"])


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    """And keeps its answer too."""
    bench = Bench(500).trip()
    bench.clock.advance(10.0)

    answer, stopped = bench.call(), bench.call()

    assert answer.response is not None
    assert stopped.refusal is not None
    assert (500, 20.0) == (answer.response.status_code, stopped.refusal.retry_after)


def test_the_wait_that_the_answer_asks_for_keeps_it_open() -> None:
    """A Retry-After longer than the policy's own time."""
    bench = Bench(503)
    bench.headers = {"Retry-After": "45"}

    for _ in range(2):
        bench.call()

    assert 45.0 == bench.state["retry_after"]


@pytest.mark.parametrize(("status", "counted"), [(200, "closed"), (404, "open"), (429, "open"), (401, "open")])
def test_what_says_nothing_of_the_provider_is_ignored(status: int, counted: str) -> None:
    """Faults of the caller and throttles neither reset a row of failures, as a success does, nor lengthen it."""
    bench = Bench(500)

    for each in (500, status, status, status, 500):
        bench.status = each
        bench.call()

    assert counted == bench.state["state"]


@pytest.mark.parametrize("status", [404, 429])
def test_an_ignored_probe_closes_nothing_and_gives_its_place_back(status: int) -> None:
    """A throttle as a probe neither closes it nor opens it again."""
    bench = Bench(status).trip()
    bench.clock.advance(10.0)

    first, second = bench.call(), bench.call()

    assert [None, None] == [first.refusal, second.refusal]
    assert ("half_open", 0, 2) == (bench.state["state"], bench.state["probes"], bench.sent)


def test_the_policy_says_what_counts() -> None:
    """`counts` goes before the table of categories."""
    bench = Bench(429, breaker={"counts": {"rate_limited": "failure"}})

    bench.call()
    bench.call()

    assert "open" == bench.state["state"]


def test_errors_of_the_network_are_failures() -> None:
    """Nobody answers, twice."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    bench = Bench(refuse)

    outcomes = [bench.call() for _ in range(3)]

    assert [httpx.ConnectError] * 2 == [type(outcome.error) for outcome in outcomes[:2]]
    assert outcomes[2].refusal is not None


@pytest.mark.parametrize("error", [httpx.PoolTimeout("all in use"), ZeroDivisionError()])
def test_what_is_the_clients_own_fault_is_ignored(error: Exception) -> None:
    """A pool that is too small and a program that fails say nothing of the provider."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    bench = Bench(fail)

    for _ in range(5):
        bench.call()

    assert (5, {}) == (bench.sent, bench.state)


def test_each_host_has_a_breaker_of_its_own() -> None:
    """`per` says what is counted apart; by default the host."""
    bench = Bench(500, match={"hosts": ["provider.test", "other.test"]})

    for _ in range(2):
        bench.call()

    assert bench.call(url="https://other.test/things").refusal is None
    assert bench.call().refusal is not None


def test_switched_off_in_the_policy_nothing_is_counted() -> None:
    """`off: true`."""
    bench = Bench(500, breaker={"off": True})

    outcomes = [bench.call() for _ in range(5)]

    assert [None] * 5 == [outcome.refusal for outcome in outcomes]
    assert {} == bench.state
    assert 0.0 == run_now(look_ahead(bench.exchange(), bench.runtime))


def test_switched_off_by_the_user_nothing_is_counted() -> None:
    """`modes: {breaker: off}`."""
    bench = Bench(500, mode=Mode.OFF)

    outcomes = [bench.call() for _ in range(5)]

    assert [None] * 5 == [outcome.refusal for outcome in outcomes]
    assert {} == bench.state


def test_observing_it_refuses_nobody_and_says_whom_it_would_have_refused() -> None:
    """The store is told as if the calls had been held back: it opens, and it closes by probes."""
    bench = Bench(500, mode=Mode.OBSERVE)
    for _ in range(2):
        bench.call()

    exchange = bench.exchange()
    outcome = bench.run(exchange)
    left = run_now(look_ahead(bench.exchange(), bench.runtime))
    bench.clock.advance(10.0)
    bench.status = 200
    bench.call()

    assert outcome.refusal is None
    assert [Refused("breaker", "open", "the breaker has been open for 0s", 10.0, observed=True)] == [
        event for event in exchange.trail.events if isinstance(event, Refused)
    ]
    assert (0.0, "closed") == (left, bench.state["state"])


def test_a_call_that_an_inner_layer_refuses_gives_its_probe_back() -> None:
    """Nothing was sent, so nothing was learnt."""
    bench = Bench(200).trip()
    bench.clock.advance(10.0)

    async def limiter(exchange: Exchange) -> Outcome:
        return refused(exchange, layer="limiter", why="max_wait", reason="too fast", retry_after=1.0)

    outcome = bench.run(bench.exchange(), limiter)

    assert outcome.refusal is not None
    assert ("limiter", "half_open", 0) == (outcome.refusal.layer, bench.state["state"], bench.state["probes"])


def test_a_call_that_an_inner_layer_refuses_counts_for_nothing() -> None:
    """Refusals of our own never open it."""
    bench = Bench(200)

    async def limiter(exchange: Exchange) -> Outcome:
        return refused(exchange, layer="breaker", why="open", reason="made up", retry_after=1.0)

    for _ in range(5):
        bench.run(bench.exchange(), limiter)

    assert {} == bench.state


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
def test_a_cancelled_probe_gives_its_place_back(error: type[BaseException]) -> None:
    """The next call is the probe, at once."""
    bench = Bench(200).trip()
    bench.clock.advance(10.0)

    async def cancelled(exchange: Exchange) -> Outcome:
        raise error

    with pytest.raises(error):
        bench.run(bench.exchange(), cancelled)

    assert ("half_open", 0) == (bench.state["state"], bench.state["probes"])
    assert bench.call().refusal is None
    assert "closed" == bench.state["state"]


def test_in_a_half_open_breaker_all_but_the_probes_are_refused() -> None:
    """They are told that probes are under way, and to ask again when the first open time has passed."""
    bench = Bench(200).trip()
    bench.clock.advance(10.0)
    stopped: list[Outcome] = []

    async def probe(exchange: Exchange) -> Outcome:
        stopped.append(await breaker_layer(attempt_layer(bench.runtime), bench.runtime)(bench.exchange()))
        return await attempt_layer(bench.runtime)(exchange)

    bench.run(bench.exchange(), probe)

    assert stopped[0].refusal is not None
    assert "the breaker has been half open for 0s, and its probes are under way" == stopped[0].refusal.reason
    assert (10.0, 1) == (stopped[0].refusal.retry_after, bench.sent)


def test_isolated_by_hand_nobody_knows_when() -> None:
    """The refusal says so, and names no time."""
    bench = Bench(200).trip()
    key = next(bench.store.scan())[0]
    bench.store.run(Command("breaker.force", (key,), (3, 0.0)), bench.clock.now())
    bench.clock.advance(2.0)

    stopped = bench.call()

    assert stopped.refusal is not None
    assert ("the breaker has been isolated for 2s, by hand", None) == (
        stopped.refusal.reason,
        stopped.refusal.retry_after,
    )
    assert math.inf == run_now(look_ahead(bench.exchange(), bench.runtime))


def test_looking_ahead_takes_nothing() -> None:
    """The retry layer asks how long the next attempt would be held back, and then does what it wants."""
    bench = Bench(200)
    exchange = bench.exchange()

    before = run_now(look_ahead(exchange, bench.runtime))
    bench.trip()
    bench.clock.advance(4.0)
    while_open = run_now(look_ahead(exchange, bench.runtime))
    bench.clock.advance(6.0)
    after = run_now(look_ahead(exchange, bench.runtime))

    assert (0.0, 6.0, 0.0) == (before, while_open, after)
    assert "open" == bench.state["state"]


@pytest.mark.parametrize(
    ("extensions", "options", "policy_timeout", "lease"),
    [
        ({}, {}, {}, 60.0),
        ({"timeout": {"read": 600.0}}, {}, {}, 1200.0),
        ({"timeout": {"read": 5000.0}}, {}, {}, 3600.0),
        ({"timeout": {"read": None}}, {}, {}, 60.0),
        ({"timeout": {"read": 600.0}}, {"attempt_timeout": 45}, {}, 90.0),
        ({"timeout": {"read": 600.0}}, {}, {"attempt_timeout": "40s"}, 80.0),
    ],
)
def test_a_probe_may_take_as_long_as_its_own_timeouts_let_it(
    extensions: dict[str, Any], options: dict[str, Any], policy_timeout: dict[str, Any], lease: float
) -> None:
    """Otherwise a provider whose good answers are slow would never be found to be up again."""
    bench = Bench(200, **policy_timeout).trip()
    bench.clock.advance(10.0)
    due: list[float] = []

    async def probe(exchange: Exchange) -> Outcome:
        state = next(bench.store.scan())[1]
        due.extend(each - bench.clock.now() for each in state["due"])
        return await attempt_layer(bench.runtime)(exchange)

    bench.run(bench.exchange(extensions={**extensions, "resilience": options}), probe)

    assert [lease] == due


class Waiting:
    """What a limiter inside the breaker does after a long wait."""

    def __init__(self, bench: Bench, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.bench = bench
        self.seconds = seconds
        self.meanwhile = meanwhile
        self.again: list[Outcome | None] = []

    async def __call__(self, exchange: Exchange) -> Outcome:
        self.bench.clock.advance(self.seconds)
        self.meanwhile()
        again = await ask_again(exchange, self.bench.runtime)
        self.again.append(again)
        return again or await attempt_layer(self.bench.runtime)(exchange)


def test_asked_again_a_closed_breaker_lets_the_call_go_on() -> None:
    """And its result counts."""
    bench = Bench(500)
    limiter = Waiting(bench, 5.0)

    bench.run(bench.exchange(), limiter)

    assert ([None], 1) == (limiter.again, bench.state["failures_in_a_row"])


def test_a_breaker_that_opened_meanwhile_refuses_the_call_after_its_wait() -> None:
    """A call that stood in line is not sent into an outage; the refusal is the breaker's."""
    bench = Bench(200)
    limiter = Waiting(bench, 5.0, bench.trip)

    outcome = bench.run(bench.exchange(), limiter)

    assert outcome.refusal is not None
    assert ("breaker", 10.0, 0) == (outcome.refusal.layer, outcome.refusal.retry_after, bench.sent)


def test_a_breaker_that_opened_and_closed_meanwhile_counts_the_call_in_its_new_generation() -> None:
    """What the call holds is replaced."""
    bench = Bench(500)

    def outage() -> None:
        bench.trip()
        bench.clock.advance(10.0)
        bench.status = 200
        bench.call()
        bench.status = 500

    bench.run(bench.exchange(), Waiting(bench, 5.0, outage))

    assert ("closed", 1) == (bench.state["state"], bench.state["failures_in_a_row"])


def test_a_probe_that_waited_long_renews_its_lease() -> None:
    """Its own timeouts begin after the wait."""
    bench = Bench(200).trip()
    bench.clock.advance(10.0)
    limiter = Waiting(bench, 59.0, lambda: bench.clock.advance(0.5))

    async def slow(exchange: Exchange) -> Outcome:
        outcome = await limiter(exchange)
        bench.clock.advance(59.0)
        return outcome

    bench.run(bench.exchange(), slow)

    assert "closed" == bench.state["state"]


def test_a_call_may_become_a_probe_while_it_waits() -> None:
    """It was let through while the breaker was closed; now it is the first after the open time."""
    bench = Bench(200)

    def outage() -> None:
        bench.trip()
        bench.clock.advance(10.0)

    bench.run(bench.exchange(), Waiting(bench, 5.0, outage))

    assert ("closed", 1) == (bench.state["state"], bench.sent)


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.OBSERVE])
def test_asked_again_it_refuses_nobody_where_it_only_observes(mode: Mode) -> None:
    """Nor where it is off."""
    bench = Bench(200, mode=mode)
    limiter = Waiting(bench, 5.0, lambda: Bench.trip(bench) if mode is Mode.OBSERVE else None)

    outcome = bench.run(bench.exchange(), limiter)

    assert ([None], None) == (limiter.again, outcome.refusal)


class FarStore(MemoryStore):
    """A store that another process may change, and that a call can be cancelled at."""

    instant = False


@pytest.mark.parametrize("status", [200, 0])
def test_a_probe_that_is_cancelled_while_its_result_is_told_gives_its_place_back(status: int) -> None:
    """The store was not reached, or nobody knows; the next call is the probe, also after an error without an answer."""

    def answer(request: httpx.Request) -> httpx.Response:
        if status == 0:
            raise httpx.ConnectError("refused")
        return httpx.Response(status)

    bench = Bench(answer).trip()
    bench.clock.advance(10.0)
    decide = bench.store.run

    def cancelled(command: Command, now: float, /) -> Any:
        if command.name == "breaker.record":
            raise KeyboardInterrupt
        return decide(command, now)

    bench.store.run = cancelled  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        bench.call()
    bench.store.run = decide  # type: ignore[method-assign]

    assert ("half_open", 0) == (bench.state["state"], bench.state["probes"])


# Waiting instead of being refused


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Simulation]:
    """A simulation whose calls go through deadline, breaker and attempt alone."""

    def build(runtime: Any) -> Any:
        return deadline_layer(breaker_layer(attempt_layer(runtime), runtime), runtime)

    def simulation(answers: Callable[[Any, float], Answer], **breaker: Any) -> Simulation:
        monkeypatch.setattr("resilience.simulate.build", build)
        return Simulation([provider(breaker=breaker)], answers)

    return simulation


def down_until(seconds: float, sent: list[float], latency: float = 0.0) -> Callable[[Any, float], Answer]:
    """A provider that is down until then."""

    def answers(request: Any, now: float) -> Answer:
        sent.append(now)
        return Answer(500 if now < seconds else 200, latency=latency)

    return answers


URL = "https://provider.test/things"


def test_calls_wait_for_an_open_breaker_as_long_as_they_are_allowed_to(simulate: Callable[..., Simulation]) -> None:
    """They stand in line; the first is the probe, and once it has succeeded all go in the order in which they came."""
    sent: list[float] = []
    simulation = simulate(down_until(5.0, sent, latency=1.0), max_wait="30s")
    for _ in range(2):
        simulation.call("GET", URL)

    calls = [simulation.call("GET", URL, at=2.0 + index / 100) for index in range(100)]
    simulation.run()

    assert [200] * 100 == [call.answer.status_code for call in calls if call.answer]
    # Down after one second; ten seconds later the probe, which takes one; then everybody else.
    assert [0.0, 0.0, 11.0] + [12.0] * 99 == sent
    assert sorted(call.ended or 0 for call in calls) == [call.ended for call in calls]
    assert [Wait(10.0 - 1.0, "breaker", "breaker", "the breaker")] == list(
        calls[0].trail.waits if calls[0].trail else ()
    )


def test_only_the_first_of_those_who_wait_asks_the_breaker(simulate: Callable[..., Simulation]) -> None:
    """A hundred cost one question when the open time is over, and one each once it is their turn."""
    simulation = simulate(down_until(5.0, [], latency=1.0), max_wait="30s")
    for _ in range(2):
        simulation.call("GET", URL)
    for _ in range(100):
        simulation.call("GET", URL, at=2.0)
    asked: list[float] = []
    decide = simulation.store.run

    def run(command: Command, now: float, /) -> Any:
        if command.name == "breaker.admit":
            asked.append(now)
        return decide(command, now)

    simulation.store.run = run  # type: ignore[method-assign]
    simulation.run()

    # Two that open it; a hundred that come, of whom the first asks again in line; the probe, and the second behind it.
    assert [2, 101, 2, 99] == [asked.count(now) for now in (0.0, 2.0, 11.0, 12.0)]
    assert 204 == len(asked)


def test_a_call_that_would_wait_too_long_is_refused_at_once(simulate: Callable[..., Simulation]) -> None:
    """Neither `max_wait` nor the deadline is waited for in vain."""
    sent: list[float] = []
    simulation = simulate(down_until(5.0, sent), max_wait="5s")
    for _ in range(2):
        simulation.call("GET", URL)

    early = simulation.call("GET", URL, at=2.0)
    hurried = simulation.call("GET", URL, at=6.0, options={"deadline": 3})
    patient = simulation.call("GET", URL, at=6.0)
    simulation.run()

    assert (2.0, 6.0, 10.0) == (early.ended, hurried.ended, patient.ended)
    assert [0.0, 0.0, 10.0] == sent


def test_who_waits_while_probes_are_under_way_is_refused_when_its_time_is_up(
    simulate: Callable[..., Simulation],
) -> None:
    """The probe takes longer than the calls bear."""
    sent: list[float] = []
    simulation = simulate(down_until(5.0, sent, latency=30.0), max_wait="3s", probe_lease="50s")
    for _ in range(2):
        simulation.call("GET", URL)

    probe = simulation.call("GET", URL, at=40.0)
    calls = [simulation.call("GET", URL, at=41.0 + index) for index in range(2)]
    hurried = simulation.call("GET", URL, at=41.5, options={"deadline": 1})
    simulation.run()

    assert probe.answer is not None
    assert (200, 70.0) == (probe.answer.status_code, probe.ended)
    assert [44.0, 45.0, 42.5] == [call.ended for call in (*calls, hurried)]
    assert hurried.trail is not None
    assert [10.0] == [refusal.retry_after for refusal in hurried.trail.refusals]
    assert 3 == len(sent)


def test_a_probe_that_fails_sends_those_who_cannot_wait_longer_away(simulate: Callable[..., Simulation]) -> None:
    """It stays open for longer than they bear; who bears it waits on."""
    sent: list[float] = []
    simulation = simulate(down_until(15.0, sent), max_wait="25s")
    for _ in range(2):
        simulation.call("GET", URL)

    short = simulation.call("GET", URL, at=1.0)
    impatient = simulation.call("GET", URL, at=1.0, options={"deadline": 20})
    patient = simulation.call("GET", URL, at=6.0)
    simulation.run()

    assert short.answer is not None
    assert patient.answer is not None
    assert (500, 10.0) == (short.answer.status_code, short.ended)
    assert 10.0 == impatient.ended
    assert (200, 30.0) == (patient.answer.status_code, patient.ended)


def test_no_more_than_the_queue_holds_wait(simulate: Callable[..., Simulation]) -> None:
    """One more is refused at once."""
    simulation = simulate(down_until(5.0, []), max_wait="30s", queue=3)
    for _ in range(2):
        simulation.call("GET", URL)

    calls = [simulation.call("GET", URL, at=1.0) for _ in range(4)]
    simulation.run()

    assert [10.0, 10.0, 10.0, 1.0] == [call.ended for call in calls]


def test_who_waits_for_a_breaker_in_a_shared_store_looks_often(simulate: Callable[..., Simulation]) -> None:
    """The probe of another process wakes nobody here."""
    simulation = simulate(down_until(5.0, []), max_wait="30s")
    simulation.store = FarStore()
    for _ in range(2):
        simulation.call("GET", URL)
    simulation.run()
    key = next(simulation.store.scan())[0]
    settings = provider(breaker={}).breaker.settings
    elsewhere = simulation.store.run(Command("breaker.admit", (key,), (settings, 60.0, 0, 0)), 10.0)

    call = simulation.call("GET", URL, at=11.0)
    decide = simulation.store.run

    def run(command: Command, now: float, /) -> Any:
        if now >= 12.1:
            decide(Command("breaker.record", (key,), (settings, elsewhere[2], elsewhere[3], 1, 0.0, 0.0)), now)
        return decide(command, now)

    simulation.store.run = run  # type: ignore[method-assign]
    simulation.run()

    assert 12.25 == call.ended


def test_a_client_that_is_closed_ends_the_wait() -> None:
    """With the error that other waits end with."""
    bench = Bench(200, breaker={"max_wait": "30s"}).trip()
    bench.closing.set()

    outcome = bench.call()

    assert isinstance(outcome.error, resilience.httpx.ClientClosed)
    assert (0, 0) == (bench.sent, len(bench.store.lines._lines))


def test_who_waits_behind_a_loop_that_stops_goes_when_the_breaker_lets_it() -> None:
    """And not at the end of its own patience: it looks now and then whether it is the first."""
    bench = Bench(200, breaker={"max_wait": "60s"}).trip()
    began = bench.clock.now()

    class Stops:
        def is_running(self) -> bool:
            return bench.clock.now() < began + 3

        def is_closed(self) -> bool:
            return False

    ((key, _),) = bench.store.scan("{provider}:breaker:")
    entered = bench.store.lines.enter(key, 100)
    assert entered is not None
    entered[1]._loop = Stops()  # type: ignore[assignment]

    outcome = bench.call()

    assert (200, 1) == (getattr(outcome.response, "status_code", None), bench.sent)
    assert 15 > bench.clock.now() - began


# Threads and event loops


def test_thirty_two_threads_send_exactly_one_probe() -> None:
    """All come when the open time is over; one is sent, and all others are refused."""
    bench = Bench(200).trip()
    bench.clock.advance(10.0)
    arrived, go = threading.Semaphore(0), threading.Event()
    outcomes: list[Outcome] = []

    def answer(request: httpx.Request) -> httpx.Response:
        # Until everybody else has had an answer.
        assert go.wait(20)
        return httpx.Response(200)

    bench.handler = answer

    def call() -> None:
        outcomes.append(bench.call())
        arrived.release()

    threads = [threading.Thread(target=call) for _ in range(32)]
    for thread in threads:
        thread.start()
    for _ in range(31):
        assert arrived.acquire(timeout=20)
    go.set()
    for thread in threads:
        thread.join()

    assert (1, 31) == (bench.sent, sum(outcome.refusal is not None for outcome in outcomes))


@pytest.mark.parametrize("run", [asyncio.run, trio.run])
def test_cancelled_tasks_give_their_probes_back(run: Any) -> None:
    """On either event loop, at whatever point they wait."""
    policies = policies_for([provider(breaker={"open_for": "1ms", "max_open": "1ms"})], {"version": 1})
    store = MemoryStore()
    status = 500

    async def answer(request: httpx.Request) -> httpx.Response:
        if status == 0:
            await anyio.sleep(60)
        return httpx.Response(status)

    runtime = AsyncRuntime(resilience.httpx.LIBRARY, httpx.MockTransport(answer), RealClock())
    chain = breaker_layer(attempt_layer(runtime), runtime)

    async def call() -> Outcome:
        request = httpx.Request("GET", URL)
        exchange = prepare(request, policies, resilience.httpx.LIBRARY, Closing(), store)
        assert exchange is not None
        return await chain(exchange)

    async def scenario() -> tuple[dict[str, Any], Outcome]:
        nonlocal status
        for _ in range(2):
            await call()
        status = 0
        await anyio.sleep(0.005)
        with anyio.move_on_after(0.02):
            await call()
        between = describe(next(store.scan())[1], store.now(RealClock.now()))
        status = 200
        return between, await call()

    between, outcome = run(scenario) if run is trio.run else run(scenario())

    assert ("half_open", 0) == (between["state"], between["probes"])
    assert outcome.refusal is None
    assert "closed" == describe(next(store.scan())[1], store.now(RealClock.now()))["state"]


def test_retries_wait_as_long_as_the_breaker_is_open() -> None:
    """The retry layer looks ahead before it lets go of an answer."""
    bench = Bench(
        500, retry={"max_attempts": 4, "backoff": {"initial": "1s", "jitter": "none"}, "budget": {"off": True}}
    )
    layer = breaker_layer(attempt_layer(bench.runtime), bench.runtime)
    chain = retry_layer(layer, bench.runtime, {"breaker": look_ahead})

    outcome = run_now(chain(bench.exchange()))

    assert outcome.response is not None
    # Two attempts open it for ten seconds, the probe for twenty more, and another one ends the attempts.
    assert ([1.0, 10.0, 20.0], 4) == (bench.clock.slept, bench.sent)


def test_a_simulated_outage_lets_one_probe_through_each_time(simulate: Callable[..., Simulation]) -> None:
    """A call each second for two minutes against a provider that is down for one of them."""
    sent: list[float] = []

    def answers(request: Any, now: float) -> Answer:
        sent.append(now)
        if now < 60:
            raise NoAnswer("connect_error")
        return Answer(200)

    simulation = simulate(answers)
    calls = [simulation.call("GET", URL, at=float(second)) for second in range(120)]
    simulation.run()

    assert [0.0, 1.0, 11.0, 31.0, 71.0] == sent[:5]
    assert [float(second) for second in range(71, 120)] == sent[4:]
    assert 120 == sum(call.ended is not None for call in calls)
