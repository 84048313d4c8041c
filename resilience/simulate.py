"""Virtual time: the shipped layers against a scripted provider, hours of waiting in a moment.

    simulation = Simulation(["anakin"], provider=lambda request, now: Answer(429, {"Retry-After": "30"}))
    call = simulation.call("POST", "https://api.anakin.io/v1/map")
    simulation.run()
    print(call.trail)

Nothing here sends anything. Calls run as coroutines of a scheduler whose clock jumps to the next event; with the same
seed the same history happens again.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit
from uuid import UUID

from . import errors
from ._body import Body
from ._chain import build
from ._clock import Closing
from ._config import policies_for
from ._headers import FoldedHeaders
from ._held import Held
from ._library import ErrorKind, Library
from ._prepare import prepare
from ._replay import Replay
from ._unwrap import unwrap
from ._worked import Worked
from .stores._memory import MemoryStore

if TYPE_CHECKING:
    from ._gate import Gate
    from ._local_reply import LocalReply
    from ._outcome import Exchange
    from ._policy import Policy
    from ._trail import Trail
    from ._transactions import Command, Reply, Store
    from ._waker import Waker

__all__ = ["Answer", "Call", "NoAnswer", "Request", "Simulation"]

_T = TypeVar("_T")
# What clients do not encode: RFC 3986 section 2.2, and what is encoded already.
_PLAIN = "%/?:@!$&'()*+,;="


class NoAnswer(Exception):
    """What a scripted provider raises for a call that gets no answer.

    Arguments:
        kind: the kind of transport error, as policies name it.
        latency: seconds until it is known.

    Raises:
        ConfigurationError: there is no such kind, or the latency is no time.
    """

    def __init__(self, kind: str = "connect_error", *, latency: float = 0.0) -> None:
        super().__init__(kind)
        if kind not in (kinds := [each.value for each in ErrorKind]):
            raise errors.ConfigurationError(f"{kind!r} is no kind of transport error; write one of {', '.join(kinds)}")
        self.kind = ErrorKind(kind)
        self.latency = _time("latency", latency)


def _time(name: str, seconds: float) -> float:
    # A heap of times has no order with one that is no number, and calls would never end.
    if not 0 <= seconds < math.inf:
        raise errors.ConfigurationError(f"{name} is {seconds!r}; write seconds, 0 or more")
    return seconds


class _Bytes:
    def __init__(self, content: bytes = b"") -> None:
        self.content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self.content

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of a URL that layers look at."""

    scheme: str
    host: str
    port: int | None
    path: str
    query: str = ""

    @property
    def raw_host(self) -> bytes:
        """The host as it is sent."""
        return self.host.encode("idna" if not self.host.isascii() else "ascii")

    @property
    def raw_path(self) -> bytes:
        """Path and query as they are sent."""
        query = f"?{quote(self.query, safe=_PLAIN)}" if self.query else ""
        return f"{quote(self.path, safe=_PLAIN)}{query}".encode()


class Request:
    """A simulated request."""

    def __init__(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> None:
        parts = urlsplit(url)
        self.method = method
        self.url = Url(parts.scheme, parts.hostname or "", parts.port, parts.path or "/", parts.query)
        self.headers = FoldedHeaders(headers)
        self.content = content
        self.stream: Any = _Bytes(content)
        self.extensions: dict[str, Any] = {}


class Answer:
    """A simulated answer.

    Arguments:
        status: the HTTP status.
        headers: its headers.
        content: its body.
        latency: seconds until it comes.

    Raises:
        ConfigurationError: the latency is no time.
    """

    is_closed = True

    def __init__(
        self, status: int, headers: Mapping[str, str] | None = None, content: bytes = b"", *, latency: float = 0.0
    ) -> None:
        self.status_code = status
        self.headers = FoldedHeaders(headers or {})
        self.content = content
        self.latency = _time("latency", latency)
        self.stream: Any = _Bytes(content)
        self.extensions: dict[str, Any] = {}


def _kind_of(error: Exception) -> ErrorKind:
    if isinstance(error, NoAnswer):
        return error.kind
    return ErrorKind.ATTEMPT_TIMEOUT if isinstance(error, errors.AttemptTimeout) else ErrorKind.OTHER


def _request(call: Request, method: str, path: bytes, headers: Mapping[str, str]) -> Request:
    request = Request(method, "", headers, b"")
    only_path, _, query = path.decode().partition("?")
    request.url = replace(call.url, path=only_path, query=query)
    return request


def _respond(_request: Request, reply: LocalReply, trail: Trail) -> Answer:
    answer = Answer(reply.status, dict(reply.headers), reply.content)
    answer.extensions = {"resilience": trail}
    return answer


_LIBRARY = Library(
    name="simulate",
    bytes_stream=_Bytes,
    body=Body,
    held=Held,
    replay=Replay,
    kind_of=_kind_of,
    attempt_timeout=errors.AttemptTimeout,
    deadline_exceeded=errors.DeadlineExceeded,
    client_closed=errors.ClientClosed,
    pool_timeout=TimeoutError,
    refusals={
        "limiter": errors.RateLimitExceeded,
        "concurrency": errors.ConcurrencyLimitExceeded,
        "credits": errors.CreditLimitExceeded,
        "breaker": errors.BreakerOpen,
    },
    respond=_respond,
    request=_request,
)
Provider = Callable[[Request, float], Answer]
"""Answers a request at a virtual time, in seconds; raises `NoAnswer` for a transport error."""


class _Clock:
    """The scheduler's clock; 2026-01-01T00:00:00Z is its zero."""

    def __init__(self, seed: int) -> None:
        self.time = 0.0
        self._chance = random.Random(seed)  # noqa: S311  chance for jitter, repeatable on purpose

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_767_225_600.0 + self.time

    def random(self) -> float:
        return self._chance.random()

    def key(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))


