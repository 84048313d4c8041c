"""How fast calls are sent: each attempt pays all limits that apply to it, and waits for its turn where they are used up.

reserve ──▶ all paid ───────────────────────────────────▶ attempt ──▶ the answer tells the buckets what it knows
   ▲  ├─▶ in line until a slot is due ──▶ paid; the rest ─┐  └─ refused by a layer within: given back
   │  └─▶ would wait too long, or the line is full: refused
   └──────────────────────────────────────────────────────┘
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from ._breaker import ask_again
from ._feedback import feedback, tell_pause
from ._modes import Mode
from ._pays import owed_by
from ._refusal import closed, refused
from ._reservations import CHARGED, Place, Slot, Standing, give_back, overtaken
from ._trail import Refused, Wait
from ._transactions import Command
from ._units import seconds_text

if TYPE_CHECKING:
    from ._outcome import Call, Exchange, Outcome
    from ._pays import Bill, Payment
    from ._reasons import RefusalReason
    from ._runtime import Runtime

__all__ = ["limiter_layer", "look_ahead"]

_LONG_WAIT = 1.0  # seconds; after a longer one the provider may be down that was up before


class _Paid(NamedTuple):
    """What a call has taken of one bucket."""

    key: str
    spec: list[Any]
    slot: Slot


class _Visit:
    """One attempt at the limiter: what it pays, has paid and has waited."""

    def __init__(self, exchange: Exchange, bill: Bill, keys: tuple[str, ...], runtime: Runtime) -> None:
        self.exchange, self.bill, self.runtime = exchange, bill, runtime
        self.keys, self.payments = keys, bill.payments
        """What is still to be paid."""
        self.paid: list[_Paid] = []
        self.began = runtime.clock.now()
        self.until = self.began + bill.max_wait
        if exchange.deadline is not None and exchange.deadline < self.until:
            self.until = exchange.deadline
        self._charged: tuple[float, int | None] | None = None
        self._mark: int | None = None

    async def reserve(self) -> list[float]:
        """Ask the buckets: what `bucket.reserve` replies."""
        most = max(0.0, self.until - self.runtime.clock.now())
        specs = [pay.spec for pay in self.payments] if self.paid else self.bill.specs
        return await self.runtime.decide(self.exchange.store, Command("bucket.reserve", self.keys, (most, specs)))

    def charge(self, at: float, *, but: int | None = None) -> None:
        """All is paid that was open, but perhaps one."""
        # Most calls never need to know more.
        self._charged = at, but

    def close(self, index: int) -> None:
        """One is paid of those that are open."""
        self.keys = self.keys[:index] + self.keys[index + 1 :]
        self.payments = self.payments[:index] + self.payments[index + 1 :]

    def give_back(self) -> None:
        """Give back all that was paid."""
        if self._charged is not None:
            (at, but), self._charged = self._charged, None
            slot = Slot(at, at, CHARGED)
            open_ones = enumerate(zip(self.keys, self.payments, strict=True))
            self.paid += [_Paid(key, pay.spec, slot) for index, (key, pay) in open_ones if index != but]
        for key, spec, slot in self.paid:
            give_back(self.exchange.store, self.runtime, key, spec, slot)
        self.paid.clear()

    def waits(self, seconds: float, source: str) -> None:
        """A wait begins; it is one in the trail, however many limits it is for."""
        if self._mark is None:
            self._mark = self.exchange.begin_wait(Wait(seconds, "limiter", "limit", source))

    def waited(self) -> float:
        """All waits are over: the trail has what they really took, in seconds."""
        if self._mark is None:
            return 0.0
        mark, seconds, self._mark = self._mark, self.runtime.clock.now() - self.began, None
        self.exchange.end_wait(mark, seconds)
        return seconds

    def refused(self, pay: Payment, key: str, seconds: float) -> Outcome:
        """Refuse the call, which would have to wait for so many seconds."""
        why, reason = self.reason(pay, seconds)
        return refused(self.exchange, layer="limiter", why=why, reason=reason, retry_after=seconds, key=key)

    def reason(self, pay: Payment, seconds: float) -> tuple[RefusalReason, str]:
        """Why it is refused, in one word and in words."""
        longest = f"longer than its max_wait ({seconds_text(self.bill.max_wait)})"
        late = self.until == self.exchange.deadline
        told = (
            f"let this call through in {seconds_text(seconds)}, {'which would pass the deadline' if late else longest}"
        )
        return "deadline" if late else "max_wait", f"{pay.source} would {told}"


def limiter_layer(inner: Call, runtime: Runtime) -> Call:
    """Send no faster than the provider's limits allow."""

    async def limiter_call(exchange: Exchange) -> Outcome:
        mode = exchange.settings.modes.get("limiter", Mode.ENFORCE)
        if mode is Mode.OFF:
            return await inner(exchange)
        bill, keys = owed_by(exchange)
        visit = None
        if exchange.ahead is None and (not bill.silent or exchange.store.holds(keys[0])):
            visit = _Visit(exchange, bill, keys, runtime)
            ended = await (_observe(visit) if mode is Mode.OBSERVE else _pay(visit))
            if ended is not None:
                return ended
        used = False
        try:
            outcome = await inner(exchange)
            used = outcome.refusal is None
        finally:
            # Refused within, or cancelled before it came to the transport.
            if visit is not None and not used and not exchange.is_under_way:
                visit.give_back()
        for command in feedback(exchange, outcome, bill, keys, runtime.clock.wall()) if used else ():
            runtime.tell(exchange.store, command)  # not asked: nobody else would close the answer, if cancelled here
            tell_pause(exchange, command)
        return outcome

    return limiter_call


