"""What the states of budgets, balances, latches and the ledger mean; and that nothing that stands in a store breaks them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resilience._budget_state import LARGEST
from resilience._credits_ledger import Dropped, Ledger, Settlement, Sum, apart, read_pages, spread, sums
from resilience._credits_lines import Line, Span
from resilience._credits_report import BINS, CreditsReport, credits_report
from resilience._status import MOST_STATES
from resilience._tags import key_part
from resilience._transactions import Command
from resilience.stores._memory import MemoryStore

WALL = 1_800_000_000.0
DAY = 86_400
# The period of all tests is one day, a quarter of which has passed.
BEGINS = int(WALL) - DAY // 4
TODAY = f"{BEGINS}-{BEGINS + DAY}"
DAILY = f"{{some}}:credits:daily@credits:{TODAY}"
PAGE = "{some}:ledger:0"


class Spender:
    """A store in which calls have reserved and settled credits; its time is that of the wall."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.calls = 0

    def run(self, name: str, keys: Sequence[str], arguments: Sequence[Any] = (), at: float = WALL) -> list[float]:
        return self.store.run(Command(name, tuple(keys), tuple(arguments)), at)

    def reserve(self, *keys: str, amount: float = 1, limit: float = 100, at: float = WALL, **options: Any) -> list[Any]:
        """Reserve so much of each budget; the row that a settlement needs."""
        self.calls += 1
        chosen = {"window": 0.0, "lease": 60.0, "operation": "search", "account": "ab12", "tags": "", **options}
        named = f"call.{self.calls}"
        row = [at, named, chosen["operation"], chosen["account"], chosen["tags"], round(amount * 1e6)]
        spec = [round(limit * 1e6) if limit >= 0 else int(limit), round(amount * 1e6), chosen["window"], 5 * DAY, -1, 1]
        arguments = (named, 0, 1, chosen["lease"], 2 ** len(keys) - 1, [*row, "lost"], *([spec] * len(keys)))
        reply = self.run("credits.reserve", (PAGE, *keys), arguments, at)
        assert 1.0 == reply[0]
        return row

    def settle(self, row: list[Any], *keys: str, charged: float, window: float = 0.0, at: float = WALL) -> None:
        """End a reservation."""
        amount = round(charged * 1e6)
        arguments = (row[1], 0, 1, 0, [*row, "settled"], *([[amount, window, 5 * DAY]] * len(keys)))
        assert [1.0] == self.run("credits.settle", (PAGE, *keys), arguments, at)

    def spend(self, *keys: str, charged: float, at: float = WALL, window: float = 0.0, **options: Any) -> None:
        """Reserve and settle."""
        row = self.reserve(*keys, amount=charged, at=at, window=window, **options)
        self.settle(row, *keys, charged=charged, at=at, window=window)

    def report(self, wall: float = WALL, **options: Any) -> CreditsReport:
        return credits_report(self.store.scan(), WALL, wall, **options)

    def line(self, wall: float = WALL, **options: Any) -> Line:
        (line,) = self.report(wall, **options).lines
        return line


@pytest.fixture
def some() -> Spender:
    return Spender()


def test_a_budget_of_today(some: Spender) -> None:
    """What is spent, what calls under way may still cost, what is left, and what will be spent if it goes on so."""
    some.spend(DAILY, charged=20.5)
    some.reserve(DAILY, amount=4)

    line = some.line()

    assert ("some", "daily", "credits", {}) == (line.provider, line.budget, line.unit, line.scopes)
    assert Span("calendar", BEGINS, BEGINS + DAY, DAY) == line.span
    amounts = (line.limit, line.spent, line.reserved, line.left, line.forecast)
    assert (Decimal(100), Decimal("20.5"), Decimal(4), Decimal("75.5"), Decimal(82)) == amounts
    assert (1, 0.245, DAY * 3 / 4) == (line.calls, line.used, line.resets_in)
    assert (None, False, False) == (line.told_ago, line.is_over, line.is_late)


def test_amounts_are_exact(some: Spender) -> None:
    """A tenth three times is three tenths, and a thousand million of them are not rounded."""
    for _ in range(3):
        some.spend(DAILY, charged=0.1)
    some.spend(DAILY, charged=999_999_999.000001, limit=1e9)

    assert Decimal("999999999.300001") == some.line().spent


