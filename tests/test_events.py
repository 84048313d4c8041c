"""What listeners hear, from real calls: every kind of event, in order, of whom it concerns, and harming nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any
from unittest.mock import AsyncMock

import httpx
import httpx2
import pytest
import trio

import resilience
import resilience.httpx
import resilience.httpx2
from resilience import Category, Policy, Trail, _hub, events
from resilience._budget_warnings import warn
from resilience._hub import Hub, is_listening, put_in_place
from resilience._listener_checks import listeners_of
from resilience._runtime import run_now
from resilience._seldom import Seldom
from resilience.events import (
    Attempted,
    BudgetWarning,
    CallEnded,
    Charged,
    Latched,
    Listener,
    Paused,
    Refused,
    Retrying,
    StoreChanged,
    Tripped,
    Waited,
)
from resilience.testing import VirtualClock
from tests.measured import Measured
from tests.rawserver import answer, raw_server
from tests.servers import RedisServer
from tests.worlds import URL, WORLDS, Step, World, policy

MODULES: dict[str, Any] = {"httpx": httpx, "httpx2": httpx2}
ADAPTERS: dict[str, Any] = {"httpx": resilience.httpx, "httpx2": resilience.httpx2}
METHODS = [name for name in vars(Listener) if name.startswith("on_")]
# Virtual time has no clients.
CLIENTS = [name for name in WORLDS if name != "virtual"]
GOOD = {"limits": [], "breaker": {"off": True}}
ONCE = {"retry": {"max_attempts": 1}}
BACK_OFF = {"retry": {"max_attempts": 3, "backoff": {"initial": "2s", "multiplier": 2, "max": "8s", "jitter": "none"}, "spread": 0}}  # fmt: skip
BREAKER = {"breaker": {"consecutive_failures": 2, "failure_rate": None, "open_for": "10s", "jitter": 0}}


class Recorder(Listener):
    """Keeps what it hears, with the method by which it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def of(self, *methods: str) -> list[Any]:
        """The events of these methods."""
        return [event for method, event in self.heard if method in methods]

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.heard]


def _recording(name: str) -> Callable[[Recorder, Any], None]:
    def method(self: Recorder, event: Any, /) -> None:
        self.heard.append((name, event))

    return method


for _name in METHODS:
    setattr(Recorder, _name, _recording(_name))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Hears of all clients while the test runs."""
    recorder = Recorder()
    remove = resilience.listen(recorder)
    yield recorder
    remove()


@pytest.fixture(autouse=True)
def _nobody_else() -> Iterator[None]:
    """What a test has forgotten to remove, or brought along, is no other's."""
    before, Hub.listeners = Hub.listeners, ()
    yield
    Hub.listeners = before


class Player:
    """A client of a provider that takes the steps one after the other, in one world, on virtual time.

    Arguments:
        world: the way of calling and the library, as `trio-httpx2`.
        made: the policy.
        steps: what the provider does; the last one repeats.
        config: what the user says of the provider.
        listeners: of this client alone.
        store: where its state is kept.
    """

    def __init__(
        self,
        world: str,
        made: Policy,
        steps: Sequence[Step] = (Step(),),
        *,
        config: Mapping[str, Any] | None = None,
        listeners: Sequence[Listener] = (),
        clock: Any = None,
        **top: Any,
    ) -> None:
        self.mode, _, library = world.partition("-")
        self.module, self.clock, self._steps, self._seen = MODULES[library], clock or VirtualClock(), steps, 0
        self.transport = ADAPTERS[library].Transport(
            self.module.MockTransport(self._handle),
            policies=[made],
            config={"version": 1, "providers": {made.provider: dict(config or {})}, **top},
            clock=self.clock,
            listeners=listeners,
        )

    def _handle(self, _request: Any) -> Any:
        step = self._steps[min(self._seen, len(self._steps) - 1)]
        self._seen += 1
        if step.error is not None:
            raise getattr(self.module, step.error)(step.error)
        stream = self.module.ByteStream(step.content)
        return self.module.Response(step.status, headers=step.all_headers, stream=stream)

    def run(self, script: Callable[[Call], Coroutine[Any, Any, None]]) -> None:
        """Play a script, which awaits its calls in any world."""
        if self.mode == "sync":
            with self.module.Client(transport=self.transport) as client:

                async def call(*, stream: bool = False, **named: Any) -> Any:
                    return client.send(client.build_request("GET", URL, **named), stream=stream)

                async def close(response: Any) -> None:
                    response.close()

                run_now(script(Call(call, close)))
            return

        async def go() -> None:
            async with self.module.AsyncClient(transport=self.transport) as client:

                async def call(*, stream: bool = False, **named: Any) -> Any:
                    return await client.send(client.build_request("GET", URL, **named), stream=stream)

                async def close(response: Any) -> None:
                    await response.aclose()

                await script(Call(call, close))

        if self.mode == "asyncio":
            asyncio.run(go())
        else:
            trio.run(go)

    def calls(self, count: int) -> list[Any]:
        """So many calls, one after the other; their answers."""
        answers: list[Any] = []

        async def script(call: Call) -> None:
            answers.extend([await call.send() for _ in range(count)])

        self.run(script)
        return answers


