"""The log: one line for each decision that is worth a human's eye, with its data, and seldom more than one of a kind."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilience
import resilience.httpx
from resilience import Category, Verdict, _hub, _log, events
from resilience._log import LogListener
from resilience._seldom import Seldom
from resilience._trail import Attempt
from resilience._words import printable, seconds_text
from resilience.testing import VirtualClock
from tests.test_events import BACK_OFF, BREAKER, CLIENTS, ONCE, PAID, Player, counted
from tests.worlds import Step, policy

LOGGERS = ["retry", "retry_budget", "credits", "breaker", "limiter", "concurrency", "stores"]
BUSY = Verdict(Category.RATE_LIMITED, retryable=True, code="SLOW", rule="busy", doc="https://docs.test/errors")
RETRYING = events.Retrying("p", "search", 1, 2.0, "provider", "Retry-After", BUSY)
WARNING = events.BudgetWarning("p", "day", Decimal(10), Decimal("8.5"), "credits", ("tag.tenant=acme",), 60.0)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def listener(clock: VirtualClock) -> LogListener:
    """Writes on a clock that the test moves."""
    return LogListener(Seldom(clock=clock))


@contextmanager
def caught(level: int = logging.DEBUG) -> Iterator[list[logging.LogRecord]]:
    """What is written meanwhile, from this level on."""
    found: list[logging.LogRecord] = []
    handler, logger = logging.Handler(), logging.getLogger("resilience")
    handler.emit = found.append  # type: ignore[method-assign, assignment]
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield found
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    """What is written, of all levels."""
    with caught() as found:
        yield found


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, listener: LogListener) -> None:
    """The library's own log, as if nothing had been written before."""
    monkeypatch.setattr(_hub.Hub, "own", (listener,))


def refused(layer: Any, **parts: Any) -> events.Refused:
    given: dict[str, Any] = {"why": "max_wait", "reason": "not now", "retry_after": None, "observed": False, **parts}
    return events.Refused("p", "search", layer, **given)


def waited(layer: Any, seconds: float, *, observed: bool = False) -> events.Waited:
    return events.Waited("p", None, seconds, layer, "limit", "limit pace (1/second)", observed)


def tripped(state: str, previous: str) -> events.Tripped:
    return events.Tripped("p", None, "{p}:breaker:-", state, previous)


def ended(why: Any, answer: int | str = 503, attempts: int = 1, outcome: Any = "failure") -> events.CallEnded:
    """A call that got this answer each time, a status or an error."""
    trail = resilience.Trail("p", "search")
    status, error = (None, answer) if isinstance(answer, str) else (answer, None)
    trail.events += [Attempt(number + 1, 0.0, 0.1, status, error, BUSY) for number in range(attempts)]
    trail.stop(why, "three are enough")
    return events.CallEnded("p", "search", 0.1, outcome, trail)


