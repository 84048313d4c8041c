"""What all tests share: the worlds that a scenario runs in."""

from __future__ import annotations

import pytest

from tests.worlds import WORLDS, World


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    """Sync, asyncio, trio and virtual time, over httpx and httpx2."""
    return World(request.param)
