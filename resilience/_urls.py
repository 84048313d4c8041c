"""A text that was just called is not parsed again (`docs/design/0016-urls-that-were-just-called.md`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any

from ._bounded import Bounded
from ._replaced import replace

__all__ = ["merge_parsed", "spare_parses"]

_MERGES = "_merge_url"
_SPARED = "_resilience_urls"
# Providers have few endpoints; a crawler's addresses only pass through.
_MOST = 256
_LONGEST = 256


def spare_parses(client: Any) -> None:
    """Have a client's calls give the library a URL in place of a text that was just called.

    Arguments:
        client: of a library of which `merge_parsed` was told.
    """
    client.__dict__[_SPARED] = True


def merge_parsed(kind: type, library: str) -> None:
    """Replace the method by which clients make a URL of what they are asked for, if it is the library's own.

    Arguments:
        kind: a class of clients. In a version that makes URLs otherwise, nothing changes.
        library: the name of its library.
    """
    # Both kinds of clients have the method of one class.
    for base in kind.__mro__:
        method = base.__dict__.get(_MERGES)
        if type(method) is FunctionType and _is_own(method, library):
            replace(base, _MERGES, _merging)


def _is_own(method: FunctionType, library: str) -> bool:
    # Somebody else's, and one around the library's own, may want the text. Ours is one of these, too.
    known = method.__globals__
    return known["__name__"] == f"{library}._client" and getattr(known.get("URL"), "__module__", None) == library


def _merging(original: Any) -> Callable[[Any, Any], Any]:
    known = original.__globals__
    parse = known["URL"]
    parsed = Bounded[str, Any](_MOST)

    @wraps(original)
    def method(self: Any, url: Any) -> Any:
        # While a test has put something else in the place of the library's class, that is asked for each.
        if type(url) is not str or _SPARED not in self.__dict__ or known["URL"] is not parse:
            return original(self, url)
        found = parsed.kept.get(url)
        if found is None:
            # Secrets of a URL stand where these are, mostly; and what has a query hardly comes again.
            if len(url) > _LONGEST or "?" in url or "@" in url or "#" in url:
                return original(self, url)
            found = parsed.keep(url, parse(url))
        # Both libraries' URLs never change, and what comes of this one is another.
        return original(self, found)

    return method
