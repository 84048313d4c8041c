"""What a call gets that one of our own layers does not let through: a reply of the provider's, or an error."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import httpx2
import pytest

import resilience
import resilience.httpx
import resilience.httpx2
from resilience import Category, Policy, _chain, errors, trail_of
from resilience._attempt import attempt_layer
from resilience._outcome import Exchange, Outcome
from resilience._refusal import MEANINGS, Refusal, refused
from resilience._registry import Policies, Settings, Source
from resilience._trail import Attempt, Refused, Wait
from tests.llm_sdks import SDKS, Sdk, Way
from tests.rawserver import raw_server
from tests.worlds import HOST, URL, Step, World, policy

LIBRARIES: dict[str, tuple[Any, Any]] = {
    "httpx": (httpx, resilience.httpx),
    "httpx2": (httpx2, resilience.httpx2),
}
BOUND = {
    "limiter": "RateLimitExceeded",
    "concurrency": "ConcurrencyLimitExceeded",
    "credits": "CreditLimitExceeded",
    "breaker": "BreakerOpen",
}
Layers = Callable[[Sequence[tuple[Any, float | None] | None]], list[int]]


@pytest.fixture
def layers(monkeypatch: pytest.MonkeyPatch) -> Layers:
    """Put a layer before the attempts: what it refuses (layer and seconds), one after the other; `None` lets through."""

    def install(script: Sequence[tuple[Any, float | None] | None]) -> list[int]:
        looks: list[int] = []

        def scripted_layer(runtime: Any) -> Any:
            attempt = attempt_layer(runtime)

            async def scripted_call(exchange: Exchange) -> Outcome:
                looks.append(1)
                step = script[min(len(looks), len(script)) - 1]
                if step is None:
                    return await attempt(exchange)
                return refused(exchange, layer=step[0], why="max_wait", reason="not now", retry_after=step[1], key="k")

            return scripted_call

        monkeypatch.setattr(_chain, "attempt_layer", scripted_layer)
        # These layers have something to say of each call.
        monkeypatch.setattr("resilience._way_finder.WayFinder.find", lambda *_: None)
        return looks

    return install


def raising(made: Policy) -> Policies:
    """The policy of a user who wants errors."""
    return Policies([Source(made.provider, made.match.hosts, lambda: made, Settings(refusals="raise"))])


def test_a_refused_call_is_an_outcome_and_an_event(layers: Layers) -> None:
    """Neither a response nor an error; the category says to the layers what it is."""
    exchange = Exchange(None, policy(), "op", None, resilience.Trail("p"), None, None, Settings())  # type: ignore[arg-type]

    outcome = refused(exchange, layer="breaker", why="open", reason="down", retry_after=2.5, key="k")

    assert Refusal("breaker", "down", 2.5, "k") == outcome.refusal
    assert (None, None) == (outcome.response, outcome.error)
    assert (Category.UPSTREAM_UNAVAILABLE, False, None) == (
        outcome.verdict.category,
        outcome.verdict.retryable,
        outcome.verdict.code,
    )
    assert [Refused("breaker", "open", "down", 2.5)] == exchange.trail.events


@pytest.mark.parametrize(
    ("layer", "category"),
    [
        ("limiter", "rate_limited"),
        ("concurrency", "concurrency_limited"),
        ("credits", "credits_exhausted"),
        ("breaker", "upstream_unavailable"),
    ],
)
def test_each_layer_has_a_category(layer: Any, category: str) -> None:
    """Of pace, of money, or of a provider that is down."""
    assert category == MEANINGS[layer][0][0]


@pytest.mark.parametrize(("layer", "status"), [("limiter", 429), ("concurrency", 429), ("breaker", 503)])
def test_a_refusal_is_a_reply_in_the_providers_shape(world: World, layers: Layers, layer: str, status: int) -> None:
    """In every world: nothing is sent, nothing is waited for, and the headers say how long and by whom."""
    looks = layers([(layer, 11.2)])

    story = world.call(policy(), [Step(200)])

    assert (status, 0, [], 1) == (story.status, story.requests, story.slept, len(looks))
    wanted = {"retry-after": "12", "x-should-retry": "false", "x-resilience-refused": layer}
    assert wanted == {name: story.headers[name] for name in wanted}
    assert f"refused by the {layer}: not now" == story.trail.stopped
    assert ((Refused(layer, "max_wait", "not now", 11.2),), ()) == (story.trail.refusals, story.trail.attempts)  # type: ignore[arg-type]


def test_a_wait_that_nobody_knows_is_not_made_up(world: World, layers: Layers) -> None:
    """Without seconds there is no Retry-After."""
    layers([("breaker", None)])

    story = world.call(policy(), [Step(200)])

    assert (503, None) == (story.status, story.headers.get("retry-after"))


def test_the_last_answer_of_the_provider_is_not_replaced(world: World, layers: Layers) -> None:
    """A call that is refused on its way back gets the provider's own last answer, marked as final."""
    looks = layers([None, ("limiter", 30.0)])

    story = world.call(policy(), [Step(503, body={"error": {"message": "mine"}})])

    assert (503, 1, 2) == (story.status, story.requests, len(looks))
    assert ("false", None) == (story.headers.get("x-should-retry"), story.headers.get("x-resilience-refused"))
    assert [Attempt, Wait, Refused] == [type(event) for event in story.trail.events]
    assert "refused by the limiter: not now" == story.trail.stopped


