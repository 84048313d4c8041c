"""State in one SQLite file that the processes of a machine share.

Every decision is one `BEGIN IMMEDIATE` transaction in WAL mode, so that a process that is killed anywhere leaves either
all of it or nothing. One connection under a lock serves all threads of a process: connections of the same process
would only wait for each other at the file's lock, by polling, where this lock wakes the next thread at once.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from .._clock import MachineTime, machine_time
from .._fork import LateLock
from .._line import Lines
from .._transactions import Command, Reply, State, script_named
from ..errors import ConfigurationError
from ._errors import StateError, StoreError
from ._sqlite_file import Foreign, identity, is_busy, open_file
from ._sqlite_rows import Rows

__all__ = ["SqliteStore"]

_T = TypeVar("_T")
_MOST_KEYS = 100_000
# One more than anybody looks at, so that they see that there are more.
_MOST_SCANNED = 10_001
# Once in so many saves, so that it costs each next to nothing.
_SWEEP_EVERY = 1024
_FORK_SECONDS = 2.0
_LOCK_SECONDS = 1.0
# How long to wait each time that another process is in the way: a decision takes it a tenth of a millisecond.
_PAUSES = (0.0002,) * 50 + (0.001,) * 190 + (0.002,) * 400
# A connection must not be touched in a child of its process, not even by closing it; here no destructor reaches it.
_inherited: list[sqlite3.Connection] = []


class SqliteStore:
    """States of one machine.

    Arguments:
        path: of the file, absolute; it is made, for its owner alone, if it is not there.
        namespace: what all keys begin with.
        machine: tells the machine's time.
        most_keys: how many states are kept; over it, those that expire first are forgotten.
    """

    instant = False
    changes = None

    def __init__(
        self,
        path: str,
        namespace: str = "resilience",
        *,
        machine: Callable[[], MachineTime] = machine_time,
        most_keys: int = _MOST_KEYS,
    ) -> None:
        self.url = f"sqlite:///{path}"
        self.lines = Lines()
        self._path = path
        self._prefix = f"{namespace}:"
        self._machine = machine
        self._most_keys = most_keys
        self._lock, self._door = LateLock(), LateLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._saves = 0
        self._is_deciding = self._is_forking = False

    def run(self, command: Command, now: float, /) -> Reply:
        (reply,) = self.run_many([(command, now)])
        if isinstance(reply, Exception):
            raise reply
        return reply

    def tell(self, command: Command, now: float, /) -> None:
        self.run(command, now)

    def run_many(self, batch: Sequence[tuple[Command, float]], /) -> list[Reply | Exception]:
        """Make decisions one after the other in one transaction; what one raises is its own result.

        Raises:
            StoreError: the file cannot be read or written; nothing was decided.
        """

        def decide(rows: Rows) -> list[Reply | Exception]:
            replies: list[Reply | Exception] = []
            for command, _ in batch:
                try:
                    replies.append(script_named(command.name)(rows, command.keys, command.arguments))
                except sqlite3.Error:
                    raise
                except Exception as error:  # noqa: BLE001  of this decision alone: whoever asked for it gets it
                    rows.drop()
                    what = f"a state is not what this library has written ({type(error).__name__}: {error}); remove it"
                    replies.append(error if isinstance(error, StateError) else StateError(what))
                else:
                    rows.keep()
            return replies

        return self._write(decide)

    def holds(self, _key: str, /) -> bool:
        return True

    def scan(self, prefix: str = "", /) -> Iterator[tuple[str, State]]:
        return iter(self._read(lambda rows: rows.scan(prefix, _MOST_SCANNED)))

    def now(self, _now: float, /) -> float:
        return self._read(lambda rows: rows.now)

    def check(self) -> None:
        """Look, before anything is decided, whether the file may be used at all.

        Raises:
            ConfigurationError: it is not ours.
            StoreError: it cannot be used now.
        """
        try:
            self.probe()
        except Foreign as error:
            raise ConfigurationError(str(error)) from error

    def probe(self) -> None:
        """Make sure that decisions can be made.

        Raises:
            StoreError: they cannot.
        """
        self._write(Rows.renew_mark)

    def close(self) -> None:
        with self._lock.held:
            self._drop()

    def before_fork(self) -> None:
        """Close the file: SQLite takes locks that its process has on a file for its own, and a child has not inherited them.

        A connection that is open across a fork, used or not, makes the child's own ones lock nothing.
        """
        with self._door.held:
            if self._lock.held.acquire(timeout=_FORK_SECONDS):
                if self._is_deciding:
                    # A fork in the middle of a decision of its own thread, as in a signal handler.
                    self._lock.held.release()
                    return
                self._is_forking = True
                self._drop()

    def after_fork(self, *, is_child: bool) -> None:
        """Go on; in the child with a lock that nobody holds."""
        if is_child:
            self.lines = Lines()
            if self._connection is not None:
                _inherited.append(self._connection)
                self._connection = None
            self._is_deciding = self._is_forking = False
            self._lock, self._door = LateLock(), LateLock()
        elif self._is_forking:
            self._is_forking = False
            self._lock.held.release()

    def _write(self, work: Callable[[Rows], _T]) -> _T:
        def write(connection: sqlite3.Connection) -> _T:
            connection.execute("BEGIN IMMEDIATE")
            rows = Rows(connection, self._prefix, self._machine)
            result = work(rows)
            self._saves += rows.write()
            if self._saves >= _SWEEP_EVERY:
                self._saves = 0
                rows.sweep(self._most_keys)
            connection.execute("COMMIT")
            return result

        return self._on_connection(write)

    def _read(self, work: Callable[[Rows], _T]) -> _T:
        return self._on_connection(lambda connection: work(Rows(connection, self._prefix, self._machine)))

    def _on_connection(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Work on the connection alone; what goes wrong ends the transaction, and the connection if it may be at fault."""
        with self._door.held:
            # Whoever is about to fork stands in it, and is not overtaken again and again by threads that decide.
            pass
        lock, is_within = self._lock.held, True
        try:
            # Behind many threads, each of which waits for the file in vain, the wait would be minutes.
            if not lock.acquire(timeout=_LOCK_SECONDS):
                raise StoreError(f"{self._path}: other threads have not let go of it for {_LOCK_SECONDS:g}s")
            is_within, self._is_deciding = self._is_deciding, True
            if is_within:
                raise StoreError(f"{self._path}: a signal has come within a decision of this very thread")
            return self._patiently(work)
        except (sqlite3.Error, OSError) as error:
            if not is_busy(error):
                self._drop()
            raise StoreError(f"{self._path}: {error}") from error
        finally:
            if not is_within:
                self._is_deciding = False
            try:  # noqa: SIM105  between this and the release a signal's handler must not come
                lock.release()
            except RuntimeError:
                # It was never taken.
                pass

    def _patiently(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Work, again if another process is in the way, for about a second."""
        for pause in _PAUSES:
            try:
                return self._once(work)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            threading.Event().wait(pause)
        return self._once(work)

    def _once(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        connection = self._connected()
        try:
            return work(connection)
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_file(self._path)
            self._file = identity(self._path)
        # A file that was removed would still be written, and shared with nobody.
        elif identity(self._path) != self._file:
            self._drop()
            raise StoreError(f"{self._path} was removed, or another file has taken its place")
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
