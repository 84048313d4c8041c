"""Random commands to retry budgets, for all stores alike."""

from __future__ import annotations

from hypothesis import strategies as st

from resilience._retry_budget import SLOTS
from resilience._transactions import Command

RATIO = ("{p}:budget:ratio",)
QUOTA = ("{p}:budget:quota",)

_calls = st.lists(st.integers(0, 50), max_size=SLOTS)


def _ratios(window: float) -> st.SearchStrategy[Command]:
    """Commands to one budget, which always has the same window."""
    ratio = st.sampled_from([0, 0.1, 0.2, 1]) | st.floats(0, 10)
    withdraw = st.tuples(ratio, st.sampled_from([0, 1, 10]), st.just(window), _calls)
    return st.one_of(
        st.builds(Command, st.just("budget.withdraw"), st.just(RATIO), withdraw),
        st.builds(
            Command, st.just("budget.give_back"), st.just(RATIO), st.tuples(st.just(window), st.integers(-2, 200))
        ),
    )


def _quotas(capacity: int) -> st.SearchStrategy[Command]:
    amounts = st.tuples(st.just(capacity), st.sampled_from([1, 5, 14]) | st.integers(0, 600))
    return st.one_of(
        st.builds(Command, st.just("budget.spend"), st.just(QUOTA), amounts),
        st.builds(Command, st.just("budget.restore"), st.just(QUOTA), amounts),
    )


def commands_budget() -> st.SearchStrategy[Command]:
    """One command; a sequence of them on one store meets each of the scripts' branches."""
    return st.one_of(_ratios(10.0), _quotas(500), _ratios(10.0), _quotas(20))
