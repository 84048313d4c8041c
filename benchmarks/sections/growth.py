"""Whether a call costs the same with many accounts, providers, rules and waiting calls as with one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks._blocks import BARE, TooBusy, plan, run_async
from benchmarks._figures import Figure
from benchmarks._section import Effort, Found, figures_of, measured, pooled
from benchmarks._worlds import Answer, World, loaded

__all__ = ["COLUMN", "ROWS", "SECTION", "WAITING", "run"]

SECTION = "growth"
COLUMN = "beside one of each"
ACCOUNTS = {"100 accounts": (1, 100), "10,000 accounts": (1, 10_000)}
PROVIDERS = {"100 providers": (100, 1), "100 providers with 100 accounts each": (100, 100)}
RULES, WAITING = "100 rules", "10,000 calls waiting"
ROWS = (*ACCOUNTS, *PROVIDERS, RULES, WAITING)
ANSWER = Answer(body=b'{"id": "thing", "object": "thing", "status": "completed"}')
WORLD = World("httpx", "sync")


def run(effort: Effort) -> list[Figure]:
    """Measure all kinds of growth; a quick run those that need no long preparation."""
    found = pooled(f"{__name__}:measure", effort.processes, blocks=effort.blocks, quick=effort.quick)
    figures = figures_of(SECTION, COLUMN, found)
    found = pooled(
        f"{__name__}:waiting", effort.processes, blocks=effort.blocks, calls=1000 if effort.quick else 10_000
    )
    return figures + [each for each in figures_of(SECTION, COLUMN, found) if not each.row.startswith("bare")]


def policy(number: int, *, rules: int = 1, **more: object) -> Any:
    """A policy with a limit for each account, and so many rules of which none applies."""
    answers = [
        {"rule": f"rule-{each}", "when": {"status": 400, "code": f"code_{each}"}, "category": "invalid_request"}
        for each in range(rules)
    ]
    limit = {"name": "all", "rate": "1000000/second", "per": "account", **more}
    stated = {
        "version": 1,
        "provider": f"provider-{number}",
        "match": {"hosts": [_host(number)]},
        "account": {"headers": ["X-API-Key"]},
        "operations": {"thing": {"method": "GET", "path": "/things/{id}"}},
        "envelopes": {"code": "code", "message": "error"},
        "answers": answers,
        "limits": [limit],
    }
    return loaded("resilience").Policy.model_validate(stated)


def _host(number: int) -> str:
    return f"api-{number:03}.provider.test"


def measure(blocks: int, *, quick: bool) -> Found:
    """Measure many accounts, providers and rules beside one of each; the process is for this alone."""
    rows: dict[str, Callable[[], Any]] = {}
    for name, (providers, accounts) in {**ACCOUNTS, **PROVIDERS}.items():
        if not (quick and providers * accounts > 100):
            rows[name] = partial(_calls, providers=providers, accounts=accounts)
    rows[RULES] = lambda: _calls(providers=1, accounts=1, first=901, rules=100)
    return measured(WORLD, _calls(providers=1, accounts=1, first=900), rows, blocks)


def _calls(*, providers: int, accounts: int, first: int = 0, rules: int = 1) -> Callable[[], Any]:
    # Each call is of the next account of the next provider, and all of them have called before.
    policies = [policy(first + number, rules=rules) for number in range(providers)]
    transport = loaded("resilience.httpx").Transport(WORLD.lean(ANSWER)(), policies=policies)
    client = loaded("httpx").Client(transport=transport)
    urls = [f"https://{_host(first + number)}/things/7" for number in range(providers)]
    keys = [{"x-api-key": f"key-{number:05}"} for number in range(accounts)]
    each = [(url, headers) for headers in keys for url in urls]
    for url, headers in each:
        client.get(url, headers=headers)
    turn = itertools.cycle(each)

    def call() -> Any:
        url, headers = next(turn)
        return client.get(url, headers=headers)

    return call


def waiting(blocks: int, calls: int) -> Found:
    """Measure a call beside the same one while many others wait in the limiter; the process is for this alone."""
    return asyncio.run(_waiting(blocks, calls))


async def _waiting(blocks: int, calls: int) -> Found:
    world = World("httpx", "asyncio")

    def get(number: int) -> Any:
        # Both have the same limit, and of one of them an account has used it up.
        slow: dict[str, Any] = {"rate": "50/hour", "max_wait": "1000h", "queue": 100_000}
        transport = loaded("resilience.httpx").Transport(world.lean(ANSWER)(), policies=[policy(number, **slow)])
        client, url = world.client(transport), f"https://{_host(number)}/things/7"

        def called(key: str) -> Any:
            return client.get(url, headers={"x-api-key": key}, timeout=None)

        return called

    free, busy = get(900), get(901)
    tasks = [asyncio.create_task(busy("key-of-those-who-wait")) for _ in range(calls)]
    for _ in range(100):
        await asyncio.sleep(0)
    found = await _beside(free, busy, blocks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return found


async def _beside(free: Any, busy: Any, blocks: int) -> Found:
    # Each call of the busy one has an account of its own, and so does each of the other.
    numbers = itertools.count()
    rows = {BARE: lambda: free(f"free-{next(numbers)}"), WAITING: lambda: busy(f"busy-{next(numbers)}")}
    try:
        ratios = await run_async(plan([WAITING], wanted=blocks), rows)
    except TooBusy as poor:
        return {"ratios": {}, "reasons": {WAITING: str(poor)}, "microseconds": 0.0}
    return {"ratios": ratios.of, "reasons": ratios.reasons, "microseconds": ratios.bare * 1e6}
