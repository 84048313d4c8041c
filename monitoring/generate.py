"""Writes the Grafana dashboard, the Prometheus alerts and their page from the table of metrics.

Run it with `python monitoring/generate.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from resilience._instruments import ATTRIBUTES, DURATION, INSTRUMENTS, Attribute, Instrument

FOLDER = Path(__file__).parent
DASHBOARD = FOLDER / "grafana-dashboard.json"
ALERTS = FOLDER / "prometheus-alerts.yaml"
PAGE = FOLDER.parent / "docs" / "how-to" / "metrics-and-alerts.md"
PROVIDER = "resilience.provider"
BUDGET = ("resilience.provider", "resilience.budget", "resilience.credits.unit")
WINDOW = "5m"
# Panels stand in three columns of Grafana's 24.
COLUMNS, WIDTH, HEIGHT = 3, 8, 8
COMMENT = "# Made by monitoring/generate.py from the table of metrics; copy it and change the copy.\n"


def label(attribute: str) -> str:
    """An attribute as Prometheus spells it."""
    return attribute.replace(".", "_")


def spelled(instrument: Instrument) -> str:
    """A metric as Prometheus spells it, without the suffixes of a histogram's parts.

    What is written in braces is no unit but a word for people, and `1` is none either.
    """
    unit = "_seconds" if instrument.unit == "s" else ""
    return instrument.name.replace(".", "_") + unit + ("_total" if instrument.kind == "counter" else "")


def series(name: str, part: str = "", **wanted: str) -> str:
    """A selector of a metric of the table.

    Arguments:
        name: as the table has it.
        part: of a histogram: `bucket`, `count`, `sum`.
        wanted: values of attributes, by their last word; with `~` before it a value is a pattern, with `!` it is unwanted.
    """
    instrument = INSTRUMENTS[name]
    if bool(part) is not (instrument.kind == "histogram"):
        raise ValueError(f"{name} is a {instrument.kind}")
    marks: list[str] = []
    for word, value in wanted.items():
        (attribute,) = (each for each in instrument.attributes if each.rpartition(".")[2] == word)
        sign = {"~": "=~", "!": "!="}.get(value[:1], "=")
        marks.append(f'{label(attribute)}{sign}"{value.lstrip("~!")}"')
    return spelled(instrument) + (f"_{part}" if part else "") + (f"{{{','.join(marks)}}}" if marks else "")


def by(*attributes: str) -> str:
    """What is told apart."""
    return f"by ({', '.join(map(label, attributes))})"


def rate(name: str, *attributes: str, part: str = "", window: str = "$__rate_interval", **wanted: str) -> str:
    """How often a second."""
    return f"sum {by(*attributes)} (rate({series(name, part, **wanted)}[{window}]))"


def quantile(share: float, name: str, *attributes: str, window: str = "$__rate_interval", **wanted: str) -> str:
    """What so large a share of a histogram's values does not exceed."""
    return f"histogram_quantile({share}, {rate(name, 'le', *attributes, part='bucket', window=window, **wanted)})"


def happened(name: str, *attributes: str, **wanted: str) -> str:
    """How often in the last minutes; the first time too, before which there is no series that could have increased."""
    found = series(name, **wanted)
    again = f"sum {by(*attributes)} (increase({found}[{WINDOW}]))"
    first = f"sum {by(*attributes)} ({found} unless {found} offset {WINDOW})"
    return f"({first} > 0) or ({again} > 0)"


class Alert(NamedTuple):
    """One rule."""

    name: str
    expression: str
    wait: str
    severity: str
    summary: str
    description: str


