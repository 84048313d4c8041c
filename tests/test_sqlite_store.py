"""The SQLite store, on real files: shared, killed, locked, removed, full, foreign; and its time over restarts."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience._clock import MachineTime, machine_time
from resilience._store_file import path_of
from resilience._transactions import SCRIPTS, Command, Reply, Transaction
from resilience.errors import ConfigurationError
from resilience.stores import StoreError, open_store
from resilience.stores._errors import StateError
from resilience.stores._machine import Mark, time_of
from resilience.stores._sqlite import SqliteStore, _inherited
from resilience.stores._sqlite_file import is_busy, open_file
from tests.shared_stores import KEY, acquire, is_admitted, place, release, take


class Machine:
    """A machine whose clocks are set by hand."""

    def __init__(self, steady: float = 100.0, wall: float = 1_763_683_200.0, boot: str = "first") -> None:
        self.steady, self.wall, self.boot = steady, wall, boot

    def __call__(self) -> MachineTime:
        return MachineTime(self.steady, self.wall, self.boot)

    def passes(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds


@pytest.fixture(name="path")
def file_path(tmp_path: Path) -> str:
    return str(tmp_path / "store.db")


@pytest.fixture(name="store")
def sqlite_store(path: str) -> Iterator[SqliteStore]:
    store = SqliteStore(path, "t")
    yield store
    store.close()


def run_python(code: str, *arguments: str) -> str:
    """What a program of its own prints."""
    command, root = [sys.executable, "-c", code, *arguments], Path(__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=root)
    return done.stdout.strip()


def test_stores_of_one_file_share_what_they_know(path: str, store: SqliteStore) -> None:
    """Two connections are like two processes."""
    other = SqliteStore(path, "t")

    assert [True, True, True, False, False] == [is_admitted(each) for each in (store, other, store, other, store)]
    assert place(store, "one")
    assert not place(other, "two")
    store.run(release("one"), 0.0)
    assert place(other, "two")
    other.close()


def test_a_file_outlives_its_processes(path: str) -> None:
    """What is used up stays used up over a restart of the program."""
    for expected in (True, True, True, False):
        store = SqliteStore(path, "t")
        assert expected == is_admitted(store)
        store.close()


def test_namespaces_do_not_meet(path: str, store: SqliteStore) -> None:
    """One file serves two applications."""
    other = SqliteStore(path, "other")

    assert place(store, "one")
    assert place(other, "two")
    assert ["two"] == list(next(iter(other.scan()))[1]["holders"])
    other.close()


def test_a_scan_shows_the_states_that_count(path: str) -> None:
    """By their keys as they were given, bounded, without what has expired or belongs to others."""
    machine = Machine()
    store = SqliteStore(path, "t", machine=machine)
    for number in range(3):
        store.run(acquire("one", lease=60.0, key=f"{{p}}:permits:{number}"), 0.0)
    store.run(acquire("one", lease=60.0, key="{q}:permits:x"), 0.0)

    assert [f"{{p}}:permits:{number}" for number in range(3)] == [key for key, _ in store.scan("{p}:")]
    machine.passes(4000.0)
    assert [] == list(store.scan())
    store.close()


def test_a_scan_has_an_end(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However full the file is."""
    monkeypatch.setattr("resilience.stores._sqlite._MOST_SCANNED", 5)
    store.run_many([(acquire("one", key=f"{{p}}:permits:{number}"), 0.0) for number in range(10)])

    assert 5 == len(list(store.scan()))


def test_a_batch_is_one_transaction(store: SqliteStore) -> None:
    """Each decision sees those before it; one that fails changes nothing and spoils nothing."""
    bad = Command("bucket.reserve", (KEY,), ("nonsense",))

    replies = store.run_many([(take(), 0.0), (bad, 0.0), (take(), 0.0), (take(), 0.0), (take(), 0.0)])

    assert [1, 1, 1, 0] == [reply[0] for reply in replies if isinstance(reply, list)]
    assert isinstance(replies[1], Exception)
    with pytest.raises(type(replies[1])):
        store.run(bad, 0.0)
    assert not is_admitted(store)


