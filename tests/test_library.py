"""What sort of transport error an exception of either library is."""

from __future__ import annotations

import inspect
import ssl
import sys
from typing import Any

import httpx
import httpx2
import pytest

import resilience.httpx
import resilience.httpx2
from resilience import errors
from resilience._library import NEVER_SENT, ErrorKind, kind_of_any, kinds

LIBRARIES: dict[str, tuple[Any, Any]] = {
    "httpx": (httpx, resilience.httpx),
    "httpx2": (httpx2, resilience.httpx2),
}
KINDS = {
    "HTTPError": "other_error",
    "RequestError": "other_error",
    "TransportError": "read_error",
    "TimeoutException": "read_timeout",
    "ConnectTimeout": "connect_timeout",
    "ReadTimeout": "read_timeout",
    "WriteTimeout": "write_timeout",
    "PoolTimeout": "pool_timeout",
    "NetworkError": "read_error",
    "ConnectError": "connect_error",
    "ReadError": "read_error",
    "WriteError": "write_error",
    "CloseError": "read_error",
    "ProtocolError": "protocol_error",
    "LocalProtocolError": "request_error",
    "RemoteProtocolError": "protocol_error",
    "ProxyError": "proxy_error",
    "UnsupportedProtocol": "request_error",
    "DecodingError": "other_error",
    "TooManyRedirects": "other_error",
    "HTTPStatusError": "other_error",
    "InvalidURL": "other_error",
    "CookieConflict": "other_error",
    "StreamError": "other_error",
    "StreamConsumed": "other_error",
    "StreamClosed": "other_error",
    "ResponseNotRead": "other_error",
    "RequestNotRead": "other_error",
}


def made(exception: type[Exception]) -> Exception:
    """An instance, whatever its class wants to know."""
    return exception.__new__(exception, "x")


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_exception_of_a_library_is_known(library: str) -> None:
    """A version with a new error of transports makes this fail, so that somebody decides what it is."""
    module, _ = LIBRARIES[library]
    found = {name for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, Exception)}
    new = found - set(KINDS)

    assert set(KINDS) <= found
    # httpx2 reads event streams itself; a malformed one is a read that failed.
    assert {name for name in new if issubclass(getattr(module, name), module.TransportError)} <= {"SSEError"}
    assert all(kinds(module)(made(getattr(module, name))) == "read_error" for name in new & {"SSEError"})


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_each_exception_has_its_kind(library: str, name: str, kind: str) -> None:
    """By the library's own tree, the most specific first."""
    module, _ = LIBRARIES[library]
    error = made(getattr(module, name))

    assert (kind, kind) == (kinds(module)(error), kind_of_any(error))


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_exception_of_the_users_own_has_the_kind_of_its_base(library: str) -> None:
    """As transports of others raise them."""
    module, _ = LIBRARIES[library]

    class SlowError(module.WriteTimeout):  # type: ignore[misc, name-defined]
        pass

    assert "write_timeout" == kind_of_any(SlowError("x"))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("causes", "kind"),
    [
        ([], "connect_error"),
        ([OSError("refused")], "connect_error"),
        ([ssl.SSLError("handshake")], "tls_error"),
        ([ssl.SSLZeroReturnError("closed")], "tls_error"),
        ([ssl.SSLCertVerificationError("expired")], "certificate_error"),
        ([ValueError("wrapped"), ssl.SSLCertVerificationError("expired")], "certificate_error"),
        ([ValueError("wrapped"), ssl.SSLError("handshake")], "tls_error"),
        ([ValueError(str(number)) for number in range(7)] + [ssl.SSLError("deep")], "tls_error"),
        ([ValueError(str(number)) for number in range(8)] + [ssl.SSLError("too deep")], "connect_error"),
    ],
    ids=str,
)
def test_a_failed_handshake_is_told_by_its_cause(library: str, causes: list[Exception], kind: str) -> None:
    """Both libraries raise it as ConnectError from what their pool raised from what `ssl` raised."""
    module, _ = LIBRARIES[library]
    error: BaseException = module.ConnectError("x")
    first = error
    for cause in causes:
        error.__cause__ = cause
        error = cause

    assert kind == kinds(module)(first)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_cause_speaks_of_connecting_only(library: str) -> None:
    """A connection that broke while reading is broken, whatever TLS said."""
    module, _ = LIBRARIES[library]
    error = module.ReadError("x")
    error.__cause__ = ssl.SSLError("bad record")

    assert "read_error" == kinds(module)(error)


