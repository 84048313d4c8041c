"""What the calls of this process pay into retry budgets, kept until a retry needs it.

A call that succeeds at once asks no store for anything: it is counted here, and the next retry of this process takes
the count along to the budget that all processes share. What a process never takes along, nobody spends: with several
of them there are fewer retries than the budget allows, never more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from ._categories import TREATMENTS, Category
from ._fork import Lock, after_fork
from ._modes import Mode
from ._retry_budget import SLOTS
from ._scopes import key_of
from ._trail import Refused
from ._transactions import Command

if TYPE_CHECKING:
    from ._outcome import Exchange, Verdict
    from ._retry_budget import RetryBudget
    from ._runtime import Runtime
    from ._transactions import Reply, Store

__all__ = ["Allowance", "Purse", "Quota", "Ratio", "allowance_of", "forget"]


class Allowance(Protocol):
    """One provider's budget, as one process sees it."""

    def called(self, now: float, /) -> None:
        """A call was sent for the first time."""
        ...

    def withdrawal(self, verdict: Verdict, now: float, /) -> Command:
        """The decision whether there is a retry left after this verdict; its reply begins with 1 or 0."""
        ...

    def give_back(self, reply: Reply, verdict: Verdict, /) -> Command:
        """Undo that decision: the retry was not sent."""
        ...

    def succeeded(self, last: Verdict | None, /) -> Command | None:
        """What a call that succeeded pays back, given the verdict that it was last sent again for."""
        ...

    def empty(self) -> str:
        """Why there is no retry left, in words."""
        ...

    def forget(self) -> None:
        """Begin as at first: what calls have paid so far is gone."""
        ...


class Ratio:
    """A share of the calls of the last seconds."""

    def __init__(self, budget: RetryBudget, key: str) -> None:
        self._budget = budget
        self._keys = (key,)
        self._lock = Lock()
        self._rate = SLOTS / budget.window
        self._slot = 0
        self._calls = [0] * SLOTS

    def called(self, now: float) -> None:
        with self._lock.held:
            if now * self._rate >= self._slot + 1:
                self._pass(now)
            self._calls[0] += 1

    def withdrawal(self, _verdict: Verdict, now: float) -> Command:
        with self._lock:
            self._pass(now)
            calls, self._calls = self._calls, [0] * SLOTS
        budget = self._budget
        return Command("budget.withdraw", self._keys, (budget.ratio, budget.per_second, budget.window, calls))

    def give_back(self, reply: Reply, _verdict: Verdict) -> Command:
        return Command("budget.give_back", self._keys, (self._budget.window, reply[2]))

    def succeeded(self, _last: Verdict | None) -> None:
        """Nothing is paid back: what was sent again was sent again."""

    def empty(self) -> str:
        budget = self._budget
        bound = f"{budget.ratio:.0%} of the calls of the last {budget.window:g}s and {budget.per_second:g} a second"
        return f"the retry budget is empty ({bound})"

    def forget(self) -> None:
        with self._lock:
            self._calls = [0] * SLOTS

    def _pass(self, now: float) -> None:
        slot = math.floor(now * self._rate)
        passed = slot - self._slot
        if passed > 0:
            self._slot = slot
            self._calls = ([0] * min(passed, SLOTS) + self._calls)[:SLOTS]


