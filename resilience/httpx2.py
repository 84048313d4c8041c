"""The adapter for httpx2: the transport, and our errors as httpx2 errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import httpx2

from . import errors
from ._adapter import TransportBase
from ._body import Body as _Body
from ._held import Held as _Held
from ._library import Library, kinds
from ._local_reply import LocalReply as _LocalReply
from ._replay import Replay as _Replay
from ._trail import Trail as _Trail

__all__ = [
    "AttemptTimeout",
    "BreakerOpen",
    "ClientClosed",
    "ConcurrencyLimitExceeded",
    "CreditLimitExceeded",
    "DeadlineExceeded",
    "RateLimitExceeded",
    "Transport",
]


class AttemptTimeout(errors.AttemptTimeout, httpx2.ReadTimeout):
    """One attempt took longer than its `attempt_timeout`."""


class DeadlineExceeded(errors.DeadlineExceeded, httpx2.ReadTimeout):
    """The call's deadline passed before its last attempt was answered; those before it may have been."""


class ClientClosed(errors.ClientClosed, httpx2.TransportError):
    """The client was closed while the call waited: for its turn, for a connection, or to be sent again."""


class RateLimitExceeded(errors.RateLimitExceeded, httpx2.TransportError):
    """Our own limiter did not let the call through."""


class ConcurrencyLimitExceeded(errors.ConcurrencyLimitExceeded, httpx2.TransportError):
    """As many calls as the provider allows are under way."""


class CreditLimitExceeded(errors.CreditLimitExceeded, httpx2.TransportError):
    """What the call may cost does not fit into a budget, or nothing is left of the account."""


class BreakerOpen(errors.BreakerOpen, httpx2.TransportError):
    """The provider is down, and our own breaker holds calls to it back."""


class _AnswerBody(_Body, httpx2.SyncByteStream, httpx2.AsyncByteStream):
    closed_error: ClassVar[type[Exception]] = httpx2.StreamClosed


class _HeldBody(_Held, httpx2.SyncByteStream, httpx2.AsyncByteStream):
    closed_error: ClassVar[type[Exception]] = httpx2.StreamClosed


class _RequestBody(_Replay, httpx2.SyncByteStream, httpx2.AsyncByteStream):
    pass


def _respond(request: Any, reply: _LocalReply, trail: _Trail) -> Any:
    # A stream that nobody has read yet, as from a connection: reading it is what sets `elapsed`.
    stream = httpx2.ByteStream(reply.content)
    told, headers = {"reason_phrase": reply.phrase, "resilience": trail}, reply.headers_as(httpx2.Headers)
    return httpx2.Response(reply.status, headers=headers, stream=stream, extensions=told, request=request)


def _request(call: Any, method: str, path: bytes, headers: Mapping[str, str]) -> Any:
    return httpx2.Request(method, call.url.copy_with(raw_path=path), headers=headers)


LIBRARY = Library(
    name="httpx2",
    bytes_stream=httpx2.ByteStream,
    body=_AnswerBody,
    held=_HeldBody,
    replay=_RequestBody,
    kind_of=kinds(httpx2),
    attempt_timeout=AttemptTimeout,
    deadline_exceeded=DeadlineExceeded,
    client_closed=ClientClosed,
    pool_timeout=httpx2.PoolTimeout,
    refusals={
        "limiter": RateLimitExceeded,
        "concurrency": ConcurrencyLimitExceeded,
        "credits": CreditLimitExceeded,
        "breaker": BreakerOpen,
    },
    respond=_respond,
    request=_request,
    own_transports=(httpx2.HTTPTransport, httpx2.AsyncHTTPTransport),
)


class Transport(TransportBase, httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """A transport that obeys the policies, around any other; for sync and async clients.

    Arguments:
        inner: the transport that sends; by default httpx2's own, which then knows no proxies of the environment:
            `resilience.wrap(client)` keeps those.
        policies: names, paths or policies that are active; by default the configuration's, else all shipped ones.
        config: a configuration file or its content; by default RESILIENCE_CONFIG or ./resilience.yaml.
        clock: time and chance; tests give a `resilience.testing.VirtualClock`.
        listeners: hear of this client's calls alone; `resilience.listen` is for all clients.
    """

    library: ClassVar[Library] = LIBRARY
    module: ClassVar[Any] = httpx2
