"""What may be called where nobody awaits: a listener's methods, callbacks."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from inspect import isasyncgen, isasyncgenfunction, iscoroutine, iscoroutinefunction
from typing import Any

__all__ = ["is_asynchronous", "never_ran"]


def is_asynchronous(function: object) -> bool:
    """Whether calling it runs nothing: a coroutine function, an asynchronous generator, or what has such a `__call__`."""
    while isinstance(function, partial):
        function = function.func
    return any(iscoroutinefunction(each) or isasyncgenfunction(each) for each in (function, type(function).__call__))


def never_ran(result: Any) -> bool:
    """Whether a call has given back what somebody would have to await, as a lambda around a coroutine function does.

    Arguments:
        result: what the call has given back; a coroutine is closed, so that Python does not complain of it elsewhere.
    """
    if iscoroutine(result):
        with suppress(Exception):
            result.close()
        return True
    return isasyncgen(result)
