"""The peers as contenders: each does what its documentation shows, around the same transport.

What cannot be installed or used in a world raises, and the table says with which words. Where a peer would wait before
it sends again, or refuse to after so many calls, it is told not to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

from benchmarks._worlds import World, loaded

__all__ = ["PEERS", "Unusable", "peer_call"]

Make = Callable[[World, type[Any], str], Any]
PEERS: dict[str, Make] = {}
"""By name: what makes a function that calls once, of a world, a class of transports and a URL."""


class Unusable(Exception):
    """This peer has nothing for this world."""


def peer_call(name: str, world: World, lean: type[Any], url: str) -> Any:
    """A function that calls once through a peer."""
    return PEERS[name](world, lean, url)


def _peer(name: str) -> Callable[[Make], Make]:
    def registered(make: Make) -> Make:
        PEERS[name] = make
        return make

    return registered


def _get(client: Any, url: str) -> Any:
    get = client.get
    return lambda: get(url)


@_peer("httpx-retries")
def _httpx_retries(world: World, lean: type[Any], url: str) -> Any:
    retries = loaded("httpx_retries")
    retry = retries.Retry(total=3, backoff_factor=0)
    return _get(world.client(retries.RetryTransport(lean(), retry=retry)), url)


@_peer("clientwright")
def _clientwright(world: World, lean: type[Any], url: str) -> Any:
    wright = loaded("clientwright")
    config = wright.ClientConfig(
        service_name="provider",
        retry=wright.RetryConfig(max_attempts=4, initial_backoff=1e-9, max_backoff=1e-9, budget_ratio=None),
        circuit_breaker=wright.CircuitBreakerConfig(fail_threshold=5),
    )
    # It makes its own transports, and is given ours for the library's.
    with _replaced(world, lean):
        client = (wright.build_sync if world.is_sync else wright.build)(world.library, config)
    return _get(client, url)


@contextlib.contextmanager
def _replaced(world: World, lean: type[Any]) -> Generator[None]:
    name = "HTTPTransport" if world.is_sync else "AsyncHTTPTransport"
    before = getattr(world.module, name)
    setattr(world.module, name, lean)
    try:
        yield
    finally:
        setattr(world.module, name, before)


@_peer("interlock-cb")
def _interlock(world: World, lean: type[Any], url: str) -> Any:
    interlock = loaded(f"interlock.integrations.{world.library}")
    kind = interlock.CircuitBreakerTransport if world.is_sync else interlock.AsyncCircuitBreakerTransport
    return _get(world.client(kind(lean())), url)


@_peer("httpware")
def _httpware(world: World, lean: type[Any], url: str) -> Any:
    if world.library != "httpx2":
        raise Unusable("is for httpx2 alone")
    ware = loaded("httpware")
    retry = {"max_attempts": 4, "base_delay": 0, "max_delay": 0, "budget": ware.RetryBudget(min_retries_per_sec=1e6)}
    if world.is_sync:
        middleware = [ware.Retry(**retry), ware.KeyedCircuitBreaker()]
        return _get(ware.Client(httpx2_client=world.client(lean()), middleware=middleware), url)
    middleware = [ware.AsyncRetry(**retry), ware.AsyncKeyedCircuitBreaker()]
    return _get(ware.AsyncClient(httpx2_client=world.client(lean()), middleware=middleware), url)


@_peer("pyrate-limiter")
def _pyrate(world: World, lean: type[Any], url: str) -> Any:
    pyrate, extra = loaded("pyrate_limiter"), loaded(f"pyrate_limiter.extras.{world.library}_limiter")
    kind = extra.RateLimiterTransport if world.is_sync else extra.AsyncRateLimiterTransport
    rate = pyrate.Rate(1_000_000, pyrate.Duration.SECOND, burst=1_000_000)
    limiter = pyrate.Limiter(pyrate.StateBucket([rate], algorithm=pyrate.TokenBucket()))
    return _get(world.client(type("Limited", (kind, lean), {})(limiter)), url)


@_peer("pydantic-ai")
def _pydantic_ai(world: World, lean: type[Any], url: str) -> Any:
    retries, tenacity = loaded("pydantic_ai.retries"), loaded("tenacity")
    name = ("" if world.is_sync else "Async") + ("HTTPX2" if world.library == "httpx2" else "") + "TenacityTransport"
    config = retries.RetryConfig(
        retry=tenacity.retry_if_exception_type(world.module.HTTPStatusError),
        wait=retries.wait_retry_after(fallback_strategy=tenacity.wait_none(), max_wait=60),
        stop=tenacity.stop_after_attempt(4),
        reraise=True,
    )

    def judged(answer: Any) -> None:
        answer.raise_for_status()

    return _get(world.client(getattr(retries, name)(config, lean(), judged)), url)


@_peer("tokenwarden")
def _tokenwarden(world: World, lean: type[Any], url: str) -> Any:
    if world.library != "httpx":
        raise Unusable("is for httpx alone")
    warden = loaded("tokenwarden")
    kind = warden.TokenWardenTransport if world.is_sync else warden.AsyncTokenWardenTransport
    budget = warden.BudgetConfig(key="day", limit=1e9, window_seconds=86400)
    return _get(world.client(kind(lean(), budgets=[budget])), url)


def _raising(world: World, lean: type[Any], url: str) -> Any:
    # The call as an application writes it that does something about errors around its client.
    client = world.client(lean())
    if world.is_sync:

        def call() -> Any:
            response = client.get(url)
            response.raise_for_status()
            return response

        return call

    async def call_async() -> Any:
        response = await client.get(url)
        response.raise_for_status()
        return response

    return call_async


@_peer("tenacity")
def _tenacity(world: World, lean: type[Any], url: str) -> Any:
    tenacity = loaded("tenacity")
    retry = tenacity.retry(
        retry=tenacity.retry_if_exception_type(world.module.HTTPError),
        wait=tenacity.wait_none(),
        stop=tenacity.stop_after_attempt(4),
        reraise=True,
    )
    return retry(_raising(world, lean, url))


@_peer("stamina")
def _stamina(world: World, lean: type[Any], url: str) -> Any:
    waits = {"wait_initial": 0, "wait_jitter": 0, "wait_max": 0}
    retry = loaded("stamina").retry(on=world.module.HTTPError, attempts=4, **waits)
    return retry(_raising(world, lean, url))


@_peer("aiobreaker")
def _aiobreaker(world: World, lean: type[Any], url: str) -> Any:
    breaker = loaded("aiobreaker").CircuitBreaker(fail_max=5)
    # It opens by what is raised.
    call = _raising(world, lean, url)
    if world.is_sync:
        return lambda: breaker.call(call)
    return lambda: breaker.call_async(call)


@_peer("limits")
def _limits(world: World, lean: type[Any], url: str) -> Any:
    hit = window(world)
    client = world.client(lean())
    if world.is_sync:

        def call() -> Any:
            assert hit()
            return client.get(url)

        return call

    async def call_async() -> Any:
        assert await hit()
        return await client.get(url)

    return call_async


def window(world: World) -> Any:
    """A function that hits a fixed window of limits, the cheapest that it has, kept in memory."""
    limits = loaded("limits")
    rate = limits.parse("100000000/second")
    if world.is_sync:
        sync = loaded("limits.strategies").FixedWindowRateLimiter(loaded("limits.storage").MemoryStorage())
        return lambda: sync.hit(rate, "provider")
    storage = loaded("limits.aio.storage").MemoryStorage()
    limiter = loaded("limits.aio.strategies").FixedWindowRateLimiter(storage)
    return lambda: limiter.hit(rate, "provider")
