"""The sets of attributes of one instrument: those of the table, never more than their bound, always fit to be sent."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilience._instruments
import resilience._series
from resilience._instruments import ATTRIBUTES, INSTRUMENTS, MOST_SERIES, OTHER, Attribute, Instrument, most_series
from resilience._series import Series

CALLS = INSTRUMENTS["resilience.call.attempts"]
TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=300)
VALUES = st.none() | TEXT | st.integers() | st.booleans()


def test_values_are_named_in_the_order_of_the_table() -> None:
    """One that is not there is left out."""
    found = Series(CALLS).of("p", None, "success", 200)

    assert {"resilience.provider": "p", "resilience.category": "success", "http.response.status_code": 200} == found


def test_the_same_values_have_the_same_attributes() -> None:
    """Made once: a call pays for looking them up."""
    series = Series(CALLS)

    assert series.of("p", "o", "success", 200) is series.of("p", "o", "success", 200)


def test_what_is_not_in_a_closed_set_is_other() -> None:
    """Whoever says it."""
    assert OTHER == Series(CALLS).of("p", None, "invented", None)["resilience.category"]


def test_of_an_open_one_the_first_values_stay() -> None:
    """What comes when it is full is `_OTHER`; a number has no such word and is left out."""
    series = Series(INSTRUMENTS["http.client.request.duration"])
    for number in range(60):
        series.of("GET", f"h{number}", number, None, None)

    late = series.of("GET", "late", 9999, None, None)
    early = series.of("GET", "h0", 0, None, "404")

    assert {"http.request.method": "GET", "server.address": OTHER} == late
    assert {"http.request.method": "GET", "server.address": "h0", "server.port": 0, "error.type": "404"} == early


def test_when_all_sets_are_used_up_open_attributes_are_other() -> None:
    """Closed ones stay what they are, so that alerts on them go on."""
    series = Series(CALLS)
    for number in range(MOST_SERIES):
        series.of(f"p{number % 100}", f"o{number // 100}", "success", None)

    late = series.of("p1", "late", "rate_limited", 429)

    assert {
        "resilience.provider": OTHER,
        "resilience.operation": OTHER,
        "resilience.category": "rate_limited",
    } == late
    assert "o1" == series.of("p1", "o1", "success", None)["resilience.operation"]


def test_values_that_became_other_are_one_set() -> None:
    """However many there were: what is known already keeps its values."""
    series = Series(INSTRUMENTS["http.client.request.duration"])
    for number in range(2 * MOST_SERIES):
        series.of("GET", f"h{number}", 443, 200, None)

    found = series.of("GET", "h0", 443, 503, "503")

    assert ("h0", 503) == (found["server.address"], found["http.response.status_code"])
    assert 52 == len(series._known)
    assert series.of("GET", "h777", 443, 200, None) is series.of("GET", "h888", 443, 200, None)


def test_a_text_can_be_sent() -> None:
    """Half of a surrogate pair would stop an exporter, and a long one would be sent each time."""
    found = Series(INSTRUMENTS["resilience.store.fallbacks"]).of("sqlite:///\ud800" + "x" * 1000)

    assert len(found["resilience.store.url"].encode()) <= 200  # type: ignore[union-attr]


@pytest.mark.parametrize("most", [0, 1, 5])
@given(calls=st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), max_size=60))
def test_whatever_comes_there_are_no_more_sets_than_the_bound(most: int, calls: list[tuple[Any, ...]]) -> None:
    """With small bounds, so that they are reached."""
    table = {
        "a": Attribute("a", "open", most=3),
        "b": Attribute("b", "closed", ("x", "y")),
        "c": Attribute("c", "open", most=2),
        "d": Attribute("d", "closed", (False, True)),
    }
    instrument = Instrument("i", "counter", "1", "d", tuple(table))
    with pytest.MonkeyPatch.context() as patch:
        for module in (resilience._instruments, resilience._series):
            patch.setattr(module, "MOST_SERIES", most)
            patch.setattr(module, "ATTRIBUTES", table)
        series, bound = Series(instrument), most_series(instrument)

        made = {tuple(sorted(series.of(*values).items())) for values in calls}

    assert len(made) <= bound
    assert len(series._known) <= most
    assert all(len({dict(each).get(name) for each in made} - {OTHER, None}) <= 3 for name in ("a", "c"))


def test_threads_make_no_more_than_the_bound() -> None:
    """All of them at once."""
    series = Series(CALLS)
    barrier = threading.Barrier(4)

    def fill(thread: int) -> None:
        barrier.wait()
        for number in range(MOST_SERIES):
            series.of(f"p{thread}", f"o{number}", "success", None)

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert MOST_SERIES == len(series._known)


def test_the_table_of_attributes_knows_all_that_instruments_name() -> None:
    """A typing mistake would be an error of the first call."""
    assert all(name in ATTRIBUTES for each in INSTRUMENTS.values() for name in each.attributes)
