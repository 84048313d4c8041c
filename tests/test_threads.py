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

import httpx
import pytest

import resilience.httpx
from resilience import Category, Trail, Verdict, _attempt_shortcut, _breaker, _breaker_hearing, _fork, _shortcut, _uncut
from resilience import _way_finder as way_finder
from resilience._clock import Closing
from resilience._kept import _Kept
from resilience._put_off import EndedCalls
from resilience._retry_allowance import Quota
from resilience._retry_budget import RetryBudget
from resilience.stores import _open
from resilience.testing import VirtualClock
from tests.worlds import URL, policy


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


@pytest.mark.parametrize("asked", range(12))
def test_a_listener_of_breakers_may_go_at_any_moment(monkeypatch: pytest.MonkeyPatch, asked: int) -> None:
    """However often it was asked for until then: the call is none of its business."""
    heard: list[str] = []
    hearing = SimpleNamespace(**{
        name: lambda *_, name=name: heard.append(name) for name in ("before", "after", "changed")
    })  # fmt: skip

    class Leaving:
        """There for as many questions, and then no more."""

        left = asked

        @property
        def by(self) -> Any:
            self.left -= 1
            return hearing if self.left >= 0 else None

    leaving = Leaving()
    for module in (_breaker, _breaker_hearing, _shortcut, _attempt_shortcut, way_finder):
        monkeypatch.setattr(module, "Heard", leaving)
    made = policy(breaker={"consecutive_failures": 1}, retry={"max_attempts": 1})
    transport = resilience.httpx.Transport(
        httpx.MockTransport(lambda _: httpx.Response(500)), policies=[made], clock=VirtualClock()
    )

    with httpx.Client(transport=transport) as client:
        status = client.get(URL).status_code

    assert 500 == status
    assert ["before", "after", "changed"][: len(heard)] == heard


def test_a_retry_while_a_success_is_counted_is_not_forgotten() -> None:
    """Else a quota that a retry has taken from seems full, and successes give nothing back until the next one."""
    quota = Quota(RetryBudget(quota=20), "key")
    retries: list[threading.Thread] = []

    class Left(float):
        def __add__(self, amount: float) -> float:
            retry = threading.Thread(target=quota.withdrawal, args=(FAULT, 0.0))
            retries.append(retry)
            retry.start()
            # It ends at once where nothing keeps it.
            retry.join(0.1)
            return float(self) + amount

    quota._left = Left(19.0)

    first = quota.succeeded(None)
    retries[0].join()
    second = quota.succeeded(None)

    assert (20, 1) == first.arguments  # type: ignore[union-attr]
    assert second is not None


FAULT = Verdict(Category.SERVER_ERROR, retryable=True)
