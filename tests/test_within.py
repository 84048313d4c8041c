"""What a block gives to its calls ends with the block, however it is left."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

import pytest

import resilience
from resilience._caller import UNTIL, attempts_left
from resilience._tags import tags_of


def whole_seconds_left() -> int | None:
    left = resilience.seconds_left()
    return None if left is None else math.ceil(left)


Given = tuple[Callable[[Any], AbstractContextManager[None]], Callable[[], object], object]
GIVEN: dict[str, Given] = {
    "deadline": (resilience.deadline, whole_seconds_left, None),
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
        with give(2):
            alone = look()
        first, second = rows(1), rows(2)
        next(first)
        next(second)

        first.close()
        held = look()
        second.close()

        assert alone == held
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
        async for _ in rows():
            break
        with resilience.deadline(5.0):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert UNTIL.get() is None

    asyncio.run(main())


def test_a_task_keeps_what_it_was_begun_with(given: Given) -> None:
    """Also after the block, and where a generator is still open that was begun in it."""
    give, look, nothing = given
    found: list[object] = []

    def rows() -> Generator[None]:
        with resilience.tags(page="1"), resilience.deadline(60.0), resilience.attempts(9):
            yield

    def work() -> None:
        with give(2):
            alone, first = look(), contextvars.copy_context()
            page = rows()
            next(page)
            second = contextvars.copy_context()
        after = look()
        page.close()

        found.extend((first.run(look), look()))
        assert after not in (alone, nothing)
        both = {"tenant": "2", "page": "1"} if isinstance(alone, dict) else alone
        assert both == second.run(look)
        assert [alone, nothing] == found

    in_a_context(work)


def test_what_was_ended_elsewhere_is_nothing_to_blocks_that_began_within_it(given: Given) -> None:
    """A generator that was broken off ends while the next block lasts: its calls are their own, and so are their tasks'."""
    give, look, nothing = given

    async def rows() -> AsyncGenerator[int]:
        with resilience.tags(page="1"), resilience.deadline(1.0), resilience.attempts(1):
            yield 1
            yield 2

    async def main() -> None:
        with give(2):
            alone = look()
        async for _ in rows():
            break
        with give(2):
            await asyncio.sleep(0)
            await asyncio.sleep(0)

            found = look()
            task = asyncio.create_task(asyncio.to_thread(look))
        assert alone == found
        assert alone == await task
        assert nothing == look()

    asyncio.run(main())