class Quota:
    """Units that retries take and successes give back."""

    def __init__(self, budget: RetryBudget, key: str) -> None:
        self._budget = budget
        self._keys = (key,)
        self._capacity = budget.quota or 0
        self._lock = Lock()
        # What the store holds at least: once it is full, successes need not tell it so. Nothing is known at first.
        self._left = 0.0

    def called(self, now: float) -> None:
        """A call pays when it succeeds, not when it is made."""

    def withdrawal(self, verdict: Verdict, _now: float) -> Command:
        # Successes of this process are told from now on, whatever the reply will be.
        self.forget()
        return Command("budget.spend", self._keys, (self._capacity, self._cost(verdict)))

    def give_back(self, _reply: Reply, verdict: Verdict) -> Command:
        return Command("budget.restore", self._keys, (self._capacity, self._cost(verdict)))

    def succeeded(self, last: Verdict | None) -> Command | None:
        if last is None and self._left >= self._capacity:
            return None
        amount = 1 if last is None else self._cost(last)
        with self._lock.held:
            self._left = min(self._capacity, self._left + amount)
        return Command("budget.restore", self._keys, (self._capacity, amount))

    def empty(self) -> str:
        return f"the retry budget is empty (a quota of {self._capacity})"

    def forget(self) -> None:
        # Not while a success is counted: that would write down again what is forgotten here.
        with self._lock.held:
            self._left = 0.0

    def _cost(self, verdict: Verdict) -> int:
        # What the provider did not process weighs less than what failed (botocore's standard mode, version 2.1).
        throttled = TREATMENTS[verdict.category].limiter in {"pause", "lower"}
        return self._budget.throttle if throttled else self._budget.fault


_lock = Lock()
_allowances: WeakKeyDictionary[Store, dict[tuple[str, str], Allowance]] = WeakKeyDictionary()


@after_fork
def _begin() -> None:
    # Calls that were not told to the store yet are the parent's to tell.
    _allowances.clear()


def forget() -> None:
    """What the calls of this process have paid so far is gone, for whoever holds an allowance, too."""
    with _lock:
        for found in list(_allowances.values()):
            for each in found.values():
                each.forget()


def allowance_of(exchange: Exchange) -> Allowance | None:
    """The allowance of a call's provider; `None` where its retries have no budget."""
    policy = exchange.policy
    budget = policy.retry.budget
    if budget.off or exchange.settings.modes.get("retry_budget") is Mode.OFF:
        return None
    found = _allowances.get(exchange.store)
    allowance = None if found is None else found.get((policy.provider, budget.name))
    return _open(exchange, budget) if allowance is None else allowance


def _open(exchange: Exchange, budget: RetryBudget) -> Allowance:
    key = key_of(exchange, "budget", budget.name, ())
    made = Ratio(budget, key) if budget.quota is None else Quota(budget, key)
    with _lock:
        found = _allowances.setdefault(exchange.store, {})
        return found.setdefault((exchange.policy.provider, budget.name), made)


class Purse:
    """What one call pays into the budget of its provider, and takes from it."""

    __slots__ = ("_allowance", "_exchange", "_last", "_reply", "_runtime")

    def __init__(self, exchange: Exchange, runtime: Runtime) -> None:
        self._exchange = exchange
        self._runtime = runtime
        self._allowance = allowance_of(exchange)
        self._last: Verdict | None = None
        self._reply: Reply | None = None

    def pay(self, verdict: Verdict, attempt: int) -> None:
        """Count a call that was sent for the first time, and give back what a success gives back.

        Arguments:
            verdict: on the answer that came.
            attempt: how often the call has been sent, from 1.
        """
        if self._allowance is None:
            return
        if attempt == 1:
            self._allowance.called(self._exchange.started)
        self._reply = None
        if verdict.category is Category.SUCCESS:
            command = self._allowance.succeeded(self._last)
            if command is not None:
                self._runtime.tell(self._exchange.store, command)

    async def withdraw(self, verdict: Verdict) -> str | None:
        """Take a retry after this verdict; `None`, or why there is none left."""
        if self._allowance is None:
            return None
        exchange, runtime = self._exchange, self._runtime
        reply = await runtime.decide(exchange.store, self._allowance.withdrawal(verdict, runtime.clock.now()))
        if reply[0]:
            self._last, self._reply = verdict, reply
            return None
        observed = exchange.settings.modes.get("retry_budget") is Mode.OBSERVE
        exchange.record(Refused("retry_budget", "empty", self._allowance.empty(), None, observed))
        return None if observed else self._allowance.empty()

    def give_back(self) -> None:
        """Undo the last withdrawal: nothing was sent after all."""
        if self._allowance is not None and self._last is not None and self._reply is not None:
            self._runtime.tell(self._exchange.store, self._allowance.give_back(self._reply, self._last))
            self._reply = None
