"""Dashboard and alerts are made from the table, what is scraped has their names, and each alert fires when it should."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import prometheus_client
import pytest
import yaml
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client.parser import text_string_to_metric_families

from resilience._hub import Hub
from resilience._instruments import ATTRIBUTES, INSTRUMENTS
from resilience.stores import forget_all
from tests.measured import PROVIDER, SCENARIOS, URL, Measured, client_of, in_line, latched, slow_limit, spent, tripped
from tests.servers import free_port

ROOT = Path(__file__).parent.parent
MONITORING = ROOT / "monitoring"
RULES = MONITORING / "prometheus-alerts.yaml"
PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")
NAME = re.compile(r"\b(?:resilience|http|server|error)_[a-z_]+\b")
STATUS = "resilience_circuit_breaker_status"
P = 'resilience_provider="p"'


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", MONITORING / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = _generator()


def label(attribute: str) -> str:
    """An attribute as Prometheus spells it."""
    return attribute.replace(".", "_")


def spellings() -> dict[str, str]:
    """All names of series that Prometheus makes of the table, each with the metric's own."""
    found: dict[str, str] = {}
    for name, instrument in INSTRUMENTS.items():
        base = name.replace(".", "_") + ("_seconds" if instrument.unit == "s" else "")
        if instrument.kind == "histogram":
            found |= {f"{base}_{part}": name for part in ("bucket", "count", "sum")}
        else:
            found[base + ("_total" if instrument.kind == "counter" else "")] = name
    return found


def expressions() -> list[str]:
    """All that is asked of Prometheus."""
    board = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    return found + [rule["expr"] for rule in rules()] + [board["templating"]["list"][1]["definition"]]


def rules() -> list[dict[str, Any]]:
    """The alerts."""
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("name", ["dashboard", "alerts", "page"])
def test_what_is_committed_is_what_the_generator_makes(name: str) -> None:
    """`python monitoring/generate.py` changes nothing."""
    path: Path = getattr(GENERATE, name.upper())

    assert path.read_text(encoding="utf-8") == getattr(GENERATE, name)()


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_and_label_that_is_asked_for_is_in_the_table(expression: str) -> None:
    """With the suffixes that Prometheus gives them; the labels are attributes of a metric of the expression."""
    known, words = spellings(), set(NAME.findall(expression))
    metrics = words & set(known)

    labels = {label(attribute) for name in metrics for attribute in INSTRUMENTS[known[name]].attributes}
    assert metrics
    assert set() == words - set(known) - labels


def test_every_metric_of_the_table_is_on_the_dashboard() -> None:
    """In a panel that says what it is."""
    board = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
    known = spellings()
    shown = {known[word] for expression in expressions() for word in NAME.findall(expression) if word in known}

    graphs = [panel for panel in board["panels"] if panel["type"] == "timeseries"]
    assert set(INSTRUMENTS) == shown
    assert all(panel["description"] in {each.description for each in INSTRUMENTS.values()} for panel in graphs)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in graphs]
    assert len(set(places)) == len(places)


def test_a_panel_of_failures_shows_no_success() -> None:
    """Nor calls that their callers have interrupted."""
    board = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
    (panel,) = (each for each in board["panels"] if "failed" in each["title"])

    assert 'resilience_outcome=~"failure|rejected"' in panel["targets"][0]["expr"]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_that_sends_to_the_command_line_says_what_to_do_without_a_shared_store(rule: dict[str, Any]) -> None:
    """`resilience status` sees nothing of another process's memory."""
    text = rule["annotations"]["description"]

    assert not re.search(r"`resilience (status|credits|breaker)`", text) or "memory://" in text


def test_what_an_alert_names_is_a_label_that_it_has() -> None:
    """A label that the expression sums over would be empty in its text."""
    for rule in rules():
        named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))

        assert named <= kept, rule["alert"]


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test measures is heard of in no other."""
    monkeypatch.setattr(Hub, "listeners", ())


@contextmanager
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """An application that measures, and the port where it tells Prometheus of it."""
    registry = prometheus_client.CollectorRegistry()
    measured = Measured(PrometheusMetricReader(registry=registry))
    monkeypatch.setattr(PROVIDER, measured.provider)
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        measured.provider.shutdown()


def scraped(port: int) -> dict[str, dict[str, Any]]:
    """The samples by their names, each with its labels."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return {sample.name: sample.labels for family in text_string_to_metric_families(text) for sample in family.samples}


