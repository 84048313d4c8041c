"""Headers that a call puts on its request and takes off again: sent once more by the application, it is another call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._outcome import Exchange

__all__ = ["lend_header", "restore_headers"]


def lend_header(exchange: Exchange, name: str, value: str) -> None:
    """Set a header for the time of the call.

    Arguments:
        exchange: the call.
        name: of the header.
        value: of the header.
    """
    headers = exchange.request.headers
    if exchange.headers_before is None:
        exchange.headers_before = {}
    exchange.headers_before.setdefault(name, headers.get(name))
    headers[name] = value


def restore_headers(exchange: Exchange) -> None:
    """Put back what stood in the headers before."""
    headers = exchange.request.headers
    for name, before in (exchange.headers_before or {}).items():
        if before is None:
            # The transport may have taken it off already.
            headers.pop(name, None)
        else:
            headers[name] = before
