"""Calls wait in front of the connection pool, in their order, and only while this program is busy."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import resilience
from resilience import Policy, _gate
from resilience._config import policies_for
from resilience._gate import Gate
from resilience._gate_room import Room, Work
from resilience._pool_gate import gate_of, leave
from resilience._worked import Worked
from resilience.testing import VirtualClock

from .rawserver import answer, raw_server

LIBRARIES = {"httpx": httpx, "httpx2": httpx2}
ADAPTERS: dict[str, Any] = {"httpx": resilience.httpx, "httpx2": resilience.httpx2}
LOOK, FEWEST = _gate._SOON, _gate._FEWEST


def full(gate: Gate) -> None:
    while gate.try_enter():
        pass


def work(seconds: float) -> Worked:
    return Worked(seconds, 0.0)


class Looking:
    """Somebody who waits and looks, while the program is idle or busy for some looks."""

    def __init__(self, gate: Gate) -> None:
        self.gate, self.waker = gate, gate.join()
        self.now = self.worked = 0.0
        assert gate.is_looking(self.waker)
        gate.measure(self.now, work(self.worked))

    def pass_time(self, looks: int, busy: float, ended: int = 0) -> None:
        for _ in range(looks):
            self.gate._ended += ended
            self.now += LOOK
            self.worked += LOOK * busy
            self.gate.measure(self.now, work(self.worked))


def test_a_few_go_in_at_once_and_the_next_does_not() -> None:
    """Nothing but a comparison stands before them."""
    gate = Gate()

    entered = [gate.try_enter() for _ in range(FEWEST + 1)]

    assert [*[True] * FEWEST, False] == entered


def test_who_leaves_lets_the_first_of_the_line_in() -> None:
    """And wakes no other."""
    gate = Gate()
    full(gate)
    first, second = gate.join(), gate.join()

    gate.leave(0.0)

    assert (True, False) == (first.called, second.called)
    assert (True, False) == (gate.is_served(first), gate.is_served(second))
    assert FEWEST == gate.inside


def test_nobody_overtakes_the_line() -> None:
    """There is room again, but somebody waits for it."""
    gate = Gate()
    full(gate)
    waiting = gate.join()
    gate._room.size += 1

    assert not gate.try_enter()
    assert not gate.is_served(waiting)


def test_an_idle_program_lets_more_and_more_in() -> None:
    """Twice as many with each look: what the network takes long for is in flight within a few of them."""
    gate = Gate()
    full(gate)
    looking = Looking(gate)
    others = [gate.join() for _ in range(200)]
    rooms: list[float] = []

    for _ in range(4):
        looking.pass_time(1, busy=0.0)
        rooms.append(gate.room)

    assert [FEWEST * 2, FEWEST * 4, FEWEST * 8, FEWEST * 16] == rooms
    assert FEWEST * 16 == gate.inside
    assert gate.inside - FEWEST - 1 == sum(map(gate.is_served, others))


def test_a_busy_program_lets_nobody_more_in() -> None:
    """Another call would only make all of them dearer."""
    gate = Gate()
    full(gate)
    looking = Looking(gate)

    looking.pass_time(20, busy=1.0, ended=4)

    assert (FEWEST, 1) == (gate.room, gate.waiting)


def test_a_program_that_is_busy_is_looked_at_less_often() -> None:
    """Looks cost as well, and none comes before its time."""
    gate = Gate()
    full(gate)
    looking = Looking(gate)
    looking.pass_time(1, busy=1.0, ended=10)
    now, worked = looking.now, looking.worked

    busy = gate.measure(now + LOOK, work(worked + LOOK))
    early = gate.measure(now + 1.5 * LOOK, work(worked + 1.5 * LOOK))
    for number in range(1, 20):
        rests = gate.measure(now + LOOK + number * 0.1, work(worked + LOOK))

    assert (_gate._LATER, pytest.approx(LOOK / 2), LOOK) == (busy, early, rests)


def test_calls_that_wait_for_the_network_do_not_wait_for_a_program_that_is_busy_elsewhere() -> None:
    """No call of these ends, so it is not they who keep it busy."""
    gate = Gate()
    full(gate)
    looking = Looking(gate)

    looking.pass_time(20, busy=1.0)

    assert gate.is_served(looking.waker)


def test_what_a_call_costs_inside_is_learned_where_it_is_crowded() -> None:
    """Of each eighth; while there is room for all nobody counts."""
    gate = Gate()
    alone: list[bool] = []
    for _ in range(16):
        alone.append(gate.try_enter() and gate.is_sampled)
        gate.leave(0.0)
    full(gate)
    gate._room.size = 100.0
    crowded = [gate.try_enter() and gate.is_sampled for _ in range(16)]

    assert not any(alone)
    assert all(crowded)
    gate.costs(0.5)
    assert 0.5 == gate._cost
    assert 2 == sum(gate.try_enter() and gate.is_sampled for _ in range(16))
    for _ in range(100):
        gate.costs(0.01)
    assert pytest.approx(0.01, rel=0.01) == gate._cost


def test_who_leaves_measures_where_many_are_inside() -> None:
    """Nobody needs to wait for it; and while there are few nobody does."""
    gate = Gate()
    for _ in range(FEWEST):
        gate.try_enter()
    assert not gate.leave(10.0)
    gate._room.size = 20.0
    full(gate)
    assert gate.leave(20.0)
    gate.try_enter()
    gate.measure(20.0, work(0.0))
    assert not gate.leave(20.0 + _gate._LATER / 2)
    assert gate.leave(20.0 + _gate._LATER * 1.5)

    gate.costs(1.0)
    gate.measure(20.1, work(0.1))

    assert gate.room < 19
    for _ in range(20):
        gate.leave(20.1)
    assert 0 == gate.inside
    gate.measure(20.2, work(0.2))
    assert not gate.leave(20.3)


def test_a_program_that_rests_since_nobody_calls_makes_no_room() -> None:
    """Only those who wait need some."""
    gate = Gate()
    full(gate)
    for number in range(10):
        gate.measure(number * LOOK, work(0.0))

    assert FEWEST == gate.room


def test_what_a_call_measures_when_it_leaves_is_its_runtimes() -> None:
    """Of the time that its thread has worked."""

    class Runtime:
        clock = VirtualClock()
        asked = 0

        def worked(self) -> Worked:
            self.asked += 1
            return work(0.0)

    gate, runtime = Gate(), Runtime()
    gate._room.size = 50.0
    full(gate)
    waiting = [gate.join() for _ in range(3)]
    for _ in range(3):
        runtime.clock.advance(1.0)
        leave(gate, runtime)  # type: ignore[arg-type]  what it asks for of a runtime

    assert (3, True) == (runtime.asked, all(map(gate.is_served, waiting)))
    assert 50 < gate.room


def test_what_was_measured_before_nobody_was_inside_says_nothing_of_those_who_come_then() -> None:
    """Neither that the program was busy then, nor that it has rested since."""
    gate = Gate()
    full(gate)
    looking = Looking(gate)
    looking.pass_time(20, busy=1.0, ended=4)
    gate.give_up(looking.waker, 1.0)
    for _ in range(FEWEST):
        gate.leave(1.0)
    full(gate)
    waker = gate.join()

    assert gate.is_looking(waker)
    assert LOOK == gate.measure(100.0, work(1.0))
    assert FEWEST == gate.room
    gate.measure(100.0 + 1.01 * LOOK, work(1.0))
    assert FEWEST * 2 == gate.room


def test_a_line_that_forms_again_and_again_is_measured_all_the_same() -> None:
    """Each of those who wait is let in before it has measured anything by itself."""
    gate = Gate()
    full(gate)
    now = 0.0

    for _ in range(100):
        waker = gate.join()
        if gate.is_looking(waker):
            gate.measure(now, work(now / 2))
        now += LOOK / 2
        if gate.leave(now):
            gate.measure(now, work(now / 2))

    assert gate.room > FEWEST


def test_there_is_never_more_room_than_the_pool_has_connections() -> None:
    """Whoever waits inside of the pool costs the others more than in the line."""
    gate = Gate(most=5)
    full(gate)
    looking = Looking(gate)
    for _ in range(3):
        gate.join()

    looking.pass_time(20, busy=0.0)

    assert 5 == gate.room == gate.inside


def test_a_number_that_the_user_gave_stays() -> None:
    """Whether the program is idle or not; and nobody looks."""
    gate = Gate(2)
    full(gate)
    waiting = gate.join()

    assert not gate.is_looking(waiting)
    assert (2, 1) == (gate.inside, gate.waiting)
    assert not gate.leave(100.0)


def test_somebody_looks_for_as_long_as_anybody_waits() -> None:
    """When the one that looks comes in or gives up, the last of the line is woken for it."""
    gate = Gate()
    full(gate)
    Looking(gate)
    _, last = gate.join(), gate.join()

    gate.leave(0.0)

    assert last.called
    assert gate._looker is last


def test_who_gives_up_after_being_served_passes_the_place_on() -> None:
    """A cancellation may come between the two."""
    gate = Gate()
    full(gate)
    first, second = gate.join(), gate.join()
    gate.leave(0.0)

    gate.give_up(first, 0.0)

    assert gate.is_served(second)
    assert FEWEST == gate.inside


def test_a_forked_child_begins_with_an_empty_gate() -> None:
    """Who is inside or waits is its parent's, and may not be waited for."""
    gate = Gate()
    full(gate)
    gate.join()
    gate._lock.acquire()

    gate.renew()
    gate.leave(0.0)

    assert (0, 0) == (gate.inside, gate.waiting)
    assert gate.try_enter()


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["come", "leave", "cancel", "idle", "busy"]), st.integers(0, 50)), max_size=200
    ),
    most=st.integers(1, 12),
    fixed=st.none() | st.integers(1, 6),
)
def test_whatever_comes_the_order_is_kept_and_nobody_is_lost(
    steps: list[tuple[str, int]], most: int, fixed: int | None
) -> None:
    """Never more inside than there are connections, first come first served, and all are served in the end."""
    gate = Gate(fixed, most)
    line: list[Any] = []
    inside, now, worked = 0, 0.0, 0.0

    def settle() -> None:
        nonlocal inside
        served = [waker for waker in line if gate.is_served(waker)]
        assert line[: len(served)] == served
        assert all(waker.called for waker in served)
        del line[: len(served)]
        inside += len(served)
        assert inside == gate.inside <= min(most, fixed or most)
        assert len(line) == gate.waiting

    for what, which in steps:
        if what == "come":
            if gate.try_enter():
                assert not line
                inside += 1
            else:
                line.append(gate.join())
        elif what == "leave" and inside:
            inside -= 1
            gate.leave(0.0)
        elif what == "cancel" and line:
            gate.give_up(line.pop(which % len(line)), now)
        elif what in {"idle", "busy"} and line:
            now, worked = now + LOOK, worked + (LOOK if what == "busy" else 0.0)
            assert sum(map(gate.is_looking, line)) == (fixed is None)
            gate.measure(now, work(worked))
        settle()
    while inside:
        inside -= 1
        gate.leave(0.0)
        settle()

    assert not line


