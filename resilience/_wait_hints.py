"""How long the provider asks to wait: the first usable hint of an answer, in the policy's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import islice
from typing import Annotated, NamedTuple, Self, cast

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ._categories import Category
from ._conditions import BodyPath
from ._delays import DIALECTS, Dialect, http_date, is_relative, read_delay
from ._headers import HeaderName
from ._model import Model

__all__ = ["Hint", "WaitHint", "WaitHints", "check_precedence", "read_hints"]

_PACE = frozenset({Category.RATE_LIMITED, Category.CONCURRENCY_LIMITED, Category.QUOTA_EXHAUSTED})
# A body is bounded where it is read; this bounds the work on a list in it.
_MOST_VALUES = 100


class WaitHint(Model):
    """One place where a provider says how long to wait, and how it is written there."""

    header: HeaderName | None = None
    """The header that holds it. Exactly one of `header` and `body`."""

    body: BodyPath | None = None
    """The path in the body that holds it, as in `error.details[*].retryDelay`; of a list, the first usable value."""

    as_: Dialect | None = Field(default=None, alias="as")
    """How it is written: `retry_after` (RFC 9110: seconds or an HTTP-date), `seconds`, `integer` (whole seconds only),
    `milliseconds`, `epoch` (seconds since 1970), `epoch_integer` (whole, and not yet past), `epoch_milliseconds`,
    `rfc3339`, `http_date`, `duration` (`1m30s`, `250ms`), `ratelimit` (the IETF RateLimit field) or `auto` (a number
    by its size, or else one of the texts). Default: `retry_after` for Retry-After, `ratelimit` for RateLimit,
    `milliseconds` for a header whose name ends in `-ms`; everything else must say it."""

    when_header: dict[HeaderName, str] = Field(default_factory=dict[str, str])
    """The hint counts only if each of these headers has exactly this value, as in `X-RateLimit-Remaining: "0"`."""

    categories: Annotated[tuple[Category, ...], Field(min_length=1)] | None = None
    """The categories of answers for which it counts. Default: all of them for a body field and for headers named
    Retry-After (also with a prefix, also with `-ms`), which are sent to ask for a wait; for every other header
    `rate_limited`, `concurrency_limited` and `quota_exhausted`, because providers send those on every answer, and a
    server error need not wait for the end of the hour."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.header is None) == (self.body is None):
            raise PydanticCustomError("wait_hint", "a wait hint has exactly one of `header` and `body`")
        if self.as_ is None and self._known_dialect() is None:
            raise PydanticCustomError(
                "wait_hint",
                "it is not known how `{name}` states a wait; add `as:` with one of {dialects}",
                {"name": self.header or self.body or "", "dialects": ", ".join(DIALECTS)},
            )
        return self

    @cached_property
    def dialect(self) -> Dialect:
        """How the value is written: what the policy says, or what the header's name implies."""
        return self.as_ or cast("Dialect", self._known_dialect())

    @cached_property
    def name(self) -> str | None:
        """The header's name in lower case."""
        return self.header and self.header.lower()

    @cached_property
    def conditions(self) -> tuple[tuple[str, str], ...]:
        """`when_header` with names in lower case."""
        return tuple((name.lower(), value) for name, value in self.when_header.items())

    @property
    def source(self) -> str:
        """Where the value stands, for people: `Retry-After`, `body error.retry_after`."""
        return self.header or f"body {self.body}"

    def counts_for(self, category: str) -> bool:
        """Whether the hint is read from an answer of this category."""
        if self.categories is not None:
            return category in self.categories
        asks_to_wait = self.header is None or self.header.lower().removesuffix("-ms").endswith("retry-after")
        return asks_to_wait or category in _PACE

    def _known_dialect(self) -> Dialect | None:
        name = (self.header or "").lower()
        if name == "retry-after":
            return "retry_after"
        if name == "ratelimit":
            return "ratelimit"
        return "milliseconds" if name.endswith("-ms") else None


def check_precedence(hints: tuple[WaitHint, ...]) -> tuple[WaitHint, ...]:
    """The hints as they are, unless a RateLimit field would be obeyed in place of a Retry-After.

    Raises:
        PydanticCustomError: a RateLimit hint stands before a Retry-After hint.
    """
    ratelimit_first = False
    for hint in hints:
        ratelimit_first = ratelimit_first or hint.dialect == "ratelimit"
        if ratelimit_first and (hint.header or "").lower() == "retry-after":
            # draft-ietf-httpapi-ratelimit-headers, Client Behavior: Retry-After MUST take precedence.
            raise PydanticCustomError(
                "wait_precedence", "Retry-After takes precedence over RateLimit; put the Retry-After hint before it"
            )
    return hints


WaitHints = Annotated[tuple[WaitHint, ...], AfterValidator(check_precedence)]
"""Wait hints in order of precedence."""


class Hint(NamedTuple):
    """What an answer asked for.

    Attributes:
        seconds: how long to wait, never negative; as long as the provider likes, so the caller bounds it.
        source: which hint said so.
    """

    seconds: float
    source: str


def read_hints(
    hints: Sequence[WaitHint],
    *,
    header: Callable[[str], str | None],
    field: Callable[[str], object],
    wall: float,
) -> Hint | None:
    """The wait of the first hint that is usable: its conditions hold, and its value reads.

    Arguments:
        hints: where to look, in order of precedence; those that count for what the answer means.
        header: the value of a header by its name in lower case; None if it is absent.
        field: the value at a path of the body; None if it is absent.
        wall: epoch seconds of our own clock, for an answer without a `Date`.
    """
    for hint in hints:
        value = header(hint.name) if hint.name else field(cast("str", hint.body))
        if value is None or not _conditions_hold(hint, header):
            continue
        now = wall
        if not is_relative(value, hint.dialect) and (date := http_date(header("date"), near=wall)) is not None:
            # The provider's own clock wrote its points in time; ours may differ from it by minutes.
            now = date
        seconds = _seconds(value, hint.dialect, now)
        if seconds is not None:
            return Hint(seconds, hint.source)
    return None


def _seconds(value: object, dialect: Dialect, now: float) -> float | None:
    if not isinstance(value, list):
        return read_delay(value, dialect, now=now)
    delays = (read_delay(item, dialect, now=now) for item in islice(cast("list[object]", value), _MOST_VALUES))
    return next((delay for delay in delays if delay is not None), None)


def _conditions_hold(hint: WaitHint, header: Callable[[str], str | None]) -> bool:
    # The same draft, Caching: RateLimit fields SHOULD be ignored on an answer that comes from a cache.
    if hint.dialect == "ratelimit" and read_delay(header("age"), "integer", now=0):
        return False
    # Most hints have none.
    return not hint.conditions or all((header(name) or "").strip(" \t") == value for name, value in hint.conditions)