LINES: list[tuple[str, Any, str, int, str]] = [
    ("on_retry", RETRYING, "retry", logging.INFO, "p search: attempt 1 got rate_limited, code SLOW; again in 2s, as Retry-After says"),
    ("on_wait", waited("limiter", 0.5), "limiter", logging.DEBUG, "p: waited 0.5s for limit pace (1/second)"),
    ("on_wait", waited("limiter", 41.0), "limiter", logging.INFO, "p: waited 41s for limit pace (1/second)"),
    ("on_wait", waited("breaker", 10.0), "breaker", logging.INFO, "p: waited 10s for limit pace (1/second)"),
    ("on_wait", waited("concurrency", 0.0, observed=True), "concurrency", logging.DEBUG, "p: would have waited 0s for limit pace (1/second)"),
    ("on_wait", waited("retry", 0.5, observed=True), "retry", logging.INFO, "p: would have been sent again in 0.5s, as limit pace (1/second) says"),
    ("on_refusal", refused("limiter"), "limiter", logging.WARNING, "p search: refused: not now"),
    ("on_refusal", refused("concurrency"), "concurrency", logging.WARNING, "p search: refused: not now"),
    ("on_refusal", refused("credits"), "credits", logging.WARNING, "p search: refused: not now"),
    ("on_refusal", refused("breaker"), "breaker", logging.WARNING, "p search: refused: not now"),
    ("on_refusal", refused("breaker", observed=True), "breaker", logging.INFO, "p search: would have been refused: not now"),
    ("on_refusal", refused("retry_budget"), "retry_budget", logging.INFO, "p search: not sent again: not now"),
    ("on_refusal", refused("retry_budget", observed=True), "retry_budget", logging.INFO, "p search: would not have been sent again: not now"),
    ("on_trip", tripped("open", "closed"), "breaker", logging.WARNING, "p: the breaker is open, and was closed (its key is {p}:breaker:-)"),
    ("on_trip", tripped("isolated", "open"), "breaker", logging.WARNING, "p: the breaker is isolated, and was open (its key is {p}:breaker:-)"),
    ("on_trip", tripped("half_open", "open"), "breaker", logging.INFO, "p: the breaker is half open, and was open (its key is {p}:breaker:-)"),
    ("on_trip", tripped("closed", "half_open"), "breaker", logging.INFO, "p: the breaker is closed, and was half open (its key is {p}:breaker:-)"),
    ("on_charge", events.Charged("p", None, Decimal("0.5"), "USD", Decimal(1), "settled"), "credits", logging.DEBUG, "p: the call cost 0.5 USD"),
    ("on_charge", events.Charged("p", None, Decimal(0), "credits", Decimal(1), "failed"), "credits", logging.DEBUG, "p: the call failed, and cost nothing"),
    ("on_charge", events.Charged("p", None, Decimal(1), "credits", Decimal(1), "job"), "credits", logging.DEBUG, "p: the job cost 1 credit"),
    ("on_charge", events.Charged("p", None, Decimal(2), "requests", Decimal(2), "unanswered"), "credits", logging.DEBUG, "p: nobody saw the answer; counted as spent: 2 requests"),
    ("on_trip", events.Tripped("p", None, "{p}:breaker:-", "open", "closed", "503 timeout", 150.0), "breaker", logging.WARNING, "p: the breaker is open, and was closed, after too many failures, the last of them 503 timeout; no call is sent for 2m30s, then one looks (its key is {p}:breaker:-)"),
    ("on_call", ended("max_attempts", attempts=3), "retry", logging.WARNING, "p search: given up after 3 attempts: three are enough; the last answer: 503 rate_limited, code SLOW"),
    ("on_call", ended("not_repeatable", "ReadError"), "retry", logging.WARNING, "p search: given up after 1 attempt: three are enough; the last answer: ReadError rate_limited, code SLOW"),
    ("on_call", ended("deadline", attempts=0), "retry", logging.WARNING, "p search: given up after 0 attempts: three are enough; there was no answer"),
    ("on_latch", events.Latched("p", None, "account", 3601.0, "402 EMPTY", "1f3c"), "credits", logging.WARNING, "p: the account 1f3c is shut by 402 EMPTY, for 1h1s"),
    ("on_latch", events.Latched("p", "map", "operation", None, "403 NO", "1f3c"), "credits", logging.WARNING, "p map: the operation of account 1f3c is shut by 403 NO, until one call finds it open"),
    ("on_latch", events.Latched("p", None, "account", None, "402 EMPTY"), "credits", logging.WARNING, "p: the account is shut by 402 EMPTY, until one call finds it open"),
    ("on_latch", events.Latched("p", "search", "operation", 90.0, "402 EMPTY"), "credits", logging.WARNING, "p search: the operation is shut by 402 EMPTY, for 90s"),
    ("on_pause", events.Paused("p", None, "pace", 30.0), "limiter", logging.INFO, "p: an answer has paused the limit pace for 30s"),
    ("on_pause", events.Paused("p", None, "pace", 0.0), "limiter", logging.INFO, "p: an answer has found the limit pace used up; it goes on at its documented rate"),
    ("on_budget_warning", WARNING, "credits", logging.WARNING, "p: 85% of the budget day of tag.tenant=acme is used, at least 8.5 of 10 credits; it begins anew in 60s"),
    ("on_budget_warning", events.BudgetWarning("p", "job", Decimal(3), Decimal("2.4"), "requests", (), 38_124.0), "credits", logging.WARNING, "p: 100% of the budget job is used, at least 3 of 3 requests; it begins anew in 10h35m24s"),
    ("on_store", events.StoreChanged("redis://h:1", is_away=True, reason="gone"), "stores", logging.WARNING, "redis://h:1 cannot be used: gone; until it is back, this process decides alone, and on budgets as they say"),
    ("on_store", events.StoreChanged("redis://h:1", is_away=False, reason=""), "stores", logging.WARNING, "redis://h:1 is back; limits and breakers are shared again"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "event", "logger", "level", "text"), LINES)
