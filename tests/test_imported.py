"""Threads whose first calls import the same packages at the same time."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from resilience._clock import in_trio
from resilience._imported import imported
from resilience._library import ErrorKind, kind_of_any
from resilience._telemetry import is_measured, is_suppressed, is_traced
from resilience._trail_of import trail_of
from tests.launched import CHECKOUT

AT_ONCE = """
import sys, threading
from resilience.stores import open_store

def other():
    barrier.wait()
    import limits

def ours():
    barrier.wait()
    print(open_store("redis://127.0.0.1:1/0").url)

sys.setswitchinterval(1e-5)
barrier = threading.Barrier(2)
threads = [threading.Thread(target=each) for each in (other, ours)]
for each in threads:
    each.start()
for each in threads:
    each.join()
"""


def test_a_module_is_there_once_it_was_imported_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then another thread sees a part of it."""
    monkeypatch.syspath_prepend(tmp_path)
    began, may_end = threading.Event(), threading.Event()
    (tmp_path / "halfway.py").write_text("from meeting import began, may_end\nbegan.set()\nmay_end.wait(20)\nend = 1\n")
    meeting = ModuleType("meeting")
    vars(meeting).update(began=began, may_end=may_end)
    monkeypatch.setitem(sys.modules, "meeting", meeting)
    thread = threading.Thread(target=import_module, args=("halfway",))

    assert imported("halfway") is None
    thread.start()
    assert began.wait(20)
    assert "halfway" in sys.modules
    assert imported("halfway") is None
    may_end.set()
    thread.join()
    found = imported("halfway")
    assert found is not None
    assert 1 == found.end
    del sys.modules["halfway"]


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("trio", in_trio),
        ("opentelemetry.trace", is_traced),
        ("opentelemetry.metrics", is_measured),
        ("opentelemetry.context", is_suppressed),
    ],
)
def test_what_is_being_imported_is_not_asked(
    name: str, look: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody of this thread can use it yet."""
    monkeypatch.setitem(sys.modules, name, halfway(name))

    assert look() is False


def test_a_library_that_is_being_imported_has_raised_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the other one is known all the same, and its trail is looked for."""
    monkeypatch.setitem(sys.modules, "httpx2", halfway("httpx2"))

    assert ErrorKind.OTHER is kind_of_any(ValueError())
    assert ErrorKind.READ_TIMEOUT is kind_of_any(httpx.ReadTimeout("slow"))
    assert trail_of(ValueError()) is None


def halfway(name: str) -> ModuleType:
    module, spec = ModuleType(name), ModuleSpec(name, None)
    spec._initializing = True  # type: ignore[attr-defined]
    module.__spec__ = spec
    return module


@pytest.mark.parametrize("time", range(3))
def test_a_store_of_redis_can_be_opened_while_others_import_limits(time: int) -> None:
    """A package whose beginning imports a module that another thread asked for first: each would wait for the other."""
    del time
    command = [sys.executable, "-c", AT_ONCE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=CHECKOUT)

    assert ("redis://127.0.0.1:1/0\n", "") == (done.stdout, done.stderr)
