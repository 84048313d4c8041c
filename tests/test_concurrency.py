"""No more calls are in flight than the provider allows, in the order in which they came, in every world."""

from __future__ import annotations

import gc
import itertools
import json
import math
import threading
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import httpx2
import pytest

import resilience.httpx
import resilience.httpx2
from resilience import Policy, errors
from resilience._attempt import attempt_layer
from resilience._categories import Category
from resilience._clock import Closing
from resilience._concurrency import concurrency_layer
from resilience._deadline import deadline_layer
from resilience._modes import Mode
from resilience._outcome import Call, Exchange, Outcome, Verdict
from resilience._permits import describe
from resilience._prepare import prepare
from resilience._refusal import refused
from resilience._registry import Policies, Settings, Source
from resilience._retry import retry_layer
from resilience._runtime import AsyncRuntime, Runtime, SyncRuntime, run_now
from resilience._trail import Refused, Trail, Wait
from resilience._transactions import Command, Reply, Store
from resilience.simulate import _LIBRARY, Answer, NoAnswer, Request, Simulation
from resilience.simulate import Call as Simulated
from resilience.stores import open_store
from resilience.stores._memory import MemoryStore
from resilience.testing import VirtualClock
from tests.until import wait_until
from tests.worlds import URL, Step, World, policy

LIBRARIES: dict[str, Any] = {"httpx": httpx, "httpx2": httpx2}
ADAPTERS: dict[str, Any] = {"httpx": resilience.httpx, "httpx2": resilience.httpx2}
BUSY = {"rule": "busy", "when": {"code": "busy"}, "category": "concurrency_limited"}
BUSY_BODY = {"error": {"code": "busy", "message": "too many at a time"}}


