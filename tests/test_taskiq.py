"""Tasks of taskiq are put off until their provider will answer: a real worker and scheduler, requests counted there."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from taskiq import AsyncBroker
from taskiq.kicker import AsyncKicker
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

import resilience
from resilience.errors import ConfigurationError
from resilience.taskiq import ResilienceMiddleware
from resilience.testing import FakeProvider, fake_provider
from tests.servers import run_redis
from tests.until import SECONDS, wait_until

ROOT = Path(__file__).parent.parent
POLICY = {
    "version": 1,
    "provider": "acme",
    "match": {"hosts": ["api.acme.test"]},
    "retry": {"spread": 0, "longest_wait": "1s", "max_attempts": 2, "backoff": {"initial": "100ms", "max": "500ms"}},
}


class Queue:
    """The application's own side of the queue."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self.folder = folder
        self.log = folder / "log"

    def run(self, name: str, *arguments: Any, more: tuple[Any, ...] = (), retries: int = 0) -> list[Any]:
        """The result of a task, and of another that is sent when the first has called its provider."""
        return asyncio.run(self._run(name, arguments, more, retries))

    async def _run(self, name: str, arguments: tuple[Any, ...], more: tuple[Any, ...], retries: int) -> list[Any]:
        results: RedisAsyncResultBackend[Any] = RedisAsyncResultBackend(self._url)
        broker = ListQueueBroker(self._url).with_result_backend(results).with_middlewares(ResilienceMiddleware())
        await broker.startup()
        try:
            labels = {"retry_on_error": True, "max_retries": retries} if retries else {}
            first = await self._kick(broker, name, labels, arguments)
            found: list[Any] = []
            if more:
                await asyncio.to_thread(wait_until, more[0], self.log)
                found.append(
                    (await (await self._kick(broker, "add", {}, more[1:])).wait_result(timeout=SECONDS)).return_value
                )
            result = await first.wait_result(timeout=SECONDS)
            return [result.error or result.return_value, *found, first.task_id]
        finally:
            await broker.shutdown()

    async def _kick(self, broker: AsyncBroker, name: str, labels: dict[str, Any], arguments: tuple[Any, ...]) -> Any:
        kicker: AsyncKicker[Any, Any] = AsyncKicker(f"tests.taskiq_tasks:{name}", broker, labels)
        return await kicker.kiq(*arguments)


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """A real Redis, worker and scheduler."""
    folder = tmp_path_factory.mktemp("taskiq")
    (folder / "acme.yaml").write_text(yaml.safe_dump(POLICY))
    config = {"version": 1, "shipped": [], "policies": ["acme.yaml"], "providers": {"acme": {"hosts": ["127.0.0.1"]}}}
    (folder / "resilience.yaml").write_text(yaml.safe_dump(config))
    with ExitStack() as stack:
        redis = stack.enter_context(run_redis())
        found = Queue(redis.url, folder)
        own = {"TEST_BROKER": redis.url, "TEST_CONFIG": str(folder / "resilience.yaml"), "PYTHONPATH": str(ROOT)}
        log = stack.enter_context(found.log.open("wb"))
        for command in (
            ["worker", "tests.taskiq_tasks:broker", "--workers", "1", "--max-async-tasks", "10"],
            ["scheduler", "tests.taskiq_tasks:scheduler", "--update-interval", "1", "--loop-interval", "1"],
        ):
            program = subprocess.Popen(
                [sys.executable, "-m", "taskiq", *command], cwd=ROOT, env={**os.environ, **own}, stdout=log, stderr=log
            )
            stack.callback(program.wait)
            stack.callback(program.terminate)
        yield found


@contextmanager
def provider(queue: Queue, script: str) -> Iterator[FakeProvider]:
    with fake_provider(queue.folder / "acme.yaml", script=script) as found:
        yield found


@pytest.mark.parametrize("name", ["call", "call_in_thread"])
def test_a_throttled_task_runs_again_when_the_answer_said(queue: Queue, name: str) -> None:
    """Not earlier, by its own id, with the tags of its caller; and the worker does other tasks meanwhile."""
    with provider(queue, "429 retry-after 2, 200") as acme, resilience.tags(tenant="acme"):
        seen = []
        (status, tags), other, task_id = queue.run(
            name, f"{acme.url}/a", more=(lambda: seen.append(len(acme.requests)) or acme.requests, 1, 2)
        )
        first, second = acme.requests

    assert (200, 3) == (status, other)
    assert {"tenant": "acme", "task": f"tests.taskiq_tasks:{name}", "task_id": task_id} == tags
    assert 2.0 <= second.at - first.at < 30.0


def test_a_task_is_put_off_only_so_often(queue: Queue) -> None:
    """Then its result is the error of its call; one that is switched off has it at once."""
    with provider(queue, "429 retry-after 1.1 ...") as acme:
        error, _ = queue.run("call", f"{acme.url}/a")
        often = len(acme.requests)
        other, _ = queue.run("call_off", f"{acme.url}/a")

        assert (3, 4) == (often, len(acme.requests))
    assert "429" in str(error)
    assert "429" in str(other)


def test_options_that_cannot_be_honoured_are_refused() -> None:
    """With what they take."""
    with pytest.raises(
        ConfigurationError, match="most in resilience of the middleware is -1; it takes a number from 0"
    ):
        ResilienceMiddleware(most=-1)
    source: Any = "redis://"
    with pytest.raises(ConfigurationError, match="schedule_source is a ScheduleSource of taskiq, not 'redis://'"):
        ResilienceMiddleware(source)
