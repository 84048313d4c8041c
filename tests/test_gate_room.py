"""How much room there is in front of a pool: what keeps the program busy, whatever a call costs and the network takes."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resilience._gate_room import Room

FEWEST, MOST = 3, 100
STEP = 0.01


class Plant:
    """A program that calls a provider in a closed loop, in steps of a hundredth of a second.

    Arguments:
        callers: so many calls are wanted at a time.
        latency: the seconds that the network and the provider take for one.
        cost: the seconds of work for one call.
        more: the seconds that are added to it for each call at a time.
    """

    def __init__(self, callers: int, latency: float, cost: float, more: float) -> None:
        self.callers, self.latency, self.cost, self.more = callers, latency, cost, more

    def rate(self, inside: float) -> tuple[float, float]:
        """Calls per second with so many inside, and the share of its time that the program works for them."""
        cost = self.cost + self.more * inside
        rate = min(inside / (self.latency + cost), 1 / cost)
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
            room.measured(STEP, work * STEP, inside, is_short=self.callers > inside)
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


@pytest.mark.parametrize("latency", [0.05, 0.2, 1.0])
def test_a_burst_for_a_slow_provider_is_in_flight_at_once(latency: float) -> None:
    """In less than a tenth of the time that the first answer takes."""
    room = Room(FEWEST, MOST)
    seconds = 0.0

    while room.size < MOST:
        assert room.is_growing
        room.measured(0.002, 0.0001, math.floor(room.size), is_short=True)
        seconds += 0.002

    assert seconds <= 0.02
    assert not room.is_growing


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
        room.measured(STEP, 0.0, 1, is_short=False)

    assert FEWEST == room.size


def test_room_goes_from_the_number_that_was_inside() -> None:
    """What was wide open for another provider costs nothing here, and would take long to close."""
    room = Room(FEWEST, MOST)
    for _ in range(20):
        room.measured(STEP, 0.0, MOST, is_short=True)
    assert MOST == room.size

    for _ in range(20):
        room.measured(STEP, STEP, 20, is_short=False)

    assert room.size < 20


def test_one_strange_measurement_changes_little() -> None:
    """Short ones count with those before them; the first is believed alone."""
    room = Room(FEWEST, MOST)
    for _ in range(10):
        room.measured(0.002, 0.002, FEWEST, is_short=True)

    room.measured(0.002, 0.0, FEWEST, is_short=True)

    assert FEWEST == room.size
    # Nobody works for longer than a time lasts; of another thread's clock one knows nothing.
    room.measured(0.05, 100.0, FEWEST, is_short=True)
    for _ in range(2):
        room.measured(0.05, 0.0, FEWEST, is_short=True)
    assert room.size > FEWEST
    room = Room(FEWEST, MOST)
    room.measured(0.05, 0.05, FEWEST, is_short=True)
    room.begin()
    room.measured(0.002, 0.0, FEWEST, is_short=True)
    assert room.size > FEWEST


@given(
    steps=st.lists(
        st.tuples(st.floats(0, math.inf), st.floats(-10, 10), st.integers(0, 3000), st.booleans()), max_size=60
    ),
    fewest=st.integers(1, 5),
    more=st.integers(0, 200) | st.just(math.inf),
)
def test_whatever_is_measured_the_bounds_hold(
    steps: list[tuple[float, float, int, bool]], fewest: int, more: float
) -> None:
    """Clocks may stand still or go wrong."""
    room = Room(fewest, fewest + more)

    for seconds, worked, inside, is_short in steps:
        room.measured(seconds, worked, inside, is_short=is_short)
        assert fewest <= room.size <= fewest + more