def test_each_decision_has_its_logger_level_and_line(
    listener: LogListener,
    lines: list[logging.LogRecord],
    method: str,
    event: Any,
    logger: str,
    level: int,
    text: str,
) -> None:
    """Its data goes with it, and can be written as JSON."""
    getattr(listener, method)(event)

    (line,) = lines
    assert (f"resilience.{logger}", level, text) == (line.name, line.levelno, line.getMessage())
    data: dict[str, Any] = line.__dict__["resilience"]
    assert type(event).__name__ == data["event"]
    assert data == json.loads(json.dumps(data, allow_nan=False))


@pytest.mark.parametrize(
    ("method", "event"),
    [
        ("on_attempt", events.Attempted("p", None, 1, 0.1, 200, None, BUSY)),
        ("on_call", events.CallEnded("p", None, 0.1, "success", resilience.Trail("p"))),
        ("on_wait", waited("retry", 2.0)),
        ("on_call", ended("not_retryable", 404)),
        ("on_call", ended("refused", outcome="rejected")),
        ("on_call", ended("max_attempts", outcome="interrupted")),
        ("on_call", ended("off", 503)),
    ],
)
def test_what_needs_nobodys_eye_has_no_line(
    listener: LogListener, lines: list[logging.LogRecord], method: str, event: Any
) -> None:
    """Attempts, ends, and the wait before a retry, of which the retry's own line speaks."""
    getattr(listener, method)(event)

    assert [] == lines


def test_the_data_of_a_line_is_the_event(listener: LogListener, lines: list[logging.LogRecord]) -> None:
    """Under one name, with the verdict's parts beside the others, amounts as texts, and scopes as a list."""
    listener.on_retry(RETRYING)
    listener.on_budget_warning(WARNING)
    listener.on_latch(events.Latched("p", None, "account", float("inf"), "402"))

    retry, budget, latch = (line.__dict__["resilience"] for line in lines)
    assert {
        "event": "Retrying",
        "provider": "p",
        "operation": "search",
        "attempt": 1,
        "wait": 2.0,
        "why": "provider",
        "source": "Retry-After",
        "category": "rate_limited",
        "code": "SLOW",
        "rule": "busy",
        "doc": "https://docs.test/errors",
    } == retry
    assert ("10", "8.5", ["tag.tenant=acme"]) == (budget["limit"], budget["used"], budget["scopes"])
    assert "inf" == latch["seconds"]


def test_one_line_of_a_kind_in_ten_seconds(
    clock: VirtualClock, listener: LogListener, lines: list[logging.LogRecord]
) -> None:
    """The next one says how many were left out; kinds differ by layer, provider, level, and what the event is about."""
    for _ in range(4):
        listener.on_refusal(refused("limiter"))
    clock.advance(9.9)
    listener.on_refusal(refused("limiter", reason="another reason"))
    listener.on_refusal(refused("breaker"))
    clock.advance(0.2)
    listener.on_refusal(refused("limiter"))
    listener.on_refusal(refused("limiter"))
    clock.advance(10.0)
    listener.on_refusal(refused("limiter"))
    clock.advance(10.0)
    listener.on_refusal(refused("limiter"))

    text = "p search: refused: not now"
    assert [
        ("limiter", text),
        ("breaker", text),
        ("limiter", f"{text} (4 more like this were not written)"),
        ("limiter", f"{text} (1 more like this was not written)"),
        ("limiter", text),
    ] == [(line.name.rpartition(".")[2], line.getMessage()) for line in lines]


