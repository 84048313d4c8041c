"""How the time that is left is written into a header, and read from one."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

from ._delays import read_delay

__all__ = ["DeadlineForm", "read_deadline", "write_deadline"]

DeadlineForm = Literal["seconds", "milliseconds", "epoch", "epoch_milliseconds", "rfc3339", "grpc"]
"""Seconds (`2.5`), milliseconds (`2500`), the moment itself, or a number and a unit (`2500m`) as gRPC has it."""
# PROTOCOL-HTTP2 of gRPC, "Requests": at most eight digits.
_GRPC = re.compile(r"([0-9]{1,8})([HMSmun])")
_GRPC_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_MOST_GRPC = 99_999_999


def write_deadline(seconds: float, form: DeadlineForm, *, wall: float) -> str:
    """The time that is left, rounded down to milliseconds: nobody is promised more than there is.

    Arguments:
        seconds: how much is left.
        form: how it is written.
        wall: epoch seconds now, for the moment itself.
    """
    left = int(max(0.0, seconds) * 1000)
    if form == "seconds":
        return f"{left / 1000:.3f}"
    if form == "milliseconds":
        return str(left)
    if form == "grpc":
        return f"{left}m" if left <= _MOST_GRPC else f"{min(left // 1000, _MOST_GRPC)}S"
    moment = int((wall + max(0.0, seconds)) * 1000)
    if form == "epoch":
        return f"{moment / 1000:.3f}"
    if form == "epoch_milliseconds":
        return str(moment)
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_deadline(value: str, form: DeadlineForm, *, wall: float) -> float | None:
    """How many seconds are left, by a header's value; `None` if it cannot be read.

    Arguments:
        value: the header's value.
        form: how it is written.
        wall: epoch seconds now, for the moment itself.
    """
    if form != "grpc":
        number = value.strip(" \t")
        # Whoever writes what is left is late where that is less than nothing.
        is_past = number.startswith("-") and read_delay(number[1:], form, now=wall) is not None
        return 0.0 if is_past else read_delay(value, form, now=wall)
    found = _GRPC.fullmatch(value.strip(" \t"))
    return None if found is None else int(found[1]) * _GRPC_UNITS[found[2]]
