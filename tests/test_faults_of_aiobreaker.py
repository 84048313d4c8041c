"""What goes wrong with aiobreaker 1.2 alone, shown on it first, and what this project's breaker does instead.

Each test runs the same scenario twice. The bare library reads the machine's clock and has no other; ours waits for nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import aiobreaker
import aiobreaker.state
import pytest
from aiobreaker.storage.redis import CircuitRedisStorage

from resilience.breaker import CircuitBreaker, CircuitBreakerError
from resilience.testing import VirtualClock
from tests.servers import RedisServer, redis_server  # noqa: F401  a fixture

CLOSED = aiobreaker.CircuitBreakerState.CLOSED
OPEN = aiobreaker.CircuitBreakerState.OPEN
HALF_OPEN = aiobreaker.CircuitBreakerState.HALF_OPEN
SHORT = timedelta(milliseconds=30)


class Boom(Exception):
    pass


class NotFound(Exception):
    pass


async def bad() -> None:
    raise Boom("503")


async def good() -> str:
    return "ok"


async def result_of(breaker: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives or raises."""
    try:
        return await breaker.call_async(function, *arguments)
    except BaseException as error:
        return error


def bare(**named: Any) -> Any:
    """The library as it is."""
    return aiobreaker.CircuitBreaker(**named)


