"""One breaker as an object: its key in a store, its clock and its settings, for calls that are no HTTP calls."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from pydantic import ValidationError

from ._breaker_machine import BreakerSettings
from ._breaker_policy import BreakerPolicy
from ._transactions import Command
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._clock import Clock
    from ._transactions import Reply, Store

__all__ = ["Guard", "GuardOptions", "Pass", "settings_of"]


class GuardOptions(TypedDict, total=False):
    """What a policy may say of a breaker beyond aiobreaker's own arguments; times as `timedelta` or texts (`30s`)."""

    failure_rate: float | None
    window: timedelta | str
    min_calls: int
    multiplier: float
    max_open: timedelta | str
    jitter: float
    probes: int
    close_after: int
    close_window: int
    probe_lease: timedelta | str


def settings_of(
    fail_max: int, timeout_duration: timedelta, options: Mapping[str, Any]
) -> tuple[BreakerSettings, float]:
    """The settings of a breaker, and how long its probes may take, in seconds.

    Arguments:
        fail_max: how many failures in a row open it.
        timeout_duration: how long it stays open.
        options: whatever else a policy may say.

    Raises:
        ConfigurationError: one of them cannot be honoured.
    """
    seconds = timeout_duration.total_seconds()
    # As aiobreaker has it: only failures in a row, always the same time, no chance.
    given: dict[str, Any] = {"failure_rate": None, "multiplier": 1, "jitter": 0, **options}
    given = {name: _text(value) if isinstance(value, timedelta) else value for name, value in given.items()}
    given["consecutive_failures"] = fail_max
    # No time at all is refused in a policy file, where it is a slip; whoever writes timedelta(0) means it.
    given["open_for"] = _text(timedelta(seconds=max(seconds, 1e-3)))
    given.setdefault("max_open", given["open_for"])
    try:
        policy = BreakerPolicy.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"a circuit breaker cannot have {name or 'these options'}: {first['msg']}") from None
    if seconds < 0:
        raise ConfigurationError(f"a circuit breaker cannot be open for {timeout_duration}")
    return policy.settings._replace(open_for=seconds), policy.probe_lease


def _text(duration: timedelta) -> str:
    return f"{max(0.0, duration.total_seconds()):f}s"


class Pass(NamedTuple):
    """What a call was let through with."""

    generation: int
    probe: int


class Guard:
    """The decisions on one breaker.

    Arguments:
        store: where its state is.
        clock: time and chance.
        key: of the state.
        settings: what decides.
        lease: how long a probe may take, in seconds.
    """

    def __init__(self, store: Store, clock: Clock, key: str, settings: BreakerSettings, lease: float) -> None:
        self.store = store
        self.clock = clock
        self.key = key
        self.settings = settings
        self.lease = lease

    def decide(self, command: Command) -> Reply:
        """Have the store decide, on this thread."""
        return self.store.run(command, self.clock.now())

    async def decide_async(self, command: Command) -> Reply:
        """The same without blocking an event loop."""
        if self.store.instant:
            return self.decide(command)
        from .stores import ask

        return await ask(self.store, command, self.clock.now())

    def admit(self) -> Command:
        """Asks whether a call may go."""
        return Command("breaker.admit", (self.key,), (self.settings, self.lease, 0, 0))

    def record(self, held: Pass, result: int) -> Command:
        """Tells what came of it."""
        chance = self.clock.random() if self.settings.jitter else 0.0
        arguments = (self.settings, held.generation, held.probe, result, 0.0, chance)
        return Command("breaker.record", (self.key,), arguments)

    def release(self, held: Pass) -> None:
        """Gives a probe back, without waiting for a store that is far away."""
        if held.probe:
            command = Command("breaker.release", (self.key,), (held.generation, held.probe))
            self.store.tell(command, self.clock.now())

    def force(self, state: int, seconds: float = 0.0) -> tuple[int, int]:
        """Puts it into a state by hand: the state before, and the new one."""
        old, new = self.decide(Command("breaker.force", (self.key,), (state, seconds)))
        return int(old), int(new)

    def look(self) -> Reply:
        """How it stands: `[state, retry after, seconds in that state, failures in a row]`."""
        return self.decide(Command("breaker.look", (self.key,), (self.settings,)))

    def seconds_left(self) -> float | None:
        """Until it lets a call through; `None` where only a hand opens it."""
        left = self.look()[1]
        return None if left < 0 else left
