"""What telemetry adds to a call through our layers, as `benchmarks/telemetry.py` measures it by itself."""

from __future__ import annotations

from benchmarks import telemetry
from benchmarks._figures import Figure, notch_of
from benchmarks._section import Effort

__all__ = ["COLUMN", "SECTION", "run"]

SECTION = "telemetry"
COLUMN = "processor time"


def run(effort: Effort) -> list[Figure]:
    """Measure in a few processes, in which all ways of calling take turns."""
    processes, rounds, calls = (1, 20, 100) if effort.quick else (3, 40, 150)
    found = telemetry.measure(processes, rounds, calls)
    return [
        Figure(
            section=SECTION,
            row=each["what"],
            column=COLUMN,
            value=each["median"],
            low=each["low"],
            high=each["high"],
            unit="µs" if "µs" in each["what"] else "x",
            noise=notch_of(each["high"] - each["low"], len(found["off"])),
        )
        for each in telemetry.judge(found)
    ]
