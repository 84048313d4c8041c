"""What a refused call gets: a response in the provider's own error shape, or an error of the caller's library.

The application and its SDKs already understand what the provider answers when it is called too often or is down; a
call that one of our own layers refuses gets the same, marked as ours (as Envoy marks its local replies).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import errors
from ._local_shape import LocalReply, Shape, shape_for
from ._local_waits import whole_seconds
from ._units import seconds_text

if TYPE_CHECKING:
    from ._library import Library
    from ._modes import Layer
    from ._policy import Policy
    from ._refusal import Refusal
    from ._trail import Refused

__all__ = ["LocalReplies", "LocalReply", "error_of"]

# A policy has a bounded number of operations; methods are the application's, and it may invent them.
_MOST_SHAPES = 5000


class _Said:
    """A shape, and what it was filled with last: the calls that are refused within a moment all get the same.

    Arguments:
        shape: of a provider's replies.
    """

    __slots__ = ("_last", "_names_moment", "_shape")

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._names_moment = shape.names_moment
        self._last: tuple[tuple[str, int | None, str], LocalReply] | None = None

    def reply(self, reason: str, seconds: float | None, wall: float) -> LocalReply:
        shape, last = self._shape, self._last
        whole = None if seconds is None else whole_seconds(seconds)
        # A number of seconds is written as it was; a point in time moves on without it.
        told = reason, whole, shape.waits(seconds, wall)[1] if self._names_moment else ""
        if last is None or last[0] != told:
            last = self._last = told, shape.reply(reason, *shape.waits(seconds, wall))
        return last[1]


class LocalReplies:
    """What our own layers answer in the place of one provider; each shape is made when it is first needed."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._shapes: dict[tuple[Layer, str | None, str], _Said] = {}

    def reply(self, refusal: Refusal | Refused, *, operation: str | None, method: str, wall: float) -> LocalReply:
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


def error_of(provider: str, refusal: Refusal | Refused, library: Library) -> Exception:
    """The error for a user who has asked for one instead.

    Arguments:
        provider: of the call.
        refusal: why, and for how long.
        library: of the caller's client.
    """
    seconds = refusal.retry_after
    again = "" if seconds is None else f"; it would be let through in {seconds_text(seconds)}"
    # Layers that hand the provider's answer back refuse nothing; one that is new here is at least an error of ours.
    kind = library.refusals.get(refusal.layer, errors.Refused)
    return kind(
        f"{provider}: the {refusal.layer} did not let the call through: {refusal.reason}{again}",
        layer=refusal.layer,
        policy=provider,
        retry_after=seconds,
        reason=refusal.reason,
    )
