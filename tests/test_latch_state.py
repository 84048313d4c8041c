"""Latches: what an answer has shut stays shut, one call at a time looks whether it still holds, and a person may lift it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from resilience._latch_state import KEPT_SECONDS, describe
from resilience._transactions import Command, Reply, State
from resilience.stores._memory import MemoryStore
from tests.strategies_latch import commands_latch

ACCOUNT = "{p}:latch:account:a"
OPERATION = "{p}:latch:operation.scrape:a"
PAGE = "{p}:ledger:0"
OPEN = [1, 0, -1, 0, 0, 0, 0, 0]


class Latches:
    """A store at a time that the test sets; calls ask latches before their credits, of which these have none."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.now = 1000.0

    def run(self, name: str, keys: tuple[str, ...], *arguments: Any) -> Reply:
        return self.store.run(Command(name, keys, arguments), self.now)

    def shut(self, call: str = "a", seconds: float = 0, every: float = 300.0, key: str = ACCOUNT) -> Reply:
        return self.run("latch.shut", (key,), call, seconds, every, "no credits")

    def ask(self, call: str, *keys: str, obeys: int = 1) -> Reply:
        keys = keys or (ACCOUNT,)
        return self.run("credits.reserve", (*keys, PAGE), call, len(keys), obeys, 30.0, 1, 0)

    def answer(self, call: str, word: int, *keys: str) -> Reply:
        keys = keys or (ACCOUNT,)
        return self.run("credits.settle", (*keys, PAGE), call, len(keys), word, 0, 0)

    def lift(self, *keys: str) -> Reply:
        return self.run("latch.lift", keys or (ACCOUNT,))

    def states(self) -> dict[str, State]:
        # The store's time is that of the last command.
        self.lift("{p}:latch:none")
        return dict(self.store.scan("{p}:latch:"))


def shut(seconds: float = 0) -> Latches:
    """An account that is shut."""
    latches = Latches()
    latches.shut("a", seconds)
    return latches


def test_of_two_latches_the_one_that_opens_last_says_when() -> None:
    """In whichever order they stand: before that the call would only be refused by the other one."""
    latches = Latches()
    latches.shut("a", 60, key=ACCOUNT)
    latches.shut("a", 3600, key=OPERATION)

    assert [0, 2, 1, 3600] == latches.ask("b", ACCOUNT, OPERATION)[:4]
    assert [0, 2, 0, 3600] == latches.ask("b", OPERATION, ACCOUNT)[:4]
    latches.now += 60
    assert [0, 2, 1, 3540] == latches.ask("b", ACCOUNT, OPERATION)[:4]
    latches.now += 3540
    assert OPEN == latches.ask("b", ACCOUNT, OPERATION)


def test_what_nobody_has_shut_is_open() -> None:
    """And leaves no state."""
    latches = Latches()

    assert OPEN == latches.ask("a", ACCOUNT, OPERATION)
    assert {} == latches.states()


def test_a_latch_with_a_time_is_shut_until_then() -> None:
    """No call looks before, and nothing is left of it afterwards."""
    latches = Latches()

    assert [60] == latches.shut("a", 60, every=1.0)
    latches.now += 59.5
    assert [0, 2, 0, 0.5, 0, 0, 0, 0] == latches.ask("b")
    latches.now += 0.5
    assert OPEN == latches.ask("c")
    assert {} == latches.states()


def test_a_latch_without_a_time_lets_one_call_look() -> None:
    """When its time has come; the others wait for what it is told, until the next may look."""
    latches = Latches()

    assert [300] == latches.shut()
    latches.now += 299
    assert [0, 2, 0, 1, 0, 0, 0, 0] == latches.ask("b")
    latches.now += 1
    assert [1, 2, 0, 0, 0, 0, 0, 0] == latches.ask("c")
    assert [0, 2, 0, 300, 0, 0, 0, 0] == latches.ask("d")


def test_a_call_that_is_let_through_opens_the_latch() -> None:
    """For everybody, at once."""
    latches = shut()
    latches.now += 300
    latches.ask("b")

    latches.answer("b", 1)

    assert OPEN == latches.ask("c")
    assert {} == latches.states()


def test_only_the_call_that_looks_opens_it() -> None:
    """A call that was let through before it was shut says nothing about now."""
    latches = shut()
    latches.now += 300
    latches.ask("b")

    latches.answer("a", 1)

    assert 0 == latches.ask("c")[0]


def test_a_look_in_vain_doubles_the_time_until_the_next() -> None:
    """Up to an hour; a provider that is asked for ever is not asked often."""
    latches = shut()
    told: list[float] = []

    for number in range(6):
        latches.now += latches.ask("x")[3]
        assert 1 == latches.ask(f"look-{number}")[0]
        latches.now += 1
        told += latches.shut(f"look-{number}")

    assert [600, 1200, 2400, 3600, 3600, 3600] == told


def test_a_look_is_never_more_often_than_is_asked_for() -> None:
    """Also where that is more than an hour."""
    latches = Latches()
    latches.shut("a", every=7200.0)
    latches.now += 7200
    latches.ask("b")

    assert [7200] == latches.shut("b", every=7200.0)


def test_calls_that_were_under_way_shut_nothing_for_longer() -> None:
    """They tell what is known; only a look that is in vain is one."""
    latches = shut()
    latches.now += 100

    assert [200] == latches.shut("late")
    latches.now += 200
    assert 1 == latches.ask("b")[0]
    assert [300] == latches.shut("late")
    assert [600] == latches.shut("b")


