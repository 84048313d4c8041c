"""What an answer says of the provider's limits: a throttle pauses a bucket, and headers tell how much of one is left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ._categories import TREATMENTS
from ._delays import http_date, read_delay
from ._fields import fields_of
from ._hub import tell
from ._limits import NO_LIMIT
from ._pays import bucket_of, keys_of
from ._ratelimit_fields import parse_ratelimit, parse_ratelimit_policy
from ._scopes import key_of
from ._transactions import Command
from .events import Paused

if TYPE_CHECKING:
    from ._limits import FeedbackHeaders
    from ._outcome import Exchange, Outcome
    from ._pays import Bill, Payment

__all__ = ["feedback", "speaks", "tell_pause"]

# What an answer may do at most, however broken the server that wrote it: a wait that it asks for stands for an hour, or
# for the window of a limit that is longer; so does a reset in a header that the policy names. After that one call asks
# again, which a provider that means it will answer as before. A reset that only looks like one (a number whose unit nobody
# documented) stands for a window of the limit, and for an hour without a limit.
_LONGEST = 3600.0
_LONGEST_UNNAMED = 3600.0
# As for a retry: a shorter wait asks for nothing.
_SHORTEST_WAIT = 0.01
# More than this is left of no limit.
_MOST = 1e9


class _Word(NamedTuple):
    """What one header, or one group of them, says is left."""

    remaining: float
    reset: float
    """Seconds until it is whole again, 0 where it does not say."""
    limit: float | None = None
    """How much there is in all."""
    window: float | None = None
    name: str | None = None
    """The provider's name for the limit."""


def feedback(exchange: Exchange, outcome: Outcome, bill: Bill, keys: tuple[str, ...], wall: float) -> list[Command]:
    """What to tell the buckets after an answer; pure but for the names of buckets, which are remembered.

    Arguments:
        exchange: the call.
        outcome: its answer, or what came instead.
        bill: what the call paid.
        keys: of the buckets that it paid.
        wall: seconds since 1970, for dates in the answer.
    """
    verdict = outcome.verdict
    throttled = TREATMENTS[verdict.category].limiter == "pause"
    headers: Any = None if outcome.response is None else outcome.response.headers
    is_told = headers is not None and speaks(headers, bill)
    if not throttled and not is_told:
        return []
    named = _limit_of(exchange, verdict.rule)
    if named == NO_LIMIT:
        return []
    if is_told and bill.learns and _learn(exchange, headers, bill):
        keys = keys_of(exchange, bill)
    told: list[Command] = []
    paused = ""
    if throttled:
        pay, key = _throttled(exchange, named, bill, keys)
        seconds = verdict.retry_after or 0.0
        if seconds >= _SHORTEST_WAIT:
            # It takes precedence over a reset (draft-ietf-httpapi-ratelimit-headers, Client Behavior).
            paused = key
            told.append(Command("bucket.pause", (key,), (min(seconds, max(_LONGEST, pay.window)), pay.spec)))
        else:
            # It is empty, and nobody says for how long: as long as the documented rate takes.
            told.append(Command("bucket.pause", (key,), (0.0, pay.spec)))
    if is_told:
        for index, word in _tightest(headers, bill, wall).items():
            if keys[index] != paused:
                arguments = (word.remaining, word.reset, bill.payments[index].spec)
                told.append(Command("bucket.correct", (keys[index],), arguments))
    return told


def speaks(headers: Any, bill: Bill) -> bool:
    """Whether an answer speaks of limits at all: most do not, and all are asked.

    Arguments:
        headers: the answer's.
        bill: what its call paid.
    """
    return not bill.headers.isdisjoint([name for _, name, _ in fields_of(headers)])


def _learn(exchange: Exchange, headers: Any, bill: Bill) -> bool:
    """Remember the names of buckets that an answer tells."""
    learned = False
    for pay in bill.payments:
        told = None if pay.headers is None or pay.headers.bucket is None else headers.get(pay.headers.bucket)
        if told:
            bill.names.learn(key_of(exchange, "bucket", pay.bucket, pay.scopes), exchange.operation, told)
            learned = True
    return learned


def tell_pause(exchange: Exchange, command: Command) -> None:
    """Tell that an answer has paused a limit, if that is what a command does."""
    if command.name == "bucket.pause":
        limit = command.keys[0].split(":")[2].partition("@")[0]
        paused = Paused(exchange.policy.provider, exchange.operation, limit, command.arguments[0])
        tell(exchange, "on_pause", paused)


