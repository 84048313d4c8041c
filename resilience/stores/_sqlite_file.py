"""A SQLite file of this library's: made for its owner alone, told apart from other programs' files, opened to be shared."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from urllib.parse import quote

from ._errors import StoreError

__all__ = ["Foreign", "identity", "is_busy", "open_file"]

# "RSIL" in the file's header, so that no other program's file is taken for ours, nor ours for theirs.
_APPLICATION = 0x5253494C
_VERSION = 1
_SCHEMA = """
CREATE TABLE states (key TEXT PRIMARY KEY, until REAL NOT NULL, state TEXT NOT NULL) WITHOUT ROWID
"""


class Foreign(StoreError):
    """The file is no database, or one of another program, or of a later version of this one."""


def identity(path: str) -> tuple[int, int] | None:
    """Which file stands at a path; `None` if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  asked before each decision: making a Path costs as much again
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def is_busy(error: BaseException) -> bool:
    """Whether another connection was in the way, and nothing else is wrong."""
    # The low byte is the kind of an error, whatever more is known of it (sqlite.org/rescode.html).
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def open_file(path: str) -> sqlite3.Connection:
    """A connection to the file, for any thread, one at a time.

    Raises:
        Foreign: the file is not ours to write.
        sqlite3.Error: it cannot be opened, or another process is in the way (`is_busy`).
        OSError: it cannot be made.
    """
    # Only one that is not there may be opened by anybody but SQLite: closing any descriptor of a file ends all locks
    # that the process has on it (sqlite.org/howtocorrupt.html, 2.2). Its WAL gets the permissions of the file.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    _look(path)
    # Who finds it busy tries again by himself, in short steps: SQLite's own grow to a tenth of a second, and who sleeps so
    # long hardly ever finds the file free between the decisions of busy processes.
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        if not _is_ours(connection, path):
            _share(connection, path)
            _claim(connection, path)
        else:
            _share(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _look(path: str) -> None:
    """Refuse a file that is not ours by what is in it, without its WAL.

    One that a removed store has left behind would be taken for that of whatever file stands there now, and written over it.
    """
    # What follows two slashes at its beginning would be the name of a machine (RFC 8089, 2).
    root = "file://" if path.startswith("/") else "file:"
    alone = sqlite3.connect(f"{root}{quote(path)}?mode=ro&immutable=1", uri=True)
    # Others may be writing it just now; whatever else is wrong is found by the connection that waits for them.
    with closing(alone), suppress(sqlite3.DatabaseError):
        _is_ours(alone, path)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    ((value,),) = connection.execute(f"PRAGMA {pragma}")
    return int(value)


def _is_ours(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the file is a store; `False` for an empty one, which may become one."""
    try:
        # At one moment: between two reads another process may make it a store, and it would look like somebody else's.
        is_alone = not connection.in_transaction
        if is_alone:
            connection.execute("BEGIN")
        try:
            ((tables,),) = connection.execute("SELECT COUNT(*) FROM sqlite_master")
            application, version = _number(connection, "application_id"), _number(connection, "user_version")
        finally:
            if is_alone:
                connection.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
            raise Foreign(f"{path} is not a database; name another file, or remove it") from error
        raise
    if application == _APPLICATION:
        if version != _VERSION:
            raise Foreign(f"{path} was written by another version of this library; name another file, or remove it")
        return True
    if application or version or tables:
        raise Foreign(f"{path} is the database of another program; name another file")
    return False


def _share(connection: sqlite3.Connection, path: str) -> None:
    """Let many processes use the file at once: readers and a writer do not wait for each other."""
    ((mode,),) = connection.execute("PRAGMA journal_mode=WAL")
    if mode != "wal":
        raise StoreError(f"{path} stands where files cannot be shared by processes; name one on a local disk")
    # Nothing that was committed is lost with a process; with the power, some last decisions may be, and no more.
    connection.execute("PRAGMA synchronous=NORMAL")


def _claim(connection: sqlite3.Connection, path: str) -> None:
    """Make an empty file ours; another process may do the same."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _is_ours(connection, path):
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA application_id={_APPLICATION}")
            connection.execute(f"PRAGMA user_version={_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
