"""The waits of the library's own grow, and chance takes off only what it may."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resilience._backoff import Backoff

MILLISECONDS = st.integers(0, 366 * 86400 * 1000)


def backoff(**keys: Any) -> Backoff:
    return Backoff.model_validate(keys)


def test_each_wait_is_a_multiple_of_the_last_up_to_the_longest() -> None:
    """1, 3, 9, and then never more than 20 seconds."""
    grows = backoff(initial="1s", multiplier=3, max="20s", jitter="none")

    assert [1, 3, 9, 20, 20] == [grows.wait(retry, None, 0.7) for retry in range(5)]


@pytest.mark.parametrize(
    ("jitter", "waits"),
    [("none", (8, 8, 8)), ("equal", (8, 6, 4)), ("full", (8, 4, 0)), (0.25, (8, 7, 6)), (0, (8, 8, 8)), (1, (8, 4, 0))],
)
def test_chance_takes_off_its_share(jitter: object, waits: tuple[float, ...]) -> None:
    """Nothing of the base, half of it at most, all of it, or the share that is given."""
    drawn = backoff(initial="8s", max="8s", jitter=jitter)

    assert waits == tuple(drawn.wait(0, None, chance) for chance in (0.0, 0.5, 1.0))


@pytest.mark.parametrize(
    ("previous", "chance", "wait"),
    [(None, 0.0, 1), (None, 1.0, 3), (None, 0.5, 2), (4.0, 1.0, 12), (4.0, 0.0, 1), (30.0, 1.0, 20), (0.0, 1.0, 1)],
)
def test_a_decorrelated_wait_grows_from_the_last_one(previous: float | None, chance: float, wait: float) -> None:
    """From `initial` up to three times the last wait, and never over `max`."""
    assert wait == backoff(initial="1s", max="20s", jitter="decorrelated").wait(7, previous, chance)


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 30), (0.5, 45), (1.0, 60)])
def test_a_range_is_drawn_from_evenly(chance: float, wait: float) -> None:
    """Whatever the number of the retry, and whatever was waited before."""
    assert wait == backoff(between=["30s", "60s"]).wait(9, 500.0, chance)


def test_a_range_of_one_is_that_wait() -> None:
    """Both ends may be the same."""
    assert 5.0 == backoff(between=["5s", "5s"]).wait(0, None, 0.3)


@given(
    initial=MILLISECONDS,
    longer=MILLISECONDS,
    multiplier=st.floats(1, 10) | st.integers(1, 10),
    jitter=st.sampled_from(["none", "equal", "full", "decorrelated"]) | st.floats(0, 1) | st.sampled_from([0, 1]),
    retry=st.integers(0, 10**6),
    previous=st.none() | st.floats(0, 1e308),
    chance=st.floats(0, 1),
)
def test_every_wait_is_within_its_bounds(
    *, initial: int, longer: int, multiplier: float, jitter: Any, retry: int, previous: float | None, chance: float
) -> None:
    """Never negative, never over `max`, never less than what chance may leave; no number is too large to compute."""
    first, last = sorted((initial / 1000, longer / 1000))
    drawn = Backoff.model_construct(initial=first, max=last, multiplier=multiplier, jitter=jitter)
    lowest = first if jitter == "decorrelated" else 0 if jitter == "full" else first / 2 if jitter == "equal" else 0

    wait = drawn.wait(retry, previous, chance)

    assert lowest <= wait <= last
    assert jitter != "none" or first <= wait


@given(ends=st.tuples(MILLISECONDS, MILLISECONDS), chance=st.floats(0, 1), retry=st.integers(0, 10**6))
def test_a_range_is_never_left(ends: tuple[int, int], chance: float, retry: int) -> None:
    """Not even by a rounding."""
    shortest, longest = sorted(ends)
    drawn = backoff(between=[f"{shortest}ms", f"{longest}ms"])

    assert shortest / 1000 - 1e-6 <= drawn.wait(retry, None, chance) <= longest / 1000 + 1e-6


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"initial": "31s"}, "'initial' is longer than 'max'"),
        ({"between": ["2s", "1s"]}, "'between' begins with the shorter wait"),
        ({"between": ["1s", "2s"], "initial": "1s"}, "'between' is a whole back-off; remove the other keys"),
        ({"between": ["1s"]}, "Field required"),
        ({"multiplier": 0.5}, "greater than or equal to 1"),
        ({"multiplier": 11}, "less than or equal to 10"),
        ({"multiplier": True}, "valid integer"),
        ({"multiplier": float("nan")}, "finite number"),
        ({"jitter": 1.1}, "less than or equal to 1"),
        ({"jitter": -0.1}, "greater than or equal to 0"),
        ({"jitter": "some"}, "Input should be 'none', 'equal', 'full' or 'decorrelated'"),
        ({"initial": 1}, "has no unit"),
        ({"base": "1s"}, "Extra inputs are not permitted"),
    ],
)
def test_a_backoff_that_contradicts_itself_is_refused(keys: dict[str, Any], message: str) -> None:
    """The message says which key."""
    with pytest.raises(ValidationError) as caught:
        backoff(**keys)

    assert message in str(caught.value)