async def look_ahead(exchange: Exchange, runtime: Runtime) -> float:
    """Seconds until the limiter would let the next attempt of this call through, 0 if it would at once."""
    if exchange.settings.modes.get("limiter", Mode.ENFORCE) is not Mode.ENFORCE:
        return 0.0
    bill, keys = owed_by(exchange)
    if bill.silent and not exchange.store.holds(keys[0]):
        return 0.0
    reply = await runtime.decide(exchange.store, Command("bucket.look", keys, (bill.specs,)))
    return reply[0]


async def _observe(visit: _Visit) -> None:
    """Pay as if the call could go, and say so where it would have had to wait; what lies ahead is given back at once."""
    granted, seconds, index, at, shift = await visit.reserve()
    if granted and index < 0:
        visit.charge(at)
        return
    pay, key = visit.payments[int(index)], visit.keys[int(index)]
    if granted:
        visit.exchange.record(Wait(seconds, "limiter", "limit", pay.source, observed=True))
        give_back(visit.exchange.store, visit.runtime, key, pay.spec, Slot(at, at, shift))
    else:
        visit.exchange.record(Refused("limiter", *visit.reason(pay, seconds), seconds, observed=True))


async def _pay(visit: _Visit) -> Outcome | None:
    """Pay all limits, at once or in turn; else how the call ends."""
    reply = await visit.reserve()
    if reply[0] and reply[2] < 0 and overtaken(visit.exchange.store, visit.keys, visit.payments) is None:
        visit.charge(reply[3])
        return None
    try:
        ended = await _in_turn(visit, reply)
        if visit.waited() > _LONG_WAIT and ended is None:
            ended = await ask_again(visit.exchange, visit.runtime)
    except BaseException:
        visit.waited()
        visit.give_back()
        raise
    if ended is not None:
        visit.give_back()
    return ended


async def _in_turn(visit: _Visit, reply: list[float]) -> Outcome | None:
    """Stand in one line after the other, until all is paid; else how the call ends.

    The place in one line is kept until the next one is known, so that the order of the calls stays the same; a store
    that is far away keeps it by the order in which it is asked.
    """
    exchange, runtime = visit.exchange, visit.runtime
    place: Place | None = None
    try:
        while True:
            granted, seconds, slowest, at, shift = reply
            index = int(slowest)
            if granted and index < 0:
                waited_for = overtaken(exchange.store, visit.keys, visit.payments)
                visit.charge(at, but=waited_for)
                if waited_for is None:
                    return None
                index, shift = waited_for, CHARGED
            pay, key = visit.payments[index], visit.keys[index]
            if not granted:
                return visit.refused(pay, key, seconds)
            slot = Slot(runtime.clock.now() + seconds, at, shift)
            entered = Place.enter(exchange.store, runtime, key, pay.spec, slot, most=pay.queue)
            if entered is None:
                give_back(exchange.store, runtime, key, pay.spec, slot)
                reason = f"{pay.queue} calls are waiting already: {pay.source}"
                return refused(exchange, layer="limiter", why="queue_full", reason=reason, retry_after=seconds, key=key)
            if place is not None:
                place.leave()
            place = entered
            visit.waits(seconds, pay.source)
            ended = await _stand(visit, place, pay, slot.due)
            if ended is not None:
                return ended
            if shift == CHARGED:
                return None
            visit.close(index)
            if not visit.keys:
                return None
            if not exchange.store.instant:
                # The way to the store and back, one call after the other, would be the rate.
                place.leave()
                place = None
            reply = await visit.reserve()
    finally:
        if place is not None:
            place.leave()


async def _stand(visit: _Visit, place: Place, pay: Payment, due: float) -> Outcome | None:
    """Wait for a slot in one line; what it was is paid then."""
    exchange, runtime = visit.exchange, visit.runtime
    # What was granted is kept to, unless a pause moves it: the bound may lie a rounding before it.
    deadline = math.inf if exchange.deadline is None else exchange.deadline
    ended = await place.stand(exchange.closing, max(visit.until, due), deadline)
    if ended is Standing.CLOSED:
        return closed(exchange, runtime.library, "for its turn")
    if ended is Standing.LATE or place.slot is None:
        return visit.refused(pay, place.key, max(0.0, place.latest - runtime.clock.now()))
    visit.paid.append(_Paid(place.key, pay.spec, place.slot))
    return None
