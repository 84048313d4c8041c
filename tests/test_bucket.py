"""Rate limits: never more than allowed, waits in order, nothing lost and nothing invented, whatever happens between."""

from __future__ import annotations

import math
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from resilience._bucket import describe
from resilience._bucket_state import MOST_HOLES
from resilience._longest import LONGEST_TIME
from resilience._transactions import Command, Reply, State
from resilience.stores._memory import MemoryStore
from tests.given_time_stores import StoreMaker
from tests.strategies_bucket import KEYS, Step, commands_bucket, play, specs, steps_bucket

SMOOTH: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "vectors" / "pacing.yaml").read_text("utf-8"))[
    "failsafe-smooth-limiter"
]
KEY = KEYS[0]
STARTS = [0.0, 17.25, 1_763_600_000.123]
"""Times of a monotonic clock, and of a server's, which counts since 1970."""
ON_THE_GRID = [0.0, 17.0, 1_763_600_000.0]
"""Times at which an interval of any of the known runs begins."""
LATE = 2e-6
"""Twice the tolerance, since both ends of a span may be off."""


class Buckets:
    """A store at a time that the test sets."""

    def __init__(self, spec: list[Any], now: float = 100.0, make_store: StoreMaker = MemoryStore) -> None:
        self.store = make_store()
        self.spec = spec
        self.now = now

    def ask(self, verb: str, *arguments: Any, keys: tuple[str, ...] = (KEY,)) -> Reply:
        return self.store.run(Command(f"bucket.{verb}", keys, arguments), self.now)

    def costing(self, cost: float) -> list[Any]:
        return [*self.spec[:4], cost]

    def reserve(self, cost: float = 1, max_wait: float = 1e6) -> Reply:
        return self.ask("reserve", max_wait, [self.costing(cost)])

    def look(self, cost: float = 1) -> float:
        return self.ask("look", [self.costing(cost)])[0]

    def slot(self, cost: float = 1) -> float:
        """Reserve, and say when it goes, counted from 100."""
        return round(self.reserve(cost)[3] - 100, 6)

    def give_back(self, taken: Reply, cost: float = 1) -> int:
        return int(self.ask("give_back", self.costing(cost), taken[3], taken[4])[0])

    def pause(self, seconds: float) -> float:
        return self.ask("pause", seconds, self.spec)[0]

    def correct(self, remaining: float, reset_in: float) -> float:
        return self.ask("correct", remaining, reset_in, self.spec)[0]

    def state(self) -> State | None:
        # The store's time is that of the last command.
        self.ask("confirm", 0, keys=("{p}:bucket:none",))
        return dict(self.store.scan()).get(KEY)

    def described(self) -> dict[str, float | str]:
        state = self.state()
        assert state is not None
        return describe(state, self.now)


def tokens(amount: int = 1, seconds: float = 1.0, burst: int = 1, now: float = 100.0) -> Buckets:
    return Buckets(["token_bucket", amount, seconds, burst, 1], now)


def test_the_example_of_the_design_is_what_happens() -> None:
    """The table in `docs/design/0007-limits-and-our-own-scripts.md`: reserved, paused, confirmed, given back."""
    bucket = tokens(now=0.0)
    told: list[Reply] = []
    for at, verb, arguments in (
        (0.0, "reserve", (60.0, [bucket.spec])),
        (0.1, "reserve", (60.0, [bucket.spec])),
        (0.2, "reserve", (60.0, [bucket.spec])),
        (0.3, "reserve", (60.0, [bucket.spec])),
        (0.5, "pause", (2.0, bucket.spec)),
        (1.0, "confirm", (0.0,)),
        (1.2, "give_back", (bucket.spec, 5.0, 2.0)),
        (3.0, "confirm", (2.0,)),
        (3.1, "reserve", (60.0, [bucket.spec])),
    ):
        bucket.now = at
        told.append(bucket.ask(verb, *arguments)[-2:])

    assert [[0.0, -1], [1.0, 0], [2.0, 0], [3.0, 0], [2.0], [2.0, 2.0], [1], [0, 2.0], [5.0, 2.0]] == told


# What single calls get


def ask_smoothly(algorithm: str, run: dict[str, Any], start: float) -> tuple[list[tuple[float, float]], list[float]]:
    """One call per interval: the wait and the next free time after each step in milliseconds, and when all calls go."""
    bucket = Buckets([algorithm, 1, run["interval"] / 1000, 1, 1])
    answers: list[tuple[float, float]] = []
    slots: list[float] = []
    for step in run["steps"]:
        bucket.now = start + step["at"] / 1000
        slots += [bucket.reserve()[3] - start for _ in range(step.get("calls", 1) * step["permits"])]
        answers.append((1000 * (slots[-1] + start - bucket.now), 1000 * (bucket.now + bucket.look() - start)))
    return answers, slots


@pytest.mark.parametrize("run", SMOOTH["runs"], ids=lambda run: str(run["interval"]))
@pytest.mark.parametrize("start", ON_THE_GRID)
def test_smooth_limiting_gives_the_known_waits(run: dict[str, Any], start: float) -> None:
    """One call in each interval of the clock: with a limit of one, the window before weighs nothing."""
    answers, _ = ask_smoothly("sliding_window_counter", run, start)

    waits, following = zip(*answers, strict=True)
    assert [step["wait"] for step in run["steps"]] == pytest.approx(waits, abs=0.01)
    assert [step["next_free"] for step in run["steps"]] == pytest.approx(following, abs=0.01)


