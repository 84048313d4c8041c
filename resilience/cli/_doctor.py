"""`resilience doctor`: whether programs obey the policies here, which ones, and what else retries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ._diagnosis import Finding, Patient, diagnose
from ._options import ConfigFile, Json
from ._output import say, say_json, say_table, table, visible

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["EXAMPLE", "doctor"]

EXAMPLE = """\
resilience doctor
resilience doctor -- uvicorn shop:app
"""
_COLOURS = {"ok": "green", "attention": "red", "note": ""}


def doctor(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[CMD]", help="Look at this program, as `run` would start it.")
    ] = None,
    *,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Tell whether programs obey the policies here, by which configuration, and what else retries, with advice.

    Nothing is run but the Python that is asked what it has installed, which imports its sitecustomize, httpx and httpx2.
    Exit code: 0 if all is well, 1 if something needs
    attention.
    """
    patient = Patient.of(command or [])
    findings = list(diagnose(patient, config))
    if json:
        found = [{name: value for name, value in each._asdict().items() if value} for each in findings]
        say_json({"python": patient.python, "prefix": patient.prefix, "findings": found})
    else:
        say_table(_table(findings))
        for line in _advice(findings):
            say(line)
    raise typer.Exit(1 if any(each.state == "attention" for each in findings) else 0)


def _table(findings: list[Finding]) -> Table:
    from rich.text import Text

    listed = table("", "what", "state", "found")
    area = None
    for each in findings:
        state = Text(each.state, style=_COLOURS[each.state])
        listed.add_row(each.area if each.area != area else "", visible(each.what), state, visible(each.found))
        area = each.area
    return listed


def _advice(findings: list[Finding]) -> Iterator[str]:
    """One line for each advice, with all that it is for; what needs attention first."""
    by_advice: dict[str, list[str]] = {}
    for each in sorted(findings, key=lambda each: each.state != "attention"):
        if each.advice:
            by_advice.setdefault(each.advice, []).append(each.what)
    for advice, names in by_advice.items():
        yield visible(f"{', '.join(names)}: {advice}")