def test_a_state_that_is_spoilt_spoils_no_other_decision(path: str, store: SqliteStore) -> None:
    """Of a batch, what stands under one key is of no matter to the others: they are made, and what is given back is."""
    spoilt = "{p}:permits:spoilt:-"
    assert place(store, "one")
    store.run(acquire("one", key=spoilt), 0.0)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE states SET state = 'no json' WHERE key LIKE '%spoilt%'")

    given_back, failed, taken = store.run_many(
        [(release("one"), 0.0), (release("one", spoilt), 0.0), (acquire("two"), 0.0)]
    )

    assert [1.0] == given_back
    assert isinstance(failed, StateError)
    assert isinstance(taken, list)
    assert 1.0 == taken[0]
    assert not place(store, "three")


def test_what_a_failing_script_has_saved_is_forgotten(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision is made in whole or not at all."""

    def half(transaction: object, keys: tuple[str, ...], arguments: tuple[object, ...]) -> list[float]:
        transaction.save(keys[0], {"seen": 1}, 60.0)  # type: ignore[attr-defined]
        assert {"seen": 1} == transaction.load(keys[0])  # type: ignore[attr-defined]
        raise LookupError

    monkeypatch.setattr("resilience.stores._sqlite.script_named", lambda _: half)

    with pytest.raises(StateError, match=r"not what this library has written \(LookupError"):
        store.run(take(), 0.0)
    assert [] == list(store.scan())


def test_a_state_that_is_forgotten_is_gone(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the batch that forgets it, and after."""
    seen: list[object] = []

    def script(name: str) -> object:
        def run(transaction: object, keys: tuple[str, ...], arguments: tuple[object, ...]) -> list[float]:
            seen.append(transaction.load(keys[0]))  # type: ignore[attr-defined]
            transaction.save(keys[0], {"seen": 1} if name == "keep" else None, 60.0)  # type: ignore[attr-defined]
            return []

        return run

    monkeypatch.setattr("resilience.stores._sqlite.script_named", script)
    keep, drop = Command("keep", (KEY,)), Command("drop", (KEY,))
    store.run_many([(keep, 0.0), (drop, 0.0), (keep, 0.0)])
    store.run(drop, 0.0)
    store.run(drop, 0.0)

    assert [None, {"seen": 1}, None, {"seen": 1}, None] == seen


def test_the_file_is_for_its_owner_alone(path: str, store: SqliteStore) -> None:
    """With what SQLite keeps beside it; one that was there keeps the permissions that it has."""
    assert is_admitted(store)
    for each in (path, f"{path}-wal", f"{path}-shm"):
        assert 0o600 == stat.S_IMODE(Path(each).stat().st_mode)
    store.close()

    Path(path).chmod(0o640)
    assert is_admitted(store)
    assert 0o640 == stat.S_IMODE(Path(path).stat().st_mode)


def test_expired_states_are_swept(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then, so that the file does not grow for ever; over the bound, those go that would go first."""
    monkeypatch.setattr("resilience.stores._sqlite._SWEEP_EVERY", 20)
    machine = Machine()
    store = SqliteStore(path, "t", machine=machine, most_keys=10)
    for number in range(15):
        store.run(acquire("one", lease=10.0, key=f"{{p}}:permits:{number}"), 0.0)
    machine.passes(7200.0)
    for number in range(30):
        store.run(acquire("one", lease=100.0 + number, key=f"{{p}}:permits:later-{number:02}"), 0.0)

    expired = "SELECT key FROM states WHERE key LIKE '%permits:_' OR key LIKE '%permits:1_'"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert [] == connection.execute(expired).fetchall()
    assert 10 <= len(list(store.scan())) < 30
    assert "{p}:permits:later-29" in dict(store.scan())
    store.close()


def test_what_was_spent_is_never_swept_before_its_time(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many other states there are, and however soon it expires: a cap that forgets is none."""
    monkeypatch.setattr("resilience.stores._sqlite._SWEEP_EVERY", 20)
    store = SqliteStore(path, "t", machine=Machine(), most_keys=10)
    report = Command("credits.report", ("{p}:ledger:1", "{p}:credits:balance@credits:ever"), (5, 50.0, 0))
    store.run(report, 0.0)
    for number in range(60):
        store.run(acquire("one", lease=100_000.0 + number, key=f"{{p}}:permits:later-{number:02}"), 0.0)

    keys = [key for key, _ in store.scan()]
    assert 40 > len(keys)
    assert "{p}:credits:balance@credits:ever" in keys
    store.close()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////var/lib/x.db", "/var/lib/x.db"),
        ("sqlite:///x.db", "{here}/x.db"),
        ("sqlite:///a/b%20c.db", "{here}/a/b c.db"),
    ],
)
def test_a_url_names_a_path(url: str, path: str) -> None:
    """Three slashes and a relative path, which begins at the working directory; four and an absolute one."""
    assert path.format(here=Path.cwd()) == path_of(url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite://x.db",
        "sqlite:///:memory:",
        "sqlite:///x?mode=ro",
        "sqlite:///x%00",
    ],
)
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    """Whatever SQLite would make of it: nothing shares memory, and options are not ours to pass on."""
    with pytest.raises(ConfigurationError, match=r"sqlite:////absolute/path"):
        path_of(url)


