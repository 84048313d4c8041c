"""A body is decoded as the application's client decodes it, up to a bound that no bomb exceeds, and never raises."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import importlib.util
import itertools
import tracemalloc
import zlib
from types import ModuleType, SimpleNamespace

import brotli
import httpx
import httpx2
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from resilience import _decode
from resilience._decode import Decoded, charset_of, decode, media_type, text_of

LIMIT = 256 * 1024
TEXT = b'{"error": {"code": "rate_limited", "message": "slow down"}}' * 40
REAL_IMPORT = importlib.import_module
ZSTD = next(name for name in ("compression.zstd", "backports.zstd") if importlib.util.find_spec(name.split(".")[0]))


def raw_deflate(data: bytes) -> bytes:
    """Deflate without the zlib header."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def zstd(data: bytes, *, checksum: bool = False) -> bytes:
    """One zstd frame."""
    return zstandard.ZstdCompressor(write_checksum=checksum).compress(data)


class OldDecompressor:
    """A brotli decompressor as it was before 1.2: its output has no bound."""

    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    def process(self, data: bytes) -> bytes:
        """Decode all of the data."""
        return bytes(self._inner.process(data))

    def is_finished(self) -> bool:
        """Whether the stream has ended."""
        return bool(self._inner.is_finished())


# The packages that can be there; each row is a world in which only these are.
WORLDS = {
    "gzip": ((), "gzip", gzip.compress),
    "zlib": ((), "deflate", zlib.compress),
    "raw deflate": ((), "deflate", raw_deflate),
    "brotli": (("brotli",), "br", brotli.compress),
    "brotlicffi": (("brotlicffi",), "br", brotli.compress),
    "old brotli": (("old brotli",), "br", brotli.compress),
    "zstd of Python": ((ZSTD,), "zstd", zstd),
    "zstandard": (("zstandard",), "zstd", zstd),
}


