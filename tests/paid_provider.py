"""A real server that is paid: each request says what it costs and what becomes of it, and the server keeps its own count."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

from resilience import Policy

__all__ = ["HOST", "PaidProvider", "paid_policy", "paid_provider"]

HOST = "127.0.0.1"


class PaidProvider:
    """Counts what it has charged; a request that hangs is charged and never answered."""

    def __init__(self) -> None:
        self.url = ""
        self.charged = 0
        self.requests = 0
        self.hanging = 0
        self.most = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                wish: dict[str, Any] = json.loads(await reader.readexactly(length))
                await self._answer(wish, reader, writer)
        with contextlib.suppress(OSError):
            writer.close()

    async def _answer(self, wish: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        fate = wish["fate"]
        charged = 0 if fate == "fail" else wish["cost"] - wish.get("cheaper", 0)
        self.charged += charged
        self.most = max(self.most, self.charged)
        if fate == "hang":
            self.hanging += 1
            # Until the client goes.
            await reader.read(1)
            raise ConnectionError
        await asyncio.sleep(wish.get("takes", 0))
        status = b"500 No" if fate == "fail" else b"200 OK"
        body = json.dumps({"billing": {"charged": charged}}).encode()
        if fate == "cut":
            # The answer breaks off: nobody can read what it has cost.
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n" + body[:5])
            await writer.drain()
            raise ConnectionError
        writer.write(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
        )
        await writer.drain()


@contextlib.contextmanager
def paid_provider() -> Iterator[PaidProvider]:
    """A provider in a thread of its own."""
    provider, started, loop = PaidProvider(), threading.Event(), asyncio.new_event_loop()

    async def run() -> None:
        server = await asyncio.start_server(provider.serve, HOST, 0, backlog=512)
        provider.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}/v1/scrape"
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve_forever()

    def work() -> None:
        asyncio.set_event_loop(loop)
        task = loop.create_task(run())
        tasks.append(task)
        loop.run_until_complete(task)
        for other in asyncio.all_tasks(loop):
            other.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    tasks: list[asyncio.Task[None]] = []
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield provider
    finally:
        loop.call_soon_threadsafe(tasks[0].cancel)
        thread.join(10)


def paid_policy(lease: str = "600s", **parts: Any) -> Policy:
    """The policy of such a provider: a call costs what its body says, the answer tells what it has cost."""
    return Policy.model_validate(
        {
            "version": 1,
            "provider": "paid",
            "match": {"hosts": [HOST]},
            "operations": {"scrape": {"method": "POST", "path": "/v1/scrape"}},
            "envelopes": [{"code": "code", "message": "error"}],
            "retry": {"max_attempts": 1},
            "breaker": {"off": True},
            "credits": {
                "costs": [{"cost": 1, "times": {"body": "cost", "most": 10}}],
                "charged": "billing.charged",
                "lease": lease,
                **parts,
            },
        }
    )