def ours(clock: VirtualClock | None = None, **named: Any) -> CircuitBreaker:
    """The same with our breaker, in time that does not pass by itself."""
    return CircuitBreaker(clock=clock or VirtualClock(), **named)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """From Python 3.12 on aiobreaker warns in each call of an open breaker: that is fault A9, and has a test of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "datetime.datetime.utcnow", DeprecationWarning)
        yield


@pytest.fixture
def zone() -> Iterator[Callable[[str], None]]:
    """Puts this process into another time zone, and back."""
    before = os.environ.get("TZ")

    def put(name: str) -> None:
        os.environ["TZ"] = name
        time.tzset()

    yield put
    os.environ.pop("TZ", None)
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def test_a1_the_time_left_does_not_depend_on_the_time_zone(zone: Callable[[str], None]) -> None:
    """Bare: UTC is written and local time is read. East of Greenwich the time is gone at once, west of it hours remain."""
    thirty = timedelta(seconds=30)

    zone("UTC-9")
    with pytest.raises(TypeError):
        _ = asyncio.run(result_of(bare(fail_max=1, timeout_duration=thirty), bad)).time_remaining
    zone("UTC+5")
    assert timedelta(hours=5) < asyncio.run(result_of(bare(fail_max=1, timeout_duration=thirty), bad)).time_remaining

    for name in ("UTC-9", "UTC+5", "UTC"):
        zone(name)
        clock = VirtualClock(wall=time.time())
        breaker = ours(clock, fail_max=1, timeout_duration=thirty)
        asyncio.run(result_of(breaker, bad))
        refused = asyncio.run(result_of(breaker, good))
        clock.advance(10.0)
        assert timedelta(seconds=20) == breaker.time_until_open == refused.time_remaining
        local = datetime.fromtimestamp(clock.wall())  # noqa: DTZ006  as users of aiobreaker have it
        assert timedelta(seconds=20) == refused.reopen_time - local
        assert breaker.opens_at == refused.reopen_time


def test_a2_the_call_that_opens_it_keeps_its_own_exception() -> None:
    """Bare: it becomes a CircuitBreakerError, whose text is that of a tuple."""
    breaker = bare(fail_max=1)
    error = asyncio.run(result_of(breaker, bad))
    assert isinstance(error, aiobreaker.CircuitBreakerError)
    assert str(error).startswith("('Failures threshold reached")

    breaker = ours(fail_max=1)
    assert isinstance(asyncio.run(result_of(breaker, bad)), Boom)
    refused = asyncio.run(result_of(breaker, good))
    assert isinstance(refused, aiobreaker.CircuitBreakerError)
    assert isinstance(refused, CircuitBreakerError)
    assert "the circuit breaker is open until another 60s have passed" == str(refused) == refused.message


def probes_sent(breaker: Any, wait: Callable[[], object]) -> int:
    """How many of a hundred calls at once a breaker lets through when its open time is over."""
    sent = 0

    async def slow() -> None:
        nonlocal sent
        sent += 1
        for _ in range(5):
            await asyncio.sleep(0)
        raise Boom

    async def scenario() -> None:
        await result_of(breaker, bad)
        wait()
        await asyncio.gather(*[result_of(breaker, slow) for _ in range(100)])

    asyncio.run(scenario())
    return sent


def test_a3_a_half_open_breaker_lets_only_its_probes_through() -> None:
    """Bare: all hundred."""
    assert 100 == probes_sent(bare(fail_max=1, timeout_duration=SHORT), lambda: time.sleep(0.05))

    clock = VirtualClock()
    assert 1 == probes_sent(ours(clock, fail_max=1, timeout_duration=SHORT), lambda: clock.advance(0.05))
    assert 3 == probes_sent(ours(clock, fail_max=1, timeout_duration=SHORT, probes=3), lambda: clock.advance(0.05))


def straggled(breaker: Any, wait: Callable[[float], object]) -> Any:
    """A call that was let through before the breaker opened fails two thirds into the open time; then one comes."""

    async def scenario() -> Any:
        fails = asyncio.Event()

        async def late() -> None:
            await fails.wait()
            raise Boom

        straggler = asyncio.create_task(result_of(breaker, late))
        await asyncio.sleep(0)
        await result_of(breaker, bad)
        wait(0.1)
        fails.set()
        await straggler
        wait(0.1)
        return await result_of(breaker, good)

    return asyncio.run(scenario())


def half_opened(breaker: Any, wait: Callable[[float], object]) -> Any:
    """Two probes: the first closes the breaker, the second fails after that."""

    async def scenario() -> Any:
        release, fails = asyncio.Event(), asyncio.Event()

        async def probe(event: asyncio.Event, error: Exception | None) -> None:
            await event.wait()
            if error is not None:
                raise error

        for _ in range(5):
            await result_of(breaker, bad)
        wait(0.2)
        first = asyncio.create_task(result_of(breaker, probe, release, None))
        second = asyncio.create_task(result_of(breaker, probe, fails, Boom()))
        await asyncio.sleep(0)
        release.set()
        await first
        fails.set()
        await second
        return breaker.current_state

    return asyncio.run(scenario())


def test_a4_late_results_change_nothing() -> None:
    """Bare: a straggler starts the open time anew, and an old probe opens a breaker that has closed."""
    timeout = timedelta(milliseconds=150)
    assert isinstance(straggled(bare(fail_max=1, timeout_duration=timeout), time.sleep), aiobreaker.CircuitBreakerError)
    assert OPEN is half_opened(bare(fail_max=5, timeout_duration=timeout), time.sleep)

    clock = VirtualClock()
    assert "ok" == straggled(ours(clock, fail_max=1, timeout_duration=timeout), clock.advance)
    assert CLOSED is half_opened(ours(clock, fail_max=5, timeout_duration=timeout, probes=2), clock.advance)


def test_a5_an_excluded_exception_is_no_success() -> None:
    """Bare: it ends a row of failures, so that sixty of ninety never open it, and as a probe it closes it."""

    async def absent() -> None:
        raise NotFound

    async def row(breaker: Any) -> Any:
        for _ in range(30):
            for function in (bad, bad, absent):
                await result_of(breaker, function)
        return breaker.current_state

    async def probe(breaker: Any, wait: Callable[[], object]) -> Any:
        await result_of(breaker, bad)
        wait()
        assert isinstance(await result_of(breaker, absent), NotFound)
        return breaker.current_state

    assert CLOSED is asyncio.run(row(bare(fail_max=3, exclude=[NotFound])))
    one = {"fail_max": 1, "exclude": [NotFound], "timeout_duration": SHORT}
    assert CLOSED is asyncio.run(probe(bare(**one), lambda: time.sleep(0.05)))

    clock = VirtualClock()
    assert OPEN is asyncio.run(row(ours(clock, fail_max=3, exclude=[NotFound])))
    breaker = ours(clock, **one)
    assert HALF_OPEN is asyncio.run(probe(breaker, lambda: clock.advance(0.05)))
    assert "ok" == asyncio.run(result_of(breaker, good))


def test_a6_a_rate_of_failures_opens_it() -> None:
    """Bare: four of five calls may fail for ever."""

    async def scenario(breaker: Any) -> Any:
        for number in range(100):
            await result_of(breaker, good if number % 5 == 4 else bad)
        return breaker.current_state

    assert CLOSED is asyncio.run(scenario(bare(fail_max=5)))
    assert OPEN is asyncio.run(scenario(ours(fail_max=5, failure_rate=0.5, window="1m", min_calls=20)))


def test_a7_a_cancelled_probe_gives_its_place_back() -> None:
    """Bare: it is not noticed; that harms nothing there, because everybody is let through anyway."""

    async def scenario(breaker: Any, wait: Callable[[], object]) -> tuple[Any, Any]:
        await result_of(breaker, bad)
        wait()
        task = asyncio.create_task(breaker.call_async(asyncio.sleep, 10))
        await asyncio.sleep(0)
        meanwhile = await result_of(breaker, bad) if isinstance(breaker, CircuitBreaker) else None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return meanwhile, breaker.current_state

    one = {"fail_max": 1, "timeout_duration": SHORT}
    assert HALF_OPEN is asyncio.run(scenario(bare(**one), lambda: time.sleep(0.05)))[1]

    clock = VirtualClock()
    breaker = ours(clock, **one)
    meanwhile, state = asyncio.run(scenario(breaker, lambda: clock.advance(0.05)))
    assert isinstance(meanwhile, CircuitBreakerError)
    assert HALF_OPEN is state
    assert "ok" == asyncio.run(result_of(breaker, good))
    assert CLOSED is breaker.current_state


def test_a7_a_timeout_inside_of_the_guarded_call_is_a_failure() -> None:
    """Bare as here: one outside of it only cancels the call, and says nothing; so it belongs inside."""

    async def hang() -> None:
        await asyncio.wait_for(asyncio.sleep(10), 0.001)

    async def outside(breaker: Any) -> None:
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(breaker.call_async(asyncio.sleep, 10), 0.001)

    async def inside(breaker: Any) -> None:
        for _ in range(3):
            assert isinstance(await result_of(breaker, hang), asyncio.TimeoutError)

    breaker = bare(fail_max=3)
    asyncio.run(outside(breaker))
    assert (0, CLOSED) == (breaker.fail_counter, breaker.current_state)

    breaker = ours(fail_max=3)
    asyncio.run(outside(breaker))
    assert (0, CLOSED) == (breaker.fail_counter, breaker.current_state)
    asyncio.run(inside(breaker))
    assert (3, OPEN) == (breaker.fail_counter, breaker.current_state)


class Meta(type):
    pass


class Mine(Exception, metaclass=Meta):
    pass


class Raising(aiobreaker.CircuitBreakerListener):  # type: ignore[misc]
    def state_change(self, breaker: Any, old: Any, new: Any) -> None:
        raise RuntimeError("metrics down")


def test_a8_no_time_at_all_is_no_minute() -> None:
    """Bare: `timedelta(0)` is taken for nothing given."""
    assert timedelta(minutes=1) == bare(timeout_duration=timedelta(0)).timeout_duration

    breaker = ours(fail_max=1, timeout_duration=timedelta(0))
    asyncio.run(result_of(breaker, bad))
    assert (timedelta(0), "ok") == (breaker.timeout_duration, asyncio.run(result_of(breaker, good)))


def test_a8_a_breaker_that_never_opened_can_be_asked_when_it_opens() -> None:
    """Bare: a TypeError."""
    with pytest.raises(TypeError):
        _ = bare().opens_at

    breaker = ours()
    assert (None, None) == (breaker.opens_at, breaker.time_until_open)
    asyncio.run(breaker.sleep_until_open())


def test_a8_an_excluded_class_with_a_metaclass_excludes_only_itself() -> None:
    """Bare: it is taken for a predicate that is true of everything."""

    async def scenario(breaker: Any) -> Any:
        for _ in range(5):
            await result_of(breaker, bad)
        return breaker.current_state

    assert CLOSED is asyncio.run(scenario(bare(fail_max=1, exclude=[Mine])))
    assert OPEN is asyncio.run(scenario(ours(fail_max=1, exclude=[Mine])))


def test_a8_a_listener_that_raises_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Bare: its exception takes the place of the call's own."""
    assert isinstance(asyncio.run(result_of(bare(fail_max=1, listeners=[Raising()]), bad)), RuntimeError)

    breaker = ours(fail_max=1, listeners=[Raising()], name="stripe")
    assert isinstance(asyncio.run(result_of(breaker, bad)), Boom)
    assert OPEN is breaker.current_state
    assert ["state_change of a listener of the circuit breaker stripe failed"] == caplog.messages
    assert "metrics down" in caplog.text


