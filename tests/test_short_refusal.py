"""A refusal by an open breaker on the short cut is the one that the layers would have made."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import httpx2
import pytest

import resilience.httpx
import resilience.httpx2
from resilience import Policy, last_trail, trail_of
from resilience._breaker_machine import HALF_OPEN, ISOLATED, OPEN
from resilience._hub import Hub
from resilience._log import LogListener
from resilience._registry import Policies, Settings, Source
from resilience._transactions import Command
from resilience._way import Way
from resilience.testing import VirtualClock
from tests.unheard import nobody_listens  # noqa: F401  a fixture for all tests here
from tests.worlds import URL, policy

LIBRARIES: dict[str, tuple[Any, Any]] = {
    "httpx": (httpx, resilience.httpx),
    "httpx2": (httpx2, resilience.httpx2),
}
BREAKER = {"consecutive_failures": 2, "open_for": "10s", "max_open": "10s", "failure_rate": None, "jitter": 0}
NAMED = {"things": {"path": "/things"}}
SHUTS = {"when": {"status": 402}, "rule": "empty", "category": "credits_exhausted", "code": "empty"}


class Stage:
    """A client whose provider is up or down as it is told, and whose breaker may be put into any state."""

    def __init__(self, library: str, made: Policy, *, asynchronous: bool, refusals: Any) -> None:
        self.module, adapter = LIBRARIES[library]
        self.asynchronous = asynchronous
        self.clock = VirtualClock()
        self.status = 200
        self.sent = 0
        self.layers = 0
        policies = Policies([Source(made.provider, made.match.hosts, lambda: made, Settings(refusals=refusals))])
        self.transport = adapter.Transport(self.module.MockTransport(self.answer), policies=policies, clock=self.clock)
        self.chain = self.transport.chain
        for name in ("_sync", "_async"):
            setattr(self.chain, name, self.counting(getattr(self.chain, name)))

    def counting(self, call: Any) -> Any:
        def counted(exchange: Any) -> Any:
            self.layers += 1
            return call(exchange)

        return counted

    def answer(self, _request: Any) -> Any:
        self.sent += 1
        return self.module.Response(self.status, headers={"retry-after": "30"} if self.status == 402 else {})

    def force(self, state: int, seconds: float = 0.0) -> None:
        """Put every breaker into a state by hand."""
        store = self.chain._store
        for key, _ in store.scan():
            if ":breaker:" in key:
                store.run(Command("breaker.force", (key,), (state, seconds)), self.clock.now())

    def call(self, method: str = "GET") -> tuple[object, ...]:
        """One call, and all that anybody can see of it."""

        async def go() -> Any:
            async with self.module.AsyncClient(transport=self.transport) as client:
                return await client.request(method, URL)

        def send() -> Any:
            if self.asynchronous:
                return asyncio.run(go())
            with self.module.Client(transport=self.transport) as client:
                return client.request(method, URL)

        try:
            response = send()
        except Exception as error:
            trail, seen = trail_of(error), (type(error), str(error), error.__notes__)
        else:
            trail = trail_of(response)
            told = response.headers.multi_items(), {**response.extensions, "resilience": None}
            seen = (response.status_code, response.content, response.reason_phrase, told)
        assert trail is not None
        assert trail is last_trail()
        return seen, trail.to_dict(), trail.retry_after, self.sent, list(self.clock.slept)


def told(stage: Stage, caplog: pytest.LogCaptureFixture) -> list[tuple[object, ...]]:
    """A provider goes down, is asked again, comes back, and its breaker is put into each state by hand."""
    caplog.clear()
    found = [stage.call()]
    stage.status = 500
    found += [stage.call() for _ in range(4)]
    stage.clock.advance(3.25)
    found += [stage.call(), stage.call("HEAD")]
    # The open time is over: a probe goes, and fails.
    stage.clock.advance(7)
    found += [stage.call(), stage.call()]
    stage.clock.advance(11)
    stage.status = 200
    found += [stage.call() for _ in range(5)]
    for state, seconds in ((ISOLATED, 0.0), (OPEN, 2.5), (HALF_OPEN, 0.0)):
        stage.force(state, seconds)
        found.append(stage.call())
    # What shuts the account is asked before the breaker.
    stage.status = 402
    found.append(stage.call())
    stage.force(OPEN, 5.0)
    found.append(stage.call())
    stage.clock.advance(2)
    found.append(stage.call())
    return found + [
        (each.name, each.levelno, each.getMessage(), vars(each)["resilience"])
        for each in caplog.records
        if each.name.startswith("resilience")
    ]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("refusals", ["reply", "raise"])
@pytest.mark.parametrize("parts", [{}, {"max_wait": "4s"}], ids=["refuses", "waits"])
def test_a_refusal_is_that_of_the_layers(
    library: str,
    asynchronous: bool,
    refusals: str,
    parts: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Reply, error, trail, log and what is sent are the same; fewer calls go through the layers where none waits."""
    caplog.set_level(logging.DEBUG, "resilience")
    made = policy(retry={"max_attempts": 1}, breaker={**BREAKER, **parts}, answers=[SHUTS], operations=NAMED)
    stages = [Stage(library, made, asynchronous=asynchronous, refusals=refusals) for _ in range(2)]

    monkeypatch.setattr(Hub, "own", (LogListener(),))
    short = told(stages[0], caplog)
    monkeypatch.setattr(Hub, "own", (LogListener(),))
    monkeypatch.setattr("resilience._way_finder.WayFinder.find", lambda *_: None)
    whole = told(stages[1], caplog)

    assert whole == short
    refused = [each for each in short if "'why': 'open'" in str(each)]
    assert len(refused) >= (2 if parts else 6)
    assert stages[0].layers <= stages[1].layers - (0 if parts else len(refused))


