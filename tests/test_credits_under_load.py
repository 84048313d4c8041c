"""A budget of a hundred, and everybody at it at once: never one unit over, and in the end all counts agree exactly."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

import resilience.httpx
from resilience._transactions import Command, Store
from resilience.stores import open_store
from tests.paid_provider import PaidProvider, paid_policy, paid_provider
from tests.servers import RedisServer
from tests.until import wait_until

BUDGET = 100
PARTS = 1_000_000


def config(store: str = "memory://") -> dict[str, Any]:
    return {
        "version": 1,
        "store": store,
        "providers": {"paid": {"budgets": [{"name": "all", "limit": f"{BUDGET} credits", "per": "account"}]}},
    }


def wish(chance: random.Random) -> dict[str, Any]:
    """A random call: most are paid for, some fail and are free, some are never answered or break off."""
    cost = chance.randint(1, 4)
    fate = chance.choices(["ok", "fail", "hang", "cut"], [8, 3, 1, 1])[0]
    cheaper = chance.randint(0, cost - 1) if fate == "ok" else 0
    return {"cost": cost, "fate": fate, "cheaper": cheaper, "takes": chance.choice([0, 0, 0.01])}


def counts(store: Store) -> tuple[int, int, int]:
    """What the store says is spent and reserved, and the sum of its ledger; once what was lost has been counted."""
    budgets = [key for key, _ in store.scan("{paid}:credits:")]
    store.run(Command("credits.sweep", ("{paid}:ledger:0", *budgets)), time.monotonic())
    states = [state for _, state in store.scan("{paid}:credits:")]
    pages = [state for _, state in store.scan("{paid}:ledger:")]
    spent = sum(amount for state in states for _, amount in state["slots"])
    reserved = sum(state["reserved"] for state in states)
    return spent, reserved, sum(sum(row[-1] for row in page["rows"]) + page["charged"] for page in pages)


def check(provider: PaidProvider, store: Store) -> None:
    """Nothing over, nothing open, and three counts that are one."""
    spent, reserved, ledger = counts(store)
    sys.stdout.write(
        f"\nthe provider charged {provider.charged} of {BUDGET} for {provider.requests} requests; "
        f"the store says {spent / PARTS:g} spent, {reserved / PARTS:g} reserved; the ledger's sum is {ledger / PARTS:g}\n"
    )
    assert provider.most <= BUDGET
    assert (provider.charged * PARTS, 0, provider.charged * PARTS) == (spent, reserved, ledger)


def hammer(url: str, store: str, seed: int, refusals: int = 12, lease: str = "600s") -> None:
    """One thread: random calls until the budget has refused so many of the cheapest in a row."""
    chance = random.Random(seed)
    transport = resilience.httpx.Transport(policies=[paid_policy(lease)], config=config(store))
    refused = 0
    with httpx.Client(transport=transport) as client:
        while refused < refusals:
            body = wish(chance)
            if refused:
                body.update(cost=1, cheaper=0)
            with suppress(httpx.TransportError):
                response = client.post(url, json=body, timeout=0.15 if body["fate"] == "hang" else 10)
                refused = refused + 1 if response.status_code == 402 else 0


def test_sixty_four_threads() -> None:
    """On memory, where every one of them reserves, fails, times out and settles at will."""
    with paid_provider() as provider:
        threads = [threading.Thread(target=hammer, args=(provider.url, "memory://", seed, 3)) for seed in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)

        check(provider, open_store())
        assert provider.charged >= BUDGET - 3


@pytest.mark.parametrize("is_patient", [True, False])
def test_two_thousand_tasks(is_patient: bool) -> None:
    """Those that the provider does not answer are cancelled; impatient ones also before it has heard of them.

    Of a call that is cancelled on its way nobody knows whether it was paid for: it counts as if it was.
    """
    chance = random.Random(7)

    async def call(client: httpx.AsyncClient, url: str, body: dict[str, Any], patience: float) -> int:
        try:
            async with asyncio.timeout(patience):
                return (await client.post(url, json=body)).status_code
        except (TimeoutError, httpx.TransportError):
            return 0

    async def go(url: str) -> list[int]:
        transport = resilience.httpx.Transport(httpx.AsyncHTTPTransport(), policies=[paid_policy()], config=config())
        async with httpx.AsyncClient(transport=transport, timeout=60) as client:
            calls: list[Any] = []
            for body in [wish(chance) for _ in range(2000)]:
                patience = 60 if is_patient else chance.choice([0.01, 0.1, 60])
                calls.append(call(client, url, body, 3 if body["fate"] == "hang" else patience))
            return await asyncio.gather(*calls)

    with paid_provider() as provider:
        statuses = asyncio.run(go(provider.url))

        spent, reserved, ledger = counts(open_store())
        sys.stdout.write(f"\n2000 tasks: {[(status, statuses.count(status)) for status in sorted(set(statuses))]}")
        if is_patient:
            check(provider, open_store())
        assert provider.most <= BUDGET
        assert (0, spent) == (reserved, ledger)
        assert provider.charged * PARTS <= spent <= BUDGET * PARTS


def hang(url: str, store: str, calls: int) -> None:
    """Threads whose calls the provider charges and never answers: this process is killed with all of them under way."""
    transport = resilience.httpx.Transport(policies=[paid_policy("2s")], config=config(store))
    client = httpx.Client(transport=transport, timeout=None)
    threads = [
        threading.Thread(target=client.post, args=(url,), kwargs={"json": {"cost": 2, "fate": "hang"}})
        for _ in range(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        # A program whose main thread has ended can import nothing more.
        thread.join()


@pytest.fixture(params=["sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that processes share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'credits.db'}"
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


def test_four_processes_of_which_one_is_killed(store_url: str) -> None:
    """Killed with five calls under way that the provider has charged; the others spend the rest, and not one unit more."""
    spawn = multiprocessing.get_context("spawn")
    with paid_provider() as provider:
        victim = spawn.Process(target=hang, args=(provider.url, store_url, 5), daemon=True)
        victim.start()
        wait_until(lambda: provider.hanging == 5)
        workers = [
            spawn.Process(target=hammer, args=(provider.url, store_url, seed, 12, "2s"), daemon=True)
            for seed in range(3)
        ]
        for worker in workers:
            worker.start()
        time.sleep(0.5)
        victim.kill()
        for worker in workers:
            worker.join(120)
            assert 0 == worker.exitcode
        time.sleep(2.5)

        check(provider, open_store(store_url))
        assert provider.charged >= BUDGET - 3
