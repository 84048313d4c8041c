"""Windows: the same decisions as those of limits for whoever does not wait, and slots that keep them for whoever does."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import limits
import limits.storage.memory
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)

from resilience._transactions import Reply
from resilience.stores._memory import MemoryStore
from tests.given_time_stores import StoreMaker
from tests.test_bucket import STARTS, Buckets, Waiter

THEIRS: dict[str, type[RateLimiter]] = {
    "fixed_window": FixedWindowRateLimiter,
    "moving_window": MovingWindowRateLimiter,
    "sliding_window_counter": SlidingWindowCounterRateLimiter,
}
WINDOWS = sorted(THEIRS)


def window(algorithm: str, amount: int, seconds: float = 1.0, now: float = 100.0) -> Buckets:
    return Buckets([algorithm, amount, seconds, amount, 1], now)


class GivenTime:
    """The clock that limits reads."""

    now = 0.0

    def time(self) -> float:
        return self.now


@pytest.fixture(name="clock")
def given_time(monkeypatch: pytest.MonkeyPatch) -> GivenTime:
    clock = GivenTime()
    monkeypatch.setattr(limits.storage.memory, "time", clock)
    # Its thread that sweeps is of no use to a test that sets the time.
    monkeypatch.setattr(limits.storage.memory.MemoryStorage, "_MemoryStorage__schedule_expiry", lambda _: None)
    return clock


@pytest.mark.parametrize("algorithm", WINDOWS)
@pytest.mark.parametrize("start", [1000.25, 1_763_600_000.125])
def test_who_does_not_wait_is_let_through_exactly_when_limits_lets_it(
    algorithm: str, start: float, clock: GivenTime
) -> None:
    """For any costs at any times: the algorithms are those that limits documents."""

    @given(
        st.integers(1, 8),
        st.sampled_from([1, 2, 60]),
        # In steps that never meet the edge of a window: there the two round to different sides.
        st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 4)), max_size=40),
    )
    def agrees(amount: int, seconds: int, calls: list[tuple[int, int]]) -> None:
        theirs = THEIRS[algorithm](limits.storage.memory.MemoryStorage())
        rate = limits.RateLimitItemPerSecond(amount, seconds)
        ours = window(algorithm, amount, seconds, start)
        clock.now = start
        for after, cost in calls:
            if cost <= amount:
                clock.now += after * seconds * 0.0009876543
                ours.now = clock.now
                # A hit of limits' fixed window counts even if it is refused.
                allowed = theirs.test(rate, cost=cost) and theirs.hit(rate, cost=cost)
                assert allowed == bool(ours.reserve(cost, max_wait=0)[0])

    agrees()


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_whoever_waits_is_told_exactly_how_long(algorithm: str, clock: GivenTime) -> None:
    """A call is refused until just before its wait is over, and limits lets it through just after."""
    theirs = THEIRS[algorithm](limits.storage.memory.MemoryStorage())
    rate = limits.RateLimitItemPerSecond(5, 10)
    ours = window(algorithm, 5, 10.0, 1003.0)
    for after, cost in ((0, 2), (1.5, 1), (2.25, 2), (8, 1), (0.5, 1)):
        ours.now += after
        clock.now = ours.now
        if ours.reserve(cost, max_wait=0)[0]:
            theirs.hit(rate, cost=cost)

    for cost in (1, 2, 5):
        wait = ours.look(cost)
        clock.now = ours.now + wait - 0.001
        assert not theirs.test(rate, cost=cost) or wait == 0
        clock.now += 0.002
        assert theirs.test(rate, cost=cost)


def test_call_number_n_stands_in_window_n_over_amount() -> None:
    """Windows follow one another from the first call on."""
    bucket = window("fixed_window", 3, 10.0)

    assert [0, 0, 0, 10, 10, 10, 20] == [bucket.slot() for _ in range(7)]


def test_a_fixed_window_begins_with_the_call_that_finds_none() -> None:
    """After a rest the windows begin anew."""
    bucket = window("fixed_window", 2, 10.0)
    bucket.reserve()
    bucket.now += 14

    assert [14, 14, 24, 24] == [bucket.slot() for _ in range(4)]


def test_a_call_that_does_not_fit_into_a_window_begins_the_next() -> None:
    """Whoever comes later waits behind it, even if it would fit."""
    bucket = window("fixed_window", 5, 10.0)

    assert [0, 10, 10, 20] == [bucket.slot(3), bucket.slot(3), bucket.slot(2), bucket.slot(1)]


def test_a_place_in_the_last_fixed_window_leaves_no_trace() -> None:
    """Within a window all places are alike; in one before it the place is kept as a hole."""
    bucket = window("fixed_window", 2, 10.0)
    taken = [bucket.reserve() for _ in range(6)]

    assert [1, 2, 0] == [bucket.give_back(taken[4]), bucket.give_back(taken[3]), bucket.give_back(taken[0])]
    assert [10, 20, 30] == [bucket.slot() for _ in range(3)]


def test_what_went_at_once_leaves_its_window_while_nobody_waits() -> None:
    """A call that was not sent after all."""
    for algorithm in WINDOWS:
        bucket = window(algorithm, 2, 10.0)
        taken = [bucket.reserve() for _ in range(2)]
        bucket.now += 1

        assert [1, 1] == [bucket.give_back(reply) for reply in taken]
        assert {"left": 2}.items() <= bucket.described().items()


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_waiting_calls_that_leave_from_the_end_leave_no_trace(algorithm: str) -> None:
    """The next call goes when the first of them would have gone."""
    bucket = window(algorithm, 1, 10.0)
    bucket.reserve()
    taken = [bucket.reserve() for _ in range(5)]

    assert [1] * 5 == [bucket.give_back(reply) for reply in reversed(taken)]
    assert pytest.approx(10, abs=2e-6) == bucket.look()


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_more_than_was_taken_is_never_given_back(algorithm: str) -> None:
    """A window has no less than nothing in it."""
    bucket = window(algorithm, 5, 10.0)
    taken = bucket.reserve()

    assert 0 == bucket.give_back([1, 0, -1, taken[3] + 20, -1])
    assert [0, 1, 0] == [bucket.give_back(taken, cost) for cost in (3, 1, 1)]


def test_a_moving_window_is_free_when_the_oldest_calls_leave_it() -> None:
    """A higher cost waits for more of them."""
    bucket = window("moving_window", 3, 10.0)
    for _ in range(3):
        bucket.reserve()
        bucket.now += 1

    assert [7, 8, 9] == [bucket.look(cost) for cost in (1, 2, 3)]
    assert [11, 12, 21, 31] == [bucket.slot(2), bucket.slot(1), bucket.slot(), bucket.slot(3)]


def test_a_moving_window_forgets_a_call_that_was_not_sent() -> None:
    """At once, wherever it stands; who waits keeps its slot."""
    bucket = window("moving_window", 2, 10.0)
    first = bucket.reserve()
    bucket.now += 1
    second = bucket.reserve()
    third = bucket.reserve()

    assert 1 == bucket.give_back(second)
    assert [10, 20] == [bucket.slot(), bucket.slot()]
    assert [0, 1, 0] == [bucket.give_back([1, 0, -1, slot, -1]) for slot in (99.5, first[3], 105.0)]
    assert 110 == third[3]


def test_nobody_overtakes_a_call_that_waits_for_a_moving_window() -> None:
    """Even if those that it waits for were not sent after all."""
    bucket = window("moving_window", 2, 10.0)
    taken = [bucket.reserve() for _ in range(3)]

    assert [1, 1] == [bucket.give_back(reply) for reply in taken[:2]]
    assert {"left": 0, "waiting": 1}.items() <= bucket.described().items()
    assert [10, 20] == [bucket.slot(), bucket.slot()]


def test_calls_that_have_left_a_moving_window_do_not_count() -> None:
    """Nor do they before the next call comes."""
    bucket = window("moving_window", 2, 10.0)
    bucket.reserve()
    bucket.now += 11

    assert {"left": 2, "waiting": 0}.items() <= bucket.described().items()


def test_a_moving_window_forgets_a_hole_that_passed() -> None:
    """The place that nobody took counts no more."""
    bucket = window("moving_window", 3, 10.0)
    for _ in range(3):
        bucket.reserve()
        bucket.now += 3
    taken = [bucket.reserve() for _ in range(3)]
    assert [10, 13, 16] == [reply[3] - 100 for reply in taken]
    assert 2 == bucket.give_back(taken[0])

    bucket.now = 111

    assert [16, 23] == [bucket.slot(), bucket.slot()]


@pytest.mark.parametrize("amount", [512, 513, 100_000])
def test_a_large_moving_window_stays_small(amount: int) -> None:
    """Calls that come close together are counted together, as if they had come with the last of them."""
    bucket = window("moving_window", amount, 60.0, 1_763_600_000.0)
    for number in range(2000):
        bucket.now += 0.02
        granted = bucket.reserve(amount // 500, max_wait=0)[0]
        assert granted == (number < amount // (amount // 500))

    state = bucket.state() or {}
    assert len(state["times"]) <= 2 * (512 if amount <= 512 else 342)
    assert sum(state["times"][1::2]) == amount // (amount // 500) * (amount // 500)


def test_a_large_moving_window_lets_through_as_much_as_it_says() -> None:
    """What is counted together costs no more than a part in 512 of the rate, and never gives more than the rate."""
    bucket = window("moving_window", 1000, 1.0, 1_763_600_000.0)
    sent = []
    for _ in range(9000):
        if bucket.reserve(max_wait=0)[0]:
            sent.append(bucket.now)
        bucket.now += 0.00041

    for index in range(len(sent) - 1000):
        assert sent[index + 1000] - sent[index] >= 1 - 2e-6
    assert len(sent) >= 1000 * (bucket.now - sent[0]) * 0.99


def test_counts_fade_as_their_window_does() -> None:
    """Four in the last window: the next call waits until fewer than four of them weigh, and so on."""
    bucket = window("sliding_window_counter", 4, 10.0)
    for _ in range(4):
        bucket.reserve()

    assert [10.000001, 12.500001, 15.000001, 17.500001, 20.000001] == [bucket.slot() for _ in range(5)]


def test_what_is_left_of_a_sliding_window_is_what_may_go() -> None:
    """The weight of the window before is rounded down."""
    bucket = window("sliding_window_counter", 4, 10.0)
    bucket.reserve(4)
    bucket.now += 11

    assert {"left": 1, "next": 0}.items() <= bucket.described().items()
    bucket.reserve()
    assert {"left": 0, "waiting": 0}.items() <= bucket.described().items()


def test_a_sliding_window_remembers_no_more_than_it_needs() -> None:
    """The window before, the current one, and those in which somebody waits."""
    bucket = window("sliding_window_counter", 4, 10.0)
    for _ in range(200):
        bucket.reserve()
        bucket.now += 6

    assert len((bucket.state() or {})["counts"]) <= 3


def test_a_sliding_slot_given_back_is_there_again() -> None:
    """At the end without a trace, in the middle as a hole."""
    bucket = window("sliding_window_counter", 4, 10.0)
    for _ in range(4):
        bucket.reserve()
    taken = [bucket.reserve() for _ in range(4)]

    assert [1, 1, 2] == [bucket.give_back(taken[3]), bucket.give_back(taken[2]), bucket.give_back(taken[0])]
    assert [10.000001, 15.000001, 17.500001] == [bucket.slot() for _ in range(3)]
    assert 0 == bucket.give_back([1, 0, -1, 50.0, -1])


def test_what_waits_in_a_sliding_window_is_not_overtaken() -> None:
    """While somebody waits, a call that was not sent stays counted: a lighter past would let others by."""
    bucket = window("sliding_window_counter", 2, 10.0)
    sent = bucket.reserve()
    bucket.reserve()
    bucket.reserve()

    assert 0 == bucket.give_back(sent)


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_after_a_pause_a_window_resumes_evenly(algorithm: str) -> None:
    """Its calls do not all come at once: one after the other in the first window, as its amount says."""
    bucket = window(algorithm, 5, 10.0)
    bucket.pause(30)

    slots = [bucket.slot() for _ in range(5)]

    assert [30, 32, 34, 36, 38] == slots
    assert bucket.slot() >= 40


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_a_pause_moves_what_waits_for_a_window(algorithm: str) -> None:
    """By its length, in order; what is given back is where the pause has moved it."""
    bucket = window(algorithm, 2, 10.0)
    taken = [bucket.reserve() for _ in range(5)]
    bucket.now += 1

    bucket.pause(5)
    later = bucket.reserve()

    assert [5, 5] == bucket.ask("confirm", 0)
    assert later[3] >= taken[4][3] + 5
    assert 1 == bucket.give_back(later)
    assert bucket.give_back(taken[4]) > 0
    assert pytest.approx(taken[4][3] + 5 - 100, abs=3e-6) == bucket.slot()


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_a_pause_does_not_lengthen_a_window_in_which_nobody_waits(algorithm: str) -> None:
    """Its calls came when they came."""
    bucket = window(algorithm, 4, 10.0)
    bucket.reserve()
    name = "times" if algorithm == "moving_window" else "start"
    before = (bucket.state() or {})[name]

    bucket.pause(5)

    assert before == (bucket.state() or {})[name]


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_the_last_slot_after_a_pause_leaves_no_trace(algorithm: str) -> None:
    """The next call takes its place in the even pace."""
    bucket = window(algorithm, 5, 10.0)
    bucket.pause(30)
    taken = [bucket.reserve() for _ in range(3)]

    assert bucket.give_back(taken[2])
    assert 34 == bucket.slot()


def test_windows_go_on_after_the_even_pace() -> None:
    """The calls of the first window after a pause count in it, and those after it in the next."""
    bucket = window("fixed_window", 2, 10.0)
    bucket.reserve()
    bucket.pause(30)

    assert [30, 35, 40, 40, 50, 50, 60] == [bucket.slot() for _ in range(7)]


def test_a_second_pause_moves_the_window_in_which_somebody_waits() -> None:
    """Also if there is room in it, since its calls wait for the even pace."""
    bucket = window("fixed_window", 5, 10.0)
    bucket.pause(30)
    bucket.reserve()
    bucket.reserve()
    bucket.now += 31

    bucket.pause(10)

    assert 140 == (bucket.state() or {})["start"]


def test_calls_counted_together_count_as_the_last_of_them() -> None:
    """So that no window ever has more than its amount."""
    bucket = window("moving_window", 1000, 1.0, 1_763_600_000.0)
    bucket.reserve()
    bucket.now += 0.0015
    bucket.reserve(999)

    assert pytest.approx(1, abs=1e-6) == bucket.look()


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_an_emptied_window_resumes_with_the_next_interval(algorithm: str) -> None:
    """What a token bucket does too."""
    bucket = window(algorithm, 5, 10.0)

    bucket.pause(0)

    assert [2, 4, 6] == [bucket.slot() for _ in range(3)]


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_the_providers_word_lowers_a_window(algorithm: str) -> None:
    """Two more until the reset, whoever comes then waits for it; those behind follow evenly."""
    bucket = window(algorithm, 5, 10.0)

    assert 2 == bucket.correct(2, 7)
    assert [0, 0, 7] == [math.floor(bucket.slot()) for _ in range(3)]
    assert bucket.slot() >= 9


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_a_word_without_a_reset_fills_the_window(algorithm: str) -> None:
    """As if others had called."""
    bucket = window(algorithm, 5, 10.0)

    bucket.correct(2, 0)

    assert {"left": 2, "waiting": 0}.items() <= bucket.described().items()
    bucket.reserve(2)
    assert bucket.look() > 0


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_what_waits_is_counted(algorithm: str) -> None:
    """For people, and for the provider's word."""
    bucket = window(algorithm, 2, 10.0)
    for _ in range(5):
        bucket.reserve()

    assert {"left": 0, "waiting": 3}.items() <= bucket.described().items()
    assert 1 == bucket.correct(4, 60)


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_a_slot_after_a_year_of_pause_costs_no_memory(algorithm: str) -> None:
    """Empty windows between are not remembered."""
    bucket = window(algorithm, 1, 1.0)
    bucket.reserve()
    bucket.pause(366 * 86400.0)
    slots = [bucket.reserve(max_wait=1e9)[3] - 100 - 366 * 86400 for _ in range(3)]

    assert [0, 1, 2] == [round(slot, 3) for slot in slots]
    assert max([len(value) for value in (bucket.state() or {}).values() if isinstance(value, list)], default=0) < 100


