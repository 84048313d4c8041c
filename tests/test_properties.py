"""What holds for every answer, every wait and every policy, whatever is drawn."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience import Category, Policy, Verdict, load_policy
from resilience._conditions import Answer, When, compile_when, covers
from resilience._delays import retry_after
from resilience._headers import FoldedHeaders
from resilience._matchers import MISSING, Operators, compile_matcher, implies
from resilience._operations import Operation, Operations
from resilience._retry_policy import Again, Retry, decide
from resilience._shipped import shipped_names
from tests.worlds import policy

VECTORS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "vectors/waiting.yaml").read_text())
CHANCE = st.floats(0, 1, exclude_max=True)
JITTERS = st.sampled_from(["none", "equal", "full", "decorrelated", 0, 0.25, 1])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
POLICIES = [load_policy(name) for name in shipped_names()]


def throttled(seconds: float | None) -> Verdict:
    return Verdict(Category.RATE_LIMITED, retryable=True, retry_after=seconds, retry_after_source="Retry-After")


def waits(*given: Any, **named: Any) -> float | None:
    """How long it is waited for before the next attempt; `None` where the call ends."""
    found = decide(*given, **named)
    return found.wait if isinstance(found, Again) else None


@given(
    hint=st.floats(0, 1e308) | st.none(),
    attempt=st.integers(1, 25),
    left=st.floats(0, 1e6) | st.none(),
    chance=CHANCE,
    jitter=JITTERS,
    spread=st.floats(0, 1),
    previous=st.floats(0, 60) | st.none(),
)
def test_a_wait_is_never_shorter_than_the_hint_and_never_past_the_deadline(
    *, hint: float | None, attempt: int, left: float | None, chance: float, jitter: Any, spread: float, previous: Any
) -> None:
    """Nor negative, nor infinite; what cannot be waited for is handed back."""
    retry = Retry.model_validate({"max_attempts": 20, "backoff": {"jitter": jitter}, "spread": spread})

    wait = waits(retry, throttled(hint), attempt=attempt, left=left, previous=previous, chance=chance)

    if wait is not None:
        assert wait >= (hint or 0)
        assert 0 <= wait <= retry.longest_wait
        assert left is None or wait < left
        assert attempt < 20


@given(retry=st.integers(0, 10**6), chance=CHANCE, jitter=JITTERS, previous=st.floats(0, 1e6) | st.none())
def test_a_backoff_keeps_to_its_bounds(*, retry: int, chance: float, jitter: Any, previous: float | None) -> None:
    """However many retries there were, and whatever chance gives."""
    backoff = Retry.model_validate(
        {"backoff": {"initial": "500ms", "multiplier": 10, "max": "8s", "jitter": jitter}}
    ).backoff

    wait = backoff.wait(retry, previous, chance)

    assert 0 <= wait <= 8
    assert jitter != "decorrelated" or wait >= 0.5


@given(chance=CHANCE, retry=st.integers(0, 100))
def test_a_range_is_kept(*, chance: float, retry: int) -> None:
    """A wait of 30 to 60 seconds is that, each time."""
    backoff = Retry.model_validate({"backoff": {"between": ["30s", "60s"]}}).backoff

    assert 30 <= backoff.wait(retry, None, chance) <= 60


STAINLESS = {"max_attempts": 3, "longest_wait": "120s", "spread": 0,
             "backoff": {"initial": "500ms", "multiplier": 2, "max": "8s", "jitter": 0.25}}  # fmt: skip


@pytest.mark.parametrize(("headers", "retried"), VECTORS["stainless-retry-after"]["should_retry_429"])
def test_stainless_gives_back_what_asks_for_too_long(headers: dict[str, str], *, retried: bool) -> None:
    """Up to 120 seconds are waited for, exactly; more is handed back."""
    generated = policy(retry={**STAINLESS, "wait": [{"header": "retry-after-ms"}, {"header": "Retry-After"}]})
    dated = {**headers, "Date": "Fri, 29 Sep 2023 16:26:37 GMT"}

    verdict = generated.classify(status=429, headers=dated)
    wait = waits(generated.retry, verdict, attempt=1, left=None, previous=None, chance=0.5)

    assert retried == (wait is not None)
    assert not retried or wait == verdict.retry_after


@pytest.mark.parametrize("case", VECTORS["stainless-retry-after"]["backoff"])
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_stainless_backs_off_by_its_own_numbers(case: dict[str, Any], chance: float) -> None:
    """min(0.5 * 2^n, 8) * (1 - 0.25 * u)."""
    backoff = Retry.model_validate(STAINLESS).backoff

    assert case["base"] * (1 - 0.25 * chance) == pytest.approx(backoff.wait(case["n"], None, chance))


@pytest.mark.parametrize(
    "value", [value for value, seconds in VECTORS["stainless-retry-after"]["parse"] if seconds is None]
)
def test_stainless_falls_back_to_the_backoff(value: str) -> None:
    """What cannot be used leaves the back-off in charge, and what is too long is not waited for at all."""
    asked = retry_after(value, now=float(VECTORS["stainless-retry-after"]["now"]))

    wait = waits(Retry.model_validate(STAINLESS), throttled(asked), attempt=1, left=None, previous=None, chance=0.0)

    assert wait in ({0.5} if not asked else {None})


@pytest.mark.parametrize("case", VECTORS["aws-std-v21-retry-after"]["cases"])
def test_aws_keeps_the_hint_near_the_backoff(case: dict[str, Any]) -> None:
    """clamp(header, t_i, t_i + 5); an invalid or negative header leaves t_i."""
    first = {"initial": "50ms", "max": "20s", "jitter": "none"}
    near = policy(retry={"backoff": first, "above_backoff": "5s",
                         "wait": [{"header": "x-amz-retry-after", "as": "milliseconds"}]})  # fmt: skip

    verdict = near.classify(status=503, headers={"x-amz-retry-after": case["value"]})
    wait = waits(near.retry, verdict, attempt=1, left=None, previous=None, chance=0.0)

    assert case["delay"] == pytest.approx(wait)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"RateLimit": '"default";r=0;t=5', "Retry-After": "10"}, 10.0),
        ({"RateLimit": '"default";r=0;t=5'}, 5.0),
        ({"RateLimit": '"default";r=7;t=5'}, 1.0),
        ({"RateLimit": "default;r=0;t=5"}, 1.0),
        ({"RateLimit": '"default";r=0;t=1000000'}, None),
    ],
)
def test_ietf_fields_are_bounded_and_retry_after_takes_precedence(headers: dict[str, str], wait: float | None) -> None:
    """A wait of eleven days is handed back; a field that is malformed or has quota left leaves the back-off."""
    ietf = policy(retry={"spread": 0, "backoff": {"initial": "1s", "jitter": "none"}, "longest_wait": "10m",
                         "wait": [{"header": "Retry-After"}, {"header": "RateLimit"}]})  # fmt: skip

    verdict = ietf.classify(status=429, headers=headers)

    assert wait == waits(ietf.retry, verdict, attempt=1, left=None, previous=None, chance=0.0)


EVERYTHING = policy(
    answers=[
        {"rule": "numbers", "when": {"body": {"a": {"gte": 1, "lt": 9}, "b.c": {"ne": 3}}}, "category": "server_error"},
        {"rule": "texts", "when": {"status": "4xx", "body": {"a": {"contains": ["x", "y"]}}}, "category": "auth"},
        {"rule": "lists", "when": {"body": {"a[*].b": [1, "1", None, True]}}, "category": "target_error",
         "target_status": "a[0].b"},
        {"rule": "absent", "when": {"status": [200, 500], "absent": ["a", "d[-1]"]}, "category": "not_ready"},
        {"rule": "text", "when": {"text": ["boom"], "content_type": ["text/*", "*+json"]}, "category": "overloaded"},
        {"rule": "code", "when": {"code": ["x", 7]}, "category": "rate_limited"},
        {"rule": "message", "when": {"message": "no", "headers": {"X-A": {"present": True}}}, "category": "conflict"},
        {"rule": "error", "when": {"error": ["read_timeout"]}, "category": "timeout"},
    ],
    envelopes=[{"code": ["a", "b.c"], "message": "d", "when": {"b": {"present": True}}}, {"code_header": "X-Code"}],
    retryable_from=[{"body": "d"}, {"header": "x-should-retry"}],
    retry={"wait": [{"header": "Retry-After"}, {"body": "a.b", "as": "seconds"}, {"body": "c", "as": "auto"}]},
)  # fmt: skip
TYPES = st.sampled_from(
    ["", "application/json", "text/html; charset=hex", "application/x+json;charset=utf-16", "?", "a/b"]
)
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "X-A", "X-Code", "x-should-retry", "Date", "RateLimit", "Age"]),
    st.text(max_size=12),
)


@settings(max_examples=300)
@given(
    chosen=st.sampled_from([EVERYTHING, *POLICIES]),
    status=st.integers(100, 999),
    headers=HEADERS,
    content_type=TYPES,
    body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()),
    url=st.text(max_size=20) | st.sampled_from(["/fetch", "/v1/jobs/1", "/v1/scrape", "/v1/url-scraper/x"]),
    method=st.sampled_from(["GET", "POST", "HEAD", "brew"]),
)
def test_every_answer_gets_one_verdict(
    *, chosen: Policy, status: int, headers: dict[str, str], content_type: str, body: bytes, url: str, method: str
) -> None:
    """Whatever the answer is, nothing is raised, and the verdict is sound."""
    verdict = chosen.classify(
        method=method, url=url, status=status, headers={**headers, "Content-Type": content_type}, body=body
    )

    assert isinstance(verdict, Verdict)
    assert verdict.category in set(Category)
    assert verdict.retry_after is None or (verdict.retry_after >= 0 and math.isfinite(verdict.retry_after))
    assert verdict.target_status is None or 100 <= verdict.target_status <= 999


MATCHERS = st.one_of(
    JSON.filter(lambda value: not isinstance(value, list | dict)),
    st.lists(st.integers(0, 5) | st.sampled_from("ab"), min_size=1, max_size=3).map(tuple),
    st.builds(
        Operators.model_validate,
        st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), st.integers(-3, 6), min_size=1, max_size=2)
        | st.fixed_dictionaries({"contains": st.lists(st.sampled_from(["a", "ab", "b"]), min_size=1, max_size=2)})
        | st.fixed_dictionaries({"starts_with": st.sampled_from(["a", "ab"])})
        | st.fixed_dictionaries({"present": st.booleans()})
        | st.fixed_dictionaries({"ne": st.integers(0, 3)})
        | st.fixed_dictionaries({"in": st.lists(st.integers(0, 4), min_size=1, max_size=3)}),
    ),
)
VALUES = st.sampled_from([MISSING, None, True, False, "", "a", "ab", "cab", *range(-4, 8), 1.5, [], {}])


@settings(max_examples=400)
@given(narrow=MATCHERS, wide=MATCHERS, value=VALUES)
def test_what_implies_is_sound(*, narrow: Any, wide: Any, value: object) -> None:
    """If one matcher implies another, no value passes the first and fails the second."""
    if implies(narrow, wide) and compile_matcher(narrow)(value):
        assert compile_matcher(wide)(value)


WHENS = st.dictionaries(
    st.sampled_from(["status", "method", "code", "text", "message", "absent", "operation"]), st.integers(0, 3), min_size=1
).map(
    lambda drawn: {
        key: {"status": [429, "4xx", "400-450", [429, 500]], "method": ["GET", "POST", ["GET", "POST"], "PUT"],
              "code": ["x", "y", ["x", "y"], "z"], "text": ["a", "ab", ["a", "c"], "c"],
              "message": ["a", "ab", ["a", "c"], "c"], "absent": ["a", ["a", "b"], "b", "c"],
              "operation": ["o", "p", ["o", "p"], "q"]}[key][index]
        for key, index in drawn.items()
    }
)  # fmt: skip


@settings(max_examples=400)
@given(
    narrow=WHENS, wide=WHENS, status=st.sampled_from([429, 400, 404, 500]), method=st.sampled_from(["GET", "POST"]),
    code=st.sampled_from(["x", "y", None]), text=st.sampled_from(["a", "ab", "c", ""]),
    document=st.sampled_from([{}, {"a": 1}, {"a": 1, "b": None}]), operation=st.sampled_from(["o", "p", None]),
)  # fmt: skip
def test_a_covering_condition_misses_nothing(
    *, narrow: Any, wide: Any, status: int, method: str, code: Any, text: str, document: object, operation: Any
) -> None:
    """A rule is called unreachable only if an earlier one takes every answer of its own."""
    inner, outer = When.model_validate(narrow), When.model_validate(wide)
    answer = Answer(status, FoldedHeaders({}), method, operation, None, text.encode(), True, document, code, text)

    def holds(when: When) -> bool:
        return (when.status is None or status in when.status) and compile_when(when)(answer)

    if covers(outer, inner) and holds(inner):
        assert holds(outer)


SEGMENTS = st.sampled_from(["a", "b", "{x}"])


@given(
    templates=st.lists(st.lists(SEGMENTS, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts)), max_size=5),
    path=st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=3).map(
        lambda parts: "/" + "/".join(parts)
    ),
)
def test_the_most_literal_template_wins(*, templates: list[str], path: str) -> None:
    """As a slow and simple search finds it."""
    operations = {f"o{index}": Operation(path=(template,)) for index, template in enumerate(templates)}

    def fits(template: str) -> bool:
        wanted, found = template.split("/"), path.split("/")
        return len(wanted) == len(found) and all(w in (f, "{x}") for w, f in zip(wanted, found, strict=True))

    fitting = [name for name, operation in operations.items() if fits(operation.path[0])]
    expected = min(fitting, key=lambda name: operations[name].path[0].count("{"), default=None)

    assert expected == Operations(operations).find("GET", path)
