"""The closed set of what an answer can mean, and what the status alone says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import Category
from resilience._categories import TREATMENTS, Resend, category_of_status


def test_every_category_has_a_treatment() -> None:
    """The table is whole."""
    assert set(Category) == set(TREATMENTS)


@pytest.mark.parametrize(
    ("resend", "categories"),
    [
        (Resend.ANY, {"rate_limited", "concurrency_limited"}),
        (Resend.DOCUMENTED, {"upstream_unavailable", "overloaded"}),
        (Resend.REPEATABLE, {"not_ready", "server_error", "timeout", "network_error"}),
    ],
)
def test_what_is_worth_another_attempt(resend: Resend, categories: set[str]) -> None:
    """A fault of the caller, of the target or of money is not; the rest depends on what was processed."""
    assert categories == {category.value for category, treatment in TREATMENTS.items() if treatment.resend is resend}
    assert all(TREATMENTS[Category(category)].retryable for category in categories)


def test_nothing_else_is_worth_another_attempt() -> None:
    """The other twelve categories."""
    never = [category for category, treatment in TREATMENTS.items() if treatment.resend is Resend.NEVER]

    assert 12 == len(never)
    assert not any(TREATMENTS[category].retryable for category in never)


@pytest.mark.parametrize(
    ("status", "category"),
    [
        (100, "success"), (200, "success"), (206, "success"), (304, "success"), (399, "success"),
        (400, "invalid_request"), (401, "auth"), (402, "credits_exhausted"), (403, "permission"), (404, "not_found"),
        (405, "invalid_request"), (407, "auth"), (408, "timeout"), (409, "conflict"), (410, "not_found"),
        (413, "invalid_request"), (418, "invalid_request"), (422, "unprocessable"), (425, "not_ready"),
        (429, "rate_limited"), (499, "invalid_request"), (500, "server_error"), (501, "invalid_request"),
        (502, "upstream_unavailable"), (503, "upstream_unavailable"), (504, "timeout"), (505, "invalid_request"),
        (507, "server_error"), (520, "server_error"), (529, "overloaded"), (599, "server_error"), (999, "server_error"),
    ],
)  # fmt: skip
def test_the_status_alone_has_a_meaning(status: int, category: str) -> None:
    """RFC 9110 section 15 and RFC 6585 section 4; 529 as several providers use it."""
    assert category == category_of_status(status)


@given(status=st.integers())
def test_every_status_has_one_meaning(status: int) -> None:
    """Success is below 400, and nothing else is."""
    assert (status < 400) == (category_of_status(status) is Category.SUCCESS)
