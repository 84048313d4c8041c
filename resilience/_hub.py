"""From what happens to a call to whoever wants to hear of it: the log, listeners, spans and metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from . import events
from ._fork import Lock
from ._log import LogListener, Seldom, charges_are_written
from ._trail import Attempt, Charged, Refused, Wait, observers

if TYPE_CHECKING:
    from ._budget_warnings import BudgetWarning
    from ._outcome import Exchange, Outcome
    from ._reasons import WaitReason
    from ._trail import Ended

__all__ = ["Hub", "check_listener", "end_call", "hears", "listen", "tell", "tell_all", "tell_happened", "tell_retry"]

_log = logging.getLogger("resilience")
_METHODS = tuple(name for name in vars(events.Listener) if name.startswith("on_"))
_lock = Lock()
_failures = Seldom()


class Hub:
    """Who hears of everything in this process."""

    own: tuple[events.Listener, ...] = (LogListener(),)
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
    with _lock:
        Hub.listeners = (*Hub.listeners, listener)
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


def check_listener(listener: object) -> None:
    """Refuse what cannot listen.

    Raises:
        TypeError: it is a class, or a method is missing, or would have to be awaited.
    """
    what = f"{listener!r:.100}"
    if isinstance(listener, type):
        raise TypeError(f"{what} is a class; a listener is an instance of it: {listener.__name__}()")
    for name in _METHODS:
        method = getattr(listener, name, None)
        if not callable(method):
            raise TypeError(f"{what} has no method {name}; derive its class from resilience.events.Listener")
        if iscoroutinefunction(method):
            raise TypeError(f"{name} of {what} is a coroutine function; a listener is called, nobody awaits it")


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
        tell(exchange, "on_wait", events.Waited(provider, operation, *happened))
    elif isinstance(happened, Refused):
        tell(exchange, "on_refusal", events.Refused(provider, operation, *happened))
    elif hears(exchange) or charges_are_written():
        tell(exchange, "on_charge", events.Charged(provider, operation, *happened))


def tell_retry(exchange: Exchange, wait: float, why: WaitReason, source: str) -> None:
    """Tell that a call will be sent again, before it waits for that."""
    trail = exchange.trail
    if trail.verdict is not None:
        again = events.Retrying(trail.provider, exchange.operation, exchange.sent, wait, why, source, trail.verdict)
        tell(exchange, "on_retry", again)


def tell(exchange: Exchange, method: str, event: Any) -> None:
    """Tell of an event of a call; of one that is only simulated nobody hears, or the log would tell of outages that are none."""
    if not exchange.is_virtual:
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
    trail, ended = exchange.trail, _ended(outcome)
    for observe in observers:
        observe(trail, ended)
    if hears(exchange):
        tell(exchange, "on_call", events.CallEnded(trail.provider, exchange.operation, seconds, ended, trail))


def _ended(outcome: Outcome | None) -> Ended:
    if outcome is None:
        return "interrupted"
    if outcome.refusal is not None:
        return "rejected"
    return "success" if outcome.verdict.category == "success" else "failure"


def _tell(listeners: tuple[events.Listener, ...], method: str, event: Any) -> None:
    for listener in listeners:
        try:
            getattr(listener, method)(event)
        except Exception:  # noqa: BLE001  whatever a listener raises, the call is none of its business
            # A handler of the log may be what fails, and one that fails would do so at each call.
            with suppress(Exception):
                more = _failures.more(type(listener), method)
                if more is not None:
                    name = type(listener).__qualname__
                    _log.exception("the listener %s failed in %s; the call goes on%s", name, method, more)
