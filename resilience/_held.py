"""A response stream that holds something until it is over: closed, read to its end, failed, or forgotten; as a permit.

The chunks pass through untouched. While they are read, what is held is renewed, so that its lease ends only for a
process that died or a body that nobody reads any more. One stream holds for all layers, and costs one call for each
chunk: an answer may be of thousands of small ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ._clock import Clock
    from ._holder import Holder
    from ._library import Response
    from ._runtime import Runtime

__all__ = ["Held", "hold"]


class Held:
    """A response stream with holders. An adapter adds the stream types of its library.

    Arguments:
        source: the stream, of whichever library the adapter serves.
        clock: the runtime's.
    """

    closed_error: ClassVar[type[Exception]] = RuntimeError
    """The library's error for a stream that was closed while it was read."""

    def __init__(self, source: Any, clock: Clock) -> None:
        self.clock = clock
        self.looks: list[Callable[[bytes], None]] = []
        """What each chunk is given to."""
        self._source = source
        self._holders: list[Holder] = []
        self._opened: list[Any] = []
        self._cut: list[Any] = []

    def add(self, holder: Holder, look: Callable[[bytes], None] | None = None) -> None:
        """Hold one thing more.

        Arguments:
            holder: what is held.
            look: is given each chunk.
        """
        self._holders.append(holder)
        if look is not None:
            self.looks.append(look)

    def __iter__(self) -> Iterator[bytes]:
        return self._read(self._open(iter(self._source)))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _AsyncChunks(self, self._open(aiter(self._source)))

    def _open(self, chunks: Any) -> Any:
        self._opened.append(chunks)
        return chunks

    def _read(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        now, looks, renew_at = self.clock.now, self.looks, self.renew_at
        try:
            for chunk in chunks:
                if now() >= renew_at:
                    renew_at = self.renew()
                for look in looks:
                    look(chunk)
                yield chunk
        except GeneratorExit:
            # Nobody reads on. The source may still be whole, so that it is over when it is closed.
            raise
        except BaseException as error:
            self.broke(error)
            raise
        self.ended(chunks)

    @property
    def renew_at(self) -> float:
        """When something that is held has to be renewed next."""
        return min([holder.renew_at for holder in self._holders])

    def renew(self) -> float:
        """Renew what has to be renewed; returns when that is needed next."""
        for holder in self._holders:
            holder.renew()
        return self.renew_at

    def ended(self, chunks: Any) -> None:
        """The source has come to its end.

        Arguments:
            chunks: what it was read by.
        """
        # What was ended by hand gives nothing more either, and must not look like a whole body.
        if any(each is chunks for each in self._cut):
            raise self.closed_error()
        self._tell(lambda holder: holder.ended())

    def broke(self, error: BaseException) -> None:
        """The source gives nothing more."""
        self._tell(lambda holder: holder.broke(error))

    def _release(self) -> None:
        self._tell(lambda holder: holder.release())

    def _tell(self, tell: Callable[[Holder], None]) -> None:
        """Tell all of them: what one raises, as a store may, is raised when none is left behind."""
        failed = None
        for holder in self._holders:
            try:
                tell(holder)
            except Exception as error:  # noqa: BLE001  raised below
                failed = error if failed is None else failed
        try:
            if failed is not None:
                raise failed
        finally:
            # Its traceback holds this frame, which must not hold it in turn.
            del failed

    def close(self) -> None:
        try:
            self._source.close()
        finally:
            try:
                self._release()
            finally:
                for chunks in self._opened:
                    # Another thread may be reading at this moment; it meets the end of the source by itself.
                    with suppress(ValueError, AttributeError):
                        chunks.close()
                        self._cut.append(chunks)

    async def aclose(self) -> None:
        try:
            await self._source.aclose()
        finally:
            try:
                self._release()
            finally:
                for chunks in self._opened:
                    # A generator that was begun must be ended by hand: trio warns of one that is left to the collector.
                    with suppress(RuntimeError, AttributeError):
                        await chunks.aclose()
                        self._cut.append(chunks)

    def __del__(self) -> None:
        # A response that was never closed: its connection ends with it, and so does what the provider counts.
        self._tell(lambda holder: holder.abandon())


class _AsyncChunks:
    """Not a generator: one that is left half read would have to be ended, and there is nothing here to end."""

    def __init__(self, held: Held, chunks: AsyncIterator[bytes]) -> None:
        # Whoever reads keeps the stream, and so what it holds.
        self._held = held
        self._chunks = chunks
        self._now = held.clock.now
        self._looks = held.looks
        self._renew_at = held.renew_at

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._held.ended(self._chunks)
            raise
        except BaseException as error:
            self._held.broke(error)
            raise
        if self._now() >= self._renew_at:
            self._renew_at = self._held.renew()
        for look in self._looks:
            look(chunk)
        return chunk


def hold(runtime: Runtime, response: Response, holder: Holder, look: Callable[[bytes], None] | None = None) -> None:
    """Hold something until the body of an answer is over.

    Arguments:
        runtime: where the body is read.
        response: the answer.
        holder: what is held.
        look: is given each chunk of the body.
    """
    stream = response.stream
    if not isinstance(stream, Held) or stream.clock is not runtime.clock:
        stream = response.stream = runtime.library.held(stream, runtime.clock)
    stream.add(holder, look)
