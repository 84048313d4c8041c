"""The turns of the hour, the day and the month, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience._until import Until, seconds_until


@pytest.mark.parametrize(
    ("now", "hour", "day", "month"),
    [
        ("2026-11-21T04:53:03", "2026-11-21T05:00", "2026-11-22T00:00", "2026-12-01T00:00"),
        ("2026-12-31T23:59:59.5", "2027-01-01T00:00", "2027-01-01T00:00", "2027-01-01T00:00"),
        ("2028-02-29T00:00:00", "2028-02-29T01:00", "2028-03-01T00:00", "2028-03-01T00:00"),
        ("2026-01-31T12:00:00", "2026-01-31T13:00", "2026-02-01T00:00", "2026-02-01T00:00"),
        ("2026-08-01T00:00:00", "2026-08-01T01:00", "2026-08-02T00:00", "2026-09-01T00:00"),
    ],
)
def test_a_turn_is_the_next_one(now: str, hour: str, day: str, month: str) -> None:
    """At a turn it is the one after."""
    wall = datetime.fromisoformat(now).replace(tzinfo=UTC)
    turns = {"next_hour_utc": hour, "next_day_utc": day, "next_month_utc": month}

    for when in get_args(Until):
        turn = datetime.fromisoformat(turns[when]).replace(tzinfo=UTC)

        assert turn == wall + timedelta(seconds=seconds_until(when, wall.timestamp()))


@given(wall=st.floats(0, 4e9))
def test_no_turn_is_past_or_further_away_than_its_period(wall: float) -> None:
    """An hour, a day, a month of 31 days."""
    bounds: dict[Until, int] = {"next_hour_utc": 3600, "next_day_utc": 86400, "next_month_utc": 31 * 86400}

    assert all(0 < seconds_until(when, wall) <= bound for when, bound in bounds.items())
