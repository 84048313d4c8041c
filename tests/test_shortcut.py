"""The short cut of the calls that nothing holds up: they end as they would have ended in the layers, and cost less."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import resilience
import resilience.httpx
from resilience import Policy, _ends, _fields, _retry_allowance, trail_of
from resilience._breaker_key import breaker_key
from resilience._breaker_machine import OPEN
from resilience._breaker_state import IDLE
from resilience._fields import fields_of, only_value
from resilience._headers import FoldedHeaders
from resilience._pays import owed_by
from resilience._transactions import Command
from resilience._way_finder import _MOST, _MOST_TARGETS, _MOST_WAYS
from resilience.events import Listener
from resilience.stores._memory import MemoryStore
from resilience.testing import VirtualClock
from tests.unheard import nobody_listens  # noqa: F401  a fixture for all tests here
from tests.worlds import _ADAPTERS, _MODULES, URL, policy

MODES = ["sync", "asyncio", "trio"]
LIBRARIES = list(_MODULES)
GUARDED: dict[str, Any] = {
    "account": {"headers": ["X-Key"]},
    "limits": [{"name": "pace", "rate": "4/10 seconds", "max_wait": "3s"}],
    "operations": {"find": {"path": "/things"}, "make": {"method": "POST", "path": "/jobs"}},
    "answers": [
        {"rule": "broke", "when": {"status": 402}, "category": "credits_exhausted"},
        {"rule": "odd", "when": {"status": 203}, "category": "upstream_unavailable"},
    ],
    "breaker": {"consecutive_failures": 2, "open_for": "5s", "jitter": 0},
    "retry": {"max_attempts": 2, "spread": 0, "backoff": {"initial": "1s"}},
}
ANSWERS: dict[str, Any] = {
    "good": (200, {}),
    "created": (201, {}),
    "odd": (203, {}),
    "moved": (304, {}),
    "left": (200, {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "4"}),
    "missing": (404, {}),
    "broke": (402, {}),
    "busy": (429, {"Retry-After": "2"}),
    "down": (500, {}),
    "unreachable": "ConnectError",
    "silent": "ReadTimeout",
    "no place": "PoolTimeout",
}


class Signed(httpx.Headers):
    """Of an application's own kind."""


def streamed(module: Any, *chunks: bytes) -> Any:
    """A body that comes in chunks, for either kind of client."""

    class Chunks(module.SyncByteStream, module.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Iterator[bytes]:
            return iter(chunks)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

    return Chunks()


class Unreadable(httpx.Response):
    """Raises when a part of it is looked at."""

    part = ""

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "part"):
            raise RuntimeError(f"no {name}")
        return super().__getattribute__(name)


def unreadable(part: str, response: httpx.Response) -> httpx.Response:
    """The same answer, of which one part cannot be read."""
    response.__class__, response.__dict__["part"] = Unreadable, part
    return response


class Deaf(Listener):
    """Whoever listens to a client has its calls go through the layers."""


