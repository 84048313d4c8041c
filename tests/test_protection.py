"""All layers together, over real HTTP: an outage, many callers, and the way back."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2
import pytest

import resilience.httpx
import resilience.httpx2
from resilience import Policy, trail_of
from tests.rawserver import RawServer, answer, raw_server

OPEN_FOR = 0.3
PROBES = 2


class Provider:
    """A real server that is up or down, and counts what comes while it is which."""

    def __init__(self) -> None:
        self.down = True
        self.slow = 0.0
        self.server: RawServer | None = None

    def __call__(self, client: socket.socket) -> bool:
        if self.slow:
            time.sleep(self.slow)
        client.sendall(answer(503, b'{"error": "down"}') if self.down else answer(200, b"{}"))
        return True

    @property
    def requests(self) -> int:
        assert self.server is not None
        return len(self.server.requests)

    @property
    def url(self) -> str:
        assert self.server is not None
        return self.server.url


@contextmanager
def provider() -> Iterator[Provider]:
    found = Provider()
    with raw_server(found) as server:
        found.server = server
        yield found


def policy_for(provider: Provider, **parts: Any) -> Policy:
    """A policy for the server of this test."""
    return Policy.model_validate(
        {
            "version": 1,
            "provider": "provider",
            "match": {"hosts": [provider.url.removeprefix("http://")]},
            "envelopes": [{"code": "code", "message": "error"}],
            "retry": {"max_attempts": 1},
            "breaker": {
                "consecutive_failures": 5,
                "open_for": f"{int(OPEN_FOR * 1000)}ms",
                "jitter": 0,
                "probes": PROBES,
                "close_after": PROBES,
            },
            **parts,
        }
    )


def test_an_outage_trips_the_breaker_once_for_all_clients_of_a_process() -> None:
    """Two clients of two libraries: five failures in all reach the provider, then nobody does."""
    with provider() as down:
        policy = policy_for(down)
        first = httpx.Client(transport=resilience.httpx.Transport(policies=[policy]))
        second = httpx2.Client(transport=resilience.httpx2.Transport(policies=[policy]))
        with first, second:
            statuses = [client.get(down.url).status_code for _ in range(10) for client in (first, second)]

        assert [503] * 20 == statuses
        assert 5 == down.requests


def test_a_hundred_callers_get_the_refusal_at_once() -> None:
    """In the provider's own shape, each in under a millisecond (the median, in its thread's own time: machines are shared)."""
    with provider() as down, httpx.Client(transport=resilience.httpx.Transport(policies=[policy_for(down)])) as client:
        for _ in range(5):
            client.get(down.url)
        client.get(down.url)

        def call(_: int) -> tuple[float, httpx.Response]:
            started = time.thread_time()
            response = client.get(down.url)
            return time.thread_time() - started, response

        with ThreadPoolExecutor(1) as pool:
            calls = list(pool.map(call, range(100)))

        assert 5 == down.requests
        assert statistics.median(seconds for seconds, _ in calls) < 0.001
        for _, response in calls:
            assert 503 == response.status_code
            assert "breaker" == response.headers["x-resilience-refused"]
            assert 1 == int(response.headers["retry-after"])
            assert "open" in response.json()["error"]
            trail = trail_of(response)
            assert trail is not None
            assert 0 == len(trail.attempts)
            assert ["breaker"] == [refusal.layer for refusal in trail.refusals]


def test_recovery_sends_as_many_probes_as_the_policy_says() -> None:
    """However many threads ask at the same moment."""
    with provider() as down, httpx.Client(transport=resilience.httpx.Transport(policies=[policy_for(down)])) as client:
        for _ in range(5):
            client.get(down.url)
        down.down, down.slow = False, 0.3
        time.sleep(OPEN_FOR + 0.05)
        barrier = threading.Barrier(32)

        def call(_: int) -> int:
            barrier.wait()
            return client.get(down.url).status_code

        with ThreadPoolExecutor(32) as pool:
            statuses = list(pool.map(call, range(32)))

        assert PROBES == statuses.count(200)
        assert 5 + PROBES == down.requests
        down.slow = 0.0
        assert 200 == client.get(down.url).status_code


def test_refusals_are_raised_where_that_is_wanted() -> None:
    """An error of the library in use, which says who refused and when it is worth coming back."""
    with provider() as down:
        transport = resilience.httpx.Transport(policies=[policy_for(down)], config={"version": 1, "refusals": "raise"})
        with httpx.Client(transport=transport) as client:
            for _ in range(5):
                client.get(down.url)

            with pytest.raises(httpx.TransportError) as caught:
                client.get(down.url)

            error: Any = caught.value
            assert isinstance(error, resilience.errors.BreakerOpen)
            assert ("breaker", "provider") == (error.layer, error.policy)
            assert 0 < error.retry_after <= OPEN_FOR
            assert error.request is not None
