"""What a provider documents about its WebSockets and event streams is data with the same care."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from resilience._streams import CloseCode, ServerEvent
from tests.worlds import policy


def test_a_policy_says_what_close_codes_and_events_mean() -> None:
    """In the words of the categories."""
    found = policy(
        websocket=[{"code": 4008, "message": "slow", "category": "rate_limited", "retryable": False}],
        events=[{"event": "error", "data": {"error.code": [1, 2]}, "category": "server_error", "ends_stream": True}],
    )

    assert (4008, ("slow",), "rate_limited", False) == (
        found.websocket[0].code,
        found.websocket[0].message,
        found.websocket[0].category,
        found.websocket[0].retryable,
    )
    assert ("error", {"error.code": (1, 2)}, True) == (
        found.events[0].event,
        found.events[0].data,
        found.events[0].ends_stream,
    )


@pytest.mark.parametrize(
    ("model", "keys", "message"),
    [
        (CloseCode, {"code": 999, "category": "auth"}, "greater than or equal to 1000"),
        (CloseCode, {"code": 5000, "category": "auth"}, "less than or equal to 4999"),
        (CloseCode, {"code": "4000", "category": "auth"}, "valid integer"),
        (CloseCode, {"code": 4000}, "Field required"),
        (CloseCode, {"code": 4000, "category": "gone"}, "Input should be 'success'"),
        (ServerEvent, {"event": "e", "data": {"a b": 1}, "category": "auth"}, "a step starts with . or ["),
        (ServerEvent, {"event": "e", "category": "auth", "ends_stream": 1}, "valid boolean"),
    ],
)
def test_data_that_cannot_be_true_is_refused(model: Any, keys: dict[str, Any], message: str) -> None:
    """RFC 6455 section 7.4 has no such codes, and the set of categories is closed."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(keys)

    assert message in str(caught.value)