def client_of(library: str, url: str, gate: Any = "auto", max_attempts: int = 1, **named: Any) -> Any:
    parts = {"match": {"hosts": [url.removeprefix("http://")]}, "retry": {"max_attempts": max_attempts}}
    client = LIBRARIES[library].AsyncClient(**named)
    policies = policies_for([Policy.model_validate({"version": 1, "provider": "provider", **parts})])
    policies.gate = gate
    client._transport = ADAPTERS[library].Transport(client._transport, policies=policies)
    return client


def its_gate(library: str, client: Any) -> Gate:
    gate = gate_of(ADAPTERS[library].LIBRARY, client._transport.inner, 1)
    assert gate is not None
    return gate


def run(backend: str, main: Callable[[], Any]) -> None:
    if backend == "trio":
        trio.run(main)
    else:
        anyio.run(main)


everywhere = pytest.mark.parametrize(
    ("backend", "library"), [(backend, library) for backend in ("asyncio", "trio") for library in LIBRARIES]
)


class Barrier:
    """A server that answers nobody before so many requests have come."""

    def __init__(self, number: int) -> None:
        self.barrier = threading.Barrier(number)
        self.released = threading.Event()

    def __call__(self, client: Any) -> bool:
        self.barrier.wait(20)
        client.sendall(answer(200, b"{}"))
        return True

    def hold(self, client: Any) -> bool:
        self.released.wait(20)
        client.sendall(answer(200, b"{}"))
        return True