@pytest.mark.parametrize("algorithm", ["token_bucket", "fixed_window", "moving_window"])
@pytest.mark.parametrize("run", SMOOTH["runs"], ids=lambda run: str(run["interval"]))
@pytest.mark.parametrize("start", STARTS)
def test_only_a_grid_lets_two_calls_go_within_an_interval(algorithm: str, run: dict[str, Any], start: float) -> None:
    """The others answer as the grid until somebody comes after a rest: then an interval begins with that call.

    On the grid two calls may follow each other at once, on both sides of a line; in a bucket no span of t seconds holds
    more than rate * t + burst.
    """
    interval = run["interval"] / 1000
    steps = run["steps"]
    unrested = 1 + sum(1 for _ in takewhile(lambda pair: pair[1]["at"] <= pair[0]["next_free"], pairwise(steps)))

    answers, slots = ask_smoothly(algorithm, run, start)
    _, on_grid = ask_smoothly("sliding_window_counter", run, ON_THE_GRID[0])

    known = [number for step in steps[:unrested] for number in (step["wait"], step["next_free"])]
    assert 0 < unrested < len(steps)
    assert known == pytest.approx([number for answer in answers[:unrested] for number in answer], abs=0.01)
    assert keeps_the_law(slots, interval)
    assert not keeps_the_law(on_grid, interval)
    assert all(0 <= slot - earlier + LATE < interval for slot, earlier in zip(slots, on_grid, strict=True))


def keeps_the_law(slots: list[float], interval: float) -> bool:
    """Whether no span holds more calls than the rate times its seconds, and the burst of one."""
    return all(
        last - first + 1 <= (slots[last] - slots[first] + LATE) / interval + 1
        for last in range(len(slots))
        for first in range(last)
    )


def test_a_burst_goes_at_once_and_the_rest_evenly() -> None:
    """Ten per second with a burst of three: three now, then one every 100 ms, in order."""
    bucket = tokens(10, 1.0, 3)

    assert [0, 0, 0, 0.1, 0.2, 0.3] == [bucket.slot() for _ in range(6)]


def test_a_bucket_is_full_again_after_a_rest_and_no_fuller() -> None:
    """However long the rest."""
    bucket = tokens(10, 1.0, 3)
    for _ in range(3):
        bucket.reserve()

    bucket.now += 86400 * 30

    assert [0, 0, 0, 0.1] == [round(bucket.reserve()[1], 6) for _ in range(4)]


def test_a_call_may_cost_more() -> None:
    """A cost of three waits until three are there, and whoever comes later waits behind it, however cheap."""
    bucket = tokens(1, 1.0, 3)
    bucket.reserve(2)

    assert [2, 3, 6] == [bucket.slot(3), bucket.slot(1), bucket.slot(3)]


def test_a_cost_over_the_bucket_takes_all_of_it_and_waits_no_longer() -> None:
    """The limiter refuses it before; a script never answers with a wait that has no end."""
    for algorithm in ("token_bucket", "fixed_window", "moving_window", "sliding_window_counter"):
        bucket = Buckets([algorithm, 2, 1.0, 2, 1])

        assert [1, 0, -1, 100, -1] == bucket.reserve(5)
        assert 2 >= bucket.look(5)


def test_a_wait_over_the_longest_is_refused_with_the_exact_wait_and_takes_nothing() -> None:
    """It says which bucket would have kept it waiting."""
    bucket = tokens(1, 10.0, 1)
    bucket.reserve()

    assert [0, 10, 0, 110, 0] == bucket.reserve(max_wait=9.99)
    assert 10 == bucket.look()
    assert [1, 10, 0, 110, 0] == bucket.reserve(max_wait=10)


def test_looking_changes_nothing() -> None:
    """It says what reserving would say."""
    bucket = tokens(1, 1.0, 2)

    assert [0, 0] == [bucket.look(), bucket.look()]
    assert bucket.state() is None
    bucket.reserve(2)
    assert [1, 1, 2] == [bucket.look(), bucket.look(1), bucket.look(2)]


def test_several_buckets_are_charged_all_or_none() -> None:
    """If one has too little, only that one is reserved, and calls that pay the others alone are not kept waiting."""
    fast, slow = ["token_bucket", 10, 1.0, 10, 1], ["token_bucket", 1, 1.0, 1, 1]
    bucket = Buckets(fast)

    assert [1, 0, -1, 100, -1] == bucket.ask("reserve", 60, [fast, slow], keys=KEYS[:2])
    assert [1, 1, 1, 101, 0] == bucket.ask("reserve", 60, [fast, slow], keys=KEYS[:2])
    assert [0, 2, 1, 102, 0] == bucket.ask("reserve", 1, [fast, slow], keys=KEYS[:2])
    assert [2] == bucket.ask("look", [fast, slow], keys=KEYS[:2])
    assert pytest.approx(9) == bucket.described()["left"]


def test_a_clock_that_stands_still_lets_the_burst_through_and_no_more() -> None:
    """Everything after it is reserved, one interval after the other."""
    bucket = tokens(1, 1.0, 5)

    assert [0, 0, 0, 0, 0, 1, 2] == [bucket.slot() for _ in range(7)]


# Giving back


