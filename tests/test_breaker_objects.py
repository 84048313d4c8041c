"""`resilience.breaker`: breakers around functions, storages that are obeyed, and listeners of the breakers of policies."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import aiobreaker
import httpx
import pytest
import trio
from aiobreaker.storage.memory import CircuitMemoryStorage

import resilience.breaker
from resilience._aiobreaker import NEVER
from resilience._breaker_hearing import Heard
from resilience._transactions import Command
from resilience.breaker import AnswerFailed, CircuitBreaker, CircuitBreakerError, forget, listen
from resilience.errors import ConfigurationError
from resilience.stores._memory import MemoryStore
from resilience.testing import VirtualClock
from tests.test_breaker import Bench

CLOSED = aiobreaker.CircuitBreakerState.CLOSED
OPEN = aiobreaker.CircuitBreakerState.OPEN
HALF_OPEN = aiobreaker.CircuitBreakerState.HALF_OPEN
MINUTE = timedelta(minutes=1)


class Boom(Exception):
    pass


def bad() -> None:
    raise Boom("503")


def good() -> str:
    return "ok"


async def bad_async() -> None:
    raise Boom("503")


async def good_async() -> str:
    return "ok"


def result_of(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        return error


class Listener(aiobreaker.CircuitBreakerListener):  # type: ignore[misc]
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.breakers: set[Any] = set()

    def before_call(self, breaker: Any, func: Any, *args: Any, **kwargs: Any) -> None:
        self.breakers.add(breaker)
        self.heard.append(("before", getattr(func, "__name__", "?"), *args, *kwargs.items()))

    def success(self, breaker: Any) -> None:
        self.heard.append("success")

    def failure(self, breaker: Any, exception: Any) -> None:
        self.heard.append(("failure", str(exception)))

    def state_change(self, breaker: Any, old: Any, new: Any) -> None:
        self.heard.append((old.state.name, new.state.name))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def breaker_of(clock: VirtualClock, **named: Any) -> CircuitBreaker:
    return CircuitBreaker(**{"fail_max": 2, "clock": clock, **named})


def trip(breaker: CircuitBreaker) -> CircuitBreaker:
    for _ in range(breaker.fail_max - breaker.fail_counter):
        assert isinstance(result_of(breaker.call, bad), Boom)
    assert OPEN is breaker.current_state
    return breaker


def test_it_is_a_breaker_of_aiobreaker(clock: VirtualClock) -> None:
    """With the same defaults, and an error that existing `except` clauses catch."""
    breaker = CircuitBreaker(clock=clock)

    assert isinstance(breaker, aiobreaker.CircuitBreaker)
    assert (5, MINUTE, 0, CLOSED) == (
        breaker.fail_max,
        breaker.timeout_duration,
        breaker.fail_counter,
        breaker.current_state,
    )
    assert ((), (), None) == (breaker.listeners, breaker.excluded_exceptions, breaker.name)
    assert isinstance(breaker.state, aiobreaker.state.CircuitClosedState)
    with pytest.raises(aiobreaker.CircuitBreakerError):
        trip(breaker).call(good)


def test_it_opens_and_closes_around_functions(clock: VirtualClock) -> None:
    """Two failures open it for a minute; then a success closes it."""
    breaker = trip(breaker_of(clock))

    refused = result_of(breaker.call, good)
    clock.advance(60.0)

    assert isinstance(refused, CircuitBreakerError)
    assert 2 == breaker.fail_counter
    assert "ok" == breaker.call(good)
    assert (CLOSED, 0) == (breaker.current_state, breaker.fail_counter)


def test_a_late_result_changes_nothing(clock: VirtualClock) -> None:
    """A call that began before the breaker opened ends after it: its success closes nothing and resets nothing."""
    storage = CircuitMemoryStorage(CLOSED)
    breaker = breaker_of(clock, state_storage=storage)

    assert "late" == breaker.call(lambda: trip(breaker) and "late")
    assert (OPEN, 2, 2) == (breaker.current_state, breaker.fail_counter, storage.counter)

    breaker.half_open()
    with pytest.raises(Boom):
        breaker.call(lambda: (breaker.close(), bad()))
    assert (CLOSED, 0) == (breaker.current_state, storage.counter)


def test_arguments_arrive(clock: VirtualClock) -> None:
    """By place and by name."""
    breaker = breaker_of(clock)

    assert (1, {"b": 2}) == breaker.call(lambda *args, **kwargs: (*args, kwargs), 1, b=2)


@pytest.mark.parametrize("run", [asyncio.run, trio.run])
def test_coroutine_functions_are_guarded_on_either_loop(run: Any, clock: VirtualClock) -> None:
    """Also through `call`, also where a plain function gives a coroutine, and where making it fails."""
    breaker = breaker_of(clock, fail_max=5)

    class Called:
        async def __call__(self) -> None:
            raise Boom

    async def scenario() -> list[Any]:
        assert "ok" == await breaker.call_async(good_async)
        assert "ok" == await breaker.call(good_async)
        counters = []
        for call in (
            partial(breaker.call_async, bad_async),
            partial(breaker.call, bad_async),
            partial(breaker.call, lambda: bad_async()),  # noqa: PLW0108  a plain function
            partial(breaker.call_async, bad),
            partial(breaker.call, partial(partial(Called()))),
        ):
            with pytest.raises(Boom):
                await call()
            counters.append(breaker.fail_counter)
        with pytest.raises(CircuitBreakerError):
            await breaker.call(good_async)
        return counters

    counters = run(scenario) if run is trio.run else run(scenario())

    assert ([1, 2, 3, 4, 5], OPEN) == (counters, breaker.current_state)


def test_a_cancelled_call_counts_for_nothing(clock: VirtualClock) -> None:
    """Plain ones too: whoever presses Ctrl-C says nothing of the system."""
    breaker = trip(breaker_of(clock))
    clock.advance(60.0)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaker.call(interrupted)

    assert HALF_OPEN is breaker.current_state
    assert "ok" == breaker.call(good)


def test_an_excluded_exception_counts_for_nothing(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    """Classes and predicates; one that fails itself excludes nothing, and the caller sees its own exception."""
    breaker = breaker_of(clock, exclude=[KeyError, lambda error: "503" in str(error)])
    breaker.add_excluded_exception(LookupError)

    def raising(error: Exception) -> Callable[[], None]:
        def function() -> None:
            raise error

        return function

    for error in (KeyError("a"), IndexError(), Boom("503")):
        assert error is result_of(breaker.call, raising(error))
    assert 0 == breaker.fail_counter

    broken = breaker_of(clock, exclude=[lambda error: error.status == 404])
    assert isinstance(result_of(broken.call, bad), Boom)
    assert 1 == broken.fail_counter
    assert ["a predicate that excludes exceptions from a circuit breaker failed"] == caplog.messages


def test_a_generator_counts_when_it_ends(clock: VirtualClock) -> None:
    """It gets what is sent and thrown into it, and its value is kept."""
    breaker = breaker_of(clock, fail_max=1)
    seen: list[Any] = []

    def function() -> Generator[int, str, str]:
        seen.append((yield 1))
        try:
            yield 2
        except KeyError:
            seen.append("thrown")
        yield 3
        return "value"

    generator = breaker.call(function)
    steps = [next(generator), generator.send("sent"), generator.throw(KeyError())]
    with pytest.raises(StopIteration) as end:
        next(generator)

    assert ([1, 2, 3], ["sent", "thrown"], "value") == (steps, seen, end.value.value)
    assert CLOSED is breaker.current_state


def test_a_generator_that_fails_is_a_failure_and_one_that_is_left_is_none(clock: VirtualClock) -> None:
    """As a probe the second gives its place back."""
    breaker = breaker_of(clock, fail_max=1)

    def failing() -> Iterator[int]:
        yield 1
        raise Boom

    assert isinstance(result_of(list, breaker.call(failing)), Boom)
    assert OPEN is breaker.current_state
    clock.advance(60.0)
    left = breaker.call(failing)
    next(left)
    assert isinstance(result_of(breaker.call, good), CircuitBreakerError)
    left.close()

    assert HALF_OPEN is breaker.current_state
    assert "ok" == breaker.call(good)


def test_an_asynchronous_generator_counts_when_it_ends(clock: VirtualClock) -> None:
    """The same with `asend`, `athrow` and `aclose`."""
    breaker = breaker_of(clock, fail_max=1)
    seen: list[Any] = []

    async def function(*, fails: bool = False) -> AsyncGenerator[int, str]:
        try:
            seen.append((yield 1))
            try:
                yield 2
            except KeyError:
                seen.append("thrown")
            yield 3
            if fails:
                raise Boom
        finally:
            seen.append("closed")

    async def scenario() -> None:
        generator = breaker.call(function)
        assert [1, 2, 3] == [
            await anext(generator), await generator.asend("sent"), await generator.athrow(KeyError())
        ]  # fmt: skip
        with pytest.raises(StopAsyncIteration):
            await anext(generator)
        assert ["sent", "thrown", "closed"] == seen
        assert CLOSED is breaker.current_state

        with pytest.raises(Boom):
            _ = [item async for item in breaker.call(function, fails=True)]
        assert OPEN is breaker.current_state

        clock.advance(60.0)
        seen.clear()
        left = breaker.call(function)
        await anext(left)
        with pytest.raises(CircuitBreakerError):
            breaker.call(good)
        await left.aclose()
        assert ["closed"] == seen
        assert "ok" == breaker.call(good)

    asyncio.run(scenario())


def test_as_a_decorator_it_guards_plain_and_coroutine_functions_once(clock: VirtualClock) -> None:
    """A decorated function that is also called through its breaker counts once."""
    breaker = breaker_of(clock, fail_max=100)

    @breaker
    def plain() -> None:
        """Says no."""
        raise Boom

    @breaker(ignore_on_call=True)
    async def asynchronous() -> None:
        raise Boom

    with pytest.raises(Boom):
        plain()
    with pytest.raises(Boom):
        breaker.call(plain)
    with pytest.raises(Boom):
        asyncio.run(asynchronous())
    with pytest.raises(Boom):
        asyncio.run(breaker.call_async(asynchronous))

    assert ("plain", "Says no.", 4) == (plain.__name__, plain.__doc__, breaker.fail_counter)


def test_options_of_policies_are_options_here(clock: VirtualClock) -> None:
    """Times as texts or as timedeltas."""
    breaker = breaker_of(
        clock,
        fail_max=1,
        timeout_duration=timedelta(seconds=2),
        multiplier=3,
        max_open=timedelta(seconds=5),
        probes=2,
        close_after=2,
        probe_lease="10s",
    )

    times = []
    for _ in range(3):
        result_of(breaker.call, bad)
        times.append(breaker.time_until_open)
        clock.advance(times[-1].total_seconds() if times[-1] else 0.0)

    assert [timedelta(seconds=seconds) for seconds in (2, 5, 5)] == times
    assert ["ok", HALF_OPEN, "ok", CLOSED] == [
        breaker.call(good),
        breaker.current_state,
        breaker.call(good),
        breaker.current_state,
    ]


def test_jitter_is_drawn_only_where_there_is_any(clock: VirtualClock) -> None:
    """Half of the chance of one tenth."""
    clock = VirtualClock(chances=[0.5])
    breaker = trip(breaker_of(clock, fail_max=1, jitter=0.1))

    assert timedelta(seconds=63) == breaker.time_until_open


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"fail_max": 0}, "consecutive_failures: Input should be greater than or equal to 1"),
        ({"timeout_duration": timedelta(seconds=-1)}, "cannot be open for -1 day"),
        ({"window": 60}, "window: 60 has no unit"),
        ({"nothing": 1}, "nothing: Extra inputs are not permitted"),
        ({"close_after": 2, "close_window": 1}, "these options: 'close_window' is smaller"),
    ],
)
def test_what_cannot_be_honoured_is_refused(named: dict[str, Any], message: str) -> None:
    """When it is made, with what is wrong."""
    with pytest.raises(ConfigurationError, match=message):
        CircuitBreaker(**named)


def test_settings_may_change_later(clock: VirtualClock) -> None:
    """From the next decision on."""
    breaker = breaker_of(clock)
    breaker.fail_max = 1
    breaker.timeout_duration = timedelta(seconds=5)
    breaker.name = "stripe"

    trip(breaker)

    assert (1, timedelta(seconds=5)) == (breaker.fail_counter, breaker.time_until_open)
    assert "the circuit breaker stripe is open until another 5s have passed" == str(result_of(breaker.call, good))
    with pytest.raises(ConfigurationError):
        breaker.fail_max = 0
    assert (1, timedelta(seconds=5)) == (breaker.fail_max, breaker.timeout_duration)


def test_by_hand_it_goes_to_any_state(clock: VirtualClock) -> None:
    """Isolated it is open to aiobreaker, and nobody knows until when."""
    listener = Listener()
    breaker = breaker_of(clock, listeners=[listener])

    breaker.open()
    opened = breaker.time_until_open
    breaker.half_open()
    breaker.close()
    breaker.isolate()
    clock.advance(86400.0)
    refused = result_of(breaker.call, good)

    assert MINUTE == opened
    assert [("CLOSED", "OPEN"), ("OPEN", "HALF_OPEN"), ("HALF_OPEN", "CLOSED"), ("CLOSED", "OPEN")] == listener.heard
    assert (OPEN, True) == (breaker.current_state, breaker.is_isolated)
    assert (NEVER, timedelta.max) == (breaker.opens_at, breaker.time_until_open)
    assert (NEVER, timedelta.max) == (refused.reopen_time, refused.time_remaining)
    assert "the circuit breaker is isolated until a hand closes it" == str(refused)
    breaker.state = CLOSED
    assert ("ok", False) == (breaker.call(good), breaker.is_isolated)


@pytest.mark.parametrize("run", [asyncio.run, trio.run])
def test_one_can_sleep_until_a_call_will_be_let_through(run: Any, clock: VirtualClock) -> None:
    """By the breaker or by its error, on either loop; an isolated one is asked again after the usual time."""
    breaker = trip(breaker_of(clock))
    clock.advance(20.0)
    refused = result_of(breaker.call, good)

    async def scenario() -> None:
        await refused.sleep_until_open()
        assert [40.0] == clock.slept
        assert (timedelta(0), None) == (refused.time_remaining, breaker.time_until_open)
        await breaker.sleep_until_open()
        breaker.isolate()
        await breaker.sleep_until_open()
        with pytest.raises(CircuitBreakerError) as isolated:
            await breaker.call_async(good_async)
        await isolated.value.sleep_until_open()

    run(scenario) if run is trio.run else run(scenario())

    assert [40.0, 0.0, 60.0, 60.0] == clock.slept


def test_the_error_survives_a_process_pool() -> None:
    """Pickled and read again it says the same, and tells the time by the machine's clock."""
    local = datetime.now().replace(microsecond=0) + MINUTE  # noqa: DTZ005  as aiobreaker has it
    error = pickle.loads(pickle.dumps(CircuitBreakerError("closed for today", local)))

    assert ("closed for today", local) == (str(error), error.reopen_time)
    assert timedelta(seconds=50) < error.time_remaining <= timedelta(seconds=60)


