"""Credits: what is reserved and spent is never more than a budget, to the millionth, and each reservation ends once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from resilience._budget_state import BALANCE, LARGEST, SLOTS
from resilience._credits_state import describe, names_key, unsent
from resilience._transactions import Command, Reply, State
from resilience.stores._memory import MemoryStore
from tests.given_time_stores import StoreMaker, fresh_stores
from tests.servers import run_redis
from tests.strategies_credits import commands_credits

PAGE = "{p}:ledger:0"
LATCH = "{p}:latch:account:a"
DAY = 86_400.0


class Budget(NamedTuple):
    """What a reservation says of a budget, but for the amount."""

    key: str
    limit: int = 100
    window: float = 0
    seconds: float = 3600.0
    warns: float = -1
    manner: int = 1

    def spec(self, amount: int) -> list[Any]:
        return [self.limit, amount, self.window, self.seconds, self.warns, self.manner]


DAILY = Budget("{p}:credits:daily:0-86400:account=a")
MINUTE = Budget("{p}:credits:minute:rolling-60:account=a", window=60)
HELD = Budget("{p}:credits:balance:ever:account=a", BALANCE, warns=300)
ENDLESS = Budget("{p}:credits:all:ever:account=a", -1)


def row(call: str, amount: int = 0, outcome: str = "settled") -> list[Any]:
    """A row of the ledger, without the charge."""
    return [1763683200.25, call, "scrape", "d1ge57", "tenant=é", amount, outcome]


class Wallet:
    """A store at a time that the test sets."""

    make_store: StoreMaker = MemoryStore

    def __init__(self, now: float = 1000.0, make_store: StoreMaker | None = None) -> None:
        self.store = (make_store or type(self).make_store)()
        self.now = now

    def run(self, command: Command) -> Reply:
        return self.store.run(command, self.now)

    def ask(self, verb: str, keys: tuple[str, ...], *arguments: Any) -> Reply:
        return self.run(Command(f"credits.{verb}", keys, arguments))

    def reserve(
        self, call: str, amount: int, *budgets: Budget, lease: float = 30.0, counts: int = 1, latches: int = 0
    ) -> Reply:
        return self.run(self.reservation(call, amount, *budgets, lease=lease, counts=counts, latches=latches))

    def reservation(
        self, call: str, amount: int, *budgets: Budget, lease: float = 30.0, counts: int = 1, latches: int = 0
    ) -> Command:
        budgets = budgets or (DAILY,)
        keys = ((LATCH,) * latches) + (PAGE, *(budget.key for budget in budgets))
        specs = [budget.spec(amount) for budget in budgets]
        of_all = counts * (2 ** len(specs) - 1)
        arguments = (call, latches, 1, lease, of_all, row(call, amount, "lost"), *specs)
        return Command("credits.reserve", keys, arguments)

    def settle(self, call: str, charged: int, *budgets: Budget, elsewhere: int = 0, word: int = 0) -> Reply:
        budgets = budgets or (DAILY,)
        told = (names_key(PAGE, call),) if elsewhere else ()
        keys = (PAGE, *(budget.key for budget in budgets), *told)
        charges = [[charged, budget.window, budget.seconds] for budget in budgets]
        return self.ask("settle", keys, call, 0, word, elsewhere, row(call), *charges)

    def renew(self, call: str, name: str = "", *budgets: Budget, lease: float = 30.0) -> Reply:
        return self.ask("renew", tuple(budget.key for budget in budgets or (DAILY,)), call, name or call, lease)

    def report(self, balance: int) -> Reply:
        return self.ask("report", (PAGE, HELD.key), balance, 3600.0, row("", 0, "balance"))

    def sweep(self, *budgets: Budget) -> Reply:
        return self.ask("sweep", (PAGE, *(budget.key for budget in budgets or (DAILY,))))

    def states(self) -> dict[str, State]:
        # The store's time is that of the last command.
        self.run(Command("notes.recall", ("{p}:job:none",)))
        return dict(self.store.scan())

    def described(self, budget: Budget = DAILY) -> tuple[float | None, ...]:
        """What is spent, reserved and left, and how many calls are open."""
        found = describe(self.states()[budget.key], self.now)
        return found["spent"], found["reserved"], found["left"], found["calls"]

    def ledger(self) -> list[tuple[str, str, int]]:
        """The rows: name, outcome, charge."""
        page: dict[str, Any] = self.states().get(PAGE, {"rows": []})
        return [(each[1], each[6], each[7]) for each in page["rows"]]


@pytest.fixture(scope="module", params=["memory", "sqlite", "redis"], name="make_store")
def stores_of_a_kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreMaker]:
    if request.param == "memory":
        yield MemoryStore
    elif request.param == "sqlite":
        with fresh_stores(tmp_path_factory.mktemp("credits")) as make_store:
            yield make_store
    else:
        with run_redis() as server, fresh_stores(server) as make_store:
            yield make_store


@pytest.fixture(name="every_store")
def wallets_of_a_kind(make_store: StoreMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds in memory holds in a file and on a server."""
    monkeypatch.setattr(Wallet, "make_store", make_store)


everywhere = pytest.mark.usefixtures("every_store")
GRANTED = [1, 0, -1, 0, 0, 0, 0, 0]


@everywhere
def test_what_is_reserved_is_not_there_for_others() -> None:
    """Until it is settled; a refusal tells what is left, what is spent and what calls under way may cost."""
    wallet = Wallet()
    wallet.reserve("spent", 10)
    wallet.settle("spent", 10)

    assert GRANTED == wallet.reserve("a", 60)
    assert [0, 1, 0, -1, 30, 10, 60, 0] == wallet.reserve("b", 31)
    assert GRANTED == wallet.reserve("c", 30)
    assert (10, 90, 0, 2) == wallet.described()


@everywhere
def test_what_a_call_cost_is_spent_and_the_rest_is_free() -> None:
    """All of it, some of it, or nothing where the call failed; -1 is what was reserved."""
    for charged, spent in ((60, 60), (25, 25), (0, 0), (-1, 60)):
        wallet = Wallet()
        wallet.reserve("a", 60)

        assert [1] == wallet.settle("a", charged)
        assert (spent, 0, 100 - spent, 0) == wallet.described()
        assert [("a", "settled", spent)] == wallet.ledger()


@everywhere
def test_a_reservation_ends_once() -> None:
    """Whoever settles it again changes nothing, not even how long it is kept."""
    wallet = Wallet()
    wallet.reserve("a", 60)
    wallet.settle("a", 25)
    before = wallet.states()
    wallet.now += 10

    assert [0] == wallet.settle("a", 60)
    assert [0] == wallet.settle("nobody", 60)
    assert before == wallet.states()


