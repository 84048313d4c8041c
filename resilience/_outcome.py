"""What layers hand to each other: a call on its way in, its outcome on the way out, never an exception."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._categories import Category
from ._hub import Hub, tell_happened
from ._trail import Attempt, Wait

if TYPE_CHECKING:
    from ._breaker import Admission
    from ._clock import Closing
    from ._library import Request, Response
    from ._options import CallOptions
    from ._policy import Policy
    from ._refusal import Refusal
    from ._registry import Settings
    from ._repeatable import Repeatable
    from ._replay import Replay
    from ._sending import Watch
    from ._sent import Sent
    from ._spans import Spans
    from ._trail import Charged, Refused, Trail
    from ._transactions import Store
    from ._way import Way
    from .events import Listener

__all__ = ["Call", "Exchange", "Outcome", "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one answer means, by the provider's documentation.

    `retryable` speaks of the answer alone; whether a given request may be sent again is the retry layer's question.
    `retry_after` is in seconds from the answer, `None` when the answer asks for no wait. `rule` names the policy's
    rule and `doc` the page it rests on; both are `None` where only the status spoke.
    """

    category: Category
    retryable: bool
    code: str | None = None
    message: str | None = None
    retry_after: float | None = None
    retry_after_source: str | None = None
    rule: str | None = None
    doc: str | None = None
    operation: str | None = None
    target_status: int | None = None
    error: str | None = None
    """The kind of transport error, where no response came."""


@dataclass(slots=True)
class Outcome:
    """A verdict with the response, the error or the refusal that it is about: exactly one of the three."""

    verdict: Verdict
    response: Response | None = None
    error: Exception | None = field(default=None, repr=False)
    """Its words are the library's, which may quote the request."""
    refusal: Refusal | None = None
    """What one of our own layers refused: nothing was sent."""

    def forget_error(self) -> Exception | None:
        """The error, which is let go of here.

        Its traceback holds the frames of the layers, and those hold this outcome: all of it would stay in memory until
        the collector comes.
        """
        error, self.error = self.error, None
        return error


@dataclass(slots=True, repr=False)
class Exchange:
    """One call on its way through the layers; times are seconds of the runtime's `now()`."""

    request: Request
    policy: Policy
    operation: str | None
    options: CallOptions
    trail: Trail
    closing: Closing
    """Set when the client of this call is closed."""
    store: Store
    """Where limits, permits, breakers and budgets keep their state."""
    settings: Settings
    """What the user says of this provider: plan, modes, manner of refusals."""
    account: str = "-"
    """Whose key the request carries, as a digest."""
    replay: Replay | None = None
    repeatable: Repeatable | None = None
    """What the operation declares, or an idempotency key ensures; `None` leaves it to the method."""
    extensions: Any = None
    """The request's own extensions, while an attempt has others."""
    cuts: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = ()
    """The timeouts that attempts were given, and the request's own."""
    given: Request | None = None
    """The application's request, where this call's has headers of its own."""
    told_headers: frozenset[str] = frozenset()
    """The headers in which its attempts tell of deadline and attempts."""
    started: float = 0.0
    deadline: float | None = None
    is_hurried: bool = False
    """Whether the deadline is that of whoever waits for this program: the policy would give more time."""
    pool_wait: float = 0.0
    """How many seconds the attempt in hand has waited in front of the connection pool."""
    sent: int = 0
    """How often the request has been sent."""
    answer: Response | None = None
    """The last answer that came: whatever happens until it is handed on, somebody has to close it."""
    is_under_way: bool = False
    """Whether the attempt in hand has come to the transport: before that, nothing of it has cost the provider anything."""
    ahead: Sent | None = None
    """What came of the attempt in hand, where it was sent before the layers were asked."""
    way: Way | None = None
    """Its short cut, where it came by one."""
    watch: Watch | None = None
    """Whether anything of the attempt in hand has left, where somebody wants to know."""
    admission: Admission | None = None
    """What the breaker let this attempt through with."""
    listeners: tuple[Listener, ...] = ()
    """Who hears of the calls of this client alone."""
    is_untold: bool = False
    """Whether nobody hears of it: of what takes place in a simulation, or is asked beside a call."""
    spans: Spans | None = None
    """The call in a tracing backend, where there is one."""

    def __repr__(self) -> str:
        # Request and options hold what nobody else may see.
        return (
            f"<Exchange {self.trail.provider} {self.operation or '-'}, account {self.account}, sent {self.sent} times>"
        )

    def record(self, happened: Attempt | Wait | Refused | Charged) -> None:
        """Write something into the trail, and tell whoever hears of it."""
        self.trail.events.append(happened)
        if self.spans is not None:
            self.spans.heard(self, happened)
        if type(happened) is not Attempt or Hub.listeners or self.listeners:
            tell_happened(self, happened)

    def begin_wait(self, wait: Wait) -> int:
        """Write a wait into the trail that begins now; whoever hears of waits is told when it is over.

        Returns:
            Its place among the events.
        """
        events = self.trail.events
        events.append(wait)
        if self.spans is not None:
            self.spans.heard(self, wait)
        return len(events) - 1

    def end_wait(self, place: int, seconds: float) -> None:
        """Say how long a wait really was, in the trail and to whoever hears of it.

        Arguments:
            place: what `begin_wait` gave.
            seconds: how long.
        """
        wait: Any = self.trail.events[place]
        self.trail.events[place] = wait = Wait(seconds, *wait[1:])
        tell_happened(self, wait)

    @property
    def may_have_left(self) -> bool:
        """Whether anything of the attempt in hand may have come to the provider."""
        return self.is_under_way and not (self.watch is not None and self.watch.is_unsent)


Call = Callable[[Exchange], Coroutine[Any, Any, Outcome]]
"""A layer, or all layers from one inwards."""
