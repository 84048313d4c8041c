"""What is around a call, its caller's time and attempts, holds it; and it is told to the service that is called."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilience
import resilience.httpx
import resilience.httpx2
from resilience import errors
from resilience._caller import Caller, attempts_left
from resilience._deadline_header import DeadlineForm, read_deadline, write_deadline
from resilience.errors import ConfigurationError
from resilience.testing import VirtualClock
from tests.rawserver import answer, raw_server
from tests.worlds import HOST, policy

URL = f"https://{HOST}/things/1"
LIBRARIES: dict[str, tuple[Any, Any]] = {"httpx": (httpx, resilience.httpx), "httpx2": (httpx2, resilience.httpx2)}
RETRY = {"max_attempts": 4, "spread": 0, "backoff": {"initial": "1s", "max": "1s", "jitter": "none"}}
TOLD = {"deadline": {"header": "x-left", "as": "milliseconds"}, "attempts": {"header": "x-attempts"}}
FORMS: tuple[DeadlineForm, ...] = ("seconds", "milliseconds", "epoch", "epoch_milliseconds", "rfc3339", "grpc")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """One clock for what is around a call and for the call."""
    clock = VirtualClock()
    monkeypatch.setattr(Caller, "clock", clock)
    return clock


class Provider:
    """Answers with statuses, the last one again and again; notes what was asked, and takes time for it."""

    def __init__(self, clock: VirtualClock, *statuses: int, seconds: float = 0.0) -> None:
        self.requests: list[Any] = []
        self._clock, self._statuses, self._seconds = clock, list(statuses), seconds

    def __call__(self, request: Any) -> Any:
        self.requests.append(dict(request.headers))
        self._clock.advance(self._seconds)
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        module = httpx if isinstance(request, httpx.Request) else httpx2
        return module.Response(status, json={})


def client(library: str, provider: Provider, clock: VirtualClock, **parts: Any) -> Any:
    """A client with one policy, on virtual time."""
    module, adapter = LIBRARIES[library]
    made = policy(**{"retry": RETRY, "breaker": {"off": True}, **parts})
    return module.Client(transport=adapter.Transport(module.MockTransport(provider), policies=[made], clock=clock))


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_time_around_a_call_ends_its_retries(library: str, clock: VirtualClock) -> None:
    """A wait that would pass it is not begun; the answer in hand is handed back."""
    provider = Provider(clock, 503)

    with client(library, provider, clock) as calls, resilience.deadline(2.5):
        answered = calls.get(URL)

    trail = resilience.trail_of(answered)
    assert trail is not None
    assert (503, 3, "deadline") == (answered.status_code, len(provider.requests), trail.why)


@pytest.mark.parametrize(
    ("around", "own", "sent"), [([10.0], "1.5s", 2), ([1.5], "10s", 2), ([10.0, 1.5], None, 2), ([1.5, 10.0], None, 2)]
)
def test_the_earliest_deadline_counts(around: list[float], own: str | None, sent: int, clock: VirtualClock) -> None:
    """Of those around the call, and of the policy's own."""
    provider = Provider(clock, 503)
    parts = {} if own is None else {"deadline": own}

    with client("httpx", provider, clock, **parts) as calls:
        with resilience.deadline(around[0]), resilience.deadline(around[-1]):
            calls.get(URL)

    assert sent == len(provider.requests)


def test_time_is_shared_by_all_calls_within(clock: VirtualClock) -> None:
    """The second call has what the first one left."""
    provider = Provider(clock, 200, 503, seconds=1.0)

    with client("httpx", provider, clock) as calls, resilience.deadline(4.5):
        assert 4.5 == resilience.seconds_left()
        calls.get(URL)
        assert 3.5 == resilience.seconds_left()
        answered = calls.get(URL)

    assert (503, 3) == (answered.status_code, len(provider.requests))
    assert resilience.seconds_left() is None


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("seconds", [0, -3.0])
def test_a_call_that_comes_too_late_is_not_sent(library: str, seconds: float, clock: VirtualClock) -> None:
    """It raises what an application knows as a timeout, with a trail that says why."""
    provider = Provider(clock, 200)
    module = LIBRARIES[library][0]

    with client(library, provider, clock) as calls, resilience.deadline(seconds):
        assert 0.0 == resilience.seconds_left()
        with pytest.raises(module.ReadTimeout) as caught:
            calls.get(URL)

    assert isinstance(caught.value, errors.DeadlineExceeded)
    trail = resilience.trail_of(caught.value)
    assert trail is not None
    assert ("deadline", (), []) == (trail.why, trail.attempts, provider.requests)