@everywhere
def test_a_settlement_of_what_is_not_there_makes_nothing() -> None:
    """A budget whose period is long over does not come back."""
    wallet = Wallet()

    assert [0] == wallet.settle("a", 60)
    assert {} == wallet.states()


@everywhere
def test_a_call_that_cost_more_than_was_reserved_is_counted_in_full() -> None:
    """The budget is over then: nothing that costs anything goes, and what is free does."""
    wallet = Wallet()
    wallet.reserve("a", 60)

    wallet.settle("a", 150)

    assert (150, 0, 0, 0) == wallet.described()
    assert [0, 1, 0, -1, 0, 150, 0, 0] == wallet.reserve("b", 1)
    assert GRANTED == wallet.reserve("free", 0)


@everywhere
def test_all_budgets_or_none() -> None:
    """What one refuses is reserved of no other."""
    wallet = Wallet()
    wallet.reserve("a", 50, MINUTE)

    assert [0, 1, 1, -1, 50, 0, 50, 0] == wallet.reserve("b", 51, DAILY, MINUTE)
    assert DAILY.key not in wallet.states()
    assert GRANTED == wallet.reserve("c", 50, DAILY, MINUTE)
    assert [1] == wallet.settle("c", 20, DAILY, MINUTE)
    assert (20, 0, 80, 0) == wallet.described(DAILY)
    assert (20, 50, 30, 1) == wallet.described(MINUTE)
    assert [("c", "settled", 20)] == wallet.ledger()


@everywhere
def test_a_call_without_budgets_reserves_nothing() -> None:
    """It is asked of latches alone."""
    wallet = Wallet()

    assert GRANTED == wallet.ask("reserve", (PAGE,), "a", 0, 1, 30.0, 1, row("a"))
    assert [0] == wallet.ask("settle", (PAGE,), "a", 0, 0, 0, row("a"))
    assert {} == wallet.states()


@everywhere
@pytest.mark.parametrize(("counts", "spent"), [(1, 60), (0, 0)])
def test_a_call_that_is_never_heard_of_is_lost_when_its_lease_ends(counts: int, spent: int) -> None:
    """Not before. What it reserved is spent, or is free where the provider charges for answers alone."""
    wallet = Wallet()
    wallet.reserve("dead", 60, lease=10, counts=counts)
    wallet.reserve("alive", 1, lease=30)

    wallet.now += 9.5
    assert [0] == wallet.sweep()
    assert (0, 61, 39, 2) == wallet.described()
    wallet.now += 0.5
    assert [1] == wallet.sweep()
    assert (spent, 1, 99 - spent, 1) == wallet.described()
    assert [("dead", "lost", spent)] == wallet.ledger()
    assert [0] == wallet.sweep()
    wallet.now += 20
    assert [1] == wallet.sweep()


@everywhere
def test_the_next_call_finds_what_was_lost() -> None:
    """Also where that is what refuses it, and then too what was lost is written down."""
    for call, granted in (("small", 1), ("large", 0)):
        wallet = Wallet()
        wallet.reserve("dead", 60, lease=10)
        wallet.now += 10

        assert granted == wallet.reserve(call, 30 if granted else 50)[0]
        assert 60 == wallet.described()[0]
        assert [("dead", "lost", 60)] == wallet.ledger()


@everywhere
def test_what_is_lost_at_once_is_written_in_one_order() -> None:
    """That of the names' letters in Unicode, in every language and every locale."""
    wallet = Wallet()
    for name in ("é", "b", "a-1", "a.1", "a", "B", "10", "9"):
        wallet.reserve(name, 1, lease=10)
    wallet.now += 10

    wallet.sweep()

    assert ["10", "9", "B", "a", "a-1", "a.1", "b", "é"] == [call for call, _, _ in wallet.ledger()]


@everywhere
@pytest.mark.parametrize("counts", [0, 1])
@pytest.mark.parametrize("charged", [0, 25, 60, 80, -1])
def test_a_lost_call_that_speaks_is_corrected_once(charged: int, counts: int) -> None:
    """Down or up to what it cost; the ledger holds both, and their sum is what is spent."""
    wallet = Wallet()
    wallet.reserve("late", 60, lease=10, counts=counts)
    wallet.now += 10
    wallet.sweep()
    spent = 60 if charged < 0 else charged

    assert [1] == wallet.settle("late", charged)
    assert [0] == wallet.settle("late", 99)

    assert (spent, 0, 100 - spent, 0) == wallet.described()
    assert [("late", "lost", 60 * counts), ("late", "settled", spent - 60 * counts)] == wallet.ledger()


@everywhere
def test_a_call_that_speaks_just_after_its_lease_is_lost_and_corrected() -> None:
    """Nobody else has looked meanwhile."""
    wallet = Wallet()
    wallet.reserve("late", 60, lease=10)
    wallet.now += 10

    assert [1] == wallet.settle("late", 25)
    assert (25, 0, 75, 0) == wallet.described()
    assert [("late", "lost", 60), ("late", "settled", -35)] == wallet.ledger()


@everywhere
def test_a_late_correction_gives_nothing_to_another_part_of_a_window() -> None:
    """What others have spent since is still spent when the part with the lost call has left the window."""
    wallet = Wallet(now=0.0)
    wallet.reserve("late", 60, MINUTE, lease=5)
    wallet.now = 5.0
    wallet.sweep(MINUTE)
    wallet.now = 30.0
    wallet.reserve("other", 40, MINUTE)
    wallet.settle("other", 40, MINUTE)

    wallet.settle("late", 10, MINUTE)

    assert [[5, 10], [30, 40]] == wallet.states()[MINUTE.key]["slots"]
    wallet.now = 66.0
    assert [0, 1, 0, 25, 60, 40, 0, 0] == wallet.reserve("next", 61, MINUTE)


@everywhere
def test_a_correction_after_its_window_gives_nothing_back() -> None:
    """What no longer counts was given back already; the ledger tells what was really paid."""
    wallet = Wallet(now=0.0)
    wallet.reserve("late", 60, MINUTE, lease=5)
    wallet.now = 5.0
    wallet.sweep(MINUTE)
    wallet.now = 70.0
    wallet.reserve("other", 40, MINUTE)
    wallet.settle("other", 40, MINUTE)

    assert [1] == wallet.settle("late", 0, MINUTE)

    assert (40, 0, 60, 0) == wallet.described(MINUTE)
    assert [60, 40, -60] == [charged for _, _, charged in wallet.ledger()]


@everywhere
def test_a_lease_that_is_renewed_lasts() -> None:
    """From the moment of its renewal, in each budget that has it."""
    wallet = Wallet()
    wallet.reserve("a", 60, DAILY, MINUTE, lease=10)
    wallet.now += 9

    assert [2] == wallet.renew("a", "", DAILY, MINUTE, HELD, lease=10)
    assert [0] == wallet.renew("b", "", DAILY)
    wallet.now += 9.5
    assert [0] == wallet.sweep(DAILY, MINUTE)
    wallet.now += 0.5
    assert [2] == wallet.sweep(DAILY, MINUTE)


