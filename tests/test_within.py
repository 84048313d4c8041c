"""What a block gives to its calls ends with the block, however it is left."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

import pytest

import resilience
from resilience._caller import UNTIL, attempts_left
from resilience._tags import tags_of

Given = tuple[Callable[[Any], AbstractContextManager[None]], Callable[[], object], object]
GIVEN: dict[str, Given] = {
    "deadline": (resilience.deadline, resilience.seconds_left, None),
    "attempts": (resilience.attempts, attempts_left, None),
    "tags": (lambda tenant: resilience.tags(tenant=tenant), lambda: dict(tags_of(None)), {}),
}


@pytest.fixture(name="given", params=list(GIVEN))
def each_given(request: pytest.FixtureRequest) -> Given:
    return GIVEN[request.param]


def in_a_context(work: Callable[[], None]) -> None:
    """Other tests share none of what is left behind."""
    contextvars.copy_context().run(work)


def test_generators_that_end_in_another_order_than_they_began_leave_nothing(given: Given) -> None:
    """A deadline that nobody is within would let no call go any more, and a tag would have others pay."""
    give, look, nothing = given

    def rows(most: int) -> Generator[None]:
        with give(most):
            yield

    def work() -> None:
        first, second = rows(1), rows(2)
        next(first)
        next(second)

        first.close()
        held = look()
        second.close()

        assert nothing != held
        assert nothing == look()

    in_a_context(work)


def test_an_async_generator_that_was_not_read_to_its_end_leaves_nothing(given: Given) -> None:
    """The loop ends it in a task of its own, which has a copy of the context."""
    give, look, nothing = given

    async def rows() -> AsyncGenerator[int]:
        with give(3):
            yield 1
            yield 2

    async def main() -> None:
        async for _ in rows():
            assert nothing != look()
            break
        # The loop hears of it in one step, and its task ends it in the next.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        assert nothing == look()
        with give(2):
            assert nothing != look()
        assert nothing == look()

    asyncio.run(main())


def test_a_context_does_not_grow_by_what_was_left_in_it() -> None:
    """Of a program that runs for long, each call looks at what is around it."""

    async def rows() -> AsyncGenerator[int]:
        with resilience.deadline(5.0):
            yield 1

    async def main() -> None:
        for _ in range(20):
            async for _ in rows():
                break
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        around, number = UNTIL.get(), 0
        while around is not None:
            around, number = around.around, number + 1
        assert 1 == number

    asyncio.run(main())


def test_a_task_keeps_what_it_was_begun_with(given: Given) -> None:
    """Also after the block, which was left as it should be."""
    give, look, nothing = given
    found: list[object] = []

    def work() -> None:
        with give(2):
            task = contextvars.copy_context()
        found.append(task.run(look))

    in_a_context(work)

    assert nothing not in found
