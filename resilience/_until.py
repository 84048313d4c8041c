"""When a provider lets calls through again, where its page says so and the answer does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

__all__ = ["Until", "seconds_until"]

Until = Literal["next_hour_utc", "next_day_utc", "next_month_utc"]


def seconds_until(when: Until, wall: float) -> float:
    """Seconds to the turn of the hour, the day or the month, from `wall` seconds since 1970."""
    now = datetime.fromtimestamp(wall, UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    turn = {
        "next_hour_utc": now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1),
        "next_day_utc": day + timedelta(days=1),
        "next_month_utc": (day.replace(day=1) + timedelta(days=32)).replace(day=1),
    }
    return (turn[when] - now).total_seconds()
