"""The states of a circuit breaker and the decisions on them, as pure scripts that every store runs.

                  too many failures
      ┌────────┐ ───────────────────▶ ┌──────┐ ◀───────────────────┐
      │ closed │                      │ open │   a probe too many  │
      └────────┘                      └──────┘       failed        │
          ▲                               │                        │
          │                               │ the open time is over, │
          │ enough probes succeeded       ▼ and a call comes       │
          │                         ┌───────────┐                  │
          └──────────────────────── │ half open │ ─────────────────┘
                                    └───────────┘
      by hand, from any state: ──▶ isolated, ──▶ closed, ──▶ open, ──▶ half open

Each change of state begins a new generation. A result counts only in the generation that let its call through, and in
a half-open breaker only while the lease of its probe has not expired: late results change nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ._breaker_machine import (
    ADMITTED,
    CLOSED,
    FAILURE,
    HALF_OPEN,
    ISOLATED,
    OPEN,
    PROBE,
    REFUSED,
    SUCCESS,
    count,
    describe,
    drop_expired,
    enter,
    is_too_much,
    new,
    place_of,
    trip,
)

if TYPE_CHECKING:
    from ._transactions import Reply, State, Transaction

__all__ = [
    "IDLE",
    "TRANSITIONS",
    "BreakerTransition",
    "admit",
    "describe",
    "force",
    "held_back",
    "look",
    "record",
    "release",
]


class BreakerTransition(NamedTuple):
    """One way from a state to another, and when it is gone."""

    old: int
    new: int
    when: str


_BY_HAND = "by hand"
TRANSITIONS = (
    BreakerTransition(CLOSED, OPEN, "`consecutive_failures` in a row, or `failure_rate` of the calls in `window`"),
    BreakerTransition(OPEN, HALF_OPEN, "the open time is over, and a call comes"),
    BreakerTransition(HALF_OPEN, CLOSED, "`close_after` of `close_window` probes succeeded"),
    BreakerTransition(HALF_OPEN, OPEN, "so many probes failed that it cannot close any more"),
    BreakerTransition(CLOSED, ISOLATED, _BY_HAND),
    BreakerTransition(OPEN, ISOLATED, _BY_HAND),
    BreakerTransition(HALF_OPEN, ISOLATED, _BY_HAND),
    BreakerTransition(OPEN, CLOSED, _BY_HAND),
    BreakerTransition(ISOLATED, CLOSED, _BY_HAND),
    BreakerTransition(ISOLATED, OPEN, _BY_HAND),
    BreakerTransition(CLOSED, HALF_OPEN, _BY_HAND),
    BreakerTransition(ISOLATED, HALF_OPEN, _BY_HAND),
)
"""Every change of state that there is; the page of the breaker draws its diagram from them."""

# A breaker that nobody has called for so long is forgotten; one that was isolated by hand stays so for ten years.
IDLE = 3600.0
_FOR_EVER = 10 * 366 * 86400.0


def admit(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Whether a call may go: `[decision, retry after, generation, probe, old state, new state, seconds in that state]`.

    `decision` is REFUSED, ADMITTED or PROBE. `retry after` is exact while open; in a half-open breaker, whose probes
    may be done at any time, it is when to ask again at the latest; -1 where only a hand opens.

    Arguments:
        transaction: the store's.
        keys: the breaker's.
        arguments: the settings; how long a probe may take, in seconds; the generation and the probe that the call
            holds already, whose lease is renewed then (0 and 0 if it holds none).
    """
    settings, lease, generation, probe = arguments
    (key,) = keys
    now = transaction.now
    state = transaction.load(key)
    if state is None:
        return [ADMITTED, 0.0, 0, 0, CLOSED, CLOSED, 0.0]
    old: int = state["state"]
    if old == CLOSED:
        return [ADMITTED, 0.0, state["generation"], 0, CLOSED, CLOSED, now - state["since"]]
    if old == ISOLATED:
        return [REFUSED, -1.0, state["generation"], 0, ISOLATED, ISOLATED, now - state["since"]]
    if old == OPEN:
        if now < state["ends"]:
            return held_back(state, now)
        enter(state, HALF_OPEN, now)
    renewed = place_of(state, generation, probe, now)
    if renewed is not None:
        state["due"][renewed] = now + lease
    else:
        drop_expired(state, now)
        if len(state["leased"]) >= settings[9]:
            wait = min(min(state["due"]) - now, settings[4])
            return [REFUSED, wait, state["generation"], 0, HALF_OPEN, HALF_OPEN, now - state["since"]]
        probe = state["issued"] = state["issued"] + 1
        state["leased"].append(probe)
        state["due"].append(now + lease)
    transaction.save(key, state, IDLE + lease)
    return [PROBE, 0.0, state["generation"], probe, old, HALF_OPEN, now - state["since"]]


