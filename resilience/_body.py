"""Looking at the start of an answer's body without changing what the application will see of it.

`peek` reads raw chunks up to a bound and puts a `Body` in the response's place: it gives the same chunks again, then
goes on with the original stream, and ends with the original's error if reading it failed. Nothing is decoded here, so
`iter_raw`, `num_bytes_downloaded`, decompression and `elapsed` work on what the server sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ._deadline import shorter_reads
from ._raised import raise_again

if TYPE_CHECKING:
    from ._library import Response
    from ._outcome import Exchange
    from ._runtime import Runtime

__all__ = ["Body", "Peeked", "peek", "set_aside"]

_DRAIN_BYTES = 64 * 1024
_DRAIN_SECONDS = 1.0
# What a chunk costs beside its bytes: a body in pieces of two bytes must not take forty times its size.
_CHUNK_COST = 64


class Peeked(NamedTuple):
    """The start of a raw body; `error` is what ended the reading early, if something did."""

    data: bytes
    complete: bool
    error: Exception | None = None


class Body:
    """A response stream whose start has been read. An adapter adds the stream types of its library."""

    closed_error: ClassVar[type[Exception]] = RuntimeError
    """The library's error for a stream that was closed while it was read."""

    def __init__(self, source: Any, chunks: Any) -> None:
        self.source = source
        """The library's own stream, or a transport's."""
        self._chunks = chunks
        self._head: list[bytes] = []
        self._ended = False
        self._closed = False
        self._is_given = False
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        if self._is_given:
            # What comes a second time, all of it or an error, is the source's to say.
            return iter(self.source)
        self._is_given = True
        # The rest of a long body goes through no code of ours.
        return chain(self._given_again(), () if self._ended else self._chunks, self._checked())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._is_given:
            async for chunk in self.source:
                yield chunk
            return
        self._is_given = True
        for chunk in self._given_again():
            yield chunk
        if not self._ended:
            async for chunk in self._chunks:
                yield chunk
        self._check_open()

    def close(self) -> None:
        self._closed = True
        self._head.clear()
        try:
            self.source.close()
        finally:
            # Another thread may be reading at this moment; it meets the end of the source by itself.
            with suppress(ValueError, AttributeError):
                self._chunks.close()

    async def aclose(self) -> None:
        self._closed = True
        self._head.clear()
        try:
            await self.source.aclose()
        finally:
            # A generator that was begun must be ended by hand: trio warns of one that is left to the collector.
            with suppress(RuntimeError, AttributeError):
                await self._chunks.aclose()

    def _given_again(self) -> Iterator[bytes]:
        # Each chunk is let go as it is handed on: a body that was peeked at is not held twice.
        head, self._head = self._head, []
        head.reverse()
        while head and not self._closed:
            yield head.pop()
        if self._error is not None:
            raise_again(self._error)

    def _checked(self) -> Iterator[bytes]:
        """No further chunk; whoever reads to the end comes here."""
        self._check_open()
        yield from ()

    def _check_open(self) -> None:
        # A body that was closed while somebody read it must not look like one that came to its end.
        if self._closed:
            raise self.closed_error()

    async def drain(self, runtime: Runtime, limit: int) -> None:
        """Read the rest: at most `limit` bytes, for at most a second. It is kept as long as the whole is no longer."""
        data = bytearray().join(self._head)
        self._head.clear()
        until = runtime.clock.now() + _DRAIN_SECONDS
        while not self._ended and limit > 0 and runtime.clock.now() < until:
            chunk = await runtime.read(self._chunks)
            self._ended = chunk is None
            limit -= len(chunk or b"")
            data += chunk or b""
        self._head.append(bytes(data))

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is left to be read."""
        return self._ended

    def whole(self, limit: int) -> bytes | None:
        """The raw body, if it was read to its end and is no longer than `limit`; `None` otherwise."""
        if not self._ended or self._error is not None or sum(map(len, self._head)) > limit:
            return None
        return b"".join(self._head)

    async def fill(self, runtime: Runtime, limit: int, until: float | None) -> Peeked:
        """Read until the end, an error, the time `until`, or more than `limit` bytes."""
        size, held = 0, 0
        while size <= limit and held <= 4 * limit and (until is None or runtime.clock.now() < until):
            try:
                chunk = await runtime.read(self._chunks)
            except Exception as error:  # noqa: BLE001  kept for the application, which meets it where it would without us
                self._ended, self._error = True, error
                break
            if chunk is None:
                self._ended = True
                break
            self._head.append(chunk)
            size += len(chunk)
            held += len(chunk) + _CHUNK_COST
        return Peeked(b"".join(self._head), self._ended and self._error is None, self._error)


def peek(runtime: Runtime, response: Response, limit: int, until: float | None) -> Coroutine[Any, Any, Peeked]:
    """Read the start of the response's raw body.

    Arguments:
        runtime: where reading happens.
        response: the answer; its stream is replaced by one that gives the same again.
        limit: bytes after which, with the chunk that crosses it, enough has been read.
        until: the time at which to stop, by the runtime's clock.
    """
    body = runtime.library.body(response.stream, runtime.open(response.stream))
    response.stream = body
    return body.fill(runtime, limit, until)


async def set_aside(runtime: Runtime, exchange: Exchange, response: Response) -> bool:
    """Give the connection of an answer back; `True` if the answer can still be handed on, since its body is kept.

    A connection can be used again only after its body was read to the end (RFC 9112 section 9.3), so a small rest is
    read; a large or slow one costs more than a new connection, and closing is the answer.
    """
    stream = response.stream
    whole = exchange.answer = None
    # Whatever goes wrong in an answer that nobody may ever read concerns nobody: closing is all that is left to do.
    with suppress(Exception):
        try:
            is_read = isinstance(stream, Body) and stream.has_ended
            if not is_read and not response.is_closed and _is_worth_reading(exchange, response):
                if not isinstance(stream, Body):
                    stream = runtime.library.body(stream, runtime.open(stream))
                with shorter_reads(exchange.request, _DRAIN_SECONDS):
                    await runtime.attempt(_DRAIN_SECONDS, stream.drain(runtime, _DRAIN_BYTES))
            whole = stream.whole(_DRAIN_BYTES) if isinstance(stream, Body) else None
        finally:
            await runtime.close(stream)
    if whole is not None:
        response.stream = runtime.library.bytes_stream(whole)
    return response.is_closed or whole is not None


def _is_worth_reading(exchange: Exchange, response: Response) -> bool:
    # HTTP/2 gives up one stream of a connection that others share; a read that runs out of time would break them all.
    if response.extensions.get("http_version") == b"HTTP/2":
        return False
    if exchange.request.method == "HEAD":
        return True
    length = response.headers.get("content-length")
    if length is None:
        return not str(response.headers.get("content-type", "")).startswith("text/event-stream")
    return length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= _DRAIN_BYTES
