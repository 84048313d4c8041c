"""How many calls of a provider may be sent again, all its calls together."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resilience import Category, Policy, Trail, Verdict
from resilience._clock import RealClock
from resilience._modes import Mode
from resilience._outcome import Exchange
from resilience._registry import Policies, Settings, Source
from resilience._retry_allowance import Purse, Quota, Ratio, allowance_of
from resilience._retry_budget import SLOTS, RetryBudget, describe, withdraw
from resilience._retry_policy import Retry
from resilience._trail import Refused
from resilience._transactions import Command, Reply
from resilience.httpx import Transport
from resilience.simulate import Answer, Call, NoAnswer, Simulation
from resilience.stores import open_store
from resilience.stores._memory import MemoryStore
from tests.strategies_budget import QUOTA, RATIO, commands_budget
from tests.worlds import URL, Step, World, policy

VECTORS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "vectors" / "retry-quota.yaml").read_text("utf-8"))
QUICK = {"backoff": {"initial": "10ms", "max": "10ms", "jitter": "none"}, "spread": 0}
SUCCESS = Verdict(Category.SUCCESS, retryable=False)
FAULT = Verdict(Category.SERVER_ERROR, retryable=True)


def budgeted(budget: dict[str, Any], **keys: Any) -> Policy:
    # No breaker: what the budget alone does is the question here.
    return policy(retry={**QUICK, "budget": budget, **keys}, breaker={"off": True})


def run(store: MemoryStore, verb: str, keys: tuple[str, ...], *arguments: Any, now: float = 0.0) -> Reply:
    return store.run(Command(f"budget.{verb}", keys, arguments), now)


def left_of(store: Any, capacity: int) -> float:
    """What the quota holds."""
    states = dict(store.scan("{provider}:budget"))
    assert len(states) <= 1
    return float(next(iter(states.values()))["left"]) if states else capacity


class Server:
    """Answers each simulated call from its own list."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.seen = 0

    def __call__(self, _request: Any, _now: float) -> Answer:
        answer = self.answers[min(self.seen, len(self.answers) - 1)]
        self.seen += 1
        if answer == "timeout":
            raise NoAnswer("read_timeout")
        return Answer(429 if answer == "throttle" else answer)


# The script of the vectors, in virtual time: one simulation is one process, and all of its calls share the quota.
@pytest.mark.parametrize("case", VECTORS["aws-retry-quota-v21"]["cases"], ids=str)
def test_a_quota_runs_down_and_fills_up_as_the_aws_sdks_do(case: dict[str, Any]) -> None:
    """Attempts and what is left, after each request."""
    server = Server()
    made = budgeted({"quota": case["capacity"]}, max_attempts=case["max_attempts"])
    simulation = Simulation([made], server)
    if "start" in case:
        key = (f"{{provider}}:budget:{RetryBudget(quota=case['capacity']).name}",)
        simulation.store.run(Command("budget.spend", key, (case["capacity"], case["capacity"] - case["start"])), 0)

    for answers, attempts, left in zip(case["requests"], case["attempts"], case["left"], strict=True):
        server.answers, server.seen = answers, 0
        simulation.call("GET", URL, at=simulation.now)
        simulation.run()

        assert (attempts, left) == (server.seen, left_of(simulation.store, case["capacity"]))


@pytest.mark.parametrize("budget", [{"quota": 0}, {"ratio": 0, "per_second": 0}], ids=str)
def test_an_empty_budget_hands_the_answer_back_at_once(world: World, budget: dict[str, Any]) -> None:
    """In every world: one attempt, no wait, the provider's own answer marked as final, and the trail says why."""
    story = world.call(budgeted(budget), [Step(503), Step(200)])

    assert (503, 1, []) == (story.status, story.requests, story.slept)
    assert "false" == story.headers.get("x-should-retry")
    assert story.trail.stopped.startswith("the retry budget is empty (")
    assert (Refused("retry_budget", "empty", story.trail.stopped, None),) == story.trail.refusals


