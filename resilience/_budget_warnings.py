"""Who is told that a budget begins to be used up: the log, and whoever asked to be called."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

from ._amounts import amount_text
from ._callbacks import is_asynchronous, never_ran
from ._fork import Lock
from ._plainly import how_long
from ._words import printable

if TYPE_CHECKING:
    from .events import Listener

__all__ = ["BudgetWarning", "on_budget_warning", "warn"]

_log = logging.getLogger("resilience.credits")


@dataclass(frozen=True, slots=True)
class BudgetWarning:
    """A budget of which so much is spent or reserved as its `warn_at` says.

    Arguments:
        provider: whose calls it bounds.
        budget: its name.
        limit: how much may be spent, in `unit`.
        used: at least so much is spent or reserved now.
        unit: `credits`, `USD`, `requests`.
        scopes: what is counted apart, as `tag.tenant=acme`.
        resets_in: seconds until it begins anew; `None` for one that rolls, or is for all time.
    """

    provider: str
    budget: str
    limit: Decimal
    used: Decimal
    unit: str
    scopes: tuple[str, ...]
    resets_in: float | None

    def __str__(self) -> str:
        scopes = f" of {printable(', '.join(self.scopes))}" if self.scopes else ""
        again = "" if self.resets_in is None else f"; it begins anew in {how_long(self.resets_in)}"
        # The mark may lie between two requests, and nobody sends a part of one.
        used = self.used.to_integral_value(ROUND_CEILING) if self.unit == "requests" else self.used
        return (
            f"{self.provider}: {used / self.limit:.0%} of the budget {self.budget}{scopes} is used, at least "
            f"{amount_text(used)} of {amount_text(self.limit)} {self.unit}{again}"
        )


Callback = Callable[[BudgetWarning], object]
_lock = Lock()


class _Called:
    """Who is called; a callback that was added twice is called twice."""

    callbacks: tuple[list[Callback], ...] = ()


def on_budget_warning(callback: Callback) -> Callable[[], None]:
    """Be called once whenever a budget's `warn_at` is reached, in this process, in the thread of the call that reached it.

    Arguments:
        callback: takes a `BudgetWarning`; what it raises is logged and harms nothing. It must not block an event loop.

    Returns:
        A function that ends this.

    Raises:
        TypeError: it cannot be called, or nobody would await it.
    """
    if not callable(callback):
        raise TypeError(f"on_budget_warning takes a function of one argument, not {type(callback).__name__}")
    if is_asynchronous(callback):
        named = type(callback).__name__
        raise TypeError(
            f"on_budget_warning takes a function that is called, and this {named} is asynchronous: nobody awaits it"
        )
    # An entry of its own: the callback may be there twice, and may say of itself that it is equal to another.
    entry = [callback]
    with _lock:
        _Called.callbacks = (*_Called.callbacks, entry)

    def remove() -> None:
        with _lock:
            _Called.callbacks = tuple(each for each in _Called.callbacks if each is not entry)

    return remove


def warn(warning: BudgetWarning, listeners: tuple[Listener, ...] = ()) -> None:
    """Tell it to the log, to all listeners and to all callbacks.

    Arguments:
        warning: what is to be told.
        listeners: those that hear of this client alone.
    """
    # It tells of events, and one of them is this warning.
    from ._hub import tell_all

    tell_all("on_budget_warning", warning, listeners)
    for (callback,) in _Called.callbacks:
        # Whatever it raises, the call that reached the mark is none of its business; a handler of the log may fail too.
        with suppress(Exception):
            try:
                is_lost = never_ran(callback(warning))
            except Exception:  # noqa: BLE001  see above
                _log.exception("a callback of on_budget_warning failed; the call goes on")
            else:
                if is_lost:
                    _log.error("a callback of on_budget_warning gave back a coroutine, which nobody awaits")
