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
        with suppress(OSError):  # macOS, where the client has gone already
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
        loop = asyncio.get_running_loop()
        for listener in sockets or ():
            with suppress(NotImplementedError):  # of the loop that Windows has
                loop.remove_reader(listener)
        # What has been accepted becomes a connection some turns of the loop later; asyncio would leave its socket
        # open if the listener were closed by then.
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        # uvicorn lets answers end that have begun. Those of a fake provider may hang for as long as the script says,
        # and nobody waits for them any more.
        while self.server_state.connections or self.server_state.tasks:
            for connection in tuple(self.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(0)


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
        self._socket = _listen(host, port)
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
        with self._socket, suppress(KeyboardInterrupt):
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


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reason = "a port is a number from 0 to 65535"
    # With another number, or a name that nobody could look for, `create_server` leaves a socket open.
    if 0 <= port <= 65535:
        try:
            socket.getaddrinfo(host or None, port)
            return socket.create_server((host, port), family=family)
        except (OSError, ValueError) as error:
            reason = str(error)
    raise ConfigurationError(
        f"cannot listen on {host}:{port}: {reason}; choose another host or port, 0 for any port that is free"
    )