@pytest.mark.parametrize(
    ("scopes", "found"),
    [
        ("account=3f", {"account": "3f"}),
        ("operation=search:tag.tenant=acme", {"operation": "search", "tag.tenant": "acme"}),
        ("tag.a=-:tag.b=~12=", {"tag.a": "-", "tag.b": "~12="}),
    ],
)
def test_what_is_counted_apart(scopes: str, found: dict[str, str], some: Spender) -> None:
    """In the order of the key."""
    some.spend(f"{DAILY}:{scopes}", charged=1)

    assert list(found.items()) == list(some.line().scopes.items())


def test_a_unit_of_several_words(some: Spender) -> None:
    """A key has no blanks."""
    some.spend(f"{{some}}:credits:my-budget@API-credits:{TODAY}", charged=1)

    assert ("my-budget", "API credits") == ((line := some.line()).budget, line.unit)


def test_a_rolling_window(some: Spender) -> None:
    """It is never over; if it goes on so, each window costs as much as this one."""
    some.spend("{some}:credits:b@credits:rolling-3600", charged=5, at=WALL - 3500, window=3600.0)
    some.spend("{some}:credits:b@credits:rolling-3600", charged=7, at=WALL - 10, window=3600.0)

    line = some.line()

    assert (Span("rolling", seconds=3600.0), None) == (line.span, line.resets_in)
    assert (Decimal(12), Decimal(12)) == (line.spent, line.forecast)
    assert (Decimal(5), Decimal(7)) == (line.history[0], line.history[-1])


def test_a_budget_for_all_time(some: Spender) -> None:
    """No forecast; the spending of the last day is told."""
    some.spend("{some}:credits:once@USD:ever", charged=5, at=WALL - 2 * DAY)
    some.spend("{some}:credits:once@USD:ever", charged=7, at=WALL)

    line = some.line()

    assert (Span("ever"), None, None, Decimal(12)) == (line.span, line.resets_in, line.forecast, line.spent)
    assert (Decimal(7), Decimal(7)) == (sum(line.history), line.history[-1])


def test_a_budget_without_end(some: Spender) -> None:
    """What only counts has no limit, nothing left of it, and no share."""
    some.spend(DAILY, charged=5, limit=-1)

    line = some.line()

    assert (None, None, None, Decimal(5)) == (line.limit, line.left, line.used, line.spent)


