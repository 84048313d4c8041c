"""The RateLimit and RateLimit-Policy fields: how much of a quota is left, and until when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

__all__ = ["QuotaLeft", "QuotaPolicy", "parse_ratelimit", "parse_ratelimit_policy", "ratelimit"]

_Quota = TypeVar("_Quota")
# Servers bound a header section near this; a RateLimit field holds a handful of items.
_LONGEST_FIELD = 4096


@dataclass(frozen=True, slots=True)
class QuotaLeft:
    """One item of a RateLimit field: what is left of a quota, and in how many seconds it is full again."""

    policy: str
    remaining: int
    reset: int | None = None
    partition: bytes | None = None


@dataclass(frozen=True, slots=True)
class QuotaPolicy:
    """One item of a RateLimit-Policy field: so many units in so many seconds."""

    name: str
    quota: int
    window: int | None = None
    unit: str = "requests"
    partition: bytes | None = None


def parse_ratelimit(value: object) -> tuple[QuotaLeft, ...]:
    """The items of a RateLimit field (draft-ietf-httpapi-ratelimit-headers); none if any of them is malformed."""
    return _items(
        value,
        lambda name, given: QuotaLeft(
            name, _count(given["r"]), _count(given["t"]) if "t" in given else None, _partition(given)
        ),
    )


def parse_ratelimit_policy(value: object) -> tuple[QuotaPolicy, ...]:
    """The items of a RateLimit-Policy field; none if any of them is malformed."""
    return _items(
        value,
        lambda name, given: QuotaPolicy(
            name,
            _count(given["q"]),
            _count(given["w"], least=1) if "w" in given else None,
            _string(given.get("qu", "requests")),
            _partition(given),
        ),
    )


def ratelimit(value: object) -> float | None:
    """Seconds until every used-up quota of a RateLimit field is full again; None if none is used up or dated."""
    resets = [item.reset for item in parse_ratelimit(value) if item.remaining == 0 and item.reset is not None]
    return float(max(resets)) if resets else None


def _items(value: object, build: Callable[[str, Mapping[str, object]], _Quota]) -> tuple[_Quota, ...]:
    if not isinstance(value, str) or len(value) > _LONGEST_FIELD:
        return ()
    from http_sf import parse

    # "Malformed RateLimit header fields MUST be ignored" (the draft, Client Behavior): the whole field, as RFC 9651 4.2
    # has it. A missing parameter is a KeyError, everything else a ValueError.
    try:
        members = parse(value.strip(" \t").encode("ascii"), tltype="list")
        named = cast("list[tuple[object, dict[str, object]]]", members)
        return tuple(build(_string(name), parameters) for name, parameters in named)
    except (KeyError, ValueError):
        return ()


# Exact types: a Boolean is an int to Python, and a Token or a Display String must not pass for a String.
def _count(value: object, *, least: int = 0) -> int:
    if type(value) is not int or value < least:
        raise ValueError
    return value


def _string(value: object) -> str:
    if type(value) is not str:
        raise ValueError
    return value


def _partition(given: Mapping[str, object]) -> bytes | None:
    value = given.get("pk")
    if value is not None and type(value) is not bytes:
        raise ValueError
    return value