@pytest.fixture(autouse=True)
def _chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layers that this one meets, and no others."""

    def build(runtime: Runtime) -> Call:
        call = attempt_layer(runtime)
        call = concurrency_layer(call, runtime)
        call = retry_layer(call, runtime)
        return deadline_layer(call, runtime)

    monkeypatch.setattr("resilience._chain.build", build)
    monkeypatch.setattr("resilience.simulate.build", build)


def limited(*limits: int | Mapping[str, Any], **parts: Any) -> Policy:
    """A policy that allows so many calls at a time, and sends nothing twice."""
    written = [{"concurrency": each} if isinstance(each, int) else dict(each) for each in limits]
    return policy(**{"limits": written, "retry": {"max_attempts": 1}, **parts})


def chosen(policy: Policy, **settings: Any) -> Policies:
    """A policy with what the user says of it."""
    return Policies([Source(policy.provider, policy.match.hosts, lambda: policy, Settings(**settings))])


def states(store: Store | None = None) -> dict[str, Any]:
    """What the store keeps of permits."""
    return {key: state for key, state in (store or open_store()).scan() if ":permits:" in key}


def in_flight(store: Store | None = None) -> int:
    return sum(len(state["holders"]) for state in states(store).values())


class Provider:
    """Bears so many calls at a time, and answers each after a second; those that are too many after a tenth."""

    def __init__(self, bears: float = math.inf) -> None:
        self.bears = bears
        self.peak = 0
        self.came: list[tuple[str, float]] = []
        self.refused: list[float] = []
        self.busy: list[float] = []

    def __call__(self, request: Request, now: float) -> Answer:
        self.busy = [end for end in self.busy if end > now]
        self.came.append((request.headers.get("x-name", ""), now))
        if len(self.busy) >= self.bears:
            self.refused.append(now)
            content = json.dumps(BUSY_BODY).encode()
            return Answer(429, {"Content-Type": "application/json"}, content, latency=0.1)
        self.busy.append(now + 1.0)
        self.peak = max(self.peak, len(self.busy))
        return Answer(200, latency=1.0)


def simulated(
    policy: Policy, provider: Callable[[Request, float], Answer], count: int, every: float = 0.0, **settings: Any
) -> tuple[Simulation, list[Simulated]]:
    """So many calls, one after the other or all at once."""
    simulation = Simulation([policy], provider)
    simulation._policies = chosen(policy, **settings)
    calls = [simulation.call("GET", URL, headers={"x-name": str(number)}, at=number * every) for number in range(count)]
    simulation.run()
    return simulation, calls


def trail(call: Simulated) -> Trail:
    assert call.trail is not None
    return call.trail


# Admission and order


def test_no_more_than_the_number_are_in_flight_in_the_order_in_which_they_came() -> None:
    """The places are always used, and none is lost."""
    provider = Provider()

    simulation, calls = simulated(limited(5), provider, 100, every=0.001)

    assert 5 == provider.peak
    assert [str(number) for number in range(100)] == [name for name, _ in provider.came]
    assert 20.0 <= simulation.now <= 20.01
    assert {} == states(simulation.store)
    assert () == trail(calls[4]).waits
    wait = trail(calls[99]).waits[0]
    assert Wait(wait.seconds, "concurrency", "limit", "limit concurrency-1 (5 at a time)") == wait
    assert 18.9 == pytest.approx(wait.seconds, abs=0.02)


def test_a_call_that_comes_just_as_a_place_becomes_free_has_not_waited() -> None:
    """It stood in the line, for no time at all."""
    provider = Provider()

    _, calls = simulated(limited(1), provider, 2, every=1.0)

    assert [("0", 0.0), ("1", 1.0)] == provider.came
    assert () == trail(calls[1]).waits


def test_accounts_do_not_wait_for_one_another() -> None:
    """Each has its own places."""
    provider = Provider()
    simulation = Simulation([limited(1, account={"headers": "X-Name"})], provider)
    for name in "abab":
        simulation.call("GET", URL, headers={"x-name": name})
    simulation.run()

    assert [("a", 0.0), ("b", 0.0), ("a", 1.0), ("b", 1.0)] == provider.came


def test_only_the_operations_of_a_limit_count() -> None:
    """All others go on, and the store knows nothing of them."""
    provider = Provider()
    operations = {"slow": {"method": "GET", "path": "/things"}, "fast": {"method": "GET", "path": "/others"}}
    limit = {"concurrency": 1, "operations": ["slow"]}
    simulation = Simulation([limited(limit, operations=operations)], provider)
    for path in ("things", "others", "others", "things"):
        simulation.call("GET", f"https://provider.test/{path}")
    simulation.run()

    assert [0.0, 0.0, 0.0, 1.0] == [at for _, at in provider.came]


def test_the_number_of_the_plan_is_what_counts() -> None:
    """A plan without the limit has none, and one that nobody named leaves it to the answers."""
    plans = {"small": {"calls": 2}, "large": {"calls": None}}
    limit = limited({"concurrency": "{plan.calls}"}, plans=plans)
    peaks = []
    for plan in ("small", "large", None):
        provider = Provider()
        simulated(limit, provider, 10, plan=plan)
        peaks.append(provider.peak)

    assert [2, 10, 10] == peaks


def test_of_several_limits_all_hold() -> None:
    """A call that waits for one takes no place of the other, so those that need only the other go on."""
    provider = Provider()
    operations = {"both": {"method": "GET", "path": "/both"}, "one": {"method": "GET", "path": "/one"}}
    wide = {"name": "wide", "concurrency": 3}
    narrow = {"name": "narrow", "concurrency": 1, "operations": ["both"]}
    simulation = Simulation([limited(wide, narrow, operations=operations)], provider)
    for number, path in enumerate(["both"] * 5 + ["one"] * 10):
        name = f"{path}-{number}"
        simulation.call("GET", f"https://provider.test/{path}", headers={"x-name": name}, at=number * 0.001)
    simulation.run()

    assert 3 == provider.peak
    assert [f"both-{number}" for number in range(5)] == [name for name, _ in provider.came if "both" in name]
    assert [f"one-{number}" for number in range(5, 15)] == [name for name, _ in provider.came if "one" in name]
    starts = [at for name, at in provider.came if "both" in name]
    assert all(second - first >= 1 for first, second in itertools.pairwise(starts))
    # Five calls of the narrow one after the other, each after at most one round in the line of the wide one.
    assert simulation.now <= 10
    assert {} == states(simulation.store)


def test_a_call_that_finds_another_limit_full_moves_into_its_line() -> None:
    """Also where that line is full: it was let in once."""
    provider = Provider()
    operations = {name: {"method": "GET", "path": f"/{name}"} for name in ("both", "a", "b")}
    a = {"name": "a", "concurrency": 1, "operations": ["both", "a"]}
    b = {"name": "b", "concurrency": 1, "operations": ["both", "b"], "queue": 1}
    simulation = Simulation([limited(a, b, operations=operations)], provider)
    calls = [
        simulation.call("GET", f"https://provider.test/{path}", headers={"x-name": path}, at=at)
        for path, at in [("a", 0.0), ("both", 0.1), ("b", 0.5), ("b", 0.6)]
    ]
    simulation.run()

    assert [("a", 0.0), ("b", 0.5), ("b", 1.5), ("both", 2.5)] == provider.came
    assert [Wait(2.4, "concurrency", "limit", "limit b (1 at a time)")] == trail(calls[1]).events[:1]
    assert {} == states(simulation.store)


# Refusals


def test_a_call_that_waited_too_long_is_refused() -> None:
    """After `max_wait`, not sooner or later; how long it would still take nobody can know."""
    provider = Provider()

    _, calls = simulated(limited({"name": "calls", "concurrency": 1, "max_wait": "2.5s"}), provider, 5)

    assert [1.0, 2.0, 3.0, 2.5, 2.5] == [call.ended for call in calls]
    reason = "no call ended within 2.5s: limit calls (1 at a time)"
    assert (Refused("concurrency", "max_wait", reason, None),) == trail(calls[4]).refusals
    assert (0, ()) == (len(trail(calls[4]).attempts), trail(calls[4]).waits)


def test_a_lease_that_ends_soon_is_named() -> None:
    """A place of a process that died is free then."""
    store = MemoryStore()
    key = "{provider}:permits:concurrency-1:-"
    store.run(Command("permits.acquire", (key,), ("dead", 60.0, 1)), 0.0)

    outcome, exchange, _ = alone(limited({"concurrency": 1, "max_wait": "45s"}), store, lambda _: Answer(200))

    assert outcome.refusal is not None
    assert ("concurrency", 15.0, key) == (outcome.refusal.layer, outcome.refusal.retry_after, outcome.refusal.key)
    assert 15.0 == outcome.verdict.retry_after
    assert [outcome.refusal.reason] == [each.reason for each in exchange.trail.refusals]


def test_the_place_of_a_process_that_died_is_taken_when_its_lease_ends() -> None:
    """Without anybody who would wake the first of the line."""
    store = MemoryStore()
    store.run(Command("permits.acquire", ("{provider}:permits:concurrency-1:-",), ("dead", 30.0, 1)), 0.0)

    outcome, exchange, clock = alone(limited(1), store, lambda _: Answer(200))

    assert outcome.response is not None
    assert [30.0] == [sum(clock.slept)] == [wait.seconds for wait in exchange.trail.waits]


def test_a_full_line_refuses_at_once() -> None:
    """So many wait as the policy says, and one more does not."""
    _, calls = simulated(limited({"concurrency": 1, "queue": 3}), Provider(), 6)

    assert [1.0, 2.0, 3.0, 4.0, 0.0, 0.0] == [call.ended for call in calls]
    assert "3 calls are waiting already: limit concurrency-1 (1 at a time)" == trail(calls[5]).refusals[0].reason


def test_of_several_limits_the_shortest_line_and_the_shortest_wait_count() -> None:
    """Whichever of them is full."""
    limits = [
        {"concurrency": 1, "queue": 9, "max_wait": "1.5s"},
        {"concurrency": 9, "queue": 2, "max_wait": "9s"},
    ]

    _, calls = simulated(limited(*limits), Provider(), 5)

    assert [1.0, 2.0, 1.5, 0.0, 0.0] == [call.ended for call in calls]


def test_no_wait_at_all_refuses_at_once() -> None:
    """`max_wait: 0s`."""
    _, calls = simulated(limited({"concurrency": 2, "max_wait": "0s"}), Provider(), 3)

    assert [1.0, 1.0, 0.0] == [call.ended for call in calls]


def test_the_deadline_ends_the_wait() -> None:
    """Where it comes before `max_wait`."""
    provider = Provider()

    _, calls = simulated(limited(1, deadline="1.5s"), provider, 3)

    # The second one's attempt has half a second left.
    assert [1.0, 1.5, 1.5] == [call.ended for call in calls]
    assert "no call ended before the deadline: limit concurrency-1 (1 at a time)" == trail(calls[2]).refusals[0].reason
    assert 2 == len(provider.came)


# What answers teach


def test_refusals_of_the_provider_lower_the_number_until_it_bears_it() -> None:
    """The documented number is 16, the provider bears 3; few calls are refused, and the rest goes through."""
    provider = Provider(bears=3)
    retry = {"max_attempts": 20, "backoff": {"initial": "1s", "max": "1s", "jitter": "none"}, "budget": {"off": True}}

    simulation, calls = simulated(
        limited({"concurrency": 16, "max_wait": "1h"}, answers=[BUSY], retry=retry), provider, 200
    )

    assert all(call.answer is not None and call.answer.status_code == 200 for call in calls)
    # At 3 a second 200 calls take 67 s.
    assert simulation.now < 90
    assert len([at for at in provider.refused if at > 5]) < 60


def test_one_crowd_of_refusals_lowers_the_number_once() -> None:
    """Calls that were sent before the first of them came back say nothing new."""
    provider = Provider(bears=0)

    simulation, _ = simulated(limited(16, answers=[BUSY]), provider, 16)

    (state,) = states(simulation.store).values()
    assert (1, 8.0) == (state["lowerings"], state["most"])


def test_success_raises_the_number_to_the_documented_one() -> None:
    """Where the provider bears it again; then the state is as it was."""
    provider = Provider()

    def recovering(request: Request, now: float) -> Answer:
        provider.bears = 4 if now < 5 else math.inf
        return provider(request, now)

    retry = {"max_attempts": 20, "backoff": {"initial": "1s", "max": "1s", "jitter": "none"}, "budget": {"off": True}}

    simulation, calls = simulated(
        limited({"concurrency": 8, "max_wait": "1h"}, answers=[BUSY], retry=retry), recovering, 400
    )

    assert all(call.answer is not None and call.answer.status_code == 200 for call in calls)
    assert 8 == provider.peak
    assert {} == states(simulation.store)


def test_a_number_that_nobody_named_is_learned() -> None:
    """All go at once until the provider refuses some; then it starts from what was in flight, and is found again."""
    provider = Provider(bears=6)
    plans = {"any": {"calls": 6}}
    limit = {"concurrency": "{plan.calls}", "max_wait": "1h"}
    retry = {"max_attempts": 20, "backoff": {"initial": "1s", "max": "1s", "jitter": "none"}, "budget": {"off": True}}

    simulation, calls = simulated(limited(limit, plans=plans, answers=[BUSY], retry=retry), provider, 300)

    assert all(call.answer is not None and call.answer.status_code == 200 for call in calls)
    assert len([at for at in provider.refused if at < 0.1]) == 294
    # At 6 a second 300 calls take 50 s.
    assert simulation.now < 90
    assert len([at for at in provider.refused if at > 20]) < 60


def test_without_a_limit_answers_teach_one_for_each_account() -> None:
    """It is called `answers`; a policy without such answers keeps no count at all, nor does one whose rule speaks of none."""
    provider = Provider(bears=0)

    simulation, _ = simulated(policy(answers=[BUSY], retry={"max_attempts": 1}), provider, 10)
    silent, _ = simulated(policy(retry={"max_attempts": 1}), provider, 10)
    own, _ = simulated(policy(retry={"max_attempts": 1}, answers=[{**BUSY, "limit": "none"}]), provider, 10)

    ((key, state),) = states(simulation.store).items()
    assert ("{provider}:permits:answers:-", 5.0) == (key, state["most"])
    assert [{}, {}] == [states(silent.store), states(own.store)]


@pytest.mark.parametrize(
    ("limit", "lowered"),
    [("narrow", ["narrow"]), (None, ["wide"]), ("rate", ["wide"]), ("elsewhere", []), ("none", [])],
)
def test_a_refusal_lowers_the_limit_that_it_speaks_of(limit: str | None, lowered: list[str]) -> None:
    """The rule's, else the first; a limit of other calls, of whose number in flight this one is not, stays as it is."""
    limits: list[dict[str, Any]] = [
        {"name": "rate", "rate": "1000/second"},
        {"name": "wide", "concurrency": 10},
        {"name": "narrow", "concurrency": 5},
        {"name": "elsewhere", "concurrency": 5, "operations": ["other"]},
    ]
    rule = BUSY if limit is None else {**BUSY, "limit": limit}
    operations = {"other": {"method": "GET", "path": "/other"}}

    simulation, _ = simulated(limited(*limits, answers=[rule], operations=operations), Provider(bears=0), 4)

    assert lowered == [key.split(":")[2] for key in states(simulation.store)]


