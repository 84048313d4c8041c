"""Budgets, balances and latches as tables, sentences and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from resilience._amounts import amount_text
from resilience._credits_ledger import sums
from resilience._units import duration_text

from ._output import fitting, table, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table
    from rich.text import Text

    from resilience._credits_ledger import Ledger
    from resilience._credits_lines import Latch, Line
    from resilience._credits_report import CreditsReport

__all__ = ["Balances", "Budgets", "data_of", "latch_data", "latch_text", "ledger_data", "plain", "spark", "time_text"]

_BLOCKS = "\N{LOWER ONE EIGHTH BLOCK}▂▃▄▅▆▇\N{FULL BLOCK}"
_MUCH = 0.8
_NUMBERS = ("spent", "reserved", "left", "limit", "used")


@dataclass(frozen=True, slots=True)
class Budgets:
    """Budgets as a table; where that is wider than the terminal, each stands in some lines."""

    lines: tuple[Line, ...]
    has_sparks: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield fitting(console, options, self._table)

    def _table(self, *, is_narrow: bool) -> Table:
        from rich.text import Text

        headers = ["provider", "budget", "unit", "for", *_NUMBERS, "resets in", "forecast"]
        headers += ["so far"] * self.has_sparks
        made = _folding(_stacked(headers) if is_narrow else headers)
        for line in self.lines:
            cells = [Text(cell) for cell in _cells(line)]
            used = line.used or 0.0
            cells[8].style = "red" if used >= 1 else "yellow" if used >= _MUCH else ""
            is_over = line.forecast is not None and line.limit is not None and line.forecast > line.limit
            cells[10].style = "red" if is_over else ""
            if self.has_sparks:
                cells.append(Text(spark(line.history)))
            if is_narrow:
                what = [*cells[:3], *map(Text, _scopes(line))]
                cells = [
                    Text("\n").join(what),
                    *(Text("\n").join(cells[at : at + 2]) for at in range(4, len(cells), 2)),
                ]
            made.add_row(*cells)
        return made


def _stacked(headers: list[str]) -> list[str]:
    """What a budget is in one column, and its numbers in pairs."""
    what = f"{', '.join(headers[:2])}\n{', '.join(headers[2:4])}"
    return [what, *("\n".join(headers[at : at + 2]) for at in range(4, len(headers), 2))]


@dataclass(frozen=True, slots=True)
class Balances:
    """What providers have told of their accounts, as a table."""

    lines: tuple[Line, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        made = _folding(["provider", "for", "balance", "told", "spent", "reserved", "left"])
        for line in self.lines:
            told = "not yet" if line.limit is None else f"{_rough(line.told_ago or 0.0)} ago"
            balance = "" if line.limit is None else f"{amount_text(line.limit)} {line.unit}"
            numbers = (_amount(line.spent), _amount(line.reserved), _amount(line.left))
            made.add_row(*map(visible, (line.provider, ", ".join(_scopes(line)), balance, told, *numbers)))
        yield made


def latch_text(latch: Latch, *, is_open: bool = False) -> Text:
    """A latch as a sentence.

    Arguments:
        latch: the latch.
        is_open: whether it was opened right now.
    """
    from rich.text import Text

    account = "the account" if latch.account == "-" else f"account {latch.account}"
    what = account if latch.operation is None else f"operation {latch.operation} of {account}"
    said = Text(f"{visible(f'{latch.provider}: {what}')} ")
    said.append("is open again, " if is_open else "shut ", "green" if is_open else "red")
    said.append(visible(f"{'after ' if is_open else 'for '}{_rough(latch.shut_for)} by {latch.why}"))
    if not is_open and latch.opens_in is not None:
        said.append(f", opens in {_rough(latch.opens_in)}")
    elif not is_open and latch.looks_in is not None:
        said.append(f", next look in {_rough(latch.looks_in)}" if latch.looks_in > 0 else ", the next call looks")
    return said


def spark(history: tuple[Decimal, ...]) -> str:
    """Amounts as a line of blocks, empty where there are none."""
    most = max(history, default=Decimal(0))
    if most <= 0:
        return ""
    return "".join(
        _BLOCKS[max(0, min(7, int((amount * 7 / most).to_integral_value(ROUND_CEILING))))] for amount in history
    )


def time_text(seconds: float, *, timespec: str = "seconds") -> str:
    """A moment, in seconds since 1970, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def plain(amount: Decimal | None) -> str | None:
    """An exact amount for machines: JSON has no decimals of its own."""
    return None if amount is None else f"{amount:f}"


