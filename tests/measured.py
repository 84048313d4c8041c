"""An application that measures: the SDK's own provider and reader, and calls that make each metric say something."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader

import resilience.httpx
from resilience import Policy
from resilience.stores import opened_stores
from tests.worlds import HOST, policy

__all__ = ["PROVIDER", "SCENARIOS", "URL", "Measured", "client_of", "in_line", "slow_limit"]

PROVIDER = "opentelemetry.metrics._internal._METER_PROVIDER"
"""What `set_meter_provider` sets, once in a process; tests set it as often as they like."""

URL = f"https://{HOST}/things/1"
OPERATIONS = {"things": {"path": "/things/{id}"}}
Handler = Callable[[httpx.Request], httpx.Response]
Key = tuple[tuple[str, object], ...]


class Measured:
    """A provider with a reader in memory, and what was recorded.

    Arguments:
        readers: further ones.
        options: of the provider: views.
    """

    def __init__(self, *readers: MetricReader, **options: Any) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader, *readers], shutdown_on_exit=False, **options)

    def metrics(self) -> dict[str, Any]:
        """The metrics by name; one that is there twice is an error."""
        found: dict[str, Any] = {}
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    assert metric.name not in found, f"{metric.name} is there twice"
                    found[metric.name] = metric
        return found

    def values(self, name: str, *attributes: str) -> dict[Key | tuple[object, ...], Any]:
        """What a metric says: the number, or of a histogram the count, by these attributes or all that it has."""
        metric = self.metrics().get(name)
        found: dict[Any, Any] = {}
        for point in metric.data.data_points if metric is not None else ():
            told = dict(point.attributes)
            key = tuple(told.get(each) for each in attributes) if attributes else tuple(sorted(told.items()))
            value = point.count if hasattr(point, "bucket_counts") else point.value
            found[key] = found.get(key, 0) + value
        return found


def client_of(
    answers: Handler | Sequence[int | Exception] = (200,), config: Mapping[str, Any] | None = None, **parts: Any
) -> httpx.Client:
    """A client of a provider that answers so, the last answer again and again; its policy has these parts."""
    retry = {"backoff": {"initial": "1ms", "jitter": "none"}, "spread": 0, **parts.pop("retry", {})}
    if "rules" in parts:
        parts["answers"] = parts.pop("rules")
    made = parts.pop("policy", None) or policy(**{"operations": OPERATIONS, **parts, "retry": retry})
    left = [] if callable(answers) else list(answers)

    def handler(request: httpx.Request) -> httpx.Response:
        if callable(answers):
            return answers(request)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, json={})

    transport: Any = resilience.httpx.Transport(
        httpx.MockTransport(handler), policies=[made], config={"version": 1, **(config or {})}
    )
    return httpx.Client(transport=transport, headers={"x-api-key": "key-1"})


def slow_limit() -> dict[str, Any]:
    """The parts of a policy that lets one call through in a minute, and has the others wait."""
    return {"limits": [{"name": "slow", "rate": "1/minute", "burst": 1, "max_wait": "5m", "queue": 5}]}


@contextmanager
def in_line(client: httpx.Client, calls: int = 1) -> Iterator[None]:
    """Calls that stand in line meanwhile; closing the client ends them."""

    def call() -> None:
        with suppress(httpx.TransportError):
            client.get(URL)

    threads = [threading.Thread(target=call) for _ in range(calls)]
    for thread in threads:
        thread.start()
    until = 2000
    while sum(sum(store.lines.lengths().values()) for store in opened_stores()) < calls:
        threading.Event().wait(0.005)
        until -= 1
        assert until, "nobody stands in line"
    try:
        yield
    finally:
        client.close()
        for thread in threads:
            thread.join()


def _of_credits(**parts: Any) -> Policy:
    account = {"account": {"headers": ["x-api-key"]}, "operations": OPERATIONS, "breaker": {"off": True}}
    costs = {"costs": [{"cost": 5}], "charged": "billing.charged"}
    return policy(**{**account, "credits": costs, **parts})


def retried(_folder: Path) -> None:
    """A call that is answered at its second attempt."""
    with client_of([503, 200]) as client:
        client.get(URL)


def tripped(_folder: Path) -> None:
    """Three failures open the breaker, which refuses the next call."""
    with client_of([500], breaker={"consecutive_failures": 3, "open_for": "1m"}, retry={"max_attempts": 1}) as client:
        for _ in range(4):
            client.get(URL)


def paused(_folder: Path) -> None:
    """An answer pauses the limit of all calls."""
    handler = [429, 200]

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(handler.pop(0), headers={"Retry-After": "0.02"}, json={})

    wait = [{"header": "Retry-After", "as": "seconds"}]
    with client_of(answer, limits=[{"name": "fast", "rate": "100/second"}], retry={"wait": wait}) as client:
        client.get(URL)


def spent(_folder: Path) -> None:
    """Two calls use a budget up, which refuses the third."""
    budgets = [{"name": "daily", "limit": "10 credits/day", "warn_at": 0.5}]
    config = {"providers": {"provider": {"budgets": budgets}}}
    with client_of(config=config, policy=_of_credits()) as client:
        for _ in range(3):
            client.post(URL)


def latched(_folder: Path) -> None:
    """An answer shuts the account."""
    rules = [{"rule": "no-credits", "when": {"status": 402}, "category": "credits_exhausted"}]
    with client_of([402], policy=_of_credits(answers=rules)) as client:
        client.post(URL)


def lost(folder: Path) -> None:
    """A shared store goes away between two calls."""
    path = folder / "limits.db"
    with client_of(config={"store": f"sqlite:///{path}"}, **slow_limit()) as client:
        client.get(URL)
        path.unlink()
        client.get(URL)


SCENARIOS: tuple[Callable[[Path], None], ...] = (retried, tripped, paused, spent, latched, lost)
"""What is done, with a folder for files; beside these somebody must stand in line."""