def test_other_answers_teach_nothing() -> None:
    """Errors and faults say nothing of how many calls at a time there may be."""
    store = MemoryStore()

    def busy(_: Any) -> Answer:
        return Answer(429, {"Content-Type": "application/json"}, json.dumps(BUSY_BODY).encode())

    def lost(_: Any) -> Answer:
        raise NoAnswer("read_error")

    alone(limited(8, answers=[BUSY]), store, busy)
    before = states(store)
    for answer in (lambda _: Answer(500), lambda _: Answer(404), lost):
        alone(limited(8, answers=[BUSY]), store, answer)

    assert before == states(store)
    alone(limited(8, answers=[BUSY]), store, lambda _: Answer(200))
    assert before != states(store)


# Modes


def test_switched_off_it_counts_nothing() -> None:
    """All go at once."""
    provider = Provider()

    simulation, calls = simulated(limited(2), provider, 10, modes={"concurrency": Mode.OFF})

    assert 10 == provider.peak
    assert [] == trail(calls[9]).events[:-1]
    assert {} == states(simulation.store)


def test_observing_it_counts_and_says_who_would_have_waited() -> None:
    """And nobody waits or is refused; the count is that of all calls in flight."""
    counts: list[int] = []
    simulation = Simulation([limited({"name": "calls", "concurrency": 2, "max_wait": "0s"})], lambda *_: answer())
    simulation._policies = chosen(limited({"name": "calls", "concurrency": 2}), modes={"concurrency": Mode.OBSERVE})

    def answer() -> Answer:
        counts.append(in_flight(simulation.store))
        return Answer(200, latency=1.0)

    calls = [simulation.call("GET", URL) for _ in range(5)]
    simulation.run()

    assert [1, 2, 3, 4, 5] == counts
    observed = [trail(call).events[:-1] for call in calls]
    assert [[]] * 2 + [[Wait(0.0, "concurrency", "limit", "limit calls (2 at a time)", observed=True)]] * 3 == observed
    assert [1.0] * 5 == [call.ended for call in calls]
    assert {} == states(simulation.store)


