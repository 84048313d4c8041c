"""The public help for tests: a clock that does not wait, and a fake provider that runs until it is interrupted."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import httpx
import pytest

from resilience._clock import Clock, Closing
from resilience._policy import Policy
from resilience.errors import ConfigurationError
from resilience.testing import VirtualClock, fake_provider, serve

POLICY = """\
version: 1
provider: acme
match: {hosts: [api.acme.test]}
account: {query: [key]}
answers:
  - {rule: rate-limit, when: {status: 429}, category: rate_limited}
examples:
  - {answer: {status: 429, body: {error: slow_down}}, verdict: {category: rate_limited}}
"""
SERVE = "from resilience.testing import serve; import sys; serve(sys.argv[1], script='429 trickle 1h', log=print)"


def test_waits_take_no_time() -> None:
    """A wait moves both clocks on at once and is recorded."""
    clock: Clock = VirtualClock(wall=1000.0)

    clock.sleep(3600.0, Closing())
    clock.sleep(0.5, Closing())

    assert isinstance(clock, VirtualClock)
    assert [3600.0, 0.5] == clock.slept
    assert (3600.5, 4600.5) == (clock.now(), clock.wall())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_waits_of_asynchronous_programs_let_others_run(backend: str) -> None:
    """Another task gets its turn while one waits, and no time passes in the world."""
    clock = VirtualClock()
    order: list[str] = []

    async def wait(name: str) -> None:
        order.append(f"{name} waits")
        await clock.sleep_async(60.0, Closing())
        order.append(f"{name} is done")

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, "one")
            tasks.start_soon(wait, "other")

    anyio.run(both, backend=backend)

    assert {"one waits", "other waits"} == set(order[:2])
    assert {"one is done", "other is done"} == set(order[2:])
    assert ([60.0, 60.0], 120.0) == (clock.slept, clock.now())


@pytest.mark.parametrize("seconds", [-0.1, float("nan")])
def test_time_does_not_go_back(seconds: float) -> None:
    """What the layers remember would lie in the future."""
    clock = VirtualClock()

    with pytest.raises(ConfigurationError, match="advance\\(\\) takes seconds from 0, not "):
        clock.advance(seconds)

    assert VirtualClock().now() == clock.now()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_wait_ends_there(backend: str) -> None:
    """Cancellation is delivered in the wait."""
    reached: list[str] = []

    async def cancelled() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await VirtualClock().sleep_async(60.0, Closing())
            reached.append("after the wait")

    anyio.run(cancelled, backend=backend)

    assert [] == reached


def test_a_closed_client_does_not_wait() -> None:
    """Once the client is closed no time passes, in neither kind of program."""
    clock = VirtualClock()
    closing = Closing()
    closing.set()

    clock.sleep(60.0, closing)
    anyio.run(clock.sleep_async, 60.0, closing)

    assert ([], 0.0) == (clock.slept, clock.now())


def test_time_can_be_moved_on_and_does_not_go_back() -> None:
    """A test may let time pass without a wait, and a negative wait is none."""
    clock = VirtualClock()

    clock.advance(5.0)
    clock.sleep(-1.0, Closing())

    assert (5.0, [-1.0]) == (clock.now(), clock.slept)


def test_chances_and_keys_are_known_beforehand() -> None:
    """Chance gives what it was told and then nothing, and keys are counted."""
    clock = VirtualClock(chances=[0.25, 0.5])

    assert [0.25, 0.5, 0.0, 0.0] == [clock.random() for _ in range(4)]
    assert ["key-1", "key-2"] == [clock.key(), clock.key()]


def test_a_clock_can_be_shared_by_threads() -> None:
    """No wait and no key is lost when many threads use one clock."""
    clock = VirtualClock(chances=iter([1.0] * 8000))
    keys: list[str] = []

    def work() -> None:
        for _ in range(1000):
            clock.sleep(1.0, Closing())
            clock.advance(1.0)
            clock.random()
            keys.append(clock.key())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (16000.0, 8000, 8000, 0.0) == (clock.now(), len(clock.slept), len(set(keys)), clock.random())


def test_the_samples_of_the_documentation_run() -> None:
    """Each Python sample of the page on the fake provider is a program that does what the page says."""
    page = Path(__file__).parents[1] / "docs" / "how-to" / "fake-provider.md"

    samples = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)

    assert samples
    for sample in samples:
        exec(compile(sample, str(page), "exec"), {"__name__": "__main__"})


def test_a_policy_file_can_be_named(tmp_path: Path) -> None:
    """A path stands for the policy in it."""
    file = tmp_path / "acme.yaml"
    file.write_text(POLICY, "utf-8")

    with fake_provider(file, script="rate-limit") as provider:
        answer = httpx.get(provider.url, trust_env=False)

    assert (429, {"error": "slow_down"}) == (answer.status_code, answer.json())


def test_serving_ends_with_an_interrupt(tmp_path: Path) -> None:
    """It says where it answers, then one line for each request without keys, and returns when it is interrupted."""
    file = tmp_path / "acme.yaml"
    file.write_text(POLICY, "utf-8")
    lines: list[str] = []
    statuses: list[int] = []

    def call(url: str) -> None:
        with httpx.Client(base_url=url, trust_env=False) as client:
            statuses.append(client.get("/v1/a?key=s3cret").status_code)
            with pytest.raises(httpx.RemoteProtocolError):
                client.post("/v1/b")
            statuses.append(client.put("/").status_code)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def log(line: str) -> None:
        lines.append(line)
        if len(lines) == 1:
            threads.append(threading.Thread(target=call, args=(line.removeprefix("acme is faked at "),)))
            threads[0].start()

    threads: list[threading.Thread] = []
    serve(file, script='429 body {"a":\n 1}, drop', log=log)
    threads[0].join()

    assert [429, 200] == statuses
    assert ['GET /v1/a?key=REDACTED -> 429 (429 body {"a": 1})', "POST /v1/b -> (drop)", "PUT / -> 200"] == lines[1:]


@pytest.mark.parametrize(("sent", "expected"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_program_that_serves_ends_as_programs_do(tmp_path: Path, sent: signal.Signals, expected: int) -> None:
    """A signal ends the process quietly, even while an answer hangs."""
    file = tmp_path / "acme.yaml"
    file.write_text(POLICY, "utf-8")
    command = [sys.executable, "-u", "-W", "error", "-c", SERVE, str(file)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout
        _, url = program.stdout.readline().strip().split(" is faked at ")
        with httpx.stream("GET", url, trust_env=False) as answer:
            program.send_signal(sent)
            _, errors = program.communicate(timeout=30)

    assert (429, "", expected) == (answer.status_code, errors, program.returncode)


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "h11"])
def test_a_missing_package_is_named_with_its_remedy(package: str) -> None:
    """Without the extra the error is one line that says what to install."""
    program = (
        "import sys; sys.modules[sys.argv[1]] = None\n"
        "from resilience.testing import fake_provider\n"
        "from resilience.errors import ConfigurationError\n"
        "try: fake_provider('acme').__enter__()\n"
        "except ConfigurationError as error: print(error)\n"
    )

    done = subprocess.run([sys.executable, "-c", program, package], capture_output=True, text=True, check=True)

    expected = f"the fake provider needs {package}; install it with: pip install 'httpx-resilience[fake]'\n"
    assert (expected, "") == (done.stdout, done.stderr)


def test_the_server_is_looked_for_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package may be installed while the program runs."""
    monkeypatch.delitem(sys.modules, "resilience._fake_server", raising=False)
    policy = Policy.model_validate({"version": 1, "provider": "own", "match": {"hosts": ["own.test"]}})

    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "uvicorn", None)
        with pytest.raises(ConfigurationError, match="the fake provider needs uvicorn"):
            fake_provider(policy).__enter__()
    with fake_provider(policy) as provider:
        assert 200 == httpx.get(provider.url, trust_env=False).status_code


