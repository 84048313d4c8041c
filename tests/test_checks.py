"""What cannot be honoured in a policy although each part of it is valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import Policy, load_policy
from resilience._checks import MOST_ENTRIES, MOST_TEXTS, Finding, problems
from resilience._shipped import shipped_names
from resilience.errors import PolicyError


def policy(**parts: Any) -> Policy:
    """A small policy; whatever is given replaces or adds to its parts."""
    return Policy.model_validate({"version": 1, "provider": "some", "match": {"hosts": ["some.test"]}, **parts})


def rule(name: str, when: dict[str, Any], category: str = "invalid_request", **parts: Any) -> dict[str, Any]:
    """A rule."""
    return {"rule": name, "when": when, "category": category, **parts}


def example(**parts: Any) -> dict[str, Any]:
    """An example of a status that nothing speaks of."""
    return {"answer": {"status": 418}, "verdict": {"category": "invalid_request"}, **parts}


PAGES = {"errors": {"url": "https://some.test/errors", "checked": "2026-11-21"}}


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_policies_are_in_order(name: str) -> None:
    """Each of them says only what can be honoured."""
    assert [] == problems(load_policy(name))


def test_a_policy_without_anything_is_in_order() -> None:
    """The defaults contradict nothing."""
    assert [] == problems(policy())


@pytest.mark.parametrize(
    ("parts", "path", "message"),
    [
        ({"answers": [rule("a", {"status": 400}, doc="erors")]}, ("answers", 0, "doc"), "page 'erors' in 'docs'"),
        ({"operations": {"job": {"path": "/job", "doc": "erors"}}}, ("operations", "job", "doc"), "page 'erors'"),
        ({"remedies": [{"remedy": "r", "for": ["a"], "advice": "!", "doc": "erors"}], "answers": [rule("a", {"status": 400})]},
         ("remedies", 0, "doc"), "page 'erors'"),
        ({"websocket": [{"code": 1011, "category": "server_error", "doc": "erors"}]}, ("websocket", 0, "doc"), "page 'erors'"),
        ({"events": [{"event": "e", "category": "server_error", "doc": "erors"}]}, ("events", 0, "doc"), "page 'erors'"),
        ({"examples": [example(doc="erors")]}, ("examples", 0, "doc"), "page 'erors'"),
    ],
)  # fmt: skip
def test_pages_have_to_exist(parts: dict[str, Any], path: tuple[str | int, ...], message: str) -> None:
    """Whatever cites a page cites one of `docs`; the nearest name is the remedy."""
    (finding,) = problems(policy(docs=PAGES, **parts))

    assert path == finding.path
    assert message in finding.message
    assert "did you mean 'errors'?" == finding.remedy


def test_operations_have_to_exist() -> None:
    """In rules, for idempotency keys and in examples; the remedy says which there are."""
    found = problems(
        policy(
            operations={"search": {"path": "/search"}},
            answers=[rule("a", {"status": 400, "operation": ["search", "serch"]})],
            idempotency={"header": "Idempotency-Key", "operations": ["jobs"]},
            examples=[{"answer": {"status": 400}, "verdict": {"category": "invalid_request", "operation": "find"}}],
        )
    )

    assert [
        Finding(
            ("answers", 0, "when", "operation", 1),
            "there is no operation 'serch' in 'operations'",
            "did you mean 'search'?",
        ),
        Finding(("idempotency", "operations", 0), "there is no operation 'jobs' in 'operations'", "there are: search"),
        Finding(
            ("examples", 0, "verdict", "operation"), "there is no operation 'find' in 'operations'", "there are: search"
        ),
    ] == found


def test_rules_have_to_exist() -> None:
    """In remedies and in examples; a name too long for a comparison gets a list, and a policy without rules says so."""
    remedies = [{"remedy": "r", "for": ["busy", "bussy"], "advice": "!"}]
    almost = {"category": "invalid_request", "rule": "x" * 65}
    with_rules = policy(
        answers=[
            rule(name, {"status": 400 + index}) for index, name in enumerate(["busy", "x" * 64, "c", "d", "e", "f"])
        ],
        remedies=remedies,
        examples=[{"answer": {"status": 400}, "verdict": almost}],
    )
    without = policy(remedies=remedies[:1])

    one, two = problems(with_rules)
    assert (("remedies", 0, "for", 1), "did you mean 'busy'?") == (one.path, one.remedy)
    assert (("examples", 0, "verdict", "rule"), f"there are: busy, {'x' * 64}, c, d, e, ...") == (two.path, two.remedy)
    assert ["there are none"] * 2 == [finding.remedy for finding in problems(without)]


def test_methods_are_written_in_capitals() -> None:
    """Both libraries send them so, and nothing else would ever match."""
    found = problems(
        policy(
            operations={"search": {"path": "/search", "method": ["POST", "get"]}},
            answers=[rule("a", {"status": 400, "method": "post"})],
        )
    )

    assert [("operations", "search", "method"), ("answers", 0, "when", "method")] == [finding.path for finding in found]
    assert "no request has the method 'get'" == found[0].message


def test_rules_have_names_of_their_own() -> None:
    """The second of two is named, and where the first stands."""
    found = problems(
        policy(answers=[rule("a", {"status": 400}), rule("b", {"status": 401}), rule("a", {"status": 402})])
    )

    message = "rule 'a' stands twice, first as number 1 of 'answers'"
    assert [Finding(("answers", 2, "rule"), message, "give each rule a name of its own")] == found


def test_a_rule_behind_one_that_takes_all_its_answers() -> None:
    """It is never reached; the one before it is named, once."""
    found = problems(
        policy(
            answers=[
                rule("wide", {"status": "4xx"}),
                rule("wider", {"status": "400-599"}),
                rule("narrow", {"status": 429, "code": "BUSY"}),
            ]
        )
    )

    message = "rule 'narrow' is never reached: every answer that it speaks of is taken by 'wide'"
    assert [Finding(("answers", 2), message, "put it before 'wide', or narrow that one")] == found


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"status": 429, "code": "BUSY"}, {"status": 429}),
        ({"status": 429}, {"status": [429, 503]}),
        ({"method": "POST"}, {"method": "POST", "error": "read_timeout"}),
        ({"error": "read_timeout"}, {"error": ["read_timeout", "connect_error"]}),
        ({"body": {"a": [1, 2]}}, {"body": {"a": {"in": [2, 3]}}}),
        ({"headers": {"X-A": {"contains": ["busy", "full"]}}}, {"headers": {"X-A": {"starts_with": "b"}}}),
    ],
)
def test_a_rule_that_is_reached(first: dict[str, Any], second: dict[str, Any]) -> None:
    """A rule before another takes only a part of its answers, or speaks of responses where that speaks of errors."""
    assert [] == problems(policy(answers=[rule("first", first), rule("second", second)]))


WHENS = st.fixed_dictionaries(
    {"status": st.sampled_from([400, [400, 429], "4xx", [429, 503], "400-599"])},
    optional={
        "code": st.sampled_from(["A", ["A", "B"], ["B"]]),
        "method": st.sampled_from(["GET", ["GET", "POST"]]),
        "message": st.sampled_from(["busy", ["very busy", "full"]]),
        "body": st.sampled_from([{"n": 1}, {"n": {"gte": 1}}, {"n": [0, 1]}, {"n": {"present": True}}]),
        "headers": st.sampled_from([{"X-A": "1"}, {"X-A": {"present": True}}]),
    },
)
ANSWERS = st.tuples(
    st.sampled_from(["GET", "POST"]),
    st.sampled_from([400, 429, 503]),
    st.sampled_from([{}, {"X-A": "1"}]),
    st.fixed_dictionaries(
        {},
        optional={
            "code": st.sampled_from(["A", "B", "C"]),
            "message": st.sampled_from(["very busy", "busy", "full"]),
            "n": st.sampled_from([0, 1, 2]),
        },
    ),
)


@given(st.lists(WHENS, min_size=2, max_size=4), st.lists(ANSWERS, min_size=1, max_size=20))
def test_a_rule_that_is_called_unreachable_never_speaks(whens: list[dict[str, Any]], answers: list[Any]) -> None:
    """Whatever the answer, another rule before it does."""
    made = policy(
        envelopes={"code": "code", "message": "message"},
        answers=[rule(f"rule-{index}", when) for index, when in enumerate(whens)],
    )
    unreachable = {f"rule-{finding.path[1]}" for finding in problems(made)}

    spoke = {
        made.classify(method=method, status=status, headers=headers, body=body).rule
        for method, status, headers, body in answers
    }

    assert not unreachable & spoke


def test_a_rule_for_a_method_that_its_operation_does_not_have() -> None:
    """Such a rule can never match; one operation without methods is one for all of them."""
    operations = {"job": {"path": "/job", "method": "GET"}, "any": {"path": "/any"}}
    answers = [
        rule("never", {"status": 400, "operation": "job", "method": ["POST", "PUT"]}),
        rule("any", {"status": 401, "operation": ["job", "any"], "method": "POST"}),
        rule("get", {"status": 402, "operation": "job", "method": "GET"}),
    ]

    found = problems(policy(operations=operations, answers=answers))

    message = "rule 'never' can never match: its operation has no method 'POST, PUT'"
    assert [Finding(("answers", 0, "when", "method"), message, "it has 'GET'")] == found


@pytest.mark.parametrize(
    ("when", "parts", "message"),
    [
        ({"status": 204, "text": "busy"}, {}, "no body"),
        ({"status": [204, 304], "code": "BUSY"}, {}, "no body"),
        ({"status": [200, 204], "text": "busy"}, {}, None),
        ({"status": 204, "headers": {"X-A": "1"}}, {}, None),
        ({"text": "busy"}, {}, None),
        ({"status": 204, "code": "BUSY"}, {"envelopes": {"code_header": "X-Code"}}, None),
        ({"status": 204, "text": "busy"}, {"envelopes": {"code_header": "X-Code"}}, "no body"),
        ({"status": 500, "message": "busy"}, {"inspect": {"statuses": "4xx"}}, "'inspect' leaves out"),
        ({"status": [400, 500], "message": "busy"}, {"inspect": {"statuses": "4xx"}}, None),
    ],
)
def test_a_rule_about_a_body_that_is_never_looked_at(
    when: dict[str, Any], parts: dict[str, Any], message: str | None
) -> None:
    """A status without a body, or one that `inspect` leaves out, cannot go with a text, a code or a message."""
    found = problems(policy(answers=[rule("a", when)], **parts))

    assert (message is not None) == bool(found)
    assert all(
        ("answers", 0, "when", "status") == finding.path and (message or "") in finding.message for finding in found
    )


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ({"path": "/jobs/{id}"}, {"path": "/jobs/{job}"}, True),
        ({"path": "/jobs/{id}", "method": "GET"}, {"path": "/jobs/{id}", "method": ["POST", "GET"]}, True),
        ({"path": "/jobs"}, {"path": ["/other", "/jobs"], "method": "GET"}, True),
        ({"path": "/jobs", "method": "GET"}, {"path": "/jobs"}, False),
        ({"path": "/jobs", "method": "GET"}, {"path": "/jobs", "method": "POST"}, False),
        ({"path": "/jobs/{id}"}, {"path": "/jobs/{id...}"}, False),
        ({"path": "/jobs/{id}"}, {"path": "/jobs/new"}, False),
        ({"path": ["/jobs/{id}", "/jobs/{job}"]}, {"path": "/new"}, False),
    ],
)
def test_a_request_belongs_to_one_operation(first: dict[str, Any], second: dict[str, Any], clash: bool) -> None:
    """Two operations with one method and one template are a mistake; one for any method may follow as the rest."""
    found = problems(policy(operations={"one": first, "two": second}))

    assert ([("operations", "two", "path")] if clash else []) == [finding.path for finding in found]


def test_a_success_is_never_sent_again() -> None:
    """`retryable: true` on a success cannot be honoured; `false` says nothing new."""
    answers = [
        rule("yes", {"status": 202}, "success", retryable=True),
        rule("no", {"status": 201}, "success", retryable=False),
    ]

    (finding,) = problems(policy(answers=answers))

    assert ("answers", 0, "retryable") == finding.path


@pytest.mark.parametrize(
    ("category", "retryable", "wrong"),
    [
        ("quota_exhausted", None, False),
        ("quota_exhausted", True, True),
        ("rate_limited", None, True),
        ("rate_limited", False, False),
    ],
)
def test_until_is_for_answers_that_are_not_retried(category: str, retryable: bool | None, wrong: bool) -> None:
    """A call would wait until the end of the day or month."""
    parts = {} if retryable is None else {"retryable": retryable}

    found = problems(policy(answers=[rule("a", {"status": 429}, category, until="next_day_utc", **parts)]))

    assert ([("answers", 0, "until")] if wrong else []) == [finding.path for finding in found]


@pytest.mark.parametrize(
    ("retry", "cause"),
    [
        ({"longest_wait": "10s"}, None),
        ({"longest_wait": "1s"}, "longest_wait"),
        ({"max_attempts": 1, "longest_wait": "1s"}, None),
        ({"max_attempts": 2, "longest_wait": "1s"}, None),
        ({"max_attempts": 20}, None),
        ({"max_attempts": 20, "longest_wait": "29s"}, "longest_wait"),
        ({"backoff": {"between": ["30s", "60s"]}}, None),
        ({"backoff": {"between": ["30s", "61s"]}}, "backoff"),
        ({"backoff": {"initial": "61s", "max": "61s", "jitter": "equal"}}, "backoff"),
        ({"backoff": {"initial": "10s", "max": "90s", "jitter": "decorrelated"}}, "backoff"),
        ({"backoff": {"initial": "1s", "max": "90s", "jitter": "decorrelated"}}, None),
    ],
)
def test_a_back_off_keeps_to_the_longest_wait(retry: dict[str, Any], cause: str | None) -> None:
    """As long as it can become within the attempts, not as long as `max` would allow."""
    for parts, path in (
        ({"retry": retry}, ("retry",)),
        ({"retry": {"categories": {"overloaded": retry}}}, ("retry", "categories", "overloaded")),
        ({"operations": {"job": {"path": "/job", "retry": retry}}}, ("operations", "job", "retry")),
        ({"answers": [rule("a", {"status": 503}, "overloaded", retry=retry)]}, ("answers", 0, "retry")),
    ):
        found = problems(policy(**parts))

        assert ([] if cause is None else [(*path, cause)]) == [finding.path for finding in found]


def test_a_rule_is_judged_with_what_its_category_says() -> None:
    """Its attempts and its category's longest wait together make the contradiction, and the rule is named."""
    made = policy(
        retry={"categories": {"overloaded": {"longest_wait": "3s"}}},
        answers=[rule("a", {"status": 503}, "overloaded", retry={"max_attempts": 5})],
    )

    message = "the back-off waits up to 8s here, longer than the 'longest_wait' of 3s"
    remedy = "make the back-off shorter or 'longest_wait' longer"
    assert [Finding(("answers", 0, "retry", "max_attempts"), message, remedy)] == problems(made)


