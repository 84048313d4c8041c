"""Waiting for what other processes and threads do, in real time, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["SECONDS", "wait_until"]

SECONDS = 60.0
"""More than anything takes, on a machine that is busy as well."""


def wait_until(done: Callable[[], object], log: Path | None = None) -> None:
    """Look again and again; where it takes too long, say so, with the end of the log."""
    until = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < until, log.read_text()[-6000:] if log else "it took too long"
        time.sleep(0.02)
