"""Circuit breakers as users of aiobreaker know them, and listeners for those that guard HTTP calls.

    breaker = CircuitBreaker(fail_max=3, timeout_duration=timedelta(seconds=30))
    answer = await breaker.call_async(fetch)

    resilience.breaker.listen(MyListener())     # hears of the breakers of all policies in this process

`CircuitBreaker` takes the place of aiobreaker's: the same constructor, calls, decorator, listeners, storages and errors,
over the decisions of this project's own breaker. This module alone needs the package aiobreaker.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Unpack

from ._aiobreaker import NEVER, NUMBERS, STATES, CircuitBreakerError, State, aiobreaker, local_time
from ._breaker_calls import Calls
from ._breaker_guard import Guard, GuardOptions, settings_of
from ._breaker_listeners import AnswerFailed, Listening
from ._breaker_machine import CLOSED, HALF_OPEN, ISOLATED, NAMES, OPEN
from ._breaker_mirror import Mirror
from ._clock import Closing, RealClock
from .stores._memory import MemoryStore

if TYPE_CHECKING:
    from ._clock import Clock
    from ._transactions import Reply, Store

__all__ = ["AnswerFailed", "CircuitBreaker", "CircuitBreakerError", "forget", "listen"]

_numbers = itertools.count(1)


class CircuitBreaker(Calls, aiobreaker.CircuitBreaker):  # type: ignore[misc]
    """A circuit breaker around functions.

    Arguments:
        fail_max: how many failures in a row open it.
        timeout_duration: how long it stays open; a minute by default.
        exclude: exceptions, or predicates on them, that say nothing of the guarded system: they count as nothing.
        listeners: who hears of calls, results and changes of state; one that raises is logged and harms nothing.
        state_storage: a storage of aiobreaker that is kept in step, and obeyed when it is changed elsewhere.
        name: of the breaker.
        clock: time and chance.
        store: where the state is kept; by default in this object alone. Breakers of one name share it.
        options: whatever else a policy may say of a breaker: `failure_rate=0.5, window="1m"`, `probes=2`, …

    Raises:
        ConfigurationError: an option cannot be honoured.
    """

    def __init__(  # noqa: PLR0917  as aiobreaker has them
        self,
        fail_max: int = 5,
        timeout_duration: timedelta | None = None,
        exclude: Iterable[Any] | None = None,
        listeners: Iterable[Any] | None = None,
        state_storage: Any = None,
        name: str | None = None,
        *,
        clock: Clock | None = None,
        store: Store | None = None,
        **options: Unpack[GuardOptions],
    ) -> None:
        timeout = timedelta(seconds=60) if timeout_duration is None else timeout_duration
        settings, lease = settings_of(fail_max, timeout, dict(options))
        key = f"{{breaker}}:breaker:object:{name or next(_numbers)}"
        self._bind(
            Guard(store or MemoryStore(), clock or RealClock(), key, settings, lease), list(listeners or []), name
        )
        self._options: dict[str, Any] = dict(options)
        self._timeout_duration = timeout
        self._excluded_exceptions = list(exclude or [])
        self._state_storage = state_storage
        self._mirror = Mirror(state_storage, State)
        self._obey()

    def _bind(self, guard: Guard, listeners: list[Any], name: str | None) -> None:
        self._guard = guard
        self._fail_max = guard.settings.consecutive_failures
        self._timeout_duration = timedelta(seconds=guard.settings.open_for)
        self._options = {}
        self._excluded_exceptions = []
        self._listeners = listeners
        self._name = name
        self._state_storage = None
        self._mirror = Mirror(None, State)

    # What it is set to

    @property
    def fail_max(self) -> int:
        """How many failures in a row open it."""
        return self._fail_max

    @fail_max.setter
    def fail_max(self, number: int) -> None:
        self._guard.settings, _ = settings_of(number, self._timeout_duration, self._options)
        self._fail_max = number

    @property
    def timeout_duration(self) -> timedelta:
        """How long it stays open from the next time on."""
        return self._timeout_duration

    # aiobreaker's annotation says `datetime`, and its code wants what this one says.
    @timeout_duration.setter
    def timeout_duration(self, timeout: timedelta) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._guard.settings, _ = settings_of(self._fail_max, timeout, self._options)
        self._timeout_duration = timeout

    # How it stands

    @property
    def fail_counter(self) -> int:
        """How many calls failed in a row."""
        return self._mirror.counter(int(self._guard.look()[3]))

    @property
    def current_state(self) -> Any:
        """The `CircuitBreakerState`; an isolated breaker is open."""
        self._obey()
        return STATES[int(self._guard.look()[0])]

    @property
    def state(self) -> Any:
        """The object of aiobreaker for the current state."""
        return self.current_state.value(self)

    @state.setter
    def state(self, state_str: Any) -> None:
        self._force(NUMBERS[state_str])

    @property
    def is_isolated(self) -> bool:
        """Whether it was opened by hand, until a hand closes it."""
        return self._guard.look()[0] == ISOLATED

    @property
    def opens_at(self) -> datetime | None:
        """When a call will be let through, in local time; `None` for now, `datetime.max` where only a hand does it."""
        left = self._guard.seconds_left()
        return None if left == 0 else self._local_time(left)

    @property
    def time_until_open(self) -> timedelta | None:
        """How long until then; `None` for now, `timedelta.max` where only a hand does it."""
        left = self._guard.seconds_left()
        return None if left == 0 else timedelta.max if left is None else timedelta(seconds=left)

    async def sleep_until_open(self) -> None:
        """Wait that long, on asyncio or trio; where only a hand opens it, until it is worth asking again."""
        left = self._guard.seconds_left()
        await self._guard.clock.sleep_async(self._guard.settings.open_for if left is None else left, Closing())

    # By hand

    def open(self) -> None:
        """Hold all calls back for the usual time."""
        self._force(OPEN, self._guard.settings.open_for)

    def half_open(self) -> None:
        """Let the next calls through as probes."""
        self._force(HALF_OPEN)

    def close(self) -> None:
        """Let all calls through and forget their failures."""
        self._force(CLOSED)

    def isolate(self) -> None:
        """Hold all calls back until `close`."""
        self._force(ISOLATED)

    def _force(self, state: int, seconds: float = 0.0) -> None:
        self._tell_change(*self._guard.force(state, seconds))

    def _obey(self) -> None:
        """Do what somebody else has written into the storage."""
        wanted = self._mirror.changed_elsewhere()
        if wanted is None:
            return
        guard = self._guard
        ago = self._mirror.opened_seconds_ago(guard.clock.wall()) if wanted is State.OPEN else 0.0
        old, new = guard.force(NUMBERS[wanted], max(0.0, guard.settings.open_for - ago))
        if STATES[old] is not wanted:
            self._tell("state_change", STATES[old].value(self), STATES[new].value(self))

    def _refusal(self, reply: Reply) -> Exception:
        state, seconds = int(reply[5]), None if reply[1] < 0 else reply[1]
        until = "a hand closes it" if seconds is None else f"another {seconds:.3g}s have passed"
        message = f"the circuit breaker{f' {self._name}' if self._name else ''} is {NAMES[state].replace('_', ' ')} until {until}"
        left = self._guard.settings.open_for if seconds is None else seconds
        return CircuitBreakerError(message, self._local_time(seconds), clock=self._guard.clock, seconds=left)

    def _local_time(self, seconds: float | None) -> datetime:
        return NEVER if seconds is None else local_time(self._guard.clock.wall() + seconds)

    def _tell_change(self, old: float, new: float) -> None:
        before, after = STATES[int(old)], STATES[int(new)]
        if before is not after:
            self._mirror.write(after, self._guard.clock.wall())
            self._tell("state_change", before.value(self), after.value(self))


class _PolicyBreaker(CircuitBreaker):
    """The breaker of a key that guards HTTP calls; its layers tell it what to hand on."""

    def __init__(self, guard: Guard, listeners: list[Any]) -> None:
        self._bind(guard, listeners, guard.key)

    def tell(self, event: str, *arguments: Any) -> None:
        """Have the listeners hear."""
        self._tell(event, *arguments)

    def tell_change(self, old: float, new: float) -> None:
        """Have them hear of a change of state, if it is one to aiobreaker."""
        self._tell_change(old, new)


_listening = Listening(_PolicyBreaker)


def listen(listener: Any) -> None:
    """Have an `aiobreaker.CircuitBreakerListener` hear of all breakers that guard HTTP calls in this process.

    It hears of attempts let through, of successes and failures, and of changes of state, each with its breaker: one whose
    name is its key, and whose `isolate`, `close` and `current_state` are those of the shared state. It is called on the
    thread of the call, in the event loop of an async one: it should be quick.

    Raises:
        TypeError: it is no listener.
    """
    _listening.add(listener)


def forget(listener: Any) -> None:
    """Let a listener go that `listen` was given.

    Raises:
        ValueError: it does not listen.
    """
    _listening.remove(listener)