@pytest.mark.parametrize("algorithm", WINDOWS)
def test_a_window_is_forgotten_once_it_says_nothing(algorithm: str) -> None:
    """And no sooner."""
    bucket = window(algorithm, 1, 10.0)
    bucket.reserve()

    bucket.now += 9.9
    assert bucket.look() > 0
    bucket.now += 25
    assert bucket.state() is None


class WindowMachine(RuleBasedStateMachine):
    """One window, its waiting calls, and everything that went, under any interleaving."""

    def __init__(self, make_store: StoreMaker = MemoryStore) -> None:
        super().__init__()
        self.make_store = make_store

    @initialize(
        algorithm=st.sampled_from(WINDOWS),
        amount=st.integers(1, 6),
        seconds=st.sampled_from([0.7, 1.0, 60.0]),
        start=st.sampled_from(STARTS),
    )
    def begin(self, algorithm: str, amount: int, seconds: float, start: float) -> None:
        self.bucket = Buckets([algorithm, amount, seconds, amount, 1], start, self.make_store)
        self.algorithm, self.amount, self.seconds = algorithm, amount, seconds
        self.waiting: list[Waiter] = []
        self.sent: list[tuple[float, int]] = []
        self.paused_until = -math.inf
        self.left = False

    def shift(self) -> float:
        return self.bucket.ask("confirm", 0)[1]

    def going(self) -> list[tuple[float, int]]:
        """When calls went and will go, and their costs."""
        shift = self.shift()
        return sorted([*self.sent, *((each.slot + max(0, shift - each.shift), each.cost) for each in self.waiting)])

    @rule(cost=st.integers(1, 3), max_wait=st.sampled_from([0.0, 1.0, 1e6]))
    def reserve(self, cost: int, max_wait: float) -> None:
        cost = min(cost, self.amount)
        looked = self.bucket.look(cost)
        behind = max((slot for slot, _ in self.going()), default=-math.inf)
        granted, wait, index, slot, _ = reply = self.bucket.reserve(cost, max_wait)

        assert looked == wait
        assert granted or wait > max_wait
        assert not granted or wait <= max_wait + 2e-6
        if granted:
            assert slot >= self.paused_until - 2e-6
            # First come, first served, unless somebody has left.
            assert self.left or slot >= behind - 2e-6
            if index < 0:
                self.sent.append((slot, cost))
            else:
                self.waiting.append(Waiter(reply, cost))

    @rule(share=st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.3]))
    def wait(self, share: float) -> None:
        until = self.bucket.now + share * self.seconds
        while self.waiting:
            first = min(self.waiting, key=lambda each: each.slot)
            if first.slot > until:
                break
            self.bucket.now = max(self.bucket.now, first.slot)
            more, shift = self.bucket.ask("confirm", first.shift)
            if more:
                first.slot, first.shift = first.slot + max(0, shift - first.shift), shift
                continue
            self.waiting.remove(first)
            self.sent.append((first.slot, first.cost))
        self.bucket.now = max(self.bucket.now, until)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        waiter = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        slot = waiter.slot + max(0, self.shift() - waiter.shift)
        kept = self.bucket.give_back([1, 0, 0, waiter.slot, waiter.shift], waiter.cost)

        assert kept or slot < self.bucket.now
        self.left = True

    @rule(share=st.sampled_from([0, 0.5, 3]))
    def pause(self, share: float) -> None:
        left = self.bucket.pause(share * self.seconds)

        assert left >= share * self.seconds - 2e-6
        self.paused_until = self.bucket.now + left

    @invariant()
    def no_window_has_more_than_its_amount(self) -> None:
        if not hasattr(self, "bucket"):
            return
        going = self.going()
        for first, (begin, _) in enumerate(going):
            within = sum(cost for slot, cost in going[first:] if slot < begin + self.seconds - 4e-6)
            if self.algorithm == "moving_window":
                assert within <= self.amount
            else:
                # Two windows of the provider's may meet within the time of one.
                assert within <= 2 * self.amount

    @invariant()
    def nobody_goes_during_a_pause(self) -> None:
        if hasattr(self, "bucket"):
            now = self.bucket.now
            assert not [slot for slot, _ in self.going() if now + 2e-6 < slot < self.paused_until - 2e-6]


