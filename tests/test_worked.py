"""How long a thread has worked: what it used, and with it what it waited for a core."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from resilience import _worked
from resilience._worked import Worked, worked_by_thread


def test_a_thread_that_works_has_not_rested() -> None:
    """Nearly all of the time, on a machine that is busy with others too; and one that sleeps has."""
    before, began = worked_by_thread(), time.perf_counter()
    while time.perf_counter() < began + 0.1:
        pass
    worked, seconds = worked_by_thread().since(before), time.perf_counter() - began
    before = worked_by_thread()
    time.sleep(0.1)
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
