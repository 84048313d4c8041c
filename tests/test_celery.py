"""Tasks of Celery are put off until their provider will answer: real workers, a real broker, requests counted there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery import chain, chord, group  # type: ignore[import-untyped]  # it has no types of its own

import resilience
from resilience.testing import FakeProvider, fake_provider
from tests import celery_tasks
from tests.servers import run_redis
from tests.until import wait_until

ROOT = Path(__file__).parent.parent
CONFIG = {
    "version": 1,
    "shipped": [],
    "policies": ["acme.yaml", "metered.yaml"],
    "providers": {
        "acme": {"hosts": ["127.0.0.1"]},
        "metered": {
            "hosts": ["localhost"],
            "budgets": [{"name": "task", "limit": "2 requests", "per": "tag.task_id"}],
        },
    },
}
POLICY: dict[str, Any] = {
    "version": 1,
    "provider": "acme",
    "match": {"hosts": ["api.acme.test"]},
    "retry": {"spread": 0, "longest_wait": "1s", "max_attempts": 2, "backoff": {"initial": "100ms", "max": "500ms"}},
    "operations": {"patient": {"path": "/patient", "method": "GET", "retry": {"longest_wait": "60s"}}},
}
METERED = {
    "version": 1,
    "provider": "metered",
    "match": {"hosts": ["api.metered.test"]},
    "operations": {"slow": {"path": "/slow", "method": "GET"}},
    "limits": [{"name": "slow", "rate": "1/3 seconds", "per": "provider", "operations": ["slow"], "max_wait": "0.5s"}],
    "retry": POLICY["retry"],
}


class Workers:
    """Workers by their pools, each with a queue of that name, begun when they are first needed."""

    def __init__(self, folder: Path, broker: str, stack: ExitStack) -> None:
        self.folder = folder
        self._broker = broker
        self._stack = stack
        self._begun: set[str] = set()

    def need(self, pool: str) -> None:
        if pool in self._begun:
            return
        self._begun.add(pool)
        command = [sys.executable, "-m", "celery", "-A", "tests.celery_tasks", "worker", "-P", pool, "-Q", pool]
        command += ["-n", pool, "-c", "1", "--without-gossip", "--without-mingle", "-l", "INFO"]
        own = {"TEST_BROKER": self._broker, "TEST_CONFIG": str(self.folder / "resilience.yaml")}
        with self.log(pool).open("wb") as log:
            worker = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **own}, stdout=log, stderr=log
            )
        self._stack.callback(worker.wait)
        self._stack.callback(worker.terminate)
        wait_until(lambda: "ready." in self.log(pool).read_text() or worker.poll() is not None)
        assert worker.poll() is None, self.log(pool).read_text()

    def log(self, pool: str) -> Path:
        return self.folder / f"{pool}.log"

    def send(self, task: Any, *arguments: Any, pool: str = "solo", **options: Any) -> str:
        """Send a task; its id, since a result would go on talking to the broker."""
        self.need(pool)
        found: str = task.apply_async(arguments, queue=pool, **options).id
        return found

    def state(self, sent: str) -> str:
        found: str = celery_tasks.app.backend.get_task_meta(sent)["status"]
        return found

    def result(self, sent: str, pool: str = "solo") -> Any:
        wait_until(lambda: self.state(sent) in {"SUCCESS", "FAILURE"}, self.log(pool))
        found = celery_tasks.app.backend.get_task_meta(sent)["result"]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """A real Redis and real workers, with one configuration."""
    folder = tmp_path_factory.mktemp("celery")
    (folder / "acme.yaml").write_text(yaml.safe_dump(POLICY))
    (folder / "metered.yaml").write_text(yaml.safe_dump(METERED))
    (folder / "resilience.yaml").write_text(yaml.safe_dump({**CONFIG, "store": f"sqlite:///{folder}/state.db"}))
    with ExitStack() as stack:
        redis = stack.enter_context(run_redis())
        celery_tasks.app.conf.update(broker_url=f"{redis.url}/0", result_backend=f"{redis.url}/0")
        stack.callback(celery_tasks.app.close)
        yield Workers(folder, f"{redis.url}/0", stack)


@contextmanager
def provider(workers: Workers, script: str, name: str = "acme") -> Iterator[FakeProvider]:
    with fake_provider(workers.folder / f"{name}.yaml", script=script) as found:
        yield found


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
def test_a_throttled_task_runs_again_when_the_answer_said(workers: Workers, pool: str) -> None:
    """Not earlier, with none of its retries spent, by its own id; and the only worker does other tasks meanwhile."""
    with provider(workers, "429 retry-after 2, 200") as acme:
        sent = workers.send(celery_tasks.call, f"{acme.url}/a", pool=pool)
        wait_until(lambda: acme.requests)
        other = workers.result(workers.send(celery_tasks.add, [1, 2], pool=pool), pool)
        requests, state = len(acme.requests), workers.state(sent)
        found = workers.result(sent, pool)

        first, second = acme.requests
    assert (3, 1, "RETRY") == (other, requests, state)
    assert [200, 0, sent] == found
    assert 2.0 <= second.at - first.at < 30.0


def test_the_wait_counts_from_the_answer(workers: Workers) -> None:
    """What the task does between the answer and its error is no part of it."""
    with provider(workers, "429 retry-after 2, 200") as acme:
        assert 200 == workers.result(workers.send(celery_tasks.call_slowly, f"{acme.url}/a"))

        first, second = acme.requests
    assert 2.0 <= second.at - first.at < 3.3


def test_a_task_that_is_put_off_too_often_fails_with_the_error_of_its_call(workers: Workers) -> None:
    """What Celery calls FAILURE, after as many runs as are allowed, and its log says why; one that is switched off fails at once."""
    with provider(workers, "429 retry-after 1.2 ...") as acme:
        sent = workers.send(celery_tasks.call_once_more, f"{acme.url}/a")
        with pytest.raises(Exception, match="429"):
            workers.result(sent)
        runs = len(acme.requests)
        with pytest.raises(Exception, match="429"):
            workers.result(workers.send(celery_tasks.call_off, f"{acme.url}/a"))

        assert (2, 3) == (runs, len(acme.requests))
    assert "FAILURE" == workers.state(sent)
    told = workers.log("solo").read_text()
    assert "is not put off for 1.2s: it was put off 1 times by now" in told
    # Once it was, which is told for whoever wonders where it is.
    assert "] is put off for 1" in told


def test_what_nobody_asked_time_for_is_a_matter_of_the_tasks_own_retries(workers: Workers) -> None:
    """`autoretry_for` gets a 404, and not a 429 that says when; both keep the task's id, acknowledged late."""
    with provider(workers, "429 retry-after 1.2, 429 retry-after 1.2, 404, 200") as acme:
        sent = workers.send(celery_tasks.call_late, f"{acme.url}/a")

        assert [200, 1, sent] == workers.result(sent)
        times = [request.at for request in acme.requests]
    assert [429, 429, 404, 200] == [request.status for request in acme.requests]
    assert times[1] - times[0] >= 1.2
    assert times[2] - times[1] >= 1.2


