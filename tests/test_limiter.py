"""How fast calls are sent: in turn, within the bounds of their patience, and nothing is lost when one goes away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resilience import Policy
from resilience import _limiter as limiter_module
from resilience._categories import Category
from resilience._clock import Closing, RealClock
from resilience._limiter import limiter_layer, look_ahead
from resilience._modes import Mode
from resilience._options import CallOptions
from resilience._outcome import Exchange, Outcome, Verdict
from resilience._pays import bill_of, keys_of
from resilience._refusal import refused
from resilience._registry import Settings
from resilience._reservations import CHARGED, Place, Slot, Standing
from resilience._runtime import AsyncRuntime, SyncRuntime, run_now
from resilience._trail import Refused, Trail, Wait
from resilience._transactions import Command
from resilience.simulate import _LIBRARY, Answer, Request, Simulation, _Event, _Pause, _Runtime
from resilience.stores._memory import MemoryStore
from resilience.testing import VirtualClock
from tests.worlds import URL, policy

MODES = ["sync", "asyncio", "trio", "virtual"]
GOOD = Verdict(Category.SUCCESS, retryable=False)
BUSY = Verdict(Category.RATE_LIMITED, retryable=True)


def limited(*limits: dict[str, Any], **parts: Any) -> Policy:
    """A policy with these limits, which count all calls together."""
    return policy(limits=[{"per": "provider", **limit} for limit in limits], **parts)


def rate(text: str, **more: Any) -> dict[str, Any]:
    return {"name": "pace", "rate": text, **more}


def exchange_of(
    policy: Policy,
    *,
    store: Any,
    deadline: float | None = None,
    cost: Any = None,
    operation: str | None = None,
    modes: Mapping[Any, Mode] | None = None,
    closing: Closing | None = None,
    label: object = None,
) -> Exchange:
    """A call as the layers see it."""
    request = Request("GET", URL, {}, b"")
    request.extensions["label"] = label
    return Exchange(
        request,
        policy,
        operation,
        CallOptions(cost=cost),
        Trail(policy.provider, operation),
        closing or Closing(),
        store,
        Settings(modes=modes or {}),
        deadline=deadline,
    )


def label_of(exchange: Exchange) -> Any:
    """What a test calls a call."""
    return exchange.request.extensions["label"]


class Inner:
    """What stands within the limiter: keeps when each call came, and answers as it is told."""

    def __init__(self, runtime: Any, answers: Sequence[Callable[[Exchange], Outcome]] = ()) -> None:
        self.runtime = runtime
        self.answers = list(answers)
        self.went: list[tuple[float, Any]] = []

    async def __call__(self, exchange: Exchange) -> Outcome:
        self.went.append((self.runtime.clock.now(), label_of(exchange)))
        return self.answers.pop(0)(exchange) if self.answers else Outcome(GOOD, Answer(200))


@dataclass
class Call:
    """A call that runs in virtual time."""

    exchange: Exchange
    began: float = 0.0
    outcome: Outcome | None = None
    ended: float | None = None
    coroutine: Coroutine[Any, Any, None] | None = None
    cancelled: list[float] = field(default_factory=list[float])


class Cancelled(BaseException):
    """What an event loop throws into a call that it cancels."""


def never(request: Any, now: float) -> Answer:
    raise AssertionError


class Distant(_Runtime):
    """A runtime whose store takes its time to answer."""

    def __init__(self, clock: Any, away: float) -> None:
        super().__init__(clock, never)
        self.away = away

    async def decide(self, store: Any, command: Command, /) -> list[float]:
        await _Pause(self.clock.now() + self.away / 2)
        reply = await super().decide(store, command)
        await _Pause(self.clock.now() + self.away / 2)
        return reply


class Virtual:
    """Calls of one process in virtual time, that can be cancelled at any moment."""

    def __init__(
        self, policy: Policy, answers: Sequence[Callable[[Exchange], Outcome]] = (), *, away: float = 0.0
    ) -> None:
        self.simulation = Simulation([policy], lambda request, now: Answer(200))
        self.policy, self.store = policy, MemoryStore()
        self.runtime = Distant(self.simulation._clock, away) if away else _Runtime(self.simulation._clock, never)
        self.store.instant = not away
        self.inner = Inner(self.runtime, answers)
        self.layer = limiter_layer(self.inner, self.runtime)
        self.calls: list[Call] = []

    def call(self, at: float = 0.0, **options: Any) -> Call:
        call = Call(exchange_of(self.policy, store=self.store, label=len(self.calls), **options), began=at)
        self.calls.append(call)
        call.coroutine = self._made(call)
        self.simulation._plan(at, _Event(call.coroutine))
        return call

    def at(self, when: float, do: Callable[[], object]) -> None:
        async def done() -> None:
            do()

        self.simulation._plan(when, _Event(done()))

    def tell(self, when: float, name: str, key: str, *arguments: Any) -> None:
        self.at(when, lambda: self.store.run(Command(name, (key,), arguments), self.simulation.now))

    def cancel(self, when: float, call: Call, *, close: bool = False) -> None:
        """Cancel a call if it is still waiting then, as a loop does it, or by closing its coroutine."""

        def now() -> None:
            event = next((e for _, _, e in self.simulation._events if e.coroutine is call.coroutine), None)
            if event is None or call.coroutine is None or self.simulation.now < call.began:
                return
            event.coroutine = None
            call.cancelled.append(self.simulation.now)
            if close:
                call.coroutine.close()
                return
            with pytest.raises(Cancelled):
                call.coroutine.throw(Cancelled())

        self.at(when, now)

    def key(self, **options: Any) -> str:
        exchange = exchange_of(self.policy, store=self.store, **options)
        return keys_of(exchange, bill_of(exchange))[0]

    def spec(self) -> list[Any]:
        return bill_of(exchange_of(self.policy, store=self.store)).specs[0]

    def wait_now(self, cost: int = 1) -> float:
        """How long a call would wait that came now."""
        spec = [*self.spec()[:4], cost]
        return self.store.run(Command("bucket.look", (self.key(),), ([spec],)), self.simulation.now)[0]

    def run(self) -> list[float]:
        """When each call went, in the order of going."""
        self.simulation.run()
        return [at for at, _ in self.inner.went]

    async def _made(self, call: Call) -> None:
        call.outcome = await self.layer(call.exchange)
        call.ended = self.simulation.now


def one(mode: str, policy: Policy, *answers: Callable[[Exchange], Outcome], calls: int = 1, **options: Any) -> Any:
    """Make calls one after the other in a world; their outcomes, exchanges, and the inner layer."""
    if mode == "virtual":
        world = Virtual(policy, answers)
        made = []
        for _ in range(calls):
            made.append(world.call(at=world.simulation.now, **options))
            world.run()
        return [call.outcome for call in made], [call.exchange for call in made], world.inner
    clock: Any = VirtualClock()
    transport: Any = None
    runtime: Any = (SyncRuntime if mode == "sync" else AsyncRuntime)(_LIBRARY, transport, clock)
    inner, store = Inner(runtime, answers), MemoryStore()
    layer = limiter_layer(inner, runtime)
    exchanges = [exchange_of(policy, store=store, **options) for _ in range(calls)]

    async def all_of_them() -> list[Outcome]:
        return [await layer(exchange) for exchange in exchanges]

    run: Any = {"sync": run_now, "asyncio": asyncio.run}.get(mode)
    outcomes = trio.run(all_of_them) if run is None else run(all_of_them())
    return outcomes, exchanges, inner


# What every world does


@pytest.mark.parametrize("mode", MODES)
def test_a_call_without_limits_goes_at_once(mode: str) -> None:
    """And leaves nothing in the trail."""
    outcomes, exchanges, inner = one(mode, policy(), calls=3)

    assert [GOOD] * 3 == [outcome.verdict for outcome in outcomes]
    assert [0.0] * 3 == [at for at, _ in inner.went]
    assert [] == exchanges[2].trail.events


@pytest.mark.parametrize("mode", MODES)
def test_calls_go_at_the_rate_of_the_limit(mode: str) -> None:
    """The burst at once, then one for each interval; the wait is one event of the trail, with the limit that asked."""
    _, exchanges, inner = one(mode, limited(rate("2/second", burst=2)), calls=4)

    assert [0.0, 0.0, 0.5, 1.0] == [at for at, _ in inner.went]
    assert [] == exchanges[1].trail.events
    assert [Wait(0.5, "limiter", "limit", "limit pace (2/second)")] == exchanges[3].trail.events


@pytest.mark.parametrize("mode", MODES)
def test_a_wait_over_max_wait_is_refused_with_the_exact_time(mode: str) -> None:
    """The call is not sent, and pays nothing."""
    outcomes, exchanges, inner = one(mode, limited(rate("1/minute", burst=1, max_wait="59s")), calls=3)

    assert 1 == len(inner.went)
    for outcome, exchange in zip(outcomes[1:], exchanges[1:], strict=True):
        assert 60.0 == outcome.refusal.retry_after
        assert ("limiter", True) == (outcome.refusal.layer, outcome.refusal.key.startswith("{provider}:bucket:pace@"))
        assert "limit pace (1/minute) would let this call through in 60s, longer than its max_wait (59s)" == (
            outcome.refusal.reason
        )
        assert [Refused("limiter", "max_wait", outcome.refusal.reason, 60.0)] == exchange.trail.events


@pytest.mark.parametrize("mode", MODES)
def test_a_wait_past_the_deadline_is_refused(mode: str) -> None:
    """At once, not when the deadline comes."""
    outcomes, _, inner = one(mode, limited(rate("1/minute", burst=1)), calls=2, deadline=59.0)

    assert [(0.0, inner.went[0][1])] == inner.went
    assert 60.0 == outcomes[1].refusal.retry_after
    assert outcomes[1].refusal.reason.endswith("in 60s, which would pass the deadline")


@pytest.mark.parametrize("mode", MODES)
def test_a_wait_of_exactly_the_bound_is_waited(mode: str) -> None:
    """Neither max_wait nor a rounding turns a call away that fits."""
    outcomes, _, inner = one(mode, limited(rate("3/second", burst=1, max_wait="334ms")), calls=4, deadline=1.0)

    assert [None] * 4 == [outcome.refusal for outcome in outcomes]
    assert pytest.approx([0.0, 1 / 3, 2 / 3, 1.0]) == [at for at, _ in inner.went]


@pytest.mark.parametrize("mode", MODES)
def test_a_call_that_a_layer_within_refuses_pays_nothing(mode: str) -> None:
    """The next one goes at once."""

    def full(exchange: Exchange) -> Outcome:
        return refused(exchange, layer="concurrency", why="queue_full", reason="full", retry_after=None)

    outcomes, _, inner = one(mode, limited(rate("1/minute", burst=1)), full, calls=2)

    assert ["concurrency", None] == [outcome.refusal and outcome.refusal.layer for outcome in outcomes]
    assert [0.0, 0.0] == [at for at, _ in inner.went]


@pytest.mark.parametrize("mode", MODES)
def test_a_throttled_answer_pauses_everybody(mode: str) -> None:
    """Also where the policy has no limit: after the pause calls come back one after the other."""

    def busy(_: Exchange) -> Outcome:
        return Outcome(Verdict(Category.RATE_LIMITED, retryable=True, retry_after=20.0), Answer(429))

    _, exchanges, inner = one(mode, policy(), busy, calls=3)

    assert [0.0, 20.0, 20.05] == [at for at, _ in inner.went]
    assert [Wait(20.0, "limiter", "limit", "the pause that an answer asked for")] == exchanges[1].trail.events


@pytest.mark.parametrize("mode", MODES)
def test_a_layer_that_is_off_does_nothing(mode: str) -> None:
    """It neither delays nor listens."""
    answers = [lambda _: Outcome(BUSY, Answer(429))] * 3
    off = {"limiter": Mode.OFF}
    _, exchanges, inner = one(mode, limited(rate("1/minute", burst=1)), *answers, calls=3, modes=off)

    assert [0.0] * 3 == [at for at, _ in inner.went]
    assert [] == exchanges[2].trail.events


@pytest.mark.parametrize("mode", MODES)
def test_a_layer_that_observes_says_what_it_would_do(mode: str) -> None:
    """Nothing is delayed or refused, and what lies ahead is not charged: each call meets the same wait."""
    observe = {"limiter": Mode.OBSERVE}
    _, exchanges, inner = one(mode, limited(rate("1/minute", burst=1)), calls=3, modes=observe)
    refusing, strict, _ = one(mode, limited(rate("1/minute", burst=1, max_wait="1s")), calls=2, modes=observe)

    assert [0.0] * 3 == [at for at, _ in inner.went]
    assert [] == exchanges[0].trail.events
    assert [Wait(60.0, "limiter", "limit", "limit pace (1/minute)", observed=True)] == exchanges[1].trail.events
    assert exchanges[1].trail.events == exchanges[2].trail.events
    assert [None, None] == [outcome.refusal for outcome in refusing]
    assert [(60.0, True)] == [(event.retry_after, event.observed) for event in strict[1].trail.refusals]


@pytest.mark.parametrize("mode", MODES)
def test_all_limits_of_a_call_are_kept(mode: str) -> None:
    """Waits for several of them are one wait in the trail."""
    both = limited({"name": "quick", "rate": "2/second", "burst": 1}, {"name": "slow", "rate": "3/minute", "burst": 3})
    _, exchanges, inner = one(mode, both, calls=5)

    assert [0.0, 0.5, 1.0, 20.0, 40.0] == pytest.approx([at for at, _ in inner.went])
    assert 1 == len(exchanges[3].trail.events)


@pytest.mark.parametrize("mode", ["sync", "asyncio", "trio"])
def test_closing_the_client_ends_a_wait(mode: str) -> None:
    """The call ends with the library's error, and its slot is free again."""
    closing = Closing()
    closing.set()
    outcomes, exchanges, inner = one(mode, limited(rate("1/minute", burst=1)), calls=3, closing=closing)

    assert 1 == len(inner.went)
    assert [None, "ClientClosed", "ClientClosed"] == [o.error and type(o.error).__name__ for o in outcomes]
    assert "the client was closed while this call waited for its turn" == exchanges[1].trail.stopped
    # The third would have waited two minutes if the second had kept its slot, and would have been refused.
    assert [0.0] == [event.seconds for event in exchanges[2].trail.events]