def test_what_listens_is_told_by_the_layers() -> None:
    """A listener of this client hears of the refusal, as of all that becomes of its calls."""
    heard: list[Any] = []

    class Listener(resilience.events.Listener):
        def on_refusal(self, event: Any, /) -> None:
            heard.append(event)

    made = policy(retry={"max_attempts": 1}, breaker=BREAKER)
    transport = resilience.httpx.Transport(
        httpx.MockTransport(lambda _: httpx.Response(500)), policies=[made], listeners=[Listener()]
    )

    with httpx.Client(transport=transport) as client:
        answers = [client.get(URL).status_code for _ in range(4)]

    assert ([500, 500, 503, 503], ["open", "open"]) == (answers, [each.why for each in heard])


def test_who_begins_to_listen_meanwhile_is_told_by_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """From another thread, between the breaker's answer and what is made of it: of the refusal, and of the call's end."""
    heard: list[Any] = []
    removers: list[Any] = []
    enter = Way.enter

    class Listener(resilience.events.Listener):
        def on_refusal(self, event: Any, /) -> None:
            heard.append(event.why)

        def on_call(self, event: Any, /) -> None:
            heard.append(event.outcome)

    def entered(*arguments: Any) -> Any:
        reply = enter(*arguments)
        if isinstance(reply, list):
            removers.append(resilience.listen(Listener()))
        return reply

    monkeypatch.setattr(Way, "enter", entered)
    made = policy(retry={"max_attempts": 1}, breaker=BREAKER)
    transport = resilience.httpx.Transport(httpx.MockTransport(lambda _: httpx.Response(500)), policies=[made])

    with httpx.Client(transport=transport) as client:
        answers = [client.get(URL).status_code for _ in range(3)]
    for remove in removers:
        remove()

    assert ([500, 500, 503], ["open", "rejected"]) == (answers, heard)


def test_the_last_trail_is_the_refusals_whatever_is_called_while_the_log_hears_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A handler of the log may send what it writes by the same client."""
    monkeypatch.setattr(Hub, "own", (LogListener(),))
    made = policy(retry={"max_attempts": 1}, breaker=BREAKER)
    transport = resilience.httpx.Transport(httpx.MockTransport(lambda _: httpx.Response(500)), policies=[made])
    sent: list[Any] = []

    class Sending(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "refused: " in record.getMessage():
                sent.append(client.get(URL))

    logger, handler = logging.getLogger("resilience.breaker"), Sending()
    logger.addHandler(handler)
    try:
        with httpx.Client(transport=transport) as client:
            answers = [client.get(URL) for _ in range(3)]
    finally:
        logger.removeHandler(handler)

    assert ([500, 500, 503], [503]) == ([each.status_code for each in answers], [each.status_code for each in sent])
    assert last_trail() is trail_of(answers[-1])
    assert last_trail() is not trail_of(sent[0])


def test_the_reply_is_that_to_the_method() -> None:
    """RFC 9110 section 9.3.2: a HEAD is answered without a body."""
    made = policy(retry={"max_attempts": 1}, breaker=BREAKER)
    transport = resilience.httpx.Transport(httpx.MockTransport(lambda _: httpx.Response(500)), policies=[made])

    with httpx.Client(transport=transport) as client:
        answers = [client.request(method, URL) for method in ("GET", "GET", "HEAD", "GET")]

    assert [True, True, False, True] == [
        "x-resilience-refused" not in each.headers or bool(each.content) for each in answers
    ]
