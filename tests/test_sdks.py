"""The SDKs of six LLM providers, unmodified, over `install` and the shipped policies: requests, waits, exceptions.

Each is called as its users call it, sync and async, plain and streamed; the requests are counted at the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import certifi
import pytest
import yaml

import resilience
from resilience._clock import RealClock
from resilience.errors import Refused
from resilience.testing import VirtualClock
from tests.llm_sdks import MISSING, SDKS, Sdk, Way
from tests.llm_servers import Stepped, dropped, silent
from tests.rawserver import RawServer, chunked, raw_server

WAYS = [Way(asynchronous, streaming) for asynchronous in (False, True) for streaming in (False, True)]
ATTEMPTS = {"openai": 3, "anthropic": 3, "mistral": 5, "groq": 3, "cohere": 3, "gemini": 5}
"""Of their policies."""
Install = Callable[..., None]


@pytest.fixture(autouse=True, scope="module")
def _one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """To load all there are takes longer than a test; nothing here is encrypted."""
    first, end, _ = Path(certifi.where()).read_text(encoding="utf-8").partition("-----END CERTIFICATE-----")
    file = tmp_path_factory.mktemp("certificates") / "one.pem"
    file.write_text(f"{first}{end}\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    return SDKS[request.param]


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """Our own waits take no time, and are known."""
    clock = VirtualClock(chances=[0.5] * 100)
    monkeypatch.setattr("resilience._adapter.RealClock", lambda: clock)
    return clock


@pytest.fixture
def install(clock: VirtualClock, tmp_path: Path) -> Iterator[Install]:
    """Install the shipped policy of an SDK's provider for a server, perhaps with other parts, and undo it afterwards."""

    def install(sdk: Sdk, server: RawServer, parts: dict[str, Any] | None = None, **settings: Any) -> None:
        policies = []
        if parts is not None:
            child = {"version": 1, "provider": sdk.name, "extends": sdk.name, **parts}
            if "limits" in parts:
                child["plans"] = None  # they are for the limits of the parent
            policies = [tmp_path / f"{sdk.name}.yaml"]
            policies[0].write_text(yaml.safe_dump(child), encoding="utf-8")
        provider = {"hosts": [server.url.removeprefix("http://")], **settings}
        config = {"version": 1, "policies": [str(each) for each in policies], "providers": {sdk.name: provider}}
        resilience.install(config)

    yield install
    resilience.uninstall()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDKs' own waits are short."""
    for name in ("openai", "anthropic", "groq"):
        monkeypatch.setattr(f"{name}._base_client.INITIAL_RETRY_DELAY", 0.001)


def retries_of_the_sdk(server: RawServer) -> list[bytes]:
    """How often the SDK says that it has retried, for each request."""
    name = b"x-stainless-retry-count:"
    return [seen.head.lower().split(name)[1].split(b"\r\n")[0].strip() for seen in server.requests]


