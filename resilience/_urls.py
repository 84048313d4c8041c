"""A client does not parse again the URLs that it has just called: httpx and httpx2 spend a quarter of a call on that."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

from ._replaced import replace

__all__ = ["keep_urls", "merge_kept"]

_KEPT = "_resilience_urls"
# Providers have few endpoints; a crawler's addresses only pass through.
_MOST = 32
_LONGEST = 256


def keep_urls(client: Any) -> None:
    """Have a client keep the URLs that it calls.

    Arguments:
        client: of a library of which `merge_kept` was told.
    """
    client.__dict__.setdefault(_KEPT, {})


def merge_kept(module: ModuleType, *, stays: bool) -> None:
    """Have those clients of a library that keep their URLs look there first.

    Arguments:
        module: httpx or httpx2. In a version that makes URLs otherwise, nothing changes.
        stays: whether `uninstall` leaves it so.
    """
    # Clients of both kinds have the method of one class.
    for base in module.Client.__mro__:
        replace(base, "_merge_url", _merging, stays=stays)


def _merging(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @wraps(original)
    def method(self: Any, url: Any) -> Any:
        kept: dict[str, tuple[Any, Any]] | None = self.__dict__.get(_KEPT)
        if kept is None or type(url) is not str:
            return original(self, url)
        found = kept.get(url)
        # A base URL that is set anew is another object.
        base = self.__dict__.get("_base_url")
        if found is not None and found[0] is base:
            return found[1]
        merged = original(self, url)
        # Secrets of a URL stand where these are, mostly; and what has a query hardly comes again.
        if len(url) <= _LONGEST and "?" not in url and "@" not in url:
            if len(kept) >= _MOST:
                kept.clear()
            # Both libraries' URLs never change.
            kept[url] = (base, merged)
        return merged

    return method
