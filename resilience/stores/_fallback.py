"""A shared store that may fail: this process then decides alone, says so once, and returns by itself.

While the store is away nobody waits for it: decisions are made in memory, and now and then one thread looks whether it
is back. Only the calls that find it gone are delayed, by the time after which the store gives up. When it is back,
what was decided alone is forgotten; what was reserved there and is given back to the shared store is unknown to it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from .._hub import tell_all
from .._line import Lines
from .._transactions import Alone, Command, Reply, State, Store
from ..events import StoreChanged
from ._errors import StateError, StoreError
from ._memory import MemoryStore
from ._owed import Owed
from ._worker import SharedStore, Worker

__all__ = ["FallbackStore", "ask"]

_log = logging.getLogger("resilience.stores")
_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


class FallbackStore:
    """A shared store, and this process's own memory for when it is away.

    Arguments:
        shared: the store.
    """

    instant = False
    changes = None

    def __init__(self, shared: SharedStore) -> None:
        self.url = shared.url
        self.fallbacks = 0
        """How often the store was lost."""
        self._shared = shared
        self._local = MemoryStore()
        self._worker = Worker(shared, self._told_in_vain)
        self._begin()

    def __repr__(self) -> str:
        return f"<FallbackStore {self.url}{' (away)' if self.is_away else ''}>"

    @property
    def is_away(self) -> bool:
        """Whether this process decides alone."""
        return self._retry_at is not None

    def run(self, command: Command, now: float, /) -> Reply:
        local, losses = self._local, self.fallbacks
        if self._alone(now):
            return self._decide_alone(command, now, local)
        self._remember(command, now)
        try:
            return self._shared.run(command, now)
        except StoreError as error:
            return self._lost(error, losses, command, now, local)

    async def ask(self, command: Command, now: float) -> Reply:
        """`run` for an event loop."""
        local, losses = self._local, self.fallbacks
        if self._alone(now):
            return self._decide_alone(command, now, local)
        try:
            return await self._worker.ask(command, now)
        except StoreError as error:
            return self._lost(error, losses, command, now, local)

    def tell(self, command: Command, now: float) -> None:
        """`run` for what needs no reply, without waiting."""
        local = self._local
        if self._alone(now):
            self._owed.note(command, now)
            local.tell(command, now)
            self._pay_if_back(now)
        else:
            self._remember(command, now)
            self._worker.tell(command, now)

    def holds(self, _key: str, /) -> bool:
        return True

    def scan(self, prefix: str = "", /) -> Iterator[tuple[str, State]]:
        """What the shared store holds; raises `StoreError` if it cannot be read."""
        return self._shared.scan(prefix)

    def now(self, now: float, /) -> float:
        if not self.is_away:
            try:
                return self._shared.now(now)
            except StoreError as error:
                self._lose(error, self.fallbacks, now)
        return self._local.now(now)

    def pay(self) -> None:
        """Give back what is owed, if there is anything; raises `StoreError` if the store is still away."""
        self._owed.pay(self._shared)

    def close(self) -> None:
        self._worker.flush(_SHORTEST_PAUSE)
        self._shared.close()
        self._local.clear()
        self._begin()

    def before_fork(self) -> None:
        """Let go of what a child process must not inherit."""
        self._shared.before_fork()

    def after_fork(self, *, is_child: bool) -> None:
        """Go on in the parent; begin anew in the child, where no lock, thread or connection of the parent is touched."""
        self._shared.after_fork(is_child=is_child)
        if is_child:
            self._worker.begin()
            self._local.after_fork()
            self._begin()

    def _begin(self) -> None:
        self.lines = Lines()
        # Taken again by whom the collector ends within it, as `_fork.Lock`.
        self._lock = threading.RLock()
        self._owed = Owed()
        self._has_complained = False
        self._retry_at: float | None = None
        self._is_probing = False
        self._pause = 0.0
        self._returned_at = 0.0

    def _remember(self, command: Command, now: float) -> None:
        """What a provider has said to this process holds for it also when the store is gone."""
        if command.name == "bucket.pause":
            self._local.tell(command, now)

    def _decide_alone(self, command: Command, now: float, local: MemoryStore, *, is_owed: bool = True) -> Reply:
        """Decide on the memory as it was when the call came: one that has just been renewed knows nothing of what was spent."""
        if command.strict:
            return []
        self._owed.note(command, now)
        reply = Alone(local.run(command, now))
        if is_owed:
            self._pay_if_back(now)
        return reply

    def _lost(self, error: StoreError, losses: int, command: Command, now: float, local: MemoryStore) -> Reply:
        """Decide alone on what the store has failed at."""
        self._lose(error, losses, now)
        reply = self._decide_alone(command, now, local, is_owed=False)
        if not isinstance(error, StateError):
            # Perhaps its reply is all that was lost; what is decided here is not given back there.
            self._owed.note_lost(command, reply, now)
            self._pay_if_back(now)
        return reply

    def _pay_if_back(self, now: float) -> None:
        # What was noted by a call that still found the store gone while it came back: nobody else would pay it.
        if not self.is_away:
            self._owed.pay_soon(self._shared, partial(self._lose, losses=self.fallbacks, now=now))

    def _told_in_vain(self, command: Command, now: float, error: Exception) -> None:
        self._owed.note(command, now)
        if isinstance(error, StoreError):
            self._lose(error, self.fallbacks, now)

    def _alone(self, now: float) -> bool:
        """Whether to decide here; begins to look for the store when it is time to."""
        if self._retry_at is None:
            return False
        if now >= self._retry_at and self._may_probe():
            try:
                threading.Thread(target=self._probe, args=(now,), name="resilience-probe", daemon=True).start()
            except BaseException as error:
                # No thread can be had, as at the interpreter's end; or a signal's handler has raised: nobody would look again.
                self._is_probing = False
                if not isinstance(error, RuntimeError):
                    raise
        return True

    def _may_probe(self) -> bool:
        """Whether to be the one who looks for the store."""
        with self._lock:
            if self._is_probing or not self.is_away:
                return False
            self._is_probing = True
            return True

    def _probe(self, now: float) -> None:
        try:
            self._shared.probe()
            self._owed.pay(self._shared)
        except Exception:  # noqa: BLE001  why it is still away does not matter; a thread must not end in a traceback
            with self._lock:
                self._wait(now)
                self._is_probing = False
            return
        with self._lock:
            self._retry_at, self._returned_at, self._local = None, now, MemoryStore()
        lost = partial(self._lose, losses=self.fallbacks, now=now)
        try:
            tell_all("on_store", StoreChanged(self.url, is_away=False, reason=""))
        finally:
            # Whatever ends this thread, as a listener may: nobody would look for the store when it is away again.
            self._is_probing = False
            # What was noted while the rest was being paid.
            self._owed.pay_or_tell(self._shared, lost)

    def _lose(self, error: StoreError, losses: int, now: float) -> None:
        if isinstance(error, StateError):
            self._complain(error)
            return
        with self._lock:
            if self.fallbacks != losses or self.is_away:
                # Somebody else has found it first.
                return
            self.fallbacks += 1
            if now - self._returned_at > _LONGEST_PAUSE:
                # It was well for long. One that comes and goes is looked for, and spoken of, ever more rarely.
                self._pause = 0.0
            self._wait(now)
        tell_all("on_store", StoreChanged(self.url, is_away=True, reason=str(error)))

    def _complain(self, error: StateError) -> None:
        """Say once that what stands under a key is not ours; this process decides on that key alone."""
        if not self._has_complained:
            self._has_complained = True
            # A handler of the log may fail.
            with suppress(Exception):
                _log.warning("%s: %s", self.url, error)

    def _wait(self, now: float) -> None:
        self._pause = min(max(2 * self._pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        self._retry_at = now + self._pause


async def ask(store: Store, command: Command, now: float) -> Reply:
    """Have a store decide, without blocking the event loop; never fails because the store is away.

    Arguments:
        store: of `open_store`.
        command: what to decide.
        now: the caller's own time, in seconds.
    """
    return await store.ask(command, now) if isinstance(store, FallbackStore) else store.run(command, now)
