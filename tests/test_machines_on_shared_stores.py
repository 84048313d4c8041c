"""What holds of limits, breakers and credits in memory holds of them in SQLite and in Redis, under any history."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.given_time_stores import StoreMaker, fresh_stores
from tests.servers import run_redis
from tests.test_breaker_state import BreakerMachine
from tests.test_bucket import TokenBucketMachine
from tests.test_credits_state import CreditsMachine
from tests.test_permits import PermitsMachine
from tests.test_windows import WindowMachine

# With how many histories, and of how many steps: calls of a breaker that end late are rare in short ones.
MACHINES: list[tuple[Callable[[StoreMaker], RuleBasedStateMachine], int, int]] = [
    (TokenBucketMachine, 40, 30),
    (WindowMachine, 40, 30),
    (PermitsMachine, 40, 30),
    (BreakerMachine, 100, 50),
    (CreditsMachine, 25, 40),
]


@pytest.fixture(scope="module", params=["sqlite", "redis"], name="make_store")
def shared_stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreMaker]:
    if request.param == "sqlite":
        with fresh_stores(tmp_path_factory.mktemp("machines")) as make_store:
            yield make_store
    else:
        with run_redis() as server, fresh_stores(server) as make_store:
            yield make_store


@pytest.mark.parametrize(("machine", "examples", "steps"), MACHINES)
def test_the_invariants_hold_on_every_store(
    machine: Callable[[StoreMaker], RuleBasedStateMachine], examples: int, steps: int, make_store: StoreMaker
) -> None:
    """The same rules and the same invariants, at the times that the test gives."""
    run_state_machine_as_test(
        lambda: machine(make_store),  # type: ignore[arg-type]
        settings=settings(max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck)),
    )
