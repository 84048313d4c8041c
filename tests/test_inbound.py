"""What a request says of its caller: read from hostile headers, bounded, and let go of when it is answered."""

from __future__ import annotations

import contextvars
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilience
from resilience._caller import Caller, attempts_left
from resilience._inbound import ARRIVAL, Arrival, Inbound
from resilience._tags import tags_of
from resilience._web_options import Given, options_from, settings_from
from resilience.errors import ConfigurationError
from resilience.testing import VirtualClock

WALL = 1_767_225_600.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    clock = VirtualClock(wall=WALL)
    monkeypatch.setattr(Caller, "clock", clock)
    return clock


def arrival(
    headers: Mapping[str, list[str]],
    route: Callable[[Any], str | None] = lambda _: None,
    *,
    is_first: bool = True,
    **given: Any,
) -> Arrival:
    """A request with these headers; of one that was read already, what is around it is its own."""
    found = {"deadline_header": "x-deadline", "attempts_header": "x-attempts", "margin": 0, **given}
    folded = {name.lower(): values for name, values in headers.items()}
    return Inbound(options_from(found, "here"), route).receive(
        lambda name: folded.get(name.lower(), []), "the request", {} if is_first else {ARRIVAL: None}
    )


def held(request: Arrival) -> tuple[float | None, int | None, dict[str, str]]:
    """What a call within is held to."""
    with request.held():
        return resilience.seconds_left(), attempts_left(), dict(tags_of(None))


@pytest.mark.parametrize(
    ("values", "form", "seconds"),
    [
        (["2.5"], "seconds", 2.5),
        (["2500"], "milliseconds", 2.5),
        (["2500m"], "grpc", 2.5),
        ([str(WALL + 2)], "epoch", 2.0),
        ([f"{WALL * 1000 + 2000:.0f}"], "epoch_milliseconds", 2.0),
        (["2026-01-01T00:00:02Z"], "rfc3339", 2.0),
        (["9", "4, 7"], "seconds", 4.0),
        (["never, 4"], "seconds", 4.0),
        (["9" * 60], "seconds", 366 * 86_400.0),
        ([], "seconds", None),
        ([""], "seconds", None),
        (["-1"], "seconds", 0.0),
        (["nan"], "seconds", None),
        (["inf"], "seconds", None),
        (["5" * 201], "seconds", None),
        (["5"] * 500, "seconds", 5.0),
        (["\u0665"], "seconds", None),
    ],
)
def test_a_deadline_is_read_in_all_forms(values: list[str], form: str, seconds: float | None) -> None:
    """The earliest of several counts; what cannot be read says nothing."""
    assert seconds == pytest.approx(held(arrival({"x-deadline": values}, deadline_as=form))[0])


@pytest.mark.parametrize(
    ("timeout", "values", "left"),
    [(3, ["5"], 3.0), (3, ["2"], 2.0), (3, [], 3.0), (lambda _: 1.5, ["9"], 1.5), (lambda _: None, [], None)],
)
def test_the_smaller_of_header_and_timeout_counts(timeout: Any, values: list[str], left: float | None) -> None:
    """A caller never gets more than the server gives."""
    assert left == held(arrival({"x-deadline": values}, timeout=timeout))[0]


@pytest.mark.parametrize("timeout", [float("nan"), "5", True])
def test_a_timeout_that_is_no_number_is_a_mistake(timeout: Any) -> None:
    """Of the application."""
    with pytest.raises(ConfigurationError, match=f"timeout gave {timeout!r}"):
        arrival({}, timeout=lambda _: timeout)


@pytest.mark.parametrize(("values", "late"), [(["0"], True), (["0.001"], False), ([], False)])
def test_a_request_that_nobody_waits_for_is_late(values: list[str], late: bool) -> None:
    """Its deadline was already over when it came."""
    assert late is arrival({"x-deadline": values}).is_late