class Client:
    """A client in virtual time whose provider answers as it is told."""

    def __init__(self, made: Policy, library: str = "httpx", mode: str = "sync", **options: Any) -> None:
        self.module, self.mode = _MODULES[library], mode
        self.clock = VirtualClock(chances=itertools.repeat(0.0))
        self.next: list[Any] = []
        self.seen = 0
        self.meanwhile: Callable[[], object] = lambda: None
        self.transport = _ADAPTERS[library].Transport(
            self.module.MockTransport(self._answer), policies=[made], clock=self.clock, **options
        )
        self.store = self.transport.chain._store = MemoryStore()

    def _answer(self, request: Any) -> Any:
        self.seen += 1
        self.clock.advance(0.125)
        self.meanwhile()
        given = self.next.pop(0) if self.next else ANSWERS["good"]
        if isinstance(given, BaseException):
            raise given
        if isinstance(given, str):
            raise getattr(self.module, given)("no", request=request)
        status, headers, *body = given
        if body:
            return self.module.Response(status, headers=headers, stream=streamed(self.module, *body))
        return self.module.Response(status, headers=headers)

    def call(self, *answers: Any, method: str = "GET", url: str = URL, **named: Any) -> Any:
        """The response, or what was raised."""
        self.next = list(answers)
        try:
            if self.mode == "sync":
                return self.module.Client(transport=self.transport).request(method, url, **named)

            async def go() -> Any:
                return await self.module.AsyncClient(transport=self.transport).request(method, url, **named)

            return asyncio.run(go()) if self.mode == "asyncio" else trio.run(go)
        except Exception as error:
            return error

    @property
    def states(self) -> dict[str, Any]:
        """All that anybody remembers of the calls so far."""
        # A store knows the time of those who asked it, and shows what had not expired then.
        self.store.run(Command("shortcut.leave", ("nobody's",), (1.0, -1)), self.clock.now())
        allowances = _retry_allowance._allowances.get(self.store, {})
        calls = {key: list(getattr(each, "_calls", ())) for key, each in allowances.items()}
        return {**dict(self.store.scan()), "allowances": calls}

    def forbid_layers(self) -> None:
        """Have a call fail that goes through them."""

        def refuse(_exchange: Any) -> Any:
            raise AssertionError("this call goes through the layers")

        self.transport.chain._sync = self.transport.chain._async = refuse


def told(answer: Any) -> dict[str, Any]:
    """What a caller has of a call."""
    trail = trail_of(answer)
    assert trail is not None
    status = None if isinstance(answer, Exception) else (answer.status_code, answer.headers.get("x-should-retry"))
    return {"kind": type(answer).__name__, "status": status, "trail": trail.to_dict(), "again": trail.retry_after}


