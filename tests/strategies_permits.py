"""Random commands to permits, for all stores alike."""

from __future__ import annotations

from hypothesis import strategies as st

from resilience._transactions import Command

KEYS = ("{p}:permits:a", "{p}:permits:b")
HOLDERS = tuple(f"7f3a.{number:x}" for number in range(8))

_keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=2, unique=True).map(tuple)
_holder = st.sampled_from(HOLDERS)
_lease = st.sampled_from([0.5, 30.1, 330.0]) | st.floats(0.001, 1000)
_documented = st.integers(0, 5)


@st.composite
def _acquire(draw: st.DrawFn) -> Command:
    keys = draw(_keys)
    return Command("permits.acquire", keys, (draw(_holder), draw(_lease), *(draw(_documented) for _ in keys)))


def commands_permits() -> st.SearchStrategy[Command]:
    """One command; a sequence of them on one store meets each of the scripts' branches."""
    one_key = st.sampled_from(KEYS).map(lambda key: (key,))
    spoken = st.tuples(st.integers(0, 3), _documented)
    return st.one_of(
        _acquire(),
        _acquire(),
        st.builds(Command, st.just("permits.release"), _keys, st.tuples(_holder)),
        st.builds(Command, st.just("permits.renew"), _keys, st.tuples(_holder, _lease)),
        st.builds(Command, st.just("permits.lower"), one_key, spoken),
        st.builds(Command, st.just("permits.raise_"), one_key, spoken),
    )
