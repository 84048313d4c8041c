"""Whether a task runs again later, and when: by the trail of its call, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilience
import resilience.httpx
from resilience._caller import Caller
from resilience._put_off import EndedCalls, body_of, put_off, step_of, tell_put_off
from resilience._tags import tags_of
from resilience._task_options import Options
from resilience._ticket import Ticket, ticket_here
from resilience.errors import ConfigurationError
from resilience.stores import forget_all
from resilience.testing import VirtualClock
from tests.worlds import HOST, policy

WALL = 1_767_225_600.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    found = VirtualClock(wall=WALL)
    monkeypatch.setattr(Caller, "clock", found)
    return found


def failed(
    clock: VirtualClock, *answers: tuple[int, dict[str, str]], ticket: Ticket | None = None, method: str = "GET",
    seconds: float | None = None, later: float = 0.0, config: Any = None, expires: float | None = None, **options: Any
) -> tuple[Ticket | None, BaseException]:  # fmt: skip
    """What becomes of a task whose only call gets these answers, the last one again and again."""
    sent: list[Any] = []

    def answer(_: Any) -> httpx.Response:
        sent.append(1)
        status, headers = answers[min(len(sent), len(answers)) - 1]
        return httpx.Response(status, headers=headers)

    ticket = ticket or Ticket()
    transport = resilience.httpx.Transport(httpx.MockTransport(answer), policies=[config or policy()], clock=clock)
    with body_of(ticket, task="t", task_id="1", seconds=seconds) as calls, httpx.Client(transport=transport) as client:
        with pytest.raises(httpx.HTTPError) as caught:
            client.request(method, f"https://{HOST}/things").raise_for_status()
        clock.advance(later)
    changed = Options().changed(options, "it")
    return put_off(caught.value, ticket, calls, changed, task="t", expires=expires), caught.value


LATER = (429, {"Retry-After": "1000"})
SLOW = policy(retry={"backoff": {"initial": "30s", "max": "30s", "jitter": 0}})


def test_a_task_is_put_off_until_the_answers_time(clock: VirtualClock) -> None:
    """Counted from the answer, whatever the task did since."""
    again, _ = failed(clock, LATER, later=30.0)

    assert Ticket(since=WALL + 30, count=1, not_before=WALL + 1000) == again


def test_chance_adds_and_takes_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the wait, and a minute at most."""
    for wait, expected in (("1000", 1060), ("100", 109.9)):
        clock = VirtualClock(wall=WALL, chances=[0.0, 0.99, 0.99, 0.99])
        monkeypatch.setattr(Caller, "clock", clock)
        monkeypatch.setattr(clock, "random", lambda: 0.99)
        again, _ = failed(clock, (429, {"Retry-After": wait}), config=policy(retry={"longest_wait": "50s"}))
        assert again
        assert again.not_before
        assert int(wait) < again.not_before - WALL <= expected + 0.01


def test_what_a_layer_asks_for_is_waited_for(clock: VirtualClock) -> None:
    """A limit that refuses, and a back-off that does not fit into the run's time."""
    limited = policy(limits=[{"name": "one", "rate": "1/hour", "per": "provider", "max_wait": "1s"}])
    with httpx.Client(
        transport=resilience.httpx.Transport(
            httpx.MockTransport(lambda _: httpx.Response(200)), policies=[limited], clock=clock
        )
    ) as client:
        client.get(f"https://{HOST}/things")
    refused, _ = failed(clock, (200, {}), config=limited)
    slow = policy(retry={"backoff": {"initial": "30s", "max": "30s", "jitter": 0}})
    too_long, _ = failed(clock, (503, {}), config=slow, seconds=10.0)

    assert refused
    assert too_long
    assert WALL + 3600 == refused.not_before
    assert WALL + 30 == too_long.not_before


@pytest.mark.parametrize(
    ("answer", "method"),
    [
        ((404, {"Retry-After": "1000"}), "GET"),
        ((500, {"Retry-After": "1000"}), "POST"),
        ((503, {}), "GET"),
        ((401, {}), "GET"),
    ],
)
def test_what_does_not_ask_for_time_is_an_error_as_before(clock: VirtualClock, answer: Any, method: str) -> None:
    """A wrong request, one that must not be sent twice, and an answer that says nothing of when."""
    again, error = failed(clock, answer, method=method)

    assert again is None
    assert not any("put off" in note for note in getattr(error, "__notes__", []))


@pytest.mark.parametrize(
    ("answer", "options", "why"),
    [(LATER, {}, "rate_limited"), ((503, {}), {"seconds": 1.0, "config": SLOW}, "upstream_unavailable")],
)
def test_the_log_says_which_task_for_how_long_and_why(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture, answer: Any, options: Any, why: str
) -> None:
    """In one line for people, and as data; the name of a task may be anybody's."""
    again, error = failed(clock, answer, **options)
    assert again
    with caplog.at_level("INFO", "resilience.tasks"):
        tell_put_off(error, again, task="shop.search", task_id="17")

    (record,) = [each for each in caplog.records if each.name == "resilience.tasks"]
    seconds = round((again.not_before or 0) - WALL)
    assert f"the task shop.search[17] is put off for {seconds}s: provider, {why}" == record.message.replace(
        ".000s", "s"
    )
    assert ("PutOff", "17", why, 1) == tuple(
        record.resilience[name] for name in ("event", "task_id", "reason", "count")
    )  # type: ignore[attr-defined]


