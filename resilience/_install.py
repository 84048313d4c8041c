"""The doors for applications that exist already: one client in place, or every client of the process.

`install` replaces the one method by which a client hands a request to a transport. So it reaches clients that exist
already and those to come, keeps their proxies and mounts, and stands outside of whatever else wraps a transport
(OpenTelemetry's instrumentation sees every attempt). No client's own attributes change. Plain functions are used for
that: a wrapt proxy could be taken off by somebody else's `unwrap`.
"""

from __future__ import annotations

import importlib.abc
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import ModuleSpec
from os import PathLike
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from ._config import policies_for
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._policy import Policy
    from ._registry import Policies

__all__ = ["install", "uninstall", "wrap"]

ClientT = TypeVar("ClientT")
_LIBRARIES = ("httpx", "httpx2")
_MARK = "_resilience_original"
_KEPT = "_resilience_transports"
_lock = threading.Lock()


def wrap(
    client: ClientT,
    policies: Iterable[str | PathLike[str] | Policy] | None = None,
    config: str | PathLike[str] | Mapping[str, Any] | None = None,
) -> ClientT:
    """Make one client obey the policies, in place, its proxies and mounts kept; wrapped twice is wrapped once.

    Arguments:
        client: a Client or AsyncClient of httpx or httpx2.
        policies: names, paths or policies that are active; by default the configuration's, else all shipped ones.
        config: a configuration file or its content; by default RESILIENCE_CONFIG or ./resilience.yaml.

    Raises:
        ConfigurationError: a policy or the configuration cannot be honoured.
        TypeError: this is no client of httpx or httpx2.
    """
    adapter = _adapter_of(client)
    found = policies_for(policies, config)
    target: Any = client

    def wrapped(transport: Any) -> Any:
        if transport is None or isinstance(transport, adapter.Transport):
            return transport
        return adapter.Transport(transport, policies=found)

    target._transport = wrapped(target._transport)
    # A mount of None sends by the client's own transport (NO_PROXY), which is wrapped already.
    for pattern, transport in target._mounts.items():
        target._mounts[pattern] = wrapped(transport)
    return client


def install(config: str | PathLike[str] | Mapping[str, Any] | None = None) -> None:
    """Make every client of httpx and httpx2 in this process obey the policies: existing ones and those to come.

    Called again, it replaces the configuration. A library that is not imported yet is prepared when it is.

    Arguments:
        config: a configuration file or its content; by default RESILIENCE_CONFIG or ./resilience.yaml.

    Raises:
        ConfigurationError: a policy or the configuration cannot be honoured; then nothing has changed.
    """
    policies = policies_for(None, config)
    with _lock:
        ResilienceFinder.policies = policies
        if not any(isinstance(finder, ResilienceFinder) for finder in sys.meta_path):
            sys.meta_path.insert(0, ResilienceFinder())
        for name in _LIBRARIES:
            module = sys.modules.get(name)
            if module is not None and hasattr(module, "AsyncClient"):
                _patch(module)


def uninstall() -> None:
    """Undo `install`: clients of this process are as they were. Clients given to `wrap` stay wrapped."""
    with _lock:
        # The finder of `resilience run` would install again when the program first imports a library.
        ours = {"ResilienceFinder", "ResilienceLauncher"}
        sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ not in ours]
        ResilienceFinder.policies = None
        for name in _LIBRARIES:
            module = sys.modules.get(name)
            if module is not None and hasattr(module, "AsyncClient"):
                for client in (module.Client, module.AsyncClient):
                    _restore(client)


class ResilienceFinder(importlib.abc.MetaPathFinder):
    """Prepares httpx and httpx2 right after they were imported, and imports neither by itself."""

    policies: Policies | None = None

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in _LIBRARIES:
            return None
        for finder in sys.meta_path:
            if (
                not isinstance(finder, ResilienceFinder)
                and (spec := finder.find_spec(fullname, path, target)) is not None
            ):
                if spec.loader is not None:
                    _after(spec.loader)
                return spec
        return None


def _after(loader: Any) -> None:
    execute: Callable[[ModuleType], None] = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        # An alias of httpx2 comes this way too, after httpx2 itself; what is patched already stays as it is.
        with _lock:
            if ResilienceFinder.policies is not None and hasattr(module, "AsyncClient"):
                _patch(module)

    loader.exec_module = exec_module


def _patch(module: ModuleType) -> None:
    for client in (module.Client, module.AsyncClient):
        for name in ("_send_single_request", "close", "__exit__", "aclose", "__aexit__"):
            original = client.__dict__.get(name)
            if original is None:
                if name == "_send_single_request":
                    version = getattr(module, "__version__", "of unknown version")
                    raise ConfigurationError(
                        f"{module.__name__} {version} has no {client.__name__}._send_single_request, so install() cannot "
                        "reach its clients; use resilience.wrap(client), and tell us about this version"
                    )
            elif not hasattr(original, _MARK):
                replace = _sending if name == "_send_single_request" else _ending
                setattr(client, name, _like(original, replace(original)))


def _restore(client: Any) -> None:
    for name, current in tuple(client.__dict__.items()):
        if hasattr(current, _MARK):
            setattr(client, name, getattr(current, _MARK))


def _like(original: Any, replacement: Any) -> Any:
    replacement.__name__, replacement.__qualname__ = original.__name__, original.__qualname__
    replacement.__doc__, replacement.__module__ = original.__doc__, original.__module__
    setattr(replacement, _MARK, original)
    return replacement


class _View:
    """A client as its own `_send_single_request` sees it: the same in all, but that its transports obey the policies."""

    def __init__(self, client: Any, policies: Policies) -> None:
        self.__dict__.update(_client=client, _policies=policies)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._client, name, value)

    def _transport_for_url(self, url: Any) -> Any:
        transport = self._client._transport_for_url(url)
        if hasattr(transport, "chain"):
            return transport
        kept: dict[int, Any] = self._client.__dict__.setdefault(_KEPT, {})
        found = kept.get(id(transport))
        # The entry holds the transport, so its id is not given to another while the entry lives.
        if found is None or found.policies is not self._policies:
            found = kept[id(transport)] = _adapter_of(self._client).Transport(transport, policies=self._policies)
        return found


def _sending(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    # Sync and async alike: the async one hands its awaitable on.
    def sending(self: Any, request: Any) -> Any:
        policies = ResilienceFinder.policies
        if policies is None or not policies.speak_of(request.url):
            return original(self, request)
        return original(_View(self, policies), request)

    return sending


def _ending(original: Callable[..., Any]) -> Callable[..., Any]:
    # close, __exit__, aclose and __aexit__ alike: end the waits, then do what the library does (or return its awaitable).
    def ending(self: Any, *arguments: Any, **named: Any) -> Any:
        for transport in self.__dict__.get(_KEPT, {}).values():
            transport.chain.closing.set()
        return original(self, *arguments, **named)

    return ending


def _adapter_of(client: object) -> Any:
    """The adapter of the library that a client belongs to, by its classes: `httpx` may be another name of httpx2."""
    for kind in type(client).__mro__:
        root = kind.__module__.partition(".")[0]
        if root in _LIBRARIES and kind.__name__ in {"Client", "AsyncClient"}:
            return importlib.import_module(f".{root}", __package__)
    raise TypeError(f"{type(client).__module__}.{type(client).__name__} is no client of httpx or httpx2")
