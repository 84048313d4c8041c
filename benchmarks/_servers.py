"""Servers in processes of their own: a Redis, and an HTTP server that answers at once or after a while."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator

from benchmarks._processes import environment

__all__ = ["NoServer", "http_server", "redis_server"]

STARTS = 10.0


class NoServer(Exception):
    """There is none on this machine."""


@contextlib.contextmanager
def redis_server() -> Generator[str]:
    """The URL of a Redis that is the benchmark's own.

    Raises:
        NoServer: the machine has none.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise NoServer("no redis-server is on PATH")
    port = _free_port()
    with tempfile.TemporaryDirectory() as directory:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        with _running(command, port):
            yield f"redis://127.0.0.1:{port}"


@contextlib.contextmanager
def http_server(latency: float = 0.0) -> Generator[str]:
    """The URL of a server that answers every request with a little JSON.

    Arguments:
        latency: seconds until it answers.
    """
    port = _free_port()
    with _running([sys.executable, "-m", "benchmarks._http_server", str(port), str(latency)], port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Generator[None]:
    process = subprocess.Popen(  # noqa: S603  our own commands
        command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + STARTS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise NoServer(f"{command[0]} has not started")
            time.sleep(0.01)
        yield
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
