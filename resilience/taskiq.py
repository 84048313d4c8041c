"""taskiq: a task whose call was refused or throttled runs again when it was told to.

    broker = ListQueueBroker("redis://").with_middlewares(ResilienceMiddleware(source))
    scheduler = TaskiqScheduler(broker, [source])       # source = ListRedisScheduleSource("redis://")

What is in the way is told by the error that the task raises, as for Celery (`resilience.celery`). The task comes again by its
own id, and no result is kept of the run that was put off. Tasks also get the tags of whoever sent them, and `task` and
`task_id` as tags of their own, by which budgets count.
"""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from taskiq import NoResultError, ScheduleSource, TaskiqMiddleware
from taskiq.kicker import AsyncKicker

from ._caller import Caller
from ._clock import Closing
from ._put_off import body_of, put_off, tell_put_off
from ._task_options import Options
from ._ticket import TICKET, Ticket, ticket_here
from ._units import seconds_text
from .errors import ConfigurationError

if TYPE_CHECKING:
    from taskiq import TaskiqMessage, TaskiqResult

    from ._put_off import EndedCalls

__all__ = ["ResilienceMiddleware"]

_OFF = "resilience_off"
# taskiq ends a task at its timeout: calls are over before that.
_SHARE = 0.9
# Without a schedule source a worker holds a task itself for so many seconds at most, as it does no other meanwhile.
_LONGEST_HOLD = 60.0
_log = logging.getLogger("resilience.tasks")


class _Run:
    """The body of a task under way, and of the one that has sent it where a broker runs tasks within each other."""

    def __init__(self, task_id: str, stack: ExitStack, calls: EndedCalls, ticket: Ticket) -> None:
        self.task_id, self.calls, self.ticket = task_id, calls, ticket
        self.stack = stack
        self.around = _running.get()
        _running.set(self)

    @staticmethod
    def of(message: TaskiqMessage) -> _Run | None:
        """That of a message; those within that never came to their end are not it."""
        run = _running.get()
        while run is not None and run.task_id != message.task_id:
            run = run.around
        return run

    def end(self) -> None:
        """Let go of its tags and its deadline."""
        while (run := _running.get()) is not None:
            _running.set(run.around)
            # Contexts that were copied keep this one, and would keep all before it.
            run.around = None
            run.stack.close()
            if run is self:
                return


_running: ContextVar[_Run | None] = ContextVar("resilience_taskiq", default=None)


