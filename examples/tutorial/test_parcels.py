"""Tests of a program that calls Parcels: over real HTTP, with documented answers, without waiting."""

import httpx

import resilience.httpx
from resilience.testing import VirtualClock, fake_provider


def test_a_label_is_bought_once() -> None:
    """The answer to the first request is lost; the second one carries the same key."""
    clock = VirtualClock()

    with fake_provider("parcels.yaml", script="drop, success") as provider:
        transport = resilience.httpx.Transport(policies=[provider.policy], clock=clock)
        with httpx.Client(transport=transport, base_url=provider.url) as client:
            answer = client.post("/v1/labels", json={"parcel": 42})

    keys = [request.headers["idempotency-key"] for request in provider.requests]
    assert (answer.status_code, len(keys), len(set(keys))) == (200, 2, 1)


def test_a_busy_minute_is_waited_out() -> None:
    """The wait is the one that the answer asked for, or up to a tenth longer."""
    clock = VirtualClock()

    with fake_provider("parcels.yaml", script="slow-down, success") as provider:
        transport = resilience.httpx.Transport(policies=[provider.policy], clock=clock)
        with httpx.Client(transport=transport, base_url=provider.url) as client:
            client.get("/v1/parcels/42").raise_for_status()

    assert clock.slept == [1.5]
