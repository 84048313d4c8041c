"""Which documented rows and which rules the examples of a policy cover, and which examples get another verdict."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._examples import ExpectedVerdict, differences

if TYPE_CHECKING:
    from ._examples import Example
    from ._outcome import Verdict
    from ._policy import Policy
    from ._remedies import Remedy
    from ._streams import CloseCode, ServerEvent

__all__ = ["Coverage", "Failure", "Table", "coverage"]


@dataclass(frozen=True, slots=True)
class Failure:
    """An example that gets another verdict than it expects.

    Arguments:
        index: its place in `examples`, from 0.
        row: the row that it stands for.
        doc: the page.
        differences: what differs: name to (expected, found).
        rule: the rule that spoke, `None` if only the status did.
    """

    index: int
    row: str | None
    doc: str | None
    differences: dict[str, tuple[Any, Any]]
    rule: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a page: how many of its rows are covered, and how many it has."""

    page: str
    name: str
    covered: int
    total: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the examples of a policy prove.

    Arguments:
        examples: how many there are.
        failures: those that get another verdict.
        tables: the documented tables, in the order of the file.
        strays: rows that name no table of their page, as (page, row).
        rules: the rules that an example should expect.
        unexpected: those of them that none expects.
    """

    examples: int
    failures: tuple[Failure, ...]
    tables: tuple[Table, ...]
    strays: tuple[tuple[str, str], ...]
    rules: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every example passes, every row is covered (and no other), and every rule is expected."""
        rows = all(table.covered == table.total for table in self.tables)
        return rows and not self.failures and not self.strays and not self.unexpected


def coverage(policy: Policy, *, rules: Collection[str] | None = None, pages: Collection[str] | None = None) -> Coverage:
    """What the examples of a policy prove.

    Arguments:
        policy: the policy.
        rules: the rules to count; by default all. Of a file that extends another, its own: the other's examples prove
            the rest.
        pages: the pages to count, in the same way.
    """
    covered: dict[str, dict[str, set[str]]] = {}
    strays: dict[tuple[str, str], None] = {}
    for page, row in _rows(policy):
        table = row.partition("/")[0]
        if table in policy.docs[page].rows and table != row:
            covered.setdefault(page, {}).setdefault(table, set()).add(row)
        elif policy.docs[page].rows:
            strays[page, row] = None
    expected = {example.verdict.rule for example in policy.examples}
    counted = tuple(name for name in policy.rules if rules is None or name in rules)
    return Coverage(
        examples=len(policy.examples),
        failures=tuple(_failures(policy)),
        tables=tuple(
            Table(page, table, len(covered.get(page, {}).get(table, ())), total)
            for page, doc in policy.docs.items()
            if pages is None or page in pages
            for table, total in doc.rows.items()
        ),
        strays=tuple(strays),
        rules=counted,
        unexpected=tuple(name for name in counted if name not in expected),
    )


def _rows(policy: Policy) -> Iterator[tuple[str, str]]:
    entries: list[Example | CloseCode | ServerEvent | Remedy] = [*policy.examples, *policy.websocket]
    for entry in (*entries, *policy.events, *policy.remedies):
        if entry.row is not None and entry.doc in policy.docs:
            yield entry.doc, entry.row


def _failures(policy: Policy) -> Iterator[Failure]:
    for index, example in enumerate(policy.examples):
        differing = differences(policy, example)
        if differing:
            # Which fields an example gives is a set; what is told of them has an order.
            ordered = {name: differing[name] for name in ExpectedVerdict.model_fields if name in differing}
            yield Failure(index, example.row, example.doc, ordered, _verdict(policy, example).rule)


def _verdict(policy: Policy, example: Example) -> Verdict:
    answer = example.answer
    return policy.classify(
        method=example.request.method,
        url=example.request.path,
        status=answer.status,
        headers=answer.all_headers,
        body=answer.raw,
        error=answer.error,
    )