_OF = "{{ $labels.resilience_provider }}"
_THE_BUDGET = "the budget {{ $labels.resilience_budget }} of " + _OF
# The default store is the memory of the process that calls: no other can look into it.
_SHOWN = (
    "With a store that is shared (SQLite, Redis) `resilience {command}` shows {what}; with the default `memory://` it "
    "cannot be seen from outside, and the log of `resilience.{logger}` says {logged}."
)
RULES = (
    Alert(
        "ResilienceBreakerOpen",
        f"max {by(PROVIDER)} ({series('resilience.circuit_breaker.status', state='~open|half_open')}) > 0",
        "1m",
        "warning",
        f"a breaker of {_OF} has not been closed for a minute",
        "The provider fails, and calls to it are refused without being sent. "
        + _SHOWN.format(
            command="status",
            what="which breaker it is, and `resilience breaker` closes it by hand",
            logger="breaker",
            logged="which one opened, after which failure",
        ),
    ),
    Alert(
        "ResilienceBreakerIsolated",
        f"max {by(PROVIDER)} ({series('resilience.circuit_breaker.status', state='isolated')}) > 0",
        "15m",
        "warning",
        f"a breaker of {_OF} is isolated",
        "Somebody has cut the provider off by hand, and only a hand lets calls through again: `resilience breaker`, or the "
        "program itself where its store is `memory://`.",
    ),
    Alert(
        "ResilienceCallsRefusedByBudget",
        happened("resilience.refusals", PROVIDER, layer="credits", reason="~budget|balance", observed="false"),
        "0m",
        "critical",
        f"calls to {_OF} are refused: a budget is used up",
        "Nothing that costs more than what is left is sent until the budget begins anew. "
        + _SHOWN.format(
            command="credits",
            what="what has used it up",
            logger="credits",
            logged="which budget refused, and what is left",
        ),
    ),
    Alert(
        "ResilienceCallsRefusedByLimit",
        f"{rate('resilience.refusals', PROVIDER, 'resilience.layer', window=WINDOW, layer='~limiter|concurrency', observed='false')}"
        " > 0",
        "5m",
        "warning",
        f"calls to {_OF} are refused: its limits let no more through",
        "For minutes more was asked of the provider than its limits allow, and calls that would have waited longer than "
        "`max_wait` or found the line full were refused by the {{ $labels.resilience_layer }}. Call less, or wait longer.",
    ),
    Alert(
        "ResilienceAccountLatched",
        f"max {by(PROVIDER, 'resilience.scope')} ({series('resilience.credits.latched')}) > 0",
        "0m",
        "critical",
        f"{_OF} has shut an {{{{ $labels.resilience_scope }}}}",
        "The provider has answered that a quota or the credits are used up, or that the key is not allowed; calls are "
        "refused until it opens. "
        + _SHOWN.format(
            command="status",
            what="the answer's code, and when that is",
            logger="credits",
            logged="both when it is shut",
        ),
    ),
    Alert(
        "ResilienceBudgetNearlySpent",
        f"min {by(*BUDGET)} ({series('resilience.credits.left')})"
        f" / max {by(*BUDGET)} ({series('resilience.credits.limit')}) < 0.1",
        "5m",
        "warning",
        f"less than a tenth of {_THE_BUDGET} is left",
        _SHOWN.format(
            command="credits",
            what="how it is spent, and what will have been spent when it ends",
            logger="credits",
            logged="at DEBUG what each call has cost",
        ),
    ),
    Alert(
        "ResilienceStoreLost",
        f"max {by('resilience.store.url')} ({series('resilience.store.status', state='alone')}) > 0",
        "1m",
        "critical",
        "{{ $labels.resilience_store_url }} is away",
        "Processes decide alone: limits hold in each of them and not in all together, and budgets do as their "
        "`on_store_failure` says. The log says why it cannot be used.",
    ),
    Alert(
        "ResilienceRetryRatioHigh",
        f"{rate('resilience.retry.decisions', PROVIDER, window=WINDOW, decision='retried')}"
        f" / {rate('resilience.call.attempts', PROVIDER, window=WINDOW)} > 0.2",
        "5m",
        "warning",
        f"{{{{ $value | humanizePercentage }}}} of the requests to {_OF} are followed by another try",
        "Calls take longer, at the provider's expense, and some are given up or refused all the same: look at the outcomes "
        "of calls. The category of the retries says why.",
    ),
    Alert(
        "ResilienceWaitHigh",
        f"{quantile(0.99, 'resilience.call.wait', PROVIDER, 'resilience.layer', window=WINDOW)} > 10",
        "5m",
        "warning",
        f"one wait in a hundred for {_OF} is longer than ten seconds",
        "Calls wait in the {{ $labels.resilience_layer }}: more is asked of the provider than its limits let through.",
    ),
)


class Panel(NamedTuple):
    """One graph."""

    row: str
    title: str
    name: str
    expression: str
    legend: str
    unit: str = "short"
    stacked: bool = False


