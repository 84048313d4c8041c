"""Money where something breaks in the middle: bodies, polls, listeners, stores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

import resilience
import resilience.httpx
from resilience import Policy
from resilience._budget_state import _MOST_NAMES
from resilience._credits_state import unsent
from resilience._transactions import Command, Reply
from resilience.events import Latched, Listener
from resilience.stores import open_store
from resilience.stores._errors import StateError, StoreError
from resilience.stores._fallback import FallbackStore
from resilience.stores._memory import MemoryStore
from resilience.stores._owed import Owed, undoing
from resilience.stores._worker import _MOST_IN_BATCH
from tests.servers import RedisServer
from tests.test_credits import HOST, URL, Shop, good, job_policy, policy
from tests.until import wait_until

READS = {"rule": "soft", "when": {"status": 200, "body": {"success": False}}, "category": "server_error"}
RESERVE = ("e.1", 0, 1, 600.0, 1, 0, [10**8, 5 * 10**6, 0.0, 1e6, -1.0, 1])
KEYS = ("{p}:ledger:1", "{p}:credits:b@credits:ever")


def broken(error: Exception) -> Iterator[bytes]:
    yield b'{"data": "'
    raise error


@pytest.mark.parametrize("rules", [(), (READS,)], ids=["unread", "looked at"])
@pytest.mark.parametrize("unanswered", ["charged", "free"])
@pytest.mark.parametrize("error", [httpx.ReadError("reset"), httpx.ReadTimeout("slow"), httpx.ConnectError("odd")])
def test_a_success_whose_body_breaks_off_costs_its_worst_case(error: Exception, unanswered: str, rules: Any) -> None:
    """It was answered, and nobody saw what it cost; whether a rule had to look at it makes no difference."""
    made = policy(rules=rules, unanswered=unanswered)
    json = {"content-type": "application/json"}
    shop = Shop(made, lambda _: httpx.Response(200, headers=json, content=broken(error)), budgets=["100 credits"])

    with pytest.raises(type(error)):
        shop.call()

    # What looks like a connection that never was is tried again.
    assert (Decimal(5 * len(shop.requests)), 0) == (shop.spent(), shop.budget()["reserved"])


def test_what_a_broken_answer_tells_in_its_head_counts() -> None:
    """What was read of its body is no word on the whole."""
    made = policy(rules=[READS], charges=[{"when": {"status": 200}, "cost": 2}])
    json = {"content-type": "application/json"}
    shop = Shop(made, lambda _: httpx.Response(200, headers=json, content=broken(httpx.ReadError("reset"))))

    with pytest.raises(httpx.ReadError):
        shop.call()

    assert (Decimal(2), [["unanswered", 5_000_000, 2_000_000]]) == (shop.spent(), shop.rows())


def test_a_budget_may_be_called_all() -> None:
    """Its name is no other's: calls that it does not speak of do not count."""
    made = policy(operations={"scrape": {"path": "/scrape"}, "other": {"path": "/other"}})
    limit = {"name": "all", "limit": "5 credits/month", "per": "account", "operations": ["scrape"]}
    shop = Shop(made, budgets=[limit])
    for _ in range(4):
        shop.call(f"https://{HOST}/other")

    assert [200, 402] == [shop.call().status_code for _ in range(2)]


@pytest.mark.parametrize("unanswered", ["charged", "free"])
def test_a_job_that_is_asked_about_stays_reserved(unanswered: str) -> None:
    """However long it takes: its lease is for one that nobody asks about."""
    made = job_policy().model_dump(mode="json", exclude_unset=True)
    made["credits"]["unanswered"] = unanswered
    is_done: list[bool] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/jobs":
            return httpx.Response(200, json={"id": "j1"})
        end = {"status": "done", "billing": {"charged": 3}}
        return httpx.Response(200, json=end if is_done else {"status": "running"})

    shop = Shop(Policy.model_validate(made), answer, budgets=["10 credits"])
    shop.call(f"https://{HOST}/jobs")
    for _ in range(26 * 2):
        shop.wait(1800)
        shop.call(f"https://{HOST}/jobs/j1")
    running = shop.budget()["reserved"]
    is_done.append(True)
    shop.call(f"https://{HOST}/jobs/j1")

    assert 5_000_000 == running
    assert (Decimal(3), 0) == (shop.spent(), shop.budget()["reserved"])