def test_a8_call_guards_a_coroutine_function_too() -> None:
    """Bare: it counts a success before anything was awaited."""

    async def scenario(breaker: Any) -> Any:
        for _ in range(3):
            with pytest.raises(Boom):
                await breaker.call(bad)
        return breaker.current_state

    assert CLOSED is asyncio.run(scenario(bare(fail_max=3)))
    assert OPEN is asyncio.run(scenario(ours(fail_max=3)))


def test_a9_it_opens_where_warnings_are_errors() -> None:
    """Bare, from Python 3.12 on: `utcnow` is deprecated, and the warning keeps the breaker from opening."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        breaker = bare(fail_max=1)
        error = asyncio.run(result_of(breaker, bad))
        if sys.version_info >= (3, 12):
            assert (DeprecationWarning, CLOSED) == (type(error), breaker.current_state)
        else:
            assert OPEN is breaker.current_state

        breaker = ours(fail_max=1)
        assert isinstance(asyncio.run(result_of(breaker, bad)), Boom)
        assert OPEN is breaker.current_state
        assert breaker.opens_at is not None


def test_a10_a_wall_clock_that_is_set_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bare: an hour back keeps it open for an hour more."""

    class Back(datetime):
        @classmethod
        def utcnow(cls) -> datetime:
            return datetime.utcnow() - timedelta(hours=1)  # noqa: DTZ003  what it does

    breaker = bare(fail_max=1, timeout_duration=SHORT)
    asyncio.run(result_of(breaker, bad))
    monkeypatch.setattr(aiobreaker.state, "datetime", Back)
    time.sleep(0.05)
    assert isinstance(asyncio.run(result_of(breaker, good)), aiobreaker.CircuitBreakerError)

    clock = VirtualClock()
    breaker = ours(clock, fail_max=1, timeout_duration=SHORT)
    asyncio.run(result_of(breaker, bad))
    clock._wall -= 3600.0
    clock.advance(0.05)
    assert "ok" == asyncio.run(result_of(breaker, good))


