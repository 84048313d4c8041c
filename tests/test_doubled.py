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
from resilience import _doubled
from resilience._doubled import warn_of_retries
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
