"""The places of one attempt among the calls in flight: asked for before it, renewed while its answer is read, given back once.

The lease of a place ends only for a process that died or a body that nobody reads any more.
"""

from __future__ import annotations

import os
import sys
from _thread import start_new_thread
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ._body import Body
from ._held import hold
from ._holder import new_name
from ._transactions import Command
from ._waker import running_loop

if TYPE_CHECKING:
    from ._library import Response
    from ._runtime import Runtime
    from ._transactions import Reply, Store

__all__ = ["Permit", "hand_on", "lease_of", "release_lost"]

# The lease of a call without an attempt timeout, and what any lease is longer than its attempt: a process that is
# alive renews it long before, and the places of one that died are free after it.
_LEASE = 300.0
_MARGIN = 30.0
_held_in: WeakKeyDictionary[Any, set[Permit]] = WeakKeyDictionary()
"""Of each event loop the permits of its calls."""


def lease_of(seconds: float | None) -> float:
    """Seconds after which the places of a call are free again if nobody renews them.

    Arguments:
        seconds: how long its attempt may take, if that is known.
    """
    return (seconds or _LEASE) + _MARGIN


class Permit:
    """The places of one attempt; safe for threads, since a body may be read in one and closed in another.

    Arguments:
        store: where the places are kept.
        runtime: how the store is asked.
        keys: of the limits.
        documented: the number of each, 0 where it is unknown.
        lease: seconds after which the places are free again if nobody renews them.
        now: the runtime's time.
    """

    __slots__ = (
        "_documented",
        "_holder",
        "_lease",
        "_loop",
        "_out",
        "_process",
        "_store",
        "began",
        "keys",
        "lowerings",
        "renew_at",
        "runtime",
    )

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        *,
        keys: tuple[str, ...],
        documented: tuple[int, ...],
        lease: float,
        now: float,
    ) -> None:
        self.keys = keys
        self.began = now
        """When the call came here."""
        self.lowerings: list[tuple[float, float]] = []
        """How often each limit had been lowered when the places were taken, and whether it was low then."""
        self._process = os.getpid()
        self._holder = new_name()
        self._store = store
        self.runtime = runtime
        self._documented = documented
        self._lease = lease
        self.renew_at = now + lease / 2
        self._out = True
        self._loop: Any = None

    async def ask(self) -> Reply:
        """Ask for all places: `permits.acquire`."""
        reply = await self.runtime.decide(self._store, Command("permits.acquire", self.keys, self.asked))
        if reply[0]:
            self.granted(reply[3:], self.runtime.clock.now())
        return reply

    @property
    def _back(self) -> Command:
        return Command("permits.release", self.keys, (self._holder,))

    @property
    def asked(self) -> tuple[str | float, ...]:
        """What `permits.acquire` is asked."""
        return (self._holder, self._lease, *self._documented)

    def granted(self, told: list[float], now: float) -> None:
        """The places are taken.

        Arguments:
            told: for each limit how often it was lowered, and whether it is low now.
            now: the runtime's time.
        """
        self.lowerings = list(zip(told[::2], told[1::2], strict=True))
        self.renew_at = now + self._lease / 2
        self._loop = running_loop() if self.runtime.is_async else None
        if self._loop is not None:
            _held_in.setdefault(self._loop, set()).add(self)

    def take(self) -> None:
        """Be counted whatever the number says."""
        self.runtime.tell(self._store, Command("permits.renew", self.keys, (self._holder, self._lease)))

    def renew(self) -> None:
        """Keep the places while the body is read."""
        now = self.runtime.clock.now()
        if now >= self.renew_at and self._process == os.getpid():
            self.renew_at = now + self._lease / 2
            if self._out:
                self.take()
            if not self._out:
                # Given back meanwhile, by another thread: that may have come first, and this has taken them again.
                self.runtime.tell(self._store, self._back)

    def ended(self) -> None:
        """The provider has sent all of it."""
        self.release()

    def broke(self, _error: BaseException) -> None:
        """It will send no more."""
        self.release()

    def release(self) -> None:
        """Give the places back, once, by the process that took them."""
        if self._process != os.getpid():
            return
        if not self._out:
            return
        # Without a lock: the collector may end the call within this, in this very thread. Twice does no harm.
        try:
            self._out = False
            self.runtime.tell(self._store, self._back)
        except RecursionError:
            # The application's own calls have filled the stack, mostly: a thread has one of its own.
            self._out = True
            try:  # noqa: SIM105  `suppress` would need what is missing
                start_new_thread(self._give_back, ())
            except RuntimeError:
                # There is none to be had: its lease ends.
                pass
            raise
        except BaseException:
            # A signal's, perhaps.
            self._out = True
            raise
        self._forget()
        self._wake()

    def abandon(self) -> None:
        """The same from the garbage collector."""
        # A process that was forked off has a copy of what it did not take.
        if self._out and self._process == os.getpid():
            # The collector may have come while this very thread held the store's lock, or a line's; in a thread of its
            # own nothing can be in the way. At the end of the interpreter there is none to be had, and no need of it.
            with suppress(RuntimeError):
                start_new_thread(self._give_back, ())

    def _give_back(self) -> None:
        self._out = False
        self._forget()
        self._store.run(self._back, self.runtime.clock.now())
        self._wake()

    def _forget(self) -> None:
        if self._loop is not None and (others := _held_in.get(self._loop)) is not None:
            others.discard(self)

    def _wake(self) -> None:
        for key in self.keys:
            line = self._store.lines.get(key)
            if line is not None:
                line.wake_first()


def release_lost() -> bool:
    """Give back what calls hold whose event loop was closed, since nobody will ever end them; whether there were any."""
    # Not by iteration: another thread may begin a loop meanwhile.
    loops = [loop for each in _held_in.keyrefs() if (loop := each()) is not None and loop.is_closed()]
    lost = [permit for loop in loops for permit in list(_held_in.pop(loop, ()))]
    for permit in lost:
        permit.release()
    return bool(lost)


def hand_on(response: Response, permit: Permit) -> None:
    """Hold a permit until the provider has sent all of an answer: it may have been read by its transport, or looked at to its end.

    Arguments:
        response: the answer.
        permit: of its call.
    """
    stream = response.stream
    if response.is_closed or (isinstance(stream, Body) and stream.whole(sys.maxsize) is not None):
        permit.release()
    else:
        hold(permit.runtime, response, permit)