@everywhere
def test_a_lease_that_is_renewed_for_less_ends_sooner() -> None:
    """Whatever it was before."""
    wallet = Wallet()
    wallet.reserve("a", 60, lease=100)

    wallet.renew("a", lease=5)

    wallet.now += 5
    assert [1] == wallet.sweep()


@everywhere
def test_a_call_goes_on_as_a_job() -> None:
    """Under the job's name, by which whoever polls it settles it; asked again, it is the job already."""
    wallet = Wallet()
    wallet.reserve("a", 60, lease=10)

    assert [1] == wallet.renew("a", "job", lease=600)
    assert [1] == wallet.renew("a", "job", lease=600)

    assert [0] == wallet.settle("a", 60)
    wallet.now += 599
    assert [1] == wallet.settle("job", 25)
    assert (25, 0, 75, 0) == wallet.described()


@everywhere
def test_two_calls_that_began_one_job_are_one_reservation() -> None:
    """Which holds what both have reserved until the job ends, and counts as spent if either would."""
    wallet = Wallet()
    wallet.reserve("a", 30, lease=10, counts=0)
    wallet.reserve("b", 40, lease=10)
    wallet.renew("a", "job", lease=60)

    assert [1] == wallet.renew("b", "job", lease=60)

    assert (0, 70, 30, 1) == wallet.described()
    wallet.now += 60
    wallet.sweep()
    assert [("b", "lost", 70)] == wallet.ledger()
    assert [1] == wallet.settle("job", 40)
    assert (40, 0, 60, 0) == wallet.described()


@everywhere
def test_a_job_keeps_the_row_of_the_call_that_has_one() -> None:
    """So that what is lost of it is in the ledger."""
    wallet = Wallet()
    wallet.ask("reserve", (PAGE, DAILY.key), "a", 0, 1, 10.0, 1, row("a"), DAILY.spec(10))
    wallet.ask("reserve", (PAGE, DAILY.key), "b", 0, 1, 10.0, 1, 0, DAILY.spec(10))
    wallet.renew("a", "job")

    wallet.renew("b", "job")

    wallet.now += 30
    wallet.sweep()
    assert [("a", "settled", 20)] == wallet.ledger()


@everywhere
def test_a_call_that_was_lost_before_it_became_a_job_is_corrected_by_the_job() -> None:
    """Together with what is open under its name: what the job cost is spent, and no more."""
    wallet = Wallet()
    wallet.reserve("slow", 30, lease=10)
    wallet.reserve("slower", 30, lease=10)
    wallet.reserve("quick", 30, lease=100)
    wallet.renew("quick", "job", lease=100)
    wallet.now += 10
    wallet.sweep()

    assert [1] == wallet.renew("slow", "job")
    assert [0] == wallet.renew("slower", "other job")
    assert [1] == wallet.renew("other job", "job")
    assert (60, 30, 10, 1) == wallet.described()

    assert [1] == wallet.settle("job", 40)
    assert [0] == wallet.settle("job", 40)
    assert (40, 0, 60, 0) == wallet.described()


@everywhere
def test_a_correction_is_taken_from_each_part_where_something_was_lost() -> None:
    """Never more than was counted there."""
    wallet = Wallet(now=0.0)
    for number, name in enumerate(("a", "b")):
        wallet.now = 10.0 * number
        wallet.reserve(name, 30, MINUTE, lease=5)
        wallet.now += 5
        wallet.sweep(MINUTE)
        wallet.renew(name, "job", MINUTE)

    wallet.settle("job", 20, MINUTE)

    assert [[5, 0], [15, 20]] == wallet.states()[MINUTE.key]["slots"]


@everywhere
def test_what_was_reserved_elsewhere_counts_once() -> None:
    """However often it is said, as by a store that was away when it was said first."""
    wallet = Wallet()
    wallet.reserve("here", 10)

    assert [1] == wallet.settle("there", 60, elsewhere=1)
    assert [0] == wallet.settle("there", 60, elsewhere=1)
    assert [1] == wallet.settle("here", 5, elsewhere=1)
    assert [0] == wallet.settle("here", 5, elsewhere=1)
    assert (65, 0, 35, 0) == wallet.described()
    # Nobody knows what was reserved.
    assert [1] == wallet.settle("unknown", -1, elsewhere=1)
    assert (65, 0, 35, 0) == wallet.described()


@everywhere
def test_what_one_process_pays_twice_counts_once_however_much_others_pay_meanwhile() -> None:
    """Its reply was lost in the crowd of those that all pay what they owe as soon as their store is back."""
    wallet = Wallet()
    for number in range(100):
        wallet.settle(f"one.{number}", 1, ENDLESS, elsewhere=1)
    for number in range(600):
        wallet.settle(f"other.{number}", 1, ENDLESS, elsewhere=1)

    again = [wallet.settle(f"one.{number}", 1, ENDLESS, elsewhere=1) for number in range(100)]

    assert [[0]] * 100 == again
    assert (700, 0, None, 0) == wallet.described(ENDLESS)


@everywhere
def test_what_is_spent_leaves_a_rolling_window() -> None:
    """Not before the window is over, and no later than a part of it after that; a refusal says when."""
    wallet = Wallet(now=0.9)
    wallet.reserve("a", 70, MINUTE)
    wallet.settle("a", 70, MINUTE)
    wallet.now = 30.5
    wallet.reserve("b", 20, MINUTE)
    wallet.settle("b", 20, MINUTE)

    assert [0, 1, 0, 30.5, 10, 90, 0, 0] == wallet.reserve("c", 50, MINUTE)
    assert [0, 1, 0, 60.5, 10, 90, 0, 0] == wallet.reserve("c", 81, MINUTE)
    wallet.now = 60.9
    assert 0 == wallet.reserve("c", 50, MINUTE)[0]
    wallet.now = 61.0
    assert GRANTED == wallet.reserve("c", 80, MINUTE)
    assert [[30, 20]] == wallet.states()[MINUTE.key]["slots"]


@everywhere
def test_nobody_knows_when_what_never_fits_could_go() -> None:
    """More than the limit, or less than calls that are under way may give back, or a calendar's period."""
    wallet = Wallet(now=0.0)
    assert -1 == wallet.reserve("a", 101, MINUTE)[3]

    wallet.reserve("b", 60, MINUTE)
    assert -1 == wallet.reserve("c", 50, MINUTE)[3]
    wallet.reserve("d", 40, MINUTE)
    wallet.settle("d", 40, MINUTE)
    assert -1 == wallet.reserve("e", 60, MINUTE)[3]
    assert 61 == wallet.reserve("e", 61, MINUTE)[3]


