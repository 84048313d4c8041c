"""Decisions of one batch in Redis: as if each were made alone, but what they share is read once and written once."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilience._transactions import _MODULES, Command
from resilience.stores import StoreError
from resilience.stores._redis_wire import Words
from tests.given_time_stores import GivenTimeRedis, state_in_redis
from tests.servers import RedisServer
from tests.shared_stores import KEY, PLACES, acquire, release, take
from tests.test_twins import histories, starts


def calls_of(server: RedisServer, name: str) -> int:
    """How often a command was called, by clients or scripts."""
    found = re.search(rb"cmdstat_%s:calls=(\d+)" % name.encode(), server.call("INFO", "commandstats"))
    return int(found[1]) if found else 0


@pytest.mark.parametrize("kind", sorted(_MODULES))
def test_a_batch_decides_as_its_decisions_would_alone(kind: str, redis_server: RedisServer) -> None:
    """Every reply, to the last bit, and every state that is left, whatever runs of one script are in it."""
    store = GivenTimeRedis(redis_server)

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(start=starts, steps=histories(kind), times=st.integers(1, 4))
    def check(start: float, steps: list[tuple[float, Command]], times: int) -> None:
        batch, now = list[tuple[Command, float]](), start
        for after, command in steps:
            now += after
            batch += [(command, now)] * times

        def left() -> dict[str, object]:
            return {key: state_in_redis(redis_server, f"t:{key}") for key, _ in store.scan()}

        redis_server.call("FLUSHALL")
        expected = [store.run(command, now) for command, now in batch], left()
        redis_server.call("FLUSHALL")

        assert expected == (store.run_many(batch), left())

    check()
    store.close()


def test_a_state_is_read_once_and_written_once_in_a_batch(redis_server: RedisServer) -> None:
    """However many decisions change it; another state is read and written beside it."""
    store = GivenTimeRedis(redis_server)
    store.run(take(), 0.0)
    before = [calls_of(redis_server, name) for name in ("get", "set")]

    store.run_many([(take(amount=9, key=key), 0.0) for key in (KEY, "{p}:bucket:other") * 5])

    assert [2, 2] == [calls_of(redis_server, name) - was for name, was in zip(("get", "set"), before, strict=True)]
    store.close()


def test_what_one_of_a_batch_forgets_is_not_there_for_the_next(redis_server: RedisServer) -> None:
    """A holder that leaves last takes the state with it; whoever comes behind it finds a new one."""
    store = GivenTimeRedis(redis_server)
    store.run(acquire("one"), 0.0)

    store.run_many([(release("one"), 0.0)] * 2)

    assert b":0\r\n" == redis_server.call("DBSIZE")
    store.close()


def test_a_clock_that_is_set_back_in_a_batch_goes_on(redis_server: RedisServer) -> None:
    """What has yet to be written keeps the time that it was to be kept for."""
    store = GivenTimeRedis(redis_server)

    replies = store.run_many([(acquire("one"), 7200.0), (acquire("two"), 3600.0)])

    assert [1, 0] == [reply[0] for reply in replies if isinstance(reply, list)]
    assert int(redis_server.call("PTTL", f"t:{PLACES}")[1:]) > 60_000
    store.close()


def test_what_a_failing_script_has_saved_is_forgotten(redis_server: RedisServer) -> None:
    """A decision is made in whole or not at all, and those before and behind it are made, as in a file."""
    store = GivenTimeRedis(redis_server)
    page, budget, other = "{p}:ledger:0", "{p}:credits:a", "{p}:credits:other"
    spec = [-1, 5, 0.0, 3600.0, -1, 1]
    store.run(Command("credits.reserve", (page, budget), ("one", 0, 1, 60.0, 1, 0, spec)), 0.0)
    # One of this library, and none of a budget.
    store.run(Command("latch.shut", (other,), ("call", 3600.0, 60.0, "402")), 0.0)
    before = state_in_redis(redis_server, f"t:{budget}")
    charge = [5, 0.0, 3600.0]
    failing = Command("credits.settle", (page, budget, other), ("one", 0, 0, 0, ["row"], charge, charge))
    whole = [
        Command("credits.settle", (page, f"{budget}.{name}", "{p}:settled:a"), (name, 0, 0, 1, 0, charge))
        for name in "xy"
    ]

    replies = store.run_many([(whole[0], 1.0), (failing, 1.0), (whole[1], 1.0)])

    assert [[1.0], [1.0]] == [replies[0], replies[2]]
    assert isinstance(replies[1], StoreError)
    assert before == state_in_redis(redis_server, f"t:{budget}")
    store.close()


def test_a_batch_that_cannot_be_written_is_an_error_of_all(redis_server: RedisServer) -> None:
    """A full server refuses all writes of a script."""
    store = GivenTimeRedis(redis_server)
    store.run(take(), 0.0)
    redis_server.call("CONFIG", "SET", "maxmemory", "1")

    answers = store.run_many([(take(), 0.0)] * 3)

    assert [True] * 3 == [isinstance(each, StoreError) and "memory" in str(each) for each in answers]
    store.close()


def test_a_look_at_everything_never_holds_the_server_for_long(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls of other processes wait meanwhile; a full ledger in one piece takes them longer than they have patience."""
    store = GivenTimeRedis(redis_server)
    pages = [f"{{p}}:ledger:{number}" for number in range(120)]
    store.run_many([(Command("notes.keep", (page,), (60.0, 1)), 0.0) for page in pages])
    call_all, sizes = store._client.call_all, list[object]()

    def watched(commands: Sequence[Words]) -> list[object]:
        sizes.extend(words[2] for words in commands)
        return call_all(commands)

    monkeypatch.setattr(store._client, "call_all", watched)

    assert sorted(pages) == sorted(key for key, _ in store.scan("{p}:ledger:"))
    # The first is sent again, to a server that has yet to learn the script.
    assert [50, 50, 50, 20] == sizes
    store.close()
