"""What may be called where nobody awaits, however it is written."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from resilience._callbacks import is_asynchronous, never_ran


async def _coroutine(*_: object) -> None: ...


async def _generator(*_: object) -> AsyncIterator[None]:
    yield


def _plain(*_: object) -> None: ...


class _Asynchronous:
    async def __call__(self, *_: object) -> None: ...

    async def method(self, *_: object) -> None: ...


class _Plain:
    def __call__(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        _coroutine,
        _generator,
        partial(_coroutine, 1),
        partial(partial(_generator, 1), 2),
        _Asynchronous(),
        partial(_Asynchronous(), 1),
        _Asynchronous().method,
    ],
)
def test_what_would_have_to_be_awaited_is_known(function: Callable[..., Any]) -> None:
    """A function, a generator, an object that is called, a method, and a partial of each."""
    assert is_asynchronous(function)


@pytest.mark.parametrize("function", [_plain, partial(_plain, 1), _Plain(), _Asynchronous, print, str.lower, 5])
def test_what_runs_when_it_is_called_is_not(function: Callable[..., Any]) -> None:
    """A class with such a `__call__` is called itself."""
    assert not is_asynchronous(function)


def test_a_coroutine_is_closed() -> None:
    """Nobody will ever await it, and Python would say so wherever the collector finds it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert never_ran(_coroutine())
        assert never_ran(_generator())


def test_what_runs_by_itself_has_run() -> None:
    """A task, a future, and plain values."""

    async def go() -> None:
        task = asyncio.ensure_future(_coroutine())
        assert not never_ran(task)
        await task

    asyncio.run(go())
    assert not any(map(never_ran, (None, 1, "x", iter(()))))