@given(
    window=st.sampled_from([1.0, 60, 86_400, 2_592_000, 7.3]),
    start=st.sampled_from([0.0, 1.8e9]),
    spends=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 40)), min_size=1, max_size=20),
    amount=st.integers(1, 100),
)
def test_the_time_of_a_refusal_is_when_the_call_fits(
    window: float, start: float, spends: list[tuple[float, int]], amount: int
) -> None:
    """Where nothing is under way: it is refused just before, and granted just after."""
    budget = MINUTE._replace(window=window, limit=100)
    wallet = Wallet(start)
    for number, (windows, cost) in enumerate(spends):
        wallet.now += windows * window / 3
        if wallet.reserve(f"{number}", cost, budget)[0]:
            wallet.settle(f"{number}", cost, budget)

    refused = wallet.reserve("asks", amount, budget)
    if not refused[0]:
        now, moment = wallet.now, 1e-6 * window
        if refused[3] > moment:
            wallet.now = now + refused[3] - moment
            assert 0 == wallet.reserve("asks", amount, budget)[0]
        wallet.now = now + refused[3] + moment
        assert 1 == wallet.reserve("asks", amount, budget)[0]


@given(
    windows=st.lists(st.sampled_from([6.0, 60.0, 300.0]), min_size=2, max_size=3),
    limits=st.lists(st.integers(20, 200), min_size=3, max_size=3),
    spends=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 40)), min_size=1, max_size=20),
    amount=st.integers(1, 100),
)
def test_after_the_time_of_a_refusal_no_other_budget_refuses(
    windows: list[float], limits: list[int], spends: list[tuple[float, int]], amount: int
) -> None:
    """Where nothing is under way: it is refused just before, and granted just after, however many there are."""
    budgets = [
        MINUTE._replace(key=f"{MINUTE.key}{place}", window=window, limit=limits[place])
        for place, window in enumerate(windows)
    ]
    wallet = Wallet()
    for number, (pause, cost) in enumerate(spends):
        wallet.now += pause
        if wallet.reserve(f"{number}", cost, *budgets)[0]:
            wallet.settle(f"{number}", cost, *budgets)

    refused = wallet.reserve("asks", amount, *budgets)

    now, seconds = wallet.now, refused[3]
    if not refused[0]:
        assert (seconds < 0) == any(amount > budget.limit for budget in budgets)
        if seconds > 0.001:
            wallet.now = now + seconds - 0.001
            assert 0 == wallet.reserve("asks", amount, *budgets)[0]
        if seconds >= 0:
            wallet.now = now + seconds + 0.001
            assert 1 == wallet.reserve("asks", amount, *budgets)[0]


@everywhere
def test_of_several_budgets_the_one_that_holds_longest_tells_when() -> None:
    """In whichever order they stand: before that the call would only be refused by another one."""
    hour, ever = DAILY._replace(seconds=600.0), DAILY._replace(key="{p}:credits:all:ever", seconds=6e7)
    small = DAILY._replace(key="{p}:credits:small:ever", limit=40)
    wallet = Wallet()
    wallet.reserve("paid", 60, hour, MINUTE, ever)
    wallet.settle("paid", 60, hour, MINUTE, ever)
    wallet.reserve("open", 40, HELD, DAILY._replace(key="{p}:credits:busy:0-3600"), small)
    busy = DAILY._replace(key="{p}:credits:busy:0-3600", limit=60)

    assert [0, 1, 1, -1] == wallet.reserve("a", 50, MINUTE, hour)[:4]
    assert [0, 1, 0, -1] == wallet.reserve("b", 50, hour, MINUTE)[:4]
    assert [0, 1, 2, -1] == wallet.reserve("c", 50, hour, MINUTE, ever)[:4]
    assert [0, 1, 0, -1] == wallet.reserve("d", 50, small, hour, ever)[:4]
    assert [0, 1, 1, 61] == wallet.reserve("e", 50, busy, MINUTE)[:4]
    assert [0, 1, 1, 61] == wallet.reserve("f", 50, ever._replace(manner=2), MINUTE)[:4]


@everywhere
def test_a_budget_that_only_tells_refuses_nobody() -> None:
    """It says what it would have refused; one that is obeyed speaks before it."""
    told, soft = DAILY._replace(manner=2), ENDLESS._replace(limit=10, manner=0)
    wallet = Wallet()

    assert [1, 1, 0, -1, 100, 0, 0, 0] == wallet.reserve("a", 101, told)
    assert GRANTED == wallet.reserve("b", 11, soft)
    assert [0, 1, 1, -1, 100, 0, 0, 0] == wallet.reserve("c", 101, told, MINUTE)
    assert [1, 1, 2, -1, 0, 0, 0, 0] == wallet.reserve("d", 1, told, MINUTE, told._replace(key="{p}:other", limit=0))
    assert (0, 102, 0, 2) == wallet.described(told)


@everywhere
def test_a_budget_warns_when_it_begins_to_be_used_up() -> None:
    """Once, and again when it has been less than half of that meanwhile; the reply names the budgets by powers of two."""
    daily, minute = DAILY._replace(warns=80), MINUTE._replace(warns=50)
    wallet = Wallet()

    assert 0 == wallet.reserve("a", 30, ENDLESS, daily, minute)[7]
    assert 4 == wallet.reserve("b", 20, ENDLESS, daily, minute)[7]
    assert 2 == wallet.reserve("c", 30, ENDLESS, daily, minute)[7]
    assert 0 == wallet.reserve("d", 10, ENDLESS, daily, minute)[7]
    for call in ("b", "c", "d"):
        wallet.settle(call, 0, ENDLESS, daily, minute)
    assert 0 == wallet.reserve("e", 20, ENDLESS, daily, minute)[7]
    for call in ("a", "e"):
        wallet.settle(call, 0, ENDLESS, daily, minute)
    assert 4 == wallet.reserve("f", 50, ENDLESS, daily, minute)[7]
    assert 0 == wallet.reserve("f", 0, ENDLESS, daily, minute)[7]


@everywhere
def test_a_refusal_does_not_warn() -> None:
    """The warning comes with the call that is let through."""
    wallet = Wallet()
    daily = DAILY._replace(warns=80)

    assert 0 == wallet.reserve("a", 101, daily)[7]
    assert 1 == wallet.reserve("b", 100, daily)[7]


@everywhere
def test_a_balance_that_nobody_knows_refuses_nobody() -> None:
    """The provider tells it; then it is a limit."""
    wallet = Wallet()

    assert GRANTED == wallet.reserve("a", 1000, HELD)
    assert (0, 1000, None, 1) == wallet.described(HELD)
    wallet.settle("a", 0, HELD)
    assert [0] == wallet.report(100)
    assert (0, 0, 100, 0) == wallet.described(HELD)
    assert [0, 1, 0, 300, 100, 0, 0, 0] == wallet.reserve("b", 101, HELD)


