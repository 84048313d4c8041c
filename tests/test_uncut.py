"""A fork waits for what would leave a lock of another package taken in the child, but not for ever."""

from __future__ import annotations

import os
import threading
import time

import pytest

from resilience._uncut import uncut

# Python 3.12 and later warn of every fork beside threads, which is what is tried here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


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
