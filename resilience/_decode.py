"""The bytes and the text of an answer's body, decoded up to a bound that no compressed body can exceed.

It reads what the application reads: httpx 0.28 and httpx2 both stop at the end of the first gzip or deflate stream
and ignore what follows, both read concatenated zstd frames, and both take deflate with or without its zlib header.
It differs where a strange body makes them raise: here that is `complete=False`, with what was decoded before.
"""

from __future__ import annotations

import codecs
import importlib
import io
import zlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import NamedTuple, cast

__all__ = ["Decoded", "charset_of", "decode", "media_type", "text_of"]

_PIECE = 16 * 1024
# httpx2 refuses more codings than this (ContentDecoder.max_decode_links); nobody sends more than two.
_MOST_CODINGS = 5
# RFC 9659 section 3: a zstd decoder for HTTP supports windows of 8 MiB, and an encoder must not use larger ones.
_ZSTD_WINDOW_LOG = 23
# RFC 8878 section 3.1.2: 0x184D2A50 to 0x184D2A5F.
_ZSTD_SKIPPABLE = 0x184D2A50
# Brotli before 1.2 cannot bound its output. A meta-block yields 16 MiB at most (RFC 7932 section 2) and this many
# bytes do not hold two whole ones, so one slice yields 32 MiB at most.
_OLD_BROTLI_SLICE = 8


class Decoded(NamedTuple):
    """A decoded body.

    Arguments:
        data: the decoded bytes, or as many of them as could be had.
        complete: False when the output was cut at the bound, or the input is truncated, corrupt or in a coding
            that is unknown here or whose package is not installed.
    """

    data: bytes
    complete: bool


class _UnreadableError(Exception):
    """The input ends too early, is corrupt, decodes to too much, or nothing here can read its coding."""


def decode(raw: bytes, content_encoding: str, *, limit: int) -> Decoded:
    """Undo the codings of a body.

    Peak memory is the output, never more than `limit` and an eighth, and about 128 KiB for each coding, besides the
    windows of zstd (8 MiB) and brotli (16 MiB) as far as the output fills them. Two exceptions: brotli before 1.2 may
    yield 32 MiB at once before it is cut, and the `zstandard` package needs its input whole, also between codings.

    Arguments:
        raw: the body as it was sent.
        content_encoding: the value of `Content-Encoding`; several codings are separated by commas.
        limit: bytes of output, at most.
    """
    if not content_encoding:
        return Decoded(raw[:limit], len(raw) <= limit)
    # RFC 9110 section 8.4: the codings are listed in the order in which they were applied.
    names = [name for part in content_encoding.split(",", 64) if (name := part.strip().lower()) not in {"", "identity"}]
    if not names:
        return Decoded(raw[:limit], len(raw) <= limit)
    if len(names) > _MOST_CODINGS or not all(name in _CODINGS for name in names):
        return Decoded(b"", complete=False)
    stream: Iterator[bytes] = iter((raw,))
    for name in reversed(names):
        # The input of a coding is hardly larger than its output: so a bomb inside a bomb burns no time either.
        stream = _bounded(_CODINGS[name](stream), limit + limit // 8 + 4 * _PIECE)
    output = io.BytesIO()
    try:
        for piece in stream:
            room = limit - output.tell()
            output.write(piece[:room])
            if len(piece) > room:
                return Decoded(output.getvalue(), complete=False)
    except _UnreadableError:
        return Decoded(output.getvalue(), complete=False)
    return Decoded(output.getvalue(), complete=True)


def _bounded(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise _UnreadableError
        yield piece


def _sliced(pieces: Iterator[bytes], size: int = _PIECE) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), size):
            yield piece[start : start + size]


def _inflate(pieces: Iterator[bytes], window_bits: int) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(window_bits)
    seen = False
    for piece in pieces:
        seen = True
        try:
            while data := decompressor.decompress(piece, _PIECE):
                yield data
                piece = decompressor.unconsumed_tail  # noqa: PLW2901 - the rest of the same piece
        except zlib.error:
            raise _UnreadableError from None
        if decompressor.eof:
            return
    if seen:
        raise _UnreadableError


def _gzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return _inflate(_sliced(pieces), zlib.MAX_WBITS | 16)


def _deflate(pieces: Iterator[bytes]) -> Iterator[bytes]:
    slices = _sliced(pieces)
    first = next(slices, b"")
    window_bits = zlib.MAX_WBITS
    try:
        zlib.decompressobj(window_bits).decompress(first[:2])
    except zlib.error:
        # RFC 9110 section 8.4.1.2: "Some non-conformant implementations send the "deflate" compressed data without
        # the zlib wrapper." Its header is two bytes with a checksum (RFC 1950 section 2.2).
        window_bits = -window_bits
    yield from _inflate(_chained(first, slices) if first else slices, window_bits)


