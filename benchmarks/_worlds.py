"""The worlds of a call: sync, asyncio or trio, httpx or httpx2, over a transport that answers at once."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

from benchmarks._blocks import Plan, Ratios, run_async, run_sync

__all__ = ["Answer", "World", "loaded"]

Call = Callable[[], Any]


def loaded(module: str) -> Any:
    """A module that may not be installed, without a type."""
    return importlib.import_module(module)


class Answer(NamedTuple):
    """What the transport answers."""

    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()


class World(NamedTuple):
    """One way to call.

    Arguments:
        library: `httpx` or `httpx2`.
        loop: `sync`, `asyncio` or `trio`.
    """

    library: str
    loop: str

    @property
    def name(self) -> str:
        """As the tables name it."""
        return f"{self.library} {self.loop}"

    @property
    def is_sync(self) -> bool:
        """Whether calls block."""
        return self.loop == "sync"

    @property
    def module(self) -> Any:
        """The library itself."""
        return loaded(self.library)

    def lean(self, *answers: Answer) -> type[Any]:
        """A class of transports that give these answers in turn, at the cost of copying them.

        It is a kind of the library's own transport, since some peers take no other.
        """
        responses = [_copied(self.module, each) for each in answers]
        turn = iter(range(1 << 62))

        def handle(_self: Any, _request: Any) -> Any:
            return responses[next(turn) % len(responses)]()

        def only(_self: Any, _request: Any) -> Any:
            return responses[0]()

        answer = only if len(responses) == 1 else handle

        async def answer_async(_self: Any, _request: Any) -> Any:
            return answer(_self, _request)

        if self.is_sync:
            return type("Lean", (self.module.HTTPTransport,), {"handle_request": answer})
        return type("Lean", (self.module.AsyncHTTPTransport,), {"handle_async_request": answer_async})

    @property
    def client_kind(self) -> type[Any]:
        """The library's class of clients."""
        kind: type[Any] = self.module.Client if self.is_sync else self.module.AsyncClient
        return kind

    def client(self, transport: Any, kind: type[Any] | None = None) -> Any:
        """A client with a key; if no other class is named, of one that nobody has changed."""
        return (kind or _untouched(self))(
            transport=transport, headers={"authorization": "Bearer sk-benchmark", "x-api-key": "benchmark"}
        )

    def measure(self, asked: Plan, calls: Mapping[str, Call]) -> Ratios:
        """Run a plan in this world."""
        if self.is_sync:
            return run_sync(asked, calls)
        ratios: Ratios = self.run(partial(run_async, asked, calls))
        return ratios

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run an async function in this world's loop."""
        if self.loop == "trio":
            return loaded("trio").run(function, *arguments)
        return asyncio.run(function(*arguments))

    def tried(self, call: Call) -> Any:
        """What one call gives, to see whether it can be called at all in this world."""
        return call() if self.is_sync else self.run(call)


@cache
def _untouched(world: World) -> type[Any]:
    """A class of clients that keeps what `install` and `wrap` replace, should they be measured in the same process."""
    kind = world.client_kind
    return type("Untouched", (kind,), {name: getattr(kind, name) for name in ("_send_single_request", "_merge_url")})


def _copied(module: Any, answer: Answer) -> Callable[[], Any]:
    # Making a response from its parts costs ten times what copying one does, and is not what is measured.
    headers = [*answer.headers, ("content-type", "application/json"), ("content-length", str(len(answer.body)))]
    model: Any = module.Response(answer.status, headers=headers, stream=module.ByteStream(answer.body))
    inner = list(model.headers._list)  # noqa: SLF001  a copy of it is the cheapest answer there is
    kind, headers_kind, stream_kind, body = module.Response, module.Headers, module.ByteStream, answer.body
    fields: dict[str, Any] = dict(model.__dict__)
    del fields["headers"], fields["stream"]

    def copy() -> Any:
        response = kind.__new__(kind)
        own = response.__dict__
        own.update(fields)
        own["extensions"] = {}
        own["history"] = []
        own["headers"] = fresh = headers_kind.__new__(headers_kind)
        fresh._list = inner.copy()  # noqa: SLF001
        fresh._encoding = None  # noqa: SLF001
        own["stream"] = stream_kind(body)
        return response

    return copy
