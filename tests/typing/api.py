"""How users call the library, as a type checker sees it; read by mypy and pyright, never run."""

from __future__ import annotations

from typing import assert_type

import httpx
import httpx2

import resilience
import resilience.httpx
import resilience.httpx2
from resilience import Category, Policy, Trail, Verdict
from resilience.simulate import Answer, Simulation
from resilience.testing import VirtualClock, fake_provider


def doors() -> None:
    resilience.install()
    resilience.install("resilience.yaml")
    resilience.install({"version": 1})
    resilience.uninstall()
    assert_type(resilience.wrap(httpx.Client()), httpx.Client)
    assert_type(resilience.wrap(httpx2.AsyncClient(), policies=["anakin"]), httpx2.AsyncClient)
    httpx.Client(transport=resilience.httpx.Transport(httpx.HTTPTransport(), policies=["anakin"]))
    httpx.AsyncClient(transport=resilience.httpx.Transport(httpx.AsyncHTTPTransport()))
    httpx2.Client(transport=resilience.httpx2.Transport(clock=VirtualClock()))


def policies() -> None:
    policy = assert_type(resilience.load_policy("anakin"), Policy)
    verdict = assert_type(policy.classify(method="POST", url="/v1/map", status=429, body={"error": "x"}), Verdict)
    assert_type(verdict.category, Category)
    assert_type(verdict.retry_after, float | None)
    assert_type(verdict.retryable, bool)


def trails(response: httpx.Response) -> None:
    trail = assert_type(resilience.trail_of(response), Trail | None)
    if trail is not None:
        assert_type(trail.attempts[0].verdict, Verdict)
        assert_type(trail.waits[0].seconds, float)


def errors(client: httpx.Client) -> None:
    try:
        client.get("https://api.example.com")
    except resilience.httpx.DeadlineExceeded as error:
        assert_type(error.request, httpx.Request)


def help_for_tests() -> None:
    with fake_provider("anakin", script="429, 200") as provider:
        assert_type(provider.url, str)
    simulation = Simulation(["anakin"], lambda request, now: Answer(200))
    assert_type(simulation.call("GET", "https://api.anakin.io/").answer, Answer | None)
