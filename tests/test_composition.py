"""The retry layer among the others: what it asks of them before it waits, and what their refusals are to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from resilience import Policy, _chain, _prepare, simulate
from resilience._breaker_machine import describe
from resilience._deadline import deadline_layer
from resilience._modes import Mode
from resilience._outcome import Exchange, Outcome
from resilience._refusal import refused
from resilience._registry import Policies, Settings, Source
from resilience._retry import retry_layer
from resilience._trail import Attempt, Refused, Wait
from resilience.simulate import Answer, NoAnswer, Simulation
from resilience.stores._memory import MemoryStore
from tests.worlds import URL, Step, World, policy

VECTORS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "vectors" / "composition.yaml").read_text("utf-8"))
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in VECTORS["failsafe-composition"]["cases"]}
STEADY = {"backoff": {"initial": "1s", "multiplier": 2, "jitter": "none"}, "spread": 0}
ALONE: dict[str, Any] = {"breaker": {"off": True}}


class Server:
    """Answers as the vectors say, the last one again and again."""

    def __init__(self, script: Sequence[str]) -> None:
        self.script = script
        self.calls = 0

    def __call__(self, _request: Any, _now: float) -> Answer:
        step = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        if step == "slow":
            return Answer(200, latency=0.1)
        return Answer(200 if step == "ok" else 500)


def one_call(made: Policy, server: Server, **options: Any) -> tuple[Any, Simulation]:
    simulation = Simulation([made], server)
    call = simulation.call("GET", URL, options=options or None)
    simulation.run()
    return call, simulation


def composed(case: dict[str, Any], **parts: Any) -> Policy:
    """The policies of a case in the words of this language; no wait is borne that theirs would not bear."""
    retries = 19 if case["retries"] == "unbounded" else case["retries"]
    breaker: dict[str, Any] = {"off": True}
    if "breaker" in case:
        breaker = {"consecutive_failures": case["breaker"], "failure_rate": None, "open_for": "2m"}
    retry = {
        "max_attempts": retries + 1,
        "backoff": {"initial": "1ms", "max": "1ms", "jitter": "none"},
        "longest_wait": "10ms",
        "budget": {"off": True},
    }
    return policy(retry=retry, breaker=breaker, **parts)


def state_of_breaker(simulation: Simulation) -> tuple[str, dict[str, int]]:
    """The state of the only breaker, and how many results of which kind it has counted."""
    (state,) = (state for key, state in simulation.store.scan() if ":breaker:" in key)
    found = describe(state, simulation.now)
    return found["state"], {"success": found["calls"] - found["failed"], "failure": found["failed"]}


def test_a_breaker_counts_each_attempt_of_a_call() -> None:
    """As there: three executions, three calls, and a success that ends the row of failures."""
    case = CASES["retry and breaker"]

    call, simulation = one_call(composed(case), server := Server(case["server"]))

    assert (case["executions"], case["calls"]) == (len(call.trail.attempts), server.calls)
    assert ("closed", case["counted"]) == state_of_breaker(simulation)
    assert (200, "success") == (call.answer.status_code, call.trail.stopped)


def test_an_open_breaker_ends_a_call_with_its_last_answer() -> None:
    """There: three executions, one call, and the breaker's error; here the provider's own answer.

    The one call is the same. But what was not sent is no attempt, the breaker is asked before an answer is let go of,
    and the last real answer is never replaced by an error of ours.
    """
    case = CASES["retry and open breaker"]

    call, simulation = one_call(composed(case), server := Server(case["server"]))

    assert (case["calls"], 1) == (server.calls, len(call.trail.attempts))
    assert ("open", {"success": 0, "failure": 1}) == state_of_breaker(simulation)
    assert (500, ()) == (call.answer.status_code, call.trail.refusals)
    assert call.trail.stopped.startswith("the breaker is open for another 1")
    assert call.trail.stopped.endswith("longer than longest_wait (0s)")


def test_a_used_up_limit_ends_a_call_with_its_last_answer() -> None:
    """There: seven executions, three calls, and the limiter's error. Here three calls as well, in three attempts."""
    case = CASES["retry and limiter"]
    limit = {"rate": f"{case['rate']}/second", "burst": case["rate"], "per": "provider", "max_wait": "0s"}

    call, _ = one_call(composed(case, limits=[limit]), server := Server(case["server"]))

    assert (case["calls"], case["calls"]) == (server.calls, len(call.trail.attempts))
    assert 500 == call.answer.status_code
    assert call.trail.stopped.startswith("the limiter lets no call through for another 0.3")


