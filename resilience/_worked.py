"""How long a thread has worked, or would have worked if the system had let it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, NamedTuple

__all__ = ["Sampled", "Worked", "worked_by_thread"]

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


class Sampled(Generator[Any, Any, Any]):
    """To be awaited in place of a coroutine: it is the same, and in the end tells what its steps have used.

    Arguments:
        work: not begun.
        tell: is told how many seconds of the processor, also if the coroutine fails or is cancelled.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], tell: Callable[[float], None]) -> None:
        self._work, self._tell = work, tell
        self._used = 0.0

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def send(self, value: Any) -> Any:
        """One step of it."""
        return self._step(self._work.send, value)

    def throw(self, error: Any, value: Any = None, _: Any = None) -> Any:
        """The same, with an error in the place where it waits."""
        try:
            return self._step(self._work.throw, error if value is None else value)
        finally:
            # An error holds this frame, which must not hold the error.
            del error, value

    def _step(self, step: Callable[[Any], Any], value: Any) -> Any:
        began = time.thread_time()
        try:
            waits_for = step(value)
        except BaseException:
            self._tell(self._used + time.thread_time() - began)
            raise
        finally:
            del value
        self._used += time.thread_time() - began
        return waits_for