def failed(sdk: Sdk, server: RawServer, way: Way, *, path: str = "", **options: Any) -> Exception:
    """What the SDK raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  its class is what is looked at
        sdk.call(server.url + path, way, **options)
    return caught.value


@pytest.mark.parametrize("name", ATTEMPTS)
def test_each_provider_has_its_sdk(name: str) -> None:
    """And none is left out in silence."""
    if name in MISSING:
        pytest.skip(f"the SDK of {name} is not installed: {MISSING[name]}")

    assert name == SDKS[name].name


def test_a_throttled_call_succeeds_after_exactly_the_stated_wait(
    sdk: Sdk, way: Way, install: Install, clock: VirtualClock
) -> None:
    """429 and then 200: two requests, the wait that was asked for, and the objects that the SDK gives without us."""
    with raw_server(sdk.wire.reply(way.streaming)) as server:
        expected = sdk.call(server.url, way)

    with raw_server(sdk.wire.refusal(429, "rate_limit_error", 7), sdk.wire.reply(way.streaming)) as server:
        install(sdk, server)
        found = sdk.call(server.url, way)

    assert expected == found
    assert [type(each) for each in expected] == [type(each) for each in found]
    assert 2 == len(server.requests)
    assert server.requests[0].body == server.requests[1].body
    assert 7.0 <= sum(clock.slept) < 8.0
    if sdk.obeys:
        assert [b"0", b"0"] == retries_of_the_sdk(server)


def test_the_same_program_gets_the_same_objects(sdk: Sdk, way: Way, install: Install) -> None:
    """With and without us: one request, byte for byte the same but for the port, and equal objects."""
    with raw_server(sdk.wire.reply(way.streaming)) as server:
        bare = sdk.call(server.url, way)
        install(sdk, server)
        ours = sdk.call(server.url, way)

    assert bare == ours
    assert [type(each) for each in bare] == [type(each) for each in ours]
    before, after = server.requests
    assert (before.head, before.body) == (after.head, after.body)


def test_a_call_that_stays_throttled_is_sent_by_one_loop_only(
    sdk: Sdk, way: Way, install: Install, clock: VirtualClock
) -> None:
    """As often as the policy says, not as often times the SDK's own retries; the SDK raises what its users catch."""
    with raw_server(sdk.wire.refusal(429, "rate_limit_error", 1)) as server:
        install(sdk, server)
        error = failed(sdk, server, way, **sdk.one_loop)

    assert sdk.errors[429] is type(error)
    assert ATTEMPTS[sdk.name] == len(server.requests)
    assert ATTEMPTS[sdk.name] - 1 == len(clock.slept)
    trail = resilience.trail_of(error)
    assert trail is not None
    assert [429] * ATTEMPTS[sdk.name] == [each.status for each in trail.attempts]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_sdk_that_obeys_nothing_multiplies(install: Install, *, asynchronous: bool, streaming: bool) -> None:
    """Without the option that the documentation names, cohere's loop stands around ours; its streams have none."""
    sdk, way = SDKS["cohere"], Way(asynchronous, streaming)
    throttled = sdk.wire.refusal(429, "no").replace(b"\r\n\r\n", b"\r\nretry-after-ms: 20\r\n\r\n", 1)

    with raw_server(throttled) as server:
        install(sdk, server)
        failed(sdk, server, way)

    assert (3 if streaming else 9) == len(server.requests)


@pytest.mark.parametrize("status", [500, 503, 529])
def test_a_service_that_fails_is_asked_again_as_its_policy_says(
    sdk: Sdk, way: Way, status: int, install: Install
) -> None:
    """And the SDK raises the class of that status; an overload has one of its own where the provider has the status."""
    if status == 529 and sdk.wire.overloaded != 529:
        status = 503
    with raw_server(sdk.wire.refusal(status, "overloaded_error")) as server:
        install(sdk, server)
        error = failed(sdk, server, way, **sdk.one_loop)

    assert isinstance(error, sdk.errors[status])
    assert ATTEMPTS[sdk.name] == len(server.requests)
    assert resilience.trail_of(error) is not None


def test_a_service_that_comes_back_is_not_noticed(sdk: Sdk, way: Way, install: Install) -> None:
    """500 and then 200."""
    with raw_server(sdk.wire.refusal(500, "api_error"), sdk.wire.reply(way.streaming)) as server:
        install(sdk, server)
        found = sdk.call(server.url, way)

    assert found
    assert 2 == len(server.requests)


def test_a_key_that_is_wrong_is_sent_once(sdk: Sdk, way: Way, install: Install) -> None:
    """With the SDK's own exception."""
    with raw_server(sdk.wire.refusal(401, "authentication_error")) as server:
        install(sdk, server)
        error = failed(sdk, server, way)

    assert sdk.errors[401] is type(error)
    assert 1 == len(server.requests)
    assert resilience.trail_of(error) is not None


def test_missing_money_is_not_asked_for_twice(sdk: Sdk, way: Way, install: Install) -> None:
    """One request by anybody, and the next call is held back: the SDK raises for it what it raises for the provider's."""
    status, code = sdk.wire.billing
    with raw_server(sdk.wire.refusal(status, code)) as server:
        install(sdk, server)
        first = failed(sdk, server, way, **sdk.one_loop)
        second = failed(sdk, server, way, **sdk.one_loop)

    assert 1 == len(server.requests)
    assert isinstance(first, sdk.errors[status])
    assert type(first) is type(second)
    assert "credits" == sdk.headers(second)["x-resilience-refused"]
    trails = [resilience.trail_of(first), resilience.trail_of(second)]
    assert [(1, 0), (0, 1)] == [(len(each.attempts), len(each.refusals)) for each in trails if each is not None]


def test_a_throttle_holds_no_other_call_back(sdk: Sdk, way: Way, install: Install, clock: VirtualClock) -> None:
    """Limits are those of one model, or of tokens: what the provider would accept goes at once."""
    throttled = sdk.wire.refusal(429, "rate_limit_error", 3000)
    with raw_server(throttled, sdk.wire.reply(way.streaming)) as server:
        install(sdk, server)
        failed(sdk, server, way, **sdk.one_loop)
        found = sdk.call(server.url, way)

    assert found
    assert 2 == len(server.requests)
    assert [] == clock.slept


