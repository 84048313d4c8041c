"""What layers read of a request: query, JSON body, the varying parts of its path."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilience.httpx
import resilience.httpx2
from resilience._matchers import MISSING
from resilience._request_parts import (
    LARGEST_BODY,
    document_in,
    document_of,
    path_of,
    path_values,
    queries_of,
    query_of,
    view_of,
)

LIBRARIES: list[tuple[Any, Any]] = [
    (httpx, resilience.httpx.LIBRARY),
    (httpx2, resilience.httpx2.LIBRARY),
]
BOTH = pytest.mark.parametrize(("module", "library"), LIBRARIES, ids=["httpx", "httpx2"])


def request(url: str = "https://provider.test/", **parts: Any) -> Any:
    """A request of httpx."""
    return httpx.Request("POST", url, **parts)


def test_the_path_is_that_which_is_sent() -> None:
    """An encoded slash is no slash, and the query is no part of it."""
    assert "/a%2Fb/c" == path_of(request("https://provider.test/a%2Fb/c?d=/e"))


def test_a_query_keeps_all_values_also_empty_ones() -> None:
    """Which of several the provider takes, its policy does not say; one value is the last."""
    found = request("https://provider.test/?a=1&b=&a=2%20%C3%A9&c")

    assert {"a": ["1", "2 é"], "b": [""], "c": [""]} == queries_of(found)
    assert {"a": "2 é", "b": "", "c": ""} == query_of(found)
    assert {} == query_of(request())


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=20), max_size=20))
def test_any_query_is_read_as_it_was_written(query: dict[str, str]) -> None:
    """Whatever signs it has."""
    assert query == query_of(request(f"https://provider.test/?{urlencode(query)}"))


@BOTH
def test_a_body_that_can_be_read_again_is_read(module: Any, library: Any) -> None:
    """It is sent unchanged afterwards."""
    found = module.Request("POST", "https://provider.test/", json={"urls": ["é"]})

    assert {"urls": ["é"]} == document_of(found, library)
    assert {"urls": ["é"]} == json.loads(b"".join(found.stream))


@BOTH
def test_a_body_that_is_sent_once_is_not_read(module: Any, library: Any) -> None:
    """A generator, a form with files: nobody knows what is in it."""
    single = module.Request("POST", "https://provider.test/", content=iter([b"{}"]))
    form = module.Request("POST", "https://provider.test/", files={"a": b"{}"})

    assert [MISSING, MISSING] == [document_of(each, library) for each in (single, form)]
    assert b"{}" == b"".join(single.stream)


@BOTH
def test_a_request_without_a_body_says_nothing(module: Any, library: Any) -> None:
    """That is known, unlike a body that cannot be read."""
    assert document_of(module.Request("GET", "https://provider.test/"), library) is None


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"a=1&b=2", b"\xff\xfe", b"\x1f\x8b\x08\x00", b"[" * 100_000, b"1" * 5000, b'{"a": tru}',
        b'{"a": 1}' + b" " * LARGEST_BODY,
    ],
)  # fmt: skip
def test_what_is_no_json_or_too_large_is_not_read(body: bytes) -> None:
    """Broken, nested without end, compressed, a form."""
    assert document_in(body) is MISSING


def test_a_body_of_the_largest_size_is_read() -> None:
    """One byte more is not."""
    body = b'{"a": 1}'.ljust(LARGEST_BODY)

    assert {"a": 1} == document_in(body)
    assert document_in(body + b" ") is MISSING


@given(st.binary(max_size=300))
def test_no_body_is_too_strange(body: bytes) -> None:
    """Reading one never fails."""
    document_in(body)


@pytest.mark.parametrize(
    ("templates", "path", "expected"),
    [
        (["/v1/jobs/{id}"], "/v1/jobs/7", {"id": "7"}),
        (["/v1/jobs/{id}"], "/v1/jobs/a%2Fb", {"id": "a/b"}),
        (["/v1/jobs/{id}"], "/v1/jobs", {}),
        (["/v1/jobs/{id}"], "/v1/job/7", {}),
        (["/v1/jobs/{id}"], "/v1/jobs/7/", {}),
        (["/v1/jobs", "/v1/{kind}/{id}/pages", "/v1/{kind}/{id}"], "/v1/jobs/7", {"kind": "jobs", "id": "7"}),
        (["/files/{path...}"], "/files/a/b%20c/d", {"path": "a/b c/d"}),
        (["/files/{path...}"], "/files", {}),
        (["/files/{path...}"], "/file/a", {}),
        (["/a/{b}/{c...}"], "/a/1/2/3", {"b": "1", "c": "2/3"}),
        (["/v1/search"], "/v1/search", {}),
        ([], "/v1/search", {}),
    ],
)
def test_parts_of_a_path_have_the_names_of_their_template(
    templates: list[str], path: str, expected: dict[str, str]
) -> None:
    """Of several templates the first that fits."""
    assert expected == path_values(templates, path)


@given(st.text(min_size=1, max_size=50))
def test_any_part_of_a_path_is_found_again(part: str) -> None:
    """Whatever signs it has."""
    assert {"id": part} == path_values(["/jobs/{id}"], f"/jobs/{quote(part, safe='')}")


def test_a_view_reads_no_more_than_it_is_asked_for() -> None:
    """And each part once."""

    class Library:
        reads = 0

        @property
        def bytes_stream(self) -> type:
            self.reads += 1
            return resilience.httpx.LIBRARY.bytes_stream

    library: Any = Library()
    view = view_of(request("https://provider.test/?a=1", json={"b": 2}, headers={"X-C": "3"}), "search", library)
    untouched = library.reads

    assert ({"b": 2}, {"b": 2}, {"a": ["1"]}) == (view.document, view.document, view.queries)
    assert view.queries is view.queries
    assert (0, 1) == (untouched, library.reads)
    assert ("search", "3") == (view.operation, view.headers.get("x-c"))
