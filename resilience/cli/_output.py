"""How the commands speak: plain lines, JSON for machines, tables; colours only on a terminal."""

from __future__ import annotations

import json
import os
import sys
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

__all__ = [
    "complain",
    "fail",
    "fitting",
    "is_unicode",
    "nobody_reads",
    "say",
    "say_json",
    "say_table",
    "table",
    "visible",
]

# Where nothing is cut to a terminal's width, a line may be so long.
_WIDEST = 200
_ANY_WIDTH = 10_000


def say(text: str = "") -> None:
    """A line on standard output."""
    try:
        sys.stdout.write(f"{text}\n")
    except BrokenPipeError:
        nobody_reads()


def nobody_reads() -> NoReturn:
    """End the process quietly, with the code that a shell gives to a program that SIGPIPE has ended."""
    # What is still in the buffer would be complained about at the very end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)


def complain(message: str) -> None:
    """What went wrong, on standard error."""
    sys.stderr.write(f"resilience: {message}\n")


def fail(message: str, *, code: int = 2) -> NoReturn:
    """Say what went wrong, and end the command."""
    complain(message)
    sys.exit(code)


def say_json(value: object, *, lines: bool = False) -> None:
    """A value as JSON on standard output; with `lines` in one line, at once."""
    say(json.dumps(value, indent=None if lines else 2, ensure_ascii=not is_unicode(), default=_plain))
    if lines:
        sys.stdout.flush()


def is_unicode() -> bool:
    """Whether the output can hold any sign."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    return sorted(value) if isinstance(value, frozenset | set) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def visible(text: str) -> str:
    """The text in one line, without the signs by which a stranger's answer could command a terminal."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in " ".join(text.split()))


def table(*headers: str, numbers: tuple[str, ...] = ()) -> Table:
    """An empty table.

    Arguments:
        headers: of the columns; none for a list of names and values.
        numbers: the headers of columns that stand to the right.
    """
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD if headers else None, show_header=bool(headers), pad_edge=False)
    for header in headers:
        made.add_column(header, justify="right" if header in numbers else "left")
    return made


def fitting(console: Console, options: ConsoleOptions, make: Callable[..., Table]) -> Table:
    """A table, in its narrow form where it is wider than the terminal.

    Arguments:
        console: that shows it.
        options: of the console.
        make: makes it, with `is_narrow`.
    """
    from rich.measure import Measurement

    wide = make(is_narrow=False)
    needed = Measurement.get(console, options.update(max_width=_ANY_WIDTH), wide).maximum
    return wide if needed <= options.max_width else make(is_narrow=True)


def say_table(table: RenderableType) -> None:
    """A table on standard output; rich leaves colours out where that is no terminal, or where NO_COLOR is set."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDEST
    console = Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    # Cells are filled up with blanks, which would only be in the way of whoever copies a line.
    say("\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n"))
