"""What a policy may say, and what it is asked."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from httpx import Client, MockTransport, Response
from pydantic import ValidationError

from resilience import Policy, httpx, load_policy
from resilience._shipped import shipped_names
from resilience.errors import ConfigurationError
from tests.worlds import policy

MINIMAL: dict[str, Any] = {"version": 1, "provider": "p", "match": {"hosts": ["p.test"]}}


def test_a_policy_needs_a_version_a_name_and_its_hosts() -> None:
    """And nothing else; then every answer means what its status says."""
    found = Policy.model_validate(MINIMAL)

    assert ("p", ("p.test",), "server_error") == (
        found.provider,
        found.match.hosts,
        found.classify(status=500).category,
    )
    for key in MINIMAL:
        with pytest.raises(ValidationError, match="Field required"):
            Policy.model_validate({name: value for name, value in MINIMAL.items() if name != key})


def test_a_policy_is_short_in_a_debugger() -> None:
    """Its whole content would fill the screen."""
    many = Policy.model_validate({**MINIMAL, "match": {"hosts": [f"host-{number}.test" for number in range(50)]}})

    assert "<Policy p: 0 rules for p.test>" == repr(Policy.model_validate(MINIMAL))
    assert len(repr(many)) < 120


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"version": 2}, "Input should be 1"),
        ({"version": "1"}, "Input should be 1"),
        ({"version": True}, "Input should be 1"),
        ({"version": 1.0}, "Input should be 1"),
        ({"provider": "P"}, "should match pattern"),
        ({"provider": "a" * 65}, "should match pattern"),
        ({"retries": {}}, "Extra inputs are not permitted"),
        ({"docs": {"a": {"url": "ftp://x", "checked": "2026-01-01"}}}, "should match pattern"),
        ({"docs": {"a": {"url": "https://x y", "checked": "2026-01-01"}}}, "should match pattern"),
        ({"docs": {"a": {"url": "https://x", "checked": "yesterday"}}}, "valid date"),
        (
            {"docs": {"a": {"url": "https://x", "checked": "2026-01-01", "rows": {"t": 0}}}},
            "greater than or equal to 1",
        ),
        ({"answers": [{"rule": "A", "when": {"status": 1_00}, "category": "auth"}]}, "should match pattern"),
        ({"answers": [{"rule": "a", "category": "auth"}]}, "Field required"),
        (
            {"answers": [{"rule": "a", "when": {"status": 400}, "category": "auth", "target_status": "a b"}]},
            "a step starts",
        ),
        ({"answers": [{"rule": "a", "when": {"status": 400}, "category": "auth", "until": "soon"}]}, "'next_hour_utc'"),
        ({"retryable_from": [{}]}, "either in a 'body' field or in a 'header'"),
        ({"retryable_from": [{"body": "a", "header": "A"}]}, "either in a 'body' field or in a 'header'"),
        ({"retryable_from": [{"header": "Größe"}]}, "should match pattern"),
        ({"deadline": "1s", "attempt_timeout": "1s"}, "'attempt_timeout' is not shorter than 'deadline'"),
        ({"deadline": "0s"}, "no time at all is too short"),
        ({"replay": "65MiB"}, "larger than 64MiB"),
        ({"remedies": [{"remedy": "r", "for": [], "advice": "x"}]}, "at least 1 item"),
    ],
    ids=str,
)
def test_a_policy_that_cannot_be_honoured_is_refused(keys: dict[str, Any], message: str) -> None:
    """Before the first call, not during it."""
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate({**MINIMAL, **keys})

    assert message in str(caught.value)


def test_a_policy_does_not_change() -> None:
    """Threads share it."""
    with pytest.raises(ValidationError, match="frozen"):
        policy().provider = "other"  # type: ignore[misc]


def test_an_operation_is_known_by_its_name() -> None:
    """A call that names another is told which there are."""
    named = policy(operations={"a": {"path": "/a"}, "b": {"path": "/b"}})

    assert "a" == named.operation_named("a")
    with pytest.raises(ConfigurationError, match="provider has no operation 'c'; there are: a, b"):
        named.operation_named("c")
    with pytest.raises(ConfigurationError, match="there are: none at all"):
        policy().operation_named("c")


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("both", (5.0, 1.0)), ("one", (60.0, 2.0)), ("neither", (60.0, 10.0)), (None, (60.0, 10.0))],
)
def test_an_operation_may_have_its_own_times(operation: str | None, expected: tuple[float, float]) -> None:
    """What it leaves out is the policy's."""
    timed = policy(
        deadline="60s",
        attempt_timeout="10s",
        operations={
            "both": {"path": "/a", "deadline": "5s", "attempt_timeout": "1s"},
            "one": {"path": "/b", "attempt_timeout": "2s"},
            "neither": {"path": "/c"},
        },
    )

    assert expected == timed.times_for(operation)


def test_without_times_there_is_no_bound() -> None:
    """The client's own timeouts stay."""
    assert (None, None) == policy().times_for(None)


def test_rules_are_known_by_their_names() -> None:
    """In their order."""
    ruled = policy(answers=[{"rule": name, "when": {"status": 400}, "category": "auth"} for name in ("b", "a")])

    assert ["b", "a"] == list(ruled.rules)
    assert ruled.rules["a"] is ruled.answers[1]


@pytest.mark.parametrize("name", shipped_names())
def test_a_policy_that_is_written_reads_back_the_same(name: str) -> None:
    """As plain data and as JSON."""
    shipped = load_policy(name)

    for written in (
        shipped.model_dump(mode="json", by_alias=True, exclude_unset=True),
        shipped.model_dump(mode="python", by_alias=True, exclude_unset=True),
    ):
        assert shipped == Policy.model_validate(written)


@pytest.mark.parametrize("name", ["openai", "omniscrape"])
@pytest.mark.parametrize(
    "again", [deepcopy, lambda each: each.model_copy(deep=True), lambda each: pickle.loads(pickle.dumps(each))]
)
def test_a_policy_that_was_used_can_be_copied_and_pickled(name: str, again: Callable[[Policy], Policy]) -> None:
    """As for another process; what requests have told of credentials does not go along."""
    used = load_policy(name)
    url = f"https://{used.match.hosts[0]}/v1/x"
    transport = httpx.Transport(MockTransport(lambda _: Response(401, json={"error": "no"})), policies=[used])
    with Client(transport=transport) as client:
        client.get(url, headers={"Authorization": "Bearer a-secret-of-mine"})

    made = again(used)

    assert made == used
    assert vars(made).keys() == type(used).model_fields.keys()
    assert b"a-secret-of-mine" not in pickle.dumps(made)
    assert used.classify(url=url, status=429) == made.classify(url=url, status=429)


@pytest.mark.parametrize("name", ["model_copy", "copy"])
def test_a_copy_with_other_parts_is_compiled_anew(name: str) -> None:
    """What was compiled from the old parts does not go along."""
    whole = policy(limits=[{"name": "pace", "rate": "1/second", "per": "provider"}])
    before = [resolved.name for resolved in whole.limits_for(None)]
    vars(whole)["_compiled"] = {}

    copied = getattr(whole, name)(update={"limits": ()})

    assert ["pace"] == before
    assert () == copied.limits_for(None)
    assert "_compiled" not in vars(copied)
    assert ["pace"] == [resolved.name for resolved in whole.limits_for(None)]
