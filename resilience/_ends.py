"""How calls end: whoever hears of them is told, and their trail is kept where it is looked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ._hub import Hub, end_call, tell_refusal
from ._refusal import story_of
from ._trail import Trail, observers
from ._trail_of import LAST, keep_trail
from ._unwrap import in_place_of_answer

if TYPE_CHECKING:
    from ._clock import Clock
    from ._library import Library, Request, Response
    from ._outcome import Exchange, Outcome
    from ._trail import Refused
    from ._way_kind import Kind
    from .events import Listener

__all__ = ["Ends"]


class Ends:
    """The ends of the calls of one transport.

    Arguments:
        library: httpx or httpx2, as its adapter describes it.
        clock: time and chance.
        listeners: who hears of this client's calls.
    """

    def __init__(self, library: Library, clock: Clock, listeners: tuple[Listener, ...]) -> None:
        self._library = library
        self._clock = clock
        self.listeners = listeners
        """Who hears of this client's calls."""

    def refuse(self, request: Request, kind: Kind, refused: Refused) -> Response:
        """Tell of a call that is refused at once, and return or raise what its caller gets.

        Arguments:
            request: of the call.
            kind: what it has in common with others.
            refused: by what, and why.
        """
        provider, operation = kind.policy.provider, kind.operation
        tell_refusal(provider, operation, refused)
        # Whoever heard of it may have called something.
        trail = LAST.trail = Trail(provider, operation, [refused])
        trail.stop("refused", story_of(refused), refused.retry_after)
        keep_trail(request, trail)
        return in_place_of_answer(kind, (request, trail), refused, self._library, self._clock.wall)

    def end(self, exchange: Exchange, outcome: Outcome | None) -> None:
        """End a call.

        Arguments:
            exchange: the call.
            outcome: what came of it; `None` where it was interrupted.
        """
        trail = LAST.trail = exchange.trail
        keep_trail(exchange.request, trail)
        if outcome is None:
            trail.stop(trail.why or "interrupted", trail.stopped or "it was interrupted")
        if exchange.spans is not None:
            # What ends a coroutine so, which is left, is the collector mostly.
            is_left = outcome is None and isinstance(sys.exception(), GeneratorExit)
            exchange.spans.abandon(exchange) if is_left else exchange.spans.end(exchange, outcome)
        # Of calls that failed the log hears, though nobody listens.
        if trail.why != "success" or Hub.listeners or exchange.listeners or observers:
            end_call(exchange, outcome, self._clock.now() - exchange.started)
            # Whoever heard of it may have called something.
            LAST.trail = trail
