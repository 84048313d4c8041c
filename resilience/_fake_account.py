"""The accounts of a fake provider: what their calls cost by the policy's own costs, and what is left of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ._amounts import decimal_of, from_millionths, millionths
from ._categories import Category
from ._charges import reader_of
from ._conditions import Answer
from ._costs import worst_case
from ._documented import Reply
from ._headers import FoldedHeaders
from ._last_events import is_stream
from ._request_parts import RequestView, document_in, path_of, queries_of
from ._scopes import account_of
from ._told_amounts import put, tell
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._charges import CostReader, Said
    from ._documented import Documented
    from ._policy import Policy
    from ._script import Step

__all__ = ["Accounts", "Asked", "Settled"]

_MOST_ACCOUNTS = 10_000
_MOST_JOBS = 10_000


class _Url(NamedTuple):
    raw_path: bytes


class Asked:
    """A request that came, in the form in which the layers look at one.

    Arguments:
        method: its method.
        target: its path and query as they were sent.
        headers: its headers; several of one name are joined.
        body: its body.
    """

    def __init__(self, method: str, target: bytes, headers: Mapping[str, str], body: bytes) -> None:
        self.method = method
        self.url = _Url(target)
        self.headers = FoldedHeaders(headers)
        self.body = body
        self.stream: Any = None
        self.extensions: Any = None


class Settled(NamedTuple):
    """An answer, and what its call has cost."""

    reply: Reply
    charged: Decimal


@dataclass(slots=True)
class _Account:
    """One account; amounts in millionths."""

    charged: int = 0
    jobs: dict[str, int] = field(default_factory=dict[str, int])
    """What the jobs will cost that have not ended."""
    begun: int = 0


class Accounts:
    """What the calls of each account have cost; safe for threads.

    Arguments:
        policy: the provider.
        documented: its answers.
        balance: what each account has at the beginning; `None` for no end of it.

    Raises:
        ConfigurationError: the balance is no amount, or the policy does not say what calls cost.
    """

    def __init__(self, policy: Policy, documented: Documented, balance: object = None) -> None:
        amount = None if balance is None else decimal_of(balance)
        if balance is not None and (amount is None or amount < 0):
            raise ConfigurationError(f"the balance {balance!r:.40} is no amount; write a number such as 10 or 0.5")
        if amount is not None and policy.credits is None:
            message = f"the policy {policy.provider!r} does not say what calls cost, so no balance is ever used"
            raise ConfigurationError(f"{message}; write its 'credits', or leave the balance out")
        self._policy = policy
        self._documented = documented
        self._balance = None if amount is None else millionths(amount)
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}

    @property
    def charged(self) -> Mapping[str, Decimal]:
        """What each account has paid, by the digest of its key; `-` for calls without one."""
        with self._lock:
            return {name: from_millionths(account.charged) for name, account in self._accounts.items()}

    @property
    def total(self) -> Decimal:
        """What all of them have paid."""
        with self._lock:
            return from_millionths(sum(account.charged for account in self._accounts.values()))

    def settle(self, asked: Asked, step: Step, reply: Reply) -> Settled:
        """The answer to a request as the account stands, with the amounts that it tells; the call is paid for now.

        Arguments:
            asked: the request.
            step: what the script wants; what it writes itself is left as it is.
            reply: the answer, if the account can pay.
        """
        policy, path = self._policy, path_of(asked)
        operation = policy.operation_finder.find(asked.method, path)
        reader = reader_of(policy, operation)
        if reader is None:
            return Settled(reply, Decimal(0))
        reply = _with_id(reader, path, step, reply)
        answer = Answer(reply.status, FoldedHeaders(dict(reply.headers)), asked.method, operation)
        reader.fill(answer, reply.body, complete=True, decoded=True)
        verdict = policy.classify(
            method=asked.method, url=path, status=reply.status, headers=answer.headers, body=reply.body
        )
        said = reader.read(answer, verdict, path)
        queries, document = partial(queries_of, asked), partial(document_in, asked.body)
        worst = worst_case(policy, RequestView(operation, asked.headers, queries, document))
        # What a script or a stream tells stays as it is, so that is what the call costs.
        told = step.body is not None or is_stream(answer.content_type) or _writes(step, reader)
        charge = reader.charge(answer)
        if not told and charge is not None:
            # The amount of a documented answer is that of its own call; what the page says of such answers is of this one.
            said = said._replace(charged=worst if charge.cost == "worst" else charge.cost)
            worst = said.charged
        with self._lock:
            return self._settled(reader, asked, reply, said, worst, told=told)

    def _settled(
        self, reader: CostReader, asked: Asked, reply: Reply, said: Said, worst: Decimal | None, *, told: bool
    ) -> Settled:
        account = self._account(asked)
        own = millionths(worst or Decimal(0))
        held = None if said.ended is None else account.jobs.pop(said.ended, None)
        if held is not None:
            worst = from_millionths(held)
        # The amount of a documented answer is that of its own call: it says no more than whether such a call is free.
        is_said = said.charged is not None and (told or said.charged == 0 or worst is None)
        cost = millionths((said.charged if is_said else worst) or Decimal(0))
        if said.ended is not None and held is None:
            # The job was paid for before.
            cost = 0
        # To ask whether a job has ended is a call too, which the answer does not speak of.
        total = cost if said.ended is None else cost + own
        if self._balance is not None and held is None and 0 < total > self._left(account):
            return Settled(self._refusal(reader, asked, account), Decimal(0))
        if said.job is not None and len(account.jobs) < _MOST_JOBS:
            reply, name = _begun(reader, said.job, account, reply) if not told else (reply, said.job)
            account.jobs[name] = cost
            return Settled(reply, Decimal(0))
        account.charged += total
        if not told:
            reply = tell(reply, reader.charged, from_millionths(cost), add=cost > 0 and reply.status < 400)
        return Settled(self._with_balance(reader, account, reply), from_millionths(total))

    def _account(self, asked: Asked) -> _Account:
        name = account_of(self._policy.account, asked)
        full = name not in self._accounts and len(self._accounts) >= _MOST_ACCOUNTS
        return self._accounts.setdefault("others" if full else name, _Account())

    def _left(self, account: _Account) -> int:
        # A job is paid for when it has ended, and nothing else is paid with what it will cost.
        return (self._balance or 0) - account.charged - sum(account.jobs.values())

    def _with_balance(self, reader: CostReader, account: _Account, reply: Reply) -> Reply:
        if self._balance is None:
            return reply
        left = from_millionths(max(0, self._balance - account.charged))
        headers = [place for place in reader.balance if place.header is not None]
        reply = tell(reply, [place for place in reader.balance if place.path is not None], left, add=False)
        return tell(reply, headers, left, add=True)

    def _refusal(self, reader: CostReader, asked: Asked, account: _Account) -> Reply:
        found = self._documented.of_category(Category.CREDITS_EXHAUSTED, asked.method, path_of(asked)) or Reply(402)
        return self._with_balance(reader, account, tell(found, reader.charged, Decimal(0), add=False))


def _writes(step: Step, reader: CostReader) -> bool:
    given = {name.lower() for name, _ in step.headers}
    return any(place.header is not None and place.header.lower() in given for place in reader.charged)


def _with_id(reader: CostReader, path: str, step: Step, reply: Reply) -> Reply:
    """The answer to a question after a job, about the job that the path names."""
    name = reader.id_in(path)
    for job in reader.jobs:
        if job.poll_id is not None and name is not None and step.body is None:
            reply = put(reply, job.poll_id, name) or reply
    return reply


def _begun(reader: CostReader, name: str, account: _Account, reply: Reply) -> tuple[Reply, str]:
    """The answer with an id that no other job of the account has: the documented one, or a later one made of it."""
    account.begun += 1
    if account.begun == 1:
        return reply, name
    number = int(name) + account.begun - 1 if name.isascii() and name.isdigit() else None
    new = f"{name}-{account.begun}" if number is None else str(number)

    def write(value: object) -> object:
        return number if isinstance(value, int) else new

    for path in [job.id for job in reader.jobs if job.id is not None]:
        reply = put(reply, path, write) or reply
    return reply, new
