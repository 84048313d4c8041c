"""Why a call was refused, waited or ended, each in one word of a closed set: beside the sentences, for machines."""

from __future__ import annotations

from typing import Literal

__all__ = ["EndReason", "RefusalReason", "WaitReason"]

RefusalReason = Literal[
    "open",
    "half_open",
    "isolated",
    "health",
    "max_wait",
    "deadline",
    "queue_full",
    "budget",
    "balance",
    "latch",
    "unpriced",
    "store_away",
    "empty",
]
"""Why a layer lets no call through: the state of a breaker; a wait that is too long; what is used up or shut."""
EndReason = Literal[
    "success",
    "max_attempts",
    "not_retryable",
    "not_repeatable",
    "too_long",
    "deadline",
    "budget",
    "caller",
    "refused",
    "closed",
    "observed",
    "off",
    "interrupted",
]
"""Why no further attempt followed."""
WaitReason = Literal["backoff", "provider", "limit", "breaker", "health"]
"""Who asked for a wait: `provider` is an answer that said how long."""
