"""How long a thread has worked, or would have worked if the system had let it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, NamedTuple, TypeVar

__all__ = ["Worked", "sampled", "worked_by_thread"]

T = TypeVar("T")

# Linux says how long a thread was ready to run while another had the core (Documentation/scheduler/sched-stats.rst).
_FILE = "/proc/thread-self/schedstat"


class Worked(NamedTuple):
    """What one thread had done at a moment, in seconds.

    Arguments:
        used: it had used of the processor.
        waited: it had waited for a core; 0 where the system does not tell.
    """

    used: float
    waited: float

    def since(self, before: Worked) -> float:
        """The seconds of work since then: a program that shares its core and never rests has used half of its time, or less.

        One that rests waits for a core, too, each time it is woken, and that is not work. So what was waited counts for no
        more than twice of what was used: where even more programs want the core, one that never rests seems to rest.
        """
        used = self.used - before.used
        return used + min(self.waited - before.waited, 2 * used)


def worked_by_thread() -> Worked:
    """What this thread has done so far."""
    return Worked(time.thread_time(), _waited())


def _waited() -> float:
    # A file of the system's own memory: reading it takes some microseconds and never waits.
    try:
        descriptor = os.open(_FILE, os.O_RDONLY)
    except OSError:
        return 0.0
    try:
        return int(os.read(descriptor, 100).split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
    finally:
        os.close(descriptor)


@coroutine
def sampled(work: Coroutine[Any, Any, T], tell: Callable[[float], None]) -> Generator[Any, Any, T]:
    """The same coroutine, and in the end it is told how many seconds of the processor its steps have used.

    Arguments:
        work: not begun.
        tell: is told, also if it fails or is cancelled.
    """
    used, value = 0.0, None
    step: Any = work.send
    try:
        while True:
            began = time.thread_time()
            try:
                waits_for = step(value)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                used += time.thread_time() - began
            try:
                step, value = work.send, (yield waits_for)
            except BaseException as error:  # noqa: BLE001  whatever is thrown in is thrown on
                step, value = work.throw, error
    finally:
        # An error holds its frames, and they must not hold it.
        step = value = None
        tell(used)
