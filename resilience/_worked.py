"""How long a thread has worked, or would have worked if the system had let it."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

__all__ = ["Worked", "worked_by_thread"]

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