@pytest.mark.parametrize(("given", "left"), [("10", 9.95), ("0.1", 0.09)])
def test_a_margin_is_kept_for_the_answer(given: str, left: float) -> None:
    """Of little time, a tenth."""
    assert left == pytest.approx(held(arrival({"x-deadline": [given]}, margin=0.05))[0])


@pytest.mark.parametrize(
    ("values", "attempts"),
    [
        (["1"], 1),
        (["3", "2"], 2),
        (["3,2"], 2),
        (["0"], 1),
        ([], None),
        (["-1"], None),
        (["9" * 10], None),
        (["1.5"], None),
        (["\u00b2"], None),
    ],
)
def test_attempts_are_read(values: list[str], attempts: int | None) -> None:
    """The least of several counts, and nobody leaves less than one."""
    assert attempts == held(arrival({"x-attempts": values}))[1]


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
def test_no_header_is_an_error(deadline: str, attempts: str, tenant: str) -> None:
    """Whatever stands in it: what comes of it is within bounds, and can be a key."""
    headers = {"x-deadline": [deadline], "x-attempts": [attempts], "x-tenant": [tenant]}

    left, most, tags = held(arrival(headers, timeout=5, tag_headers={"tenant": "x-tenant"}))

    assert left is not None
    assert 0 <= left <= 5
    assert most is None or most >= 1
    assert all(0 < len(value) <= 200 and value.encode() for value in tags.values())
    assert bool(tenant) == bool(tags)


def test_long_names_of_tenants_stay_apart() -> None:
    """Cut off, two of them would share a budget."""
    first, second = (held(arrival({"t": ["x" * 300 + end]}, tag_headers={"tenant": "t"}))[2]["tenant"] for end in "ab")

    assert first != second
    assert {33} == {len(first), len(second)}


def test_tags_of_functions_are_asked_for_at_the_call() -> None:
    """When the framework has found the route, and the application who it is."""
    known: dict[str, str] = {}

    with resilience.tags(job="4"):
        request = arrival(
            {"T": ["acme"]},
            lambda given: known.get(str(given)),
            is_first=False,
            tag_headers={"tenant": "T"},
            route_tag="route",
            tags=lambda given: {"user": len(given)},
        )
    with request.held():
        before = dict(tags_of(None))
        known["the request"] = "/orders/{id}"
        with resilience.tags(user="own"):
            within = dict(tags_of({"call": "1"}))

    assert {"job": "4", "tenant": "acme", "user": "11"} == before
    assert {"job": "4", "tenant": "acme", "route": "/orders/{id}", "user": "own", "call": "1"} == within
    assert {} == tags_of(None)


def test_what_goes_on_after_the_answer_is_held_no_more(clock: VirtualClock) -> None:
    """A task in the background has a copy of the context; what else is around it still counts."""
    with resilience.deadline(100), resilience.attempts(5):
        request = arrival({"x-deadline": ["4"], "x-attempts": ["2"]}, is_first=False)
        with request.held():
            background = contextvars.copy_context()

    clock.advance(10)
    late = background.run(lambda: (resilience.seconds_left(), attempts_left()))
    request.end()
    free = background.run(lambda: (resilience.seconds_left(), attempts_left()))

    assert ((0.0, 2), (90.0, 5)) == (late, free)
    assert (None, None) == (resilience.seconds_left(), attempts_left())


def test_a_request_begins_with_nothing_of_the_one_before() -> None:
    """Servers hand on what another request of the same connection has left in a context."""
    with resilience.deadline(3), resilience.attempts(1), resilience.tags(tenant="acme"), arrival({}).held():
        found = resilience.seconds_left(), attempts_left(), dict(tags_of(None))

    assert (None, None, {}) == found


