"""What stands around a transport of ours, and what only chooses it now and then."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import httpx

import resilience.httpx
from resilience._leading import leads_to
from tests.test_transparency import watching


def test_what_stands_around_ours_is_found_as_deep_as_anybody_builds() -> None:
    """Four of the library's kind; whatever else an application has there is not looked into, and harms nobody.

    What chooses between ours and another does not lead to ours: calls that go by the other would obey nothing.
    """

    class Around(httpx.BaseTransport):
        def __init__(self, inner: object) -> None:
            self.inner = inner

    class Slotted:
        __slots__ = ()

    ours: Any = resilience.httpx.Transport(policies=[watching()])
    found: list[bool] = []
    for _ in range(5):
        ours = Around(ours)
        found.append(leads_to(ours, resilience.httpx.Transport, httpx))
    circle = Around(None)
    circle.inner = circle
    either = Around(resilience.httpx.Transport(policies=[watching()]))
    either.other = httpx.MockTransport(print)  # type: ignore[attr-defined]
    routed = Around(resilience.httpx.Transport(policies=[watching()]))
    routed.others = {"a": httpx.MockTransport(print)}  # type: ignore[attr-defined]
    own_pool: Any = httpx.HTTPTransport()
    own_pool.other = resilience.httpx.Transport(policies=[watching()])
    others = (
        *(None, Slotted(), MagicMock(), circle, either, routed, own_pool),
        *(Around((ours, httpx.MockTransport(print))), Around(httpx.MockTransport(print))),
    )

    own_pool.other.close()
    own_pool.close()

    assert [True, True, True, True, False] == found
    assert leads_to(Around([resilience.httpx.Transport(policies=[watching()])]), resilience.httpx.Transport, httpx)
    assert not any(leads_to(each, resilience.httpx.Transport, httpx) for each in others)
