"""One script, every world: sync, asyncio, trio and virtual time, over httpx and httpx2."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2
import trio

import resilience.httpx
import resilience.httpx2
from resilience import Policy, Trail, trail_of
from resilience._headers import FoldedHeaders
from resilience.simulate import Answer, NoAnswer, Simulation
from resilience.testing import VirtualClock

HOST = "provider.test"
URL = f"https://{HOST}/things"

WORLDS = [f"{mode}-{library}" for library in ("httpx", "httpx2") for mode in ("sync", "asyncio", "trio")] + ["virtual"]
_MODULES: dict[str, Any] = {"httpx": httpx, "httpx2": httpx2}
_ADAPTERS: dict[str, Any] = {"httpx": resilience.httpx, "httpx2": resilience.httpx2}
_ERRORS = {
    "connect_error": "ConnectError",
    "connect_timeout": "ConnectTimeout",
    "read_timeout": "ReadTimeout",
    "read_error": "ReadError",
    "protocol_error": "RemoteProtocolError",
    "pool_timeout": "PoolTimeout",
}


def policy(**parts: Any) -> Policy:
    """A small policy for `provider.test`; whatever is given replaces or adds to its parts."""
    base: dict[str, Any] = {
        "version": 1,
        "provider": "provider",
        "match": {"hosts": [HOST]},
        "envelopes": [{"code": "error.code", "message": "error.message"}],
        "retry": {"spread": 0},
    }
    return Policy.model_validate({**base, **parts})


@dataclass
class Step:
    """What the provider does with one request: a status with headers and body, or a transport error."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: object = None
    error: str | None = None

    @property
    def content(self) -> bytes:
        return b"" if self.body is None else json.dumps(self.body).encode()

    @property
    def all_headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", **self.headers}


@dataclass
class Request:
    """What the provider saw of a request when it came."""

    method: str
    headers: FoldedHeaders


@dataclass
class Story:
    """What became of a call."""

    status: int | None
    error: Exception | None
    trail: Trail
    slept: list[float]
    seen: list[Request]
    headers: Mapping[str, str]

    @property
    def requests(self) -> int:
        return len(self.seen)


class World:
    """Makes calls in one world. Chance gives `chance` every time it is asked."""

    def __init__(self, name: str) -> None:
        self.mode, _, library = name.partition("-")
        self.library = library
        self.module = _MODULES.get(library)

    def __repr__(self) -> str:
        return f"{self.mode}-{self.library}".rstrip("-")

    def call(
        self,
        policy: Policy,
        steps: Sequence[Step],
        *,
        method: str = "GET",
        url: str = URL,
        headers: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        content: Any = None,
        chance: float = 0.0,
    ) -> Story:
        """Call a provider that does the steps one after the other; the last one repeats."""
        if self.mode == "virtual":
            return _virtual(policy, steps, method, url, headers, options, content)
        seen: list[Request] = []

        def handler(request: Any) -> Any:
            step = steps[min(len(seen), len(steps) - 1)]
            seen.append(Request(request.method, FoldedHeaders(request.headers)))
            if step.error is not None:
                raise getattr(self.module, _ERRORS[step.error])(step.error)
            assert self.module is not None
            return self.module.Response(step.status, headers=step.all_headers, content=step.content)

        clock = VirtualClock(chances=itertools.repeat(chance))
        extensions = {} if options is None else {"resilience": dict(options)}
        named = {"headers": headers, "extensions": extensions, "content": content}
        response, error = self._send(handler, policy, clock, method, url, named)
        trail = trail_of(response if error is None else error)
        if trail is None:
            raise error or AssertionError("no policy applied")
        status = None if response is None else response.status_code
        return Story(status, error, trail, clock.slept, seen, {} if response is None else response.headers)

    def _send(
        self, handler: Callable[[Any], Any], policy: Policy, clock: VirtualClock, method: str, url: str, named: Any
    ) -> tuple[Any, Exception | None]:
        assert self.module is not None
        module, adapter = self.module, _ADAPTERS[self.library]
        transport = adapter.Transport(module.MockTransport(handler), policies=[policy], clock=clock)
        if self.mode == "sync":
            with module.Client(transport=transport) as client:
                try:
                    return client.request(method, url, **named), None
                except Exception as error:
                    return None, error

        async def go() -> tuple[Any, Exception | None]:
            async with module.AsyncClient(transport=transport) as client:
                try:
                    return await client.request(method, url, **named), None
                except Exception as error:
                    return None, error

        return asyncio.run(go()) if self.mode == "asyncio" else trio.run(go)


def _virtual(
    policy: Policy,
    steps: Sequence[Step],
    method: str,
    url: str,
    headers: Mapping[str, str] | None,
    options: Mapping[str, Any] | None,
    content: Any,
) -> Story:
    seen: list[Request] = []

    def provider(request: Any, now: float) -> Answer:
        step = steps[min(len(seen), len(steps) - 1)]
        seen.append(Request(request.method, FoldedHeaders(request.headers)))
        if step.error is not None:
            raise NoAnswer(step.error)
        return Answer(step.status, step.all_headers, step.content)

    simulation = Simulation([policy], provider)
    call = simulation.call(method, url, headers=headers, content=content or b"", options=options)
    simulation.run()
    assert call.trail is not None
    slept = [wait.seconds for wait in call.trail.waits]
    status = None if call.answer is None else call.answer.status_code
    return Story(status, call.error, call.trail, slept, seen, {} if call.answer is None else call.answer.headers)