def _limit_of(exchange: Exchange, rule: str | None) -> str | None:
    """The limit that the rule of an answer names."""
    found = None if rule is None else exchange.policy.rules.get(rule)
    return None if found is None else found.limit


def _throttled(exchange: Exchange, named: str | None, bill: Bill, keys: tuple[str, ...]) -> tuple[Payment, str]:
    """The bucket that a throttled answer speaks of: its rule's, else the first that the call pays."""
    for pay, key in zip(bill.payments, keys, strict=True):
        if pay.name == named:
            return pay, key
    spoken_of = None if named is None else bill.named.get(named)
    if spoken_of is None:
        return bill.payments[0], keys[0]
    return spoken_of, bucket_of(exchange, bill, spoken_of)


def _tightest(headers: Any, bill: Bill, wall: float) -> dict[int, _Word]:
    """For each payment that the answer speaks of, what leaves least."""
    # The draft, Caching: RateLimit fields SHOULD be ignored on an answer that comes from a cache.
    if read_delay(headers.get("Age"), "integer", now=0):
        return {}
    date = http_date(headers.get("Date"), near=wall)
    now = wall if date is None else date
    found: dict[int, _Word] = {}
    for index, pay in enumerate(bill.payments):
        word = None if pay.headers is None else _stated(pay.headers, headers, now)
        if word is not None:
            longest = max(_LONGEST, pay.window)
            found[index] = word._replace(reset=min(word.reset, longest))
    for word in _usual(headers, now):
        index = _spoken_of(word, bill)
        pay = bill.payments[index]
        longest = pay.window if pay.rated else _LONGEST_UNNAMED
        bounded = word._replace(reset=min(word.reset, longest))
        if index not in found or (bounded.remaining, -bounded.reset) < (found[index].remaining, -found[index].reset):
            found[index] = bounded
    return found


def _spoken_of(word: _Word, bill: Bill) -> int:
    """Which of the limits that a call pays a header speaks of: by its name, else by its numbers, else the first."""
    payments = list(enumerate(bill.payments))
    for index, pay in payments:
        if word.name is not None and word.name == pay.name:
            return index
    for index, pay in payments:
        _, amount, seconds, burst, _ = pay.spec
        if pay.rated and word.limit in (amount, burst) and word.window in (None, seconds):
            return index
    return 0


def _stated(names: FeedbackHeaders, headers: Any, now: float) -> _Word | None:
    """What the headers say that the policy names for a limit."""
    remaining = _least(headers.get(names.remaining))
    if remaining is None:
        return None
    reset = None if names.reset is None else read_delay(headers.get(names.reset), names.reset_as, now=now)
    return _Word(remaining, reset or 0.0)


def _usual(headers: Any, now: float) -> Iterator[_Word]:
    """What the usual headers say: the IETF's RateLimit fields, else X-RateLimit-* or RateLimit-*."""
    items = parse_ratelimit(headers.get("RateLimit"))
    if items:
        policies = {item.name: item for item in parse_ratelimit_policy(headers.get("RateLimit-Policy"))}
        for item in items:
            policy = policies.get(item.policy)
            if policy is None:
                yield _Word(float(item.remaining), float(item.reset or 0), name=item.policy)
            elif policy.unit == "requests":
                window = None if policy.window is None else float(policy.window)
                yield _Word(float(item.remaining), float(item.reset or 0), float(policy.quota), window, item.policy)
        return
    for prefix in ("X-RateLimit-", "RateLimit-"):
        remaining = _least(headers.get(f"{prefix}Remaining"))
        if remaining is not None:
            reset = read_delay(headers.get(f"{prefix}Reset"), "auto", now=now)
            yield _Word(remaining, reset or 0.0, _least(headers.get(f"{prefix}Limit")))
            return


def _least(value: object) -> float | None:
    """The number of a header; of several, as two headers of one name or a list of windows make them, the least."""
    if not isinstance(value, str) or len(value) > 200:
        return None
    # Below zero, as some say of one who has taken too much, is nothing too.
    parts = [part.partition(";")[0].strip() for part in value.split(",")]
    numbers = [read_delay(part.removeprefix("-"), "seconds", now=0) for part in parts]
    numbers = [0.0 if part[:1] == "-" and number else number for part, number in zip(parts, numbers, strict=True)]
    known = [number for number in numbers if number is not None and number <= _MOST]
    return min(known) if known and len(known) == len(numbers) else None
