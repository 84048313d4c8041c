"""`resilience credits ledger`: what became of each reservation, as a table, as JSON, or as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resilience._amounts import amount_text
from resilience._budgets import REQUESTS
from resilience._clock import RealClock
from resilience._credits_ledger import sums
from resilience._units import parse_duration

from ._credits import look
from ._credits_shown import ledger_data, plain, time_text
from ._options import ConfigFile, Json, OneProvider, StoreUrl
from ._output import complain, fail, fitting, say, say_json, say_table, table, visible
from ._shared import ALONE, Shared, shared_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

    from resilience._credits_ledger import Ledger, Settlement

__all__ = ["Settlements", "csv_text", "ledger"]

_COLUMNS = ("time", "provider", "call", "operation", "account", "tags", "reserved", "charged", "outcome", "unit")
# Which of a table's columns stand in one where it is narrow.
_GROUPS = [slice(0, 3), slice(3, 5), slice(5, 7), slice(7, 9)]
_PAGE = 50
# A spreadsheet runs a cell that begins so (owasp.org/www-community/attacks/CSV_Injection), some of them also with the
# wide forms of these signs.
_FORMULA = (*"=+-@", *(chr(ord(sign) + 0xFEE0) for sign in "=+-@"))


def ledger(
    provider: OneProvider = None,
    *,
    config: ConfigFile = None,
    store: StoreUrl = None,
    json: Json = False,
    to: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write CSV to a file; - is the standard output.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Those of the last 24h, 30m and so on.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help=f"The last N; a table shows {_PAGE} by default.")
    ] = None,
) -> None:
    """Show what became of each call's reservation: what it might have cost, and what it did.

    Outcomes: settled (by what the answer says), failed, unanswered (sent, and nobody saw the answer), lost (never heard
    of again), job (settled when it ended), balance (what the provider has taken that was not counted here).

    Exit code: 0 if the store could be read, 1 if not, 2 if the configuration cannot be honoured, there is no such
    provider, or the file cannot be written.
    """
    if json and to is not None:
        fail("--json and --csv are two forms of the same; choose one")
    begins = 0.0
    if since is not None:
        try:
            begins = RealClock().wall() - parse_duration(since)
        except ValueError as error:
            fail(f"--since: {error}")
    shared = shared_store(config, store)
    report = look(shared, provider)
    found = replace(report.ledger, rows=tuple(row for row in report.ledger.rows if row.at >= begins))
    most = limit or (len(found.rows) if json or to is not None else _PAGE)
    rows = found.rows[max(0, len(found.rows) - most) :]
    units = {name: _unit(shared, name) for name in {row.provider for row in found.rows}}
    if json:
        note = {"note": ALONE} if shared.is_alone else {}
        listed = [_data(row, units[row.provider]) for row in rows]
        named = {"store": shared.shown, "namespace": shared.policies.namespace, "settlements": listed}
        say_json({**named, **ledger_data(found), "warnings": report.warnings, "more": report.more, **note})
        return
    for warning in report.warnings:
        complain(visible(warning))
    if to is not None:
        if shared.is_alone:
            complain(ALONE)
        _write(csv_text(rows, units), to, len(rows))
        return
    if rows:
        say_table(Settlements(rows))
    for line in _remarks(shared, found, len(rows), units):
        say(line)


def _remarks(shared: Shared, found: Ledger, shown: int, units: dict[str, str]) -> Iterator[str]:
    """What the table does not say."""
    count = len(found.rows)
    if shared.is_alone:
        yield ALONE
    elif not count:
        yield f"no settlement is in {shared.shown}; `ledger: true` under a provider in resilience.yaml writes them down"
    elif shown < count:
        yield f"the last {shown} of {count} settlements; --limit {count} shows all"
    for provider, outcomes in sums(found.rows).items():
        each = ", ".join(f"{one.rows} {name} ({amount_text(one.charged)})" for name, one in sorted(outcomes.items()))
        yield visible(f"{provider}: {each} {units[provider]}")
    for provider, dropped in found.dropped.items():
        charged = amount_text(dropped.charged)
        yield visible(f"{provider}: {dropped.rows} older settlements are forgotten, which cost {charged}")


def _unit(shared: Shared, provider: str) -> str:
    """What the rows of a provider count; empty where no policy says it."""
    for source in shared.policies.sources:
        if source.name == provider:
            costs = source.policy().credits
            return costs.unit if costs else REQUESTS
    return ""


def _data(row: Settlement, unit: str) -> dict[str, Any]:
    return {
        "time": time_text(row.at, timespec="milliseconds"),
        "provider": row.provider,
        "call": row.call,
        "operation": row.operation,
        "account": row.account,
        "tags": row.tags,
        "reserved": plain(row.reserved),
        "charged": plain(row.charged),
        "outcome": row.outcome,
        "unit": unit,
    }


def csv_text(rows: tuple[Settlement, ...], units: dict[str, str]) -> str:
    """The rows as CSV (RFC 4180), with a header.

    Arguments:
        rows: of the ledger.
        units: what they count, by provider.
    """
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        data = _data(row, units[row.provider])
        # A negative number is no formula, and is read as what it is.
        writer.writerow([data[name] if name in {"reserved", "charged"} else _harmless(data[name]) for name in _COLUMNS])
    return written.getvalue()


def _harmless(text: str) -> str:
    """A text that no spreadsheet runs, and by which nothing commands a terminal."""
    shown = visible(text)
    # A lone dash is how a call without an account is written.
    return f"'{shown}" if shown.startswith(_FORMULA) and shown != "-" else shown


def _write(text: str, to: str, count: int) -> None:
    # As bytes: lines end as RFC 4180 section 2 says on every system, and UTF-8 is what a spreadsheet is told to read.
    data = text.encode("utf-8", "backslashreplace")
    if to == "-":
        sys.stdout.buffer.write(data)
        return
    Path(to).write_bytes(data)
    say(f"{count} settlement{'s'[: count != 1]} in {to}")


@dataclass(frozen=True, slots=True)
class Settlements:
    """Rows as a table; where that is wider than the terminal, each stands in some lines."""

    rows: tuple[Settlement, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield fitting(console, options, self._table)

    def _table(self, *, is_narrow: bool) -> Table:
        headers = ["time", "call", "outcome", "provider", "operation", "account", "tags", "reserved", "charged"]
        groups = _GROUPS if is_narrow else [slice(place, place + 1) for place in range(len(headers))]
        numbers = ("reserved", "charged", "reserved\ncharged")
        made = table(*("\n".join(headers[group]) for group in groups), numbers=numbers)
        for column in made.columns:
            column.overflow = "fold"
        for row in self.rows:
            cells = [time_text(row.at), row.call, row.outcome, row.provider, row.operation, row.account, row.tags]
            cells = [visible(cell) for cell in (*cells, amount_text(row.reserved), amount_text(row.charged))]
            made.add_row(*("\n".join(cells[group]) for group in groups))
        return made
