"""What a shared store raises when it cannot decide."""

from __future__ import annotations

from ..errors import ResilienceError

__all__ = ["StateError", "StoreError"]


class StoreError(ResilienceError):
    """A store that cannot be reached, is too slow, or cannot write; whoever asked decides without it.

    The message never holds a credential.
    """


class StateError(StoreError):
    """One state that cannot be read: something else stands under its key. The store itself is well."""