@everywhere
def test_one_call_finds_out_whether_a_balance_still_holds() -> None:
    """So long after it was told; the next one then waits as long, or for what is told."""
    wallet = Wallet()
    wallet.report(10)
    wallet.now += 299
    assert 0 == wallet.reserve("a", 11, HELD)[0]
    wallet.now += 1

    assert GRANTED == wallet.reserve("free", 0, HELD)
    assert GRANTED == wallet.reserve("small", 10, HELD)
    assert GRANTED == wallet.reserve("finds out", 11, HELD)
    assert 0 == wallet.reserve("b", 11, HELD)[0]
    wallet.now += 300
    assert 1 == wallet.reserve("c", 11, HELD)[0]
    wallet.report(1000)
    assert 1 == wallet.reserve("d", 11, HELD)[0]


@everywhere
def test_a_free_call_finds_nothing_out() -> None:
    """Of a balance that is overdrawn either; whoever pays may still look."""
    wallet = Wallet()
    wallet.report(10)
    wallet.reserve("a", 10, HELD)
    wallet.settle("a", 20, HELD)
    wallet.now += 300

    wallet.reserve("free", 0, HELD)

    assert 1 == wallet.reserve("finds out", 1, HELD)[0]


@everywhere
def test_a_balance_that_only_tells_says_what_one_that_is_obeyed_would_do() -> None:
    """A call that goes on although it would be refused does not find out for the others."""
    told = HELD._replace(manner=2)
    wallet = Wallet()
    wallet.report(10)
    wallet.now += 200
    assert [1, 1] == wallet.reserve("a", 11, told)[:2]
    wallet.now += 100

    assert [1, 0] == wallet.reserve("b", 1, told)[:2]
    assert [1, 1] == wallet.reserve("c", 1, told)[:2]


@everywhere
def test_what_is_missing_of_a_balance_is_written_down() -> None:
    """Others use the account too; a balance that has grown was topped up."""
    wallet = Wallet()
    wallet.report(100)
    wallet.reserve("a", 30, HELD)
    wallet.settle("a", 30, HELD)

    assert [5] == wallet.report(65)
    assert [0] == wallet.report(65)
    assert [0] == wallet.report(500)
    assert (0, 0, 500, 0) == wallet.described(HELD)
    assert [("a", "settled", 30), ("", "balance", 5)] == wallet.ledger()


@everywhere
def test_nothing_is_missing_while_calls_are_under_way() -> None:
    """What they cost may be taken off already."""
    wallet = Wallet()
    wallet.report(100)
    wallet.reserve("a", 30, HELD)

    assert [0] == wallet.report(70)
    assert (0, 30, 40, 1) == wallet.described(HELD)


@everywhere
def test_what_was_lost_before_a_balance_was_told_is_in_it() -> None:
    """Its correction gives back nothing of what was spent since, and takes what it cost beyond."""
    for charged, spent in ((0, 20), (50, 40)):
        wallet = Wallet()
        wallet.report(100)
        wallet.reserve("late", 30, HELD, lease=5)
        wallet.now += 5
        wallet.sweep(HELD)
        wallet.report(70)
        wallet.reserve("a", 20, HELD)
        wallet.settle("a", 20, HELD)

        assert [1] == wallet.settle("late", charged, HELD)
        assert (spent, 0, 70 - spent, 0) == wallet.described(HELD)
        assert charged + 20 == sum(each[2] for each in wallet.ledger())


@everywhere
def test_a_budget_that_begins_anew_keeps_what_is_reserved() -> None:
    """What was lost counts no more, and its correction takes nothing from what was spent since."""
    wallet = Wallet()
    wallet.reserve("late", 30, lease=5)
    wallet.now += 5
    wallet.sweep()
    wallet.reserve("open", 40)

    assert [1] == wallet.ask("reset", (DAILY.key, "{p}:credits:none@credits:ever"), 0)
    assert (0, 40, 60, 1) == wallet.described()
    assert [0] == wallet.ask("reset", (DAILY.key,), 0)
    wallet.settle("open", 25)
    assert [1] == wallet.settle("late", 10)
    assert (25, 0, 75, 0) == wallet.described()
    assert [("late", "lost", 30), ("open", "settled", 25), ("late", "settled", -20)] == wallet.ledger()


@everywhere
def test_what_has_left_its_window_is_nothing_to_forget() -> None:
    """Whether somebody has looked since or not."""
    wallet = Wallet()
    wallet.reserve("a", 5, MINUTE)
    wallet.settle("a", 5, MINUTE)
    wallet.now += 62
    wallet.settle("b", 5, MINUTE)

    assert [0] == wallet.ask("reset", (MINUTE.key,), 0)


@everywhere
def test_a_budget_that_begins_anew_warns_anew() -> None:
    wallet, budget = Wallet(), Budget("{p}:credits:daily:0-86400", warns=50)
    wallet.reserve("under way", 30, budget)
    assert 1 == wallet.reserve("a", 60, budget)[-1]
    wallet.settle("a", 60, budget)

    wallet.ask("reset", (budget.key,), 0)
    assert [0, 1] == [wallet.reserve(call, 10, budget)[-1] for call in ("b", "c")]


@everywhere
def test_a_balance_may_be_forgotten() -> None:
    """Then nobody knows it, until the provider tells it again; who is under way is still known."""
    wallet = Wallet()
    wallet.report(50)
    wallet.reserve("open", 20, HELD)

    assert [1, 0] == [wallet.ask("reset", (HELD.key,), 1)[0] for _ in range(2)]
    assert (0, 20, None, 1) == wallet.described(HELD)
    assert GRANTED == wallet.reserve("more", 1000, HELD)


@everywhere
def test_a_limit_may_be_changed() -> None:
    """What is spent and reserved stays; without a limit there is none, whatever it was."""
    wallet = Wallet()
    wallet.reserve("a", 60)

    assert 0 == wallet.reserve("b", 60)[0]
    assert 0 == wallet.reserve("b", 1, DAILY._replace(limit=50))[0]
    assert 1 == wallet.reserve("b", 60, DAILY._replace(limit=120))[0]
    assert 1 == wallet.reserve("c", 1000, DAILY._replace(limit=-1))[0]
    wallet.settle("c", 0)
    assert (0, 120, None, 2) == wallet.described()


@everywhere
def test_a_refusal_by_a_new_limit_keeps_the_limit() -> None:
    """Whoever looks sees why."""
    wallet = Wallet()
    wallet.reserve("a", 10)

    assert 0 == wallet.reserve("b", 60, DAILY._replace(limit=50))[0]

    assert 50 == wallet.states()[DAILY.key]["limit"]