# In line


def test_calls_go_in_the_order_in_which_they_came() -> None:
    """At the rate, and each is told its own wait."""
    world = Virtual(limited(rate("10/second", burst=1)))
    calls = [world.call(at=0.001 * number) for number in range(50)]
    world.run()

    assert list(range(50)) == [label for _, label in world.inner.went]
    assert pytest.approx([0.1 * number for number in range(50)]) == [at for at, _ in world.inner.went]
    assert pytest.approx(4.851) == calls[49].exchange.trail.waits[0].seconds


def test_who_leaves_lets_the_others_move_up() -> None:
    """The slots are the line's: the last one is given back, whoever goes, and is not lost."""
    world = Virtual(limited(rate("1/second", burst=1)))
    calls = [world.call() for _ in range(5)]
    world.cancel(0.5, calls[1])
    world.cancel(0.6, calls[1])
    world.cancel(1.5, calls[3], close=True)
    world.call(at=2.5)
    went = world.run()

    assert [(0.0, 0), (1.0, 2), (2.0, 4), (3.0, 5)] == world.inner.went
    assert [0.0, 1.0, 2.0, 3.0] == went
    assert pytest.approx(0.5) == calls[1].exchange.trail.waits[0].seconds


def test_a_line_that_is_full_turns_calls_away() -> None:
    """They reserve nothing."""
    world = Virtual(limited(rate("1/second", burst=1, queue=2)))
    calls = [world.call() for _ in range(4)]
    later = world.call(at=1.5)
    world.run()

    refusal = calls[3].outcome.refusal if calls[3].outcome else None
    assert refusal is not None
    assert ("2 calls are waiting already: limit pace (1/second)", 3.0) == (refusal.reason, refusal.retry_after)
    assert [(0.0, 0), (1.0, 1), (2.0, 2), (3.0, 4)] == world.inner.went
    assert 3.0 == later.ended


