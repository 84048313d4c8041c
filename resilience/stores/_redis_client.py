"""Connections to Redis or Valkey by the storages of `limits`, told to give up soon and not to try again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast

from .._store_url import without_credentials, words_without
from ..errors import ConfigurationError
from ._redis_wire import Pool, Wire, Words

__all__ = ["SENSELESS", "Client", "cleared"]

SENSELESS = (AttributeError, LookupError, RecursionError, TypeError)
"""What the package raises where an answer is none that a Redis gives: as to HELLO, a word where it looks for a mapping;
or lists in lists without an end."""

# A decision within a data centre takes a millisecond; a server that needs longer than this is no help to a call.
_SECONDS = 0.25
_PIP = "pip install 'httpx-resilience[redis]'"
_LONGEST_MESSAGE = 300


class Commands(Protocol):
    """What is used of a client of the package `redis`, and of its pipelines; their own types say too much."""

    connection_pool: Pool

    def execute_command(self, *words: object, **options: object) -> object: ...

    def pipeline(self, transaction: bool) -> Commands: ...  # noqa: FBT001  as it is there

    def execute(self, raise_on_error: bool) -> list[object]: ...  # noqa: FBT001  as it is there

    def scan_iter(self, match: str, *, count: int) -> Iterator[object]: ...

    def time(self) -> tuple[int, int]: ...

    def close(self) -> None: ...


class _Made(NamedTuple):
    commands: Commands
    wire: Wire | None
    """`None` for a cluster, whose commands go to the nodes of their keys."""


class Client:
    """The connections of a store, made when they are first needed.

    Arguments:
        url: as `limits` names it, with its password.

    Raises:
        ConfigurationError: the packages are missing, or the URL cannot be honoured.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        scheme, _, self._rest = url.partition("://")
        # A Valkey server speaks the same protocol, and so does the package `redis`.
        self._is_secure = scheme.startswith(("rediss", "valkeys"))
        self._kind = scheme.partition("+")[2]
        if self._is_secure and self._kind == "unix":
            raise ConfigurationError("a socket of this machine is not encrypted: write redis+unix:///path")
        try:
            # First each package, and then its modules: where another thread imports the package just now, a module of it
            # would be had half finished, since each of the two waits for the other.
            for package in ("limits", "redis"):
                import_module(package)
            from limits.storage import storage_from_string
            from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError
        except ImportError as error:
            raise ConfigurationError(f"the store {without_credentials(url)} needs more packages: {_PIP}") from error
        # A ValueError where a name in the URL is none, which is found when it is looked up.
        self.errors: tuple[type[Exception], ...] = (RedisError, RedisClusterException, OSError, ValueError, *SENSELESS)
        self.no_script: type[Exception] = NoScriptError
        self._refusal: type[Exception] = ResponseError
        self._storage_from_string: Callable[..., Any] = storage_from_string
        self.is_cluster = self._kind == "cluster"
        self._lock = threading.Lock()
        self._made: _Made | None = None
        if not self.is_cluster:
            # A cluster is asked for its nodes when it is made, and may be away; of the others the URL is read here.
            self.get()

    def get(self) -> Commands:
        """The client of the package `redis`, safe for threads."""
        return self._get().commands

    def call_all(self, commands: Sequence[Words]) -> list[object]:
        """The answers to commands, in bytes; an error of one of them alone is its answer. Safe for threads.

        Arguments:
            commands: what to send, in one round trip.
        """
        made = self._get()
        if made.wire is not None:
            return made.wire.exchange(commands)
        pipeline = made.commands.pipeline(transaction=False)
        for words in commands:
            pipeline.execute_command(*words, NEVER_DECODE=True)
        return pipeline.execute(raise_on_error=False)

    def close(self) -> None:
        """Let go of the connections; they are made anew when they are needed."""
        made, self._made = self._made, None
        if made is not None:
            made.commands.close()
            if made.wire is not None:
                made.wire.close()

    def after_fork(self) -> None:
        """In a child process: the connections are the parent's."""
        self._lock = threading.Lock()
        self._made = None

    def _get(self) -> _Made:
        made = self._made
        if made is None:
            with self._lock:
                made = self._made = self._made or self._make()
        return made

    def _make(self) -> _Made:
        from limits.errors import ConfigurationError as Misconfigured

        try:
            storage = self._storage_from_string(self._plain_url(), **self._options())
        except (ValueError, Misconfigured) as error:
            shown = without_credentials(self._url)
            # A traceback would show what they say of the URL themselves.
            raise ConfigurationError(f"the store {shown} cannot be opened: {cleared(error, self._url)}") from None
        commands = cast("Commands", storage.storage)
        return _Made(commands, None if self.is_cluster else Wire(commands.connection_pool, self._refusal, self.errors))

    def _plain_url(self) -> str:
        if not self._kind:
            return f"{'rediss' if self._is_secure else 'redis'}://{self._rest}"
        return f"redis+{self._kind}://{self._rest}"

    def _options(self) -> dict[str, Any]:
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        options: dict[str, Any] = {"socket_timeout": _SECONDS, "retry": Retry(NoBackoff(), 0)}
        if self._kind != "unix":
            options |= {"socket_connect_timeout": _SECONDS, "socket_keepalive": True}
        if self._kind and self._is_secure:
            options["ssl"] = True
        if self._kind == "sentinel":
            options["sentinel_kwargs"] = dict(options)
        return options


def cleared(error: BaseException, url: str) -> str:
    """What an error says, in one line, without anything of the URL that only its owner may see.

    Arguments:
        error: what went wrong.
        url: of the store, with its password.
    """
    words = " ".join(str(error).split()) or type(error).__name__
    return words_without(words, url)[:_LONGEST_MESSAGE]
