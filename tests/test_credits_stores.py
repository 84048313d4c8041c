"""Budgets in stores that processes share: they survive a restart, and a store that is away is what its user said it is."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import resilience.httpx
from resilience._transactions import Command, Reply
from resilience.stores import StoreError, forget_all, open_store
from tests.servers import RedisServer
from tests.test_credits import URL, good, policy


class Client:
    """A client with one budget in a shared store; `sent` counts what reaches the provider."""

    def __init__(
        self, store: str, handler: Callable[[httpx.Request], httpx.Response] | None = None, **budget: Any
    ) -> None:
        self.sent = 0
        self.url = store
        self._handler = handler or (lambda _: good())
        row = {"name": "b0", "limit": "10 credits", **budget}
        transport: Any = resilience.httpx.Transport(
            httpx.MockTransport(self._handle),
            policies=[policy()],
            config={"version": 1, "store": store, "providers": {"provider": {"budgets": [row]}}},
        )
        self.client = httpx.Client(transport=transport)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        return self._handler(request)

    def call(self) -> httpx.Response:
        return self.client.post(URL)

    def counts(self) -> tuple[float, float]:
        """What is spent and reserved, by the shared store."""
        states = [state for _, state in open_store(self.url).scan("{provider}:credits:")]
        spent = sum(amount for state in states for _, amount in state["slots"])
        return spent / 1e6, sum(state["reserved"] for state in states) / 1e6


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.05)


def test_what_was_spent_survives_a_restart(tmp_path: Path) -> None:
    """The file is opened by another run of the program."""
    url = f"sqlite:///{tmp_path / 'credits.db'}"
    before = Client(url)
    before.call()
    forget_all()

    after = Client(url)

    assert [200, 402] == [after.call().status_code for _ in range(2)]
    assert (10, 0) == after.counts()


def test_without_its_store_a_budget_lets_nothing_through(redis_server: RedisServer) -> None:
    """By default: nobody knows what is left. It goes on by itself when the store is back."""
    shop = Client(redis_server.url)
    shop.call()
    redis_server.freeze()

    refused = shop.call()
    started = time.monotonic()
    again = shop.call()
    seconds = time.monotonic() - started
    redis_server.thaw()
    until(lambda: shop.call().status_code == 200)

    assert (402, 402) == (refused.status_code, again.status_code)
    assert "the store of its budgets is away" in refused.json()["error"]
    assert seconds < 0.1
    assert 2 == shop.sent
    until(lambda: (10, 0) == shop.counts())


def test_what_was_let_through_is_counted_when_the_store_is_back(redis_server: RedisServer) -> None:
    """`allow`: a call is worth more than its budget."""
    shop = Client(redis_server.url, on_store_failure="allow", limit="100 credits")
    shop.call()
    redis_server.freeze()

    statuses = [shop.call().status_code for _ in range(3)]
    redis_server.thaw()
    until(lambda: shop.call() and not open_store(redis_server.url).is_away)  # type: ignore[attr-defined]

    assert [200] * 3 == statuses
    until(lambda: (5.0 * shop.sent, 0) == shop.counts())


def test_a_process_alone_holds_to_the_budget(redis_server: RedisServer) -> None:
    """`local`: as if nothing had been spent before; and what it spends is counted when the store is back."""
    shop = Client(redis_server.url, on_store_failure="local")
    shop.call()
    redis_server.freeze()

    statuses = [shop.call().status_code for _ in range(3)]
    redis_server.thaw()

    assert [200, 200, 402] == statuses
    until(lambda: shop.call().status_code == 402 and (15, 0) == shop.counts())


def test_a_call_under_way_is_settled_when_the_store_is_back(redis_server: RedisServer) -> None:
    """It was reserved in the store, and ended while the store was away."""
    shop = Client(redis_server.url, lambda _: redis_server.freeze() or good(2))

    assert 200 == shop.call().status_code
    assert 402 == shop.call().status_code
    redis_server.thaw()

    until(lambda: shop.call().status_code == 200 or (2, 0) == shop.counts())


def test_an_answer_that_nobody_reads_is_settled_by_the_collector(tmp_path: Path) -> None:
    """As if it had been closed: at its worst case."""

    def body() -> Any:
        yield b"{"
        yield b"}"

    shop = Client(
        f"sqlite:///{tmp_path / 'credits.db'}",
        lambda _: httpx.Response(200, headers={"content-type": "application/json"}, content=body()),
    )
    shop.client.send(shop.client.build_request("POST", URL), stream=True)
    gc.collect()

    until(lambda: (5, 0) == shop.counts())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_does_not_settle_what_its_parent_reserved(tmp_path: Path) -> None:
    """It has a copy of the answer, and its end is no end of the call."""

    def body() -> Any:
        yield b"{"
        yield b"}"

    shop = Client(
        f"sqlite:///{tmp_path / 'credits.db'}",
        lambda _: httpx.Response(200, headers={"content-type": "application/json"}, content=body()),
    )
    with shop.client.stream("POST", URL) as response:
        child = os.fork()
        if child == 0:
            try:
                response.close()
                forget_all()
            finally:
                os._exit(0)
        os.waitpid(child, 0)

        assert (0, 5) == shop.counts()
        response.read()

    assert (5, 0) == shop.counts()


def test_what_is_given_back_late_is_not_taken_from_a_call_that_was_let_go(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`allow`: its first question was lost, it was let go by its process alone, and the store came back in that moment."""
    shop = Client(redis_server.url, lambda _: late.pop()() or good(), on_store_failure="allow", limit="20 credits")
    store: Any = open_store(redis_server.url)
    reserve, late = store._shared.run, [lambda: None, lambda: None]
    shop.call()

    def lose_the_reply(command: Command, now: float, /) -> Reply:
        reserve(command, now)
        monkeypatch.setattr(store._shared, "run", reserve)
        # Others find it gone, spend by themselves, and find it again.
        store._lose(StoreError("gone"), store.fallbacks, now)
        for name in "abcd":
            store.run(command._replace(arguments=(name, *command.arguments[1:])), now)
        store._probe(now)
        raise StoreError("gone")

    monkeypatch.setattr(store._shared, "run", lose_the_reply)
    monkeypatch.setattr(store._owed, "pay_soon", lambda shared, _: late.append(lambda: store._owed.pay(shared)))

    assert 200 == shop.call().status_code

    assert 2 == shop.sent
    assert (10, 0) == shop.counts()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing can be stopped here")
def test_what_a_short_program_has_spent_meanwhile_arrives_at_its_end(redis_server: RedisServer) -> None:
    """Its store was gone for a moment, and the program ends before anybody would look for it again."""
    program = f"""
import os, signal
from tests.test_credits_stores import Client

shop = Client({redis_server.url!r}, on_store_failure="allow")
shop.call()
os.kill({redis_server.pid}, signal.SIGSTOP)
shop.call()
os.kill({redis_server.pid}, signal.SIGCONT)
"""

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

    assert (10, 0) == Client(redis_server.url).counts()