def test_a_listener_hears_what_aiobreakers_would(clock: VirtualClock) -> None:
    """Calls that are let through, results, and changes of state in aiobreaker's own objects."""
    listener = Listener()
    breaker = breaker_of(clock, fail_max=1, listeners=[listener])

    breaker.call(lambda *args, **kwargs: None, 1, b=2)
    result_of(breaker.call, bad)
    result_of(breaker.call, good)
    clock.advance(60.0)
    breaker.call(good)

    assert [
        ("before", "<lambda>", 1, ("b", 2)), "success",
        ("before", "bad"), ("failure", "503"), ("CLOSED", "OPEN"),
        ("OPEN", "HALF_OPEN"), ("before", "good"), ("HALF_OPEN", "CLOSED"), "success",
    ] == listener.heard  # fmt: skip
    assert {breaker} == listener.breakers


def test_a_storage_is_kept_in_step(clock: VirtualClock) -> None:
    """State, counter and time of opening, in UTC as aiobreaker writes it."""
    storage = CircuitMemoryStorage(CLOSED)
    breaker = breaker_of(clock, state_storage=storage)

    result_of(breaker.call, bad)
    one = storage.counter
    breaker.call(good)
    none = storage.counter
    trip(breaker)

    assert (1, 0, OPEN, 2) == (one, none, storage.state, storage.counter)
    assert datetime.fromisoformat("2026-01-01T00:00:00") == storage.opened_at
    clock.advance(60.0)
    breaker.call(good)
    assert (CLOSED, 0) == (storage.state, breaker.fail_counter)