def test_an_attempt_is_shorter_than_its_call() -> None:
    """Where the one number is the operation's and the other the policy's; an operation without either is the policy's."""
    operations = {
        "late": {"path": "/late", "attempt_timeout": "30s"},
        "short": {"path": "/short", "deadline": "5s"},
        "plain": {"path": "/plain"},
        "fine": {"path": "/fine", "deadline": "1m", "attempt_timeout": "59s"},
    }

    found = problems(policy(deadline="30s", attempt_timeout="10s", operations=operations))

    assert [("operations", "late", "attempt_timeout"), ("operations", "short", "deadline")] == [
        finding.path for finding in found
    ]
    assert "an attempt of 'late' may take 30s, and the whole call 30s" == found[0].message
    assert [] == problems(policy(operations=operations | {"short": {"path": "/short"}}))


def test_an_examples_path_can_be_read() -> None:
    """What no URL can hold would raise where examples are run."""
    (finding,) = problems(policy(examples=[example(request={"path": "//[x"})]))

    assert (("examples", 0, "request", "path"), "'//[x' is no path") == (finding.path, finding.message)


def test_a_policy_has_so_many_rules_and_operations() -> None:
    """More are refused, whatever they say."""
    count = MOST_ENTRIES + 1
    rules = [rule(f"r{index}", {"headers": {"X-A": str(index)}}) for index in range(count)]
    operations = {f"o{index}": {"path": f"/{index}"} for index in range(count)}

    assert [("answers",), ("operations",)] == [
        finding.path for finding in problems(policy(answers=rules, operations=operations))
    ]
    assert [] == problems(policy(answers=rules[1:], operations=dict(list(operations.items())[1:])))


