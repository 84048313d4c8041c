"""The doors for applications that exist already: one client in place, or every client of the process.

`install` replaces the one method by which a client hands a request to a transport. So it reaches clients that exist
already and those to come, keeps their proxies and mounts, and stands outside of whatever else wraps a transport
(OpenTelemetry's instrumentation sees every attempt). No client's own attributes change. Plain functions are used for
that: a wrapt proxy could be taken off by somebody else's `unwrap`. Both doors replace the method that parses URLs, too.
"""

from __future__ import annotations

import importlib
import importlib.abc
import sys
import threading
from collections.abc import Iterable, Mapping
from functools import wraps
from importlib.machinery import ModuleSpec
from inspect import iscoroutinefunction
from os import PathLike
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from ._clock import RealClock
from ._config import find_config, policies_for
from ._cookies import quick
from ._fork import after_fork
from ._kept import View, adapter_of, kept_of
from ._library import LIBRARIES
from ._listener_checks import listeners_of
from ._replaced import owner_of, put_back, replace
from ._urls import merge_parsed, spare_parses
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._policy import Policy
    from ._registry import Policies
    from ._reload import Watch
    from .events import Listener

__all__ = ["install", "uninstall", "wrap"]

ClientT = TypeVar("ClientT")
_METHODS = ("_send_single_request", "close", "__exit__", "aclose", "__aexit__")
_lock = threading.RLock()


@after_fork
def _renew() -> None:
    global _lock  # noqa: PLW0603  a lock cannot be renewed in place
    _lock = threading.RLock()


def wrap(
    client: ClientT,
    policies: Iterable[str | PathLike[str] | Policy] | None = None,
    config: str | PathLike[str] | Mapping[str, Any] | None = None,
    *,
    listeners: Iterable[Listener] = (),
) -> ClientT:
    """Make one client obey the policies, in place, its proxies and mounts kept; wrapped twice is wrapped once.

    Arguments:
        client: a Client or AsyncClient of httpx or httpx2.
        policies: names, paths or policies that are active; by default the configuration's, else all shipped ones.
        config: a configuration file or its content; by default RESILIENCE_CONFIG or ./resilience.yaml.
        listeners: hear of this client's calls alone; `resilience.listen` is for all clients.

    Raises:
        ConfigurationError: a policy or the configuration cannot be honoured.
        TypeError: this is no client of httpx or httpx2, or one of the listeners is none.
    """
    adapter = adapter_of(client)
    heard_by = listeners_of(listeners)
    found = policies_for(policies, config)
    target: Any = client

    def wrapped(transport: Any) -> Any:
        if transport is None:
            return None
        # Wrapped again, it is still wrapped once, with the policies and listeners that were given last.
        inner = transport.inner if isinstance(transport, adapter.Transport) else transport
        return adapter.Transport(inner, policies=found, listeners=heard_by)

    merge_parsed(type(client), adapter.LIBRARY.name)
    spare_parses(target)
    target._cookies = quick(adapter.LIBRARY, target._cookies)
    target._transport = wrapped(target._transport)
    # A mount of None sends by the client's own transport (NO_PROXY), which is wrapped already.
    for pattern, transport in target._mounts.items():
        target._mounts[pattern] = wrapped(transport)
    return client


def install(config: str | PathLike[str] | Mapping[str, Any] | None = None) -> None:
    """Make every client of httpx and httpx2 in this process obey the policies: existing ones and those to come.

    Called again, it replaces the configuration. A library that is not imported yet is prepared when it is. What comes from
    a file is read again when that changes, as often as its `reload` says.

    Arguments:
        config: a configuration file or its content; by default RESILIENCE_CONFIG or ./resilience.yaml.

    Raises:
        ConfigurationError: a policy or the configuration cannot be honoured; then nothing has changed.
    """
    watch: Watch | None = None
    found = find_config() if config is None else config
    if isinstance(found, str | PathLike):
        from ._reload import watched

        policies, watch = watched(found, _swap)
    else:
        policies = policies_for(None, found)
    with _lock:
        ResilienceFinder.policies, ResilienceFinder.watch = policies, watch
        if not any(isinstance(finder, ResilienceFinder) for finder in sys.meta_path):
            sys.meta_path.insert(0, ResilienceFinder())
    for name in LIBRARIES:
        if name in sys.modules:
            # Another thread may be in the middle of importing it: this waits for that one.
            _patch(importlib.import_module(name))


