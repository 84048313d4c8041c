"""What the two adapters share: a transport of either library around a chain of layers."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

from ._chain import Chain
from ._clock import RealClock
from ._config import policies_for
from ._doubled import warn_of_retries
from ._enriched import SENDERS, moved_inwards, stand_in
from ._fork import Lock
from ._listener_checks import listeners_of
from ._registry import Policies

if TYPE_CHECKING:
    from types import TracebackType

    from ._clock import Clock
    from ._library import Library
    from ._policy import Policy
    from .events import Listener

__all__ = ["TransportBase"]

_OWN = frozenset({"policies", "_inner", "chain"})


class TransportBase:
    """The methods of a transport; an adapter adds its library's base classes."""

    library: ClassVar[Library]
    module: ClassVar[Any]
    is_outer = False
    """Whether `install` has put it around a transport that hands on to another of ours."""

    def __init__(
        self,
        inner: Any = None,
        *,
        policies: Iterable[str | PathLike[str] | Policy] | Policies | None = None,
        config: str | PathLike[str] | Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        heard_by = listeners_of(listeners)
        self.policies = policies if isinstance(policies, Policies) else policies_for(policies, config)
        # Neither library asks for more: an application's own need not be of their classes.
        if inner is not None and not any(hasattr(inner, name) for name in SENDERS):
            raise TypeError(
                f"{type(inner).__module__}.{type(inner).__name__} is no transport of {self.library.name}; "
                "for a client, call resilience.wrap(client)"
            )
        self._inner = _Both(self.module) if inner is None else inner
        warn_of_retries(inner)
        self.chain = Chain(self.library, self._inner, self.policies, clock or RealClock(), heard_by)
        stand_in(self)

    @property
    def inner(self) -> Any:
        """The transport that sends."""
        return self._inner

    def handle_request(self, request: Any) -> Any:
        return self.chain.handle(request)

    def handle_async_request(self, request: Any) -> Any:
        # Not a coroutine of its own, which each call that waits would have to keep.
        return self.chain.handle_async(request)

    if sys.version_info >= (3, 12):
        # What is awaited all the same, for whoever asks before the call, as mocks of a class do.
        inspect.markcoroutinefunction(handle_async_request)

    def __enter__(self) -> Any:
        self._inner.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.chain.close()
        self._inner.__exit__(exc_type, exc_value, traceback)

    async def __aenter__(self) -> Any:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.chain.close()
        await self._inner.__aexit__(exc_type, exc_value, traceback)

    def close(self) -> None:
        self.chain.close()
        self._inner.close()

    async def aclose(self) -> None:
        self.chain.close()
        await self._inner.aclose()

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_theirs(name):
            setattr(self._inner, name, value)
            return
        # Somebody replaces a method of this one transport, as OpenTelemetry's `instrument_client` does.
        super().__setattr__(name, moved_inwards(self, name, value) if name in SENDERS else value)

    def __delattr__(self, name: str) -> None:
        if self._is_theirs(name):
            delattr(self._inner, name)
            return
        super().__delattr__(name)

    def _is_theirs(self, name: str) -> bool:
        """Whether an application that sets this means its own transport: a mock's handler, a pool."""
        kind = type(self)
        # What a subclass sets is the subclass's.
        return "library" in vars(kind) and name not in _OWN and not name.startswith("__") and not hasattr(kind, name)

    def __getattr__(self, name: str) -> Any:
        # An application that looked into its transport (a pool, a test's recorder) still finds what it looked for.
        if name.startswith("__") or name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)


class _Both:
    """The library's own transports, for whichever kind of client comes."""

    is_own = True

    def __init__(self, module: Any) -> None:
        self._module = module
        self._lock = Lock()
        self._sync: Any = None
        self._async: Any = None
        self.sends_by = (module.HTTPTransport, module.AsyncHTTPTransport)

    def handle_request(self, request: Any) -> Any:
        if self._sync is None:
            with self._lock:
                if self._sync is None:
                    self._sync = self._module.HTTPTransport()
        return self._sync.handle_request(request)

    async def handle_async_request(self, request: Any) -> Any:
        if self._async is None:
            with self._lock:
                if self._async is None:
                    self._async = self._module.AsyncHTTPTransport()
        return await self._async.handle_async_request(request)

    def __enter__(self) -> None:
        """Nothing to prepare: a transport is made when it is needed."""

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> None:
        """Nothing to prepare: a transport is made when it is needed."""

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def close(self) -> None:
        if self._sync is not None:
            self._sync.close()

    async def aclose(self) -> None:
        if self._async is not None:
            await self._async.aclose()
