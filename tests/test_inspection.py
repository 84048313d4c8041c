"""Which bodies are looked at before the application sees them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from resilience._inspection import Inspection


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", True),
        ("application/problem+json", True),
        ("text/plain", True),
        ("text/html", True),
        ("", True),
        ("text/event-stream", False),
        ("application/x-ndjson", False),
        ("application/octet-stream", False),
        ("image/png", False),
    ],
)
def test_texts_and_json_are_looked_at(content_type: str, *, expected: bool) -> None:
    """What has no type is, if it comes to it; what is large or endless by nature is not."""
    assert expected == Inspection().includes(content_type)


@pytest.mark.parametrize(
    ("types", "endless"),
    [
        ("text/event-stream", "text/event-stream"),
        ("text/*", "text/event-stream"),
        ("*", "application/json-seq"),
        ("application/*", "application/json-seq"),
        ("application/ndjson", "application/ndjson"),
        ("*jsonlines", "application/x-jsonlines"),
        (["application/json", "multipart/mixed"], "multipart/mixed"),
        ("*-seq", "application/json-seq"),
        ("application/jsonl", "application/jsonl"),
    ],
)
def test_a_body_without_an_end_is_never_read_ahead(types: object, endless: str) -> None:
    """No policy can ask for it, by name or by pattern."""
    with pytest.raises(ValidationError, match=f"{endless} has no end of its own and is never read ahead"):
        Inspection.model_validate({"content_types": types})


def test_a_policy_may_name_its_own_types_and_sizes() -> None:
    """In place of the usual ones."""
    inspection = Inspection.model_validate({"content_types": "image/*", "max_bytes": "2KiB", "statuses": "5xx"})

    assert (True, False) == (inspection.includes("image/png"), inspection.includes("application/json"))
    assert (2048, frozenset(range(500, 600))) == (inspection.max_bytes, inspection.statuses)
