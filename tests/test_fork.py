"""A process that has called forks, while its other threads call: the child calls at once, and begins with nothing."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import resilience
import resilience.httpx
from resilience import _fork, _install, _retry_allowance
from resilience._adapter import _Both
from resilience._clock import Closing
from resilience._fork import LateLock
from resilience._retry_budget import RetryBudget
from resilience._waker import Waker
from resilience.stores import _open, open_store
from tests.launched import CHECKOUT
from tests.rawserver import answer, raw_server
from tests.servers import RedisServer
from tests.worlds import URL, policy

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
SECONDS = 60


def forked(work: Callable[[], object]) -> object:
    """What work in a forked child comes to; one that hangs is ended, and its exit code is that of the alarm."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        code = 1
        try:
            os.write(write, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(text)


@contextmanager
def elsewhere(hold: Callable[[threading.Event, threading.Event], None]) -> Iterator[None]:
    """Another thread, which sets its first event when it holds something, and lets go at the second."""
    held, end = threading.Event(), threading.Event()
    thread = threading.Thread(target=hold, args=(held, end))
    thread.start()
    assert held.wait(SECONDS)
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_a_wait_in_a_child_hangs_on_nobody() -> None:
    """The lock inside of an event is held for moments by whoever waits; and whom it would wake is the parent's."""
    closing, woken = Closing(), []
    waker = Waker()

    def hold(held: threading.Event, end: threading.Event) -> None:
        with closing._wakes(lambda: woken.append(1), waker), closing._set._cond:
            held.set()
            end.wait(SECONDS)

    def work() -> object:
        closing.wait(0.001)
        before = closing.is_set()
        closing.set()
        closing.wait(SECONDS)
        return before, len(woken)

    with elsewhere(hold):
        assert [False, 0] == forked(work)

    closing.set()
    assert [True, 0] == forked(lambda: (closing.is_set(), len(woken)))


def test_a_transport_that_another_thread_is_making(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making one reads certificates, for tens of milliseconds."""
    held, end = threading.Event(), threading.Event()
    parent = os.getpid()

    class Slow(httpx.MockTransport):
        def __init__(self) -> None:
            super().__init__(lambda _: httpx.Response(204))
            if os.getpid() == parent:
                held.set()
                end.wait(SECONDS)

    monkeypatch.setattr(httpx, "HTTPTransport", Slow)
    both = _Both(httpx)
    request = httpx.Request("GET", URL)
    thread = threading.Thread(target=both.handle_request, args=(request,))
    thread.start()
    assert held.wait(SECONDS)

    try:
        assert 204 == forked(lambda: both.handle_request(request).status_code)
    finally:
        end.set()
        thread.join()


def test_an_installation_that_another_thread_is_doing() -> None:
    """A child can install by itself."""

    def hold(held: threading.Event, end: threading.Event) -> None:
        with _install._lock:
            held.set()
            end.wait(SECONDS)

    def work() -> object:
        resilience.install({"version": 1})
        return sum(isinstance(finder, _install.ResilienceFinder) for finder in sys.meta_path)

    with elsewhere(hold):
        assert 1 == forked(work)


def test_a_fork_waits_for_a_store_that_is_being_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is open by halves would be open in the child too, where SQLite must not find it."""
    opened = _open._open_shared
    held = threading.Event()
    ready = threading.Event()

    def slow(url: str, namespace: str) -> object:
        made = opened(url, namespace)
        held.set()
        ready.wait(0.5)
        return made

    monkeypatch.setattr(_open, "_open_shared", slow)
    url = f"sqlite:///{tmp_path}/store.db"
    thread = threading.Thread(target=open_store, args=(url,))
    thread.start()
    assert held.wait(SECONDS)

    # Known to the child, so closed before.
    assert [("sqlite:///", True)] == [tuple(each) for each in forked(known)]  # type: ignore[attr-defined]
    thread.join()
    assert _open._lock._forking is None
    assert is_free(_open._lock)


def is_free(lock: LateLock) -> bool:
    """Whether another thread could take it."""

    def take() -> bool:
        taken = lock.held.acquire(blocking=False)
        if taken:
            lock.held.release()
        return taken

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(take).result(SECONDS)


def known() -> list[tuple[str, bool]]:
    """The shared stores of this process, and whether each has no connection."""
    return [(url[:10], store._shared._connection is None) for (url, _), store in _open._opened.items()]  # type: ignore[attr-defined]


def test_a_fork_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a store that is not there when it is opened."""
    monkeypatch.setattr(_open._lock, "_longest", 0.05)

    def hold(held: threading.Event, end: threading.Event) -> None:
        with _open._lock.held:
            held.set()
            end.wait(SECONDS)

    with elsewhere(hold):
        assert 1 == forked(lambda: len(_open.opened_stores()))
        assert not is_free(_open._lock)

    assert is_free(_open._lock)


def test_calls_that_the_parent_has_not_told_yet_are_the_parents() -> None:
    """Or each child would pay them into the retry budget once more."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    obeying = resilience.httpx.Transport(transport, policies=[policy(retry={"budget": {"ratio": 0.2}})])
    client = httpx.Client(transport=obeying)

    def untold() -> list[int]:
        allowances = [each for found in _retry_allowance._allowances.values() for each in found.values()]
        return [sum(each._calls) for each in allowances if isinstance(each, _retry_allowance.Ratio)]

    assert RetryBudget(ratio=0.2).quota is None
    # What other tests have left.
    _retry_allowance._allowances.clear()
    for _ in range(3):
        client.get(URL)

    def work() -> list[int]:
        client.get(URL)
        return untold()

    assert [3] == untold()
    assert [1] == forked(work)
    assert [3] == untold()


def test_a_fork_waits_for_what_another_thread_is_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the child would wait for that thread, which it does not have, when it imports the same for its first call."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(_fork, "_IMPORTED", frozenset({"slowly_imported"}))
    (tmp_path / "slowly_imported.py").write_text("import threading\nthreading.Event().wait(0.3)\ndone = True\n")
    thread = threading.Thread(target=importlib.import_module, args=("slowly_imported",))
    thread.start()
    while "slowly_imported" not in sys.modules:
        threading.Event().wait(0.001)

    assert True is forked(lambda: importlib.import_module("slowly_imported").done)
    thread.join()


def test_only_the_first_fork_waits_for_a_slow_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that hangs would delay each of them; another thread's import of the same is waited for again."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(_fork, "_IMPORTED", frozenset({"hanging"}))
    monkeypatch.setattr(_fork, "_LONGEST", 0.3)
    (tmp_path / "hanging").mkdir()
    (tmp_path / "hanging" / "__init__.py").write_text("import sys\nsys.hanging_end.wait(60)\nfrom . import part\n")
    (tmp_path / "hanging" / "part.py").write_text("import sys\nsys.hanging_next.set()\nsys.hanging_last.wait(60)\n")
    end, following, last = threading.Event(), threading.Event(), threading.Event()
    for name, event in {"end": end, "next": following, "last": last}.items():
        monkeypatch.setattr(sys, f"hanging_{name}", event, raising=False)

    def seconds() -> float:
        began = time.monotonic()
        _fork._wait_for_imports()
        return time.monotonic() - began

    for _ in range(2):
        end.clear()
        following.clear()
        last.clear()
        thread = threading.Thread(target=importlib.import_module, args=("hanging",))
        thread.start()
        while "hanging" not in sys.modules:
            threading.Event().wait(0.001)
        waited = [seconds(), seconds(), seconds()]
        end.set()
        assert following.wait(SECONDS)
        waited.append(seconds())
        last.set()
        thread.join()
        del sys.modules["hanging"], sys.modules["hanging.part"]

        assert [True, False, False, False] == [each > 0.25 for each in waited], waited
        assert seconds() < 0.25


def test_a_fork_in_an_import_of_its_own_waits_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on in both."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(_fork, "_IMPORTED", frozenset({"forking"}))
    monkeypatch.setattr(_fork, "_LONGEST", SECONDS)
    (tmp_path / "forking.py").write_text("from tests.test_fork import forked\ncame = forked(lambda: 7)\n")
    began = time.monotonic()

    assert 7 == importlib.import_module("forking").came
    assert time.monotonic() - began < SECONDS / 2


# A child tells where it hangs, also within what others have called after a fork: hence before anybody else has anything
# called there. Given a file's number: `sys.stderr` would be flushed first, and the lock of its buffer is one that CPython
# does not renew in a child. Where another thread wrote a line at the moment of the fork, that would wait for ever.
LIVELY = """
import faulthandler, os
os.register_at_fork(after_in_child=lambda: faulthandler.dump_traceback_later(25, exit=True, file=2))
import asyncio, json, multiprocessing, signal, sys, threading
import httpx
import resilience, resilience.httpx
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

faulthandler.enable()
config, provider, method, children = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(spans))
metrics.set_meter_provider(MeterProvider([reader]))
count = iter(range(10**9))

def handle(request):
    # Every second call is sent again, so that threads wait, and stand in lines.
    headers = {"Retry-After": "0"}
    return httpx.Response(429, headers=headers) if next(count) % 2 else httpx.Response(200, json={"cost": 1})

def made(kind):
    # The pool of httpx must not be shared with a child: that is httpx's own rule, and not what is looked at here.
    return kind(transport=resilience.httpx.Transport(httpx.MockTransport(handle), config=config))

shared, stop, calls = made(httpx.Client), threading.Event(), [0]

def threads():
    while not stop.is_set():
        shared.get(provider)
        calls[0] += 1
        stop.wait(0.001)

async def tasks():
    async with made(httpx.AsyncClient) as client:
        async def one():
            while not stop.is_set():
                await client.get(provider)
                calls[0] += 1
                await asyncio.sleep(0.005)
        await asyncio.gather(*(one() for _ in range(5)))

async def once():
    async with made(httpx.AsyncClient) as client:
        return (await client.get(provider)).status_code

def child(tell):
    statuses = [shared.get(provider).status_code, asyncio.run(once())]
    # Over a real connection of its own.
    with httpx.Client(transport=resilience.httpx.Transport(config=config)) as client:
        statuses.append(client.get(provider).status_code)
    states = dict(resilience.stores.open_store().scan())

    tell([statuses, len(states), len(resilience.stores.open_store().lines.lengths())])
    shared.close()

import resilience.stores

running = [threading.Thread(target=threads) for _ in range(2)]
running.append(threading.Thread(target=lambda: asyncio.run(tasks())))
for thread in running:
    thread.start()
while calls[0] < 50:
    stop.wait(0.01)
found = []
for _ in range(children):
    read, write = os.pipe()
    def tell(value):
        os.write(write, json.dumps(value).encode())
    if method == "os":
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(tell)
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    else:
        process = multiprocessing.get_context("fork").Process(target=child, args=(tell,))
        process.start()
        os.close(write)
        process.join()
        code = process.exitcode
    with os.fdopen(read) as stream:
        found.append([code, json.loads(stream.read() or "null")])
before = calls[0]
while calls[0] < before + 50:
    stop.wait(0.01)
stop.set()
for thread in running:
    thread.join()
print(json.dumps(found))
"""
CONFIG = """\
version: 1
policies: [./local.yaml]
shipped: false
store: {store}
providers:
  local:
    budgets: [{{name: daily, limit: 1000000 credits/day}}]
"""
LIMITED = """\
version: 1
provider: local
match: {{hosts: ["{host}"]}}
retry: {{max_attempts: 5, backoff: {{initial: 1ms, max: 1ms}}, budget: {{ratio: 1, per_second: 1000}}}}
limits:
  - {{name: pace, rate: 100000/second, per: provider}}
  - {{name: places, concurrency: 200, per: provider}}
breaker: {{consecutive_failures: 1000}}
credits: {{costs: [{{cost: 1}}]}}
deadline: 20s
"""


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of each kind of store."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/store.db"


@pytest.mark.parametrize("method", ["os", "multiprocessing"])
def test_a_child_of_a_busy_process_calls_at_once(method: str, store: str, tmp_path: Path) -> None:
    """Threads and an event loop call, wait and hold locks of every kind while the process forks again and again."""
    with raw_server(answer(200, b"{}", "Connection: close")) as server:
        (tmp_path / "local.yaml").write_text(LIMITED.format(host=server.url.removeprefix("http://")))
        (tmp_path / "resilience.yaml").write_text(CONFIG.format(store=store))
        (tmp_path / "lively.py").write_text(textwrap.dedent(LIVELY))
        children = 4 if method == "os" else 2
        words = [str(tmp_path / "resilience.yaml"), server.url, method, str(children)]
        # Without buffers, for the sake of what a child writes itself: they have the lock that nobody renews.
        process = subprocess.Popen(
            [sys.executable, "-u", "-W", "ignore", str(tmp_path / "lively.py"), *words], env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True,
        )  # fmt: skip
        try:
            output, errors = process.communicate(timeout=2 * SECONDS)
        except subprocess.TimeoutExpired:
            # Parent and child say where each of their threads is, and end.
            os.killpg(process.pid, signal.SIGABRT)
            pytest.fail(f"it hung:\n{process.communicate()[1]}")

    assert 0 == process.returncode, errors
    found = json.loads(output)
    assert [[0, [200, 200, 200]]] * children == [[code, told and told[0]] for code, told in found], errors
    # Nobody stands in a line of its memory, and what it holds is its own.
    assert {0} == {told[2] for _, told in found}
    assert children == len(server.requests)


def test_a_process_without_threads_forks_by_multiprocessing() -> None:
    """What most programs do: a client of the parent's, used by its children."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    client = httpx.Client(transport=resilience.httpx.Transport(transport, policies=[policy()]))
    assert 200 == client.get(URL).status_code
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    processes = [context.Process(target=lambda: answers.put(client.get(URL).status_code)) for _ in range(3)]
    for process in processes:
        process.start()

    assert [200] * 3 == [answers.get() for _ in processes]
    for process in processes:
        process.join(SECONDS)
