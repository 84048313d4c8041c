"""What our own layers refuse: why, and when it would be let through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._modes import Layer

__all__ = ["Refusal"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that one of our own layers did not let through.

    Arguments:
        layer: which one.
        reason: why, in words.
        retry_after: seconds until it would be let through; `None` where nobody can know.
        key: the state that decided, as `resilience status` shows it.
    """

    layer: Layer
    reason: str
    retry_after: float | None
    key: str = ""
