"""Telling at the end of a program what was done to its calls: `resilience run --explain`."""

from __future__ import annotations

import atexit
import os
import sys
import textwrap
from collections import deque
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from ._clock import RealClock
from ._fork import Lock, after_fork
from ._plainly import how_long, how_much
from ._trail import Refused, Wait, observers
from ._words import printable

if TYPE_CHECKING:
    from ._trail import Ended, Trail

__all__ = ["Account", "explain_at_exit"]

# The last ones: what a long program did at its beginning is of no use at its end.
_MOST_ROWS = 100
_MOST_TRAILS = 3
# Where no terminal says how wide it is, a line may be so long.
_WIDEST = 200
# A reason in a narrower column is read word by word.
_NARROWEST = 24
_INDENT = 4
_PROGRAM = "RESILIENCE_RUN_PID"
_HEADERS = ("when", "provider", "operation", "attempts", "waited", "cost", "outcome", "why")
_NUMBERS = {"attempts", "waited", "cost"}


class _Touched(NamedTuple):
    """A call with a story: when it was over, in seconds since 1970, and what became of it."""

    wall: float
    trail: Trail
    ended: Ended


class Account:
    """What was done to the calls of this process, as far as it is to be told at the end."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.begin()

    def begin(self) -> None:
        """Nothing was called: what a forked child has of its parent, the parent tells."""
        self._calls = self._count = 0
        self._touched: deque[_Touched] = deque(maxlen=_MOST_ROWS)

    def note(self, trail: Trail, ended: Ended) -> None:
        """A call is over.

        Arguments:
            trail: what happened to it.
            ended: what became of it.
        """
        # What an attempt has cost is no story, nor is a call that went through at its first one.
        is_touched = ended != "success" or any(isinstance(event, Wait | Refused) for event in trail.events)
        with self._lock:
            self._calls += 1
            if is_touched:
                self._count += 1
                self._touched.append(_Touched(RealClock().wall(), trail, ended))

    def text(self, width: int | None) -> str:
        """All of it; nothing where nothing was called, except of the program that was to be run.

        Arguments:
            width: of the terminal, in signs; `None` where there is none.
        """
        if not self._calls:
            # A program that is forked, or starts others, is many processes.
            is_program = os.environ.get(_PROGRAM) == str(os.getpid())
            return "resilience: no call was made that a policy applies to" if is_program else ""
        touched = list(self._touched)
        parts = [f"resilience: {self._count} of {self._calls} calls touched"]
        if self._count > len(touched):
            parts[0] += f", the last {len(touched)} of them:"
        if touched:
            rows = [_row(each) for each in touched]
            parts.append(_lines(rows, width) if width and _needed(rows) > width else _table(rows, width or _WIDEST))
            parts += [str(each.trail) for each in touched[-_MOST_TRAILS:]]
        return "\n\n".join(parts)

    def tell(self) -> None:
        """Write it to standard error; a program that has closed that ends as it would have."""
        with suppress(Exception):
            text = self.text(_width())
            if text:
                # What a stream of an old encoding cannot say must not cost the rest.
                encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
                sys.stderr.write(f"\n{text}\n".encode(encoding, "backslashreplace").decode(encoding))
                sys.stderr.flush()


def explain_at_exit() -> None:
    """Print to standard error, when this process ends, a table of the calls that were touched and the last trails.

    A process that a signal ends, or `os._exit`, tells nothing.
    """
    account = Account()
    observers.append(account.note)
    atexit.register(account.tell)
    after_fork(account.begin)


def _row(touched: _Touched) -> tuple[str, ...]:
    wall, trail, ended = touched
    costs: dict[str, Decimal] = {}
    for charge in trail.charges:
        costs[charge.unit] = costs.get(charge.unit, Decimal(0)) + charge.amount
    waited = sum(wait.seconds for wait in trail.waits)
    return (
        f"{datetime.fromtimestamp(wall).astimezone():%H:%M:%S}",
        trail.provider,
        trail.operation or "",
        str(len(trail.attempts)),
        how_long(waited) if waited else "",
        ", ".join(how_much(amount, unit) for unit, amount in costs.items()),
        ended,
        printable(_why(trail, ended)),
    )


def _why(trail: Trail, ended: Ended) -> str:
    """What has touched a call: why it ended as it did, or what stood in the way of one that was good in the end."""
    if ended != "success":
        return trail.stopped
    for attempt in reversed(trail.attempts):
        verdict = attempt.verdict
        if verdict.category != "success":
            rule = f", rule {verdict.rule}" if verdict.rule else ""
            return f"{attempt.status or attempt.error} {verdict.category}{rule}"
    if trail.waits:
        return trail.waits[-1].source
    observed = next(event for event in reversed(trail.events) if isinstance(event, Wait | Refused))
    return f"observed: {observed.source if isinstance(observed, Wait) else observed.reason}"


def _width() -> int | None:
    """The width of the terminal; `None` where a file or a pipe reads."""
    # What stands in the place of a terminal may only say that it is one.
    with suppress(Exception):
        return os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else None
    return None


def _needed(rows: list[tuple[str, ...]]) -> int:
    """How wide a table must be for its reasons to be read."""
    widths = [max(map(len, column)) for column in zip(_HEADERS, *rows, strict=True)]
    return sum(widths[:-1]) + min(widths[-1], _NARROWEST) + 2 * (len(widths) - 1)


def _lines(rows: list[tuple[str, ...]], width: int) -> str:
    """Each call in some lines: what it was and became, what it took, and why."""
    found: list[str] = []
    for when, provider, operation, attempts, waited, cost, outcome, why in rows:
        found.append(" ".join(filter(None, (when, provider, operation, outcome))))
        took = [f"{attempts} attempt{'s'[: attempts != '1']}", waited and f"waited {waited}", cost and f"cost {cost}"]
        for text in (", ".join(filter(None, took)), why):
            # No terminal is too narrow for a word.
            room = max(width - _INDENT, _INDENT)
            found += (f"{' ' * _INDENT}{line}" for line in textwrap.wrap(text, room))
    return "\n".join(found)


def _table(rows: list[tuple[str, ...]], width: int) -> str:
    # Only now: the program that has run must not have paid for it. It may run without the command line's packages.
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except Exception:  # noqa: BLE001  whatever is wrong with a package, there is a plain way
        return "\n".join("  ".join(filter(None, row)) for row in (_HEADERS, *rows))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in _HEADERS:
        table.add_column(header, justify="right" if header in _NUMBERS else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")