def test_the_last_error_of_the_network_is_not_replaced_either(world: World, layers: Layers) -> None:
    """It is raised as if the call had ended there."""
    layers([None, ("breaker", 30.0)])

    story = world.call(policy(), [Step(error="connect_error")])

    assert (None, 1) == (story.status, story.requests)
    assert not isinstance(story.error, errors.Refused)
    assert story.error is not None


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("size", [3, 64 * 1024, 64 * 1024 + 1])
def test_an_answer_is_kept_up_to_a_bound(library: str, size: int, layers: Layers) -> None:
    """A small body is whole; the connection was given back before the wait; of a large one only our refusal is left."""
    module, adapter = LIBRARIES[library]
    layers([None, ("limiter", 30.0)])
    closed: list[bool] = []

    class Body(module.SyncByteStream):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Iterator[bytes]:
            yield b"x" * size

        def close(self) -> None:
            closed.append(True)

    transport = adapter.Transport(
        module.MockTransport(lambda _request: module.Response(503, stream=Body())),
        policies=[policy()],
        clock=resilience.testing.VirtualClock(),
    )
    with module.Client(transport=transport) as client:
        response = client.get(URL)

    assert [True] == closed
    kept = size <= 64 * 1024
    assert kept == ("x-resilience-refused" not in response.headers)
    assert not kept or b"x" * size == response.content


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("way", ["get", "stream", "send", "async"])
def test_a_reply_is_a_response_like_any_other(library: str, way: str, layers: Layers) -> None:
    """Read, streamed, sync and async; `elapsed`, `request` and `raise_for_status` work, and the mark is there."""
    module, adapter = LIBRARIES[library]
    layers([("limiter", 3)])
    transport = adapter.Transport(module.MockTransport(lambda _request: module.Response(200)), policies=[policy()])

    def go() -> Any:
        with module.Client(transport=transport) as client:
            if way == "get":
                return client.post(URL, json={"a": 1})
            if way == "send":
                return client.send(client.build_request("POST", URL))
            with client.stream("POST", URL) as response:
                assert {"error": {"code": "rate_limited", "message": "not now"}} == json.loads(response.read())
                return response

    async def go_async() -> Any:
        async with module.AsyncClient(transport=transport) as client:
            return await client.post(URL)

    response = asyncio.run(go_async()) if way == "async" else go()

    assert {"error": {"code": "rate_limited", "message": "not now"}} == response.json()
    assert (429, URL, "POST") == (response.status_code, str(response.request.url), response.request.method)
    assert response.elapsed.total_seconds() >= 0
    assert trail_of(response) is response.extensions["resilience"]
    # The client's own log and error have this phrase: nothing else in them tells that nothing was sent.
    assert "Too Many Requests, not sent" == response.reason_phrase
    with pytest.raises(module.HTTPStatusError, match="429 Too Many Requests"):
        response.raise_for_status()


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_done_to_a_reply_stays_with_it(library: str, layers: Layers) -> None:
    """The calls that are refused within a moment get replies that are alike, and none that another one has."""
    module, adapter = LIBRARIES[library]
    layers([("limiter", 4.25)])
    transport = adapter.Transport(
        module.MockTransport(lambda _request: module.Response(200)), policies=[policy()], config={"version": 1}
    )

    with module.Client(transport=transport) as client:
        first = client.get(URL)
        headers, content = first.headers.multi_items(), first.content
        first.headers["x-should-retry"] = first.headers["x-added"] = "true"
        first.extensions["reason_phrase"] = b"changed"
        second = client.get(URL)

    assert (headers, content) == (second.headers.multi_items(), second.content)
    assert "Too Many Requests, not sent" == second.reason_phrase
    assert first.headers["x-added"] == "true"


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("layer", BOUND)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_user_who_wants_errors_gets_the_librarys(
    library: str, layer: str, asynchronous: bool, layers: Layers
) -> None:
    """`except httpx.TransportError` catches it with its request; its fields say what a program needs."""
    module, adapter = LIBRARIES[library]
    layers([(layer, 4.25)])
    transport = adapter.Transport(
        module.MockTransport(lambda _request: module.Response(200)), policies=raising(policy())
    )

    def go() -> None:
        with module.Client(transport=transport) as client:
            client.get(URL)

    async def go_async() -> None:
        async with module.AsyncClient(transport=transport) as client:
            await client.get(URL)

    with pytest.raises(module.TransportError) as caught:
        asyncio.run(go_async()) if asynchronous else go()

    error: Any = caught.value
    assert getattr(adapter, BOUND[layer]) is type(error)
    assert isinstance(error, getattr(errors, BOUND[layer]))
    assert isinstance(error, errors.Refused)
    assert (layer, "provider", 4.25, "not now") == (error.layer, error.policy, error.retry_after, error.reason)
    assert f"provider: the {layer} did not let the call through: not now; it would be let through in 4.25s" == str(
        error
    )
    assert URL == str(error.request.url)
    trail = trail_of(error)
    assert trail is not None
    assert [f"resilience: {trail}"] == error.__notes__
    assert "refused by the" in error.__notes__[0]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", BOUND.values())
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
def test_an_error_survives_its_way_to_another_process(library: str, name: str, again: Callable[[Any], Any]) -> None:
    """With its fields and its trail, as process pools send it."""
    module, adapter = LIBRARIES[library]
    error = getattr(adapter, name)("m", layer="limiter", policy="p", retry_after=None, reason="r")
    error.request = module.Request("GET", URL)
    error.trail = resilience.Trail("p", events=[Refused("limiter", "max_wait", "r", None)])
    error.add_note("n")

    found = again(error)

    assert type(error) is type(found)
    assert ("m", "limiter", "p", None, "r") == (
        str(found),
        found.layer,
        found.policy,
        found.retry_after,
        found.reason,
    )
    assert (error.trail, ["n"]) == (found.trail, found.__notes__)
    assert URL == str(found.request.url)


