"""Virtual time: hours of waiting in a moment, the same history each time."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import errors, events
from resilience._hub import Hub
from resilience._log import LogListener
from resilience._seldom import Seldom
from resilience.simulate import Answer, Call, NoAnswer, Request, Simulation
from tests.worlds import URL, policy

PATIENT = {"max_attempts": 20, "longest_wait": "1h", "spread": 0, "backoff": {"jitter": "none", "max": "1h"}}


def simulated(provider: Any, *, seed: int = 0, **parts: Any) -> Simulation:
    return Simulation([policy(**parts)], provider, seed=seed)


def run(provider: Any, *, method: str = "GET", options: Any = None, content: bytes = b"", **parts: Any) -> Call:
    simulation = simulated(provider, **parts)
    call = simulation.call(method, URL, options=options, content=content)
    simulation.run()
    return call


def test_hours_pass_in_a_moment() -> None:
    """The provider sees the virtual time, and the call ends at it."""
    seen: list[float] = []

    def provider(request: Request, now: float) -> Answer:
        seen.append(now)
        return Answer(429, {"Retry-After": "3600"})

    call = run(provider, retry=PATIENT)

    assert [3600.0 * number for number in range(20)] == seen
    assert (68400.0, 429) == (call.ended, call.answer and call.answer.status_code)


def test_calls_run_beside_one_another_in_the_order_of_their_events() -> None:
    """At one time, in the order in which they were planned."""
    seen: list[tuple[float, str]] = []

    def provider(request: Request, now: float) -> Answer:
        seen.append((now, request.content.decode()))
        return Answer(200, latency=1.0) if len(seen) > 3 else Answer(503)

    simulation = simulated(provider, retry={"spread": 0, "backoff": {"initial": "3s", "jitter": "none"}})
    for name, at in (("late", 2.0), ("a", 0.0), ("b", 0.0)):
        simulation.call("PUT", URL, content=name.encode(), at=at)
    simulation.run()

    assert [(0.0, "a"), (0.0, "b"), (2.0, "late"), (3.0, "a"), (3.0, "b"), (5.0, "late")] == seen
    assert 6.0 == simulation.now


def test_a_call_planned_in_the_past_begins_now() -> None:
    """Time does not go back."""
    simulation = simulated(lambda request, now: Answer(200, latency=5.0))
    simulation.call("GET", URL)
    simulation.run()

    second = simulation.call("GET", URL, at=1.0)
    simulation.run()

    assert 10.0 == second.ended


def test_a_provider_may_not_answer() -> None:
    """It raises the kind of error, known after a while; the caller gets it, with the trail."""

    def provider(request: Request, now: float) -> Answer:
        raise NoAnswer("read_timeout", latency=2.0)

    call = run(provider, retry={"max_attempts": 1})

    assert isinstance(call.error, NoAnswer)
    assert ("timeout", 2.0, None) == (
        call.trail and call.trail.verdict and call.trail.verdict.category,
        call.ended,
        call.answer,
    )


def test_an_unknown_kind_of_error_is_refused() -> None:
    """A slip of the pen in the script."""
    with pytest.raises(ValueError, match="'timeout' is no kind of transport error; write one of connect_error, "):
        NoAnswer("timeout")


def test_a_fault_in_the_script_is_the_calls_error() -> None:
    """It is not retried, and does not end the simulation."""

    def provider(request: Request, now: float) -> Answer:
        raise LookupError("no such step")

    call = run(provider, retry=PATIENT)

    assert isinstance(call.error, LookupError)
    assert call.trail is not None
    assert (1, "other_error") == (len(call.trail.attempts), call.trail.verdict and call.trail.verdict.error)


@pytest.mark.parametrize("latency", [3.0, 1.0])
@pytest.mark.parametrize("answers", [True, False])
def test_an_attempt_takes_no_longer_than_it_may(latency: float, *, answers: bool) -> None:
    """A slow answer and a slow error alike end at the attempt's timeout."""

    def provider(request: Request, now: float) -> Answer:
        if answers:
            return Answer(200, latency=latency)
        raise NoAnswer("read_error", latency=latency)

    call = run(provider, attempt_timeout="2s", retry={"max_attempts": 1})

    assert min(latency, 2.0) == call.ended
    assert (latency > 2) == isinstance(call.error, errors.AttemptTimeout)
    assert (latency < 2 and not answers) == isinstance(call.error, NoAnswer)


def test_a_deadline_ends_a_call() -> None:
    """As it does for a client."""
    call = run(lambda request, now: Answer(200, latency=60.0), deadline="5s")

    assert (5.0, errors.DeadlineExceeded) == (call.ended, type(call.error))


def test_the_request_is_what_the_call_says() -> None:
    """Method, headers in any case, body and URL; the port and the query do not change its operation."""
    seen: list[Request] = []

    def provider(request: Request, now: float) -> Answer:
        seen.append(request)
        return Answer(200)

    simulation = simulated(provider, operations={"things": {"path": "/things"}})
    call = simulation.call("POST", f"{URL}?q=1", headers={"X-A": "1"}, content=b"body")
    simulation.run()

    assert ("POST", "1", b"body", "/things", "provider.test", b"/things?q=1") == (
        seen[0].method, seen[0].headers["x-a"], seen[0].content, seen[0].url.path, seen[0].url.host, seen[0].url.raw_path,
    )  # fmt: skip
    assert call.trail is not None
    assert "things" == call.trail.operation


