"""Which hosts a policy may name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from resilience._hosts import Match


@pytest.mark.parametrize(
    "host",
    ["api.example.com", "*.example.com", "*", "localhost", "127.0.0.1:8000", "*:8000", "*.a.test:65535", "::1",
     "xn--bcher-kva.test", "a_b.test", "a" * 63 + ".test", "2001:db8::7"],
)  # fmt: skip
def test_these_are_hosts(host: str) -> None:
    """Names in small letters, addresses, patterns, each with a port or without."""
    assert (host,) == Match(hosts=(host,)).hosts


@pytest.mark.parametrize(
    "host",
    ["", "API.example.com", "https://a.test", "a.test/x", "a.test:", "a.test:0", "a.test:65536", "a.test:٣", "a..test",
     ".a.test", "a.test.", "-a.test", "a-.test", "*a.test", "a.*.test", "a b", "a\n", "bücher.test", "a" * 64 + ".test",
     ".".join(["a" * 60] * 5), "a.test:8x", "user@a.test"],
)  # fmt: skip
def test_what_is_no_host_is_refused(host: str) -> None:
    """It would never be called, and the policy would silently do nothing."""
    with pytest.raises(ValidationError, match="is no host; write api.example.com"):
        Match(hosts=("ok.test", host))


def test_each_host_that_is_none_is_told() -> None:
    """Where it stands in the list."""
    with pytest.raises(ValidationError) as raised:
        Match(hosts=("*.*.com", "ok.test", "a*b.com"))

    assert [("hosts", 0), ("hosts", 2)] == [error["loc"] for error in raised.value.errors()]


def test_a_host_stands_there_once_and_there_is_one() -> None:
    """Anything else is a slip of the pen."""
    with pytest.raises(ValidationError, match="'a.test' stands here twice"):
        Match(hosts=("a.test", "b.test", "a.test"))
    with pytest.raises(ValidationError, match="at least 1 item"):
        Match(hosts=())