def test_a_pause_moves_everybody_who_waits() -> None:
    """They come back after it, in their order and at the rate: no stampede."""
    world = Virtual(limited(rate("1/second", burst=1)))
    calls = [world.call() for _ in range(4)]
    world.tell(1.5, "bucket.pause", world.key(), 10.0, world.spec())
    world.run()

    assert [(0.0, 0), (1.0, 1), (12.0, 2), (13.0, 3)] == world.inner.went
    assert 13.0 == calls[3].exchange.trail.waits[0].seconds


def test_a_pause_while_calls_wait_turns_those_away_that_cannot_wait_so_long() -> None:
    """At once when it is known, each with the time at which it would be let through; the others move up."""
    world = Virtual(limited(rate("1/second", burst=1, max_wait="5s")))
    calls = [world.call() for _ in range(3)]
    patient = world.call(at=0.5, deadline=4.0)
    world.tell(0.7, "bucket.pause", world.key(), 2.0, world.spec())
    world.tell(3.2, "bucket.pause", world.key(), 20.0, world.spec())
    world.run()

    assert [(0.0, 0), (3.0, 1)] == world.inner.went
    refusal = calls[2].outcome.refusal if calls[2].outcome else None
    assert refusal is not None
    assert 4.0 == calls[2].ended == patient.ended
    assert refusal.reason.startswith("limit pace (1/second) would let this call through in ")
    assert 0.0 == world.wait_now() or world.wait_now() <= 24.0


