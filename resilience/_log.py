"""One line in the log for each decision that is worth a human's eye, and not a thousand for a thousand calls."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar, cast

from . import events
from ._modes import LAYERS
from ._plainly import how_long, how_much
from ._seldom import Seldom
from ._uncut import uncut_line
from ._words import printable

if TYPE_CHECKING:
    from ._outcome import Verdict
    from ._trail import Refused

__all__ = ["LogListener", "is_written"]

_LONG_WAIT = 1.0
_LOGGERS = {name: logging.getLogger(f"resilience.{name}") for name in (*LAYERS, "stores")}
# What the standard library's records have already must not stand in `extra`; so all of ours is one entry.
_ENTRY = "resilience"
# Why a call ended whose answer might have been followed by another try.
_GIVEN_UP = frozenset({"max_attempts", "too_long", "deadline", "budget", "not_repeatable"})
_Event = TypeVar("_Event", bound=events.Event)


def is_written(layer: str, level: int) -> bool:
    """Whether anybody reads what a layer writes.

    Arguments:
        layer: whose logger it is.
        level: of the standard library.
    """
    return _LOGGERS[layer].isEnabledFor(level)


class LogListener(events.Listener):
    """Writes to the loggers `resilience.<layer>`; each record has the event as plain data in `record.resilience`.

    Arguments:
        seldom: how often a line of one kind is written.
    """

    def __init__(self, seldom: Seldom | None = None) -> None:
        self._seldom = seldom or Seldom()

    def forget(self) -> None:
        """Write the next line of each kind, however late the last one was written."""
        self._seldom.forget()

    def on_retry(self, event: events.Retrying, /) -> None:
        """An attempt was not good enough."""
        self._write("retry", logging.INFO, event, _retrying, event.verdict.category, event.attempt)

    def on_wait(self, event: events.Waited, /) -> None:
        """A long wait is news, a short one is what limits are for."""
        # Before a retry that takes place, the retry is what there is to tell.
        if event.layer != "retry" or event.observed:
            level = logging.INFO if event.seconds >= _LONG_WAIT or event.layer == "retry" else logging.DEBUG
            self._write(event.layer, level, event, _waited)

    def on_refusal(self, event: events.Refused, /) -> None:
        """A call was not sent, or not sent again."""
        self._write(event.layer, _level_of(event), event, _refused, event.why)

    def leaves_out(self, provider: str, refused: Refused) -> bool:
        """Whether nothing is written of a refusal, which is counted then: of most there are nothing need be made.

        Arguments:
            provider: of the call.
            refused: as it stands in its trail.
        """
        layer, level = refused.layer, _level_of(refused)
        if not _LOGGERS[layer].isEnabledFor(level):
            return True
        return self._seldom.leaves_out(layer, level, events.Refused, provider, refused.why)

    def on_trip(self, event: events.Tripped, /) -> None:
        """A breaker changed."""
        level = logging.WARNING if event.state in {"open", "isolated"} else logging.INFO
        self._write("breaker", level, event, _tripped, event.breaker, event.state)

    def on_charge(self, event: events.Charged, /) -> None:
        """What an attempt has cost."""
        self._write("credits", logging.DEBUG, event, _charged)

    def on_latch(self, event: events.Latched, /) -> None:
        """An account or an operation is shut."""
        kind = event.scope, event.operation, event.account, event.reason
        self._write("credits", logging.WARNING, event, _latched, *kind)

    def on_pause(self, event: events.Paused, /) -> None:
        """A limit is paused."""
        self._write("limiter", logging.INFO, event, _paused, event.limit)

    def on_budget_warning(self, event: events.BudgetWarning, /) -> None:
        """A budget begins to be used up: told once by itself, and each of them is news."""
        uncut_line(_LOGGERS["credits"].warning, "%s", event, extra={_ENTRY: _plain(event)})

    def on_store(self, event: events.StoreChanged, /) -> None:
        """A store was lost, which is looked for and told of ever more rarely, or is back."""
        logger, entry = _LOGGERS["stores"], {_ENTRY: _plain(event)}
        if event.is_away:
            text = "%s cannot be used: %s; until it is back, this process decides alone, and on budgets as they say"
            uncut_line(logger.warning, text, event.url, printable(event.reason), extra=entry)
        else:
            text = "%s is back; limits and breakers are shared again"
            uncut_line(logger.warning, text, event.url, extra=entry)

    def on_call(self, event: events.CallEnded, /) -> None:
        """A call has failed that might have been sent again."""
        trail = event.trail
        if event.outcome == "failure" and trail.why in _GIVEN_UP:
            category = None if trail.verdict is None else trail.verdict.category
            self._write("retry", logging.WARNING, event, _given_up, trail.why, category)

    def _write(self, layer: str, level: int, event: _Event, text: Callable[[_Event], str], /, *kind: object) -> None:
        logger = _LOGGERS[layer]
        # Before anything is put into words: nobody may be reading.
        if not logger.isEnabledFor(level):
            return
        # By level too: short waits, for whoever reads those, do not keep a long one from being told.
        more = self._seldom.more(layer, level, type(event), event.provider, *kind)
        if more is None:
            return
        operation = f" {event.operation}" if event.operation else ""
        extra = {_ENTRY: _plain(event)}
        uncut_line(logger.log, level, "%s%s: %s%s", event.provider, operation, text(event), more, extra=extra)


def _level_of(refused: events.Refused | Refused) -> int:
    return logging.INFO if refused.observed or refused.layer == "retry_budget" else logging.WARNING


def _retrying(event: events.Retrying) -> str:
    wait, source = how_long(event.wait), printable(event.source)
    return f"attempt {event.attempt} got {_meant(event.verdict)}; again in {wait}, as {source} says"


def _given_up(event: events.CallEnded) -> str:
    attempts = event.trail.attempts
    count = f"{len(attempts)} attempt{'s'[: len(attempts) != 1]}"
    last = "there was no answer"
    if attempts:
        _, _, _, status, error, verdict = attempts[-1]
        last = f"the last answer: {status if error is None else printable(error)} {_meant(verdict)}"
    return f"given up after {count}: {printable(event.trail.stopped)}; {last}"


def _meant(verdict: Verdict) -> str:
    return f"{verdict.category}" + ("" if verdict.code is None else f", code {printable(verdict.code)}")


def _waited(event: events.Waited) -> str:
    seconds, source = how_long(event.seconds), printable(event.source)
    if event.layer == "retry":
        return f"would have been sent again in {seconds}, as {source} says"
    return f"{'would have waited' if event.observed else 'waited'} {seconds} for {source}"


def _refused(event: events.Refused) -> str:
    if event.layer == "retry_budget":
        manner = "would not have been sent again" if event.observed else "not sent again"
    else:
        manner = "would have been refused" if event.observed else "refused"
    return f"{manner}: {printable(event.reason)}"


def _tripped(event: events.Tripped) -> str:
    state, previous = (each.replace("_", " ") for each in (event.state, event.previous))
    after = "" if event.after is None else f", after too many failures, the last of them {printable(event.after)}"
    looks = "" if event.looks_in is None else f"; no call is sent for {how_long(event.looks_in)}, then one looks"
    return f"the breaker is {state}, and was {previous}{after}{looks} (its key is {printable(event.breaker)})"


def _charged(event: events.Charged) -> str:
    amount = how_much(event.amount, event.unit)
    if event.outcome == "unanswered":
        return f"nobody saw the answer; counted as spent: {amount}"
    if event.outcome == "failed":
        return f"the call failed, and cost {amount if event.amount else 'nothing'}"
    return f"the {'job' if event.outcome == 'job' else 'call'} cost {amount if event.amount else 'nothing'}"


def _latched(event: events.Latched) -> str:
    until = "until one call finds it open" if event.seconds is None else f"for {how_long(event.seconds)}"
    account = "" if event.account == "-" else f" {event.account}"
    what = f"account{account}" if event.scope == "account" else f"operation{account and f' of account{account}'}"
    return f"the {what} is shut by {printable(event.reason)}, {until}"


def _paused(event: events.Paused) -> str:
    if event.seconds > 0:
        return f"an answer has paused the limit {printable(event.limit)} for {how_long(event.seconds)}"
    return f"an answer has found the limit {printable(event.limit)} used up; it goes on at its documented rate"


def _plain(event: events.Event | events.BudgetWarning | events.StoreChanged) -> dict[str, Any]:
    """The event as data for a formatter that writes JSON."""
    found: dict[str, Any] = {"event": type(event).__name__}
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name == "verdict":
            found |= _verdict(value)
        elif field.name == "trail":
            status = value.attempts[-1].status if value.attempts else None
            found |= {
                "attempts": len(value.attempts),
                "why": value.why,
                "stopped": printable(value.stopped),
                "status": status,
            }
            found |= {} if value.verdict is None else _verdict(value.verdict)
        else:
            found[field.name] = _simple(value)
    return found


def _verdict(verdict: Verdict) -> dict[str, str | None]:
    parts = {"category": str(verdict.category), "code": verdict.code, "rule": verdict.rule, "doc": verdict.doc}
    return {name: None if each is None else printable(each) for name, each in parts.items()}


def _simple(value: object) -> object:
    if isinstance(value, tuple):
        return [printable(str(each)) for each in cast("tuple[object, ...]", value)]
    # JSON has no infinity, and no exact decimals.
    is_number = isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
    if value is None or is_number:
        return value
    return str(value) if isinstance(value, Decimal) else printable(str(value))
