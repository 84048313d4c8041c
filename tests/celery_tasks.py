"""The tasks of an application whose code knows nothing of being put off: a module for real workers of Celery."""

from __future__ import annotations

import os
from typing import Any

import httpx
from celery import Celery  # type: ignore[import-untyped]  # it has no types of its own

import resilience
import resilience.celery
from resilience._tags import tags_of

app: Any = Celery("shop")
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"polling_interval": 0.05},
    worker_prefetch_multiplier=1,
)
if broker := os.environ.get("TEST_BROKER"):
    # In a worker.
    app.conf.update(broker_url=broker, result_backend=broker)
    resilience.install(os.environ["TEST_CONFIG"])
resilience.celery.install(app, spread=0.05)


def ask(url: str) -> int:
    with httpx.Client(trust_env=False, timeout=20) as client:
        return client.get(url).raise_for_status().status_code


@app.task(bind=True)
def call(task: Any, url: str) -> list[Any]:
    return [ask(url), task.request.retries, task.request.id]


@app.task(bind=True, acks_late=True, autoretry_for=(httpx.HTTPError,), max_retries=1, default_retry_delay=0)
def call_late(task: Any, url: str) -> list[Any]:
    return [ask(url), task.request.retries, task.request.id]


@app.task(resilience={"most": 1})
def call_once_more(url: str) -> int:
    return ask(url)


@app.task(resilience={"off": True})
def call_off(url: str) -> int:
    return ask(url)


@app.task(resilience={"worker_seconds": 2.0})
def call_briefly(url: str) -> int:
    return ask(url)


@app.task
def call_slowly(url: str) -> int:
    """Something else is done between the answer and the error."""
    import time

    with httpx.Client(trust_env=False, timeout=20) as client:
        answer = client.get(url)
    time.sleep(1.5)
    return answer.raise_for_status().status_code


@app.task(soft_time_limit=20, time_limit=300)
def seconds_here() -> float | None:
    return resilience.seconds_left()


@app.task(base=resilience.celery.ResilientTask)
def tags_here(*_: Any) -> dict[str, str]:
    return dict(tags_of(None))


@app.task
def add(numbers: list[Any]) -> int:
    return sum(number[0] if isinstance(number, list) else number for number in numbers)
