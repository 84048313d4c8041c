"""Which documented rows and which rules the examples of a policy cover."""

from __future__ import annotations

from typing import Any

import pytest

from resilience import Policy, load_policy
from resilience._coverage import Coverage, Failure, Table, coverage
from resilience._shipped import shipped_names

BUSY = {"rule": "busy", "when": {"status": 503}, "category": "overloaded"}
EXAMPLE = {
    "doc": "errors",
    "row": "status/503",
    "answer": {"status": 503},
    "verdict": {"category": "overloaded", "rule": "busy"},
}


def policy(rows: dict[str, int], *examples: dict[str, Any], **parts: Any) -> Policy:
    """A policy with one page, one rule and these examples."""
    return Policy.model_validate(
        {
            "version": 1,
            "provider": "some",
            "match": {"hosts": ["some.test"]},
            "docs": {"errors": {"url": "https://some.test/errors", "checked": "2026-11-21", "rows": rows}},
            "answers": [BUSY],
            "examples": list(examples),
            **parts,
        }
    )


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_policies_are_proved(name: str) -> None:
    """Each documented row, each rule and each example."""
    found = coverage(load_policy(name))

    assert found.passed, found
    assert found.examples
    assert found.tables


def test_all_is_covered() -> None:
    """One row, one rule, one example."""
    found = coverage(policy({"status": 1}, EXAMPLE))

    assert found == Coverage(
        examples=1, failures=(), tables=(Table("errors", "status", 1, 1),), strays=(), rules=("busy",), unexpected=()
    )
    assert found.passed


def test_an_example_with_another_verdict() -> None:
    """What differs is told with both values, and the rule that spoke."""
    wrong = {**EXAMPLE, "verdict": {"category": "auth", "rule": "busy", "retryable": True}}

    found = coverage(policy({"status": 1}, EXAMPLE, wrong))

    assert (Failure(1, "status/503", "errors", {"category": ("auth", "overloaded")}, "busy"),) == found.failures
    assert not found.passed


def test_a_rule_that_no_example_expects() -> None:
    """That an example gets the rule is not enough: it has to name it."""
    found = coverage(policy({"status": 1}, {**EXAMPLE, "verdict": {"category": "overloaded"}}))

    assert (("busy",), ("busy",)) == (found.rules, found.unexpected)
    assert not found.passed


@pytest.mark.parametrize(("total", "passed"), [(1, False), (2, True), (3, False)])
def test_rows_are_counted_by_their_labels(total: int, passed: bool) -> None:
    """Two examples of one row are one row; too many labels are as wrong as too few."""
    found = coverage(policy({"status": total}, EXAMPLE, EXAMPLE, {**EXAMPLE, "row": "status/503 again"}))

    assert (Table("errors", "status", 2, total),) == found.tables
    assert passed == found.passed


def test_what_else_covers_rows() -> None:
    """Close codes of WebSockets, server-sent events and remedies; entries without a page or a row cover none."""
    parts = {
        "websocket": [{"code": 1011, "category": "server_error", "doc": "errors", "row": "close/1011"}],
        "events": [{"event": "error", "category": "server_error", "doc": "errors", "row": "events/error"}],
        "remedies": [{"remedy": "wait", "for": ["busy"], "advice": "Wait.", "doc": "errors", "row": "advice/wait"}],
    }
    unplaced = [{key: value for key, value in EXAMPLE.items() if key != left_out} for left_out in ("doc", "row")]

    found = coverage(policy({"status": 1, "close": 1, "events": 1, "advice": 1}, EXAMPLE, *unplaced, **parts))

    assert found.passed


@pytest.mark.parametrize("row", ["statuses/503", "status", "503"])
def test_a_row_of_no_table(row: str) -> None:
    """It is told, since a misspelt table would look like a missing row."""
    found = coverage(policy({"status": 1}, EXAMPLE, {**EXAMPLE, "row": row}))

    assert (("errors", row),) == found.strays
    assert not found.passed


def test_a_page_whose_rows_are_not_counted() -> None:
    """Its rows may have any label."""
    found = coverage(policy({}, {**EXAMPLE, "row": "anything"}))

    assert ((), ()) == (found.tables, found.strays)
    assert found.passed


def test_what_another_file_proves_is_not_counted() -> None:
    """Of a policy that extends another, only its own rules and pages are asked for."""
    made = policy({"status": 5})

    assert not coverage(made).passed
    assert coverage(made, rules=(), pages=()).passed
    assert not coverage(made, rules=["busy"], pages=()).passed
    assert not coverage(made, rules=(), pages=["errors"]).passed