# One call by itself


class Inner:
    """A transport, or a layer, that answers as it is told and looks at what is held meanwhile."""

    def __init__(self, answer: Callable[[Any], Any], store: Store) -> None:
        self.answer = answer
        self.store = store
        self.held: list[dict[str, Any]] = []

    def handle_request(self, request: Any) -> Any:
        self.held.append(states(self.store))
        return self.answer(request)

    async def handle_async_request(self, request: Any) -> Any:
        raise NotImplementedError

    async def layer(self, exchange: Exchange) -> Outcome:
        outcome: Outcome = self.handle_request(exchange)
        return outcome


def exchange_for(policy: Policy, store: Store, library: Any, options: Any = None, **settings: Any) -> Exchange:
    request = Request("GET", URL, {}, b"")
    request.extensions["resilience"] = options or {}
    exchange = prepare(request, chosen(policy, **settings), library, Closing(), store)
    assert exchange is not None
    return exchange


def alone(
    policy: Policy, store: Store, answer: Callable[[Any], Any], options: Any = None
) -> tuple[Outcome, Exchange, VirtualClock]:
    """One call through this layer and the attempt below it."""
    clock = VirtualClock()
    runtime = SyncRuntime(_LIBRARY, Inner(answer, store), clock)
    exchange = exchange_for(policy, store, _LIBRARY, options)
    call = deadline_layer(concurrency_layer(attempt_layer(runtime), runtime), runtime)
    return run_now(call(exchange)), exchange, clock


