"""Whether a task whose call was refused or throttled runs again later, and when: for the modules of the task queues."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

from ._caller import Caller, deadline
from ._categories import Category
from ._tags import tags
from ._trail import observers
from ._trail_of import leaves_of, trail_of
from ._units import seconds_text

if TYPE_CHECKING:
    from ._task_options import Options
    from ._ticket import Ticket
    from ._trail import Ended, Trail

__all__ = ["EndedCalls", "body_of", "put_off", "step_of", "tell_put_off"]

_log = logging.getLogger("resilience.tasks")
# Brokers deliver again what is not acknowledged for long (Redis after an hour, RabbitMQ closes the channel after half of
# one), and workers acknowledge a message with a time only then. So long waits are made in steps, each a message of its own.
_LONGEST_STEP = 900.0
_MOST_SPREAD = 60.0
_MOST_KEPT = 32
_MOST_TAGS = 18
# The provider or a layer of ours has asked for time: what was called may be called again then.
_WORTH_WAITING = frozenset({
    Category.NOT_READY,
    Category.RATE_LIMITED,
    Category.CONCURRENCY_LIMITED,
    Category.QUOTA_EXHAUSTED,
    Category.CREDITS_EXHAUSTED,
    Category.UPSTREAM_UNAVAILABLE,
    Category.OVERLOADED,
    Category.SERVER_ERROR,
})  # fmt: skip
_NEVER = frozenset({"success", "not_repeatable", "closed", "interrupted"})


class EndedCalls:
    """The calls of one run of a task that are over, and when each was."""

    def __init__(self) -> None:
        self._ended: list[tuple[Trail, float]] = []

    def note(self, trail: Trail) -> None:
        """A call is over."""
        self._ended.append((trail, Caller.clock.now()))
        del self._ended[:-_MOST_KEPT]

    def since(self, trail: Trail) -> float:
        """How many seconds ago a call was over; 0 where nobody has seen it."""
        # Of a copy: threads that the task has begun may still call.
        return next((Caller.clock.now() - ended for each, ended in self._ended.copy() if each is trail), 0.0)


_calls: ContextVar[EndedCalls | None] = ContextVar("resilience_calls", default=None)


def _observe(trail: Trail, _ended: Ended) -> None:
    calls = _calls.get()
    if calls is not None:
        calls.note(trail)


@contextmanager
def body_of(ticket: Ticket, *, task: str, task_id: str, seconds: float | None) -> Generator[EndedCalls]:
    """Around the body of a task: its tags and its deadline, and an eye on its calls.

    Arguments:
        ticket: of its message.
        task: its name.
        task_id: of this task, the same each time that it is put off.
        seconds: for how long its calls may take.
    """
    if _observe not in observers:
        observers.append(_observe)
    left = None if ticket.until is None else ticket.until - Caller.clock.wall()
    found = [each for each in (seconds, left) if each is not None]
    calls = EndedCalls()
    with ExitStack() as stack:
        # A call has a bounded number of tags; the task's own are never those that there is no room for.
        carried = dict(islice(ticket.tags.items(), _MOST_TAGS))
        stack.enter_context(tags(**{**carried, "task": task[-200:] or "-", "task_id": task_id[:200] or "-"}))
        if found:
            stack.enter_context(deadline(min(found)))
        token = _calls.set(calls)
        stack.callback(_calls.reset, token)
        yield calls


def put_off(
    error: BaseException,
    ticket: Ticket,
    calls: EndedCalls,
    options: Options,
    *,
    task: str,
    expires: float | None = None,
) -> Ticket | None:
    """The ticket with which a task runs again, because its call was refused or throttled; `None` where its error stands.

    Arguments:
        error: what the task has raised: an error of this library, of the HTTP library, of an SDK, or one that was raised
            from one of them; or a group of such alone, as a `TaskGroup` raises it, whose longest wait counts.
        ticket: of its message.
        calls: those of this run that are over.
        options: of the task.
        task: its name, for the log.
        expires: when the message expires, in seconds since 1970.
    """
    waits = _waits(error)
    if not waits:
        return None
    wall = Caller.clock.wall()
    # From the answer, and not from here: the task may have done something else meanwhile.
    left, wait = max((wait - calls.since(trail), wait) for wait, trail in waits)
    due = wall + max(0.0, left)
    due += min(wait * options.spread, _MOST_SPREAD) * Caller.clock.random()
    since = wall if ticket.since is None else ticket.since
    why_not = _why_not(replace(ticket, since=since), due, options, expires)
    if why_not:
        why_not = f"the task {task[-200:]} is not put off for {seconds_text(wait)}: {why_not}"
        _log.warning(why_not)
        error.add_note(f"resilience: {why_not}")
        return None
    return replace(ticket, since=since, count=ticket.count + 1, not_before=due)


def _why_not(ticket: Ticket, due: float, options: Options, expires: float | None) -> str:
    if ticket.count >= options.most:
        return f"it was put off {ticket.count} times by now, as often as it may be (most)"
    if ticket.since is not None and due > ticket.since + options.within:
        return f"that is more than {options.within:.0f}s after it was first put off (within)"
    for until, name in ((expires, "it expires"), (ticket.until, "its caller's deadline is")):
        if until is not None and due >= until:
            return f"{name} before that"
    return ""


def _waits(error: BaseException) -> list[tuple[float, Trail]]:
    """How long each call has to wait whose error this is, and its trail; none if one of them would fail again at once."""
    found: list[tuple[float, Trail]] = []
    for each in leaves_of(error):
        trail = trail_of(each)
        wait = None if trail is None else _wait(trail)
        if trail is None or wait is None:
            return []
        found.append((wait, trail))
    return found


def _wait(trail: Trail) -> float | None:
    if trail.why in _NEVER or trail.retry_after is None:
        return None
    if trail.why == "refused":
        return trail.retry_after
    verdict = trail.verdict
    return trail.retry_after if verdict is not None and verdict.category in _WORTH_WAITING else None


def tell_put_off(error: BaseException, ticket: Ticket, *, task: str, task_id: str) -> None:
    """Tell that a task was sent again, for when and why: to whoever wonders where it is.

    Arguments:
        error: what the task has raised.
        ticket: with which it was sent.
        task: its name.
        task_id: of this task.
    """
    _, trail = max(_waits(error), key=itemgetter(0))
    seconds = max(0.0, (ticket.not_before or 0.0) - Caller.clock.wall())
    refusal = next((each for each in reversed(trail.refusals) if not each.observed), None)
    verdict = trail.verdict
    reason = str(trail.why if verdict is None else verdict.category)
    if trail.why == "refused" and refusal is not None:
        reason = f"{refusal.layer} {refusal.why}"
    entry = {"event": "PutOff", "task": task[-200:], "task_id": task_id[:200], "seconds": seconds}
    entry |= {"provider": trail.provider, "reason": reason, "count": ticket.count}
    text = "the task %s[%s] is put off for %s: %s, %s"
    told = entry["task"], entry["task_id"], seconds_text(seconds), trail.provider, reason
    _log.info(text, *told, extra={"resilience": entry})


def step_of(not_before: float) -> float:
    """When a task that runs at `not_before` is to be looked at next, in seconds since 1970.

    Arguments:
        not_before: in seconds since 1970.
    """
    return min(not_before, Caller.clock.wall() + _LONGEST_STEP)
