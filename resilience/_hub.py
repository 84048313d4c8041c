"""From what happens to a call to whoever wants to hear of it: the log, listeners, spans and metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from . import events
from ._callbacks import never_ran
from ._ending import ended_by
from ._fork import Lock
from ._listener_checks import check_listener
from ._log import LogListener, is_written
from ._seldom import Seldom
from ._trail import Attempt, Charged, Refused, Wait, observers

if TYPE_CHECKING:
    from ._budget_warnings import BudgetWarning
    from ._outcome import Exchange, Outcome
    from ._reasons import WaitReason

__all__ = [
    "Hub",
    "end_call",
    "forget",
    "hears",
    "is_listening",
    "listen",
    "put_in_place",
    "tell",
    "tell_all",
    "tell_happened",
    "tell_refusal",
    "tell_retry",
]

_log = logging.getLogger("resilience")
_lock = Lock()
_failures = Seldom()
_telling: ContextVar[tuple[events.Listener, ...]] = ContextVar("resilience_telling", default=())


class Hub:
    """Who hears of everything in this process."""

    own: tuple[LogListener, ...] = (LogListener(),)
    """The library's: they hear of decisions, not of attempts that were good."""
    listeners: tuple[events.Listener, ...] = ()
    """Those that were added, the metrics among them: they hear of everything."""


def listen(listener: events.Listener) -> Callable[[], None]:
    """Have a listener hear of the calls of all clients of this process.

    For one client there is `resilience.wrap(client, listeners=[...])`. A listener that is added twice hears twice.

    Arguments:
        listener: an instance of a class that is derived from `resilience.events.Listener`, or has all its methods.

    Returns:
        A function that ends this; called again it does nothing.

    Raises:
        TypeError: it is no such object.
    """
    check_listener(listener)
    put_in_place(listener)
    is_added = True

    def remove() -> None:
        nonlocal is_added
        with _lock:
            # By identity: a listener may say of itself that it is equal to another.
            at = next((index for index, each in enumerate(Hub.listeners) if each is listener), None)
            if is_added and at is not None:
                Hub.listeners = Hub.listeners[:at] + Hub.listeners[at + 1 :]
            is_added = False

    return remove


def forget() -> None:
    """Have the log begin anew, as a test does: what was written before it is no reason to leave a line out."""
    _failures.forget()
    for log in Hub.own:
        log.forget()


def put_in_place(listener: events.Listener | None, is_old: Callable[[events.Listener], bool] | None = None) -> None:
    """Have a listener hear of all calls, instead of others: the only way in which somebody comes to `Hub.listeners`.

    Arguments:
        listener: who comes; `None` for nobody.
        is_old: says of each listener whether it goes.
    """
    with _lock:
        others = Hub.listeners if is_old is None else tuple(each for each in Hub.listeners if not is_old(each))
        Hub.listeners = others if listener is None else (*others, listener)


def is_listening(listener: object) -> bool:
    """Whether this very listener hears of all calls; what it says of itself with `==` is none of our business."""
    for each in Hub.listeners:  # noqa: SIM110  each call that is measured asks, and a generator takes longer
        if each is listener:
            return True
    return False


def hears(exchange: Exchange) -> bool:
    """Whether anybody wants to hear of a call's attempts, too."""
    return bool(Hub.listeners or exchange.listeners)


def tell_happened(exchange: Exchange, happened: Attempt | Wait | Refused | Charged) -> None:
    """Tell of something that was written into the trail of a call."""
    provider, operation = exchange.trail.provider, exchange.operation
    if isinstance(happened, Attempt):
        number, _, seconds, status, error, verdict = happened
        tell(exchange, "on_attempt", events.Attempted(provider, operation, number, seconds, status, error, verdict))
    elif isinstance(happened, Wait):
        # Where only the log hears, a wait is news at most; of one that it leaves out nothing need be made.
        if hears(exchange) or is_written(happened.layer, logging.INFO):
            tell(exchange, "on_wait", events.Waited(provider, operation, *happened))
    elif isinstance(happened, Refused):
        if hears(exchange) or (not exchange.is_untold and _is_logged(provider, happened)):
            tell(exchange, "on_refusal", events.Refused(provider, operation, *happened))
    elif hears(exchange) or is_written("credits", logging.DEBUG):
        tell(exchange, "on_charge", events.Charged(provider, operation, *happened))


