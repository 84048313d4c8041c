"""What all tests share: the worlds that a scenario runs in."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

from resilience.stores import forget_all
from tests.servers import redis_server  # noqa: F401  a fixture
from tests.worlds import WORLDS, World

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As under nohup; the programs that tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long one example takes is the machine's, which may be busy: with other tests, for one.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def _fresh_state() -> None:
    """No test finds open what another has tripped: servers come and go on the same ports."""
    forget_all()


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    """Sync, asyncio, trio and virtual time, over httpx and httpx2."""
    return World(request.param)
