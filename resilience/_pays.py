"""What a call pays: which rate limits, of which bucket and how much of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ._fork import Lock
from ._limits import Limit, Resolved
from ._scopes import key_of
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._limits import FeedbackHeaders
    from ._outcome import Exchange
    from ._policy import Policy
    from ._scopes import Scope

__all__ = ["Bill", "BucketNames", "Payment", "bill_of", "bucket_of", "check_cost", "keys_of", "owed_by"]

# What `_feedback.py` reads whatever the policy says; the others of these groups say nothing without one of them.
_USUAL = frozenset({b"ratelimit", b"ratelimit-remaining", b"x-ratelimit-remaining"})
_MOST_NAMES = 4096
_LONGEST_NAME = 64


class Payment(NamedTuple):
    """One limit that the calls of an operation pay."""

    name: str
    """The limit's."""
    spec: list[Any]
    """Algorithm, amount, seconds, burst and cost, as the scripts of a bucket take them."""
    bucket: str
    """The name in its key: the limit's, with a digest of the numbers, since other numbers are another state."""
    scopes: tuple[Scope, ...]
    max_wait: float
    queue: int
    headers: FeedbackHeaders | None
    source: str
    """The limit for people, with its rate."""
    rated: bool
    """Whether the rate is known."""

    @property
    def holds(self) -> int:
        """How much a full bucket holds."""
        burst: int = self.spec[3]
        return burst

    @property
    def window(self) -> float:
        """Seconds after which an empty bucket is full."""
        _, amount, seconds, burst, _ = self.spec
        return float(seconds * max(1.0, burst / amount))

    def costing(self, cost: int) -> Payment:
        """The same for another cost."""
        return self._replace(spec=[*self.spec[:4], cost])


class Bill(NamedTuple):
    """All that the calls of an operation pay, at least one bucket."""

    payments: tuple[Payment, ...]
    max_wait: float
    specs: list[list[Any]]
    named: Mapping[str, Payment]
    """Every rate limit of the plan, whether these calls pay it or not: an answer may speak of it."""
    known: frozenset[str]
    """Every rate limit of the policy, in whatever plan."""
    headers: frozenset[bytes]
    """An answer that speaks of limits has one of these headers, in lower case; most answers have none."""
    learns: bool
    """Whether answers tell the names of buckets."""
    silent: bool
    """Whether no limit applies: nothing is paid but after an answer that asked for a pause."""
    names: BucketNames

    def asking(self, costs: int | Mapping[str, int]) -> Bill:
        """The same for a call that says itself what it takes: of all limits, or of each by its name."""
        payments = tuple(
            pay.costing(costs if isinstance(costs, int) else costs.get(pay.name, pay.spec[4])) for pay in self.payments
        )
        return self._replace(payments=payments, specs=[pay.spec for pay in payments])


class BucketNames:
    """Which bucket each operation belongs to, where only answers tell it; bounded, the longest unused goes first.

    Arguments:
        most: how many are remembered.
    """

    def __init__(self, most: int = _MOST_NAMES) -> None:
        self._lock = Lock()
        self._names: dict[tuple[str, str | None], str] = {}
        self._most = most

    def get(self, key: str, operation: str | None) -> str | None:
        """The name of an operation's bucket, `None` until an answer has told it.

        Arguments:
            key: of the bucket that the operation pays until then.
            operation: the operation.
        """
        with self._lock:
            name = self._names.pop((key, operation), None)
            if name is not None:
                self._names[key, operation] = name
            return name

    def learn(self, key: str, operation: str | None, told: str) -> None:
        """Remember what an answer told; what no key should carry is replaced by its digest."""
        safe = 0 < len(told) <= _LONGEST_NAME and told.isascii() and told.replace("-", "").replace("_", "").isalnum()
        name = told if safe else hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=8).hexdigest()
        with self._lock:
            self._names.pop((key, operation), None)
            self._names[key, operation] = name
            while len(self._names) > self._most:
                del self._names[next(iter(self._names))]


# What calls pay where no limit applies: nothing, until an answer pauses it for all calls of the account.
_UNNAMED = Limit(name="answers", rate="{plan.rate}")
_ANSWERS = Payment(
    "answers",
    ["unrated", 1, 1.0, 1, 1],
    "answers",
    ("account",),
    _UNNAMED.max_wait,
    _UNNAMED.queue,
    None,
    "the pause that an answer asked for",
    rated=False,
)


