"""What each section is given: how much to do; and how rows of one world are measured together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks._blocks import BARE, CONTROL, SECONDS, TooBusy, plan
from benchmarks._figures import Figure, ratio_figure
from benchmarks._processes import Failed, elsewhere
from benchmarks._worlds import World

__all__ = ["Effort", "Found", "figures_of", "measured", "pooled"]

Found = dict[str, Any]
"""What a process hands back: `ratios` of each row, `reasons` of rows that cannot be, `microseconds` of the bare call."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done.

    Arguments:
        blocks: how many good blocks of each contender, in each process.
        processes: how many processes, one after the other.
        quick: whether only what a gate needs is measured.
    """

    blocks: int
    processes: int
    quick: bool


def measured(
    world: World,
    bare: Callable[[], Any],
    rows: Mapping[str, Callable[[], Any]],
    blocks: int,
    check: Callable[[Any], None] = lambda _: None,
    *,
    seconds: float = SECONDS,
    waits: bool = False,
) -> Found:
    """Measure rows beside the bare call.

    Arguments:
        world: in which they call.
        bare: what the others are compared with.
        rows: by name, what makes a function that calls once; what it raises is the reason why that row is empty.
        blocks: how many good blocks of each.
        check: raises if what the first call gives is not what is measured.
        seconds: how long a block shall take.
        waits: the calls wait for another process.
    """
    calls: dict[str, Callable[[], Any]] = {BARE: bare}
    reasons: dict[str, str] = {}
    for name, make in rows.items():
        try:
            check(world.tried(make()))
            # Some keep the loop of their first call.
            call = make()
        except Exception as error:  # noqa: BLE001  whatever a peer raises is why it cannot be measured
            reasons[name] = _said(error)
        else:
            calls[name] = call
    try:
        asked = plan([name for name in calls if name != BARE], wanted=blocks, seconds=seconds, waits=waits)
        ratios = world.measure(asked, calls)
    except TooBusy as busy:
        return {"ratios": {}, "reasons": {**reasons, **dict.fromkeys(calls, str(busy))}, "microseconds": 0.0}
    return {"ratios": ratios.of, "reasons": reasons | ratios.reasons, "microseconds": ratios.bare * 1e6}


def _said(error: BaseException) -> str:
    # trio's loop puts even one into a group.
    group: Any = error
    while hasattr(group, "exceptions"):
        group = group.exceptions[0]
    error = group
    return " ".join(f"{type(error).__name__}: {error}".split())[:120].rstrip(": ")


def pooled(function: str, processes: int, /, **arguments: Any) -> Found:
    """What several processes have found, one after the other, put together."""
    whole: Found = {"ratios": {}, "reasons": {}, "microseconds": 0.0}
    for _ in range(processes):
        try:
            found = elsewhere(function, **arguments)
        except Failed as failed:
            whole["reasons"].setdefault("", str(failed))
            continue
        for name, values in found["ratios"].items():
            whole["ratios"].setdefault(name, []).extend(values)
        whole = {**found, **whole}
        whole["reasons"].update(found["reasons"])
        whole["microseconds"] = found["microseconds"] or whole["microseconds"]
    return whole


def figures_of(section: str, column: str, found: Found) -> list[Figure]:
    """One figure for each row that was measured or could not be."""
    control: list[float] = found["ratios"].get(CONTROL, [1.0])
    context = f"bare {found['microseconds']:.0f} µs"
    figures = [
        ratio_figure(section, row, column, values, control, context=context) for row, values in found["ratios"].items()
    ]
    figures += [
        Figure(section=section, row=row or "all rows", column=column, reason=reason)
        for row, reason in found["reasons"].items()
        if row not in found["ratios"] and row != BARE
    ]
    return figures
