"""Users' listeners of the breakers that guard HTTP calls: what they hear, and of which breaker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ._breaker_guard import Guard
from ._breaker_hearing import Heard
from ._breaker_machine import FAILURE
from ._fork import Lock

if TYPE_CHECKING:
    from ._breaker_hearing import Admission
    from ._outcome import Exchange, Outcome, Verdict
    from ._runtime import Runtime

__all__ = ["AnswerFailed", "ListenedBreaker", "Listening"]

_MOST_BREAKERS = 1000
# Calls of its user through such an object; those of HTTP have leases of their own.
_LEASE = 60.0
_EVENTS = ("before_call", "success", "failure", "state_change")


class AnswerFailed(Exception):
    """An answer that counts as a failure: what `failure` of a listener gets where no exception was raised.

    Arguments:
        verdict: what the answer means.
        response: the answer itself, `None` where it is gone.
    """

    def __init__(self, verdict: Verdict, response: Any = None) -> None:
        super().__init__(f"{getattr(response, 'status_code', 'no answer')} {verdict.category}")
        self.verdict = verdict
        self.response = response


class ListenedBreaker(Protocol):
    """A breaker object that hands on what it is told."""

    def tell(self, event: str, *arguments: Any) -> None:
        """Have the listeners hear of an event, by the name of their method for it."""
        ...

    def tell_change(self, old: float, new: float) -> None:
        """Have them hear of a change of state."""
        ...


class Listening:
    """Hands on to listeners what the layers tell.

    Arguments:
        make: makes the breaker object of a key.
    """

    def __init__(self, make: Callable[[Guard, list[Any]], ListenedBreaker]) -> None:
        self.listeners: list[Any] = []
        self._make = make
        self._lock = Lock()
        # In the order of use; who is not called for long is made anew.
        self._breakers: dict[tuple[int, str], ListenedBreaker] = {}

    def add(self, listener: object) -> None:
        """Have an object hear of everything from now on.

        Raises:
            TypeError: it has not all of a listener's methods, or is the class of one.
        """
        if isinstance(listener, type) or not all(callable(getattr(listener, event, None)) for event in _EVENTS):
            given = f"the class {listener.__qualname__}" if isinstance(listener, type) else f"{listener!r:.60}"
            raise TypeError(
                f"a listener is an object with the methods {', '.join(_EVENTS[:-1])} and {_EVENTS[-1]}, such as one of a "
                f"class of your own below aiobreaker.CircuitBreakerListener; this is {given}"
            )
        with self._lock:
            self.listeners.append(listener)
            Heard.by = self

    def remove(self, listener: object) -> None:
        """Let an object go; after the last one let go of all breaker objects, and of the stores that they know.

        Raises:
            ValueError: it does not listen.
        """
        with self._lock:
            self.listeners.remove(listener)
            # Under the lock: whoever comes at this moment is not to be forgotten with the last one.
            if not self.listeners:
                Heard.by = None
                self._breakers.clear()

    def before(self, exchange: Exchange, runtime: Runtime, admission: Admission, /) -> None:
        self._breaker(exchange, runtime, admission).tell("before_call", runtime.send, exchange.request)

    def after(self, exchange: Exchange, runtime: Runtime, admission: Admission, outcome: Outcome, /) -> None:
        breaker = self._breaker(exchange, runtime, admission)
        if admission.plan.results[outcome.verdict.category] != FAILURE:
            breaker.tell("success")
        else:
            error = outcome.error or AnswerFailed(outcome.verdict, outcome.response)
            breaker.tell("failure", error)

    def changed(
        self, exchange: Exchange, runtime: Runtime, admission: Admission, change: tuple[float, float], /
    ) -> None:
        self._breaker(exchange, runtime, admission).tell_change(*change)

    def _breaker(self, exchange: Exchange, runtime: Runtime, admission: Admission) -> ListenedBreaker:
        name = (id(exchange.store), admission.key)
        with self._lock:
            found = self._breakers.pop(name, None)
            if found is None:
                guard = Guard(exchange.store, runtime.clock, admission.key, admission.plan.settings, _LEASE)
                found = self._make(guard, self.listeners)
                if len(self._breakers) >= _MOST_BREAKERS:
                    del self._breakers[next(iter(self._breakers))]
            self._breakers[name] = found
        return found