def test_what_a_step_of_an_answer_sets_the_next_one_has() -> None:
    """An answer that is made step by step keeps its own deadline and tags, and its caller has none of them."""

    def answer() -> Iterator[tuple[float | None, dict[str, str]]]:
        with resilience.deadline(3), resilience.tags(tenant="acme"):
            for _ in range(3):
                yield resilience.seconds_left(), dict(tags_of(None))
        yield resilience.seconds_left(), dict(tags_of(None))

    request, steps = arrival({"x-deadline": ["9"]}), answer()
    found = []
    for _ in range(4):
        with request.held():
            found.append(next(steps))
        assert (None, {}) == (resilience.seconds_left(), dict(tags_of(None)))

    assert [(3.0, {"tenant": "acme"})] * 3 + [(9.0, {})] == found


async def _awaited(_: Any) -> float:
    return 5.0


@pytest.mark.parametrize("given", [lambda request, more=1: 5, dict, type("C", (), {"__call__": lambda self, _: 5})()])
def test_whatever_can_be_called_with_a_request_is_a_function(given: Any) -> None:
    """What does not tell how it is called is believed."""
    assert given is options_from({"timeout": given}, "here").timeout


def test_a_function_that_gives_no_tags_is_told_so() -> None:
    """By whatever call asks for them first, with the tag and its value."""
    with (
        arrival({}, tags=lambda _: {"tenant": ["acme"]}).held(),
        pytest.raises(ConfigurationError, match=r"the tag tenant is \['acme'\]"),
    ):
        tags_of(None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"timeout": 0}, "timeout is 0; write a number of seconds above 0, or a plain function that takes the request"),
        ({"timeout": True}, "timeout is True"),
        ({"timeout": lambda: 5}, "or a plain function that takes the request"),
        ({"timeout": _awaited}, "or a plain function that takes the request"),
        ({"tags": lambda: {"tenant": "acme"}}, "or a plain function that takes the request and gives one"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"deadline_header": "X Y"}, "write the name of a header"),
        ({"deadline_as": "minutes"}, "write one of seconds, milliseconds, epoch"),
        ({"attempts_header": 1}, "write the name of a header"),
        ({"margin": -1}, "margin is -1"),
        ({"tags": {"a b": "c"}}, "tags: 'a b' is no name of a tag"),
        ({"tags": 1}, "tags are a mapping"),
        ({"tag_headers": {"tenant": "X Y"}}, "write a mapping of names of tags to names of headers"),
        ({"tag_headers": "X"}, "write a mapping of names of tags"),
        ({"route_tag": "a-b"}, "is no name of a tag"),
        ({"show_provider": "no"}, "write True or False"),
        ({"problem_types": "errors"}, "write the beginning of a URI"),
        ({"health": "health"}, "write a path that begins with /"),
        ({"health_fails_when": "breaker"}, "write a list of breaker, latch, store"),
        ({"health_fails_when": ["braker"]}, "write a list of breaker, latch, store"),
        ({"health_fails_when": 1}, "write a list of breaker, latch, store"),
        ({"dedline_header": "X"}, "here has no option 'dedline_header'; did you mean"),
    ],
)
def test_an_option_that_cannot_be_honoured_is_refused(given: dict[str, Any], message: str) -> None:
    """Where the application begins, and not at its first request."""
    with pytest.raises(ConfigurationError) as caught:
        options_from(given, "here")

    assert message in str(caught.value)


def test_the_page_of_the_options_has_all_of_them() -> None:
    """In one table, for all frameworks."""
    page = (Path(__file__).parent.parent / "docs" / "how-to" / "behind-asgi.md").read_text(encoding="utf-8")

    assert set(Given.__annotations__) == set(re.findall(r"^\| `([a-z_]+)` \| .+ \|$", page, re.MULTILINE))


def test_settings_are_written_in_capitals() -> None:
    """As frameworks have them; what is given beside them goes before them."""
    found = settings_from({"TIMEOUT": 3, "HEALTH": "/h", "ROUTE_TAG": None}, "here", {"timeout": 4})

    assert (4, "/h", None) == (found.timeout, found.health, found.route_tag)
    with pytest.raises(ConfigurationError, match=r"here is a mapping of options, not \[\]"):
        settings_from([], "here")