@pytest.mark.parametrize(("passed", "forecast"), [(-5, None), (863, None), (864, 1000), (DAY // 2, 20), (DAY - 1, 10)])
def test_a_forecast_needs_some_time(passed: int, forecast: int | None, some: Spender) -> None:
    """A hundredth of the period; it is what was spent, by the share of it that has passed."""
    some.spend(DAILY, charged=10)

    found = some.line(BEGINS + passed).forecast

    assert forecast is None if found is None else round(found) == forecast


def test_a_forecast_in_fractions_is_a_decimal(some: Spender) -> None:
    """To the millionth."""
    some.spend(DAILY, charged=1)

    assert Decimal("3.000000") == some.line(BEGINS + DAY / 3).forecast


def test_an_older_period(some: Spender) -> None:
    """It is over from the moment of its end: nothing resets, nothing is foreseen."""
    some.spend(DAILY, charged=10)

    over, last = some.line(BEGINS + DAY), some.line(BEGINS + DAY - 0.5)

    assert (True, None, None, Decimal(10)) == (over.is_over, over.resets_in, over.forecast, over.spent)
    assert (False, 0.5) == (last.is_over, last.resets_in)


def test_lines_stand_in_order(some: Spender) -> None:
    """By provider, budget, scopes and period, whatever the order of the store."""
    keys = [
        "{b}:credits:a@c:ever", "{a}:credits:b@c:ever", "{a}:credits:a@c:200-300:account=1", "{a}:credits:a@c:100-200:account=1",
        "{a}:credits:a@c:1000-2000:account=1", "{a}:credits:a@c:100-200",
    ]  # fmt: skip
    for key in keys:
        some.spend(key, charged=1)

    assert [5, 3, 2, 4, 1, 0] == [keys.index(line.key) for line in some.report().lines]


def test_what_was_lost_is_named(some: Spender) -> None:
    """Budgets in which a lease has ended that nobody has counted yet; after a sweep there are none, and it is spent."""
    some.reserve(DAILY, "{some}:credits:b@credits:ever", amount=3, lease=60.0, at=WALL - 60)
    some.reserve("{some}:credits:c@credits:ever", lease=61.0, at=WALL - 60)

    before = some.report()
    some.run("credits.sweep", (PAGE, *before.lost["some"]))
    after = some.report()

    assert {"some": ("{some}:credits:b@credits:ever", DAILY)} == before.lost
    assert [True, False, True] == [line.is_late for line in before.lines]
    assert ({}, [3, 0, 3]) == (after.lost, [line.spent for line in after.lines])
    assert ["lost"] == [row.outcome for row in after.ledger.rows]


def test_a_balance_is_no_budget(some: Spender) -> None:
    """It stands apart: what the provider has told, when, and what was spent since."""
    key = "{some}:credits:balance@credits:ever:account=ab12"
    some.run("credits.report", (PAGE, key), (80_000_000, 60.0, []), at=WALL - 30)
    some.spend(key, charged=5, limit=-2)

    found = some.report()

    assert () == found.lines
    (line,) = found.balances
    assert (Decimal(80), Decimal(5), Decimal(75), 30.0) == (line.limit, line.spent, line.left, line.told_ago)
    assert ({"account": "ab12"}, ()) == (line.scopes, line.history)


# Latches


@pytest.mark.parametrize(
    ("seconds", "opens", "looks"), [(0, None, 290.0), (3600, 3590.0, None)], ids=["looks", "its time is known"]
)
def test_a_latch(seconds: int, opens: float | None, looks: float | None, some: Spender) -> None:
    """Of an account, or of one operation of it: why and for how long it is shut, and until when."""
    for name in ("account:ab12", "operation.search:-"):
        arguments = ("call", seconds, 300.0, "402 INSUFFICIENT_CREDITS")
        some.run("latch.shut", (f"{{some}}:latch:{name}",), arguments, at=WALL - 10)

    found = some.report().latches

    assert [(None, "ab12"), ("search", "-")] == [(latch.operation, latch.account) for latch in found]
    assert {("some", "402 INSUFFICIENT_CREDITS", 10.0, opens, looks)} == {
        (latch.provider, latch.why, latch.shut_for, latch.opens_in, latch.looks_in) for latch in found
    }


# The ledger


def row_of(**fields: Any) -> Settlement:
    values = {"provider": "some", "at": 0.0, "call": "c", "operation": "search", "account": "ab12", "tags": ""}
    return Settlement(**{**values, "reserved": Decimal(2), "outcome": "settled", "charged": Decimal(1), **fields})


def test_rows_stand_by_time(some: Spender) -> None:
    """With all that was written of them, from whichever page."""
    some.spend(DAILY, charged=2, at=WALL, tags="tenant=acme")
    first = some.reserve(DAILY, amount=3, at=WALL, operation="", account="-")
    first[0] = WALL - 50.5
    some.settle(first, DAILY, charged=0.5)

    found = some.report().ledger

    expected = [
        row_of(at=WALL - 50.5, call="call.2", operation="", account="-", reserved=Decimal(3), charged=Decimal("0.5")),
        row_of(at=WALL, call="call.1", tags="tenant=acme", reserved=Decimal(2), charged=Decimal(2)),
    ]
    assert (expected, {}, 0) == (list(found.rows), found.dropped, found.strange)


def test_dropped_rows_are_told(some: Spender) -> None:
    """A full page forgets its oldest rows, but not what they have cost: nothing is missing from the sum."""
    for number in range(40):
        some.spend(DAILY, charged=number, limit=10_000)

    ledger = some.report().ledger

    assert (32, {"some": Dropped(8, Decimal(28))}) == (len(ledger.rows), ledger.dropped)
    assert sum(range(40)) == ledger.dropped["some"].charged + sum(row.charged for row in ledger.rows)


def test_dropped_rows_of_pages_add_up() -> None:
    """By provider; an empty list of Redis is a list."""
    page = {"rows": {}, "dropped": 2, "charged": 1_500_000}

    assert Ledger((), {"a": Dropped(4, Decimal(3)), "b": Dropped(2, Decimal("1.5"))}) == read_pages(
        [("a", page), ("a", {**page, "rows": []}), ("b", page)]
    )


def test_sums_by_outcome() -> None:
    """For each provider: two may be paid in different units."""
    rows = [row_of(), row_of(charged=Decimal("0.1")), row_of(outcome="lost"), row_of(provider="b", charged=Decimal(-2))]

    assert {
        "some": {"settled": Sum(2, Decimal("1.1")), "lost": Sum(1, Decimal(1))},
        "b": {"settled": Sum(1, Decimal(-2))},
    } == sums(rows)


@pytest.mark.parametrize(
    ("scopes", "value"),
    [
        ((), ()),
        (("account",), ("ab12",)),
        (("operation", "account"), ("search", "ab12")),
        (("tag.tenant",), ("acme",)),
        (("tag.job",), (key_part("a, b"),)),
        (("tag.user",), (key_part("x" * 200),)),
        (("tag.none",), ("-",)),
        (("something",), ("-",)),
    ],
)
def test_rows_apart(scopes: tuple[str, ...], value: tuple[str, ...]) -> None:
    """By the values that a budget's key has: a row has them too."""
    row = row_of(tags=f"job={key_part('a, b')},tenant=acme,user={key_part('x' * 200)}")

    assert {value: [row]} == apart([row], scopes)


def test_a_call_without_an_operation_or_tags() -> None:
    """Counts as a key says it."""
    row = row_of(operation="", tags="no tag")

    assert {("-", "-"): [row]} == apart([row], ("operation", "tag.no tag"))


def test_spending_over_time() -> None:
    """In equal parts, each with its beginning; the very end belongs to the last; what lies outside is not counted."""
    at = [-0.1, 0, 2.4, 2.5, 9.9, 10, 10.1]
    rows = [row_of(at=each, call=f"c{place}", charged=Decimal(10**place)) for place, each in enumerate(at)]

    assert (110, 1000, 0, 110_000) == spread(rows, 0, 10, 4)
    assert (2, 1, 0, 2) == spread(rows, 0, 10, 4, calls=True)
    assert (10, 0) == spread(rows, 0, 0, 2)


def test_a_correction_is_no_call() -> None:
    """What the provider has taken unseen costs, and sends no request."""
    rows = [row_of(), row_of(outcome="balance")]

    assert ((2,), (1,)) == (spread(rows, 0, 1, 1), spread(rows, 0, 1, 1, calls=True))


def test_a_call_that_was_lost_and_speaks_late_is_one_call() -> None:
    """Its second row corrects what it has cost."""
    rows = [row_of(outcome="lost"), row_of(charged=Decimal(-1)), row_of(call="another")]

    assert ((1,), (2,)) == (spread(rows, 0, 1, 1), spread(rows, 0, 1, 1, calls=True))


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(-LARGEST, LARGEST)), max_size=30),
    st.floats(0, 100),
    st.floats(0, 100),
    st.integers(1, 20),
)
def test_no_spending_is_lost_in_the_parts(
    spent: list[tuple[float, int]], begins: float, ends: float, bins: int
) -> None:
    """Their sum is exactly what was spent in that time."""
    rows = [row_of(at=at, charged=Decimal(amount) / 1_000_000) for at, amount in spent]

    found = spread(rows, begins, ends, bins)

    assert bins == len(found)
    assert sum(row.charged for row in rows if begins <= row.at <= ends) == sum(found)


