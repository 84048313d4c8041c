"""The smallest HTTP/1.1 server that keeps connections: the less it costs, the more of a figure is the client's."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import cast

from benchmarks._worlds import loaded

__all__ = ["Answering", "pin"]

BODY = b'{"id": "thing", "object": "thing", "status": "completed"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Answering(asyncio.Protocol):
    """Answers each request without a body.

    Arguments:
        latency: seconds until it answers.
    """

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._begun = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # That of uvloop is one by its methods alone.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        *heads, self._begun = (self._begun + data).split(b"\r\n\r\n")
        for _ in heads:
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(ANSWER)


def pin(number: int) -> None:
    """Stay on one processor, where the system lets a process choose and there are several."""
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[number % len(processors)]})


async def _serve(port: int, latency: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Answering(latency), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def _main() -> None:
    pin(1)
    port, latency = int(sys.argv[1]), float(sys.argv[2])
    try:
        run = loaded("uvloop").run
    except ImportError:
        run = asyncio.run
    run(_serve(port, latency))


if __name__ == "__main__":
    _main()