class _Aiohttp:
    """The errors of aiohttp, in its tree."""

    class ClientConnectionError(Exception): ...

    class ClientOSError(ClientConnectionError, OSError): ...

    class ClientConnectorError(ClientOSError): ...

    class ServerDisconnectedError(ClientConnectionError): ...

    class ConnectionTimeoutError(ClientConnectionError, TimeoutError): ...

    class ClientPayloadError(Exception): ...


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("raised", ["ConnectTimeout", "ConnectError"])
@pytest.mark.parametrize(
    ("cause", "is_lost"),
    [
        ("ServerDisconnectedError", True),
        ("ClientOSError", True),
        ("ClientConnectionError", True),
        ("ClientConnectorError", False),
        ("ConnectionTimeoutError", False),
        ("ClientPayloadError", False),
    ],
)
def test_a_connection_that_aiohttp_lost_had_been_made(
    library: str, raised: str, cause: str, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool
) -> None:
    """Transports over it raise both as ConnectTimeout or ConnectError; what was lost may have had a request on it."""
    monkeypatch.setitem(sys.modules, "aiohttp", _Aiohttp)  # type: ignore[arg-type]
    module, _ = LIBRARIES[library]
    error = getattr(module, raised)("x")
    error.__cause__ = getattr(_Aiohttp, cause)("y")

    assert is_lost is (kinds(module)(error) == "read_error")
    assert is_lost is (kinds(module)(error) not in NEVER_SENT)


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_aiohttp_that_has_no_error_for_late_connections_is_asked_for_the_others(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before 3.10; without aiohttp nothing is asked."""
    monkeypatch.setitem(sys.modules, "aiohttp", _Aiohttp)  # type: ignore[arg-type]
    monkeypatch.delattr(_Aiohttp, "ConnectionTimeoutError")
    module, _ = LIBRARIES[library]
    error = module.ConnectTimeout("x")
    error.__cause__ = _Aiohttp.ServerDisconnectedError("y")

    assert "read_error" == kinds(module)(error)
    monkeypatch.delitem(sys.modules, "aiohttp")
    assert "connect_timeout" == kinds(module)(error)


def test_a_circle_of_causes_ends() -> None:
    """Somebody's exceptions may cause one another."""
    error, cause = httpx.ConnectError("x"), ValueError("y")
    error.__cause__, cause.__cause__ = cause, error

    assert "connect_error" == kinds(httpx)(error)


@pytest.mark.parametrize("library", LIBRARIES)
def test_our_own_errors_have_kinds_too(library: str) -> None:
    """Of whichever library they are."""
    module, adapter = LIBRARIES[library]

    assert ["attempt_timeout", "attempt_timeout", "read_error"] == [
        kind(error)
        for kind, error in (
            (kinds(module), adapter.AttemptTimeout("x")),
            (kind_of_any, adapter.DeadlineExceeded("x")),
            (kind_of_any, adapter.ClientClosed("x")),
        )
    ]
    assert ["attempt_timeout", "attempt_timeout", "other_error"] == [
        kind_of_any(error) for error in (errors.AttemptTimeout(), errors.DeadlineExceeded(), errors.ClientClosed())
    ]


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), ssl.SSLError("x"), TimeoutError("x")])
def test_what_no_library_of_http_raised_is_another_error(error: Exception) -> None:
    """A fault in a program, for all that is known."""
    assert "other_error" == kind_of_any(error)


def test_a_library_that_is_not_imported_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is imported to look at an exception."""
    monkeypatch.delitem(sys.modules, "httpx")
    monkeypatch.delitem(sys.modules, "httpx2")

    assert "other_error" == kind_of_any(httpx.ConnectError("x"))


def test_what_never_left_is_what_failed_before_sending() -> None:
    """A write that failed may have arrived, and so may anything after it."""
    assert {
        "connect_error",
        "connect_timeout",
        "pool_timeout",
        "proxy_error",
        "tls_error",
        "certificate_error",
    } == NEVER_SENT
    assert set(ErrorKind) > NEVER_SENT
