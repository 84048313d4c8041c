"""Tests of an application as it is: nothing of it is replaced, no request leaves the machine, no wait takes time."""

from collections.abc import Callable

import httpx
import pytest
import shop

from resilience.testing import FakeProvider, VirtualClock, assert_trail

Providers = Callable[..., FakeProvider]


def test_a_search_gets_through_a_busy_minute(resilience_clock: VirtualClock, resilience_provider: Providers) -> None:
    """The provider asks for seven seconds; the application never hears of it."""
    provider = resilience_provider("anakin", script="429 retry-after 7, success")

    assert shop.search("httpx") == "found"

    assert [request.status for request in provider.requests] == [429, 200]
    assert_trail(attempts=2, waited=7, ended="success")
    assert resilience_clock.slept == [7.0]


def test_an_hour_is_too_long(resilience_provider: Providers) -> None:
    """What is not waited for in vain comes back at once."""
    resilience_provider("anakin", script="429 retry-after 3600 ...")

    assert shop.search("httpx") == "later"

    assert_trail(attempts=1, waited=0, ended="too_long")


@pytest.mark.resilience("off")
def test_what_the_application_makes_of_a_429(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test with a transport of its own: one request, and its answer untouched."""
    busy = httpx.MockTransport(lambda _: httpx.Response(429, headers={"Retry-After": "7"}))
    monkeypatch.setattr(shop, "client", httpx.Client(base_url="https://api.anakin.io", transport=busy))

    assert shop.search("httpx") == "later"