def test_what_differs_is_not_left_out(listener: LogListener, lines: list[logging.LogRecord]) -> None:
    """Short waits do not hide a long one, nor one breaker, state, limit, category, scope or provider another."""
    other = events.Retrying("p", None, 1, 2.0, "provider", "x", Verdict(Category.TIMEOUT, retryable=True))
    told: list[tuple[str, Any]] = [
        ("on_wait", waited("limiter", 0.1)),
        ("on_wait", waited("limiter", 5.0)),
        ("on_trip", tripped("open", "closed")),
        ("on_trip", tripped("half_open", "open")),
        ("on_trip", events.Tripped("p", None, "other", "open", "closed")),
        ("on_pause", events.Paused("p", None, "pace", 1.0)),
        ("on_pause", events.Paused("p", None, "day", 1.0)),
        ("on_pause", events.Paused("q", None, "day", 1.0)),
        ("on_retry", RETRYING),
        ("on_retry", other),
        ("on_retry", replace(RETRYING, attempt=2)),
        ("on_retry", replace(RETRYING, attempt=3)),
        ("on_refusal", refused("credits", why="budget")),
        ("on_refusal", refused("credits", why="store_away")),
        ("on_call", ended("max_attempts", 503)),
        ("on_call", ended("deadline", 503)),
        ("on_latch", events.Latched("p", None, "account", None, "402")),
        ("on_latch", events.Latched("p", None, "account", None, "402", "another")),
        ("on_latch", events.Latched("p", None, "account", None, "401")),
        ("on_latch", events.Latched("p", "search", "operation", None, "402")),
        ("on_latch", events.Latched("p", "map", "operation", None, "402")),
        ("on_budget_warning", WARNING),
        ("on_budget_warning", WARNING),
        ("on_store", events.StoreChanged("redis://h:1", is_away=True, reason="x")),
        ("on_store", events.StoreChanged("redis://h:1", is_away=True, reason="x")),
    ]

    for method, event in told:
        getattr(listener, method)(event)

    assert len(told) == len(lines)


def test_kinds_do_not_fill_the_memory(clock: VirtualClock) -> None:
    """Whatever names a provider or an application makes up: the one that was longest unheard of is forgotten."""
    seldom = Seldom(clock=clock)

    for number in range(3000):
        assert seldom.more(number) == ""
    assert seldom.more(2999) is None
    assert seldom.more(0) == ""
    assert len(seldom._kinds) == 1000


@given(st.text(max_size=50))
def test_nothing_that_a_stranger_writes_begins_a_line_or_moves_a_cursor(text: str) -> None:
    """Codes, reasons, sources, names: in the line and in its data."""
    listener = LogListener()
    verdict = Verdict(Category.TIMEOUT, retryable=True, code=text)
    scopes = (f"tag.a={text}",)

    with caught() as lines:
        listener.on_retry(events.Retrying("p", None, 1, 2.0, "provider", text, verdict))
        listener.on_wait(events.Waited("p", None, 2.0, "limiter", "limit", text, observed=False))
        listener.on_refusal(refused("credits", reason=text))
        listener.on_latch(events.Latched("p", None, "account", None, text))
        listener.on_trip(events.Tripped("p", None, text, "open", "closed"))
        listener.on_pause(events.Paused("p", None, text, 1.0))
        listener.on_store(events.StoreChanged("redis://h", is_away=True, reason=text))
        listener.on_budget_warning(events.BudgetWarning("p", "day", Decimal(10), Decimal(8), "credits", scopes, None))

    assert 8 == len(lines)
    for line in lines:
        assert line.getMessage().isprintable()
        assert all(each.isprintable() for each in map(str, line.__dict__["resilience"].values()))
        line.getMessage().encode()


def test_a_long_text_is_cut() -> None:
    """A reason may quote what an application has written."""
    assert 500 == len(printable("x" * 501))
    assert "x" * 500 == printable("x" * 500)
    assert ("\\n\\x1b[2J\\u202e", "größer") == (printable("\n\x1b[2J\u202e"), printable("größer"))


def test_seconds_for_people() -> None:
    """Three digits."""
    assert ["0.0312s", "2.12s", "99.9s", "86400s"] == [seconds_text(each) for each in (0.03124, 2.123, 99.9, 86400.4)]


