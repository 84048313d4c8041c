"""Headers as a plain mapping: found in any case, kept in small letters, and read as the libraries read them."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from resilience._fields import texts_of
from resilience._headers import FoldedHeaders, HeaderName


def test_a_header_is_found_in_any_case() -> None:
    """By `get`, by index and by `in`."""
    headers = FoldedHeaders({"Retry-After": "5"})

    assert ("5", "5", "5") == (headers.get("RETRY-AFTER"), headers["retry-after"], headers["Retry-After"])
    assert "rEtRy-AfTeR" in headers
    assert {"retry-after": "5"} == headers


def test_a_header_that_is_not_there_has_the_default() -> None:
    """Nothing but a text is a header's name."""
    headers = FoldedHeaders({})

    assert (None, "x") == (headers.get("A"), headers.get("A", "x"))
    assert "A" not in headers
    assert 7 not in headers
    with pytest.raises(KeyError):
        _ = headers["A"]


def test_a_header_is_replaced_and_removed_in_any_case() -> None:
    """There is never one twice."""
    headers = FoldedHeaders({"X-A": "1"})

    headers["x-a"] = "2"
    assert {"x-a": "2"} == headers

    del headers["X-a"]
    assert {} == headers


@pytest.mark.parametrize("name", ["Retry-After", "x", "!#$%&'*+.^_`|~09", "a" * 100])
def test_a_token_is_a_name(name: str) -> None:
    """RFC 9110 section 5.6.2."""
    assert name == TypeAdapter[str](HeaderName).validate_python(name)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\n", "ä", "(a)", "a" * 101])
def test_anything_else_is_no_name(name: str) -> None:
    """The HTTP libraries would raise for some of these."""
    with pytest.raises(ValidationError):
        TypeAdapter[str](HeaderName).validate_python(name)


@pytest.mark.parametrize("kind", [httpx.Headers, httpx2.Headers])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "a", "B-c", "b-C", "Set-Cookie"]).map(str.encode),
            st.text(st.characters(min_codepoint=32, max_codepoint=383)).map(str.encode) | st.binary(max_size=5),
        ),
        max_size=6,
    )
)
def test_all_fields_are_read_as_the_library_reads_them(kind: Any, fields: list[tuple[bytes, bytes]]) -> None:
    """Names in small letters, those that stand there twice joined, whatever the encoding."""
    headers = kind(fields)

    assert dict(headers.items()) == texts_of(headers)
    assert dict(headers.items()) == texts_of(FoldedHeaders(headers))
    assert FoldedHeaders(headers) == texts_of(headers)
