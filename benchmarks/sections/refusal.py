"""What a call costs that an open breaker refuses, and that many of them leave nothing behind."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks._figures import Figure, sure
from benchmarks._ours import OURS, ours_transport
from benchmarks._peers import PEERS
from benchmarks._processes import Failed, elsewhere
from benchmarks._section import Effort, Found, figures_of, measured, pooled
from benchmarks._worlds import Answer, World
from benchmarks.sections.overhead import QUICK, WORLDS

__all__ = ["LASTING", "SECTION", "TRANSPORT", "run"]

SECTION = "refusal"
BREAKERS = ("clientwright", "interlock-cb", "httpware", "aiobreaker")
TRANSPORT = "openai, the transport alone"
LASTING = "memory that 100,000 leave"
FAILING = Answer(500, b'{"error": {"message": "The server had an error", "type": "server_error"}}')
POLICY = {"retry": {"max_attempts": 1}, "breaker": {"consecutive_failures": 5, "open_for": "1h", "max_open": "1h"}}
MOST_SENT = 100
"""Calls that got through; a breaker that lets more through is not open."""


def run(effort: Effort) -> list[Figure]:
    """Measure all worlds; a quick run those of httpx, sync and asyncio."""
    figures: list[Figure] = []
    for world in WORLDS:
        if effort.quick and world not in QUICK:
            continue
        arguments = {"library": world.library, "loop": world.loop}
        found = pooled(f"{__name__}:measure", effort.processes, **arguments, blocks=effort.blocks, quick=effort.quick)
        figures += figures_of(SECTION, world.name, found)
        figures += [
            _microseconds(each, found["microseconds"])
            for each in figures
            if each.row == TRANSPORT and each.column == world.name and each.value is not None
        ]
    for library in ("httpx",) if effort.quick else ("httpx", "httpx2"):
        column = f"{library} sync"
        try:
            kib = elsewhere(f"{__name__}:lasting", library=library, calls=5_000 if effort.quick else 100_000)
        except Failed as failed:
            figures.append(Figure(section=SECTION, row=LASTING, column=column, unit="KiB", reason=str(failed)))
        else:
            figures.append(sure(SECTION, LASTING, column, kib, "KiB"))
    return figures


def _microseconds(each: Figure, bare: float) -> Figure:
    assert each.value is not None
    return Figure(
        section=SECTION,
        row=f"{each.row}, µs",
        column=each.column,
        value=each.value * bare,
        low=each.low * bare,
        high=each.high * bare,
        noise=each.noise * bare,
        unit="µs",
    )


def measure(library: str, loop: str, blocks: int, *, quick: bool) -> Found:
    """Measure one world; the process is for this alone."""
    world = World(library, loop)
    url, answer = OURS["openai"]
    get = world.client(world.lean(answer)()).get
    sent: Counter[str] = Counter()
    rows: dict[str, Callable[[], Any]] = {
        "openai, local reply": lambda: _ours(world, sent, "openai, local reply", "reply"),
        "openai, raised": lambda: _ours(world, sent, "openai, raised", "raise"),
        TRANSPORT: lambda: _transport(world, sent),
    }
    for name in () if quick else BREAKERS:
        rows[name] = partial(_peer, world, sent, name, url)
    found = measured(world, lambda: get(url), rows, blocks)
    for name, count in sent.items():
        if count > MOST_SENT and found["ratios"].pop(name, None):
            found["reasons"][name] = f"its breaker let {count} calls through"
    return found


def _failing(world: World, sent: Counter[str], name: str) -> type[Any]:
    lean = world.lean(FAILING)
    method = "handle_request" if world.is_sync else "handle_async_request"
    inner = getattr(lean, method)

    def counted(self: Any, request: Any) -> Any:
        sent[name] += 1
        return inner(self, request)

    return type("Failing", (lean,), {method: counted})


def _ours(world: World, sent: Counter[str], name: str, refusals: str) -> Any:
    inner = _failing(world, sent, name)()
    client = world.client(ours_transport(world, "openai", inner, POLICY, refusals=refusals))
    return _whatever(world, partial(client.get, OURS["openai"][0]))


def _transport(world: World, sent: Counter[str]) -> Any:
    url = OURS["openai"][0]
    inner = _failing(world, sent, TRANSPORT)()
    transport = ours_transport(world, "openai", inner, POLICY)
    request = world.client(inner).build_request("GET", url)
    return partial(transport.handle_request if world.is_sync else transport.handle_async_request, request)


def _peer(world: World, sent: Counter[str], name: str, url: str) -> Any:
    return _whatever(world, PEERS[name](world, _failing(world, sent, name), url))


def _whatever(world: World, call: Callable[[], Any]) -> Any:
    if world.is_sync:

        def any_result() -> None:
            try:
                call()
            except Exception:  # noqa: BLE001  a refusal
                return

        return any_result

    async def any_result_async() -> None:
        try:
            await call()
        except Exception:  # noqa: BLE001  a refusal
            return

    return any_result_async


def lasting(library: str, calls: int) -> float:
    """KiB that many refusals leave behind; the process is for this alone."""
    world = World(library, "sync")
    refuse = _transport(world, Counter())

    def traced(count: int) -> int:
        for _ in range(count):
            refuse()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    # What keeps the last so many of something is full by then.
    tracemalloc.start()
    before = traced(2_000)
    return (traced(calls) - before) / 1024