def test_a_path_may_begin_with_two_slashes(path: str, store: SqliteStore) -> None:
    """As with `sqlite:////${HOME}/store.db`; the file is the same."""
    for _ in range(2):
        other = SqliteStore(f"/{path}", "t")
        assert is_admitted(other, take(2))
        other.close()

    assert not is_admitted(store, take(2))


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: str) -> None:
    """When the store is opened, with what to do."""
    Path(path).write_text("Dear diary, " * 100)

    with pytest.raises(ConfigurationError, match="is not a database; name another file"):
        open_store(f"sqlite:///{path}")
    assert "Dear diary, " * 100 == Path(path).read_text()


@pytest.mark.parametrize("own", ["CREATE TABLE theirs (x)", "PRAGMA application_id=7", "PRAGMA user_version=3"])
def test_another_programs_database_is_refused_and_left_alone(path: str, own: str) -> None:
    """Also one that is empty but for its mark."""
    theirs = sqlite3.connect(path)
    theirs.execute(own)
    theirs.close()
    before = Path(path).read_bytes()

    with pytest.raises(ConfigurationError, match="is the database of another program; name another file"):
        open_store(f"sqlite:///{path}")
    assert before == Path(path).read_bytes()


def test_a_later_versions_file_is_refused(path: str, store: SqliteStore) -> None:
    """Its states may mean something else."""
    assert is_admitted(store)
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=2")
    connection.close()

    with pytest.raises(ConfigurationError, match="another version of this library"):
        store.check()


def test_an_empty_file_becomes_a_store(path: str, store: SqliteStore) -> None:
    """As `touch` and temporary files make them."""
    Path(path).touch()

    assert is_admitted(store)


class Interrupted(sqlite3.Connection):
    """A connection to a file that another opens too, as a process would, just before one of the statements."""

    statements = 0
    """How many are left until then, that one included; 0 and less: it has happened."""
    others: ClassVar[list[sqlite3.Connection]] = []
    stays = False
    """Whether the other goes on to use the file."""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        Interrupted.statements -= 1
        if Interrupted.statements == 0:
            ((_, _, path),) = super().execute("PRAGMA database_list")
            self.open_another(path)
        return super().execute(*arguments)

    def open_another(self, path: str) -> None:
        try:
            self.others.append(open_file(path))
        except sqlite3.OperationalError as error:
            # While somebody reads a file that is not shared yet, whoever wants to make it so has to wait.
            if not is_busy(error):
                raise
        if not self.stays:
            self.close_others()

    @classmethod
    def close_others(cls) -> None:
        while cls.others:
            cls.others.pop().close()


