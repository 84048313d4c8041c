"""The breaker's decisions, without a client: when it opens, how it tries, when it closes, and what changes nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from resilience._breaker_machine import (
    ADMITTED,
    CLOSED,
    FAILURE,
    HALF_OPEN,
    ISOLATED,
    NAMES,
    OPEN,
    PROBE,
    REFUSED,
    SUCCESS,
    BreakerSettings,
    describe,
)
from resilience._breaker_state import TRANSITIONS
from resilience._transactions import Command, Reply
from resilience.stores._memory import MemoryStore
from tests.given_time_stores import StoreMaker
from tests.strategies_breaker import breaker_settings

VECTORS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "vectors" / "breaker.yaml").read_text("utf-8"))
KEY = "{provider}:breaker:a:host"
SETTINGS = BreakerSettings(
    consecutive_failures=3,
    failure_rate=0,
    window=10.0,
    min_calls=4,
    open_for=5.0,
    multiplier=2,
    max_open=15.0,
    longest_retry_after=600.0,
    jitter=0.5,
    probes=1,
    close_after=1,
    close_window=1,
)
BY_RATE = SETTINGS._replace(consecutive_failures=0, failure_rate=0.5)


class Breaker:
    """One breaker in a store of its own, and its time."""

    def __init__(self, now: float = 100.0, make_store: StoreMaker = MemoryStore, **settings: Any) -> None:
        self.settings = SETTINGS._replace(**settings)
        self.store = make_store()
        self.now = now

    def run(self, verb: str, *arguments: Any) -> Reply:
        return self.store.run(Command(f"breaker.{verb}", (KEY,), arguments), self.now)

    def admit(self, generation: float = 0, probe: float = 0, *, lease: float = 30.0) -> Reply:
        return self.run("admit", self.settings, lease, generation, probe)

    def record(self, admitted: Reply, result: int, retry_after: float = 0.0, chance: float = 0.0) -> Reply:
        return self.run("record", self.settings, admitted[2], admitted[3], result, retry_after, chance)

    def release(self, admitted: Reply) -> Reply:
        return self.run("release", admitted[2], admitted[3])

    def look(self) -> Reply:
        return self.run("look", self.settings)

    def force(self, state: int, seconds: float = 0.0) -> Reply:
        return self.run("force", state, seconds)

    def call(self, result: int, retry_after: float = 0.0, chance: float = 0.0) -> Reply:
        admitted = self.admit()
        assert admitted[0] != REFUSED
        return self.record(admitted, result, retry_after, chance)

    @property
    def state(self) -> str:
        return NAMES[int(self.look()[0])]

    def trip(self, retry_after: float = 0.0, chance: float = 0.0) -> Breaker:
        for _ in range(int(self.settings.consecutive_failures)):
            self.call(FAILURE, retry_after, chance)
        assert self.state == "open"
        return self


def test_failures_in_a_row_open_it() -> None:
    """The third of three opens it, and the store says from which state to which."""
    breaker = Breaker()

    replies = [breaker.call(FAILURE) for _ in range(3)]

    assert [[CLOSED, CLOSED], [CLOSED, CLOSED], [CLOSED, OPEN]] == [reply[3:] for reply in replies]
    assert [REFUSED, 5.0] == breaker.admit()[:2]


def test_a_success_ends_a_row_of_failures() -> None:
    """Two failures, a success, two failures: no three in a row."""
    breaker = Breaker()

    for result in (FAILURE, FAILURE, SUCCESS, FAILURE, FAILURE):
        breaker.call(result)

    assert "closed" == breaker.state


def test_the_failure_rate_needs_enough_calls_to_mean_anything() -> None:
    """Three failures of three calls are no rate yet; the fourth call makes it one."""
    breaker = Breaker(**BY_RATE._asdict())

    states = []
    for result in (FAILURE, SUCCESS, FAILURE, FAILURE):
        breaker.call(result)
        states.append(breaker.state)

    assert ["closed", "closed", "closed", "open"] == states


def test_a_success_never_opens_it() -> None:
    """The call that makes the window full enough opens it only if it failed itself."""
    breaker = Breaker(**BY_RATE._asdict())

    for result in (FAILURE, FAILURE, FAILURE, SUCCESS):
        breaker.call(result)

    assert "closed" == breaker.state


def test_a_rate_below_the_threshold_keeps_it_closed() -> None:
    """Half of the calls opens it, and a bit less does not."""
    breaker = Breaker(**BY_RATE._asdict())

    for result in (SUCCESS, SUCCESS, SUCCESS, FAILURE, FAILURE):
        breaker.call(result)
    below = breaker.state
    breaker.call(FAILURE)

    assert ("closed", "open") == (below, breaker.state)


def test_failures_leave_the_window() -> None:
    """What is older than the window no longer counts, in steps of a tenth of it."""
    breaker = Breaker(**BY_RATE._asdict())
    for _ in range(3):
        breaker.call(FAILURE)

    breaker.now += 10.0
    breaker.call(FAILURE)

    assert "closed" == breaker.state
    assert (1, 1) == tuple(described(breaker)[name] for name in ("calls", "failed"))


def test_failures_within_the_window_count_together() -> None:
    """Nine seconds later they are still in a window of ten."""
    breaker = Breaker(**BY_RATE._asdict())

    for _ in range(4):
        breaker.call(FAILURE)
        breaker.now += 2.9

    assert "open" == breaker.state


def described(breaker: Breaker) -> dict[str, Any]:
    return describe(dict(breaker.store.scan(KEY))[KEY], breaker.now)


def test_without_a_threshold_for_rows_only_the_rate_opens_it() -> None:
    """A hundred failures in a row open nothing where only the rate counts and there were too few calls."""
    breaker = Breaker(**BY_RATE._replace(min_calls=1000)._asdict())

    for _ in range(100):
        breaker.call(FAILURE)

    assert "closed" == breaker.state


@pytest.mark.parametrize("case", VECTORS["linkerd-success-rate"]["cases"], ids=str)
def test_it_opens_where_linkerd_opens(case: dict[str, Any]) -> None:
    """Linkerd's success rate below a threshold is our failure rate above the rest."""
    rate = max(1 - case["threshold"], 1e-9)
    settings = BY_RATE._replace(
        failure_rate=rate, min_calls=max(case["min"], 1), window=float(VECTORS["linkerd-success-rate"]["window"])
    )
    breaker = Breaker(**settings._asdict())

    for event in case["events"]:
        breaker.call(SUCCESS if event == "ok" else FAILURE)

    assert case["trips"] == (breaker.state == "open")


