"""Metrics, with the real SDK: each says what happened, once, under a bounded number of series, and harms no call."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import httpx2
import opentelemetry.context
import pytest
import redis
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor, SyncOpenTelemetryTransport
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes
from opentelemetry.semconv.metrics import http_metrics

import resilience.httpx
import resilience.httpx2
from resilience import events
from resilience._hub import Hub, listen
from resilience._instruments import ATTRIBUTES, DURATION, INSTRUMENTS, most_series
from resilience._metrics import Metrics, measure
from resilience.stores import opened_stores
from tests.measured import PROVIDER, SCENARIOS, URL, Measured, client_of, in_line, latched, slow_limit, tripped
from tests.rawserver import answer, raw_server
from tests.servers import RedisServer
from tests.worlds import HOST, policy

ROOT = Path(__file__).parent.parent
KINDS = {"Sum": "counter", "Histogram": "histogram", "Gauge": "observable_gauge"}


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test measures is heard of in no other, and nothing measures that the test has not set up."""
    monkeypatch.setattr(Hub, "listeners", ())
    monkeypatch.setattr(PROVIDER, None)


def use(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> Measured:
    """Make it the application's provider, as `set_meter_provider` does once in a process."""
    monkeypatch.setattr(PROVIDER, measured.provider)
    return measured


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """The provider of an application that measures."""
    return use(monkeypatch, Measured())


@pytest.fixture
def everything(measured: Measured, tmp_path: Path) -> dict[str, Any]:
    """All metrics after all scenarios, those that are observed while there is something to see."""
    found: dict[str, Any] = {}
    for scenario in SCENARIOS:
        resilience.stores.forget_all()
        scenario(tmp_path)
        found |= measured.metrics()
    resilience.stores.forget_all()
    client = client_of(**slow_limit())
    client.get(URL)
    with in_line(client):
        return found | measured.metrics()


def test_the_names_follow_the_rules_of_the_conventions() -> None:
    """Small words between dots, one namespace, nothing that is also the namespace of another name, no `total`."""
    metrics = set(INSTRUMENTS) - {DURATION}
    own = metrics | {name for name in ATTRIBUTES if name.startswith("resilience.")}

    assert all(name.startswith("resilience.") and name.replace(".", "").replace("_", "").isalpha() for name in own)
    assert all(name == name.lower() and "total" not in name for name in own)
    assert set() == set(INSTRUMENTS) & set(ATTRIBUTES)
    assert not [(one, other) for one in own for other in own if other.startswith(f"{one}.")]
    counters = [each.name for each in INSTRUMENTS.values() if each.kind == "counter"]
    assert all(name.endswith(("s", "charged")) for name in counters)
    assert all(each.description.endswith(".") for each in INSTRUMENTS.values())


def test_names_that_are_not_ours_are_those_of_the_conventions() -> None:
    """As the package of the semantic conventions spells them."""
    modules = (error_attributes, http_attributes, server_attributes)
    published = {value for module in modules for value in vars(module).values() if isinstance(value, str)}

    assert http_metrics.HTTP_CLIENT_REQUEST_DURATION == DURATION
    assert set() == {name for name in ATTRIBUTES if not name.startswith("resilience.")} - published
    known = {each.value for each in http_attributes.HttpRequestMethodValues} - {"_OTHER"}
    assert known <= set(ATTRIBUTES[http_attributes.HTTP_REQUEST_METHOD].values)


def test_every_attribute_is_used_and_is_closed_or_bounded() -> None:
    """Nothing in the table is open without an end."""
    used = {name for each in INSTRUMENTS.values() for name in each.attributes}

    assert set(ATTRIBUTES) == used
    assert all(bool(each.values) is not bool(each.most) for each in ATTRIBUTES.values())


def test_the_table_holds_all_that_is_recorded_and_nothing_else(everything: dict[str, Any]) -> None:
    """Each instrument is recorded in some scenario, as the table describes it."""
    assert set(INSTRUMENTS) == set(everything)
    for name, metric in everything.items():
        instrument = INSTRUMENTS[name]
        kind = KINDS[type(metric.data).__name__]
        if kind == "counter" and not metric.data.is_monotonic:
            kind = "observable_up_down_counter"
        assert (instrument.unit, instrument.description, instrument.kind) == (metric.unit, metric.description, kind)
        for point in metric.data.data_points:
            assert set(point.attributes) <= set(instrument.attributes), name
            for attribute, value in point.attributes.items():
                assert not ATTRIBUTES[attribute].values or value in ATTRIBUTES[attribute].values, (attribute, value)
            if instrument.bounds:
                assert instrument.bounds == point.explicit_bounds


def test_a_retried_call_is_one_call_of_two_attempts(measured: Measured) -> None:
    """Counted as a success, with its retry, its wait and why it was sent again."""
    with client_of([503, 200]) as client:
        client.get(URL)

    called = ("resilience.operation", "resilience.outcome")
    assert {("things", "success"): 1} == measured.values("resilience.call.duration", *called)
    assert {("things", "success"): 1} == measured.values("resilience.call.retries", *called)
    attempts = measured.values("resilience.call.attempts", "resilience.category", "http.response.status_code")
    assert {("upstream_unavailable", 503): 1, ("success", 200): 1} == attempts
    assert {("retry", "backoff"): 1} == measured.values(
        "resilience.call.wait", "resilience.layer", "resilience.wait.source"
    )
    decisions = measured.values("resilience.retry.decisions", "resilience.category", "resilience.retry.decision")
    assert {("upstream_unavailable", "retried"): 1} == decisions


def test_a_good_call_is_no_decision_and_no_retry(measured: Measured) -> None:
    """Most calls cost three measurements."""
    with client_of() as client:
        client.get(URL)

    recorded = {DURATION, "resilience.call.attempts", "resilience.call.duration"}
    assert recorded | {"resilience.circuit_breaker.status"} == set(measured.metrics())


@pytest.mark.parametrize(
    ("answers", "parts", "method", "decision"),
    [
        ([503], {}, "GET", "max_attempts"),
        ([404], {}, "GET", "not_retryable"),
        ([500], {}, "POST", "not_repeatable"),
        ([503], {"retry": {"backoff": {"initial": "30s", "max": "30s", "jitter": "none"}}, "deadline": "5s"}, "GET",
         "deadline"),
        ([httpx.ReadError("cut")], {}, "POST", "not_repeatable"),
    ],
)  # fmt: skip
def test_why_a_call_was_not_sent_again_is_a_word(
    answers: list[Any], parts: dict[str, Any], method: str, decision: str, measured: Measured
) -> None:
    """Of a closed set."""
    with client_of(answers, **parts) as client:
        with suppress(httpx.TransportError):
            client.request(method, URL)

    found = measured.values("resilience.retry.decisions", "resilience.retry.decision")
    assert {(decision,): 1} == {key: value for key, value in found.items() if key != ("retried",)}


def test_a_breaker_is_told_by_its_changes_and_by_its_state_now(measured: Measured) -> None:
    """Open is one, each other state is none; what it refuses is told with the reason."""
    settings = {"consecutive_failures": 2, "open_for": "1m"}
    with client_of([500], breaker=settings, retry={"max_attempts": 1}) as client:
        for _ in range(4):
            client.get(URL)

    state, previous = "resilience.circuit_breaker.state", "resilience.circuit_breaker.previous_state"
    assert {("open", "closed"): 1} == measured.values("resilience.circuit_breaker.transitions", state, previous)
    assert {("closed",): 0, ("half_open",): 0, ("open",): 1, ("isolated",): 0} == measured.values(
        "resilience.circuit_breaker.status", state
    )
    why = ("resilience.layer", "resilience.reason", "resilience.observed")
    assert {("breaker", "open", False): 2} == measured.values("resilience.refusals", *why)
    ended = measured.values("resilience.call.duration", "resilience.outcome", "error.type")
    assert {("failure", "server_error"): 2, ("rejected", "circuit_open"): 2} == ended


def test_a_breaker_that_another_process_closes_is_not_open_here(measured: Measured, redis_server: RedisServer) -> None:
    """Its state is the store's, not what this process has heard last."""
    from resilience._breaker_machine import CLOSED
    from resilience._transactions import Command
    from resilience.stores._redis import RedisStore

    settings = {"consecutive_failures": 1, "open_for": "2m"}
    with client_of([500], {"store": redis_server.url}, breaker=settings, retry={"max_attempts": 1}) as client:
        client.get(URL)
        state = "resilience.circuit_breaker.state"
        assert 1 == measured.values("resilience.circuit_breaker.status", state)["open",]
        other = RedisStore(redis_server.url)
        ((key, _),) = other.scan("{provider}:breaker:")
        other.run(Command("breaker.force", (key,), (CLOSED, 0.0)), 0.0)
        other.close()
    (metrics,) = (each for each in Hub.listeners if isinstance(each, Metrics))
    metrics.readings._every = 0.0

    found = measured.values("resilience.circuit_breaker.status", state)
    assert (0, 1) == (found["open",], found["closed",])


def test_an_observed_refusal_is_none(measured: Measured) -> None:
    """It is counted as observed, and no wait that nobody waited is told."""
    config = {"providers": {"provider": {"mode": {"limiter": "observe"}}}}
    strict = [{"name": "slow", "rate": "1/minute", "burst": 1, "max_wait": "1s"}]
    with client_of(config=config, limits=strict) as client:
        for _ in range(2):
            client.get(URL)

    with client_of(config=config, **slow_limit()) as client:
        for _ in range(2):
            assert client.get(URL).extensions["resilience"].waits == ()

    why = ("resilience.layer", "resilience.reason", "resilience.observed")
    assert {("limiter", "max_wait", True): 1} == measured.values("resilience.refusals", *why)
    assert {} == measured.values("resilience.call.wait")


def test_budgets_are_told_as_they_are_now(measured: Measured) -> None:
    """Limit, spent, reserved and left; of a budget with parts, those of the part that has the least left."""
    made = policy(
        account={"headers": ["x-api-key"]},
        operations={"things": {"path": "/things/{id}"}},
        credits={"costs": [{"cost": 5}], "charged": "billing.charged"},
    )
    budget = {"name": "daily", "limit": "20 credits/day", "per": ["tag.tenant"]}
    under_way: list[float] = []

    def charge(_: httpx.Request) -> httpx.Response:
        under_way.extend(measured.values("resilience.credits.reserved").values())
        return httpx.Response(200, json={"billing": {"charged": 4}})

    config = {"providers": {"provider": {"budgets": [budget]}}}
    with client_of(charge, config, policy=made) as client:
        for tenant in ("acme", "acme", "globex"):
            client.post(URL, extensions={"resilience": {"tags": {"tenant": tenant}}})

    told = {name: measured.values(f"resilience.credits.{name}") for name in ("limit", "spent", "reserved", "left")}
    attributes = (
        ("resilience.budget", "daily"),
        ("resilience.credits.unit", "credits"),
        ("resilience.provider", "provider"),
    )
    assert {name: {attributes: amount} for name, amount in
            {"limit": 20, "spent": 8, "reserved": 0, "left": 12}.items()} == told  # fmt: skip
    assert 5 in under_way
    charged = measured.values("resilience.credits.charged", "resilience.credits.unit", "resilience.credits.outcome")
    assert {("credits", "settled"): 12} == charged


def test_a_latch_that_is_open_again_is_told_as_none(measured: Measured, tmp_path: Path) -> None:
    """An alert would go on for as long as nothing is told; of a breaker that is forgotten it is the same."""
    names = "resilience.credits.latched", "resilience.circuit_breaker.status"
    latched(tmp_path)
    tripped(tmp_path)
    before = [measured.values(name, "resilience.provider") for name in names]

    for store in opened_stores():
        store.clear()  # type: ignore[attr-defined]

    assert [{("provider",): 1}, {("provider",): 1}] == before
    assert [{("provider",): 0}] * 2 == [measured.values(name, "resilience.provider") for name in names]


def test_what_is_shut_in_a_store_that_nobody_can_read_is_not_told(
    measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be open again, and it may not."""
    latched(tmp_path)
    assert {("account",): 1} == measured.values("resilience.credits.latched", "resilience.scope")
    (store,) = opened_stores()

    def fail(_prefix: str = "") -> Any:
        raise RuntimeError("unreadable")

    monkeypatch.setattr(store, "scan", fail)

    assert {} == measured.values("resilience.credits.latched")


def test_threads_that_invent_names_lose_nothing() -> None:
    """More of them than are kept, while others collect."""
    metrics = Metrics(NoOpMeter("test"))
    before, failed = sys.getswitchinterval(), list[BaseException]()

    def go(thread: int) -> None:
        try:
            for number in range(4000):
                metrics.on_trip(events.Tripped(f"p{thread}", None, f"{number}", "open", "closed"))
                metrics._hear_of(f"p{thread}.{number}")
                if not number % 100:
                    assert len(metrics.breakers) <= 1000
                    assert len(metrics.providers) <= 200
        except BaseException as error:
            failed.append(error)

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=go, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)

    assert [] == failed


def test_a_collection_reads_the_memory_of_this_process_once(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many instruments tell of it; the next one reads it anew."""
    reads: list[object] = []
    read = resilience._readings.read_store

    def counted(*arguments: Any) -> Any:
        reads.append(1)
        return read(*arguments)

    monkeypatch.setattr(resilience._readings, "read_store", counted)
    with client_of() as client:
        client.get(URL)
    resilience.stores.forget_all()
    resilience.stores.open_store()

    counts: list[int] = []
    for _ in range(3):
        measured.metrics()
        counts.append(len(reads))

    assert [1, 2, 3] == counts


def test_calls_in_line_are_told_while_they_stand_there(measured: Measured) -> None:
    """By the layer and the limit that they wait for."""
    client = client_of(**slow_limit())
    client.get(URL)
    where = ("resilience.provider", "resilience.layer", "resilience.limit")

    with in_line(client, 3):
        assert {("provider", "limiter", "slow"): 3} == measured.values("resilience.call.queue", *where)

    assert {} == measured.values("resilience.call.queue")


def test_a_store_that_is_lost_is_counted_once_and_told_as_away(measured: Measured, tmp_path: Path) -> None:
    """Until then it is shared; its URL is the attribute, and has no credentials."""
    path = tmp_path / "limits.db"
    with client_of(config={"store": f"sqlite:///{path}"}, **slow_limit()) as client:
        client.get(URL)
        before = measured.values("resilience.store.status", "resilience.store.state")
        path.unlink()
        client.get(URL)
    after = measured.values("resilience.store.status", "resilience.store.state")

    assert ({("shared",): 1, ("alone",): 0}, {("shared",): 0, ("alone",): 1}) == (before, after)
    lost = measured.values("resilience.store.fallbacks", "resilience.store.url")
    assert {(f"sqlite:///{path}",): 1} == lost


@pytest.mark.parametrize("name", sorted(INSTRUMENTS))
def test_whatever_is_invented_the_number_of_series_has_a_bound(name: str) -> None:
    """Three thousand values of each attribute, as hostile as they come, over the SDK."""
    measured = Measured()
    metrics = Metrics(measured.provider.get_meter("test"))
    instrument = INSTRUMENTS[name]

    sets = []
    for number in range(3000):
        values: list[Any] = []
        for attribute in instrument.attributes:
            known = ATTRIBUTES[attribute].values
            value = number if attribute in {"server.port", "http.response.status_code"} else f"\ud800{number} \n{name}"
            values.append(known[number % len(known)] if known and number % 3 else value)
        sets.append(tuple(sorted(metrics.series[name].of(*values).items())))

    assert len(set(sets)) <= most_series(instrument) <= 3000
    assert all(text.encode() for each in sets for _, text in each if isinstance(text, str))


def test_hosts_of_a_policy_for_all_hosts_collapse(measured: Measured) -> None:
    """After fifty of them the others are one."""
    made = policy(match={"hosts": ["*"]})
    with client_of(policy=made) as client:
        for number in range(70):
            client.get(f"https://host-{number}.test:{8000 + number}/")

    hosts = measured.values(DURATION, "server.address")
    ports = measured.values(DURATION, "server.port")
    assert (51, 20) == (len(hosts), hosts["_OTHER",])
    assert (21, 50) == (len(ports), ports[None,])


def test_what_application_and_provider_invent_is_no_series(measured: Measured) -> None:
    """Paths, accounts, tags, codes, messages, breaker keys: a hundred calls that differ in all of them are one series."""
    envelopes = [{"code": "code", "message": "error"}]
    counter = iter(range(1000))

    def refuse(_: httpx.Request) -> httpx.Response:
        number = next(counter)
        return httpx.Response(418, json={"code": f"CODE-{number}", "error": f"no {number}"})

    made = policy(
        account={"headers": ["x-api-key"]},
        operations={"things": {"path": "/things/{id}"}},
        envelopes=envelopes,
        breaker={"per": ["account"]},
    )
    with client_of(refuse, policy=made) as client:
        for number in range(100):
            extensions = {"resilience": {"tags": {"tenant": f"t{number}"}}}
            client.get(f"https://{HOST}/things/{number}", headers={"x-api-key": f"{number}"}, extensions=extensions)

    names = ("resilience.call.attempts", "resilience.call.duration", DURATION)
    assert dict.fromkeys(names, 1) == {name: len(measured.values(name)) for name in names}


def test_a_view_may_change_bounds_and_drop_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table's bounds are advice."""
    views = [
        View(instrument_name="resilience.call.duration", aggregation=ExplicitBucketHistogramAggregation((1.0, 2.0))),
        View(instrument_name="resilience.call.attempts", attribute_keys={"resilience.provider"}),
    ]
    measured = use(monkeypatch, Measured(views=views))
    with client_of([503, 200]) as client:
        client.get(URL)

    (point,) = measured.metrics()["resilience.call.duration"].data.data_points
    assert (1.0, 2.0) == point.explicit_bounds
    assert {(("resilience.provider", "provider"),): 2} == measured.values("resilience.call.attempts")


def test_a_provider_that_comes_after_the_first_call_hears_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same client."""
    measured = Measured()
    with client_of() as client:
        client.get(URL)
        use(monkeypatch, measured)
        client.get(URL)

    assert {("provider",): 1} == measured.values("resilience.call.duration", "resilience.provider")


def test_of_two_providers_the_application_s_own_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one whose place was taken neither counts nor tells what it would observe; back in place it goes on."""
    first, second = Measured(), Measured()
    settings = {"consecutive_failures": 1, "open_for": "1m"}
    with client_of([500], breaker=settings, retry={"max_attempts": 1}) as client:
        for provider in (first, second, second, first):
            use(monkeypatch, provider)
            client.get(URL)
            idle = second if provider is first else first
            assert "resilience.circuit_breaker.status" in provider.metrics()
            assert "resilience.circuit_breaker.status" not in idle.metrics()

    counts = [each.values("resilience.call.duration", "resilience.provider") for each in (first, second)]
    assert [{("provider",): 2}, {("provider",): 2}] == counts


def test_a_second_provider_may_listen_by_itself(measured: Measured) -> None:
    """As any listener; each has everything once."""
    other = Measured()
    remove = listen(Metrics(other.provider.get_meter("mine")))
    with client_of([503, 200]) as client:
        client.get(URL)
        remove()
        client.get(URL)

    name = "resilience.call.attempts"
    assert (3, 2) == (sum(measured.values(name).values()), sum(other.values(name).values()))


def test_one_provider_has_one_set_of_instruments(measured: Measured, caplog: pytest.LogCaptureFixture) -> None:
    """However many clients, threads and calls begin at once, and also after the listeners were cleared."""
    barrier = threading.Barrier(8)

    def call() -> None:
        with client_of() as client:
            barrier.wait()
            client.get(URL)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Hub.listeners = ()
    with client_of() as client:
        client.get(URL)

    assert {("provider",): 9} == measured.values("resilience.call.duration", "resilience.provider")
    assert 1 == sum(isinstance(each, Metrics) for each in Hub.listeners)
    assert [] == [record.message for record in caplog.records if "created already" in record.message]


def test_after_the_shutdown_of_the_provider_calls_go_on(measured: Measured) -> None:
    """With nothing counted."""
    with client_of() as client:
        client.get(URL)
        measured.provider.shutdown()

        assert 200 == client.get(URL).status_code


class _Broken:
    """A provider that cannot do what it should."""

    def get_meter(self, *_args: Any, **_named: Any) -> Any:
        raise RuntimeError("no meters today")


def test_a_provider_that_fails_harms_no_call(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, not with each call."""
    monkeypatch.setattr(PROVIDER, _Broken())
    with client_of() as client:
        assert [200, 200] == [client.get(URL).status_code for _ in range(2)]

    assert 1 == sum("no metrics" in record.message for record in caplog.records)


FORKED = """
import json, os, sys
import opentelemetry.metrics._internal as internal
from tests.measured import URL, Measured, client_of

def provider(measured):
    internal._METER_PROVIDER = measured.provider

def told(measured):
    states = measured.values("resilience.circuit_breaker.status", "resilience.circuit_breaker.state")
    calls = measured.values("resilience.call.duration", "resilience.provider")
    return {"calls": sum(calls.values()), "open": states.get(("open",))}

parent = Measured()
provider(parent)
client = client_of([500], breaker={"consecutive_failures": 3, "open_for": "1m"}, retry={"max_attempts": 1})
for _ in range(3):
    client.get(URL)
before = told(parent)
read, write = os.pipe()
if os.fork() == 0:
    child = parent
    if sys.argv[1] == "own":
        child = Measured()
        provider(child)
    client.get(URL)
    os.write(write, json.dumps(told(child)).encode())
    os._exit(0)
os.wait()
print(json.dumps([before, json.loads(os.read(read, 1000)), told(parent)]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize(("provider", "calls"), [("own", 1), ("inherited", 4)])
def test_a_forked_child_tells_what_it_holds_itself(provider: str, calls: int) -> None:
    """A provider of its own counts from nothing; one that it inherits goes on, as the SDK does; no breaker is inherited."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORKED), provider],
        capture_output=True, encoding="utf-8", check=True, env=environment,
    )  # fmt: skip

    before, child, after = json.loads(done.stdout)
    assert {"calls": 3, "open": 1} == before == after
    assert {"calls": calls, "open": 0} == child


def test_a_store_that_is_frozen_keeps_nobody(measured: Measured, redis_server: RedisServer) -> None:
    """Whoever collects metrics waits for a moment, and gets all that does not come from it."""
    settings = {"consecutive_failures": 1, "open_for": "1m"}
    with client_of([500], {"store": redis_server.url}, breaker=settings, retry={"max_attempts": 1}) as client:
        client.get(URL)
        redis_server.freeze()

        began = time.perf_counter()
        found = measured.metrics()
        took = time.perf_counter() - began
        redis_server.thaw()

    assert took < 1.0
    assert {"resilience.call.duration", "resilience.store.status"} <= set(found)
    assert "resilience.circuit_breaker.status" not in found


def test_while_a_store_is_away_breakers_are_told_as_they_were_heard_of(
    measured: Measured, redis_server: RedisServer
) -> None:
    """They are in this process's memory then, and nowhere else."""
    settings = {"consecutive_failures": 1, "open_for": "1m"}
    with client_of([500], {"store": redis_server.url}, breaker=settings, retry={"max_attempts": 1}) as client:
        redis_server.stop()
        client.get(URL)

    state = "resilience.circuit_breaker.state"
    assert {("open",): 1} == measured.values("resilience.circuit_breaker.status", state)


def test_what_was_heard_of_a_store_s_breakers_is_over_when_it_goes_or_comes(measured: Measured) -> None:
    """Whoever decides alone begins with all of them closed, and so does whoever shares again."""
    metrics = Metrics(measured.provider.get_meter("test"))
    for is_away in (True, False):
        metrics.on_trip(events.Tripped("p", None, "{p}:breaker:x:h", "open", "closed"))
        metrics.on_store(events.StoreChanged("redis://h", is_away=is_away, reason=""))

        assert {} == metrics.breakers


def test_what_strangers_leave_in_a_store_is_not_told(measured: Measured, redis_server: RedisServer) -> None:
    """Other providers, other kinds, states that are none, keys without end."""
    with client_of(config={"store": redis_server.url}, **slow_limit()) as client:
        client.get(URL)
        raw = redis.Redis(port=redis_server.port)
        for key in ("{provider}:breaker:x", "{provider}:credits:a@b:ever", "{provider}:latch:account:-", "{other}:x:y"):
            raw.set(f"resilience:{key}", b"\xff\x00 no state")
        raw.set("resilience:{provider}:breaker:" + "x" * 10_000, "[]")
        raw.close()

        found = measured.metrics()

    assert "resilience.call.duration" in found
    # The breaker of that call, and no other.
    assert 1 == sum(point.value for point in found["resilience.circuit_breaker.status"].data.data_points)
    assert not {"resilience.credits.left", "resilience.credits.latched"} & set(found)


def test_observing_never_raises(
    measured: Measured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong is logged, and the other metrics are told."""
    import resilience._observed

    def fail() -> None:
        raise RuntimeError("no stores today")

    with client_of() as client:
        client.get(URL)
    monkeypatch.setattr(resilience._observed, "opened_stores", fail)

    assert "resilience.call.duration" in measured.metrics()
    assert "resilience.store.status cannot be told now" in caplog.text


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """Both libraries, with the module that adapts each."""
    return {"httpx": (httpx, resilience.httpx), "httpx2": (httpx2, resilience.httpx2)}[request.param]


def test_the_metric_of_the_conventions_is_made_where_nobody_else_does(
    library: tuple[Any, Any], measured: Measured
) -> None:
    """One measurement for each attempt, with the attributes that the conventions demand."""
    module, adapter = library
    made = policy(operations={"things": {"path": "/things/{id}"}}, retry={"backoff": {"initial": "1ms"}})
    answers = [module.ReadTimeout("late"), module.Response(503), module.Response(200)]

    def handler(_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with module.Client(transport=adapter.Transport(module.MockTransport(handler), policies=[made])) as client:
        client.get(f"http://{HOST}:8080/things/1?api_key=SECRET")

    common = (("http.request.method", "GET"), ("server.address", HOST), ("server.port", 8080))
    assert {
        tuple(sorted((*common, ("error.type", f"{module.__name__}.ReadTimeout")))): 1,
        tuple(sorted((*common, ("error.type", "503"), ("http.response.status_code", 503)))): 1,
        tuple(sorted((*common, ("http.response.status_code", 200)))): 1,
    } == measured.values(DURATION)


class _OwnError(httpx.TransportError):
    """Of a transport that has classes without end."""


@pytest.mark.parametrize(
    ("came", "parts", "error"),
    [
        (_OwnError("x"), {}, "_OTHER"),
        (200, {"rules": [{"rule": "no", "when": {"status": 200}, "category": "target_error"}]}, "target_error"),
        (404, {"rules": [{"rule": "fine", "when": {"status": 404}, "category": "success"}]}, None),
    ],
)
def test_its_error_is_what_the_span_says(
    came: Any, parts: dict[str, Any], error: str | None, measured: Measured
) -> None:
    """The policy's word where the status does not tell, and no class that anybody may invent."""
    with client_of([came], retry={"max_attempts": 1}, **parts) as client:
        with suppress(httpx.TransportError):
            client.get(URL)

    assert {(error, 443): 1} == measured.values(DURATION, "error.type", "server.port")


def test_a_call_that_wants_not_to_be_measured_is_not(measured: Measured) -> None:
    """As exporters say it of their own requests; what this library does is still counted."""
    token = opentelemetry.context.attach(opentelemetry.context.set_value("suppress_instrumentation", True))
    try:
        with client_of() as client:
            client.get(URL)
    finally:
        opentelemetry.context.detach(token)

    assert {} == measured.values(DURATION)
    assert {("provider",): 1} == measured.values("resilience.call.duration", "resilience.provider")


@pytest.fixture
def instrumentor(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPXClientInstrumentor]:
    """The instrumentation of httpx with the stable names, gone when the test is."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability

    monkeypatch.setattr(_OpenTelemetrySemanticConventionStability, "_initialized", False)
    found = HTTPXClientInstrumentor()
    yield found
    if found.is_instrumented_by_opentelemetry:
        found.uninstrument()
    _OpenTelemetrySemanticConventionStability._initialized = False


class _Mine(httpx.BaseTransport):
    """An application's own, which sends by what it keeps, or by what it makes for each request."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._made: list[tuple[Any]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        inner = self._inner if isinstance(self._inner, httpx.BaseTransport) else self._inner()
        self._made.append((inner,))
        response: httpx.Response = inner.handle_request(request)
        return response

    def close(self) -> None:
        for (inner,) in self._made:
            inner.close()


@pytest.mark.parametrize("is_traced", [False, True])
@pytest.mark.parametrize("kept", ["transport", "anew", "wrapper", "plain", "mock"])
@pytest.mark.parametrize("opt_in", ["", "http", "http/dup", "database, http"])
def test_whatever_is_chosen_the_metric_is_made_once(
    opt_in: str,
    kept: str,
    is_traced: bool,
    measured: Measured,
    monkeypatch: pytest.MonkeyPatch,
    instrumentor: HTTPXClientInstrumentor,
) -> None:
    """By that instrumentation where the stable names were chosen, else by us; also around what sends for others."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", opt_in)
    if is_traced:
        monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", TracerProvider(shutdown_on_exit=False))
    provider: Any = measured.provider
    if kept != "wrapper":
        instrumentor.instrument(meter_provider=provider)
    made_by: dict[str, Any] = {
        "transport": lambda: _Mine(httpx.HTTPTransport()),
        "anew": lambda: _Mine(lambda: httpx.HTTPTransport()),  # noqa: PLW0108  a class would tell what it makes
        "wrapper": lambda: _Mine(SyncOpenTelemetryTransport(httpx.HTTPTransport())),
        "plain": httpx.HTTPTransport,
        "mock": lambda: httpx.MockTransport(lambda _: httpx.Response(200)),
    }
    transport = made_by[kept]()

    with raw_server(answer(200)) as server:
        made = policy(match={"hosts": ["127.0.0.1"]})
        with httpx.Client(transport=resilience.httpx.Transport(transport, policies=[made])) as client:
            client.get(server.url)

    assert 1 == sum(measured.values(DURATION).values())


@pytest.mark.parametrize("when", ["before", "after", "client", "uninstrumented"])
def test_a_request_that_is_instrumented_is_measured_once(
    when: str, measured: Measured, instrumentor: HTTPXClientInstrumentor
) -> None:
    """By that instrumentation while it is there, by us when it is gone: two attempts are two."""
    provider: Any = measured.provider
    with raw_server(answer(503), answer(200)) as server:
        made = policy(match={"hosts": ["127.0.0.1"]}, retry={"backoff": {"initial": "1ms"}})
        if when in {"before", "uninstrumented"}:
            instrumentor.instrument(meter_provider=provider)
        transport = resilience.httpx.Transport(httpx.HTTPTransport(), policies=[made])
        with httpx.Client(transport=transport) as client:
            if when == "after":
                instrumentor.instrument(meter_provider=provider)
            elif when == "client":
                HTTPXClientInstrumentor.instrument_client(client, meter_provider=provider)
            elif when == "uninstrumented":
                instrumentor.uninstrument()
            client.get(server.url)

    scopes = [
        scope.scope.name
        for resource in measured.reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        if any(metric.name == DURATION for metric in scope.metrics)
    ]
    assert ["resilience" if when == "uninstrumented" else "opentelemetry.instrumentation.httpx"] == scopes
    # A client that is instrumented itself has its transport wrapped around ours: to it a call is one request.
    assert {200: 1, 503: 1} == {
        key[0]: value for key, value in measured.values(DURATION, "http.response.status_code").items()
    }


def test_measuring_leaves_no_garbage(measured: Measured) -> None:
    """What a call needs is gone with it, without the collector."""

    def alive() -> int:
        return sum(type(each).__name__ in {"HttpDuration", "Exchange"} for each in gc.get_objects())

    with client_of() as client:
        client.get(URL)
        gc.collect()
        gc.disable()
        try:
            before = alive()
            for _ in range(5):
                client.get(URL)
            assert before == alive()
        finally:
            gc.enable()


def test_measure_may_be_called_for_no_call(measured: Measured) -> None:
    """An application may begin to measure before its first call."""
    measure(measured.provider)

    assert 1 == sum(isinstance(each, Metrics) for each in Hub.listeners)