@everywhere
def test_a_latch_refuses_before_any_budget() -> None:
    """Nothing is reserved; of two reasons the one is told that no limit of one's own can change."""
    wallet = Wallet()
    wallet.run(Command("latch.shut", (LATCH,), ("x", 60.0, 300.0, "no credits")))

    assert [0, 2, 0, 60, 0, 0, 0, 0] == wallet.reserve("a", 1000, latches=1)
    assert [LATCH] == list(wallet.states())


@everywhere
def test_a_call_that_a_budget_refuses_does_not_look() -> None:
    """Or nobody would look until the next time."""
    wallet = Wallet()
    wallet.run(Command("latch.shut", (LATCH,), ("x", 0, 300.0, "no credits")))
    wallet.now += 300

    assert [0, 1] == wallet.reserve("a", 1000, latches=1)[:2]
    assert [1, 2] == wallet.reserve("b", 10, latches=1)[:2]


@everywhere
def test_a_call_that_asks_again_reserves_once() -> None:
    """A store that granted and could not say so is asked twice; what it asks for last is reserved."""
    wallet = Wallet()
    wallet.reserve("a", 60, lease=10)
    wallet.now += 5

    assert GRANTED == wallet.reserve("a", 80, lease=10)
    assert (0, 80, 20, 1) == wallet.described()
    wallet.now += 5
    assert [0] == wallet.sweep()
    wallet.settle("a", 30)
    assert (30, 0, 70, 0) == wallet.described()


@everywhere
def test_a_call_that_asks_again_and_is_refused_has_nothing_reserved() -> None:
    """It will not be sent."""
    wallet = Wallet()
    wallet.reserve("a", 60)

    assert [0, 1, 0, -1, 50, 0, 0, 0] == wallet.reserve("a", 60, DAILY._replace(limit=50))
    assert (0, 0, 50, 0) == wallet.described()


@everywhere
def test_a_call_that_was_never_sent_gives_back_what_it_reserved() -> None:
    """Without a word in the ledger, of which it is no business."""
    wallet = Wallet()
    reservation = wallet.reservation("a", 60, DAILY, MINUTE, latches=1)
    wallet.run(Command("latch.shut", (LATCH,), ("x", 0, 300.0, "no credits")))
    wallet.now += 300
    assert [1, 2] == wallet.run(reservation)[:2]

    assert [1] == wallet.run(unsent(reservation))

    assert (0, 0, 100, 0) == wallet.described()
    assert (0, 0, 100, 0) == wallet.described(MINUTE)
    assert [] == wallet.ledger()
    assert [1, 2] == wallet.reserve("b", 1, latches=1)[:2]


@everywhere
def test_a_lost_call_that_was_never_sent_is_taken_back_in_the_ledger() -> None:
    """The sum of the ledger is what was spent."""
    wallet = Wallet()
    reservation = wallet.reservation("a", 60, lease=10)
    wallet.run(reservation)
    wallet.now += 10
    wallet.sweep()

    assert [1] == wallet.run(unsent(reservation))
    assert [60, -60] == [charged for _, _, charged in wallet.ledger()]
    assert (0, 0, 100, 0) == wallet.described()


@everywhere
def test_a_sweep_keeps_nothing_alive() -> None:
    """However often it looks; a day after the lease of the last call, and after its period, a budget is forgotten."""
    wallet = Wallet()
    wallet.reserve("a", 60, lease=30)
    wallet.settle("a", 60)
    wallet.now += 30 + DAY - 1

    wallet.sweep(DAILY, MINUTE)

    assert {PAGE, DAILY.key} == set(wallet.states())
    wallet.now += 1
    assert {PAGE} == set(wallet.states())


@everywhere
def test_a_budget_is_kept_as_long_as_it_is_needed() -> None:
    """Until its period is over, or the leases of its calls; what was said once is not forgotten by saying less."""
    wallet = Wallet()
    wallet.reserve("a", 60, DAILY._replace(seconds=3 * DAY))
    wallet.reserve("b", 10, MINUTE, lease=5 * DAY)
    wallet.settle("a", 60)

    wallet.now += 3 * DAY - 1
    assert 60 == wallet.described()[0]
    wallet.now += 1
    assert DAILY.key not in wallet.states()
    wallet.now += 2 * DAY - 1
    assert (0, 10, 90, 1) == wallet.described(MINUTE)


@everywhere
def test_a_budget_waits_a_day_for_calls_whose_lease_has_ended() -> None:
    """Also where its period is over long ago: whoever fetches the ledger once a day finds what was lost."""
    short = DAILY._replace(seconds=60.0)
    wallet = Wallet()
    wallet.reserve("a", 60, short, lease=600.0)
    wallet.reserve("b", 10, MINUTE, lease=600.0)
    wallet.renew("b", "b", MINUTE, lease=DAY)

    wallet.now += DAY + 599
    wallet.sweep(short)
    assert [("a", "lost", 60)] == wallet.ledger()
    wallet.now += DAY - 600
    wallet.sweep(MINUTE)
    assert [("a", "lost", 60), ("b", "lost", 10)] == wallet.ledger()


@everywhere
def test_a_budget_waits_for_a_job_as_long_as_anybody_knows_of_it() -> None:
    """Seven days after its lease: its end may be told late."""
    short = DAILY._replace(seconds=60.0)
    wallet = Wallet()
    wallet.reserve("a", 60, short)
    wallet.renew("a", "job.1", short, lease=3600.0)

    wallet.now += 7 * DAY + 3599
    assert [1] == wallet.settle("job.1", 40, short)

    assert [("a", "lost", 60), ("job.1", "settled", -20)] == wallet.ledger()


@everywhere
def test_numbers_are_remembered_exactly() -> None:
    """For as long as was asked, or until they are forgotten."""
    wallet, job, numbers = Wallet(), ("{p}:job:0123",), [0, -1, LARGEST, 0.1]

    assert [] == wallet.run(Command("notes.recall", job))
    assert [1] == wallet.run(Command("notes.keep", job, (60.0, *numbers)))
    wallet.now += 59
    assert numbers == wallet.run(Command("notes.recall", job))
    wallet.now += 1
    assert [] == wallet.run(Command("notes.recall", job))
    wallet.run(Command("notes.keep", job, (60.0, 1)))
    wallet.run(Command("notes.keep", job, (0,)))
    assert [] == wallet.run(Command("notes.recall", job))