def test_a_group_of_such_errors_waits_for_the_longest(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a `TaskGroup` raises it; one that would fail again at once, or is none of ours, is an error as before."""
    monkeypatch.setattr(clock, "random", lambda: 0.0)
    caplog.set_level("INFO", logger="resilience.tasks")
    errors: list[BaseException] = []
    for answer in ((429, {"Retry-After": "500"}), LATER, (400, {})):
        errors.append(failed(clock, answer)[1])
        # What the first asked for would hold back the others.
        forget_all()
    short, long, wrong = errors
    group = BaseExceptionGroup("g", [short, BaseExceptionGroup("h", [long, short])])

    def becomes(error: BaseException) -> Ticket | None:
        return put_off(error, Ticket(), EndedCalls(), Options(), task="t")

    again = becomes(group)
    assert Ticket(since=WALL, count=1, not_before=WALL + 1000) == again
    tell_put_off(group, again, task="t", task_id="1")
    assert "the task t[1] is put off for 1000s: provider, rate_limited" in caplog.messages
    for other in (wrong, ValueError("none of ours")):
        assert becomes(BaseExceptionGroup("g", [long, other])) is None


def test_an_error_without_a_call_is_none_of_ours(clock: VirtualClock) -> None:
    """Nothing was called, or no policy applied."""
    with body_of(Ticket(), task="t", task_id="1", seconds=None) as calls:
        assert put_off(ValueError("no"), Ticket(), calls, Options(), task="t") is None


@pytest.mark.parametrize(
    ("ticket", "more", "why"),
    [
        (Ticket(count=3), {"most": 3}, "it was put off 3 times by now"),
        (Ticket(since=WALL - 4000), {"within": 4999.0}, "more than 4999s after it was first put off"),
        (Ticket(), {"expires": WALL + 1000}, "it expires before that"),
        (Ticket(until=WALL + 999), {}, "its caller's deadline is before that"),
    ],
)
def test_it_ends(clock: VirtualClock, ticket: Ticket, more: Any, why: str, caplog: pytest.LogCaptureFixture) -> None:
    """With the error of the call, which says why, as the log does."""
    again, error = failed(clock, LATER, ticket=ticket, **more)

    assert again is None
    assert any(why in note for note in error.__notes__)
    assert why in caplog.text


def test_it_goes_on_for_as_long_as_it_may(clock: VirtualClock) -> None:
    """One less is enough."""
    again, _ = failed(clock, LATER, ticket=Ticket(count=2, since=WALL - 4000), most=3, within=5000.0)

    assert Ticket(since=WALL - 4000, count=3, not_before=WALL + 1000) == again


def test_long_waits_are_made_in_steps(clock: VirtualClock) -> None:
    """Brokers deliver again what nobody acknowledges for long."""
    assert (WALL + 900, WALL + 60) == (step_of(WALL + 5000), step_of(WALL + 60))


def test_a_body_has_its_tags_and_its_time(clock: VirtualClock) -> None:
    """The earlier of its own and its caller's; more tags than a call may have lose the caller's."""
    many = {f"tag{number}": "x" for number in range(20)}
    with body_of(Ticket(many, until=WALL + 5), task="shop.look_up", task_id="7", seconds=60.0):
        found, left = dict(tags_of(None)), resilience.seconds_left()

    assert ("shop.look_up", "7", 20, 5.0) == (found["task"], found["task_id"], len(found), left)
    assert ({}, None) == (dict(tags_of(None)), resilience.seconds_left())


def test_a_message_carries_what_is_around_it(clock: VirtualClock) -> None:
    """Tags always, also those of the task that sends it, but not its own; the deadline where it is asked for."""
    around = Ticket({"tenant": "a", "region": "eu"}, until=WALL + 100, count=7, since=1.0)

    with resilience.tags(tenant="b", task="t", task_id="1"), resilience.deadline(20.0):
        plain, asked = ticket_here(around), ticket_here(around, deadlines=True)

    assert Ticket({"tenant": "b", "region": "eu"}) == plain
    assert replace(plain, until=WALL + 20) == asked
    assert replace(asked, tags={}, until=WALL + 100) == replace(ticket_here(around, deadlines=True), tags={})
    assert {} == ticket_here().to_dict()


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
PARTS = st.dictionaries(st.sampled_from(["tags", "until", "since", "count", "not_before", "x"]), JSON)


@given(JSON | PARTS)
def test_no_message_breaks_a_task(data: Any) -> None:
    """What cannot be honoured is left out, and what is left can be written and read again."""
    ticket = Ticket.from_dict(data)

    assert ticket == Ticket.from_dict(ticket.to_dict())
    with body_of(ticket, task="", task_id="", seconds=None):
        pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"worker_secs": 1}, "unknown option 'worker_secs' in resilience of it; there are: off, worker_seconds"),
        ({"worker_seconds": 0}, "worker_seconds in resilience of it is 0; it takes a number from 0.001"),
        ({"spread": 1.5}, "takes a number from 0.0 to 1.0"),
        ({"most": True}, "takes a number from 0 to 1000000"),
        ({"off": 1}, "takes True or False"),
        ([1], "is a mapping of options"),
    ],
)
def test_options_that_cannot_be_honoured_are_refused(given: Any, message: str) -> None:
    """By name, with what they take."""
    with pytest.raises(ConfigurationError, match=message):
        Options().changed(given, "it")
