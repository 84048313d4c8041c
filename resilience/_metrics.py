"""Metrics of an application that measures: made from events and from what stores hold, by the table of `_instruments`."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from . import events
from ._ending import error_type
from ._fork import Lock
from ._http_duration import HttpDuration
from ._hub import is_listening, put_in_place
from ._instruments import DURATION, INSTRUMENTS
from ._observed import OBSERVED
from ._readings import Readings
from ._series import Series
from ._telemetry import SCHEMA_URL, SCOPE
from ._uncut import uncut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._instruments import Instrument
    from ._outcome import Exchange
    from ._series import Value

__all__ = ["Metrics", "measure"]

_log = logging.getLogger("resilience")
_MOST_BREAKERS = 1000
_MOST_PROVIDERS = 200
_MOST_METERS = 8
_MOST_TOLD = 2000
_lock = Lock()
_made: dict[int, tuple[Any, Metrics | None]] = {}


class Metrics(events.Listener):
    """Records what happens to calls.

    Arguments:
        meter: of the application's provider.
    """

    def __init__(self, meter: Any) -> None:
        self._lock = Lock()
        self._providers: dict[str, None] = {}
        self._breakers: dict[tuple[str, str], str] = {}
        self._told: dict[tuple[str, tuple[Value, ...]], None] = {}
        self.readings = Readings()
        self.series = {name: Series(each) for name, each in INSTRUMENTS.items()}
        self._instruments = {name: self._make(meter, each) for name, each in INSTRUMENTS.items()}
        self._timed = partial(uncut, self._instruments[DURATION].record)

    @property
    def providers(self) -> tuple[str, ...]:
        """The policies whose calls were heard of: what stores hold is told of these alone."""
        with self._lock:
            return tuple(self._providers)

    @property
    def breakers(self) -> dict[tuple[str, str], str]:
        """The states of breakers that have changed, by provider and key, while a shared store is away."""
        with self._lock:
            return dict(self._breakers)

    def told_before(self, name: str, found: Iterable[tuple[Value, ...]]) -> list[tuple[Value, ...]]:
        """What was told of an instrument at any time.

        Arguments:
            name: of the instrument.
            found: what is told of it now, by its attributes.
        """
        with self._lock:
            for values in found:
                self._told.setdefault((name, values))
            _bound(self._told, _MOST_TOLD)
            return [values for which, values in self._told if which == name]

    def on_call(self, event: events.CallEnded, /) -> None:
        """How long it took, and how it ended."""
        trail, outcome = event.trail, event.outcome
        called = event.provider, event.operation
        attempts, verdict = len(trail.attempts), trail.verdict
        for attempt in trail.attempts[:-1]:
            self._add("resilience.retry.decisions", 1, *called, str(attempt.verdict.category), "retried")
        if attempts > 1:
            self._record("resilience.call.retries", attempts - 1, *called, outcome)
        layer = next((each.layer for each in reversed(trail.refusals) if not each.observed), None)
        error = error_type(outcome, layer, None if verdict is None else verdict.category)
        if outcome in {"failure", "rejected"} and verdict is not None:
            self._add("resilience.retry.decisions", 1, *called, str(verdict.category), trail.why)
        self._record("resilience.call.duration", event.seconds, *called, outcome, error)

    def on_attempt(self, event: events.Attempted, /) -> None:
        """What came of it."""
        self._hear_of(event.provider)
        category = str(event.verdict.category)
        self._add("resilience.call.attempts", 1, event.provider, event.operation, category, event.status)

    def on_wait(self, event: events.Waited, /) -> None:
        """How long, and for whom."""
        if not event.observed:
            called = event.provider, event.operation
            self._record("resilience.call.wait", event.seconds, *called, event.layer, event.why)

    def on_refusal(self, event: events.Refused, /) -> None:
        """By whom, and why."""
        self._hear_of(event.provider)
        called = event.provider, event.operation
        self._add("resilience.refusals", 1, *called, event.layer, event.why, event.observed)

    def on_trip(self, event: events.Tripped, /) -> None:
        """From which state to which."""
        with self._lock:
            self._breakers.pop((event.provider, event.breaker), None)
            self._breakers[event.provider, event.breaker] = event.state
            _bound(self._breakers, _MOST_BREAKERS)
        self._add("resilience.circuit_breaker.transitions", 1, event.provider, event.state, event.previous)

    def on_pause(self, event: events.Paused, /) -> None:
        """Of which limit."""
        self._add("resilience.rate_limiter.pauses", 1, event.provider, event.limit)

    def on_charge(self, event: events.Charged, /) -> None:
        """What it cost."""
        called, amount = (event.provider, event.operation), max(0.0, float(event.amount))
        self._add("resilience.credits.charged", amount, *called, event.unit, event.outcome)

    def on_latch(self, event: events.Latched, /) -> None:
        """An account or an operation."""
        self._add("resilience.credits.latches", 1, event.provider, event.scope)

    def on_budget_warning(self, event: events.BudgetWarning, /) -> None:
        """Of which budget."""
        self._add("resilience.credits.warnings", 1, event.provider, event.budget, event.unit)

    def on_store(self, event: events.StoreChanged, /) -> None:
        """It was lost, or is back."""
        # Whoever decides alone begins anew, and so does the store.
        with self._lock:
            self._breakers.clear()
        if event.is_away:
            self._add("resilience.store.fallbacks", 1, event.url)

    def hears(self, exchange: Exchange, transport: Any) -> None:
        """Have a call's attempts measured as the semantic conventions want it, too.

        Arguments:
            exchange: the call.
            transport: the client's own, which may be measured already.
        """
        if HttpDuration.is_wanted(exchange, transport):
            duration = HttpDuration(exchange.request, self._timed, self.series[DURATION])
            exchange.listeners = (*exchange.listeners, duration)

    def _hear_of(self, provider: str) -> None:
        if provider not in self._providers:
            with self._lock:
                self._providers[provider] = None
                _bound(self._providers, _MOST_PROVIDERS)

    def _add(self, name: str, amount: float, *values: Value) -> None:
        uncut(self._instruments[name].add, amount, self.series[name].of(*values))

    def _record(self, name: str, amount: float, *values: Value) -> None:
        uncut(self._instruments[name].record, amount, self.series[name].of(*values))

    def _make(self, meter: Any, each: Instrument) -> Any:
        named: dict[str, Any] = {"unit": each.unit, "description": each.description}
        if each.bounds:
            named["explicit_bucket_boundaries_advisory"] = each.bounds
        if each.kind.startswith("observable"):
            named["callbacks"] = [self._observe(each.name)]
        return getattr(meter, f"create_{each.kind}")(each.name, **named)

    def _observe(self, name: str) -> Callable[[Any], list[Any]]:
        def observe(_options: Any) -> list[Any]:
            from opentelemetry.metrics import Observation

            # One whose place another provider's has taken would say everything twice.
            if not is_listening(self):
                return []
            try:
                self.readings.collect(name)
                found = OBSERVED[name](self)
                return [Observation(amount, self.series[name].of(*values)) for values, amount in found.items()]
            except Exception:  # noqa: BLE001  whatever is wrong with a store is no reason to lose the other metrics
                _log.exception("%s cannot be told now", name)
                return []

        return observe


def measure(provider: Any, exchange: Exchange | None = None, transport: Any = None) -> None:
    """Have the application's provider of meters hear of all calls, from now on.

    Arguments:
        provider: of meters; it takes the place of one that was here before.
        exchange: the call that begins now.
        transport: of that call's client.
    """
    known = _made.get(id(provider))
    if known is None or known[0] is not provider or (known[1] is not None and not is_listening(known[1])):
        known = _begin(provider)
    if exchange is not None and known[1] is not None:
        known[1].hears(exchange, transport)


def _begin(provider: Any) -> tuple[Any, Metrics | None]:
    with _lock:
        known = _made.get(id(provider))
        if known is None or known[0] is not provider:
            metrics = None
            try:
                metrics = Metrics(provider.get_meter(SCOPE, schema_url=SCHEMA_URL))
            except Exception:  # noqa: BLE001  whatever a provider raises, the call is none of its business
                _log.exception("no metrics: the application's provider of meters makes none")
            # Of one provider no second set, which would say everything twice. One that has the place in memory of another
            # that is gone is new.
            _made.pop(id(provider), None)
            known = _made[id(provider)] = provider, metrics
            _bound(_made, _MOST_METERS)
        made = {id(metrics) for _, metrics in _made.values()}
        put_in_place(known[1], lambda each: id(each) in made)
        return known


def _bound(mapping: dict[Any, Any], most: int) -> None:
    """Forget what came first of what is too much; under the lock of whoever else changes it."""
    while len(mapping) > most:
        del mapping[next(iter(mapping))]
