"""A web application that answers as a provider's policy documents it, or as a script wants it."""

from __future__ import annotations

import hashlib
import random
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from decimal import Decimal
from email.utils import formatdate
from types import MappingProxyType
from typing import TYPE_CHECKING

import anyio
from starlette.requests import ClientDisconnect, Request

from ._documented import Documented
from ._fake_account import Accounts, Asked
from ._inspection import BODILESS
from ._quoted import safe_beside
from ._received import Received
from ._redact import safe_headers, safe_path, safe_query
from ._request_parts import LARGEST_BODY
from ._script import Step, parse_rates, parse_script
from .errors import ConfigurationError

if TYPE_CHECKING:
    import asyncio

    from starlette.types import Receive, Scope, Send

    from ._documented import Reply
    from ._policy import Policy

__all__ = ["Application"]

_KEPT_REQUESTS = 10_000
_KEPT_BODY = 64 * 1024
_PIECES = 10


class Application:
    """The ASGI application: one step for each request, records of what came.

    Raises:
        ConfigurationError: script, rates or balance cannot be honoured, or no key is documented that could be required.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        script: str = "",
        rates: str = "",
        seed: int | None = None,
        require_key: bool = False,
        balance: object = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.policy = policy
        self._documented = Documented(policy)
        self._accounts = Accounts(policy, self._documented, balance)
        rules = self._documented.rules if script or rates else ()
        self._script = parse_script(script, rules)
        self._rates = parse_rates(rates, rules)
        self._random = random.Random(seed)  # noqa: S311  chance for tests, no secret
        account = policy.account
        self._key_headers = frozenset(name.lower() for name in (account and account.headers) or ())
        self._key_query = frozenset(name.lower() for name in (account and account.query) or ())
        if require_key and not self._key_headers | self._key_query:
            raise ConfigurationError(f"the policy {policy.provider!r} does not say under 'account' where a key goes")
        self._require_key = require_key
        self._log = log
        self._started = time.monotonic()
        self._arrived = self._scripted = 0
        self._lock = threading.Lock()
        self._received: deque[Received] = deque(maxlen=_KEPT_REQUESTS)

    @property
    def requests(self) -> tuple[Received, ...]:
        """What has come, in the order of arrival."""
        with self._lock:
            return tuple(sorted(self._received, key=lambda received: received.number))

    @property
    def charged(self) -> Decimal:
        """What all answered requests have cost together."""
        return self._accounts.total

    @property
    def charged_by(self) -> Mapping[str, Decimal]:
        """The same for each account, by the digest of its key; `-` for requests without one."""
        return self._accounts.charged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        # Until the first `await` below nothing else runs: number and step are given in the order of arrival.
        at = time.monotonic() - self._started
        self._arrived += 1
        number, step = self._arrived, self._next_step(request)
        path = scope["path"]
        reply = None if step.fault else self._documented.reply(step, request.method, path)
        body, size, sha256, came = await _read(request)
        charged = Decimal(0)
        if reply is not None and came:
            # Looking, charging and writing what is left is one step: nothing is awaited in between.
            target = scope["raw_path"] + b"?" + scope["query_string"]
            asked = Asked(request.method, target, _joined(request), body)
            reply, charged = self._accounts.settle(asked, step, reply)
        received = Received(
            number=number,
            at=at,
            method=request.method,
            path=safe_beside(safe_path(scope["raw_path"].decode("latin-1"), self.policy), request, self.policy),
            query=safe_beside(safe_query(scope["query_string"].decode("latin-1"), self.policy), request, self.policy),
            headers=MappingProxyType(safe_headers(_joined(request), self.policy)),
            body=body[:_KEPT_BODY],
            size=size,
            sha256=sha256,
            step=step.text,
            status=reply.status if reply else None,
            charged=charged,
        )
        with self._lock:
            self._received.append(received)
        if self._log is not None:
            written = " ".join(step.text.split())  # a body may go over several lines
            answered = " ".join(str(part) for part in (received.status, written and f"({written})") if part)
            self._log(f"{received.method} {received.target} -> {answered}")
        await _answer(request, send, step, reply)

    def _next_step(self, request: Request) -> Step:
        if self._require_key and not self._has_key(request):
            # A provider looks at the key before anything else: such a request takes no step of the script.
            return Step(text="no key", status=401)
        step = self._script.step(self._scripted)
        self._scripted += 1
        return step or self._rates.step(self._random.random()) or Step()

    def _has_key(self, request: Request) -> bool:
        query = {name.lower() for name, value in request.query_params.items() if value}
        return bool(self._key_query & query) or any(request.headers.get(name) for name in self._key_headers)


def _joined(request: Request) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in request.headers.items():
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


async def _read(request: Request) -> tuple[bytes, int, str, bool]:
    """The start of the body, its size, its digest and whether all came; of a client that goes away, what came."""
    start, size, digest, came = bytearray(), 0, hashlib.sha256(), True
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                # One byte more than is read tells that there was more.
                start += chunk[: LARGEST_BODY + 1 - len(start)]
                size += len(chunk)
                digest.update(chunk)
    except ClientDisconnect:
        came = False
    return bytes(start), size, digest.hexdigest(), came


async def _answer(request: Request, send: Send, step: Step, reply: Reply | None) -> None:
    if step.delay and await _left(request, step.delay):
        return
    transport: asyncio.Transport = request.scope["state"]["transport"]
    if reply is None:
        if step.fault == "reset":
            _reset(transport)
        transport.close()
        await _left(request)
        return
    body = b"" if reply.status in BODILESS else reply.body
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    # Of 204 and 304 it follows from the status that there is no body (RFC 9112 section 6.3); a 205 must say so.
    if reply.status not in {204, 304}:
        # An empty body is cut short by promising one byte of it.
        headers.append((b"content-length", b"%d" % (max(len(body), 1) if step.truncate else len(body))))
    if not any(name == b"date" for name, _ in headers):
        headers.append((b"date", formatdate(usegmt=True).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if step.truncate:
        body = body[: len(body) // 2]
    size = len(body) if step.trickle is None else -(-len(body) // _PIECES)
    for at in range(0, len(body), size or 1):
        if at and step.trickle is not None and await _left(request, step.trickle):
            return
        await send({"type": "http.response.body", "body": body[at : at + size], "more_body": True})
    if step.truncate:
        transport.close()
        await _left(request)
        return
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(request: Request, seconds: float | None = None) -> bool:
    """Wait for so long, or until the connection is no more; whether it is no more."""
    with anyio.move_on_after(seconds):
        # The body has been read: all that ASGI still has to report is the end of the connection.
        await request.receive()
        return True
    return False


def _reset(transport: asyncio.Transport) -> None:
    """End a connection with RST, which the client meets as `Connection reset by peer`."""
    # A socket that lingers for no time is reset when it is closed (socket(7), SO_LINGER); Windows has shorts there.
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    with suppress(OSError):  # macOS, where the client has gone already
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