def test_a_deadline_that_passes_in_the_line_ends_the_wait() -> None:
    """A pause has moved all slots: the call is refused when its time is up, and told when it would have gone."""
    world = Virtual(limited(rate("1/second", burst=1)))
    world.call()
    world.call()
    call = world.call(deadline=2.5)
    world.tell(0.5, "bucket.pause", world.key(), 10.0, world.spec())
    later = world.call(at=3.0)
    world.run()

    assert [(0.0, 0), (11.0, 1), (12.0, 3)] == world.inner.went
    assert 2.5 == call.ended
    assert call.outcome is not None
    assert call.outcome.refusal is not None
    assert 9.5 == call.outcome.refusal.retry_after
    assert "limit pace (1/second) would let this call through in 9.5s, which would pass the deadline" == (
        call.outcome.refusal.reason
    )
    assert 9.0 == later.exchange.trail.waits[0].seconds


def test_a_slot_that_becomes_earlier_is_taken() -> None:
    """A process that shares the store gave one back: the first of the line goes then, not the one that found it."""
    world = Virtual(limited(rate("1/second", burst=1)))
    for _ in range(2):
        world.store.run(Command("bucket.reserve", (world.key(),), (60.0, [world.spec()])), 0.0)
    world.call(at=0.1)
    world.tell(0.2, "bucket.give_back", world.key(), world.spec(), 1.0, 0.0)
    world.call(at=0.3)
    world.run()

    assert [(1.0, 0), (2.0, 1)] == world.inner.went


def test_nobody_overtakes_where_a_window_is_free_again_for_all() -> None:
    """Who comes in the moment in which the waiting calls are let through stands behind them."""
    world = Virtual(limited(rate("3/second", algorithm="fixed_window"), rate("9/second", burst=9) | {"name": "other"}))
    for _ in range(5):
        world.call()
    late = world.call(at=1.0)
    patient = world.call(at=1.0)
    world.run()

    assert [0, 1, 2, 3, 4, 5, 6] == [label for _, label in world.inner.went]
    assert [0.0] * 3 + [1.0] * 3 + [2.0] == [at for at, _ in world.inner.went]
    assert [0.0, 1.0] == [call.exchange.trail.waits[0].seconds for call in (late, patient)]


def test_who_goes_while_others_are_let_through_gives_back_what_was_paid() -> None:
    """It found a free place, stood behind those who wait for it, and was cancelled there: all limits have one place more."""
    world = Virtual(limited(rate("3/second", algorithm="fixed_window"), rate("1/hour", burst=7) | {"name": "other"}))
    for _ in range(5):
        world.call()
    late = world.call(at=1.0)

    def go_away() -> None:
        assert late.coroutine is not None
        event = next(e for _, _, e in world.simulation._events if e.coroutine is late.coroutine)
        event.coroutine = None
        late.coroutine.close()

    world.at(1.0, go_away)
    world.call(at=1.5)
    world.call(at=1.5)
    world.run()

    assert [0, 1, 2, 3, 4, 6, 7] == [label for _, label in world.inner.went]
    assert [0.0] * 3 + [1.0] * 2 + [1.5, 2.0] == [at for at, _ in world.inner.went]


def test_other_costs_stand_in_other_lines() -> None:
    """Each pays what it costs, and the sum is within the rate."""
    world = Virtual(limited(rate("10/second", burst=10)))
    world.call(cost=10)
    world.call(cost=5)
    world.call(cost=1)
    went = world.run()

    assert pytest.approx([0.0, 0.5, 0.6]) == went


def test_a_slow_limit_does_not_block_those_who_do_not_pay_it() -> None:
    """Only what the call waits for is reserved."""
    world = Virtual(
        policy(
            operations={"slow": {"method": "GET", "path": "/slow"}, "fast": {"method": "GET", "path": "/fast"}},
            limits=[
                {"name": "all", "rate": "10/second", "burst": 1, "per": "provider"},
                {"name": "few", "rate": "1/second", "burst": 1, "per": "provider", "operations": ["slow"]},
            ],
        )
    )
    for _ in range(3):
        world.call(operation="slow")
    for _ in range(8):
        world.call(operation="fast")
    world.run()

    fast = [at for at, label in world.inner.went if label in range(3, 11)]
    assert pytest.approx([0.1 * number for number in range(1, 9)]) == fast
    assert pytest.approx([0.0, 1.0, 2.0]) == [at for at, label in world.inner.went if label in range(3)]


