"""What a reviewer broke of the credit guard: money that was lost or made, latches that opened or stayed shut for nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

import resilience.httpx
import resilience.httpx2
from resilience._transactions import Command, Reply
from resilience.errors import ConfigurationError
from resilience.stores import open_store
from resilience.stores._errors import StoreError
from resilience.stores._memory import MemoryStore
from resilience.stores._owed import Owed
from tests.paid_provider import paid_policy, paid_provider
from tests.test_credits import HOST, Shop, good, job_policy, policy, trail


def test_a_broken_answer_is_no_call_that_was_never_sent() -> None:
    """HTTP/2 tells of a bad frame from the server by the error for our own mistakes."""
    shop = Shop(policy(), [httpx.LocalProtocolError("a bad frame")])

    with pytest.raises(httpx.LocalProtocolError):
        shop.call()

    assert Decimal(5) == shop.spent()


def test_what_looks_in_observe_opens_a_latch() -> None:
    """And a call that is only told of it says so once, not for ever."""
    shop = Shop(policy(recheck="60s"), [httpx.Response(402), good(), good()], mode={"credits": "observe"})
    shop.call()
    shop.wait(60)

    looked, after = shop.call(), shop.call()

    assert ((), ()) == (trail(looked).refusals, trail(after).refusals)
    assert [] == list(shop.store.scan("{provider}:latch:"))


@pytest.mark.parametrize("status", [500, 503, 429, 401, 403])
def test_only_work_that_was_done_opens_a_latch(status: int) -> None:
    """A provider that is down, or a key that is wrong, says nothing of credits."""
    shop = Shop(policy(recheck="60s"), [httpx.Response(402), httpx.Response(status), good()])
    shop.call()
    shop.wait(60)

    shop.call()

    assert 402 == shop.call().status_code
    assert 2 == len(shop.requests)


def test_calls_that_were_under_way_together_do_not_double_the_wait() -> None:
    """They all say the same."""
    shop = Shop(policy(recheck="60s"), [httpx.Response(402)] * 5, budgets=[])
    inner: list[int] = []

    def answer(_: httpx.Request) -> httpx.Response:
        if len(inner) < 4:
            inner.append(1)
            shop.call()
        return httpx.Response(402)

    shop._answers = answer
    shop.call()

    (state,) = [state for key, state in shop.store.scan("{provider}:latch:")]
    assert (5, 60) == (len(shop.requests), state["look_every"])


@pytest.mark.parametrize("seconds", ["99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_an_absurd_wait_does_not_shut_an_account_for_ages(seconds: str) -> None:
    """One call looks, as where no time is told."""
    shop = Shop(policy(recheck="60s"), [httpx.Response(402, headers={"retry-after": seconds}), good()])
    shop.call()
    shop.wait(60)

    assert 200 == shop.call().status_code


def test_a_row_says_whose_call_it_was_when_it_was_made() -> None:
    """It may be settled where other tags hold, or none; and no value makes up another tag."""
    shop = Shop(
        policy(), lambda _: httpx.Response(200, headers={"content-type": "application/json"}, content=iter([b"{}"]))
    )
    with resilience.tags(tenant="acme", job="x,tenant=other"):
        request = shop.client.build_request("POST", f"https://{HOST}/scrape")
        response = shop.client.send(request, stream=True)
    with resilience.tags(tenant="other"):
        response.read()

    (row,) = [row for _, page in shop.store.scan("{provider}:ledger:") for row in page["rows"]]
    assert "job=x%2Ctenant%3Dother,tenant=acme" == row[4]


def test_a_call_has_no_more_tags_than_it_may() -> None:
    """However they are nested."""
    first = {f"a{number}": 1 for number in range(15)}
    second = {f"b{number}": 1 for number in range(6)}

    with (
        resilience.tags(**first),
        pytest.raises(ConfigurationError, match="20 tags at most"),
        resilience.tags(**second),
    ):
        pass


@pytest.mark.parametrize("options", [{"credits": 10**5000}, {"tags": {"job": 10**5000}}])
def test_a_number_of_very_many_digits_is_refused_in_words(options: dict[str, Any]) -> None:
    """Python itself does not write it."""
    with pytest.raises(ConfigurationError, match="very many digits"):
        Shop(policy()).call(options=options)


def test_a_provider_without_costs_is_paid_by_the_request() -> None:
    """Whatever a call says of credits."""
    made = policy().model_copy(update={"credits": None})
    shop = Shop(made, budgets=["2 requests"])

    answer = shop.call(options={"credits": 1000})

    assert [Decimal(1)] == [each.amount for each in trail(answer).charges]
    assert Decimal(1) == shop.spent()


class Refusing:
    """A shared store that refuses single commands, or loses a reply."""

    url = "broken://"

    def __init__(self) -> None:
        self.memory = MemoryStore()
        self.refuses: set[str] = set()
        self.loses = 0

    def run_many(self, batch: list[tuple[Command, float]]) -> list[Reply | Exception]:
        results: list[Reply | Exception] = [
            StoreError("out of memory") if command.arguments[0] in self.refuses else self.memory.run(command, now)
            for command, now in batch
        ]
        if self.loses:
            self.loses -= 1
            raise StoreError("the reply was lost")
        return results


def settlement(name: str) -> Command:
    return Command(
        "credits.settle", ("{p}:ledger:0", "{p}:credits:b", "{p}:settled:e"), (name, 0, 0, 1, 0, [1, 0, 60.0])
    )


def spent(store: Refusing) -> int:
    return sum(amount for _, state in store.memory.scan("{p}:credits:b") for _, amount in state["slots"])


def test_what_is_owed_is_paid_once_and_none_of_it_is_lost() -> None:
    """A reply that was lost, commands that were refused, and more than one batch."""
    owed, store = Owed(), Refusing()
    for number in range(350):
        owed.note(settlement(f"e.{number}"), 0.0)
    store.loses, store.refuses = 1, {"e.7", "e.300"}

    with pytest.raises(StoreError):
        owed.pay(store)  # type: ignore[arg-type]
    owed.pay(store)  # type: ignore[arg-type]
    first = (spent(store), len(owed))
    store.refuses = set()
    owed.pay(store)  # type: ignore[arg-type]

    assert (348, 2) == first
    assert (350, 0) == (spent(store), len(owed))


def test_a_long_outage_forgets_no_cost() -> None:
    """Permits expire by themselves; money does not."""
    owed, store = Owed(), Refusing()
    for number in range(10_000):
        owed.note(settlement(f"e.{number:x}"), 0.0)
        owed.note(Command("permits.release", ("{p}:permits:x",), (f"e.{number:x}",)), 0.0)

    owed.pay(store)  # type: ignore[arg-type]

    assert 10_000 == spent(store)


def test_what_is_owed_while_it_is_paid_is_paid_too() -> None:
    """Where it is more than is kept, the oldest are forgotten, which were paid a moment ago."""
    owed, store = Owed(), Refusing()
    for number in range(4096):
        owed.note(Command("permits.release", ("{p}:permits:x",), (f"old.{number}",)), 0.0)
    paid: list[Any] = []

    def run_many(batch: list[tuple[Command, float]]) -> list[Reply | Exception]:
        if not paid:
            for number in range(40):
                owed.note(Command("permits.release", ("{p}:permits:x",), (f"new.{number}",)), 0.0)
        paid.extend(command.arguments[0] for command, _ in batch)
        return [[1.0] for _ in batch]

    store.run_many = run_many  # type: ignore[method-assign]
    owed.pay(store)  # type: ignore[arg-type]

    assert [f"old.{number}" for number in range(4096)] + [f"new.{number}" for number in range(40)] == paid


def test_what_is_owed_is_paid_by_one_thread_at_a_time() -> None:
    """A store knows the names of the last batch alone: two that pay in turns would have it count one twice."""
    owed, store = Owed(), Refusing()
    for number in range(150):
        owed.note(settlement(f"e.{number}"), 0.0)
    inside: list[int] = []
    others: list[threading.Thread] = []
    run_many = store.run_many

    def watched(batch: list[tuple[Command, float]]) -> list[Reply | Exception]:
        inside.append(len(batch))
        if not others:
            others.append(threading.Thread(target=owed.pay, args=(store,)))
            others[0].start()
            # It waits until this has paid all; what else it did would be seen below.
            others[0].join(0.1)
        return run_many(batch)

    store.run_many = watched  # type: ignore[method-assign]
    owed.pay(store)  # type: ignore[arg-type]
    others[0].join()

    assert ([100, 50], 150) == (inside, spent(store))


def test_a_stream_is_never_read_ahead_for_the_name_of_a_job() -> None:
    """Its end may never come."""
    made = job_policy()
    assert made.credits is not None
    jobs = (made.credits.jobs[0].model_copy(update={"poll_id": "id"}),)
    made = made.model_copy(update={"credits": made.credits.model_copy(update={"jobs": jobs})})
    read: list[int] = []

    def endless() -> Any:
        while True:
            read.append(1)
            yield b"data: {}\n\n"

    stream = {"content-type": "text/event-stream"}
    shop = Shop(made, lambda _: httpx.Response(200, headers=stream, content=endless()))

    with shop.client.stream("POST", f"https://{HOST}/jobs/7") as response:
        next(response.iter_raw())

    assert 2 > len(read)


def test_reading_in_one_thread_and_closing_in_another_settles_on_what_was_read() -> None:
    """Whoever comes first."""
    body = json.dumps({"billing": {"charged": 2}}).encode()
    kind = {"content-type": "application/json"}
    shop = Shop(policy(), lambda _: httpx.Response(200, headers=kind, content=iter([body])), budgets=["10000 credits"])
    for _ in range(200):
        response = shop.client.send(shop.client.build_request("POST", f"https://{HOST}/scrape"), stream=True)
        list(response.stream)  # type: ignore[arg-type]
        threads = [threading.Thread(target=response.close) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert Decimal(400) == shop.spent()


@pytest.mark.parametrize("kind", ["httpx", "httpx2"])
def test_a_call_that_is_cancelled_in_the_pool_costs_nothing(kind: str) -> None:
    """One connection, ten calls: nine never left."""
    module: Any = {"httpx": httpx, "httpx2": httpx2}[kind]
    adapter: Any = {"httpx": resilience.httpx, "httpx2": resilience.httpx2}[kind]
    config = {"version": 1, "providers": {"paid": {"budgets": [{"name": "b", "limit": "100 credits"}]}}}

    async def go(url: str) -> None:
        own = module.AsyncHTTPTransport(limits=module.Limits(max_connections=1))
        transport = adapter.Transport(own, policies=[paid_policy()], config=config)
        async with module.AsyncClient(transport=transport, timeout=60) as client:
            assert 200 == (await client.post(url, json={"cost": 1, "fate": "ok"})).status_code
            calls = [asyncio.create_task(client.post(url, json={"cost": 2, "fate": "hang"})) for _ in range(10)]
            await asyncio.sleep(0.3)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    with paid_provider() as provider:
        asyncio.run(go(provider.url))

        states = [state for _, state in open_store().scan("{paid}:credits:")]
        assert 3 == provider.charged
        assert 3_000_000 == sum(amount for state in states for _, amount in state["slots"])


def test_a_damaged_state_is_no_traceback(tmp_path: Path) -> None:
    """It is said once in the log, and the call goes by what its user said for a store that fails."""
    url = f"sqlite:///{tmp_path / 'c.db'}"
    shop = Shop(policy(), store=url)
    shop.call()
    store = open_store(url)
    (key,) = [key for key, _ in store.scan("{provider}:credits:")]
    connection = store._shared._connection  # type: ignore[attr-defined]
    connection.execute("UPDATE states SET state = '{\"foo\": 1}' WHERE key = ?", (f"resilience:{key}",))
    connection.commit()

    refused = shop.call()

    assert 402 == refused.status_code
    assert "nobody knows what is left" in refused.json()["error"]
