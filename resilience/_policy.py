"""A provider's documentation as plain data: what a policy file may say."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, StrictInt, StringConstraints, model_validator

from ._breaker_policy import BreakerPolicy
from ._clock import RealClock
from ._credits_policy import Credits
from ._envelope import Envelopes
from ._examples import Example
from ._given_parts import classify_parts
from ._hosts import Match
from ._idempotency import Idempotency
from ._inspection import Inspection
from ._limits import Limit, PlanNumbers, Resolved, resolve_limits
from ._matchers import Texts
from ._model import Model, Name, Version
from ._operations import Operation, Operations, check_times
from ._propagation import Propagation
from ._remedies import Remedy
from ._retry_policy import PolicyRetry
from ._rule import Rule, Statement
from ._streams import CloseCode, ServerEvent
from ._units import Size, TimeLimit
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._attempt_span import Parts
    from ._classifier import Classifier
    from ._local_reply import LocalReplies
    from ._outcome import Verdict

_STATUSES = {None, *range(100, 1000)}

__all__ = ["Account", "Doc", "Policy"]


class Doc(Model):
    """A page of the provider's documentation."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=500)]
    """Where it stands."""
    checked: datetime.date
    """When somebody last compared this file with it."""
    rows: dict[str, Annotated[StrictInt, Field(ge=1)]] = {}
    """How many rows each of its tables has; `resilience test` counts that each is covered by an example."""


class Account(Model):
    """Whose key a request carries: what "per account" means."""

    headers: Texts | None = None
    """Headers that may carry the key, in the provider's order of priority."""
    query: Texts | None = None
    """Query parameters that may carry it."""


