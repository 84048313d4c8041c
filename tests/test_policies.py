"""The shipped policies say what the providers' pages say: beside their own examples, a second reading of the pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from resilience import Policy, load_policy
from resilience._config import policies_for
from resilience._coverage import coverage
from resilience._examples import differences
from resilience._limits import NO_LIMIT, Resolved
from resilience._shipped import shipped_names

NAMES = shipped_names()
SHIPPED = policies_for(config={"version": 1, "providers": {}})
READINGS = Path(__file__).parent / "documented"
KINDS = {"ConnectError": "connect_error"}


# How the pages speak of windows and of what is counted apart.
WINDOWS = {"token_bucket": "none", "moving_window": "sliding", "fixed_window": "fixed"}
APART = {"key": ["account"], "account": ["account"], "address": [], "instance": ["host"]}


def cases(name: str, *kinds: str | None) -> list[Any]:
    """The entries of these kinds of a second reading."""
    return [case for case in yaml.safe_load((READINGS / f"{name}.yaml").read_text()) if case.get("kind") in kinds]


def params(*kinds: str | None) -> list[Any]:
    """The same of all readings."""
    return [pytest.param(name, case, id=f"{name}: {case['row']}") for name in NAMES for case in cases(name, *kinds)]


def limits_of(name: str, case: Any, plan: str | None) -> list[tuple[Resolved, tuple[str | None, ...]]]:
    """What a request of that kind pays by the policy, each with the bucket that it shares with others."""
    policy = load_policy(name)
    operation = policy.operation_finder.find(case["request"]["method"], urlsplit(case["request"]["url"]).path)
    return [
        (found, (found.name, operation if "operation" in found.limit.per else None))
        for found in policy.limits_for(plan)
        if found.limit.operations is None or operation in found.limit.operations
    ]


def described(found: Resolved) -> dict[str, Any]:
    """A limit in the words of the readings."""
    if found.rate is None:
        return {} if found.concurrency is None else {"calls": found.concurrency}
    burst = {"burst": found.limit.burst or found.rate.amount} if found.limit.algorithm == "token_bucket" else {}
    window = WINDOWS[found.limit.algorithm]
    return {"requests": found.rate.amount, "seconds": found.rate.seconds, "window": window, **burst}


CASES = params(None, "transport")
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


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_speaks_of_every_host_of_the_second_reading(name: str) -> None:
    """Whatever address a page gives, calls to it obey the policy."""
    urls = {case["request"]["url"] for case in cases(name, None, "transport", "limit") if "request" in case}

    found = {url: SHIPPED.find(httpx.URL(url)) for url in urls if urlsplit(url).hostname}

    assert found
    assert {name} == {policy and policy.provider for policy in found.values()}, found


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


@pytest.mark.parametrize(("name", "case"), params("limit"))
def test_a_request_pays_the_limits_that_its_row_names(name: str, case: Any) -> None:
    """Number, time, window and what is counted apart, by plan where there are plans; and nothing else."""
    for plan, limit in case.get("plans", {None: case.get("limit", {})}).items():
        paid = [
            (described(found), [scope for scope in found.limit.per if scope in {"account", "host"}])
            for found, _ in limits_of(name, case, plan)
        ]

        assert ([(limit, APART[case["per"]])] if limit else []) == paid, plan


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_that_nobody_named_has_no_numbers(name: str) -> None:
    """The answers teach what a plan would say; what holds for every plan holds."""
    for case in cases(name, "limit"):
        unnamed = [described(found) for found, _ in limits_of(name, case, None)]

        assert [case.get("limit", {})] * len(unnamed) == unnamed, case["row"]


@pytest.mark.parametrize("name", NAMES)
def test_requests_share_a_bucket_where_the_page_says_so(name: str) -> None:
    """Rows with one bucket have one state, rows with different ones have different states."""
    states: dict[str, set[tuple[str | None, ...]]] = {}
    for case in cases(name, "limit"):
        if "bucket" in case:
            plan = next(iter(case.get("plans", {None: None})))
            states.setdefault(case["bucket"], set()).update(state for _, state in limits_of(name, case, plan))

    assert all(len(shared) == 1 for shared in states.values()), states
    assert len(states) == len({state for shared in states.values() for state in shared})


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_and_every_plan_was_read_twice(name: str) -> None:
    """A limit that is added brings a row of its own, and a plan too; a policy without limits says so in a row."""
    policy, rows = load_policy(name), cases(name, "limit")
    read = {found.name for case in rows for found, _ in limits_of(name, case, None)}

    assert rows
    assert {found.name for found in policy.limits_for(None)} == read
    assert {plan for case in rows for plan in case.get("plans", {})} == set(policy.plans)
    assert all(limit.doc in policy.docs for limit in policy.limits)
    assert policy.account is not None


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_names_a_limit_is_given_to_calls_that_pay_it(name: str) -> None:
    """Otherwise a refusal would pause, or lower, what has nothing to do with the call."""
    policy = load_policy(name)
    limits = {found.name: found.limit for found in policy.limits_for(None)}
    for rule in policy.answers:
        if rule.limit not in {None, NO_LIMIT}:
            counted, spoken_of = limits[str(rule.limit)].operations, rule.when.operation
            examples = [each for each in policy.examples if each.verdict.rule == rule.rule]

            paying = {policy.operation_finder.find(each.request.method, each.request.path) for each in examples}

            assert counted is None or paying <= set(counted), rule.rule
            assert counted is None or set(spoken_of or ()) <= set(counted), rule.rule


@pytest.mark.parametrize("name", NAMES)
def test_a_breaker_fits_the_attempts_of_its_provider(name: str) -> None:
    """Its window holds two of the slowest, and its probe may take as long as one."""
    policy = load_policy(name)
    slowest = max((policy.times_for(each)[1] or 0.0 for each in (None, *policy.operations)), default=0.0)

    assert policy.breaker.window >= 2 * slowest
    assert policy.breaker.probe_lease >= slowest
