"""Help for tests and demonstrations: a provider that answers as documented, and a clock that does not wait.

with fake_provider("anakin", script="429 retry-after 1, 200") as provider:
    httpx.get(provider.url + "/v1/search")
    assert 1 == len(provider.requests)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING

from ._assert_trail import assert_trail
from ._received import Received
from .errors import ConfigurationError

if TYPE_CHECKING:
    from decimal import Decimal

    from ._clock import Closing
    from ._fake_server import Server
    from ._policy import Policy
    from ._waker import Waker

__all__ = ["FakeProvider", "Received", "VirtualClock", "assert_trail", "fake_provider", "serve"]


class FakeProvider:
    """A fake provider that is running; `fake_provider` makes it."""

    def __init__(self, server: Server) -> None:
        self._application = server.application
        self.url = server.url
        """Where it answers: `http://127.0.0.1:PORT`."""
        policy = server.application.policy
        match = policy.match.model_copy(update={"hosts": (server.netloc,)})
        self.policy: Policy = policy.model_copy(update={"match": match})
        """The policy, speaking of this address instead of the provider's own hosts."""

    @property
    def requests(self) -> tuple[Received, ...]:
        """What has come, in the order of arrival; the last 10000 of them."""
        return self._application.requests

    @property
    def charged(self) -> Decimal:
        """What all answered requests have cost together, by the policy's `credits`."""
        return self._application.charged

    @property
    def charged_by(self) -> Mapping[str, Decimal]:
        """The same for each account, by the digest of its key; `-` for requests without one."""
        return self._application.charged_by


@contextmanager
def fake_provider(
    policy: str | PathLike[str] | Policy,
    *,
    script: str = "",
    rates: str = "",
    seed: int | None = None,
    require_key: bool = False,
    balance: Decimal | float | str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Generator[FakeProvider, None, None]:
    """Serve a provider's documented answers over HTTP, in a thread of this process, while the block runs.

    Arguments:
        policy: a shipped name, a path to a file, or a loaded policy; its `examples` are what is answered.
        script: one step for each request, in the order of arrival: `429 retry-after 1, drop, 200`; then `rates` apply.
        rates: the shares of requests that get a step by chance: `429=10%, 500=5%`; all others get the documented
            success for their operation.
        seed: where chance begins; the same number gives the same answers again.
        require_key: answer requests without any of the policy's `account` headers or parameters as documented for 401.
        balance: what each account has at the beginning, in the unit of the policy's `credits`; a request that costs more
            than is left is answered as documented for an account without credits. By default there is no end of it.
        host: the address to listen on.
        port: the port to listen on; 0 for any that is free.

    Raises:
        ConfigurationError: the policy, the script, the rates or the balance cannot be honoured, the address is taken, or the
            packages of the extra `fake` are missing.
    """
    server = _server(
        policy,
        script=script,
        rates=rates,
        seed=seed,
        require_key=require_key,
        balance=balance,
        host=host,
        port=port,
    )
    with server.in_thread():
        yield FakeProvider(server)


def serve(
    policy: str | PathLike[str] | Policy,
    *,
    script: str = "",
    rates: str = "",
    seed: int | None = None,
    require_key: bool = False,
    balance: Decimal | float | str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    log: Callable[[str], None] = print,
) -> None:
    """Serve a provider's documented answers over HTTP until this process is interrupted (Ctrl+C, SIGTERM).

    Arguments:
        policy: a shipped name, a path to a file, or a loaded policy.
        script: one step for each request, as for `fake_provider`.
        rates: the shares of requests that get a step by chance, as for `fake_provider`.
        seed: where chance begins.
        require_key: answer requests without a key as documented for 401.
        balance: what each account has at the beginning.
        host: the address to listen on.
        port: the port to listen on; 0 for any that is free.
        log: called with one line once it answers, and then with one line for each request, without keys.

    Raises:
        ConfigurationError: as for `fake_provider`.
    """
    server = _server(
        policy,
        script=script,
        rates=rates,
        seed=seed,
        require_key=require_key,
        balance=balance,
        host=host,
        port=port,
        log=log,
    )
    log(f"{server.application.policy.provider} is faked at {server.url}")
    server.run()


def _server(
    policy: str | PathLike[str] | Policy,
    *,
    script: str,
    rates: str,
    seed: int | None,
    require_key: bool,
    balance: Decimal | float | str | None,
    host: str,
    port: int,
    log: Callable[[str], None] | None = None,
) -> Server:
    # Whoever needs only the clock of this module needs no server.
    try:
        from ._fake_provider import Application
        from ._fake_server import Server
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"h11", "starlette", "uvicorn"}:
            raise
        message = f"the fake provider needs {missing}; install it with: pip install 'httpx-resilience[fake]'"
        raise ConfigurationError(message) from None
    if isinstance(policy, str | PathLike):
        from ._load import load_policy

        policy = load_policy(policy)
    application = Application(
        policy, script=script, rates=rates, seed=seed, require_key=require_key, balance=balance, log=log
    )
    return Server(application, host, port)


class VirtualClock:
    """A clock whose waits take no time: for `resilience.httpx.Transport(inner, clock=VirtualClock())`.

    Every wait moves the time on at once, for all that share the clock: two tasks that wait together wait one after
    the other.

    Arguments:
        wall: where the wall clock begins, in seconds since 1970; by default at the start of 2026.
        chances: what `random` gives, one after the other; then 0.0, at which full jitter takes nothing off a wait.
    """

    def __init__(self, *, wall: float = 1_767_225_600.0, chances: Iterable[float] = ()) -> None:
        self.slept: list[float] = []
        """The waits so far, in seconds."""
        self._lock = threading.Lock()
        self._now = 0.0
        self._wall = wall
        self._chances = iter(chances)
        self._keys = 0

    def now(self) -> float:
        """Seconds since the clock was made."""
        return self._now

    def wall(self) -> float:
        """Seconds since 1970."""
        return self._wall + self._now

    def random(self) -> float:
        """The next of the chances."""
        with self._lock:
            return next(self._chances, 0.0)

    def key(self) -> str:
        """`key-1`, then `key-2`, and so on."""
        with self._lock:
            self._keys += 1
            return f"key-{self._keys}"

    def advance(self, seconds: float) -> None:
        """Let time pass, as a slow server would.

        Raises:
            ConfigurationError: this is less than nothing: no clock of a runtime goes back.
        """
        if not seconds >= 0:
            raise ConfigurationError(f"time passes forwards; advance() takes seconds from 0, not {seconds!r:.60}")
        with self._lock:
            self._now += seconds

    def sleep(self, seconds: float, closing: Closing, waker: Waker | None = None) -> None:
        """Pass the time at once, unless `closing` is set or the waker was called."""
        if closing.is_set() or (waker is not None and waker.called):
            return
        with self._lock:
            self.slept.append(seconds)
            self._now += max(0.0, seconds)

    async def sleep_async(self, seconds: float, closing: Closing, waker: Waker | None = None) -> None:
        """The same; other tasks get their turn, and a cancelled one ends here."""
        from anyio.lowlevel import checkpoint

        self.sleep(seconds, closing, waker)
        await checkpoint()
