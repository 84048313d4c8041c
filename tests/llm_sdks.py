"""The SDKs of six LLM providers, unmodified, each asked for one chat in the same way: plain or streamed, sync or async."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from typing import Any

import anthropic
import cohere
import groq
import httpx
import httpx2
import openai

from tests.llm_servers import WIRES, Wire

__all__ = ["MISSING", "SDKS", "Sdk", "Way"]

PROMPT: list[Any] = [{"role": "user", "content": "hi"}]


@dataclass(frozen=True)
class Way:
    """How an SDK is called."""

    asynchronous: bool
    streaming: bool

    def __str__(self) -> str:
        return f"{'async' if self.asynchronous else 'sync'}-{'stream' if self.streaming else 'plain'}"


@dataclass(frozen=True)
class Sdk:
    """How one SDK is made, called and closed.

    Arguments:
        name: of the provider's policy.
        library: what it sends with.
        make: makes a client for a URL and further options.
        ask: begins a plain or a streamed chat.
        closed: closes a client.
        errors: the names of its exceptions, by status.
        own: the options that end its own retries; `None` where it has none unless they are configured.
        connection: the class of the exception that it raises for an error of the transport.
        timed_out: the same for a timeout.
        obeys: whether it obeys `x-should-retry`.
        headers: where its exceptions have the headers of the answer.
    """

    name: str
    library: Any
    make: Callable[..., Any]
    ask: Callable[[Any, Way], Any]
    errors: Mapping[int, type[Exception]]
    own: dict[str, Any] | None
    connection: type[Exception]
    timed_out: type[Exception]
    obeys: bool = False
    headers: Callable[[Any], Any] = field(default=lambda error: error.response.headers)

    @property
    def wire(self) -> Wire:
        """How its provider speaks."""
        return WIRES[self.name]

    @property
    def one_loop(self) -> dict[str, Any]:
        """What its users have to set: nothing, unless it retries by itself and does not obey `x-should-retry`."""
        return {} if self.obeys else self.own or {}

    def client(self, url: str, way: Way, **options: Any) -> Any:
        """A client of the SDK for a server."""
        return self.make(url, way.asynchronous, options)

    def call(self, url: str, way: Way, **options: Any) -> list[Any]:
        """Ask for one chat; the object that the SDK gives, or all of a stream."""
        if not way.asynchronous:
            client = self.client(url, way, **options)
            with closing(self.closing(client)):
                if not way.streaming:
                    return [self.ask(client, way)]
                with closing(self.chunks(client, way)) as chunks:
                    return list(chunks)

        async def call() -> list[Any]:
            client = self.client(url, way, **options)
            async with aclosing(self.aclosing(client)):
                if not way.streaming:
                    return [await self.ask(client, way)]
                async with aclosing(self.chunks_async(client, way)) as chunks:
                    return [chunk async for chunk in chunks]

        return asyncio.run(call())

    def closing(self, client: Any) -> _Client:
        """What closes a sync client."""
        return _Client(client)

    def aclosing(self, client: Any) -> _AsyncClient:
        """What closes an async client."""
        return _AsyncClient(client)

    def chunks(self, client: Any, way: Way) -> Any:
        """The chunks of a stream, left as its users leave it."""
        return _chunks(self.ask(client, way))

    async def chunks_async(self, client: Any, way: Way) -> AsyncGenerator[Any, None]:
        """The same."""
        stream = self.ask(client, way)
        if hasattr(stream, "__await__"):
            stream = await stream
        try:
            async for chunk in stream:
                yield chunk
        finally:
            await (stream.aclose() if hasattr(stream, "aclose") else stream.close())


def _chunks(stream: Any) -> Iterator[Any]:
    try:
        yield from stream
    finally:
        stream.close()


class _Client:
    """A sync client to be closed, whatever its SDK calls that."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def close(self) -> None:
        if hasattr(self._client, "close"):
            self._client.close()
        else:
            self._client.__exit__(None, None, None)


class _AsyncClient:
    def __init__(self, client: Any) -> None:
        self._client = client

    async def aclose(self) -> None:
        client = self._client
        if hasattr(client, "aio"):
            await client.aio.aclose()
            client.close()
        elif hasattr(client, "close"):
            await client.close()
        else:
            await client.__aexit__(None, None, None)


def _stainless(module: Any, name: str, path: str) -> Callable[..., Any]:
    def make(url: str, asynchronous: bool, options: dict[str, Any]) -> Any:
        client = getattr(module, ("Async" if asynchronous else "") + name)
        return client(api_key="sk-test", base_url=url + path, **options)

    return make


