"""Who is told that a budget begins to be used up: the log, and whoever asked to be called."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from ._amounts import amount_text
from ._words import printable, seconds_text

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
        again = "" if self.resets_in is None else f"; it begins anew in {seconds_text(self.resets_in)}"
        return (
            f"{self.provider}: {self.used / self.limit:.0%} of the budget {self.budget}{scopes} is used, at least "
            f"{amount_text(self.used)} of {amount_text(self.limit)} {self.unit}{again}"
        )


Callback = Callable[[BudgetWarning], object]
_callbacks: list[Callback] = []


def on_budget_warning(callback: Callback) -> Callable[[], None]:
    """Be called once whenever a budget's `warn_at` is reached, in this process, in the thread of the call that reached it.

    Arguments:
        callback: takes a `BudgetWarning`; what it raises is logged and harms nothing. It must not block an event loop.

    Returns:
        A function that ends this.

    Raises:
        TypeError: it cannot be called.
    """
    if not callable(callback):
        raise TypeError(f"on_budget_warning takes a function of one argument, not {callback!r:.60}")
    _callbacks.append(callback)

    def remove() -> None:
        with suppress(ValueError):
            _callbacks.remove(callback)

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
    for callback in tuple(_callbacks):
        try:
            callback(warning)
        except Exception:  # noqa: BLE001  whatever it raises, the call that reached the mark is none of its business
            with suppress(Exception):
                _log.exception("a callback of on_budget_warning failed; the call goes on")