@everywhere
def test_a_slow_provider_gets_all_calls_at_once(backend: str, library: str) -> None:
    """Sixty calls, none of which is answered before all have come."""
    with raw_server(Barrier(60)) as server:

        async def main() -> None:
            async with client_of(library, server.url, timeout=20) as client, anyio.create_task_group() as tasks:
                for _ in range(60):
                    tasks.start_soon(client.get, server.url)

        run(backend, main)

        assert 60 == len(server.requests)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_calls_that_crowd_are_measured(backend: str) -> None:
    """What some of them cost, and so how much of the program's work is theirs."""
    gates: list[Gate] = []
    with raw_server(Barrier(40)) as server:

        async def main() -> None:
            async with client_of("httpx", server.url, timeout=20) as client, anyio.create_task_group() as tasks:
                gate = gate_of(ADAPTERS["httpx"].LIBRARY, client._transport.inner, "auto")
                assert gate is not None
                gates.append(gate)
                for _ in range(40):
                    tasks.start_soon(client.get, server.url)

        run(backend, main)

    assert gates[0]._cost is not None
    assert gates[0]._cost > 0


class Narrow(Room):
    """However little the program does, it is taken for busy."""

    is_growing = False

    def measured(self, seconds: float, work: Work, inside: int, *, is_short: bool) -> None:
        """Let nobody more in."""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("pool", "deadline"), [(0.2, None), (20, 2.0), (None, 2.0)])