def test_an_error_of_the_network_is_handed_back_too(world: World) -> None:
    """There is no answer to mark; the error is the transport's."""
    story = world.call(budgeted({"quota": 13}), [Step(error="connect_error")])

    assert (None, 1) == (story.status, story.requests)
    assert "the retry budget is empty (a quota of 13)" == story.trail.stopped


def test_a_throttle_costs_less_than_a_fault(world: World) -> None:
    """Ten units: two retries after throttles, and none after a fault."""
    throttled = world.call(budgeted({"quota": 10}, max_attempts=5), [Step(429)])
    failed = world.call(budgeted({"quota": 10}, max_attempts=5), [Step(500)])

    assert (3, 1) == (throttled.requests, failed.requests)


def test_a_provider_without_a_budget_is_sent_again(world: World) -> None:
    """`off` is off."""
    story = world.call(budgeted({"off": True}, max_attempts=20), [Step(503)])

    assert 20 == story.requests


def moded(made: Policy, mode: Mode) -> Policies:
    settings = Settings(modes={"retry_budget": mode})
    return Policies([Source(made.provider, made.match.hosts, lambda: made, settings)])


@pytest.mark.parametrize(("mode", "events"), [(Mode.OBSERVE, 1), (Mode.OFF, 0), (Mode.ENFORCE, 1)])
def test_a_mode_decides_what_an_empty_budget_does(mode: Mode, events: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Observed, it is written down and the call goes on; off, nobody asks."""
    made = budgeted({"quota": 0}, max_attempts=2)
    monkeypatch.setattr("resilience.simulate.policies_for", lambda *_: moded(made, mode))
    simulation = Simulation([made], lambda *_: Answer(503))

    call = simulation.call("GET", URL)
    simulation.run()

    assert call.trail is not None
    assert events == len(call.trail.refusals)
    assert all(refusal.observed is (mode is Mode.OBSERVE) for refusal in call.trail.refusals)
    assert (1 if mode is Mode.ENFORCE else 2) == len(call.trail.attempts)


def outage(calls: int, seconds: float, **budget: Any) -> tuple[list[float], list[Call]]:
    """Retries by their times, of calls that all fail, evenly over a time."""
    sent: list[float] = []
    simulation = Simulation(
        [budgeted(budget, max_attempts=2)], lambda _request, now: (sent.append(now), Answer(503))[1]
    )
    made = [simulation.call("GET", URL, at=index * seconds / calls) for index in range(calls)]
    simulation.run()
    firsts = {index * seconds / calls for index in range(calls)}
    return [time for time in sent if time not in firsts], made


@pytest.mark.parametrize(
    ("ratio", "per_second", "retries"), [(0.2, 0, 200), (0, 1, 100), (0.1, 0.5, 150), (1, 0, 1000), (0, 0, 0)]
)
def test_an_outage_is_not_amplified(ratio: float, per_second: float, retries: int) -> None:
    """A hundred seconds in which all of a thousand calls fail: the share of them, and the floor, and no more."""
    again, _ = outage(1000, 100.0, ratio=ratio, per_second=per_second)

    # A window may stand full at either end, and what was paid in the part that is leaving it is lost.
    assert 0.88 * retries <= len(again) <= retries + per_second * 10


@given(
    ratio=st.sampled_from([0.0, 0.1, 0.2, 0.5]),
    per_second=st.sampled_from([0, 1, 3]),
    times=st.lists(st.floats(0, 60), min_size=1, max_size=150).map(sorted),
)
def test_no_window_holds_more_retries_than_its_calls_pay_for(ratio: float, per_second: int, times: list[float]) -> None:
    """Whatever the order of calls: when a retry is granted, the last ten parts of the window pay for it and those before."""
    store, ledger = MemoryStore(), Ratio(RetryBudget(ratio=ratio, per_second=per_second), RATIO[0])
    calls: list[int] = []
    granted: list[int] = []
    for time in times:
        ledger.called(time)
        calls.append(int(time))
        if run(store, *_verb(ledger.withdrawal(FAULT, time)), now=time)[0]:
            granted.append(int(time))
            made = sum(1 for second in calls if second > int(time) - SLOTS)
            again = sum(1 for second in granted if second > int(time) - SLOTS)
            assert again <= 10 * per_second + ratio * made + 1e-6


def _verb(command: Command) -> tuple[Any, ...]:
    return (command.name.partition(".")[2], command.keys, *command.arguments)


@pytest.mark.parametrize("ratio", [0.05, 0.1, 0.15, 0.2, 0.29, 0.57, 0.7, 1, 3])
def test_a_share_of_calls_is_a_whole_number_of_retries(ratio: float) -> None:
    """No fraction is lost to rounding: a hundred calls of 0.29 pay for 29, though the product is a little less."""
    store = MemoryStore()

    granted = [run(store, "withdraw", RATIO, ratio, 0, 10.0, [100] if turn == 0 else [])[0] for turn in range(350)]

    assert round(100 * ratio) == sum(granted)


def test_a_call_pays_for_as_long_as_the_window() -> None:
    """Ten parts of it, whichever process or part it was counted in."""
    store = MemoryStore()

    assert 1.0 == run(store, "withdraw", RATIO, 1, 0, 10.0, [0, 0, 0, 1], now=3.5)[0]
    assert 0.0 == run(store, "withdraw", RATIO, 1, 0, 10.0, [], now=4.5)[0]
    assert 1.0 == run(store, "withdraw", RATIO, 1, 0, 10.0, [0] * 8 + [2], now=9.5)[0]
    # The call of second 0 and the retry of second 3 are gone at 13; of those of second 1 one is left to pay.
    assert [0.0, 0.0] == run(store, "withdraw", RATIO, 1, 0, 10.0, [], now=10.5)[:2]
    assert [0.0, -1.0] == run(store, "withdraw", RATIO, 1, 0, 10.0, [], now=13.5)[:2]
    assert [0.0, 0.0] == run(store, "withdraw", RATIO, 1, 0, 10.0, [], now=30.0)[:2]


def test_a_retry_that_was_not_sent_is_given_back_once() -> None:
    """To the part of the window that it was taken from; what has left the window is gone."""
    store = MemoryStore()
    taken = run(store, "withdraw", RATIO, 0, 0.1, 10.0, [], now=1.0)

    assert [1.0, 0.0, 1.0] == taken
    assert 0.0 == run(store, "withdraw", RATIO, 0, 0.1, 10.0, [], now=2.0)[0]
    assert [1.0] == run(store, "give_back", RATIO, 10.0, taken[2], now=3.0)
    assert [0.0] == run(store, "give_back", RATIO, 10.0, taken[2], now=3.0)
    assert 1.0 == run(store, "withdraw", RATIO, 0, 0.1, 10.0, [], now=4.0)[0]
    assert [0.0] == run(store, "give_back", RATIO, 10.0, 4.0, now=14.0)
    assert [0.0] == run(store, "give_back", RATIO, 10.0, 99.0, now=4.0)
    assert [0.0] == run(MemoryStore(), "give_back", RATIO, 10.0, 0.0)


@given(commands=st.lists(commands_budget(), max_size=40), steps=st.lists(st.floats(0, 20), min_size=40, max_size=40))
def test_no_command_breaks_a_budget(commands: list[Command], steps: list[float]) -> None:
    """Never more than its capacity, never less than nothing, whatever comes in whatever order."""
    store, now = MemoryStore(), 0.0

    for command, step in zip(commands, steps, strict=False):
        now += step
        reply = store.run(command, now)

        assert all(isinstance(number, int | float) for number in reply)
        if command.keys == QUOTA:
            left = reply[-1]
            # Two capacities share a key here, as they never do in a policy: the larger one bounds.
            assert 0 <= left <= 500
            assert command.name == "budget.restore" or reply[0] == 0 or left >= 0


@given(spends=st.lists(st.sampled_from([5, 14, -1, -5, -14]), max_size=80), capacity=st.integers(0, 60))
def test_a_quota_is_a_number_between_nothing_and_its_capacity(spends: list[int], capacity: int) -> None:
    """A retry that it cannot pay leaves it as it is; what is given back over the capacity is lost."""
    store, left = MemoryStore(), capacity

    for amount in spends:
        if amount < 0:
            left = min(capacity, left - amount)
            assert [left] == run(store, "restore", QUOTA, capacity, -amount)
        else:
            granted = left >= amount
            left -= amount if granted else 0
            assert [float(granted), left] == run(store, "spend", QUOTA, capacity, amount)


class Counting(MemoryStore):
    """Counts the decisions that it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.decisions: list[str] = []

    def run(self, command: Command, now: float, /) -> Reply:
        self.decisions.append(command.name)
        return super().run(command, now)


class _Runtime:
    """As much of one as a purse needs."""

    def __init__(self) -> None:
        self.time = 0.0
        self.clock: Any = self

    def now(self) -> float:
        return self.time

    async def decide(self, store: Any, command: Command) -> Reply:
        reply: Reply = store.run(command, self.time)
        return reply

    def tell(self, store: Any, command: Command) -> None:
        store.run(command, self.time)


def exchange_with(store: MemoryStore, **budget: Any) -> Exchange:
    made = budgeted(budget)
    return Exchange(None, made, None, None, Trail("provider"), None, store, Settings())  # type: ignore[arg-type]


def ask(purse: Purse, verdict: Verdict) -> str | None:
    try:
        purse.withdraw(verdict).send(None)
    except StopIteration as finished:
        found: str | None = finished.value
        return found
    raise AssertionError("it waited")


def test_a_call_that_succeeds_asks_no_store_for_anything() -> None:
    """Its process counts it, and the next retry takes the count along: one decision for all of them."""
    store, runtime = Counting(), _Runtime()

    for _ in range(100):
        Purse(exchange_with(store, ratio=0.02, per_second=0), runtime).pay(SUCCESS, 1)  # type: ignore[arg-type]
    retries = [ask(Purse(exchange_with(store, ratio=0.02, per_second=0), runtime), FAULT) for _ in range(3)]  # type: ignore[arg-type]

    assert [None, None] == retries[:2]
    assert "the retry budget is empty (2% of the calls of the last 10s and 0 a second)" == retries[2]
    assert ["budget.withdraw"] * 3 == store.decisions


def test_processes_share_a_budget_and_bring_their_own_calls() -> None:
    """What one has not taken along, another cannot spend: with several there are fewer retries, never more."""
    store = MemoryStore()
    one, other = (Ratio(RetryBudget(ratio=0.5, per_second=0), RATIO[0]) for _ in range(2))
    for _ in range(4):
        one.called(0.0)
    other.called(0.0)

    found = [run(store, *_verb(ledger.withdrawal(FAULT, 0.0)))[0] for ledger in (other, one, other, one, other, one)]

    assert [0.0, 1.0, 1.0, 0.0, 0.0, 0.0] == found


def test_calls_that_a_process_has_counted_expire_with_the_window() -> None:
    """Each is as old in the store as it is here."""
    ledger = Ratio(RetryBudget(ratio=1, per_second=0), RATIO[0])
    for time in (0.0, 0.5, 1.0, 9.0):
        ledger.called(time)

    assert [1, 0, 0, 0, 0, 0, 0, 0, 1, 2] == ledger.withdrawal(FAULT, 9.9).arguments[3]
    assert [0] * SLOTS == ledger.withdrawal(FAULT, 9.9).arguments[3]
    ledger.called(5.0)
    assert [1] + [0] * 9 == ledger.withdrawal(FAULT, 5.0).arguments[3]
    ledger.called(100.0)
    assert [0] * SLOTS == ledger.withdrawal(FAULT, 111.0).arguments[3]


def test_threads_count_their_calls_without_losing_one() -> None:
    """Thirty-two of them."""
    ledger = Ratio(RetryBudget(), RATIO[0])

    def count() -> None:
        for _ in range(500):
            ledger.called(1.0)

    threads = [threading.Thread(target=count) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 16_000 == ledger.withdrawal(FAULT, 1.0).arguments[3][0]


def test_a_full_quota_is_not_told_of_successes() -> None:
    """Until a retry has taken of it, or where nobody here knows yet how full it is."""
    store, runtime = Counting(), _Runtime()
    exchange = exchange_with(store, quota=3, fault=2)

    for _ in range(10):
        Purse(exchange, runtime).pay(SUCCESS, 1)  # type: ignore[arg-type]
    told = len(store.decisions)
    purse = Purse(exchange, runtime)  # type: ignore[arg-type]
    purse.pay(FAULT, 1)
    assert ask(purse, FAULT) is None
    purse.pay(SUCCESS, 2)
    for _ in range(10):
        Purse(exchange, runtime).pay(SUCCESS, 1)  # type: ignore[arg-type]

    assert 3 == told
    assert ["budget.spend", "budget.restore", "budget.restore"] == store.decisions[told:]
    assert 3 == left_of(store, 3)


@pytest.mark.parametrize("budget", [{"quota": 20}, {"ratio": 0, "per_second": 0.1}], ids=str)
def test_what_was_not_sent_again_costs_nothing(budget: dict[str, Any]) -> None:
    """A purse gives back what it took last, and only until an answer came of it."""
    store, runtime = MemoryStore(), _Runtime()
    purse = Purse(exchange_with(store, **budget), runtime)  # type: ignore[arg-type]
    purse.give_back()

    assert ask(purse, FAULT) is None
    assert ask(Purse(exchange_with(store, **budget), runtime), FAULT) is not None  # type: ignore[arg-type]
    purse.give_back()
    purse.give_back()
    assert ask(purse, FAULT) is None
    purse.pay(FAULT, 2)
    purse.give_back()
    assert ask(Purse(exchange_with(store, **budget), runtime), FAULT) is not None  # type: ignore[arg-type]


def test_a_retry_is_given_back_once() -> None:
    """A second time would invent units."""
    store, runtime = MemoryStore(), _Runtime()
    first, second = (Purse(exchange_with(store, quota=30), runtime) for _ in range(2))  # type: ignore[arg-type]
    assert ask(first, FAULT) is None
    assert ask(second, FAULT) is None

    first.give_back()
    first.give_back()

    assert 16 == left_of(store, 30)


class AtOnce(RealClock):
    """Chance leaves nothing of a wait."""

    random = staticmethod(lambda: 1 - 2.0**-53)


@pytest.mark.parametrize("limiter", [Mode.ENFORCE, Mode.OFF])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_retry_that_is_cancelled_in_a_line_is_given_back(backend: str, limiter: Mode) -> None:
    """Another call has the only place meanwhile, so that it was not sent again."""
    full = {"backoff": {"initial": "1s", "max": "1s", "jitter": "full"}, "budget": {"quota": 500}}
    made = policy(retry=full, limits=[{"name": "one", "concurrency": 1, "max_wait": "1h"}])
    source = Source(made.provider, made.match.hosts, lambda: made, Settings(modes={"limiter": limiter}))
    sent: list[str] = []

    async def main() -> None:
        events = {"/things": anyio.Event(), "/other": anyio.Event()}

        async def handler(request: Any) -> Any:
            sent.append(request.url.path)
            await events[request.url.path].wait()
            return httpx.Response(503 if request.url.path == "/things" else 200)

        transport = Transport(httpx.MockTransport(handler), policies=Policies([source]), clock=AtOnce())
        async with httpx.AsyncClient(transport=transport) as client, anyio.create_task_group() as group:
            scope = anyio.CancelScope()

            async def retried() -> None:
                with scope:
                    await client.get(URL)

            group.start_soon(retried)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(client.get, URL.replace("/things", "/other"))
            await anyio.wait_all_tasks_blocked()
            events["/things"].set()
            await anyio.wait_all_tasks_blocked()
            taken = left_of(open_store(), 500)
            scope.cancel()
            await anyio.wait_all_tasks_blocked()

            assert (["/things", "/other"], 486, 500) == (sent, taken, left_of(open_store(), 500))
            events["/other"].set()

    anyio.run(main, backend=backend)


def test_a_clock_that_is_set_back_moves_no_window() -> None:
    """What was counted stays where it is; stores see to it, and so does the budget."""
    states: dict[str, Any] = {}

    class Transaction:
        def __init__(self, now: float) -> None:
            self.now = now

        def load(self, key: str, /) -> Any:
            return states.get(key)

        def save(self, key: str, state: Any, _seconds: float, /) -> None:
            states[key] = state

    found = [
        withdraw(Transaction(now), RATIO, (0, 0.2, 10.0, []))[0]  # type: ignore[arg-type]
        for now in (50.0, 20.0, 59.0, 59.0, 60.0)
    ]

    assert [1.0, 1.0, 0.0, 0.0, 1.0] == found
    assert 60 == states[RATIO[0]]["slot"]


def test_a_budget_is_described_for_people() -> None:
    """What is left of a quota, or what a window holds."""
    store = MemoryStore()
    run(store, "withdraw", RATIO, 1, 0, 10.0, [2, 1])
    run(store, "spend", QUOTA, 30, 14)

    found = {key: describe(state, 0.0) for key, state in store.scan()}

    assert {RATIO[0]: {"calls": 3, "retries": 1}, QUOTA[0]: {"left": 16}} == found


def test_budgets_are_a_providers_and_of_one_size() -> None:
    """All its calls share a ledger; other numbers are another state."""
    store = MemoryStore()

    first, again, wider = (
        allowance_of(exchange_with(store, **budget)) for budget in ({}, {"ratio": 0.2}, {"ratio": 0.3})
    )

    assert first is again
    assert first is not wider
    assert allowance_of(exchange_with(MemoryStore())) is not first
    assert isinstance(allowance_of(exchange_with(store, quota=5)), Quota)
    assert allowance_of(exchange_with(store, off=True)) is None
    assert ["ratio-0.2-10-10.0", "quota-5-14-5"] == [RetryBudget().name, RetryBudget(quota=5).name]


def test_a_policy_that_says_otherwise_what_retries_cost_is_obeyed() -> None:
    """Also in a program that has obeyed another one before, as after a change of its file."""
    store, runtime = MemoryStore(), _Runtime()
    assert ask(Purse(exchange_with(store, quota=20), runtime), FAULT) is None  # type: ignore[arg-type]

    dearer = exchange_with(store, quota=20, fault=20)
    assert ask(Purse(dearer, runtime), FAULT) is None  # type: ignore[arg-type]

    assert [6, 0] == [state["left"] for _, state in store.scan()]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"quota": 5, "ratio": 0.1}, "'ratio' does not belong to a quota"),
        ({"fault": 3}, "'fault' does not belong to a ratio; name the 'quota' too"),
        ({"quota": -1}, "greater than or equal to 0"),
        ({"ratio": 11}, "less than or equal to 10"),
    ],
)
def test_numbers_that_do_not_go_together_are_refused(keys: dict[str, Any], message: str) -> None:
    """One form or the other."""
    with pytest.raises(ValidationError, match=message):
        RetryBudget.model_validate(keys)


def test_a_rule_has_no_budget_of_its_own() -> None:
    """It is shared by all calls, so only the policy has one."""
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Retry.model_validate({"budget": {}})


def test_a_throttle_is_what_the_provider_did_not_process() -> None:
    """By the table of categories: what pauses a rate or lowers the calls at a time."""
    ledger = Quota(RetryBudget(quota=100), QUOTA[0])
    costs = {category: ledger.withdrawal(Verdict(category, retryable=True), 0.0).arguments[1] for category in Category}

    assert {Category.RATE_LIMITED, Category.CONCURRENCY_LIMITED} == {
        category for category, cost in costs.items() if cost == 5
    }
    assert {5, 14} == set(costs.values())