def over(policy: Policy, store: Store, answer: Callable[[Any], Outcome]) -> tuple[Callable[[], Outcome], Inner]:
    """This layer over a scripted one."""
    inner = Inner(answer, store)
    runtime = SyncRuntime(_LIBRARY, inner, VirtualClock())
    exchange = exchange_for(policy, store, _LIBRARY)
    return lambda: run_now(concurrency_layer(inner.layer, runtime)(exchange)), inner


OTHERS = limited(
    {"name": "elsewhere", "concurrency": 5, "operations": ["other"]},
    operations={"other": {"method": "GET", "path": "/other"}},
    answers=[{**BUSY, "limit": "elsewhere"}],
)


@pytest.mark.parametrize("own", [policy(), OTHERS], ids=["none at all", "only of other calls"])
def test_without_a_limit_the_store_is_not_asked(own: Policy) -> None:
    """There is none here at all; where answers can only teach the limit of other calls, nobody has to count these."""
    store: Any = None
    runtime: Any = None
    expected = Outcome(Verdict(Category.SUCCESS, retryable=False), Answer(200))
    inner = Inner(lambda _: expected, MemoryStore())

    outcome = run_now(concurrency_layer(inner.layer, runtime)(exchange_for(own, store, _LIBRARY)))

    assert expected is outcome


def test_the_lease_is_longer_than_the_attempt() -> None:
    """By half a minute; an attempt without a timeout counts as five minutes."""
    leases = []
    for parts in ({}, {"attempt_timeout": "10s"}, {"attempt_timeout": "10s", "deadline": "1h"}):
        store, held = MemoryStore(), list[float]()

        def answer(_: Any, store: MemoryStore = store, held: list[float] = held) -> Answer:
            held.extend(end for state in states(store).values() for end in state["holders"].values())
            return Answer(200)

        alone(limited(1, **parts), store, answer)
        leases += held

    assert [330.0, 40.0, 40.0] == leases


def test_what_an_inner_layer_refuses_holds_and_teaches_nothing() -> None:
    """Nothing was sent."""
    store = MemoryStore()

    def answer(exchange: Any) -> Outcome:
        return refused(exchange, layer="concurrency", why="queue_full", reason="full", retry_after=None)

    call, inner = over(limited(8), store, answer)

    assert call().refusal is not None
    assert [1] == [len(held) for held in inner.held]
    assert {} == states(store)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_whatever_goes_through_gives_the_place_back(error: type[BaseException]) -> None:
    """Also what interrupts the program."""
    store = MemoryStore()

    def answer(_: Any) -> Outcome:
        raise error

    call, inner = over(limited(1), store, answer)

    with pytest.raises(error):
        call()
    assert [1] == [len(held) for held in inner.held]
    assert {} == states(store)


def test_a_place_is_given_back_where_the_stack_is_full() -> None:
    """By a thread, which has a stack of its own: it stayed taken until its lease ended."""

    class Full(MemoryStore):
        def tell(self, command: Command, now: float, /) -> None:
            raise RecursionError(command.name)

    store = Full()

    def answer(_: Any) -> Outcome:
        raise ValueError

    call, _ = over(limited(1), store, answer)

    with pytest.raises(RecursionError, match=r"permits\.release"):
        call()
    wait_until(lambda: not states(store))