def test_the_last_slot_given_back_leaves_no_trace() -> None:
    """Waiting calls that leave from the end free everything that they had reserved."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    taken = [bucket.reserve() for _ in range(200)]

    assert {1} == {bucket.give_back(reply) for reply in reversed(taken)}
    assert 1 == bucket.look()


def test_a_slot_given_back_in_the_middle_is_kept_for_the_next_call() -> None:
    """The next call of the same cost takes it; one of another cost goes behind all."""
    bucket = tokens(1, 1.0, 2)
    bucket.reserve(2)
    taken = [bucket.reserve() for _ in range(4)]

    assert 2 == bucket.give_back(taken[1])
    assert [6, 2, 7] == [bucket.slot(2), bucket.slot(), bucket.slot()]


@pytest.mark.parametrize("leaving", [(2, 1, 3), (1, 2, 3)])
def test_holes_at_the_end_are_filled_up(leaving: tuple[int, ...]) -> None:
    """When the last one leaves, the holes before it are free as well."""
    bucket = tokens(1, 1.0, 5)
    bucket.reserve(5)
    taken = [bucket.reserve() for _ in range(4)]

    assert [2, 2, 1] == [bucket.give_back(taken[index]) for index in leaving]
    state = bucket.state()
    assert state is not None
    assert [] == state["holes"]
    bucket.now += 10
    assert 5 == bucket.described()["left"]


def test_a_hole_that_has_passed_is_no_slot_any_more() -> None:
    """It is taken exactly when it is due, not later."""
    for wait, expected in ((0.0, 1), (0.001, 4)):
        bucket = tokens(1, 1.0, 1)
        bucket.reserve()
        taken = [bucket.reserve() for _ in range(3)]
        bucket.give_back(taken[0])

        bucket.now += 1 + wait

        assert expected == bucket.slot()


def test_the_earliest_hole_is_taken_first() -> None:
    """In whatever order they were made."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    taken = [bucket.reserve() for _ in range(5)]
    for index in (1, 0, 3):
        bucket.give_back(taken[index])

    assert [1, 2, 4, 6] == [bucket.slot() for _ in range(4)]


def test_a_slot_that_has_passed_is_no_hole() -> None:
    """Others have gone since, so nobody may go in its place."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    taken = [bucket.reserve() for _ in range(3)]
    bucket.now += 1.5

    assert 0 == bucket.give_back(taken[0])
    assert 4 == bucket.slot()


def test_a_shift_that_the_store_has_forgotten_moves_nothing() -> None:
    """A slot is where it was said to be."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    taken = bucket.reserve()

    assert 1 == bucket.give_back([*taken[:4], 5])


def test_a_microsecond_early_is_in_time() -> None:
    """The clocks of servers count no finer; more than that is early."""
    for early, expected in ((5e-7, 0), (5e-6, 5e-6)):
        bucket = tokens(1, 1.0, 1)
        bucket.reserve()
        bucket.now += 1 - early

        assert pytest.approx(expected, abs=1e-9) == bucket.look()
        assert pytest.approx(expected, abs=1e-9) == bucket.reserve()[1]


def test_a_hole_outlives_those_before_it() -> None:
    """Only what has passed is forgotten."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    taken = [bucket.reserve() for _ in range(5)]
    for index in (0, 2):
        bucket.give_back(taken[index])

    bucket.now += 1.5

    assert [3, 6] == [bucket.slot(), bucket.slot()]


def test_holes_are_bounded() -> None:
    """Over so many, a slot is lost rather than remembered."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    taken = [bucket.reserve() for _ in range(2 * MOST_HOLES)]

    kept = [bucket.give_back(reply) for reply in taken[: MOST_HOLES + 2]]

    assert [2] * MOST_HOLES + [0, 0] == kept


def test_what_went_at_once_can_be_given_back() -> None:
    """A call that was not sent after all; of its cost is gone what the time until the latest call would have filled."""
    bucket = tokens(1, 1.0, 2)
    first = bucket.reserve()
    second = bucket.reserve()

    assert [1, 1] == [bucket.give_back(first), bucket.give_back(second)]
    assert 2 == bucket.described()["left"]
    first = bucket.reserve()
    bucket.now += 0.25
    bucket.reserve()
    assert 1 == bucket.give_back(first)
    assert 1 == bucket.described()["left"]
    bucket.now += 10
    first = bucket.reserve()
    bucket.now += 1
    bucket.reserve()
    assert 0 == bucket.give_back(first)


@pytest.mark.parametrize("algorithm", ["token_bucket", "fixed_window", "moving_window", "sliding_window_counter"])
def test_many_that_went_at_once_can_be_given_back_in_any_order(algorithm: str) -> None:
    """Calls that an inner layer refused one after the other leave a bucket as full as it was."""
    bucket = Buckets([algorithm, 60, 60.0, 60, 1])
    taken = [bucket.reserve() for _ in range(50)]

    for reply in taken:
        bucket.give_back(reply)

    assert 60 == bucket.described()["left"]


def test_what_went_at_once_is_moved_by_nothing() -> None:
    """To confirm it is of no use, and does no harm."""
    bucket = tokens()

    assert [0, 0] == bucket.ask("confirm", bucket.reserve()[4])


def test_what_was_given_back_twice_is_not_given_twice() -> None:
    """A bucket is never fuller than full."""
    bucket = tokens(1, 10.0, 2)
    taken = bucket.reserve()

    assert [1, 0] == [bucket.give_back(taken), bucket.give_back(taken)]
    assert 2 == bucket.described()["left"]


def test_nothing_can_be_given_back_to_a_bucket_that_nobody_remembers() -> None:
    """A slot of a forgotten schedule is not a hole in a new one."""
    assert 0 == tokens().give_back([1, 5, 0, 105, 0])


# Pauses


def test_a_pause_keeps_everybody_out_until_its_end_and_then_lets_them_in_one_by_one() -> None:
    """The burst is gone after it, so that there is no stampede."""
    bucket = tokens(10, 1.0, 5)

    assert 30 == bucket.pause(30)
    assert [30, 30.1, 30.2] == [bucket.slot() for _ in range(3)]


def test_a_pause_moves_what_was_reserved_and_keeps_the_order() -> None:
    """Whoever had a slot learns when it is due that it is later now; whoever comes then waits behind."""
    bucket = tokens(1, 1.0, 2)
    bucket.reserve(2)
    taken = [bucket.reserve() for _ in range(2)]
    bucket.now += 0.5

    bucket.pause(10)
    later = bucket.slot()
    bucket.now = taken[0][3]

    assert [10, 10] == bucket.ask("confirm", taken[0][4])
    assert 13 == later
    bucket.now += 10
    assert [0, 10] == bucket.ask("confirm", 10)