def test_so_many_texts_are_looked_for_in_a_body() -> None:
    """In all rules together, anywhere in it or in a field; where four times as much is read, a quarter of them."""
    half = [f"text {index}" for index in range(MOST_TEXTS // 2)]
    rules = [rule("a", {"status": 400, "text": half}), rule("b", {"status": 400, "body": {"a": {"contains": half}}})]
    more = rule("c", {"status": 400, "text": "one more"})

    assert [] == problems(policy(answers=rules))
    for read in ("64KiB", "1MiB"):
        too_many = policy(answers=[*rules, more], inspect={"max_bytes": read})
        assert [("answers",)] == [finding.path for finding in problems(too_many)]
    (finding,) = problems(policy(answers=rules, inspect={"max_bytes": "4MiB"}))
    assert f"the rules look for {MOST_TEXTS} texts in bodies; {MOST_TEXTS // 4} are the most" in finding.message


def test_a_hostile_file_costs_little() -> None:
    """Names without end are cut off after a hundred findings, conditions without end are not all compared."""
    texts = [f"text {index}" for index in range(9000)]
    rules = [rule("a", {"status": 400, "message": texts}), rule("b", {"status": 400, "message": texts})]

    assert [] == problems(policy(answers=rules))
    assert 100 == len(problems(policy(examples=[example(doc="nowhere")] * 5000)))


def test_loading_refuses_what_the_checks_find(tmp_path: Path) -> None:
    """With the place in the file, as for every other mistake."""
    path = tmp_path / "some.yaml"
    path.write_text(
        "version: 1\nprovider: some\nmatch: {hosts: [some.test]}\nanswers:\n"
        "  - {rule: a, when: {status: 4xx}, category: auth}\n  - {rule: b, when: {status: 401}, category: auth}\n"
    )

    with pytest.raises(PolicyError) as caught:
        load_policy(path)

    (problem,) = caught.value.problems
    assert f"{path}:6:5" == str(problem.place)
    assert "rule 'b' is never reached" in problem.message


# Limits, plans and the breaker

ACCOUNT = {"headers": ["X-Api-Key"]}


def limited(*limits: dict[str, Any], **parts: Any) -> Policy:
    """A policy with accounts and these limits."""
    return policy(account=ACCOUNT, limits=limits, **parts)


def found(made: Policy) -> list[tuple[tuple[str | int, ...], str, str]]:
    """The findings as plain values."""
    return [(each.path, each.message, each.remedy) for each in problems(made)]


def test_limits_that_are_in_order() -> None:
    """Numbers of plans, also where a plan has no such limit; costs and rules that fit; any of the scopes."""
    made = limited(
        {"name": "submits", "rate": "{plan.submits}", "operations": ["submit"], "cost": {"submit": 2}, "doc": "errors"},
        {"rate": "60/minute", "per": ["account", "operation"], "max_wait": "30s"},
        {"concurrency": "{plan.at_once}"},
        docs=PAGES,
        deadline="30s",
        plans={"free": {"submits": "2/second", "at_once": 1}, "paid": {"submits": None, "at_once": 5}},
        operations={"submit": {"path": "/submit"}},
        answers=[
            rule("a", {"status": 429}, "rate_limited", limit="submits"),
            rule("b", {"status": 430}, "rate_limited", limit="rate-2"),
            rule("c", {"status": 431}, "concurrency_limited", limit="concurrency-3"),
        ],
        breaker={"per": ["account", "operation"]},
    )

    assert [] == problems(made)


def test_the_pages_of_limits_and_health_endpoints_have_to_exist() -> None:
    """As any page that is cited."""
    health = {"health": {"path": "/health", "doc": "errrs"}}

    both = problems(limited({"rate": "1/second", "doc": "erors"}, docs=PAGES, breaker=health))

    assert [
        (("breaker", "health", "doc"), "did you mean 'errors'?"),
        (("limits", 0, "doc"), "did you mean 'errors'?"),
    ] == [(finding.path, finding.remedy) for finding in both]
    assert [] == problems(limited(docs=PAGES, breaker={"health": {"path": "/health", "doc": "errors"}}))


def test_limits_have_names_of_their_own() -> None:
    """Given or not: what a limit is called by default is a name too."""
    made = limited(
        {"name": "a", "rate": "1/second"},
        {"rate": "1/minute"},
        {"name": "a", "concurrency": 1},
        {"name": "rate-2", "rate": "1/day"},
    )

    remedy = "give each limit a name of its own"
    assert [
        (("limits", 2, "name"), "the limit 'a' stands twice, first as number 1 of 'limits'", remedy),
        (("limits", 3, "name"), "the limit 'rate-2' stands twice, first as number 2 of 'limits'", remedy),
    ] == found(made)


def test_a_limit_is_not_named_as_what_needs_no_limit() -> None:
    """Its state would be shared with calls that it does not count."""
    message = "'answers' is what calls are counted under that no limit of the policy counts"

    assert [(("limits", 0, "name"), message, "give the limit another name")] == found(
        limited({"name": "answers", "rate": "1/second"})
    )


def test_a_rule_that_speaks_of_no_limit() -> None:
    """`none` needs no limit of that name, and may not be one; it is for answers that would pause or lower something."""
    throttle = rule("a", {"status": 429}, "rate_limited", limit="none")
    crowd = rule("b", {"status": 430}, "concurrency_limited", limit="none")
    message, remedy = "'none' is what a rule says that speaks of no limit", "give the limit another name"

    assert [] == found(policy(answers=[throttle, crowd]))
    assert [(("limits", 0, "name"), message, remedy)] == found(limited({"name": "none", "rate": "1/second"}))
    assert ["invalid_request answers do nothing to a limit"] == [
        finding[1] for finding in found(policy(answers=[rule("c", {"status": 400}, limit="none")]))
    ]


def test_the_operations_of_a_limit_have_to_exist() -> None:
    """Those that count, those that have a cost; and what has a cost must count."""
    made = limited(
        {"name": "a", "rate": "9/second", "operations": ["search", "serch"], "cost": {"serch": 2, "job": 3}},
        operations={"search": {"path": "/search"}, "job": {"path": "/job"}},
    )

    missing = "there is no operation 'serch' in 'operations'"
    uncounted = "the limit 'a' does not count 'job', which has a cost here"
    assert [
        (("limits", 0, "operations", 1), missing, "did you mean 'search'?"),
        (("limits", 0, "cost", "serch"), missing, "did you mean 'search'?"),
        (("limits", 0, "cost", "job"), uncounted, "add it to the limit's 'operations', or take the cost out"),
    ] == found(made)


def test_a_scope_that_the_policy_cannot_tell_apart() -> None:
    """All calls would share one number, whether the scope is written down or the default; a breaker that is off has none."""
    by_default = policy(limits=[{"rate": "1/second"}])
    written = policy(limits=[{"concurrency": 1, "per": ["operation"]}], breaker={"per": ["account", "operation"]})
    plain = policy(limits=[{"rate": "1/second", "per": "provider"}], breaker={"per": "host"})
    off = policy(breaker={"off": True, "per": "account"})

    unknown = "{} is per account, and the policy does not say whose key a request carries: all share one"
    unnamed = "{} is per operation, and the policy names none: all calls share one"
    account = "name the header in `account: {headers: [...]}`, or write `per: provider`"
    operation = "name the 'operations', or leave the scope out"
    assert [(("limits", 0, "per"), unknown.format("the limit 'rate-1'"), account)] == found(by_default)
    assert [
        (("limits", 0, "per"), unnamed.format("the limit 'concurrency-1'"), operation),
        (("breaker", "per"), unknown.format("the breaker"), account),
        (("breaker", "per"), unnamed.format("the breaker"), operation),
    ] == found(written)
    assert [[], []] == [found(plain), found(off)]


def test_a_number_of_a_plan_has_to_exist() -> None:
    """In each plan: where a plan has no such limit, it says so. One that nobody has is named by its nearest."""
    lacking = limited({"rate": "{plan.rate}"}, plans={"free": {"rate": "1/second"}, "paid": {}})
    misspelt = limited({"concurrency": "{plan.cals}"}, {"rate": "{plan.rate}"}, plans={"a": {"calls": 5, "rate": None}})
    without = limited({"rate": "{plan.rate}"})
    empty = limited({"rate": "{plan.rate}"}, plans={"free": {}})

    assert [
        (
            ("plans", "paid"),
            "the plan 'paid' says nothing of 'rate', which the limit 'rate-1' takes",
            "write `rate: null` if it has no such limit",
        )
    ] == found(lacking)
    assert [
        (("limits", 0, "concurrency"), "no plan has a number 'cals'", "did you mean 'calls'?"),
        (("plans", "a", "calls"), "no limit takes the number 'calls'", "did you mean 'cals'?"),
    ] == found(misspelt)
    remedy = "write it in `plans: {NAME: {rate: ...}}`"
    assert [(("limits", 0, "rate"), "the policy has no 'plans'", remedy)] == found(without)
    assert [(("limits", 0, "rate"), "no plan has a number 'rate'", remedy)] == found(empty)


def test_a_number_of_a_plan_has_the_form_that_its_limit_takes() -> None:
    """A rate for a rate, a number for a concurrency, in every plan."""
    made = limited(
        {"rate": "{plan.rate}"},
        {"concurrency": "{plan.calls}"},
        plans={"free": {"rate": 60, "calls": 1}, "paid": {"rate": "9/second", "calls": "5/second"}},
    )

    assert [
        (
            ("plans", "free", "rate"),
            "'rate' is a number here, and the limit 'rate-1' takes it as a rate",
            "write a rate such as 60/minute",
        ),
        (
            ("plans", "paid", "calls"),
            "'calls' is a rate here, and the limit 'concurrency-2' takes it as a number",
            "write a number such as 5",
        ),
    ] == found(made)


def test_a_number_of_a_plan_that_no_limit_takes() -> None:
    """Is told once, however many plans have it."""
    made = policy(plans={"free": {"calls": 1}, "paid": {"calls": 5}})

    remedy = "write it as `{plan.calls}` in a limit, or take it out"
    assert [(("plans", "free", "calls"), "no limit takes the number 'calls'", remedy)] == found(made)


@pytest.mark.parametrize(
    ("limit", "most"),
    [
        ({"cost": 3}, "2 of the smallest plan"),
        ({"cost": {"job": 3, "other": 1}}, "2 of the smallest plan"),
        ({"cost": 2}, None),
        ({"cost": {}}, None),
        ({"cost": 3, "burst": 3}, None),
        ({"cost": 4, "burst": 3}, "3 of its burst"),
    ],
)
def test_a_cost_fits_into_the_rate_of_every_plan(limit: dict[str, Any], most: str | None) -> None:
    """Or into the burst; else such a call would wait for ever on that plan."""
    made = limited(
        {"rate": "{plan.rate}", **limit},
        plans={"big": {"rate": "9/second"}, "small": {"rate": "2/second"}, "free": {"rate": None}},
        operations={"job": {"path": "/job"}, "other": {"path": "/other"}},
    )

    cost = max(limit["cost"].values(), default=1) if isinstance(limit["cost"], dict) else limit["cost"]
    message = f"a cost of {cost} never fits into the {most}: the call would wait for ever"
    expected = [(("limits", 0, "cost"), message, "lower the cost, or raise 'burst'")]
    assert ([] if most is None else expected) == found(made)


@pytest.mark.parametrize(
    ("category", "limit", "message", "remedy"),
    [
        ("rate_limited", "submit", "there is no limit 'submit' in 'limits'", "did you mean 'submits'?"),
        ("rate_limited", "jobs", "rate_limited answers pause a rate, and 'jobs' is a concurrency",
         "name a rate, or choose concurrency_limited"),
        ("concurrency_limited", "submits", "concurrency_limited answers lower a concurrency, and 'submits' is a rate",
         "name a concurrency, or choose rate_limited"),
        ("auth", "jobs", "auth answers do nothing to a limit",
         "choose rate_limited or concurrency_limited, or take 'limit' out"),
    ],
)  # fmt: skip
def test_the_limit_of_a_rule(category: str, limit: str, message: str, remedy: str) -> None:
    """Exists, and is one that answers of its category do something to."""
    made = limited(
        {"name": "submits", "rate": "1/second"},
        {"name": "jobs", "concurrency": 1},
        answers=[rule("a", {"status": 429}, category, limit=limit)],
    )

    assert [(("answers", 0, "limit"), message, remedy)] == found(made)


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ({"limits": [{"rate": "1/second", "max_wait": "31s"}]}, ("limits", 0, "max_wait")),
        ({"limits": [{"rate": "1/second", "max_wait": "21s", "operations": ["short"]}]}, ("limits", 0, "max_wait")),
        ({"limits": [{"rate": "1/second", "max_wait": "31s", "operations": ["short", "long"]}]}, None),
        ({"limits": [{"rate": "1/second"}]}, None),
        ({"breaker": {"max_wait": "41s"}}, ("breaker", "max_wait")),
        ({"breaker": {"max_wait": "40s"}}, None),
        ({"breaker": {"max_wait": "41s", "off": True}}, None),
    ],
)
def test_nobody_waits_longer_than_the_deadline(parts: dict[str, Any], path: tuple[str | int, ...] | None) -> None:
    """Of the longest call that a limit counts; the default of `max_wait` is cut off by the deadline in silence."""
    operations = {"short": {"path": "/s", "deadline": "20s"}, "long": {"path": "/l", "deadline": "40s"}}
    made = policy(account=ACCOUNT, deadline="30s", operations=operations, **parts)
    if path == ("limits", 0, "max_wait") and "operations" not in parts["limits"][0]:
        made = policy(account=ACCOUNT, deadline="30s", **parts)

    assert ([] if path is None else [path]) == [finding.path for finding in problems(made)]
    assert [] == problems(policy(account=ACCOUNT, operations={"short": {"path": "/s"}}, **{**parts, "limits": []}))