@dataclasses.dataclass
class Call:
    """How a script calls, and lets go of an answer."""

    send: Any
    close: Any


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """Sync, asyncio and trio, over httpx and httpx2."""
    name: str = request.param
    return name


def test_a_call_that_is_sent_again_is_told_in_its_order(client: str, recorder: Recorder) -> None:
    """Attempt, retry and wait, the next attempt, and the end."""
    story = World(client).call(
        policy(**BACK_OFF), [Step(503, body={"error": {"code": "busy"}}), Step(error="connect_error"), Step()]
    )

    retried = ["on_attempt", "on_retry", "on_wait"]
    assert [*retried, *retried, "on_attempt", "on_call"] == recorder.methods
    attempts: list[Attempted] = recorder.of("on_attempt")
    assert [(1, 503), (2, None), (3, 200)] == [(each.number, each.status) for each in attempts]
    assert [attempt.verdict for attempt in story.trail.attempts] == [each.verdict for each in attempts]
    assert attempts[1].error == story.trail.attempts[1].error
    assert {("provider", None)} == {(each.provider, each.operation) for _, each in recorder.heard}
    retries: list[Retrying] = recorder.of("on_retry")
    assert [(1, 2.0, "back-off", "upstream_unavailable"), (2, 4.0, "back-off", "network_error")] == [
        (each.attempt, each.wait, each.source.partition(" ")[0], each.verdict.category) for each in retries
    ]
    assert [("retry", 2.0, False), ("retry", 4.0, False)] == [
        (each.layer, each.seconds, each.observed) for each in recorder.of("on_wait")
    ]
    (ended,) = recorder.of("on_call")
    assert ("success", 6.0, story.trail) == (ended.outcome, ended.seconds, ended.trail)


