"""What looking into an answer costs: 1 MiB of JSON, and a stream of many chunks."""

from __future__ import annotations

import json
import sys
from types import FrameType
from typing import Any, cast

from benchmarks._blocks import CONTROL
from benchmarks._figures import Figure, ratio_figure, sure
from benchmarks._ours import OURS, ours_call, ours_transport
from benchmarks._processes import Failed, elsewhere
from benchmarks._section import Effort, Found, measured, pooled
from benchmarks._worlds import Answer, World

__all__ = ["CHUNKS", "READ", "READERS", "SECTION", "run"]

SECTION = "inspect"
READ = "1 MiB of {kind}, read for its fields"
CHUNKS = "calls for each chunk of a stream"
MIB = 1 << 20
KINDS = ("text", "objects")
READERS = {"httpx": True, "httpx, without msgspec": False}
BIG, BARE_BIG = "ours, 1 MiB", "bare, 1 MiB"


def run(effort: Effort) -> list[Figure]:
    """Measure both kinds of documents, and streams of both libraries."""
    figures: list[Figure] = []
    for kind in KINDS[:1] if effort.quick else KINDS:
        for column, as_installed in READERS.items():
            found = pooled(
                f"{__name__}:measure", effort.processes, kind=kind, blocks=effort.blocks, as_installed=as_installed
            )
            figures.append(_read(READ.format(kind=kind), column, found))
    for library in ("httpx",) if effort.quick else ("httpx", "httpx2"):
        try:
            calls = elsewhere(f"{__name__}:per_chunk", library=library)
        except Failed as failed:
            figures.append(Figure(section=SECTION, row=CHUNKS, column=library, unit="calls", reason=str(failed)))
        else:
            figures.append(sure(SECTION, CHUNKS, library, calls, "calls"))
    return figures


def _read(row: str, column: str, found: Found) -> Figure:
    # What our layers add to a bare call with this answer, as a part of `json.loads`.
    ours, bare = found["ratios"].get(BIG), found["ratios"].get(BARE_BIG)
    if not ours or not bare:
        reasons = [*found["reasons"].values(), "no good blocks"]
        return Figure(section=SECTION, row=row, column=column, reason=reasons[0])
    less = sorted(bare)[len(bare) // 2]
    context = f"json.loads {found['microseconds']:.0f} µs"
    return ratio_figure(SECTION, row, column, [each - less for each in ours], found["ratios"][CONTROL], context=context)


def measure(kind: str, blocks: int, *, as_installed: bool) -> Found:
    """Measure one kind of document beside `json.loads`; the process is for this alone."""
    if not as_installed:
        # As where there is none, on PyPy.
        sys.modules["msgspec"] = cast("Any", None)
    world = World("httpx", "sync")
    body = document(kind)
    url, _ = OURS["omniscrape"]
    get = world.client(world.lean(Answer(body=body))()).get
    rows = {
        BARE_BIG: lambda: lambda: get(url),
        BIG: lambda: ours_call(world, "omniscrape", Answer(body=body)),
    }
    return measured(world, lambda: json.loads(body), rows, blocks, seconds=0.01)


def document(kind: str) -> bytes:
    """An answer of 1 MiB: a page in one text, or many small objects."""
    result: dict[str, Any] = {"billing": {"charged": 0.001, "currency": "USD"}}
    if kind == "text":
        result["data"] = {"status_code": 200, "content": '<p class="x">hello\n</p>' * (MIB // 27)}
    else:
        item = {"id": 12345, "name": "a thing that is sold", "price": 17.5, "tags": ["a", "b"]}
        result["data"] = {"status_code": 200, "items": [item] * (MIB // 84)}
    return json.dumps({"success": True, "data": {"status": "completed", "result": result}}).encode()


def per_chunk(library: str) -> float:
    """How many Python calls our layers add for each chunk; the process is for this alone."""
    world = World(library, "sync")
    # A plan with so many at a time: the stream's end gives the place back, so it is watched.
    url, plan = "https://api.omniscrape.io/v1/scrape", {"omniscrape": {"plan": "growth"}}

    def calls(chunks: int, *, ours: bool) -> int:
        inner = _streaming(world, chunks)
        client = world.client(ours_transport(world, "omniscrape", inner, providers=plan) if ours else inner)
        counted = 0

        def count(_frame: FrameType, event: str, _argument: Any) -> None:
            nonlocal counted
            counted += event == "call"

        for attempt in range(2):
            with client.stream("POST", url) as response:
                if attempt:
                    sys.setprofile(count)
                for _ in response.iter_raw():
                    pass
                sys.setprofile(None)
        return counted

    def slope(*, ours: bool) -> float:
        return (calls(2000, ours=ours) - calls(1000, ours=ours)) / 1000

    return slope(ours=True) - slope(ours=False)


def _streaming(world: World, chunks: int) -> Any:
    module = world.module
    chunk = b'data: {"type": "response.output_text.delta", "delta": "hello"}\n\n'

    def each(_self: Any) -> Any:
        return iter([chunk] * chunks)

    stream = type("Chunks", (module.SyncByteStream,), {"__iter__": each})

    def handle_request(_self: Any, _request: Any) -> Any:
        return module.Response(200, headers={"content-type": "text/event-stream"}, stream=stream())

    return type("Streaming", (module.BaseTransport,), {"handle_request": handle_request})()
