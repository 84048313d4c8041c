"""What calls of one operation, method and host have in common on the short cut: compiled once of a policy and its settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ._bounded import Bounded
from ._breaker_key import breaker_key
from ._breaker_machine import SUCCESS
from ._categories import Category
from ._concurrency import places_of, use_of
from ._credits_guard import guard_of
from ._fields import only_value
from ._latches import latch_keys
from ._pays import bill_of, keys_of
from ._repeatable import IDEMPOTENT
from ._reservations import line_key
from ._retry_allowance import allowance_of
from ._scopes import account_of
from ._transactions import Command
from ._way import Way

if TYPE_CHECKING:
    from ._breaker_policy import BreakerPlan
    from ._concurrency import Use
    from ._library import Library, Request
    from ._outcome import Exchange, Verdict
    from ._pays import Bill
    from ._retry_allowance import Allowance

__all__ = ["Kind", "Ways", "kind_of"]

# What stands for the account in keys until a call comes; no digest has it.
_ACCOUNT = "\0"
Ways = Bounded[tuple["Kind", bytes | str], Way]
"""By kind and account: the value of the header that tells it, or its digest."""


class Kind:
    """The calls of one operation, method and host.

    Arguments:
        exchange: one of them, before its first layer, without an account of its own.
        library: of the caller's client.
        ways: where those of all kinds are kept.
    """

    __slots__ = (
        "_account",
        "_asked",
        "_buckets",
        "_header",
        "_lines",
        "_ways",
        "allowance",
        "bill",
        "breaker",
        "is_short",
        "looks",
        "operation",
        "plan",
        "policy",
        "refuses",
        "settings",
        "use",
        "verdicts"
    )  # fmt: skip

    def __init__(self, exchange: Exchange, library: Library, ways: Ways) -> None:
        self._ways = ways
        policy = exchange.policy
        self.policy, self.operation, self.settings = policy, exchange.operation, exchange.settings
        self.allowance: Allowance | None = allowance_of(exchange)
        self.plan: BreakerPlan | None = None if policy.breaker.off else policy.breaker.plan
        self.breaker = "" if policy.breaker.off else breaker_key(exchange, policy.breaker, library)
        self.refuses = policy.breaker.max_wait == 0
        """Whether an open breaker refuses at once."""
        self.bill: Bill = bill_of(exchange)
        self.verdicts: dict[int, Verdict | None] = {}
        self._buckets = buckets = keys_of(exchange, self.bill)
        # What no limit applies to waits only for what an answer has paused.
        shutters = latch_keys(exchange) + (buckets if self.bill.silent else ())
        paid = () if self.bill.silent else buckets
        specs = [] if self.bill.silent else self.bill.specs
        self.use: Use = use_of(policy, self.settings.plan, self.operation)
        """The limits on how many of them are in flight."""
        places = places_of(exchange, self.use)
        self._asked = Command("shortcut.enter", (self.breaker, *shutters, *paid, *places), (len(shutters), specs, ()))
        # Where no limit applies others wait, too, for what an answer has paused.
        self._lines = [line_key(key, spec) for key, spec in zip(buckets, self.bill.specs, strict=True)] + [*places]
        self.is_short = policy.times_for(self.operation) == (None, None)
        """Whether a question before them and an answer after them is all that they need."""
        self.looks = self.verdict_on(200) is None
        """Whether some rule has to look at a success before it is one."""
        self._account = policy.account
        headers = () if policy.account is None else policy.account.headers or ()
        self._header = headers[0].lower().encode() if len(headers) == 1 and headers[0].isascii() else None

    def way_of(self, request: Request) -> Way:
        """The way of the calls of a request's account.

        Arguments:
            request: with its headers as they will be sent.
        """
        # Whose account it is stands in the value of one header, mostly; it need not be made a digest each time.
        value = None if self._header is None else only_value(request.headers, self._header)
        # An empty one says nothing: then another place may.
        key = value or account_of(self._account, request)
        way = self._ways.kept.get((self, key))
        return self._ways.keep((self, key), self._way(account_of(self._account, request))) if way is None else way

    def _way(self, account: str) -> Way:
        asked, lines, buckets = (
            tuple([key.replace(_ACCOUNT, account) for key in keys])
            for keys in (self._asked.keys, self._lines, self._buckets)
        )
        return Way(self, account, self._asked._replace(keys=asked), lines, buckets)

    def verdict_on(self, status: int) -> Verdict | None:
        """The verdict on a success that no rule speaks of."""
        if status in self.verdicts:
            return self.verdicts[status]
        verdict = self.verdicts[status] = self.policy.classifier.plain_success(status, self.operation)
        return verdict


def kind_of(exchange: Exchange, library: Library, ways: Ways) -> Kind | None:
    """What is known of the calls that are as this one; `None` where each of them has to go through the layers.

    Arguments:
        exchange: a call before its first layer.
        library: of the caller's client.
        ways: where those of all kinds are kept.
    """
    policy, settings, operation = exchange.policy, exchange.settings, exchange.operation
    idempotency = policy.idempotency
    takes_key = idempotency is not None and (idempotency.operations is None or operation in idempotency.operations)
    if (
        settings.modes
        or not exchange.store.instant
        or policy.propagate is not None
        or (takes_key and exchange.request.method not in IDEMPOTENT)
        or guard_of(exchange) is not None
        or bill_of(exchange).learns
    ):
        return None
    breaker = policy.breaker
    if not breaker.off and (
        breaker.plan.results[Category.SUCCESS] != SUCCESS or (breaker.health is not None and breaker.health.apart)
    ):
        return None
    return Kind(replace(exchange, account=_ACCOUNT), library, ways)
