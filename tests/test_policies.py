"""The shipped policies say what the providers' pages say: beside their own examples, a second reading of the pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from resilience import Policy, load_policy
from resilience._coverage import coverage
from resilience._examples import differences
from resilience._shipped import shipped_names

NAMES = shipped_names()
READINGS = Path(__file__).parent / "documented"
KINDS = {"ConnectError": "connect_error"}


def cases(name: str) -> list[Any]:
    return [
        case
        for case in yaml.safe_load((READINGS / f"{name}.yaml").read_text())
        if case.get("kind") in {None, "transport"}
    ]


CASES = [pytest.param(name, case, id=f"{name}: {case['row']}") for name in NAMES for case in cases(name)]
RULES = [(name, rule) for name in NAMES for rule in load_policy(name).rules]


def test_every_shipped_policy_was_read_twice() -> None:
    """A policy that is added brings a reading of its own."""
    assert set(NAMES) == {path.stem for path in READINGS.glob("*.yaml")}


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_passes_its_own_examples(name: str) -> None:
    """Every documented answer gets the verdict that stands beside it."""
    policy = load_policy(name)

    assert [] == [(example.row, found) for example in policy.examples if (found := differences(policy, example))]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_policy_agrees_with_the_second_reading(name: str, case: Any) -> None:
    """The same page, read by somebody who did not write the policy."""
    answer, request, expected = case["answer"], case["request"], case["verdict"]
    error = KINDS.get(answer.get("error"), answer.get("error"))
    body = answer["body"] if "body" in answer else answer.get("text", "")

    verdict = load_policy(name).classify(
        method=request["method"],
        url=request["url"],
        status=answer.get("status"),
        headers=answer.get("headers", {}),
        body=b"" if error else body,
        error=error,
    )

    assert expected == {key: getattr(verdict, key) for key in expected}


@pytest.mark.parametrize(("name", "rule"), RULES)
def test_no_rule_can_be_taken_away_unnoticed(name: str, rule: str) -> None:
    """Without it an example fails, or is no longer told by the rule that it expects."""
    whole = load_policy(name)
    without: Policy = whole.model_copy(update={"answers": tuple(each for each in whole.answers if each.rule != rule)})
    # The copy must not inherit what was compiled for the whole.
    without = Policy.model_validate(without.model_dump(by_alias=True, exclude_unset=True, mode="json"))

    assert any(differences(without, example) for example in without.examples)


@pytest.mark.parametrize("name", NAMES)
def test_every_documented_row_is_covered(name: str) -> None:
    """The number of rows that a page's tables have is the number that examples and other entries stand for."""
    found = coverage(load_policy(name))

    assert found.passed