def test_a_pause_on_top_of_a_pause_moves_by_what_is_longer() -> None:
    """Its end counts; what was reserved before, between and after stays in order."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    first = bucket.reserve()
    bucket.pause(10)
    second = bucket.reserve()
    bucket.now += 5

    assert 20 == bucket.pause(20)
    third = bucket.reserve()

    assert [101, 0, 112, 10, 128, 25] == [*first[3:], *second[3:], *third[3:]]
    assert [20, 25] == bucket.ask("confirm", 10)
    assert [25, 25] == bucket.ask("confirm", 0)


def test_a_pause_never_shortens_another() -> None:
    """It says how long the bucket is paused all the same."""
    bucket = tokens()
    bucket.pause(30)
    bucket.now += 10

    assert [20, 20, 20] == [bucket.pause(5), bucket.pause(0), bucket.pause(20)]
    assert 20 == bucket.look()


def test_a_pause_of_an_unrated_bucket_is_not_cut_into_by_an_answer_without_a_time() -> None:
    """Nor is the slow pace after it."""
    bucket = Buckets(["unrated", 0, 0, 0, 1])
    bucket.pause(10)
    bucket.pause(0)

    assert [10, 10.05, 10.1] == [bucket.slot() for _ in range(3)]


@pytest.mark.parametrize("seconds", [1e18, math.inf, LONGEST_TIME + 1])
def test_no_pause_is_longer_than_a_year(seconds: float) -> None:
    """Whatever an answer says."""
    assert LONGEST_TIME == tokens().pause(seconds)


@pytest.mark.parametrize("seconds", [0, -5.0, math.nan])
def test_a_pause_of_no_time_empties_the_bucket(seconds: float) -> None:
    """The next call goes one interval from now, and those after it evenly."""
    bucket = tokens(2, 1.0, 10)

    assert 0 == bucket.pause(seconds)
    assert [0.5, 1, 1.5] == [bucket.slot() for _ in range(3)]


def test_who_waits_already_is_not_moved_by_an_emptied_bucket() -> None:
    """There is nothing left to take."""
    bucket = tokens(1, 1.0, 3)
    bucket.reserve(3)
    bucket.reserve()

    bucket.pause(0)

    assert [0, 0] == bucket.ask("confirm", 0)
    assert 2 == bucket.look()


def test_a_slot_given_back_after_a_pause_is_where_the_pause_has_moved_it() -> None:
    """At the end it leaves no trace, in the middle it is a hole at its later time."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    taken = [bucket.reserve() for _ in range(3)]
    bucket.pause(10)

    assert [1, 2] == [bucket.give_back(taken[2]), bucket.give_back(taken[0])]
    assert [11, 13] == [bucket.slot(), bucket.slot()]


def test_a_slot_as_it_was_confirmed_can_be_given_back_too() -> None:
    """The additional wait belongs to the slot, and the shift that came with it to that."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    taken = bucket.reserve()
    bucket.pause(10)
    bucket.now += 1
    more, shift = bucket.ask("confirm", taken[4])

    assert 1 == bucket.give_back([1, 0, 0, taken[3] + more, shift])
    assert 10 == bucket.look()


def test_holes_are_moved_by_a_pause() -> None:
    """A hole is a slot like any other, that nobody has."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    taken = [bucket.reserve() for _ in range(3)]
    bucket.give_back(taken[0])

    bucket.pause(10)

    assert [11, 14] == [bucket.slot(), bucket.slot()]


def test_what_went_at_once_before_a_pause_stays_gone() -> None:
    """The provider has stopped everybody; the level starts anew, and time passes for it as the provider says."""
    for burst in (5, 1):
        bucket = tokens(1, 1.0, burst)
        taken = bucket.reserve()
        bucket.pause(10)

        assert 0 == bucket.give_back(taken)
        assert 10 == bucket.look()


def test_a_slot_that_is_due_is_not_let_through_a_pause_that_nobody_remembers_the_length_of() -> None:
    """A store that was emptied has no shift; the pause that it knows still holds."""
    bucket = tokens()
    bucket.pause(10)

    assert [10, 10] == bucket.ask("confirm", 400)
    assert [0, 0] == tokens().ask("confirm", 400)


# Buckets whose rate nobody knows


def test_an_unrated_bucket_lets_all_through_and_remembers_nothing() -> None:
    """Until an answer pauses it."""
    bucket = Buckets(["unrated", None, None, None, 1])

    assert {(1, 0, -1, 100, -1)} == {tuple(bucket.reserve(cost)) for cost in (1, 5, 1_000_000)}
    assert bucket.state() is None
    assert 0 == bucket.give_back([1, 0, -1, 100, -1])


def test_an_unrated_bucket_resumes_slowly_and_faster_with_every_second() -> None:
    """One every 50 ms in the first second after a pause, one every 25 ms in the second, and so on."""
    bucket = Buckets(["unrated", 0, 0, 0, 1])
    bucket.pause(10)

    slots = [bucket.slot() for _ in range(62)]

    assert [10, 10.05, 10.1] == slots[:3]
    assert [10.95, 11, 11.025] == slots[19:22]
    assert [11.975, 12, 12.0125] == [round(slot, 4) for slot in (*slots[59:61], slots[61])]
    # The first goes when the pause ends.
    assert 61 == bucket.described()["waiting"]


