"""The transports that `install` has put around those of one client, for as long as somebody needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ._fork import Lock

if TYPE_CHECKING:
    from ._registry import Policies

__all__ = ["Kept"]


class Kept:
    """Ours by theirs, of the policies that were asked for last; and those of older policies whose calls are under way."""

    def __init__(self) -> None:
        # An entry holds both objects, so their ids are not given to others while it lives.
        self._newest: dict[tuple[int, int], Any] = {}
        # A call that is under way holds its transport, and its wait must end when the client is closed.
        self._older: WeakSet[Any] = WeakSet()
        self._lock = Lock()

    def get(self, transport: object, policies: Policies, make: Callable[[], Any]) -> Any:
        """Ours around a transport of the client.

        Arguments:
            transport: the client's.
            policies: what ours obeys.
            make: makes it.
        """
        key = (id(transport), id(policies))
        found = self._newest.get(key)
        return self._add(key, policies, make) if found is None else found

    def _add(self, key: tuple[int, int], policies: Policies, make: Callable[[], Any]) -> Any:
        made = make()
        with self._lock:
            found = self._newest.get(key)
            if found is not None:
                return found
            newest = {key: made}
            for each, kept in self._newest.items():
                if kept.policies is policies:
                    newest[each] = kept
                else:
                    self._older.add(kept)
            self._newest = newest
        return made

    def all(self) -> list[Any]:
        """Each of them whose calls may still wait."""
        with self._lock:
            return [*self._newest.values(), *self._older]