def tell_refusal(provider: str, operation: str | None, refused: Refused) -> None:
    """Tell of a call that is refused and of which nobody but the log wants to hear, unless the log leaves it out.

    Arguments:
        provider: of the call.
        operation: of the call.
        refused: which layer refuses it, and why.
    """
    if _is_logged(provider, refused):
        _tell((*Hub.own, *Hub.listeners), "on_refusal", events.Refused(provider, operation, *refused))


def _is_logged(provider: str, refused: Refused) -> bool:
    """Whether the log has a line for a refusal: a provider that is down is refused thousands of calls, and it has few."""
    if _telling.get():
        # Whether whoever calls while it is told of something hears of this too, and counts it, is not the log's to say.
        return True
    for log in Hub.own:  # noqa: SIM110  each call that is refused comes here, and a generator takes longer
        if not log.leaves_out(provider, refused):
            return True
    return False


def tell_retry(exchange: Exchange, wait: float, why: WaitReason, source: str) -> None:
    """Tell that a call will be sent again, before it waits for that."""
    trail = exchange.trail
    if (hears(exchange) or is_written("retry", logging.INFO)) and trail.verdict is not None:
        again = events.Retrying(trail.provider, exchange.operation, exchange.sent, wait, why, source, trail.verdict)
        tell(exchange, "on_retry", again)


def tell(exchange: Exchange, method: str, event: Any) -> None:
    """Tell of an event of a call; of one that is only simulated nobody hears, or the log would tell of outages that are none."""
    if not exchange.is_untold:
        _tell((*Hub.own, *Hub.listeners, *exchange.listeners), method, event)


def tell_all(
    method: str, event: events.StoreChanged | BudgetWarning, listeners: tuple[events.Listener, ...] = ()
) -> None:
    """Tell of an event that belongs to no call.

    Arguments:
        method: of the listeners.
        event: what they hear.
        listeners: of the client that has brought it about, where one has.
    """
    _tell((*Hub.own, *Hub.listeners, *listeners), method, event)


def end_call(exchange: Exchange, outcome: Outcome | None, seconds: float) -> None:
    """Tell that a call is over.

    Arguments:
        exchange: the call.
        outcome: what came of it; `None` if it was interrupted.
        seconds: how long it took.
    """
    trail, ended = exchange.trail, ended_by(outcome)
    for observe in observers:
        observe(trail, ended)
    # Of calls that failed the log hears alone, too.
    if ended == "failure" or hears(exchange):
        tell(exchange, "on_call", events.CallEnded(trail.provider, exchange.operation, seconds, ended, trail))


def _tell(listeners: tuple[events.Listener, ...], method: str, event: Any) -> None:
    under_way = _telling.get()
    for listener in listeners:
        # It calls through a client that it hears of: told of that too, it would call again, without end.
        if under_way and any(each is listener for each in under_way):
            continue
        token = _telling.set((*under_way, listener))
        try:
            result = getattr(listener, method)(event)
        except Exception:  # noqa: BLE001  whatever a listener raises, the call is none of its business
            _complain(listener, method, "failed", is_error=True)
        else:
            if result is not None and never_ran(result):
                _complain(listener, method, "gave back a coroutine, which nobody awaits,", is_error=False)
        finally:
            _telling.reset(token)


def _complain(listener: events.Listener, method: str, what: str, *, is_error: bool) -> None:
    # A handler of the log may be what fails, and one that fails would do so at each call.
    with suppress(Exception):
        more = _failures.more(type(listener), method)
        if more is not None:
            text = "the listener %s %s in %s; the call goes on%s"
            _log.error(text, type(listener).__qualname__, what, method, more, exc_info=is_error)