def test_nobody_fails_in_front_of_a_pool_that_has_room(
    backend: str, pool: float | None, deadline: float | None
) -> None:
    """Before the time for it is over they come in, whatever the gate thinks."""
    options = {"resilience": {} if deadline is None else {"deadline": deadline}}
    with raw_server(Barrier(3)) as server:

        async def main() -> None:
            timeout = httpx.Timeout(20, pool=pool)
            async with client_of("httpx", server.url, timeout=timeout) as client:
                gate = client._transport.chain._runtime.gate
                gate._room = Narrow(1, 100)
                async with anyio.create_task_group() as tasks:
                    for _ in range(3):
                        tasks.start_soon(functools.partial(client.get, server.url, extensions=options))
                assert (0, 0) == (gate.inside, gate.waiting)

        run(backend, main)

    assert 3 == len(server.requests)


def test_who_cannot_wait_comes_in_where_there_is_room_but_for_the_guess() -> None:
    """Not into a full pool, nor where the number was given; whoever looked is followed by another."""
    gate = Gate(None, 2)
    gate._room = Narrow(1, 2)
    assert gate.try_enter()
    wakers = [gate.join() for _ in range(3)]
    assert gate.is_looking(wakers[0])

    assert gate.come_in(wakers[0])
    assert (2, 2) == (gate.inside, gate.waiting)
    assert gate.is_looking(wakers[2])
    assert wakers[2].called
    assert not gate.come_in(wakers[1])
    for _ in range(2):
        gate.leave(0.0)
    # There was room meanwhile.
    assert gate.come_in(wakers[1])
    assert (1, 1) == (gate.inside, gate.waiting)

    given = Gate(1, 100)
    full(given)
    assert not given.come_in(given.join())