def _completions(client: Any, way: Way) -> Any:
    return client.chat.completions.create(model="m", messages=PROMPT, stream=way.streaming)


def _messages(client: Any, way: Way) -> Any:
    return client.messages.create(model="m", max_tokens=9, messages=PROMPT, stream=way.streaming)


def _make_mistral(url: str, _: bool, options: dict[str, Any]) -> Any:
    options = dict(options)
    if "timeout" in options:
        options["timeout_ms"] = int(options.pop("timeout") * 1000)
    from mistralai.client import Mistral

    return Mistral(api_key="test", server_url=url, **options)


def _mistral(client: Any, way: Way) -> Any:
    name = ("stream" if way.streaming else "complete") + ("_async" if way.asynchronous else "")
    return getattr(client.chat, name)(model="m", messages=PROMPT)


def _make_cohere(url: str, asynchronous: bool, options: dict[str, Any]) -> Any:
    client = cohere.AsyncClientV2 if asynchronous else cohere.ClientV2
    return client(api_key="test", base_url=url, **options)


def _cohere(client: Any, way: Way) -> Any:
    return (client.chat_stream if way.streaming else client.chat)(model="m", messages=PROMPT)


def _make_gemini(url: str, _: bool, options: dict[str, Any]) -> Any:
    options = dict(options)
    if "timeout" in options:
        options["timeout"] = int(options["timeout"] * 1000)
    from google import genai

    # Otherwise it sends its async calls through aiohttp where that is installed.
    options["async_client_args"] = {"transport": httpx2.AsyncHTTPTransport()}
    return genai.Client(api_key="test", http_options=genai.types.HttpOptions(base_url=url, **options))


def _gemini(client: Any, way: Way) -> Any:
    models = client.aio.models if way.asynchronous else client.models
    return (models.generate_content_stream if way.streaming else models.generate_content)(model="m", contents="hi")


def _classes(module: Any) -> dict[int, type[Exception]]:
    return {
        401: module.AuthenticationError,
        402: module.APIStatusError,
        429: module.RateLimitError,
        500: module.InternalServerError,
        503: module.InternalServerError,
        400: module.BadRequestError,
    }


def _google() -> Sdk:
    from google.genai.errors import ClientError, ServerError

    errors = {**dict.fromkeys((400, 401, 402, 429), ClientError), **dict.fromkeys((500, 503), ServerError)}
    return Sdk("gemini", httpx2, _make_gemini, _gemini, errors, None, httpx2.TransportError, httpx2.TimeoutException)


def _mistral_ai() -> Sdk:
    from mistralai.client.errors import SDKError

    return Sdk(
        "mistral", httpx2, _make_mistral, _mistral, dict.fromkeys((400, 401, 402, 429, 500, 503), SDKError), None,
        httpx2.TransportError, httpx2.TimeoutException, headers=lambda error: error.headers,
    )  # fmt: skip


SDKS = {
    "openai": Sdk(
        "openai", httpx2, _stainless(openai, "OpenAI", "/v1"), _completions, _classes(openai), {"max_retries": 0},
        openai.APIConnectionError, openai.APITimeoutError, obeys=True,
    ),
    "anthropic": Sdk(
        "anthropic", httpx2, _stainless(anthropic, "Anthropic", ""), _messages,
        {**_classes(anthropic), 529: anthropic.OverloadedError}, {"max_retries": 0},
        anthropic.APIConnectionError, anthropic.APITimeoutError, obeys=True,
    ),
    "groq": Sdk(
        "groq", httpx, _stainless(groq, "Groq", ""), _completions, _classes(groq), {"max_retries": 0},
        groq.APIConnectionError, groq.APITimeoutError, obeys=True,
    ),
    "cohere": Sdk(
        "cohere", httpx, _make_cohere, _cohere,
        {
            401: cohere.UnauthorizedError, 402: cohere.core.ApiError, 429: cohere.TooManyRequestsError,
            500: cohere.InternalServerError, 503: cohere.ServiceUnavailableError,
        },
        {"max_retries": 0}, httpx.TransportError, httpx.TimeoutException, headers=lambda error: error.headers,
    ),
}  # fmt: skip
"""The SDKs by the names of their providers' policies."""
MISSING: dict[str, str] = {}
"""Those that are not installed, and why."""

for _name, _make in (("gemini", _google), ("mistral", _mistral_ai)):
    try:
        SDKS[_name] = _make()
    except ModuleNotFoundError as _error:
        MISSING[_name] = str(_error)
