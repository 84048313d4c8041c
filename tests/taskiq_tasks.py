"""The tasks of an application over taskiq: a module for its real workers and its real scheduler."""

from __future__ import annotations

import os
from typing import Any

import httpx
from taskiq import TaskiqScheduler
from taskiq_redis import ListQueueBroker, ListRedisScheduleSource, RedisAsyncResultBackend

import resilience
from resilience._tags import tags_of
from resilience.taskiq import ResilienceMiddleware

URL = os.environ["TEST_BROKER"]
resilience.install(os.environ["TEST_CONFIG"])
source = ListRedisScheduleSource(URL)
results: RedisAsyncResultBackend[Any] = RedisAsyncResultBackend(URL)
broker = (
    ListQueueBroker(URL)
    .with_result_backend(results)
    .with_middlewares(ResilienceMiddleware(source, most=2, spread=0.05))
)
scheduler = TaskiqScheduler(broker, [source])


@broker.task
async def call(url: str) -> list[Any]:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return [(await client.get(url)).raise_for_status().status_code, dict(tags_of(None))]


@broker.task
def call_in_thread(url: str) -> list[Any]:
    with httpx.Client(trust_env=False, timeout=20) as client:
        return [client.get(url).raise_for_status().status_code, dict(tags_of(None))]


@broker.task(resilience_off=True)
async def call_off(url: str) -> int:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return (await client.get(url)).raise_for_status().status_code


@broker.task
async def add(one: int, other: int) -> int:
    return one + other