@everywhere
def test_a_wait_in_front_of_the_pool_ends_as_the_wait_for_the_pool_does(backend: str, library: str) -> None:
    """With the library's PoolTimeout, on its request, after the seconds of `pool`; nothing was sent."""
    held = Barrier(1)
    errors: list[Any] = []
    tries: list[int] = []
    with raw_server(held.hold) as server:

        async def main() -> None:
            timeout = LIBRARIES[library].Timeout(20, pool=0.05)
            async with client_of(library, server.url, 1, timeout=timeout) as client, anyio.create_task_group() as tasks:
                tasks.start_soon(client.get, server.url)
                await anyio.wait_all_tasks_blocked()
                gate = its_gate(library, client)
                come_in = gate.come_in
                gate.come_in = lambda waker: tries.append(1) or come_in(waker)  # type: ignore[func-returns-value, method-assign]  # counts
                with pytest.raises(LIBRARIES[library].PoolTimeout, match="in front of the connection pool") as error:
                    await client.get(server.url)
                errors.append(error.value)
                assert 0 == its_gate(library, client).waiting
                held.released.set()

        run(backend, main)

        assert 1 == len(server.requests)
    trail = resilience.trail_of(errors[0])
    assert trail is not None
    assert ["PoolTimeout"] == [attempt.error for attempt in trail.attempts]
    # When half of the time is over, and at its end; whoever waits does not turn in circles.
    assert len(tries) <= 4
    assert server.url == str(errors[0].request.url).rstrip("/")


