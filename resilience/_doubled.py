"""Two loops multiply what is sent: a warning of transports that retry by themselves, and which ones hand on to one of ours."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

__all__ = ["leads_to", "warn_of_retries"]

_log = logging.getLogger("resilience")
_warned: set[str] = set()
# A cache around a limiter around ours; whoever builds higher is not looked through.
_DEEPEST = 4


def warn_of_retries(transport: Any) -> None:
    """Say once in a process of each kind that a transport sends again by itself.

    Arguments:
        transport: the client's own.
    """
    # Whatever an application has made of its transport, looking at it harms no call.
    with suppress(Exception):
        found = _retries_of(transport)
        if found is not None and found[0] not in _warned:
            _warned.add(found[0])
            _log.warning("%s retries by itself, below the policies' own retries, so that both multiply: %s", *found)


def leads_to(transport: Any, kind: type, module: Any, depth: int = _DEEPEST) -> bool:
    """Whether a transport hands on to one of a kind that it was put around, as a cache is, and to no other.

    One that chooses between ours and another sends calls by that other, too: they would obey nothing.

    Arguments:
        transport: an application's own, of whatever class.
        kind: of transports of ours.
        module: httpx or httpx2; what is of none of its transports' classes is not looked into.
        depth: how many of them may stand around ours.
    """
    bases: Any = (module.BaseTransport, module.AsyncBaseTransport)
    if isinstance(transport, (module.HTTPTransport, module.AsyncHTTPTransport)):
        # It has a pool of its own.
        return False
    with suppress(Exception):
        held = cast("dict[str, Any]", vars(transport))
        inner = [each for value in list(held.values()) for each in _one_or_more(value) if isinstance(each, bases)]
        return bool(inner) and all(
            isinstance(each, kind) or (depth > 1 and leads_to(each, kind, module, depth - 1)) for each in inner
        )
    return False


def _one_or_more(value: Any) -> Iterable[Any]:
    """What an attribute holds: something, or what chooses among several."""
    several = value
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return list(several.values() if isinstance(value, dict) else several)
    return (value,)


def _retries_of(transport: Any) -> tuple[str, str] | None:
    """What retries, and what to do about it."""
    for kind in type(transport).__mro__:
        if kind.__module__.partition(".")[0] == "httpx_retries":
            return f"httpx_retries.{kind.__name__}", "take it out where a policy speaks of the host"
    # Neither library tells it; both keep it in the pool of httpcore.
    retries = getattr(getattr(transport, "_pool", None), "_retries", 0)
    if isinstance(retries, int) and retries > 0:
        name = f"{type(transport).__module__.partition('.')[0]}.{type(transport).__name__}"
        return (
            f"{name}(retries={retries})",
            "leave `retries` out: a connection that fails is retried as the policy says",
        )
    return None
