"""What a store that was away is still owed: the permits that calls have given back meanwhile, and what calls have cost.

What was taken in the shared store must be given back there, or it stays taken until its lease ends: minutes. What was
spent must be counted there at all. Nothing else waits so long: rates fill up by themselves, and a probe's lease is short.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._credits_state import unsent
from .._transactions import Command, Reply

if TYPE_CHECKING:
    from ._worker import SharedStore

__all__ = ["Owed", "undoing"]

# What lies before these has its lease to end it.
_MOST = 4096
_OWED = frozenset({"permits.release", "credits.settle"})


class Owed:
    """Releases that did not arrive; safe for threads, the oldest are forgotten first."""

    def __init__(self) -> None:
        self._commands: deque[tuple[Command, float]] = deque(maxlen=_MOST)

    def note(self, command: Command, now: float) -> None:
        """Keep a command, if it releases permits or settles a cost: their names are nobody else's, in whichever store.

        Arguments:
            command: what was not done.
            now: the time by the clock of the caller.
        """
        if command.name in _OWED:
            self._commands.append((command, now))

    def pay(self, store: SharedStore) -> None:
        """Give it back; what a store does not know of does no harm there.

        Raises:
            StoreError: the store is away again; nothing is forgotten.
        """
        batch = list(self._commands)
        if batch:
            store.run_many(batch)
            for _ in batch:
                self._commands.popleft()


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
