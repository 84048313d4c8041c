"""Tests of a web application by its framework's test client, which runs it in another thread."""

from collections.abc import Callable, Iterator

import pytest
import shop
from fastapi import FastAPI
from fastapi.testclient import TestClient

import resilience
from resilience.events import CallEnded, Listener
from resilience.testing import FakeProvider, VirtualClock, assert_trail

Providers = Callable[..., FakeProvider]
app = FastAPI()


@app.get("/search")
def search(prompt: str) -> str:
    """An endpoint that calls the provider, in a thread of the framework."""
    return shop.search(prompt)


class Trails(Listener):
    """Keeps the trail of each call, whatever thread it is made in."""

    def __init__(self) -> None:
        self.all: list[resilience.Trail] = []

    def on_call(self, event: CallEnded, /) -> None:
        """Called when a call is over, in its thread."""
        self.all.append(event.trail)


@pytest.fixture
def trails() -> Iterator[list[resilience.Trail]]:
    """The trails of all calls of a test, in the order in which they ended."""
    found = Trails()
    remove = resilience.listen(found)
    yield found.all
    remove()


def test_a_request_gets_through_a_busy_minute(
    resilience_clock: VirtualClock, resilience_provider: Providers, trails: list[resilience.Trail]
) -> None:
    """The clock and the provider are those of the process; the last call is that of a thread."""
    resilience_provider("anakin", script="429 retry-after 7, success")

    assert TestClient(app).get("/search", params={"prompt": "httpx"}).json() == "found"

    (trail,) = trails
    assert_trail(trail, attempts=2, waited=7, ended="success")
    assert resilience_clock.slept == [7.0]