def test_what_is_paid_is_given_back_when_the_rest_is_refused() -> None:
    """A call that got the slot of one limit, and would wait too long for the other, leaves no trace."""
    world = Virtual(
        limited(
            {"name": "a", "rate": "1/second", "burst": 1},
            {"name": "b", "rate": "1/minute", "burst": 1, "max_wait": "5s"},
        )
    )
    exchange = exchange_of(world.policy, store=world.store)
    first, second = keys_of(exchange, bill_of(exchange))
    specs = bill_of(exchange).specs
    world.store.run(Command("bucket.reserve", (first,), (0.0, specs[:1])), 0.0)
    call = world.call(at=0.5)
    world.tell(0.7, "bucket.pause", second, 30.0, specs[1])
    world.run()

    assert [] == world.inner.went
    assert call.outcome is not None
    assert call.outcome.refusal is not None
    assert ("limiter", second) == (call.outcome.refusal.layer, call.outcome.refusal.key)
    assert pytest.approx(29.7) == call.outcome.refusal.retry_after
    assert [Wait(0.5, "limiter", "limit", "limit a (1/second)")] == call.exchange.trail.events[:1]
    assert [0] == world.store.run(Command("bucket.look", (first,), (specs[:1],)), 1.0)


def test_a_call_may_wait_for_one_limit_after_the_other() -> None:
    """It is one wait, and the order is the same in all of them."""
    world = Virtual(
        limited({"name": "a", "rate": "2/second", "burst": 2}, {"name": "b", "rate": "1/second", "burst": 1})
    )
    exchange = exchange_of(world.policy, store=world.store)
    first, second = keys_of(exchange, bill_of(exchange))
    for _ in range(2):
        world.store.run(Command("bucket.reserve", (first,), (0.0, bill_of(exchange).specs[:1])), 0.0)
    calls = [world.call(at=0.1) for _ in range(4)]
    world.tell(0.3, "bucket.pause", second, 1.0, bill_of(exchange).specs[1])
    world.run()

    assert [(1.3, 0), (2.3, 1), (3.3, 2), (4.3, 3)] == [(round(at, 6), label) for at, label in world.inner.went]
    assert [1, 1, 1, 1] == [len(call.exchange.trail.events) for call in calls]
    wait = calls[0].exchange.trail.waits[0]
    assert "limit a (2/second)" == wait.source
    assert pytest.approx(1.2) == wait.seconds


@pytest.mark.parametrize("limits", [1, 2])
def test_a_store_that_is_far_away_does_not_slow_the_rate(limits: int) -> None:
    """The way there and back is longer than ten intervals; the order stays the same."""
    both = [rate("100/second", burst=1), {"name": "more", "rate": "100000/minute", "burst": 1000}]
    world = Virtual(limited(*both[:limits]), away=0.1)
    for _ in range(200):
        world.call()
    went = world.run()

    assert list(range(200)) == [label for _, label in world.inner.went]
    assert went[-1] - went[0] <= 1.99 + 0.1 * (limits + 1)


def test_nobody_is_too_late_because_the_call_before_asks_a_far_store() -> None:
    """All have the same slot, and the first of them is on its way; what was granted is kept to."""
    world = Virtual(limited(rate("3/second", algorithm="fixed_window", max_wait="1s")), away=0.1)
    for _ in range(6):
        world.call()
    went = world.run()

    assert list(range(6)) == [label for _, label in world.inner.went]
    assert pytest.approx([0.1, 0.1, 0.1, 1.2, 1.2, 1.2]) == went


def test_a_pause_that_a_far_store_knows_of_is_kept_soon() -> None:
    """Within a twentieth of a second and the way there and back."""
    world = Virtual(limited(rate("100/second", burst=1)), away=0.01)
    for _ in range(100):
        world.call()
    world.tell(0.3, "bucket.pause", world.key(), 5.0, world.spec())
    went = world.run()

    assert list(range(100)) == [label for _, label in world.inner.went]
    assert [] == [at for at in went if 0.38 < at < 5.3]
    assert pytest.approx(5.3 + 0.7, abs=0.1) == went[-1]


def test_a_store_at_hand_is_asked_for_pauses_each_time() -> None:
    """A pause is kept from one call to the next."""
    world = Virtual(limited(rate("100/second", burst=1)))
    for _ in range(10):
        world.call()
    world.tell(0.035, "bucket.pause", world.key(), 5.0, world.spec())
    went = world.run()

    assert pytest.approx([0.0, 0.01, 0.02, 0.03, 5.04]) == went[:5]


def stall(world: Virtual, at: float, seconds: float) -> None:
    """Have the event loop do something else from a time on: whatever is due meanwhile comes when it is over."""
    clock: Any = world.runtime.clock
    world.at(at, lambda: setattr(clock, "time", clock.time + seconds))


def test_a_loop_that_was_busy_does_not_make_good_for_it() -> None:
    """What is due by then is not let through at once, which the provider would see as more than its rate."""
    world = Virtual(limited(rate("100/second", burst=1)))
    for _ in range(300):
        world.call()
    stall(world, 0.095, 0.4)
    went = world.run()

    assert list(range(300)) == [label for _, label in world.inner.went]
    assert pytest.approx([0.49, 0.5, 0.51, 0.52], abs=0.006) == went[10:14]
    assert max(sum(begin <= at < begin + 1 - 1e-9 for at in went) for begin in went) <= 101
    assert pytest.approx(2.99 + 0.39, abs=0.011) == went[-1]


def test_what_a_busy_loop_missed_makes_nobody_give_up() -> None:
    """A call that was granted its turn within `max_wait` waits as much longer as turns before its own were lost."""
    world = Virtual(limited(rate("10/second", burst=1, max_wait="3s")))
    for _ in range(31):
        world.call()
    stall(world, 1.05, 1.0)
    went = world.run()

    assert list(range(31)) == [label for _, label in world.inner.went]
    assert pytest.approx(3.9, abs=0.11) == went[-1]