def test_a_wait_for_a_limit_is_within_it_too(clock: VirtualClock) -> None:
    """A turn that would come too late is refused at once."""
    provider = Provider(clock, 200)
    slow = {"limits": [{"name": "slow", "rate": "1/minute", "burst": 1, "max_wait": "5m"}]}

    with client("httpx", provider, clock, **slow) as calls, resilience.deadline(20):
        answers = [calls.get(URL) for _ in range(2)]

    trail = resilience.trail_of(answers[1])
    assert trail is not None
    assert (["deadline"], 1, 0.0) == ([each.why for each in trail.refusals], len(provider.requests), clock.now())


@pytest.mark.parametrize(("around", "own", "sent"), [([2], None, 2), ([9], None, 4), ([3, 1], None, 1), ([2], 5, 2)])
def test_attempts_around_a_call_bound_its_own(
    around: list[int], own: int | None, sent: int, clock: VirtualClock
) -> None:
    """They never add any, also not to what the call asks for itself."""
    provider = Provider(clock, 503)
    extensions = {} if own is None else {"resilience": {"max_attempts": own}}

    with client("httpx", provider, clock) as calls, resilience.attempts(around[0]), resilience.attempts(around[-1]):
        calls.get(URL, extensions=extensions)

    assert sent == len(provider.requests)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tasks_have_what_is_around_them(backend: str) -> None:
    """Each its own, at the same time, on either event loop."""
    seen: list[tuple[float | None, int | None]] = []

    async def child() -> None:
        seen.append((resilience.seconds_left(), attempts_left()))

    async def one(seconds: float) -> None:
        with resilience.deadline(seconds), resilience.attempts(int(seconds)):
            async with anyio.create_task_group() as group:
                group.start_soon(child)

    async def go() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(one, 100.0)
            group.start_soon(one, 2000.0)

    anyio.run(go, backend=backend)

    assert [(100, 100), (2000, 2000)] == sorted((round(left or 0, -2), most) for left, most in seen)


def test_threads_have_it_where_they_run_in_the_context() -> None:
    """`asyncio.to_thread` and `Context.run` do that; a bare thread knows nothing of it."""
    found: list[float | None] = []

    def look() -> None:
        found.append(resilience.seconds_left())

    async def go() -> None:
        await asyncio.to_thread(look)

    with resilience.deadline(100):
        for arguments in ((look,), (contextvars.copy_context().run, look)):
            thread = threading.Thread(target=arguments[0], args=arguments[1:])
            thread.start()
            thread.join()
        asyncio.run(go())

    assert [None, 100, 100] == [each if each is None else round(each) for each in found]


@pytest.mark.parametrize(
    ("give", "value"),
    [
        *((resilience.deadline, value) for value in ("2", None, True, float("nan"), 2j)),
        *((resilience.attempts, value) for value in (0, -1, 1.0, "1", True, None)),
    ],
)
def test_what_is_no_such_number_is_refused(give: Callable[[Any], Any], value: object) -> None:
    """Before anything runs."""
    with pytest.raises(ConfigurationError, match="number"):
        give(value).__enter__()


@pytest.mark.parametrize("seconds", [float("inf"), 10**400])
def test_endless_time_is_a_year(seconds: float) -> None:
    """No arithmetic fails of it."""
    with resilience.deadline(seconds):
        left = resilience.seconds_left()

    assert left is not None
    assert 366 * 86_400 - 1 <= left <= 366 * 86_400


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_attempt_tells_what_is_left(library: str, clock: VirtualClock) -> None:
    """The time shrinks with the attempts; whoever is called sends on once, since this call is sent again itself."""
    provider = Provider(clock, 503, 200, seconds=0.25)

    with client(library, provider, clock, propagate=TOLD) as calls, resilience.deadline(3):
        answered = calls.get(URL)

    assert [("3000", "1"), ("1750", "1")] == [(each["x-left"], each["x-attempts"]) for each in provider.requests]
    assert not {"x-left", "x-attempts"} & set(answered.request.headers)


@pytest.mark.parametrize(
    ("around", "own", "mode", "told"),
    [(None, 4, "enforce", "1"), (None, 1, "enforce", None), (3, 1, "enforce", "3"), (1, 4, "enforce", "1"),
     (3, 4, "off", "3"), (3, 4, "observe", "3"), (None, 4, "off", None)],
)  # fmt: skip
def test_only_one_of_those_in_a_row_retries(
    around: int | None, own: int, mode: str, told: str | None, clock: VirtualClock
) -> None:
    """Who does not, hands on what it was left."""
    provider = Provider(clock, 200)
    made = policy(retry={**RETRY, "max_attempts": own}, propagate=TOLD)
    config = {"version": 1, "mode": {"retry": mode}}
    transport = resilience.httpx.Transport(httpx.MockTransport(provider), policies=[made], config=config, clock=clock)

    with httpx.Client(transport=transport) as calls:
        if around is None:
            calls.get(URL)
        else:
            with resilience.attempts(around):
                calls.get(URL)

    assert [told] == [each.get("x-attempts") for each in provider.requests]
    assert [None] == [each.get("x-left") for each in provider.requests]


