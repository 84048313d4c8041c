"""What calls of one kind ask on the short cut, and what they tell: compiled once of a policy and its settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ._breaker_hearing import Admission
from ._breaker_key import breaker_key
from ._breaker_machine import SUCCESS
from ._categories import Category
from ._concurrency import use_of
from ._credits import latch_keys
from ._feedback import speaks
from ._fields import only_value
from ._guard import guard_of
from ._pays import bill_of, keys_of
from ._repeatable import IDEMPOTENT
from ._reservations import line_key
from ._retry_ledger import ledger_of
from ._scopes import account_of
from ._sent import Sent
from ._trail import Attempt, Trail
from ._trail_of import LAST, keep_trail
from ._transactions import Command

if TYPE_CHECKING:
    from ._breaker_policy import BreakerPlan
    from ._classifier import Classifier
    from ._library import Library, Request, Response
    from ._outcome import Exchange, Verdict
    from ._pays import Bill
    from ._retry_ledger import Ledger
    from ._transactions import Reply, Store

__all__ = ["Kind", "Way", "kind_of"]

# What stands for the account in keys until a call comes; no digest has it.
_ACCOUNT = "\0"
# Accounts may be many; whose keys are forgotten, for them they are made anew.
_MOST = 1024


class Kind:
    """The calls of one operation, method and host.

    Arguments:
        exchange: one of them, before its first layer, without an account of its own.
        library: of the caller's client.
    """

    __slots__ = (
        "_account",
        "_asked",
        "_header",
        "_lines",
        "_ways",
        "bill",
        "breaker",
        "classifier",
        "ledger",
        "operation",
        "plan",
        "provider",
        "refuses",
        "verdicts"
    )  # fmt: skip

    def __init__(self, exchange: Exchange, library: Library) -> None:
        policy = exchange.policy
        self.provider, self.operation = policy.provider, exchange.operation
        self.classifier: Classifier = policy.classifier
        self.ledger: Ledger | None = ledger_of(exchange)
        self.plan: BreakerPlan | None = None if policy.breaker.off else policy.breaker.plan
        self.breaker = "" if policy.breaker.off else breaker_key(exchange, policy.breaker, library)
        self.refuses = policy.breaker.max_wait == 0
        self.bill: Bill = bill_of(exchange)
        self.verdicts: dict[int, Verdict | None] = {}
        buckets = keys_of(exchange, self.bill)
        # What no limit applies to waits only for what an answer has paused.
        shutters = latch_keys(exchange) + (buckets if self.bill.silent else ())
        paid = () if self.bill.silent else buckets
        specs = [] if self.bill.silent else self.bill.specs
        self._asked = Command("shortcut.enter", (self.breaker, *shutters, *paid), (len(shutters), specs))
        self._lines = [line_key(key, spec) for key, spec in zip(paid, specs, strict=True)]
        self._account = policy.account
        headers = () if policy.account is None else policy.account.headers or ()
        self._header = headers[0].lower().encode() if len(headers) == 1 and headers[0].isascii() else None
        self._ways: dict[bytes | str, Way] = {}

    def way_of(self, request: Request) -> Way:
        """The way of the calls of a request's account.

        Arguments:
            request: with its headers as they will be sent.
        """
        # Whose account it is stands in the value of one header, mostly; it need not be made a digest each time.
        key: bytes | str | None = None if self._header is None else only_value(request.headers, self._header)
        if key is None:
            key = account_of(self._account, request)
        way = self._ways.get(key)
        if way is None:
            while len(self._ways) >= _MOST:
                self._ways.pop(next(iter(self._ways)), None)
            way = self._ways[key] = self._way(account_of(self._account, request))
        return way

    def _way(self, account: str) -> Way:
        asked = self._asked._replace(keys=tuple([key.replace(_ACCOUNT, account) for key in self._asked.keys]))
        return Way(self, asked, [key.replace(_ACCOUNT, account) for key in self._lines])

    def verdict_on(self, status: int) -> Verdict | None:
        """The verdict on a success that no rule speaks of."""
        verdict = self.verdicts[status] = self.classifier.plain_success(status, self.operation)
        return verdict


class Way:
    """The calls of one kind and one account.

    Arguments:
        kind: what all of them have in common.
        asked: what is asked before each is sent.
        lines: the keys of the lines that others may stand in.
    """

    __slots__ = ("_asked", "_kind", "_lines", "_told")

    def __init__(self, kind: Kind, asked: Command, lines: list[str]) -> None:
        self._kind = kind
        self._asked = asked
        self._lines = lines
        self._told = self._success(0)

    @property
    def breaker(self) -> str:
        """The key of its breaker."""
        return self._asked.keys[0]

    def enter(self, store: Store, now: float) -> Reply | None:
        """Pay for a call: `[the generation of the breaker that lets it through]`, `None` where anything holds it up.

        A breaker that is open, and for which no call waits, says so as `breaker.admit` does.

        Arguments:
            store: where the states are.
            now: by the runtime's clock.
        """
        for line in self._lines:
            if store.lines.get(line) is not None:
                return None
        reply = store.run(self._asked, now)
        return reply if len(reply) == 1 or (reply and self._kind.refuses) else None

    def leave(self, store: Store, request: Request, response: Response, sent: tuple[int, float, float]) -> bool:
        """Tell of a success, and write its trail; `False` where the answer is one that the layers have to look at.

        Arguments:
            store: where the states are.
            request: as it was sent.
            response: the answer.
            sent: what `enter` gave, when it was sent and when its answer came, by the runtime's clock.
        """
        kind, status = self._kind, response.status_code
        verdict = kind.verdicts[status] if status in kind.verdicts else kind.verdict_on(status)
        if verdict is None or speaks(response.headers, kind.bill):
            return False
        generation, started, ended = sent
        if kind.plan is not None:
            if self._told.arguments[1] != generation:
                self._told = self._success(generation)
            store.run(self._told, ended)
        if kind.ledger is not None:
            kind.ledger.called(started)
            command = kind.ledger.succeeded(None)
            if command is not None:
                store.run(command, ended)
        attempt = Attempt(1, 0.0, ended - started, status, None, verdict)
        trail = LAST.trail = Trail(kind.provider, kind.operation, [attempt], "success", "success")
        keep_trail(request, trail)
        response.extensions = {**response.extensions, "resilience": trail}
        return True

    def sent(
        self, started: float, generation: int, response: Response | None = None, error: BaseException | None = None
    ) -> Sent:
        """What came of a call, for the layers.

        Arguments:
            started: by the runtime's clock.
            generation: what `enter` gave.
            response: the answer.
            error: what was raised instead.
        """
        plan = self._kind.plan
        admission = None if plan is None else Admission(self._asked.keys[0], plan, generation)
        return Sent(started, admission, response, error)

    def _success(self, generation: int) -> Command:
        plan = self._kind.plan
        arguments = (0.0, generation) if plan is None else (plan.settings.window, generation)
        return Command("shortcut.leave", self._asked.keys[:1], arguments)


def kind_of(exchange: Exchange, library: Library) -> Kind | None:
    """What is known of the calls that are as this one; `None` where each of them has to go through the layers.

    Arguments:
        exchange: a call before its first layer.
        library: of the caller's client.
    """
    policy, settings, operation = exchange.policy, exchange.settings, exchange.operation
    idempotency = policy.idempotency
    takes_key = idempotency is not None and (idempotency.operations is None or operation in idempotency.operations)
    if (
        settings.modes
        or not exchange.store.instant
        or policy.times_for(operation) != (None, None)
        or policy.propagate is not None
        or (takes_key and exchange.request.method not in IDEMPOTENT)
        or guard_of(exchange) is not None
        or use_of(policy, settings.plan, operation).limits
        or bill_of(exchange).learns
    ):
        return None
    breaker = policy.breaker
    if not breaker.off and (
        breaker.plan.results[Category.SUCCESS] != SUCCESS or (breaker.health is not None and breaker.health.apart)
    ):
        return None
    return Kind(replace(exchange, account=_ACCOUNT), library)