@pytest.mark.parametrize("was_begun", [False, True], ids=["new", "begun by one that was killed"])
@pytest.mark.parametrize("stays", [False, True], ids=["other goes", "other stays"])
def test_a_file_that_another_makes_a_store_in_the_middle_of_its_opening_is_ours(
    was_begun: bool, stays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever statement it happens before: what was read until then and what is read after make no stranger's file."""
    monkeypatch.setattr(Interrupted, "stays", stays)
    monkeypatch.setattr(Interrupted, "statements", 0)
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Interrupted))
    for moment in itertools.count(1):
        path = str(tmp_path / f"{moment}.db")
        if was_begun:
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        Interrupted.statements = moment

        with contextlib.closing(open_file(path)) as connection:
            has_happened = Interrupted.statements <= 0
            assert [("states",)] == connection.execute("SELECT name FROM sqlite_master").fetchall()
        Interrupted.close_others()
        Interrupted.statements = 0

        if not has_happened:
            break
    # Two looks, the mode, the claim: each time there is something in between.
    assert moment > 10


def open_new(barrier: Barrier, pipe: Connection, folder: str, files: int) -> None:
    """Open one new file after the other, each at the same moment as all other processes, and say how it went."""
    for number in range(files):
        barrier.wait(60)
        try:
            store = open_store(f"sqlite:///{folder}/{number}.db")
            pipe.send([store.run(take(), time.monotonic())[0], store.is_away])  # type: ignore[attr-defined]
        except Exception as error:
            pipe.send(repr(error))


def test_processes_that_open_a_new_file_at_once_share_it(tmp_path: Path) -> None:
    """Eight of them, file after file: each finds it its own, and of every file as many calls go as one limit lets through."""
    processes, files = 8, 15
    context = multiprocessing.get_context("spawn")
    barrier, pipes = context.Barrier(processes), [context.Pipe(duplex=False) for _ in range(processes)]
    crew = [
        context.Process(target=open_new, args=(barrier, there, str(tmp_path), files), daemon=True) for _, there in pipes
    ]
    for process in crew:
        process.start()

    for _ in range(files):
        said = [here.recv() if here.poll(60) else "nothing" for here, _ in pipes]
        assert [[0.0, False]] * 5 + [[1.0, False]] * 3 == sorted(said, key=str)
    for process in crew:
        process.join()


def test_a_file_that_is_removed_or_replaced_is_not_written_on(path: str, store: SqliteStore) -> None:
    """It would be shared with nobody: the store says so once, and begins a new one."""
    for act in (lambda: Path(path).unlink(), lambda: Path(f"{path}.other").replace(path)):
        assert is_admitted(store)
        other = SqliteStore(f"{path}.other", "t")
        other.probe()
        other.close()
        act()

        with pytest.raises(StoreError, match="was removed, or another file has taken its place"):
            store.run(take(), 0.0)
        store.probe()


def test_a_directory_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    """It may come: a mount that is late is no mistake of the configuration."""
    store = SqliteStore(str(tmp_path / "missing" / "store.db"))

    with pytest.raises(StoreError, match="missing"):
        store.run(take(), 0.0)
    (tmp_path / "missing").mkdir()
    assert is_admitted(store)
    store.close()


def test_a_spoilt_file_is_said_to_be(path: str, store: SqliteStore) -> None:
    """Rows that another program has written, and pages that are no pages."""
    assert is_admitted(store)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        for state in ("no json", "[1]"):
            other.execute("UPDATE states SET state = ? WHERE key LIKE '%hourly%'", (state,))
            with pytest.raises(StoreError, match="not written"):
                store.run(take(), 0.0)
        huge, deep = f'[{"9" * 400},1,1,"b"]', "[" * 100_000
        for mark in ("no json", "[1]", '["x", "y", "z", "b"]', "{}", huge, deep, '[NaN,1,1,"b"]', '[1e999,1,1,"b"]'):
            other.execute("UPDATE states SET state = ? WHERE key = ''", (mark,))
            with pytest.raises(StoreError, match="not written"):
                store.now(0.0)
        other.execute("DELETE FROM states")
        assert is_admitted(store)
        other.execute("DROP TABLE states")
        with pytest.raises(StoreError, match="no such table"):
            store.run(take(), 0.0)
        # What may be the connection's fault is tried with another one.
        assert None is store._connection


