"""Which policy speaks of which host; a policy is loaded when its host is first called."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._policy import Policy

__all__ = ["Policies", "Source"]


_PORTS = {"http": 80, "https": 443}


class Source:
    """A policy that is loaded when it is first needed, once."""

    def __init__(self, name: str, hosts: Iterable[str], load: Callable[[], Policy]) -> None:
        self.name = name
        self.hosts = tuple(hosts)
        self._load = load
        self._policy: Policy | None = None
        self._lock = threading.Lock()

    def policy(self) -> Policy:
        if self._policy is None:
            with self._lock:
                if self._policy is None:
                    self._policy = self._load()
        return self._policy


class Policies:
    """The policies of a process or a client, by host.

    Arguments:
        sources: the policies; two for the same host are a mistake, since neither could be trusted to apply.

    Raises:
        ConfigurationError: two policies claim one host.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self.sources = tuple(sources)
        self._hosts: dict[str, Source] = {}
        for source in self.sources:
            for host in source.hosts:
                other = self._hosts.setdefault(host, source)
                if other is not source:
                    if other.name == source.name:
                        raise ConfigurationError(f"the policy {source.name!r} is named twice; take one out")
                    raise ConfigurationError(
                        f"the policies {other.name!r} and {source.name!r} both speak of {host}; "
                        "give one of them other hosts, or switch it off in resilience.yaml"
                    )
        self._patterns = any(host.startswith("*") for host in self._hosts)
        self._ports = any(":" in host.rpartition("]")[2] for host in self._hosts)

    def find(self, url: Any) -> Policy | None:
        """The policy that speaks of a URL's host, loaded if need be."""
        source = self._source(url)
        return None if source is None else source.policy()

    def speak_of(self, url: Any) -> bool:
        """Whether there is one, without loading it."""
        return self._source(url) is not None

    def _source(self, url: Any) -> Source | None:
        # As it is sent: in letters that DNS knows (`xn--…`), and without the dot that ends a whole name.
        host: str = url.raw_host.decode("ascii").rstrip(".")
        port = (url.port or _PORTS.get(url.scheme)) if self._ports else None
        source = self._named(host, port)
        if source is None and self._patterns:
            source = self._match(host, port)
        return source

    def _named(self, host: str, port: int | None) -> Source | None:
        """The host with this port, else with any."""
        source = None if port is None else self._hosts.get(f"{host}:{port}")
        return self._hosts.get(host) if source is None else source

    def _match(self, host: str, port: int | None) -> Source | None:
        """The longest `*.suffix` that fits, else `*`."""
        rest = host
        while rest:
            _, dot, rest = rest.partition(".")
            if dot and (source := self._named(f"*.{rest}", port)) is not None:
                return source
        return self._named("*", port)
