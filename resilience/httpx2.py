"""The adapter for httpx2: the transport, and our errors as httpx2 errors."""

from __future__ import annotations

from typing import Any, ClassVar

import httpx2

from . import errors
from ._adapter import TransportBase
from ._body import Body as _Body
from ._library import Library, kinds
from ._replay import Replay as _Replay

__all__ = ["AttemptTimeout", "ClientClosed", "DeadlineExceeded", "Transport"]


class AttemptTimeout(errors.AttemptTimeout, httpx2.ReadTimeout):
    """One attempt took longer than its `attempt_timeout`."""


class DeadlineExceeded(errors.DeadlineExceeded, httpx2.ReadTimeout):
    """The call's deadline passed before an answer came."""


class ClientClosed(errors.ClientClosed, httpx2.TransportError):
    """The client was closed while the call waited to be sent again."""


class _AnswerBody(_Body, httpx2.SyncByteStream, httpx2.AsyncByteStream):
    closed_error: ClassVar[type[Exception]] = httpx2.StreamClosed


class _RequestBody(_Replay, httpx2.SyncByteStream, httpx2.AsyncByteStream):
    pass


LIBRARY = Library(
    name="httpx2",
    bytes_stream=httpx2.ByteStream,
    body=_AnswerBody,
    replay=_RequestBody,
    kind_of=kinds(httpx2),
    attempt_timeout=AttemptTimeout,
    deadline_exceeded=DeadlineExceeded,
    client_closed=ClientClosed,
)


class Transport(TransportBase, httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """A transport that obeys the policies, around any other; for sync and async clients.

    Arguments:
        inner: the transport that sends; by default httpx2's own, which then knows no proxies of the environment:
            `resilience.wrap(client)` keeps those.
        policies: names, paths or policies that are active; by default the configuration's, else all shipped ones.
        config: a configuration file or its content; by default RESILIENCE_CONFIG or ./resilience.yaml.
    """

    library: ClassVar[Library] = LIBRARY
    module: ClassVar[Any] = httpx2