def data_of(found: CreditsReport) -> dict[str, Any]:
    """All of a report, for JSON."""
    return {
        "budgets": [_line_data(line) for line in found.lines],
        "balances": [_line_data(line) for line in found.balances],
        "latches": [latch_data(latch) for latch in found.latches],
        "ledger": ledger_data(found.ledger),
        "warnings": list(found.warnings),
        "more": found.more,
    }


def ledger_data(ledger: Ledger) -> dict[str, Any]:
    """A ledger's sums by provider and outcome, and what was dropped of it, for JSON."""
    outcomes = {
        provider: {outcome: {"rows": found.rows, "charged": plain(found.charged)} for outcome, found in each.items()}
        for provider, each in sums(ledger.rows).items()
    }
    dropped = {
        provider: {"rows": found.rows, "charged": plain(found.charged)} for provider, found in ledger.dropped.items()
    }
    return {"outcomes": outcomes, "dropped": dropped}


def latch_data(latch: Latch) -> dict[str, Any]:
    """A latch for JSON; times in seconds."""
    return {
        "provider": latch.provider,
        "account": latch.account,
        "operation": latch.operation,
        "why": latch.why,
        "shut_for": latch.shut_for,
        "opens_in": latch.opens_in,
        "looks_in": latch.looks_in,
        "key": latch.key,
    }


def _line_data(line: Line) -> dict[str, Any]:
    span = line.span
    period: Mapping[str, Any] = {
        "kind": span.kind,
        "begins": None if span.begins is None else time_text(span.begins),
        "ends": None if span.ends is None else time_text(span.ends),
        "seconds": span.seconds,
    }
    data: dict[str, Any] = {
        "provider": line.provider,
        "budget": line.budget,
        "unit": line.unit,
        "scopes": line.scopes,
        "period": period,
        **{name: plain(getattr(line, name)) for name in ("limit", "spent", "reserved", "left", "forecast")},
        "used": line.used,
        "calls": line.calls,
        "resets_in": line.resets_in,
        "is_over": line.is_over,
        "history": [plain(amount) for amount in line.history],
        "key": line.key,
    }
    if line.is_balance:
        data["told_ago"] = line.told_ago
    return data


def _folding(headers: list[str]) -> Table:
    """A table that breaks words rather than cut them."""
    made = table(*headers, numbers=tuple(header for header in headers if header.split("\n")[0] in _NUMBERS))
    for column in made.columns:
        column.overflow = "fold"
    return made


def _cells(line: Line) -> list[str]:
    if line.is_over and line.span.ends is not None:
        resets = f"ended {time_text(line.span.ends)}"
    else:
        resets = {"rolling": "rolls", "ever": "never"}.get(line.span.kind, _rough(line.resets_in or 0.0))
    cells = [
        line.provider,
        line.budget,
        line.unit,
        ", ".join(_scopes(line)),
        _amount(line.spent),
        _amount(line.reserved),
        _amount(line.left),
        "none" if line.limit is None else _amount(line.limit),
        "" if line.used is None else f"{line.used:.0%}",
        resets,
        "" if line.forecast is None else _about(line.forecast),
    ]
    return [visible(cell) for cell in cells]


def _scopes(line: Line) -> list[str]:
    named = (f"{name.removeprefix('tag.')} {'none' if value == '-' else value}" for name, value in line.scopes.items())
    return [visible(each) for each in named] or ["all"]


def _amount(amount: Decimal | None) -> str:
    return "" if amount is None else amount_text(amount)


def _about(amount: Decimal) -> str:
    """What nobody can know exactly, in three digits or all those before the point."""
    return amount_text(round(amount, max(0, 2 - amount.adjusted())))


def _rough(seconds: float) -> str:
    """A time in its two largest units."""
    step = 3600 if seconds >= 86_400 else 60 if seconds >= 3600 else 1
    return duration_text(round(seconds / step) * step)
