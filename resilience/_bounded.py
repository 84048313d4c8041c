"""A mapping of bounded size: the oldest entry goes first."""

from __future__ import annotations

from typing import Generic, TypeVar

from ._fork import Lock

__all__ = ["Bounded"]

Key = TypeVar("Key")
Value = TypeVar("Value")


class Bounded(Generic[Key, Value]):
    """A mapping for many threads; it is read without its lock.

    Arguments:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self.kept: dict[Key, Value] = {}
        self._most = most
        self._lock = Lock()

    def keep(self, key: Key, value: Value) -> Value:
        """Put one in.

        Arguments:
            key: what it is found by.
            value: the same that is given back.
        """
        with self._lock:
            while len(self.kept) >= self._most:
                del self.kept[next(iter(self.kept))]
            self.kept[key] = value
        return value
