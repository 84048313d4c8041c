"""Celery: a task whose call was refused or throttled runs again when it was told to, and spends no retry of its own.

    app = Celery("shop", broker="redis://")
    resilience.celery.install(app)                      # for all tasks of the app

    @app.task(base=resilience.celery.ResilientTask)     # or for one
    def look_up(domain): ...

What is in the way is told by the error that the task raises: an error of this library, of httpx (`raise_for_status()`),
of an SDK. The worker is free meanwhile, and `request.retries` stays as it is. Tasks also get the tags of whoever sent them,
and `task` and `task_id` as tags of their own, by which budgets count (`per: tag.task_id`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ._caller import Caller
from ._celery_times import expires_of, seconds_of
from ._clock import Closing
from ._put_off import body_of, put_off, step_of, tell_put_off
from ._task_options import Options
from ._ticket import TICKET, Ticket, ticket_here
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._put_off import EndedCalls

__all__ = ["ResilientTask", "install"]

_log = logging.getLogger("resilience.tasks")
# Celery has no types of its own.
_celery: Any = import_module("celery")
_signals: Any = import_module("celery.signals")
_Retry: Any = _celery.exceptions.Retry
_Raised: Any = (_celery.exceptions.Ignore, _celery.exceptions.Reject, _Retry)
"""What Celery's own methods raise to say what becomes of a task."""
_apps: WeakKeyDictionary[Any, tuple[Options, bool]] = WeakKeyDictionary()
"""The options of each app, and whether its messages carry the deadline around the place where they are sent."""
_NO_APP = Options(), False
_sending: ContextVar[bool | None] = ContextVar("resilience_celery", default=None)
"""Whether the message that is sent here carries deadlines; `None` where it is none of ours."""
_WRAPPED = "_resilience_run"
# A wait so short is made in the worker: another message would take as long.
_SHORT = 1.0


def install(
    app: Any,
    *,
    worker_seconds: float | None = None,
    within: float = 86_400.0,
    most: int = 1000,
    spread: float = 0.1,
    carry_deadlines: bool = False,
) -> None:
    """Have all tasks of an app put off when a call of theirs is refused or throttled, those that are defined later too.

    A task says otherwise for itself: `@app.task(resilience={"worker_seconds": 5})`, `@app.task(resilience={"off": True})`.
    Called again, it changes the options.

    Arguments:
        app: the Celery app, in the workers and in whatever sends tasks.
        worker_seconds: for how long a run's calls may take in all, their waits included; what would wait for longer is put
            off. By default only the task's own time limits bound them.
        within: seconds from the first time that a task is put off; after that it fails with the error of its call.
        most: how often a task is put off.
        spread: the share of a wait that is added to it at most, by chance, so that tasks do not come together.
        carry_deadlines: whether `resilience.deadline()` around the place where a task is sent holds for the task too. Tags
            always go along; a deadline seldom should, since nobody waits for most tasks.

    Raises:
        ConfigurationError: this is no Celery app, or an option cannot be honoured.
    """
    if not isinstance(app, _celery.Celery):
        raise ConfigurationError(f"resilience.celery.install takes the Celery app, as in install(app), not {app!r:.60}")
    given = {"worker_seconds": worker_seconds, "within": within, "most": most, "spread": spread}
    if app not in _apps:
        app.send_task = _sending_for(app.send_task, app)
    _apps[app] = Options().changed(given, "the app"), carry_deadlines
    _connect()
    app.on_after_finalize.connect(_finalized, weak=False, dispatch_uid="resilience")
    # Tasks that are defined when the app is final already are known at the latest when a worker begins.
    _signals.celeryd_after_setup.connect(_after_setup, weak=False, dispatch_uid="resilience")
    if app.finalized:
        _wrap_all(app)


class ResilientTask(_celery.Task):  # type: ignore[misc]
    """The base of tasks that are put off when a call of theirs is refused or throttled: `@app.task(base=ResilientTask)`."""

    abstract = True

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        _connect()
        _wrap(self)

    def apply_async(self, *arguments: Any, **named: Any) -> Any:
        """Send it, with the tags around this place also where its app is not prepared."""
        own: Any = super()
        return _sending_for(own.apply_async, self.app)(*arguments, **named)


def _connect() -> None:
    _signals.before_task_publish.connect(_before_publish, weak=False, dispatch_uid="resilience")


def _sending_for(send: Callable[..., Any], app: Any) -> Callable[..., Any]:
    """The signal that a message is sent does not say by which app; this does."""

    @wraps(send)
    def sent(*arguments: Any, **named: Any) -> Any:
        token = _sending.set(_apps.get(app, _NO_APP)[1])
        try:
            return send(*arguments, **named)
        finally:
            _sending.reset(token)

    return sent