def test_a_question_that_is_cancelled_is_one_that_was_not_answered() -> None:
    """Also while its answer is read for the name of the job."""
    poll = {"submit": "submit", "id": "id", "poll": "poll", "poll_id": "id", "ended": {"body": {"status": "done"}}}
    made = policy(operations={"submit": {"path": "/jobs"}, "poll": {"path": "/status"}}, unanswered="free", jobs=[poll])

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            async def body() -> Any:
                yield b'{"id": "j", '
                await asyncio.Event().wait()

            return httpx.Response(200, headers={"content-type": "application/json"}, content=body())

    async def ask() -> None:
        budgets = [{"name": "b0", "limit": "100 credits"}]
        config = {"version": 1, "providers": {"provider": {"budgets": budgets}}}
        client = httpx.AsyncClient(transport=resilience.httpx.Transport(Slow(), policies=[made], config=config))
        task = asyncio.create_task(client.get(f"https://{HOST}/status"))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(ask())

    (state,) = [state for key, state in open_store().scan("{provider}:credits:") if ":b0@" in key]
    assert ([], 0) == (state["slots"], state["reserved"])


def test_whatever_a_listener_raises_that_hears_of_a_latch_nothing_stays_reserved() -> None:
    """Not even what ends the program."""

    class Ends(Listener):
        def on_latch(self, event: Latched) -> None:
            raise SystemExit

    shop = Shop(policy(), lambda _: httpx.Response(402), budgets=["6 credits"])
    stop = resilience.listen(Ends())
    try:
        with pytest.raises(SystemExit):
            shop.call()
    finally:
        stop()

    assert (Decimal(0), 0) == (shop.spent(), shop.budget()["reserved"])


@pytest.mark.parametrize("order", [1, -1], ids=["allow first", "local first"])
def test_a_budget_that_allows_calls_while_its_store_is_away_takes_no_other_along(
    order: int, redis_server: RedisServer
) -> None:
    """The one that this process keeps alone holds, in whichever order they stand."""
    budgets = [
        {"name": "open", "limit": "5 credits", "on_store_failure": "allow"},
        {"name": "cap", "limit": "15 credits", "on_store_failure": "local"},
    ]
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return good()

    config = {"version": 1, "store": redis_server.url, "providers": {"provider": {"budgets": budgets[::order]}}}
    transport: Any = resilience.httpx.Transport(httpx.MockTransport(answer), policies=[policy()], config=config)
    redis_server.stop()
    with httpx.Client(transport=transport) as client:
        statuses = [client.post(URL).status_code for _ in range(5)]

    assert [200, 200, 200, 402, 402] == statuses
    assert 3 == len(sent)


def test_one_budget_that_refuses_without_its_store_is_enough(redis_server: RedisServer) -> None:
    """Whatever the others say."""
    budgets = [
        {"name": "open", "limit": "50 credits", "on_store_failure": "allow"},
        {"name": "cap", "limit": "50 credits", "on_store_failure": "refuse"},
    ]
    config = {"version": 1, "store": redis_server.url, "providers": {"provider": {"budgets": budgets}}}
    transport: Any = resilience.httpx.Transport(
        httpx.MockTransport(lambda _: good()), policies=[policy()], config=config
    )
    redis_server.stop()

    with httpx.Client(transport=transport) as client:
        assert 402 == client.post(URL).status_code


def test_a_soft_budget_never_refuses_without_its_store(redis_server: RedisServer) -> None:
    """Nor does it keep this process from asking itself, as another budget wants it to."""
    budgets = [
        {"name": "cap", "limit": "5 credits", "on_store_failure": "local"},
        {"name": "soft", "limit": "50 credits", "hard": False},
    ]
    config = {"version": 1, "store": redis_server.url, "providers": {"provider": {"budgets": budgets}}}
    transport: Any = resilience.httpx.Transport(
        httpx.MockTransport(lambda _: good()), policies=[policy()], config=config
    )
    redis_server.stop()

    with httpx.Client(transport=transport) as client:
        assert [200, 402] == [client.post(URL).status_code for _ in range(2)]


