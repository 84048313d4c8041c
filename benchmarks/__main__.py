"""Measure this library beside bare httpx and its peers: `make bench`, or `python -m benchmarks`.

Every figure is a ratio to something that was measured in turns with it, with its quartiles and the noise of the run.
Exits with 1 if a target is missed by more than that noise. Needs the group `bench` of pyproject.toml.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._figures import Figure
from benchmarks._processes import CHECKOUT
from benchmarks._report import Run, as_json, figures_from, machine, show
from benchmarks._section import Effort
from benchmarks._targets import TARGETS, Judged, judge

__all__ = ["SECTIONS", "main", "parsed"]

SECTIONS = (
    "overhead", "telemetry", "retry", "refusal", "inspect", "stores", "limiter", "loopback", "start", "memory", "growth",
)  # fmt: skip
LEFT_OUT = ("telemetry", "limiter")
"""Sections that a quick run leaves out: another one covers it; its figures are those of one machine."""
RECORDED = CHECKOUT / "benchmarks" / "recorded.json"
"""The run that the page shows; a quick run is compared with it."""
FULL = Effort(blocks=25, processes=1, quick=False)
QUICK = Effort(blocks=6, processes=1, quick=True)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"which to run: {', '.join(SECTIONS)}; default all"
    )
    parser.add_argument("--quick", action="store_true", help="less than two minutes, held to loose floors only")
    parser.add_argument("--json", action="store_true", help="print data instead of tables")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw it as SVG or PNG")
    parser.add_argument(
        "--page",
        action="store_true",
        help="write the documentation's page, its picture and what a quick run is held to",
    )
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="take a run that --json printed instead of measuring"
    )
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.sections if name not in SECTIONS]:
        parser.error(f"there is no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    if given.page and (given.quick or given.sections):
        parser.error("the page is made from a whole run: give no sections and no --quick")
    given.sections = given.sections or [name for name in SECTIONS if not (given.quick and name in LEFT_OUT)]
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say whether the targets are met."""
    given = parsed(sys.argv[1:] if arguments is None else arguments)
    if given.source is not None:
        data = json.loads(given.source.read_text())
        figures = figures_from(data)
        run = Run(figures, _judged(given.sections, figures, quick=given.quick), data["machine"])
    else:
        run = measure(given.sections, quick=given.quick)
    if given.picture is not None:
        from benchmarks._picture import draw

        draw(run.figures, given.picture)
    if given.page:
        from benchmarks._page import write

        write(run, CHECKOUT / "docs", RECORDED)
    if given.json:
        print(json.dumps(as_json(run), indent=1, ensure_ascii=False))
    else:
        show(run)
    return 1 if any(each.verdict == "missed" for each in run.judged) else 0


def measure(sections: Sequence[str], *, quick: bool) -> Run:
    """Run sections; in a quick run those again that missed a floor."""
    effort = QUICK if quick else FULL
    figures = [figure for name in sections for figure in _measured(name, effort)]
    judged = _judged(sections, figures, quick=quick)
    # A busy machine may have been busier for one of them.
    again = {each.target.section for each in judged if each.verdict == "missed"} if quick else set[str]()
    if again:
        figures = [figure for figure in figures if figure.section not in again]
        figures += [figure for name in sections if name in again for figure in _measured(name, effort)]
        judged = _judged(sections, figures, quick=quick)
    return Run(figures, judged, machine())


def _measured(name: str, effort: Effort) -> list[Figure]:
    began = time.monotonic()
    figures: list[Figure] = importlib.import_module(f"benchmarks.sections.{name}").run(effort)
    print(f"{name}: {time.monotonic() - began:.0f}s", file=sys.stderr)
    return figures


def _judged(sections: Sequence[str], figures: list[Figure], *, quick: bool) -> list[Judged]:
    targets = [target for target in TARGETS if target.section in sections]
    if not quick:
        return judge(targets, figures)
    recorded = figures_from(json.loads(RECORDED.read_text())) if RECORDED.exists() else []
    targets = [target for target in targets if target.is_of_any_machine]
    judged = judge(targets, figures, {each.key: each.value for each in recorded if each.value is not None})
    # It measures a part of what is promised.
    return [each for each in judged if each.figure is not None]


if __name__ == "__main__":
    sys.exit(main())