def only(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Let only these optional packages be there."""

    def import_module(name: str) -> ModuleType | SimpleNamespace:
        if name == "brotli" and "old brotli" in packages:
            return SimpleNamespace(Decompressor=OldDecompressor, error=brotli.error)
        if name == "compression.zstd" and name not in packages and ZSTD in packages:
            raise ImportError(name)
        if name not in packages:
            raise ImportError(name)
        return REAL_IMPORT(name)

    monkeypatch.setattr(importlib, "import_module", import_module)


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every coding with every package that can read it."""
    only(monkeypatch, *WORLDS[request.param][0])
    return str(request.param)


def test_a_body_is_decoded(world: str) -> None:
    """A whole body is decoded, and complete, also when it is just as long as the bound."""
    _, coding, encode = WORLDS[world]

    assert Decoded(TEXT, complete=True) == decode(encode(TEXT), coding, limit=LIMIT)
    assert Decoded(TEXT, complete=True) == decode(encode(TEXT), coding, limit=len(TEXT))


def test_a_large_body_is_decoded(world: str) -> None:
    """A body of many pieces is decoded whole, whether it compresses well or not at all."""
    _, coding, encode = WORLDS[world]
    mixed = b"".join(zlib.compress(bytes([number % 256]) * 99 + str(number).encode() * 9) for number in range(9000))

    for data in (mixed, bytes(700_000), bytes(300_000) + mixed):
        assert Decoded(data, complete=True) == decode(encode(data), coding, limit=1_000_000)


@pytest.mark.parametrize("package", ["brotli", "brotlicffi", "old brotli"])
def test_a_small_brotli_window_is_decoded(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output that is pending inside the decompressor is not forgotten, whatever the window."""
    only(monkeypatch, package)
    data = b"".join(bytes([65 + number % 26]) * 4096 for number in range(64))

    for window in range(10, 25):
        raw = brotli.compress(data, lgwin=window)

        assert Decoded(data, complete=True) == decode(raw, "br", limit=LIMIT)
        assert not decode(raw[:64], "br", limit=LIMIT).complete


def test_a_body_is_cut_at_the_bound(world: str) -> None:
    """One byte over the bound is cut off, and the body is not complete."""
    _, coding, encode = WORLDS[world]

    assert Decoded(TEXT[:-1], complete=False) == decode(encode(TEXT), coding, limit=len(TEXT) - 1)
    assert Decoded(b"", complete=False) == decode(encode(TEXT), coding, limit=0)


def test_a_truncated_body_is_not_complete(world: str) -> None:
    """Wherever the input ends too early, what was decoded is a beginning of the body, and it is not complete."""
    _, coding, encode = WORLDS[world]
    raw = encode(TEXT)

    for end in range(1, len(raw)):
        decoded = decode(raw[:end], coding, limit=LIMIT)

        assert not decoded.complete
        assert TEXT.startswith(decoded.data)


def test_a_truncated_body_keeps_its_beginning(world: str) -> None:
    """Of a body that ends too early, what had arrived is decoded."""
    _, coding, encode = WORLDS[world]
    data = b"".join(hashlib.sha256(str(number).encode()).hexdigest().encode() for number in range(5000))
    raw = encode(data)

    decoded = decode(raw[: len(raw) - len(raw) // 8], coding, limit=1_000_000)

    assert not decoded.complete
    assert data.startswith(decoded.data)
    assert len(decoded.data) > len(data) // 2


def test_an_empty_body_is_complete(world: str) -> None:
    """An answer without a body may declare a coding, as one to HEAD does."""
    _, coding, encode = WORLDS[world]

    assert Decoded(b"", complete=True) == decode(b"", coding, limit=LIMIT)
    assert Decoded(b"", complete=True) == decode(encode(b""), coding, limit=LIMIT)


def test_a_body_that_is_not_encoded_is_not_complete(world: str) -> None:
    """A coding that is declared but was not applied yields nothing, and no exception."""
    _, coding, _ = WORLDS[world]

    assert not decode(TEXT, coding, limit=LIMIT).complete


def test_nobody_can_read_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its package a coding is not readable, and the body is empty and not complete."""
    only(monkeypatch)

    assert Decoded(b"", complete=False) == decode(brotli.compress(TEXT), "br", limit=LIMIT)
    assert Decoded(b"", complete=False) == decode(zstd(TEXT), "zstd", limit=LIMIT)


@given(st.sampled_from(sorted(WORLDS)), st.binary(max_size=200), st.integers(0, 200), st.booleans())
def test_hostile_bytes_never_raise(name: str, noise: bytes, position: int, damaged: bool) -> None:
    """Random bytes, and bodies with random bytes in them, are decoded to something within the bound."""
    packages, coding, encode = WORLDS[name]
    raw = encode(TEXT)
    with pytest.MonkeyPatch.context() as monkeypatch:
        only(monkeypatch, *packages)

        decoded = decode(raw[:position] + noise + raw[position + 1 :] if damaged else noise, coding, limit=1000)

    assert len(decoded.data) <= 1000


# --- bombs


def deflate_bomb(window_bits: int) -> bytes:
    """10 MB that decode to 10 GB."""
    compressor = zlib.compressobj(9, wbits=window_bits)
    start = compressor.compress(b"") + compressor.flush(zlib.Z_FULL_FLUSH)
    megabyte = compressor.compress(bytes(1_000_000)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return start + megabyte * 10_000


BOMBS = {
    "gzip": deflate_bomb(zlib.MAX_WBITS | 16),
    "zlib": deflate_bomb(zlib.MAX_WBITS),
    "raw deflate": deflate_bomb(-zlib.MAX_WBITS),
    "brotli": brotli.compress(bytes(100_000_000), quality=1),
    "brotlicffi": brotli.compress(bytes(100_000_000), quality=1),
    "zstd of Python": zstd(bytes(100_000_000)) * 3000,
    "zstandard": zstd(bytes(100_000_000)) * 3000,
}


def peak_of(raw: bytes, coding: str, limit: int) -> tuple[Decoded, int]:
    """What is decoded, and the most memory in bytes that it took besides the input."""
    decode(raw[:100], coding, limit=limit)
    tracemalloc.start()
    try:
        decoded = decode(raw, coding, limit=limit)
        return decoded, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_no_more_memory_than_the_bound(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb is cut at the bound, in the memory of the bound, an eighth and 128 KiB."""
    packages, coding, _ = WORLDS[name]
    only(monkeypatch, *packages)

    decoded, peak = peak_of(BOMBS[name], coding, LIMIT)

    assert Decoded(bytes(LIMIT), complete=False) == decoded
    assert peak < LIMIT * 9 // 8 + 128 * 1024


def test_a_bomb_in_an_old_brotli_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a bound on brotli's output, the next slice of the input is not decoded once the bound is reached."""
    only(monkeypatch, "old brotli")

    decoded, peak = peak_of(BOMBS["brotli"], "br", LIMIT)

    assert Decoded(bytes(LIMIT), complete=False) == decoded
    assert peak < 32 * 1024 * 1024


@pytest.mark.parametrize(("outer", "inner"), [*itertools.product(["gzip", "brotli", "zstd of Python"], repeat=2)])
def test_a_bomb_in_a_bomb_is_cut(outer: str, inner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested bombs take the memory of the bound, an eighth and 128 KiB for each coding."""
    only(monkeypatch, *WORLDS[outer][0], *WORLDS[inner][0])
    coding = f"{WORLDS[inner][1]}, {WORLDS[outer][1]}"
    raw = WORLDS[outer][2](BOMBS[inner][:2_000_000])

    decoded, peak = peak_of(raw, coding, LIMIT)

    assert Decoded(bytes(LIMIT), complete=False) == decoded
    assert peak < LIMIT * 9 // 8 + 2 * 128 * 1024


@pytest.mark.parametrize("package", [ZSTD, "zstandard"])
def test_a_bomb_of_nothing_burns_no_time(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inner coding that yields nothing is not fed from a bomb for ever."""
    only(monkeypatch, package)
    skippable = b"\x50\x2a\x4d\x18" + (10_000_000).to_bytes(4, "little") + bytes(10_000_000)

    decoded, peak = peak_of(gzip.compress(skippable), "zstd, gzip", LIMIT)

    assert Decoded(b"", complete=False) == decoded
    assert peak < 3 * LIMIT


@pytest.mark.parametrize("package", [ZSTD, "zstandard"])
def test_a_window_that_http_does_not_allow_is_refused(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zstd frame whose window is larger than 8 MiB is not decoded: RFC 9659 forbids it."""
    only(monkeypatch, package)
    parameters = zstandard.ZstdCompressionParameters(window_log=24)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    raw = compressor.compress(bytes(20_000_000)) + compressor.flush()

    assert Decoded(b"", complete=False) == decode(raw, "zstd", limit=LIMIT)


# --- as the application reads it


def application_reads(library: ModuleType, raw: bytes, coding: str) -> bytes | None:
    """What the client of the application makes of the body; None when it raises."""
    try:
        return bytes(library.Response(200, headers={"Content-Encoding": coding}, content=raw).content)
    except library.DecodingError:
        return None


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("raw", "coding", "expected"),
    [
        (gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0), "gzip", b"one"),
        (gzip.compress(b"one", mtime=0) + b"garbage", "gzip", b"one"),
        (zlib.compress(b"one") + b"garbage", "deflate", b"one"),
        (raw_deflate(b"one"), "deflate", b"one"),
        (zstd(b"one") + zstd(b"two"), "zstd", b"onetwo"),
        (gzip.compress(brotli.compress(b"one"), mtime=0), "br, gzip", b"one"),
        (b"one", "identity", b"one"),
        (gzip.compress(b"one", mtime=0), " GZIP ,", b"one"),
    ],
)
def test_reads_what_the_application_reads(library: ModuleType, raw: bytes, coding: str, expected: bytes) -> None:
    """Several members, garbage after the end, raw deflate and several codings are read as httpx and httpx2 do."""
    assert Decoded(expected, complete=True) == decode(raw, coding, limit=LIMIT)
    assert expected == application_reads(library, raw, coding)


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("raw", "coding"), [(brotli.compress(b"one") + b"x", "br"), (zstd(b"one") + b"x", "zstd"), (b"{}", "gzip")]
)
def test_what_makes_the_application_fail_is_not_complete(library: ModuleType, raw: bytes, coding: str) -> None:
    """A body that httpx and httpx2 refuse is not complete."""
    assert application_reads(library, raw, coding) is None

    assert not decode(raw, coding, limit=LIMIT).complete


@pytest.mark.parametrize("package", [ZSTD, "zstandard"])
@pytest.mark.parametrize(
    ("raw", "complete"),
    [
        (zstd(TEXT, checksum=True), True),
        (zstd(TEXT, checksum=True)[:-1], False),
        (zstd(TEXT, checksum=True)[:-4], False),
        (zstd(TEXT) + b"\x5f\x2a\x4d\x18\x02\0\0\0ab", True),
        (b"\x50\x2a\x4d\x18\x02\0\0\0ab" + zstd(TEXT), True),
        (zstd(TEXT) + b"\x5f\x2a\x4d\x18\x02\0\0\0a", False),
        (zstd(TEXT) + b"\x28\xb5\x2f\xfd", False),
        (zstd(TEXT) + b"\x28", False),
        (zstd(TEXT) + zstd(bytes(300_000))[:-1], False),
    ],
)
def test_the_end_of_zstd_frames(package: str, raw: bytes, complete: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both packages tell a whole frame from one that ends too early, with checksums and skippable frames."""
    only(monkeypatch, package)

    decoded = decode(raw, "zstd", limit=LIMIT * 2)

    assert complete == decoded.complete
    assert decoded.data[: len(TEXT)] == TEXT


@pytest.mark.parametrize("package", [ZSTD, "zstandard"])
def test_zstd_frames_are_joined(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both packages read several frames, among them skippable ones, as one body."""
    only(monkeypatch, package)
    raw = zstd(TEXT) + b"\x5f\x2a\x4d\x18\x02\0\0\0ab" + zstd(bytes(200_000)) + zstd(b"end", checksum=True)

    assert Decoded(TEXT + bytes(200_000) + b"end", complete=True) == decode(raw, "zstd", limit=LIMIT)


def test_codings_are_undone_in_reverse() -> None:
    """The coding that was applied last is listed last and undone first."""
    raw = gzip.compress(zlib.compress(TEXT))

    assert Decoded(TEXT, complete=True) == decode(raw, "deflate, x-gzip, identity", limit=LIMIT)
    assert not decode(raw, "gzip, deflate", limit=LIMIT).complete


@pytest.mark.parametrize("coding", ["compress", "gzip, sdch", "gzip;q=1", "é", "gzip," * 999])
def test_an_unknown_coding_yields_nothing(coding: str) -> None:
    """Nothing is decoded with a coding that is unknown here."""
    assert Decoded(b"", complete=False) == decode(gzip.compress(TEXT), coding, limit=LIMIT)


def test_five_codings_are_the_most() -> None:
    """A body in more than five codings is not decoded, as httpx2 has it."""
    raw = TEXT
    for _ in range(5):
        raw = gzip.compress(raw)

    assert Decoded(TEXT, complete=True) == decode(raw, ",".join(["gzip"] * 5), limit=LIMIT)
    assert Decoded(b"", complete=False) == decode(gzip.compress(raw), ",".join(["gzip"] * 6), limit=LIMIT)


@pytest.mark.parametrize("coding", ["", " ", "identity", "Identity, identity"])
def test_without_a_coding_the_body_is_as_it_is(coding: str) -> None:
    """A body without a coding is only cut."""
    assert Decoded(b"abc", complete=True) == decode(b"abc", coding, limit=3)
    assert Decoded(b"ab", complete=False) == decode(b"abc", coding, limit=2)


# --- text


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("", "utf-8"),
        ("application/json", "utf-8"),
        ("text/html; charset=UTF-8", "utf-8"),
        ("text/html;charset=utf8", "utf-8"),
        ("text/html; Charset = 'ISO-8859-1' ; x=y", "iso-8859-1"),
        ('text/html; boundary="x"; charset="windows-1252"', "cp1252"),
        ("text/html; charset=ISO_8859-15", "iso-8859-15"),
        ("text/html; charset=Shift_JIS", "shift_jis"),
        ("text/html; charset=EUC-KR", "euc_kr"),
        ("text/html; charset=us-ascii", "ascii"),
        ("text/html; charset=gb2312", "gb2312"),
        ("text/html; charset=koi8-r; charset=utf-16", "koi8_r"),
        ("text/html; charset=hex", "utf-8"),
        ("text/html; charset=punycode", "utf-8"),
        ("text/html; charset=idna", "utf-8"),
        ("text/html; charset=utf-7", "utf-8"),
        ("text/html; charset=unicode_escape", "utf-8"),
        ("text/html; charset=", "utf-8"),
        ("text/html; charset=../../x\0", "utf-8"),
        ("charset=iso-8859-1", "utf-8"),
        (";" * 100_000 + "charset=iso-8859-1", "utf-8"),
    ],
)
def test_the_declared_charset(content_type: str, expected: str) -> None:
    """A text codec that servers declare is used, by its many spellings, and UTF-8 for everything else."""
    assert expected == charset_of(content_type)


def test_every_charset_is_a_text_codec() -> None:
    """Each known charset decodes bytes to text."""
    for label in _decode._CHARSETS:
        assert text_of("ab".encode(charset_of(f"x; charset={label}")), f"x; charset={label}") == "ab"


@pytest.mark.parametrize(
    ("data", "content_type", "expected"),
    [
        ("é".encode(), "", "é"),
        (b"\xe9", "text/plain; charset=latin1", "é"),
        (b"\xe9", "text/plain", "\ufffd"),
        ("é".encode(), "text/plain; charset=ascii", "é"),
        (b"\xe9", "text/plain; charset=ascii", "\ufffd"),
        ("aé".encode("utf-16"), "text/plain; charset=utf-16", "aé"),
        ("aé".encode("utf-16-le")[:-1], "text/plain; charset=utf-16le", "a"),
        ("日本".encode("shift_jis")[:-1], "text/plain; charset=sjis", "日"),
        ("é".encode("utf-8-sig"), "text/plain; charset=utf-8", "é"),
        (b"\x00\xd8\x00\x00", "text/plain; charset=utf-16le", "\0\ufffd\0\0"),
        (b"", "text/plain; charset=utf-32", ""),
    ],
)
def test_the_text_of_a_body(data: bytes, content_type: str, expected: str) -> None:
    """The declared charset is believed unless the data contradicts it; then the text is UTF-8 as far as it goes."""
    assert expected == text_of(data, content_type)


@given(st.binary(max_size=60), st.sampled_from(sorted(_decode._CHARSETS)) | st.text(max_size=10))
def test_text_never_raises(data: bytes, charset: str) -> None:
    """Any bytes with any declared charset are a text that can be encoded again."""
    text = text_of(data, f"text/plain; charset={charset}")

    assert text == text.encode().decode()


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("Application/JSON; charset=utf-8", "application/json"),
        (" text/html ", "text/html"),
        ("application/problem+json;", "application/problem+json"),
        ("", ""),
    ],
)
def test_the_media_type(content_type: str, expected: str) -> None:
    """Parameters, case and blanks do not belong to the media type."""
    assert expected == media_type(content_type)
