"""What a request that comes in says of its caller: how long he waits, how often he lets it be sent on, and who he is.

Whoever sends a request writes its headers as he likes. What cannot be read says nothing, and what can be only shortens.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Generator, Iterable, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ._caller import MOST, UNTIL, Bound, Caller, Request
from ._deadline_header import read_deadline
from ._tags import CURRENT, Asked, Tagged, check_tags
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._web_options import Options

__all__ = ["ARRIVAL", "Arrival", "Inbound"]

ARRIVAL = "resilience.arrival"
"""Under which name a request's scope or environment has its arrival."""
_VARIABLES: tuple[ContextVar[Any], ...] = (UNTIL, MOST, CURRENT)

Values = Callable[[str], Iterable[str]]
"""Gives the values of a header, by its name in lower case; several of one name may be one, with commas."""
# What is longer, or comes more often, is nobody's deadline.
_LONGEST = 200
_MOST_VALUES = 10
_LONGEST_TAG = 200
# More digits than anybody's attempts have say nothing either.
_COUNT = re.compile(r"[0-9]{1,9}")
_OWS = " \t"  # RFC 9110 section 5.6.3
# Of what the caller waits, how much is kept back at most for the answer.
_MOST_MARGIN = 0.1


class Arrival:
    """A request that has come.

    Arguments:
        request: what it leaves to the calls that are made for it.
        ask: gives its tags.
        is_late: whether nobody waits for its answer any more.
        is_first: whether nothing around it is its own.
    """

    __slots__ = ("_request", "_values", "is_late")

    def __init__(self, request: Request, ask: Asked | None, *, is_late: bool, is_first: bool) -> None:
        self._request, self.is_late = request, is_late
        around = None if is_first else CURRENT.get()
        self._values: list[Any] = [request.until, request.most, around if ask is None else Tagged(ask, around)]

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold all calls within to it; for each step of an answer that is made in several: what a step sets, the next has."""
        tokens = [variable.set(value) for variable, value in zip(_VARIABLES, self._values, strict=True)]
        try:
            yield
        finally:
            self._values = [variable.get() for variable in _VARIABLES]
            for variable, token in zip(_VARIABLES, tokens, strict=True):
                # A generator that was left early is closed in whatever context the collector comes in.
                with suppress(ValueError):
                    variable.reset(token)

    def ends(self, bound: Bound[Any]) -> None:
        """Have a bound end with the request, whenever its own block ends."""
        self._request.bounds.append(bound)

    def end(self) -> None:
        """It is answered: what goes on is held to its deadline and its attempts no more."""
        self._request.end()


class Inbound:
    """Reads requests.

    Arguments:
        options: of the application.
        route_of: gives the template of the route that a request goes, `None` where there is none, or not yet.
    """

    def __init__(self, options: Options, route_of: Callable[[Any], str | None]) -> None:
        self._options = options
        self._route_of = route_of

    def receive(self, values: Values, request: Any, scope: MutableMapping[str, Any]) -> Arrival:
        """Read a request.

        Arguments:
            values: of its headers.
            request: as its framework has it, for the application's own functions.
            scope: what its server has said of it, where whatever else reads it finds that it was read.
        """
        seconds, is_first = self._seconds(values, request), ARRIVAL not in scope
        bounds = Request(seconds, self._attempts(values), is_first=is_first)
        is_late = seconds is not None and seconds <= 0
        arrival = scope[ARRIVAL] = Arrival(bounds, self._tags(values, request), is_late=is_late, is_first=is_first)
        return arrival

    def _seconds(self, values: Values, request: Any) -> float | None:
        options = self._options
        own = options.timeout(request) if callable(options.timeout) else options.timeout
        is_number = isinstance(own, int | float) and not isinstance(own, bool)
        if own is not None and not (is_number and own > -math.inf):
            raise ConfigurationError(f"timeout gave {own!r:.60} for a request; it gives a number of seconds, or None")
        if options.deadline_header is None:
            return own
        wall = Caller.clock.wall()
        read = (read_deadline(each, options.deadline_as, wall=wall) for each in _each(values, options.deadline_header))
        left = min((each for each in read if each is not None), default=math.inf)
        left -= min(options.margin, left * _MOST_MARGIN)
        least = left if own is None else min(left, own)
        return None if least == math.inf else least

    def _attempts(self, values: Values) -> int | None:
        name = self._options.attempts_header
        if name is None:
            return None
        counts = [int(each) for each in _each(values, name) if _COUNT.fullmatch(each)]
        # Who leaves none leaves one: that he has sent this.
        return max(1, min(counts)) if counts else None

    def _tags(self, values: Values, request: Any) -> Callable[[], Mapping[str, str]] | None:
        options = self._options
        given: dict[str, object] = {name: ",".join(values(header)) for name, header in options.tag_headers.items()}
        if not callable(options.tags):
            given |= options.tags
        if not callable(options.tags) and options.route_tag is None:
            found = _checked(given)
            return (lambda: found) if found else None

        def ask() -> Mapping[str, str]:
            # The route, and who the caller is, are often found out only on the way through the framework.
            now = dict(given)
            if options.route_tag is not None:
                now[options.route_tag] = self._route_of(request) or ""
            if callable(options.tags):
                now |= options.tags(request)
            return _checked(now)

        return ask


def _each(values: Values, name: str) -> Iterable[str]:
    """The values of a header, each by itself: none of what is read here has a comma in it."""
    given = ",".join(list(values(name))[:_MOST_VALUES])
    if len(given) > _LONGEST:
        return ()
    return (each.strip(_OWS) for each in given.split(",")[:_MOST_VALUES])


def _checked(given: Mapping[str, object]) -> Mapping[str, str]:
    """Tags that can be honoured, whatever a caller has written: what is empty is none, what is long is a digest of it."""
    found: dict[str, object] = {}
    for name, value in given.items():
        if isinstance(value, str):
            value = value.encode("utf-8", "replace").decode()  # noqa: PLW2901  the same without halves of characters
            if len(value) > _LONGEST_TAG:
                value = f"~{hashlib.blake2b(value.encode(), digest_size=16).hexdigest()}"  # noqa: PLW2901
        if value is not None and value != "":
            found[name] = value
    return check_tags(found)
