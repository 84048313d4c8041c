"""A figure with its spread and the noise of its run, and the statistics that make it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Figure", "notch", "notch_of", "quartiles", "ratio_figure", "sure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One cell of a table.

    Arguments:
        section: the section that measured it.
        row: who or what was measured.
        column: under which conditions.
        value: the median; none if there is nothing to tell but the reason.
        low: the lower quartile.
        high: the upper quartile.
        unit: what it is counted in: `x` for a ratio to what the table names.
        noise: how far the value may be off, in the same unit, by what the run itself measured.
        reason: why there is no value.
        context: what helps to read it and is no result, such as microseconds.
    """

    section: str
    row: str
    column: str
    value: float | None = None
    low: float = math.nan
    high: float = math.nan
    unit: str = "x"
    noise: float = 0.0
    reason: str = ""
    context: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What targets name it by."""
        return self.section, self.row, self.column


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile of at least one value."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def notch(values: Sequence[float]) -> float:
    """Half of the 95 % interval of a median (McGill, Tukey, Larsen 1978: Variations of box plots)."""
    low, _, high = quartiles(values)
    return notch_of(high - low, len(values))


def notch_of(distance: float, count: int) -> float:
    """The same, of how far the quartiles are apart and of how many values they are."""
    return 1.57 * distance / math.sqrt(count)


def ratio_figure(
    section: str, row: str, column: str, values: Sequence[float], control: Sequence[float], *, context: str = ""
) -> Figure:
    """The figure of many ratios.

    Arguments:
        section: the section that measured it.
        row: who was measured.
        column: under which conditions.
        values: its ratios, one of each block.
        control: the ratios of the bare call to itself: what they differ from 1 by is the noise.
        context: microseconds of the bare call.
    """
    low, middle, high = quartiles(values)
    bias = abs(statistics.median(control) - 1) + notch(control)
    return Figure(
        section=section,
        row=row,
        column=column,
        value=middle,
        low=low,
        high=high,
        noise=max(bias * middle, notch(values)),
        context=context,
    )


def sure(section: str, row: str, column: str, value: float, unit: str) -> Figure:
    """A figure that counting gave, without noise."""
    return Figure(section=section, row=row, column=column, value=value, low=value, high=value, unit=unit)
