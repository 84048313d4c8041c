"""How much room there is in front of a pool: what keeps the program busy, whatever a call costs and the network takes."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from resilience._gate_room import Room, Work

FEWEST, MOST = 3, 100
STEP = 0.01
OWN = 0.6
"""The part of a call's work that is done inside: over a loopback six tenths of all that is done for it."""


def busy(seconds: float, own: float | None = None) -> Work:
    """So much work, all of it for these calls if nothing else is said."""
    return Work(seconds, seconds, OWN * seconds if own is None else own, 1)


IDLE = busy(0.0)


class Plant:
    """A program that calls a provider in a closed loop, in steps of a hundredth of a second.

    Arguments:
        callers: so many calls are wanted at a time.
        latency: the seconds that the network and the provider take for one.
        cost: the seconds of work for one call.
        more: the seconds that are added to it for each call at a time.
        others: the share of its time that other work of the program wants.
    """

    def __init__(self, callers: int, latency: float, cost: float, more: float, others: float = 0.0) -> None:
        self.callers, self.latency, self.cost, self.more, self.others = callers, latency, cost, more, others

    def rate(self, inside: float) -> tuple[float, float]:
        """Calls per second with so many inside, and the share of its time that the program works for them."""
        cost = self.cost + self.more * inside
        rate = min(inside / (self.latency + cost), (1 - self.others) / cost)
        return rate, rate * cost

    def best(self) -> float:
        """The most that any number of places gives."""
        return max(self.rate(inside)[0] for inside in range(FEWEST, min(MOST, self.callers) + 1))

    def run(self, room: Room, seconds: float) -> float:
        """Calls per second, of that time."""
        done = 0.0
        for _ in range(round(seconds / STEP)):
            inside = min(math.floor(room.size), self.callers)
            rate, work = self.rate(inside)
            done += rate * STEP
            # Other work is never done: what calls leave it takes.
            used = STEP if self.others else work * STEP
            room.measured(STEP, busy(used, OWN * work * STEP), inside, is_short=self.callers > inside)
        return done / seconds


@given(
    callers=st.integers(4, 2000),
    latency=st.floats(0.0001, 2.0),
    cost=st.floats(0.0002, 0.003),
    more=st.floats(0, 0.00003),
)
@example(callers=50, latency=0.02, cost=0.0006, more=0.000008)
@example(callers=500, latency=0.2, cost=0.0007, more=0.000008)
@example(callers=50, latency=0.0005, cost=0.0006, more=0.00003)
@example(callers=2000, latency=0.0001, cost=0.0002, more=0.00003)
def test_nearly_as_many_calls_are_made_as_with_the_best_number(
    callers: int, latency: float, cost: float, more: float
) -> None:
    """Which nobody knows: it is 3 over a loopback, and 100 for a provider that takes long."""
    plant, room = Plant(callers, latency, cost, more), Room(FEWEST, MOST)

    plant.run(room, 1.0)

    assert plant.run(room, 5.0) >= 0.9 * plant.best()


@given(
    callers=st.integers(10, 500),
    latency=st.floats(0.02, 2.0),
    cost=st.floats(0.0003, 0.001),
    others=st.floats(0.3, 0.7),
)
@example(callers=50, latency=0.09, cost=0.0008, others=0.5)
def test_who_is_busy_with_something_else_keeps_no_calls_waiting(
    callers: int, latency: float, cost: float, others: float
) -> None:
    """Another client's calls, or the application's own work, which never leave the loop a rest."""
    assume(callers / latency * cost < 0.3 * (1 - others))
    plant, room = Plant(callers, latency, cost, 0.0, others), Room(FEWEST, MOST)

    plant.run(room, 1.0)

    assert plant.run(room, 5.0) >= 0.9 * plant.best()


