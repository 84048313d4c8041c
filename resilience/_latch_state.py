"""Latches: an account or an operation that an answer has shut, until a time that it named or until a call finds it open.

    until       when the provider lets calls through again; 0 where it did not say
    look_at     where it did not say: when one call may look
    look_every  seconds between two such looks; each that is in vain doubles it, up to an hour
    probe       the call that is looking
    why, since  for people

shut ──▶ until its time ──▶ open
     └─▶ look_at: one call looks ──▶ it is answered ──▶ open
                  ▲              └─▶ shut again
                  └── a look in vain, or one that was never heard of again

Each function is a script of the store (see `_transactions`), or part of one; `stores/lua` has twins, line for line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._transactions import Reply, State, Transaction

__all__ = ["KEPT_SECONDS", "answer", "ask", "describe", "lift", "look", "shut"]

KEPT_SECONDS = 35 * 86_400.0
"""How long what nobody comes back to is kept."""
_SLOWEST_LOOK = 3600.0


def shut(transaction: Transaction, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Reply:
    """Shut what an answer has said to be used up, or not allowed.

    Arguments:
        transaction: the states.
        keys: of the latch.
        arguments: the call that got the answer; seconds until the provider lets calls through again, 0 where it did not
            say; seconds after which one call may look then; and why, in words.

    Returns:
        Seconds until it opens, or until one call may look.
    """
    call, seconds, every, why = arguments
    now = transaction.now
    state = transaction.load(keys[0])
    if state is not None and not seconds:
        if state["until"] or (state["probe"] != call and now < state["look_at"]):
            # Calls that were under way when it was shut are told the same.
            return [(state["until"] or state["look_at"]) - now]
        every = max(every, min(2 * state["look_every"], _SLOWEST_LOOK))
    # Answers come in another order than they were written.
    until = max(now + seconds, 0 if state is None else state["until"]) if seconds else 0
    made = {
        "until": until,
        "look_at": now + every,
        "look_every": every,
        "probe": "",
        "why": why,
        "since": now if state is None else state["since"],
    }
    transaction.save(keys[0], made, until - now if seconds else KEPT_SECONDS)
    return [until - now if seconds else every]


def lift(transaction: Transaction, keys: tuple[str, ...], _arguments: tuple[Any, ...]) -> Reply:
    """Open what was shut, by hand. Returns how many there were."""
    found = 0.0
    for key in keys:
        if transaction.load(key) is not None:
            found += 1.0
            transaction.save(key, None, 0.0)
    return [found]


def ask(transaction: Transaction, keys: tuple[str, ...], call: str) -> list[float]:
    """Whether latches let a call through: 1 if they do, 2 if it is the one that looks, 0 if not; index; seconds.

    Of those that do not, the last to open is told: a call that came back before would only be refused by it.
    """
    found = [1.0, -1.0, 0.0]
    for index, key in enumerate(keys):
        state = transaction.load(key)
        if state is None:
            continue
        ends = state["until"] or state["look_at"]
        # A call whose reply never arrived asks again.
        if state["until"] or (state["probe"] != call and transaction.now < ends):
            if found[0] or ends - transaction.now > found[2]:
                found = [0.0, float(index), ends - transaction.now]
        elif found[0]:
            found = [2.0, float(index), 0.0]
    return found


def look(transaction: Transaction, keys: tuple[str, ...], call: str) -> None:
    """The call looks whether latches still hold; the next one may do so after `look_every`."""
    for key in keys:
        state = transaction.load(key)
        if state is not None:
            state["look_at"], state["probe"] = transaction.now + state["look_every"], call
            transaction.save(key, state, KEPT_SECONDS)


def answer(transaction: Transaction, keys: tuple[str, ...], call: str, word: int) -> None:
    """What became of a call that looked: 1 it was let through, 0 nobody knows, -1 it was never sent."""
    for key in keys:
        state = transaction.load(key)
        if state is None or state["probe"] != call:
            continue
        if word > 0:
            transaction.save(key, None, 0.0)
            continue
        state["probe"] = ""
        if word < 0:
            state["look_at"] = transaction.now
        transaction.save(key, state, KEPT_SECONDS)


def describe(state: State, now: float) -> dict[str, float | str | None]:
    """A state for people: `why`, `for` (seconds since it was shut), `opens_in` and `looks_in` (seconds, `None`: unknown)."""
    until = state["until"]
    return {
        "why": state["why"],
        "for": max(0.0, now - state["since"]),
        "opens_in": max(0.0, until - now) if until else None,
        "looks_in": None if until else max(0.0, state["look_at"] - now),
    }
