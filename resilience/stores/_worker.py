"""Decisions of event loops on stores that are far away: one thread for each store takes what is queued as one batch.

So an event loop never waits for a network or a file, under asyncio and trio alike, and fifty calls that decide at once
cost one round trip. The thread starts when it is needed and ends when it has had nothing to do for a while.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol
from weakref import WeakSet

from .._promise import Promise, keep, promise
from .._transactions import Command, Reply, Store
from ._errors import StoreError
from ._owed import undoing

__all__ = ["SharedStore", "Worker"]

_MOST_QUEUED = 10_000
# A batch whose reply is lost is sent again: the store knows the names of as many calls (`_credits_state`), and counts none twice.
_MOST_IN_BATCH = 250
_IDLE_SECONDS = 10.0
# A store gives up by itself before; this holds where it cannot, as when a name is looked up.
_LONGEST_WAIT = 3.0
# What was given back at the end of a program should arrive, but must not keep it.
_FLUSH_SECONDS = 0.5

Result = Reply | Exception


class SharedStore(Store, Protocol):
    """A store that others use too, and that may fail."""

    def run_many(self, batch: Sequence[tuple[Command, float]], /) -> list[Result]:
        """Make decisions one after the other; what goes wrong with one is its result."""
        ...

    def probe(self) -> None:
        """Make sure, at little cost, that decisions can be made; raises `StoreError` if they cannot."""
        ...

    def before_fork(self) -> None:
        """Let go of what a child process must not inherit, and decide nothing until the fork is done."""
        ...

    def after_fork(self, *, is_child: bool) -> None:
        """Go on in the parent, or begin anew in the child."""
        ...


class _Asked(NamedTuple):
    command: Command
    now: float
    promise: Promise[Result] | None
    """Who waits for the reply; nobody for what is given back."""


def _forget(_command: Command, _now: float, _error: Exception) -> None:
    """Nobody minds."""


class Worker:
    """Decides for event loops, on one store.

    Arguments:
        store: the store.
        lost: called, in whichever thread, with what was to be done for nobody's reply and could not be, and why.
    """

    def __init__(self, store: SharedStore, lost: Callable[[Command, float, Exception], object] = _forget) -> None:
        self._store = store
        self._lost = lost
        self.begin()
        _workers.add(self)

    def begin(self) -> None:
        """Begin anew, as in a child process, which has inherited neither the thread nor those who wait for it."""
        # Taken again by whom the collector ends within it, as `_fork.Lock`.
        self._lock = threading.RLock()
        self._queue: SimpleQueue[_Asked | threading.Event] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def ask(self, command: Command, now: float) -> Reply:
        """Decide, and wait for the reply: also if the call is cancelled meanwhile, so that nothing granted is lost.

        Raises:
            StoreError: too many decisions wait for the store, no thread can be had, or it has not answered for too long.
        """
        reply: Promise[Result] = promise()
        if why_not := self._put(_Asked(command, now, reply)):
            # It may stand in the queue, for a thread that is to be had later.
            reply.set()
            raise StoreError(why_not)
        result = await reply.wait(_LONGEST_WAIT)
        if result is None:
            # Whatever is decided from now on is decided for nobody.
            reply.set()
            raise StoreError(f"it has not answered for {_LONGEST_WAIT:g}s")
        if isinstance(result, Exception):
            raise result
        return result

    def tell(self, command: Command, now: float) -> bool:
        """Decide, without waiting; `False` if too many decisions wait already, or no thread can be had."""
        if why_not := self._put(_Asked(command, now, None)):
            self._lost(command, now, StoreError(why_not))
        return not why_not

    def flush(self, seconds: float) -> bool:
        """Wait until everything is done that is queued; `False` if it takes longer."""
        if self._queue.empty() and self._thread is None:
            return True
        done = threading.Event()
        self._queue.put(done)
        return self._start() and done.wait(seconds)

    def _put(self, asked: _Asked) -> str:
        """Have it decided; what stands in the way, empty if nothing does."""
        if self._queue.qsize() >= _MOST_QUEUED:
            return f"{_MOST_QUEUED} decisions wait for it"
        self._queue.put(asked)
        return "" if self._start() else "no thread can be begun that would ask it"

    def _start(self) -> bool:
        """Have a thread; `False` if none can be had, as when the interpreter is shutting down."""
        if self._thread is None:
            with self._lock:
                thread = threading.Thread(target=self._work, name="resilience-store", daemon=True)
                if self._thread is None:
                    self._thread = thread
                    try:
                        thread.start()
                    except BaseException as error:
                        # Also where a signal's handler raises: what never began would never be begun again.
                        self._thread = None
                        if not isinstance(error, RuntimeError):
                            raise
                        return False
        return True

    def _work(self) -> None:
        while True:
            try:
                first = self._queue.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._lock:
                    # In this order: whoever has seen the thread has put something in before, which is found here.
                    thread, self._thread = self._thread, None
                    if self._queue.empty():
                        return
                    self._thread = thread
                continue
            batch = [first]
            with suppress(Empty):
                while len(batch) < _MOST_IN_BATCH:
                    batch.append(self._queue.get_nowait())
            self._decide([each for each in batch if isinstance(each, _Asked)])
            for each in batch:
                if isinstance(each, threading.Event):
                    each.set()

    def _decide(self, queued: list[_Asked]) -> None:
        batch = [asked for asked in queued if asked.promise is None or not asked.promise.is_over]
        if not batch:
            return
        try:
            results = self._store.run_many([(asked.command, asked.now) for asked in batch])
        except Exception as error:  # noqa: BLE001  whatever it is, those who wait must learn of it, and the thread goes on
            results = [error] * len(batch)
        kept: list[tuple[Promise[Result], Result]] = []
        for asked, result in zip(batch, results, strict=True):
            if asked.promise is None:
                if isinstance(result, Exception):
                    self._lost(asked.command, asked.now, result)
            elif not asked.promise.is_over:
                kept.append((asked.promise, result))
            elif not isinstance(result, Exception) and (undo := undoing(asked.command, result)) is not None:
                # It was granted to a call that has stopped waiting.
                self.tell(undo, asked.now)
        keep(kept)


_workers: WeakSet[Worker] = WeakSet()


@atexit.register
def _flush_all() -> None:
    """Have permits that were given back at the end of a program arrive, instead of expiring."""
    for worker in list(_workers):
        worker.flush(_FLUSH_SECONDS)
