"""What cannot be honoured in a policy although each part of it is valid: names that lead nowhere, rules never reached."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ._categories import TREATMENTS, Category
from ._checks_credits import credits_problems
from ._checks_limits import limits
from ._checks_times import times
from ._conditions import covers
from ._document import shown
from ._finding import Finding, Path, near
from ._inspection import BODILESS
from ._matchers import Operators

if TYPE_CHECKING:
    from ._conditions import When
    from ._policy import Policy
    from ._rule import Rule

__all__ = ["MOST_ENTRIES", "MOST_TEXTS", "Finding", "problems"]

MOST_ENTRIES = 500
"""How many rules and how many operations a policy may have."""
MOST_TEXTS = 512
"""How many texts a policy may look for in bodies of a mebibyte; where more is read of each, so many fewer."""
_MOST_FINDINGS = 100
_MEBIBYTE = 1 << 20
# What a stranger's file may cost: so many comparisons of conditions.
_MOST_COMPARISONS = 5_000_000


def problems(policy: Policy) -> list[Finding]:
    """What cannot be honoured in a policy, the first hundred findings."""
    checks: tuple[Callable[[Policy], Iterator[Finding]], ...] = (
        _sizes,
        _texts,
        _names,
        _methods,
        _duplicate_rules,
        _unreachable_rules,
        _mute_rules,
        _unreachable_operations,
        _rule_meanings,
        limits,
        credits_problems,
        times,
        _example_paths,
    )
    return list(islice(chain.from_iterable(check(policy) for check in checks), _MOST_FINDINGS))


def _sizes(policy: Policy) -> Iterator[Finding]:
    for key, entries in (("answers", policy.answers), ("operations", policy.operations)):
        if len(entries) > MOST_ENTRIES:
            yield Finding((key,), f"{len(entries)} {key} are more than {MOST_ENTRIES}", "merge those that say the same")


def _texts(policy: Policy) -> Iterator[Finding]:
    """More texts than one call has time to look for: each is looked for in all that is read of a body."""
    most = int(MOST_TEXTS * _MEBIBYTE / max(_MEBIBYTE, policy.inspect.max_bytes))
    count = 0
    for rule in policy.answers:
        count += len(rule.when.text or ())
        count += sum(len(found.contains or ()) for found in rule.when.body.values() if isinstance(found, Operators))
    if count > most:
        message = (
            f"the rules look for {count} texts in bodies; {most} are the most where 'inspect.max_bytes' is read of each"
        )
        yield Finding(("answers",), message, "ask for a code or a field instead, or read less of each body")


def _names(policy: Policy) -> Iterator[Finding]:
    """Names of pages, operations and rules that the policy does not have."""
    pages, operations, rules = policy.docs, policy.operations, policy.rules
    used: list[tuple[Path, str | None, str, Collection[str]]] = []
    for index, answer in enumerate(policy.answers):
        used.append((("answers", index, "doc"), answer.doc, "page", pages))
        for item, operation in enumerate(answer.when.operation or ()):
            used.append((("answers", index, "when", "operation", item), operation, "operation", operations))
    for name, found in operations.items():
        used.append((("operations", name, "doc"), found.doc, "page", pages))
    for item, operation in enumerate((policy.idempotency and policy.idempotency.operations) or ()):
        used.append((("idempotency", "operations", item), operation, "operation", operations))
    for index, remedy in enumerate(policy.remedies):
        used.append((("remedies", index, "doc"), remedy.doc, "page", pages))
        used += ((("remedies", index, "for", item), rule, "rule", rules) for item, rule in enumerate(remedy.rules))
    if policy.breaker.health is not None:
        used.append((("breaker", "health", "doc"), policy.breaker.health.doc, "page", pages))
    used += ((("limits", index, "doc"), limit.doc, "page", pages) for index, limit in enumerate(policy.limits))
    used += ((("websocket", index, "doc"), close.doc, "page", pages) for index, close in enumerate(policy.websocket))
    used += ((("events", index, "doc"), event.doc, "page", pages) for index, event in enumerate(policy.events))
    for index, example in enumerate(policy.examples):
        verdict = example.verdict
        used.append((("examples", index, "doc"), example.doc, "page", pages))
        used.append((("examples", index, "verdict", "rule"), verdict.rule, "rule", rules))
        used.append((("examples", index, "verdict", "operation"), verdict.operation, "operation", operations))
    for path, wanted, kind, known in used:
        if wanted is not None and wanted not in known:
            where = {"page": "docs", "operation": "operations", "rule": "answers"}[kind]
            yield Finding(path, f"there is no {kind} {shown(wanted)} in '{where}'", near(wanted, known))


def _methods(policy: Policy) -> Iterator[Finding]:
    # RFC 9110 section 9.1: methods are case-sensitive, and both HTTP libraries send them in capitals.
    given: list[tuple[Path, tuple[str, ...] | None]] = [
        (("operations", name, "method"), operation.method) for name, operation in policy.operations.items()
    ]
    given += [(("answers", index, "when", "method"), rule.when.method) for index, rule in enumerate(policy.answers)]
    for path, methods in given:
        for method in methods or ():
            if method != method.upper():
                yield Finding(path, f"no request has the method {shown(method)}", "write methods in capitals")


def _duplicate_rules(policy: Policy) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, rule in enumerate(policy.answers):
        number = first.setdefault(rule.rule, index)
        if number != index:
            message = f"rule {rule.rule!r} stands twice, first as number {number + 1} of 'answers'"
            yield Finding(("answers", index, "rule"), message, "give each rule a name of its own")


def _unreachable_rules(policy: Policy) -> Iterator[Finding]:
    left = _MOST_COMPARISONS
    rules = policy.answers[:MOST_ENTRIES]
    weights = [_weight(rule.when) for rule in rules]
    for index, rule in enumerate(rules):
        for number, earlier in enumerate(rules[:index]):
            left -= weights[index] * weights[number]
            if left < 0:
                return
            if _hides(earlier.when, rule.when):
                message = (
                    f"rule {rule.rule!r} is never reached: every answer that it speaks of is taken by {earlier.rule!r}"
                )
                yield Finding(("answers", index), message, f"put it before {earlier.rule!r}, or narrow that one")
                break


def _hides(earlier: When, later: When) -> bool:
    # A rule speaks either of responses or of transport errors, whatever else it asks for.
    return (earlier.error is None) == (later.error is None) and covers(earlier, later)


def _weight(when: When) -> int:
    """How many values a condition compares: two lists of texts are compared each with each."""
    lists = (
        when.method,
        when.operation,
        when.code,
        when.message,
        when.absent,
        when.text,
        when.content_type,
        when.error,
    )
    values = sum(len(values) for values in lists if values is not None)
    for matcher in chain(when.headers.values(), when.body.values()):
        several = (matcher.in_, matcher.contains, matcher.starts_with) if isinstance(matcher, Operators) else (matcher,)
        values += 1 + sum(len(values) for values in several if isinstance(values, tuple))
    return 1 + values + len(when.status or ()) // 100


def _mute_rules(policy: Policy) -> Iterator[Finding]:
    """Rules whose parts cannot hold together."""
    by_header = any(envelope.code_header or envelope.message_header for envelope in policy.envelopes)
    for index, rule in enumerate(policy.answers):
        when, path = rule.when, ("answers", index, "when")
        named = [policy.operations[name].method for name in when.operation or () if name in policy.operations]
        possible = {method for methods in named for method in methods or ()}
        if when.method is not None and named and None not in named and not possible & set(when.method):
            message = f"rule {rule.rule!r} can never match: its operation has no method {shown(', '.join(when.method))}"
            yield Finding((*path, "method"), message, f"it has {shown(', '.join(sorted(possible)))}")
        by_body = when.text is not None or ((when.code or when.message) is not None and not by_header)
        seen = policy.inspect.statuses
        if by_body and when.status is not None:
            if when.status <= BODILESS:
                message = f"rule {rule.rule!r} can never match: an answer with this status has no body"
                yield Finding((*path, "status"), message, "ask for a header, or for the status alone")
            elif seen is not None and not when.status & seen:
                message = f"rule {rule.rule!r} can never match: 'inspect' leaves out the bodies of its status"
                yield Finding((*path, "status"), message, "add the status to 'inspect.statuses'")


def _unreachable_operations(policy: Policy) -> Iterator[Finding]:
    taken: dict[tuple[str, str | None], str] = {}
    for name, operation in policy.operations.items():
        for template in operation.path:
            # What a hole is called does not count; that it takes the rest of the path does.
            parts = (
                "{...}" if part.endswith("...}") else "{}" if part[:1] == "{" else part for part in template.split("/")
            )
            form = "/".join(parts)
            for method in operation.method or (None,):
                # An operation for any method may follow those for single ones: it gets what they leave.
                other = taken.get((form, None)) or taken.setdefault((form, method), name)
                if other != name:
                    message = f"operation {name!r} has the path {shown(template)} and a method of {other!r}, which stands first"
                    yield Finding(
                        ("operations", name, "path"), message, "a request belongs to one operation: change one"
                    )
                    break


def _rule_meanings(policy: Policy) -> Iterator[Finding]:
    for index, rule in enumerate(policy.answers):
        if rule.category is Category.SUCCESS and rule.retryable:
            message = f"rule {rule.rule!r} calls a success retryable; a success is never sent again"
            yield Finding(("answers", index, "retryable"), message, "choose another category, such as not_ready")
        elif rule.until is not None and _is_retryable(rule):
            message = f"rule {rule.rule!r} says 'until' of answers that are retried: a call would wait for {rule.until}"
            remedy = "add `retryable: false`, or choose quota_exhausted"
            yield Finding(("answers", index, "until"), message, remedy)


def _is_retryable(rule: Rule) -> bool:
    return TREATMENTS[rule.category].retryable if rule.retryable is None else rule.retryable


def _example_paths(policy: Policy) -> Iterator[Finding]:
    for index, example in enumerate(policy.examples):
        try:
            urlsplit(example.request.path)
        except ValueError:
            path = ("examples", index, "request", "path")
            yield Finding(path, f"{shown(example.request.path)} is no path", "write it as in /v1/jobs/1")
