"""Random notes, for all stores alike."""

from __future__ import annotations

from hypothesis import strategies as st

from resilience._budget_state import LARGEST
from resilience._transactions import Command

__all__ = ["commands_notes"]

_KEYS = st.sampled_from([("{p}:job:0123",), ("{p}:job:4567",)])
_numbers = st.lists(st.integers(-1, LARGEST) | st.floats(0, 1e9), max_size=3)
_kept = st.builds(lambda seconds, numbers: (seconds, *numbers), st.sampled_from([0.5, 3600]), _numbers)


def commands_notes() -> st.SearchStrategy[Command]:
    """One command; a sequence of them on one store meets each of the scripts' branches."""
    keeps = st.builds(Command, st.just("notes.keep"), _KEYS, _kept)
    recalls = st.builds(Command, st.just("notes.recall"), _KEYS, st.just(()))
    return st.one_of(keeps, recalls)
