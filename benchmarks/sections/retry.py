"""What a call costs that gets a 429 with `Retry-After: 0`, and then 200, beside two bare calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks._figures import Figure
from benchmarks._floor import FLOOR, floor_call
from benchmarks._ours import OURS, TOO_MANY, WRAPPED, ours_call
from benchmarks._peers import peer_call
from benchmarks._section import Effort, Found, figures_of, measured, pooled
from benchmarks._stack import stack_client
from benchmarks._worlds import World
from benchmarks.sections.overhead import QUICK, STACK, WORLDS

__all__ = ["SECTION", "run"]

SECTION = "retry"
RETRYING = ("httpx-retries", "clientwright", "httpware", "pydantic-ai", "tenacity", "stamina")
# Every call is retried here, which the budget is there to prevent; and a `Retry-After: 0` is answered with the back-off.
POLICY = {"retry": {"budget": {"off": True}, "backoff": {"initial": "0s", "max": "0s"}}}


def run(effort: Effort) -> list[Figure]:
    """Measure all worlds; a quick run those of httpx, sync and asyncio."""
    figures: list[Figure] = []
    for world in WORLDS:
        if effort.quick and world not in QUICK:
            continue
        found = pooled(
            f"{__name__}:measure",
            effort.processes,
            library=world.library,
            loop=world.loop,
            blocks=effort.blocks,
            quick=effort.quick,
        )
        figures += figures_of(SECTION, world.name, found)
    return figures


def measure(library: str, loop: str, blocks: int, *, quick: bool) -> Found:
    """Measure one world; the process is for this alone."""
    world = World(library, loop)
    url, answer = OURS["openai"]

    def lean() -> type[Any]:
        return world.lean(TOO_MANY, answer)

    rows: dict[str, Callable[[], Any]] = {
        f"openai{suffix}": partial(
            ours_call, world, "openai", TOO_MANY, answer, policy=POLICY, is_wrapped=suffix == WRAPPED
        )
        for suffix in ("", WRAPPED)
    }
    for name in RETRYING[:1] if quick else RETRYING:
        rows[name] = partial(_peer, name, world, lean, url)
    rows[STACK] = lambda: _get(stack_client(world, lean()), url)
    if not quick:
        rows[FLOOR] = lambda: floor_call(world, lean(), url)
    return measured(world, _twice(world, world.client(lean()()).get, url), rows, blocks, _succeeded)


def _peer(name: str, world: World, lean: Callable[[], type[Any]], url: str) -> Any:
    return peer_call(name, world, lean(), url)


def _get(client: Any, url: str) -> Any:
    get = client.get
    return lambda: get(url)


def _twice(world: World, get: Any, url: str) -> Any:
    if world.is_sync:

        def both() -> None:
            get(url)
            get(url)

        return both

    async def both_async() -> None:
        await get(url)
        await get(url)

    return both_async


def _succeeded(response: Any) -> None:
    assert response.status_code == 200, f"it handed back the {response.status_code}"
