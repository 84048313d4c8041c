"""A run as a picture: what a call costs beside a bare one, and what many at once gain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._figures import Figure
from benchmarks._floor import FLOOR
from benchmarks._worlds import loaded

__all__ = ["draw"]

OURS, THEIRS, PLAIN = "#00796b", "#90a4ae", "#455a64"
COLUMN = "httpx sync"
CALLS = ("1 at once", "50 at once", "500 at once", "2000 at once")
AT_ONCE = ("ours, httpx: throughput", "bare httpx2: throughput", "ours, httpx2: throughput")


def draw(figures: Sequence[Figure], path: Path) -> None:
    """Draw the picture.

    Arguments:
        figures: of a run; the panels of sections that did not run are left out.
        path: where to write it; its ending says whether as SVG or PNG.
    """
    matplotlib = loaded("matplotlib")
    matplotlib.use("agg")
    # The same run gives the same file.
    matplotlib.rcParams |= {"svg.hashsalt": "performance", "font.size": 9, "svg.fonttype": "path"}
    panels = [panel for panel in (_overhead, _loopback) if any(each.section == panel.__name__[1:] for each in figures)]
    canvas, axes = loaded("matplotlib.pyplot").subplots(
        1, max(1, len(panels)), figsize=(6 * max(1, len(panels)), 6), squeeze=False
    )
    for panel, axis in zip(panels, axes[0], strict=False):
        panel(figures, axis)
    canvas.tight_layout()
    canvas.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=120)
    loaded("matplotlib.pyplot").close(canvas)


def _overhead(figures: Sequence[Figure], axis: Any) -> None:
    shown = [
        each for each in figures if each.section == "overhead" and each.column == COLUMN and each.value is not None
    ]
    shown = sorted((each for each in shown if ": " not in each.row), key=lambda each: -(each.value or 0))
    names = [each.row for each in shown]
    values = [each.value or 0.0 for each in shown]
    colours = [_colour(name) for name in names]
    errors = [[max(0.0, v - each.low) for v, each in zip(values, shown, strict=True)],
              [max(0.0, each.high - v) for v, each in zip(values, shown, strict=True)]]  # fmt: skip
    axis.barh(names, values, color=colours, xerr=errors, ecolor="#263238", error_kw={"linewidth": 0.8})
    axis.axvline(1, color="#263238", linewidth=0.8)
    axis.set_xlabel("× a bare call (in memory, processor time)")
    axis.set_title(f"One call, {COLUMN}")


def _colour(name: str) -> str:
    if name.startswith(("openai", "omniscrape", "a host")):
        return OURS
    return PLAIN if name.startswith(("bare", FLOOR)) else THEIRS


def _loopback(figures: Sequence[Figure], axis: Any) -> None:
    by_key = {(each.row, each.column): each for each in figures if each.section == "loopback"}
    for row, colour, line in zip(AT_ONCE, (OURS, THEIRS, OURS), ("-", "-", "--"), strict=True):
        found = [by_key[row, column] for column in CALLS if (row, column) in by_key]
        known = [each for each in found if each.value is not None]
        axis.plot(
            [each.column for each in known],
            [each.value for each in known],
            line,
            color=colour,
            marker="o",
            label=row.split(":")[0],
        )
    axis.axhline(1, color="#263238", linewidth=0.8, label="bare httpx")
    axis.set_ylim(bottom=0)
    axis.set_ylabel("throughput, × bare httpx")
    axis.set_title("A real server, many calls at once")
    axis.legend()
