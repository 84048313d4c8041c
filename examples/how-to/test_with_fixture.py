"""A pytest fixture: a fake provider and a client that obeys its policy, without waiting."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

import resilience.httpx
from resilience.testing import FakeProvider, VirtualClock, fake_provider


@dataclass
class Busy:
    """A provider that is busy twice, a client for it, and the clock that both waits went to."""

    provider: FakeProvider
    client: httpx.Client
    clock: VirtualClock


@pytest.fixture
def busy() -> Iterator[Busy]:
    """Anakin as it documents itself: `queue-error` is a rule of its policy."""
    clock = VirtualClock()
    with fake_provider("anakin", script="429 retry-after 7, queue-error, success") as provider:
        transport = resilience.httpx.Transport(policies=[provider.policy], clock=clock)
        with httpx.Client(transport=transport, base_url=provider.url) as client:
            yield Busy(provider, client, clock)


def test_a_search_gets_through_a_busy_minute(busy: Busy) -> None:
    """Three requests, the first wait as the provider asked, and no second of it in real time."""
    answer = busy.client.post("/v1/search", json={"prompt": "httpx"})

    assert answer.status_code == 200
    assert [request.status for request in busy.provider.requests] == [429, 500, 200]
    assert busy.clock.slept[0] == 7.0