def test_the_time_left_is_exact() -> None:
    """A refusal says when to come again, and then the call is let through as a probe."""
    breaker = Breaker().trip()

    breaker.now += 3.25
    refused = breaker.admit()
    breaker.now += refused[1]
    admitted = breaker.admit()

    assert [REFUSED, 1.75] == refused[:2]
    assert [PROBE, 0.0, OPEN, HALF_OPEN] == [*admitted[:2], *admitted[4:6]]


def test_a_probe_that_succeeds_closes_it() -> None:
    """One of one is enough by default; then all calls go, and nothing is remembered."""
    breaker = Breaker().trip()
    breaker.now += 5.0

    reply = breaker.call(SUCCESS)

    assert [1, 0.0, HALF_OPEN, CLOSED] == [reply[0], reply[1], *reply[3:]]
    assert [ADMITTED, ADMITTED] == [breaker.admit()[0] for _ in range(2)]
    assert 0 == breaker.look()[3]


def test_it_stays_open_longer_each_time_up_to_a_bound() -> None:
    """5 s, 10 s, then the bound of 15 s and never more."""
    breaker = Breaker().trip()

    times = [breaker.look()[1]]
    for _ in range(3):
        breaker.now += breaker.look()[1]
        breaker.call(FAILURE)
        times.append(breaker.look()[1])

    assert [5.0, 10.0, 15.0, 15.0] == times