@pytest.mark.parametrize("cost", [0.0002, 0.001])
def test_a_burst_for_a_slow_provider_is_in_flight_soon(cost: float) -> None:
    """Little later than it can be sent: the program works for it, and rests for a look in between."""
    room = Room(FEWEST, MOST)
    seconds, sent, before = 0.0, 0, 0

    while sent < MOST and seconds < 1.0:
        assert room.is_growing
        now = max(0, math.floor(room.size) - sent)
        sent, spent = sent + now, max(0.002, now * cost)
        seconds += spent
        room.measured(spent, Work(now * cost, now * cost, (sent - before) * cost / 2, 0), sent, is_short=True)
        before = sent

    assert seconds <= MOST * cost + 0.05
    room.measured(0.05, IDLE, MOST, is_short=True)
    assert not room.is_growing


def test_what_was_measured_before_any_answer_came_is_not_kept() -> None:
    """A burst that is being sent keeps the program busy, and the next moment it rests."""
    room = Room(FEWEST, MOST)
    room.measured(0.01, Work(0.01, 0.01, 0.01, 0), FEWEST, is_short=True)
    assert FEWEST == room.size

    room.measured(0.002, Work(0.0, 0.0, 0.0, 0), FEWEST, is_short=True)

    assert FEWEST * 2 == pytest.approx(room.size, rel=0.1)


def test_it_follows_a_provider_that_becomes_slower_or_faster() -> None:
    """Within a second, and back."""
    near, far = Plant(500, 0.0005, 0.0006, 0.00001), Plant(500, 0.3, 0.0006, 0.00001)
    room = Room(FEWEST, MOST)

    sizes = list[float]()
    for plant in (near, far, near):
        plant.run(room, 1.0)
        sizes.append(room.size)

    assert MOST == sizes[1]
    assert sizes[0] < 10
    assert sizes[2] < 10


def test_room_that_nobody_needs_is_not_made() -> None:
    """A program that rests since nobody calls needs no more of it."""
    room = Room(FEWEST, MOST)

    for _ in range(100):
        room.measured(STEP, IDLE, 1, is_short=False)

    assert FEWEST == room.size


def test_room_goes_from_the_number_that_was_inside() -> None:
    """What was wide open for another provider costs nothing here, and would take long to close."""
    room = Room(FEWEST, MOST)
    for _ in range(20):
        room.measured(STEP, IDLE, MOST, is_short=True)
    assert MOST == room.size

    for _ in range(20):
        room.measured(STEP, busy(STEP), 20, is_short=False)

    assert room.size < 20


def test_one_strange_measurement_changes_little() -> None:
    """Short ones count with those before them; the first is believed alone."""
    room = Room(FEWEST, MOST)
    for _ in range(10):
        room.measured(0.002, busy(0.002), FEWEST, is_short=True)

    room.measured(0.002, IDLE, FEWEST, is_short=True)

    assert FEWEST == room.size
    # Nobody works for longer than a time lasts; of another thread's clock one knows nothing.
    room.measured(0.05, busy(100.0), FEWEST, is_short=True)
    for _ in range(2):
        room.measured(0.05, IDLE, FEWEST, is_short=True)
    assert room.size > FEWEST
    room = Room(FEWEST, MOST)
    room.measured(0.05, busy(0.05), FEWEST, is_short=True)
    room.begin()
    room.measured(0.002, IDLE, FEWEST, is_short=True)
    assert room.size > FEWEST


_SECONDS = st.floats(-10, 10)
WORK = st.builds(Work, _SECONDS, _SECONDS, _SECONDS, st.integers(0, 100))


@given(
    steps=st.lists(st.tuples(st.floats(0, math.inf), WORK, st.integers(0, 3000), st.booleans()), max_size=60),
    fewest=st.integers(1, 5),
    more=st.integers(0, 200) | st.just(math.inf),
)
def test_whatever_is_measured_the_bounds_hold(
    steps: list[tuple[float, Work, int, bool]], fewest: int, more: float
) -> None:
    """Clocks may stand still or go wrong."""
    room = Room(fewest, fewest + more)

    for seconds, work, inside, is_short in steps:
        room.measured(seconds, work, inside, is_short=is_short)
        assert fewest <= room.size <= fewest + more