def test_a_wait_that_is_too_long_for_a_worker_is_made_outside_of_it(workers: Workers) -> None:
    """What the policy would wait for in the worker ends at the task's own bound."""
    with provider(workers, "429 retry-after 2.5, 200") as acme:
        sent = workers.send(celery_tasks.call_briefly, f"{acme.url}/patient")
        wait_until(lambda: acme.requests)
        other = workers.result(workers.send(celery_tasks.add, [1, 2]))

        assert (3, 1) == (other, len(acme.requests))
        assert 200 == workers.result(sent)
        first, second = acme.requests
    assert second.at - first.at >= 2.5


def test_a_task_that_a_layer_of_ours_refuses_runs_when_the_layer_said(workers: Workers) -> None:
    """A limit that leaves no turn within its `max_wait` is waited for outside of the worker."""
    with provider(workers, "", "metered") as metered:
        url = f"{metered.url}/slow".replace("127.0.0.1", "localhost")
        first, second = (workers.send(celery_tasks.call, url) for _ in range(2))

        found = [workers.result(first), workers.result(second)]
        begun, ended = (request.at for request in metered.requests)
    assert [[200, 0, first], [200, 0, second]] == found
    assert 2.9 <= ended - begun < 30.0


def test_a_budget_of_a_task_holds_over_all_its_runs(workers: Workers) -> None:
    """The third run is refused for good: nobody can know when a budget without a time has something again."""
    with provider(workers, "429 retry-after 1.2 ...", "metered") as metered:
        sent = workers.send(celery_tasks.call, f"{metered.url}/a".replace("127.0.0.1", "localhost"))

        with pytest.raises(Exception, match="402 Payment Required"):
            workers.result(sent)
        assert 2 == len(metered.requests)


def test_chains_groups_and_chords_go_on_after_a_wait(workers: Workers) -> None:
    """The next of a chain comes once, with the result of the run that was good."""
    queue = {"queue": "solo"}
    workers.need("solo")
    with provider(workers, "429 retry-after 1.1 *2, 200") as acme:
        call = celery_tasks.call.s(f"{acme.url}/a").set(**queue)
        with resilience.tags(tenant="acme"):
            chained = chain(call, celery_tasks.tags_here.s().set(**queue))().id
            together = chord(group(call, celery_tasks.call.s(f"{acme.url}/b").set(**queue)))(
                celery_tasks.add.s().set(**queue)
            ).id

        tags = workers.result(chained)
        assert 400 == workers.result(together)
        assert 5 == len(acme.requests)
    assert "acme" == tags["tenant"]
    assert (chained, celery_tasks.tags_here.name) == (tags["task_id"], tags["task"])


def test_the_callers_tags_and_the_tasks_own_are_those_of_its_calls(workers: Workers) -> None:
    """Of the place where it is sent; its time is that of its own limits, a little less."""
    with resilience.tags(tenant="acme", task="mine"), resilience.deadline(1000.0):
        sent = workers.send(celery_tasks.tags_here)
        limited = workers.send(celery_tasks.seconds_here)
    plain = workers.send(celery_tasks.tags_here)

    assert {"tenant": "acme", "task": celery_tasks.tags_here.name, "task_id": sent} == workers.result(sent)
    assert {"task": celery_tasks.tags_here.name, "task_id": plain} == workers.result(plain)
    assert 10.0 < workers.result(limited) <= 19.0


def test_a_task_that_expires_meanwhile_fails_at_once(workers: Workers) -> None:
    """Its caller gets the error of the call, and not a task that was revoked."""
    with provider(workers, "429 retry-after 100 ...") as acme:
        sent = workers.send(celery_tasks.call, f"{acme.url}/a", expires=50)
        with pytest.raises(Exception, match="429"):
            workers.result(sent)

        assert 1 == len(acme.requests)
    assert "is not put off for 100s: it expires before that" in workers.log("solo").read_text()
