"""What a call asks on the short cut before it is sent, and what it tells after a success."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._breaker_hearing import Admission
from ._categories import Category
from ._feedback import speaks
from ._options import NO_OPTIONS
from ._outcome import Exchange
from ._permit import Permit, hand_on, lease_of
from ._sent import Sent
from ._trail import Attempt, Trail
from ._trail_of import LAST, keep_trail
from ._transactions import Command

if TYPE_CHECKING:
    from ._clock import Closing
    from ._library import Request, Response
    from ._outcome import Verdict
    from ._runtime import Runtime
    from ._transactions import Reply, Store
    from ._way_kind import Kind

__all__ = ["How", "Made", "Way"]

Made = tuple["Request", "Store", "Closing"]
"""What a call is made of beside what its way knows."""
How = tuple[int, float, float]
"""What `Way.enter` gave a call, when the call began and when it was sent, by the runtime's clock."""


class Way:
    """The calls of one kind and one account.

    Arguments:
        kind: what all of them have in common.
        account: as a digest.
        asked: what is asked before each is sent.
        lines: the keys of the lines that others may stand in.
        buckets: the keys of those that each pays.
    """

    __slots__ = ("_account", "_asked", "_known", "_lines", "_told", "holds", "is_short", "kind", "owed", "pays")

    def __init__(
        self, kind: Kind, account: str, asked: Command, lines: tuple[str, ...], buckets: tuple[str, ...]
    ) -> None:
        self.kind = kind
        """What all of them have in common."""
        self.is_short = kind.is_short
        """Whether its calls need no more than a question and an answer; otherwise their attempts take a short cut each."""
        self.pays = bool(asked.arguments[1])
        """Whether a limit has to be paid."""
        self.holds = bool(kind.use.documented)
        """Whether a limit on calls in flight has to have a place."""
        self.owed = kind.bill, buckets
        """What its calls pay, and the keys of the buckets."""
        self._account = account
        self._asked = asked
        self._lines = lines
        self._told = self._success(0)
        # The last reply: of how many changes of the store, until when it holds, and the generation.
        self._known: tuple[int | None, float, int] = (None, 0.0, 0)

    @property
    def breaker(self) -> str:
        """The key of its breaker."""
        return self._asked.keys[0]

    def enter(self, store: Store, now: float, permit: Permit | None = None) -> int | Reply | None:
        """Pay for a call: the generation of the breaker that lets it through, `None` where anything holds it up.

        Of a breaker that is open, and for which no call waits, it is what `breaker.admit` replies, with -1 in the place of REFUSED.

        Arguments:
            store: where the states are.
            now: by the runtime's clock.
            permit: what it has to take as well.
        """
        for line in self._lines:
            if store.lines.get(line) is not None:
                return None
        changes, until, generation = self._known
        if now < until and changes == store.changes:
            return generation
        # Asked before the reply, since another thread may change something after it.
        changes, asked = store.changes, self._asked
        if permit is not None:
            asked = Command(asked.name, asked.keys, (*asked.arguments[:2], permit.asked))
        reply = store.run(asked, now)
        if not reply:
            return None
        if reply[0] < 0:
            return reply if self.kind.refuses else None
        if permit is not None:
            permit.granted(reply[2:], now)
        generation = int(reply[0])
        self._known = changes, reply[1], generation
        return generation

    def admit(self, store: Store, runtime: Runtime, times: tuple[float, float], seconds: float | None) -> Sent | None:
        """Pay for an attempt, and take its permits: what will come of it; `None` where anything holds it up.

        Arguments:
            store: where the states are.
            runtime: the call's.
            times: when the call began, and now.
            seconds: how long the attempt may take, if that is known.
        """
        permit = self.permit(store, runtime, times[1], seconds) if self.holds else None
        try:
            generation = self.enter(store, times[1], permit)
            return self.sent((generation, *times), permit) if isinstance(generation, int) else None
        except BaseException:
            # Whatever interrupts it, between its lines as well.
            if permit is not None:
                permit.release()
            raise

    def permit(self, store: Store, runtime: Runtime, now: float, seconds: float | None) -> Permit:
        """The places that an attempt needs, which are still to be taken.

        Arguments:
            store: where the states are.
            runtime: the call's.
            now: by its clock.
            seconds: how long the attempt may take, if that is known.
        """
        documented = self.kind.use.documented
        keys = self._asked.keys[-len(documented) :]
        return Permit(store, runtime, keys=keys, documented=documented, lease=lease_of(seconds), now=now)

    def leave(
        self,
        made: Made,
        response: Response,
        how: How,
        ended: float,
        permit: Permit | None,
        *,
        looked: Verdict | None,
    ) -> Trail | None:
        """Tell of a success, and write its trail; `None` where the answer is one that the layers have to look at.

        Arguments:
            made: of what the call was made.
            response: the answer.
            how: as for `sent`.
            ended: when its answer came, or had been looked at, by the runtime's clock.
            permit: the places that it has until its answer is over.
            looked: what the answer means, if it was looked at.
        """
        request, store, _ = made
        kind = self.kind
        generation, began, started = how
        verdict = self.tell(store, response, generation, ended, looked)
        if verdict is None:
            return None
        if permit is not None:
            hand_on(response, permit)
        if kind.allowance is not None:
            kind.allowance.called(began)
            command = kind.allowance.succeeded(None)
            if command is not None:
                store.run(command, ended)
        attempt = Attempt(1, started - began, ended - started, response.status_code, None, verdict)
        trail = LAST.trail = Trail(kind.policy.provider, kind.operation, [attempt], "success", "success")
        keep_trail(request, trail)
        response.extensions = {**response.extensions, "resilience": trail}
        return trail

    def tell(
        self, store: Store, response: Response, generation: int, now: float, looked: Verdict | None = None
    ) -> Verdict | None:
        """Tell the breaker of a success; `None` where the answer is one that the layers have to look at.

        Arguments:
            store: where the states are.
            response: the answer.
            generation: what `enter` gave.
            now: by the runtime's clock.
            looked: what the answer means, if it was looked at.
        """
        kind = self.kind
        verdict = looked or kind.verdict_on(response.status_code)
        if (
            verdict is None
            or verdict.rule
            or verdict.category is not Category.SUCCESS
            or speaks(response.headers, kind.bill)
        ):
            return None
        if kind.plan is not None:
            success = self._told
            if success.arguments[1] != generation:
                # In another thread it may be another one meanwhile.
                success = self._told = self._success(generation)
            store.run(success, now)
        return verdict

    def call(self, request: Request, store: Store, closing: Closing, began: float) -> Exchange:
        """A call as the layers see it, whatever its transport makes of the request.

        Arguments:
            request: as the client sends it.
            store: where the states are.
            closing: set when the client is closed.
            began: when it came, by the runtime's clock.
        """
        kind = self.kind
        policy, operation = kind.policy, kind.operation
        trail = Trail(policy.provider, operation)
        exchange = Exchange(request, policy, operation, NO_OPTIONS, trail, closing, store, kind.settings, self._account)
        exchange.extensions, exchange.way, exchange.started = request.extensions, self, began
        return exchange

    def hand_over(self, exchange: Exchange | None, made: Made, sent: Sent, came: Response | BaseException) -> Exchange:
        """A call that the layers have to look at.

        Arguments:
            exchange: the call, if anybody has needed it.
            made: what else it is made of.
            sent: how it was sent.
            came: its answer, or what was raised instead.
        """
        exchange = exchange or self.call(*made, sent.times[0])
        exchange.ahead, exchange.pool_wait = sent, 0.0
        sent.bring(came)
        return exchange

    def sent(self, how: How, permit: Permit | None = None) -> Sent:
        """A call on its way, for the layers should they have to look at what comes of it.

        Arguments:
            how: what let it through, and when.
            permit: what it holds.
        """
        plan = self.kind.plan
        admission = None if plan is None else Admission(self._asked.keys[0], plan, how[0])
        return Sent(how[1:], admission, permit)

    def _success(self, generation: int) -> Command:
        plan = self.kind.plan
        arguments = (0.0, generation) if plan is None else (plan.settings.window, generation)
        return Command("shortcut.leave", self._asked.keys[:1], arguments)
