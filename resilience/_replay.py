"""Sending the same request body again: bytes as they are, files from where they began, iterables from a bounded copy.

A request whose body cannot be given again whole is not sent again: a truncated replay would be a different request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._library import Library, Request

__all__ = ["Replay", "replayable"]


class Replay:
    """A request stream that can be read from its start again. An adapter adds the stream types of its library."""

    def __init__(self, source: Any, limit: int) -> None:
        # `source` is a stream of whichever library the adapter serves.
        self.source = source
        self.failure: BaseException | None = None
        """What the source itself raised: a fault of the application's, not of the provider."""
        self._limit = limit
        self._restart = _restarter(source)
        self._kept: list[bytes] | None = []
        self._size = 0
        self._chunks: Any = None
        self._taken = 0

    def rewind(self) -> bool:
        """Begin again; `False` when what was read already cannot be read again."""
        if self._chunks is None:
            return True
        if self._restart is None:
            return self._kept is not None
        try:
            self._restart()
        except Exception:  # noqa: BLE001  a file of the application's, closed meanwhile perhaps: it cannot be read again
            return False
        return True

    def __iter__(self) -> Iterator[bytes]:
        at, chunks = 0, self._begin(iter)
        while True:
            chunk: Any = self._copy_of(at, chunks)
            if chunk is None:
                try:
                    chunk = next(chunks)
                except StopIteration:
                    return
                except BaseException as error:
                    self._fail(error)
                    raise
                self._keep(chunk, chunks)
            at += 1
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        at, chunks = 0, self._begin(aiter)
        while True:
            chunk: Any = self._copy_of(at, chunks)
            if chunk is None:
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                except BaseException as error:
                    self._fail(error)
                    raise
                self._keep(chunk, chunks)
            at += 1
            yield chunk

    def _begin(self, begin: Callable[[Any], Any]) -> Any:
        """What is read: the same as before where there is a copy; otherwise the source gives it anew, or says that it cannot."""
        if self._chunks is None or self._restart is not None or self._kept is None:
            self._chunks, self._taken = begin(self.source), 0
        return self._chunks

    def _copy_of(self, at: int, chunks: Any) -> bytes | None:
        """The chunk at a place that somebody has read before, `None` at the first that nobody has.

        Arguments:
            at: its place.
            chunks: what is read; a call of the same request may read it too, and be ahead.
        """
        if self._restart is not None or chunks is not self._chunks or at >= self._taken:
            return None
        if self._kept is None:
            raise RuntimeError("another call of the same request has read on, and its body is too long for a copy")
        return self._kept[at]

    def _fail(self, error: BaseException) -> None:
        # A generator that raised, or was cancelled, is at its end: what it gave so far is not the whole body.
        self.failure = error
        if self._restart is None:
            self._kept = None

    def _keep(self, chunk: bytes, chunks: Any) -> None:
        if self._restart is not None or chunks is not self._chunks:
            return
        self._taken += 1
        if self._kept is not None:
            self._size += len(chunk)
            if self._size > self._limit:
                # Past the bound nothing is kept at all: half a copy is of no use, and memory is the caller's.
                self._kept = None
            else:
                self._kept.append(chunk)

    def close(self) -> None:
        self.source.close()

    async def aclose(self) -> None:
        if hasattr(self._chunks, "aclose"):
            await self._chunks.aclose()
        await self.source.aclose()


def replayable(library: Library, request: Request, limit: int) -> Replay | None:
    """Put a stream that can be read again in the place of the request's own; `None` where that is not needed."""
    if isinstance(request.stream, library.bytes_stream) or _restarter(request.stream) is _nothing:
        # A transport may read it several times, or several calls at once, as without us.
        return None
    replay = library.replay(request.stream, limit)
    request.stream = replay
    return replay


def _restarter(source: Any) -> Callable[[], object] | None:
    """What to call so that the source can be read from its start, or `None` where only a copy can serve."""
    # What the attributes mean is known of the libraries' own streams alone.
    if type(source).__module__.partition(".")[0] not in {"httpx", "httpx2"}:
        return None
    parts = getattr(source, "fields", None)
    if parts is not None:
        # A multipart body seeks each of its files to the start when it is rendered.
        files = [part.file for part in parts if hasattr(part, "file")]
        return _nothing if all(isinstance(file, bytes | str) or _is_seekable(file) for file in files) else None
    inner: Any = getattr(source, "_stream", None)
    if isinstance(inner, list | tuple):
        return _nothing
    return partial(inner.seek, inner.tell()) if _is_seekable(inner) else None


def _nothing() -> None:
    """Some sources begin anew each time they are iterated."""


def _is_seekable(file: Any) -> bool:
    if not hasattr(file, "read") or hasattr(file, "__aiter__"):
        # An asynchronous file answers with awaitables; it is copied like any other iterable.
        return False
    try:
        return bool(file.seekable()) and file.tell() >= 0
    except Exception:  # noqa: BLE001  a file-like object of the application's: whatever it raises, it cannot be sought
        return False