def test_what_a_busy_loop_missed_moves_no_deadline() -> None:
    """Whose time is up goes, whatever was lost."""
    world = Virtual(limited(rate("10/second", burst=1, max_wait="3s")))
    for _ in range(31):
        world.call(deadline=3.05)
    stall(world, 1.05, 1.0)
    went = world.run()

    assert 31 > len(went)
    assert went[-1] <= 3.05 + 1e-9


@pytest.mark.parametrize(("pace", "away", "seconds"), [(100, 0.02, 0.1), (20, 0.06, 0.2), (50, 0.03, 0.4)])
def test_a_store_that_is_far_away_is_not_asked_for_each_turn_that_was_missed(
    pace: int, away: float, seconds: float
) -> None:
    """While it answers more turns would come than it could give in their place, and the line would stand still."""
    world = Virtual(limited(rate(f"{pace}/second", burst=1, max_wait="3s")), away=away)
    for _ in range(40):
        world.call()
    stall(world, 0.3, seconds)
    went = world.run()

    assert 40 == len(went)
    assert went[-1] <= 40 / pace + seconds + 2 * away


def test_a_loop_that_is_always_late_keeps_its_slots() -> None:
    """Each of them stands alone, since another process has those between: however late, it is one call."""
    world = Virtual(limited(rate("100/second", burst=1)))
    for _ in range(20):
        for _ in range(4):
            world.tell(0.0, "bucket.reserve", world.key(), 60.0, [world.spec()])
        world.call()
    for number in range(20):
        stall(world, number * 0.05 + 0.03, 0.049)
    went = world.run()

    assert pytest.approx([0.05 * number + 0.079 for number in range(20)]) == went


def test_a_slot_of_a_burst_may_be_as_late_as_the_burst_allows() -> None:
    """A bucket that holds ten fills while nobody goes, as the provider's does."""
    world = Virtual(limited(rate("100/second", burst=10)))
    for _ in range(100):
        world.call()
    stall(world, 0.1, 0.1)
    went = world.run()

    assert pytest.approx(0.9) == went[-1]


def test_a_window_that_is_free_is_used_to_its_end() -> None:
    """A call that comes late within it costs nobody else a place."""
    world = Virtual(limited(rate("10/second", algorithm="fixed_window")))
    for _ in range(20):
        world.call()
    stall(world, 0.5, 1.2)
    went = world.run()

    assert [0.0] * 10 + [1.7] * 10 == went


@settings(max_examples=200)
@given(
    amount=st.integers(1, 60),
    burst=st.integers(1, 5),
    calls=st.integers(1, 80),
    stalls=st.lists(st.tuples(st.floats(0, 3), st.floats(0.001, 1.0)), max_size=6),
)
# The third looks whether the second goes, in the moment in which neither of them could.
@example(amount=3, burst=1, calls=4, stalls=[(0.0, 1.0), (0.0, 1.0), (2.0, 1.0), (2.0, 1.0)])
# The last but three looks while the one that was just woken has not come to it yet.
@example(amount=6, burst=3, calls=15, stalls=[(0.0, 1.0), (0.0, 1.0), (2.0, 1.0), (3.0, 0.75)])
def test_however_busy_the_loop_was_no_window_holds_more_than_a_burst_over(
    amount: int, burst: int, calls: int, stalls: list[tuple[float, float]]
) -> None:
    """That is what a bucket gains while nobody goes; all calls go, in their order."""
    world = Virtual(limited(rate(f"{amount}/second", burst=burst, max_wait="1h")))
    for _ in range(calls):
        world.call()
    for at, seconds in stalls:
        stall(world, at, seconds)
    went = world.run()

    assert list(range(calls)) == [label for _, label in world.inner.went]
    # So much later than due is on time: a hundredth of a second.
    holds = burst + max(burst, amount * 0.01)
    for first, begin in enumerate(went):
        for last in range(first, len(went)):
            assert last - first + 1 <= amount * (went[last] - begin) + holds + 1e-3


