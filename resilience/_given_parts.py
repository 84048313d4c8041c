"""The verdict on an answer that is given as arguments, for `Policy.classify`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from ._conditions import Answer
from ._headers import FoldedHeaders
from ._library import ErrorKind, kind_of_any

if TYPE_CHECKING:
    from ._outcome import Verdict
    from ._policy import Policy

__all__ = ["classify_parts"]


def classify_parts(
    policy: Policy,
    *,
    method: str,
    url: str,
    status: int | None,
    headers: Mapping[str, str],
    body: object,
    error: str | Exception | None,
    wall: float,
) -> Verdict:
    """The verdict on an answer given in parts.

    Arguments:
        policy: by which it is judged.
        method: the request's method.
        url: the request's URL, whole or only its path.
        status: the HTTP status.
        headers: the answer's.
        body: decompressed: bytes, text, or plain data that stands for JSON.
        error: instead of an answer, the transport error, or its kind.
        wall: seconds since 1970, for dates in the answer.

    Raises:
        ValueError: neither a status nor an error was given, or both.
    """
    if (status is None) == (error is None):
        raise ValueError("classify takes either a status or an error")
    classifier = policy.classifier
    kind = kind_of_any(error) if isinstance(error, Exception) else None if error is None else ErrorKind(error)
    raw = _raw(body)
    lower = FoldedHeaders(headers)
    if raw and "content-type" not in lower and not isinstance(body, bytes | str):
        lower["content-type"] = "application/json"
    operation = policy.operation_finder.find(method.upper(), _path_of(url))
    answer = Answer(status, lower, method.upper(), operation, kind)
    content_type = lower.get("content-type", "")
    if status is not None and (limit := classifier.look(answer.method, status, operation, content_type)):
        answer.body, answer.complete = raw[:limit], len(raw) <= limit
    return classifier.classify(answer, wall)


def _raw(body: object) -> bytes:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(cast("bytes", body))
    text = body if isinstance(body, str) else json.dumps(body, default=str)
    return text.encode("utf-8", "surrogatepass")


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path or "/"
    except ValueError:
        # No client could have called it, and no operation has such a path.
        return url
