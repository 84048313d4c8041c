"""The story of a call, in words, as data, and where it is found."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anthropic
import groq
import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilience
from resilience import Attempt, Category, Trail, Verdict, Wait, last_trail, trail_of
from resilience._trail import Refused
from resilience._trail_of import LAST
from tests.test_events import CLIENTS, MODULES, ONCE, Player
from tests.worlds import URL, Step, policy


def attempt(number: int, *, status: int | None = 503, error: str | None = None, **verdict: Any) -> Attempt:
    found = Verdict(**{"category": Category.OVERLOADED, "retryable": True, **verdict})
    return Attempt(number, number - 1.0, 0.25, status, error, found)


def test_a_trail_tells_attempts_waits_and_the_end_in_order() -> None:
    """With what each rests on."""
    trail = Trail(
        "anakin",
        "search",
        [
            attempt(1, code="busy", rule="overload", doc="https://docs.test/errors"),
            Wait(1.5, "retry", "provider", "Retry-After"),
            attempt(2, status=None, error="ReadTimeout", category=Category.TIMEOUT),
            Wait(2.0, "retry", "backoff", "back-off"),
            attempt(3, status=200, category=Category.SUCCESS),
        ],
        "success",
    )

    assert [
        "anakin search: 3 attempts",
        "  1. 0.000s: 503 overloaded, code busy, rule overload, https://docs.test/errors",
        "     waited 1.500s, asked for by Retry-After",
        "  2. 1.000s: ReadTimeout timeout",
        "     waited 2.000s, asked for by back-off",
        "  3. 2.000s: 200 success",
        "  => success",
    ] == str(trail).splitlines()


def test_a_short_story_is_short() -> None:
    """One attempt is one attempt, and an unfinished call has no end."""
    assert "p: 1 attempt\n  1. 0.000s: 503 overloaded" == str(Trail("p", events=[attempt(1)]))
    assert "p: 0 attempts" == str(Trail("p"))


def test_attempts_and_waits_can_be_had_apart() -> None:
    """And the last verdict is the one that counts."""
    first, wait, second = (
        attempt(1),
        Wait(1.0, "retry", "backoff", "back-off"),
        attempt(2, status=404, category=Category.NOT_FOUND),
    )
    trail = Trail("p", events=[first, wait, second])

    assert ((first, second), (wait,), second.verdict) == (trail.attempts, trail.waits, trail.verdict)
    assert ((), (), None) == (Trail("p").attempts, Trail("p").waits, Trail("p").verdict)


def test_a_trail_is_plain_data_for_json() -> None:
    """Each event says what it is."""
    trail = Trail("p", None, [attempt(1, code="x"), Wait(1.0, "retry", "backoff", "back-off")], "success")

    found = json.loads(json.dumps(trail.to_dict()))

    assert {"provider": "p", "operation": None, "stopped": "success"} == {
        name: found[name] for name in ("provider", "operation", "stopped")
    }
    assert {
        "wait": {"seconds": 1.0, "layer": "retry", "why": "backoff", "source": "back-off", "observed": False}
    } == found["events"][1]
    assert (1, 503, "overloaded", "x") == (
        found["events"][0]["attempt"]["number"],
        found["events"][0]["attempt"]["status"],
        found["events"][0]["attempt"]["verdict"]["category"],
        found["events"][0]["attempt"]["verdict"]["code"],
    )


@given(code=st.text(min_size=1, max_size=50))
def test_nothing_that_a_provider_writes_begins_a_line_or_moves_a_cursor(code: str) -> None:
    """It stands where the code stands, and is printable."""
    lines = str(Trail("p", events=[attempt(1, code=code)])).split("\n")

    assert 2 == len(lines)
    assert lines[1].isprintable()


@given(text=st.text(min_size=1, max_size=50))
def test_no_other_text_begins_a_line_either(text: str) -> None:
    """A source, a reason and the end may quote a policy or the application."""
    trail = Trail("p", None, [Wait(1.0, "retry", "provider", text), Refused("credits", "budget", text, None)], text)

    lines = str(trail).split("\n")

    assert 4 == len(lines)
    assert all(line.isprintable() for line in lines)


class Strange(Exception):
    """An SDK's error whose properties raise."""

    @property
    def response(self) -> object:
        raise RuntimeError("there is none")