@pytest.mark.parametrize("text", ["no json", "[1]", "[" * 100_000])
def test_people_see_the_other_states_beside_a_spoilt_one(text: str, path: str, store: SqliteStore) -> None:
    """It is told of as a state that holds nothing: which one it is, its reader can say."""
    spoilt, whole = "{p}:permits:spoilt:-", "{p}:permits:whole:-"
    for key in (spoilt, whole):
        store.run(acquire("one", key=key), 0.0)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE states SET state = ? WHERE key LIKE '%spoilt%'", (text,))

    found = dict(store.scan())

    assert {spoilt: False, whole: True} == {key: bool(state) for key, state in found.items()}


def test_pages_that_are_no_pages_are_said_to_be_none(path: str, store: SqliteStore) -> None:
    """A disk that forgets."""
    assert is_admitted(store)
    store.close()
    with Path(path).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(StoreError, match="malformed"):
        store.run(take(), 0.0)


def test_a_lock_that_is_held_for_ever_is_given_up(path: str, store: SqliteStore) -> None:
    """After about a second; when it is let go, the same connection goes on."""
    assert is_admitted(store)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    connection = store._connection
    start = time.monotonic()
    with pytest.raises(StoreError, match="locked"):
        store.run(take(), 0.0)
    assert 0.9 < time.monotonic() - start < 5
    assert connection is store._connection

    other.execute("ROLLBACK")
    other.close()
    assert is_admitted(store)


def test_a_short_lock_is_waited_for(path: str, store: SqliteStore) -> None:
    """Another process that is in the middle of its decision is no failure."""
    assert is_admitted(store)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, lambda: other.execute("ROLLBACK"))
    timer.start()

    assert is_admitted(store)
    timer.join()
    other.close()


def test_a_file_that_another_holds_while_it_is_opened_is_given_up(path: str, store: SqliteStore) -> None:
    """A new one, which is not ours yet, and one that is."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked"):
        store.run(take(), 0.0)
    other.execute("ROLLBACK")
    other.close()

    assert is_admitted(store)


def test_the_mode_of_a_file_that_another_changes_is_waited_for(path: str, store: SqliteStore) -> None:
    """SQLite does not wait by itself where it changes how a file is written."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
    timer.start()

    assert is_admitted(store)
    timer.join()
    assert [("wal",)] == other.execute("PRAGMA journal_mode").fetchall()
    other.close()


FULL = """
import resource, sys
from resilience.stores import StoreError
from resilience.stores._sqlite import SqliteStore, _inherited
from tests.shared_stores import take
store = SqliteStore(sys.argv[1], "t")
store.run(take(), 0.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    for number in range(1000):
        store.run(take(key="{p}:bucket:%d" % number), 0.0)
except StoreError as error:
    print(type(error).__name__, number > 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2)
print(*(int(store.run(take(), 0.0)[0]) for _ in range(3)))
"""


def test_a_full_disk_is_said_to_be(path: str) -> None:
    """And nothing is lost when there is room again."""
    assert ["StoreError True", "1 1 0"] == run_python(FULL, path).splitlines()