def test_another_missing_module_is_no_matter_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation shows its own error."""
    monkeypatch.delitem(sys.modules, "resilience._fake_server", raising=False)
    monkeypatch.setitem(sys.modules, "asyncio", None)

    with pytest.raises(ModuleNotFoundError, match="asyncio"):
        fake_provider("acme").__enter__()


def test_the_module_costs_nothing_until_it_is_used() -> None:
    """Importing it loads no server, no HTTP library and no pydantic."""
    heavy = ["starlette", "uvicorn", "h11", "httpx", "httpx2", "pydantic", "anyio", "yaml"]
    program = f"import json, sys, resilience.testing; print(json.dumps([m for m in {heavy} if m in sys.modules]))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert [] == json.loads(done.stdout)


def test_a_missing_policy_is_named() -> None:
    """A name that no policy has is an error of the configuration."""
    with pytest.raises(ConfigurationError, match="nobody-has-this-name"):
        fake_provider("nobody-has-this-name").__enter__()


def test_a_loaded_policy_is_taken_as_it_is() -> None:
    """A program may build its policy itself."""
    policy = Policy.model_validate({"version": 1, "provider": "own", "match": {"hosts": ["own.test"]}})

    with fake_provider(policy) as provider:
        answer = httpx.get(provider.url, trust_env=False)

    assert (200, {}) == (answer.status_code, answer.json())
