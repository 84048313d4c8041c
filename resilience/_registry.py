"""Which policy speaks of which host; a policy is loaded when its host is first called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ._fork import Lock, renewed
from ._library import PORTS
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._budgets import Budget
    from ._clock import Closing
    from ._modes import Layer, Mode
    from ._policy import Policy

__all__ = ["DEFAULT_SETTINGS", "Policies", "Settings", "Source"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user says of a provider.

    Arguments:
        plan: the plan of the policy's `plans` that the user has; `None` for one that nobody named.
        modes: what each layer does with its decisions; a layer that is not there enforces them.
        refusals: what a call gets that one of our layers refuses: a `reply` in the provider's shape, or an error (`raise`).
        budgets: what may be spent.
        ledger: whether each settlement is written down.
        spans: which calls get a span of their own beside those of their attempts; `off` for none at all.
    """

    plan: str | None = None
    modes: Mapping[Layer, Mode] = field(default_factory=dict["Layer", "Mode"])
    refusals: Literal["reply", "raise"] = "reply"
    budgets: tuple[Budget, ...] = ()
    ledger: bool = False
    spans: Literal["always", "touched", "never", "off"] = "touched"
    guards: dict[str | None, Any] = field(default_factory=dict[str | None, Any], compare=False, repr=False)
    """What was compiled of the budgets, by operation."""


DEFAULT_SETTINGS = Settings()
# A call waits for a policy that is loaded beside it, but not for a disk that has gone; behind it the call loads it itself.
_LONGEST_WAIT = 5.0


class Source:
    """A policy that is loaded when it is first needed, once."""

    def __init__(
        self, name: str, hosts: Iterable[str], load: Callable[[], Policy], settings: Settings = DEFAULT_SETTINGS
    ) -> None:
        self.name = name
        self.hosts = tuple(hosts)
        self.settings = settings
        self._load = load
        self._policy: Policy | None = None
        self._loading: Closing | None = None
        self._lock = Lock()
        renewed(self)

    def renew(self) -> None:
        """The thread that loads it is not there in a child process."""
        self._loading = None

    def policy(self) -> Policy:
        if self._policy is None:
            with self._lock:
                if self._policy is None:
                    self._policy = self._load()
        return self._policy

    @property
    def is_loaded(self) -> bool:
        """Whether `policy` takes no time."""
        return self._policy is not None

    async def load_aside(self) -> None:
        """Load it while the event loop goes on; what is wrong with it is raised by `policy`."""
        if self._loading is None:
            from ._aside import begin_aside

            self._loading = begin_aside(self._load_all, "resilience-load")
        await self._loading.wait_async(_LONGEST_WAIT)

    def _load_all(self) -> None:
        # Of `install` nothing is imported yet: neither the layers with their models nor the stores.
        from . import _chain, stores

        del _chain, stores
        self.policy()

    def adjusted(self, hosts: Iterable[str], settings: Settings) -> Source:
        """The same policy, for other hosts or with other settings."""
        made = Source(self.name, hosts, self.policy, settings)
        made._policy = self._policy
        return made


# A crawler calls hosts without end.
_MOST_HOSTS = 1024
_UNKNOWN: Any = object()


class Policies:
    """The policies of a process or a client, by host.

    Arguments:
        sources: the policies; two for the same host are a mistake, since neither could be trusted to apply.
        store: the URL of the store of their limits, permits, breakers and budgets.
        namespace: what all keys in a shared store begin with.
        gate: how many async calls at a time are let into a connection pool.

    Raises:
        ConfigurationError: two policies claim one host.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        *,
        store: str = "memory://",
        namespace: str = "resilience",
        gate: int | Literal["auto", "off"] = "auto",
    ) -> None:
        self.sources = tuple(sources)
        self.store = store
        self.namespace = namespace
        self.gate: int | Literal["auto", "off"] = gate
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
        self._found: dict[bytes, Source | None] = {}

    def find(self, url: Any) -> Policy | None:
        """The policy that speaks of a URL's host, loaded if need be."""
        source = self.source_of(url)
        return None if source is None else source.policy()

    def speak_of(self, url: Any) -> bool:
        """Whether there is one, without loading it."""
        return self.source_of(url) is not None

    def source_of(self, url: Any) -> Source | None:
        """The source whose policy speaks of a URL's host."""
        raw: bytes = url.raw_host
        if self._ports:
            return self._look_up(raw, url.port or PORTS.get(url.scheme))
        found: Source | None = self._found.get(raw, _UNKNOWN)
        if found is _UNKNOWN:
            if len(self._found) >= _MOST_HOSTS:
                self._found.clear()
            found = self._found[raw] = self._look_up(raw, None)
        return found

    def _look_up(self, raw: bytes, port: int | None) -> Source | None:
        # As it is sent: in letters that DNS knows (`xn--…`), and without the dot that ends a whole name.
        host = raw.decode("ascii").rstrip(".")
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
