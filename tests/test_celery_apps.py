"""What Celery's apps send: each app by its own options, those that nobody prepared as if we were not there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import httpx
import pytest

import resilience.celery
import resilience.httpx
from resilience._ticket import TICKET
from resilience.errors import ConfigurationError
from tests.worlds import HOST, policy

# They have no types of their own.
Celery: Any = import_module("celery").Celery
signals: Any = import_module("celery.signals")
start_worker: Any = import_module("celery.contrib.testing.worker").start_worker
OperationalError: Any = import_module("kombu.exceptions").OperationalError
SECONDS = 20.0


def nothing() -> None: ...


def made(name: str) -> Any:
    return Celery(name, broker="memory://", backend="cache+memory://")


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """A worker in this process leaves its log as it is: other tests read it."""

    def leave(**_: Any) -> None: ...

    signals.setup_logging.connect(leave, weak=False)
    yield
    signals.setup_logging.disconnect(leave)


@pytest.fixture
def tickets() -> Iterator[list[Any]]:
    """What the messages carry, in order."""
    found: list[Any] = []
    # What listens first sees first.
    resilience.celery.install(made("any"))

    def see(headers: dict[str, Any], **_: Any) -> None:
        found.append(headers.get(TICKET))

    signals.before_task_publish.connect(see, weak=False)
    yield found
    signals.before_task_publish.disconnect(see)


def client(*answers: tuple[int, str]) -> httpx.Client:
    sent: list[Any] = []

    def answer(_: httpx.Request) -> httpx.Response:
        sent.append(1)
        status, wait = answers[min(len(sent), len(answers)) - 1]
        return httpx.Response(status, headers={"Retry-After": wait} if wait else {})

    policies = [policy(retry={"longest_wait": "0.1s", "max_attempts": 2})]
    transport = resilience.httpx.Transport(httpx.MockTransport(answer), policies=policies)
    return httpx.Client(transport=transport, base_url=f"https://{HOST}")


def test_each_app_carries_what_it_was_told_to(tickets: list[Any]) -> None:
    """One that is prepared later changes nothing for the first, by whichever way a message is sent."""
    first, second = made("first"), made("second")
    resilience.celery.install(first, carry_deadlines=True)
    resilience.celery.install(second)

    with resilience.deadline(50), resilience.tags(tenant="acme"):
        first.task(name="one")(nothing).delay()
        second.task(name="one")(nothing).delay()
        first.send_task("elsewhere")
        second.send_task("elsewhere")

    assert [["tags", "until"], ["tags"]] * 2 == [list(ticket) for ticket in tickets]


def test_apps_that_nobody_prepared_send_what_they_did(tickets: list[Any]) -> None:
    """But for tasks with our base."""
    app, other = made("app"), made("other")
    resilience.celery.install(app)

    with resilience.tags(tenant="acme"):
        other.task(name="plain")(nothing).delay()
        other.send_task("elsewhere")
        other.task(name="ours", base=resilience.celery.ResilientTask)(nothing).delay()

    assert [None, None, {"tags": {"tenant": "acme"}}] == tickets


def done(app: Any, send: Callable[[], Any]) -> Any:
    with start_worker(app, perform_ping_check=False, loglevel="CRITICAL"):
        return send().get(timeout=SECONDS)


def test_where_the_broker_is_away_the_error_is_that_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not that of the broker."""
    app, calls = made("away"), client((429, "3"))
    resilience.celery.install(app)

    def gone(*_: Any, **__: Any) -> Any:
        raise OperationalError("the broker is away")

    @app.task
    def call() -> None:
        monkeypatch.setitem(app.amqp.__dict__, "send_task_message", gone)
        calls.get("/things").raise_for_status()

    with pytest.raises(httpx.HTTPError, match="429"):
        done(app, call.delay)


def test_a_retry_of_the_tasks_own_begins_to_count_anew() -> None:
    """A task that calls itself again for ever is put off for as long each time."""
    app, calls = made("own"), client((429, "1.5"), (200, ""), (429, "1.5"), (200, ""))
    resilience.celery.install(app, within=2.5, most=1)
    runs: list[float] = []

    @app.task(bind=True, max_retries=None)
    def poll(task: Any) -> str:
        runs.append(time.monotonic())
        calls.get("/things").raise_for_status()
        if len(runs) < 4:
            raise task.retry(countdown=0)
        return "done"

    assert "done" == done(app, poll.delay)
    assert 4 == len(runs)


@pytest.mark.parametrize("given", [None, "shop", Celery, nothing])
def test_what_is_no_app_is_refused(given: Any) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigurationError, match="install takes the Celery app, as in install\\(app\\), not "):
        resilience.celery.install(given)


def test_a_task_with_a_wrong_option_is_told_of_before_it_runs(caplog: pytest.LogCaptureFixture) -> None:
    """When the app is final, as in a worker that begins; each of its runs fails."""
    app = made("slip")
    resilience.celery.install(app)
    app.task(nothing, name="shop.slip", resilience={"of": True})

    app.finalize()

    told = (
        "unknown option 'of' in resilience of the task shop.slip; there are: off, worker_seconds, within, most, spread"
    )
    assert f"{told}; each run of this task will fail" in caplog.messages