def test_the_open_time_begins_anew_after_it_closed() -> None:
    """The escalation is for outages that go on, not for the next one."""
    breaker = Breaker().trip()
    breaker.now += 5.0
    breaker.call(FAILURE)
    breaker.now += 10.0
    breaker.call(SUCCESS)

    breaker.trip()

    assert 5.0 == breaker.look()[1]


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(2.0, 5.0), (30.0, 30.0), (601.0, 600.0), (-1.0, 5.0), (float("inf"), 600.0), (float("nan"), 5.0)],
)
def test_the_word_of_the_answer_that_opened_it_counts_within_a_bound(retry_after: float, seconds: float) -> None:
    """A Retry-After makes it longer, never shorter, and never longer than the policy believes."""
    breaker = Breaker().trip(retry_after)

    assert seconds == breaker.look()[1]


def test_only_the_answer_that_opened_it_is_asked_for_its_retry_after() -> None:
    """What earlier failures asked for is over with them."""
    breaker = Breaker()
    breaker.call(FAILURE, retry_after=300.0)
    breaker.call(FAILURE, retry_after=300.0)

    breaker.call(FAILURE)

    assert 5.0 == breaker.look()[1]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1000))
def test_jitter_only_adds(jitter: float, chance: float, retry_after: float) -> None:
    """The provider is never asked earlier than it or the policy said, and later only by the share that is allowed."""
    breaker = Breaker(0.0, jitter=jitter).trip(retry_after, chance)

    least = max(5.0, min(retry_after, 600.0))

    assert least <= breaker.look()[1] <= least * (1 + jitter)
    assert least * (1 + jitter * chance) == breaker.look()[1]


def test_a_half_open_breaker_lets_just_its_probes_through() -> None:
    """Two of five; the others are told when to ask again at the latest."""
    breaker = Breaker(probes=2, close_after=2, close_window=2).trip()
    breaker.now += 5.0

    replies = [breaker.admit(lease=3.0) for _ in range(5)]

    assert [PROBE, PROBE, REFUSED, REFUSED, REFUSED] == [reply[0] for reply in replies]
    assert [3.0] * 3 == [reply[1] for reply in replies[2:]]
    assert [HALF_OPEN, 3.0] == breaker.look()[:2]


def test_nobody_is_told_to_stay_away_for_a_whole_lease() -> None:
    """A probe is mostly done at once; after the first open time it is worth to ask again."""
    breaker = Breaker().trip()
    breaker.now += 5.0
    breaker.admit(lease=600.0)

    assert [REFUSED, 5.0] == breaker.admit()[:2]
    assert 5.0 == breaker.look()[1]


def test_a_probe_of_which_nothing_was_learnt_gives_its_place_back() -> None:
    """Ignored and cancelled ones close nothing and open nothing, and the next call takes the place."""
    breaker = Breaker().trip()
    breaker.now += 5.0
    first = breaker.admit()

    released = breaker.release(first)

    assert ([1], "half_open") == (released, breaker.state)
    assert PROBE == breaker.admit()[0]


def test_a_probe_is_given_back_once() -> None:
    """The second time changes nothing: the place may be another's by then."""
    breaker = Breaker().trip()
    breaker.now += 5.0
    first = breaker.admit()
    breaker.release(first)
    second = breaker.admit()

    assert [0] == breaker.release(first)
    assert REFUSED == breaker.admit()[0]
    assert [1] == breaker.release(second)


def test_a_lease_that_expires_frees_the_place() -> None:
    """A process that died with its probe holds nobody up for longer; what it says later counts for nothing."""
    breaker = Breaker().trip()
    breaker.now += 5.0
    first = breaker.admit(lease=2.0)

    breaker.now += 2.0
    second = breaker.admit()
    late = breaker.record(first, SUCCESS)

    assert (PROBE, 0, "half_open") == (second[0], late[0], breaker.state)
    assert CLOSED == breaker.record(second, SUCCESS)[4]


def test_the_result_of_an_expired_probe_is_late_even_if_nobody_took_its_place() -> None:
    """It closes nothing, opens nothing and gives nothing back."""
    breaker = Breaker().trip()
    breaker.now += 5.0
    probe = breaker.admit(lease=2.0)
    breaker.now += 2.0

    assert [0, 0] == [breaker.record(probe, FAILURE)[0], breaker.release(probe)[0]]
    assert "half_open" == breaker.state


