"""What the language of limits, plans, breakers and budgets says of mistakes, in words rather than in patterns."""

from __future__ import annotations

import json

import pytest

from resilience._config_model import Config
from resilience._policy import Policy
from resilience._schema import config_schema, policy_schema
from resilience._validate import _FORMS, validate
from resilience._yaml import parse
from resilience.errors import PolicyError

BASE = "version: 1\nprovider: some\nmatch: {hosts: [some.test]}\n"
RATE = "is not a rate; write 10/second, 60 per minute, 1000/2 hours"
PLAN = "a number of the plan such as '{plan.calls}'"
NAME = "a name in small letters, digits, '-', '_' and '.'"
SCOPES = "'account', 'operation', 'host' or 'provider'"


def complaint(model: type[Policy | Config], text: str) -> str:
    """The one problem of a text."""
    with pytest.raises(PolicyError) as caught:
        validate(model, parse(text, "f"))
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("examples: [{answer: {status: 429, body: {reset: 2026-01-01}}, verdict: {category: rate_limited}}]",
         "f:4:49: 'reset' must be a value of JSON, not 2026-01-01 (put it in quotes if it is text)"),
        ("limits: [{}]", "f:4:10: a limit is either a 'rate' or a 'concurrency'"),
        ("limits: [{rate: 1/second, concurrency: 1}]", "f:4:10: a limit is either a 'rate' or a 'concurrency'"),
        ("limits: {rate: 1/second}", "f:4:9: 'limits' must be a list, not a mapping"),
        ("limits: [{rate: 60}]", f"f:4:17: '60' {RATE}"),
        ("limits: [{rate: 60/fortnight}]", f"f:4:17: '60/fortnight' {RATE}; or it must be {PLAN}"),
        ("limits: [{rate: '{plans.x}'}]", f"f:4:17: '{{plans.x}}' {RATE}; or it must be {PLAN}"),
        ("limits: [{rate: 0/second}]",
         f"f:4:17: '0/second' lets nothing through; leave the limit out, or switch the provider off; or it must be {PLAN}"),
        ("limits: [{concurrency: '5'}]", f"f:4:24: 'concurrency' must be a whole number or {PLAN}, not '5'"),
        ("limits: [{concurrency: '{plan.X}'}]", f"f:4:24: 'concurrency' must be a whole number or {PLAN}, not '{{plan.X}}'"),
        ("limits: [{concurrency: 0}]", "f:4:24: 'concurrency' must be at least 1, not 0"),
        ("limits: [{concurrency: 3, burst: 4}]", "f:4:10: 'burst' speaks of a rate, and this is a concurrency"),
        ("limits: [{rate: 1/second, cost: 2}]", "f:4:10: a cost of 2 never fits into 1; the call would wait for ever"),
        ("limits: [{rate: 9/second, cost: lots}]", "f:4:33: 'cost' must be a whole number or a mapping, not 'lots'"),
        ("limits: [{rate: 9/second, cost: {a: 0}}]", "f:4:37: 'a' must be at least 1, not 0"),
        ("limits: [{rate: 9/second, cost: {A b: 1}}]", f"f:4:34: the key must be {NAME}, not 'A b'"),
        ("limits: [{rate: 9/second, per: acount}]",
         f"f:4:32: 'per' must be {SCOPES}, not 'acount' (did you mean 'account'?)"),
        ("limits: [{rate: 9/second, per: [acount]}]",
         f"f:4:33: item 1 of 'per' must be {SCOPES}, not 'acount' (did you mean 'account'?)"),
        ("limits: [{rate: 9/second, per: [host, host]}]", "f:4:32: each scope stands once, and 'provider' stands alone"),
        ("limits: [{rate: 9/second, per: [host, provider]}]", "f:4:32: each scope stands once, and 'provider' stands alone"),
        ("limits: [{rate: 9/second, algorithm: fixed_windw}]",
         ("f:4:38: 'algorithm' must be 'token_bucket', 'fixed_window', 'moving_window' or 'sliding_window_counter', "
         "not 'fixed_windw' (did you mean 'fixed_window'?)")),
        ("limits: [{rate: 9/second, algorithm: fixed_window, burst: 3}]", "f:4:10: 'burst' belongs to a token bucket; a window has none"),
        ("limits: [{rate: 9/second, max_wait: 60}]", "f:4:37: 60 has no unit; a duration is written as 30s or 1m30s"),
        ("limits: [{rate: 9/second, headers: {limit: X-L}}]", "f:4:36: missing key 'remaining' (write `remaining: ...`)"),
        ("limits: [{rate: 9/second, headers: {remaining: X L}}]", "f:4:48: 'remaining' must be the name of a header, not 'X L'"),
        ("limits: [{rate: 9/second, brust: 3}]", "f:4:27: unknown key 'brust' (did you mean 'burst'?)"),
        ("plans: {Free: {}}", f"f:4:9: the key must be {NAME}, not 'Free'"),
        ("plans: {free: 5}", "f:4:15: 'free' must be a mapping, not 5"),
        ("plans: {free: {Calls: 5}}", "f:4:16: the key must be a name in small letters, digits and '_', not 'Calls'"),
        ("plans: {free: {calls: 0}}", "f:4:23: 'calls' must be at least 1, not 0"),
        ("plans: {free: {calls: many}}", f"f:4:23: 'many' {RATE}; or it must be a whole number"),
        ("answers: [{rule: a, when: {status: 429}, category: rate_limited, limit: A b}]", f"f:4:73: 'limit' must be {NAME}, not 'A b'"),
        ("breaker: off", "f:4:10: 'breaker' must be a mapping, not 'off'"),
        ("breaker: {openfor: 5s}", "f:4:11: unknown key 'openfor' (did you mean 'open_for'?)"),
        ("breaker: {failure_rate: 50%}", "f:4:25: 'failure_rate' must be a number, not '50%'"),
        ("breaker: {failure_rate: 1.5}", "f:4:25: 'failure_rate' must be at most 1, not 1.5"),
        ("breaker: {consecutive_failures: null, failure_rate: null}",
         "f:4:10: without 'consecutive_failures' and 'failure_rate' it never opens; write `off: true` for none"),
        ("breaker: {max_open: 1s}", "f:4:10: 'max_open' is shorter than 'open_for'"),
        ("breaker: {close_window: 1, close_after: 2}", "f:4:10: 'close_window' is smaller than 'close_after'"),
        ("breaker: {counts: {rate_limited: fail}}",
         "f:4:34: 'rate_limited' must be 'success', 'failure' or 'ignore', not 'fail' (did you mean 'failure'?)"),
        ("breaker: {window: 0s}",
         "f:4:19: no time at all is too short for anything to happen; leave it out for no bound"),
        ("retry: {budget: {fault: 5}}", "f:4:17: 'fault' does not belong to a ratio; name the 'quota' too"),
        ("retry: {budget: {quota: 5, window: 1s}}", "f:4:17: 'window' does not belong to a quota"),
        ("retry: {budget: {ratio: 11}}", "f:4:25: 'ratio' must be at most 10, not 11"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_policy(text: str, expected: str) -> None:
    """One line, with its place and what would be right."""
    assert expected == complaint(Policy, BASE + text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mode: observ", "f:2:7: 'observ' is no mode (did you mean 'observe'?)"),
        ("mode: dry", "f:2:7: 'dry' is no mode (there are: enforce, observe, off)"),
        ("mode: [off]", "f:2:7: 'mode' must be a mapping, not a list"),
        ("mode: {limiter: on}", "f:2:17: 'limiter' must be 'enforce', 'observe' or 'off', not 'on'"),
        ("mode: {breker: off}",
         ("f:2:8: the key must be 'retry', 'retry_budget', 'credits', 'breaker', 'limiter' or 'concurrency', not 'breker' "
         "(did you mean 'breaker'?)")),
        ("refusals: rise", "f:2:11: 'refusals' must be 'reply' or 'raise', not 'rise' (did you mean 'raise'?)"),
        ("store: 5", "f:2:8: a store is a URL: memory://, sqlite:///path or redis://host:6379, as one text"),
        ("namespace: a b", "f:2:12: 'namespace' must be 1 to 64 letters, digits, '-', '_' and '.', not 'a b'"),
        ("providers: {a: {plan: ''}}", "f:2:23: 'plan' must have at least one character, not be ''"),
        ("providers: {a: {mode: of}}", "f:2:23: 'of' is no mode (did you mean 'off'?)"),
        ("providers: {a: {plann: free}}", "f:2:17: unknown key 'plann' (did you mean 'plan'?)"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_configuration(text: str, expected: str) -> None:
    """The same for resilience.yaml."""
    assert expected == complaint(Config, f"version: 1\n{text}")


def test_every_form_in_words_is_one_of_the_languages() -> None:
    """A pattern that changes takes its words along."""
    patterns = json.dumps([policy_schema(), config_schema()])

    assert all(json.dumps(pattern) in patterns for pattern in _FORMS)
