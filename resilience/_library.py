"""What the layers need of httpx or httpx2: the shapes of its objects, and the classes that an adapter binds to it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from . import errors
from ._imported import imported

if TYPE_CHECKING:
    from ._body import Body
    from ._cookies import Quick
    from ._held import Held
    from ._local_reply import LocalReply
    from ._modes import Layer
    from ._replay import Replay
    from ._trail import Trail

__all__ = [
    "LIBRARIES",
    "NEVER_SENT",
    "PORTS",
    "ErrorKind",
    "Library",
    "Request",
    "Response",
    "Transport",
    "kind_of_any",
    "kinds",
]

LIBRARIES = ("httpx", "httpx2")
"""The packages of both."""
PORTS = {"http": 80, "https": 443}
"""Which port a URL without one means."""


# The two libraries' classes are the same in shape and unrelated in type; `Any` stands for their own URL, Headers and
# stream types, which no layer looks into beyond what is named here.
class Request(Protocol):
    """A request of either library."""

    method: str
    url: Any
    headers: Any
    stream: Any
    extensions: Any


class Response(Protocol):
    """A response of either library."""

    status_code: int
    headers: Any
    stream: Any
    extensions: Any
    is_closed: bool
    request: Any

    @property
    def content(self) -> bytes: ...


class Transport(Protocol):
    """A transport of either library, sync or async as the client that owns it."""

    def handle_request(self, request: Any, /) -> Any: ...
    async def handle_async_request(self, request: Any, /) -> Any: ...


class ErrorKind(StrEnum):
    """The kinds of transport error that a policy can name."""

    CONNECT = "connect_error"
    CONNECT_TIMEOUT = "connect_timeout"
    POOL_TIMEOUT = "pool_timeout"
    PROXY = "proxy_error"
    TLS = "tls_error"
    CERTIFICATE = "certificate_error"
    READ = "read_error"
    READ_TIMEOUT = "read_timeout"
    WRITE = "write_error"
    WRITE_TIMEOUT = "write_timeout"
    PROTOCOL = "protocol_error"
    REQUEST = "request_error"
    ATTEMPT_TIMEOUT = "attempt_timeout"
    OTHER = "other_error"


NEVER_SENT = frozenset(
    {
        ErrorKind.CONNECT,
        ErrorKind.CONNECT_TIMEOUT,
        ErrorKind.POOL_TIMEOUT,
        ErrorKind.PROXY,
        ErrorKind.TLS,
        ErrorKind.CERTIFICATE,
    }
)
"""Errors after which the request provably never left: it may be sent again whatever its method."""

# Most specific first: the libraries' own tree decides what is what.
_KINDS = (
    ("ConnectTimeout", ErrorKind.CONNECT_TIMEOUT),
    ("PoolTimeout", ErrorKind.POOL_TIMEOUT),
    ("ReadTimeout", ErrorKind.READ_TIMEOUT),
    ("WriteTimeout", ErrorKind.WRITE_TIMEOUT),
    ("TimeoutException", ErrorKind.READ_TIMEOUT),
    ("ConnectError", ErrorKind.CONNECT),
    ("ProxyError", ErrorKind.PROXY),
    ("ReadError", ErrorKind.READ),
    ("WriteError", ErrorKind.WRITE),
    ("NetworkError", ErrorKind.READ),
    ("LocalProtocolError", ErrorKind.REQUEST),
    ("UnsupportedProtocol", ErrorKind.REQUEST),
    ("RemoteProtocolError", ErrorKind.PROTOCOL),
    ("ProtocolError", ErrorKind.PROTOCOL),
    ("TransportError", ErrorKind.READ),
)


@dataclass(frozen=True, slots=True)
class Library:
    """httpx or httpx2, as the layers use it.

    Arguments:
        name: of the module.
        bytes_stream: the class of request streams that can always be read again.
        body: `Body` with the library's stream types.
        held: `Held` with the library's stream types.
        replay: `Replay` with the library's stream types.
        kind_of: what sort of transport error an exception is.
        attempt_timeout: our error as one of the library's.
        deadline_exceeded: our error as one of the library's.
        client_closed: our error as one of the library's.
        pool_timeout: the library's own, for a call that waits in vain for a connection.
        refusals: what is raised for a call that a layer refuses, as errors of the library's.
        respond: makes a response of the library, for a request that it answers, with the trail of the call.
        own_transports: the classes of its own transports, which tell when they begin to send.
        quick_cookies: `Quick` with the library's class of cookies, where that is slow.
        has_slow_pool: a call costs the more in its connection pool, the more there are at a time.
        request: makes another request to the host of a call: from the call, the method, the path as it is sent, and headers.
    """

    name: str
    bytes_stream: type
    body: type[Body]
    held: type[Held]
    replay: type[Replay]
    kind_of: Callable[[Exception], ErrorKind]
    attempt_timeout: type[errors.AttemptTimeout]
    deadline_exceeded: type[errors.DeadlineExceeded]
    client_closed: type[errors.ClientClosed]
    pool_timeout: type[Exception]
    refusals: Mapping[Layer, type[errors.Refused]]
    respond: Callable[[Any, LocalReply, Trail], Any]
    request: Callable[[Any, str, bytes, Mapping[str, str]], Any]
    own_transports: tuple[type, ...] = ()
    quick_cookies: type[Quick] | None = None
    has_slow_pool: bool = False

    def tells_sending(self, transport: Any) -> bool:
        """Whether a transport is one of those, or leads to nothing else."""
        return bool(getattr(transport, "is_own", False)) or isinstance(transport, self.own_transports)


def kinds(module: Any) -> Callable[[Exception], ErrorKind]:
    """What sort of transport error an exception of httpx or httpx2 is."""
    table = [(getattr(module, name), kind) for name, kind in _KINDS]

    def kind_of(error: Exception) -> ErrorKind:
        if isinstance(error, errors.AttemptTimeout | errors.DeadlineExceeded):
            return ErrorKind.ATTEMPT_TIMEOUT
        kind = next((kind for kind_class, kind in table if isinstance(error, kind_class)), ErrorKind.OTHER)
        if kind in NEVER_SENT and _was_lost(error):
            return ErrorKind.READ
        return (_tls_kind(error) or kind) if kind is ErrorKind.CONNECT else kind

    return kind_of


def kind_of_any(error: Exception) -> ErrorKind:
    """The same for an exception of whichever library this process has imported."""
    if isinstance(error, errors.AttemptTimeout | errors.DeadlineExceeded):
        return ErrorKind.ATTEMPT_TIMEOUT
    for name in LIBRARIES:
        module = imported(name)
        if module is not None and isinstance(error, module.HTTPError):
            return kinds(module)(error)
    return ErrorKind.OTHER


def _was_lost(error: Exception) -> bool:
    """Whether aiohttp has lost a connection, perhaps with a request on it.

    httpx-aiohttp, which openai and anthropic have copies of, raises that as ConnectTimeout or ConnectError, as if there
    had never been one.
    """
    aiohttp: Any = imported("aiohttp")
    if aiohttp is None or not isinstance(error.__cause__, aiohttp.ClientConnectionError):
        return False
    # Older versions have no class for a connection that was not made in time.
    unmade = (aiohttp.ClientConnectorError, getattr(aiohttp, "ConnectionTimeoutError", ()))
    return not isinstance(error.__cause__, unmade)


def _tls_kind(error: BaseException) -> ErrorKind | None:
    """Both libraries raise a failed handshake as ConnectError; the cause tells, and a bad certificate stays bad."""
    # Only causes: the context may be an error that the application was handling when it made the call.
    cause: BaseException | None = error
    for _ in range(8):
        cause = cause.__cause__ if cause is not None else None
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ErrorKind.CERTIFICATE
        if isinstance(cause, ssl.SSLError):
            return ErrorKind.TLS
    return None
