"""Which documented answer a fake provider gives to a request: the policy's examples, by what a step asks for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ._categories import Category
from ._script import SENDABLE, Step, header_fault
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._examples import Example
    from ._policy import Policy

__all__ = ["Documented", "Reply"]

# The documentation shows bodies as they are read; how they were framed and compressed is the server's affair.
_OWN_HEADERS = frozenset({"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"})
_JSON = ("Content-Type", "application/json")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to send."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class _Entry:
    example: Example
    method: str
    path: str
    operation: str | None
    reply: Reply

    @property
    def succeeds(self) -> bool:
        return self.example.verdict.category is Category.SUCCESS


class Documented:
    """The answers that a policy documents.

    Raises:
        ConfigurationError: an example has a header that cannot be sent.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._entries = [self._entry(example) for example in policy.examples if example.answer.status in SENDABLE]

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that have an example."""
        return tuple(self._by_rule)

    def reply(self, step: Step, method: str, path: str) -> Reply:
        """The documented answer to a request, with the changes that the step wants."""
        reply = self._find(step, method, path)
        given = {name.lower() for name, _ in step.headers}
        headers, body = step.headers, reply.body
        if step.body is not None:
            body = step.body.encode("utf-8", "replace")
            if "content-type" not in given:
                given.add("content-type")
                headers = (_JSON, *headers)
        kept = (header for header in reply.headers if header[0].lower() not in given)
        return Reply(reply.status, (*kept, *headers), body)

    def of_category(self, category: Category, method: str, path: str) -> Reply | None:
        """The documented answer of a category that is nearest to a request; `None` if there is none."""
        chosen = [entry for entry in self._entries if entry.example.verdict.category is category]
        return self._nearest(chosen, Step(), method, path) if chosen else None

    def _find(self, step: Step, method: str, path: str) -> Reply:
        if step.rule is not None:
            chosen = self._by_rule[step.rule]
        elif step.status is not None:
            chosen = [entry for entry in self._entries if entry.reply.status == step.status]
        else:
            chosen = [entry for entry in self._entries if entry.succeeds]
        if chosen:
            return self._nearest(chosen, step, method, path)
        return Reply(200, (_JSON,), b"{}") if step.status is None else Reply(step.status)

    def _nearest(self, chosen: list[_Entry], step: Step, method: str, path: str) -> Reply:
        operation = self._policy.operation_finder.find(method, path)

        def distance(entry: _Entry) -> tuple[bool, ...]:
            fits = entry.operation == operation
            if fits and operation is None:
                fits = (entry.method, entry.path) == (method, path)
            # A 200 can say that the site behind the provider failed, and a 202, or a success for which there is a
            # rule, that there is no result yet; none of these is meant by a plain 200 or by a success.
            fails = step.status is not None and step.status < 400 and not entry.succeeds
            waits = entry.succeeds and entry.example.verdict.rule is not None
            return not fits, fails, entry.reply.status == 202, waits, not entry.reply.body

        # Of equals `min` takes the first: the order of the file counts.
        return min(chosen, key=distance).reply

    @cached_property
    def _by_rule(self) -> dict[str, list[_Entry]]:
        found: dict[str, list[_Entry]] = {}
        for entry in self._entries:
            rule = self._rule(entry)
            if rule is not None:
                found.setdefault(rule, []).append(entry)
        return found

    def _rule(self, entry: _Entry) -> str | None:
        example = entry.example
        if "rule" in example.verdict.model_fields_set:
            return example.verdict.rule
        return self._policy.classify(
            method=entry.method,
            url=entry.path,
            status=entry.reply.status,
            headers=example.answer.all_headers,
            body=example.answer.raw,
        ).rule

    def _entry(self, example: Example) -> _Entry:
        method = example.request.method.upper()
        path = _path(example.request.path)
        operation = self._policy.operation_finder.find(method, path)
        return _Entry(example, method, path, operation, _reply(self._policy, example))


def _path(url: str) -> str:
    try:
        return urlsplit(url).path or "/"
    except ValueError:  # brackets that hold no address
        return "/"


def _reply(policy: Policy, example: Example) -> Reply:
    answer = example.answer
    assert answer.status is not None  # only answers that can be sent come here
    headers: list[tuple[str, str]] = []
    for name, value in answer.all_headers.items():
        if fault := header_fault(name, value):
            raise ConfigurationError(f"an example of {policy.provider} for {answer.status} cannot be sent: {fault}")
        if name.lower() not in _OWN_HEADERS:
            headers.append((name, value.strip(" \t")))
    return Reply(answer.status, tuple(headers), answer.raw)