class Shared(MemoryStore):
    """A store that others share: somebody else's place becomes free at a time."""

    instant = False
    key = "{provider}:permits:concurrency-1:-"

    def __init__(self, free_at: float, woken_at: float = math.inf) -> None:
        super().__init__()
        self.free_at, self.woken_at = free_at, woken_at
        super().run(Command("permits.acquire", (self.key,), ("other", 900.0, 1)), 0.0)

    def run(self, command: Command, now: float, /) -> Reply:
        if now >= self.free_at:
            super().run(Command("permits.release", command.keys, ("other",)), now)
        reply = super().run(command, now)
        if now >= self.woken_at and (line := self.lines.get(self.key)) is not None:
            # Another call of this process ends, and somebody else was faster.
            self.woken_at = math.inf
            line.wake_first()
        return reply


@pytest.mark.parametrize(
    ("woken_at", "slept"),
    [
        (math.inf, [0.02, 0.04, 0.08, 0.16, 0.25, 0.25, 0.25]),
        (0.5, [0.02, 0.04, 0.08, 0.16, 0.25, 0.02, 0.04, 0.08, 0.16, 0.25]),
    ],
)
def test_a_shared_store_is_asked_again_and_again(woken_at: float, slept: list[float]) -> None:
    """Soon at first, also after a release of this process, then four times a second: others cannot wake it."""
    clock = VirtualClock()
    store = Shared(1.0, woken_at)
    runtime = SyncRuntime(_LIBRARY, Inner(lambda _: Answer(200), store), clock)
    exchange = exchange_for(limited(1), store, _LIBRARY)

    outcome = run_now(concurrency_layer(attempt_layer(runtime), runtime)(exchange))

    assert outcome.response is not None
    assert slept == clock.slept
    assert {} == states(store)


# Every world


def test_an_answer_that_is_let_go_of_gives_its_place_back_first(world: World) -> None:
    """With one place for all, the next attempt of the same call needs it."""
    retry = {"max_attempts": 3, "backoff": {"initial": "1s", "max": "1s", "jitter": "none"}}
    one = limited({"concurrency": 1, "max_wait": "0s"}, retry=retry)

    story = world.call(one, [Step(503, body={"error": {}}), Step(error="connect_error"), Step(200)])

    assert (200, 3, ()) == (story.status, story.requests, story.trail.refusals)
    assert ["retry", "retry"] == [wait.layer for wait in story.trail.waits]


WAYS = ["sync", "asyncio", "trio"]


class Gate:
    """A provider whose bodies end when they are told to; it counts what is open."""

    def __init__(self, library: str, body: bytes = b"x" * 100) -> None:
        module = LIBRARIES[library]
        self.open = 0
        self.peak = 0
        self.lock = threading.Lock()
        outer = self

        class Stream(module.SyncByteStream, module.AsyncByteStream):  # type: ignore[misc]
            closed = False

            def __iter__(self) -> Iterator[bytes]:
                yield body
                yield body
                self.close()

            async def __aiter__(self) -> AsyncIterator[bytes]:
                yield body
                await anyio.lowlevel.checkpoint()
                yield body
                self.close()

            def close(self) -> None:
                with outer.lock:
                    outer.open -= not self.closed
                    self.closed = True

            async def aclose(self) -> None:
                self.close()

        class Transport(module.BaseTransport, module.AsyncBaseTransport):  # type: ignore[misc]
            def handle_request(self, request: Any) -> Any:
                with outer.lock:
                    outer.open += 1
                    outer.peak = max(outer.peak, outer.open)
                return module.Response(200, headers={"Content-Type": "application/json"}, stream=Stream())

            async def handle_async_request(self, request: Any) -> Any:
                await anyio.lowlevel.checkpoint()
                return self.handle_request(request)

        self.transport = Transport()

    def wrapped(self, library: str, policy: Policy, **settings: Any) -> Any:
        return ADAPTERS[library].Transport(self.transport, policies=chosen(policy, **settings))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("way", WAYS)
def test_a_streamed_answer_holds_its_place_until_it_is_closed(way: str, library: str) -> None:
    """Half read; a plain call gives it back when it has its answer."""
    gate = Gate(library)
    transport = gate.wrapped(library, limited(5))
    module = LIBRARIES[library]

    def sync() -> None:
        with module.Client(transport=transport) as client:
            with client.stream("GET", URL) as response:
                chunks = response.iter_raw()
                assert b"x" * 100 == next(chunks)
                assert 1 == in_flight()
            assert 0 == in_flight()
            client.get(URL)
            assert 0 == in_flight()
            with client.stream("GET", URL) as response:
                assert 1 == in_flight()
                assert 200 == len(response.read())
                assert 0 == in_flight()

    async def asynchronous() -> None:
        async with module.AsyncClient(transport=transport) as client:
            async with client.stream("GET", URL) as response:
                if way == "asyncio":
                    # Both libraries leave generators of their own half read, and trio warns of those.
                    assert b"x" * 100 == await anext(response.aiter_raw())
                assert 1 == in_flight()
            assert 0 == in_flight()
            await client.get(URL)
            assert 0 == in_flight()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sync() if way == "sync" else anyio.run(asynchronous, backend=way)
        gc.collect()
    assert {} == states()


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_answer_that_was_looked_at_to_its_end_holds_no_place(library: str) -> None:
    """The provider is done with it, whatever the application does with the response."""
    gate = Gate(library, b"1")
    rule = {"rule": "target", "when": {"body": {"ok": False}}, "category": "target_error"}

    with LIBRARIES[library].Client(transport=gate.wrapped(library, limited(1, answers=[rule]))) as client:
        with client.stream("GET", URL) as response:
            assert 0 == in_flight()
            assert b"11" == response.read()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_response_that_was_never_closed_gives_its_place_back_when_it_is_collected(library: str) -> None:
    """The next call gets it, and nothing warns."""
    gate = Gate(library)
    with warnings.catch_warnings(), LIBRARIES[library].Client(transport=gate.wrapped(library, limited(1))) as client:
        warnings.simplefilter("error")
        response = client.send(client.build_request("GET", URL), stream=True)
        assert 1 == in_flight()

        del response
        gc.collect()

        assert 200 == client.get(URL).status_code
    assert {} == states()


