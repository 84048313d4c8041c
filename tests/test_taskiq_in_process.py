"""Tasks of taskiq in the process that sends them, as its InMemoryBroker runs them: within each other, and with no delay."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest
from taskiq import InMemoryBroker

import resilience
import resilience.httpx
from resilience._tags import tags_of
from resilience.taskiq import ResilienceMiddleware
from tests.worlds import HOST, policy

SECONDS = 8.0


def broker(*, inplace: bool, **options: Any) -> InMemoryBroker:
    found = InMemoryBroker(await_inplace=inplace)
    found.add_middlewares(ResilienceMiddleware(**options))
    return found


def client(*answers: tuple[int, str]) -> tuple[list[Any], httpx.AsyncClient]:
    """A client whose provider answers so, the last answer again and again."""
    sent: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        status, wait = answers[min(len(sent), len(answers)) - 1]
        return httpx.Response(status, headers={"Retry-After": wait})

    transport = resilience.httpx.Transport(
        httpx.MockTransport(answer), policies=[policy(retry={"longest_wait": "0.1s", "max_attempts": 2})]
    )
    return sent, httpx.AsyncClient(transport=transport, base_url=f"https://{HOST}")


def around() -> tuple[str | None, bool]:
    """Whose tags a call here would have, and whether it had a deadline."""
    return tags_of(None).get("task"), resilience.seconds_left() is not None


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_task_that_sends_another_leaves_nothing_with_its_caller(*, inplace: bool, fails: bool) -> None:
    """Neither with whoever has sent it, nor with the tasks after it; each has its own."""

    async def main() -> list[Any]:
        tasks = broker(inplace=inplace, worker_seconds=SECONDS)
        seen: list[Any] = []

        @tasks.task(task_name="inner")
        async def inner() -> None:
            seen.append(around())
            if fails:
                raise ValueError

        @tasks.task(task_name="outer")
        async def outer() -> None:
            await (await inner.kiq()).wait_result(timeout=SECONDS)
            seen.append(around())
            if fails:
                raise ValueError

        for _ in range(2):
            await (await outer.kiq()).wait_result(timeout=SECONDS)
            seen.append(around())
        return seen

    once = [("inner", True), ("outer", True), (None, False)]
    assert once * 2 == asyncio.run(main())


@pytest.mark.parametrize("inplace", [False, True])
def test_a_task_that_has_sent_another_is_put_off_by_its_own_call(*, inplace: bool) -> None:
    """With a new deadline for the run that follows."""

    async def main() -> tuple[Any, int, Any]:
        tasks = broker(inplace=inplace, worker_seconds=0.8)
        sent, calls = client((429, "1"), (200, "0"))

        @tasks.task(task_name="inner")
        async def inner() -> None: ...

        @tasks.task(task_name="outer")
        async def outer() -> int:
            await inner.kiq()
            return (await calls.get("/things")).raise_for_status().status_code

        kicked = await outer.kiq()
        result = await kicked.wait_result(timeout=SECONDS)
        return result.error or result.return_value, len(sent), around()

    assert (200, 2, (None, False)) == asyncio.run(main())


def test_a_task_is_put_off_by_a_call_of_its_task_group() -> None:
    """What it raises is a group of errors then."""

    async def main() -> tuple[Any, int]:
        tasks = broker(inplace=False)
        sent, calls = client((429, "1"), (200, "0"))

        async def get() -> int:
            return (await calls.get("/things")).raise_for_status().status_code

        @tasks.task
        async def both() -> list[int]:
            async with asyncio.TaskGroup() as group:
                found = [group.create_task(get()) for _ in range(2)]
            return [each.result() for each in found]

        result = await (await both.kiq()).wait_result(timeout=SECONDS)
        return result.error or result.return_value, len(sent)

    found, sent = asyncio.run(main())

    assert [200, 200] == found
    assert sent in {3, 4}


def test_a_worker_does_not_wait_for_long_where_nobody_else_does(caplog: pytest.LogCaptureFixture) -> None:
    """A broker that knows no delay brings a task back at once: its error stands, and the log says why, once."""

    async def main() -> list[Any]:
        tasks = broker(inplace=False)
        _, calls = client((429, "3600"))
        runs: list[Any] = []

        @tasks.task
        async def call() -> None:
            runs.append(1)
            (await calls.get("/things")).raise_for_status()

        found: list[Any] = []
        for _ in range(2):
            result = await (await call.kiq()).wait_result(timeout=SECONDS)
            found += [type(result.error), len(runs)]
        return found

    with caplog.at_level(logging.INFO, "resilience.tasks"):
        found = asyncio.run(main())

    assert [httpx.HTTPStatusError, 2, httpx.HTTPStatusError, 3] == found
    assert 1 == sum("is put off for" in each.message for each in caplog.records)
    assert 1 == sum("the broker does not obey the label delay" in each.message for each in caplog.records)