def test_a_full_bulkhead_refuses_before_anything_is_sent() -> None:
    """There: seven executions, no call, and the bulkhead's error. Here no attempt, and the refusal at once, once."""
    case = CASES["retry and full bulkhead"]
    made = composed(case, limits=[{"concurrency": case["concurrency"], "per": "provider", "max_wait": "0s"}])
    simulation = Simulation([made], lambda *_: Answer(200, latency=100.0))
    for _ in range(case["concurrency"]):
        simulation.call("GET", URL)
    call = simulation.call("GET", URL, at=1.0)

    simulation.run()

    assert call.trail is not None
    assert call.answer is not None
    assert (case["calls"], 1, 1.0) == (len(call.trail.attempts), len(call.trail.refusals), call.ended)
    assert case["outcome"] == call.answer.headers["x-resilience-refused"]


def test_a_breaker_that_opens_with_the_last_attempt_leaves_its_answer() -> None:
    """The same three calls and the same answer, but another state of the breaker.

    There it stands around the retries, counts one failure and stays closed; here each attempt counts, and the third of
    three opens it.
    """
    case = CASES["breaker around retry"]

    call, simulation = one_call(composed(case), server := Server(case["server"]))

    assert (case["executions"], case["calls"]) == (len(call.trail.attempts), server.calls)
    assert ("open", {"success": 0, "failure": case["calls"]}) == state_of_breaker(simulation)
    assert "closed" == case["state"]
    assert (500, "max_attempts (3) reached") == (call.answer.status_code, call.trail.stopped)
    follower = simulation.call("GET", URL, at=simulation.now)
    simulation.run()
    assert follower.answer is not None
    assert "breaker" == follower.answer.headers["x-resilience-refused"]


def test_a_breaker_that_counts_fewer_failures_than_it_bears_stays_closed() -> None:
    """There a fallback answers in the end; here the provider's own answer does."""
    case = CASES["fallback"]

    call, simulation = one_call(composed(case), server := Server(case["server"]))

    assert (case["executions"], case["calls"]) == (len(call.trail.attempts), server.calls)
    assert (case["state"], case["counted"]) == state_of_breaker(simulation)
    assert 500 == call.answer.status_code
    follower = simulation.call("GET", URL, at=simulation.now, options={"max_attempts": 1})
    simulation.run()
    assert follower.trail is not None
    assert ((), 1) == (follower.trail.refusals, len(follower.trail.attempts))


def test_a_timeout_is_a_failure_to_the_breaker() -> None:
    """One call, its timeout, and an open breaker."""
    case = CASES["breaker and timeout"]

    call, simulation = one_call(composed(case, attempt_timeout=case["timeout"]), server := Server(case["server"]))

    assert (case["executions"], case["calls"]) == (len(call.trail.attempts), server.calls)
    assert (case["state"], {"success": 0, "failure": 1}) == state_of_breaker(simulation)
    assert "AttemptTimeout" == type(call.error).__name__
    follower = simulation.call("GET", URL, at=simulation.now)
    simulation.run()
    assert follower.answer is not None
    assert (1, "breaker") == (server.calls, follower.answer.headers["x-resilience-refused"])


Stack = Callable[..., list[str]]


