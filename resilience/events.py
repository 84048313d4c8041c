"""What the library tells of its decisions, and who hears of them: `resilience.listen(listener)`.

A listener hears in the thread or task of the call that an event belongs to, so it must not block; what it raises is
logged and harms nothing. No event holds a credential or a body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ._budget_warnings import BudgetWarning

if TYPE_CHECKING:
    from decimal import Decimal

    from ._modes import Layer
    from ._outcome import Verdict
    from ._reasons import RefusalReason, WaitReason
    from ._trail import Ended, Trail

__all__ = [
    "Attempted",
    "BudgetWarning",
    "CallEnded",
    "Charged",
    "Event",
    "Latched",
    "Listener",
    "Paused",
    "Refused",
    "Retrying",
    "StoreChanged",
    "Tripped",
    "Waited",
]


@dataclass(frozen=True, slots=True)
class Event:
    """What all events of calls have.

    Arguments:
        provider: the policy's name.
        operation: the policy's name for what was called, `None` where it has none.
    """

    provider: str
    operation: str | None


@dataclass(frozen=True, slots=True)
class Attempted(Event):
    """The request was sent once, and this is what came.

    Arguments:
        number: of the attempt, from 1.
        seconds: how long it took until the answer was there.
        status: of the answer, `None` where none came.
        error: the class of the transport error.
        verdict: what it means.
    """

    number: int
    seconds: float
    status: int | None
    error: str | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Retrying(Event):
    """The request will be sent again.

    Arguments:
        attempt: how often it was sent by now.
        wait: seconds until it is sent again.
        why: who asked for that wait, in one word.
        source: the same for people: a header, a field, the back-off.
        verdict: on the answer that was not good enough.
    """

    attempt: int
    wait: float
    why: WaitReason
    source: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Waited(Event):
    """The call has waited.

    Arguments:
        seconds: how long.
        layer: for whom.
        why: who asked for it, in one word.
        source: the same for people.
        observed: whether the layer only observes: then nobody waited.
    """

    seconds: float
    layer: Layer
    why: WaitReason
    source: str
    observed: bool


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """A layer did not let the call through.

    Arguments:
        layer: which.
        why: in one word.
        reason: in words for people.
        retry_after: seconds until it would, `None` where nobody can know.
        observed: whether the layer only observes: then the call went on.
        scope: what a budget that is used up counts apart (`tag.tenant=acme`); nothing for all calls together.
    """

    layer: Layer
    why: RefusalReason
    reason: str
    retry_after: float | None
    observed: bool
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Tripped(Event):
    """A breaker has changed its state, by what came of this call.

    Arguments:
        breaker: its key.
        state: what it is now: `closed`, `open`, `half_open` or `isolated`.
        previous: what it was.
        after: the failure that was one too many, where a closed one has opened: status or error, and category.
        looks_in: seconds until a call may look, at the earliest, where a closed one has opened.
    """

    breaker: str
    state: str
    previous: str
    after: str | None = None
    looks_in: float | None = None


@dataclass(frozen=True, slots=True)
class Charged(Event):
    """An attempt has cost something, or nothing.

    Arguments:
        amount: how much.
        unit: of what: `credits`, `USD`, `requests`.
        reserved: what it might have cost at worst.
        outcome: `settled`; `failed` where the answer was not good; `job` when one is over; `unanswered`: nobody saw it.
    """

    amount: Decimal
    unit: str
    reserved: Decimal
    outcome: str


@dataclass(frozen=True, slots=True)
class Latched(Event):
    """An answer has shut an account or an operation.

    Arguments:
        scope: which of the two.
        seconds: until it opens, `None` where one call will look.
        reason: status and code of the answer.
        account: whose key the request carried, as the digest that `resilience status` shows; `-` where nobody asks.
    """

    scope: Literal["account", "operation"]
    seconds: float | None
    reason: str
    account: str = "-"


@dataclass(frozen=True, slots=True)
class Paused(Event):
    """An answer has paused a limit for all calls.

    Arguments:
        limit: its name.
        seconds: how long; 0 for as long as its rate takes, where the answer did not say.
    """

    limit: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StoreChanged:
    """A shared store was lost, or is back; it belongs to no call.

    Arguments:
        url: of the store, without credentials.
        is_away: whether this process decides alone now.
        reason: why it cannot be used.
    """

    url: str
    is_away: bool
    reason: str


@dataclass(frozen=True, slots=True)
class CallEnded(Event):
    """The call is over.

    Arguments:
        seconds: from its beginning until its answer was handed on, waits included.
        outcome: `rejected` where one of our layers refused it, `interrupted` where its caller did not wait for it.
        trail: all that happened to it.
    """

    seconds: float
    outcome: Ended
    trail: Trail


class Listener:
    """Hears of decisions; override what is of interest."""

    def on_attempt(self, event: Attempted, /) -> None:
        """The request was sent, and an answer or an error came."""

    def on_retry(self, event: Retrying, /) -> None:
        """The request will be sent again."""

    def on_wait(self, event: Waited, /) -> None:
        """The call has waited."""

    def on_refusal(self, event: Refused, /) -> None:
        """A layer did not let the call through."""

    def on_trip(self, event: Tripped, /) -> None:
        """A breaker has changed its state."""

    def on_charge(self, event: Charged, /) -> None:
        """An attempt was paid for."""

    def on_latch(self, event: Latched, /) -> None:
        """An account or an operation was shut."""

    def on_pause(self, event: Paused, /) -> None:
        """A limit was paused."""

    def on_budget_warning(self, event: BudgetWarning, /) -> None:
        """A budget begins to be used up."""

    def on_store(self, event: StoreChanged, /) -> None:
        """A shared store was lost, or is back: told to the listeners of the process, since it belongs to no client."""

    def on_call(self, event: CallEnded, /) -> None:
        """A call is over, also one that was cancelled."""
