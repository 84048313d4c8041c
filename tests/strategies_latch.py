"""Random commands to latches, and to the credits before which they stand, for all stores alike."""

from __future__ import annotations

from hypothesis import strategies as st

from resilience._transactions import Command

__all__ = ["LATCHES", "commands_latch", "shuts"]

LATCHES = ("{p}:latch:account:a", "{p}:latch:operation.scrape:a")
_PAGE = "{p}:ledger:0"
_calls = st.sampled_from(["one", "two", "three"])
_keys = st.lists(st.sampled_from(LATCHES), min_size=1, max_size=2, unique=True).map(tuple)
# Asked for three times as often as not obeyed.
_obeys = st.sampled_from([1, 1, 1, 0])


def shuts(calls: st.SearchStrategy[str]) -> st.SearchStrategy[Command]:
    """An answer shuts a latch.

    Arguments:
        calls: the names of the calls that may get it.
    """
    seconds = st.sampled_from([0, 0, 0, 0.2, 60.5])
    every = st.sampled_from([0.1, 1.0, 300, 3000.0])
    why = st.sampled_from(["credits exhausted", 'no "é"', ""])
    key = st.sampled_from(LATCHES).map(lambda key: (key,))
    return st.builds(Command, st.just("latch.shut"), key, st.tuples(calls, seconds, every, why))


def commands_latch() -> st.SearchStrategy[Command]:
    """One command; a sequence of them on one store meets each of the scripts' branches."""
    asks = st.builds(
        lambda keys, call, obeys: Command("credits.reserve", (*keys, _PAGE), (call, len(keys), obeys, 1.0, 1, 0)),
        _keys,
        _calls,
        _obeys,
    )
    answers = st.builds(
        lambda keys, call, word: Command("credits.settle", (*keys, _PAGE), (call, len(keys), word, 0, 0)),
        _keys,
        _calls,
        st.integers(-1, 1),
    )
    lifts = st.builds(Command, st.just("latch.lift"), _keys, st.just(()))
    return st.one_of(shuts(_calls), shuts(_calls), asks, asks, answers, lifts)