def test_a_job_that_began_while_its_store_was_away_counts_as_paid_for(redis_server: RedisServer) -> None:
    """The store knows of no reservation that could go on until the job ends."""
    budgets = [{"name": "cap", "limit": "50 credits", "on_store_failure": "local"}]
    config = {"version": 1, "store": redis_server.url, "providers": {"provider": {"budgets": budgets}}}
    transport: Any = resilience.httpx.Transport(
        httpx.MockTransport(lambda _: httpx.Response(202, json={"id": "j-1"})), policies=[job_policy()], config=config
    )
    store: Any = open_store(redis_server.url)

    def counts() -> list[tuple[Any, Any]]:
        return [(state["slots"], state["reserved"]) for _, state in store.scan("{provider}:credits:")]

    with httpx.Client(transport=transport) as client:
        redis_server.freeze()
        assert 202 == client.post(f"https://{HOST}/jobs").status_code
        redis_server.thaw()
        wait_until(lambda: client.post(f"https://{HOST}/jobs/other") and not store.is_away)

    wait_until(lambda: [([[0, 5_000_000]], 0)] == counts())


@pytest.mark.parametrize(("read", "ends"), [(None, 600), (100.0, 600), (400.0, 800)])
def test_a_reservation_lasts_as_long_as_the_timeouts_of_its_call(read: float | None, ends: float) -> None:
    """Twice, because it stands in lines before it is sent; and never shorter than the policy says."""
    shop = Shop(policy(), budgets=["100 credits"])

    def answer(_: httpx.Request) -> httpx.Response:
        ((_, lease, *_),) = shop.budget()["open"].values()
        assert shop.clock.now() + ends == lease
        return good()

    shop._answers = answer
    shop.call(timeout=read)

    assert 1 == len(shop.requests)


def test_an_account_in_debt_has_nothing_left() -> None:
    """A balance below zero is no balance that nobody knows."""
    made = policy(balance=[{"body": "balance"}])
    shop = Shop(made, lambda _: httpx.Response(200, json={"balance": -3}), budgets=["100 credits"])
    shop.call()

    refused = shop.call()

    assert 402 == refused.status_code
    assert "has 0 left" in refused.json()["error"]


def test_a_budget_once_and_for_all_is_not_forgotten_in_a_quiet_month() -> None:
    """What was spent of it stays spent."""
    shop = Shop(policy(), budgets=["10 credits"])
    shop.call()
    shop.wait(30 * 86_400)
    shop.call()

    assert 402 == shop.call().status_code


class Shared(MemoryStore):
    """A shared store that fails for some threads, or loses its replies, when it is told to."""

    instant = False
    url = "fake://"

    def __init__(self) -> None:
        super().__init__()
        self.fails_in: dict[str, threading.Event] = {}
        self.loses = False

    def run(self, command: Command, now: float, /) -> Reply:
        fails = self.fails_in.get(threading.current_thread().name)
        if fails is not None:
            fails.wait(10)
            raise StoreError("database is locked")
        reply = super().run(command, now)
        if self.loses:
            raise StoreError("it has not answered")
        return reply

    def run_many(self, batch: list[tuple[Command, float]]) -> list[Reply | Exception]:
        return [self.run(command, now) for command, now in batch]

    def probe(self) -> None:
        """It is back."""

    def before_fork(self) -> None:
        """Nothing to let go of."""


def test_what_is_owed_to_a_store_that_is_back_already_is_paid_at_once() -> None:
    """One call was still finding it gone while another had lost it and it came back."""
    shared = Shared()
    store = FallbackStore(shared)  # type: ignore[arg-type]
    store.run(Command("credits.reserve", KEYS, RESERVE), 0.0)
    settle = Command("credits.settle", KEYS, ("e.1", 0, 1, 0, 0, [5 * 10**6, 0.0, 1e6]))
    at_once, later = threading.Event(), threading.Event()
    at_once.set()
    shared.fails_in = {"slow": later, "quick": at_once}
    look = Command("notes.recall", ("k",))
    slow = threading.Thread(target=store.run, args=(settle, 0.0), name="slow")
    quick = threading.Thread(target=store.run, args=(look, 0.0), name="quick")
    slow.start()
    quick.start()
    quick.join()
    assert store.is_away
    store.run(look, 100.0)
    wait_until(lambda: not store.is_away)

    later.set()
    slow.join()

    wait_until(lambda: not len(store._owed))
    (state,) = [state for key, state in shared.scan("{p}:credits:")]
    assert ([[0, 5_000_000]], 0) == (state["slots"], state["reserved"])