def test_an_unrated_bucket_is_free_again_after_a_while() -> None:
    """Calls that come during the resumption wait behind those that waited; ten seconds after it, nothing is left."""
    bucket = Buckets(["unrated", 0, 0, 0, 1])
    bucket.pause(10)
    bucket.now += 10

    assert [10, 10.05, 10.1] == [bucket.slot() for _ in range(3)]
    bucket.now += 9.99
    assert {(1, 0)} < {tuple(bucket.reserve()[:2]) for _ in range(200)}
    bucket.now += 1
    assert {(1, 0)} == {tuple(bucket.reserve()[:2]) for _ in range(2000)}
    bucket.now += 20
    assert bucket.state() is None


def test_what_an_unrated_bucket_has_reserved_can_be_given_back() -> None:
    """At the end without a trace, in the middle as a hole."""
    bucket = Buckets(["unrated", 0, 0, 0, 1])
    bucket.pause(10)
    taken = [bucket.reserve() for _ in range(4)]

    assert [1, 2] == [bucket.give_back(taken[3]), bucket.give_back(taken[0])]
    assert [10, 10.15] == [bucket.slot(), bucket.slot()]
    assert [0, 0] == [bucket.give_back([1, 0, -1, slot, -1]) for slot in (50, -1e6)]


def test_a_second_pause_moves_the_resumption_of_an_unrated_bucket() -> None:
    """Also in its middle; what is reserved afterwards starts slowly again."""
    bucket = Buckets(["unrated", 0, 0, 0, 1])
    bucket.pause(10)
    taken = [bucket.reserve() for _ in range(3)]
    bucket.now += 10.06

    bucket.pause(5)

    assert [15.15, 15.2] == [bucket.slot() for _ in range(2)]
    assert [5, 15] == bucket.ask("confirm", taken[2][4])


def test_an_unrated_bucket_whose_provider_is_short_of_words_slows_down() -> None:
    """An answer that says no more than "too many" spreads the next calls."""
    bucket = Buckets(["unrated", 0, 0, 0, 1])
    bucket.pause(0)

    assert [0.05, 0.1, 0.15] == [bucket.slot() for _ in range(3)]


# The provider's word


def test_the_provider_lowers_what_is_left_at_once() -> None:
    """Two more until the reset in a minute; the third call waits for it, those behind it follow evenly."""
    bucket = tokens(60, 60.0, 60)

    assert 2 == bucket.correct(2, 30)
    assert [0, 0, 30, 31] == [bucket.slot() for _ in range(4)]


def test_costs_count_in_the_providers_word() -> None:
    """As they do in the rate; what is given back may be taken again."""
    bucket = tokens(10, 1.0, 10)
    bucket.correct(5, 30)

    taken = bucket.reserve(3)
    assert pytest.approx(30.2) == bucket.look(3)
    assert 1 == bucket.give_back(taken, 3)
    assert [0, 0, 30.2] == [bucket.slot(3), bucket.slot(2), bucket.slot(3)]


def test_the_provider_never_raises_what_is_left() -> None:
    """Neither over the documented rate nor over what it said before."""
    bucket = tokens(1, 1.0, 2)
    bucket.reserve(2)

    assert 50 == bucket.correct(50, 30)
    assert 1 == bucket.look()
    assert 1 == bucket.correct(1, 30)
    assert 1 == bucket.correct(40, 30)
    bucket.now += 5
    assert [5, 30] == [bucket.slot(), bucket.slot()]


def test_a_word_on_another_reset_takes_the_place_of_the_last() -> None:
    """An answer that was overtaken speaks of the same reset, give or take a second."""
    for later, expected in ((30.9, 1), (31.1, 4)):
        bucket = tokens(10, 1.0, 10)
        bucket.correct(1, 30)

        assert expected == bucket.correct(4, later)
        bucket.now += 20
        assert [20] * expected + [later if expected > 1 else 30] == [bucket.slot() for _ in range(expected + 1)]


def test_nothing_left_pauses_until_the_reset() -> None:
    """What is reserved moves; a word that says the same again moves nothing more."""
    bucket = tokens(1, 1.0, 3)
    bucket.reserve(3)
    taken = bucket.reserve()

    assert 0 == bucket.correct(0, 20)
    bucket.now += 1
    assert 0 == bucket.correct(0, 19)

    assert [20, 20] == bucket.ask("confirm", taken[4])
    assert 22 == bucket.slot()


def test_a_word_ends_with_its_reset() -> None:
    """From then on the documented rate counts alone, from the level that the word left."""
    bucket = tokens(1, 1.0, 10)
    bucket.correct(1, 4)
    assert [0, 4] == [bucket.slot(), bucket.slot()]

    bucket.now += 10

    assert 6 == bucket.described()["left"]
    assert "left_until" in (bucket.state() or {})
    bucket.reserve()
    assert "left_until" not in (bucket.state() or {})


def test_a_word_without_a_reset_lowers_the_level() -> None:
    """The bucket fills again from there as documented."""
    bucket = tokens(1, 1.0, 10)

    assert [3, 3] == [bucket.correct(3, 0), bucket.described()["left"]]
    assert [0, 0, 0, 1] == [bucket.slot() for _ in range(4)]
    assert 0 == bucket.correct(0, 0)
    assert [0, 0] == [bucket.correct(-4, -1), bucket.correct(0.5, 0)]


