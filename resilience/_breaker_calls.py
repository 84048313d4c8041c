"""Calls of functions through a breaker: plain ones, coroutine functions, generators, and what of them counts."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from inspect import isasyncgen, isawaitable, iscoroutinefunction, isgenerator
from typing import TYPE_CHECKING, Any

from ._breaker_guard import Pass
from ._breaker_machine import CLOSED, FAILURE, OPEN, REFUSED, SUCCESS

if TYPE_CHECKING:
    from ._breaker_guard import Guard
    from ._breaker_mirror import Mirror
    from ._transactions import Reply

__all__ = ["Calls"]

_logger = logging.getLogger("resilience")


class Calls:
    """What `call` and `call_async` do; `resilience.breaker` adds the rest of aiobreaker's breaker."""

    _guard: Guard
    _mirror: Mirror
    _fail_max: int
    _excluded_exceptions: list[Any]
    _listeners: list[Any]
    _name: str | None

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function if the breaker lets it through.

        A coroutine function gives a coroutine that is guarded when it is awaited; a generator counts when it ends.

        Raises:
            CircuitBreakerError: the breaker is open. Whatever the function raises is raised as it is.
        """
        if getattr(func, "_ignore_on_call", False):
            return func(*args, **kwargs)
        if _is_coroutine_function(func):
            return self.call_async(func, *args, **kwargs)
        self._obey()
        held = self._entered(self._guard.decide(self._guard.admit()), func, args, kwargs)
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            self._failed(held, error)
            raise
        if isgenerator(result):
            return self._generator(held, result)
        if isasyncgen(result):
            return self._async_generator(held, result)
        if isawaitable(result):
            return self._awaited(held, result)
        self._succeeded(held)
        return result

    async def call_async(self, func: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Call a coroutine function if the breaker lets it through, on asyncio or trio.

        Raises:
            CircuitBreakerError: the breaker is open. Whatever the function raises is raised as it is.
        """
        if getattr(func, "_ignore_on_call", False):
            return await func(*args, **kwargs)
        self._obey()
        held = self._entered(await self._guard.decide_async(self._guard.admit()), func, args, kwargs)
        try:
            awaitable = func(*args, **kwargs)
        except BaseException as error:
            self._failed(held, error)
            raise
        return await self._awaited(held, awaitable)

    async def _awaited(self, held: Pass, awaitable: Awaitable[Any]) -> Any:
        try:
            result = await awaitable
        except BaseException as error:
            await self._failed_async(held, error)
            raise
        await self._succeeded_async(held)
        return result

    def _generator(self, held: Pass, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        try:
            result = yield from generator
        except BaseException as error:
            self._failed(held, error)
            raise
        self._succeeded(held)
        return result

    async def _async_generator(self, held: Pass, generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
        step: Callable[[], Awaitable[Any]] = partial(generator.asend, None)
        try:
            while True:
                item = await step()
                try:
                    sent = yield item
                except BaseException as error:
                    if isinstance(error, GeneratorExit):
                        await generator.aclose()
                        raise
                    # Thrown in by who reads: the generator's to handle.
                    step = partial(generator.athrow, error)
                else:
                    step = partial(generator.asend, sent)
        except StopAsyncIteration:
            await self._succeeded_async(held)
        except BaseException as error:
            await self._failed_async(held, error)
            raise

    def is_system_error(self, exception: BaseException) -> bool:
        """Whether an exception says something of the guarded system, and so counts as a failure."""
        for exclusion in self._excluded_exceptions:
            if isinstance(exclusion, type):
                if isinstance(exception, exclusion):
                    return False
            elif callable(exclusion) and self._asks(exclusion, exception):
                return False
        return True

    def _asks(self, predicate: Callable[[BaseException], Any], exception: BaseException) -> bool:
        try:
            return bool(predicate(exception))
        except Exception as error:  # noqa: BLE001  what the guarded function raised is what its caller must see
            failure = error
        _logger.error("a predicate that excludes exceptions from a circuit breaker failed", exc_info=failure)
        return False

    def _entered(self, reply: Reply, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Pass:
        self._tell_change(reply[4], reply[5])
        if reply[0] == REFUSED:
            raise self._refusal(reply)
        self._tell("before_call", func, *args, **kwargs)
        return Pass(int(reply[2]), int(reply[3]))

    def _succeeded(self, held: Pass) -> None:
        self._after_success(self._guard.decide(self._guard.record(held, SUCCESS)))

    def _failed(self, held: Pass, error: BaseException) -> None:
        if self._is_failure(held, error):
            self._after_failure(self._guard.decide(self._guard.record(held, FAILURE)))

    async def _succeeded_async(self, held: Pass) -> None:
        self._after_success(await self._guard.decide_async(self._guard.record(held, SUCCESS)))

    async def _failed_async(self, held: Pass, error: BaseException) -> None:
        if self._is_failure(held, error):
            self._after_failure(await self._guard.decide_async(self._guard.record(held, FAILURE)))

    def _is_failure(self, held: Pass, error: BaseException) -> bool:
        """Whether it counts; what was cancelled, closed or excluded gives its probe back."""
        if isinstance(error, Exception) and self.is_system_error(error):
            self._tell("failure", error)
            return True
        self._guard.release(held)
        return False

    def _after_success(self, reply: Reply) -> None:
        if reply[0]:
            self._mirror.succeeded()
            self._tell_change(reply[3], reply[4])
        self._tell("success")

    def _after_failure(self, reply: Reply) -> None:
        if reply[0]:
            counted = self._mirror.failed()
            self._tell_change(reply[3], reply[4])
            if reply[4] == CLOSED and counted >= self._fail_max > 0:
                # With the failures of others who share the storage there are too many.
                self._force(OPEN, self._guard.settings.open_for)

    def _tell(self, event: str, *args: Any, **kwargs: Any) -> None:
        for listener in tuple(self._listeners):
            failure = None
            try:
                getattr(listener, event)(self, *args, **kwargs)
            except Exception as error:  # noqa: BLE001  a listener that fails harms neither the call nor the others
                failure = error
            if failure is not None:
                message = "%s of a listener of the circuit breaker %s failed"
                _logger.error(message, event, self._name or "", exc_info=failure)

    if TYPE_CHECKING:

        def _obey(self) -> None: ...
        def _force(self, state: int, seconds: float = 0.0) -> None: ...
        def _refusal(self, reply: Reply) -> Exception: ...
        def _tell_change(self, old: float, new: float) -> None: ...


def _is_coroutine_function(func: Any) -> bool:
    """Also of a `partial`, and of an object that is called like a function."""
    while isinstance(func, partial):
        func = func.func
    return iscoroutinefunction(func) or iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004  its kind, not whether it is there