def test_a_host_that_no_policy_names_is_left_alone(sdk: Sdk, way: Way, clock: VirtualClock) -> None:
    """A gateway, a proxy, a new region: what happens is what happens without us."""
    with raw_server(sdk.wire.refusal(429, "rate_limit_error", 7)) as server:
        bare = failed(sdk, server, way, **(sdk.own or {}))
        resilience.install({"version": 1})
        try:
            ours = failed(sdk, server, way, **(sdk.own or {}))
        finally:
            resilience.uninstall()

    assert (type(bare), str(bare)) == (type(ours), str(ours))
    assert (2, []) == (len(server.requests), clock.slept)
    assert resilience.trail_of(ours) is None


@pytest.mark.usefixtures("hasty")
def test_an_endpoint_that_the_policy_does_not_know_is_left_to_the_sdk(
    sdk: Sdk, way: Way, install: Install, clock: VirtualClock
) -> None:
    """As a later version may call: nobody here knows whether a POST may be repeated, and the SDK may."""
    failure = sdk.wire.refusal(500, "api_error").replace(b"\r\n\r\n", b"\r\nretry-after-ms: 1\r\n\r\n", 1)
    with raw_server(failure) as server:
        bare = failed(sdk, server, way, path="/later")
        before = len(server.requests)
        install(sdk, server)
        ours = failed(sdk, server, way, path="/later")

    assert type(bare) is type(ours)
    assert [] == clock.slept
    assert (3 if sdk.obeys or (sdk.own and not way.streaming) else 1) == before == len(server.requests) - before


def test_a_throttle_of_an_endpoint_that_the_policy_does_not_know_is_waited_for(
    sdk: Sdk, way: Way, install: Install, clock: VirtualClock
) -> None:
    """It was not processed, whatever it is."""
    with raw_server(sdk.wire.refusal(429, "rate_limit_error", 7), sdk.wire.reply(way.streaming)) as server:
        install(sdk, server)
        found = sdk.call(f"{server.url}/later", way)

    assert found
    assert 2 == len(server.requests)
    assert 7.0 <= sum(clock.slept) < 8.0


def torn(sdk: Sdk) -> Callable[[socket.socket], bool]:
    """A good answer that breaks off within its body: for us it has come, and the SDK sends the request again."""

    def send(client: socket.socket) -> bool:
        client.sendall(sdk.wire.reply(streaming=False)[:-9])
        return False

    return send


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize("first", ["torn", "later"])
@pytest.mark.parametrize("name", ["openai", "anthropic", "groq"])
def test_a_loop_that_the_sdk_has_begun_goes_on_to_its_end(
    name: str, first: str, status: int, install: Install, *, asynchronous: bool
) -> None:
    """A throttle or a failure that meets one of its own retries does not end it: no loop of ours has tried that again."""
    sdk, way = SDKS[name], Way(asynchronous, streaming=False)
    brief = b"\r\n\r\n", b"\r\nretry-after-ms: 20\r\n\r\n", 1
    failure, second = (sdk.wire.refusal(each, "api_error").replace(*brief) for each in (500, status))
    answers = (torn(sdk) if first == "torn" else failure, second, sdk.wire.reply(streaming=False))
    path = "/later" if first == "later" else ""

    with raw_server(*answers) as server:
        bare = sdk.call(server.url + path, way)
    with raw_server(*answers) as server:
        install(sdk, server)
        ours = sdk.call(server.url + path, way)

    assert bare == ours
    assert [b"0", b"1", b"2"] == retries_of_the_sdk(server)


# What our own layers refuse


ONCE = {"retry": {"max_attempts": 1}}
REFUSING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "limiter": ({**ONCE, "limits": [{"name": "pace", "rate": "1/hour", "max_wait": "1s"}]}, {}),
    "breaker": ({**ONCE, "breaker": {"consecutive_failures": 1, "failure_rate": None}}, {}),
    "credits": (ONCE, {"budgets": [{"name": "day", "limit": "1 requests/day"}]}),
}
"""Parts of a policy, and settings, by which each layer refuses a second call."""


def refused_by(layer: str, sdk: Sdk) -> type[Exception]:
    """The SDK's exception for the provider's own answer of that kind."""
    status = {"limiter": 429, "breaker": sdk.wire.overloaded, "credits": sdk.wire.billing[0]}[layer]
    return sdk.errors[status]


