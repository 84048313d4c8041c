"""What of a policy's credits leads nowhere or can never apply."""

from __future__ import annotations

from typing import Any

import pytest

from resilience import Policy
from resilience._checks import problems
from resilience._finding import Finding
from tests.worlds import policy

OPERATIONS = {
    "search": {"path": "/search"},
    "job": {"path": ["/jobs/{id}", "/v1/jobs/{id}"]},
    "batch": {"path": "/batch"},
}
DOCS = {"prices": {"url": "https://some.test/prices", "checked": "2026-11-21"}}
JOB = {"submit": "batch", "id": "id", "poll": "job", "ended": {"body": {"done": True}}}


def priced(**parts: Any) -> Policy:
    """A policy with these `credits`."""
    return policy(operations=OPERATIONS, docs=DOCS, credits=parts)


def test_credits_that_make_sense_are_in_order() -> None:
    """Whatever is named exists, and every cost can be reached."""
    spec = priced(
        doc="prices",
        costs=[
            {"operations": "search", "when": {"body": {"a": 1}}, "cost": 2, "doc": "prices"},
            {"operations": ["search", "batch"], "cost": 1},
            {"operations": ["batch", "job"], "cost": 0},
            {"when": {"query": {"b": "1"}}, "cost": 4},
            {"cost": 3},
        ],
        surcharges=[{"operations": "job", "cost": 1}, {"cost": 1}, {"cost": 1}],
        charged=["a", {"operations": "search", "body": "b"}],
        balance=[{"operations": "search", "body": "c"}],
        charges=[
            {"when": {"operation": "job", "status": 404}, "cost": 0, "doc": "prices"},
            {"when": {"status": 404}, "cost": 0},
        ],
        jobs=[JOB, {**JOB, "poll": ["search", "job"], "poll_id": "id"}],
    )

    assert [] == problems(spec)
    assert [] == problems(policy())


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ({"costs": [{"cost": 1}], "surcharges": [{"operations": ["job", "serch"], "cost": 1}]},
         ("surcharges", 0, "operations", 1)),
        ({"costs": [{"operations": "serch", "cost": 1}]}, ("costs", 0, "operations", 0)),
        ({"charged": ["a", {"operations": "serch", "body": "a"}]}, ("charged", 1, "operations", 0)),
        ({"balance": [{"operations": "serch", "body": "a"}]}, ("balance", 0, "operations", 0)),
        ({"charges": [{"when": {"operation": "serch"}, "cost": 0}]}, ("charges", 0, "when", "operation", 0)),
        ({"jobs": [{**JOB, "submit": ["batch", "serch"]}]}, ("jobs", 0, "submit", 1)),
        ({"jobs": [{**JOB, "poll": "serch"}]}, ("jobs", 0, "poll", 0)),
        ({"jobs": [{**JOB, "ended": {"operation": "serch"}}]}, ("jobs", 0, "ended", "operation", 0)),
    ],
)  # fmt: skip
def test_operations_have_to_exist(parts: dict[str, Any], path: tuple[str | int, ...]) -> None:
    """The nearest name is the remedy."""
    message = "there is no operation 'serch' in 'operations'"

    assert [Finding(("credits", *path), message, "did you mean 'search'?")] == problems(priced(**parts))


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ({"doc": "price"}, ("doc",)),
        ({"costs": [{"cost": 1, "doc": "price"}]}, ("costs", 0, "doc")),
        ({"surcharges": [{"cost": 1, "doc": "price"}]}, ("surcharges", 0, "doc")),
        ({"charges": [{"when": {"status": 404}, "cost": 1, "doc": "price"}]}, ("charges", 0, "doc")),
    ],
)
def test_pages_have_to_exist(parts: dict[str, Any], path: tuple[str | int, ...]) -> None:
    """The nearest name is the remedy."""
    message = "there is no page 'price' in 'docs'"

    assert [Finding(("credits", *path), message, "did you mean 'prices'?")] == problems(priced(**parts))


def test_a_cost_behind_one_that_fits_all_calls_is_never_reached() -> None:
    """Said once, of the first that follows."""
    found = problems(priced(costs=[{"cost": 1}, {"operations": "search", "cost": 2}, {"cost": 3}]))

    message = "this cost is never reached: number 1 of 'costs' fits all calls"
    assert [Finding(("credits", "costs", 1), message, "put that one last, or give it 'operations'")] == found


def test_a_cost_behind_others_that_fit_all_calls_of_its_operations_is_never_reached() -> None:
    """Those with a condition leave some."""
    found = problems(
        priced(
            costs=[
                {"operations": "batch", "when": {"body": {"a": 1}}, "cost": 9},
                {"operations": "search", "cost": 1},
                {"operations": "search", "when": {"body": {"a": 1}}, "cost": 2},
                {"operations": ["batch", "search"], "cost": 3},
                {"operations": ["search", "batch"], "cost": 4},
            ]
        )
    )

    message = "this cost is never reached: number {} of 'costs' has no 'when' and fits all its calls"
    remedy = "put it before, or give the other a 'when'"
    assert [
        Finding(("credits", "costs", 2), message.format("2"), remedy),
        Finding(("credits", "costs", 4), message.format("2 and 4"), remedy),
    ] == found


def test_a_job_has_a_name_when_it_is_asked_about() -> None:
    """In the path or in the answer."""
    found = problems(priced(jobs=[{**JOB, "poll": ["job", "search"]}]))

    message = "the path of 'search' has no part in braces that could name a job"
    remedy = "say where its answer does: `poll_id: job.id`"
    assert [Finding(("credits", "jobs", 0, "poll", 1), message, remedy)] == found