TestWindowMachine = WindowMachine.TestCase
TestWindowMachine.settings = settings(stateful_step_count=30)


@given(st.sampled_from(WINDOWS), st.integers(1, 5), st.integers(1, 12), st.data(), st.sampled_from(STARTS))
def test_slots_given_back_in_a_window_are_the_slots_of_the_next_calls(
    algorithm: str, amount: int, count: int, data: st.DataObject, start: float
) -> None:
    """Whoever leaves in whatever order: those who come then go exactly when those would have gone."""
    bucket = window(algorithm, amount, 10.0, start)
    bucket.reserve(amount)
    taken = [bucket.reserve() for _ in range(count)]
    leaving = data.draw(st.lists(st.sampled_from(range(count)), unique=True))

    for index in leaving:
        assert bucket.give_back(taken[index])
    again: list[Reply] = [bucket.reserve() for _ in leaving]

    assert pytest.approx(sorted(taken[index][3] for index in leaving), abs=2e-6) == sorted(reply[3] for reply in again)


@given(
    st.integers(1, 5), st.sampled_from([1.0, 10.0]), st.lists(st.tuples(st.sampled_from([0, 0.3, 0.9, 1.0, 2.7]),
    st.integers(1, 3)), max_size=30), st.sampled_from(STARTS),
)  # fmt: skip
def test_every_fixed_window_has_its_amount(
    amount: int, seconds: float, calls: list[tuple[float, int]], start: float
) -> None:
    """Counted in the windows as they follow one another."""
    bucket = window("fixed_window", amount, seconds, start)
    places: Counter[float] = Counter()
    for after, cost in calls:
        bucket.now += after * seconds
        slot = bucket.reserve(min(cost, amount))[3]
        begin = (bucket.state() or {})["start"]
        places[round(begin + math.floor((slot - begin + 1e-6) / seconds) * seconds, 3)] += min(cost, amount)

    begins = sorted(places)
    assert all(count <= amount for count in places.values())
    assert all(later - begin >= seconds - 0.002 for begin, later in pairwise(begins))


@given(
    st.integers(1, 5), st.sampled_from([1.0, 10.0]), st.lists(st.tuples(st.sampled_from([0, 0.3, 0.9, 1.0, 2.7]),
    st.integers(1, 3)), max_size=30), st.sampled_from(STARTS),
)  # fmt: skip
def test_every_sliding_slot_keeps_to_the_weighted_count(
    amount: int, seconds: float, calls: list[tuple[float, int]], start: float
) -> None:
    """At each slot, what went in its window and what weighs of the window before are no more than the amount."""
    bucket = window("sliding_window_counter", amount, seconds, start)
    counts: Counter[int] = Counter()
    for after, cost in calls:
        bucket.now += after * seconds
        slot = bucket.reserve(min(cost, amount))[3]
        place = math.floor((slot + 1e-6) / seconds)
        counts[place] += min(cost, amount)
        left = 1 - (slot - place * seconds) / seconds

        assert math.floor(counts[place - 1] * left - 1e-9) + counts[place] <= amount
