"""What the library promises of its speed, and what a figure says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks._figures import Figure
from benchmarks.telemetry import MOST_BESIDE_OTEL, MOST_WITHOUT_SDK

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
        is_promise: otherwise only a quick run looks whether the figure has become worse than what was recorded.
    """

    section: str
    row: str
    column: str
    limit: float
    unit: str = "x"
    against: str = "the bare call"
    at_least: bool = False
    is_promise: bool = True

    @property
    def key(self) -> Key:
        """Its figure's."""
        return self.section, self.row, self.column

    @property
    def is_of_any_machine(self) -> bool:
        """Whether a slow machine meets it as a fast one does."""
        return self.unit not in {"µs", "ms", "%", "windows"}

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
        recorded = None if floors is None else floors.get(target.key)
        if not target.is_promise and recorded is None:
            continue
        held = target if floors is None else target.loose(recorded)
        figure = by_key.get(target.key)
        judged.append(Judged(held, figure, held.verdict(figure)))
    return judged


def _each(
    columns: Iterable[str], section: str, row: str, limit: float, *, unit: str = "x", against: str = "the bare call"
) -> list[Target]:
    return [
        Target(section=section, row=row, column=column, limit=limit, unit=unit, against=against) for column in columns
    ]


HTTPX = ("httpx sync", "httpx asyncio")
HTTPX2 = ("httpx2 sync", "httpx2 asyncio")
SHIPPED = ("openai, by wrap()", "openai, by install()", "openai", "omniscrape, by wrap()", "omniscrape")
UNTOUCHED = ("a host without a policy", "a host without a policy, by install()")
SDK = "openai, OTel's SDK"
ALONE = "openai, the transport alone"
IN_REDIS = "Redis, beside redis-py's EVALSHA"
AT_ONCE = "50 tasks, throughput beside limits' fixed window"
LIMITER = {
    "of the rate": ("%", 99.0),
    "windows over": ("windows", 0.0),
    "out of turn": ("calls", 0.0),
    "of one processor, over calls that sleep until their turn": ("%", 1.0),
}
ONCE = "milliseconds of the processor"
BARE = "bare httpx"
MANY = ("50 at once", "500 at once")
SLOW = tuple(f"{calls} at once, {away} ms away" for away in (20, 200) for calls in (50, 500))
GROWTH = (
    "100 accounts",
    "10,000 accounts",
    "100 providers",
    "100 providers with 100 accounts each",
    "100 rules",
    "10,000 calls waiting",
)

TARGETS: list[Target] = [
    *(target for row in SHIPPED for target in _each(HTTPX, "overhead", row, 1.08)),
    *(target for row in SHIPPED for target in _each(HTTPX2, "overhead", row, 1.12)),
    *(target for row in UNTOUCHED for target in _each(HTTPX + HTTPX2, "overhead", row, 1.01)),
    *(
        target
        for row in ("openai, by wrap()", "openai")
        for target in (
            *_each(HTTPX, "overhead", f"{row}, OTel's API alone", 1.20),
            *_each(HTTPX, "overhead", f"{row}, OTel's SDK", 1.75),
            *_each(HTTPX, "overhead", f"{row}, OTel's SDK: its cost", 1.0, against="that of OTel's instrumentation"),
            *_each(
                HTTPX,
                "overhead",
                f"{row}, OTel's SDK: cost beside the stack's",
                0.4,
                against="that of the stack by hand",
            ),
        )
    ),
    *(
        Target(section="telemetry", row=what, column="processor time", limit=limit, unit=unit, against=against)
        for what, unit, limit, against in (
            ("without an SDK, nothing imported: µs more than `spans: off`", "µs", MOST_WITHOUT_SDK, "`spans: off`"),
            ("without an SDK, its API imported: µs more than `spans: off`", "µs", MOST_WITHOUT_SDK, "`spans: off`"),
            ("with an SDK: our cost, as a part of instrumentation-httpx's", "x", MOST_BESIDE_OTEL, "its cost"),
        )
    ),
    *(
        target
        for row in ("openai, by wrap()", "openai")
        for target in _each(HTTPX, "retry", row, 0.65, against="two bare calls")
    ),
    *_each(HTTPX, "refusal", f"{ALONE}, µs", 15, unit="µs", against="nothing"),
    *(Target(section="refusal", row=ALONE, column=column, limit=0, is_promise=False) for column in HTTPX),
    *_each(HTTPX[:1], "refusal", "memory that 100,000 leave", 1, unit="KiB", against="nothing"),
    *(
        Target(
            section="inspect",
            row=f"1 MiB of {kind}, read for its fields",
            column="httpx",
            limit=0.3,
            against="json.loads",
        )
        for kind in ("text", "objects")
    ),
    *_each(("httpx", "httpx2"), "inspect", "calls for each chunk of a stream", 1, unit="calls"),
    *_each((IN_REDIS,), "stores", "round trips for each decision", 1, unit="round trips", against="nothing"),
    *_each((IN_REDIS,), "stores", "a decision of ours", 1.3, against="the same script, called by redis-py"),
    Target(
        section="stores",
        row="a decision of ours, beside the fastest of limits",
        column=AT_ONCE,
        limit=3,
        against="the fastest asyncio strategy of limits",
        at_least=True,
    ),
    *(
        Target(
            section="limiter",
            row="ours",
            column=column,
            limit=limit,
            unit=unit,
            against="nothing",
            at_least=column == "of the rate",
        )
        for column, (unit, limit) in LIMITER.items()
    ),
    *_each((ONCE,), "start", "the import, over that of httpx", 20, unit="ms", against="the import of httpx"),
    *_each((ONCE,), "start", "all shipped policies, read and compiled", 30, unit="ms", against="nothing"),
    Target(
        section="start",
        row="the import, over that of httpx",
        column="beside the import of httpx",
        limit=0,
        against="the import of httpx",
        is_promise=False,
    ),
    *_each(
        ("over bare",),
        "memory",
        "openai, over a pool of 100 connections",
        1,
        unit="KiB",
        against="a bare call that waits",
    ),
    *_each(("over bare",), "memory", "openai", 1, unit="KiB", against="a bare call that waits"),
    *_each(("over bare",), "memory", SDK, 5, unit="KiB", against="a bare call that waits"),
    *(
        Target(
            section="loopback", row="ours, httpx: throughput", column=column, limit=limit, against=BARE, at_least=True
        )
        for columns, limit in ((MANY, 2.0), (("1 at once", *SLOW), 1.0))
        for column in columns
    ),
    *_each(MANY, "loopback", "ours, httpx: p99", 1.0, against=BARE),
    *(
        Target(
            section="loopback",
            row="ours beside bare, httpx2: throughput",
            column=column,
            limit=1.0,
            against="bare httpx2",
            at_least=True,
            is_promise=False,
        )
        for column in (MANY[0], *SLOW)
    ),
    *(target for row in GROWTH for target in _each(("beside one of each",), "growth", row, 1.1, against="one of each")),
]
