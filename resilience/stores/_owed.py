"""What a store that was away is still owed: the permits that calls have given back meanwhile, and what calls have cost.

What was taken in the shared store must be given back there, or it stays taken until its lease ends: minutes. What was
spent must be counted there at all. Nothing else waits so long: rates fill up by themselves, and a probe's lease is short.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from .._credits_state import unsent
from .._fork import LateLock
from .._transactions import Command, Reply
from ._errors import StoreError

if TYPE_CHECKING:
    from ._worker import SharedStore

__all__ = ["Owed", "undoing"]

_log = logging.getLogger("resilience.stores")
# Of permits, what lies before these has its lease to end it.
_MOST_PERMITS = 4096
_MOST_COSTS = 100_000
_COSTS = frozenset({"credits.settle", "credits.renew", "notes.keep"})
# A store that has applied a batch whose reply was lost knows the names of so many calls, and counts none of them twice.
_BATCH = 100


class Owed:
    """What did not arrive; safe for threads, the oldest is forgotten first."""

    def __init__(self) -> None:
        # Taken again by whom the collector ends within it, as `_fork.Lock`.
        self._lock = threading.RLock()
        self._paying = LateLock()
        self._permits: deque[tuple[Command, float]] = deque(maxlen=_MOST_PERMITS)
        self._costs: deque[tuple[Command, float]] = deque()
        self._has_complained = False

    def __len__(self) -> int:
        return len(self._permits) + len(self._costs)

    def note(self, command: Command, now: float) -> None:
        """Keep a command, if it releases permits, settles a cost or notes a job: their names are nobody else's, in whichever store.

        Arguments:
            command: what was not done.
            now: the time by the clock of the caller.
        """
        if command.name == "permits.release":
            self._permits.append((command, now))
        elif command.name in _COSTS and not _is_needless(command):
            with self._lock:
                self._costs.append((command, now))
                is_full = len(self._costs) > _MOST_COSTS
                if is_full:
                    self._costs.popleft()
            if is_full and not self._has_complained:
                self._has_complained = True
                # A handler of the log may fail.
                with suppress(Exception):
                    _log.error(
                        "more than %s settlements wait for their store: what the oldest have cost is lost", _MOST_COSTS
                    )

    def note_lost(self, command: Command, reply: Reply, now: float) -> None:
        """Keep what gives back that which a store may have granted, should its reply be all that was lost.

        Arguments:
            command: what was asked.
            reply: what this process alone has decided instead; who has a place by that gives it back under its own name.
            now: the time by the clock of the caller.
        """
        if command.name == "credits.reserve":
            self.note(unsent(command), now)
        elif command.name == "permits.acquire" and not reply[0]:
            self.note(Command("permits.release", command.keys, command.arguments[:1]), now)

    def pay(self, store: SharedStore) -> None:
        """Give it back; what a store does not know of does no harm there, and what it cannot take now is kept.

        Raises:
            StoreError: the store is away again; what has not arrived is kept.
        """
        with self._paying.held:
            for kept in (self._permits, self._costs):
                refused: list[tuple[Command, float]] = []
                while batch := self._first_of(kept):
                    results = store.run_many(batch)
                    with self._lock:
                        for paid in batch:
                            # What was the oldest may have been forgotten meanwhile; what is first then was not paid.
                            if kept and kept[0] is paid:
                                kept.popleft()
                    failed = zip(batch, results, strict=True)
                    refused += [each for each, result in failed if isinstance(result, Exception)]
                for command, now in refused:
                    self.note(command, now)

    def pay_or_tell(self, store: SharedStore, lost: Callable[[StoreError], object]) -> None:
        """The same without an error: `lost` hears of it, since what is kept is paid only to a store that was away."""
        try:
            self.pay(store)
        except StoreError as error:
            lost(error)

    def pay_soon(self, store: SharedStore, lost: Callable[[StoreError], object]) -> None:
        """The same without waiting, if there is anything to give back."""
        if len(self):
            pay = partial(self.pay_or_tell, store, lost)
            with suppress(RuntimeError):
                threading.Thread(target=pay, name="resilience-owed", daemon=True).start()

    def _first_of(self, kept: deque[tuple[Command, float]]) -> list[tuple[Command, float]]:
        with self._lock:
            return [kept[index] for index in range(min(_BATCH, len(kept)))]


def _is_needless(command: Command) -> bool:
    if command.name == "credits.renew":
        # A reservation that goes on under its own name has its lease to tell that nobody has heard of it.
        return bool(command.arguments[0] == command.arguments[1])
    # What this process has decided alone, and nobody has used, the store has never heard of.
    return command.name == "credits.settle" and command.arguments[2:4] == (-1, 1)


def undoing(command: Command, reply: Reply) -> Command | None:
    """What gives back that which a decision has granted to a call that is no longer there.

    Arguments:
        command: the decision.
        reply: what it gave.
    """
    granted: Sequence[float] = reply
    if command.name == "permits.acquire" and granted[0]:
        return Command("permits.release", command.keys, (command.arguments[0],))
    if command.name == "breaker.admit" and granted[3]:
        return Command("breaker.release", command.keys, (granted[2], granted[3]))
    if command.name == "credits.reserve" and granted[:1] == [1.0]:
        return unsent(command)
    return None
