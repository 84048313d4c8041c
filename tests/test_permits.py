"""Permits: never more than the number out, nothing lost, and a number that follows what the provider bears."""

from __future__ import annotations

import itertools
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from resilience._permits import describe
from resilience._transactions import Command, Reply, State
from resilience.stores._memory import MemoryStore
from tests.given_time_stores import StoreMaker
from tests.strategies_permits import commands_permits

KEY = "{p}:permits:a"
OTHER = "{p}:permits:b"


class Permits:
    """A store at a time that the test sets."""

    def __init__(self, now: float = 0.0, make_store: StoreMaker = MemoryStore) -> None:
        self.store = make_store()
        self.now = now

    def ask(self, verb: str, keys: tuple[str, ...], *arguments: Any) -> Reply:
        return self.store.run(Command(f"permits.{verb}", keys, arguments), self.now)

    def acquire(self, holder: str, documented: int = 2, lease: float = 30.0) -> Reply:
        return self.ask("acquire", (KEY,), holder, lease, documented)

    def release(self, holder: str) -> Reply:
        return self.ask("release", (KEY,), holder)

    def state(self, key: str = KEY) -> State | None:
        # The store's time is that of the last command.
        self.ask("release", ("{p}:permits:none",), "nobody")
        return dict(self.store.scan()).get(key)

    def described(self) -> dict[str, float | None]:
        state = self.state()
        assert state is not None
        return describe(state, self.now)


def crowd(count: int, documented: int = 0) -> Permits:
    """So many calls in flight."""
    permits = Permits()
    for number in range(count):
        permits.acquire(f"call-{number}", documented)
    return permits


def test_as_many_as_the_number_are_let_through() -> None:
    """The next is told how long the earliest lease lasts at most, which limit is full, and its number."""
    permits = Permits()

    assert [1, 0, -1, 0, 0] == permits.acquire("a", lease=30)
    permits.now = 1.0
    assert [1, 0, -1, 0, 0] == permits.acquire("b", lease=10)
    permits.now = 2.0
    assert [0, 9, 0, 2] == permits.acquire("c")


def test_a_place_that_is_given_back_is_free() -> None:
    """Once for each that was taken; giving back what one does not have gives nothing."""
    permits = crowd(2, 2)

    assert [1] == permits.release("call-0")
    assert [0] == permits.release("call-0")
    assert 1 == permits.acquire("c")[0]
    assert 0 == permits.acquire("d")[0]


def test_a_call_that_asks_again_has_one_place() -> None:
    """A store that granted and could not say so is asked twice."""
    permits = crowd(1, 1)
    permits.now = 10.0

    assert 1 == permits.acquire("call-0", 1)[0]
    assert {"call-0": 40.0} == (permits.state() or {})["holders"]


def test_all_places_or_none() -> None:
    """A call that one limit refuses is not counted by the others either."""
    permits = Permits()
    permits.ask("acquire", (OTHER,), "a", 30.0, 1)

    assert [0, 30, 1, 1] == permits.ask("acquire", (KEY, OTHER), "b", 30.0, 5, 1)
    assert permits.state() is None


def test_the_places_of_a_call_that_died_are_free_after_its_lease() -> None:
    """Not before, and only its own."""
    permits = Permits()
    permits.acquire("dead", lease=10)
    permits.acquire("alive", lease=30)

    permits.now = 9.99
    assert 0 == permits.acquire("c")[0]
    permits.now = 10.0
    assert 1 == permits.acquire("c")[0]
    assert [0, 20, 0, 2] == permits.acquire("d")


def test_a_lease_that_is_renewed_lasts() -> None:
    """From the moment of its renewal."""
    permits = Permits()
    permits.acquire("a", 1, lease=10)
    permits.now = 9.0

    assert [1] == permits.ask("renew", (KEY,), "a", 10.0)
    permits.now = 18.9
    assert 0 == permits.acquire("b", 1)[0]
    permits.now = 19.0
    assert 1 == permits.acquire("b", 1)[0]


