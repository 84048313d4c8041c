"""A server that sends exactly the bytes that a test says, over real connections, and counts them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

Answer = bytes | Callable[[socket.socket], bool | None]
"""Bytes to send, or a function that does what it likes with the socket and returns True to keep it open."""


@dataclass
class Seen:
    """One request: on which connection it came, its head and its body."""

    connection: int
    head: bytes
    body: bytes


@dataclass
class RawServer:
    """Where the server listens and what has come."""

    url: str
    requests: list[Seen] = field(default_factory=list["Seen"])

    @property
    def connections(self) -> int:
        return len({seen.connection for seen in self.requests})


def answer(
    status: int, body: bytes = b"", *headers: str, content_type: str = "application/json", length: bool = True
) -> bytes:
    """A whole HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Type: {content_type}", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(status: int, parts: Sequence[bytes], *headers: str, content_type: str = "application/json") -> bytes:
    """The same in chunks."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return answer(status, b"", "Transfer-Encoding: chunked", *headers, content_type=content_type, length=False) + body


@contextlib.contextmanager
def raw_server(*answers: Answer) -> Iterator[RawServer]:
    """Serve the answers in the order of the requests; the last one repeats."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = RawServer(f"http://127.0.0.1:{listener.getsockname()[1]}")
    lock = threading.Lock()
    open_sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []
    last: object = None

    def serve(connection: int, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, ValueError), client.makefile("rb") as stream:
            while request := _read(stream):
                with lock:
                    index = len(server.requests)
                    server.requests.append(Seen(connection, *request))
                reply = answers[min(index, len(answers) - 1)]
                if isinstance(reply, bytes):
                    client.sendall(reply)
                elif not reply(client):
                    break

    def accept() -> None:
        for connection in range(1_000_000):
            client, address = listener.accept()
            if address == last:
                client.close()
                return
            open_sockets.append(client)
            threads.append(threading.Thread(target=serve, args=(connection, client), daemon=True))
            threads[-1].start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        # Connections are accepted in their order: with this one all that came before are, however busy the machine is.
        with socket.socket() as end:
            end.bind(("127.0.0.1", 0))
            last = end.getsockname()
            end.connect(listener.getsockname())
            thread.join(5)
        listener.close()
        for client in open_sockets:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        # What had arrived is still read, and counted.
        until = time.monotonic() + 1
        for each in threads:
            each.join(max(0.0, until - time.monotonic()))


def _read(stream: object) -> tuple[bytes, bytes] | None:
    read: Callable[[int], bytes] = stream.read  # type: ignore[attr-defined]
    line: Callable[[], bytes] = stream.readline  # type: ignore[attr-defined]
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        got = line()
        if not got:
            return None
        head += got
    lower = head.lower()
    body = b""
    if b"transfer-encoding: chunked" in lower:
        while size := int(line(), 16):
            body += read(size)
            line()
        line()
    elif b"content-length:" in lower:
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        body = read(length)
        if len(body) < length:
            return None
    return head, body
