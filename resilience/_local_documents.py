"""Error bodies that a provider might send: those of its policy's `examples`, and those that its envelopes describe."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ._matchers import Operators, values_of
from ._paths import compile_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._categories import Category
    from ._envelope import Envelope
    from ._examples import Example
    from ._paths import AllItems
    from ._policy import Policy

__all__ = ["NO_BODY", "REASON", "WAIT", "Candidate", "built", "documented", "put"]

# A document that holds these already gets them replaced like ours, which harms nobody.
REASON = "the reason of this refusal"
"""Stands in a document for the words that are not known yet."""
WAIT = "the wait of this refusal"
"""Stands in a document for the wait that is not known yet."""
NO_BODY: Any = object()
"""In place of a document: no body at all."""
_LONGEST_EXAMPLE = 16 * 1024
# What an example writes for a text that the provider's page does not print.
_UNKNOWN = "..."
_JSON = "application/json"


class Candidate(NamedTuple):
    """An error that a provider might answer with."""

    status: int
    media_type: str
    document: Any


def documented(
    policy: Policy, categories: tuple[Category, ...], status: int, operation: str | None
) -> Iterator[Candidate]:
    """The documented JSON answers of some categories with `REASON` as their message, the most fitting first.

    Arguments:
        policy: the provider's.
        categories: what the answers must mean.
        status: the status that is preferred.
        operation: the operation whose answers are preferred.
    """

    def rank(example: Example) -> tuple[bool, bool, bool]:
        request = example.request
        other = policy.operation_finder.find(request.method, request.path) != operation
        # An answer that is documented as lasting says more than a refusal that passes.
        return other, example.verdict.retryable is False, example.answer.status != status

    found = [
        example
        for example in policy.examples
        if example.verdict.category in categories
        and (example.answer.status or 0) >= 400
        and isinstance(example.answer.body, dict | list)
    ]
    for example in sorted(found, key=rank):
        answer = example.answer
        if len(answer.raw) <= _LONGEST_EXAMPLE:
            named = {name.lower(): value for name, value in answer.all_headers.items()}
            for document in _with_reason(policy.envelopes, answer.body):
                yield Candidate(answer.status or status, named["content-type"], document)


def _with_reason(envelopes: tuple[Envelope, ...], body: object) -> Iterator[object]:
    """The document with our words where it has words of its own, else where it might have some."""
    paths = [path for envelope in envelopes for path in envelope.message or ()]
    speaking = [path for path in paths if isinstance(compile_path(path).search(body), str)]
    for path in speaking or paths:
        changed = put(deepcopy(body), path, REASON)
        if changed is not None:
            yield _without_unknown(changed[0])
    yield _without_unknown(body)


def _without_unknown(node: object) -> object:
    """Without what the page does not print: the dots are no code, and an application would take them for one."""
    if isinstance(node, dict):
        fields = cast("dict[str, object]", node)
        return {name: _without_unknown(value) for name, value in fields.items() if value != _UNKNOWN}
    if isinstance(node, list):
        return [_without_unknown(value) for value in cast("list[object]", node) if value != _UNKNOWN]
    return node


def built(policy: Policy, categories: tuple[Category, ...], status: int) -> Iterator[Candidate]:
    """Answers that the policy's rules, envelopes and the statuses alone describe.

    Arguments:
        policy: the provider's.
        categories: what the answers must mean.
        status: the status that such answers have by default.
    """
    known: dict[tuple[int, str], None] = {}
    for rule in policy.answers:
        if rule.category in categories and rule.when.error is None:
            codes = rule.when.code or ((rule.code,) if rule.code else (str(rule.category),))
            statuses = sorted((code for code in rule.when.status or {status} if code >= 400), key=lambda c: c != status)
            known |= dict.fromkeys((each, codes[0]) for each in statuses[:3])
    ordered = sorted(known, key=lambda entry: entry[0] != status)
    # What the rules describe is what an SDK of the provider knows; the status by itself says least.
    for each, code in [*ordered, (status, str(categories[0]))]:
        for envelope in policy.envelopes:
            document = _filled(envelope, code)
            if document is not None:
                yield Candidate(each, _JSON, document)
        # RFC 9457: what any client may understand where the provider's page shows no shape.
        problem = {"title": code.replace("_", " "), "status": each, "detail": REASON}
        yield Candidate(each, "application/problem+json", problem)
        yield Candidate(each, _JSON, NO_BODY)


def _filled(envelope: Envelope, code: str) -> object | None:
    """A document that this envelope reads; `None` where it describes none."""
    document: object = None
    for path, matcher in (envelope.when or {}).items():
        value = matcher.eq if isinstance(matcher, Operators) else values_of(matcher)[0]
        if value is not None:
            changed = put(document, path, value)
            document = document if changed is None else changed[0]
    for paths, value in ((envelope.code, code), (envelope.message, REASON)):
        if paths:
            changed = put(document, paths[0], value)
            document = document if changed is None else changed[0]
    return document


def put(document: object, path: str, value: object) -> tuple[object] | None:
    """The document with a value at a path, in a tuple; `None` where the path leads through something else.

    Arguments:
        document: plain data, which is changed; `None` for none.
        path: where the value goes; objects and first items that are missing on the way are added.
        value: what goes there.
    """
    try:
        return (_put(document, compile_path(path).steps, value),)
    except _NoPlaceError:
        return None


class _NoPlaceError(Exception):
    pass


def _put(node: object, steps: Sequence[str | int | AllItems], value: object) -> object:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        if node is None:
            node = {}
        if not isinstance(node, dict):
            raise _NoPlaceError
        fields = cast("dict[str, object]", node)
        fields[step] = _put(fields.get(step), rest, value)
        return fields
    index = step if isinstance(step, int) else 0
    if node is None:
        node = [None]
    if not isinstance(node, list) or not -len(items := cast("list[object]", node)) <= index < len(items):
        raise _NoPlaceError
    items[index] = _put(items[index], rest, value)
    return items
