"""The tree of errors, and what each of them also is for a user of either library."""

from __future__ import annotations

import inspect
from typing import Any

import httpx
import httpx2
import pytest

import resilience.httpx
import resilience.httpx2
from resilience import errors
from resilience.errors import Place, PolicyError, Problem
from tests.worlds import Step, World, policy

LIBRARIES: dict[str, tuple[Any, Any]] = {
    "httpx": (httpx, resilience.httpx),
    "httpx2": (httpx2, resilience.httpx2),
}


def test_the_tree_is_the_one_that_the_docstring_draws() -> None:
    """The parent of each name is the last one above it that stands further left."""
    drawn: dict[str, str] = {}
    parents = [(-1, "Exception")]
    for line in (errors.__doc__ or "").split("\n\n")[1].splitlines():
        column = next(index for index, letter in enumerate(line) if letter.isalpha())
        parents = [parent for parent in parents if parent[0] < column]
        name = line[column:].split()[0]
        drawn[name] = parents[-1][1]
        parents.append((column, name))

    assert drawn == {
        name: value.__mro__[1].__name__
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert 12 == len(drawn)


def test_a_configuration_that_cannot_be_honoured_is_a_value_error() -> None:
    """As Python names a wrong argument."""
    assert issubclass(errors.ConfigurationError, ValueError)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("AttemptTimeout", "TimeoutException"),
        ("DeadlineExceeded", "TimeoutException"),
        ("ClientClosed", "TransportError"),
        ("RateLimitExceeded", "TransportError"),
        ("ConcurrencyLimitExceeded", "TransportError"),
        ("CreditLimitExceeded", "TransportError"),
        ("BreakerOpen", "TransportError"),
    ],
)
def test_an_error_of_a_call_is_one_of_the_librarys_own(library: str, name: str, theirs: str) -> None:
    """So what an application catches today catches it too, under either name."""
    module, adapter = LIBRARIES[library]
    error = getattr(adapter, name)

    assert issubclass(error, getattr(errors, name))
    assert issubclass(error, errors.CallError)
    assert issubclass(error, getattr(module, theirs))
    assert issubclass(error, module.HTTPError)


@pytest.mark.parametrize("world", [World(f"sync-{library}") for library in LIBRARIES], ids=repr)
def test_a_deadline_is_caught_as_a_timeout_with_its_request(world: World) -> None:
    """The request is filled in, and the cause is what the transport raised."""
    module, adapter = LIBRARIES[world.library]
    strict = policy(deadline="1ms", retry={"max_attempts": 1})
    clock = resilience.testing.VirtualClock()

    def handler(request: Any) -> Any:
        clock.advance(5)
        raise module.ReadTimeout("slow", request=request)

    transport = adapter.Transport(module.MockTransport(handler), policies=[strict], clock=clock)
    with module.Client(transport=transport) as client, pytest.raises(module.TimeoutException) as caught:
        client.get("https://provider.test/x")

    assert adapter.DeadlineExceeded is caught.type
    assert "https://provider.test/x" == str(caught.value.request.url)
    assert isinstance(caught.value.__cause__, module.ReadTimeout)


def test_an_error_of_the_transport_stays_as_it_was(world: World) -> None:
    """No error of ours takes its place while there was time."""
    story = world.call(policy(retry={"max_attempts": 1}), [Step(error="read_timeout")])

    assert not isinstance(story.error, errors.CallError)


def test_a_place_reads_as_editors_write_it() -> None:
    """File, line and column; a problem says what to do, if there is something."""
    place = Place("p.yaml", 3, 7)

    assert "p.yaml:3:7" == str(place)
    assert "p.yaml:3:7: no such key" == str(Problem(place, "no such key"))
    assert "p.yaml:3:7: no such key (remove it)" == str(Problem(place, "no such key", "remove it"))


def test_a_policy_error_has_all_problems_in_order() -> None:
    """Of their places, lines as numbers."""
    late, early = Problem(Place("p.yaml", 10, 1), "late"), Problem(Place("p.yaml", 9, 1), "early")

    error = PolicyError([late, early])

    assert (early, late) == error.problems
    assert "p.yaml:9:1: early\np.yaml:10:1: late" == str(error)