def _legend(*attributes: str) -> str:
    return " ".join(f"{{{{{label(each)}}}}}" for each in attributes)


def _rates(row: str, title: str, name: str, *attributes: str, part: str = "", **wanted: str) -> Panel:
    told = (PROVIDER, *attributes) if PROVIDER in INSTRUMENTS[name].attributes else attributes
    only = {"provider": "~$provider"} if PROVIDER in told else {}
    return Panel(row, title, name, rate(name, *told, part=part, **only, **wanted), _legend(*told), "cps", stacked=True)


def _quantile(row: str, title: str, name: str, *attributes: str, unit: str = "s") -> Panel:
    only = {"provider": "~$provider"} if PROVIDER in INSTRUMENTS[name].attributes else {}
    return Panel(row, title, name, quantile(0.99, name, *attributes, **only), _legend(*attributes), unit)


def _now(row: str, title: str, name: str, how: str, *attributes: str) -> Panel:
    only = {"provider": "~$provider"} if PROVIDER in attributes else {}
    return Panel(row, title, name, f"{how} {by(*attributes)} ({series(name, **only)})", _legend(*attributes))


PANELS = (
    _rates("Calls", "Calls", "resilience.call.duration", "resilience.outcome", part="count"),
    _quantile("Calls", "How long calls take (p99)", "resilience.call.duration", PROVIDER, "resilience.operation"),
    _rates("Calls", "Calls that failed or were rejected", "resilience.call.duration", "error.type", part="count",
           outcome="~failure|rejected"),
    _rates("Attempts", "Requests sent, by what came", "resilience.call.attempts", "resilience.category"),
    _rates("Attempts", "Sent again, or why not", "resilience.retry.decisions", "resilience.retry.decision"),
    _quantile("Attempts", "Retries of a call that was retried (p99)", "resilience.call.retries", PROVIDER, unit="short"),
    _quantile("Waits", "How long calls wait (p99)", "resilience.call.wait", PROVIDER, "resilience.wait.source"),
    _now("Waits", "Calls that stand in line", "resilience.call.queue", "sum", PROVIDER, "resilience.layer"),
    _rates("Waits", "Limits paused by answers", "resilience.rate_limiter.pauses", "resilience.limit"),
    _rates("Refusals", "Refused, or would be", "resilience.refusals", "resilience.layer", "resilience.reason",
           "resilience.observed"),
    _now("Refusals", "Breakers", "resilience.circuit_breaker.status", "max", PROVIDER,
         "resilience.circuit_breaker.state"),
    _rates("Refusals", "Breakers that changed", "resilience.circuit_breaker.transitions",
           "resilience.circuit_breaker.state"),
    _now("Credits", "Left", "resilience.credits.left", "min", *BUDGET),
    _now("Credits", "Spent", "resilience.credits.spent", "max", *BUDGET),
    _now("Credits", "Reserved by calls under way", "resilience.credits.reserved", "max", *BUDGET),
    _now("Credits", "Limits", "resilience.credits.limit", "max", *BUDGET),
    _rates("Credits", "What calls cost", "resilience.credits.charged", "resilience.operation",
           "resilience.credits.unit"),
    _rates("Credits", "Budgets that began to be used up", "resilience.credits.warnings", "resilience.budget"),
    _now("Credits", "Shut by the provider", "resilience.credits.latched", "max", PROVIDER, "resilience.scope"),
    _rates("Credits", "Answers that shut", "resilience.credits.latches", "resilience.scope"),
    _now("Stores", "Processes by the state of their store", "resilience.store.status", "sum", "resilience.store.url",
         "resilience.store.state"),
    _rates("Stores", "Stores lost", "resilience.store.fallbacks", "resilience.store.url"),
    _rates("HTTP", "Requests", DURATION, "server.address", "http.response.status_code", part="count"),
    _quantile("HTTP", "How long requests take (p99)", DURATION, "server.address"),
)  # fmt: skip


