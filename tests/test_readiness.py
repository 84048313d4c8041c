"""What the health view tells of stores: in bounded time, without secrets, whatever the stores hold or do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from resilience import _readiness
from resilience._credits_lines import Latch
from resilience._line import Lines
from resilience._readiness import _breaker, is_instant, readiness
from resilience._readings import Readings
from resilience._status import Row, key_parts
from resilience._transactions import Command
from resilience.stores import forget_all, open_store
from tests.servers import RedisServer

KEY = "{p}:latch:account:0123abcd"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_readiness, "_readings", Readings(every=0.0))
    yield
    forget_all()


def told(**given: Any) -> tuple[int, dict[str, Any]]:
    reply = readiness(**given)
    return reply.status, json.loads(reply.content)


def shut(store: Any, key: str = KEY) -> None:
    """A latch, with the provider's own word."""
    store.run(Command("latch.shut", (key,), ("call", 60.0, 60.0, "SECRET WORD")), store.now(0.0))


class Remote:
    """A shared store that does what a test says when it is read."""

    instant = False
    url = "redis://user.example:6379/0"

    def __init__(self, scan: Callable[[], Iterator[Any]], *, is_away: bool = False) -> None:
        self._scan = scan
        self.is_away = is_away
        self.lines = Lines()

    def scan(self, _prefix: str = "", /) -> Iterator[Any]:
        return self._scan()

    def now(self, now: float, /) -> float:
        return now


def test_nothing_is_wrong_where_nothing_was_called() -> None:
    """And nobody waits for what stands in this process's memory."""
    assert is_instant()
    assert (
        200,
        {"status": "ok", "breakers": [], "latched": [], "stores": [{"kind": "memory", "state": "ok"}]},
    ) == told()


def test_a_latched_account_is_told_by_its_digest() -> None:
    """And not in the provider's words."""
    shut(open_store())

    status, found = told()

    (latch,) = found["latched"]
    assert (200, "degraded") == (status, found["status"])
    assert ("p", None, "0123abcd") == (latch["provider"], latch["operation"], latch["account"])
    assert 0 <= latch["opens_in"] <= 60
    assert "SECRET" not in str(found)


@pytest.mark.parametrize(
    ("key", "name", "scope"),
    [
        ("{p}:breaker:166ea894:api.p.test:search", "p api.p.test:search", "api.p.test:search"),
        ("{p}:breaker:166ea894", "p", None),
    ],
)
def test_a_breaker_is_told_by_what_it_holds_back(key: str, name: str, scope: str | None) -> None:
    """The digest of its settings is no name."""
    parts = key_parts(key)
    assert parts

    found = _breaker(Row(key, parts, "open", {"seconds": 1.0, "retry_after": 2.0}))

    assert (name, scope, "166ea894") == (found["name"], found["scope"], found["settings"])


@pytest.mark.parametrize(
    ("fails_when", "status"), [([], 200), (["breaker"], 200), (["latch"], 503), (["store", "latch"], 503)]
)
def test_the_status_follows_what_was_asked_for(fails_when: Any, status: int) -> None:
    """By default it stays 200: whoever restarts a service for its provider's sake has two problems."""
    shut(open_store())

    assert status == told(fails_when=fails_when)[0]


def test_it_can_be_asked_of_some_providers_alone() -> None:
    """A store may be others', too."""
    shut(open_store())
    shut(open_store(), "{q}:latch:operation.search:0123abcd")

    assert ["q"] == [each["provider"] for each in told(providers=["q"])[1]["latched"]]
    assert ["p", "q"] == sorted(each["provider"] for each in told()[1]["latched"])


def test_it_is_bounded() -> None:
    """However many accounts there are."""
    for number in range(150):
        shut(open_store(), f"{{p}}:latch:account:{number}")

    assert 100 == len(told()[1]["latched"])


def test_a_store_that_is_away_is_told_and_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address is nobody's business."""

    def never() -> Iterator[Any]:
        raise AssertionError("it was asked")

    monkeypatch.setattr(_readiness, "_stores", lambda: iter([Remote(never, is_away=True)]))

    status, found = told(fails_when=["store"])

    assert not is_instant()
    assert (503, "degraded", [{"kind": "redis", "state": "away"}]) == (status, found["status"], found["stores"])
    assert "example" not in str(found)


def test_a_store_that_hangs_holds_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told that it was not read."""
    released = threading.Event()

    def hang() -> Iterator[Any]:
        released.wait(60)
        return iter(())

    monkeypatch.setattr(_readiness, "_readings", Readings(every=0.0, patience=0.05))
    monkeypatch.setattr(_readiness, "_stores", lambda: iter([Remote(hang)]))

    try:
        assert (200, [{"kind": "redis", "state": "unread"}]) == ((found := told())[0], found[1]["stores"])
    finally:
        released.set()


def test_strange_states_of_others_are_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever somebody else has written there."""
    strange: list[Any] = [(KEY, {"why": 1}), ("{p}:latch:", {}), ("x", {}), ("{p}:bucket:a", {}), ("{p}:breaker:b:", 7)]
    monkeypatch.setattr(_readiness, "_stores", lambda: iter([Remote(lambda: iter(strange))]))

    assert "ok" == told()[1]["status"]


def test_what_stands_in_a_real_redis_is_told(redis_server: RedisServer) -> None:
    """And that it is gone, once a call has found out."""
    store = open_store(redis_server.url)
    shut(store)

    found = told()[1]

    assert {"kind": "redis", "state": "ok"} in found["stores"]
    assert ["0123abcd"] == [each["account"] for each in found["latched"]]
    redis_server.stop()
    shut(store)
    assert {"kind": "redis", "state": "away"} in told()[1]["stores"]


def test_a_latch_without_a_stated_time_tells_when_somebody_may_look() -> None:
    """Nobody knows when it opens."""
    latch = Latch(
        key=KEY, provider="p", operation=None, account="a", why="w", shut_for=1.0, opens_in=None, looks_in=4.0
    )

    assert 4.0 == _readiness._latch(latch)["opens_in"]
