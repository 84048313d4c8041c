"""Greenlets of gevent: a call that waits lets all others run, limits hold, and no lock stops the hub.

What gevent replaces it replaces for the whole process, so each test is a program of its own.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.launched import CHECKOUT

PATCH = "from gevent import monkey; monkey.patch_all()\n"
IMPORT = "import httpx, resilience, resilience.httpx, resilience.stores\n"

CALLS = """
import sys, time
import gevent

ticks = 0

def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.001)

class Provider(httpx.BaseTransport):
    now = most = refused = 0

    def handle_request(self, request):
        Provider.now += 1
        Provider.most = max(Provider.most, Provider.now)
        if request.url.path == "/narrow":
            time.sleep(0.01)
        Provider.now -= 1
        if request.url.path == "/busy" and not Provider.refused:
            Provider.refused += 1
            return httpx.Response(503)
        return httpx.Response(200, json={})

policy = resilience.Policy.model_validate({
    "version": 1, "provider": "provider", "match": {"hosts": ["provider.test"]},
    "operations": {"paced": {"path": "/paced"}, "narrow": {"path": "/narrow"}, "busy": {"path": "/busy"}},
    "limits": [{"name": "pace", "rate": "50/second", "burst": 1, "operations": ["paced"]},
               {"name": "width", "concurrency": 2, "operations": ["narrow"]}],
    "retry": {"spread": 0, "backoff": {"initial": "100ms", "jitter": "none"}},
})
config = {"version": 1, "store": sys.argv[1]}
client = httpx.Client(transport=resilience.httpx.Transport(Provider(), policies=[policy], config=config))
gevent.spawn(tick)

def run(path, calls):
    global ticks
    Provider.most = ticks = 0
    greenlets = [gevent.spawn(client.get, f"https://provider.test/{path}") for _ in range(calls)]
    gevent.joinall(greenlets, raise_error=True)
    return {each.value.status_code for each in greenlets}

run("narrow", 1)  # imports and opens
# Nothing but the waits themselves takes time, and lets others run.
assert {200} == run("paced", 11) and ticks > 5, ticks
assert {200} == run("narrow", 8) and 2 == Provider.most, Provider.most
assert {200} == run("busy", 1) and ticks > 5, ticks

waiting = [gevent.spawn(client.get, "https://provider.test/narrow") for _ in range(6)]
gevent.sleep(0.005)
gevent.killall(waiting)
assert {200} == run("narrow", 4)
"""

FILE = """
import sqlite3, sys
import gevent

path = sys.argv[1].removeprefix("sqlite:///")
resilience.stores.open_store(sys.argv[1])
resilience.stores.forget_all()
other = sqlite3.connect(path, isolation_level=None)
other.execute("BEGIN IMMEDIATE")
opening = [gevent.spawn(resilience.stores.open_store, sys.argv[1]) for _ in range(2)]
gevent.sleep(0.02)
other.execute("ROLLBACK")
gevent.joinall(opening, raise_error=True)
store = opening[0].value
assert store is opening[1].value
"""


def run(program: str, store: str) -> None:
    """Run it; one that hangs says where."""
    text = f"import faulthandler; faulthandler.dump_traceback_later(20, exit=True)\n{textwrap.dedent(program)}"
    command = [sys.executable, "-c", text, store]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert 0 == ended.returncode, ended.stderr


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_greenlets_wait_in_turn_and_stop_nobody(kind: str, tmp_path: Path) -> None:
    """Pacing, permits and retries wait as greenlets do; one that is killed gives back what it holds."""
    run(PATCH + IMPORT + CALLS, "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/limits.db")


def test_a_file_that_is_busy_while_two_greenlets_open_it(tmp_path: Path) -> None:
    """Imported before gevent has put its locks in place, as `gunicorn --preload` does; whoever waits for the file waits as a greenlet."""
    run(IMPORT + PATCH + FILE, f"sqlite:///{tmp_path}/limits.db")