@everywhere
def test_amounts_are_exact_up_to_the_largest() -> None:
    """What is more than can be counted is not reserved, and what was reserved is given back to the last millionth."""
    endless = ENDLESS._replace(manner=0)
    wallet = Wallet()
    wallet.reserve("a", LARGEST - 1, endless)
    wallet.reserve("b", LARGEST, endless)
    assert (0, LARGEST, None, 2) == wallet.described(endless)

    wallet.settle("b", -1, endless)
    assert (1, LARGEST - 1, None, 1) == wallet.described(endless)
    wallet.settle("a", LARGEST, endless)
    assert (LARGEST, 0, None, 0) == wallet.described(endless)
    wallet.reserve("c", 0, DAILY._replace(limit=LARGEST))
    assert [0, 1, 0, -1, LARGEST, 0, 0, 0] == wallet.reserve("d", LARGEST + 1, DAILY._replace(limit=LARGEST))


@everywhere
def test_a_page_of_the_ledger_is_bounded() -> None:
    """The oldest rows are forgotten, and what they charged is kept as a sum."""
    wallet = Wallet()
    for number in range(100):
        wallet.reserve(f"{number}", number, ENDLESS)
        wallet.settle(f"{number}", number, ENDLESS)

    page = wallet.states()[PAGE]

    assert list(range(68, 100)) == [each[-1] for each in page["rows"]]
    assert {"dropped": 68, "charged": sum(range(68))} == {name: page[name] for name in ("dropped", "charged")}


@everywhere
def test_a_state_is_bounded() -> None:
    """Of calls that were lost, or counted though they were reserved elsewhere, the latest may still speak."""
    wallet = Wallet()
    for number in range(300):
        wallet.reserve(f"{number:03}", 1, ENDLESS, lease=5 + number / 1000)
    for number in range(600):
        wallet.settle(f"e.{number}", 1, ENDLESS, elsewhere=1)
    wallet.now += 10

    assert [300] == wallet.sweep(ENDLESS)

    assert (900, 0, None, 0) == wallet.described(ENDLESS)
    state = wallet.states()[ENDLESS.key]
    assert [f"{number:03}" for number in range(44, 300)] == [each[0] for each in state["lost"]]
    assert [f"e.{number}" for number in range(88, 600)] == wallet.states()["{p}:settled:e"]["names"]
    assert [0] == wallet.settle("043", 0, ENDLESS)
    assert [1] == wallet.settle("044", 0, ENDLESS)


@given(times=st.lists(st.floats(0, 20), max_size=200))
def test_a_rolling_window_has_a_bounded_number_of_parts(times: list[float]) -> None:
    """However many calls it counts."""
    wallet = Wallet()
    for number, seconds in enumerate(times):
        wallet.now += seconds
        wallet.settle(f"{number}", 1, MINUTE, elsewhere=1)
        assert len(wallet.states()[MINUTE.key]["slots"]) <= SLOTS + 1


def test_a_state_is_described_as_any_store_tells_it() -> None:
    """Also by one that writes an empty table as a list, and with what has left the window meanwhile."""
    state = {"limit": 100, "window": 60, "slots": [[0, 30], [40, 5]], "reserved": 0, "open": []}

    assert {"limit": 100, "spent": 35, "reserved": 0, "left": 65, "calls": 0} == describe(state, 60.9)
    assert {"limit": 100, "spent": 5, "reserved": 0, "left": 95, "calls": 0} == describe(state, 61.0)
    assert {"limit": None, "spent": 5, "reserved": 0, "left": None, "calls": 0} == describe(
        {**state, "limit": -1}, 61.0
    )


class Reservation(NamedTuple):
    """The model's: what one call, or the calls of one job, hold in one budget."""

    amount: int
    ends: float
    counts: int


class Account:
    """The model of one budget: every payment with its time, what is open, and what was lost and may still speak."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.open: dict[str, Reservation] = {}
        self.lost: dict[str, list[tuple[Reservation, int]]] = {}
        self.paid: list[list[float]] = []
        self.ended: set[str] = set()
        self.excess = 0
        """What was charged beyond what had been kept free for it."""

    def lose(self, now: float) -> None:
        """What a command finds that looks at the budget."""
        for call, reservation in list(self.open.items()):
            if reservation.ends <= now:
                del self.open[call]
                self.paid.append([now, reservation.amount * reservation.counts])
                self.lost.setdefault(call, []).append((reservation, len(self.paid) - 1))

    def end(self, call: str, charged: int, now: float, *, elsewhere: bool = False) -> int | None:
        """By how much what was ever paid has changed."""
        held, lost = self.open.pop(call, None), self.lost.pop(call, [])
        if held is None and not lost and (not elsewhere or call in self.ended):
            return None
        if elsewhere:
            self.ended.add(call)
        kept = (held.amount if held else 0) + sum(int(self.paid[index][1]) for _, index in lost)
        charged = charged if charged >= 0 else (held.amount if held else 0) + sum(each.amount for each, _ in lost)
        change = charged - sum(int(self.paid[index][1]) for _, index in lost)
        self.excess += max(0, charged - kept)
        self.paid.append([now, max(0, change)])
        back = max(0, -change)
        for _, index in lost:
            part = min(back, int(self.paid[index][1]))
            self.paid[index][1] -= part
            back -= part
        return change

    def rename(self, call: str, name: str, ends: float) -> bool:
        """Whether it is open."""
        if call in self.lost and call != name:
            self.lost.setdefault(name, []).extend(self.lost.pop(call))
            # The store corrects the earliest first.
            self.lost[name].sort(key=lambda each: each[1])
        found = [self.open.pop(each) for each in dict.fromkeys((call, name)) if each in self.open]
        if found:
            amount, counts = sum(each.amount for each in found), max(each.counts for each in found)
            self.open[name] = Reservation(amount, ends, counts)
        return bool(found)

    def spent(self, now: float) -> int:
        window = self.budget.window
        oldest = math.floor(now * SLOTS / window) - SLOTS if window else 0
        return int(sum(paid for at, paid in self.paid if not window or math.floor(at * SLOTS / window) >= oldest))

    def reserved(self) -> int:
        return sum(reservation.amount for reservation in self.open.values())

    def most_in_a_window(self) -> int:
        """Of all windows that begin with a payment; a calendar's is its period."""
        window = self.budget.window or math.inf
        return max(
            (int(sum(paid for at, paid in self.paid if begin <= at < begin + window)) for begin, _ in self.paid),
            default=0,
        )