def test_a_call_that_lost_its_place_takes_it_again() -> None:
    """It is in flight whatever the store forgot; the next ones wait until there are few enough."""
    permits = Permits()
    permits.acquire("slow", 1, lease=10)
    permits.now = 10.0
    permits.acquire("next", 1, lease=30)

    assert [0] == permits.ask("renew", (KEY,), "slow", 10.0)
    permits.release("next")
    assert [0, 10, 0, 1] == permits.acquire("c", 1)


def test_nothing_is_kept_at_rest() -> None:
    """A limit without calls in flight is no state."""
    permits = crowd(2, 2)

    permits.release("call-0")
    permits.release("call-1")

    assert permits.state() is None


def test_a_number_that_nobody_knows_is_no_limit() -> None:
    """Until an answer teaches one."""
    permits = crowd(1000)

    assert 1000 == permits.described()["in_flight"]
    assert permits.described()["most"] is None


def test_a_refusal_of_the_provider_halves_what_is_in_flight() -> None:
    """Of what is in flight, not of what would be allowed: that may be far more."""
    for documented in (0, 100):
        permits = crowd(10, documented)

        assert [1] == permits.ask("lower", (KEY,), 0, documented)
        assert 5 == permits.described()["most"]
        assert 0 == permits.acquire("c", documented)[0]


def test_a_documented_number_below_what_is_in_flight_is_what_is_halved() -> None:
    """After a change to a smaller plan more may be in flight than it allows."""
    permits = crowd(10, 10)

    permits.ask("lower", (KEY,), 0, 4)

    assert 2 == permits.described()["most"]


def test_many_refusals_of_one_crowd_lower_once() -> None:
    """Only a call that came after the last lowering says anything about the lower number."""
    permits = crowd(16)
    early = permits.acquire("early", 0)[3]

    assert [1] == permits.ask("lower", (KEY,), 0, 0)
    assert [0] == permits.ask("lower", (KEY,), early, 0)
    assert 8 == permits.described()["most"]
    for number in range(12):
        permits.release(f"call-{number}")
    late = permits.acquire("late", 0)
    assert [1, 1] == late[3:]
    assert [1] == permits.ask("lower", (KEY,), late[3], 0)
    assert 3 == permits.described()["most"]


def test_it_never_falls_below_one() -> None:
    """However often the provider refuses a single call."""
    permits = crowd(1)

    for lowerings in range(5):
        assert [1] == permits.ask("lower", (KEY,), lowerings, 0)

    assert 1 == permits.described()["most"]


def test_success_raises_it_to_the_documented_number() -> None:
    """One more for as many successes as the number is high, and then it is what it was."""
    permits = crowd(8, 8)
    permits.ask("lower", (KEY,), 0, 8)

    raised = 0
    while permits.ask("raise_", (KEY,), 1, 8) == [1]:
        raised += 1

    assert 8 == permits.described()["most"]
    assert "most" not in (permits.state() or {})
    # The sum of 4, 5, 6, 7, and somewhat more, since the number rises meanwhile.
    assert 22 <= raised <= 28


def test_a_success_from_before_the_lowering_raises_nothing() -> None:
    """It tells what was borne by a number that is over."""
    permits = crowd(8, 8)
    permits.ask("lower", (KEY,), 0, 8)

    assert [0] == permits.ask("raise_", (KEY,), 0, 8)
    assert 4 == permits.described()["most"]


def test_what_is_not_documented_rises_while_it_is_used() -> None:
    """A number that nobody needs proves nothing, and one that is needed may rise for ever."""
    permits = crowd(8)
    permits.ask("lower", (KEY,), 0, 0)
    for number in range(8):
        permits.release(f"call-{number}")
    permits.acquire("a", 0)

    assert [0] == permits.ask("raise_", (KEY,), 1, 0)
    names = (f"more-{number}" for number in itertools.count())
    for _ in range(100):
        while permits.acquire(next(names), 0)[0]:
            """One more finds a place."""
        assert [1] == permits.ask("raise_", (KEY,), 1, 0)
    # Each success adds one over the number: its square grows by two.
    assert math.isclose(math.sqrt(16 + 2 * 100), (permits.state() or {})["most"], rel_tol=0.02)