def test_calls_that_wait_are_part_of_what_the_provider_has_left() -> None:
    """It does not know of them yet, so they count against its word."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    taken = [bucket.reserve() for _ in range(3)]

    assert 1 == bucket.correct(4, 60)
    assert [4, 60] == [bucket.slot(), bucket.slot()]
    assert 2 == bucket.give_back(taken[0])
    assert 1 == bucket.slot()


def test_what_was_given_back_can_be_taken_again_within_the_word() -> None:
    """If it was taken after the provider spoke; what it has counted before stays counted."""
    bucket = tokens(1, 1.0, 10)
    before = bucket.reserve()
    bucket.now += 0.5
    bucket.correct(2, 30)
    assert 0 == bucket.give_back(before)
    after = bucket.reserve()

    assert 1 == bucket.give_back(after)
    assert [0.5, 0.5, 30.5] == [bucket.slot() for _ in range(3)]


def test_what_is_given_back_counts_in_the_word_only_if_it_has_counted_against_it() -> None:
    """Not what the provider has counted before it spoke, and not what goes after the reset."""
    bucket = tokens(1, 10.0, 10)
    before = bucket.reserve(5)
    bucket.now += 0.5
    bucket.correct(6, 30)

    assert 1 == bucket.give_back(before, 5)
    assert 6 == bucket.described()["left"]

    bucket = tokens(1, 1.0, 1)
    taken = [bucket.reserve() for _ in range(5)]
    bucket.correct(6, 2)
    assert 1 == bucket.give_back(taken[4])
    assert 2 == (bucket.state() or {})["left"]
    assert 2 == bucket.give_back(taken[1])
    assert 3 == (bucket.state() or {})["left"]


def test_no_call_of_a_lower_cost_goes_past_one_that_waits_for_the_reset() -> None:
    """First come, first served."""
    bucket = tokens(10, 1.0, 10)
    bucket.correct(3, 30)

    assert [30.3, 30.4] == [bucket.slot(4), bucket.slot(1)]


def test_a_hole_before_the_reset_is_no_way_around_the_word() -> None:
    """It is taken only by a call that the provider still allows; nobody waits in it."""
    for remaining, expected in ((2, [30, 31]), (3, [1, 30])):
        bucket = tokens(1, 1.0, 1)
        bucket.reserve()
        taken = [bucket.reserve() for _ in range(3)]
        assert 2 == bucket.give_back(taken[0])

        assert remaining - 2 == bucket.correct(remaining, 30)

        assert expected == [bucket.slot(), bucket.slot()]


def test_a_hole_that_is_made_under_the_word_may_be_taken_under_it() -> None:
    """The provider has counted on that call."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    taken = [bucket.reserve() for _ in range(3)]
    assert 0 == bucket.correct(3, 30)
    assert 2 == bucket.give_back(taken[0])

    assert [1, 30] == [bucket.slot(), bucket.slot()]


def test_an_unrated_bucket_takes_the_word_too() -> None:
    """Answers teach a rate that nobody has named."""
    bucket = Buckets(["unrated", 0, 0, 0, 1])

    assert 2 == bucket.correct(2, 30)
    assert 1 == bucket.give_back(bucket.reserve())
    assert [0, 0, 30, 30.05] == [bucket.slot() for _ in range(4)]


@pytest.mark.parametrize("reset_in", [1e300, math.inf])
def test_no_reset_is_believed_that_is_further_than_a_year(reset_in: float) -> None:
    """Whatever an answer says."""
    for remaining in (0, 1):
        bucket = tokens(10, 1.0, 10)
        bucket.correct(remaining, reset_in)
        bucket.reserve(remaining or 1)

        assert LONGEST_TIME == math.floor(bucket.look())


def test_nothing_left_ends_what_was_said_before() -> None:
    """After its reset the documented rate counts."""
    bucket = tokens(10, 1.0, 10)
    bucket.correct(2, 30)
    bucket.correct(0, 5)
    bucket.now += 6

    assert [6] * 10 == [bucket.slot() for _ in range(10)]


def test_less_than_nothing_left_is_nothing() -> None:
    """Some providers count on below zero."""
    bucket = tokens(1, 1.0, 10)
    bucket.correct(-40, 0)

    assert 1 == bucket.look()


# States


def test_another_algorithm_counts_anew_but_keeps_the_pause() -> None:
    """A policy has changed; the provider has not."""
    bucket = tokens(1, 1.0, 1)
    bucket.reserve()
    bucket.pause(5)

    bucket.spec = ["fixed_window", 2, 1.0, 2, 1]

    assert 5 == bucket.look()
    bucket.pause(1000)
    bucket.spec = ["moving_window", 2, 1.0, 2, 1]
    bucket.correct(2, 1)
    bucket.now += 990
    assert 10 == bucket.look()


def test_a_state_is_kept_as_long_as_it_says_anything() -> None:
    """Until the bucket is full again, and some seconds for those who are late."""
    bucket = tokens(1, 10.0, 2)
    bucket.reserve()
    bucket.reserve()

    bucket.now += 24.9
    assert bucket.state() is not None
    bucket.now += 0.2
    assert bucket.state() is None


def test_a_pause_is_kept_until_its_end() -> None:
    """Also where nothing else is known."""
    bucket = Buckets(["fixed_window", 1, 1.0, 1, 1])
    bucket.pause(1000)
    bucket.now += 999

    assert 1 == bucket.look()


@pytest.mark.parametrize("algorithm", ["token_bucket", "fixed_window", "moving_window", "sliding_window_counter"])
def test_a_state_from_another_clock_locks_nobody_out(algorithm: str) -> None:
    """A time that no wait can reach is not believed."""
    bucket = Buckets([algorithm, 1, 60.0, 1, 1], now=4e9)
    bucket.reserve()
    bucket.reserve()
    state = bucket.state()
    bucket.store = MemoryStore()
    bucket.now = 100
    bucket.store._states[KEY] = (1e18, state or {})

    assert [1, 0] == bucket.reserve()[:2]
    assert 60 >= bucket.look()


def test_a_state_says_for_people_what_it_holds() -> None:
    """The rate as it was used last, what is left, how long it is paused, and how much waits."""
    bucket = tokens(2, 1.0, 4)
    bucket.reserve(3)
    known = {"algorithm": "token_bucket", "amount": 2, "seconds": 1.0, "burst": 4}

    assert {**known, "left": 1, "paused": 0, "waiting": 0, "next": 0} == bucket.described()
    bucket.reserve(3)
    assert {**known, "left": 0, "paused": 0, "waiting": 2, "next": 1.5} == bucket.described()
    bucket.pause(5)
    assert {**known, "left": 0, "paused": 5, "waiting": 2, "next": 6.5} == bucket.described()


