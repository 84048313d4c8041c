"""What the library promises of its speed, and what a figure says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks._figures import Figure

__all__ = ["FLOOR", "TARGETS", "Judged", "Target", "judge"]

FLOOR = 1.5
"""How much worse than its target, or than what was recorded, a figure of a quick run must be to fail."""

Verdict = Literal["met", "within the noise", "missed", "not measured"]
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One promise.

    Arguments:
        section: the section that measures it.
        row: the row of its figure.
        column: the column of its figure.
        limit: the value that the figure may have at most.
        unit: of the limit.
        against: what it is compared with.
        at_least: the limit is the least instead.
    """

    section: str
    row: str
    column: str
    limit: float
    unit: str = "x"
    against: str = "the bare call"
    at_least: bool = False

    @property
    def key(self) -> Key:
        """Its figure's."""
        return self.section, self.row, self.column

    def verdict(self, figure: Figure | None) -> Verdict:
        """What a figure says of this promise."""
        if figure is None or figure.value is None:
            return "not measured"
        beyond = self.limit - figure.value if self.at_least else figure.value - self.limit
        if beyond <= 0:
            return "met"
        return "within the noise" if beyond <= figure.noise else "missed"

    def loose(self, recorded: float | None) -> Target:
        """The floor that a quick run holds: a good deal below the promise, or below what was recorded if that is worse."""
        known = [self.limit] if recorded is None else [self.limit, recorded]
        limit = min(known) / FLOOR if self.at_least else max(known) * FLOOR
        fields = {name: getattr(self, name) for name in ("section", "row", "column", "unit", "against", "at_least")}
        return Target(limit=limit, **fields)


@dataclass(frozen=True, slots=True)
class Judged:
    """A target, its figure, and what that says."""

    target: Target
    figure: Figure | None
    verdict: Verdict


def judge(
    targets: Iterable[Target], figures: Iterable[Figure], floors: Mapping[Key, float] | None = None
) -> list[Judged]:
    """Each target beside its figure.

    Arguments:
        targets: those of the sections that ran.
        figures: what they have found.
        floors: for a quick run, what was recorded; its targets are loose.
    """
    by_key = {figure.key: figure for figure in figures}
    judged: list[Judged] = []
    for target in targets:
        held = target if floors is None else target.loose(floors.get(target.key))
        figure = by_key.get(target.key)
        judged.append(Judged(held, figure, held.verdict(figure)))
    return judged


def _each(columns: Iterable[str], section: str, row: str, limit: float, **more: str) -> list[Target]:
    return [Target(section=section, row=row, column=column, limit=limit, **more) for column in columns]


HTTPX = ("httpx sync", "httpx asyncio")
HTTPX2 = ("httpx2 sync", "httpx2 asyncio")
SHIPPED = ("openai", "omniscrape")

TARGETS: list[Target] = [
    *(target for row in SHIPPED for target in _each(HTTPX, "overhead", row, 1.08)),
    *(target for row in SHIPPED for target in _each(HTTPX2, "overhead", row, 1.12)),
    *_each(HTTPX + HTTPX2, "overhead", "a host without a policy", 1.01),
    *_each(HTTPX, "overhead", "openai, OTel's API alone", 1.20),
    *_each(HTTPX, "overhead", "openai, OTel's SDK", 1.75),
    *_each(HTTPX, "overhead", "openai, OTel's SDK: its cost", 1.0, against="that of OTel's instrumentation"),
    *_each(HTTPX, "overhead", "openai, OTel's SDK: cost beside the stack's", 0.4, against="that of the stack by hand"),
    *_each(HTTPX, "retry", "openai", 0.65, against="two bare calls"),
    *_each(HTTPX, "refusal", "openai, the transport alone, µs", 15, unit="µs", against="nothing"),
    Target(
        section="refusal", row="memory that 100,000 leave", column="httpx sync", limit=1, unit="KiB", against="nothing"
    ),
]
