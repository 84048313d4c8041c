"""Commands to one server: all are written at once, and all their answers read behind them, on one connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

__all__ = ["Connection", "Pool", "Wire", "Words"]

Words = tuple[str | int, ...]
"""A command and its arguments."""


class Connection(Protocol):
    """What is used of a connection of the package `redis`; its own types say too much."""

    def connect(self) -> None: ...

    def can_read(self) -> bool: ...

    def send_packed_command(self, command: Sequence[bytes]) -> None: ...

    def read_response(self, disable_decoding: bool) -> object: ...  # noqa: FBT001  as it is there

    def disconnect(self) -> None: ...


class Pool(Protocol):
    """What is used of its pools: how a connection is made. A sentinel's finds its master whenever it connects."""

    connection_class: Callable[..., Connection]
    connection_kwargs: Mapping[str, object]


class Wire:
    """Connections that are kept, of which each thread has one while it needs one; safe for threads.

    The pools of the package count, measure and look for more at each use, which takes as long as the way to a server.

    Arguments:
        pool: of the client.
        refusal: what is raised for an answer that is an error of its command alone.
        errors: what is raised where a connection does not work.
    """

    def __init__(self, pool: Pool, refusal: type[Exception], errors: tuple[type[Exception], ...]) -> None:
        self._pool = pool
        self._refusal = refusal
        self._errors = errors
        self._idle: list[Connection] = []

    def exchange(self, commands: Sequence[Words]) -> list[object]:
        """The answers, in order; an error of a command alone is its answer.

        Arguments:
            commands: what to send.
        """
        packed = b"".join(map(_packed, commands))
        connection = self._take()
        try:
            # Here, since by sending alone it would connect to where a sentinel's master was.
            connection.connect()
            connection.send_packed_command([packed])
            answers = [self._answer(connection) for _ in commands]
        except BaseException:
            # Whatever it was, what is still to be read there would be taken for the answers of others.
            connection.disconnect()
            raise
        self._idle.append(connection)
        return answers

    def close(self) -> None:
        """Let go of the connections that nobody uses; the others end with the wire."""
        while self._idle:
            self._idle.pop().disconnect()

    def _take(self) -> Connection:
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._pool.connection_class(**self._pool.connection_kwargs)
        # There is nothing to read but where the server has closed it meanwhile, or has said something that nobody asked.
        try:
            is_well = not connection.can_read()
        except self._errors:
            is_well = False
        if not is_well:
            connection.disconnect()
        return connection

    def _answer(self, connection: Connection) -> object:
        try:
            return connection.read_response(disable_decoding=True)
        except self._refusal as error:
            return error


def _packed(words: Words) -> bytes:
    """A command as the protocol has it: https://redis.io/docs/latest/develop/reference/protocol-spec/."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        text = str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)
