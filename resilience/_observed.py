"""What observable metrics tell when they are asked: by attributes, in the order of the table, how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ._breaker_machine import NAMES
from ._readings import lines_of
from .stores import opened_stores

if TYPE_CHECKING:
    from decimal import Decimal

    from ._credits_lines import Line
    from ._metrics import Metrics
    from ._reading import Reading
    from ._series import Value

__all__ = ["OBSERVED"]

_Found = Mapping[tuple["Value", ...], float]
_LAYERS = {"bucket": "limiter", "permits": "concurrency", "breaker": "breaker"}


def _read(metrics: Metrics) -> list[Reading]:
    return metrics.readings.of(opened_stores(), metrics.providers)


def _or_none(metrics: Metrics, name: str, found: Counter[tuple[Value, ...]], readings: list[Reading]) -> _Found:
    """What is over is told as 0, not left out: so it is on record when it ended, and no alert goes on without it.

    Where a store could not be read nobody knows what is over.
    """
    known = metrics.told_before(name, found)
    if len(readings) == len(opened_stores()):
        found.update(dict.fromkeys(known, 0))
    return found


def _breakers(metrics: Metrics) -> _Found:
    found: Counter[tuple[Value, ...]] = Counter()
    readings = _read(metrics)
    for reading in readings:
        for (provider, state), number in reading.breakers.items():
            found.update({(provider, each): number if each == state else 0 for each in NAMES})
    if any(getattr(store, "is_away", False) for store in opened_stores()):
        # They are in no store that could be read: what was heard of them is all that there is.
        found.update((provider, state) for (provider, _), state in metrics.breakers.items())
    return _or_none(metrics, "resilience.circuit_breaker.status", found, readings)


def _latched(metrics: Metrics) -> _Found:
    found: Counter[tuple[Value, ...]] = Counter()
    readings = _read(metrics)
    for reading in readings:
        found.update(reading.latches)
    return _or_none(metrics, "resilience.credits.latched", found, readings)


def _queues(_metrics: Metrics) -> _Found:
    found: Counter[tuple[Value, ...]] = Counter()
    for store in opened_stores():
        for (provider, kind, name), length in lines_of(store).items():
            found[provider, _LAYERS.get(kind, kind), None if kind == "breaker" else name] += length
    return found


def _stores(_metrics: Metrics) -> _Found:
    found: dict[tuple[Value, ...], float] = {}
    for store in opened_stores():
        if not store.instant:
            is_away = bool(getattr(store, "is_away", False))
            found[store.url, "alone"], found[store.url, "shared"] = int(is_away), int(not is_away)
    return found


def _budgets(amount: Callable[[Line], Decimal | None]) -> Callable[[Metrics], _Found]:
    def budgets(metrics: Metrics) -> _Found:
        least: dict[tuple[str, str, str], Line] = {}
        for reading in _read(metrics):
            for which, line in reading.budgets.items():
                least[which] = min(line, least.get(which, line), key=lambda each: (each.left is None, each.left or 0))
        return {which: float(found) for which, line in least.items() if (found := amount(line)) is not None}

    return budgets


OBSERVED: dict[str, Callable[[Metrics], _Found]] = {
    "resilience.call.queue": _queues,
    "resilience.circuit_breaker.status": _breakers,
    "resilience.credits.latched": _latched,
    "resilience.credits.left": _budgets(lambda line: line.left),
    "resilience.credits.limit": _budgets(lambda line: line.limit),
    "resilience.credits.reserved": _budgets(lambda line: line.reserved),
    "resilience.credits.spent": _budgets(lambda line: line.spent),
    "resilience.store.status": _stores,
}
"""The observable instruments, by name."""
