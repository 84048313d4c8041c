"""What one attempt has reserved of its budgets, until it is known what it cost: exactly one of the ways it may end.

reserved ──▶ never sent ─────────────▶ given back
         ├─▶ answered; its body ends ─▶ settled: what the answer says, else what such answers cost
         └─▶ never answered ─────────▶ its worst case, or nothing where the provider charges for answers alone
"""

from __future__ import annotations

import logging
import os
import threading
from _thread import start_new_thread
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ._amounts import from_millionths, millionths
from ._budget_state import BALANCE_SECONDS
from ._credits_guard import ONE_REQUEST, lease_of, ledger_page, settling_key
from ._credits_state import names_key, unsent
from ._holder import new_name
from ._tags import key_part, tags_of
from ._trail import Charged
from ._transactions import Command
from ._uncut import uncut_line

if TYPE_CHECKING:
    from ._budgets import Period
    from ._credits_guard import CreditsGuard
    from ._outcome import Exchange
    from ._runtime import Runtime
    from ._transactions import Reply

__all__ = ["Reservation"]

_log = logging.getLogger("resilience.credits")


class Reservation:
    """The reservation of one attempt; safe for threads, since a body may be read in one and closed in another.

    Arguments:
        exchange: the call.
        runtime: how the store is asked.
        guard: its budgets, `None` where only latches are asked.
        latches: the keys of its latches.
        worst: what it may cost, in the unit of the guard.
        obeyed: whether refusals count; else they are only told.
    """

    __slots__ = (
        "_at",
        "_exchange",
        "_is_open",
        "_lease",
        "_lock",
        "_process",
        "_runtime",
        "_worst",
        "command",
        "elsewhere",
        "guard",
        "looks",
        "name",
        "page",
        "periods",
        "renew_at",
        "row",
        "worst",
    )

    def __init__(
        self,
        exchange: Exchange,
        runtime: Runtime,
        guard: CreditsGuard | None,
        latches: tuple[str, ...],
        worst: Decimal,
        *,
        obeyed: bool,
    ) -> None:
        self.name = new_name()
        self.guard = guard
        self.worst = worst
        self.periods: tuple[Period | None, ...] = ()
        self.elsewhere = False
        """Whether the store did not decide this: it learns of it when it is back."""
        self.looks = True
        """Whether the call may be the one that looks whether a latch still holds."""
        self._exchange = exchange
        self._runtime = runtime
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._is_open = True
        self._lease = lease_of(exchange, runtime.clock.now())
        self._at = runtime.clock.wall()
        self.renew_at = runtime.clock.now() + self._lease / 2
        free = exchange.policy.credits is not None and exchange.policy.credits.unanswered == "free"
        self.page = ledger_page(exchange, self.name)
        # Now, not when it is settled: that may be in a thread, or a task, with other tags.
        tags = sorted(tags_of(exchange.options.tags).items()) if guard is not None else ()
        told = ",".join([f"{name}={key_part(value)}" for name, value in tags])
        self._worst = millionths(worst)
        self.row = (round(self._at, 3), self.name, exchange.operation or "", exchange.account, told, self._worst)
        """What the ledger says of it, but for how it ended and what it cost."""
        row = [*self.row, "lost"] if guard is not None and exchange.settings.ledger else 0
        keys, specs = self._budgets(obeyed=obeyed) if guard is not None else ((), [])
        # A request that may have been sent is one, whatever it costs.
        counts = sum([2**at for at, use in enumerate(guard.uses if guard else ()) if use.counts_requests or not free])
        arguments = (self.name, len(latches), 1 if obeyed else 0, self._lease, counts, row, *specs)
        strict = guard is not None and guard.strict and obeyed
        self.command = Command("credits.reserve", (*latches, self.page, *keys), arguments, strict)

    def _budgets(self, *, obeyed: bool) -> tuple[tuple[str, ...], list[list[Any]]]:
        keys: list[str] = []
        specs: list[list[Any]] = []
        periods: list[Period | None] = []
        for use in self.guard.uses if self.guard else ():
            budget = use.budget
            period = None if budget is None else use.period_at(self._at)
            label, seconds = ("ever", BALANCE_SECONDS)
            if period is not None:
                label, seconds = period.label, period.seconds_needed(self._at, use.window)
            manner = 1 if budget is None or budget.hard else 0
            amount = ONE_REQUEST if use.counts_requests else self._worst
            keys.append(settling_key(self._exchange, use, label))
            periods.append(period)
            specs.append([use.limit, amount, use.window, seconds, use.warns, manner if obeyed else 2 * manner])
        self.periods = tuple(periods)
        return tuple(keys), specs

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet."""
        return self._is_open

    def seconds_left(self, period: Period) -> float:
        """Seconds until a period ends."""
        return max(0.0, period.ends - self._at)

    @property
    def budget_keys(self) -> tuple[str, ...]:
        """The keys of its budgets."""
        return self.command.keys[self.command.arguments[1] + 1 :]

    def only_tell(self, index: int) -> None:
        """Reserve of a budget whatever is left of it.

        Under a new name: a store that was perhaps asked under the old one, and is back, may give that back later.
        """
        self.name = new_name()
        self.row = (self.row[0], self.name, *self.row[2:])
        _, *told, row = self.command.arguments[:6]
        specs = self.command.arguments[6:]
        specs[index][5] = 2
        arguments = (self.name, *told, [*self.row, "lost"] if row else 0, *specs)
        self.command = self.command._replace(arguments=arguments)

    def amount_of(self, index: int) -> int:
        """How much is to be reserved of a budget, in millionths."""
        return int(self.command.arguments[6 + index][1])

    def scopes_of(self, index: int) -> tuple[str, ...]:
        """What a budget is counted apart by, as its key says."""
        return tuple(self.budget_keys[index].split(":")[4:])

    async def ask(self) -> Reply:
        """Reserve: what `credits.reserve` replies; nothing where a shared store is away that must decide."""
        return await self._runtime.decide(self._exchange.store, self.command)

    def give_back(self) -> None:
        """It was never sent."""
        if self._close() and (self.guard is not None or self.looks):
            self._tell(unsent(self.command, elsewhere=self.elsewhere))

    def leave(self) -> None:
        """It was sent, and nobody will see the answer."""
        costs = self._exchange.policy.credits
        free = costs is not None and costs.unanswered == "free"
        self.settle(Decimal(0) if free else self.worst, "unanswered", word=0)

    def settle(self, charged: Decimal, outcome: str, *, word: int) -> None:
        """It was answered.

        Arguments:
            charged: what it cost.
            outcome: for the ledger.
            word: 1 if the provider took the call, so that no latch holds any more; 0 if the answer says nothing of that.
        """
        if not self._close():
            return
        command, exchange = self.command, self._exchange
        guard, latches = self.guard, command.arguments[1]
        if guard is None:
            if self.looks:
                self._tell(Command("credits.settle", command.keys, (self.name, latches, word, 0, 0)))
            return
        amount = millionths(charged)
        charges = [
            [ONE_REQUEST if use.counts_requests else amount, spec[2], spec[3]]
            for use, spec in zip(guard.uses, command.arguments[6:], strict=True)
        ]
        row, elsewhere = [*self.row, outcome] if exchange.settings.ledger else 0, 1 if self.elsewhere else 0
        keys = command.keys + ((names_key(self.page, self.name),) if elsewhere else ())
        self._tell(Command("credits.settle", keys, (self.name, latches, word, elsewhere, row, *charges)))
        if charged > self.worst and guard.is_priced:
            told = (exchange.policy.provider, exchange.operation or "", charged, guard.unit, self.worst)
            # A handler of the log may fail.
            with suppress(Exception):
                uncut_line(_log.warning, "%s %s: a call has cost %s %s, and %s was its worst case by the policy", *told)
        exchange.record(Charged(from_millionths(amount), guard.unit, from_millionths(self._worst), outcome))

    def renew(self) -> None:
        """Keep it open while the body is read."""
        now = self._runtime.clock.now()
        if now >= self.renew_at and self._process == os.getpid():
            # Not after the end: there is nothing to keep then.
            with self._lock:
                if self._is_open:
                    self.renew_at = now + self._lease / 2
                    self._tell(Command("credits.renew", self.budget_keys, (self.name, self.name, self._lease)))

    def become_job(self, name: str, lease: float) -> None:
        """Go on as a job of the provider's, under another name."""
        if self._close():
            self._tell(Command("credits.renew", self.budget_keys, (self.name, name, lease)))
            latches = self.command.arguments[1]
            if self.looks and latches:
                # The provider took the call.
                self._tell(Command("credits.settle", self.command.keys[: latches + 1], (self.name, latches, 1, 0, 0)))

    def in_a_thread(self, end: Any) -> None:
        """End it from the collector, which may have come while this very thread held the store's lock."""
        if self._is_open and self._process == os.getpid():
            # At the end of the interpreter there is no thread to be had, and no need of it.
            with suppress(RuntimeError):
                start_new_thread(end, ())

    def _close(self) -> bool:
        """Whether this is its end: once, in the process that began it."""
        if self._process != os.getpid():
            return False
        with self._lock:
            was_open, self._is_open = self._is_open, False
        return was_open

    def _tell(self, command: Command) -> None:
        self._runtime.tell(self._exchange.store, command)