@pytest.mark.parametrize("tenant", ["acme", "anna@shop.example", "a, b=c", "-", "~", "x" * 200])
def test_the_history_of_a_tag_is_there_whatever_its_value_is(some: Spender, tenant: str) -> None:
    """Its key and its rows have the same text for it."""
    part = key_part(tenant)
    some.spend(f"{DAILY}:tag.tenant={part}", charged=2, tags=f"job=7,tenant={part}")
    some.spend(DAILY, charged=4, tags="job=7")

    (line,) = [each for each in some.report().lines if each.scopes]

    assert 2 == sum(line.history)


def test_the_history_of_a_budget_is_of_its_own_calls(some: Spender) -> None:
    """Those of its scopes, of its operations, and of its period; of requests, each is one."""
    some.spend(DAILY, charged=1, at=BEGINS - 1.0)
    some.spend(DAILY, charged=2, at=BEGINS, tags="tenant=acme")
    some.spend(DAILY, charged=4, operation="crawl", tags="tenant=other")
    keys = [
        f"{DAILY}:tag.tenant=acme",
        f"{{some}}:credits:only@credits:{TODAY}",
        f"{{some}}:credits:r@requests:{TODAY}",
    ]
    for key in keys:
        some.spend(key, charged=0)

    lines = some.report(operations={("some", "only"): ("crawl",), ("other", "daily"): ()}).lines

    assert BINS == len(lines[0].history)
    told = {line.key: (sum(line.history), line.history[0], line.history[-1]) for line in lines}
    assert {DAILY: (6, 2, 4), keys[0]: (2, 2, 0), keys[1]: (4, 0, 4), keys[2]: (5, 1, 4)} == told


