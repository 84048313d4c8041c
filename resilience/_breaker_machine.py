"""What a circuit breaker remembers, and how that changes: its numbers, its rolling window, the leases of its probes."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from ._transactions import State

__all__ = [
    "ADMITTED",
    "BUCKETS",
    "CLOSED",
    "FAILURE",
    "HALF_OPEN",
    "ISOLATED",
    "NAMES",
    "OPEN",
    "PROBE",
    "REFUSED",
    "SUCCESS",
    "BreakerSettings",
    "count",
    "describe",
    "drop_expired",
    "enter",
    "is_too_much",
    "new",
    "place_of",
    "trip",
]

CLOSED: Final = 0
OPEN: Final = 1
HALF_OPEN: Final = 2
ISOLATED: Final = 3
NAMES = ("closed", "open", "half_open", "isolated")
"""The states by their numbers."""

REFUSED: Final = 0
ADMITTED: Final = 1
PROBE: Final = 2

SUCCESS: Final = 1
FAILURE: Final = 2


# A rolling window in ten exact buckets does not depend on the rate of the calls, as a decaying average would.
BUCKETS = 10
_LONG_AGO = -(2.0**53)


class BreakerSettings(NamedTuple):
    """What decides, in seconds and shares; `BreakerPolicy` explains each."""

    consecutive_failures: int
    """0: never by these."""
    failure_rate: float
    """0: never by this."""
    window: float
    min_calls: int
    open_for: float
    multiplier: float
    max_open: float
    longest_retry_after: float
    jitter: float
    probes: int
    close_after: int
    close_window: int


def new(now: float) -> State:
    """Closed, with nothing to remember: the same as no state at all."""
    return {
        "state": CLOSED, "generation": 0, "since": now, "ends": now,
        "failures": 0, "ok": [0] * BUCKETS, "bad": [0] * BUCKETS, "slot": _LONG_AGO, "width": 1.0, "length": 0.0,
        "issued": 0, "leased": [], "due": [], "passed": 0, "failed": 0,
    }  # fmt: skip


def enter(state: State, new: int, now: float) -> None:
    """Change the state: a new generation, without probes; a closed one remembers nothing."""
    state["state"], state["since"] = new, now
    state["generation"] += 1
    state["issued"], state["passed"], state["failed"] = 0, 0, 0
    state["leased"], state["due"] = [], []
    if new == CLOSED:
        state["failures"], state["length"] = 0, 0.0
        state["ok"], state["bad"] = [0] * BUCKETS, [0] * BUCKETS


def count(state: State, now: float, window: float, result: int) -> None:
    """Count a result of a closed breaker, in a row and in the window."""
    slot = floor(now * BUCKETS / window)
    # Never back: the clock of a store on another machine may be set.
    if slot > state["slot"]:
        for age in range(min(int(slot - state["slot"]), BUCKETS)):
            place = (slot - age) % BUCKETS
            state["ok"][place] = state["bad"][place] = 0
        state["slot"], state["width"] = slot, window / BUCKETS
    place = int(state["slot"]) % BUCKETS
    if result == SUCCESS:
        state["failures"] = 0
        state["ok"][place] += 1
    else:
        state["failures"] += 1
        state["bad"][place] += 1


def is_too_much(state: State, settings: Sequence[float]) -> bool:
    """Whether a closed breaker has to open."""
    if 0 < settings[0] <= state["failures"]:
        return True
    bad = sum(state["bad"])
    calls = bad + sum(state["ok"])
    return settings[1] > 0 and calls >= settings[3] and bad / calls >= settings[1]


def trip(state: State, now: float, settings: Sequence[float], retry_after: float, chance: float) -> None:
    """Open it, for as long as the policy and the answer say."""
    # Longer each time that it opens again without having closed; the provider's word goes before the policy's.
    state["length"] = min(state["length"] * settings[5], settings[6]) if state["length"] > 0 else settings[4]
    asked = min(retry_after, settings[7]) if retry_after > 0 else 0.0
    enter(state, OPEN, now)
    # Jitter only adds: the provider is never asked earlier than it said.
    state["ends"] = now + max(state["length"], asked) * (1 + settings[8] * chance)


def place_of(state: State, generation: int, probe: int, now: float) -> int | None:
    """Where the lease of a probe stands, if it has one that has not expired."""
    if state["generation"] != generation or probe not in state["leased"]:
        return None
    place: int = state["leased"].index(probe)
    return place if state["due"][place] > now else None


def drop_expired(state: State, now: float) -> None:
    """Forget the leases that have expired: others may take their places."""
    held = [(probe, due) for probe, due in zip(state["leased"], state["due"], strict=True) if due > now]
    state["leased"], state["due"] = [probe for probe, _ in held], [due for _, due in held]


def describe(state: State, now: float) -> dict[str, Any]:
    """The state for people, as plain data.

    Arguments:
        state: of a breaker, as a store's `scan` gives it.
        now: the store's time.
    """
    wait: float | None = 0.0
    if state["state"] == ISOLATED:
        wait = None
    elif state["state"] == OPEN:
        wait = max(0.0, state["ends"] - now)
    # What has left the window since the last call is no longer in it.
    newest, oldest = int(state["slot"]), floor(now / state["width"]) - BUCKETS + 1
    young = [slot % BUCKETS for slot in range(newest - BUCKETS + 1, newest + 1) if slot >= oldest]
    failed = sum(state["bad"][place] for place in young)
    return {
        "state": NAMES[state["state"]],
        "seconds": max(0.0, now - state["since"]),
        "retry_after": wait,
        "failures_in_a_row": state["failures"],
        "calls": failed + sum(state["ok"][place] for place in young),
        "failed": failed,
        "probes": sum(due > now for due in state["due"]),
    }
