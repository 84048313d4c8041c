"""Where a breaker keeps its state: calls that it counts together have one key."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ._health import health_values
from ._scopes import key_of

if TYPE_CHECKING:
    from ._breaker_policy import BreakerPolicy
    from ._library import Library
    from ._outcome import Exchange

__all__ = ["breaker_key"]

_LONGEST_VALUE = 64


def breaker_key(exchange: Exchange, policy: BreakerPolicy, library: Library) -> str:
    """The key of the state that a call's breaker has.

    Arguments:
        exchange: the call.
        policy: what the policy says of breakers.
        library: of the caller's client.
    """
    if exchange.way is not None:
        # All calls of one way have the same.
        return exchange.way.breaker
    key = key_of(exchange, "breaker", policy.plan.name, policy.per)
    if policy.health is not None and policy.health.apart:
        for value in health_values(policy.health, exchange, library) or ("-",):
            key += f":{value if _is_plain(value) else hashlib.blake2b(value.encode(), digest_size=8).hexdigest()}"
    return key


def _is_plain(value: str) -> bool:
    return value == "-" or (
        len(value) <= _LONGEST_VALUE and value.isascii() and value.replace(".", "").replace("-", "").isalnum()
    )