def sent_by_threads(breaker: Any, wait: Callable[[], object]) -> int:
    """How many of 32 threads a breaker lets through when its open time is over."""
    sent: list[int] = []
    start, end = threading.Barrier(32), threading.Event()

    def boom() -> None:
        sent.append(1)
        if len(sent) == 2:
            end.set()
        # The others come meanwhile; a breaker that works lets nobody else in here.
        end.wait(0.2)
        raise Boom

    def call() -> None:
        start.wait()
        with pytest.raises((Boom, aiobreaker.CircuitBreakerError)):
            breaker.call(boom)

    end.set()
    with pytest.raises((Boom, aiobreaker.CircuitBreakerError)):
        breaker.call(boom)
    sent.clear()
    end.clear()
    wait()
    threads = [threading.Thread(target=call) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(sent)


def test_a11_threads_do_not_get_past_it() -> None:
    """Bare: several of 32 in a half-open breaker."""
    assert 1 < sent_by_threads(bare(fail_max=1, timeout_duration=SHORT), lambda: time.sleep(0.05))

    for _ in range(20):
        clock = VirtualClock()
        breaker = ours(clock, fail_max=1, timeout_duration=SHORT)
        assert 1 == sent_by_threads(breaker, lambda clock=clock: clock.advance(0.05))  # type: ignore[misc]


class Evicted:
    """A Redis client whose keys are gone whenever they are read."""

    def get(self, key: str) -> None:
        return None

    def setnx(self, key: str, value: object) -> None:
        pass

    def set(self, key: str, value: object) -> None:
        pass

    def incr(self, key: str) -> None:
        pass


class Text(Evicted):
    """A Redis client with `decode_responses`."""

    def get(self, key: str) -> Any:
        return "CLOSED"


@pytest.mark.parametrize("client", [Evicted(), Text()])
def test_a12_a_storage_in_redis_that_fails_fails_nothing_else(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Bare: a key that was evicted and a client that decodes are errors of every call, or of the breaker's making."""
    storage = CircuitRedisStorage(CLOSED, client)
    with pytest.raises((TypeError, AttributeError)):
        bare(state_storage=storage).call(lambda: "ok")

    breaker = ours(fail_max=2, state_storage=storage)
    assert "ok" == breaker.call(lambda: "ok")
    for _ in range(2):
        assert isinstance(asyncio.run(result_of(breaker, bad)), Boom)
    assert OPEN is breaker.current_state
    assert any("the breaker goes on without it" in message for message in caplog.messages)


def test_a12_redis_going_down_while_it_opens_changes_no_exception(redis_server: RedisServer) -> None:  # noqa: F811
    """Bare: a TypeError in place of the call's own, and then it lets everything through."""
    import redis

    def client() -> Any:
        return redis.Redis(port=redis_server.port, socket_timeout=1, retry=None)

    first = bare(fail_max=1, state_storage=CircuitRedisStorage(CLOSED, client(), namespace="bare"))
    second = ours(fail_max=1, state_storage=CircuitRedisStorage(CLOSED, client(), namespace="ours"))
    redis_server.stop()

    assert not isinstance(asyncio.run(result_of(first, bad)), Boom) or CLOSED is first.current_state
    assert isinstance(asyncio.run(result_of(second, bad)), Boom)
    assert OPEN is second.current_state
    assert isinstance(asyncio.run(result_of(second, good)), CircuitBreakerError)


def test_a12_redis_going_down_while_it_is_open_does_not_close_it(redis_server: RedisServer) -> None:  # noqa: F811
    """Bare: without its Redis an open breaker lets everything through."""
    import redis

    def client() -> Any:
        return redis.Redis(port=redis_server.port, socket_timeout=1, retry=None)

    first = bare(fail_max=1, state_storage=CircuitRedisStorage(CLOSED, client(), namespace="bare"))
    second = ours(fail_max=1, state_storage=CircuitRedisStorage(CLOSED, client(), namespace="ours"))
    for breaker in (first, second):
        asyncio.run(result_of(breaker, bad))
    assert OPEN is first.current_state is second.current_state
    redis_server.stop()

    assert (CLOSED, OPEN) == (first.current_state, second.current_state)
    assert isinstance(asyncio.run(result_of(second, good)), CircuitBreakerError)


def test_a12_breakers_do_not_share_by_accident_what_they_do_not_name(redis_server: RedisServer) -> None:  # noqa: F811
    """Bare: two storages without a namespace are one, and a failing Stripe opens the breaker of OpenAI."""
    import redis

    from resilience.stores import open_store

    client = redis.Redis(port=redis_server.port)
    stripe = bare(fail_max=1, state_storage=CircuitRedisStorage(CLOSED, client), name="stripe")
    openai = bare(state_storage=CircuitRedisStorage(CLOSED, client), name="openai")
    asyncio.run(result_of(stripe, bad))
    assert OPEN is openai.current_state

    store = open_store(f"redis://127.0.0.1:{redis_server.port}/0")
    breakers = [CircuitBreaker(fail_max=1, name=name, store=store) for name in ("stripe", "openai", "stripe")]
    asyncio.run(result_of(breakers[0], bad))
    assert [OPEN, CLOSED, OPEN] == [breaker.current_state for breaker in breakers]
    client.close()
    store.close()


def test_a12_a_second_is_a_second_in_redis(redis_server: RedisServer) -> None:  # noqa: F811
    """Bare: the time of opening is cut to whole seconds, so that the open time is up to one second too short."""
    import redis

    from resilience.stores import open_store

    client = redis.Redis(port=redis_server.port)
    storage = CircuitRedisStorage(CLOSED, client)
    storage.opened_at = datetime.fromisoformat("2026-01-01T12:00:00.999")
    assert "2026-01-01T12:00:00" == storage.opened_at.isoformat()

    store = open_store(f"redis://127.0.0.1:{redis_server.port}/0")
    breaker = CircuitBreaker(fail_max=1, timeout_duration=timedelta(seconds=30), name="exact", store=store)
    began = time.monotonic()
    asyncio.run(result_of(breaker, bad))
    left = breaker.time_until_open
    assert left is not None
    assert 30.0 - (time.monotonic() - began) <= left.total_seconds() <= 30.0
    client.close()
    store.close()