def second_call(layer: str, sdk: Sdk, way: Way, install: Install, **settings: Any) -> Exception:
    """What the SDK raises for a call that a layer refuses; the server must not see it."""
    parts, own = REFUSING[layer]
    first = sdk.wire.refusal(500, "api_error") if layer == "breaker" else sdk.wire.reply(way.streaming)
    with raw_server(first) as server:
        install(sdk, server, parts, **own, **settings)
        with contextlib.suppress(sdk.errors[500]):
            sdk.call(server.url, way, **sdk.one_loop)
        error = failed(sdk, server, way, **(sdk.own or {}))

    assert 1 == len(server.requests)
    return error


@pytest.mark.parametrize("layer", REFUSING)
def test_a_refusal_of_ours_is_what_the_sdk_makes_of_its_provider(
    sdk: Sdk, way: Way, layer: str, install: Install
) -> None:
    """The SDK's own class, with the time to come back in the headers, where its users look for it."""
    error = second_call(layer, sdk, way, install)

    assert isinstance(error, refused_by(layer, sdk))
    headers = sdk.headers(error)
    assert layer == headers["x-resilience-refused"]
    assert 0 < int(headers["retry-after"]) <= 86_400
    trail = resilience.trail_of(error)
    assert trail is not None
    assert [layer] == [each.layer for each in trail.refusals]


@pytest.mark.parametrize("layer", REFUSING)
def test_a_refusal_that_is_raised_is_an_error_of_the_connection_to_the_sdk(
    sdk: Sdk, way: Way, layer: str, install: Install
) -> None:
    """Or the library's own error, where the SDK lets that through."""
    error = second_call(layer, sdk, way, install, refusals="raise")

    assert isinstance(error, sdk.connection)
    assert isinstance(error.__cause__ or error, Refused)
    trail = resilience.trail_of(error)
    assert trail is not None
    assert [layer] == [each.layer for each in trail.refusals]


# Answers that do not come


REPEATED = {"openai": 3, "anthropic": 3, "mistral": 5, "groq": 3, "cohere": 1, "gemini": 1}
"""Requests that our loop sends for a call whose answer is lost: once where the policy does not know that no harm is done."""


@pytest.mark.usefixtures("hasty")
def test_each_retry_of_an_sdk_after_a_lost_answer_is_one_request_more(sdk: Sdk, way: Way, install: Install) -> None:
    """No header can tell it to stop: our loop ends first, and then each of its own two is sent once."""
    with raw_server(dropped) as server:
        install(sdk, server)
        error = failed(sdk, server, way)

    assert isinstance(error, sdk.connection)
    assert REPEATED[sdk.name] + (2 if sdk.obeys else 0) == len(server.requests)
    assert resilience.trail_of(error) is not None


def test_the_option_of_an_sdk_leaves_our_loop_alone(sdk: Sdk, way: Way, install: Install) -> None:
    """`max_retries=0`, where it has it."""
    with raw_server(dropped) as server:
        install(sdk, server)
        error = failed(sdk, server, way, **(sdk.own or {}))

    assert isinstance(error, sdk.connection)
    assert REPEATED[sdk.name] == len(server.requests)


def test_a_connection_that_cannot_be_made_is_tried_again(
    sdk: Sdk, way: Way, install: Install, clock: VirtualClock
) -> None:
    """Nothing was sent, so every request may be sent again."""
    with raw_server(dropped) as server:
        pass
    install(sdk, server)
    error = failed(sdk, server, way, **(sdk.own or {}))

    assert isinstance(error, sdk.connection)
    trail = resilience.trail_of(error)
    assert trail is not None
    assert ATTEMPTS[sdk.name] == len(trail.attempts) == len(clock.slept) + 1


def test_the_timeout_of_an_sdk_is_that_of_each_attempt(sdk: Sdk, way: Way, install: Install) -> None:
    """And its exception is the SDK's for a timeout."""
    with raw_server(silent) as server:
        install(sdk, server)
        error = failed(sdk, server, way, timeout=0.15, **(sdk.own or {}))

    assert isinstance(error, sdk.timed_out)
    trail = resilience.trail_of(error)
    assert trail is not None
    sent = [each for each in trail.attempts if each.error == "ReadTimeout"]
    assert len(sent) == len(server.requests)
    # A machine that stands still may need all of an attempt's time to connect; nothing was sent then.
    assert len(sent) <= REPEATED[sdk.name] <= len(trail.attempts)