def caused(error: BaseException, cause: BaseException | None) -> BaseException:
    """An error that was said to come from another."""
    error.__cause__ = cause
    return error


def raised_in_handling(other: BaseException) -> BaseException:
    """An error of another call, raised while this one was handled."""
    error = ValueError("mine")
    error.__context__ = other
    return error


def told() -> Exception:
    """An error that carries a trail."""
    error = RuntimeError("refused")
    error.trail = Trail("p")  # type: ignore[attr-defined]
    return error


RESPONSE = SimpleNamespace(extensions={"resilience": Trail("p")})


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (caused(ValueError("the SDK's"), told()), True),
        (caused(Strange(), caused(ValueError("between"), told())), True),
        (caused(told(), ValueError("below")), True),
        (raised_in_handling(told()), False),
        (Strange(), False),
        (type("StatusError", (Exception,), {"response": RESPONSE})(), True),
        (type("StatusError", (Exception,), {"response": None})(), False),
        (type("StatusError", (Exception,), {"raw_response": RESPONSE})(), True),
        (SimpleNamespace(response=RESPONSE), False),
        (SimpleNamespace(extensions=5), False),
        (SimpleNamespace(extensions={"resilience": Trail("p")}), True),
        (SimpleNamespace(extensions={}), False),
        (SimpleNamespace(extensions={"resilience": "mine"}), False),
        (SimpleNamespace(trail=Trail("p")), True),
        (SimpleNamespace(trail="mine"), False),
        (ValueError("x"), False),
        (None, False),
    ],
)
def test_a_trail_is_found_on_responses_and_on_errors(answer: object, *, found: bool) -> None:
    """And on what an SDK has made of them, unless that is its own business. Where no policy applied there is none."""
    assert found == (trail_of(answer) is not None)


SDK = """\
class StatusError(Exception):
    pass


def status(answer, error=StatusError):
    raise error(answer is None)
"""


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A package that is installed, whose functions raise its own error or another one."""
    (tmp_path / "site-packages" / "made_sdk").mkdir(parents=True)
    (tmp_path / "site-packages" / "made_sdk" / "__init__.py").write_text("from .raw import StatusError, status\n")
    (tmp_path / "site-packages" / "made_sdk" / "raw.py").write_text(SDK)
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    yield importlib.import_module("made_sdk")
    for name in ("made_sdk", "made_sdk.raw"):
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("library", MODULES)
def test_a_trail_is_found_where_an_error_was_raised(library: str, sdk: Any) -> None:
    """An SDK may keep nothing of the response; a response of a caller further out is another call's."""
    response = MODULES[library].Response(503, extensions={"resilience": Trail("p")})

    with pytest.raises(sdk.StatusError, match="False") as at_hand:
        sdk.status(response)
    with pytest.raises(sdk.StatusError, match="True") as elsewhere:
        sdk.status(None)

    assert response.extensions["resilience"] is trail_of(at_hand.value)
    assert None is trail_of(elsewhere.value)


class OwnError(Exception):
    """An application's."""


def test_an_error_of_the_applications_own_is_no_answer_that_it_had_at_hand(sdk: Any) -> None:
    """A mistake in the handling of an answer would be taken for the provider's, and its traceback be lost."""
    response = httpx.Response(503, extensions={"resilience": Trail("p")})
    script = type("ScriptError", (Exception,), {"__module__": "__main__"})

    def own(error: type[Exception]) -> None:
        raise error(response.status_code)

    for function, error in [
        (own, KeyError),
        (own, OwnError),
        (own, script),
        (own, sdk.StatusError),
        (lambda error: sdk.status(response, error), KeyError),
        (lambda error: sdk.status(response, error), OwnError),
    ]:
        with pytest.raises(error) as raised:
            function(error)
        assert None is trail_of(raised.value), error


