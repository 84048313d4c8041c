"""The times that Celery gives a run of a task: for how long it may take, and when its message expires."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._task_options import Options

__all__ = ["expires_of", "seconds_of"]

# A time limit raises in the task, or ends its process: calls are over before that.
_MARGIN = 0.1


def seconds_of(task: Any, options: Options) -> float | None:
    """For how long the calls of a run may take; `None` where nothing bounds them.

    Arguments:
        task: of Celery, while it runs.
        options: its own.
    """
    hard, soft = task.request.timelimit or (None, None)
    limits = [limit for limit in (soft or task.soft_time_limit, hard or task.time_limit) if limit]
    bounds = [limit - min(1.0, limit * _MARGIN) for limit in limits]
    if options.worker_seconds is not None:
        bounds.append(options.worker_seconds)
    return min(bounds, default=None)


def expires_of(given: object) -> float | None:
    """When a message expires, in seconds since 1970; `None` where it does not, or nobody can tell.

    Arguments:
        given: what Celery hands on as it came: a number, a time, or a text of one.
    """
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            return None
    if isinstance(given, datetime):
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
    return None
