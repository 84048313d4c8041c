"""Random commands to circuit breakers, for whoever compares stores."""

from __future__ import annotations

from hypothesis import strategies

from resilience._breaker_machine import BreakerSettings
from resilience._transactions import Command

__all__ = ["KEYS", "breaker_settings", "commands_breaker"]

KEYS = ("{p}:breaker:a:one", "{p}:breaker:a:two")


def breaker_settings() -> strategies.SearchStrategy[BreakerSettings]:
    """Settings small enough for a few commands to move the breaker through all its states."""
    return strategies.builds(
        lambda settings, more: settings._replace(close_window=settings.close_after + more),
        strategies.builds(
            BreakerSettings,
            consecutive_failures=strategies.integers(0, 3),
            failure_rate=strategies.sampled_from([0, 0.3, 0.5, 1, 1e-9]),
            window=strategies.sampled_from([0.5, 10.0, 60.0]),
            min_calls=strategies.integers(1, 5),
            open_for=strategies.sampled_from([0.1, 1.0, 5.0]),
            multiplier=strategies.sampled_from([1, 1.5, 2]),
            max_open=strategies.sampled_from([5.0, 7.7, 120.0]),
            longest_retry_after=strategies.sampled_from([1.0, 600.0]),
            jitter=strategies.sampled_from([0, 0.1, 1]),
            probes=strategies.integers(1, 3),
            close_after=strategies.integers(1, 3),
            close_window=strategies.just(0),
        ),
        strategies.integers(0, 2),
    )


def commands_breaker() -> strategies.SearchStrategy[Command]:
    """One command; a sequence of them on one store, with times between them, meets each of the scripts' branches."""
    settings = breaker_settings()
    lease = strategies.sampled_from([0.5, 30.0])
    generations, probes = strategies.sampled_from([0, 0, 1, 2, 3]), strategies.sampled_from([0, 1, 1, 2])
    results = strategies.sampled_from([1, 2, 2])
    asked = strategies.sampled_from([0, 0.5, 30.0, 1e9])
    chance = strategies.sampled_from([0.0, 0.25, 0.999])
    admit = strategies.tuples(settings, lease, generations, probes)
    record = strategies.tuples(settings, generations, probes, results, asked, chance)
    force = strategies.tuples(strategies.integers(0, 3), strategies.sampled_from([0.0, 3.5]))
    return strategies.one_of(
        _command("admit", admit),
        _command("admit", admit),
        _command("record", record),
        _command("record", record),
        _command("record", record),
        _command("release", strategies.tuples(generations, probes)),
        _command("look", strategies.tuples(settings)),
        _command("force", force),
    )


def _command(verb: str, arguments: strategies.SearchStrategy[tuple[object, ...]]) -> strategies.SearchStrategy[Command]:
    keys = strategies.sampled_from(KEYS).map(lambda key: (key,))
    return strategies.builds(Command, strategies.just(f"breaker.{verb}"), keys, arguments)
