"""Many threads at once: what one looks through, another changes meanwhile, and nothing is lost or raised for it.

Where there is no GIL they do so at any moment; here they do at the worst one.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import FrameType, SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest

from resilience import Trail, _fork, _uncut
from resilience._clock import Closing
from resilience._kept import _Kept
from resilience._put_off import EndedCalls
from resilience.stores import _open
from resilience.testing import VirtualClock


class Changing(dict[Any, Any]):
    """A mapping to which another thread adds something while it is looked through; a copy is made in one step."""

    def items(self) -> Any:
        for each in super().items():
            yield each
            self[object()] = self[each[0]]

    def values(self) -> Any:
        return (value for _, value in self.items())


class ChangingSet(set[Any]):
    """The same as a set; its copies belong to whoever has made them."""

    is_shared = False

    def __iter__(self) -> Iterator[Any]:
        for each in super().__iter__():
            yield each
            if self.is_shared:
                self.add(object())


def test_a_client_is_closed_while_its_calls_come_and_go() -> None:
    """Each call that waits is woken, and `close` raises nothing."""
    closing, woken = Closing(), list[str]()
    waiting = ChangingSet([lambda: woken.append("one"), lambda: woken.append("other")])
    waiting.is_shared = True
    closing._wakers = waiting

    closing.set()

    assert ["one", "other"] == sorted(woken)


def test_a_client_is_closed_while_calls_of_older_configurations_end() -> None:
    """The last of such a call takes its transport out of those whose waits are to be ended, in any thread."""

    class Transport:
        policies: Any = None

    kept = _Kept()
    made = [Transport() for _ in range(6)]
    for each in made:
        each.policies = object()
        kept._add((id(each), id(each.policies)), each)

    def end_one(frame: FrameType, event: str, _: Any) -> Any:
        """As a thread does that has seen, just before, that nobody looks through them."""
        older: Any = kept._older
        if frame.f_code is WeakSet.__iter__.__code__ and event == "line" and len(older.data) > 1:
            older.data.pop()
        return end_one

    before = sys.gettrace()
    sys.settrace(end_one)
    try:
        found = kept.all()
    finally:
        sys.settrace(before)

    assert set(made) == set(found)


def test_stores_are_told_while_others_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics ask for them in the thread of their exporter."""
    monkeypatch.setattr(_open, "_opened", Changing({("one", ""): "one", ("other", ""): "other"}))

    assert (_open._process, "one", "other") == _open.opened_stores()


def test_a_fork_waits_while_lines_of_the_log_begin_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is raised, which would be told at the fork and end its waiting."""
    mine = threading.get_ident()
    monkeypatch.setattr(_uncut, "_lines", Changing({object(): mine, object(): mine}))

    _uncut._before_fork()
    _uncut._after_fork(is_child=False)

    assert 2 == len(_uncut._lines)


def test_a_fork_waits_while_imports_begin_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for the locks of the import system."""
    locks = Changing({"yaml.nodes": lambda: SimpleNamespace(owner=1), "json": lambda: SimpleNamespace(owner=2)})
    monkeypatch.setitem(sys.modules, "_frozen_importlib", SimpleNamespace(_module_locks=locks))  # type: ignore[arg-type]

    assert {("yaml", 1)} == _fork._imports()


def test_a_task_is_put_off_while_its_threads_still_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their calls end while that of its error is looked for."""
    clock = VirtualClock()
    monkeypatch.setattr("resilience._caller.Caller.clock", clock)
    calls, trail = EndedCalls(), Trail("provider")
    calls.note(Trail("provider"))
    calls.note(trail)
    clock.advance(5.0)

    def meanwhile(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_name == "<genexpr>" and event == "line":
            calls.note(Trail("provider"))
        return meanwhile

    before = sys.gettrace()
    sys.settrace(meanwhile)
    try:
        seconds = calls.since(trail)
    finally:
        sys.settrace(before)

    assert 5.0 == seconds


def test_no_more_calls_of_a_task_are_kept_than_are_of_use() -> None:
    """The last thirty-two, as its error is of one of the last."""
    calls, trails = EndedCalls(), [Trail(f"provider-{number}") for number in range(40)]

    for trail in trails:
        calls.note(trail)

    assert trails[-32:] == [trail for trail, _ in calls._ended]
