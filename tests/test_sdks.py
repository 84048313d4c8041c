"""Provider SDKs, unmodified, over `install`: one retry loop, the stated waits, the SDK's own exceptions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import groq
import openai
import pytest

import resilience
from tests.rawserver import RawServer, answer, raw_server

POLICY = """\
version: 1
provider: sdk-test
match: {{hosts: ["{host}"]}}
operations: {{any: {{path: "/{{rest...}}", repeatable: true}}}}
envelopes: [{{code: error.code, message: error.message}}, {{code: error.type, message: error.message}}]
answers:
  - {{rule: quota, when: {{status: 429, code: insufficient_quota}}, category: quota_exhausted}}
retry:
  max_attempts: 3
  backoff: {{initial: 10ms, max: 10ms}}
  wait: [{{header: retry-after-ms}}, {{header: Retry-After}}]
  spread: 0
"""
COMPLETION = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
}  # fmt: skip
MESSAGE = {
    "id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None,
    "content": [{"type": "text", "text": "hello"}], "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip
PROMPT: list[Any] = [{"role": "user", "content": "hi"}]


@dataclass
class Sdk:
    """How one SDK is called, and what it raises."""

    module: Any
    client: str
    good: dict[str, Any]

    def call(self, url: str, *, asynchronous: bool) -> str:
        """Ask for one completion, with the SDK's own defaults, and give its text."""
        client = getattr(self.module, ("Async" if asynchronous else "") + self.client)(api_key="k", base_url=url)
        if not asynchronous:
            with client:
                return self._text(self._ask(client))

        async def ask() -> str:
            async with client:
                return self._text(await self._ask(client))

        return asyncio.run(ask())

    def _ask(self, client: Any) -> Any:
        if self.module is anthropic:
            return client.messages.create(model="m", max_tokens=9, messages=PROMPT)
        return client.chat.completions.create(model="m", messages=PROMPT)

    def _text(self, result: Any) -> str:
        text = result.content[0].text if self.module is anthropic else result.choices[0].message.content
        assert isinstance(text, str)
        return text


SDKS = {
    "openai": Sdk(openai, "OpenAI", COMPLETION),
    "anthropic": Sdk(anthropic, "Anthropic", MESSAGE),
    "groq": Sdk(groq, "Groq", COMPLETION),
}
Serve = Callable[..., Any]


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    return SDKS[request.param]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Callable[[RawServer], None]]:
    """Install the test's policy for a server, and undo it afterwards."""

    def install(server: RawServer) -> None:
        (tmp_path / "sdk.yaml").write_text(POLICY.format(host=server.url.removeprefix("http://")))
        (tmp_path / "resilience.yaml").write_text("version: 1\nshipped: false\npolicies: [./sdk.yaml]\n")
        resilience.install(tmp_path / "resilience.yaml")

    yield install
    resilience.uninstall()


def retries_of_the_sdk(server: RawServer) -> list[bytes]:
    """How often the SDK says that it has retried, for each request."""
    return [
        seen.head.lower().split(b"x-stainless-retry-count:")[1].split(b"\r\n")[0].strip() for seen in server.requests
    ]


def error(status: int, code: str, *headers: str) -> bytes:
    return answer(status, json.dumps({"error": {"type": code, "code": code, "message": "no"}}).encode(), *headers)


def timed(reply: bytes, times: list[float]) -> Any:
    def send(client: Any) -> bool:
        times.append(time.monotonic())
        client.sendall(reply)
        return True

    return send


def test_a_throttled_call_succeeds_after_exactly_the_stated_wait(
    sdk: Sdk, asynchronous: bool, installed: Callable[[RawServer], None]
) -> None:
    """429 and then 200: two requests, the wait of the header, and the SDK has not noticed."""
    times: list[float] = []
    throttled = timed(error(429, "rate_limited", "retry-after-ms: 300", "Retry-After: 9"), times)

    with raw_server(throttled, timed(answer(200, json.dumps(sdk.good).encode()), times)) as server:
        installed(server)
        text = sdk.call(server.url, asynchronous=asynchronous)

    assert "hello" == text
    assert [b"0", b"0"] == retries_of_the_sdk(server)
    assert 0.3 <= times[1] - times[0] < 1.0


def test_a_call_that_stays_throttled_is_sent_by_one_loop_only(
    sdk: Sdk, asynchronous: bool, installed: Callable[[RawServer], None]
) -> None:
    """Three attempts, not three times three; and the SDK raises what its users catch."""
    with raw_server(error(429, "rate_limited", "Retry-After: 0")) as server:
        installed(server)
        with pytest.raises(sdk.module.RateLimitError):
            sdk.call(server.url, asynchronous=asynchronous)

    assert [b"0"] * 3 == retries_of_the_sdk(server)


def test_a_spent_quota_is_not_retried_by_anybody(
    sdk: Sdk, asynchronous: bool, installed: Callable[[RawServer], None]
) -> None:
    """The SDK alone would send it three times."""
    with raw_server(error(429, "insufficient_quota")) as server:
        installed(server)
        with pytest.raises(sdk.module.RateLimitError):
            sdk.call(server.url, asynchronous=asynchronous)

    assert [b"0"] == retries_of_the_sdk(server)