def held_back(state: State, now: float) -> Reply:
    """What `admit` replies while an open breaker lets nobody through.

    Arguments:
        state: the breaker's.
        now: the store's time.
    """
    return [REFUSED, state["ends"] - now, state["generation"], 0, OPEN, OPEN, now - state["since"]]


def record(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """What came of a call: `[whether it counted, retry after, generation, old state, new state]`.

    Arguments:
        transaction: the store's.
        keys: the breaker's.
        arguments: the settings; the generation and the probe that `admit` gave; SUCCESS or FAILURE; the seconds that
            the answer asks to wait, 0 if it asks for none; chance, from 0 up to 1, for the jitter.
    """
    settings, generation, probe, result, retry_after, chance = arguments
    (key,) = keys
    now = transaction.now
    state = transaction.load(key)
    if state is None:
        state = new(now)
    if state["generation"] != generation:
        # Of a generation that is gone: it tells of a time before the provider went down, or before it came back.
        return [0, 0.0, generation, -1, -1]
    old: int = state["state"]
    if old == CLOSED:
        count(state, now, settings[2], result)
        if result == FAILURE and is_too_much(state, settings):
            trip(state, now, settings, retry_after, chance)
    elif old == HALF_OPEN and (place := place_of(state, generation, probe, now)) is not None:
        del state["leased"][place], state["due"][place]
        if result == SUCCESS:
            state["passed"] += 1
            if state["passed"] >= settings[10]:
                enter(state, CLOSED, now)
        else:
            state["failed"] += 1
            if state["failed"] > settings[11] - settings[10]:
                trip(state, now, settings, retry_after, chance)
    else:
        return [0, 0.0, generation, old, old]
    wait = max(0.0, state["ends"] - now) if state["state"] == OPEN else 0.0
    transaction.save(key, state, max(IDLE, settings[2]) + wait)
    return [1, wait, state["generation"], old, state["state"]]


def release(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Give a probe back of which nothing is to be learnt (cancelled, refused later, ignored): `[whether it was held]`.

    Arguments:
        transaction: the store's.
        keys: the breaker's.
        arguments: the generation and the probe that `admit` gave.
    """
    generation, probe = arguments
    (key,) = keys
    state = transaction.load(key)
    place = None if state is None else place_of(state, generation, probe, transaction.now)
    if state is None or place is None:
        return [0]
    del state["leased"][place], state["due"][place]
    transaction.save(key, state, IDLE)
    return [1]


def look(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """How it stands, without changing it: `[state, retry after, seconds in that state, failures in a row]`.

    `retry after` is 0 where a call would be let through now, and else as `admit` has it.

    Arguments:
        transaction: the store's.
        keys: the breaker's.
        arguments: the settings.
    """
    (settings,) = arguments
    (key,) = keys
    now = transaction.now
    state = transaction.load(key)
    if state is None:
        return [CLOSED, 0.0, 0.0, 0]
    wait = 0.0
    if state["state"] == ISOLATED:
        wait = -1.0
    elif state["state"] == OPEN:
        wait = max(0.0, state["ends"] - now)
    elif state["state"] == HALF_OPEN:
        due = [until for until in state["due"] if until > now]
        if len(due) >= settings[9]:
            wait = min(min(due) - now, settings[4])
    return [state["state"], wait, now - state["since"], state["failures"]]


def force(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Put it into a state by hand: `[old state, new state]`. What it remembered of failures is forgotten.

    Arguments:
        transaction: the store's.
        keys: the breaker's.
        arguments: the state; for OPEN, for how many seconds.
    """
    wanted, seconds = arguments
    (key,) = keys
    now = transaction.now
    state = transaction.load(key)
    if state is None:
        state = new(now)
    old: int = state["state"]
    enter(state, wanted, now)
    state["ends"] = now + seconds
    transaction.save(key, state, _FOR_EVER if wanted == ISOLATED else IDLE + seconds)
    return [old, wanted]