def bill_of(exchange: Exchange) -> Bill:
    """What a call pays; compiled once for each policy, plan and operation."""
    policy, plan, operation = exchange.policy, exchange.settings.plan, exchange.operation
    known: dict[tuple[str | None, str | None], Bill] = vars(policy).setdefault("_bills", {})
    bill = known.get((plan, operation))
    if bill is None:
        bill = known[plan, operation] = _compiled(policy, plan, operation)
    costs = exchange.options.cost
    return bill if costs is None else bill.asking(costs)


def owed_by(exchange: Exchange) -> tuple[Bill, tuple[str, ...]]:
    """What a call pays, and the keys of the buckets; all calls of one way owe the same."""
    if exchange.way is not None:
        return exchange.way.owed
    bill = bill_of(exchange)
    return bill, keys_of(exchange, bill)


def keys_of(exchange: Exchange, bill: Bill) -> tuple[str, ...]:
    """The keys of the buckets that a call pays, in the order of its payments."""
    return tuple([bucket_of(exchange, bill, pay) for pay in bill.payments])


def bucket_of(exchange: Exchange, bill: Bill, pay: Payment) -> str:
    """The key of the bucket of one payment."""
    key = key_of(exchange, "bucket", pay.bucket, pay.scopes)
    if pay.headers is None or pay.headers.bucket is None:
        return key
    name = bill.names.get(key, exchange.operation)
    if name is None:
        return key
    # A bucket that the provider names holds all operations that belong to it.
    scopes: tuple[Scope, ...] = tuple(scope for scope in pay.scopes if scope != "operation")
    return key_of(exchange, "bucket", f"{pay.bucket}.{name}", scopes)


def check_cost(exchange: Exchange) -> None:
    """Refuse a cost that names no limit, or that no full bucket could pay: such a call would wait for ever.

    Raises:
        ConfigurationError: the call's own `cost` cannot be honoured.
    """
    costs = exchange.options.cost
    if costs is None:
        return
    bill = bill_of(exchange)
    if isinstance(costs, Mapping):
        for name in costs:
            if name not in bill.known:
                there = ", ".join(sorted(bill.known)) or "none"
                raise ConfigurationError(
                    f"cost in extensions['resilience'] names {name!r:.60}, which is no rate limit of "
                    f"{exchange.policy.provider}; there are: {there}"
                )
    for pay in bill.payments:
        if pay.rated and pay.spec[4] > pay.holds:
            raise ConfigurationError(
                f"cost in extensions['resilience'] is {pay.spec[4]}, and {pay.source} of {exchange.policy.provider} "
                f"never holds more than {pay.holds}: the call would wait for ever; split the call, or lower its cost"
            )


def _compiled(policy: Policy, plan: str | None, operation: str | None) -> Bill:
    rates = [each for each in policy.limits_for(plan) if each.limit.rate is not None]
    named = {each.name: _payment(each, operation) for each in rates}
    payments = tuple(
        named[each.name] for each in rates if each.limit.operations is None or operation in each.limit.operations
    ) or (_ANSWERS,)
    stated = [pay.headers for pay in payments if pay.headers is not None]
    told = {name for headers in stated for name in (headers.remaining, headers.bucket) if name is not None}
    return Bill(
        payments,
        max_wait=min(pay.max_wait for pay in payments),
        specs=[pay.spec for pay in payments],
        named=named,
        known=frozenset(each.name for each in policy.limits_for(None) if each.limit.rate is not None),
        headers=_USUAL | {name.lower().encode() for name in told},
        learns=any(headers.bucket is not None for headers in stated),
        silent=payments == (_ANSWERS,),
        names=vars(policy).setdefault("_bucket_names", BucketNames()),
    )


def _payment(resolved: Resolved, operation: str | None) -> Payment:
    name, limit, rate, _ = resolved
    cost = limit.cost if isinstance(limit.cost, int) else limit.cost.get(operation or "", 1)
    if rate is None:
        # The plan is not named, so nobody knows the rate: answers teach it.
        spec, bucket, source = ["unrated", 1, 1.0, 1, cost], name, f"limit {name}"
    else:
        burst = limit.burst or rate.amount
        numbers = f"{limit.algorithm} {rate.amount} {rate.seconds} {burst}"
        digest = hashlib.blake2b(numbers.encode(), digest_size=4).hexdigest()
        spec, bucket = [limit.algorithm, rate.amount, rate.seconds, burst, cost], f"{name}@{digest}"
        source = f"limit {name} ({rate})"
    return Payment(
        name, spec, bucket, limit.per, limit.max_wait, limit.queue, limit.headers, source, rated=rate is not None
    )
