"""How long to wait, written as a provider would write it: the reverse of reading its wait hints."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

from ._longest import LONGEST_TIME

if TYPE_CHECKING:
    from ._delays import Dialect

__all__ = ["MOMENTS", "whole_seconds", "write_wait"]

MOMENTS: frozenset[Dialect] = frozenset({"epoch", "epoch_integer", "epoch_milliseconds", "rfc3339", "http_date"})
"""The dialects that name a point in time: what they write changes although the wait does not."""


def whole_seconds(seconds: float) -> int:
    """Seconds rounded up, since a wait that is rounded down is too short; never negative, at most a year.

    Arguments:
        seconds: any number, also one that is none.
    """
    # Not asked whether it is 0 or less: of what is no number nothing is true.
    if not seconds > 0:
        return 0
    return math.ceil(seconds) if seconds < LONGEST_TIME else LONGEST_TIME


def write_wait(seconds: float, dialect: Dialect, *, wall: float) -> str:
    """A wait in one of the dialects of `retry.wait`.

    Arguments:
        seconds: how long.
        dialect: how the provider writes it.
        wall: epoch seconds now, for points in time.
    """
    whole = whole_seconds(seconds)
    if dialect in {"retry_after", "seconds", "integer", "auto"}:
        return str(whole)
    if dialect == "milliseconds":
        return str(whole * 1000)
    if dialect not in MOMENTS:
        # draft-ietf-httpapi-ratelimit-headers: nothing remains, for so many seconds.
        return f"{whole}s" if dialect == "duration" else f'"default";r=0;t={whole}'
    moment = math.ceil(wall + min(max(seconds, 0.0), LONGEST_TIME)) if whole else math.ceil(wall)
    if dialect in {"epoch", "epoch_integer"}:
        return str(moment)
    if dialect == "epoch_milliseconds":
        return str(moment * 1000)
    if dialect == "rfc3339":
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return format_datetime(datetime.fromtimestamp(moment, UTC), usegmt=True)
