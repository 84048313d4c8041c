"""The page of the documentation about speed, and its picture, made from one run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from benchmarks._figures import Figure
from benchmarks._picture import draw
from benchmarks._report import Run, as_json, cell, matrix, reasons, target_row

__all__ = ["faster", "page", "write"]

INTRODUCTION = """\
# Performance

What this library costs and what it saves, measured beside bare httpx and httpx2, and beside the packages that do a part of the
same. All of this page but its words comes from one run of

```console
$ make bench ARGS=--page
```

on the machine that is named [below](#the-machine). `make bench` measures the same on yours and exits with 1 if a target is missed by
more than the noise that the run itself has measured; `make bench ARGS="overhead retry"` runs some sections, `ARGS=--quick` takes two
minutes and is held to loose floors, `ARGS=--json` and `ARGS="--picture FILE"` give the figures as data and as a picture.

## How it measures

Every figure is a ratio to something that was measured in turns with it; microseconds are context, since they are the machine's. In
memory, short blocks of calls (a millisecond each) take turns: bare, A, bare, B, bare …, in the other order on every other pass. A block
counts only if the bare blocks before and after it agree within 10 %, and, as far as the machine leaves enough such blocks, only if
nothing else ran meanwhile. Its ratio is its processor time over the mean of the two. A figure is the median of the ratios, with the
quartiles in parentheses. A bare call contends with itself: what it differs from 1 by, and half of the 95 % interval of a median, is the
noise. The collector of garbage runs between blocks only. The transport answers at once with a small JSON text, so what is seen is the
libraries' own work: on a real connection a bare call costs six times as much, and each share shrinks.

Contenders do what their documentation shows, in the cheapest way: limits keeps a fixed window in memory, waits between attempts are none.
The **stack by hand** is limits, pybreaker or aiobreaker, a look at the JSON body, httpx-retries and, where a row says so,
OpenTelemetry's own instrumentation. **The decisions alone** are no library but a yardstick (`benchmarks/_floor.py`): one function, written
for one provider and one account, that asks for host, key, breaker, rate, place and retry, and tells, shares, keeps and gives back
nothing; with an SDK it makes one span for each attempt. A transport that promises less than that costs can keep its promise only by what it spares elsewhere.
Redis and the HTTP server are processes of their own; memory and imports are measured in a fresh process each.
"""

WORDS = {
    "overhead": "One call that succeeds, × the bare call of the same library and loop. Of ours, `openai` and `omniscrape` are all layers of these shipped policies in a `Transport`; those of omniscrape look into the body of each success, whose errors come under a 200 as well; `by wrap()` and `by install()` are an application's own client that has come to the same layers by one of these: both also spare a client the parse of a URL that it has just called (`always another URL` shows what is left where it never has), and httpx the look for cookies where an answer sets none, which httpx2 does not take.",
    "telemetry": "What telemetry adds to a call through our layers; `python benchmarks/telemetry.py` shows the parts.",
    "retry": "A 429 with `Retry-After: 0`, then 200: one call of the application, two attempts; × two bare calls.",
    "refusal": "A call that an open breaker refuses, × a bare call that is sent. aiobreaker stands around the client, so it refuses before a request is made.",
    "inspect": "What our layers add to a bare call whose answer is 1 MiB, × `json.loads` of it; and what a chunk of a stream adds.",
    "stores": "One decision of a rate limit, × what each column names; a throughput of 2 is twice as many decisions a second.",
    "limiter": """100 calls a second are allowed, burst 1, and 2,000 come at once. The rate counts from when all have come; a window is
over if a second from any call on holds more than 101, as the transport sees them. The processor: beside bare calls of which each sleeps in
its transport until its turn, as a limiter would that costs nothing (6 % of one here: a loop that wakes a hundred times a second).""",
    "loopback": "A real server in a process of its own, × bare httpx in the same run; ours is a client that was given to `wrap`. Throughput: more is better; of the others less.",
    "start": "What is paid once in a process.",
    "memory": "2,000 calls wait for their answers, or 500, most of them for one of a pool's connections; each row is a process of its own.",
    "growth": "A call of ours where there is much, × a call of ours where there is one of each.",
}

ROLES = {
    "httpx-retries": "retries alone",
    "clientwright": "retries, breaker and deadline",
    "interlock-cb": "a breaker alone",
    "httpware": "retries and a breaker",
    "pyrate-limiter": "a rate limit alone",
    "pydantic-ai": "retries alone",
    "tokenwarden": "a budget alone",
    "tenacity": "retries alone, around the client",
    "stamina": "retries alone, around the client",
    "aiobreaker": "a breaker alone, around the client",
    "limits": "a rate limit alone",
    "OTel's instrumentation": "spans alone",
    "stack by hand": "all of these, put together by hand",
    "aiolimiter": "a rate limit of one process alone",
}
"""What each peer does of what this library does."""
OURS = {
    "overhead": "openai{suffix}",
    "retry": "openai",
    "refusal": "openai, local reply",
    "stores": "a decision of ours",
    "memory": "openai{suffix}",
}
"""The row of ours that those of peers are compared with."""
LESS_IS_WORSE = "throughput"
BASES = {"memory, beside limits' in memory": "limits, fixed window"}
"""Columns whose figures are ratios to a peer."""


def page(run: Run, picture: str) -> str:
    """The text of the page."""
    parts = [INTRODUCTION, f"![Calls beside bare ones]({picture})\n", _targets(run), _slower(run)]
    for section in (name for name in WORDS if any(figure.section == name for figure in run.figures)):
        figures = [figure for figure in run.figures if figure.section == section]
        columns, rows = matrix(figures)
        lines = [
            f"## {section.capitalize()}\n",
            WORDS[section] + "\n",
            _line(["", *columns]),
            _line(["---"] * (len(columns) + 1)),
        ]
        lines += [_line([row, *map(cell, cells)]) for row, cells in rows]
        lines += [*_context(section, figures), ""]
        lines += [f"* –: {reason}" for reason in reasons(figures)]
        parts.append("\n".join(lines).rstrip() + "\n")
    machine = run.machine
    parts.append(
        f"## The machine\n\nMeasured on {machine['date']}: {machine['processor']}; {machine['system']}; {machine['python']}; "
        f"{machine['packages']}. {machine['load']}\n"
    )
    return "\n".join(parts)


def _context(section: str, figures: Iterable[Figure]) -> list[str]:
    # What the ratios are ratios to; on the real server each measure has one of its own, and the columns say which.
    found = dict.fromkeys((figure.column, figure.context) for figure in figures if figure.context)
    if not found or section == "loopback":
        return []
    columns = dict.fromkeys(column for column, _ in found)
    told = [f"{column}: {', '.join(context for each, context in found if each == column)}" for column in columns]
    return ["", f"Context: {'; '.join(told)}."]


def _targets(run: Run) -> str:
    lines = [
        "## What is promised, and what was seen\n",
        _line(["", "figure", "promised", "noise", ""]),
        _line(["---"] * 5),
    ]
    return "\n".join([*lines, *(_line(list(target_row(each))) for each in run.judged)]) + "\n"


def _slower(run: Run) -> str:
    found = faster(run.figures)
    head = "## Where a peer is faster\n\nEach by more than the noise of the run. What it does stands beside it: less, mostly.\n\n"
    return head + ("\n".join(f"* {each}" for each in found) if found else "Nowhere in this run.") + "\n"


def faster(figures: Iterable[Figure]) -> list[str]:
    """Every peer that is faster than ours in some column by more than the noise, and there."""
    by_key = {figure.key: figure for figure in figures}
    for section, row, column in list(by_key):
        if column in BASES and row.startswith("bare"):
            by_key[section, BASES[column], column] = replace(by_key[section, row, column], row=BASES[column], value=1.0)
    found: dict[tuple[str, str], list[str]] = {}
    for figure in by_key.values():
        name = next((role for role in ROLES if figure.row == role or figure.row.startswith(role + ",")), None)
        if name is None or figure.section not in OURS or figure.value is None:
            continue
        suffix = next((each for each in (", OTel's API alone", ", OTel's SDK") if figure.row.endswith(each)), "")
        ours = by_key.get((figure.section, OURS[figure.section].format(suffix=suffix), figure.column))
        if ours is None or ours.value is None or ours.unit != figure.unit:
            continue
        behind = figure.value - ours.value if LESS_IS_WORSE in figure.column else ours.value - figure.value
        if behind > max(figure.noise, ours.noise):
            words = f"{figure.column} {figure.value:.2f} beside our {ours.value:.2f}"
            found.setdefault((figure.section, f"{figure.row} ({ROLES[name]})"), []).append(words)
    return [f"{section}: {row}: {'; '.join(words)}" for (section, row), words in found.items()]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |"


def write(run: Run, docs: Path, recorded: Path) -> None:
    """Write the page, its picture, and the run itself, with which quick runs are compared.

    Arguments:
        run: what to show.
        docs: the folder of the documentation.
        recorded: where the run is kept.
    """
    recorded.write_text(json.dumps(as_json(run), indent=1, ensure_ascii=False) + "\n")
    draw(run.figures, docs / "assets" / "performance.svg")
    (docs / "performance.md").write_text(page(run, "assets/performance.svg"))
