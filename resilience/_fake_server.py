"""Running a fake provider on a socket: in this thread until it is interrupted, or in another while a block runs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .errors import ConfigurationError

if TYPE_CHECKING:
    from types import FrameType

    from ._fake_provider import Application

__all__ = ["Server"]

_TURNS = 5


class _Protocol(H11Protocol):
    """Hands the connection's transport to the application, which ends connections in ways that ASGI has no word for."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        # Head and body are written one after the other: where small packets are held back, the second waits 40 ms for
        # the client's acknowledgement. asyncio sees to that only for sockets that name their protocol.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # uvicorn's access log would show queries, and the keys in them.
        self.access_log = False


class _Server(uvicorn.Server):
    """uvicorn's server, which starts and stops at once: a test waits for both."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._stopped = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.ready.set()

    async def main_loop(self) -> None:
        # uvicorn looks ten times a second whether it should exit.
        await self._stopped.wait()

    def stop(self) -> None:
        """End the server, from any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.stop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn lets answers that have begun end. A fake provider's may hang for as long as the script says, and
        # nobody waits for them any more.
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        turns = 0
        # A connection that has been accepted is known to the server some turns of the loop later.
        while turns < _TURNS or self.server_state.connections or self.server_state.tasks:
            for connection in tuple(self.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(0 if turns < _TURNS else 0.001)
            turns += 1


class Server:
    """A socket that listens, and the server for it.

    Arguments:
        application: what answers.
        host: the address to listen on.
        port: the port to listen on; 0 for any that is free.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """

    def __init__(self, application: Application, host: str, port: int) -> None:
        try:
            if not 0 <= port <= 65535:
                raise OSError("a port is a number from 0 to 65535")
            self._socket = socket.create_server((host, port), family=_family(host))
        except OSError as error:
            message = f"cannot listen on {host}:{port}: {error}; choose another port, or 0 for any that is free"
            raise ConfigurationError(message) from None
        self.application = application
        port = self._socket.getsockname()[1]
        self.netloc = f"{host.lower()}:{port}"
        """Host and port as a policy writes them in `match`."""
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        # Nothing here touches the logging of the process: that belongs to the application that is tested.
        config = uvicorn.Config(
            application,
            interface="asgi3",
            loop="asyncio",
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            workers=1,
            timeout_keep_alive=75,
        )
        config.load()
        # Where everything is logged, uvicorn wraps the application in a logger of queries, and the keys in them.
        config.loaded_app = application
        self._server = _Server(config)

    def run(self) -> None:
        """Answer until the process is interrupted."""
        with suppress(KeyboardInterrupt):
            self._server.run(sockets=[self._socket])

    @contextmanager
    def in_thread(self) -> Generator[None, None, None]:
        """Answer while the block runs."""
        thread = threading.Thread(target=self._work, name="fake-provider", daemon=True)
        thread.start()
        self._server.ready.wait()
        try:
            yield
        finally:
            self._server.stop()
            thread.join()

    def _work(self) -> None:
        try:
            self.run()
        finally:
            self._server.ready.set()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