def test_a_query_counts_as_it_does_for_a_client() -> None:
    """Two keys are two accounts, each with a limit of its own, also where they stand in the query."""
    limits = [{"rate": "1/hour", "max_wait": "0s"}]
    simulation = simulated(lambda request, now: Answer(200), account={"query": ["key"]}, limits=limits)
    calls = [simulation.call("GET", f"{URL}?key={key}") for key in ("one", "two", "one")]
    simulation.run()

    assert [200, 200, 429] == [call.answer and call.answer.status_code for call in calls]


def test_a_path_is_sent_in_the_letters_of_urls() -> None:
    """What is no letter of theirs is encoded, as a client does; what is encoded already stays."""
    seen: list[Request] = []

    def provider(request: Request, now: float) -> Answer:
        seen.append(request)
        return Answer(200)

    simulation = simulated(provider, operations={"things": {"path": "/b%C3%BCcher/{id}"}})
    call = simulation.call(
        "GET", "https://provider.test/b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher/a%2Fb?q=\N{EURO SIGN}"
    )
    simulation.run()

    assert b"/b%C3%BCcher/a%2Fb?q=%E2%82%AC" == seen[0].url.raw_path
    assert "things" == (call.trail and call.trail.operation)


def test_an_international_host_is_known_by_its_name_in_dns() -> None:
    """As a client sends it."""
    simulation = simulated(lambda request, now: Answer(200), match={"hosts": ["xn--bcher-kva.test"]})
    call = simulation.call("GET", "https://bücher.test")
    simulation.run()

    assert call.answer is not None


def test_a_body_may_come_in_pieces() -> None:
    """An answer that is still open is read as a real one is: a part is looked at, all of it is handed on."""
    hidden = {"rule": "hidden", "when": {"status": 200, "body": {"ok": False}}, "category": "overloaded"}
    answers: list[Answer] = []

    def provider(request: Request, now: float) -> Answer:
        content = b'{"ok": false}' if not answers else b'{"ok": true}'
        answers.append(Answer(200, {"Content-Type": "application/json"}, content))
        answers[-1].is_closed = False
        return answers[-1]

    call = run(provider, answers=[hidden], retry=PATIENT)

    assert call.trail is not None
    assert ["hidden", None] == [attempt.verdict.rule for attempt in call.trail.attempts]
    assert call.answer is not None
    assert [b'{"ok": true}'] == list(call.answer.stream)


def test_options_of_a_call_count() -> None:
    """As in a request's extensions; what cannot be honoured is refused at once."""
    call = run(lambda request, now: Answer(503), retry=PATIENT, options={"max_attempts": 2})

    assert call.trail is not None
    assert 2 == len(call.trail.attempts)
    with pytest.raises(errors.ConfigurationError, match="unknown option"):
        run(lambda request, now: Answer(200), options={"tries": 2})


@pytest.mark.parametrize(("url", "options"), [("https://other.test/", None), (URL, {"off": True})])
def test_a_call_that_no_policy_speaks_of_is_refused(url: str, options: Any) -> None:
    """It would not be simulated at all."""
    simulation = simulated(lambda request, now: Answer(200))

    with pytest.raises(errors.ConfigurationError, match=f"no policy of this simulation speaks of {url}"):
        simulation.call("GET", url, options=options)


def history(seed: int) -> list[float]:
    """The waits and the idempotency keys of three calls."""
    keys: list[str] = []

    def provider(request: Request, now: float) -> Answer:
        keys.append(request.headers["Idempotency-Key"])
        return Answer(503)

    simulation = simulated(provider, seed=seed, idempotency={"header": "Idempotency-Key"})
    calls = [simulation.call("POST", URL) for _ in range(3)]
    simulation.run()
    waits = [wait.seconds for call in calls if call.trail for wait in call.trail.waits]
    return [*waits, *(float(int(key.replace("-", ""), 16)) for key in dict.fromkeys(keys))]


@given(seed=st.integers(0, 1000))
def test_the_same_seed_tells_the_same_history(seed: int) -> None:
    """And another seed another one: six waits and three keys."""
    assert history(seed) == history(seed)
    assert history(seed) != history(seed + 1)
    assert 9 == len(history(seed))


def test_no_simulated_refusal_counts_as_left_out_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next line would tell of refusals that nobody was given."""
    seldom = Seldom()
    monkeypatch.setattr(Hub, "own", (LogListener(seldom),))
    assert seldom.more("breaker", logging.WARNING, events.Refused, "provider", "open") == ""
    breaker = {"consecutive_failures": 1, "open_for": "10s", "max_open": "10s", "failure_rate": None}
    simulation = simulated(lambda *_: Answer(500), retry={"max_attempts": 1}, breaker=breaker)

    calls = [simulation.call("GET", URL, at=at) for at in (0.0, 1.0, 2.0)]
    simulation.run()

    assert [None, "breaker", "breaker"] == [
        each.answer and each.answer.headers.get("x-resilience-refused") for each in calls
    ]
    assert [0] == [each.left_out for each in seldom._kinds.values()]
    assert calls[-1].answer is not None
    assert calls[-1].answer.extensions == {"resilience": calls[-1].trail}


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_times_are_seconds(seconds: float) -> None:
    """A call that is to begin at no time would stand in the way of all the others."""
    simulation = simulated(lambda _request, _now: Answer(200))

    for given_one in (
        lambda: simulation.call("GET", URL, at=seconds),
        lambda: Answer(200, latency=seconds),
        lambda: NoAnswer(latency=seconds),
    ):
        with pytest.raises(errors.ConfigurationError, match=r" is .*; write seconds, 0 or more"):
            given_one()
