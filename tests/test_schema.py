"""The JSON Schema for editors accepts what this library accepts, and refuses misspelt keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from resilience._schema import config_schema, policy_schema
from resilience._shipped import shipped_directory, shipped_names
from resilience._yaml import parse

POLICY = Draft202012Validator(policy_schema())
CONFIG = Draft202012Validator(config_schema())
SMALL = {"version": 1, "provider": "some", "match": {"hosts": ["some.test"]}}


def data(path: Path) -> Any:
    """What stands in a file, with dates as an editor reads them: as texts."""
    return json.loads(json.dumps(parse(path.read_bytes(), str(path)).data, default=str))


def mappings(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a schema."""
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from mappings(child)


@pytest.mark.parametrize("validator", [POLICY, CONFIG], ids=["policy", "config"])
def test_the_schemas_are_schemas(validator: Draft202012Validator) -> None:
    """Of the draft that they name, and without an address that nobody serves."""
    Draft202012Validator.check_schema(validator.schema)

    assert "https://json-schema.org/draft/2020-12/schema" == validator.schema["$schema"]
    assert "$id" not in validator.schema


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_policies_fit(name: str) -> None:
    """Nothing that this library reads is underlined in an editor."""
    assert [] == list(POLICY.iter_errors(data(shipped_directory() / f"{name}.yaml")))


@pytest.mark.parametrize("name", shipped_names())
def test_misspelt_keys_do_not_fit(name: str) -> None:
    """Neither at the top nor in a rule, an operation, a page or the retry settings."""
    policy = data(shipped_directory() / f"{name}.yaml")
    parts = [
        policy,
        policy["answers"][0],
        policy["answers"][0]["when"],
        policy["match"],
        policy["examples"][0]["answer"],
    ]
    parts += [next(iter(policy["docs"].values())), *list(policy.get("operations", {}).values())[:1], policy["retry"]]

    for part in parts:
        part["mispelt"] = 1
        assert not POLICY.is_valid(policy)
        del part["mispelt"]
        assert POLICY.is_valid(policy)


@pytest.mark.parametrize(
    "parts",
    [
        {"operations": {"job": {"path": "/job"}}},
        {"operations": {"job": {"path": ["/job", "/jobs/{id}"], "method": "GET"}}},
        {"envelopes": {"code": "error.code"}},
        {"envelopes": [{"code": ["error.code", "code"]}]},
        {"answers": [{"rule": "a", "when": {"status": [429, "5xx"], "code": 17}, "category": "auth"}]},
        {"answers": [{"rule": "a", "when": {"code": [17, "A"], "absent": "x"}, "category": "auth"}]},
        {"answers": [{"rule": "a", "when": {"error": "read_timeout"}, "category": "auth"}]},
        {"answers": [{"rule": "a", "when": {"body": {"a": [1, None], "b": {"in": [1]}}}, "category": "auth"}]},
        {"retry": {"backoff": {"between": ["1s", "1m30s"]}, "wait": [{"header": "X-Wait", "as": "seconds"}]}},
    ],
)
def test_short_forms_fit(parts: dict[str, Any]) -> None:
    """One entry may stand for a list of one, a number for a code."""
    assert [] == list(POLICY.iter_errors(SMALL | parts))


@pytest.mark.parametrize(
    "parts",
    [
        {"version": 2},
        {"provider": "Some"},
        {"operations": {"Job": {"path": "/job"}}},
        {"operations": {"job": {}}},
        {"deadline": 30},
        {"deadline": "30"},
        {"answers": [{"rule": "a", "when": {"status": 400}, "category": "unknown"}]},
        {"retry": {"max_attempts": 0}},
        {"retry": {"categories": {"unknown": {}}}},
    ],
)
def test_mistakes_do_not_fit(parts: dict[str, Any]) -> None:
    """Names, units, numbers and categories are looked at; so are keys that are missing."""
    assert not POLICY.is_valid(SMALL | parts)
    assert not POLICY.is_valid({key: value for key, value in SMALL.items() if key != "match"})


def test_a_file_that_extends_another_says_what_differs() -> None:
    """Nothing is required of it, mappings may be given in part, and null takes a key away; what it says is looked at."""
    changes: dict[str, Any] = {
        "extends": "some",
        "match": None,
        "retry": {"backoff": {"max": "5s"}, "categories": {"auth": None}},
        "operations": {"job": {"repeatable": True}, "gone": None},
        "docs": {"errors": {"rows": {"status": 4}}},
    }

    assert [] == list(POLICY.iter_errors(changes))
    assert not POLICY.is_valid(changes | {"retry": {"mispelt": 1}})
    assert not POLICY.is_valid(changes | {"operations": {"job": {"mispelt": 1}}})
    assert not POLICY.is_valid(changes | {"answers": [{"rule": "a"}]})
    assert not POLICY.is_valid(changes | {"retry": {"backoff": {"max": 5}}})


def test_keys_are_described() -> None:
    """The models' docstrings are what an editor shows beside a key; a model behind a reference brings its own."""
    properties = [
        part["properties"] for part in mappings(policy_schema()["$defs"]) if isinstance(part.get("properties"), dict)
    ]

    undescribed = [
        key for keys in properties for key, value in keys.items() if not value.keys() & {"description", "$ref", "anyOf"}
    ]

    assert len(properties) > 20
    assert [] == undescribed


def test_the_configuration_file() -> None:
    """`resilience.yaml` has a schema of its own."""
    config = {
        "version": 1,
        "policies": ["a.yaml"],
        "shipped": ["anakin"],
        "providers": {"anakin": {"hosts": ["a.test"]}},
    }

    assert [] == list(CONFIG.iter_errors(config))
    assert not CONFIG.is_valid(config | {"polices": []})
    assert not CONFIG.is_valid(config | {"providers": {"anakin": {"of": True}}})
    assert not CONFIG.is_valid({"policies": []})
