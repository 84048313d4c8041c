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
        ({}, "version: Field required"),
        ({"version": 2}, "version: Input should be 1"),
        ({"version": 1, "shiped": False}, "shiped: Extra inputs are not permitted"),
        ({"version": 1, "shipped": 1}, "shipped.bool: Input should be a valid boolean"),
        ({"version": 1, "providers": {"A": {}}}, "providers.A"),
        ({"version": 1, "providers": {"a": {"hosts": []}}}, "providers.a.hosts"),
        ({"version": 1, "providers": {"a": {"off": "yes"}}}, "providers.a.off: Input should be a valid boolean"),
        ({"version": 2, "policies": 1}, "; policies: "),
        ({"version": 1, "mode": "observ"}, "mode: 'observ' is no mode"),
        ({"version": 1, "mode": {"limiter": "on"}}, "mode.limiter: Input should be 'enforce', 'observe' or 'off'"),
        ({"version": 1, "providers": {"a": {"mode": {"limit": "off"}}}}, "providers.a.mode.limit"),
        ({"version": 1, "refusals": "error"}, "refusals: Input should be 'reply' or 'raise'"),
        ({"version": 1, "namespace": "a b"}, "namespace: String should match"),
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
