"""What a decision sees of the table of a SQLite store: the time, and the states of its keys as rows of exact JSON."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from typing import cast

from .._clock import MachineTime
from .._transactions import State
from ._errors import StateError
from ._machine import Mark, time_of

__all__ = ["Rows"]

_MARK = ""
"""The key of the file's own time; a state's key begins with its namespace."""
_SAVE = """
INSERT INTO states VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET until = excluded.until, state = excluded.state
"""
# Python writes a float with as many digits as tell it from every other.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
# What was spent is never forgotten before its time: a cap that forgets is none. The disk bounds how many of these there are.
_COUNT = "SELECT COUNT(*) FROM states WHERE key > '' AND instr(key, '}:credits:') = 0"
_FORGET = """
DELETE FROM states
WHERE key IN (SELECT key FROM states WHERE key > '' AND instr(key, '}:credits:') = 0 ORDER BY until LIMIT ?)
"""
_Row = tuple[float, str]


class Rows:
    """The table within one SQLite transaction; the `Transaction` of one script after the other.

    Arguments:
        connection: in a transaction that writes, if anything is to be kept.
        prefix: what all keys begin with.
        machine: tells the machine's time.

    Raises:
        StoreError: another program has written into the table.
    """

    def __init__(self, connection: sqlite3.Connection, prefix: str, machine: Callable[[], MachineTime]) -> None:
        self._connection = connection
        self._prefix = prefix
        self._machine = machine()
        self.now, self._mark = self._time()
        # What is saved is written at the end, so that a script that fails halfway has changed nothing.
        self._kept: dict[str, _Row | None] = {}
        self._saved: dict[str, _Row | None] = {}

    def load(self, key: str, /) -> State | None:
        if key in self._saved:
            row = self._saved[key]
        elif key in self._kept:
            row = self._kept[key]
        else:
            found = self._connection.execute("SELECT until, state FROM states WHERE key = ?", (self._prefix + key,))
            row = found.fetchone()
        return None if row is None or row[0] <= self.now else _state(row[1])

    def save(self, key: str, state: State | None, seconds: float, /) -> None:
        self._saved[key] = None if state is None else (self.now + seconds, _encode(state))

    def keep(self) -> None:
        """The script has decided; what it saved is what the next one sees."""
        self._kept |= self._saved
        self._saved = {}

    def drop(self) -> None:
        """The script has failed; what it saved is forgotten."""
        self._saved = {}

    def write(self) -> int:
        """Write what was kept; returns how many states those were."""
        kept = [(self._prefix + key, *row) for key, row in self._kept.items() if row is not None]
        gone = [(self._prefix + key,) for key, row in self._kept.items() if row is None]
        if self._mark is not None:
            kept.append((_MARK, float("inf"), _encode(self._mark)))
        self._connection.executemany(_SAVE, kept)
        if gone:
            self._connection.executemany("DELETE FROM states WHERE key = ?", gone)
        return len(kept)

    def renew_mark(self) -> None:
        """Have the next `write` write, if only the time."""
        self._mark = Mark(self.now - self._machine.steady, *self._machine)

    def scan(self, prefix: str, most: int) -> list[tuple[str, State]]:
        """The states of keys that begin so, in the order of their keys, for people to look at."""
        start = self._prefix + prefix
        rows = self._connection.execute(
            # The end of a prefix's keys: nothing that UTF-8 can say sorts behind it.
            "SELECT key, state FROM states WHERE key >= ? AND key < ? AND until > ? ORDER BY key LIMIT ?",
            (start, start + "\U0010ffff", self.now, most),
        )
        return [(key[len(self._prefix) :], _shown(text)) for key, text in rows]

    def sweep(self, most: int) -> None:
        """Forget what has expired, and, over so many states that are no budgets, those that will first."""
        self._connection.execute("DELETE FROM states WHERE until <= ?", (self.now,))
        ((count,),) = self._connection.execute(_COUNT)
        if count > most:
            self._connection.execute(_FORGET, (count - most,))

    def _time(self) -> tuple[float, Mark | None]:
        # Read in every transaction: all processes must agree on it, also when one of them has just changed it.
        row = self._connection.execute("SELECT state FROM states WHERE key = ?", (_MARK,)).fetchone()
        if row is None:
            return time_of(None, self._machine)
        try:
            now, mark = time_of(Mark(*json.loads(row[0])), self._machine)
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise _spoilt() from None
        if not math.isfinite(now):
            # JSON of Python's has infinity, and what is no number. By such a time calls would wait for ever.
            raise _spoilt()
        return now, mark


def _state(text: str) -> State:
    try:
        state: State | object = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise _spoilt() from None
    if not isinstance(state, dict):
        raise _spoilt()
    return cast("State", state)


def _shown(text: str) -> State:
    """The same for people: one that this library has not written holds nothing, and hides none of the others."""
    try:
        return _state(text)
    except StateError:
        return {}


def _spoilt() -> StateError:
    return StateError("it holds what this library has not written; remove it")
