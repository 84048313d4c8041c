"""Which way a request goes: that of its kind and account, if nobody hears of it and it asks for nothing of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._bounded import Bounded
from ._breaker_hearing import Heard
from ._caller import UNTIL
from ._clock import Closing
from ._fork import renewed
from ._hub import Hub
from ._override import Override
from ._prepare import exchange_of
from ._telemetry import is_measured
from ._trail import observers
from ._way_kind import Kind, Ways, kind_of

if TYPE_CHECKING:
    from ._library import Library, Request
    from ._registry import Source
    from ._transactions import Store
    from ._way import Way

__all__ = ["WayFinder"]

# Hosts and methods may be a stranger's choice; what is forgotten is made anew when it comes again.
_MOST = 1024
# So are accounts: fourteen megabytes of them, at most.
_MOST_WAYS = 16_384
# What is called again and again needs no look at templates. Addresses that do not come again cost a place for a moment.
_MOST_TARGETS = 512
_LONGEST_TARGET = 256
_Key = tuple["Source", str | None, str, bytes, int | None]
_Target = tuple["Source", str, bytes, bytes, int | None]


class WayFinder:
    """The ways of the calls of one transport, by operation, method and host.

    Arguments:
        library: of the caller's client.
        is_heard: whether anybody hears of this client's calls.
    """

    def __init__(self, library: Library, *, is_heard: bool) -> None:
        self._library = library
        self._stream = library.bytes_stream
        self._is_heard = is_heard
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin anew in a child process: what the calls of its parent have paid is not the child's to tell."""
        # What needs the layers each time is kept as `False`.
        self._kinds: Bounded[_Key, Kind | bool] = Bounded(_MOST)
        self._targets: dict[_Target, Kind | bool] = {}
        self._ways: Ways = Bounded(_MOST_WAYS)

    def find(self, request: Request, source: Source, store: Store) -> Way | None:
        """The way of a request; `None` where it has to go through the layers.

        Arguments:
            request: as the client sends it.
            source: the policy of its host.
            store: where the states are.
        """
        if (
            "resilience" in request.extensions
            or Hub.listeners
            or self._is_heard
            or observers
            or Override.mode is not None
            or Heard.by is not None
            or UNTIL.get() is not None
            or not isinstance(request.stream, self._stream)
            or is_measured()
        ):
            return None
        url = request.url
        # One host may have a policy for each of its ports, those that its scheme means among them.
        target = (source, request.method, url.raw_path, url.raw_host, url.port)
        kind = self._targets.get(target)
        if kind is None:
            kind = self._kind_of(target, request, store)
        return kind.way_of(request) if isinstance(kind, Kind) else None

    def _kind_of(self, target: _Target, request: Request, store: Store) -> Kind | bool:
        source, method, raw, host, port = target
        path, query, _ = raw.partition(b"?")
        operation = source.policy().operation_finder.find(method, path.decode("ascii"))
        key = (source, operation, method, host, port)
        found = self._kinds.kept.get(key)
        kind = self._learn(key, (request, source, store)) if found is None else found
        # Secrets of a URL stand in its query, mostly; and what has one hardly comes again.
        if not query and len(raw) <= _LONGEST_TARGET:
            if len(self._targets) >= _MOST_TARGETS:
                self._targets.clear()
            self._targets[target] = kind
        return kind

    def _learn(self, key: _Key, made: tuple[Request, Source, Store]) -> Kind | bool:
        request, source, store = made
        # No wait of it is ever ended: what all calls of the kind have in common is learnt of it, and no more.
        exchange = exchange_of(request, source, self._library, Closing(), store)
        kind = None if exchange is None else kind_of(exchange, self._library, self._ways)
        return self._kinds.keep(key, kind or False)