def test_a_file_that_may_not_be_written_is_said_to_be() -> None:
    """Nor one in a directory that may not; root may write everything, so somebody else tries."""
    here, there = multiprocessing.Pipe()

    def fork(paths: list[str]) -> None:
        if os.geteuid() == 0:
            os.setuid(65534)
        for path in paths:
            try:
                there.send(SqliteStore(path, "t").run(take(), 0.0))
            except StoreError as error:
                there.send(str(error))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "store.db")
        store = SqliteStore(str(path), "t")
        store.probe()
        store.close()
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        process = multiprocessing.get_context("fork").Process(target=fork, args=([str(path), f"{folder}/new.db"],))
        process.start()
        process.join(30)
        Path(folder).chmod(0o755)

        assert re.search("readonly|unable to open", here.recv())
        assert "ermission denied" in here.recv()


KILLED = """
import sys
from resilience._transactions import Command
from resilience.stores._sqlite import SqliteStore, _inherited
store = SqliteStore(sys.argv[1], "t")
while True:
    granted, _ = store.run(Command("budget.spend", ("{p}:budget:x",), (1_000_000, 1)), 0.0)
    sys.stdout.write("x" if granted else "")
    sys.stdout.flush()
"""


def test_a_process_that_is_killed_loses_and_invents_nothing(path: str) -> None:
    """Anywhere in a decision, again and again: what is used up is what was told, and what died untold at most."""
    told, rounds = 0, 12
    for number in range(rounds):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent
        )
        assert process.stdout is not None
        told += len(process.stdout.read(1 + 37 * number))
        process.send_signal(signal.SIGKILL)
        told += len(process.stdout.read())
        process.wait()
        process.stdout.close()

    store = SqliteStore(path, "t")
    ((_, state),) = store.scan()
    store.close()

    assert told <= 1_000_000 - state["left"] <= told + rounds
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()


def busy(path: str, pipe: object, stop: object) -> None:
    store = SqliteStore(path, "t")
    pipe.send("ready")  # type: ignore[attr-defined]
    decided = 0
    while not stop.is_set():  # type: ignore[attr-defined]
        store.run(acquire("other"), 0.0)
        decided += 1
    pipe.send(decided)  # type: ignore[attr-defined]


def test_a_process_that_decides_without_pause_starves_nobody(path: str) -> None:
    """The others find the file free in between, long before they would give up."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    stop = context.Event()
    processes = [context.Process(target=busy, args=(path, there, stop)) for _ in range(2)]
    for process in processes:
        process.start()
    assert ["ready", "ready"] == [here.recv(), here.recv()]

    store, took = SqliteStore(path, "t"), list[float]()
    for _ in range(300):
        start = time.monotonic()
        store.run(acquire("one", key="{p}:permits:mine"), 0.0)
        took.append(time.monotonic() - start)
    store.close()
    stop.set()

    assert min(here.recv(), here.recv()) > 10
    assert sorted(took)[150] < 0.05
    for process in processes:
        process.join()


def test_threads_share_a_connection(store: SqliteStore) -> None:
    """Thirty-two of them: each decision is made alone."""
    with ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(lambda _: store.run(take(amount=50), 0.0)[0], range(320)))

    assert 50 == sum(replies)


def test_a_fork_finds_no_connection(store: SqliteStore) -> None:
    """SQLite forbids to use, or even to close, one of the parent's; nothing is decided until the fork is done."""
    assert is_admitted(store)
    replies: list[bool] = []

    store.before_fork()
    assert None is store._connection
    thread = threading.Thread(target=lambda: replies.append(is_admitted(store)))
    thread.start()
    thread.join(0.1)
    assert [] == replies
    store.after_fork(is_child=False)
    thread.join(10)

    assert [True] == replies
    store.after_fork(is_child=False)
    assert is_admitted(store)


def test_a_fork_in_the_middle_of_a_decision_leaves_its_connection_alone(store: SqliteStore) -> None:
    """As from a signal's handler: the child has a lock that is free, and never touches what it has inherited."""
    assert is_admitted(store)
    inherited = store._connection
    with store._lock.held:
        store._is_deciding = True
        store.before_fork()
        store.after_fork(is_child=False)
        assert inherited is store._connection
        store.before_fork()
        store.after_fork(is_child=True)

        assert is_admitted(store)
    assert inherited is not store._connection
    assert inherited is _inherited.pop()
    assert inherited is not None
    inherited.close()