def test_nobody_hears_of_a_simulation(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """A log that tells of outages which are none would wake somebody."""
    story = World("virtual").call(
        policy(**BACK_OFF), [Step(429, {"Retry-After": "1"}), Step(error="connect_error"), Step()]
    )

    assert 3 == len(story.trail.attempts)
    assert ([], []) == (recorder.heard, caplog.records)


def test_every_method_has_an_event_of_its_own_that_cannot_be_changed() -> None:
    """The protocol and its events belong together: each is frozen, and public."""
    kinds = [Attempted, Retrying, Waited, Refused, Tripped, Charged, Latched, Paused, BudgetWarning, StoreChanged, CallEnded]  # fmt: skip

    for method, kind in zip(METHODS, kinds, strict=True):
        assert kind.__name__ in events.__all__
        assert kind.__name__ == getattr(Listener, method).__annotations__["event"].rpartition(".")[2]
        assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Paused("p", None, "requests", 1.0).seconds = 2.0  # type: ignore[misc]


def test_a_listener_that_overrides_nothing_hears_in_silence(client: str) -> None:
    """Each method of the base does nothing."""
    remove = resilience.listen(Listener())
    Player(client, policy(**BACK_OFF), [Step(503), Step()]).calls(1)
    remove()


@pytest.mark.parametrize(
    ("step", "outcome", "category"),
    [(Step(), "success", "success"), (Step(404), "failure", "not_found")],
)
def test_how_a_call_ended(client: str, recorder: Recorder, step: Step, outcome: str, category: str) -> None:
    """By what its last answer means."""
    player = Player(client, policy(**ONCE), [step])

    (answer,) = player.calls(1)

    (ended,) = recorder.of("on_call")
    assert isinstance(ended, CallEnded)
    assert (outcome, 0.0, category) == (ended.outcome, ended.seconds, getattr(ended.trail.verdict, "category", None))
    assert ended.trail is resilience.trail_of(answer)


def test_a_call_that_ended_in_an_error_has_failed(client: str, recorder: Recorder) -> None:
    """It is told before the error is raised."""
    player = Player(client, policy(**ONCE), [Step(error="ConnectError")])

    with pytest.raises(player.module.ConnectError):
        player.calls(1)

    assert ["on_attempt", "on_call"] == recorder.methods
    assert "failure" == recorder.of("on_call")[0].outcome


def test_the_limiter_waits_refuses_and_pauses(client: str, recorder: Recorder) -> None:
    """A short wait is waited for, a long one refused, and a 429 pauses the limit for everybody."""
    limit = {"name": "pace", "rate": "1/second", "per": "provider", "max_wait": "3s"}
    player = Player(client, policy(limits=[limit], **ONCE), [Step(), Step(429, {"Retry-After": "30"})])

    answers = player.calls(3)

    assert [200, 429, 429] == [each.status_code for each in answers]
    (wait,), (refusal,), (pause,) = recorder.of("on_wait"), recorder.of("on_refusal"), recorder.of("on_pause")
    assert Waited("provider", None, 1.0, "limiter", "limit", "limit pace (1/second)", observed=False) == wait
    assert ("limiter", False) == (refusal.layer, refusal.observed)
    assert 29.0 <= refusal.retry_after <= 31.0
    assert Paused("provider", None, "pace", 30.0) == pause
    first = ["on_attempt", "on_call"]
    assert [*first, "on_wait", "on_attempt", "on_pause", "on_call", "on_refusal", "on_call"] == recorder.methods
    assert ["success", "failure", "rejected"] == [each.outcome for each in recorder.of("on_call")]


def test_the_limiter_that_observes_tells_what_it_would_have_done(client: str, recorder: Recorder) -> None:
    """Both, and nobody waited."""
    limit = {"name": "pace", "rate": "1/minute", "per": "provider", "max_wait": "90s"}
    short = {"name": "pace", "rate": "1/minute", "per": "provider", "max_wait": "3s"}

    for made in (limit, short):
        resilience.stores.forget_all()
        player = Player(client, policy(limits=[made], **ONCE), config={"mode": {"limiter": "observe"}})
        player.calls(2)
        assert [] == player.clock.slept

    assert [("limiter", True)] == [(each.layer, each.observed) for each in recorder.of("on_wait")]
    assert [("limiter", True)] == [(each.layer, each.observed) for each in recorder.of("on_refusal")]
    assert ["success"] * 4 == [each.outcome for each in recorder.of("on_call")]


@pytest.mark.parametrize("max_wait", ["0s", "30s"])
def test_the_concurrency_limit_waits_and_refuses(client: str, recorder: Recorder, max_wait: str) -> None:
    """A place that is held is waited for until it must be free, or not at all."""
    limit = {"name": "places", "concurrency": 1, "max_wait": max_wait}
    player = Player(client, policy(limits=[limit], **ONCE), [Step(body={"a": 1})])

    async def script(call: Call) -> None:
        held = await call.send(stream=True)
        await call.send()
        await call.close(held)

    player.run(script)

    (refusal,) = recorder.of("on_refusal")
    assert ("concurrency", False) == (refusal.layer, refusal.observed)
    assert ["success", "rejected"] == [each.outcome for each in recorder.of("on_call")]


def test_the_concurrency_limit_tells_of_a_wait(client: str, recorder: Recorder) -> None:
    """Whoever holds the place is gone, and its lease ends."""
    limit = {"name": "places", "concurrency": 1, "max_wait": "10m"}
    made = policy(limits=[limit], attempt_timeout="5s", **ONCE)
    player = Player(client, made, [Step(body={"a": 1})])

    async def script(call: Call) -> None:
        held = await call.send(stream=True)
        await call.send()
        await call.close(held)

    player.run(script)

    (wait,) = recorder.of("on_wait")
    assert ("concurrency", False, "limit places (1 at a time)") == (wait.layer, wait.observed, wait.source)
    assert wait.seconds > 0


def test_the_concurrency_limit_that_observes_tells_of_a_wait_that_nobody_had(client: str, recorder: Recorder) -> None:
    """How long nobody can know."""
    limit = {"name": "places", "concurrency": 1}
    player = Player(client, policy(limits=[limit], **ONCE), [Step(body={"a": 1})], config={"mode": {"concurrency": "observe"}})  # fmt: skip

    async def script(call: Call) -> None:
        held = await call.send(stream=True)
        await call.close(await call.send(stream=True))
        await call.close(held)

    player.run(script)

    assert [Waited("provider", None, 0.0, "concurrency", "limit", "limit places (1 at a time)", observed=True)] == recorder.of("on_wait")  # fmt: skip


def test_the_breaker_trips_refuses_and_closes(client: str, recorder: Recorder) -> None:
    """Each change of its state is told, with the state before."""
    player = Player(client, policy(**BREAKER, **ONCE), [Step(500), Step(500), Step()])

    async def script(call: Call) -> None:
        for _ in range(3):
            await call.send()
        player.clock.advance(11.0)
        for _ in range(3):
            await call.send()

    player.run(script)

    trips: list[Tripped] = recorder.of("on_trip")
    assert [("closed", "open"), ("open", "half_open"), ("half_open", "closed")] == [
        (each.previous, each.state) for each in trips
    ]
    assert 1 == len({each.breaker for each in trips})
    assert [("500 server_error", 10.0), (None, None), (None, None)] == [(each.after, each.looks_in) for each in trips]
    (refusal,) = recorder.of("on_refusal")
    assert ("breaker", 10.0, False) == (refusal.layer, refusal.retry_after, refusal.observed)


@pytest.mark.parametrize(
    ("step", "after", "looks_in"),
    [
        (Step(503, {"Retry-After": "40"}), "503 upstream_unavailable", 40.0),
        (Step(503, {"Retry-After": "9999"}), "503 upstream_unavailable", 600.0),
        (Step(error="ConnectError"), "ConnectError network_error", 10.0),
    ],
)
def test_a_breaker_that_opens_says_after_what_and_for_how_long(
    recorder: Recorder, step: Step, after: str, looks_in: float
) -> None:
    """The provider's own word goes before the policy's, as far as it is believed."""
    player = Player("sync-httpx", policy(**BREAKER, **ONCE), [step])

    for _ in range(2):
        with suppress(httpx.TransportError):
            player.calls(1)

    (trip,) = recorder.of("on_trip")
    assert (after, looks_in) == (trip.after, trip.looks_in)


def test_the_breaker_makes_a_call_wait_that_may(client: str, recorder: Recorder) -> None:
    """With `max_wait` it is told as a wait."""
    made = policy(breaker={**BREAKER["breaker"], "max_wait": "60s"}, **ONCE)
    Player(client, made, [Step(500), Step(500), Step()]).calls(3)

    (wait,) = recorder.of("on_wait")
    assert ("breaker", 10.0) == (wait.layer, wait.seconds)
    assert ["failure", "failure", "success"] == [each.outcome for each in recorder.of("on_call")]


def test_the_breaker_that_observes_refuses_nothing(client: str, recorder: Recorder) -> None:
    """It trips, and says what it would have refused."""
    Player(client, policy(**BREAKER, **ONCE), [Step(500)], config={"mode": {"breaker": "observe"}}).calls(3)

    assert [("breaker", True)] == [(each.layer, each.observed) for each in recorder.of("on_refusal")]
    assert ["open"] == [each.state for each in recorder.of("on_trip")]
    assert 3 == len(recorder.of("on_attempt"))


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_an_empty_retry_budget_is_a_refusal(client: str, recorder: Recorder, mode: str) -> None:
    """The call keeps the provider's answer: it failed, and nobody rejected it."""
    made = policy(retry={"budget": {"quota": 0}, "backoff": {"initial": "1s", "jitter": "none"}, "max_attempts": 2, "spread": 0})  # fmt: skip

    Player(client, made, [Step(503)], config={"mode": {"retry_budget": mode}}).calls(1)

    observed = mode == "observe"
    assert [("retry_budget", observed)] == [(each.layer, each.observed) for each in recorder.of("on_refusal")]
    assert 1 + observed == len(recorder.of("on_attempt"))
    assert ["failure"] == [each.outcome for each in recorder.of("on_call")]


def test_the_retry_layer_that_observes_tells_of_a_wait_and_of_no_retry(client: str, recorder: Recorder) -> None:
    """Nothing is sent again."""
    Player(client, policy(**BACK_OFF), [Step(503)], config={"mode": {"retry": "observe"}}).calls(1)

    assert ["on_attempt", "on_wait", "on_call"] == recorder.methods
    assert [("retry", 2.0, True)] == [(each.layer, each.seconds, each.observed) for each in recorder.of("on_wait")]


PAID = {"credits": {"costs": [{"cost": 5}], "charged": "billing.charged"}, "account": {"headers": ["x-api-key"]}, **ONCE}  # fmt: skip


def test_what_a_call_cost_its_budgets_warning_and_its_refusal(client: str, recorder: Recorder) -> None:
    """In the unit of the policy, with what was reserved."""
    budget = {"name": "day", "limit": "10 credits/day", "warn_at": 0.5}
    player = Player(client, policy(**PAID), [Step(body={"billing": {"charged": 4}}), Step(body={})], config={"budgets": [budget]})  # fmt: skip

    answers = player.calls(3)

    charges: list[Charged] = recorder.of("on_charge")
    assert [Charged("provider", None, Decimal(4), "credits", Decimal(5), "settled")] == charges[:1]
    assert [Decimal(4), Decimal(5)] == [each.amount for each in charges]
    (warning,) = recorder.of("on_budget_warning")
    assert ("provider", "day", Decimal(10)) == (warning.provider, warning.budget, warning.limit)
    (refusal,) = recorder.of("on_refusal")
    assert "credits" == refusal.layer
    assert ["success", "success", "rejected"] == [each.outcome for each in recorder.of("on_call")]
    assert [200, 200] == [each.status_code for each in answers[:2]]


def test_a_budget_that_observes_refuses_nothing(client: str, recorder: Recorder) -> None:
    """It says what it would have refused."""
    config = {"budgets": [{"name": "day", "limit": "5 credits/day"}], "mode": {"credits": "observe"}}

    Player(client, policy(**PAID), [Step(body={})], config=config).calls(2)

    assert [("credits", True)] == [(each.layer, each.observed) for each in recorder.of("on_refusal")]
    assert 2 == len(recorder.of("on_attempt"))


@pytest.mark.parametrize("scope", ["account", "operation"])
def test_an_answer_shuts_an_account_or_an_operation(client: str, recorder: Recorder, scope: str) -> None:
    """With the code of the answer, and no longer than it says."""
    rule = {"rule": "empty", "when": {"status": 402}, "category": "credits_exhausted", "latch": scope}
    made = policy(answers=[rule], operations={"things": {"path": "/things"}}, account={"headers": ["x-api-key"]}, **ONCE)  # fmt: skip

    Player(client, made, [Step(402, body={"error": {"code": "EMPTY"}})]).calls(2)

    account = recorder.of("on_latch")[0].account
    assert [Latched("provider", "things", scope, None, "402 EMPTY", account)] == recorder.of("on_latch")  # type: ignore[arg-type]
    (refusal,) = recorder.of("on_refusal")
    assert ("credits", "things") == (refusal.layer, refusal.operation)


@pytest.mark.parametrize("mode", ["sync", "asyncio"])
def test_a_store_that_is_lost_and_comes_back(redis_server: RedisServer, recorder: Recorder, mode: str) -> None:
    """Told once each, by the process, without the password of its URL."""
    url = f"redis://127.0.0.1:{redis_server.port}"
    limit = {"name": "pace", "rate": "1000/second", "per": "provider"}
    own = Recorder()
    player = Player(f"{mode}-httpx", policy(limits=[limit], **ONCE), clock=_Real(), listeners=[own], store=url)

    def call() -> None:
        player.calls(1)

    call()
    redis_server.stop()
    call()
    lost = recorder.of("on_store")
    redis_server.start()
    until = time.monotonic() + 20
    while not recorder.of("on_store")[1:]:
        assert time.monotonic() < until
        call()

    (first,) = lost
    assert (True, True) == (first.is_away, bool(first.reason))
    assert [StoreChanged(first.url, is_away=False, reason="")] == recorder.of("on_store")[1:]
    assert first.url.startswith(url)
    assert [] == own.of("on_store")


def _Real() -> Any:  # noqa: N802  stands for the class
    from resilience._clock import RealClock

    return RealClock()


@pytest.mark.parametrize("library", MODULES)
def test_a_client_has_listeners_of_its_own(library: str, recorder: Recorder) -> None:
    """By `wrap` and by the transport; they hear of no other client, and budget warnings of their own too."""
    module, mine = MODULES[library], Recorder()
    inner = module.MockTransport(lambda _: module.Response(200, json={}))
    config = {"version": 1, "providers": {"provider": {"budgets": [{"name": "b", "limit": "10 credits/day", "warn_at": 0.5}]}}}  # fmt: skip

    with (
        resilience.wrap(module.Client(transport=inner), [policy(**PAID)], config, listeners=[mine]) as one,
        resilience.wrap(module.Client(transport=inner), [policy(**PAID)], config) as other,
    ):
        one.get(URL)
        heard = mine.methods
        other.get(URL)

    assert ["on_budget_warning", "on_attempt", "on_charge", "on_call"] == sorted(heard, key=heard.index)
    assert heard == mine.methods
    assert 2 == len(recorder.of("on_attempt"))


def test_wrapped_again_a_client_has_the_listeners_that_were_given_last() -> None:
    """As it has the policies."""
    first, second = Recorder(), Recorder()
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200)))

    with resilience.wrap(resilience.wrap(client, [policy()], listeners=[first]), [policy()], listeners=[second]):
        client.get(URL)

    assert ([], ["on_attempt", "on_call"]) == (first.methods, second.methods)