@pytest.fixture
def stacked(monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A chain of deadline, retry and attempt, in which scripted layers look ahead and refuse."""

    def install(script: Sequence[Any] = (None,), **ahead: float) -> list[str]:
        asked: list[str] = []
        attempts = _chain.attempt_layer

        def looker(layer: str, seconds: float) -> Any:
            async def look_ahead(exchange: Exchange, runtime: Any) -> float:
                asked.append(layer)
                return seconds

            return look_ahead

        def build(runtime: Any) -> Any:
            attempt = attempts(runtime)
            turn = iter([*script])

            async def scripted_call(exchange: Exchange) -> Outcome:
                step = next(turn, None)
                if step is None:
                    return await attempt(exchange)
                return refused(exchange, layer=step, why="max_wait", reason="no", retry_after=9.0)

            lookers = {layer: looker(layer, seconds) for layer, seconds in ahead.items()}
            return deadline_layer(retry_layer(scripted_call, runtime, lookers), runtime)  # type: ignore[arg-type]

        monkeypatch.setattr("resilience._chain.build", build)
        monkeypatch.setattr("resilience.simulate.build", build)
        return asked

    return install


@pytest.mark.parametrize(
    ("ahead", "slept", "sources"),
    [
        ({"breaker": 0.0, "limiter": 0.5}, [1.0, 2.0], ["back-off", "back-off"]),
        ({"breaker": 0.0, "limiter": 1.5}, [1.5, 2.0], ["the limiter", "back-off"]),
        ({"breaker": 3.0, "limiter": 1.5}, [3.0, 3.0], ["the breaker", "the breaker"]),
        ({"breaker": 3.0, "limiter": 3.5}, [3.5, 3.5], ["the limiter", "the limiter"]),
        ({"limiter": 60.0}, [60.0, 60.0], ["the limiter", "the limiter"]),
    ],
)
def test_waits_pass_together(
    world: World, stacked: Stack, ahead: dict[str, float], slept: list[float], sources: list[str]
) -> None:
    """The longest one counts, and none is added to another."""
    asked = stacked(**ahead)

    story = world.call(policy(retry=STEADY), [Step(503), Step(503), Step(200)])

    assert (200, slept) == (story.status, story.slept)
    assert sources == [wait.source for wait in story.trail.waits]
    assert [*ahead] * 2 == asked


@pytest.mark.parametrize(
    ("ahead", "options", "why"),
    [
        ({"breaker": 61.0}, None, "the breaker is open for another 61s, longer than longest_wait (60s)"),
        ({"limiter": 61.0}, None, "the limiter lets no call through for another 61s, longer than longest_wait (60s)"),
        ({"breaker": math.inf}, None, "the breaker is open until further notice, longer than longest_wait (60s)"),
        (
            {"breaker": 12.0, "limiter": 99.0},
            {"deadline": 10.0},
            "the breaker is open for another 12s, and the deadline is 10s away",
        ),
        ({"limiter": 10.0}, {"deadline": 10.0}, "the limiter lets no call through for another 10s, and the deadline"),
    ],
)
def test_an_answer_is_not_let_go_of_for_a_wait_that_is_too_long(
    world: World, stacked: Stack, ahead: dict[str, float], options: dict[str, Any] | None, why: str
) -> None:
    """It is handed back at once, marked as final, and no retry is paid for."""
    stacked(**ahead)

    story = world.call(policy(retry={**STEADY, "budget": {"quota": 20}}), [Step(503), Step(200)], options=options)

    assert (503, 1, []) == (story.status, story.requests, story.slept)
    assert story.trail.stopped.startswith(why)
    assert "false" == story.headers["x-should-retry"]
    assert () == story.trail.refusals


def test_nobody_is_asked_after_a_good_answer(world: World, stacked: Stack) -> None:
    """Nor after one that is not worth another attempt."""
    asked = stacked(breaker=5.0)

    good = world.call(policy(retry=STEADY), [Step(200)])
    bad = world.call(policy(retry=STEADY), [Step(400)])

    assert (200, 400, []) == (good.status, bad.status, asked)


def test_what_the_provider_asks_for_and_the_limiter_waits_for_do_not_add_up(world: World) -> None:
    """A 429 pauses the limit for its ten seconds, and the retry waits ten seconds: ten in all."""
    limited = policy(retry=STEADY, limits=[{"rate": "10/second", "per": "provider"}], **ALONE)

    story = world.call(limited, [Step(429, {"Retry-After": "10"}), Step(200)])

    assert (200, [10.0]) == (story.status, [seconds for seconds in story.slept if seconds > 0])
    assert ["Retry-After"] == [wait.source for wait in story.trail.waits]


def test_the_trail_counts_no_refusal_as_an_attempt(world: World, stacked: Stack) -> None:
    """One attempt, one wait, one refusal; it ends the call."""
    stacked([None, "limiter", None])

    story = world.call(policy(retry=STEADY), [Step(503)])

    assert [Attempt, Wait, Refused] == [type(event) for event in story.trail.events]
    assert [1] == [attempt.number for attempt in story.trail.attempts]
    assert (503, "refused by the limiter: no") == (story.status, story.trail.stopped)


@pytest.mark.parametrize("budget", [{"quota": 14}, {"ratio": 0, "per_second": 0.1}], ids=str)
def test_a_refusal_costs_no_budget(stacked: Stack, budget: dict[str, Any]) -> None:
    """A retry that was paid for and then not sent is paid back; the next call has it."""
    stacked([None, "limiter", None, "limiter"])
    simulation = Simulation([policy(retry={**STEADY, "budget": budget})], lambda *_: Answer(500))

    calls = [simulation.call("GET", URL, at=time) for time in (0.0, 2.0)]
    simulation.run()

    assert ["refused by the limiter: no"] * 2 == [call.trail.stopped for call in calls if call.trail]


def test_a_call_that_is_refused_at_first_pays_nothing(stacked: Stack) -> None:
    """Calls that were never sent do not pay for retries of others."""
    stacked([*["limiter"] * 5, None])
    made = policy(retry={**STEADY, "budget": {"ratio": 0.5, "per_second": 0}})
    simulation = Simulation([made], lambda *_: Answer(500))

    calls = [simulation.call("GET", URL, at=time / 10) for time in range(6)]
    simulation.run()

    assert calls[-1].trail is not None
    assert calls[-1].trail.stopped.startswith("the retry budget is empty")


def moded(made: Policy, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every world read this mode of the retries."""
    source = Source(made.provider, made.match.hosts, lambda: made, Settings(modes={"retry": mode}))
    monkeypatch.setattr("resilience._adapter.policies_for", lambda *_: Policies([source]))
    monkeypatch.setattr("resilience.simulate.policies_for", lambda *_: Policies([source]))


def test_retries_that_are_observed_are_written_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait that there would have been; the first answer is handed on as it came, for others to retry."""
    made = policy(retry={**STEADY, "budget": {"quota": 0}}, **ALONE)
    moded(made, Mode.OBSERVE, monkeypatch)

    story = world.call(made, [Step(429, {"Retry-After": "7"}), Step(200)])

    assert (429, 1, ()) == (story.status, story.requests, story.trail.waits)
    assert [Wait(7.0, "retry", "provider", "Retry-After", observed=True)] == story.trail.events[1:]
    assert "retries are only observed" == story.trail.stopped
    assert "x-should-retry" not in story.headers


@pytest.mark.parametrize(
    ("step", "stopped"),
    [(Step(200), "success"), (Step(400), "invalid_request is not retried"), (Step(503), None)],
)
def test_where_nothing_would_have_followed_an_observer_says_so_too(
    world: World, monkeypatch: pytest.MonkeyPatch, step: Step, stopped: str | None
) -> None:
    """With the reason that an obeyed layer would have."""
    made = policy(retry={**STEADY, "max_attempts": 1}, **ALONE)
    moded(made, Mode.OBSERVE, monkeypatch)

    story = world.call(made, [step])

    assert (1, stopped or "max_attempts (1) reached") == (story.requests, story.trail.stopped)


@pytest.mark.parametrize(
    ("status", "stopped"), [(200, "success"), (503, "retries are switched off"), (400, "retries are switched off")]
)
def test_retries_that_are_off_are_left_to_others(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int, stopped: str
) -> None:
    """One attempt, and no mark that would keep an SDK from its own."""
    made = policy(retry=STEADY, **ALONE)
    moded(made, Mode.OFF, monkeypatch)

    story = world.call(made, [Step(status)])

    assert (status, 1, stopped) == (story.status, story.requests, story.trail.stopped)
    assert "x-should-retry" not in story.headers


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.OBSERVE])
def test_without_retries_a_refusal_is_still_one(
    world: World, monkeypatch: pytest.MonkeyPatch, stacked: Stack, mode: Mode
) -> None:
    """The layers within go on refusing."""
    stacked(["breaker"])
    made = policy(retry=STEADY)
    moded(made, mode, monkeypatch)

    story = world.call(made, [Step(200)])

    assert (503, 0, "refused by the breaker: no") == (story.status, story.requests, story.trail.stopped)


def test_an_observer_asks_ahead_but_takes_nothing(
    monkeypatch: pytest.MonkeyPatch, stacked: Stack, world: World
) -> None:
    """The wait that it writes down is the longest of all."""
    asked = stacked(limiter=4.0)
    made = policy(retry=STEADY)
    moded(made, Mode.OBSERVE, monkeypatch)

    story = world.call(made, [Step(503)])

    assert ["limiter"] == asked
    assert [Wait(4.0, "retry", "limit", "the limiter", observed=True)] == story.trail.events[1:]


def _exchange(settings: Settings) -> Exchange:
    """A call that has not begun."""
    made = policy()
    simulation = Simulation([made], lambda *_: Answer(200))
    source = Source(made.provider, made.match.hosts, lambda: made, settings)
    request = simulate.Request("GET", URL, {}, b"")
    found = _prepare.prepare(request, Policies([source]), simulate._LIBRARY, simulation._closing, MemoryStore())
    assert found is not None
    return found


@pytest.mark.parametrize("closed", [False, True])
def test_a_retry_that_ends_while_it_waits_is_given_back(*, closed: bool) -> None:
    """Ctrl-C, a task's cancellation, a client that is closed: nothing was sent."""
    exchange = _exchange(Settings())

    class Runtime:
        clock = Simulation([policy()], lambda *_: Answer(200))._clock
        library = simulate._LIBRARY

        async def decide(self, store: Any, command: Any) -> Any:
            return store.run(command, 0.0)

        def tell(self, store: Any, command: Any) -> None:
            store.run(command, 0.0)

        async def sleep(self, *_: Any) -> bool:
            if not closed:
                raise KeyboardInterrupt
            return False

    async def inner(_exchange: Exchange) -> Outcome:
        return Outcome(policy().classify(error="connect_error"), error=NoAnswer())

    with pytest.raises(StopIteration if closed else KeyboardInterrupt):
        retry_layer(inner, Runtime())(exchange).send(None)  # type: ignore[arg-type]

    states = [state for _, state in exchange.store.scan()]
    assert [([1.0] + [0.0] * 9, [0.0] * 10)] == [(state["calls"], state["retries"]) for state in states]
