"""A warning where the transport below the layers retries by itself: two loops multiply what is sent."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

__all__ = ["warn_of_retries"]

_log = logging.getLogger("resilience")
_warned: set[str] = set()


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
