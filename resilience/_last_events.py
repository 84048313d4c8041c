"""The JSON of a stream's last events: of server-sent events, and of bodies with one document in each line."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

__all__ = ["STREAMS", "is_done", "is_stream", "last_documents"]

_SERVER_SENT = "text/event-stream"
# RFC 7464 section 2.2: a record separator stands before each text of a JSON sequence.
_SEQUENCE = "application/json-seq"
STREAMS = frozenset({
    _SERVER_SENT, _SEQUENCE, "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines",
})  # fmt: skip
"""The media types of bodies whose last document tells what the whole cost."""
# What a hostile stream may cost: so many lines that are looked at, and so many documents that are parsed.
_MOST_LINES = 10_000
_MOST_EVENTS = 1000
_LONGEST_END = 256


def is_stream(media: str) -> bool:
    """Whether bodies of a media type are streams of documents, whose end tells what the whole cost."""
    return media in STREAMS


def is_done(data: bytes, media: str) -> bool:
    """Whether a stream that is read no further has told that nothing follows: LLM providers end theirs with `data: [DONE]`.

    Arguments:
        data: the decoded body, or the end of what has come of it.
        media: its media type.
    """
    if media != _SERVER_SENT:
        return False
    # Another line may be before it in the same event, and blank lines after it.
    line = data[-_LONGEST_END:].replace(b"\r", b"\n").rstrip(b" \t\n").rpartition(b"\n")[2]
    return line.startswith(b"data:") and line[5:].strip(b" \t") == b"[DONE]"


def last_documents(data: bytes, media: str) -> Iterator[bytes]:
    """What may be a JSON object or list in each event or line, the last one first, a thousand of them at most.

    Arguments:
        data: the decoded body, or any part of it.
        media: its media type.
    """
    found = _events(data) if media == _SERVER_SENT else _texts(data, b"\x1e" if media == _SEQUENCE else b"\n")
    return islice((document for document in found if document[:1] in (b"{", b"[")), _MOST_EVENTS)


def _texts(data: bytes, separator: bytes) -> Iterator[bytes]:
    return (text.strip(b" \t\r\n") for text in _from_the_end(data, separator))


def _events(data: bytes) -> Iterator[bytes]:
    # https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation: an empty line ends an
    # event, and its `data` lines belong together. One that was cut off is tried too: it is valid JSON or nothing.
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines: list[bytes] = []
    for line in _from_the_end(data, b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[5:])
        elif not line and lines:
            yield b"\n".join(reversed(lines)).strip(b" \t\n")
            lines = []
    yield b"\n".join(reversed(lines)).strip(b" \t\n")


def _from_the_end(data: bytes, separator: bytes) -> Iterator[bytes]:
    # One at a time: a list of all lines of a hostile body would take forty times its size.
    end = len(data)
    for _ in range(_MOST_LINES):
        if end < 0:
            break
        start = data.rfind(separator, 0, end)
        yield data[start + 1 : end]
        end = start
