"""What an application pays once: the import, the policies, the first call; each time in a process of its own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from importlib import resources
from typing import Any

from benchmarks._figures import Figure, notch, quartiles
from benchmarks._ours import OURS, ours_transport
from benchmarks._processes import CHECKOUT, elsewhere
from benchmarks._section import Effort
from benchmarks._worlds import World, loaded

__all__ = ["ROWS", "SECTION", "run"]

SECTION = "start"
ROWS = {
    "import": "the import, over that of httpx",
    "adapter": "the layers and models, which the first call or transport imports",
    "policies": "all shipped policies, read and compiled",
    "transport": "a transport with all shipped policies active",
    "first": "the first call, over bare",
    "httpx": "the import of httpx itself",
}
COLUMN, BESIDE = "milliseconds of the processor", "beside the import of httpx"


def run(effort: Effort) -> list[Figure]:
    """Measure in many processes, one after the other."""
    _build()
    found: dict[str, list[float]] = {name: [] for name in (*ROWS, "bare")}
    for _ in range(3 if effort.quick else 15):
        for name, value in {**elsewhere(f"{__name__}:ours"), "bare": elsewhere(f"{__name__}:bare")}.items():
            found[name].append(value)
    found["first"] = [each - statistics.median(found["bare"]) for each in found["first"]]
    beside = [own / bare for own, bare in zip(found["import"], found["httpx"], strict=True)]
    return [
        *(_figure(row, COLUMN, found[name], "ms") for name, row in ROWS.items()),
        _figure(ROWS["import"], BESIDE, beside, "x"),
    ]


def _figure(row: str, column: str, values: Sequence[float], unit: str) -> Figure:
    low, middle, high = quartiles(values)
    return Figure(
        section=SECTION, row=row, column=column, value=middle, low=low, high=high, unit=unit, noise=notch(values)
    )


def _spent(since: float) -> float:
    return (time.process_time() - since) * 1000


def ours() -> dict[str, float]:
    """Milliseconds of each part; the process is for this alone."""
    began = time.process_time()
    loaded("httpx")
    found = {"httpx": _spent(began)}
    began = time.process_time()
    loaded("resilience")
    found["import"] = _spent(began)
    began = time.process_time()
    loaded("resilience.httpx")
    found["adapter"] = _spent(began)
    world = World("httpx", "sync")
    url, answer = OURS["openai"]
    inner = world.lean(answer)()
    began = time.process_time()
    transport = ours_transport(world, "openai", inner)
    found["transport"] = _spent(began)
    found["first"] = _first(world, transport, url)
    resilience = loaded("resilience")
    names = [each.name.removesuffix(".yaml") for each in _shipped()]
    began = time.process_time()
    for name in names:
        world.client(loaded("resilience.httpx").Transport(inner, policies=[resilience.load_policy(name)]))
    found["policies"] = _spent(began)
    return found


def bare() -> float:
    """Milliseconds of the first bare call; the process is for this alone."""
    world = World("httpx", "sync")
    url, answer = OURS["openai"]
    return _first(world, world.lean(answer)(), url)


def _first(world: World, transport: Any, url: str) -> float:
    client = world.client(transport)
    began = time.process_time()
    client.get(url)
    return _spent(began)


def _build() -> None:
    """A checkout gets what an installed package has: the policies as they were read when its wheel was built."""
    if (directory := CHECKOUT / "policies").is_dir():
        loaded("resilience._built").build(directory)


def _shipped() -> list[Any]:
    # In a checkout they stand beside the package.
    package = resources.files("resilience") / "policies"
    if not package.is_dir():
        return sorted((CHECKOUT / "policies").glob("*.yaml"))
    return sorted((each for each in package.iterdir() if each.name.endswith(".yaml")), key=lambda each: each.name)
