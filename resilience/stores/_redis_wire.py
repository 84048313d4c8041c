"""Commands to one server: all are written at once, and all their answers read behind them, on one connection of its pool."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

__all__ = ["Connection", "Pool", "Wire", "Words"]

Words = tuple[str | int, ...]
"""A command and its arguments."""


class Connection(Protocol):
    """What is used of a connection of the package `redis`; its own types say too much."""

    def send_packed_command(self, command: Sequence[bytes]) -> None: ...

    def read_response(self, disable_decoding: bool) -> object: ...  # noqa: FBT001  as it is there

    def disconnect(self) -> None: ...


class Pool(Protocol):
    """What is used of its pools, which hand out connections that are ready, by an address that may change."""

    def get_connection(self) -> Connection: ...

    def release(self, connection: Connection) -> None: ...


class Wire:
    """The connections of one client, without what its own methods do beside: that takes longer than the way itself.

    Arguments:
        pool: of the client; safe for threads.
        refusal: what is raised for an answer that is an error of its command alone.
    """

    def __init__(self, pool: Pool, refusal: type[Exception]) -> None:
        self._pool = pool
        self._refusal = refusal
        # Until 5.3 it wanted the name of the command, and since then it warns of whoever gives it.
        wants_name = inspect.signature(pool.get_connection).parameters.get("command_name")
        is_old = wants_name is not None and wants_name.default is inspect.Parameter.empty
        self._take: Callable[[], Connection] = partial(pool.get_connection, *["EVALSHA"] * is_old)

    def exchange(self, commands: Sequence[Words]) -> list[object]:
        """The answers, in order; an error of a command alone is its answer.

        Arguments:
            commands: what to send.
        """
        packed = b"".join(map(_packed, commands))
        connection = self._take()
        try:
            connection.send_packed_command([packed])
            return [self._answer(connection) for _ in commands]
        except BaseException:
            # Whatever it was, what is still to be read there would be taken for the answers of others.
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)

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
