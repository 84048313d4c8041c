"""What the user's own file may say."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest

from resilience._config_model import Config, read_config
from resilience._modes import LAYERS, Mode
from resilience._validate import validate
from resilience._yaml import parse
from resilience.errors import ConfigurationError, PolicyError


def test_a_version_is_enough() -> None:
    """Then every shipped policy is active for its own hosts."""
    assert Config(version=1, policies=(), shipped=True, providers={}) == read_config(MappingProxyType({"version": 1}))


def test_everything_is_read() -> None:
    """A list of shipped names, files of one's own, and settings of single providers."""
    config = read_config(
        {
            "version": 1,
            "policies": ["own.yaml"],
            "shipped": ["anakin"],
            "providers": {"anakin": {"hosts": ["gateway.test"]}, "own": {"off": True, "plan": "paid"}},
            "store": "redis://cache.test:6379",
            "namespace": "shop",
            "mode": {"retry_budget": "off"},
            "refusals": "raise",
        }
    )

    assert (("own.yaml",), ("anakin",)) == (config.policies, config.shipped)
    assert ("redis://cache.test:6379", "shop", "raise") == (config.store, config.namespace, config.refusals)
    assert ({"retry_budget": Mode.OFF}, "paid") == (config.mode, config.providers["own"].plan)
    assert (("gateway.test",), True) == (config.providers["anakin"].hosts, config.providers["own"].off)


def test_one_mode_stands_for_all_layers() -> None:
    """And modes of single layers leave the others as they are."""
    config = read_config({"version": 1, "mode": "observe", "providers": {"a": {"mode": {"retry": "off"}}}})

    assert dict.fromkeys(LAYERS, Mode.OBSERVE) == config.mode
    assert {"retry": Mode.OFF} == config.providers["a"].mode


@pytest.mark.parametrize("store", [["redis://u:secret@h"], "redis://u:secret@h" + "x" * 2000, {"url": "secret"}])
def test_nothing_of_a_store_is_shown(store: object) -> None:
    """Neither in a complaint, from a file or from data, nor when the configuration is printed."""
    with pytest.raises(ConfigurationError) as of_data:
        read_config({"version": 1, "store": store})
    with pytest.raises(PolicyError) as of_file:
        validate(Config, parse(json.dumps({"version": 1, "store": store}), "f"))

    assert "secret" not in str(of_data.value) + str(of_file.value)
    assert "secret" not in repr(read_config({"version": 1, "store": "redis://u:secret@h"}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "missing key 'version' (write `version: ...`)"),
        ({"version": 2}, "version: 'version' must be 1, not 2"),
        ({"version": True}, "version: 'version' must be 1, not true"),
        ({"version": 1.0}, "version: 'version' must be 1, not 1.0"),
        ({"version": 1, "shiped": False}, "shiped: unknown key 'shiped' (did you mean 'shipped'?)"),
        ({"version": 1, "shipped": 1}, "shipped: 'shipped' must be true or false or a list, not 1"),
        (
            {"version": 1, "spans": "Always"},
            "'spans' must be 'always', 'touched', 'never' or 'off', not 'Always' (did you mean 'always'?)",
        ),
        ({"version": 1, "policies": ("a", 5)}, "policies.1: item 2 of 'policies' must be text, not 5"),
        ({"version": 1, "gate": None}, "gate: nothing is no number of calls at a time; write auto, off, or a whole"),
        ({"version": 1, "gate": True}, "gate: true is no number of calls at a time"),
        ({"version": 1, "gate": "32"}, "gate: '32' is text, not a number; leave out the quotes"),
        ({"version": 1, "reload": None}, "reload: nothing is no time between two looks"),
        (
            {"version": 1, "providers": {"a": {"hosts": [5]}}},
            "honoured: providers.a.hosts.0: item 1 of 'hosts' must be",
        ),
        (
            {"version": 1, "providers": {"a": {"budgets": [{"name": name, "limit": "5 credits"} for name in "abab"]}}},
            "two have the name 'a'; two have the name 'b'",
        ),
        ({"version": 1, 5: 6}, "5: unknown key '5'"),
        ({"version": 1, "providers": {"A": {}}}, "providers.A"),
        ({"version": 1, "providers": {"a": {"hosts": []}}}, "providers.a.hosts"),
        ({"version": 1, "providers": {"a": {"off": "yes"}}}, "providers.a.off: 'off' must be true or false, not 'yes'"),
        ({"version": 2, "policies": 1}, "; policies: "),
        ({"version": 1, "mode": "observ"}, "mode: 'observ' is no mode"),
        (
            {"version": 1, "mode": {"limiter": "on"}},
            "mode.limiter: 'limiter' must be 'enforce', 'observe' or 'off', not 'on'",
        ),
        ({"version": 1, "providers": {"a": {"mode": {"limit": "off"}}}}, "providers.a.mode.limit"),
        ({"version": 1, "refusals": "error"}, "refusals: 'refusals' must be 'reply' or 'raise', not 'error'"),
        ({"version": 1, "namespace": "a b"}, "namespace: 'namespace' must be 1 to 64 letters"),
        ({"version": 1, "store": 5}, "store: a store is a URL: memory://, sqlite:///path or redis://host:6379"),
    ],
    ids=str,
)
def test_a_mistake_is_named_with_its_place(data: dict[str, Any], message: str) -> None:
    """Every one of them, in one error."""
    with pytest.raises(ConfigurationError) as caught:
        read_config(data)

    assert str(caught.value).startswith("the configuration cannot be honoured: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data", [{"shiped": 1}, {"spans": "Always"}, {"mode": {"limit": "off"}}, {"providers": {"a": {}, "B": {}}}]
)
def test_a_mapping_is_told_what_a_file_would_be(data: dict[str, Any]) -> None:
    """The same words and the same remedy."""
    whole = {"version": 1, **data}
    with pytest.raises(PolicyError) as of_file:
        validate(Config, parse(json.dumps(whole), "f"))
    with pytest.raises(ConfigurationError) as of_data:
        read_config(MappingProxyType(whole))

    (problem,) = of_file.value.problems
    assert str(problem).removeprefix(f"{problem.place}: ") in str(of_data.value)


def test_a_mapping_that_holds_itself_is_refused() -> None:
    """And not followed for ever."""
    data: dict[str, Any] = {"version": 1}
    data["providers"] = {"a": data}
    data["policies"] = [data]

    with pytest.raises(ConfigurationError, match="unknown key 'policies'"):
        read_config(data)