def test_a_header_of_the_application_stays(clock: VirtualClock) -> None:
    """It knows better; and it is there after the call as it was before."""
    provider = Provider(clock, 503, 200)

    with client("httpx", provider, clock, propagate=TOLD, deadline="1m") as calls:
        answered = calls.get(URL, headers={"X-Left": "7", "x-attempts": "2"})

    assert [("7", "2")] * 2 == [(each["x-left"], each["x-attempts"]) for each in provider.requests]
    assert ("7", "2") == (answered.request.headers["x-left"], answered.request.headers["x-attempts"])


def test_over_real_sockets_it_arrives() -> None:
    """As bytes of the request."""
    with raw_server(answer(200, b"{}")) as server:
        made = policy(match={"hosts": [server.url.removeprefix("http://")]}, propagate=TOLD, deadline="1m")
        with resilience.wrap(httpx.Client(), [made]) as calls:
            calls.get(server.url)
        (seen,) = server.requests

    lines = dict(line.split(": ") for line in seen.head.decode().lower().split("\r\n") if ": " in line)
    assert 30_000 < int(lines["x-left"]) <= 60_000
    assert "1" == lines["x-attempts"]


def test_one_header_cannot_carry_both() -> None:
    """Nobody could read it."""
    with pytest.raises(ValueError, match="one header cannot carry both"):
        policy(propagate={"deadline": {"header": "X-Left"}, "attempts": {"header": "x-left"}})


@pytest.mark.parametrize(
    ("form", "seconds", "text"),
    [
        ("seconds", 2.5, "2.500"),
        ("seconds", 0.0009, "0.000"),
        ("seconds", -1, "0.000"),
        ("milliseconds", 2.5, "2500"),
        ("grpc", 2.5, "2500m"),
        ("grpc", 100_000.9, "100000S"),
        ("epoch", 2.5, "1767225602.500"),
        ("epoch_milliseconds", 2.5, "1767225602500"),
        ("rfc3339", 2.5, "2026-01-01T00:00:02.500Z"),
    ],
)
def test_the_forms_of_the_header(form: DeadlineForm, seconds: float, text: str) -> None:
    """Rounded down: nobody is promised more than there is."""
    assert text == write_deadline(seconds, form, wall=datetime(2026, 1, 1, tzinfo=UTC).timestamp())


@given(st.floats(0, 366 * 86_400), st.sampled_from(FORMS), st.integers(1_000_000_000, 4_000_000_000))
def test_what_is_written_is_read_and_never_more(seconds: float, form: DeadlineForm, wall: int) -> None:
    """Within a millisecond, or a second where eight digits of gRPC hold no more."""
    read = read_deadline(write_deadline(seconds, form, wall=wall), form, wall=wall)

    assert read is not None
    assert read <= seconds + 1e-5
    assert seconds - (1.0 if form == "grpc" and seconds >= 99_999 else 0.0011) <= read


@given(st.text(), st.sampled_from(FORMS))
def test_any_text_is_read_or_is_none(text: str, form: DeadlineForm) -> None:
    """Never an error, never less than nothing."""
    found = read_deadline(text, form, wall=1_767_225_600.0)

    assert found is None or found >= 0


@pytest.mark.parametrize(("around", "seconds", "state"), [(0.2, 0.2, 200), (2.0, 2.0, 503), (None, 0.2, 503)])
def test_a_caller_in_a_hurry_opens_no_breaker(
    around: float | None, seconds: float, state: int, clock: VirtualClock
) -> None:
    """What his own short deadline ends says nothing of the provider; what takes longer, or ends by itself, does."""

    def handler(_: httpx.Request) -> httpx.Response:
        clock.advance(seconds)
        if slow:
            raise httpx.ReadTimeout("late")
        return httpx.Response(200, json={})

    slow, made = True, policy(retry={"max_attempts": 1}, breaker={"consecutive_failures": 2, "jitter": 0})
    transport = resilience.httpx.Transport(httpx.MockTransport(handler), policies=[made], clock=clock)
    with httpx.Client(transport=transport) as calls:
        for _ in range(3):
            with contextlib.suppress(httpx.TransportError), contextlib.ExitStack() as stack:
                if around is not None:
                    stack.enter_context(resilience.deadline(around))
                calls.get(URL)
        slow = False
        answered = calls.get(URL)

    assert state == answered.status_code


@pytest.mark.parametrize("form", ["seconds", "milliseconds", "epoch", "epoch_milliseconds"])
def test_less_than_nothing_is_left_of_a_deadline_that_has_passed(form: DeadlineForm) -> None:
    """Whoever sends `deadline - now` may be late."""
    assert [0.0, 0.0, None] == [read_deadline(text, form, wall=1e9) for text in ("-5", " -0.5", "-x")]
