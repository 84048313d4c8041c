"""How long a thread has worked: what it used, and with it what it waited for a core."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from resilience import _worked
from resilience._worked import Sampled, Worked, worked_by_thread


def test_a_thread_that_works_has_not_rested() -> None:
    """Nearly all of the time, on a machine that is busy with others too; and one that sleeps has."""
    before, began = worked_by_thread(), time.perf_counter()
    while time.perf_counter() < began + 0.1:
        pass
    worked, seconds = worked_by_thread().since(before), time.perf_counter() - began
    before = worked_by_thread()
    time.sleep(0.1)  # what a thread really slept is what is asked for
    slept = worked_by_thread().since(before)

    assert 0 < worked <= seconds * 1.1
    assert slept < 0.05
    if sys.platform == "linux" and Path(_worked._FILE).exists():
        used, waited = worked_by_thread()
        assert used > 0
        assert waited >= 0


@pytest.mark.parametrize(
    ("used", "waited", "worked"), [(1.0, 0.0, 1.0), (1.0, 1.0, 2.0), (1.0, 9.0, 3.0), (0.0, 1.0, 0.0)]
)
def test_what_was_waited_for_a_core_counts_for_no_more_than_twice_of_what_was_used(
    used: float, waited: float, worked: float
) -> None:
    """A program that rests is woken late on a busy machine, which makes no work of it."""
    assert worked == Worked(5.0 + used, 7.0 + waited).since(Worked(5.0, 7.0))


def test_where_the_system_does_not_tell_only_what_was_used_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Elsewhere than on Linux, and where its files are hidden or written otherwise."""
    for content in (None, b"", b"1 2", b"nothing"):
        file = tmp_path / "schedstat"
        if content is not None:
            file.write_bytes(content)
        monkeypatch.setattr(_worked, "_FILE", str(file))

        assert (True, content == b"1 2") == (worked_by_thread().used > 0, worked_by_thread().waited > 0)


async def spend(seconds: float) -> None:
    began = time.thread_time()
    while time.thread_time() < began + seconds:
        pass


def test_a_sampled_coroutine_is_the_same_and_tells_what_its_steps_have_used() -> None:
    """Not what others use meanwhile, nor what it waits for."""
    told: list[float] = []

    async def work() -> str:
        for _ in range(3):
            await spend(0.01)
            await asyncio.sleep(0.01)
        return "done"

    async def main() -> Any:
        other = asyncio.create_task(spend(0.1))
        result = await Sampled(work(), told.append)
        await other
        return result

    assert "done" == asyncio.run(main())
    (used,) = told
    assert 0.03 <= used < 0.08


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_sampled_coroutine_that_fails_or_is_cancelled_does_so(library: str) -> None:
    """With its own error, once; what it does in its end is done, also where it goes on."""
    told: list[float] = []
    seen: list[str] = []

    async def fail() -> None:
        await anyio.lowlevel.checkpoint()
        raise LookupError("its own")

    async def wait() -> None:
        try:
            await anyio.sleep(60)
        finally:
            seen.append("ended")

    async def go_on() -> str:
        with anyio.move_on_after(0.001):
            await anyio.sleep(60)
        return "went on"

    async def main() -> None:
        with pytest.raises(LookupError, match="its own"):
            await Sampled(fail(), told.append)
        with anyio.move_on_after(0.001) as scope:
            await Sampled(wait(), told.append)
        assert scope.cancelled_caught
        assert "went on" == await Sampled(go_on(), told.append)

    anyio.run(main, backend=library)
    assert ["ended"] == seen
    assert 3 == len(told)


def test_a_sampled_coroutine_that_is_closed_ends_and_one_that_failed_is_free() -> None:
    """As event loops do that end; without the collector."""
    told: list[float] = []
    seen: list[str] = []

    class Body:
        pass

    async def wait(body: Body) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("ended")

    async def outer(work: Any) -> None:
        await Sampled(work, told.append)

    closed, thrown = outer(wait(Body())), outer(wait(body := Body()))
    gone = weakref.ref(body)
    del body

    async def main(*each: Any) -> None:
        for coroutine in each:
            coroutine.send(None)

    asyncio.run(main(closed, thrown))
    closed.close()
    gc.disable()
    try:
        with pytest.raises(LookupError):
            thrown.throw(LookupError())
        del thrown
        assert gone() is None
    finally:
        gc.enable()
    assert ["ended", "ended"] == seen
    assert 2 == len(told)
