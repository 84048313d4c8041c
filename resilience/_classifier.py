"""What an answer means for this provider: the policy's rules, compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._categories import TREATMENTS, Category, category_of_status
from ._conditions import Answer, Condition, compile_when
from ._decode import media_type
from ._envelope import compile_envelopes
from ._inspection import BODILESS
from ._library import ErrorKind
from ._outcome import Verdict
from ._paths import compile_path
from ._projection import Projection
from ._retry_policy import Retry, resolve
from ._until import seconds_until
from ._wait_hints import WaitHint, read_hints

if TYPE_CHECKING:
    from ._policy import Policy
    from ._rule import Rule

__all__ = ["TIMEOUTS", "Classifier"]

_LASTING = frozenset({ErrorKind.CERTIFICATE, ErrorKind.REQUEST, ErrorKind.OTHER})
_Settings = tuple[Retry, tuple[WaitHint, ...]]
"""Those that apply to an answer, and which of its hints count for what it means."""
_Wait = tuple[float | None, str | None]
"""Seconds that an answer asks to wait, and where it says so."""
TIMEOUTS = frozenset({ErrorKind.READ_TIMEOUT, ErrorKind.WRITE_TIMEOUT, ErrorKind.ATTEMPT_TIMEOUT})


@dataclass(frozen=True, slots=True)
class _Table:
    """The rules that can speak of one status (or of errors), and what must be decoded for them."""

    rules: tuple[tuple[Condition, Rule], ...]
    reads_body: bool
    reads_code: bool
    """Whether an answer may have a code and a message."""
    asks_code: bool
    """Whether one of the rules asks for them."""
    projection: Projection


class Classifier:
    """A policy's rules as functions, sorted by status when a status is first seen."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._envelope = compile_envelopes(policy.envelopes)
        self._stated = [
            (s.header and s.header.lower(), compile_path(s.body) if s.body else None) for s in policy.retryable_from
        ]
        # They are sorted by operation, too, before one is asked.
        self._rules = [
            (compile_when(rule.when.model_copy(update={"operation": None})), rule) for rule in policy.answers
        ]
        self._tables: dict[tuple[int | None, str | None], _Table] = {}
        self._successes: dict[str | None, Verdict] = {}
        self._settings: dict[tuple[str, str | None, str | None], _Settings] = {}

    def plain_success(self, status: int, operation: str | None) -> Verdict | None:
        """The verdict on a success about which the policy has nothing to say: the way that most answers go."""
        if status >= 400 or self._table(status, operation).rules:
            return None
        return self._success(operation)

    def look(self, method: str, status: int, operation: str | None, content_type: str) -> int:
        """How many bytes of such an answer's body to look at; 0 for none."""
        inspection = self._policy.inspect
        # Neither an answer to HEAD has a body (RFC 9110 section 9.3.2).
        if method == "HEAD" or status in BODILESS or not self._table(status, operation).reads_body:
            return 0
        if inspection.statuses is not None and status not in inspection.statuses:
            return 0
        return inspection.max_bytes if inspection.includes(media_type(content_type)) else 0

    def classify(self, answer: Answer, wall: float) -> Verdict:
        """The verdict on an answer whose body, as far as it is looked at, is already decompressed.

        Arguments:
            answer: the answer; `document` is filled in here, and `code` and `message` if it is no plain success.
            wall: seconds since 1970, for dates in the answer.
        """
        table = self._table(answer.status, answer.operation)
        if answer.body:
            kind = answer.headers.get("content-type", "")
            answer.document = table.projection.read(answer.body, complete=answer.complete, content_type=kind)
        if table.asks_code:
            answer.code, answer.message = self._envelope(answer)
        rule = next((rule for condition, rule in table.rules if condition(answer)), None)
        category, retryable = self._meaning(answer, rule)
        if category is Category.SUCCESS and rule is None:
            return self._success(answer.operation)
        if table.reads_code and not table.asks_code:
            answer.code, answer.message = self._envelope(answer)
        stated = None if category is Category.SUCCESS else self._statement(answer)
        page = self._policy.docs.get(rule.doc) if rule is not None and rule.doc else None
        wait, source = self._wait(answer, category, rule, wall)
        return Verdict(
            category,
            retryable=retryable if stated is None else stated,
            code=rule.code if rule and rule.code else answer.code,
            message=answer.message,
            retry_after=wait,
            retry_after_source=source,
            rule=rule.rule if rule else None,
            doc=page.url if page else None,
            operation=answer.operation,
            target_status=self._target_status(answer, rule),
            error=answer.error,
        )

    def retry_for(self, verdict: Verdict) -> Retry:
        """The settings that apply to an answer: the policy's, then its category's, its operation's and its rule's."""
        return self._settings_for(verdict.category, verdict.operation, verdict.rule)[0]

    def _settings_for(self, category: Category, operation: str | None, rule: str | None) -> _Settings:
        key = (category, operation, rule)
        found = self._settings.get(key)
        if found is None:
            policy = self._policy
            speaking, called = policy.rules.get(rule or ""), policy.operations.get(operation or "")
            retry = resolve(
                policy.retry,
                policy.retry.categories.get(category),
                called.retry if called else None,
                speaking.retry if speaking else None,
            )
            found = self._settings[key] = retry, tuple(hint for hint in retry.wait if hint.counts_for(category))
        return found

    def _success(self, operation: str | None) -> Verdict:
        found = self._successes.get(operation)
        if found is None:
            found = self._successes[operation] = Verdict(Category.SUCCESS, retryable=False, operation=operation)
        return found

    def _table(self, status: int | None, operation: str | None) -> _Table:
        table = self._tables.get((status, operation))
        if table is None:
            table = self._tables[status, operation] = self._build(status, operation)
        return table

    def _build(self, status: int | None, operation: str | None) -> _Table:
        rules = tuple(entry for entry in self._rules if _can_speak(entry[1], status, operation))
        if status is None:
            return _Table(rules, reads_body=False, reads_code=False, asks_code=False, projection=Projection(()))
        policy = self._policy
        fails = status >= 400 or bool(rules)
        retries = (policy.retry, *policy.retry.categories.values())
        retries += tuple(operation.retry for operation in policy.operations.values() if operation.retry)
        retries += tuple(rule.retry for _, rule in rules if rule.retry)
        wanted = {path for _, rule in rules for path in rule.when.paths}
        if fails:
            wanted |= {path for envelope in policy.envelopes for path in envelope.paths} | {"type", "detail", "title"}
            wanted |= {statement.body for statement in policy.retryable_from if statement.body}
            wanted |= {hint.body for retry in retries for hint in retry.wait if hint.body}
            wanted |= {rule.target_status for _, rule in rules if rule.target_status}
        # A success is looked at only where a rule asks; an error always, for its code and message.
        reads_body = status >= 400 or any(rule.when.reads_body for _, rule in rules)
        asks_code = fails and any(rule.when.code or rule.when.message for _, rule in rules)
        return _Table(rules, reads_body, fails, asks_code, Projection(compile_path(path) for path in sorted(wanted)))

    def _meaning(self, answer: Answer, rule: Rule | None) -> tuple[Category, bool]:
        if rule is not None:
            category = rule.category
            retryable = TREATMENTS[category].retryable if rule.retryable is None else rule.retryable
        elif answer.status is not None:
            category = category_of_status(answer.status)
            retryable = TREATMENTS[category].retryable
        elif answer.error == ErrorKind.REQUEST:
            category, retryable = Category.INVALID_REQUEST, False
        else:
            category = Category.TIMEOUT if answer.error in TIMEOUTS else Category.NETWORK_ERROR
            # A certificate that is wrong stays wrong, and what no library of HTTP raised is a fault in a program.
            retryable = answer.error not in _LASTING
        return category, retryable

    def _statement(self, answer: Answer) -> bool | None:
        for header, path in self._stated:
            value = answer.header(header) if header else answer.field(path) if path else None
            if isinstance(value, str):
                value = {"true": True, "false": False}.get(value.strip().lower())
            if isinstance(value, bool):
                return value
        return None

    def _target_status(self, answer: Answer, rule: Rule | None) -> int | None:
        if rule is None or rule.target_status is None:
            return None
        value = answer.field(compile_path(rule.target_status))
        return value if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 999 else None

    def _wait(self, answer: Answer, category: Category, rule: Rule | None, wall: float) -> _Wait:
        if answer.status is None:
            return None, None
        _, hints = self._settings_for(category, answer.operation, rule.rule if rule else None)
        hint = read_hints(hints, header=answer.header, field=answer.search, wall=wall)
        if hint is not None:
            return hint
        until = None if rule is None else rule.until
        return (None, None) if until is None else (seconds_until(until, wall), until)


def _can_speak(rule: Rule, status: int | None, operation: str | None) -> bool:
    when = rule.when
    if when.operation is not None and operation not in when.operation:
        return False
    if status is None:
        return when.error is not None
    return when.error is None and (when.status is None or status in when.status)