def _finalized(sender: Any, **_: Any) -> None:
    _wrap_all(sender)


def _after_setup(instance: Any, **_: Any) -> None:
    if instance.app in _apps:
        _wrap_all(instance.app)


def _wrap_all(app: Any) -> None:
    for name, task in tuple(app.tasks.items()):
        if not name.startswith("celery."):
            _wrap(task)


def _wrap(task: Any) -> None:
    """Go around the body of a task, within its own `autoretry_for`, as Celery itself does for that."""
    if hasattr(task, _WRAPPED):
        return
    try:
        _options_of(task)
    except ConfigurationError as error:
        # Here nobody hears what is raised: Celery calls this by a signal.
        _log.error("%s; each run of this task will fail", error)
    name = "_orig_run" if hasattr(task, "_orig_run") else "run"
    setattr(task, _WRAPPED, getattr(task, name))
    setattr(task, name, _around(task, getattr(task, name)))


def _before_publish(headers: dict[str, Any] | None = None, **_: Any) -> None:
    # What is put off, or is retried by Celery, has its ticket.
    deadlines = _sending.get()
    if headers is None or TICKET in headers or deadlines is None:
        return
    # The next of a chain and the callbacks are sent after the body, where its tags are no more.
    request = _celery.current_task.request if _celery.current_task else None
    around = _ticket_of(request) if request is not None else None
    if found := ticket_here(around, deadlines=deadlines).to_dict():
        headers[TICKET] = found


def _around(task: Any, inner: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(inner)
    def run(*arguments: Any, **named: Any) -> Any:
        request = task.request
        if request.called_directly:
            return inner(*arguments, **named)
        options = _options_of(task)
        if options.off:
            return inner(*arguments, **named)
        ticket = _ticket_of(request)
        _until_due(task, ticket)
        if TICKET in (request.headers or {}):
            # Celery's own retries take it along: theirs is a run of its own, put off for the first time again.
            request.headers = {**request.headers, TICKET: Ticket(ticket.tags, ticket.until).to_dict()}
        with body_of(ticket, task=task.name, task_id=request.id, seconds=seconds_of(task, options)) as calls:
            try:
                return inner(*arguments, **named)
            except _Raised:
                raise
            except BaseException as error:
                _put_off(task, ticket, calls, options, error)
                raise

    return run


def _options_of(task: Any) -> Options:
    """Those of its app, with what it says for itself."""
    options = _apps.get(task.app, _NO_APP)[0]
    return options.changed(getattr(task, "resilience", None), f"the task {task.name}")


def _ticket_of(request: Any) -> Ticket:
    headers: Mapping[str, object] = request.headers or {}
    return Ticket.from_dict(headers.get(TICKET))


def _until_due(task: Any, ticket: Ticket) -> None:
    """Go on only when the task may run: a long wait is made in steps, and clocks differ."""
    if ticket.not_before is None or task.request.is_eager:
        return
    left = ticket.not_before - Caller.clock.wall()
    if left > _SHORT:
        raise _sent_again(task, ticket, None)
    if left > 0:
        Caller.clock.sleep(left, Closing())


def _put_off(task: Any, ticket: Ticket, calls: EndedCalls, options: Options, error: BaseException) -> None:
    """Send the task again if its call was refused or throttled, and leave it by Celery's own `Retry`."""
    request = task.request
    # Run in the caller's own process, there is nobody to run it later.
    if request.is_eager or not isinstance(error, Exception):
        return
    again = put_off(error, ticket, calls, options, task=task.name, expires=expires_of(request.expires))
    if again is None:
        return
    try:
        sent = _sent_again(task, again, error)
    except Exception as failure:  # noqa: BLE001  whatever becomes of the broker, the task's error is that of its call
        error.add_note(f"resilience: the task {task.name} could not be put off: {type(failure).__name__}")
        raise error from error.__cause__ or failure
    tell_put_off(error, again, task=task.name, task_id=request.id)
    raise sent from error


def _sent_again(task: Any, ticket: Ticket, error: Exception | None) -> Any:
    request = task.request
    when = datetime.fromtimestamp(step_of(ticket.not_before or 0.0), UTC)
    headers: Mapping[str, Any] = {**(request.headers or {}), TICKET: ticket.to_dict()}
    again = task.signature_from_request(request, retries=request.retries, eta=when, headers=headers)
    again.apply_async()
    return _Retry(exc=error, when=when, sig=again)
