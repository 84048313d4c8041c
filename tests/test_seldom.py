"""A line is written now and then, and says how many of its kind were left out before it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from resilience._seldom import Seldom
from resilience.testing import VirtualClock

STEPS = st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 12, allow_nan=False)), max_size=60)


@given(STEPS)
def test_whoever_asks_first_writes_the_same_lines(steps: list[tuple[str, float]]) -> None:
    """A line that would be left out is counted by the question, and is not made."""
    clock = VirtualClock()
    asked, made = Seldom(clock=clock), Seldom(clock=clock)

    for kind, seconds in steps:
        clock.advance(seconds)
        line = None if asked.leaves_out(kind) else asked.more(kind)

        assert made.more(kind) == line
        assert list(made._kinds.items()) == list(asked._kinds.items())


def test_a_kind_that_is_still_left_out_is_not_forgotten() -> None:
    """Those of which nothing came for longest go first."""
    seldom = Seldom(clock=VirtualClock())
    for kind in range(1000):
        seldom.more(kind)

    assert seldom.leaves_out(0)
    seldom.more("new")

    assert [True, False] == [seldom.leaves_out(kind) for kind in (0, 1)]
