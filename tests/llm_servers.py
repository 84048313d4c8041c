"""What LLM providers answer, as their pages document it: whole answers, errors, event streams; and a server that sends them.

A stream is sent event by event: each waits until the client has asked for it, so that nothing can be seen too early.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.rawserver import answer

__all__ = ["WIRES", "Stepped", "Wire", "bad", "dropped", "good", "silent"]

_PATIENCE = 20.0


@dataclass(frozen=True)
class Wire:
    """How one provider speaks.

    Arguments:
        policy: the name of its shipped policy.
        good: the body of an answer.
        events: the events of a streamed answer, with what stands before and after each.
        error: makes the body of an error of a status and a code.
        billing: status and code of an answer for which money is missing.
        overloaded: the status of an overload.
        broken: the event that tells of an error in the middle of a stream; `None` where the provider has none.
        wait: makes the headers of a throttle that asks for seconds, and what stands in its error beside the rest.
    """

    policy: str
    good: dict[str, Any]
    events: tuple[bytes, ...]
    error: Callable[[int, str], object]
    billing: tuple[int, str]
    overloaded: int = 503
    broken: bytes | None = None
    wait: Callable[[float], tuple[dict[str, str], dict[str, Any]]] = field(
        default=lambda seconds: ({"retry-after": f"{seconds:.0f}"}, {})
    )

    @property
    def seen(self) -> list[int]:
        """Which of the events an SDK makes an object of."""
        return [index for index, each in enumerate(self.events) if b"[DONE]" not in each and b"event: ping" not in each]

    def reply(self, streaming: bool) -> bytes:
        """A whole good answer."""
        if not streaming:
            return good(json.dumps(self.good).encode())
        body = b"".join(self.events)
        return answer(200, body, content_type="text/event-stream")

    def refusal(self, status: int, code: str, seconds: float | None = None) -> bytes:
        """An error, which asks for a wait where one is given."""
        headers, document = ({}, {}) if seconds is None else self.wait(seconds)
        body: Any = self.error(status, code)
        if document:
            body["error"]["details"] = document["details"]
        return bad(status, body, **headers)


def good(body: bytes) -> bytes:
    return answer(200, body)


def bad(status: int, body: object, **headers: str) -> bytes:
    """An error with a JSON body."""
    return answer(status, json.dumps(body).encode(), *(f"{name}: {value}" for name, value in headers.items()))


def _data(*documents: object, end: str = "") -> tuple[bytes, ...]:
    return (
        *(f"data: {json.dumps(each)}\n\n".encode() for each in documents),
        *([f"data: {end}\n\n".encode()] * bool(end)),
    )


def _named(*documents: dict[str, Any], end: str = "") -> tuple[bytes, ...]:
    events = (f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in documents)
    return (*events, *([f"data: {end}\n\n".encode()] * bool(end)))


def _openai_error(status: int, code: str) -> object:
    kind = "insufficient_quota" if code == "insufficient_quota" else "requests" if status == 429 else "server_error"
    return {"error": {"message": "no", "type": kind, "param": None, "code": code}}


def _anthropic_error(_: int, code: str) -> object:
    return {"type": "error", "error": {"type": code, "message": "no"}, "request_id": "req_1"}


def _mistral_error(status: int, code: str) -> object:
    return {"object": "error", "message": "no", "type": code, "param": None, "code": str(status)}


def _cohere_error(_: int, code: str) -> object:
    return {"id": "c1", "message": code}


def _gemini_error(status: int, code: str) -> object:
    return {"error": {"code": status, "message": "no", "status": code}}


_USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
_COMPLETION = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "m", "usage": _USAGE,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
}  # fmt: skip


def _chunk(text: str | None, reason: str | None = None) -> dict[str, Any]:
    delta = {} if text is None else {"role": "assistant", "content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


_CHUNKS = _data(_chunk("he"), _chunk("l"), _chunk("lo"), _chunk(None, "stop"), end="[DONE]")
_OPENAI_BROKEN = _data({"error": {"message": "The server had an error", "type": "server_error", "code": None}})[0]
_MESSAGE = {
    "id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None,
    "content": [{"type": "text", "text": "hello"}], "usage": {"input_tokens": 9, "output_tokens": 2},
}  # fmt: skip
_MESSAGE_EVENTS = _named(
    {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
)
_CHAT = {
    "id": "c1", "finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 9, "output_tokens": 2}},
    "message": {"role": "assistant", "content": [{"type": "text", "text": "hello"}]},
}  # fmt: skip
_CHAT_EVENTS = _named(
    {"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant", "content": []}}},
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "hel"}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "lo"}}}},
    {"type": "content-end", "index": 0},
    {"type": "message-end", "id": "c1", "delta": {"finish_reason": "COMPLETE"}},
    end="[DONE]",
)


def _generated(text: str, reason: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    if reason is not None:
        candidate["finishReason"] = reason
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11}
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "r1", "usageMetadata": usage}


def _retry_info(seconds: float) -> tuple[dict[str, str], dict[str, Any]]:
    kind = "type.googleapis.com/google.rpc.RetryInfo"
    return {}, {"details": [{"@type": kind, "retryDelay": f"{seconds:.0f}s"}]}


WIRES = {
    "openai": Wire("openai", _COMPLETION, _CHUNKS, _openai_error, (429, "insufficient_quota"), broken=_OPENAI_BROKEN),
    "anthropic": Wire(
        "anthropic", _MESSAGE, _MESSAGE_EVENTS, _anthropic_error, (402, "billing_error"), 529,
        _named({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})[0],
    ),
    "mistral": Wire("mistral", _COMPLETION, _CHUNKS, _mistral_error, (402, "payment_required")),
    "groq": Wire("groq", _COMPLETION, _CHUNKS, _openai_error, (400, "blocked_api_access"), broken=_OPENAI_BROKEN),
    "cohere": Wire("cohere", _CHAT, _CHAT_EVENTS, _cohere_error, (402, "billing")),
    "gemini": Wire(
        "gemini",
        _generated("hello", "STOP"),
        _data(_generated("he"), _generated("l"), _generated("lo", "STOP")),
        _gemini_error,
        (402, "FAILED_PRECONDITION"),
        wait=_retry_info,
    ),
}  # fmt: skip
"""How each provider speaks, by the name of its policy."""


class Stepped:
    """A streamed answer, of which each event is sent when it is let go, and not before.

    Arguments:
        events: what is sent, one HTTP chunk for each.
        cut: whether the connection breaks off after them.
    """

    def __init__(self, events: tuple[bytes, ...], *, cut: bool = False) -> None:
        self._events = events
        self._cut = cut
        self._go = threading.Semaphore(0)
        self.sent = 0
        """How many have been sent."""
        self.gone = threading.Event()
        """Set when the client has closed the connection before all was sent."""

    def release(self, number: int = 1) -> None:
        """Let so many more be sent."""
        self._go.release(number)

    def __call__(self, client: socket.socket) -> bool:
        """Send the answer."""
        head = answer(200, b"", "Transfer-Encoding: chunked", content_type="text/event-stream", length=False)
        client.sendall(head)
        for event in self._events:
            if not self._permitted(client):
                self.gone.set()
                return False
            self.sent += 1
            client.sendall(b"%x\r\n%s\r\n" % (len(event), event))
        if self._cut:
            return False
        client.sendall(b"0\r\n\r\n")
        return True

    def _permitted(self, client: socket.socket) -> bool:
        """Whether the next may go; not when the client has closed the connection meanwhile."""
        client.settimeout(0.005)
        try:
            for _ in range(int(_PATIENCE / 0.005)):
                if self._go.acquire(blocking=False):
                    return True
                with contextlib.suppress(TimeoutError):
                    if not client.recv(1, socket.MSG_PEEK):
                        return False
            raise AssertionError("nobody asked for the next event")
        except ConnectionError:
            return False
        finally:
            with contextlib.suppress(OSError):
                client.settimeout(None)


def silent(client: socket.socket) -> bool:
    """Answer nothing until the client goes."""
    client.settimeout(_PATIENCE)
    with contextlib.suppress(OSError):
        client.recv(1)
    return False


def dropped(_: socket.socket) -> bool:
    """Close the connection instead of an answer."""
    return False