class CreditsMachine(RuleBasedStateMachine):
    """Two hard budgets and their model: never over, nothing lost, nothing made, and each reservation ends once."""

    def __init__(self, make_store: StoreMaker = MemoryStore) -> None:
        super().__init__()
        self.make_store = make_store

    @initialize(
        now=st.sampled_from([0.0, 0.1, 1.8e9]),
        limits=st.tuples(*[st.sampled_from([0, 50, 100, 10**14 - 1])] * 2),
    )
    def begin(self, now: float, limits: tuple[int, int]) -> None:
        self.wallet = Wallet(now, self.make_store)
        self.unit = max(1, min(limits) // 100)
        self.accounts = tuple(
            Account(budget._replace(limit=limit)) for budget, limit in zip((DAILY, MINUTE), limits, strict=True)
        )
        self.charged = 0
        self.count = 0

    @property
    def budgets(self) -> tuple[Budget, ...]:
        return tuple(account.budget for account in self.accounts)

    def names(self) -> list[str]:
        """Of all that may still speak."""
        return sorted({name for account in self.accounts for name in (*account.open, *account.lost)})

    def lose(self, accounts: tuple[Account, ...]) -> None:
        for account in accounts:
            before = sum(paid for _, paid in account.paid)
            account.lose(self.wallet.now)
            if account is self.accounts[0]:
                self.charged += int(sum(paid for _, paid in account.paid) - before)

    @rule(
        data=st.data(),
        parts=st.integers(0, 60),
        lease=st.sampled_from([1.0, 10.0, 30.0]),
        counts=st.integers(0, 1),
        how_many=st.integers(1, 2),
        asks_again=st.booleans(),
    )
    def reserve(
        self, data: st.DataObject, parts: int, lease: float, counts: int, how_many: int, asks_again: bool
    ) -> None:
        """Granted if and only if it fits into each budget; what it asked for before is free again."""
        self.count += 1
        accounts, now, amount = self.accounts[:how_many], self.wallet.now, parts * self.unit
        under_way = [name for name, held in accounts[0].open.items() if held.ends > now]
        call = data.draw(st.sampled_from(under_way)) if asks_again and under_way else f"call-{self.count}"
        self.lose(accounts)
        for account in accounts:
            account.open.pop(call, None)
        full = [each for each in accounts if 0 < amount > self.left(each)]

        reply = self.wallet.reserve(call, amount, *(account.budget for account in accounts), lease=lease, counts=counts)

        if full:
            told = accounts[int(reply[2])]
            assert [0, 1] == reply[:2]
            assert told in full
            assert [self.left(told), told.spent(now), told.reserved(), 0] == reply[4:]
            return
        assert GRANTED == reply
        for account in accounts:
            account.open[call] = Reservation(amount, now + lease, counts)

    def left(self, account: Account) -> int:
        return max(0, account.budget.limit - account.spent(self.wallet.now) - account.reserved())

    @precondition(lambda self: self.names())
    @rule(data=st.data(), share=st.sampled_from([-1, 0, 1, 30, 99, 100, 100, 130]), elsewhere=st.integers(0, 1))
    def settle(self, data: st.DataObject, share: int, elsewhere: int) -> None:
        """What it cost is spent, exactly; the second time nothing happens."""
        call = data.draw(st.sampled_from(self.names()))
        held = [each.open[call].amount for each in self.accounts if call in each.open]
        held += [each.amount for account in self.accounts for each, _ in account.lost.get(call, [])]
        self.end(call, max(held) * share // 100 if share >= 0 else -1, elsewhere)

    @rule(parts=st.integers(0, 20))
    def settle_what_was_reserved_elsewhere(self, parts: int) -> None:
        """It counts, and counts once."""
        self.count += 1
        self.end(f"elsewhere-{self.count}", parts * self.unit, 1)

    def end(self, call: str, charged: int, elsewhere: int) -> None:
        self.lose(self.accounts)
        changes = [each.end(call, charged, self.wallet.now, elsewhere=bool(elsewhere)) for each in self.accounts]
        self.charged += changes[0] or 0

        assert [float(changes[0] is not None)] == self.wallet.settle(call, charged, *self.budgets, elsewhere=elsewhere)

        before = self.wallet.states()
        assert [0] == self.wallet.settle(call, charged + 1, *self.budgets, elsewhere=elsewhere)
        assert before == self.wallet.states()

    @precondition(lambda self: self.names())
    @rule(data=st.data(), lease=st.sampled_from([1.0, 10.0, 30.0]), job=st.sampled_from(["", "job-a", "job-b"]))
    def renew(self, data: st.DataObject, lease: float, job: str) -> None:
        """The same call, or a job that several calls may have begun."""
        call = data.draw(st.sampled_from(self.names()))
        name = job or call
        found = sum(each.rename(call, name, self.wallet.now + lease) for each in self.accounts)

        assert [found] == self.wallet.renew(call, name, *self.budgets, lease=lease)

    @rule()
    def sweep(self) -> None:
        """What was lost is counted; a second sweep finds nothing."""
        lost = sum(held.ends <= self.wallet.now for account in self.accounts for held in account.open.values())
        self.lose(self.accounts)

        assert [lost] == self.wallet.sweep(*self.budgets)
        assert [0] == self.wallet.sweep(*self.budgets)

    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0, 20.0, 59.0, 61.0]))
    def pass_(self, seconds: float) -> None:
        """Time goes on."""
        self.wallet.now += seconds

    @invariant()
    def adds_up(self) -> None:
        """The store's figures are the model's, no budget is over, and the ledger's sum is what was spent."""
        states, now = self.wallet.states(), self.wallet.now
        for account in self.accounts:
            limit, state = account.budget.limit, states.get(account.budget.key)
            figures = describe(state, now) if state else {"spent": 0, "reserved": 0, "calls": 0}
            spent, reserved = account.spent(now), account.reserved()
            assert (spent, reserved, len(account.open)) == (figures["spent"], figures["reserved"], figures["calls"])
            assert spent >= 0
            assert spent + reserved <= limit + account.excess
            assert account.most_in_a_window() <= limit + account.excess
        page = states.get(PAGE, {"rows": [], "charged": 0})
        assert self.charged == self.accounts[0].spent(now)
        assert self.charged == page["charged"] + sum(each[-1] for each in page["rows"])


TestCreditsMachine = CreditsMachine.TestCase
TestCreditsMachine.settings = settings(max_examples=200, stateful_step_count=40)


@given(commands=st.lists(st.tuples(commands_credits(), st.floats(0, 400)), max_size=60))
def test_every_sequence_of_commands_is_answered(commands: list[tuple[Command, float]]) -> None:
    """In finite numbers; what is reserved is what open calls hold, nothing is negative, and in the end all is forgotten."""
    store, now = MemoryStore(), 0.0

    for command, seconds in commands:
        now += seconds
        assert all(math.isfinite(number) for number in store.run(command, now))
        for key, state in store.scan("{p}:credits:"):
            assert state["reserved"] == sum(each[0] for each in state["open"].values()), key
            assert all(0 <= amount <= LARGEST for _, amount in state["slots"])
            assert bool(state["open"]) == bool(state["earliest"])

    store.run(Command("notes.recall", ("{p}:job:none",)), now + 40 * DAY)
    assert [] == list(store.scan())
