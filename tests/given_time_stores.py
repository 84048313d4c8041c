"""Shared stores whose time is the test's, each fresh, and which tell their states to the last bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from resilience._clock import MachineTime
from resilience._transactions import Command, Reply, State, Store
from resilience.stores._redis import RedisStore
from resilience.stores._sqlite import SqliteStore
from tests.servers import RedisServer

__all__ = ["GivenTimeRedis", "GivenTimeSqlite", "StoreMaker", "fresh_stores", "state_in_redis"]

StoreMaker = Callable[[], Store]

# As JSON with every digit, which cjson does not write; empty tables are lists. First until when it counts.
_DUMP = """
local function text(value)
  if type(value) == 'number' then return string.format('%.17g', value) end
  if type(value) ~= 'table' then return cjson.encode(value) end
  local parts = {}
  if #value > 0 then
    for index, each in ipairs(value) do parts[index] = text(each) end
    return '[' .. table.concat(parts, ',') .. ']'
  end
  for key, each in pairs(value) do parts[#parts + 1] = cjson.encode(key) .. ':' .. text(each) end
  return #parts > 0 and '{' .. table.concat(parts, ',') .. '}' or '[]'
end
local _, _, expires, state = cmsgpack.unpack(redis.call('GET', KEYS[1]))
return text({ expires, state })
"""


def state_in_redis(server: RedisServer, key: str) -> tuple[float, Any]:
    """Until when a state counts, and what it is, past every client."""
    raw = server.call("EVAL", _DUMP, "1", key)
    expires, state = json.loads(raw.partition(b"\r\n")[2])
    return expires, state


class GivenTimeSqlite(SqliteStore):
    """In a file whose machine has the time of the last command, on all its clocks: what is given is the file's time."""

    def __init__(self, path: str, namespace: str = "t") -> None:
        self.given = 0.0
        super().__init__(path, namespace, machine=lambda: MachineTime(self.given, self.given, "boot"))

    def run(self, command: Command, now: float, /) -> Reply:
        self.given = now
        return super().run(command, now)


class GivenTimeRedis(RedisStore):
    """On a server that is told the time with every command; its states are read to the last bit, for comparisons."""

    def __init__(self, server: RedisServer, namespace: str = "t") -> None:
        # Many histories take minutes, and the machine may stand still for longer than a call waits for its store.
        super().__init__(f"{server.url}?socket_timeout=30", namespace, gives_time=True)
        self.given = 0.0
        self._server = server

    def run(self, command: Command, now: float, /) -> Reply:
        self.given = now
        return super().run(command, now)

    def scan(self, prefix: str = "", /) -> Iterator[tuple[str, State]]:
        # What the store tells people is rounded. Only the keys are of use here.
        for key, _ in super().scan(prefix):
            expires, state = state_in_redis(self._server, self._prefix + key)
            if expires > self.given:
                yield key, state


@contextmanager
def fresh_stores(place: RedisServer | Path) -> Iterator[StoreMaker]:
    """Something that makes stores without anything in them: namespaces of one server, or of one file in a folder.

    Making one closes the one before.
    """
    opened: list[Store] = []
    numbers = count()

    def close() -> None:
        while opened:
            opened.pop().close()

    def make() -> Store:
        close()
        namespace = f"fresh-{next(numbers)}"
        if isinstance(place, Path):
            opened.append(GivenTimeSqlite(str(place / "store.db"), namespace))
        else:
            opened.append(GivenTimeRedis(place, namespace))
        return opened[-1]

    try:
        yield make
    finally:
        close()