# Streams


STREAMED = [Way(asynchronous=False, streaming=True), Way(asynchronous=True, streaming=True)]
ONE_AT_A_TIME = {"limits": [{"name": "one", "concurrency": 1, "max_wait": "20s"}], "retry": {"max_attempts": 1}}
TWO_CALLS = [{"name": "day", "limit": "2 requests/day"}]
streamed = pytest.mark.parametrize("way", STREAMED, ids=str)


def read(sdk: Sdk, url: str, way: Way, each: Callable[[int, Any], bool]) -> Any:
    """Read a stream, and leave it when told to; then call again with the same client.

    Arguments:
        sdk: whose.
        url: of the server.
        way: sync or async.
        each: called before each chunk with its number and the chunk before; false to leave.
    """
    if not way.asynchronous:
        client = sdk.client(url, way, **(sdk.own or {}))
        with closing(sdk.closing(client)):
            with closing(sdk.chunks(client, way)) as chunks:
                number, chunk = 0, None
                while each(number, chunk):
                    number, chunk = number + 1, next(chunks, None)
            return list(sdk.chunks(client, way))

    async def read() -> Any:
        client = sdk.client(url, way, **(sdk.own or {}))
        async with aclosing(sdk.aclosing(client)):
            async with aclosing(sdk.chunks_async(client, way)) as chunks:
                number, chunk = 0, None
                while each(number, chunk):
                    number, chunk = number + 1, await anext(chunks, None)
            return [chunk async for chunk in sdk.chunks_async(client, way)]

    return asyncio.run(read())


@streamed
@pytest.mark.parametrize("ours", [False, True], ids=["bare", "ours"])
def test_chunks_arrive_one_by_one_as_they_are_sent(sdk: Sdk, way: Way, install: Install, *, ours: bool) -> None:
    """The server sends the next event once the one before was seen, with and without us; the objects are the same."""
    wire = sdk.wire
    seen: list[Any] = []
    stepped = Stepped(wire.events)

    def each(number: int, chunk: Any) -> bool:
        if number:
            assert stepped.sent == wire.seen[number - 1] + 1
            seen.append(chunk)
        if number == len(wire.seen):
            stepped.release(len(wire.events))
            return False
        stepped.release(wire.seen[number] - (wire.seen[number - 1] if number else -1))
        return True

    at_once = Stepped(wire.events)
    at_once.release(len(wire.events))
    with raw_server(stepped, at_once) as server:
        if ours:
            install(sdk, server)
        whole = read(sdk, server.url, way, each)

    assert whole == seen
    assert len(wire.seen) == len(seen)
    assert 2 == len(server.requests)