def test_what_is_scraped_has_the_names_of_dashboard_and_alerts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of each metric, over HTTP, after calls of every kind."""
    found: dict[str, dict[str, Any]] = {}
    with served(monkeypatch) as port:
        for scenario in SCENARIOS:
            forget_all()
            scenario(tmp_path)
            found |= scraped(port)
        forget_all()
        client = client_of(**slow_limit())
        client.get(URL)
        with in_line(client):
            found |= scraped(port)

    ours = {name: labels for name, labels in found.items() if name.startswith(("resilience_", "http_client_"))}
    assert set(spellings()) == set(ours)
    attributes = {label(name) for name in ATTRIBUTES}
    scope = {"otel_scope_name", "otel_scope_version", "otel_scope_schema_url", "le"}
    assert all(set(labels) <= attributes | scope for labels in ours.values())


needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed (Debian: prometheus)")


@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    """Neither with their form nor with their expressions."""
    done = subprocess.run(
        [str(PROMTOOL), "check", "rules", str(RULES)], capture_output=True, encoding="utf-8", check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


# For each alert: the series that it is about, minute by minute; when it fires; and its labels.
_REFUSED = (
    f'resilience_refusals_total{{{P},resilience_layer="credits",resilience_reason="REASON",resilience_observed="OBS"}}'
)
_BUDGET = f'{P},resilience_budget="b",resilience_credits_unit="credits"'
FIRES: dict[str, tuple[dict[str, str], int, str]] = {
    "ResilienceBreakerOpen": (
        {f'{STATUS}{{{P},resilience_circuit_breaker_state="open"}}': "1+0x10"}, 2, f'{P},severity="warning"',
    ),
    "ResilienceBreakerIsolated": (
        {f'{STATUS}{{{P},resilience_circuit_breaker_state="isolated"}}': "1+0x20"}, 16, f'{P},severity="warning"',
    ),
    "ResilienceCallsRefusedByLimit": (
        {f'resilience_refusals_total{{{P},resilience_layer="concurrency",resilience_observed="false"}}': "0+3x20"}, 12,
        f'{P},resilience_layer="concurrency",severity="warning"',
    ),
    "ResilienceCallsRefusedByBudget": (
        # The series begins with the first refusal.
        {_REFUSED.replace("REASON", "budget").replace("OBS", "false"): "_ 1+0x10"}, 1, f'{P},severity="critical"',
    ),
    "ResilienceAccountLatched": (
        {f'resilience_credits_latched{{{P},resilience_scope="account"}}': "1+0x10"}, 0,
        f'{P},resilience_scope="account",severity="critical"',
    ),
    "ResilienceBudgetNearlySpent": (
        {f"resilience_credits_left{{{_BUDGET}}}": "9+0x10", f"resilience_credits_limit{{{_BUDGET}}}": "100+0x10"}, 6,
        f'{_BUDGET},severity="warning"',
    ),
    "ResilienceStoreLost": (
        {'resilience_store_status{resilience_store_url="redis://h",resilience_store_state="alone"}': "1+0x10"}, 2,
        'resilience_store_url="redis://h",severity="critical"',
    ),
    "ResilienceRetryRatioHigh": (
        {f'resilience_retry_decisions_total{{{P},resilience_retry_decision="retried"}}': "0+30x20",
         f"resilience_call_attempts_total{{{P}}}": "0+100x20"}, 12, f'{P},severity="warning"',
    ),
    "ResilienceWaitHigh": (
        {f'resilience_call_wait_seconds_bucket{{{P},resilience_layer="limiter",le="10.0"}}': "0+0x20",
         f'resilience_call_wait_seconds_bucket{{{P},resilience_layer="limiter",le="30.0"}}': "0+10x20",
         f'resilience_call_wait_seconds_bucket{{{P},resilience_layer="limiter",le="+Inf"}}': "0+10x20"}, 12,
        f'{P},resilience_layer="limiter",severity="warning"',
    ),
}  # fmt: skip
# The same metrics of an application that is well.
WELL: dict[str, str] = {
    f'{STATUS}{{{P},resilience_circuit_breaker_state="open"}}': "0+0x20",
    f'{STATUS}{{{P},resilience_circuit_breaker_state="closed"}}': "1+0x20",
    _REFUSED.replace("REASON", "budget").replace("OBS", "true"): "0+5x20",
    _REFUSED.replace("REASON", "latch").replace("OBS", "false"): "3+0x20",
    f'resilience_refusals_total{{{P},resilience_layer="limiter",resilience_observed="true"}}': "0+3x20",
    f'resilience_refusals_total{{{P},resilience_layer="limiter",resilience_observed="false"}}': "3+0x20",
    f'{STATUS}{{{P},resilience_circuit_breaker_state="isolated"}}': "0+0x20",
    f'resilience_credits_latched{{{P},resilience_scope="account"}}': "0+0x20",
    f"resilience_credits_left{{{_BUDGET}}}": "50+0x20",
    f"resilience_credits_limit{{{_BUDGET}}}": "100+0x20",
    'resilience_store_status{resilience_store_url="redis://h",resilience_store_state="alone"}': "0+0x20",
    'resilience_store_status{resilience_store_url="redis://h",resilience_store_state="shared"}': "1+0x20",
    f'resilience_retry_decisions_total{{{P},resilience_retry_decision="retried"}}': "0+5x20",
    f'resilience_retry_decisions_total{{{P},resilience_retry_decision="not_retryable"}}': "0+90x20",
    f"resilience_call_attempts_total{{{P}}}": "0+100x20",
    f'resilience_call_wait_seconds_bucket{{{P},resilience_layer="limiter",le="1.0"}}': "0+10x20",
    f'resilience_call_wait_seconds_bucket{{{P},resilience_layer="limiter",le="+Inf"}}': "0+10x20",
}


def promtool_compares(folder: Path, series: dict[str, str], at: int, expected: list[str]) -> None:
    """Have promtool compare what fires after so many minutes."""
    asked = 'ALERTS{alertstate="firing"}'
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": asked, "eval_time": f"{at}m", "exp_samples": [{"labels": each, "value": 1} for each in expected]}
        ],
    }
    made = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [case]}
    (folder / "test.yaml").write_text(yaml.safe_dump(made))

    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(folder / "test.yaml")], capture_output=True, encoding="utf-8", check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr


def test_every_alert_has_a_case() -> None:
    """One that cannot be shown to fire is none."""
    assert {rule["alert"] for rule in rules()} == set(FIRES)


@needs_promtool
@pytest.mark.parametrize("alert", sorted(FIRES))
def test_an_alert_fires_when_it_should(alert: str, tmp_path: Path) -> None:
    """With its labels, and no other does."""
    series, at, labels = FIRES[alert]

    promtool_compares(tmp_path, series, at, [f'ALERTS{{alertname="{alert}",alertstate="firing",{labels}}}'])


@needs_promtool
def test_nothing_fires_while_all_is_well(tmp_path: Path) -> None:
    """Observed refusals, latches of long ago, few retries, short waits."""
    promtool_compares(tmp_path, WELL, 15, [])


@needs_prometheus
def test_a_real_server_scrapes_and_its_alerts_fire(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The rules as they are, but for the patience that `for` asks for."""
    hasty = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in hasty["groups"]:
        for rule in group["rules"]:
            rule["for"] = "0s"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(hasty))
    with served(monkeypatch) as port:
        scrape = {"job_name": "app", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        (tmp_path / "prometheus.yaml").write_text(
            yaml.safe_dump({"global": every, "rule_files": ["rules.yaml"], "scrape_configs": [scrape]})
        )
        for scenario in (tripped, spent, latched):
            scenario(tmp_path)

        with _server(tmp_path) as url:
            wanted = {"ResilienceBreakerOpen", "ResilienceCallsRefusedByBudget", "ResilienceAccountLatched"}
            fired = _firing(url, wanted)
            asked = httpx.get(f"{url}/api/v1/query", params={"query": "sum(resilience_call_attempts_total)"}).json()

    assert wanted <= fired
    assert float(asked["data"]["result"][0]["value"][1]) > 0


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """A Prometheus of this test's own."""
    port = free_port()
    options = ["--config.file=prometheus.yaml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([str(PROMETHEUS), *options], cwd=folder, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _firing(url: str, wanted: set[str]) -> set[str]:
    """The alerts that fire, once those that are wanted do; those that do after half a minute if not."""
    until, found = time.monotonic() + 30, set[str]()
    while not wanted <= found and time.monotonic() < until:
        threading.Event().wait(0.1)
        try:
            alerts = httpx.get(f"{url}/api/v1/alerts").json()["data"]["alerts"]
        except (httpx.TransportError, ValueError, KeyError):
            # It is still starting.
            continue
        found = {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}
    return found
