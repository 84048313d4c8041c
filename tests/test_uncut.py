"""A fork waits for what would leave a lock of another package taken in the child, but not for ever."""

from __future__ import annotations

import io
import itertools
import logging
import os
import signal
import threading
import time

import pytest

from resilience import _fork, _uncut
from resilience._uncut import uncut, uncut_line


def _fork_and_try(lock: threading.Lock) -> int:
    """The exit code of a child: 0 if it gets the lock, and can call what is not cut."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            got = lock.acquire(timeout=0.5)
            called: list[int] = []
            uncut(called.append, 1)
            code = 0 if got and called == [1] else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _hold(lock: threading.Lock, holding: threading.Event, seconds: float) -> None:
    with lock:
        holding.set()
        time.sleep(seconds)


def test_a_child_finds_free_what_another_thread_has_held() -> None:
    """As the locks of OpenTelemetry's SDK, which nobody renews there."""
    lock, holding = threading.Lock(), threading.Event()
    thread = threading.Thread(target=uncut, args=(_hold, lock, holding, 0.1))
    thread.start()
    holding.wait()

    assert 0 == _fork_and_try(lock)
    thread.join()


def test_a_fork_waits_for_nothing_that_does_not_end() -> None:
    """Then the child is as badly off as without this library, in that lock alone."""
    lock, holding, go_on = threading.Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        holding.set()
        go_on.wait()

    thread = threading.Thread(target=uncut, args=(hold,))
    thread.start()
    holding.wait()
    began = time.monotonic()

    assert 0 == _fork_and_try(lock)
    assert 0.4 < time.monotonic() - began < 10
    go_on.set()
    thread.join()


def test_a_parent_goes_on() -> None:
    """Its threads record as before."""
    lock, called = threading.Lock(), list[int]()
    _fork_and_try(lock)

    thread = threading.Thread(target=uncut, args=(called.append, 1))
    thread.start()
    thread.join(5)

    assert [1] == called


def test_a_thread_that_a_fork_waits_for_goes_on() -> None:
    """As one that configures the log: it holds what `logging` takes before each fork, and calls a provider meanwhile."""
    child = os.fork()
    if child == 0:
        # Who waits for ever is ended.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(5)
        holding, called = threading.Event(), list[int]()

        def configure() -> None:
            with logging._lock:
                holding.set()
                while _uncut._lock._forking is None:
                    time.sleep(0.001)
                uncut(called.append, 1)

        thread = threading.Thread(target=configure)
        thread.start()
        holding.wait()
        code = _fork_and_try(threading.Lock())
        thread.join()
        os._exit(code if called else 2)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


_NUMBERS = itertools.count()


class _Slow(io.RawIOBase):
    """A terminal that takes its time, or a pipe that is full, until it is let go on."""

    def __init__(self) -> None:
        self.writing, self.go_on = threading.Event(), threading.Event()

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        self.writing.set()
        self.go_on.wait(10)
        return len(bytes(data))  # type: ignore[call-overload,no-any-return]


class _Log:
    """A logger whose lines go to that by a buffer, as they do to stderr."""

    def __init__(self) -> None:
        self.slow = _Slow()
        self.stream = io.TextIOWrapper(io.BufferedWriter(self.slow), line_buffering=True)
        self.logger = logging.getLogger("tests.slow").getChild(str(next(_NUMBERS)))
        self.logger.addHandler(logging.StreamHandler(self.stream))

    def writes(self) -> threading.Thread:
        """A thread that is in the middle of a line."""
        thread = threading.Thread(target=uncut_line, args=(self.logger.warning, "a line"))
        thread.start()
        assert self.slow.writing.wait(10)
        return thread

    def fork_and_write(self) -> int:
        """The exit code of a child: 0 if it can write, by itself and by the log."""
        child = os.fork()
        if child == 0:
            code = 1
            try:
                # Who waits for a lock is ended.
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(5)
                self.slow.go_on.set()
                self.stream.write("a line of the child's\n")
                uncut_line(self.logger.warning, "another one")
                code = 0
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_writes_where_another_thread_was_writing() -> None:
    """CPython renews the lock of no buffer, of stderr neither."""
    log = _Log()
    thread = log.writes()
    threading.Timer(0.1, log.slow.go_on.set).start()

    assert 0 == log.fork_and_write()
    thread.join()


def test_no_line_waits_for_another_one() -> None:
    """The handlers of two loggers have nothing to do with each other; and a fork does not wait for ever for either."""
    stuck, other = _Log(), _Log()
    thread = stuck.writes()
    other.slow.go_on.set()
    began = time.monotonic()

    uncut_line(other.logger.warning, "a line")
    assert time.monotonic() - began < 5
    assert 0 == other.fork_and_write()
    assert 0.4 < time.monotonic() - began < 10
    stuck.slow.go_on.set()
    thread.join()


def test_a_line_that_fails_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or each fork from then on would wait for it."""
    monkeypatch.setattr(_fork, "_LONGEST", 60)

    def fail(**_: object) -> None:
        raise LookupError

    def write() -> None:
        with pytest.raises(LookupError):
            uncut_line(fail)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    log = _Log()
    log.slow.go_on.set()
    began = time.monotonic()

    assert 0 == log.fork_and_write()
    assert time.monotonic() - began < 30


def test_a_handler_may_fork_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does that starts a process for what is urgent: it does not wait for its own line."""
    monkeypatch.setattr(_fork, "_LONGEST", 60)
    lock, codes = threading.Lock(), list[int]()

    class Forking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            codes.append(_fork_and_try(lock))

    logger, handler = logging.getLogger("tests.forking"), Forking()
    logger.addHandler(handler)
    began = time.monotonic()
    uncut_line(logger.warning, "a line")
    logger.removeHandler(handler)

    assert [0] == codes
    assert time.monotonic() - began < 30


def test_a_line_tells_who_has_written_it(caplog: pytest.LogCaptureFixture) -> None:
    """As formatters show it: not the function that keeps forks away."""
    uncut_line(logging.getLogger("resilience.told").warning, "%s %s", "a", "line", extra={"resilience": 1})

    (record,) = caplog.records
    assert ("a line", __file__, 1) == (record.getMessage(), record.pathname, record.resilience)  # type: ignore[attr-defined]
