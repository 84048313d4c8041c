"""Random commands to budgets, ledgers and the latches before them, for all stores alike."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from resilience._budget_state import BALANCE, LARGEST
from resilience._transactions import Command
from tests.strategies_latch import LATCHES, shuts

__all__ = ["PAGES", "commands_credits"]

PAGES = ("{p}:ledger:0", "{p}:ledger:1")
_SETTLED = ("{p}:settled:a.1", "{p}:settled:b.1")
_DAILY = "{p}:credits:daily:1763683200-1763769600:account=a"
_MINUTE = "{p}:credits:minute:rolling-60:account=a"
_ANY_DAY = "{p}:credits:any-day:rolling-86400:tag.tenant=é"
_BALANCE = "{p}:credits:balance:ever:account=a"
# Each budget always has the same window; 0 is a calendar's.
_WINDOWS: dict[str, float] = {_DAILY: 0, _MINUTE: 60, _ANY_DAY: 86400.0, _BALANCE: 0}
# Bytes and locales sort them differently.
_calls = st.sampled_from(["b", "B", "10", "9", "é"])
_amounts = st.sampled_from([0, 1, 3, 10, 10, 40, 10**15, LARGEST - 1, LARGEST])
_limits = st.sampled_from([-1, 0, 10, 50, 50, 100, 10**15, LARGEST])
_leases = st.sampled_from([0.05, 0.5, 30.0, 600.0, 200_000.0])
_seconds = st.sampled_from([0, 60.0, 90_000, 100_000.5])
_flag = st.integers(0, 1)
_row = st.builds(
    lambda call, tags, reserved: [1763683200.25, call, "scrape", "d1ge57", tags, reserved, "settled"],
    _calls,
    st.sampled_from(["", "tenant=é job=7", '"\\']),
    _amounts,
)
# Few combinations, so that what was reserved is often settled, or lost, where it was.
_budgets = st.sampled_from([(_DAILY,), (_MINUTE,), (_DAILY, _MINUTE), (_ANY_DAY, _BALANCE), tuple(_WINDOWS)])
_latches = st.lists(st.sampled_from(LATCHES), max_size=2, unique=True).map(tuple)


def _spec(key: str) -> st.SearchStrategy[list[Any]]:
    """What a reservation says of a budget."""
    is_balance = key == _BALANCE
    return st.tuples(
        st.just(BALANCE) if is_balance else _limits,
        _amounts,
        st.just(_WINDOWS[key]),
        _seconds,
        st.sampled_from([0, 0.5, 300]) if is_balance else st.sampled_from([-1, 0, 5, 40, LARGEST]),
        st.sampled_from([1, 1, 1, 0, 2]),
    ).map(list)


@st.composite
def _reserve(draw: st.DrawFn) -> Command:
    latches, budgets = draw(_latches), draw(_budgets)
    counts = st.integers(0, 2 ** len(budgets) - 1)
    arguments = [draw(each) for each in (_calls, st.just(len(latches)), _flag, _leases, counts, _row | st.just(0))]
    specs = [draw(_spec(key)) for key in budgets]
    return Command("credits.reserve", (*latches, draw(st.sampled_from(PAGES)), *budgets), (*arguments, *specs))


@st.composite
def _settle(draw: st.DrawFn) -> Command:
    latches, budgets = draw(_latches), draw(_budgets)
    word = st.integers(-1, 1)
    arguments = [draw(each) for each in (_calls, st.just(len(latches)), word, _flag, _row | st.just(0))]
    charges = [[draw(_amounts | st.just(-1)), _WINDOWS[key], draw(_seconds)] for key in budgets]
    keys = (*latches, draw(st.sampled_from(PAGES)), *budgets)
    if arguments[3]:
        keys = (*keys, draw(st.sampled_from(_SETTLED)))
    return Command("credits.settle", keys, (*arguments, *charges))


def commands_credits() -> st.SearchStrategy[Command]:
    """One command; a sequence of them on one store meets each of the scripts' branches."""
    swept = st.builds(lambda page, budgets: (page, *budgets), st.sampled_from(PAGES), _budgets)
    told = st.tuples(st.sampled_from(PAGES), st.just(_BALANCE))
    return st.one_of(
        _reserve(),
        _reserve(),
        _reserve(),
        _settle(),
        _settle(),
        st.builds(Command, st.just("credits.renew"), _budgets, st.tuples(_calls, _calls, _leases)),
        st.builds(Command, st.just("credits.report"), told, st.tuples(_amounts, _seconds, _row)),
        st.builds(Command, st.just("credits.sweep"), swept, st.just(())),
        st.builds(Command, st.just("credits.reset"), _budgets, st.tuples(_flag)),
        shuts(_calls),
    )