def test_nothing_is_put_into_words_that_nobody_reads(
    listener: LogListener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither text nor data, and nothing is counted."""

    def never(*_values: object) -> Any:
        raise AssertionError("somebody was told")

    for name in ("_plain", "_retrying", "_waited", "_refused", "_tripped", "_charged", "_paused"):
        monkeypatch.setattr(_log, name, never)
    monkeypatch.setattr(Seldom, "more", never)

    with caplog.at_level(logging.ERROR, "resilience"):
        for method, event, _, _, _ in LINES:
            if method not in {"on_store", "on_budget_warning"}:
                getattr(listener, method)(event)

    assert [] == caplog.records


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_what_each_attempt_cost_is_only_made_where_somebody_reads_it(
    own: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    """It would be an event for each call."""
    made = counted(monkeypatch, "Charged")
    config = {"budgets": [{"name": "day", "limit": "1000 credits/day"}]}

    with caplog.at_level(level, "resilience"):
        Player("sync-httpx", policy(**PAID), [Step(body={})], config=config).calls(1)

    assert (level == logging.DEBUG) == bool(made)


@pytest.mark.parametrize("client", CLIENTS)
def test_real_calls_are_logged(own: None, lines: list[logging.LogRecord], client: str) -> None:
    """A retry, a trip and a refusal, each once."""
    made = policy(**BREAKER, **BACK_OFF)

    Player(client, made, [Step(503, body={"error": {"code": "a\nb"}})]).calls(1)
    Player(client, made, [Step(503)]).calls(2)

    assert [
        ("resilience.retry", "provider: attempt 1 got upstream_unavailable, code a\\nb; again in 2s, as back-off says"),
        ("resilience.breaker", "provider: the breaker is open, and was closed, after too many failures, the last of them 503 upstream_unavailable; no call is sent for 10s, then one looks"),
    ] == [(line.name, line.getMessage().partition(" (its key")[0]) for line in lines][:2]  # fmt: skip
    assert ("resilience.breaker", logging.WARNING, True) == (
        lines[-1].name,
        lines[-1].levelno,
        "refused: the breaker has been open" in lines[-1].getMessage(),
    )


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_of_a_refusal_that_is_not_written_nothing_is_made(
    listener: LogListener, own: None, monkeypatch: pytest.MonkeyPatch, client: str, level: int
) -> None:
    """It is counted: a provider that is down is refused thousands of calls."""
    told: list[str] = []
    on_refusal = listener.on_refusal
    monkeypatch.setattr(listener, "on_refusal", lambda event: (told.append(event.why), on_refusal(event))[1])
    player = Player(client, policy(**BREAKER), [Step(503)])

    with caught(level) as lines:
        player.calls(21)
        listener._seldom._clock.advance(10)  # type: ignore[attr-defined]
        player.calls(1)

    refusals = [each.getMessage() for each in lines if "refused" in each.getMessage()]
    assert ([] if level > logging.WARNING else ["open", "open"]) == told
    assert len(told) == len(refusals)
    assert all("(19 more like this were not written)" in each for each in refusals[1:])


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_handler_of_the_log_calls_is_not_counted(own: None, client: str) -> None:
    """It hears nothing of its own calls, so none of them is one that was left out."""
    player = Player(client, policy(**BREAKER), [Step(503)])
    player.calls(1)
    written: list[str] = []

    class Calling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(record.getMessage())
            Player("sync-httpx", policy(**BREAKER), [Step(503)]).calls(3)

    handler, logger = Calling(), logging.getLogger("resilience.breaker")
    logger.addHandler(handler)
    try:
        player.calls(2)
    finally:
        logger.removeHandler(handler)
    with caught(logging.WARNING) as lines:
        _hub.Hub.own[0]._seldom._clock.advance(10)  # type: ignore[attr-defined]
        player.calls(1)

    assert 1 == len(written)
    assert "(1 more like this was not written)" in lines[-1].getMessage()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_call_that_was_given_up_is_told_though_nobody_listens(
    own: None, lines: list[logging.LogRecord], client: str
) -> None:
    """With how often it was sent, why no more often, and what came last; its retries are told one by one."""
    made = policy(**BACK_OFF)

    answers = Player(client, made, [Step(500, body={"error": {"code": "X"}})]).calls(1)
    Player(client, made, [Step(404)]).calls(1)
    Player(client, made, [Step(503), Step()]).calls(1)

    assert [500] == [each.status_code for each in answers]
    retry = [line for line in lines if line.name == "resilience.retry" and "server_error" in line.getMessage()]
    assert [logging.INFO, logging.INFO, logging.WARNING] == [line.levelno for line in retry]
    trail = resilience.trail_of(answers[0])
    assert trail is not None
    text = f"provider: given up after 3 attempts: {trail.stopped}; the last answer: 500 server_error, code X"
    assert text == retry[-1].getMessage()
    data = retry[-1].__dict__["resilience"]
    assert (3, "max_attempts", 500, "server_error", "X", "failure") == tuple(
        data[name] for name in ("attempts", "why", "status", "category", "code", "outcome")
    )


@pytest.mark.parametrize("client", CLIENTS)
def test_each_account_that_is_shut_is_told(own: None, lines: list[logging.LogRecord], client: str) -> None:
    """By its digest, within the same ten seconds too; what the provider wrote moves no cursor, wherever it is shown."""
    made = policy(account={"headers": ["x-api-key"]}, breaker={"off": True}, **ONCE)
    reasons: list[str] = []

    class Mine(events.Listener):
        def on_latch(self, event: events.Latched, /) -> None:
            reasons.append(event.reason)

    code = "\x1b[2J\x07\nERROR fake \u202e"
    player = Player(client, made, [Step(402, body={"error": {"code": code}})], listeners=[Mine()])

    async def script(call: Any) -> None:
        for key in ("tenant-a", "tenant-b", "tenant-c"):
            await call.send(headers={"x-api-key": key})

    player.run(script)

    told = [line for line in lines if "is shut by" in line.getMessage()]
    assert (3, 3) == (len(told), len({line.__dict__["resilience"]["account"] for line in told}))
    assert all(reason.isprintable() and reason.isascii() for reason in reasons)
    assert {"402 \\x1b[2J\\x07\\nERROR fake \\u202e"} == set(reasons)


SECRETS = ["sk-live-0123456789abcdef", "hunter2-password", "deadbeefsignature"]


@pytest.mark.parametrize("client", CLIENTS)
def test_no_secret_is_in_the_log(own: None, lines: list[logging.LogRecord], client: str) -> None:
    """Of headers, queries, userinfo and bodies, whatever happens to the calls."""
    key, password, signature = SECRETS
    rule = {"rule": "empty", "when": {"status": 402}, "category": "credits_exhausted"}
    made = policy(answers=[rule], limits=[{"name": "pace", "rate": "2/minute", "per": "account", "max_wait": "1s"}], **PAID)  # fmt: skip
    budget = {"name": "day", "limit": "20 credits/day", "warn_at": 0.2, "per": "account"}
    steps = [Step(503, body={"error": {"code": "busy", "message": key}}), Step(402, body={"error": {"code": "EMPTY"}})]
    player = Player(client, made, steps, config={"budgets": [budget]})

    async def script(call: Any) -> None:
        for _ in range(4):
            headers = {"x-api-key": key, "Authorization": f"Bearer {password}"}
            await call.send(headers=headers, params={"token": signature}, content=password.encode())

    player.run(script)

    assert {"resilience.credits"} <= {line.name for line in lines}
    for line in lines:
        whole = f"{line.getMessage()} {line.__dict__['resilience']}"
        assert not any(secret in whole for secret in SECRETS), whole


def test_a_logger_can_be_silenced_by_its_name(own: None, caplog: pytest.LogCaptureFixture) -> None:
    """As any other, for one layer or for all."""
    assert set(LOGGERS) == set(_log._LOGGERS)
    made = policy(**BREAKER, **ONCE)

    with caplog.at_level(logging.DEBUG, "resilience"), caplog.at_level(logging.CRITICAL, "resilience.breaker"):
        Player("sync-httpx", made, [Step(500)]).calls(3)
    assert [] == caplog.records
    with caplog.at_level(logging.CRITICAL, "resilience"):
        Player("sync-httpx", made, [Step(500)]).calls(3)
    assert [] == caplog.records


def test_a_warning_of_a_budget_goes_to_the_log_the_listeners_and_the_callbacks(
    own: None, lines: list[logging.LogRecord]
) -> None:
    """Each once."""
    heard: list[str] = []

    class Mine(events.Listener):
        def on_budget_warning(self, _event: events.BudgetWarning, /) -> None:
            heard.append("listener")

    removes = [resilience.on_budget_warning(lambda _: heard.append("callback")), resilience.listen(Mine())]
    config = {"budgets": [{"name": "day", "limit": "10 credits/day", "warn_at": 0.5}]}

    Player("sync-httpx", policy(**PAID), [Step(body={})], config=config, listeners=[Mine()]).calls(1)
    for remove in removes:
        remove()

    assert ["callback", "listener", "listener"] == sorted(heard)
    assert 1 == sum("of the budget day is used" in line.getMessage() for line in lines)


def test_a_program_without_logging_sees_warnings_and_no_more() -> None:
    """As of any library: Python writes them to standard error."""
    import subprocess
    import sys

    program = """
import httpx, resilience
from resilience import Policy
policy = Policy.model_validate({"version": 1, "provider": "p", "match": {"hosts": ["p.test"]},
    "breaker": {"consecutive_failures": 1, "failure_rate": None}, "retry": {"max_attempts": 1}})
with resilience.wrap(httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(500))), [policy]) as client:
    for _ in range(5):
        client.get("https://p.test/")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    trip, given_up, refusal = done.stderr.splitlines()
    assert given_up.startswith("p: given up after 1 attempt: ")
    assert "is open, and was closed" in trip
    assert refusal.startswith("p: refused: the breaker has been open for")