def test_a_time_that_the_provider_names_holds_over_all_else() -> None:
    """A later answer without one changes nothing of it, nor does one with a shorter; the longer one counts."""
    latches = shut()

    assert [50] == latches.shut("b", 50)
    latches.now += 10
    assert [40] == latches.shut("c", every=1.0)
    assert [40] == latches.shut("c", 7)
    assert [70] == latches.shut("c", 70)
    assert 70 == latches.ask("d")[3]


def test_an_unheard_look_is_followed_by_the_next() -> None:
    """After as long as between any two; a process that was killed while it looked shuts nothing for ever."""
    latches = shut()
    latches.now += 300
    latches.ask("killed")

    latches.now += 299
    assert 0 == latches.ask("b")[0]
    latches.now += 1
    assert 1 == latches.ask("b")[0]


def test_a_look_that_tells_nothing_changes_nothing() -> None:
    """An answer of another kind, or none: the next look is when it would have been."""
    latches = shut()
    latches.now += 300
    latches.ask("b")

    latches.answer("b", 0)

    assert [0, 2, 0, 300, 0, 0, 0, 0] == latches.ask("c")
    latches.answer("b", 1)
    assert 0 == latches.ask("c")[0]


def test_a_look_that_was_never_sent_is_the_next_calls() -> None:
    """Another layer may have refused the call."""
    latches = shut()
    latches.now += 300
    latches.ask("b")

    latches.answer("b", -1)

    assert [1, 2, 0, 0, 0, 0, 0, 0] == latches.ask("c")


def test_a_call_whose_reply_was_lost_looks_all_the_same() -> None:
    """A store that answers too late is asked again."""
    latches = shut()
    latches.now += 300
    latches.ask("b")

    assert [1, 2, 0, 0, 0, 0, 0, 0] == latches.ask("b")
    latches.shut("b", 60)
    assert 0 == latches.ask("b")[0]


def test_several_latches_all_let_through_or_none() -> None:
    """The first that is shut is told; a call that looks at one looks at all that are due."""
    latches = shut()
    latches.shut("a", every=600.0, key=OPERATION)

    latches.now += 300
    assert [0, 2, 1, 300, 0, 0, 0, 0] == latches.ask("b", ACCOUNT, OPERATION)
    assert [1, 2, 0, 0, 0, 0, 0, 0] == latches.ask("c")
    latches.now += 300
    assert [1, 2, 1, 0, 0, 0, 0, 0] == latches.ask("d", ACCOUNT, OPERATION)
    assert ["d", "d"] == [state["probe"] for state in latches.states().values()]
    latches.answer("d", 1, ACCOUNT, OPERATION)
    assert {} == latches.states()


def test_a_latch_that_is_only_told_refuses_nobody() -> None:
    """What would have been is said; and one call looks, as where it is obeyed."""
    latches = shut()

    assert [1, 2, 0, 300, 0, 0, 0, 0] == latches.ask("b", obeys=0)
    latches.now += 300
    assert [1, 2, 0, 0, 0, 0, 0, 0] == latches.ask("c", obeys=0)
    assert [1, 2, 0, 300, 0, 0, 0, 0] == latches.ask("d", obeys=0)
    assert 0 == latches.ask("e")[0]


def test_a_person_lifts_what_is_shut() -> None:
    """Whatever has shut it; it says how many there were."""
    latches = shut(3600)
    latches.shut("a", key=OPERATION)

    assert [2] == latches.lift(ACCOUNT, OPERATION)
    assert [0] == latches.lift(ACCOUNT, OPERATION)
    assert OPEN == latches.ask("b", ACCOUNT, OPERATION)


def test_what_nobody_comes_back_to_is_forgotten() -> None:
    """After some weeks, also where somebody has looked."""
    latches = shut()
    latches.now += KEPT_SECONDS - 1
    latches.ask("b")

    latches.now += KEPT_SECONDS - 1
    assert [ACCOUNT] == list(latches.states())
    latches.now += 1
    assert {} == latches.states()


def test_a_latch_is_described_for_people() -> None:
    """Since when it is shut is said by the first answer, however often it was told again."""
    latches = shut()
    latches.now += 400
    latches.shut("b")
    latches.now += 20

    (state,) = latches.states().values()
    assert {"why": "no credits", "for": 420, "opens_in": None, "looks_in": 580} == describe(state, latches.now)

    latches.shut("c", 60)
    (state,) = latches.states().values()
    assert {"why": "no credits", "for": 430, "opens_in": 50, "looks_in": None} == describe(state, latches.now + 10)
    assert 0 == describe(state, latches.now + 61)["opens_in"]
    # Whoever looks may have a clock that is behind.
    assert 0 == describe(state, 0)["for"]


@given(steps=st.lists(st.tuples(commands_latch(), st.floats(0, 400)), max_size=60))
def test_whoever_is_refused_is_told_when(steps: list[tuple[Command, float]]) -> None:
    """Whatever has happened, a refusal names a time that is ahead, and then there is a call that gets through."""
    store, now = MemoryStore(), 0.0
    for command, seconds in steps:
        now += seconds
        reply = store.run(command, now)
        if command.name == "credits.reserve" and not reply[0]:
            assert 2 == reply[1]
            assert reply[3] > 0

    last = Command("credits.reserve", (ACCOUNT, OPERATION, PAGE), ("last", 2, 1, 1.0, 1, 0))
    for _ in range(2):
        # What is left after a subtraction of times is off by their last bit.
        now += store.run(last, now)[3] + 1e-6
    assert 1 == store.run(last, now)[0]