def test_a_wait_over_the_deadline_in_words() -> None:
    """Both times, and what to do."""
    made = limited({"rate": "1/second", "max_wait": "1m30s"}, deadline="30s")

    message = "a call may wait 1m30s for its turn, and its deadline is 30s"
    assert [(("limits", 0, "max_wait"), message, "make 'max_wait' shorter or the deadline longer")] == found(made)


def test_a_breaker_sees_two_attempts() -> None:
    """In a window that is written down; without a failure rate there is none. The longest attempt counts."""
    operations = {"slow": {"path": "/slow", "attempt_timeout": "2m"}, "fast": {"path": "/fast"}}

    def made(**breaker: Any) -> Policy:
        return policy(attempt_timeout="10s", operations=operations, breaker=breaker)

    message = "a 'window' of 3m cannot hold two attempts, of which one may take 2m"
    assert [(("breaker", "window"), message, "make it at least 4m")] == found(made(window="3m"))
    assert [] == problems(made(window="4m"))
    assert [] == problems(made(window="3m", failure_rate=None))
    assert [] == problems(made(window="3m", off=True))
    assert [] == problems(made())
    assert [] == problems(policy(breaker={"window": "1ms", "probe_lease": "1ms"}))


def test_a_probe_may_take_as_long_as_an_attempt() -> None:
    """Else another takes its place while it runs."""
    short = policy(attempt_timeout="10s", breaker={"probe_lease": "9s"})

    message = "a probe is given up after 9s, and an attempt may take 10s: more probes than allowed would run"
    assert [(("breaker", "probe_lease"), message, "make it at least 10s")] == found(short)
    assert [] == problems(policy(attempt_timeout="10s", breaker={"probe_lease": "10s"}))
    assert [] == problems(policy(attempt_timeout="2m"))


def test_a_finding_of_a_limit_has_its_place_in_the_file(tmp_path: Path) -> None:
    """File, line, column and remedy, as for every other mistake."""
    path = tmp_path / "some.yaml"
    path.write_text(
        "version: 1\nprovider: some\nmatch: {hosts: [some.test]}\naccount: {headers: [X-Api-Key]}\n"
        "plans:\n  free: {calls: 5}\n  paid: {}\nlimits:\n  - concurrency: '{plan.calls}'\n    operations: serch\n"
        "operations: {search: {path: /search}}\n"
    )

    with pytest.raises(PolicyError) as caught:
        load_policy(path)

    assert [
        (f"{path}:7:9", "the plan 'paid' says nothing of 'calls', which the limit 'concurrency-1' takes"),
        (f"{path}:10:17", "there is no operation 'serch' in 'operations'"),
    ] == [(str(problem.place), problem.message) for problem in caught.value.problems]