def test_a_description_counts_who_still_waits() -> None:
    """Whoever has gone does not; a state that another program has written has an end as well."""
    bucket = Buckets(["unrated", 0, 0, 0, 1])
    bucket.pause(10)
    for _ in range(5):
        bucket.reserve()
    foreign: State = {"algorithm": "unrated", "amount": 0, "seconds": 0, "burst": 0, "since": 0.0, "next": 1e9}

    bucket.now += 10.11

    assert 2 == bucket.described()["waiting"]
    assert 20_000 < describe(foreign, -1.0)["waiting"] < 25_000  # type: ignore[operator]


def test_a_description_of_a_bucket_without_a_rate_in_which_nobody_waits() -> None:
    """Paused or not: nobody is kept from it later."""
    bucket = Buckets(["unrated", 0, 0, 0, 1])
    bucket.pause(10)

    paused = bucket.described()
    bucket.now += 10.001
    resumed = bucket.described()

    assert (0, 10, 0, 10) == (paused["left"], paused["paused"], paused["waiting"], paused["next"])
    assert (math.inf, 0, 0, 0) == (resumed["left"], resumed["paused"], resumed["waiting"], resumed["next"])


def test_a_description_knows_the_providers_word() -> None:
    """While it holds."""
    bucket = tokens(1, 1.0, 10)
    bucket.correct(2, 5)
    bucket.now += 4

    assert 2 == bucket.described()["left"]
    bucket.now += 1
    assert 7 == bucket.described()["left"]


# Whatever happens


@given(st.lists(st.tuples(commands_bucket(), st.sampled_from([0, 0.3, 100.0])), max_size=20), st.sampled_from(STARTS))
def test_no_command_breaks_a_bucket(commands: list[tuple[Command, float]], now: float) -> None:
    """Whatever the rates of a key were before: the reply has its numbers, and no wait is negative or endless."""
    store = MemoryStore()
    for command, after in commands:
        now += after
        reply = store.run(command, now)

        assert all(math.isfinite(number) for number in reply)
        if command.name == "bucket.reserve":
            assert reply[1] >= 0
            assert (reply[2] == -1) == (reply[0] == 1 and reply[1] == 0)


@given(
    st.lists(steps_bucket(), max_size=40), st.lists(specs(), min_size=3, max_size=3), st.sampled_from(STARTS),
    st.lists(st.booleans(), min_size=40, max_size=40),
)  # fmt: skip
def test_looking_and_being_refused_leave_no_trace(
    steps: list[Step], rates: list[list[Any]], start: float, looks: list[bool]
) -> None:
    """A history goes on the same with and without them."""
    plain, looked = MemoryStore(), MemoryStore()

    def also_look(command: Command, now: float) -> Reply:
        if looks[int(now * 1000) % 40]:
            arguments = [[*rate[:4], 1] for rate in rates]
            looked.run(Command("bucket.look", KEYS, (arguments,)), now)
            if looked.run(Command("bucket.look", KEYS, (arguments,)), now)[0]:
                looked.run(Command("bucket.reserve", KEYS, (0.0, arguments)), now)
        return looked.run(command, now)

    assert play(steps, rates, plain.run, start) == play(steps, rates, also_look, start)


class Waiter:
    """A call that waits: its slot as its bucket has it now."""

    def __init__(self, reply: Reply, cost: int) -> None:
        self.slot, self.shift, self.cost = reply[3], reply[4], cost