# Many calls at a time, in real time


@pytest.mark.parametrize("library", LIBRARIES)
def test_threads_share_the_places(library: str) -> None:
    """32 of them: never more than the number, and nothing is left."""
    gate = Gate(library)

    with LIBRARIES[library].Client(transport=gate.wrapped(library, limited(5))) as client:
        with ThreadPoolExecutor(32) as pool:
            statuses = list(pool.map(lambda _: client.get(URL).status_code, range(1000)))

    assert [200] * 1000 == statuses
    assert 1 <= gate.peak <= 5
    assert (0, {}) == (gate.open, states())


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tasks_share_the_places_in_the_order_in_which_they_came(library: str, backend: str) -> None:
    """2,000 of them: never more than the number, always as many, first come first served."""
    gate = Gate(library)
    done: list[int] = []

    async def go() -> None:
        transport = gate.wrapped(library, limited({"concurrency": 50, "queue": 2000}))
        all_wait = anyio.Event()
        async with LIBRARIES[library].AsyncClient(transport=transport) as client, anyio.create_task_group() as group:

            async def call(number: int) -> None:
                async with client.stream("GET", URL):
                    done.append(number)
                    await all_wait.wait()

            for number in range(2000):
                group.start_soon(call, number)
                if backend == "trio":
                    # It starts the tasks of a batch in any order.
                    await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert (50, 50) == (len(done), gate.open)
            all_wait.set()

    anyio.run(go, backend=backend)

    assert list(range(2000)) == sorted(done)
    assert max(abs(place - number) for place, number in enumerate(done)) < 50
    assert 50 == gate.peak
    assert (0, {}) == (gate.open, states())