def test_what_was_learned_is_forgotten_after_an_hour() -> None:
    """And until then it outlives the calls that learned it."""
    permits = crowd(4)
    permits.ask("lower", (KEY,), 0, 0)
    for number in range(4):
        permits.release(f"call-{number}")

    permits.now = 3599.0
    assert 2 == permits.described()["most"]
    permits.now = 3600.0
    assert permits.state() is None


def test_a_change_of_plan_keeps_the_calls_in_flight() -> None:
    """The number is the asker's, the places are everybody's."""
    permits = crowd(5, 5)

    assert 0 == permits.acquire("c", 5)[0]
    assert 1 == permits.acquire("c", 10)[0]
    assert 0 == permits.acquire("d", 5)[0]


def test_what_was_learned_is_never_more_than_what_is_documented() -> None:
    """Also after a change to a smaller plan."""
    permits = crowd(16, 16)
    permits.ask("lower", (KEY,), 0, 16)
    for number in range(13):
        permits.release(f"call-{number}")

    assert [0, 30, 0, 3] == permits.acquire("c", 3)
    assert 1 == permits.acquire("c", 16)[0]


def test_a_state_is_described_in_numbers() -> None:
    """As a store keeps it, also one that writes an empty table as a list."""
    permits = Permits()
    permits.acquire("a", 5, lease=10)
    permits.acquire("b", 5, lease=30)
    permits.now = 12.0

    assert {"in_flight": 1, "most": 5, "documented": 5, "lease_ends_in": 18} == permits.described()
    assert {"in_flight": 0, "most": 2, "documented": None, "lease_ends_in": None} == describe(
        {"holders": [], "earliest": 0.0, "latest": 0.0, "number": 0, "lowerings": 1, "most": 2.5}, 0.0
    )