class _Pause:
    """Awaited by a simulated call; the scheduler resumes it when the time has come."""

    def __init__(self, until: float, waker: Waker | None = None) -> None:
        self.until = until
        self.waker = waker

    def __await__(self) -> Generator[_Pause, None, None]:
        yield self


class _Event:
    """A coroutine that goes on at a time; it goes on once."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.coroutine: Coroutine[Any, Any, None] | None = coroutine


class _Runtime:
    """The layers' runtime in virtual time."""

    is_async = False
    tells_sending = False
    gate: Gate | None = None

    def __init__(self, clock: _Clock, provider: Provider) -> None:
        self.library = _LIBRARY
        self.clock: Any = clock
        self._provider = provider

    def worked(self) -> Worked:
        return Worked(0.0, 0.0)

    async def sleep(self, seconds: float, _closing: Closing, waker: Waker | None = None, /) -> bool:
        if waker is None or not waker.called:
            await _Pause(self.clock.now() + seconds, waker)
        return True

    async def decide(self, store: Store, command: Command, /) -> Reply:
        return store.run(command, self.clock.now())

    def tell(self, store: Store, command: Command, /) -> None:
        store.run(command, self.clock.now())

    async def checkpoint(self, _store: Store, /) -> None:
        """Nothing can be cancelled."""

    async def attempt(self, _seconds: float, work: Coroutine[Any, Any, _T], /) -> _T:
        return await work

    async def send(self, request: Any, /) -> Any:
        seconds = request.extensions.get("timeout", {}).get("read")
        try:
            answer = self._provider(request, self.clock.now())
        except NoAnswer as error:
            await self._latency(error.latency, seconds)
            raise
        await self._latency(answer.latency, seconds)
        return answer

    async def _latency(self, latency: float, seconds: float | None) -> None:
        if seconds is not None and latency > seconds:
            await _Pause(self.clock.now() + seconds)
            raise errors.AttemptTimeout(f"the attempt took longer than {seconds:.3g}s")
        if latency:
            await _Pause(self.clock.now() + latency)

    def open(self, stream: Any, /) -> Iterator[bytes]:
        return iter(stream)

    async def read(self, chunks: Any, /) -> bytes | None:
        return next(chunks, None)

    async def close(self, stream: Any, /) -> None:
        stream.close()


class Call:
    """A simulated call; when it is done it has either an answer or an error, and its trail."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self.trail: Trail | None = None
        self.ended: float | None = None
        """The virtual time at which it was done."""


class Simulation:
    """A virtual process that calls a scripted provider.

    Arguments:
        policies: names, paths or policies that are active.
        provider: what answers.
        seed: of everything that chance decides.
    """

    def __init__(self, policies: Iterable[str | PathLike[str] | Policy], provider: Provider, *, seed: int = 0) -> None:
        self._policies = policies_for(policies, {"version": 1})
        self._clock = _Clock(seed)
        self._closing = Closing()
        self.store: Store = MemoryStore()
        """Where the virtual process keeps its limits, permits, breakers and budgets."""
        self._chain = build(_Runtime(self._clock, provider))
        self._events: list[tuple[float, int, _Event]] = []
        self._order = itertools.count()

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._clock.time

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        at: float = 0.0,
        options: Mapping[str, Any] | None = None,
    ) -> Call:
        """Plan a call; `run` makes it.

        Arguments:
            method: of the request.
            url: a URL of a host that one of the policies speaks of.
            headers: of the request.
            content: its body.
            at: the virtual time at which the call begins, in seconds.
            options: what the call says for itself, as in `extensions={"resilience": …}`.

        Raises:
            ConfigurationError: none of the policies speaks of the URL, or the time is none.
        """
        begins = _time("at", at)
        request = Request(method, url, headers or {}, content)
        if options is not None:
            request.extensions["resilience"] = options
        exchange = prepare(request, self._policies, _LIBRARY, self._closing, self.store)
        if exchange is None:
            raise errors.ConfigurationError(f"no policy of this simulation speaks of {url}")
        exchange.is_untold = True
        call = Call()
        call.trail = exchange.trail
        self._plan(begins, _Event(self._made(call, exchange)))
        return call

    def run(self) -> None:
        """Let virtual time pass until every call is done."""
        while self._events:
            due, _, event = heapq.heappop(self._events)
            coroutine, event.coroutine = event.coroutine, None
            if coroutine is None:
                continue
            self._clock.time = max(due, self._clock.time)
            try:
                pause: _Pause = coroutine.send(None)
            except StopIteration:
                continue
            event = _Event(coroutine)
            self._plan(pause.until, event)
            if pause.waker is not None:
                pause.waker.set(partial(self._wake, event))

    def _plan(self, at: float, event: _Event) -> None:
        heapq.heappush(self._events, (at, next(self._order), event))

    def _wake(self, event: _Event) -> None:
        """Let a pause end now. It stands in the heap twice then, and the first of the two takes the coroutine."""
        self._plan(self.now, event)

    async def _made(self, call: Call, exchange: Exchange) -> None:
        outcome = await self._chain(exchange)
        try:
            answer: Any = unwrap(exchange, outcome, _LIBRARY, self._clock.wall)
            call.answer = answer
        except Exception as error:  # noqa: BLE001  an error is a result here
            call.error = error
        call.ended = self.now