@pytest.mark.parametrize("on_store_failure", ["refuse", "local"])
def test_calls_that_are_refused_while_their_store_is_away_owe_it_nothing(
    on_store_failure: str, redis_server: RedisServer
) -> None:
    """However many there are: they would crowd out what calls have cost."""
    budget = {"name": "cap", "limit": "1 credits", "on_store_failure": on_store_failure}
    config = {"version": 1, "store": redis_server.url, "providers": {"provider": {"budgets": [budget]}}}
    transport: Any = resilience.httpx.Transport(
        httpx.MockTransport(lambda _: good()), policies=[policy()], config=config
    )
    store: Any = open_store(redis_server.url)
    redis_server.stop()

    with httpx.Client(transport=transport) as client:
        statuses = [client.post(URL).status_code for _ in range(20)]

    assert [402] * 20 == statuses
    # Of the first, which found it gone, nobody knows whether it has been asked.
    assert 1 == len(store._owed)


def test_what_was_granted_alone_and_never_sent_is_not_owed() -> None:
    """The store has never heard of it."""
    owed, reservation = Owed(), Command("credits.reserve", KEYS, RESERVE)

    owed.note(unsent(reservation, elsewhere=True), 0.0)
    owed.note(unsent(reservation), 0.0)

    assert 1 == len(owed)


def test_a_reservation_whose_reply_was_lost_is_given_back_to_a_store_that_is_back() -> None:
    """Its call was refused: nothing was sent that could end it."""
    shared = Shared()
    store = FallbackStore(shared)  # type: ignore[arg-type]
    shared.loses = True

    assert [] == store.run(Command("credits.reserve", KEYS, RESERVE, strict=True), 0.0)

    shared.loses = False
    store.run(Command("notes.recall", ("k",)), 100.0)
    wait_until(lambda: not store.is_away and not len(store._owed))
    (state,) = [state for _, state in shared.scan("{p}:credits:")]
    assert ([], 0) == (state["slots"], state["reserved"])


def test_what_a_spoilt_state_refuses_is_not_sent_again_by_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is there: nobody need look after what is owed to it."""
    shared = Shared()
    store = FallbackStore(shared)  # type: ignore[arg-type]
    asked: list[Command] = []

    def spoilt(command: Command, now: float) -> Reply:
        del now
        asked.append(command)
        raise StateError("it holds what this library has not written")

    def no_thread(**named: Any) -> None:
        raise AssertionError(f"nobody is to look after it: {named}")

    monkeypatch.setattr(shared, "run", spoilt)
    monkeypatch.setattr(threading, "Thread", no_thread)
    for number in range(20):
        store.run(Command("credits.settle", KEYS, (f"e.{number}", 0, 1, 0, 0, [5, 0.0, 1e6])), 0.0)

    assert (20, False) == (len(asked), store.is_away)


def test_a_job_that_begins_while_its_store_is_gone_is_told_to_it_later() -> None:
    """Under which name its reservation goes on, and what was noted; that a reservation goes on at all has its lease."""
    owed = Owed()
    owed.note(Command("credits.renew", KEYS[1:], ("e.1", "job.7", 3600.0)), 0.0)
    owed.note(Command("notes.keep", ("{p}:job:7",), (90_000.0, 2, 5)), 0.0)
    owed.note(Command("credits.renew", KEYS[1:], ("e.1", "e.1", 600.0)), 0.0)
    owed.note(Command("bucket.pause", ("x",), (1.0,)), 0.0)

    assert 2 == len(owed)


def test_a_reservation_that_nobody_waits_for_any_more_is_undone() -> None:
    """It was granted to a call that had gone."""
    shared = MemoryStore()
    command = Command("credits.reserve", KEYS, RESERVE)
    undo = undoing(command, shared.run(command, 0.0))
    assert undo is not None

    shared.run(undo, 0.0)

    (state,) = [state for _, state in shared.scan("{p}:credits:")]
    assert ([], 0) == (state["slots"], state["reserved"])


def test_a_budget_knows_the_names_of_a_whole_batch() -> None:
    """One whose reply was lost is sent again, and nothing of it counts twice."""
    assert _MOST_IN_BATCH <= _MOST_NAMES
