"""The adapter for httpx: the transport, and our errors as httpx errors."""

from __future__ import annotations

from typing import Any, ClassVar

import httpx

from . import errors
from ._adapter import TransportBase
from ._body import Body as _Body
from ._library import Library, kinds
from ._replay import Replay as _Replay

__all__ = ["AttemptTimeout", "ClientClosed", "DeadlineExceeded", "Transport"]


class AttemptTimeout(errors.AttemptTimeout, httpx.ReadTimeout):
    """One attempt took longer than its `attempt_timeout`."""


class DeadlineExceeded(errors.DeadlineExceeded, httpx.ReadTimeout):
    """The call's deadline passed before an answer came."""


class ClientClosed(errors.ClientClosed, httpx.TransportError):
    """The client was closed while the call waited to be sent again."""


class _AnswerBody(_Body, httpx.SyncByteStream, httpx.AsyncByteStream):
    closed_error: ClassVar[type[Exception]] = httpx.StreamClosed


class _RequestBody(_Replay, httpx.SyncByteStream, httpx.AsyncByteStream):
    pass


LIBRARY = Library(
    name="httpx",
    bytes_stream=httpx.ByteStream,
    body=_AnswerBody,
    replay=_RequestBody,
    kind_of=kinds(httpx),
    attempt_timeout=AttemptTimeout,
    deadline_exceeded=DeadlineExceeded,
    client_closed=ClientClosed,
)


class Transport(TransportBase, httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport that obeys the policies, around any other; for sync and async clients.

    Arguments:
        inner: the transport that sends; by default httpx's own, which then knows no proxies of the environment:
            `resilience.wrap(client)` keeps those.
        policies: names, paths or policies that are active; by default the configuration's, else all shipped ones.
        config: a configuration file or its content; by default RESILIENCE_CONFIG or ./resilience.yaml.
    """

    library: ClassVar[Library] = LIBRARY
    module: ClassVar[Any] = httpx
