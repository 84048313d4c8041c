"""What a message in a task queue carries beside the task: its caller's tags and deadline, and how often it was put off."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ._caller import Caller, seconds_left
from ._tags import check_tags, tags_of
from .errors import ConfigurationError

__all__ = ["OWN_TAGS", "TICKET", "Ticket", "ticket_here"]

_log = logging.getLogger("resilience.tasks")
_LARGEST = 1e15
TICKET = "resilience"
"""The name of the header or label."""
OWN_TAGS = ("task", "task_id")
"""The tags that each task has of its own: they do not go on to the tasks that it sends."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a message carries; all times are seconds since 1970, since they go from machine to machine.

    Arguments:
        tags: of the caller.
        until: the caller's deadline.
        since: when the task was first put off.
        count: how often it was.
        not_before: when it may run again.
    """

    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    until: float | None = None
    since: float | None = None
    count: int = 0
    not_before: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, without what is not there; empty if nothing is."""
        found = {"until": self.until, "since": self.since, "count": self.count or None, "not_before": self.not_before}
        data: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
        return {"tags": dict(self.tags), **data} if self.tags else data

    @classmethod
    def from_dict(cls, data: object) -> Ticket:
        """A ticket of a message; what cannot be honoured in it is left out, since a task must not fail for it.

        Arguments:
            data: whatever stands in the header or label.
        """
        if not isinstance(data, Mapping):
            if data is not None:
                _log.warning("a task's %s header is no mapping, but %r; it is ignored", TICKET, str(data)[:60])
            return cls()
        parts = cast("Mapping[str, object]", data)
        tags: Mapping[str, str] = {}
        try:
            tags = check_tags(parts.get("tags") or {})
        except ConfigurationError as error:
            _log.warning("the tags of a task are ignored: %s", error)
        count = parts.get("count")
        return cls(
            tags,
            _seconds(parts.get("until")),
            _seconds(parts.get("since")),
            count if isinstance(count, int) and count > 0 else 0,
            _seconds(parts.get("not_before")),
        )


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -_LARGEST < value < _LARGEST else None


def ticket_here(around: Ticket | None = None, *, deadlines: bool = False) -> Ticket:
    """What a message that is sent from this place carries.

    Arguments:
        around: the ticket of the task that sends it, where one does: also outside of its body, as the next of a chain.
        deadlines: whether the deadline around this place goes along.
    """
    tags = {**(around.tags if around else {}), **tags_of(None)}
    until = around.until if around and deadlines else None
    left = seconds_left() if deadlines else None
    if left is not None:
        here = Caller.clock.wall() + left
        until = here if until is None else min(until, here)
    return Ticket({name: value for name, value in tags.items() if name not in OWN_TAGS}, until)
