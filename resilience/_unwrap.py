"""What an application gets of a call that is over: the response, or an error that is raised, with the trail on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from ._local_reply import error_of, reply_to
from ._trail_of import note_trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._library import Library, Response
    from ._outcome import Exchange, Outcome
    from ._refusal import Refusal
    from ._trail import Trail

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
        return in_place_of_answer(exchange, outcome.refusal, library, wall)
    if outcome.response is None:
        raise_with(outcome.forget_error(), exchange.trail)
    return _marked(outcome.response, exchange.trail)


def in_place_of_answer(exchange: Exchange, refusal: Refusal, library: Library, wall: Callable[[], float]) -> Response:
    """What the application gets for a refusal: a response, or the error that its user asked for.

    Arguments:
        exchange: the call.
        refusal: why it was not sent.
        library: of the caller's client.
        wall: gives epoch seconds.
    """
    if exchange.settings.refusals == "raise":
        raise_with(error_of(exchange, refusal, library), exchange.trail)
    return _marked(reply_to(exchange, refusal, library, wall()), exchange.trail)


def _marked(response: Response, trail: Trail) -> Response:
    response.extensions = {**response.extensions, "resilience": trail}
    return response


def raise_with(error: Any, trail: Trail) -> NoReturn:
    """Raise what ends a call.

    Arguments:
        error: of the library's classes, or whatever the transport has raised.
        trail: of the call, which is put on it.
    """
    note_trail(error, trail)
    try:
        raise error
    finally:
        # Its traceback holds this frame, which must not hold it in turn.
        del error
