"""Which policy speaks of which host: the exact name first, then the longest pattern."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import httpx2
import pytest

from resilience import Policy
from resilience._registry import Policies, Source
from resilience.errors import ConfigurationError
from tests.worlds import policy


def source(name: str, *hosts: str) -> Source:
    found = policy(provider=name)
    return Source(name, hosts, lambda: found)


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.one.test/x", "one"),
        ("https://API.One.Test/x", "one"),
        ("https://api.one.test./x", "one"),
        ("https://api.one.test:8443/x", "one"),
        ("http://127.0.0.1:8000/", "port"),
        ("http://127.0.0.1:8001/", "any"),
        ("https://two.test/", "secure"),
        ("http://two.test/", "two"),
        ("https://two.test:444/", "two"),
        ("https://a.wide.test/", "wide"),
        ("https://a.b.wide.test/", "wide"),
        ("https://a.narrow.wide.test/", "narrow"),
        ("https://a.wide.test:9/", "nine"),
        ("https://wide.test/", "any"),
        ("https://evilwide.test/", "any"),
        ("https://other.test/", "any"),
        ("https://other.test:7/", "seven"),
        ("http://[::1]/", "six"),
    ],
)
def test_a_host_is_found_by_name_port_and_pattern(library: Any, url: str, expected: str) -> None:
    """The name with its port, the name, the longest `*.suffix`, and `*` for the rest."""
    policies = Policies(
        [
            source("one", "api.one.test"),
            source("port", "127.0.0.1:8000"),
            source("two", "two.test"),
            source("secure", "two.test:443"),
            source("wide", "*.wide.test"),
            source("nine", "*.wide.test:9"),
            source("narrow", "*.narrow.wide.test"),
            source("six", "::1"),
            source("seven", "*:7"),
            source("any", "*"),
        ]
    )

    found = policies.find(library.URL(url))

    assert found is not None
    assert expected == found.provider


@pytest.mark.parametrize("url", ["https://other.test/", "https://api.one.test.evil/", "https://xapi.one.test/", "/x"])
@pytest.mark.parametrize("hosts", [["api.one.test"], ["*.one.test.test"], ["api.one.test:1"], []])
def test_a_host_that_nobody_names_has_no_policy(hosts: list[str], url: str) -> None:
    """Its calls are left alone."""
    policies = Policies([source("one", *hosts)])

    assert (None, False) == (policies.find(httpx.URL(url)), policies.speak_of(httpx.URL(url)))


def test_two_policies_for_one_host_are_a_mistake() -> None:
    """Neither could be trusted to apply; the message names both."""
    with pytest.raises(ConfigurationError, match="the policies 'one' and 'two' both speak of a.test"):
        Policies([source("one", "a.test", "b.test"), source("two", "c.test", "a.test")])


def test_one_policy_named_twice_is_a_mistake() -> None:
    """And is told apart from two that claim one host."""
    with pytest.raises(ConfigurationError, match="the policy 'one' is named twice; take one out"):
        Policies([source("one", "a.test"), source("one", "a.test")])


def test_a_policy_does_not_contradict_itself() -> None:
    """A host that it names twice is its own."""
    assert Policies([source("one", "a.test", "a.test")]).speak_of(httpx.URL("https://a.test"))


def test_a_policy_is_loaded_when_its_host_is_first_called() -> None:
    """Once, and not when somebody only asks whether there is one."""
    loaded: list[str] = []

    def load() -> Policy:
        loaded.append("x")
        return policy()

    policies = Policies([Source("lazy", ["lazy.test"], load)])
    url = httpx.URL("https://lazy.test")

    assert (True, []) == (policies.speak_of(url), loaded)
    assert policies.find(url) is policies.find(url)
    assert ["x"] == loaded


def test_threads_that_call_at_once_load_a_policy_once() -> None:
    """The second waits for the first."""
    loaded: list[str] = []
    begun, go = threading.Event(), threading.Event()

    def load() -> Policy:
        begun.set()
        go.wait(10)
        loaded.append("x")
        return policy()

    lazy = Source("lazy", ["lazy.test"], load)
    found: list[Policy] = []
    first = threading.Thread(target=lambda: found.append(lazy.policy()))
    second = threading.Thread(target=lambda: found.append(lazy.policy()))
    first.start()
    assert begun.wait(10)
    # The second has passed the first look and stands at the lock once the lock is taken.
    second.start()
    go.set()
    first.join(10)
    second.join(10)

    assert ["x"] == loaded
    assert found[0] is found[1]


def test_a_policy_that_was_loaded_meanwhile_is_not_loaded_again() -> None:
    """The look behind the lock finds it."""
    found = policy()
    lazy = Source("lazy", ["lazy.test"], lambda: found)

    class Meanwhile:
        def __enter__(self) -> None:
            lazy._policy = found

        def __exit__(self, *error: object) -> None:
            pass

    lazy._lock = Meanwhile()  # type: ignore[assignment]
    lazy._load = pytest.fail

    assert found is lazy.policy()


def test_a_policy_that_cannot_be_loaded_is_tried_again() -> None:
    """A file that is corrected meanwhile is found at the next call."""
    attempts: list[str] = []

    def load() -> Policy:
        attempts.append("x")
        if len(attempts) == 1:
            raise ConfigurationError("the file is gone")
        return policy()

    lazy = Source("lazy", ["lazy.test"], load)

    with pytest.raises(ConfigurationError, match="the file is gone"):
        lazy.policy()

    assert "provider" == lazy.policy().provider
