"""What a run found, for people and for machines."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._figures import Figure
from benchmarks._targets import Judged

__all__ = ["Run", "amount", "as_json", "cell", "figures_from", "machine", "matrix", "reasons", "show", "target_row"]

PACKAGES = (
    "httpx", "httpx2", "anyio", "trio", "uvloop", "sniffio", "httpx-retries", "clientwright", "interlock-cb", "httpware",
    "pyrate-limiter", "pydantic-ai-slim", "tokenwarden", "tenacity", "stamina", "aiobreaker", "pybreaker", "limits",
    "redis", "hiredis", "msgspec", "opentelemetry-sdk", "opentelemetry-instrumentation-httpx",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What was found, what of it was promised, and where it was measured."""

    figures: list[Figure]
    judged: list[Judged]
    machine: dict[str, str]


def machine() -> dict[str, str]:
    """The machine, the versions and the date."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(filter(None, map(_packaged, PACKAGES))),
        "load": _load(),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} processors" if names else f"{platform.machine()} on {sys.platform}"


def _load() -> str:
    if not hasattr(os, "getloadavg"):
        return ""
    return f"At the end {os.getloadavg()[2]:.1f} processes ran at a time, on average of a quarter of an hour."


def _packaged(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""


def amount(value: float, unit: str) -> str:
    """A value in its unit, with as many digits as it deserves."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    text = f"{value:,.{digits}f}"
    return f"{text} ×" if unit == "x" else f"{text} {unit}"


def cell(figure: Figure | None) -> str:
    """What stands in a table: the median and the quartiles, or that there is none."""
    if figure is None:
        return ""
    if figure.value is None:
        return "–"
    spread = "" if math.isnan(figure.low) or figure.low == figure.high else f" ({figure.low:.3g}…{figure.high:.3g})"
    return amount(figure.value, figure.unit) + spread


def matrix(figures: Sequence[Figure]) -> tuple[list[str], list[tuple[str, list[Figure | None]]]]:
    """The columns of a section, and its rows with a figure for each column."""
    columns = list(dict.fromkeys(figure.column for figure in figures))
    by_key = {(figure.row, figure.column): figure for figure in figures}
    rows = list(dict.fromkeys(figure.row for figure in figures))
    return columns, [(row, [by_key.get((row, column)) for column in columns]) for row in rows]


def show(run: Run) -> None:
    """Print the tables, and each target beside its figure."""
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    for section in dict.fromkeys(figure.section for figure in run.figures):
        figures = [figure for figure in run.figures if figure.section == section]
        columns, rows = matrix(figures)
        table = Table("", *columns, title=section, title_justify="left", title_style="bold")
        for row, cells in rows:
            table.add_row(row, *map(cell, cells))
        console.print(table)
        for reason in reasons(figures):
            console.print(f"  – {reason}", markup=False)
        console.print()
    table = Table("target", "figure", "at most / least", "noise", "", title="targets", title_justify="left")
    for each in run.judged:
        table.add_row(*target_row(each))
    console.print(table)
    console.print(f"{run.machine['processor']}; {run.machine['python']}; {run.machine['date']}", markup=False)


def target_row(each: Judged) -> tuple[str, str, str, str, str]:
    """What stands beside a target."""
    target, figure = each.target, each.figure
    name = f"{target.section}: {target.row}, {target.column}; beside {target.against}"
    limit = ("≥ " if target.at_least else "≤ ") + amount(target.limit, target.unit)
    if figure is None or figure.value is None:
        return name, "–", limit, "", each.verdict
    return name, cell(figure), limit, "± " + amount(figure.noise, figure.unit), each.verdict


def reasons(figures: Iterable[Figure]) -> list[str]:
    """Why some have no value, each reason once."""
    by_reason: dict[str, dict[str, list[str]]] = {}
    for figure in figures:
        if figure.value is None:
            by_reason.setdefault(figure.reason, {}).setdefault(figure.row, []).append(figure.column)
    return [
        "; ".join(f"{row} ({', '.join(columns)})" for row, columns in rows.items()) + f": {reason}"
        for reason, rows in by_reason.items()
    ]


def as_json(run: Run) -> dict[str, Any]:
    """The same as data."""
    return {
        "machine": run.machine,
        "figures": [_plain(dataclasses.asdict(figure)) for figure in run.figures],
        "targets": [
            {
                **dataclasses.asdict(each.target),
                "value": each.figure.value if each.figure is not None else None,
                "noise": each.figure.noise if each.figure is not None else None,
                "verdict": each.verdict,
            }
            for each in run.judged
        ],
    }


def figures_from(data: dict[str, Any]) -> list[Figure]:
    """The figures of a run that was kept as data."""
    return [_figure(each) for each in data["figures"]]


def _figure(fields: dict[str, Any]) -> Figure:
    known: dict[str, Any] = {
        name: math.nan if value is None and name != "value" else value for name, value in fields.items()
    }
    return Figure(**known)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    # JSON has no NaN.
    return {name: None if isinstance(each, float) and math.isnan(each) else each for name, each in fields.items()}
