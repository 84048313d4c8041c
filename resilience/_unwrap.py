"""What an application gets of a call that is over: the response, or an error that is raised, with the trail on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from ._local_reply import error_of
from ._raised import raise_again
from ._trail_of import note_trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._library import Library, Request, Response
    from ._outcome import Exchange, Outcome
    from ._refusal import Refusal
    from ._trail import Refused, Trail
    from ._way_kind import Kind

__all__ = ["in_place_of_answer", "raise_with", "unwrap"]


def unwrap(exchange: Exchange, outcome: Outcome, library: Library, wall: Callable[[], float]) -> Response:
    """The response, or the error raised, with the trail on it.

    Arguments:
        exchange: the call.
        outcome: what the outermost layer made of it.
        library: of the caller's client; a call that we refused gets a response or an error of its classes.
        wall: gives epoch seconds, for a reply that names a point in time.
    """
    if outcome.refusal is not None:
        return in_place_of_answer(exchange, (exchange.request, exchange.trail), outcome.refusal, library, wall)
    response = outcome.response
    if response is None:
        raise_with(outcome.forget_error(), exchange.trail)
    response.extensions = {**response.extensions, "resilience": exchange.trail}
    return response


def in_place_of_answer(
    kind: Exchange | Kind,
    call: tuple[Request, Trail],
    refusal: Refusal | Refused,
    library: Library,
    wall: Callable[[], float],
) -> Response:
    """What the application gets for a refusal: a response, or the error that its user asked for.

    Arguments:
        kind: the policy, settings and operation of the call.
        call: its request and its trail.
        refusal: why it was not sent.
        library: of the caller's client.
        wall: gives epoch seconds.
    """
    request, trail = call
    policy = kind.policy
    if kind.settings.refusals == "raise":
        raise_with(error_of(policy.provider, refusal, library), trail)
    reply = policy.local_replies.reply(refusal, operation=kind.operation, method=request.method, wall=wall())
    response: Response = library.respond(request, reply, trail)
    return response


def raise_with(error: Any, trail: Trail) -> NoReturn:
    """Raise what ends a call.

    Arguments:
        error: of the library's classes, or whatever the transport has raised.
        trail: of the call, which is put on it.
    """
    note_trail(error, trail)
    try:
        raise_again(error)
    finally:
        # Its traceback holds this frame, which must not hold it in turn.
        del error
