"""Bracketed blocks: bare A bare B …, and only those count whose two bare neighbours agree.

The plan asks for one block after the other and is told how long it took; who runs them, in which world, is not its
business. A machine that is busy is busy for a block and its neighbours alike, and a block in which it was busier than
in its neighbours is thrown away. What is compared is the processor's time, of all threads of the process.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from itertools import count
from typing import Any, NamedTuple

__all__ = ["BARE", "CONTROL", "SECONDS", "Block", "Ratios", "TooBusy", "plan", "run_async", "run_sync"]

BARE = "bare"
"""The contender that all others are compared with; it also contends with itself, which shows the noise."""
CONTROL = "bare, beside itself"

SECONDS = 0.001
"""Of one block: short enough to run within one turn of a busy machine's scheduler, long enough to be timed."""
AGREEMENT, AGREEMENT_WAITING = 0.10, 0.30
"""By how much the two neighbours may differ; more where another process has its share in them."""
PREEMPTED = 1.06
"""How much longer than its processor time a block may take: something else ran meanwhile, and left its caches."""
ENOUGH, FEWEST = 10, 5
"""With fewer good blocks than enough, those count too that were interrupted; with fewer than the fewest nothing is said."""
LONGEST_RUN = 0.16
"""Seconds for each block that is wanted of each contender, after which those do that there are."""
POOR = "the machine was too busy for blocks that can be compared"
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

    def cost(self, waits: bool) -> float:  # noqa: FBT001  named wherever it is no variable
        """Seconds of one call: of the processor, or on the clock if it waits for others."""
        return (self.seconds if waits else self.processor) / self.calls

    @property
    def is_whole(self) -> bool:
        """Whether nothing else ran meanwhile."""
        return self.seconds < PREEMPTED * self.processor


class Ratios(NamedTuple):
    """What the good blocks say: the ratios of each contender, the median seconds of a bare call, and why others have none."""

    of: dict[str, list[float]]
    bare: float
    reasons: dict[str, str]


Asked = tuple[str, int]
Plan = Generator[Asked, Block, Ratios]


def plan(names: list[str], *, wanted: int, seconds: float = SECONDS, waits: bool = False) -> Plan:
    """Ask for blocks until each contender has as many good ones as wanted, and return the ratios.

    Arguments:
        names: the contenders; `BARE` is asked for beside them.
        wanted: how many good blocks of each.
        seconds: how long a block shall take.
        waits: the calls wait for another process, so what counts is the time until they have ended.

    Raises:
        TooBusy: there are hardly any good blocks, so that nobody knows the noise.
    """
    sizes: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for name in (BARE, *names):
        fastest = yield from _tried(name)
        sizes[name] = max(1, round(seconds / fastest.cost(waits)))
        if fastest.cost(waits=True) > LONGEST and not waits:
            reasons[name] = f"a call waits {fastest.cost(waits=True):.2g} s"
    contenders = [name for name in (*names, CONTROL) if name not in reasons]
    sizes[CONTROL] = sizes[BARE]
    found = {name: _Ratios([], []) for name in contenders}
    bare: list[float] = []
    agreement = AGREEMENT_WAITING if waits else AGREEMENT
    spent = 0.0
    for number in count():
        left = [name for name in contenders if len(found[name].whole) < wanted]
        if not left or spent > LONGEST_RUN * wanted * len(contenders):
            break
        before = yield BARE, sizes[BARE]
        # Whoever comes after a heavy one finds colder caches.
        for name in left if number % 2 == 0 else reversed(left):
            block = yield name if name != CONTROL else BARE, sizes[name]
            after = yield BARE, sizes[BARE]
            low, high = sorted((before.cost(waits), after.cost(waits)))
            spent += block.seconds + after.seconds
            if high <= (1 + agreement) * low:
                is_whole = waits or (before.is_whole and block.is_whole and after.is_whole)
                (found[name].whole if is_whole else found[name].interrupted).append(
                    block.cost(waits) * 2 / (low + high)
                )
                bare.append(low)
            before = after
    good = {name: each.good(min(wanted, ENOUGH)) for name, each in found.items()}
    poor = {name for name, values in good.items() if len(values) < min(FEWEST, wanted)}
    if CONTROL in poor:
        raise TooBusy(POOR)
    reasons |= dict.fromkeys(poor, POOR)
    return Ratios({name: good[name] for name in good if name not in poor}, sorted(bare)[len(bare) // 2], reasons)


class _Ratios(NamedTuple):
    # Where both neighbours agree: by blocks that ran undisturbed, and by others.
    whole: list[float]
    interrupted: list[float]

    def good(self, enough: int) -> list[float]:
        return self.whole if len(self.whole) >= enough else self.whole + self.interrupted


def _tried(name: str) -> Generator[Asked, Block, Block]:
    # Of some tries the fastest, since the first calls of a process are slow.
    tries: list[Block] = []
    for repeats in (1, 5, 5):
        tries.append((yield name, repeats))
        if tries[-1].seconds > LONGEST * 10:
            break
    return min(tries, key=lambda block: block.cost(waits=True))


def run_sync(asked: Plan, calls: Mapping[str, Callable[[], object]]) -> Ratios:
    """Run the blocks of a plan with calls that block."""

    def block(name: str, repeats: int) -> Block:
        call = calls[name]
        for _ in range(WARM):
            call()
        gc.collect()
        processor, began = time.process_time(), time.perf_counter()
        for _ in range(repeats):
            call()
        return Block(repeats, time.perf_counter() - began, time.process_time() - processor)

    with _Undisturbed():
        answer: Any = None
        while True:
            try:
                name, repeats = asked.send(answer)
            except StopIteration as ended:
                return _ratios(ended.value)
            answer = block(name, repeats)


async def run_async(asked: Plan, calls: Mapping[str, Callable[[], Awaitable[object]]]) -> Ratios:
    """Run the blocks of a plan with calls that are awaited, in whichever loop this runs."""

    async def block(name: str, repeats: int) -> Block:
        call = calls[name]
        for _ in range(WARM):
            await call()
        gc.collect()
        processor, began = time.process_time(), time.perf_counter()
        for _ in range(repeats):
            await call()
        return Block(repeats, time.perf_counter() - began, time.process_time() - processor)

    with _Undisturbed():
        answer: Any = None
        while True:
            try:
                name, repeats = asked.send(answer)
            except StopIteration as ended:
                return _ratios(ended.value)
            answer = await block(name, repeats)


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
