"""How many calls are in flight at a time: a permit for each attempt, held until the answer's body is closed.

ask ──▶ granted ──▶ attempt ──▶ body read or closed ──▶ given back: the first of the line asks
 │         ▲           └─ refused by the provider for too many at a time: from now on fewer; successes raise it again
 ▼         │
full ──▶ line, first come first served ──▶ no place within max_wait or before the deadline: refused
 └─ line is full: refused
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, NamedTuple

from ._categories import TREATMENTS, Category
from ._deadline import attempt_seconds
from ._limits import NO_LIMIT, Limit, Resolved
from ._modes import Mode
from ._outcome import Outcome
from ._permit import Permit, hand_on, lease_of, release_lost
from ._refusal import closed, refused
from ._scopes import key_of
from ._trail import Wait
from ._transactions import Command
from ._units import seconds_text

if TYPE_CHECKING:
    from ._line import Line
    from ._outcome import Call, Exchange
    from ._policy import Policy
    from ._reasons import RefusalReason
    from ._runtime import Runtime
    from ._waker import Waker

__all__ = ["Use", "concurrency_layer", "places_of", "use_of"]

# How often the first of a line asks a store that other processes share: they cannot wake it.
_PACE = 0.02
_SLOWEST_PACE = 0.25

# A policy without a limit for a call, but with answers that refuse it for too many at a time, has one to be learned.
_ANSWERS = Resolved("answers", Limit(name="answers", concurrency="{plan.concurrency}"), None, None)


class Use(NamedTuple):
    """The limits of the calls of one operation."""

    limits: tuple[Resolved, ...]
    documented: tuple[int, ...]
    queue: int
    max_wait: float

    def named(self, index: int, most: float) -> str:
        """A limit for people, with the number that it bears just now, 0 for one that nobody knows."""
        number = f" ({int(most)} at a time)" if most else ""
        return f"limit {self.limits[index].name}{number}"


class _Place(NamedTuple):
    """Where a call waits: for which of its limits, in which line."""

    limit: int
    line: Line
    waker: Waker


def concurrency_layer(inner: Call, runtime: Runtime) -> Call:
    """Let no more calls be in flight than the provider allows."""

    async def concurrency_call(exchange: Exchange) -> Outcome:
        use = use_of(exchange.policy, exchange.settings.plan, exchange.operation)
        if not use.limits:
            return await inner(exchange)
        mode = exchange.settings.modes.get("concurrency", Mode.ENFORCE)
        if mode is Mode.OFF:
            return await inner(exchange)
        permit = _permit(exchange, use, runtime)
        try:
            if mode is Mode.OBSERVE:
                await _observe(exchange, use, permit)
            elif exchange.ahead is None and (ended := await _admit(exchange, use, permit, runtime)) is not None:
                return ended
            outcome = await inner(exchange)
            _learn(exchange, use, permit, outcome, runtime)
            if outcome.response is None:
                permit.release()
            else:
                hand_on(outcome.response, permit)
        except BaseException:
            # Cancelled, also while the store was asked: whether it granted a place or not, there is none now.
            permit.release()
            raise
        return outcome

    return concurrency_call


def use_of(policy: Policy, plan: str | None, operation: str | None) -> Use:
    """The limits that apply, compiled once for each plan and operation."""
    known: dict[tuple[str | None, str | None], Use] = vars(policy).setdefault("_concurrency", {})
    use = known.get((plan, operation))
    if use is None:
        found = (each for each in policy.limits_for(plan) if each.limit.concurrency is not None)
        limits = tuple(each for each in found if operation in (each.limit.operations or (operation,)))
        if not limits and any(
            TREATMENTS[rule.category].limiter == "lower" and _spoken_of(policy, (_ANSWERS,), rule.limit) is not None
            for rule in policy.answers
        ):
            limits = (_ANSWERS,)
        use = known[plan, operation] = Use(
            limits,
            tuple(each.concurrency or 0 for each in limits),
            min((each.limit.queue for each in limits), default=0),
            min((each.limit.max_wait for each in limits), default=0.0),
        )
    return use


def places_of(exchange: Exchange, use: Use) -> tuple[str, ...]:
    """The keys of the limits, for one call."""
    return tuple([key_of(exchange, "permits", each.name, each.limit.per) for each in use.limits])


def _permit(exchange: Exchange, use: Use, runtime: Runtime) -> Permit:
    if exchange.ahead is not None and exchange.ahead.permit is not None:
        # It was asked for before it was sent.
        return exchange.ahead.permit
    now = runtime.clock.now()
    lease, keys = lease_of(attempt_seconds(exchange, now)), places_of(exchange, use)
    return Permit(exchange.store, runtime, keys=keys, documented=use.documented, lease=lease, now=now)


async def _observe(exchange: Exchange, use: Use, permit: Permit) -> None:
    """Be counted in any case, and say so where the call would have had to wait."""
    reply = await permit.ask()
    if not reply[0]:
        permit.take()
        # How long nobody can know: the calls in flight are more than there would have been.
        exchange.record(Wait(0.0, "concurrency", "limit", use.named(int(reply[2]), reply[3]), observed=True))


async def _admit(exchange: Exchange, use: Use, permit: Permit, runtime: Runtime) -> Outcome | None:
    """Take the places, at once or in turn; else how the call ends."""
    lines = exchange.store.lines
    for index, key in enumerate(permit.keys):
        if lines.get(key) is not None:
            # Others wait for this one: whoever comes later stands behind them, also in the moment when one is free.
            return await _stand(exchange, use, permit, index, runtime)
    reply = await permit.ask()
    if not reply[0] and release_lost():
        reply = await permit.ask()
    return None if reply[0] else await _stand(exchange, use, permit, int(reply[2]), runtime)


async def _stand(exchange: Exchange, use: Use, permit: Permit, index: int, runtime: Runtime) -> Outcome | None:
    """Stand in the line of the limit that is full, and in that of another once it is the full one."""
    lines, queue = exchange.store.lines, use.queue
    while True:
        key = permit.keys[index]
        entered = lines.enter(key, queue)
        if entered is None:
            reason = f"{queue} calls are waiting already: {use.named(index, use.documented[index])}"
            return refused(exchange, layer="concurrency", why="queue_full", reason=reason, retry_after=None, key=key)
        try:
            ended = await _wait(exchange, use, permit, _Place(index, *entered), runtime)
        finally:
            lines.leave(key, *entered)
        if not isinstance(ended, int):
            return ended
        # It was let in once; a line that is full does not turn it out again.
        index, queue = ended, sys.maxsize


async def _wait(exchange: Exchange, use: Use, permit: Permit, place: _Place, runtime: Runtime) -> Outcome | int | None:
    """Wait for a place: `None` when it is taken, the index of another limit that is full instead, or how the call ends."""
    index, line, waker = place
    clock, pace, free_at, most = runtime.clock, _PACE, math.inf, float(use.documented[index])
    until, bound = permit.began + use.max_wait, f"within {seconds_text(use.max_wait)}"
    why: RefusalReason = "max_wait"
    if exchange.deadline is not None and exchange.deadline < until:
        until, why, bound = exchange.deadline, "deadline", "before the deadline"
    while True:
        now = clock.now()
        if now >= until:
            reason = f"no call ended {bound}: {use.named(index, most)}"
            # The end of a lease is when a place is free at the latest. One that is far away says nothing.
            wait = free_at - now if free_at - now <= use.max_wait else None
            key = permit.keys[index]
            return refused(exchange, layer="concurrency", why=why, reason=reason, retry_after=wait, key=key)
        if waker.called:
            pace = _PACE
        # Before the look, not after it: what becomes free from here on wakes this call again.
        waker.reset()
        # Whose turn it is changes, too, when an event loop stops or runs again, and that wakes nobody.
        seconds = min(until - now, line.watch)
        if line.is_first(waker):
            reply = await permit.ask()
            if reply[0]:
                if (waited := clock.now() - permit.began) > 0:
                    exchange.record(Wait(waited, "concurrency", "limit", use.named(index, most)))
                return None
            if reply[2] != index:
                return int(reply[2])
            release_lost()
            most, free_at = reply[3], now + reply[1]
            seconds = min(seconds, reply[1])
            if not exchange.store.instant:
                seconds, pace = min(seconds, pace), min(pace * 2, _SLOWEST_PACE)
        if not await runtime.sleep(seconds, exchange.closing, waker):
            return closed(exchange, runtime.library, "for its turn")


def _learn(exchange: Exchange, use: Use, permit: Permit, outcome: Outcome, runtime: Runtime) -> None:
    """Bear fewer calls after a refusal for too many, and one more after successes."""
    if outcome.refusal is not None or not permit.lowerings:
        return
    verdict = outcome.verdict
    if TREATMENTS[verdict.category].limiter == "lower":
        named = None if verdict.rule is None else exchange.policy.rules[verdict.rule].limit
        index = _spoken_of(exchange.policy, use.limits, named)
        if index is not None:
            command = (permit.lowerings[index][0], use.documented[index])
            runtime.tell(exchange.store, Command("permits.lower", permit.keys[index : index + 1], command))
    elif verdict.category is Category.SUCCESS:
        for index, (lowerings, low) in enumerate(permit.lowerings):
            if low:
                command = (lowerings, use.documented[index])
                runtime.tell(exchange.store, Command("permits.raise_", permit.keys[index : index + 1], command))


def _spoken_of(policy: Policy, limits: tuple[Resolved, ...], named: str | None) -> int | None:
    """The limit that a refusal speaks of: the one that its rule names, `None` if this call has no place under it, else the first."""
    if named == NO_LIMIT:
        return None
    for index, each in enumerate(limits):
        if each.name == named:
            return index
    elsewhere = any(each.name == named and each.limit.concurrency is not None for each in policy.limits_for(None))
    return None if elsewhere else 0
