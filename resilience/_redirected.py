"""Sends what is meant for a provider's real hosts to a fake one, below all layers: tests of applications as they are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from ._library import LIBRARIES

if TYPE_CHECKING:
    from ._registry import Policies

__all__ = ["hosts_of", "redirected"]

_CLASSES = {"HTTPTransport": "handle_request", "AsyncHTTPTransport": "handle_async_request"}


@contextmanager
def redirected(find: Callable[[Any], str | None]) -> Generator[None]:
    """Have the transports of httpx and httpx2 send elsewhere, also those of clients that exist already.

    Arguments:
        find: the base of the URL that a request to some URL goes to, `None` for its own.
    """
    import importlib
    from importlib.util import find_spec

    put: list[tuple[type, str, Any]] = []
    try:
        for name in LIBRARIES:
            if name not in sys.modules and find_spec(name) is None:
                continue
            module = importlib.import_module(name)
            for kind, method in _CLASSES.items():
                transport = getattr(module, kind)
                original = getattr(transport, method)
                put.append((transport, method, original))
                around = _async if method == "handle_async_request" else _sync
                setattr(transport, method, around(original, partial(_elsewhere, module, find)))
        yield
    finally:
        for transport, method, original in reversed(put):
            setattr(transport, method, original)


def hosts_of(policies: Policies, url: str) -> Callable[[Any], str | None]:
    """What finds the URL of a fake provider for requests to the hosts that policies speak of.

    Arguments:
        policies: of the provider, with its real hosts.
        url: of the fake.
    """
    return lambda asked: url if policies.speak_of(asked) else None


def _sync(original: Any, elsewhere: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
    @wraps(original)
    def handle_request(self: Any, request: Any) -> Any:
        transport, request = elsewhere(self, request)
        return original(transport, request)

    return handle_request


def _async(original: Any, elsewhere: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
    @wraps(original)
    async def handle_async_request(self: Any, request: Any) -> Any:
        transport, request = elsewhere(self, request)
        return await original(transport, request)

    return handle_async_request


def _elsewhere(module: Any, find: Callable[[Any], str | None], transport: Any, request: Any) -> tuple[Any, Any]:
    found = find(request.url)
    if found is None:
        return transport, request
    base = module.URL(found)
    url = request.url.copy_with(scheme=base.scheme, host=base.host, port=base.port)
    # The headers go as they are, `Host` too; the stream is the request's own.
    sent = module.Request(
        request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
    )
    if "proxy" in type(getattr(transport, "_pool", None)).__name__.lower():
        # No proxy leads to this machine. A transport that keeps nothing open is nobody's to close.
        kind = module.AsyncHTTPTransport if isinstance(transport, module.AsyncHTTPTransport) else module.HTTPTransport
        transport = kind(trust_env=False, limits=module.Limits(max_keepalive_connections=0))
    return transport, sent
