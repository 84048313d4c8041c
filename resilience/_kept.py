"""The transports that `install` has put around those of one client, for as long as somebody needs them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from ._bounded import Bounded
from ._cookies import quick
from ._fork import Lock
from ._leading import leads_to
from ._library import LIBRARIES
from ._urls import spare_parses

if TYPE_CHECKING:
    from ._registry import Policies

__all__ = ["View", "adapter_of", "kept_of"]

_KEPT = "_resilience_transports"
# Of so many classes of clients: to find one takes longer than a decision.
_adapters: Bounded[type, Any] = Bounded(256)


class _Kept:
    """Ours by theirs, of the policies that were asked for last; and those of older policies whose calls are under way."""

    def __init__(self) -> None:
        # An entry holds both objects, so their ids are not given to others while it lives.
        self._newest: dict[tuple[int, int], Any] = {}
        # A call that is under way holds its transport, and its wait must end when the client is closed.
        self._older: WeakKeyDictionary[Any, None] = WeakKeyDictionary()
        self._lock = Lock()

    def get(self, transport: object, policies: Policies, kind: Callable[..., Any]) -> Any:
        """Ours around a transport of the client.

        Arguments:
            transport: the client's.
            policies: what ours obeys.
            kind: the class of ours.
        """
        key = (id(transport), id(policies))
        found = self._newest.get(key)
        return self._add(key, _around(transport, policies, kind)) if found is None else found

    def _add(self, key: tuple[int, int], made: Any) -> Any:
        with self._lock:
            found = self._newest.get(key)
            if found is not None:
                return found
            newest = {key: made}
            for each, kept in self._newest.items():
                if kept.policies is made.policies:
                    newest[each] = kept
                else:
                    self._older[kept] = None
            self._newest = newest
        return made

    def all(self) -> list[Any]:
        """Each of them whose calls may still wait."""
        with self._lock:
            # Not by iteration: a call that ends in another thread takes its transport out, and waits for no lock.
            older = [kept for each in self._older.keyrefs() if (kept := each()) is not None]
            return [*self._newest.values(), *older]


def _around(transport: object, policies: Policies, kind: Any) -> Any:
    made = kind(transport, policies=policies)
    made.is_outer = leads_to(transport, kind, kind.module)
    return made


def kept_of(client: Any) -> list[Any]:
    """Those of a client whose calls may still wait."""
    kept: _Kept | None = client.__dict__.get(_KEPT)
    return [] if kept is None else kept.all()


class View:
    """A client as its own `_send_single_request` sees it: the same in all, but that its transports obey the policies."""

    def __init__(self, client: Any, policies: Policies) -> None:
        self.__dict__.update(_client=client, _policies=policies, _adapter=adapter_of(client))

    @property  # type: ignore[misc]  # the one of `object` can be set
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # likewise
        """The client's: a method that somebody has put below ours may ask for it."""
        return cast("Any", type(self._client))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._client, name, value)

    @property
    def cookies(self) -> Any:
        """The client's own; an answer that sets none is not looked at."""
        return quick(self._adapter.LIBRARY, self._client.cookies)

    def _transport_for_url(self, url: Any) -> Any:
        client, adapter = self._client, self._adapter
        transport = client._transport_for_url(url)
        if isinstance(transport, adapter.Transport):
            return transport
        kept: _Kept | None = client.__dict__.get(_KEPT)
        if kept is None:
            spare_parses(client)
            kept = cast("_Kept", client.__dict__.setdefault(_KEPT, _Kept()))
        ours = kept.get(transport, self._policies, adapter.Transport)
        # Somebody has put one of ours further inside, below a cache perhaps: there the call obeys, and once is enough.
        return transport if ours.is_outer else ours


def adapter_of(client: object) -> Any:
    """The adapter of the library that a client belongs to, by its classes: `httpx` may be another name of httpx2."""
    found = _adapters.kept.get(type(client))
    return _adapters.keep(type(client), _adapter_of(type(client))) if found is None else found


def _adapter_of(kind: type) -> Any:
    for each in kind.__mro__:
        root = each.__module__.partition(".")[0]
        if root in LIBRARIES and each.__name__ in {"Client", "AsyncClient"}:
            return importlib.import_module(f".{root}", __package__)
    raise TypeError(f"{kind.__module__}.{kind.__name__} is no client of httpx or httpx2")