def test_clients_of_two_libraries_threads_and_loops_share_the_places() -> None:
    """One account has one number in a process, whoever calls."""
    gates = {library: Gate(library) for library in LIBRARIES}
    tracked = limited(3)
    peak: list[int] = []

    def in_thread(library: str) -> None:
        with LIBRARIES[library].Client(transport=gates[library].wrapped(library, tracked)) as client:
            for _ in range(50):
                with client.stream("GET", URL):
                    peak.append(in_flight())

    async def in_loop(library: str) -> None:
        async with LIBRARIES[library].AsyncClient(transport=gates[library].wrapped(library, tracked)) as client:

            async def some() -> None:
                for _ in range(10):
                    async with client.stream("GET", URL):
                        peak.append(in_flight())

            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(some)

    threads = [threading.Thread(target=in_thread, args=(library,)) for library in LIBRARIES for _ in range(4)]
    threads += [
        threading.Thread(target=anyio.run, args=(in_loop, library), kwargs={"backend": backend})
        for library in LIBRARIES
        for backend in ("asyncio", "trio")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert 8 * 50 + 4 * 50 == len(peak)
    assert max(peak) <= 3
    assert {} == states()


# Cancelling and closing


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_whoever_comes_while_a_place_becomes_free_stands_behind_those_who_wait(backend: str) -> None:
    """A place that was just given back belongs to the first of the line, which has not had time to take it."""
    gate = Gate("httpx")
    served: list[str] = []

    async def go() -> None:
        async with httpx.AsyncClient(transport=gate.wrapped("httpx", limited(1))) as client:

            async def call(name: str) -> None:
                async with client.stream("GET", URL):
                    served.append(name)

            async with anyio.create_task_group() as group:
                async with client.stream("GET", URL):
                    group.start_soon(call, "waiting")
                    await anyio.wait_all_tasks_blocked()
                # Nobody else has run since the place was given back.
                await call("late")

    anyio.run(go, backend=backend)

    assert ["waiting", "late"] == served


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_call_that_is_cancelled_in_the_line_leaves_it(backend: str, place: int) -> None:
    """At its head, in its middle, at its end: the others keep their order, and no place is lost."""
    gate = Gate("httpx")
    served: list[int] = []

    async def go() -> None:
        transport = gate.wrapped("httpx", limited(1))
        async with httpx.AsyncClient(transport=transport) as client:
            scopes = [anyio.CancelScope() for _ in range(3)]

            async def call(number: int) -> None:
                with scopes[number]:
                    async with client.stream("GET", URL):
                        served.append(number)

            async with anyio.create_task_group() as group:
                async with client.stream("GET", URL):
                    for number in range(3):
                        group.start_soon(call, number)
                        await anyio.wait_all_tasks_blocked()
                    scopes[place].cancel()
                    await anyio.wait_all_tasks_blocked()
                    assert [] == served

    anyio.run(go, backend=backend)

    assert [number for number in range(3) if number != place] == served
    assert {} == states()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_call_that_is_cancelled_while_it_is_sent_gives_its_place_back(backend: str) -> None:
    """And the next one takes it."""
    reached: list[bool] = []

    class Hanging(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if reached:
                return httpx.Response(200)
            reached.append(True)
            await anyio.sleep_forever()
            raise AssertionError

    async def go() -> None:
        transport = resilience.httpx.Transport(Hanging(), policies=[limited(1)])
        async with httpx.AsyncClient(transport=transport) as client, anyio.create_task_group() as group:
            scope = anyio.CancelScope()

            async def first() -> None:
                with scope:
                    await client.get(URL)

            group.start_soon(first)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(client.get, URL)
            await anyio.wait_all_tasks_blocked()
            assert 1 == in_flight()
            scope.cancel()

    anyio.run(go, backend=backend)

    assert {} == states()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_call_that_is_cancelled_while_the_store_is_asked_holds_nothing(backend: str) -> None:
    """A far store may have granted a place that nobody waits for any more."""
    gate = Gate("httpx")
    store = MemoryStore()
    store.instant = False

    async def go() -> None:
        transport = gate.wrapped("httpx", limited(1))
        transport.chain._store = store
        original = AsyncRuntime.decide

        async def slow(self: Any, store: Store, command: Command) -> Reply:
            reply: Reply = await original(self, store, command)
            await anyio.sleep_forever()
            return reply

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AsyncRuntime, "decide", slow)
            async with httpx.AsyncClient(transport=transport) as client, anyio.create_task_group() as group:
                group.start_soon(client.get, URL)
                await anyio.wait_all_tasks_blocked()
                assert 1 == in_flight(store)
                group.cancel_scope.cancel()

    anyio.run(go, backend=backend)

    assert {} == states(store)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_closing_the_client_ends_the_waits_of_its_tasks(backend: str) -> None:
    """Each with an error that says so; those of other clients go on."""
    gate = Gate("httpx")
    ended: list[Any] = []

    async def go() -> None:
        closing, other = (httpx.AsyncClient(transport=gate.wrapped("httpx", limited(1))) for _ in range(2))

        async def call(client: httpx.AsyncClient) -> None:
            try:
                ended.append((await client.get(URL)).status_code)
            except Exception as error:
                ended.append((type(error), str(error), resilience.trail_of(error)))

        async with anyio.create_task_group() as group, other.stream("GET", URL):
            group.start_soon(call, closing)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(call, other)
            group.start_soon(call, closing)
            await anyio.wait_all_tasks_blocked()
            await closing.aclose()
            await anyio.wait_all_tasks_blocked()
            assert 2 == len(ended)
        await other.aclose()

    anyio.run(go, backend=backend)

    message = "the client was closed while this call waited for its turn"
    assert [(resilience.httpx.ClientClosed, message)] * 2 == [each[:2] for each in ended[:2]]
    assert [200] == ended[2:]
    assert {} == states()


def test_closing_the_client_ends_the_waits_of_its_threads() -> None:
    """The same for a sync client."""
    gate = Gate("httpx")
    transport = gate.wrapped("httpx", limited(1))
    client = httpx.Client(transport=transport)
    ended: deque[Any] = deque()

    def call() -> None:
        try:
            client.get(URL)
        except Exception as error:
            ended.append(error)

    with client.stream("GET", URL):
        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        line = None
        until = time.monotonic() + 30
        while (line is None or len(line) < 3) and time.monotonic() < until:
            line = open_store().lines.get("{provider}:permits:concurrency-1:-")
        client.close()
        for thread in threads:
            thread.join(30)

    assert [resilience.httpx.ClientClosed] * 3 == [type(error) for error in ended]
    assert all(isinstance(error, errors.ClientClosed) for error in ended)
    assert {} == states()


def test_the_state_is_described_for_people() -> None:
    """While calls are in flight."""
    gate = Gate("httpx")
    with httpx.Client(transport=gate.wrapped("httpx", limited(4))) as client, client.stream("GET", URL):
        (state,) = states().values()
        described = describe(state, time.monotonic())

    assert (1, 4, 4) == (described["in_flight"], described["most"], described["documented"])
    assert 300 < (described["lease_ends_in"] or 0) <= 330