class ResilienceMiddleware(TaskiqMiddleware):
    """Puts tasks off whose calls are refused or throttled; add it after those that retry, which then see only what it leaves.

    A task with the label `resilience_off` is left alone: `@broker.task(resilience_off=True)`.

    Arguments:
        schedule_source: where tasks are kept until they may run: one that can be added to, with a scheduler that is running.
            Without one a broker is relied on that obeys the label `delay`; where one does not, a task is put off for a
            minute at most, which its worker waits for.
        worker_seconds: for how long a run's calls may take in all, their waits included; what would wait for longer is put
            off. By default only the label `timeout` bounds them.
        within: seconds from the first time that a task is put off; after that it fails with the error of its call.
        most: how often a task is put off.
        spread: the share of a wait that is added to it at most, by chance, so that tasks do not come together.
        carry_deadlines: whether `resilience.deadline()` around the place where a task is sent holds for the task too.

    Raises:
        ConfigurationError: an option cannot be honoured.
    """

    def __init__(
        self,
        schedule_source: ScheduleSource | None = None,
        *,
        worker_seconds: float | None = None,
        within: float = 86_400.0,
        most: int = 1000,
        spread: float = 0.1,
        carry_deadlines: bool = False,
    ) -> None:
        super().__init__()
        if schedule_source is not None and not isinstance(schedule_source, ScheduleSource):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"schedule_source is a ScheduleSource of taskiq, not {schedule_source!r:.60}")
        given = {"worker_seconds": worker_seconds, "within": within, "most": most, "spread": spread}
        self._options = Options().changed(given, "the middleware")
        self._source = schedule_source
        self._carry_deadlines = carry_deadlines
        self._comes_early = False

    def pre_send(self, message: TaskiqMessage) -> TaskiqMessage:
        """Have a message carry what is around the place where it is sent."""
        if TICKET not in message.labels:
            found = ticket_here(deadlines=self._carry_deadlines).to_dict()
            if found:
                # Labels are texts on their way.
                message.labels[TICKET] = json.dumps(found)
        return message

    async def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Begin the body of a task, when it may run: a scheduler's clock may be ahead."""
        ticket = _ticket_of(message)
        left = 0.0 if ticket.not_before is None else ticket.not_before - Caller.clock.wall()
        if self._source is None and left > _LONGEST_HOLD:
            self._note_early(left)
        elif left > 0:
            await Caller.clock.sleep_async(left, Closing())
        stack = ExitStack()
        calls = stack.enter_context(
            body_of(ticket, task=message.task_name, task_id=message.task_id, seconds=self._seconds(message))
        )
        _Run(message.task_id, stack, calls, ticket)
        return message

    async def on_error(self, message: TaskiqMessage, result: TaskiqResult[Any], exception: BaseException) -> None:
        """Send a task again if its call was refused or throttled."""
        run = _Run.of(message)
        # Who has given a task no result has made up its mind; what cancels it is no error of a call.
        if run is None or isinstance(result.error, NoResultError) or not isinstance(exception, Exception):
            return
        task = self.broker.find_task(message.task_name)
        labels = {**(task.labels if task else {}), **message.labels}
        if str(labels.get(_OFF, "")).lower() == "true":
            return
        again = put_off(exception, run.ticket, run.calls, self._options, task=message.task_name)
        if again is None:
            return
        if self._comes_early and (again.not_before or 0.0) - Caller.clock.wall() > _LONGEST_HOLD:
            return
        # Some brokers begin the next run from here, which has its own deadline.
        run.end()
        await self._send(message, again)
        tell_put_off(exception, again, task=message.task_name, task_id=message.task_id)
        result.error = NoResultError()
        # taskiq's own retries ask for nothing else.
        message.labels["retry_on_error"] = False

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:  # noqa: ARG002  as in the base class
        """End the body of a task."""
        run = _Run.of(message)
        if run is not None:
            run.end()

    def _note_early(self, left: float) -> None:
        """Tell once that the broker knows no `delay`: tasks that it brings back at once would run on and on."""
        if not self._comes_early:
            text = (
                "a task came %s early: the broker does not obey the label delay; give the middleware a schedule_source"
            )
            _log.warning(f"{text}, until then tasks are put off for {_LONGEST_HOLD:.0f}s at most", seconds_text(left))
        self._comes_early = True

    def _seconds(self, message: TaskiqMessage) -> float | None:
        bounds: list[float] = [] if self._options.worker_seconds is None else [self._options.worker_seconds]
        with suppress(KeyError, TypeError, ValueError):
            bounds.append(float(message.labels["timeout"]) * _SHARE)
        return min(bounds, default=None)

    async def _send(self, message: TaskiqMessage, ticket: Ticket) -> None:
        labels = {**message.labels, TICKET: json.dumps(ticket.to_dict())}
        kicker: AsyncKicker[Any, Any] = AsyncKicker(message.task_name, self.broker, labels)
        kicker = kicker.with_task_id(message.task_id)
        due = ticket.not_before or 0.0
        if self._source is None:
            delay = max(0.0, due - Caller.clock.wall())
            await kicker.with_labels(delay=delay).kiq(*message.args, **message.kwargs)
        else:
            when = datetime.fromtimestamp(due, UTC)
            await kicker.schedule_by_time(self._source, when, *message.args, **message.kwargs)


def _ticket_of(message: TaskiqMessage) -> Ticket:
    given = message.labels.get(TICKET)
    try:
        return Ticket.from_dict(json.loads(given) if isinstance(given, str) else given)
    except ValueError:
        return Ticket.from_dict(str(given))