def dashboard() -> str:
    """The dashboard, as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in dict.fromkeys(panel.row for panel in PANELS):
        place = {"x": 0, "y": top, "w": 24, "h": 1}
        panels.append({"type": "row", "title": row, "collapsed": False, "gridPos": place, "panels": []})
        members = [panel for panel in PANELS if panel.row == row]
        for index, panel in enumerate(members):
            down, across = divmod(index, COLUMNS)
            place = {"x": across * WIDTH, "y": top + 1 + down * HEIGHT, "w": WIDTH, "h": HEIGHT}
            panels.append(_graph(panel, place))
        top += 1 + -(-len(members) // COLUMNS) * HEIGHT
    for number, each in enumerate(panels, 1):
        each["id"] = number
    found = {
        "title": "httpx-resilience",
        "uid": "httpx-resilience",
        "tags": ["httpx", "resilience"],
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": panels,
    }
    return json.dumps(found, indent=2) + "\n"


def _variables() -> list[dict[str, Any]]:
    query = f"label_values({series('resilience.call.attempts')}, {label(PROVIDER)})"
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "provider",
            "label": "Provider",
            "type": "query",
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "definition": query,
            "query": {"query": query, "refId": "provider"},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _graph(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    custom: dict[str, Any] = {"fillOpacity": 20 if panel.stacked else 0, "showPoints": "never"}
    if panel.stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": INSTRUMENTS[panel.name].description,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [{"refId": "A", "datasource": source, "expr": panel.expression, "legendFormat": panel.legend}],
    }


def alerts() -> str:
    """The rules, as Prometheus reads them."""
    rules = [
        {
            "alert": each.name,
            "expr": each.expression,
            "for": each.wait,
            "labels": {"severity": each.severity},
            "annotations": {"summary": each.summary, "description": each.description},
        }
        for each in RULES
    ]
    made = {"groups": [{"name": "httpx-resilience", "rules": rules}]}
    return COMMENT + yaml.safe_dump(made, sort_keys=False, width=120, allow_unicode=True)


def page() -> str:
    """The page, with its tables made anew between the lines that mark them."""
    text = PAGE.read_text(encoding="utf-8")
    for name, rows in {"metrics": _metric_rows(), "attributes": _attribute_rows(), "alerts": _alert_rows()}.items():
        begin, end = f"<!-- {name}: made by monitoring/generate.py -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = before + begin + "\n" + "\n".join(rows) + "\n\n" + end + after
    return text


def _metric_rows() -> list[str]:
    rows = ["| Metric | Kind, unit | What it says | In Prometheus |", "|---|---|---|---|"]
    for each in INSTRUMENTS.values():
        told = f"{each.description}<br>By {', '.join(f'`{name}`' for name in each.attributes)}."
        name = spelled(each) + ("_bucket" if each.kind == "histogram" else "")
        kind = each.kind.removeprefix("observable_").replace("_", "-")
        rows.append(f"| `{each.name}` | {kind}, `{each.unit}` | {told} | `{name}` |")
    return rows


def _attribute_rows() -> list[str]:
    rows = ["| Attribute | What it says | Values |", "|---|---|---|"]
    return rows + [f"| `{each.name}` | {each.description} | {_values(each)} |" for each in ATTRIBUTES.values()]


def _values(attribute: Attribute) -> str:
    if not attribute.values:
        return f"open, at most {attribute.most}"
    if attribute.name == "resilience.category":
        return "[the categories](../reference/categories.md)"
    return ", ".join(f"`{str(value).lower() if isinstance(value, bool) else value}`" for value in attribute.values)


def _alert_rows() -> list[str]:
    rows = ["| Alert | Severity | When | What to do |", "|---|---|---|---|"]
    for each in RULES:
        summary = each.summary
        for name, word in {
            _THE_BUDGET: "a budget",
            _OF: "a provider",
            "{{ $labels.resilience_scope }}": "account or operation",
            "{{ $labels.resilience_store_url }}": "a store",
            "{{ $value | humanizePercentage }}": "more than a fifth",
        }.items():
            summary = summary.replace(name, word)
        waits = "" if each.wait == "0m" else f", for {each.wait}"
        to_do = each.description.replace("{{ $labels.resilience_layer }}", "layer that is named")
        rows.append(f"| `{each.name}` | {each.severity} | {summary}{waits} | {to_do} |")
    return rows


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    DASHBOARD.write_text(dashboard(), encoding="utf-8")
    ALERTS.write_text(alerts(), encoding="utf-8")
