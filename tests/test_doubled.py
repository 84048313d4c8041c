"""A transport that retries by itself below the layers is told of, once of each kind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

import httpx
import httpx2
import httpx_retries
import pytest

import resilience
import resilience.httpx
from resilience import _doubled
from resilience._doubled import leads_to, warn_of_retries
from tests.test_transparency import watching


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> Iterator[None]:
    _doubled._warned.clear()
    yield
    _doubled._warned.clear()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines of the logger `resilience`."""
    return [record.getMessage() for record in caplog.records if record.name == "resilience"]


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("kind", ["HTTPTransport", "AsyncHTTPTransport"])
def test_the_libraries_own_retries(library: Any, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """`retries=0` is the default and no news; each client says it once in a process."""
    for retries in (0, 3, 3):
        warn_of_retries(getattr(library, kind)(retries=retries))

    name = f"{library.__name__}.{kind}(retries=3)"
    rest = "leave `retries` out: a connection that fails is retried as the policy says"
    assert [f"{name} retries by itself, below the policies' own retries, so that both multiply: {rest}"] == said(caplog)
    assert [logging.WARNING] == [record.levelno for record in caplog.records]


def test_a_transport_of_httpx_retries(caplog: pytest.LogCaptureFixture) -> None:
    """Also one of a class below it; it is told by its client, when that is wrapped."""

    class Own(httpx_retries.RetryTransport):
        pass

    resilience.wrap(httpx.Client(transport=Own()), policies=[watching()]).close()
    resilience.wrap(httpx.Client(transport=httpx_retries.RetryTransport()), policies=[watching()]).close()

    assert ["httpx_retries.RetryTransport retries by itself"] == [line.partition(",")[0] for line in said(caplog)]


def test_other_transports_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever they are made of, and whatever looking at them does."""

    class Odd(httpx.BaseTransport):
        def __getattr__(self, name: str) -> object:
            raise RuntimeError(name)

    for transport in (None, httpx.MockTransport(lambda _: httpx.Response(200)), MagicMock(), Odd()):
        warn_of_retries(transport)

    assert not said(caplog)


def test_what_stands_around_ours_is_found_as_deep_as_anybody_builds() -> None:
    """Four of the library's kind; whatever else an application has there is not looked into, and harms nobody.

    What chooses between ours and another does not lead to ours: calls that go by the other would obey nothing.
    """

    class Around(httpx.BaseTransport):
        def __init__(self, inner: object) -> None:
            self.inner = inner

    class Slotted:
        __slots__ = ()

    ours: Any = resilience.httpx.Transport(policies=[watching()])
    found: list[bool] = []
    for _ in range(5):
        ours = Around(ours)
        found.append(leads_to(ours, resilience.httpx.Transport, httpx))
    circle = Around(None)
    circle.inner = circle
    either = Around(resilience.httpx.Transport(policies=[watching()]))
    either.other = httpx.MockTransport(print)  # type: ignore[attr-defined]
    routed = Around(resilience.httpx.Transport(policies=[watching()]))
    routed.others = {"a": httpx.MockTransport(print)}  # type: ignore[attr-defined]
    own_pool: Any = httpx.HTTPTransport()
    own_pool.other = resilience.httpx.Transport(policies=[watching()])
    others = (
        *(None, Slotted(), MagicMock(), circle, either, routed, own_pool),
        *(Around((ours, httpx.MockTransport(print))), Around(httpx.MockTransport(print))),
    )

    own_pool.other.close()
    own_pool.close()

    assert [True, True, True, True, False] == found
    assert leads_to(Around([resilience.httpx.Transport(policies=[watching()])]), resilience.httpx.Transport, httpx)
    assert not any(leads_to(each, resilience.httpx.Transport, httpx) for each in others)