class Policy(Model):
    """One provider: what its answers mean, what may be sent again and when."""

    version: Version
    """The version of this language."""
    provider: Name
    """The provider's name."""
    title: str | None = None
    """The name that people know."""
    extends: str | None = None
    """Another policy that this one changes: a shipped name, or a path from this file."""
    docs: dict[Name, Doc] = {}
    """The pages that the file rests on, by a short name each."""
    match: Match
    """Which requests it speaks of."""
    account: Account | None = None
    """What "per account" means."""
    plans: dict[Name, PlanNumbers] = {}
    """The plans that the provider sells, with the numbers that limits take from them."""
    limits: Annotated[tuple[Limit, ...], Field(max_length=100)] = ()
    """What the provider allows: rates, and calls at a time."""
    breaker: BreakerPolicy = BreakerPolicy.model_construct()
    """When calls to a provider that is down are held back."""
    credits: Credits | None = None
    """What calls cost."""
    operations: dict[Name, Operation] = {}
    """Groups of endpoints that the documentation treats alike."""
    envelopes: Envelopes = ()
    """Where code and message stand in an error body."""
    inspect: Inspection = Inspection.model_construct()
    """Which bodies are looked at, and how much of them."""
    answers: tuple[Rule, ...] = ()
    """What answers mean, the first match first; after these the status alone speaks."""
    retryable_from: tuple[Statement, ...] = ()
    """Where the answer itself says whether it may be retried, in order of precedence."""
    retry: PolicyRetry = PolicyRetry.model_construct()
    """When and how often calls are sent again."""
    deadline: TimeLimit | None = None
    """How long a call may take in all, its waits included."""
    attempt_timeout: TimeLimit | None = None
    """How long one attempt may take until its answer is there."""
    replay: Size = 1024 * 1024
    """How much of a request body that cannot be read twice is kept, to send it again."""
    idempotency: Idempotency | None = None
    """How the provider recognises a request that was sent before."""
    propagate: Propagation | None = None
    """What calls tell the service of their deadline and of retries."""
    remedies: tuple[Remedy, ...] = ()
    """What the page says to change in a request that failed."""
    websocket: tuple[CloseCode, ...] = ()
    """What the close codes of its WebSockets mean. Data: nothing acts on it yet."""
    events: tuple[ServerEvent, ...] = ()
    """What its server-sent events mean. Data: nothing acts on it yet."""
    examples: tuple[Example, ...] = ()
    """Documented answers with the verdict that they must get."""

    @model_validator(mode="after")
    def _times_agree(self) -> Policy:
        check_times(self.deadline, self.attempt_timeout)
        return self

    def __repr__(self) -> str:
        return f"<Policy {self.provider}: {len(self.answers)} rules for {', '.join(self.match.hosts)[:80]}>"

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with other parts where they are given; what was compiled from the old ones stays behind."""
        copied = super().model_copy(update=update, deep=deep)
        for name in vars(copied).keys() - type(self).model_fields.keys():
            del vars(copied)[name]
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        copied = self.model_copy()
        vars(copied).update({name: deepcopy(value, memo) for name, value in vars(copied).items()})
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        # What was compiled has locks, and what requests have told of credentials goes into no file.
        return super().__getstate__() | {"__dict__": dict(vars(self.model_copy()))}

    def copy(self, **named: Any) -> Self:
        """The older name of `model_copy`, whose own way would take along what was compiled from the old parts."""
        return self.model_copy(**named)

    def classify(
        self,
        *,
        method: str = "GET",
        url: str = "",
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = b"",
        error: str | Exception | None = None,
    ) -> Verdict:
        """What one answer means by this policy.

        Arguments:
            method: the request's method.
            url: the request's URL, whole or only its path; it chooses the operation.
            status: the HTTP status of the answer.
            headers: the answer's headers.
            body: its body, decompressed: bytes, text, or plain data that stands for JSON.
            error: instead of an answer, the transport error, or its kind (`read_timeout`).

        Raises:
            ValueError: neither a status nor an error was given, or both, or one that does not exist.
        """
        if status not in _STATUSES:
            raise ValueError(f"status is a number from 100 to 999, not {status!r:.40}")
        return classify_parts(
            self,
            method=method,
            url=url,
            status=status,
            headers=headers or {},
            body=body,
            error=error,
            wall=RealClock.wall(),
        )

    @cached_property
    def classifier(self) -> Classifier:
        """The rules, compiled."""
        from ._classifier import Classifier

        return Classifier(self)

    @cached_property
    def local_replies(self) -> LocalReplies:
        """What our own layers answer in the provider's place, compiled."""
        from ._local_reply import LocalReplies

        return LocalReplies(self)

    @cached_property
    def operation_finder(self) -> Operations:
        """The operations, compiled."""
        return Operations(self.operations)

    def operation_named(self, name: str) -> str:
        """The operation of that name.

        Raises:
            ConfigurationError: there is none.
        """
        if name not in self.operations:
            known = ", ".join(self.operations) or "none at all"
            raise ConfigurationError(f"{self.provider} has no operation {name!r}; there are: {known}")
        return name

    def times_for(self, operation: str | None) -> tuple[float | None, float | None]:
        """Deadline and attempt timeout of an operation's calls, in seconds: its own, else the policy's."""
        times = self.operation_times.get(operation)
        return (self.deadline, self.attempt_timeout) if times is None else times

    @cached_property
    def operation_times(self) -> dict[str | None, tuple[float | None, float | None]]:
        """The same for all operations."""
        return {
            name: (
                self.deadline if operation.deadline is None else operation.deadline,
                self.attempt_timeout if operation.attempt_timeout is None else operation.attempt_timeout,
            )
            for name, operation in self.operations.items()
        }

    def limits_for(self, plan: str | None) -> tuple[Resolved, ...]:
        """The limits with the numbers of a plan, each named."""
        found = self._limits_by_plan.get(plan)
        if found is None:
            found = self._limits_by_plan[plan] = resolve_limits(self, plan)
        return found

    @cached_property
    def span_parts(self) -> dict[tuple[str | None, str, str], Parts]:
        """What the spans of attempts have in common, by operation, method and URL; kept of some that are called again."""
        return {}

    @cached_property
    def _limits_by_plan(self) -> dict[str | None, tuple[Resolved, ...]]:
        return {}

    @cached_property
    def rules(self) -> dict[str, Rule]:
        """The rules by their names."""
        return {rule.rule: rule for rule in self.answers}