def test_causes_that_go_round_in_a_circle_end() -> None:
    """As may happen when an error is raised again."""
    first, second = ValueError(1), ValueError(2)
    caused(first, caused(second, first))

    assert None is trail_of(first)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("layer", ["limiter", "breaker", "credits"])
def test_a_refusal_that_is_raised_tells_its_story(client: str, layer: str) -> None:
    """As an attribute, and as a note in the traceback; nothing was attempted, and it says why."""
    config: dict[str, Any] = {"refusals": "raise"}
    if layer == "credits":
        config["budgets"] = [{"name": "day", "limit": "1 requests/day"}]
    pace = {"name": "pace", "rate": "1/minute", "per": "provider", "max_wait": "1s"}
    made = policy(
        limits=[pace] if layer == "limiter" else [],
        breaker={"consecutive_failures": 1, "failure_rate": None} if layer == "breaker" else {"off": True},
        **ONCE,
    )
    player = Player(client, made, [Step(500)], config=config)
    caught: list[Exception] = []

    async def script(call: Any) -> None:
        await call.send()
        try:
            await call.send()
        except player.module.HTTPError as error:
            caught.append(error)

    player.run(script)

    (error,) = caught
    trail = trail_of(error)
    assert trail is not None
    assert ((), [layer], True) == (
        trail.attempts,
        [each.layer for each in trail.refusals],
        trail.stopped.startswith(f"refused by the {layer}: "),
    )
    assert [f"resilience: {trail}"] == error.__notes__
    assert trail is last_trail()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_transports_own_error_tells_its_story_once(client: str) -> None:
    """Also where it raises the same instance again: the note is that of the last call."""
    player = Player(client, policy(**ONCE))
    error = player.module.ConnectError("refused")

    def fail(_request: Any) -> Any:
        raise error

    player.transport._inner.handler = fail
    for _ in range(2):
        with pytest.raises(player.module.ConnectError):
            player.calls(1)

    (note,) = error.__notes__
    assert note == f"resilience: {last_trail()}"
    assert "ConnectError network_error" in note


@pytest.mark.parametrize("forbidden", ["trail", "add_note"])
@pytest.mark.parametrize("client", CLIENTS)
def test_an_error_whose_class_forbids_what_it_is_told_is_raised_as_it_is(client: str, forbidden: str) -> None:
    """Whether it refuses to be asked, or to be told."""
    player = Player(client, policy(**ONCE))

    class Own(player.module.ConnectError):  # type: ignore[misc, name-defined]
        def __getattribute__(self, name: str) -> Any:
            if name == forbidden:
                raise LookupError(name)
            return super().__getattribute__(name)

        def __setattr__(self, name: str, value: Any) -> None:
            if name == forbidden:
                raise TypeError(name)
            super().__setattr__(name, value)

    def fail(_request: Any) -> Any:
        raise Own("refused")

    player.transport._inner.handler = fail
    with pytest.raises(Own) as raised:
        player.calls(1)

    assert "refused" == str(raised.value)


@pytest.fixture
def _no_last() -> None:
    LAST.trail = None


@pytest.mark.usefixtures("_no_last")
@pytest.mark.parametrize("client", CLIENTS)
def test_the_last_call_can_be_asked_for(client: str) -> None:
    """After success, failure and refusal; in a prompt also when an event loop ran it."""
    assert None is last_trail()
    player = Player(client, policy(breaker={"consecutive_failures": 1, "failure_rate": None}, **ONCE), [Step(), Step(500)])  # fmt: skip

    found: list[Any] = []
    for _ in range(3):
        (answer,) = player.calls(1)
        found.append((answer.status_code, last_trail() is trail_of(answer)))

    assert [(200, True), (500, True), (503, True)] == found


