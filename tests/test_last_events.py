"""The last documents of streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience._last_events import is_done, is_stream, last_documents

EVENTS = "text/event-stream"
SEQUENCE = "application/json-seq"
LINES = "application/x-ndjson"


def last(data: bytes, media: str) -> list[bytes]:
    """All that comes of a stream."""
    return list(last_documents(data, media))


def test_which_media_types_are_streams() -> None:
    """JSON is none."""
    assert all(map(is_stream, [EVENTS, SEQUENCE, LINES, "application/jsonl", "application/ndjson"]))
    assert not any(map(is_stream, ["application/json", "text/plain", "", "text/event-streams"]))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_events_come_from_the_last_to_the_first(end: str) -> None:
    """Those that hold an object or a list; comments, names and the end mark do not."""
    lines = [
        ": hello", "event: a", 'data: {"n": 1}', "id: 7", "", "data:[2]", "", "", 'data: {"n":', "data: 3}", "",
        "data: [DONE]", "", "data: 5", "", "event: end", "",
    ]  # fmt: skip

    assert [b"[DONE]", b'{"n":\n 3}', b"[2]", b'{"n": 1}'] == last(end.join(lines).encode(), EVENTS)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_stream_of_events_says_itself_that_it_is_done(end: str) -> None:
    """As those of LLM providers do, whatever the connection says; what follows its mark contradicts it."""
    said = [
        ["data: {}", "", "data: [DONE]", "", ""], ["data:[DONE] ", "", ""], ["event: done", "data: [DONE]", ""], ["data: [DONE]"],
    ]  # fmt: skip
    unsaid = [
        [], ["data: {}", "", ""], ["data: [DONE]", "", "data: {}", ""], ["data: x[DONE]", ""], ["event: [DONE]", ""],
        ["data: [DONE", ""],
    ]  # fmt: skip

    assert all(is_done(end.join(lines).encode(), EVENTS) for lines in said)
    assert not any(is_done(end.join(lines).encode(), EVENTS) for lines in unsaid)
    assert not is_done(b"data: [DONE]\n\n", LINES)


def test_an_event_may_be_the_first_and_the_last_without_an_empty_line() -> None:
    """Also behind a byte order mark."""
    assert [b"{}"] == last(b"\xef\xbb\xbfdata: {}", EVENTS)
    assert [] == last(b"", EVENTS)
    assert [] == last(b"\n\n\n", EVENTS)


def test_lines_come_from_the_last_to_the_first() -> None:
    """Whatever stands between them."""
    assert [b'{"n": 2}', b"[1]"] == last(b' [1] \r\n\n{"n": 2}\nnull\n', LINES)


def test_the_texts_of_a_sequence_may_go_over_several_lines() -> None:
    """Each begins with a record separator."""
    assert [b'{"n":\n2}', b"{}"] == last(b'\x1e{}\n\x1e{"n":\n2}\n', SEQUENCE)


@pytest.mark.parametrize("media", [EVENTS, LINES, SEQUENCE])
def test_no_more_than_a_thousand_documents_come(media: str) -> None:
    """A hostile stream has a million of them."""
    data = {EVENTS: b"data: {}\n\n", LINES: b"{}\n", SEQUENCE: b"\x1e{}\n"}[media] * 200_000

    assert 1000 == len(last(data, media))


@pytest.mark.parametrize("media", [EVENTS, LINES, SEQUENCE])
def test_no_more_than_ten_thousand_lines_are_looked_at(media: str) -> None:
    """A hostile stream has a million of them, and nothing in it."""
    first = {EVENTS: b"data: {}\n\n", LINES: b"{}\n", SEQUENCE: b"\x1e{}"}[media]
    between = b"\x1e" if media == SEQUENCE else b"\n"

    assert [b"{}"] == last(first + between * 9_900, media)
    assert [] == last(first + between * 10_100, media)


@given(st.binary(max_size=300), st.sampled_from([EVENTS, LINES, SEQUENCE]))
def test_no_stream_is_too_strange(data: bytes, media: str) -> None:
    """What comes stands in it, and begins as an object or a list does."""
    for document in last(data.replace(b"a", b"\ndata:{"), media):
        assert document[:1] in {b"{", b"["}


@given(st.lists(st.dictionaries(st.text(), st.integers(), max_size=3), max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_what_was_written_is_found_again(documents: list[Any], end: str) -> None:
    """In each of the formats, in the opposite order."""
    texts = [json.dumps(document).encode() for document in documents]
    line = end.encode()
    streams = {
        EVENTS: b"".join(b"data: " + text + line + line for text in texts),
        LINES: b"".join(text + line for text in texts),
        SEQUENCE: b"".join(b"\x1e" + text + line for text in texts),
    }

    for media, data in streams.items():
        assert texts[::-1] == last(data, media)
