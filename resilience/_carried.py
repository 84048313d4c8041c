"""What goes with a request in its headers only while it is sent: the context of its span."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from ._telemetry import complain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._library import Request
    from ._telemetry import Tracing

__all__ = ["Carried", "carry"]

_Item = tuple[bytes, bytes, bytes]


class Carried:
    """Puts headers into a request and takes them out again; all else in its headers stays as it is or becomes meanwhile.

    Arguments:
        request: of httpx or httpx2.
        carrier: the headers by their names.
    """

    __slots__ = ("_headers", "_items", "_list", "_request")

    def __init__(self, request: Request, carrier: Mapping[str, str]) -> None:
        self._request = request
        self._headers = headers = request.headers
        self._items: list[_Item] = []
        self._list = found = _list_of(headers)
        for text, value in carrier.items():
            name, key = _encoded(text)
            if found is None or _holds(found, key):
                self._replace(carrier)
                return
            self._items.append((name, key, value.encode()))
        if found is not None:
            found += self._items

    def _replace(self, carrier: Mapping[str, str]) -> None:
        """Other headers for a while: the caller's own, perhaps more than one of a name, are put back as they were."""
        self._list = None
        copied = type(self._headers)(self._headers)
        for name, value in carrier.items():
            copied[name] = value
        self._request.headers = copied

    def take_out(self) -> None:
        """The request was sent."""
        found = self._list
        if found is not None:
            for item in self._items:
                if found and found[-1] is item:
                    found.pop()
                else:
                    # The transport has added others, or has taken it out itself.
                    with suppress(ValueError):
                        found.remove(item)
        if self._request.headers is not self._headers:
            self._request.headers = self._headers


def carry(tracing: Tracing, context: Any, request: Request) -> Carried | None:
    """Have a request carry a context; `None` where the application's propagator cannot write it.

    Arguments:
        tracing: what the application traces with.
        context: what goes along.
        request: of httpx or httpx2.
    """
    carrier: dict[str, str] = {}
    try:
        tracing.propagate.inject(carrier, context)
        return Carried(request, carrier)
    except Exception:  # noqa: BLE001  propagators are the application's
        complain()
        return None


# Each call has the same names, and keeps them for as long as it waits.
@lru_cache(64)
def _encoded(name: str) -> tuple[bytes, bytes]:
    """The name of a header as it is sent, and in lower case."""
    return name.encode(), name.lower().encode()


def _holds(found: list[_Item], key: bytes) -> bool:
    for each in found:  # noqa: SIM110  each call comes here, and a generator takes longer than the loop
        if each[1] == key:
            return True
    return False


def _list_of(headers: Any) -> list[_Item] | None:
    """The list in which both libraries keep headers: setting and deleting one through their methods looks at all others.

    Three times for each, which would be a tenth of what tracing costs. `None` where it is not what it was.
    """
    found: Any = getattr(headers, "_list", None)
    if type(found) is not list:
        return None
    items = cast("list[_Item]", found)
    return items if items and type(items[0]) is tuple and len(items[0]) == 3 else None
