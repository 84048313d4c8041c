"""Which transports of an application hand on to one of ours, as a cache does that stands around it: there a call obeys already."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

__all__ = ["leads_to"]

# A cache around a limiter around ours; whoever builds higher is not looked through.
_DEEPEST = 4


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
