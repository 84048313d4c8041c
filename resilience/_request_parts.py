"""What layers read of a request before it is sent: its query, its JSON body, the varying parts of its path."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from ._matchers import MISSING

if TYPE_CHECKING:
    from ._library import Library, Request

__all__ = [
    "LARGEST_BODY",
    "RequestView",
    "document_in",
    "document_of",
    "path_of",
    "path_values",
    "queries_in",
    "queries_of",
    "query_of",
    "view_of",
]

LARGEST_BODY = 1024 * 1024
"""Bytes of the largest body that is read."""
_UNREAD = object()


class RequestView:
    """What costs look at of a request; query and body are read when one first asks for them.

    Arguments:
        operation: the operation that it belongs to.
        headers: looked up without regard to case.
        queries: gives the values of each parameter of the query.
        document: gives the JSON body; `None` where there is none, `MISSING` where it cannot be read.
    """

    __slots__ = ("_document", "_queries", "_read_document", "_read_queries", "headers", "operation")

    def __init__(
        self,
        operation: str | None,
        headers: Mapping[str, str],
        queries: Callable[[], Mapping[str, Sequence[str]]],
        document: Callable[[], object],
    ) -> None:
        self.operation = operation
        self.headers = headers
        self._read_queries = queries
        self._read_document = document
        self._queries: Mapping[str, Sequence[str]] | None = None
        self._document: object = _UNREAD

    @property
    def queries(self) -> Mapping[str, Sequence[str]]:
        """The values of each parameter of the query."""
        if self._queries is None:
            self._queries = self._read_queries()
        return self._queries

    @property
    def document(self) -> object:
        """The JSON body."""
        if self._document is _UNREAD:
            self._document = self._read_document()
        return self._document


def view_of(request: Request, operation: str | None, library: Library) -> RequestView:
    """The view of a request of httpx or httpx2."""
    return RequestView(operation, request.headers, partial(queries_of, request), partial(document_of, request, library))


def path_of(request: Request) -> str:
    """The path as it is sent, without the query."""
    return _target(request)[0]


def queries_of(request: Request) -> Mapping[str, list[str]]:
    """The parameters of the query, each with all its values, also empty ones."""
    return queries_in(_target(request)[1])


def queries_in(query: str) -> Mapping[str, list[str]]:
    """The same of a query as it is sent."""
    return parse_qs(query, keep_blank_values=True)


def query_of(request: Request) -> dict[str, str]:
    """The parameters of the query; of several with one name the last."""
    return {name: values[-1] for name, values in queries_of(request).items()}


def document_of(request: Request, library: Library) -> object:
    """The JSON body: `None` where there is no body, `MISSING` where it cannot be read before it is sent.

    Arguments:
        request: the request.
        library: which knows a body that can be read again.
    """
    if not isinstance(request.stream, library.bytes_stream):
        return MISSING
    stream: Any = request.stream
    return document_in(b"".join(stream))


def document_in(body: bytes) -> object:
    """The same of a body that is at hand; `MISSING` where it is no JSON, or larger than is read."""
    if not body:
        return None
    if len(body) > LARGEST_BODY:
        return MISSING
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return MISSING


def path_values(templates: Iterable[str], path: str) -> Mapping[str, str]:
    """What stands in a path for the parts that a template puts in braces; of several templates the first that fits.

    Arguments:
        templates: as `/v1/jobs/{id}` or `/v1/files/{path...}`.
        path: as it is sent, without the query.
    """
    segments = path.split("/")
    for template in templates:
        wanted, found = template.split("/"), segments
        if wanted[-1].endswith("...}"):
            found = [*segments[: len(wanted) - 1], "/".join(segments[len(wanted) - 1 :])]
            if len(segments) < len(wanted):
                continue
        elif len(wanted) != len(segments):
            continue
        pairs = list(zip(wanted, found, strict=True))
        if all(want == segment or want.startswith("{") for want, segment in pairs):
            return {want[1:-1].removesuffix("..."): unquote(part) for want, part in pairs if want.startswith("{")}
    return {}


def _target(request: Request) -> tuple[str, str]:
    path, _, query = request.url.raw_path.partition(b"?")
    return path.decode("ascii", "replace"), query.decode("ascii", "replace")
