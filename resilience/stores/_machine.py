"""The time in a file that the processes of one machine share: steady while it runs, by the wall clock over a restart.

The file keeps one mark: how far its time is ahead of the machine's steady clock, and when that was last so. While the
machine runs, nothing but the steady clock counts, so that setting the wall clock moves no limit. After a restart the
steady clock begins anew; the time then goes on by what the wall clock says has passed, and never back.
"""

from __future__ import annotations

from typing import NamedTuple

from .._clock import MachineTime

__all__ = ["Mark", "time_of"]

# How often the mark is renewed. After a restart with a wall clock that was set back, so much may not have been seen.
_RENEWED_EVERY = 1.0
# Where the machine does not tell its restarts: a steady clock that disagrees with the wall's by so much has slept.
_DISAGREEING = 60.0


class Mark(NamedTuple):
    """What the file remembers of its time.

    Arguments:
        ahead: file time less steady time.
        steady: the steady time when the mark was made.
        wall: the wall time then.
        boot: the run of the machine then; empty if unknown.
    """

    ahead: float
    steady: float
    wall: float
    boot: str


def time_of(mark: Mark | None, machine: MachineTime) -> tuple[float, Mark | None]:
    """The file's time, and the mark to keep if it is a new one.

    Arguments:
        mark: what the file remembers; `None` for a new file.
        machine: the machine's time.
    """
    if mark is None:
        # From 1970, for people who look into the file.
        return machine.wall, _marked(machine.wall, machine)
    if _has_restarted(mark, machine):
        before = mark.ahead + mark.steady
        now = before + max(machine.wall - mark.wall, _RENEWED_EVERY)
        return now, _marked(now, machine)
    now = mark.ahead + machine.steady
    if machine.steady - mark.steady >= _RENEWED_EVERY:
        return now, Mark(mark.ahead, machine.steady, machine.wall, machine.boot)
    return now, None


def _marked(now: float, machine: MachineTime) -> Mark:
    return Mark(now - machine.steady, machine.steady, machine.wall, machine.boot)


def _has_restarted(mark: Mark, machine: MachineTime) -> bool:
    if mark.boot and machine.boot:
        return mark.boot != machine.boot
    drift = (machine.wall - machine.steady) - (mark.wall - mark.steady)
    # Another process may have made the mark a moment after this one has read its clock.
    return machine.steady < mark.steady - _RENEWED_EVERY or abs(drift) > _DISAGREEING