class Signal(BaseException):
    """What a signal's handler raises."""


def interrupted(store: SqliteStore, number: int) -> bool:
    """Decide with a signal at the so-many-th moment at which Python lets its handler run; whether there was such a moment.

    These are where a function of Python's begins, and where a lock has been taken.
    """
    left = number

    def look(frame: FrameType, event: str, called: object) -> None:
        nonlocal left
        is_ours = "resilience" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename
        if is_ours and (event == "call" or (event == "c_return" and getattr(called, "__name__", "") == "acquire")):
            left -= 1
            if left == 0:
                raise Signal

    sys.setprofile(look)
    try:
        with contextlib.suppress(Signal):
            is_admitted(store)
    finally:
        sys.setprofile(None)
    return left <= 0


def is_admitted_elsewhere(store: SqliteStore) -> bool:
    """Whether the store lets a call of another thread through; of one that never comes back nobody waits for the end."""
    replies: list[bool] = []
    thread = threading.Thread(target=lambda: replies.append(is_admitted(store, take(amount=10_000))), daemon=True)
    thread.start()
    thread.join(10)
    return replies == [True]


def test_a_signal_at_any_moment_of_a_decision_leaves_the_store_to_the_others(path: str) -> None:
    """Its handler may raise, as for a time limit, or as Ctrl-C in a notebook does: no lock and no transaction stays behind."""
    other = SqliteStore(path)
    for number in itertools.count(1):
        store = SqliteStore(path)
        assert is_admitted(store, take(amount=10_000))
        was_interrupted = interrupted(store, number)

        assert is_admitted_elsewhere(store)
        assert is_admitted(other, take(amount=10_000))
        store.close()
        if not was_interrupted:
            break

    other.close()
    assert number > 10