def test_a_storage_is_obeyed_when_somebody_else_has_changed_it(clock: VirtualClock) -> None:
    """Opened elsewhere ten seconds ago it is open for fifty more; closed or half-opened elsewhere it is that."""
    storage, listener = CircuitMemoryStorage(CLOSED), Listener()
    breaker = breaker_of(clock, state_storage=storage, listeners=[listener])
    clock.advance(10.0)

    storage.opened_at = datetime.fromisoformat("2026-01-01T00:00:00")
    storage.state = OPEN
    refused = result_of(breaker.call, good)
    storage.state = CLOSED
    let_through = breaker.call(good)
    storage.state = HALF_OPEN
    half_open = breaker.current_state
    storage.opened_at, storage.state = None, OPEN

    assert timedelta(seconds=50) == refused.time_remaining
    assert ("ok", HALF_OPEN, OPEN) == (let_through, half_open, breaker.current_state)
    assert MINUTE == breaker.time_until_open
    changes = [("CLOSED", "OPEN"), ("OPEN", "CLOSED"), ("CLOSED", "HALF_OPEN"), ("HALF_OPEN", "OPEN")]
    assert changes == [each for each in listener.heard if isinstance(each, tuple) and each[0].isupper()]


def test_a_storage_that_was_open_before_opens_the_breaker(clock: VirtualClock) -> None:
    """And somebody who isolated the same state is not told twice."""
    storage = CircuitMemoryStorage(OPEN)

    breaker = breaker_of(clock, state_storage=storage)

    assert OPEN is breaker.current_state
    store = MemoryStore()
    first = breaker_of(clock, store=store, name="one")
    first.isolate()
    listener = Listener()
    breaker_of(clock, store=store, name="one", state_storage=storage, listeners=[listener])
    assert [] == listener.heard