def calls_with(answers: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Answers, account, what is called, and the time until the next call."""
    return st.tuples(
        st.lists(st.sampled_from(sorted(answers)), min_size=1, max_size=2),
        st.sampled_from(["me", "you", None]),
        st.sampled_from([("GET", "/things"), ("GET", "/else?x=1"), ("POST", "/jobs")]),
        st.sampled_from([0.0, 0.25, 1.0, 3.0, 6.0, 400.0, 4000.0]),
    )


calls = calls_with(ANSWERS)


def play(made: Policy, answers: dict[str, Any], history: list[Any], mode: str) -> None:
    """The same to a client that takes the short cut and to one that does not: answers, trails, time and states are the same."""
    short, long = Client(made, mode=mode), Client(made, mode=mode, listeners=[Deaf()])
    for names, key, (method, path), gap in history:
        given = [answers[name] for name in names]
        headers = {} if key is None else {"X-Key": key}
        url = f"https://provider.test{path}"
        found = [told(each.call(*given, method=method, url=url, headers=headers)) for each in (short, long)]

        assert found[1] == found[0]
        assert long.states == short.states
        assert (long.clock.now(), long.seen) == (short.clock.now(), short.seen)
        short.clock.advance(gap)
        long.clock.advance(gap)


@settings(max_examples=150)
@given(st.lists(calls, max_size=14), st.sampled_from(["sync", "asyncio"]), st.booleans())
def test_calls_end_as_they_would_in_the_layers(history: list[Any], mode: str, is_limited: bool) -> None:
    """Answer, trail, time and every state that is left are the same, whatever happened before."""
    play(policy(**(GUARDED if is_limited else {**GUARDED, "limits": []})), ANSWERS, history, mode)


@pytest.mark.parametrize("is_cleared", [False, True])
def test_a_breaker_that_was_forgotten_is_begun_anew(*, is_cleared: bool) -> None:
    """Nobody called for longer than its state is kept, or somebody has thrown it away: failures open it all the same."""
    client = Client(policy(**{**GUARDED, "limits": [], "retry": {"max_attempts": 1}}))
    # It has been open, so that it is not the first of its kind.
    for answer, gap in (("down", 0), ("down", 6), ("good", 0), ("good", 0), ("good", 0)):
        client.call(ANSWERS[answer])
        client.clock.advance(gap)

    if is_cleared:
        client.store.clear()
    else:
        client.clock.advance(2 * IDLE)
    for _ in range(2):
        client.call(ANSWERS["down"])
    seen = client.seen

    assert 503 == client.call().status_code
    assert seen == client.seen


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_call_that_nothing_holds_up_goes_by_no_layer(library: str, mode: str) -> None:
    """With limits, an account and a breaker; its trail is whole."""
    client = Client(policy(**GUARDED), library, mode)
    client.forbid_layers()

    answer = client.call(headers={"X-Key": "me"})

    assert 200 == answer.status_code
    assert "provider find: 1 attempt\n  1. 0.000s: 200 success\n  => success" == str(trail_of(answer))
    assert resilience.last_trail() is trail_of(answer) is trail_of(answer.request)


@pytest.mark.parametrize("name", ["X-RateLimit-Remaining-Requests", "X-RateLimit-Reset", "RateLimit-Policy"])
def test_headers_that_alone_tell_nothing_of_a_limit_take_no_call_through_the_layers(name: str) -> None:
    """Some providers send such with each answer."""
    client = Client(policy(**GUARDED))
    client.forbid_layers()

    assert 200 == client.call((200, {name: "60"})).status_code


@pytest.mark.parametrize(
    ("name", "value"),
    [("X-RateLimit-Remaining", "0"), ("RateLimit-Remaining", "0"), ("RateLimit", '"pace";r=0;t=4'), ("X-Left", "0")],
)
def test_a_header_that_tells_what_is_left_is_heeded(name: str, value: str) -> None:
    """The usual ones, and the one that the policy names: the next call has to wait for the limit."""
    limit = {"name": "pace", "rate": "4/10 seconds", "max_wait": "0s", "headers": {"remaining": "X-Left"}}
    client = Client(policy(limits=[limit]))

    assert 200 == client.call((200, {name: value})).status_code
    assert 429 == client.call().status_code
    assert 1 == client.seen


@pytest.mark.parametrize(
    ("named", "parts"),
    [
        ({"extensions": {"resilience": {"tags": {"tenant": "a"}}}}, {}),
        ({"content": iter([b"a"])}, {}),
        ({}, {"deadline": "9s"}),
        ({}, {"operations": {"find": {"path": "/things", "attempt_timeout": "9s"}}}),
        ({}, {"propagate": {"deadline": {"header": "X-Left"}}}),
        ({"method": "POST"}, {"idempotency": {"header": "Idempotency-Key"}}),
    ],
)
def test_a_call_that_wants_more_goes_through_the_layers(named: dict[str, Any], parts: dict[str, Any]) -> None:
    """What the short cut does not know it leaves to them."""
    client = Client(policy(**parts))
    client.call()
    client.forbid_layers()

    assert isinstance(client.call(**named), AssertionError)


@pytest.mark.parametrize("name", ["missing", "silent", "down", "busy"])
def test_what_was_shut_while_a_call_was_under_way_does_not_refuse_it(name: str) -> None:
    """It was sent: what came of it is the provider's word, whatever others have met meanwhile."""

    def shut(client: Client) -> None:
        store, now = client.store, client.clock.now()
        (breaker,) = (key for key in dict(store.scan()) if ":breaker:" in key)
        store.run(Command("breaker.force", (breaker,), (OPEN, 600.0)), now)
        store.run(Command("latch.shut", ("{provider}:latch:account:-",), ("x", 600.0, 600.0, "y")), now)

    found = []
    for options in ({}, {"listeners": [Deaf()]}):
        client = Client(policy(**GUARDED), **options)
        client.call()
        client.meanwhile = partial(shut, client)
        found.append(told(client.call(ANSWERS[name])))

    assert found[1] == found[0]
    assert 1 == len([event for event in found[0]["trail"]["events"] if "attempt" in event])


def test_a_deadline_around_a_call_is_the_layers_to_keep() -> None:
    """Whoever waits for this program gives it so much time."""
    client = Client(policy())
    client.call()
    client.forbid_layers()

    with resilience.deadline(5):
        assert isinstance(client.call(), AssertionError)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_no_plain_success_goes_on_in_the_layers(mode: str) -> None:
    """The provider is asked no second time for it; what is sent again goes through them whole."""
    client = Client(policy(**GUARDED), mode=mode)

    answer = client.call(ANSWERS["down"], ANSWERS["good"])

    trail = trail_of(answer)
    assert trail is not None
    assert (200, 2) == (answer.status_code, client.seen)
    assert [500, 200] == [attempt.status for attempt in trail.attempts]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_what_interrupts_a_call_unwinds_it(interruption: BaseException) -> None:
    """As in the layers, and the trail says so."""
    client = Client(policy(**GUARDED))

    with pytest.raises(type(interruption)) as raised:
        client.call(interruption)

    assert interruption is raised.value
    last = resilience.last_trail()
    assert last is not None
    assert ("interrupted", 1) == (last.why, len(last.attempts))


def test_a_task_that_is_cancelled_on_the_short_cut_is_cancelled() -> None:
    """Nobody waits for an answer any more, and the pace that it has paid stays paid."""

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            began.set()
            await asyncio.Event().wait()
            raise AssertionError(request)

    async def go() -> None:
        async with httpx.AsyncClient(transport=resilience.httpx.Transport(Silent(), policies=[made])) as client:
            task = asyncio.create_task(client.get(URL))
            await began.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    began, made = asyncio.Event(), policy(**GUARDED)
    asyncio.run(go())

    last = resilience.last_trail()
    assert last is not None
    assert "interrupted" == last.why


def test_an_error_that_was_raised_on_the_short_cut_is_let_go_of() -> None:
    """It is freed with its frames as soon as its caller lets go, without the collector."""
    client = Client(policy(retry={"max_attempts": 1}))

    class Odd(Exception):
        pass

    def fail(_request: httpx.Request) -> httpx.Response:
        raise Odd

    client.transport._inner.handler = fail

    def call() -> weakref.ref[Odd] | None:
        with httpx.Client(transport=client.transport) as own:
            try:
                own.get(URL)
            except Odd as error:
                return weakref.ref(error)
        return None

    gc.collect()
    gc.disable()
    try:
        found = call()
        assert found is not None
        gone = found() is None
    finally:
        gc.enable()

    assert gone


def test_a_listener_that_comes_while_a_call_is_under_way_hears_of_it() -> None:
    """From where the call is then."""
    heard: list[Any] = []

    class Hearing(Listener):
        def on_call(self, event: Any, /) -> None:
            heard.append(event.outcome)

    def answer(_request: httpx.Request) -> httpx.Response:
        stops.append(resilience.listen(Hearing()))
        return httpx.Response(200)

    stops: list[Callable[[], None]] = []
    made = resilience.httpx.Transport(httpx.MockTransport(answer), policies=[policy()])
    with httpx.Client(transport=made) as client:
        client.get(URL)
    stops[0]()

    assert ["success"] == heard


def test_accounts_and_hosts_are_told_apart() -> None:
    """Each has its own limit, however alike their calls are."""
    made = policy(
        match={"hosts": ["provider.test", "*.provider.test"]},
        account={"headers": ["X-Key", "X-Old"], "query": ["key"]},
        limits=[{"name": "pace", "rate": "1/10 seconds", "max_wait": "1s"}],
        retry={"max_attempts": 1},
    )
    client = Client(made)

    def status(url: str = URL, **headers: str) -> int:
        return int(
            client.call(url=url, headers={name.replace("_", "-"): value for name, value in headers.items()}).status_code
        )

    assert [200, 429] == [status(X_Key="a") for _ in range(2)]
    assert [200, 429] == [status(X_Key="b") for _ in range(2)]
    assert 429 == status(X_Old="a")
    assert [200, 429] == [status(f"{URL}?key=c") for _ in range(2)]
    assert [200, 429] == [status() for _ in range(2)]


def test_each_host_has_its_own_breaker() -> None:
    """With a port or without, as in the layers."""
    made = policy(match={"hosts": ["provider.test", "*.provider.test"]})
    short, long = Client(made), Client(made, listeners=[Deaf()])

    for each in (short, long):
        for host in ("provider.test", "eu.provider.test", "provider.test:8443"):
            each.call(url=f"https://{host}/things")

    assert 3 == len([key for key in short.states if ":breaker:" in key])
    assert long.states == short.states


@pytest.mark.parametrize("per", ["account", "host", "provider", ["account", "host", "operation"]])
@pytest.mark.parametrize("limits", [True, False])
def test_the_calls_of_a_way_owe_what_the_layers_would_find(per: str | list[str], *, limits: bool) -> None:
    """Bill, buckets and breaker are those of a call that no way knows."""
    pace = {"name": "pace", "rate": "4/10 seconds", "per": per}
    named = {**GUARDED, "limits": [pace] if limits else [], "breaker": {"per": per}}
    transport = Client(policy(**named)).transport
    request = httpx.Request("GET", "https://provider.test:8443/things", headers={"X-Key": "a"})
    source: Any = transport.policies.source_of(request.url)
    exchange = transport.chain.prepare(request, source)
    way = transport.chain._shortcut._ways.find(request, source, exchange.store)
    known = way.call(request, exchange.store, exchange.closing, 0.0)

    assert way is known.way
    assert owed_by(exchange) == owed_by(known)
    assert "-" != exchange.account
    owed = [breaker_key(each, each.policy.breaker, transport.library) for each in (exchange, known)]
    assert owed[0] == owed[1]


def test_a_header_that_stands_there_twice_is_read_as_the_library_reads_it() -> None:
    """An account of its own, the same in the layers."""
    made = policy(account={"headers": ["X-Key"]}, limits=[{"name": "pace", "rate": "9/10 seconds", "max_wait": "1s"}])
    twice = [("X-Key", "a"), ("x-key", "b")]
    short, long = Client(made), Client(made, listeners=[Deaf()])

    for each in (short, long):
        each.call(headers=twice)
        each.call(headers={"X-Key": "a"})
        each.call(headers={"X-Key": "b"})

    assert long.states == short.states


def test_calls_of_a_parent_are_not_told_by_its_child() -> None:
    """A child process begins with ways of its own."""
    client = Client(policy())
    client.call()

    finder = client.transport.chain._shortcut._ways
    finder.renew()

    assert ({}, {}, {}) == (finder._kinds.kept, finder._targets, finder._ways.kept)


def test_accounts_without_end_take_no_memory_without_end() -> None:
    """The ways of those who called longest ago are forgotten, and found again."""
    client = Client(policy(account={"headers": ["X-Key"]}))

    for number in range(_MOST_WAYS + 10):
        client.call(headers={"X-Key": f"key-{number}"})

    assert _MOST_WAYS == len(client.transport.chain._shortcut._ways._ways.kept)
    assert 200 == client.call(headers={"X-Key": "key-0"}).status_code


def test_hosts_without_end_take_no_memory_without_end() -> None:
    """As accounts."""
    client = Client(policy(match={"hosts": ["*"]}))

    for number in range(_MOST + 10):
        client.call(url=f"https://h{number}.test/")

    assert _MOST == len(client.transport.chain._shortcut._ways._kinds.kept)


def test_addresses_without_end_take_no_memory_without_end() -> None:
    """Nor long ones, nor what stands in a query; and each belongs to its operation, called before or not."""
    client = Client(policy(**GUARDED | {"limits": []}))
    finder = client.transport.chain._shortcut._ways

    def operation(method: str, path: str) -> str | None:
        trail = trail_of(client.call(method=method, url=f"https://provider.test{path}"))
        assert trail is not None
        return trail.operation

    for number in range(3 * _MOST_TARGETS):
        assert operation("GET", f"/other/{number}") is None
    assert len(finder._targets) <= _MOST_TARGETS
    finder._targets.clear()
    for _ in range(2):
        assert ["find", "find", "make", None] == [
            operation(method, path) for path in ("/things", "/jobs") for method in ("POST", "GET")
        ]
        assert "find" == operation("GET", "/things?key=secret")
        assert operation("GET", "/" + "a" * 300) is None
    assert [b"/jobs", b"/jobs", b"/things", b"/things"] == sorted(target[2] for target in finder._targets)


def test_nobody_overtakes_who_stands_in_line() -> None:
    """A call that comes while others wait waits behind them, though there would be a place."""
    made = policy(limits=[{"name": "pace", "rate": "2/2 seconds", "algorithm": "fixed_window", "max_wait": "30s"}])
    order: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        order.append(int(request.url.params["n"]))
        return httpx.Response(200)

    async def go() -> None:
        transport = resilience.httpx.Transport(httpx.MockTransport(answer), policies=[made])
        async with httpx.AsyncClient(transport=transport) as client:
            await asyncio.gather(*(client.get(f"{URL}?n={number}") for number in range(7)))

    asyncio.run(go())

    assert sorted(order) == order


@pytest.mark.parametrize("limits", [[{"name": "pace", "rate": "9/minute"}], []])
def test_a_call_stands_behind_those_who_wait_for_the_same(limits: list[Any]) -> None:
    """Also where the limit would let it go, or there is none and an answer has made them wait: the layer knows their order."""
    client = Client(policy(limits=limits))
    client.call()
    (way,) = client.transport.chain._shortcut._ways._ways.kept.values()
    client.store.lines.enter(way._lines[0], 5)
    client.forbid_layers()

    assert isinstance(client.call(), AssertionError)


def test_threads_pay_each_for_themselves() -> None:
    """Of so many at once no more get through than the limit lets."""
    made = policy(limits=[{"name": "pace", "rate": "50/hour", "max_wait": "1s"}], retry={"max_attempts": 1})
    client = Client(made)
    statuses: list[int] = []

    def work() -> None:
        with httpx.Client(transport=client.transport) as own:
            statuses.extend([own.get(URL).status_code for _ in range(10)])

    threads = [threading.Thread(target=work) for _ in range(10)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert (50, 50) == (statuses.count(200), statuses.count(429))


def test_a_success_of_another_generation_counts_for_nothing() -> None:
    """The breaker was opened while the call was under way."""
    client = Client(policy(breaker={"consecutive_failures": 5}))

    def answer(_request: httpx.Request) -> httpx.Response:
        (key,) = dict(client.store.scan())
        client.store.run(Command("breaker.force", (key,), (OPEN, 60.0)), client.clock.now())
        return httpx.Response(200)

    client.call()
    before = dict(client.store.scan())
    client.transport._inner.handler = answer

    assert 200 == client.call().status_code
    (key,) = before
    assert (OPEN, before[key]["ok"]) != (dict(client.store.scan())[key]["state"], before[key]["ok"][:-1])
    assert 0 == sum(dict(client.store.scan())[key]["ok"]) - sum(before[key]["ok"])


@pytest.fixture(params=[httpx.Headers, _MODULES["httpx2"].Headers, FoldedHeaders, Signed])
def headers(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Of either library, and of a simulation."""
    return request.param


def test_the_fields_of_headers_are_read_whatever_keeps_them(headers: Any) -> None:
    """With the names as they are compared."""
    found = headers({"X-Ab": "c", "Date": "d"})

    assert [(b"x-ab", b"c"), (b"date", b"d")] == [(name, value) for _, name, value in fields_of(found)]
    assert b"c" == only_value(found, b"x-ab")
    assert only_value(found, b"x-none") is None


def test_headers_of_an_applications_own_kind_are_read_as_it_has_them() -> None:
    """Not where the library would keep them, and no class of them is held on to."""

    class Other(httpx.Headers):
        @property
        def raw(self) -> list[tuple[bytes, bytes]]:
            return [(b"X-Ab", b"seen")]

    found = Other({"X-Ab": "kept"})

    assert b"seen" == only_value(found, b"x-ab")
    assert Other not in _fields._layouts


def test_a_library_that_keeps_its_fields_in_another_way_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As its next version may."""

    class Next:
        def __init__(self, fields: dict[str, str]) -> None:
            self._list = [(value.encode(), name.encode()) for name, value in fields.items()]

        @property
        def raw(self) -> list[tuple[bytes, bytes]]:
            return [(name, value) for value, name in self._list]

    monkeypatch.setattr(Next, "__module__", "httpx.next")
    monkeypatch.setattr(_fields, "_layouts", {})

    assert b"c" == only_value(Next({"X-Ab": "c"}), b"x-ab")
    assert {Next: False} == _fields._layouts


def test_each_port_has_its_own_policy() -> None:
    """Those that a scheme means, too."""
    one, two = (
        policy(provider=name, match={"hosts": [f"provider.test:{port}"]}) for name, port in (("one", 80), ("two", 443))
    )
    transport = resilience.httpx.Transport(httpx.MockTransport(lambda _: httpx.Response(200)), policies=[one, two])
    with httpx.Client(transport=transport) as client:
        found = [trail_of(client.get(f"{scheme}://provider.test/")) for scheme in ("http", "https", "http", "https")]

    assert ["one", "two", "one", "two"] == [None if trail is None else trail.provider for trail in found]


def test_an_empty_key_says_nothing() -> None:
    """Then the account is told by what comes next."""
    made = policy(account={"headers": ["X-Key"], "query": ["key"]}, limits=[{"name": "pace", "rate": "9/10 seconds"}])
    short, long = Client(made), Client(made, listeners=[Deaf()])

    for each in (short, long):
        for name in ("a", "b"):
            each.call(url=f"{URL}?key={name}", headers={"X-Key": ""})

    assert 2 == len([key for key in short.states if ":bucket:" in key])
    assert long.states == short.states


def test_a_transport_that_changes_a_request_changes_no_account() -> None:
    """What its answer asks for is asked of the account that has paid."""
    made = policy(account={"headers": ["Authorization"]}, limits=[{"name": "pace", "rate": "9/10 seconds"}])
    short, long = Client(made), Client(made, listeners=[Deaf()])

    for each in (short, long):
        answer = each.transport._inner.handler

        def signing(request: Any, answer: Any = answer) -> Any:
            request.headers["Authorization"] = "signed"
            return answer(request)

        each.transport._inner.handler = signing
        each.call()
        each.call(ANSWERS["busy"], ANSWERS["good"])

    assert long.states == short.states


def test_an_answer_that_cannot_be_looked_at_is_closed() -> None:
    """Its connection is free again, and the error is the caller's."""
    closed: list[bool] = []

    class Stream(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b""

        def close(self) -> None:
            closed.append(True)

    class Lean(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return unreadable("headers", httpx.Response(200, stream=Stream(), request=request))

    transport = resilience.httpx.Transport(Lean(), policies=[policy(retry={"max_attempts": 1})])
    with httpx.Client(transport=transport) as client, pytest.raises(RuntimeError, match="no headers"):
        client.get(URL)

    assert [True] == closed[:1]


@pytest.mark.parametrize("ending", ["404", "cancelled"])
def test_who_was_in_the_pool_waits_for_it_no_more(ending: str) -> None:
    """An attempt that was sent stands in no line again, though others wait there."""

    class Slow(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            first = not began.is_set()
            began.set()
            await (go_on if first else asyncio.Event()).wait()
            return httpx.Response(404)

    async def go() -> str:
        transport = resilience.httpx.Transport(Slow(), policies=[policy(retry={"max_attempts": 1})], config=config)
        async with httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(5, pool=0.2)) as client:
            sent = asyncio.create_task(client.get(URL))
            await began.wait()
            waiting = asyncio.create_task(client.get(URL))
            await asyncio.sleep(0)
            if ending == "cancelled":
                sent.cancel()
            else:
                go_on.set()
            try:
                return str((await sent).status_code)
            except asyncio.CancelledError:
                return "cancelled"
            finally:
                waiting.cancel()

    began, go_on, config = asyncio.Event(), asyncio.Event(), {"version": 1, "gate": 1}

    assert ending == asyncio.run(go())


@pytest.mark.parametrize("listeners", [[], [Deaf()]], ids=["short", "long"])
def test_a_client_that_is_closed_sends_nobody_who_waits_in_front_of_the_pool(listeners: list[Listener]) -> None:
    """Though a place becomes free in the same moment."""

    class Slow(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            sent.append(request)
            await go_on.wait()
            return httpx.Response(200)

    async def go() -> list[Any]:
        config = {"version": 1, "gate": 1}
        transport = resilience.httpx.Transport(Slow(), policies=[policy()], config=config, listeners=listeners)
        calls = []
        for _ in range(2):
            calls.append(asyncio.ensure_future(transport.handle_async_request(httpx.Request("GET", URL))))
            for _ in range(5):
                await asyncio.sleep(0)
        transport.chain.close()
        go_on.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    sent: list[httpx.Request] = []
    go_on = asyncio.Event()
    first, second = asyncio.run(go())

    assert (200, 1) == (first.status_code, len(sent))
    trail = trail_of(second)
    assert trail is not None
    assert ("ClientClosed", "closed", ()) == (type(second).__name__, trail.why, trail.attempts)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("status", "parts", "seconds"), [(404, {}, 5), (200, {}, 60), (404, {"attempt_timeout": "3s"}, 3)]
)
def test_a_body_that_trickles_keeps_nobody_for_ever(
    mode: str, status: int, parts: dict[str, Any], seconds: int
) -> None:
    """What has come by then is looked at; the application has the answer, and reads on by itself."""
    rule = {"rule": "ok", "when": {"status": 200, "body": {"a": 1}}, "category": "success"}
    client = Client(policy(answers=[rule], **parts), mode=mode)
    read: list[int] = []

    class Trickle(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for number in range(1000):
                client.clock.advance(1.0)
                read.append(number)
                yield b" "

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in self:
                yield chunk

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"Content-Type": "application/json"}, stream=Trickle())

    def sync() -> tuple[int, int, int]:
        with httpx.Client(transport=client.transport) as sender, sender.stream("GET", URL) as response:
            return response.status_code, len(read), len(response.read())

    async def go() -> tuple[int, int, int]:
        async with httpx.AsyncClient(transport=client.transport) as sender, sender.stream("GET", URL) as response:
            return response.status_code, len(read), len(await response.aread())

    client.transport.inner.handler = answer
    found = sync() if mode == "sync" else asyncio.run(go()) if mode == "asyncio" else trio.run(go)

    assert (status, seconds, 1000) == found


def test_who_gives_up_in_front_of_the_pool_was_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trail says so, and the log how long it was."""
    ended: list[float] = []

    class Slow(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            began.set()
            await asyncio.Event().wait()
            raise AssertionError(request)

    async def go() -> None:
        transport = resilience.httpx.Transport(Slow(), policies=[policy()], config={"version": 1, "gate": 1})
        async with httpx.AsyncClient(transport=transport) as client:
            sent = asyncio.create_task(client.get(URL))
            await began.wait()
            waiting = asyncio.create_task(client.get(URL))
            for _ in range(10):
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            trails.append(resilience.last_trail())
            sent.cancel()

    began, trails = asyncio.Event(), list[Any]()
    monkeypatch.setattr(_ends, "end_call", lambda _exchange, _outcome, seconds: ended.append(seconds))
    asyncio.run(go())

    assert ("interrupted", ()) == (trails[0].why, trails[0].attempts)
    assert 0 <= ended[0] < 60
