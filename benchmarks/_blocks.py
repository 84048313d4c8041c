"""Bracketed blocks: bare A bare B …, and only those count whose two bare neighbours agree.

The plan asks for one block after the other and is told how long it took; who runs them, in which world, is not its
business. A machine that is busy is busy for a block and its neighbours alike, and a block in which it was busier than
in its neighbours is thrown away. What is compared is the processor's time, of all threads of the process.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, NamedTuple

__all__ = ["BARE", "CONTROL", "Block", "Ratios", "TooBusy", "plan", "run_async", "run_sync"]

BARE = "bare"
"""The contender that all others are compared with; it also contends with itself, which shows the noise."""
CONTROL = "bare, beside itself"

SECONDS = 0.001
"""Of one block: short enough to run within one turn of a busy machine's scheduler, long enough to be timed."""
AGREEMENT = 0.10
"""By how much the two neighbours may differ."""
PREEMPTED = 1.06
"""How much longer than its processor time a block may take: something else ran meanwhile, and left its caches."""
ENOUGH, FEWEST = 10, 5
"""With fewer good blocks than enough, those count too that were interrupted; with fewer than the fewest nothing is said."""
PASSES = 8
"""How many passes there may be for each good block that is wanted."""
WARM = 3
LONGEST = 0.02
"""Seconds of a call that show that it waits: what waiting costs is not measured so."""


class TooBusy(Exception):
    """The machine left no blocks that could be compared."""


class Block(NamedTuple):
    """How long some calls took: seconds, and those of the processor."""

    calls: int
    seconds: float
    processor: float

    @property
    def per_call(self) -> float:
        """Seconds of the processor for one call."""
        return self.processor / self.calls

    @property
    def is_whole(self) -> bool:
        """Whether nothing else ran meanwhile."""
        return self.seconds < PREEMPTED * self.processor


class Ratios(NamedTuple):
    """What the good blocks say: the ratios of each contender, the median seconds of a bare call, and who waits how long."""

    of: dict[str, list[float]]
    bare: float
    waiting: dict[str, float]


Asked = tuple[str, int]
Plan = Generator[Asked, Block, Ratios]


def plan(names: list[str], *, wanted: int, seconds: float = SECONDS, control: bool = True) -> Plan:
    """Ask for blocks until each contender has as many good ones as wanted, and return the ratios.

    Arguments:
        names: the contenders; `BARE` is asked for beside them.
        wanted: how many good blocks of each.
        seconds: how long a block shall take.
        control: whether the bare call contends too.

    Raises:
        TooBusy: some contender has hardly any good block.
    """
    sizes: dict[str, int] = {}
    waiting: dict[str, float] = {}
    for name in (BARE, *names):
        fastest, waits = yield from _tried(name)
        sizes[name] = max(1, round(seconds / fastest))
        if waits > LONGEST:
            waiting[name] = waits
    contenders = [name for name in (*names, *([CONTROL] if control else ())) if name not in waiting]
    sizes[CONTROL] = sizes[BARE]
    found = {name: _Ratios([], []) for name in contenders}
    bare: list[float] = []
    for number in range(wanted * PASSES):
        left = [name for name in contenders if len(found[name].whole) < wanted]
        if not left:
            break
        before = yield BARE, sizes[BARE]
        # Whoever comes after a heavy one finds colder caches.
        for name in left if number % 2 == 0 else reversed(left):
            block = yield name if name != CONTROL else BARE, sizes[name]
            after = yield BARE, sizes[BARE]
            low, high = sorted((before.per_call, after.per_call))
            if high <= (1 + AGREEMENT) * low:
                is_whole = before.is_whole and block.is_whole and after.is_whole
                (found[name].whole if is_whole else found[name].interrupted).append(block.per_call * 2 / (low + high))
                bare.append(low)
            before = after
    good = {name: each.good for name, each in found.items()}
    poor = {name: len(values) for name, values in good.items() if len(values) < min(FEWEST, wanted)}
    if poor:
        raise TooBusy(f"too few good blocks: {poor}; the machine is too busy, or the calls wait")
    return Ratios(good, sorted(bare)[len(bare) // 2], waiting)


class _Ratios(NamedTuple):
    # Where both neighbours agree: by blocks that ran undisturbed, and by others.
    whole: list[float]
    interrupted: list[float]

    @property
    def good(self) -> list[float]:
        return self.whole if len(self.whole) >= ENOUGH else self.whole + self.interrupted


def _tried(name: str) -> Generator[Asked, Block, tuple[float, float]]:
    # Of some tries the fastest, since the first calls of a process are slow: seconds of the processor, and on the clock.
    tries: list[Block] = []
    for count in (1, 5, 5):
        tries.append((yield name, count))
        if tries[-1].seconds > LONGEST * 10:
            break
    return min(block.per_call for block in tries), min(block.seconds / block.calls for block in tries)


def run_sync(asked: Plan, calls: Mapping[str, Callable[[], object]]) -> Ratios:
    """Run the blocks of a plan with calls that block."""

    def block(name: str, count: int) -> Block:
        call = calls[name]
        for _ in range(WARM):
            call()
        gc.collect()
        processor, began = time.process_time(), time.perf_counter()
        for _ in range(count):
            call()
        return Block(count, time.perf_counter() - began, time.process_time() - processor)

    with _Undisturbed():
        answer: Any = None
        while True:
            try:
                name, count = asked.send(answer)
            except StopIteration as ended:
                return _ratios(ended.value)
            answer = block(name, count)


async def run_async(asked: Plan, calls: Mapping[str, Callable[[], Awaitable[object]]]) -> Ratios:
    """Run the blocks of a plan with calls that are awaited, in whichever loop this runs."""

    async def block(name: str, count: int) -> Block:
        call = calls[name]
        for _ in range(WARM):
            await call()
        gc.collect()
        processor, began = time.process_time(), time.perf_counter()
        for _ in range(count):
            await call()
        return Block(count, time.perf_counter() - began, time.process_time() - processor)

    with _Undisturbed():
        answer: Any = None
        while True:
            try:
                name, count = asked.send(answer)
            except StopIteration as ended:
                return _ratios(ended.value)
            answer = await block(name, count)


def _ratios(value: object) -> Ratios:
    assert isinstance(value, Ratios)
    return value


class _Undisturbed:
    """No collection of garbage while it lasts, but for those between blocks."""

    def __enter__(self) -> None:
        gc.collect()
        gc.freeze()
        gc.disable()

    def __exit__(self, *error: object) -> None:
        gc.enable()
        gc.unfreeze()