def test_the_history_of_an_older_period_is_all_of_it(some: Spender) -> None:
    """Also where it begins after the time of this machine, whose clock is wrong."""
    some.spend(DAILY, charged=2, at=BEGINS)
    some.spend(DAILY, charged=3, at=BEGINS + 6 * 3600.0)

    assert (2, 3) == ((line := some.line(BEGINS + 5.0 * DAY)).history[0], line.history[BINS // 4])
    assert [0] * BINS == list(some.line(BEGINS - 5.0).history)


def test_one_provider_alone(some: Spender) -> None:
    """Nothing of the others; and states of other kinds are none of credits."""
    for provider in ("a", "b"):
        some.spend(f"{{{provider}}}:credits:x@c:ever", charged=1)
        some.run("latch.shut", (f"{{{provider}}}:latch:account:-",), ("c", 0, 5.0, "why"))
    some.run("notes.keep", ("{a}:job:1",), (60.0, 1))
    some.run("permits.acquire", ("{a}:permits:x",), ("h", 60.0, 1))

    found = some.report(provider="a")

    assert (["a"], ["a"], ()) == (
        [line.provider for line in found.lines], [latch.provider for latch in found.latches], found.warnings,
    )  # fmt: skip
    assert () == found.ledger.rows


def test_a_store_without_end() -> None:
    """Is not read to its end, and that is said."""
    keys = [(f"session:{number}", dict[str, Any]()) for number in range(MOST_STATES + 1)]

    assert (False, True) == (credits_report(keys[1:], 0.0, 0.0).more, credits_report(keys, 0.0, 0.0).more)


# What others have written


STATE: dict[str, Any] = {
    "limit": 5, "window": 0.0, "slots": [[0, 1]], "reserved": 0, "open": {}, "earliest": 0.0, "lost": [], "warned": 0,
    "seen": 0.0, "keeps": 0.0,
}  # fmt: skip


def test_a_state_as_redis_tells_it() -> None:
    """Empty lists look like {}, and whole numbers may be fractions."""
    state = {**STATE, "slots": {}, "limit": 5e6, "reserved": 1e6}

    (line,) = credits_report([(DAILY, state)], 0.0, WALL).lines

    assert (Decimal(5), Decimal(0), Decimal(4)) == (line.limit, line.spent, line.left)


@pytest.mark.parametrize(
    "key",
    [
        "{some}:credits:", "{some}:credits:daily:ever", "{some}:credits:@credits:ever", "{some}:credits:daily@:ever",
        "{some}:credits:daily@credits:", "{some}:credits:daily@credits:5-5", "{some}:credits:daily@credits:5-4",
        "{some}:credits:daily@credits:-5-4", "{some}:credits:daily@credits:1-999999999999", "{some}:credits:d@c:rolling-0",
        "{some}:credits:daily@credits:rolling-", "{some}:credits:daily@credits:١-٢", "{some}:credits:d@c:ever:account",
        "{some}:credits:daily@credits:ever:" + "a=" * 1000, "{some}:latch:", "{some}:latch:account:", "{some}:latch:host:x",
        "{some}:latch:account:" + "x" * 1000,
    ],
)  # fmt: skip
def test_a_key_that_is_none_of_ours(key: str) -> None:
    """Is left out with a warning, whatever stands there."""
    latch = {"until": 0, "look_at": 0.0, "look_every": 1.0, "probe": "", "why": "", "since": 0.0}

    found = credits_report([(key, {**STATE, **latch})], 0.0, 0.0)

    assert ((), (), ()) == (found.lines, found.balances, found.latches)
    assert (f"{key[:200]!r} holds what this library has not written, and is left out",) == found.warnings


@pytest.mark.parametrize(
    "change",
    [
        {"limit": "5"}, {"limit": math.nan}, {"limit": 10**400}, {"limit": True}, {"limit": None}, {"slots": [[0]]},
        {"slots": "text"}, {"slots": [[0, "1"]]}, {"slots": [[0, math.nan]]}, {"slots": [[0, -math.inf]]}, {"reserved": []},
        {"reserved": math.inf}, {"open": 5}, {"window": "w"}, {"window": math.nan}, {"earliest": "now"}, {"seen": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_budget(change: dict[str, Any]) -> None:
    """Is left out with a warning, and so is one from which something is missing; the others stay."""
    name = next(iter(change))
    missing = {other: value for other, value in STATE.items() if other != name}
    states = [(DAILY, {**STATE, **change}), (f"{DAILY}:a=b", missing), ("{some}:credits:x@c:ever", STATE)]

    found = credits_report(states, 0.0, WALL)

    assert (["x"], 2) == ([line.budget for line in found.lines], len(found.warnings))


@pytest.mark.parametrize(
    "change", [{"why": 5}, {"since": "x"}, {"since": -1e300}, {"until": "x"}, {"look_at": math.inf}], ids=str
)
def test_a_damaged_latch(change: dict[str, Any]) -> None:
    """Is left out with a warning."""
    latch = {"until": 0, "look_at": 0.0, "look_every": 1.0, "probe": "", "why": "w" * 1000, "since": 0.0}
    states = [("{some}:latch:account:-", {**latch, **change}), ("{some}:latch:account:1", latch)]

    found = credits_report(states, 5.0, WALL)

    assert (["1"], ["w" * 200], 1) == (
        [latch.account for latch in found.latches], [latch.why for latch in found.latches], len(found.warnings),
    )  # fmt: skip


ROW: list[Any] = [5.0, "call", "search", "ab12", "a=b", 2_000_000, "settled", 1_000_000]


@pytest.mark.parametrize(
    "rows",
    [
        "text", 5, None, {"a": 1}, [5], [ROW[:7]], [[*ROW, 1]], [[*ROW[:7], "1"]], [[*ROW[:7], math.nan]],
        [[True, *ROW[1:]]], [[-1.0, *ROW[1:]]], [[1e12, *ROW[1:]]], [[5.0, 7, *ROW[2:]]], [[5.0, "x" * 5001, *ROW[2:]]],
        [[*ROW[:5], 10**400, *ROW[6:]]],
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_a_damaged_page(rows: Any) -> None:
    """Costs its own rows alone, and that is said."""
    page = {"rows": rows, "dropped": 0, "charged": 0}
    states: list[tuple[str, Any]] = [(PAGE, page), ("{some}:ledger:1", {**page, "rows": [ROW, ROW]})]

    found = credits_report(states, 0.0, 0.0)

    assert (2, ("1 row of the ledger cannot be read, and are left out",)) == (len(found.ledger.rows), found.warnings)


@pytest.mark.parametrize(
    "page", [None, [], "x", {}, {"rows": [], "dropped": "1", "charged": 0}, {"rows": [], "dropped": 0}]
)
def test_a_page_that_is_none(page: Any) -> None:
    """Is counted as one that cannot be read."""
    assert Ledger((), {}, 1) == read_pages([("some", page)])


def test_warnings_have_an_end() -> None:
    """A hundred strange keys are not named one by one."""
    states: list[tuple[str, Any]] = [(f"{{some}}:credits:{number:03}", {}) for number in range(100)]

    found = credits_report(states, 0.0, 0.0).warnings

    assert (11, "90 more keys hold such, and are left out") == (len(found), found[-1])


plain = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
parts = st.sampled_from(
    ["ever", "1-2", "account=x", "balance@c", "d@c", "rolling-60", "operation.x", "account", "", "=", "@"]
)
keys = st.builds(
    lambda kind, rest: f"{{some}}:{kind}:{':'.join(rest)}",
    st.sampled_from(["credits", "latch", "ledger", "job"]),
    st.lists(parts, max_size=5),
)
states = st.one_of(
    plain,
    st.fixed_dictionaries({}, optional={name: plain | st.just(value) for name, value in STATE.items()}),
    st.fixed_dictionaries(
        {"rows": st.lists(st.lists(plain, min_size=8, max_size=8)), "dropped": plain, "charged": plain}
    ),
    st.fixed_dictionaries(dict.fromkeys(("until", "look_at", "why", "since"), plain)),
)


@given(st.lists(st.tuples(keys | st.text(max_size=20), states), max_size=4), st.floats(0, 1e10), st.floats(0, 1e10))
@example([("{some}:credits:balance@c:ever", {**STATE, "seen": LARGEST})], 0.0, 0.0)
@example([("{some}:credits:d@c:1-2", {**STATE, "slots": [[0, LARGEST]] * 3})], 0.0, 1.011)
def test_nothing_in_a_store_breaks_the_report(found: list[tuple[str, Any]], now: float, wall: float) -> None:
    """Whatever its types and sizes; and what comes of it is plain numbers."""
    report = credits_report(found, now, wall)

    for line in (*report.lines, *report.balances):
        assert all(amount.is_finite() for amount in (line.spent, line.reserved, *line.history))
        assert json.dumps([line.used, line.resets_in, line.told_ago, line.calls], allow_nan=False)
    assert json.dumps([[latch.shut_for, latch.opens_in, latch.looks_in] for latch in report.latches], allow_nan=False)