def test_a_signal_within_a_decision_makes_none_of_its_own(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose handler calls a provider: it is told that the store cannot be asked, and the decision goes on."""
    said: list[str] = []

    def handled(transaction: Transaction, keys: tuple[str, ...], _arguments: tuple[Any, ...]) -> Reply:
        with pytest.raises(StoreError) as caught:
            store.run(take(), 0.0)
        said.append(str(caught.value))
        transaction.save(keys[0], {"seen": 1}, 60.0)
        return [1.0]

    with monkeypatch.context() as patch:
        patch.setitem(SCRIPTS, "bucket.look", handled)
        assert [1.0] == store.run(Command("bucket.look", ("{p}:bucket:seen",)), 0.0)

    assert "within a decision" in said[0]
    assert [("{p}:bucket:seen", {"seen": 1})] == list(store.scan("{p}:bucket:seen"))


def test_setting_the_wall_clock_moves_no_limit(path: str) -> None:
    """An hour back and a day forward, while the machine runs."""
    machine = Machine()
    store = SqliteStore(path, "t", machine=machine)
    assert place(store, "one", lease=60.0)

    for step in (-3600.0, 86_400.0):
        machine.wall += step
        assert not place(store, "two", lease=60.0)
    machine.passes(61.0)

    assert place(store, "two", lease=60.0)
    store.close()


@pytest.mark.parametrize("boots", [("first", "second"), ("", "")])
def test_time_goes_on_over_a_restart_of_the_machine(path: str, boots: tuple[str, str]) -> None:
    """By what the wall clock says has passed, whether or not the machine tells of its restarts."""
    machine = Machine(steady=90_000.0, boot=boots[0])
    store = SqliteStore(path, "t", machine=machine)
    assert place(store, "one", lease=100.0)

    machine.steady, machine.wall, machine.boot = 5.0, machine.wall + 30.0, boots[1]
    assert not place(store, "two", lease=100.0)
    machine.passes(65.0)
    assert not place(store, "two", lease=100.0)
    machine.passes(6.0)

    assert place(store, "two", lease=100.0)
    store.close()


@pytest.mark.parametrize(
    ("steady", "wall", "expected"),
    [
        (50.0, -850.0, 1.0),
        (5_000.0, 4_300.0, 4_300.0),
        (1_100.0, 100.0, 100.0),
        (899.5, -0.5, -0.5),
        (1_100.0, 159.0, 100.0),
    ],
    ids=["began anew, clock set back", "began anew, up for longer", "runs", "a moment ago", "runs, clock set a little"],
)
def test_a_restart_that_nothing_tells_of_is_noticed(steady: float, wall: float, expected: float) -> None:
    """By a steady clock that has begun anew, or that disagrees with the wall's about how long it was."""
    machine = Machine(steady=900.0 if steady < 1000 else 1_000.0, boot="")
    before, mark = time_of(None, machine())
    machine.steady, machine.wall = steady, machine.wall + wall

    now, _ = time_of(mark, machine())

    assert expected == pytest.approx(now - before, abs=1e-6)


def test_a_state_counts_until_its_time(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """And not at it, as in memory."""
    machine = Machine(wall=1000.0)
    store = SqliteStore(path, "t", machine=machine)
    seen: list[object] = []

    def script(transaction: object, keys: tuple[str, ...], arguments: tuple[object, ...]) -> list[float]:
        seen.append(transaction.load(keys[0]))  # type: ignore[attr-defined]
        if arguments:
            transaction.save(keys[0], {"seen": 1}, 8.0)  # type: ignore[attr-defined]
        return []

    monkeypatch.setattr("resilience.stores._sqlite.script_named", lambda _: script)
    store.run(Command("look", (KEY,), (1,)), 0.0)
    for _ in range(2):
        machine.passes(4.0)
        store.run(Command("look", (KEY,)), 0.0)
    store.close()

    assert [None, {"seen": 1}, None] == seen


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["passes", "set", "restarts"]), st.floats(0, 1e5), st.floats(-1e5, 1e5)), max_size=30
    ),
    tells=st.booleans(),
)
def test_the_files_time_never_goes_back(steps: list[tuple[str, float, float]], tells: bool) -> None:
    """Whatever is done to the machine's clocks between two looks; and while it runs, it goes as the steady one does."""
    machine = Machine(boot="0" if tells else "")
    now, mark = time_of(None, machine())
    restarts = 0
    for what, seconds, step in steps:
        before, steady = now, machine.steady
        if what == "set":
            machine.wall += step
        elif what == "restarts":
            restarts += 1
            machine.steady, machine.wall = seconds, machine.wall + step
            machine.boot = str(restarts) if tells else ""
        else:
            machine.passes(seconds)
        now, renewed = time_of(mark, machine())
        mark = renewed or mark

        if what == "restarts" and not tells and machine.steady >= steady - 1.0:
            # A restart that nothing tells of looks like time that passes.
            assert now >= before - 1.0 - abs(step)
            continue
        assert now >= before - 1e-6
        if tells and what != "restarts":
            assert pytest.approx(machine.steady - steady, abs=1e-6) == now - before


def test_a_mark_is_renewed_once_a_second() -> None:
    """Not with every decision, and often enough that a restart loses no more."""
    machine = Machine()
    _, mark = time_of(None, machine())
    assert mark is not None

    machine.passes(0.5)
    assert None is time_of(mark, machine())[1]
    machine.passes(0.6)
    assert Mark(mark.ahead, *machine()) == time_of(mark, machine())[1]


def test_all_processes_of_a_machine_have_the_same_time() -> None:
    """The steady clock and the name of the boot are the machine's, not the process's."""
    before = machine_time()
    told = run_python("from resilience._clock import machine_time as m; print(*m(), sep='|')")
    after = machine_time()

    steady, wall, boot = told.split("|")
    assert before.steady <= float(steady) <= after.steady
    assert before.wall <= float(wall) <= after.wall
    assert before.boot == boot == after.boot
