"""What the user's own file may say."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from resilience._config_model import Config, read_config
from resilience.errors import ConfigurationError


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
            "providers": {"anakin": {"hosts": ["gateway.test"]}, "own": {"off": True}},
        }
    )

    assert (("own.yaml",), ("anakin",)) == (config.policies, config.shipped)
    assert (("gateway.test",), True) == (config.providers["anakin"].hosts, config.providers["own"].off)


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
    ],
    ids=str,
)
def test_a_mistake_is_named_with_its_place(data: dict[str, Any], message: str) -> None:
    """Every one of them, in one error."""
    with pytest.raises(ConfigurationError) as caught:
        read_config(data)

    assert str(caught.value).startswith("the configuration cannot be honoured: ")
    assert message in str(caught.value)
