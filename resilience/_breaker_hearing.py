"""Who hears of breakers: the listeners of `resilience.breaker`, once there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ._breaker_machine import NAMES
from ._hub import tell
from .events import Tripped

if TYPE_CHECKING:
    from ._breaker_policy import BreakerPlan
    from ._outcome import Exchange, Outcome
    from ._runtime import Runtime

__all__ = ["Admission", "Heard", "Hearing", "changed"]


class Admission(NamedTuple):
    """What an attempt was let through with.

    Arguments:
        key: of the breaker.
        plan: its settings.
        generation: which its result belongs to.
        probe: the number of its lease; 0 for none.
    """

    key: str
    plan: BreakerPlan
    generation: int = 0
    probe: int = 0


class Hearing(Protocol):
    """Hears of attempts, their results and changes of state, in this whole process."""

    def before(self, exchange: Exchange, runtime: Runtime, admission: Admission, /) -> None:
        """An attempt was let through."""
        ...

    def after(self, exchange: Exchange, runtime: Runtime, admission: Admission, outcome: Outcome, /) -> None:
        """It was a success or a failure."""
        ...

    def changed(
        self, exchange: Exchange, runtime: Runtime, admission: Admission, change: tuple[float, float], /
    ) -> None:
        """The breaker went from a state to another, both by their numbers."""
        ...


class Heard:
    """Nobody, until somebody listens; whoever asks twice may get two answers, since listeners come and go in any thread."""

    by: Hearing | None = None


def changed(exchange: Exchange, runtime: Runtime, admission: Admission, change: tuple[float, float]) -> None:
    """Tell that the breaker went from a state to another."""
    if (by := Heard.by) is not None:
        by.changed(exchange, runtime, admission, change)
    before, now = (NAMES[int(state)] for state in change)
    after, looks_in = _story(exchange, admission) if (before, now) == ("closed", "open") else (None, None)
    told = Tripped(exchange.policy.provider, exchange.operation, admission.key, now, before, after, looks_in)
    tell(exchange, "on_trip", told)


def _story(exchange: Exchange, admission: Admission) -> tuple[str | None, float]:
    """After what a breaker has opened, and in how many seconds a call may look: chance only adds to them."""
    settings, attempts = admission.plan.settings, exchange.trail.attempts
    if not attempts:
        return None, settings.open_for
    _, _, _, status, error, verdict = attempts[-1]
    asked = min(verdict.retry_after or 0.0, settings.longest_retry_after)
    return f"{status if error is None else error} {verdict.category}", max(settings.open_for, asked)