def test_mounts_of_a_client_are_heard_of_too() -> None:
    """Whichever of its transports sends."""
    mine, inner = Recorder(), httpx.MockTransport(lambda _: httpx.Response(200))

    with resilience.wrap(httpx.Client(mounts={"https://": inner}), [policy()], listeners=[mine]) as client:
        client.get(URL)

    assert ["on_attempt", "on_call"] == mine.methods


class Broken(Listener):
    """Fails at everything."""


def _failing(self: Broken, event: Any, /) -> None:
    raise RuntimeError(f"no {type(event).__name__}")


for _name in METHODS:
    setattr(Broken, _name, _failing)


def test_a_listener_that_raises_harms_nothing(client: str, recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    """Neither the call nor other listeners; the log says what failed, once for many."""
    removes = [resilience.listen(Broken())]
    player = Player(client, policy(**BACK_OFF), [Step(503), Step()], listeners=[Broken()])
    alone = Recorder()
    removes.append(resilience.listen(alone))

    (answer,) = player.calls(1)
    for remove in removes:
        remove()

    assert 200 == answer.status_code
    assert recorder.methods == alone.methods == ["on_attempt", "on_retry", "on_wait", "on_attempt", "on_call"]
    told = [record for record in caplog.records if record.name == "resilience"]
    # Seldom: another test's may have been the last ones.
    assert len(told) <= 4
    assert all("listener Broken failed in on_" in each.getMessage() and each.exc_info for each in told)


def test_what_a_listener_raises_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once in ten seconds for each class and method, with the number of those that were left out."""
    clock = VirtualClock()
    monkeypatch.setattr(_hub, "_failures", Seldom(clock=clock))
    player = Player("sync-httpx", policy(**ONCE), listeners=[Broken()])

    player.calls(3)
    clock.advance(10.0)
    player.calls(1)

    told = [record for record in caplog.records if record.name == "resilience"]
    assert [
        "the listener Broken failed in on_attempt; the call goes on",
        "the listener Broken failed in on_call; the call goes on",
        "the listener Broken failed in on_attempt; the call goes on (2 more like this were not written)",
        "the listener Broken failed in on_call; the call goes on (2 more like this were not written)",
    ] == [each.getMessage() for each in told]
    assert {logging.ERROR} == {each.levelno for each in told}
    assert "RuntimeError: no Attempted" in caplog.text


def test_a_log_handler_that_raises_harms_nothing_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be the very reason why a listener failed."""

    class Handler(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("the disk is full")

    monkeypatch.setattr(logging.getLogger("resilience"), "handlers", [Handler()])
    player = Player("sync-httpx", policy(**BREAKER, **ONCE), [Step(500)], listeners=[Broken()])

    assert [500, 500, 503] == [each.status_code for each in player.calls(3)]


def test_what_is_more_than_an_error_is_not_held_back() -> None:
    """Ctrl-C while a listener runs is the program's."""

    class Interrupted(Listener):
        def on_attempt(self, _event: Attempted, /) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Player("sync-httpx", policy(), listeners=[Interrupted()]).calls(1)


class Half:
    """Has one of the methods."""

    def on_attempt(self, event: Attempted, /) -> None:
        """Nothing."""


class Awaited(Listener):
    """Would have to be awaited."""

    async def on_call(self, event: CallEnded, /) -> None:  # type: ignore[override]
        """Nothing."""


class Generating(Listener):
    """Would have to be iterated by somebody who awaits."""

    async def on_call(self, event: CallEnded, /) -> AsyncIterator[None]:  # type: ignore[override]
        yield


class Silent(Half):
    """Says nothing of itself."""

    def __repr__(self) -> str:
        raise RuntimeError("not ready")


class Misspelt(Listener):
    """Waits for a call that will never come."""

    def on_retries(self, _event: Retrying, /) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("listener", "message"),
    [
        (Listener, r"^Listener is a class; a listener is an instance of it: Listener\(\)"),
        (Half(), r"^Half has no method on_retry; derive its class from resilience\.events\.Listener"),
        (print, "builtin_function_or_method has no method on_attempt"),
        (None, "NoneType has no method on_attempt"),
        (Awaited(), "^on_call of Awaited is asynchronous; a listener is called, nobody awaits it"),
        (Generating(), "^on_call of Generating is asynchronous"),
        (Silent(), "^Silent has no method on_retry"),
        (Misspelt(), r"^Misspelt has a method on_retries, which nobody calls; did you mean on_retry\?"),
    ],
)
@pytest.mark.parametrize("door", ["listen", "wrap", "transport"])
def test_what_cannot_listen_is_refused_at_once(listener: Any, message: str, door: str) -> None:
    """With what it is and what to do, and nothing has changed."""
    client = httpx.Client()
    transport = client._transport

    with pytest.raises(TypeError, match=message):
        if door == "listen":
            resilience.listen(listener)
        elif door == "wrap":
            resilience.wrap(client, [policy()], listeners=[listener])
        else:
            resilience.httpx.Transport(policies=[policy()], listeners=[listener])

    assert () == Hub.listeners
    assert transport is client._transport


def test_other_methods_are_the_listener_s_own_business() -> None:
    """Names that are like none of ours, data, and whatever has the methods without the class."""

    class Mine(Listener):
        on_calls = 0

        def on_start(self) -> None: ...
        def on_error(self) -> None: ...
        def on_response(self) -> None: ...
        def on_next(self) -> None: ...
        def _on_retries(self) -> None: ...

    others = {name: lambda _self, _event: None for name in (*METHODS, "on_retries")}

    for listener in (Mine(), type("Other", (), others)()):
        resilience.listen(listener)()


def test_a_single_listener_is_no_list_of_them() -> None:
    """Said with what to write."""

    class Counts(Listener): ...

    with pytest.raises(TypeError, match=r"not a single Counts: write listeners=\[counts\]"):
        listeners_of(Counts())
    with pytest.raises(TypeError, match="Counts is a class"):
        listeners_of([Counts])
    counts = Counts()
    assert (counts,) == listeners_of(iter([counts]))
    with pytest.raises(TypeError, match="not a single Counts"):
        resilience.wrap(httpx.Client(), [policy()], listeners=counts)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not a single Counts"):
        resilience.httpx.Transport(policies=[policy()], listeners=counts)  # type: ignore[arg-type]


def test_what_gives_back_a_coroutine_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can see it in a lambda; the coroutine is closed, so that Python complains of nothing."""
    monkeypatch.setattr(_hub, "_failures", Seldom(clock=VirtualClock()))

    async def later(_event: object) -> None: ...

    class Hidden(Listener):
        def on_attempt(self, event: Attempted, /) -> Any:
            return later(event)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Player("sync-httpx", policy(), listeners=[Hidden()]).calls(2)

    text = f"the listener {Hidden.__qualname__} gave back a coroutine, which nobody awaits, in on_attempt; the call goes on"
    # Where an earlier test has set the log's level, httpx writes into it, too.
    assert [text] == [record.getMessage() for record in caplog.records if record.name == "resilience"]


@pytest.mark.parametrize("callback", [Awaited().on_call, functools.partial(Awaited().on_call), 5, AsyncMock()])
def test_a_callback_of_budgets_that_nobody_would_await_is_refused(callback: Any) -> None:
    """As a listener's methods are."""
    with pytest.raises(TypeError, match="on_budget_warning takes a function"):
        resilience.on_budget_warning(callback)


def test_a_callback_is_called_as_often_as_it_was_added_and_no_longer() -> None:
    """Each function takes away what its own call has added, once; equality is none of its business."""
    heard: list[str] = []

    class Same:
        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self, _warning: BudgetWarning) -> None:
            heard.append(self.name)

        def __eq__(self, _other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    one, two = Same("one"), Same("two")
    removes = [resilience.on_budget_warning(each) for each in (one, two, two)]
    warning = BudgetWarning("p", "day", Decimal(10), Decimal(8), "credits", (), None)

    removes[1]()
    removes[1]()
    warn(warning)
    removes[0]()
    warn(warning)
    removes[2]()
    warn(warning)

    assert ["one", "two", "two"] == heard


def test_a_callback_that_gives_back_a_coroutine_or_raises_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Each is told, and the others are called."""

    async def later(_event: object) -> None: ...

    def hidden(event: object) -> Any:
        return later(event)

    heard: list[BudgetWarning] = []
    callbacks: list[Any] = [hidden, lambda _: 1 / 0, heard.append]
    removes = [resilience.on_budget_warning(each) for each in callbacks]
    warning = BudgetWarning("p", "day", Decimal(10), Decimal(8), "credits", (), None)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn(warning)
    for remove in removes:
        remove()

    assert [warning] == heard
    told = [record.getMessage() for record in caplog.records if "callback" in record.getMessage()]
    assert [
        "a callback of on_budget_warning gave back a coroutine, which nobody awaits",
        "a callback of on_budget_warning failed; the call goes on",
    ] == told


@pytest.mark.parametrize("world", CLIENTS)
def test_a_listener_that_calls_does_not_hear_of_its_own_calls(world: str) -> None:
    """It would call again, without end; others hear of them."""
    other, heard = Recorder(), Recorder()
    player = Player("sync-httpx", policy())

    class Calling(Recorder):
        def on_call(self, event: CallEnded, /) -> None:
            super().on_call(event)  # type: ignore[misc]
            player.calls(1)

    calling = Calling()
    removes = [resilience.listen(each) for each in (calling, other)]
    Player(world, policy(), listeners=[heard]).calls(1)
    Player(world, policy()).calls(1)
    for remove in removes:
        remove()

    assert ["on_attempt", "on_call"] * 2 == calling.methods
    assert ["on_attempt"] * 2 + ["on_call"] * 2 == sorted(other.methods)[:2] + sorted(other.methods)[-2:]
    assert 8 == len(other.methods)
    assert ["on_attempt", "on_call"] == heard.methods


def test_whoever_begins_to_listen_is_not_lost_to_another() -> None:
    """Whoever comes while somebody decides who else stays waits, and is there in the end."""
    mine = Recorder()
    threads: list[threading.Thread] = []

    def is_old(_: Listener) -> bool:
        threads.append(threading.Thread(target=resilience.listen, args=(mine,)))
        threads[-1].start()
        threads[-1].join(0.05)
        return False

    put_in_place(Recorder())
    put_in_place(Recorder(), is_old)
    threads[0].join()

    assert is_listening(mine)
    assert 3 == len(Hub.listeners)


def test_whatever_listeners_say_of_themselves_nothing_is_harmed(measuring: list[Any]) -> None:
    """They are compared by what they are, and named by their class."""

    class Odd(Recorder):
        def __eq__(self, _other: object) -> bool:
            raise RuntimeError("compare me with nothing")

        def __repr__(self) -> str:
            raise RuntimeError("do not name me")

        __hash__ = None  # type: ignore[assignment]

    odd = Odd()
    remove = resilience.listen(odd)
    assert (True, False) == (is_listening(odd), is_listening(Recorder()))
    player = Player("sync-httpx", policy())
    player.calls(2)
    assert 2 == len(measuring)
    remove()

    assert ["on_attempt", "on_call"] * 2 == odd.methods


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls that an application's metrics have heard of."""
    heard: list[Any] = []
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", Measured().provider)
    monkeypatch.setattr("resilience._metrics.Metrics.on_call", lambda _self, event: heard.append(event))
    return heard


def test_whatever_has_the_methods_listens() -> None:
    """It need not be derived from the class."""
    heard: list[str] = []
    other = type("Other", (), {name: lambda _self, _event, name=name: heard.append(name) for name in METHODS})()

    Player("sync-httpx", policy(), listeners=[other]).calls(1)

    assert ["on_attempt", "on_call"] == heard


def test_a_listener_hears_as_often_as_it_was_added_and_no_longer() -> None:
    """Each function takes away what its own call has added, once; equality is none of its business."""

    class Same(Recorder):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    one, two = Same(), Same()
    player = Player("sync-httpx", policy())
    first, second, third = resilience.listen(one), resilience.listen(two), resilience.listen(two)

    second()
    second()
    player.calls(1)
    heard = (one.methods, two.methods)
    first()
    third()
    player.calls(1)

    assert (["on_attempt", "on_call"], ["on_attempt", "on_call"]) == heard == (one.methods, two.methods)
    assert () == Hub.listeners


def test_listeners_may_go_and_come_while_they_are_told(client: str) -> None:
    """Who was there when an event happened hears of it; who has come since hears of the next."""
    removes: list[Callable[[], None]] = []
    late, other = Recorder(), Recorder()

    class Leaving(Recorder):
        def on_attempt(self, event: Attempted, /) -> None:
            super().on_attempt(event)
            while removes:
                removes.pop()()
            removes.append(resilience.listen(late))

    leaving = Leaving()
    removes += [resilience.listen(leaving), resilience.listen(other)]

    Player(client, policy()).calls(1)
    removes.pop()()

    assert (["on_attempt"], ["on_attempt"], ["on_call"]) == (leaving.methods, other.methods, late.methods)


def counted(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """The names of the events that are made from now on, of these."""
    made: list[str] = []

    def counting(name: str, kind: Any) -> Callable[..., Any]:
        def make(*values: Any) -> Any:
            made.append(name)
            return kind(*values)

        return make

    for name in names:
        monkeypatch.setattr(events, name, counting(name, getattr(events, name)))
    return made


def test_nothing_is_made_for_nobody(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call without a story costs no event while nobody listens, paid or not; with a listener it does."""
    made = counted(monkeypatch, "Attempted", "Charged", "CallEnded")
    limit = {"name": "pace", "rate": "100/second", "per": "provider"}
    config = {"budgets": [{"name": "day", "limit": "1000 credits/day"}]}
    player = Player(client, policy(limits=[limit], **PAID), [Step(body={})], config=config)

    player.calls(3)
    without = list(made)
    remove = resilience.listen(Listener())
    player.calls(1)
    remove()

    assert ([], ["Attempted", "Charged", "CallEnded"]) == (without, sorted(made, key=["Attempted", "Charged", "CallEnded"].index))  # fmt: skip


def test_a_call_that_was_cancelled_has_an_end_too(recorder: Recorder) -> None:
    """What happened until then was told; the wait that it did not live through too."""
    made = policy(**BACK_OFF)
    inner = httpx.MockTransport(lambda _: httpx.Response(503))
    transport = resilience.httpx.Transport(inner, policies=[made])

    async def go() -> None:
        async with httpx.AsyncClient(transport=transport) as client:
            task = asyncio.create_task(client.get(URL))
            while not recorder.of("on_retry"):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert None is resilience.trail_of(caught.value)
            assert not hasattr(caught.value, "__notes__")

    asyncio.run(go())

    assert ["on_attempt", "on_retry", "on_wait", "on_call"] == recorder.methods
    assert "interrupted" == recorder.of("on_call")[0].outcome
    trail = resilience.last_trail()
    assert trail is not None
    assert ("it was interrupted", 1) == (trail.stopped, len(trail.attempts))


def test_over_real_sockets_it_is_the_same(recorder: Recorder) -> None:
    """Two attempts at a server that is busy once, which pauses whatever limits its host."""
    with raw_server(answer(429, b"{}", "Retry-After: 0"), answer(200, b"{}")) as server:
        made = policy(match={"hosts": [server.url.removeprefix("http://")]}, **BACK_OFF)
        with resilience.wrap(httpx.Client(), [made]) as client:
            assert 200 == client.get(server.url).status_code

    assert ["on_attempt", "on_pause", "on_retry", "on_wait", "on_attempt", "on_call"] == recorder.methods
    (ended,) = recorder.of("on_call")
    assert (2, True) == (len(ended.trail.attempts), ended.seconds >= sum(each.seconds for each in ended.trail.attempts))
    assert Category.RATE_LIMITED == recorder.of("on_retry")[0].verdict.category


def test_the_trail_of_an_event_is_that_of_the_answer(client: str, recorder: Recorder) -> None:
    """Whoever hears of the end has the whole story, and no copy of it."""
    (answered,) = Player(client, policy()).calls(1)

    (ended,) = recorder.of("on_call")
    assert isinstance(ended.trail, Trail)
    assert ended.trail is answered.extensions["resilience"]