@everywhere
@pytest.mark.parametrize("attempt_timeout", [None, 10])
def test_the_pool_gets_the_rest_of_its_timeout(backend: str, library: str, attempt_timeout: float | None) -> None:
    """A wait in front of it is a part of the wait for it; a call that has not waited, and the application, see the whole."""
    held, told, own = Barrier(1), list[float](), list[float]()
    module = LIBRARIES[library]

    class Telling(module.AsyncHTTPTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            told.append(request.extensions["timeout"]["pool"])
            return await super().handle_async_request(request)

    with raw_server(held.hold, answer(200, b"{}")) as server:

        async def main() -> None:
            extensions = {"resilience": {"attempt_timeout": attempt_timeout}}
            async with client_of(library, server.url, 1, timeout=5, transport=Telling()) as client:

                async def waits() -> None:
                    response = await client.get(server.url, extensions=extensions)
                    own.append(response.request.extensions["timeout"]["pool"])

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(client.get, server.url)
                    await anyio.wait_all_tasks_blocked()
                    tasks.start_soon(waits)
                    await anyio.wait_all_tasks_blocked()
                    held.released.set()
                await waits()

        run(backend, main)

    first, rest, later = told
    assert [5, 5] == own
    assert (5, 5) == (first, later)
    assert 4 < rest < 5


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_attempt_that_did_not_wait_has_the_whole_timeout_of_the_pool(library: str) -> None:
    """Whatever the one before it has waited."""
    held, told = Barrier(1), list[float]()
    module = LIBRARIES[library]

    class Telling(module.AsyncHTTPTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            told.append(request.extensions["timeout"]["pool"])
            return await super().handle_async_request(request)

    with raw_server(held.hold, answer(503, b"{}"), answer(200, b"{}")) as server:

        async def main() -> None:
            client = client_of(library, server.url, 1, timeout=5, transport=Telling(), max_attempts=2)
            async with client, anyio.create_task_group() as tasks:
                tasks.start_soon(client.get, server.url)
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(client.get, server.url)
                await anyio.wait_all_tasks_blocked()
                held.released.set()

        run("asyncio", main)

    first, waited, again = told
    assert (5, 5) == (first, again)
    assert waited < 5


@everywhere
def test_a_deadline_ends_the_wait_in_front_of_the_pool(backend: str, library: str) -> None:
    """Also where the pool has no timeout."""
    held = Barrier(1)
    with raw_server(held.hold) as server:

        async def main() -> None:
            async with client_of(library, server.url, 1, timeout=None) as client, anyio.create_task_group() as tasks:
                tasks.start_soon(client.get, server.url)
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(ADAPTERS[library].DeadlineExceeded):
                    await client.get(server.url, extensions={"resilience": {"deadline": 0.05}})
                held.released.set()

        run(backend, main)


@everywhere
def test_a_call_that_is_cancelled_in_the_line_leaves_nothing_behind(backend: str, library: str) -> None:
    """Whether it waits or was just let in."""
    held = Barrier(1)
    with raw_server(held.hold) as server:

        async def main() -> None:
            async with client_of(library, server.url, 1, timeout=20) as client:
                gate = its_gate(library, client)
                gate.set(1, 100)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(client.get, server.url)
                    await anyio.wait_all_tasks_blocked()
                    async with anyio.create_task_group() as waiting:
                        for _ in range(5):
                            waiting.start_soon(client.get, server.url)
                        await anyio.wait_all_tasks_blocked()
                        assert 5 == gate.waiting
                        waiting.cancel_scope.cancel()
                    assert (1, 0) == (gate.inside, gate.waiting)
                    held.released.set()
                assert 0 == gate.inside
                assert 200 == (await client.get(server.url)).status_code

        run(backend, main)


@everywhere
def test_an_answer_that_is_being_read_keeps_nobody_out(backend: str, library: str) -> None:
    """Calls that are made while a stream is read go in, also where only one may be in at a time."""
    with raw_server(answer(200, b"{}")) as server:

        async def main() -> None:
            async with client_of(library, server.url, 1, timeout=20) as client:
                async with client.stream("GET", server.url) as outer:
                    inner = await client.get(server.url)
                    assert (200, 200) == (outer.status_code, inner.status_code)

        run(backend, main)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_client_that_is_closed_keeps_nobody_in_the_line(library: str) -> None:
    """They end as every wait of a closed client does."""
    held = Barrier(1)
    with raw_server(held.hold) as server:

        async def main() -> None:
            client = client_of(library, server.url, 1, timeout=None)

            async def waits() -> None:
                with pytest.raises(ADAPTERS[library].ClientClosed):
                    await client.get(server.url)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.get, server.url)
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(waits)
                await anyio.wait_all_tasks_blocked()
                client._transport.chain.close()
                held.released.set()
            await client.aclose()

        run("asyncio", main)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_pool_has_one_gate_whoever_sends_by_it(library: str) -> None:
    """A client that is wrapped again, or gets another configuration, has the pool it had; other pools have others."""
    transport, other = LIBRARIES[library].AsyncHTTPTransport(), LIBRARIES[library].AsyncHTTPTransport()
    of = ADAPTERS[library].LIBRARY

    assert gate_of(of, transport, 3) is gate_of(of, transport, 7)
    assert gate_of(of, transport, 3) is not gate_of(of, other, 3)
    assert gate_of(of, transport, "off") is None


def test_a_pool_that_is_not_slow_has_no_gate_by_itself() -> None:
    """In that of httpx2 a call costs no more than the wait in front of it; who gives a number has one."""
    for library, has_one in (("httpx", True), ("httpx2", False)):
        of, transport = ADAPTERS[library].LIBRARY, LIBRARIES[library].AsyncHTTPTransport()

        assert has_one is (gate_of(of, transport, "auto") is not None)
        assert isinstance(gate_of(of, transport, 5), Gate)


def test_who_waits_goes_when_the_configuration_says_so() -> None:
    """A greater number, or none."""
    of, transport = ADAPTERS["httpx"].LIBRARY, httpx.AsyncHTTPTransport()
    gate = gate_of(of, transport, 1)
    assert gate is not None
    full(gate)
    first, second = gate.join(), gate.join()

    gate_of(of, transport, 2)
    assert [True, False] == [gate.is_served(first), gate.is_served(second)]
    assert gate_of(of, transport, "off") is None
    assert gate.is_served(second)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_gate_knows_how_many_connections_its_pool_has(library: str) -> None:
    """One that speaks HTTP/2 sends many calls over one connection, so that is no bound."""
    module, of = LIBRARIES[library], ADAPTERS[library].LIBRARY
    limits = module.Limits(max_connections=7)

    bounds = [
        gate._room.most
        for transport in (
            module.AsyncHTTPTransport(limits=limits),
            module.AsyncHTTPTransport(),
            module.AsyncHTTPTransport(limits=limits, http2=True),
        )
        if (gate := gate_of(of, transport, 1000))
    ]

    assert [7, 100, 1000] == bounds


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_transport_of_the_applications_own_has_no_gate(library: str) -> None:
    """Nobody knows what is behind it."""
    transport = LIBRARIES[library].MockTransport(lambda _request: None)

    assert gate_of(ADAPTERS[library].LIBRARY, transport, "auto") is None