class PermitsMachine(RuleBasedStateMachine):
    """Two limits and their model: the leases in flight, the number that is borne, and how often it was lowered."""

    def __init__(self, make_store: StoreMaker = MemoryStore) -> None:
        super().__init__()
        self.make_store = make_store

    @initialize(now=st.sampled_from([0.0, 0.1, 1.8e9]), numbers=st.tuples(st.integers(0, 3), st.integers(0, 3)))
    def begin(self, now: float, numbers: tuple[int, int]) -> None:
        self.permits = Permits(now, self.make_store)
        self.numbers = dict(zip((KEY, OTHER), numbers, strict=True))
        self.leases: dict[str, dict[str, float]] = {KEY: {}, OTHER: {}}
        self.most: dict[str, float] = {KEY: math.inf, OTHER: math.inf}
        self.lowerings = {KEY: 0, OTHER: 0}
        self.count = 0

    def live(self, key: str) -> dict[str, float]:
        return {holder: ends for holder, ends in self.leases[key].items() if ends > self.permits.now}

    def bearable(self, key: str) -> float:
        return min(self.most[key], self.numbers[key] or math.inf)

    def holders(self) -> list[str]:
        return sorted({*self.leases[KEY], *self.leases[OTHER]})

    @rule(keys=st.sampled_from([(KEY,), (OTHER,), (KEY, OTHER)]), lease=st.sampled_from([1.0, 10.0, 30.0]))
    def acquire(self, keys: tuple[str, ...], lease: float) -> None:
        """Granted if and only if each limit has a place; never more are out than there are."""
        self.count += 1
        holder = f"call-{self.count}"
        full = [key for key in keys if len(self.live(key)) + 1 > self.bearable(key)]

        reply = self.permits.ask("acquire", keys, holder, lease, *(self.numbers[key] for key in keys))

        assert float(not full) == reply[0]
        if full:
            assert keys.index(full[0]) == reply[2]
            assert min(self.live(full[0]).values()) - self.permits.now == reply[1]
            return
        for index, key in enumerate(keys):
            self.leases[key][holder] = self.permits.now + lease
            assert len(self.live(key)) <= self.bearable(key)
            assert self.lowerings[key] == reply[3 + 2 * index]
            assert float(self.most[key] < math.inf) == reply[4 + 2 * index]

    @precondition(lambda self: self.holders())
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """What is given back is free, and nothing else is."""
        holder = data.draw(st.sampled_from(self.holders()))
        expected = sum(holder in self.live(key) for key in (KEY, OTHER))

        assert [expected] == self.permits.ask("release", (KEY, OTHER), holder)

        for key in (KEY, OTHER):
            self.leases[key].pop(holder, None)

    @precondition(lambda self: self.holders())
    @rule(data=st.data(), lease=st.sampled_from([5.0, 50.0]))
    def renew(self, data: st.DataObject, lease: float) -> None:
        """What is renewed lasts, or is back."""
        holder = data.draw(st.sampled_from(self.holders()))
        keys = tuple(key for key in (KEY, OTHER) if holder in self.leases[key])
        expected = sum(holder in self.live(key) for key in keys)

        assert [expected] == self.permits.ask("renew", keys, holder, lease)

        for key in keys:
            self.leases[key][holder] = self.permits.now + lease

    @rule(key=st.sampled_from([KEY, OTHER]), late=st.booleans())
    def lower(self, key: str, late: bool) -> None:
        """Halved, once for a crowd, never below one."""
        seen = self.lowerings[key] - (not late)
        before = self.bearable(key)

        assert [float(late)] == self.permits.ask("lower", (key,), seen, self.numbers[key])

        if late:
            self.most[key] = max(1.0, min(before, max(1, len(self.live(key)))) / 2)
            self.lowerings[key] += 1
            assert 1 <= self.most[key] <= max(1.0, before / 2)

    @rule(key=st.sampled_from([KEY, OTHER]), late=st.booleans())
    def raise_(self, key: str, late: bool) -> None:
        """Up slowly, to the documented number and no further."""
        seen = self.lowerings[key] - (not late)
        most, number = self.most[key], self.numbers[key]
        needed = number or len(self.live(key)) + 1 > most
        raised = late and most < math.inf and needed

        assert [float(bool(raised))] == self.permits.ask("raise_", (key,), seen, number)

        if raised:
            most += 1 / most
            self.most[key] = math.inf if number and most >= number else most

    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0, 20.0]))
    def pass_(self, seconds: float) -> None:
        """Time goes on."""
        self.permits.now += seconds

    @invariant()
    def kept(self) -> None:
        """What the store keeps is what is in flight, and at rest nothing but what was learned."""
        for key in (KEY, OTHER):
            state = self.permits.state(key)
            if state is not None:
                assert len(self.live(key)) == describe(state, self.permits.now)["in_flight"]
            else:
                assert not self.live(key)
                assert math.inf == self.most[key]
                # Without a state there is no count either, and nobody in flight who would compare it.
                self.lowerings[key] = 0


TestPermitsMachine = PermitsMachine.TestCase
TestPermitsMachine.settings = settings(max_examples=200, stateful_step_count=40)


@given(commands=st.lists(st.tuples(commands_permits(), st.floats(0, 400)), max_size=60))
def test_every_sequence_of_commands_is_answered(commands: list[tuple[Command, float]]) -> None:
    """In finite numbers, and within an hour and the longest lease after the last nothing is kept."""
    store, now = MemoryStore(), 0.0

    for command, seconds in commands:
        now += seconds
        assert all(math.isfinite(number) for number in store.run(command, now))

    store.run(Command("permits.release", (KEY,), ("nobody",)), now + 5000)
    assert [] == list(store.scan())