@pytest.fixture
def real_time(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some SDKs close what was left to the garbage collector, a moment later."""
    monkeypatch.setattr("resilience._adapter.RealClock", RealClock)


@pytest.mark.parametrize(
    ("sdk", "way"),
    [(sdk, way) for sdk in SDKS.values() for way in STREAMED if (sdk.name, way.asynchronous) != ("gemini", True)],
    ids=lambda each: each.name if isinstance(each, Sdk) else str(each),
)
@pytest.mark.usefixtures("real_time")
def test_a_stream_that_is_left_early_holds_nothing(sdk: Sdk, way: Way, install: Install) -> None:
    """Its connection is closed, its place is free for the next call, and nothing of the budget is still reserved."""
    stepped = Stepped(sdk.wire.events)

    def each(number: int, _: Any) -> bool:
        if not number:
            stepped.release()
        return not number

    with raw_server(stepped, sdk.wire.reply(streaming=True)) as server:
        install(sdk, server, ONE_AT_A_TIME, budgets=TWO_CALLS)
        whole = read(sdk, server.url, way, each)

        assert stepped.gone.wait(20)
        refused = failed(sdk, server, way, **sdk.one_loop)
    assert "2 spent, 0 reserved" in str(refused)
    assert len(sdk.wire.seen) == len(whole)
    assert 2 == len(server.requests)


@pytest.mark.skipif("gemini" in MISSING, reason="google-genai is not installed")
@pytest.mark.parametrize("ours", [False, True], ids=["bare", "ours"])
@pytest.mark.usefixtures("real_time")
def test_google_leaves_an_async_stream_open_until_its_client_is_closed(install: Install, *, ours: bool) -> None:
    """That is so without us; with the client its connection is closed, and its place is free."""
    sdk, way = SDKS["gemini"], STREAMED[1]
    stepped = Stepped(sdk.wire.events)

    async def leave(url: str) -> bool:
        client = sdk.client(url, way)
        async with aclosing(sdk.aclosing(client)):
            async with aclosing(sdk.chunks_async(client, way)) as chunks:
                stepped.release()
                await anext(chunks)
            return stepped.gone.is_set()

    with raw_server(stepped, sdk.wire.reply(streaming=True)) as server:
        if ours:
            install(sdk, server, ONE_AT_A_TIME)
        gone = asyncio.run(leave(server.url))

        assert stepped.gone.wait(20)
        assert not gone
        assert len(sdk.wire.seen) == len(sdk.call(server.url, way))


@pytest.mark.usefixtures("real_time")
def test_a_stream_that_is_cancelled_holds_nothing(sdk: Sdk, install: Install) -> None:
    """In the middle, while it waits for the next chunk."""
    way, stepped = STREAMED[1], Stepped(sdk.wire.events)

    async def scenario(url: str) -> list[Any]:
        client, begun = sdk.client(url, way, **(sdk.own or {})), asyncio.Event()

        async def reader() -> None:
            async with aclosing(sdk.chunks_async(client, way)) as chunks:
                async for _ in chunks:
                    begun.set()

        async with aclosing(sdk.aclosing(client)):
            task = asyncio.create_task(reader())
            await begun.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            return [chunk async for chunk in sdk.chunks_async(client, way)]

    with raw_server(stepped, sdk.wire.reply(streaming=True)) as server:
        install(sdk, server, ONE_AT_A_TIME, budgets=TWO_CALLS)
        stepped.release()
        whole = asyncio.run(scenario(server.url))

        assert stepped.gone.wait(20)
        refused = failed(sdk, server, way, **sdk.one_loop)
    assert "2 spent, 0 reserved" in str(refused)
    assert len(sdk.wire.seen) == len(whole)


@streamed
@pytest.mark.parametrize("name", ["openai", "groq", "cohere", "mistral"])
@pytest.mark.usefixtures("real_time")
def test_a_stream_that_was_read_to_its_last_event_is_settled_by_what_it_tells(
    name: str, way: Way, install: Install
) -> None:
    """Though the SDK closes it there, and nobody has seen the end of its body."""
    if name in MISSING:
        pytest.skip(f"the SDK of {name} is not installed: {MISSING[name]}")
    sdk = SDKS[name]
    *before, last, done = sdk.wire.events
    fields, document = last.split(b"data: ")
    usage = json.dumps({**json.loads(document), "usage": {"total_tokens": 11}}).encode()
    parts = {"credits": {"unit": "tokens", "unknown_cost": 600, "charged": [{"body": "usage.total_tokens"}]}}
    told = chunked(200, [*before, fields + b"data: " + usage + b"\n\n", done], content_type="text/event-stream")

    with raw_server(told) as server:
        install(sdk, server, parts, budgets=[{"name": "day", "limit": "605 tokens/day"}])
        sdk.call(server.url, way)
        refused = failed(sdk, server, way, **sdk.one_loop)

    assert "11 spent, 0 reserved" in str(refused)


@streamed
@pytest.mark.parametrize("name", [name for name, sdk in SDKS.items() if sdk.wire.broken])
def test_an_error_in_the_middle_of_a_stream_is_what_it_is_without_us(name: str, way: Way, install: Install) -> None:
    """The SDK raises it; nothing is sent again, since half of an answer has been seen."""
    sdk = SDKS[name]
    events = (*sdk.wire.events[:2], sdk.wire.broken or b"", *sdk.wire.events[2:])
    stepped = [Stepped(events), Stepped(events)]
    for each in stepped:
        each.release(len(events))

    with raw_server(*stepped) as server:
        bare = failed(sdk, server, way)
        install(sdk, server)
        ours = failed(sdk, server, way)

    assert (type(bare), str(bare)) == (type(ours), str(ours))
    assert 2 == len(server.requests)
    assert resilience.trail_of(ours) is not None


@streamed
def test_a_stream_that_breaks_off_is_what_it_is_without_us(sdk: Sdk, way: Way, install: Install) -> None:
    """The same exception and no further request."""
    broken = Stepped(sdk.wire.events[:1], cut=True)
    broken.release(2)

    with raw_server(broken) as server:
        bare = failed(sdk, server, way)
        install(sdk, server)
        ours = failed(sdk, server, way)

    assert type(bare) is type(ours)
    assert 2 == len(server.requests)
    assert resilience.trail_of(ours) is not None
