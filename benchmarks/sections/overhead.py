"""What a call costs that succeeds, through all layers, beside the bare call and beside the peers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks._figures import Figure
from benchmarks._floor import FLOOR, floor_call
from benchmarks._ours import ELSEWHERE, OURS, WRAPPED, ours_call
from benchmarks._peers import PEERS, peer_call
from benchmarks._section import Effort, Found, figures_of, measured, pooled
from benchmarks._stack import instrumented, spans_nowhere, stack_client
from benchmarks._worlds import World, loaded

__all__ = ["INSTALLED", "QUICK", "SECTION", "STACK", "WORLDS", "run"]

SECTION = "overhead"
INSTALLED = ", by install()"
STACK = "stack by hand"
INSTRUMENTATION = "OTel's instrumentation"
WORLDS = [World(library, loop) for library in ("httpx", "httpx2") for loop in ("sync", "asyncio", "trio")]
QUICK = [World("httpx", "sync"), World("httpx", "asyncio")]
TELEMETRY = {"none": "", "installed": "", "peers": "", "api": ", OTel's API alone", "sdk": ", OTel's SDK"}
"""What of OpenTelemetry a process has imported, and what is added to the names of its rows."""

Rows = dict[str, Callable[[], Any]]


def run(effort: Effort) -> list[Figure]:
    """Measure all worlds; a quick run fewer, and no peers."""
    figures: list[Figure] = []
    for world in WORLDS:
        if effort.quick and world not in QUICK:
            continue
        for telemetry, suffix in TELEMETRY.items():
            if effort.quick and telemetry not in {"none", "installed", "sdk"}:
                continue
            found = pooled(
                f"{__name__}:measure",
                effort.processes,
                library=world.library,
                loop=world.loop,
                telemetry=telemetry,
                blocks=effort.blocks,
                quick=effort.quick,
            )
            named = _renamed(found, suffix)
            # The control of each process counts for its rows; one of them is shown.
            figures += [
                each
                for each in figures_of(SECTION, world.name, named)
                if telemetry == "none" or not each.row.startswith("bare")
            ]
        figures += _costs(world.name, {each.row: each for each in figures if each.column == world.name})
    return figures


def _costs(column: str, by_row: dict[str, Figure]) -> list[Figure]:
    # What ours adds to the bare call, beside what another adds.
    found: list[Figure] = []
    for row in (f"openai{TELEMETRY['sdk']}", f"openai{WRAPPED}{TELEMETRY['sdk']}"):
        for name, other in (("its cost", INSTRUMENTATION), ("cost beside the stack's", STACK)):
            ours, theirs = by_row.get(row), by_row.get(other + TELEMETRY["sdk"])
            if ours is None or theirs is None or ours.value is None or theirs.value is None or theirs.value <= 1:
                continue
            share, base = (ours.value - 1) / (theirs.value - 1), theirs.value - 1
            found.append(
                Figure(
                    section=SECTION,
                    row=f"{row}: {name}",
                    column=column,
                    value=share,
                    low=(ours.low - 1) / base,
                    high=(ours.high - 1) / base,
                    noise=(ours.noise + share * theirs.noise) / base,
                )
            )
    return found


def _renamed(found: Found, suffix: str) -> Found:
    return found | {
        kind: {name if name.startswith("bare") else name + suffix: value for name, value in found[kind].items()}
        for kind in ("ratios", "reasons")
    }


def measure(library: str, loop: str, telemetry: str, blocks: int, *, quick: bool) -> Found:
    """Measure one world with one kind of telemetry; the process is for this alone."""
    world = World(library, loop)
    url, answer = OURS["openai"]
    lean = world.lean(answer)
    if telemetry == "api":
        loaded("opentelemetry.trace")
    elif telemetry == "sdk":
        spans_nowhere()
    get = world.client(lean()).get
    if telemetry == "installed":
        return measured(world, lambda: get(url), _installed(world, lean), blocks)
    rows = _peers(world, lean, url) if telemetry == "peers" else _ours(world, quick=quick)
    if telemetry in {"api", "sdk"}:
        rows.pop(ELSEWHERE, None)
        rows[INSTRUMENTATION] = lambda: _get(instrumented(world, world.client(lean())), url)
        rows[STACK] = lambda: _get(instrumented(world, stack_client(world, lean)), url)
    if telemetry in {"none", "sdk"} and not quick:
        rows[FLOOR] = partial(floor_call, world, lean, url, is_traced=telemetry == "sdk")
    if telemetry == "none" and not quick:
        looked, told = OURS["omniscrape"]
        rows[f"{FLOOR}, with a look at the body"] = partial(floor_call, world, world.lean(told), looked, looks=True)
    return measured(world, lambda: get(url), rows, blocks)


def _ours(world: World, *, quick: bool) -> Rows:
    names = [name for name in OURS if not (quick and name == "omniscrape")]
    rows: Rows = {name: partial(ours_call, world, name) for name in names}
    wrapped = partial(ours_call, world, "openai", is_wrapped=True)
    rows[f"openai{WRAPPED}"] = wrapped
    if quick:
        return rows
    return rows | {
        f"openai{WRAPPED}, always another URL": partial(wrapped, is_new=True),
        f"omniscrape{WRAPPED}": partial(ours_call, world, "omniscrape", is_wrapped=True),
    }


def _installed(world: World, lean: type[Any]) -> Rows:
    """A client of an application, which `install` has found."""

    def installed(name: str) -> Any:
        loaded("resilience").install({"version": 1})
        return _get(world.client(lean(), world.client_kind), OURS[name][0])

    return {
        f"openai{INSTALLED}": partial(installed, "openai"),
        f"{ELSEWHERE}{INSTALLED}": partial(installed, ELSEWHERE),
    }


def _peers(world: World, lean: type[Any], url: str) -> Rows:
    rows: Rows = {name: partial(peer_call, name, world, lean, url) for name in PEERS}
    rows[STACK] = lambda: _get(stack_client(world, lean), url)
    return rows


def _get(client: Any, url: str) -> Any:
    get = client.get
    return lambda: get(url)