def test_failures_of_all_who_share_a_storage_open_it(clock: VirtualClock) -> None:
    """One here and one there are two."""
    storage = CircuitMemoryStorage(CLOSED)
    first, second = (breaker_of(clock, state_storage=storage) for _ in range(2))

    result_of(first.call, bad)
    result_of(second.call, bad)

    assert (OPEN, OPEN) == (first.current_state, second.current_state)


def test_a_storage_that_fails_fails_nothing_else(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once for each kind of error."""

    class Failing:
        broken = True

        def __getattr__(self, name: str) -> Any:
            if self.broken:
                raise ConnectionError("no storage")
            return getattr(CircuitMemoryStorage(CLOSED), name)

        def __setattr__(self, name: str, value: Any) -> None:
            raise ConnectionError("no storage")

    breaker = breaker_of(clock, state_storage=Failing())

    trip(breaker)
    said = list(caplog.messages)
    clock.advance(60.0)
    Failing.broken = False
    breaker.call(good)
    Failing.broken = True
    breaker.call(good)

    expected = (
        "the storage Failing of a circuit breaker fails (ConnectionError: no storage); the breaker goes on without it"
    )
    assert ([expected], [expected]) == (said, caplog.messages)
    assert (CLOSED, 0) == (breaker.current_state, breaker.fail_counter)


def test_a_storage_that_swallows_what_it_is_told_closes_nothing(clock: VirtualClock) -> None:
    """It still says "closed" after the breaker has opened: that is no word of somebody else."""

    class Swallowing(CircuitMemoryStorage):  # type: ignore[misc]
        @property
        def state(self) -> Any:
            return CLOSED

        @state.setter
        def state(self, state: Any) -> None:
            pass

    breaker = trip(breaker_of(clock, state_storage=Swallowing(CLOSED)))

    assert isinstance(result_of(breaker.call, good), CircuitBreakerError)
    assert OPEN is breaker.current_state


def test_breakers_of_one_name_share_a_store(clock: VirtualClock) -> None:
    """Those without a name are each for itself."""
    store = MemoryStore()
    first, second, other = (breaker_of(clock, store=store, name=name) for name in ("a", "a", "b"))
    nameless = [breaker_of(clock, store=store) for _ in range(2)]

    trip(first)
    trip(nameless[0])

    assert [OPEN, CLOSED, CLOSED] == [breaker.current_state for breaker in (second, other, nameless[1])]


class FarStore(MemoryStore):
    """A store that an event loop must not wait for."""

    instant = False
    asked: list[str]

    def tell(self, command: Command, now: float, /) -> None:
        self.asked.append(f"tell {command.name}")
        super().tell(command, now)


def test_a_store_that_is_far_away_is_asked_without_blocking_the_loop(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decisions are awaited, and what is given back by a cancelled call is told without waiting."""
    asked: list[str] = []
    store = FarStore()
    store.asked = asked

    async def ask(where: Any, command: Command, now: float) -> Any:
        asked.append(command.name)
        return where.run(command, now)

    monkeypatch.setattr("resilience.stores.ask", ask)
    breaker = breaker_of(clock, fail_max=1, store=store)

    async def scenario() -> None:
        with pytest.raises(Boom):
            await breaker.call_async(bad_async)
        clock.advance(60.0)
        task = asyncio.create_task(breaker.call_async(asyncio.sleep, 60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await breaker.call_async(good_async)

    asyncio.run(scenario())

    assert [
        "breaker.admit", "breaker.record", "breaker.admit", "tell breaker.release", "breaker.admit", "breaker.record",
    ] == asked  # fmt: skip


@pytest.mark.parametrize("fails", [False, True])
def test_what_an_asynchronous_generator_came_to_is_told_without_blocking_the_loop(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """As what a coroutine came to."""
    asked: list[str] = []

    async def ask(where: Any, command: Command, now: float) -> Any:
        asked.append(command.name)
        return where.run(command, now)

    async def function() -> AsyncGenerator[int]:
        yield 1
        if fails:
            raise Boom

    monkeypatch.setattr("resilience.stores.ask", ask)
    breaker = breaker_of(clock, fail_max=1, store=FarStore())

    async def scenario() -> None:
        with contextlib.suppress(Boom):
            assert [1] == [item async for item in breaker.call(function)]

    asyncio.run(scenario())

    assert ["breaker.record"] == asked
    assert (OPEN if fails else CLOSED) is breaker.current_state


# Listeners of the breakers of policies


@pytest.fixture
def listener() -> Iterator[Listener]:
    """One that hears of all breakers, while the test runs."""
    heard = Listener()
    listen(heard)
    yield heard
    if Heard.by is not None:
        forget(heard)


def test_a_listener_hears_of_the_breakers_of_policies(listener: Listener) -> None:
    """Attempts, answers that count, errors, and changes of state, of the breaker whose name is the key."""
    bench = Bench(500)

    bench.call()
    bench.call()
    bench.call()
    bench.clock.advance(10.0)
    bench.status = 404
    bench.call()
    bench.status = 200
    bench.call()

    sending = [each for each in listener.heard if isinstance(each, tuple) and each[0] == "before"]
    assert [("before", "send")] * 4 == [each[:2] for each in sending]
    assert all(isinstance(each[2], httpx.Request) for each in sending)
    assert [
        ("failure", "500 server_error"), ("failure", "500 server_error"), ("CLOSED", "OPEN"),
        ("OPEN", "HALF_OPEN"), "success", ("HALF_OPEN", "CLOSED"),
    ] == [each for each in listener.heard if each not in sending]  # fmt: skip
    assert [next(bench.store.scan())[0]] == [breaker.name for breaker in listener.breakers]


def test_a_listener_gets_the_exception_or_the_answer() -> None:
    """What the transport raised, or the answer with what it means."""
    errors: list[Any] = []

    class Failures(Listener):
        def failure(self, breaker: Any, exception: Any) -> None:
            errors.append(exception)

    def answer(request: httpx.Request) -> httpx.Response:
        if not errors:
            raise httpx.ConnectError("refused")
        return httpx.Response(503)

    bench = Bench(answer)
    failures = Failures()
    listen(failures)
    try:
        bench.call()
        bench.call()
    finally:
        forget(failures)

    assert isinstance(errors[0], httpx.ConnectError)
    assert isinstance(errors[1], AnswerFailed)
    assert (503, "upstream_unavailable") == (errors[1].response.status_code, errors[1].verdict.category)


def test_the_breaker_that_a_listener_gets_acts_on_the_shared_state(listener: Listener) -> None:
    """It can be isolated and closed, and says how it stands; there is one for each key."""
    bench = Bench(200)
    bench.call()
    (breaker,) = listener.breakers

    breaker.isolate()
    stopped = bench.call()
    state = breaker.current_state
    breaker.close()

    assert stopped.refusal is not None
    assert "isolated" in stopped.refusal.reason
    assert OPEN is state
    assert bench.call().refusal is None
    assert {breaker} == listener.breakers
    assert (2, timedelta(seconds=10)) == (breaker.fail_max, breaker.timeout_duration)


def test_a_listener_that_raises_harms_no_call(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    """Nor the other listeners."""

    class Raising(Listener):
        def success(self, breaker: Any) -> None:
            raise RuntimeError("metrics down")

    raising = Raising()
    listen(raising)
    bench = Bench(200)

    outcome = bench.call()
    forget(raising)
    bench.call()

    assert outcome.response is not None
    assert 2 == listener.heard.count("success")
    assert 1 == len(caplog.messages)


@pytest.mark.parametrize("event", ["state_change", "before_call"])
def test_a_listener_that_ends_the_program_leaves_no_probe_behind(event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes on after that, as a server does, has its place for the next call."""
    bench = Bench(200).trip()
    bench.clock.advance(10.0)
    ending = Listener()

    def end(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(ending, event, end)
    listen(ending)
    with pytest.raises(SystemExit):
        bench.call()
    forget(ending)

    assert (0, 0) == (bench.sent, bench.state["probes"])
    assert bench.call().refusal is None
    assert "closed" == bench.state["state"]


class Deaf:
    """Hears of all but one thing."""

    def before_call(self, breaker: Any, func: Any, *args: Any, **kwargs: Any) -> None: ...
    def success(self, breaker: Any) -> None: ...
    def failure(self, breaker: Any, exception: Any) -> None: ...


@pytest.mark.parametrize("given", ["x", None, print, Listener, Deaf()], ids=lambda given: type(given).__name__)
def test_only_a_listener_can_listen(given: Any) -> None:
    """Whatever cannot hear of everything is refused where it is given, and no call meets it."""
    with pytest.raises(TypeError) as caught:
        listen(given)

    message = str(caught.value)
    assert "the methods before_call, success, failure and state_change, such as" in message
    assert message.endswith("this is the class Listener" if given is Listener else f"this is {given!r:.60}")
    assert Heard.by is None


def test_a_listener_needs_no_class_of_aiobreaker() -> None:
    """Its methods are what it is called by."""

    class Duck(Deaf):
        def state_change(self, breaker: Any, old: Any, new: Any) -> None: ...

    duck = Duck()

    listen(duck)

    assert Heard.by is not None
    forget(duck)


def test_whoever_does_not_listen_cannot_be_forgotten(listener: Listener) -> None:
    """The last one that goes takes the costs along."""
    with pytest.raises(ValueError, match="not in list"):
        forget(Listener())
    forget(listener)

    Bench(200).call()

    assert (None, []) == (Heard.by, listener.heard)


def test_whoever_comes_while_the_last_one_goes_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listeners come and go in any thread."""
    going, coming = Listener(), Listener()
    threads: list[threading.Thread] = []

    class Looked(list[Any]):
        def __len__(self) -> int:
            found = super().__len__()
            if not found and not threads:
                threads.append(threading.Thread(target=listen, args=(coming,)))
                threads[0].start()
                # It ends at once where nothing keeps it.
                threads[0].join(0.1)
            return found

    monkeypatch.setattr(resilience.breaker._listening, "listeners", Looked())
    listen(going)

    forget(going)
    threads[0].join()

    assert Heard.by is not None
    forget(coming)
    assert Heard.by is None


def test_breaker_objects_are_bounded(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that nobody has called for longest goes, and is made anew when it is called again."""
    monkeypatch.setattr("resilience._breaker_listeners._MOST_BREAKERS", 2)
    bench = Bench(200, match={"hosts": ["*.test"]})

    for name in ("a", "b", "a", "c", "a"):
        bench.call(url=f"https://{name}.test/")
    assert 3 == len(listener.breakers)
    bench.call(url="https://b.test/")

    assert 4 == len(listener.breakers)


def test_without_listeners_aiobreaker_is_not_imported() -> None:
    """A policy's breaker needs none of it."""
    script = "import sys, resilience.httpx, resilience._breaker; print('aiobreaker' in sys.modules)"

    assert (
        "False\n" == subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    )


def test_without_aiobreaker_the_module_says_what_it_needs() -> None:
    """With the command that brings it."""
    script = "import sys; sys.modules['aiobreaker'] = None; import resilience.breaker"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert "resilience.breaker needs aiobreaker; install it with: pip install aiobreaker" in done.stderr
    assert {"listen", "forget", "CircuitBreaker", "CircuitBreakerError", "AnswerFailed"} == set(
        resilience.breaker.__all__
    )