def test_a_lease_can_be_renewed_while_it_lasts() -> None:
    """The same place for the same call, for a whole lease from now."""
    breaker = Breaker().trip()
    breaker.now += 5.0
    probe = breaker.admit(lease=2.0)
    breaker.now += 1.5

    renewed = breaker.admit(probe[2], probe[3], lease=2.0)
    breaker.now += 1.5

    assert (PROBE, probe[2], probe[3]) == (renewed[0], renewed[2], renewed[3])
    assert 1 == breaker.record(renewed, SUCCESS)[0]


def test_what_was_lost_is_not_renewed() -> None:
    """A call whose lease has expired takes part in the next decision like any other."""
    breaker = Breaker().trip()
    breaker.now += 5.0
    probe = breaker.admit(lease=2.0)
    breaker.now += 2.0
    other = breaker.admit()

    assert REFUSED == breaker.admit(probe[2], probe[3])[0]
    assert PROBE == other[0]


def test_a_probe_of_an_earlier_trial_is_no_probe_of_this_one() -> None:
    """Both are the first of their trials; the earlier one neither gives back nor renews what the later one holds."""
    breaker = Breaker(probes=2).trip()
    breaker.now += 5.0
    early, failing = breaker.admit(), breaker.admit()
    breaker.record(failing, FAILURE)
    breaker.now += 10.0
    probe = breaker.admit(lease=1.0)
    assert (early[3], early[2] + 2) == (probe[3], probe[2])

    released = breaker.release(early)
    renewed = breaker.admit(early[2], early[3])

    assert (0, 2) == (released[0], renewed[3])
    breaker.now += 1.0
    assert 0 == breaker.record(probe, SUCCESS)[0]


def test_so_many_of_so_many_probes_close_it() -> None:
    """Two of three: a failure, then two successes."""
    breaker = Breaker(close_after=2, close_window=3).trip()
    breaker.now += 5.0

    states = []
    for result in (FAILURE, SUCCESS, SUCCESS):
        breaker.call(result)
        states.append(breaker.state)

    assert ["half_open", "half_open", "closed"] == states


def test_it_opens_again_as_soon_as_it_cannot_close_any_more() -> None:
    """Two of three are out of reach after two failures: the third probe is not sent."""
    breaker = Breaker(close_after=2, close_window=3).trip()
    breaker.now += 5.0

    states = []
    for result in (SUCCESS, FAILURE, FAILURE):
        breaker.call(result)
        states.append(breaker.state)

    assert ["half_open", "half_open", "open"] == states


@pytest.mark.parametrize("result", [SUCCESS, FAILURE])
def test_results_from_before_a_change_of_state_change_nothing(result: int) -> None:
    """What was sent while it was closed neither closes it, nor keeps it open for longer, nor counts after it closed."""
    breaker = Breaker()
    early = [breaker.admit() for _ in range(3)]
    breaker.trip()

    breaker.now += 4.0
    while_open = breaker.record(early[0], result)
    left = breaker.look()[1]
    breaker.now += 1.0
    probe = breaker.admit()
    while_half_open = breaker.record(early[1], result)
    breaker.record(probe, SUCCESS)
    after = breaker.record(early[2], result)

    assert [0, 0, 0] == [while_open[0], while_half_open[0], after[0]]
    assert (1.0, "closed", 0) == (left, breaker.state, breaker.look()[3])


def test_a_second_probe_of_the_same_trial_is_late_once_the_first_has_decided() -> None:
    """With two probes out, the failure of the first opens it, and the success of the second does not close it."""
    breaker = Breaker(probes=2).trip()
    breaker.now += 5.0
    first, second = breaker.admit(), breaker.admit()

    breaker.record(first, FAILURE)
    late = breaker.record(second, SUCCESS)

    assert (0, "open") == (late[0], breaker.state)


def test_isolated_by_hand_nothing_goes_until_a_hand_closes_it() -> None:
    """Nobody can know when; no time and no result changes it."""
    breaker = Breaker()
    early = breaker.admit()

    assert [CLOSED, ISOLATED] == breaker.force(ISOLATED)
    breaker.now += 300 * 86400.0

    assert [REFUSED, -1.0] == breaker.admit()[:2]
    assert [ISOLATED, -1.0] == breaker.look()[:2]
    assert 0 == breaker.record(early, SUCCESS)[0]
    assert [ISOLATED, CLOSED] == breaker.force(CLOSED)
    assert ADMITTED == breaker.admit()[0]