def test_who_waits_is_woken_for_its_own_turn_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long that takes: once to be the first, and once when its slot is due."""
    world = Virtual(limited(rate("1/second", burst=1, max_wait="1h")))
    slept: list[float] = []
    real_sleep = world.runtime.sleep

    async def sleep(seconds: float, closing: Closing, waker: Any = None, /) -> bool:
        slept.append(seconds)
        return await real_sleep(seconds, closing, waker)

    monkeypatch.setattr(world.runtime, "sleep", sleep)
    for _ in range(61):
        world.call()
    went = world.run()

    assert [float(number) for number in range(61)] == went
    assert len(slept) <= 2 * 60


@pytest.mark.parametrize("pace", [1, 100])
def test_nobody_loses_more_than_a_moment_behind_a_call_whose_loop_has_stopped(pace: int) -> None:
    """Each goes when the slot that it brought is overdue by a second, though the first never does."""
    world = Virtual(limited(rate(f"{pace}/second", burst=1, max_wait="1h")))
    world.call()
    stopped = world.call()
    for _ in range(20):
        world.call()

    def stop() -> None:
        event = next(e for _, _, e in world.simulation._events if e.coroutine is stopped.coroutine)
        event.coroutine = None

    world.at(0.005, stop)
    world.run()

    assert [0, *range(2, 22)] == [label for _, label in world.inner.went]
    assert pytest.approx([label / pace + 1.0 for label in range(2, 22)]) == [at for at, _ in world.inner.went][1:]


@pytest.mark.parametrize(("shift", "told", "questions"), [(0.0, 0.0, 0), (0.0, 3.0, 1), (CHARGED, 3.0, 0)])
def test_what_a_far_store_said_of_other_slots_says_nothing_of_older_ones(
    shift: float, told: float, questions: int
) -> None:
    """A slot that was reserved before a pause, and came to the line after it was known, is asked for; a paid one never."""
    world = Virtual(limited(rate("1/second", burst=1)), away=0.1)
    world.store.run(Command("bucket.pause", (world.key(),), (3.0, world.spec())), 0.0)
    asked: list[str] = []

    async def decide(_: Any, command: Command) -> list[float]:
        asked.append(command.name)
        return [0.0, 3.0]

    world.runtime.decide = decide  # type: ignore[method-assign]
    place = Place.enter(world.store, world.runtime, world.key(), world.spec(), Slot(0.0, 0.0, shift), most=1)
    assert place is not None
    place._slots.asked = (0.0, told)

    assert Standing.SERVED is run_now(place.stand(Closing(), 1.0))
    assert ["bucket.confirm"] * questions == asked


@pytest.mark.parametrize("close", [True, False])
def test_a_call_that_is_cancelled_while_it_asks_for_pauses_gives_its_slot_back(close: bool) -> None:
    """The next one takes it at once."""
    world = Virtual(limited(rate("1/second", burst=1)), away=0.1)
    calls = [world.call() for _ in range(4)]
    # The slot is due at 1.1 for this process, and the answer of the store is on its way until 1.2.
    world.cancel(1.15, calls[1], close=close)
    world.run()

    assert [0, 2, 3] == [label for _, label in world.inner.went]
    assert pytest.approx([0.1, 1.25, 2.2]) == [at for at, _ in world.inner.went]
    assert 1.0 == pytest.approx(world.wait_now() + world.simulation.now - 2.05)


@pytest.mark.parametrize("again", [True, False])
def test_after_a_long_wait_the_breaker_is_asked_again(again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that it holds back pays nothing."""
    asked: list[float] = []

    async def ask_again(exchange: Exchange, runtime: Any) -> Outcome | None:
        asked.append(runtime.clock.now())
        return refused(exchange, layer="breaker", why="open", reason="open", retry_after=3.0) if again else None

    monkeypatch.setattr(limiter_module, "ask_again", ask_again)
    world = Virtual(limited(rate("1/second", burst=1)))
    calls = [world.call(), world.call(), world.call()]
    world.run()

    # One second is no long wait.
    assert [2.0] == asked
    assert [0, 1] + [2] * (not again) == [label for _, label in world.inner.went]
    assert again == (calls[2].outcome is not None and calls[2].outcome.refusal is not None)
    assert (0.0 if again else 1.0) == world.wait_now()


def test_looking_ahead_says_how_long_the_next_attempt_would_wait() -> None:
    """And changes nothing; a layer that does not act has nothing to say."""
    world = Virtual(limited(rate("1/minute", burst=1)))
    exchange = exchange_of(world.policy, store=world.store)
    observing = exchange_of(world.policy, store=world.store, modes={"limiter": Mode.OBSERVE})

    assert 0.0 == run_now(look_ahead(exchange, world.runtime))
    world.call()
    world.run()
    assert [60.0, 60.0] == [run_now(look_ahead(exchange, world.runtime)) for _ in range(2)]
    assert 0.0 == run_now(look_ahead(observing, world.runtime))


