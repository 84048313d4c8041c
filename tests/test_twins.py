"""Python and Lua decide the same: every kind of state, on all three stores, under random histories of commands."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilience._transactions import _MODULES, Command, Reply
from resilience.stores._lua import lua_named
from resilience.stores._memory import MemoryStore
from tests import strategies_bucket
from tests.given_time_stores import GivenTimeRedis, GivenTimeSqlite, state_in_redis
from tests.servers import RedisServer, run_redis

KINDS = sorted(_MODULES)
LUA = Path(__file__).parent.parent / "resilience" / "stores" / "lua"
SCRIPTS = sorted(path.stem for path in LUA.glob("*.*.lua"))
Steps = list[tuple[float, Command]]

# A monotonic clock of a fresh machine, one of an old one, and seconds since 1970.
starts = st.sampled_from([0.0, 12.75, 4_321_987.1, 1_763_683_200.123456])
waits = st.sampled_from([0.0, 0.0, 0.001, 0.1, 0.25, 1.0, 9.9, 61.0, 4000.0]) | st.floats(0, 30)


class Stores:
    """One of each, with nothing in them, in which the same things happen at the same times."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self.memory = MemoryStore()
        self.sqlite = GivenTimeSqlite(str(folder / "twins.db"))
        self.redis = GivenTimeRedis(server)
        self._server = server
        self._folder = folder

    def clear(self, start: float) -> None:
        self.memory.clear()
        self.sqlite.close()
        for path in self._folder.iterdir():
            path.unlink()
        self.sqlite.given = start
        # A new file begins at the wall's time, which is the steady one's here: its time is exactly what is given.
        self.sqlite.probe()
        assert b"+OK\r\n" == self._server.call("FLUSHALL")

    def run(self, command: Command, now: float) -> Reply:
        expected = self.memory.run(command, now)
        assert expected == self.sqlite.run(command, now), f"{command} at {now} in SQLite"
        assert expected == self.redis.run(command, now), f"{command} at {now} in Redis"
        return expected

    def check_states(self) -> None:
        """Every state is the same, to the last bit; memory holds what a script has tidied up but had no need to save."""
        expected = {key: plain(state) for key, state in self.sqlite.scan()}
        assert set(expected) == {key for key, _ in self.memory.scan()}
        assert expected == {key: plain(state_in_redis(self._server, f"t:{key}")[1]) for key in expected}


def plain(value: Any) -> Any:
    """A state as Lua can tell it: what is empty is neither a list nor a mapping."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()} or None
    if isinstance(value, list | tuple):
        return [plain(each) for each in value] or None
    return value


@pytest.fixture(scope="module", name="stores")
def three_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with run_redis() as server:
        stores = Stores(server, tmp_path_factory.mktemp("twins"))
        yield stores
        stores.sqlite.close()
        stores.redis.close()


def histories(kind: str, least: int = 1, most: int = 30) -> st.SearchStrategy[Steps]:
    commands = getattr(import_module(f"tests.strategies_{kind}"), f"commands_{kind}")()
    return st.lists(st.tuples(waits, commands), min_size=least, max_size=most)


@pytest.mark.parametrize("kind", KINDS)
def test_all_stores_decide_the_same(kind: str, stores: Stores) -> None:
    """Every reply, to the last bit, and every state that is left, whatever has happened before."""

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(start=starts, steps=histories(kind))
    def check(start: float, steps: Steps) -> None:
        stores.clear(start)
        now = start
        for after, command in steps:
            now += after
            stores.run(command, now)
        stores.check_states()

    check()


def test_all_stores_decide_the_same_where_slots_go_back_and_forth(stores: Stores) -> None:
    """Histories of rate limits in which calls confirm, and give back, what an earlier reply gave them."""
    rates = st.lists(strategies_bucket.specs(), min_size=3, max_size=3)

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(start=starts, steps=st.lists(strategies_bucket.steps_bucket(), max_size=40), rates=rates)
    def check(start: float, steps: list[strategies_bucket.Step], rates: list[list[Any]]) -> None:
        stores.clear(start)
        strategies_bucket.play(steps, rates, stores.run, start)
        stores.check_states()

    check()


def test_all_stores_decide_the_same_where_calls_are_lost_and_speak_again(stores: Stores) -> None:
    """Long histories of credits, in which most reservations meet their end, or one another, in some budget."""

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(start=starts, steps=histories("credits", 40, 50))
    def check(start: float, steps: Steps) -> None:
        stores.clear(start)
        now = start
        for after, command in steps:
            now += after
            stores.run(command, now)
        stores.check_states()

    check()


def test_all_stores_forget_the_same(stores: Stores) -> None:
    """A page of the ledger, and the names of a budget, are more than any random history fills."""
    page, budget, names = "{p}:ledger:0", "{p}:credits:daily:0-86400:account=a", "{p}:settled:a"
    stores.clear(0.0)

    for number in range(520):
        row = [0.5, f"{number}", "scrape", "d1ge57", "", 1, "lost"]
        reserved = Command("credits.reserve", (page, budget), (f"{number}", 0, 1, 1.0, 1, row, [-1, 2, 0, 0, -1, 1]))
        counted = Command("credits.settle", (page, budget, names), (f"e{number}", 0, 0, 1, row, [3, 0, 0]))
        stores.run(reserved, 2.0 * number)
        stores.run(counted, 2.0 * number + 1)

    stores.check_states()


@pytest.mark.parametrize("kind", KINDS)
def test_every_script_is_in_some_history(kind: str) -> None:
    """A verb that no strategy draws would be compared by nobody."""
    drawn: set[str] = set()

    @settings(max_examples=200, database=None, suppress_health_check=list(HealthCheck))
    @given(steps=histories(kind))
    def draw(steps: Steps) -> None:
        drawn.update(command.name for _, command in steps)

    draw()
    assert {name for name in SCRIPTS if name.startswith(f"{kind}.")} <= drawn


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_twin_has_its_python(name: str) -> None:
    """A file is a script of a known kind, whose function of that name decides elsewhere."""
    kind, _, verb = name.partition(".")

    assert callable(getattr(import_module(f"resilience.{_MODULES[kind]}"), verb))
    assert lua_named(name).text.startswith(lua_named("prelude").text)