def test_closed_by_hand_it_forgets_its_failures() -> None:
    """Also a closed one: what was sent before does not count either."""
    breaker = Breaker()
    breaker.call(FAILURE)
    breaker.call(FAILURE)
    early = breaker.admit()

    breaker.force(CLOSED)
    breaker.record(early, FAILURE)
    breaker.call(FAILURE)

    assert ("closed", 1) == (breaker.state, breaker.look()[3])


def test_opened_by_hand_it_tries_after_the_time_given() -> None:
    """As if it had opened by itself."""
    breaker = Breaker()

    breaker.force(OPEN, 7.0)
    breaker.now += 6.0
    refused = breaker.admit()
    breaker.now += 1.0

    assert [REFUSED, 1.0] == refused[:2]
    assert PROBE == breaker.admit()[0]


def test_half_opened_by_hand_the_next_call_is_a_probe() -> None:
    """Whatever time was left."""
    breaker = Breaker().trip()

    assert [OPEN, HALF_OPEN] == breaker.force(HALF_OPEN)
    assert [PROBE, REFUSED] == [breaker.admit()[0] for _ in range(2)]


def test_a_breaker_that_nobody_calls_is_forgotten() -> None:
    """An hour after its last word it takes no memory any more."""
    breaker = Breaker().trip()

    breaker.now += 5.0 + 3600.0

    assert "closed" == breaker.state
    assert [] == list(breaker.store.scan(KEY))


def test_a_breaker_that_nobody_needs_takes_no_memory() -> None:
    """Asking alone keeps nothing."""
    breaker = Breaker()

    assert [ADMITTED, 0.0, 0, 0, CLOSED, CLOSED, 0.0] == breaker.admit()
    assert [] == list(breaker.store.scan(KEY))
    assert [0] == breaker.run("release", 0, 1)


def test_breakers_of_other_keys_are_others() -> None:
    """One host is down, the other is not."""
    breaker = Breaker().trip()

    other = breaker.store.run(Command("breaker.admit", (KEY + "2",), (SETTINGS, 30.0, 0, 0)), breaker.now)

    assert ADMITTED == other[0]


def test_the_description_says_what_people_ask() -> None:
    """State, since when, when it tries again, and what led to it; times in seconds."""
    breaker = Breaker(**SETTINGS._replace(failure_rate=0.5, min_calls=3)._asdict())
    breaker.call(SUCCESS)
    breaker.call(FAILURE)
    closed = described(breaker)
    breaker.call(FAILURE)
    breaker.now += 2.0
    opened = described(breaker)
    breaker.now += 3.0
    breaker.admit()
    tried = described(breaker)
    breaker.now += 100.0
    breaker.force(ISOLATED)

    assert closed == {
        "state": "closed", "seconds": 0.0, "retry_after": 0.0, "failures_in_a_row": 1, "calls": 2, "failed": 1, "probes": 0,
    }  # fmt: skip
    assert ("open", 2.0, 3.0, 3, 2) == tuple(
        opened[name] for name in ("state", "seconds", "retry_after", "calls", "failed")
    )
    assert ("half_open", 1) == (tried["state"], tried["probes"])
    assert ("isolated", None, 0, 0) == tuple(
        described(breaker)[name] for name in ("state", "retry_after", "calls", "probes")
    )