class TokenBucketMachine(RuleBasedStateMachine):
    """One bucket, its waiting calls, and everything that went, under any interleaving."""

    def __init__(self, make_store: StoreMaker = MemoryStore) -> None:
        super().__init__()
        self.make_store = make_store

    @initialize(
        amount=st.integers(1, 20),
        seconds=st.sampled_from([0.7, 1.0, 60.0]),
        burst=st.integers(1, 5),
        start=st.sampled_from(STARTS),
    )
    def begin(self, amount: int, seconds: float, burst: int, start: float) -> None:
        self.bucket = Buckets(["token_bucket", amount, seconds, burst, 1], start, self.make_store)
        self.interval = seconds / amount
        self.burst = burst
        self.waiting: list[Waiter] = []
        self.sent: list[tuple[float, int]] = []
        self.latest: tuple[Reply, int] | None = None
        self.pauses: list[tuple[float, float]] = []
        self.word: tuple[float, float, float] | None = None
        self.holes = 0

    def shift(self) -> float:
        """By how much the bucket has moved what was reserved."""
        return self.bucket.ask("confirm", 0)[1]

    def due(self, waiter: Waiter, shift: float | None = None) -> float:
        """When a waiting call goes, as things are."""
        moved = (self.shift() if shift is None else shift) - waiter.shift
        return waiter.slot + max(0.0, moved)

    def going(self, most: int = 1000) -> list[tuple[float, int]]:
        """When calls went and will go, and their costs."""
        shift = self.shift()
        return sorted([*self.sent[-most:], *((self.due(each, shift), each.cost) for each in self.waiting)])

    @rule(cost=st.integers(1, 5), max_wait=st.sampled_from([0.0, 1.0, 1e6]))
    def reserve(self, cost: int, max_wait: float) -> None:
        cost = min(cost, self.burst)
        looked = self.bucket.look(cost)
        shift = self.shift()
        behind = max((self.due(waiter, shift) for waiter in self.waiting), default=-math.inf)
        reply = self.bucket.reserve(cost, max_wait)
        granted, wait, index, slot, _ = reply

        assert looked == wait
        assert granted or wait > max_wait
        assert not granted or wait <= max_wait + LATE
        if not granted:
            return
        if index < 0:
            self.sent.append((self.bucket.now, cost))
            self.latest = (reply, cost)
        else:
            self.waiting.append(Waiter(reply, cost))
            self.latest = None
        # First come, first served, unless somebody has left.
        if not self.holes:
            assert slot >= behind - LATE
        else:
            self.holes -= slot < behind

    @rule(share=st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.3, 40.0]))
    def wait(self, share: float) -> None:
        until = self.bucket.now + share * self.interval
        while self.waiting:
            shift = self.shift()
            first = min(self.waiting, key=lambda each: self.due(each, shift))
            slot = self.due(first, shift)
            if slot > until:
                break
            # Their line lets calls of one cost take their slots in order, as they are due.
            self.bucket.now = max(self.bucket.now, first.slot)
            more, shift = self.bucket.ask("confirm", first.shift)
            if more:
                first.slot, first.shift = first.slot + (shift - first.shift), shift
                if first.slot > until:
                    continue
            self.waiting.remove(first)
            self.bucket.now = max(self.bucket.now, first.slot)
            self.sent.append((self.bucket.now, first.cost))
        self.bucket.now = max(self.bucket.now, until)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        waiter = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        kept = self.bucket.give_back([1, 0, 0, waiter.slot, waiter.shift], waiter.cost)

        if self.due(waiter) >= self.bucket.now:
            assert kept
        self.holes += kept == 2

    @precondition(lambda self: self.latest is not None)
    @rule()
    def was_not_sent(self) -> None:
        assert self.latest is not None
        reply, cost = self.latest
        self.latest = None
        if self.bucket.give_back(reply, cost):
            self.sent.remove((reply[3], cost))

    @rule(intervals=st.sampled_from([0, 0.5, 3, 30]))
    def pause(self, intervals: float) -> None:
        seconds = intervals * self.interval
        left = self.bucket.pause(seconds)

        assert left >= seconds - LATE
        self.pauses.append((self.bucket.now, self.bucket.now + left))
        self.latest = None

    @rule(remaining=st.integers(0, 6), intervals=st.sampled_from([0.5, 3, 10]))
    def speak(self, remaining: int, intervals: float) -> None:
        left = self.bucket.correct(remaining, intervals * self.interval)

        assert 0 <= left <= max(remaining, 0)
        self.latest = None
        if remaining == 0:
            self.word = None
            self.pauses.append((self.bucket.now, self.bucket.now + intervals * self.interval))
        else:
            state = self.bucket.state() or {}
            if (
                state["left_since"] < self.bucket.now
                or state["left_until"] != self.bucket.now + intervals * self.interval
            ):
                return
            # What waits has its slots, and of a call that costs more than one, a part may have come together already.
            costs = [waiter.cost for waiter in self.waiting]
            most = max(remaining, sum(costs)) + max(costs, default=1) - 1
            self.word = (self.bucket.now, self.bucket.now + intervals * self.interval, most)

    @invariant()
    def never_more_than_the_rate(self) -> None:
        if not hasattr(self, "bucket"):
            return
        # The sum of costs may grow with the rate, plus the burst over its least so far: the same as over every window.
        total, least = 0.0, math.inf
        for slot, cost in self.going(most=60):
            least = min(least, total - slot / self.interval)
            total += cost
            assert total - slot / self.interval - least <= self.burst + LATE / self.interval + 1e-6

    @invariant()
    def nobody_goes_during_a_pause(self) -> None:
        if not hasattr(self, "bucket"):
            return
        for slot, _ in self.going(most=20):
            # Who went in the moment in which a pause began was sent before it.
            assert not any(begin + LATE < slot < end - LATE for begin, end in self.pauses)

    @invariant()
    def the_providers_word_is_kept(self) -> None:
        if not hasattr(self, "bucket") or self.word is None:
            return
        begin, end, most = self.word
        assert most >= sum(cost for slot, cost in self.going() if begin + LATE < slot < end - LATE)


TestTokenBucketMachine = TokenBucketMachine.TestCase
TestTokenBucketMachine.settings = settings(stateful_step_count=40)


@given(st.integers(1, 12), st.data(), st.sampled_from(STARTS), st.integers(1, 4))
def test_slots_given_back_are_the_slots_of_the_next_calls(
    count: int, data: st.DataObject, start: float, burst: int
) -> None:
    """Whoever leaves in whatever order: those who come then go exactly when those would have gone."""
    bucket = tokens(10, 1.0, burst, start)
    bucket.reserve(burst)
    taken = [bucket.reserve() for _ in range(count)]
    leaving = data.draw(st.lists(st.sampled_from(range(count)), unique=True))

    for index in leaving:
        assert bucket.give_back(taken[index])
    again = sorted(bucket.reserve()[3] for _ in leaving)

    assert pytest.approx(sorted(taken[index][3] for index in leaving), abs=1e-6) == again
    assert pytest.approx((count + 1) / 10, abs=1e-6) == bucket.look()


@given(st.integers(1, 400), st.sampled_from([1, 3, 7, 997, 10_000]), st.sampled_from(STARTS))
def test_a_million_calls_in_a_row_gather_no_error(calls: int, amount: int, start: float) -> None:
    """The slot of call n is n intervals away, however large the numbers of the clock are."""
    bucket = tokens(amount, 1.0, 1, start)
    bucket.reserve()
    for _ in range(calls - 1):
        reply = bucket.reserve()
        bucket.now = min(reply[3], bucket.now + 0.9 / amount)

    assert pytest.approx(start + calls / amount, abs=1e-6) == bucket.reserve()[3]