def _swap(watch: Watch, policies: Policies) -> None:
    """Obey other policies from the next call on, unless somebody has installed or uninstalled meanwhile."""
    with _lock:
        if ResilienceFinder.watch is watch:
            ResilienceFinder.policies = policies


def uninstall() -> None:
    """Undo `install`: clients of this process are as they were. Clients given to `wrap` stay wrapped, and parse each URL."""
    with _lock:
        # The finder of `resilience run` would install again when the program first imports a library.
        ours = {"ResilienceFinder", "ResilienceLauncher"}
        sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ not in ours]
        ResilienceFinder.policies = ResilienceFinder.watch = None
        # What somebody else has put over it stays, and ours below it lets everything through.
        put_back()


class ResilienceFinder(importlib.abc.MetaPathFinder):
    """Prepares httpx and httpx2 right after they were imported, and imports neither by itself."""

    policies: Policies | None = None
    watch: Watch | None = None

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """What the other finders find, with a loader that prepares the module."""
        if fullname not in LIBRARIES:
            return None
        for finder in tuple(sys.meta_path):
            find = None if isinstance(finder, ResilienceFinder) else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(fullname, path, target) if find is not None else None
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    prepared: Any = _Preparing(spec.loader)
                    spec.loader = prepared
                return spec
        return None


class _Preparing:
    """Prepares one library when its own loader has loaded it: that may load other modules too, as one of an archive does."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def exec_module(self, module: ModuleType) -> None:
        # The module has the loader that it has without us.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        # An alias of httpx2 comes this way too, after httpx2 itself; what is patched already stays as it is.
        if ResilienceFinder.policies is not None:
            _patch(module)

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":
            raise AttributeError(name)
        return getattr(self._loader, name)


def _patch(module: ModuleType) -> None:
    if not hasattr(module, "AsyncClient"):
        # Imported by halves: this is its own import, and `exec_module` comes when it is whole.
        return
    with _lock:
        for kind in ("Client", "AsyncClient"):
            client = owner_of(getattr(module, kind), _METHODS[0])
            if client is None:
                version = getattr(module, "__version__", "of unknown version")
                raise ConfigurationError(
                    f"{module.__name__} {version} has no {kind}._send_single_request, so install() cannot "
                    "reach its clients; use resilience.wrap(client), and tell us about this version"
                )
            for name in _METHODS:
                replace(client, name, _sending if name == _METHODS[0] else _ending)
            merge_parsed(client, module.__name__)


def _sending(original: Any) -> Any:
    """A method like the original, which sends as the policies say that are obeyed just now."""

    @wraps(original)
    def method(self: Any, request: Any, *arguments: Any, **named: Any) -> Any:
        watch = ResilienceFinder.watch
        if watch is not None and RealClock.now() >= watch.due:
            watch.look()
        policies = ResilienceFinder.policies
        if policies is None or policies.source_of(request.url) is None:
            return original.__get__(self, type(self))(request, *arguments, **named)
        return original.__get__(View(self, policies), type(self))(request, *arguments, **named)

    @wraps(original)
    async def async_method(self: Any, request: Any, *arguments: Any, **named: Any) -> Any:
        watch = ResilienceFinder.watch
        if watch is not None and RealClock.now() >= watch.due:
            await watch.look_async()
        policies = ResilienceFinder.policies
        source = None if policies is None else policies.source_of(request.url)
        if policies is None or source is None:
            return await original.__get__(self, type(self))(request, *arguments, **named)
        if not source.is_loaded:
            await source.load_aside()
        return await original.__get__(View(self, policies), type(self))(request, *arguments, **named)

    return async_method if iscoroutinefunction(original) else method


def _ending(original: Any) -> Any:
    """A method like the original, which ends the waits of the client's calls first."""

    @wraps(original)
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        _end_waits(self)
        return original.__get__(self, type(self))(*arguments, **named)

    @wraps(original)
    async def async_method(self: Any, *arguments: Any, **named: Any) -> Any:
        _end_waits(self)
        return await original.__get__(self, type(self))(*arguments, **named)

    return async_method if iscoroutinefunction(original) else method


def _end_waits(client: Any) -> None:
    for transport in kept_of(client):
        transport.chain.close()
