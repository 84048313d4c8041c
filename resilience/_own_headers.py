"""A request with headers of its own, for what a call writes there: several calls may send the application's at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._library import Request

__all__ = ["give_back", "with_own_headers"]

# What the layers put there themselves, and give back elsewhere or not at all.
_LENT = {"extensions", "headers", "stream"}


def with_own_headers(request: Request) -> Request:
    """The same request with a copy of its headers.

    With the application's own, calls of one request would share what is each one's: an idempotency key, of which the
    provider would take all but the first for repetitions.

    Arguments:
        request: as the application made it, of whichever class.
    """
    own = object.__new__(type(request))
    # Not by `copy.copy`: for the libraries that is a pickled request, which has neither a body nor extensions.
    vars(own).update(vars(request), headers=request.headers.copy())
    return own


def give_back(own: Request, request: Request) -> None:
    """Let the application's request be what a transport has made of it: a redirect starts from the URL that was really called.

    Arguments:
        own: what was sent.
        request: as the application made it.
    """
    for name, value in vars(own).items():
        if name not in _LENT and vars(request).get(name) is not value:
            vars(request)[name] = value