def test_thirty_two_threads_at_the_half_open_door_send_exactly_the_probes() -> None:
    """All ask at the same moment, again and again."""
    breaker = Breaker(probes=3, close_after=3, close_window=3).trip()
    breaker.now += 5.0
    start = threading.Barrier(32)
    decisions: list[float] = []

    def ask() -> None:
        start.wait()
        decisions.extend(breaker.admit()[0] for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (3, 0, 640) == (decisions.count(PROBE), decisions.count(ADMITTED), len(decisions))


WAYS = {(transition.old, transition.new) for transition in TRANSITIONS}
BY_ITSELF = {(transition.old, transition.new) for transition in TRANSITIONS if transition.when != "by hand"}


class BreakerMachine(RuleBasedStateMachine):
    """Calls that come, end, hang and are cancelled in any order, against a model of who may hold a probe."""

    def __init__(self, make_store: StoreMaker = MemoryStore) -> None:
        super().__init__()
        self.breaker = Breaker(make_store=make_store)
        self.out: list[tuple[Reply, float]] = []
        """Who was let through, and until when its lease lasts if it is a probe."""
        self.last = CLOSED

    @precondition(lambda self: not self.out and self.breaker.now == 100.0)
    @rule(settings=breaker_settings())
    def choose(self, settings: BreakerSettings) -> None:
        self.breaker.settings = settings

    @rule(lease=st.sampled_from([0.3, 4.0]))
    def call(self, lease: float) -> None:
        reply = self.breaker.admit(lease=lease)
        if reply[0] == REFUSED:
            assert reply[1] > 0 or (reply[1], reply[5]) == (-1, ISOLATED)
        else:
            self.out.append((reply, self.breaker.now + lease))
        self.went(reply[4], reply[5], BY_ITSELF)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), result=st.sampled_from([SUCCESS, FAILURE, FAILURE]), chance=st.floats(0, 1))
    def end(self, data: st.DataObject, result: int, chance: float) -> None:
        admitted, until = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        before = self.breaker.store.scan(KEY)
        late = self.generation() != admitted[2] or (admitted[0] == PROBE and until <= self.breaker.now)
        states = dict(before)

        reply = self.breaker.record(admitted, result, 0.0, chance)

        assert late == (reply[0] == 0)
        if late:
            assert states == dict(self.breaker.store.scan(KEY))
        else:
            self.went(reply[3], reply[4], BY_ITSELF)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        admitted, _ = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.breaker.release(admitted)
        assert self.last == self.breaker.look()[0]

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.out) - 1))
        admitted, _ = self.out.pop(place)
        reply = self.breaker.admit(admitted[2], admitted[3], lease=4.0)
        if reply[0] != REFUSED:
            self.out.append((reply, self.breaker.now + 4.0))
        self.went(reply[4], reply[5], BY_ITSELF)

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 5.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.breaker.now += seconds

    @rule(state=st.sampled_from([CLOSED, OPEN, HALF_OPEN, ISOLATED]))
    def decide_by_hand(self, state: int) -> None:
        old, new = self.breaker.force(state, 2.0)
        self.went(old, new, WAYS)

    def generation(self) -> float:
        return float(dict(self.breaker.store.scan(KEY)).get(KEY, {"generation": 0})["generation"])

    def went(self, old: float, new: float, ways: set[tuple[int, int]]) -> None:
        assert old == self.last
        assert old == new or (old, new) in ways
        self.last = int(new)

    @invariant()
    def no_more_probes_than_allowed_are_out(self) -> None:
        now = self.breaker.now
        probes = [
            reply for reply, until in self.out if reply[0] == PROBE and until > now and reply[2] == self.generation()
        ]
        assert len(probes) <= self.breaker.settings.probes
        # As many as the breaker itself counts: none is lost, and at rest there are none.
        state = dict(self.breaker.store.scan(KEY)).get(KEY)
        assert len(probes) == (0 if state is None else describe(state, now)["probes"])

    @invariant()
    def its_state_is_the_one_it_told(self) -> None:
        assert self.last == self.breaker.look()[0]

    def teardown(self) -> None:
        """From wherever it is, time and successes close it."""
        if self.last == ISOLATED:
            return
        for _ in range(20):
            self.breaker.now += 1000.0
            self.breaker.call(SUCCESS)
            if self.breaker.state == "closed":
                break
        assert "closed" == self.breaker.state


TestBreakerMachine = BreakerMachine.TestCase


def test_the_table_of_transitions_is_whole() -> None:
    """Each way stands once, and a hand can lead from each state to each other."""
    assert len(WAYS) == len(TRANSITIONS)
    assert {(old, new) for old in range(4) for new in range(4) if old != new} == WAYS
    assert {(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED), (HALF_OPEN, OPEN)} == BY_ITSELF