def _chained(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def _installed(*names: str) -> ModuleType:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise _UnreadableError


def _brotli(pieces: Iterator[bytes]) -> Iterator[bytes]:
    module = _installed("brotli", "brotlicffi")  # the order of httpx
    decompressor = module.Decompressor()
    bounded = hasattr(decompressor, "can_accept_more_data")
    seen = False
    try:
        for piece in _sliced(pieces, _PIECE if bounded else _OLD_BROTLI_SLICE):
            seen = True
            if not bounded:
                yield decompressor.process(piece)
                continue
            # Until nothing comes, as in httpx2: can_accept_more_data() does not tell whether output is pending
            # (https://github.com/google/brotli/pull/1234).
            yield decompressor.process(piece, output_buffer_limit=_PIECE)
            while data := decompressor.process(b"", output_buffer_limit=_PIECE):
                yield data
    except module.error:
        raise _UnreadableError from None
    if seen and not decompressor.is_finished():
        raise _UnreadableError


def _zstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    # Python 3.14, its backport (which httpx2 uses) and the package that httpx uses.
    module = _installed("compression.zstd", "backports.zstd", "zstandard")
    streams = _zstandard_streams if hasattr(module, "FrameParameters") else _zstd_streams
    try:
        yield from streams(module, pieces)
    except module.ZstdError:
        raise _UnreadableError from None


def _zstd_streams(module: ModuleType, pieces: Iterator[bytes]) -> Iterator[bytes]:
    options = {module.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    decompressor = None
    for piece in _sliced(pieces):
        while piece:
            if decompressor is None or decompressor.eof:
                decompressor = module.ZstdDecompressor(options=options)
            yield decompressor.decompress(piece, _PIECE)
            while not decompressor.needs_input and not decompressor.eof:
                yield decompressor.decompress(b"", _PIECE)
            piece = decompressor.unused_data  # noqa: PLW2901 - the next frame in the same piece
    if decompressor is not None and not decompressor.eof:
        raise _UnreadableError


def _zstandard_streams(module: ModuleType, pieces: Iterator[bytes]) -> Iterator[bytes]:
    # This package bounds its output only as a reader, and its readers do not tell the end of a frame from the end
    # of the input.
    raw = b"".join(pieces)
    decompressor = module.ZstdDecompressor(max_window_size=1 << _ZSTD_WINDOW_LOG)
    reader = decompressor.stream_reader(raw, read_size=_PIECE, read_across_frames=True)
    while data := cast("bytes", reader.read(_PIECE)):
        yield data
    if not _zstd_frames_are_whole(module, raw):
        raise _UnreadableError


def _zstd_frames_are_whole(module: ModuleType, raw: bytes) -> bool:
    position = 0
    while position < len(raw):
        if int.from_bytes(raw[position : position + 4], "little") >> 4 == _ZSTD_SKIPPABLE >> 4:
            position += 8 + int.from_bytes(raw[position + 4 : position + 8], "little")
            continue
        header = raw[position : position + 18]
        checksum = 4 if module.get_frame_parameters(header).has_checksum else 0
        position += module.frame_header_size(header)
        last = 0
        while not last and position < len(raw):
            # RFC 8878 section 3.1.1.2: one bit "last", two bits type (1: a byte to repeat), the rest is the size.
            block = int.from_bytes(raw[position : position + 3], "little")
            last = block & 1
            position += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
        if not last:
            return False
        position += checksum
    return position == len(raw)


_CODINGS: dict[str, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,  # RFC 9110 section 8.4.1.3: equivalent to gzip
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}

# Text codecs alone, by the labels that servers send: any other codec of Python may be no text codec (hex) or take
# quadratic time (punycode, idna), and a name from the network must not choose which module is imported.
_CHARSETS: dict[str, str] = {
    **dict.fromkeys(("utf-8", "utf8", "unicode-1-1-utf-8"), "utf-8"),
    **{label: label for label in ("utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be")},
    **dict.fromkeys(("ascii", "us-ascii"), "ascii"),
    **dict.fromkeys(("latin-1", "latin1", "l1"), "iso-8859-1"),
    **{f"iso-8859-{part}": f"iso-8859-{part}" for part in (*range(1, 12), *range(13, 17))},
    **{f"{prefix}{page}": f"cp{page}" for prefix in ("cp", "windows-") for page in range(1250, 1259)},
    **dict.fromkeys(("shift-jis", "sjis", "x-sjis"), "shift_jis"),
    **dict.fromkeys(("cp932", "ms932", "windows-31j"), "cp932"),
    **{label: label.replace("-", "_") for label in ("euc-jp", "euc-kr", "koi8-r", "koi8-u")},
    **{label: label for label in ("gb18030", "gbk", "gb2312", "big5")},
    "big5-hkscs": "big5hkscs",
}


def charset_of(content_type: str) -> str:
    """The codec for the declared charset; `utf-8` when none is declared, or one that is not known here.

    Arguments:
        content_type: the value of `Content-Type`.
    """
    for parameter in content_type[:1024].split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            label = value.strip().strip("\"'").strip().lower().replace("_", "-")
            return _CHARSETS.get(label, "utf-8")
    return "utf-8"


def text_of(data: bytes, content_type: str) -> str:
    """The text of a body, without a byte order mark.

    The declared charset is believed as long as the data agrees with it; otherwise the text is UTF-8 with U+FFFD for
    what is not. A character that is cut off at the end is no disagreement.

    Arguments:
        data: the decoded body, or the beginning of one.
        content_type: the value of `Content-Type`.
    """
    charset = charset_of(content_type)
    text = None
    if charset != "utf-8":
        try:
            text = codecs.getincrementaldecoder(charset)("strict").decode(data)
        except UnicodeError:
            text = None
    if text is None:
        text = data.decode("utf-8", "replace")
    return text.removeprefix("\ufeff")


def media_type(content_type: str) -> str:
    """The media type without its parameters, in lower case: `application/json`; empty when there is none."""
    return content_type.partition(";")[0].strip().lower()