@pytest.mark.usefixtures("_no_last")
@pytest.mark.parametrize("library", MODULES)
def test_calls_without_a_policy_are_not_remembered(library: str) -> None:
    """They have no trail."""
    module = MODULES[library]
    inner = module.MockTransport(lambda _: module.Response(200))

    with resilience.wrap(module.Client(transport=inner), [policy()]) as client:
        client.get(URL)
        before = last_trail()
        client.get("https://elsewhere.test/")
        client.get(URL, extensions={"resilience": {"off": True}})

    assert before is last_trail() is not None


@pytest.mark.usefixtures("_no_last")
def test_each_thread_has_its_own_last_call() -> None:
    """And a new one has none."""
    found: list[Any] = []
    player = Player("sync-httpx", policy())

    def other() -> None:
        found.append(last_trail())
        player.calls(1)
        found.append(last_trail())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()

    assert (None, "provider", None) == (found[0], found[1].provider, last_trail())


@pytest.mark.usefixtures("_no_last")
def test_tasks_of_a_loop_share_the_last_call() -> None:
    """It is the one that ended last, in whichever of them."""
    player = Player("asyncio-httpx", policy())

    async def script(call: Any) -> None:
        first = await call.send()
        second = await asyncio.create_task(call.send())
        assert trail_of(second) is last_trail() is not trail_of(first)

    player.run(script)


@pytest.mark.usefixtures("_no_last")
def test_only_the_last_trail_is_kept_and_no_answer() -> None:
    """What was before is gone, and so is the response, as soon as the application lets go of it."""
    import gc
    import weakref

    player = Player("sync-httpx", policy(), [Step(body={"a": 1})])
    (first,) = player.calls(1)
    answer, trail = weakref.ref(first), last_trail()
    del first
    gc.collect()

    assert (None, True) == (answer(), last_trail() is trail)
    player.calls(1)
    assert last_trail() is not trail


@pytest.mark.parametrize(("module", "client"), [(openai, "OpenAI"), (anthropic, "Anthropic"), (groq, "Groq")])
@pytest.mark.parametrize(
    ("steps", "refusals", "raised"),
    [
        ([429], "reply", "RateLimitError"),
        ([None], "reply", "APIConnectionError"),
        ([500], "raise", "APIConnectionError"),
    ],
)
def test_what_an_sdk_makes_of_an_answer_tells_its_story_too(
    module: Any, client: str, steps: list[int | None], refusals: str, raised: str
) -> None:
    """Its error for a status, for a broken connection, and for a call that we refused."""
    library = MODULES[module.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]]

    def provide(_request: Any) -> Any:
        if steps[0] is None:
            raise library.ConnectError("gone")
        return library.Response(steps[0], json={})

    breaker = {"consecutive_failures": 1, "failure_rate": None} if refusals == "raise" else {"off": True}
    inner = resilience.wrap(
        module.DefaultHttpxClient(transport=library.MockTransport(provide)),
        [policy(breaker=breaker, **ONCE)],
        {"version": 1, "refusals": refusals},
    )
    prompt: Any = [{"role": "user", "content": "hi"}]
    with getattr(module, client)(api_key="k", base_url=URL, http_client=inner, max_retries=0) as sdk:
        ask = sdk.messages.create if module is anthropic else sdk.chat.completions.create
        errors: list[Exception] = []
        for _ in range(2):
            with pytest.raises(module.APIError) as caught:
                ask(model="m", max_tokens=9, messages=prompt)
            errors.append(caught.value)

    error = errors[-1]
    assert raised == type(error).__name__
    trail = trail_of(error)
    assert trail is not None
    assert trail is last_trail()
    assert (refusals == "raise") == trail.stopped.startswith("refused by the breaker")
