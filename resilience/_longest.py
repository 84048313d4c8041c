"""The longest time that is counted with; without pydantic, which whoever only waits does not import."""

from __future__ import annotations

__all__ = ["LONGEST_TIME"]

# A year and a day: nothing a provider documents waits longer, every sum of two such numbers is still exact, and a date
# so far off can still be written.
LONGEST_TIME = 366 * 86_400
"""Seconds that a duration, a wait, a pause or a deadline has at most."""
