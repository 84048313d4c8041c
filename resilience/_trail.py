"""What happened to one call and why: its attempts, its waits, and the reason it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ._amounts import amount_text
from ._words import printable

if TYPE_CHECKING:
    from ._modes import Layer
    from ._outcome import Verdict
    from ._reasons import EndReason, RefusalReason, WaitReason

__all__ = ["Attempt", "Charged", "Ended", "Refused", "Trail", "Wait", "observers"]

Ended = Literal["success", "failure", "rejected", "interrupted"]
"""What became of a call: one of our own layers rejected it, or its caller has interrupted it."""


class Attempt(NamedTuple):
    """One sending of the request. `started` counts seconds from the start of the call."""

    number: int
    started: float
    seconds: float
    status: int | None
    error: str | None
    verdict: Verdict


class Wait(NamedTuple):
    """A wait before an attempt, in seconds, and who asked for it (a header, a body field, the back-off, a limit)."""

    seconds: float
    layer: Layer
    """The layer that waited."""
    why: WaitReason
    """Who asked for it, in one word."""
    source: str
    """Who asked for it, in words for people."""
    observed: bool = False
    """Whether the layer only observes: then nobody waited."""


class Refused(NamedTuple):
    """What one of our own layers did not let through."""

    layer: Layer
    why: RefusalReason
    """In one word."""
    reason: str
    """In words for people."""
    retry_after: float | None
    """Seconds until it would be let through, `None` where nobody can know."""
    observed: bool = False
    """Whether the layer only observes: then the call went on."""
    scope: str = ""
    """What a budget that is used up counts apart: `tag.tenant=acme`; nothing for all calls together."""


class Charged(NamedTuple):
    """What an attempt has cost, or what was taken for it where its answer did not say."""

    amount: Decimal
    unit: str
    reserved: Decimal
    """What it might have cost at worst."""
    outcome: str
    """`settled`, `failed`, or `unanswered` where the answer was never seen."""


def _no_events() -> list[Attempt | Wait | Refused | Charged]:
    # To call `list[...]` takes seven times as long.
    return []


@dataclass(slots=True)
class Trail:
    """The story of one call, on `response.extensions["resilience"]` and in a note of a raised error."""

    provider: str
    operation: str | None = None
    events: list[Attempt | Wait | Refused | Charged] = field(default_factory=_no_events)
    stopped: str = ""
    """Why no further attempt followed."""
    why: EndReason | None = None
    """The same in one word; `None` until the call is over."""
    retry_after: float | None = field(default=None, compare=False)
    """Seconds from the end of the call after which calling again might help: what the answer or a layer of ours asked for
    that was too long for this call. `None` where nobody knows, and where all is well."""

    noted: str = field(default="", repr=False, compare=False)
    """What stands of it in the notes of an error."""

    def stop(self, why: EndReason, stopped: str, retry_after: float | None = None) -> None:
        """Note why no further attempt follows.

        Arguments:
            why: in one word.
            stopped: in words for people.
            retry_after: seconds after which calling again might help.
        """
        self.why, self.stopped = why, stopped
        # Until somebody closes a breaker by hand: nobody knows when.
        self.retry_after = retry_after if retry_after is not None and isfinite(retry_after) else None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts, in order."""
        # Each call comes here, and a generator takes longer than a list.
        return tuple([event for event in self.events if isinstance(event, Attempt)])

    @property
    def waits(self) -> tuple[Wait, ...]:
        """The waits before the attempts, in order; those that were only observed are among the events."""
        return tuple(event for event in self.events if isinstance(event, Wait) and not event.observed)

    @property
    def refusals(self) -> tuple[Refused, ...]:
        """What our own layers refused, or would have refused, in order."""
        return tuple(event for event in self.events if isinstance(event, Refused))

    @property
    def charges(self) -> tuple[Charged, ...]:
        """What the attempts have cost, as far as it is known by now."""
        return tuple(event for event in self.events if isinstance(event, Charged))

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on the last attempt."""
        attempts = self.attempts
        return attempts[-1].verdict if attempts else None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        events = [
            {"attempt": _plain(event)}
            if isinstance(event, Attempt)
            else {type(event).__name__.lower(): _texts(event._asdict())}
            for event in self.events
        ]
        named = {"provider": self.provider, "operation": self.operation}
        return {**named, "events": events, "stopped": self.stopped, "why": self.why}

    def __str__(self) -> str:
        operation = f" {self.operation}" if self.operation else ""
        lines = [f"{self.provider}{operation}: {len(self.attempts)} attempt{'s'[: len(self.attempts) != 1]}"]
        for event in self.events:
            if isinstance(event, Wait):
                waited = "would have waited" if event.observed else "waited"
                lines.append(f"     {waited} {event.seconds:.3f}s, asked for by {printable(event.source)}")
                continue
            if isinstance(event, Refused):
                refused = "would have been refused" if event.observed else "refused"
                later = "" if event.retry_after is None else f"; again in {event.retry_after:.3f}s"
                lines.append(f"     {refused} by the {event.layer.replace('_', ' ')}: {printable(event.reason)}{later}")
                continue
            if isinstance(event, Charged):
                reserved = "" if event.amount == event.reserved else f" of {amount_text(event.reserved)} reserved"
                lines.append(f"     {event.outcome}: {amount_text(event.amount)} {event.unit}{reserved}")
                continue
            verdict = event.verdict
            answer = event.status if event.status is not None else event.error
            rule = f", rule {verdict.rule}" if verdict.rule else ""
            code = f", code {printable(verdict.code)}" if verdict.code else ""
            page = f", {verdict.doc}" if verdict.doc else ""
            lines.append(f"  {event.number}. {event.started:.3f}s: {answer} {verdict.category}{code}{rule}{page}")
        if self.stopped:
            lines.append(f"  => {printable(self.stopped)}")
        return "\n".join(lines)


def _texts(fields: dict[str, Any]) -> dict[str, Any]:
    # JSON has no exact decimals.
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in fields.items()}


def _plain(attempt: Attempt) -> dict[str, Any]:
    return {**attempt._asdict(), "verdict": asdict(attempt.verdict)}


observers: list[Callable[[Trail, Ended], None]] = []
"""Called with the trail of each call that is over; kept short and harmless by whoever adds to it."""