def test_in_virtual_time_an_error_is_ours() -> None:
    """The simulator has no library whose error it could be."""
    from resilience import simulate

    assert {layer: getattr(errors, name) for layer, name in BOUND.items()} == simulate._LIBRARY.refusals


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_refusal_costs_little_and_leaves_nothing(library: str, layers: Layers) -> None:
    """Well under a millisecond with the client around it, and no memory that grows with the number of refusals."""
    module, adapter = LIBRARIES[library]
    looks = layers([("breaker", 3.0)])
    transport = adapter.Transport(module.MockTransport(lambda _request: module.Response(200)), policies=[policy()])
    request = module.Request("GET", URL)

    def refuse(times: int) -> None:
        for _ in range(times):
            transport.handle_request(request)

    refuse(50)
    started = time.perf_counter()
    refuse(500)
    seconds = (time.perf_counter() - started) / 500
    tracemalloc.start()
    # What is kept of so many, wherever that is, is kept by now; and this test's own list is none of it.
    refuse(1000)
    looks.clear()
    before = tracemalloc.get_traced_memory()[0]
    refuse(1000)
    looks.clear()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert seconds < 0.001
    assert grown < 10_000


@pytest.mark.parametrize("sdk", SDKS.values(), ids=SDKS)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("layer", ["limiter", "concurrency", "breaker"])
def test_an_sdk_raises_its_own_error_once(sdk: Sdk, asynchronous: bool, layer: str, layers: Layers) -> None:
    """One look at the chain, nothing sent, and no retry of the SDK's own."""
    looks = layers([(layer, 0.5)])
    error = sdk.errors[sdk.wire.overloaded if layer == "breaker" else 429]

    with raw_server(b"") as server:
        hosts = [server.url.removeprefix("http://")]
        resilience.install({"version": 1, "providers": {sdk.name: {"hosts": hosts}}})
        try:
            with pytest.raises(error) as caught:
                sdk.call(server.url, Way(asynchronous, streaming=False), **sdk.one_loop)
        finally:
            resilience.uninstall()

    assert (1, 0) == (len(looks), len(server.requests))
    assert "not now" in str(caught.value)
    assert layer == sdk.headers(caught.value)["x-resilience-refused"]


def test_a_host_without_a_policy_is_never_refused(layers: Layers) -> None:
    """The layers are not on its way."""
    looks = layers([("limiter", 1.0)])
    transport = resilience.httpx.Transport(httpx.MockTransport(lambda _: httpx.Response(200)), policies=[policy()])

    with httpx.Client(transport=transport) as client:
        response = client.get("https://elsewhere.test/")

    assert HOST != "elsewhere.test"
    assert (200, []) == (response.status_code, looks)