def test_looking_ahead_without_a_limit_asks_a_store_only_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else holds such calls up."""
    world, decided = Virtual(limited()), list[str]()
    exchange = exchange_of(world.policy, store=world.store)
    monkeypatch.setattr(world.runtime, "decide", _noting(decided, world.runtime.decide))

    before = run_now(look_ahead(exchange, world.runtime))
    unasked = list(decided)
    world.store.run(Command("bucket.pause", (world.key(),), (3.0, world.spec())), 0.0)
    after = run_now(look_ahead(exchange, world.runtime))

    assert (0.0, 3.0) == (before, after)
    assert ([], ["bucket.look"]) == (unasked, decided)


def _noting(names: list[str], decide: Callable[..., Any]) -> Callable[..., Any]:
    def noted(store: Any, command: Command) -> Any:
        names.append(command.name)
        return decide(store, command)

    return noted


# Whatever happens

ALGORITHMS = ["token_bucket", "fixed_window", "moving_window"]


@settings(max_examples=300)
@given(
    algorithm=st.sampled_from(ALGORITHMS),
    amount=st.integers(1, 5),
    burst=st.integers(1, 5),
    arrivals=st.lists(st.floats(0, 8, allow_nan=False).map(lambda at: round(at, 2)), min_size=1, max_size=25),
    cancels=st.lists(
        st.tuples(st.integers(0, 24), st.floats(0, 10).map(lambda at: round(at, 2)), st.booleans()), max_size=20
    ),
)
def test_in_any_order_of_coming_and_going_the_law_and_the_order_hold(
    algorithm: str, amount: int, burst: int, arrivals: list[float], cancels: list[tuple[int, float, bool]]
) -> None:
    """Never more than the rate and the burst in any window, first come first served, and no slot is lost."""
    more: dict[str, Any] = {"burst": burst} if algorithm == "token_bucket" else {}
    world = Virtual(limited(rate(f"{amount}/second", algorithm=algorithm, **more)))
    calls = [world.call(at=at) for at in sorted(arrivals)]
    for number, at, close in cancels:
        if number < len(calls):
            world.cancel(at, calls[number], close=close)
    went = world.run()

    holds = burst if algorithm == "token_bucket" else amount
    for first, begin in enumerate(went):
        for last in range(first, len(went)):
            span, sent = went[last] - begin, last - first + 1
            if algorithm == "token_bucket":
                assert sent <= amount * span + holds + 1e-3
            elif algorithm == "moving_window" and span < 1 - 1e-4:
                assert sent <= amount
    served = [label for _, label in world.inner.went]
    assert sorted(served) == served
    assert {number for number, call in enumerate(calls) if not call.cancelled} == set(served)
    assert all(call.ended is not None for call in calls if not call.cancelled)
    # Nobody who stayed waits longer than if those who went had never come.
    if not cancels:
        return
    assert None is world.store.lines.get(f"{world.key()}#1")


@settings(max_examples=200)
@given(
    arrivals=st.lists(st.floats(0, 5).map(lambda at: round(at, 2)), min_size=2, max_size=15),
    cancels=st.lists(
        st.tuples(st.integers(0, 14), st.floats(0, 6).map(lambda at: round(at, 2))), min_size=1, max_size=10
    ),
    pauses=st.lists(st.tuples(st.floats(0, 6), st.floats(0.1, 5)), max_size=3),
)
# Slots of one line that were told with three different shifts.
@example(arrivals=[0.0, 0.0, 0.0, 2.0], cancels=[(3, 3.0)], pauses=[(0.0, 2.0), (1.0, 2.0), (2.0, 2.0)])
def test_those_who_stay_never_wait_longer_because_others_went(
    arrivals: list[float], cancels: list[tuple[int, float]], pauses: list[tuple[float, float]]
) -> None:
    """A slot is given back, at whatever moment its call is cancelled, and nobody goes during a pause."""

    def history(cancels: list[tuple[int, float]]) -> tuple[Virtual, dict[Any, float]]:
        world = Virtual(limited(rate("2/second", burst=1)))
        calls = [world.call(at=at) for at in sorted(arrivals)]
        for at, seconds in pauses:
            world.tell(at, "bucket.pause", world.key(), seconds, world.spec())
        for number, at in cancels:
            if number < len(calls):
                world.cancel(at, calls[number])
        world.run()
        return world, {label: at for at, label in world.inner.went}

    _, all_stayed = history([])
    _, some_went = history(cancels)

    for label, at in some_went.items():
        assert at <= all_stayed[label] + 1e-4
    for begin, seconds in pauses:
        assert not any(begin + 1e-5 < at < begin + seconds - 1e-5 for at in some_went.values())
    times = sorted(some_went.values())
    assert all(later - earlier >= 0.5 - 1e-5 for earlier, later in pairwise(times))


# In the worlds that can be cancelled


def real(mode: str, policy: Policy) -> tuple[Any, Inner, Any]:
    transport: Any = None
    runtime: Any = (SyncRuntime if mode == "sync" else AsyncRuntime)(_LIBRARY, transport, RealClock())
    inner = Inner(runtime)
    return limiter_layer(inner, runtime), inner, MemoryStore()


def free_in(store: MemoryStore, policy: Policy) -> float:
    """How long a call would wait that came now."""
    exchange = exchange_of(policy, store=store)
    bill = bill_of(exchange)
    return store.run(Command("bucket.look", keys_of(exchange, bill), (bill.specs,)), RealClock.now())[0]


HOURLY = limited(rate("1/hour", burst=1, max_wait="10h"))


def test_a_task_that_is_cancelled_gives_its_slot_back() -> None:
    """Under asyncio: the first, the last and one in the middle, one of them twice."""

    async def go() -> None:
        layer, inner, store = real("asyncio", HOURLY)
        tasks = [asyncio.create_task(layer(exchange_of(HOURLY, store=store))) for _ in range(5)]
        key = keys_of(exchange_of(HOURLY, store=store), bill_of(exchange_of(HOURLY, store=store)))[0]
        for _ in range(20):
            await asyncio.sleep(0)
        assert 4 == len(store.lines.get(f"{key}#1") or ())

        for number in (1, 4, 2, 2, 3):
            tasks[number].cancel()
            tasks[number].cancel()
            await asyncio.gather(tasks[number], return_exceptions=True)

        assert [False, True, True, True, True] == [task.cancelled() for task in tasks]
        assert 1 == len(inner.went)
        assert None is store.lines.get(f"{key}#1")
        assert 3500 < free_in(store, HOURLY) <= 3600

    asyncio.run(go())


def test_a_trio_scope_that_is_cancelled_gives_all_slots_back() -> None:
    """All at once, in whatever order trio unwinds them."""

    async def go() -> None:
        layer, inner, store = real("trio", HOURLY)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(layer, exchange_of(HOURLY, store=store))
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()

        assert 1 == len(inner.went)
        assert 3500 < free_in(store, HOURLY) <= 3600

    trio.run(go)


def test_threads_that_wait_end_when_their_client_is_closed() -> None:
    """And the slots of all of them are free again."""
    layer, inner, store = real("sync", HOURLY)
    closing, outcomes = Closing(), []
    waiting = threading.Barrier(9)

    def go() -> None:
        waiting.wait()
        outcomes.append(run_now(layer(exchange_of(HOURLY, store=store, closing=closing))))

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    waiting.wait()
    key = keys_of(exchange_of(HOURLY, store=store), bill_of(exchange_of(HOURLY, store=store)))[0]
    while len(store.lines.get(f"{key}#1") or ()) < 7:
        pass
    closing.set()
    for thread in threads:
        thread.join()

    assert 1 == len(inner.went)
    assert 7 == sum(outcome.error is not None for outcome in outcomes)
    assert 3500 < free_in(store, HOURLY) <= 3600
