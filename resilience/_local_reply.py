"""What a refused call gets: a response in the provider's own error shape, or an error of the caller's library.

The application and its SDKs already understand what the provider answers when it is called too often or is down; a
call that one of our own layers refuses gets the same, marked as ours (as Envoy marks its local replies).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._local_shape import LocalReply, Shape, shape_for
from ._outcome import Outcome
from ._units import seconds_text
from .errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._library import Library, Response
    from ._modes import Layer
    from ._outcome import Exchange
    from ._policy import Policy
    from ._refusal import Refusal

__all__ = ["LocalReplies", "LocalReply", "in_place_of_answer"]

# A policy has a bounded number of operations; methods are the application's, and it may invent them.
_MOST_SHAPES = 5000


class _Said:
    """A shape, and what it was filled with last: the calls that are refused within a moment all get the same.

    Arguments:
        shape: of a provider's replies.
    """

    __slots__ = ("_last", "_shape")

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._last: tuple[tuple[str, int | None, str], LocalReply] | None = None

    def reply(self, reason: str, seconds: float | None, wall: float) -> LocalReply:
        whole, written = self._shape.waits(seconds, wall)
        told, last = (reason, whole, written), self._last
        if last is None or last[0] != told:
            last = self._last = told, self._shape.reply(*told)
        return last[1]


class LocalReplies:
    """What our own layers answer in the place of one provider; each shape is made when it is first needed."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._shapes: dict[tuple[Layer, str | None, str], _Said] = {}

    def reply(self, refusal: Refusal, *, operation: str | None, method: str, wall: float) -> LocalReply:
        """The reply to one refused call.

        Arguments:
            refusal: why, and for how long.
            operation: the operation of the call.
            method: its method.
            wall: epoch seconds now.
        """
        key = (refusal.layer, operation, method)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            shape = self._shapes[key] = _Said(shape_for(self._policy, refusal.layer, operation, method))
        return shape.reply(refusal.reason, refusal.retry_after, wall)


def in_place_of_answer(exchange: Exchange, outcome: Outcome, library: Library, wall: Callable[[], float]) -> Outcome:
    """What the application gets for a refusal: a response, or the error that its user asked for.

    Arguments:
        exchange: the call.
        outcome: of a layer that refused it.
        library: of the caller's client.
        wall: gives epoch seconds, for a reply that names a point in time.
    """
    refusal = outcome.refusal
    if refusal is None:
        return outcome
    policy, request = exchange.policy, exchange.request
    if exchange.settings.refusals == "raise":
        return Outcome(outcome.verdict, error=_error(refusal, policy.provider, library))
    reply = policy.local_replies.reply(refusal, operation=exchange.operation, method=request.method, wall=wall())
    response: Response = library.respond(request, reply)
    return Outcome(outcome.verdict, response)


def _error(refusal: Refusal, provider: str, library: Library) -> Exception:
    seconds = refusal.retry_after
    again = "" if seconds is None else f"; it would be let through in {seconds_text(seconds)}"
    # Layers that hand the provider's answer back refuse nothing; one that is new here is at least an error of ours.
    kind = library.refusals.get(refusal.layer, Refused)
    return kind(
        f"{provider}: the {refusal.layer} did not let the call through: {refusal.reason}{again}",
        layer=refusal.layer,
        policy=provider,
        retry_after=seconds,
        reason=refusal.reason,
    )
