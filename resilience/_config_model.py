"""What the user's configuration file may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, StrictBool, ValidationError

from ._hosts import Hosts
from ._model import Model, Name
from .errors import ConfigurationError

__all__ = ["Config", "Provider", "read_config"]


class Provider(Model):
    """What the user says of one provider."""

    off: StrictBool = False
    """Leave this provider's hosts alone."""
    hosts: Hosts | None = None
    """Other hosts that the policy speaks of: a gateway, a test server."""


class Config(Model):
    """The user's own file, `resilience.yaml`."""

    version: Literal[1]
    """The version of this file's language."""
    policies: tuple[str, ...] = ()
    """Policy files of the user's own, as paths from this file; one named like a shipped policy takes its place."""
    shipped: StrictBool | tuple[Name, ...] = Field(default=True)
    """Whether the shipped policies are active, or the names of those that are."""
    providers: dict[Name, Provider] = {}
    """Settings for single providers."""


def read_config(data: Mapping[str, Any]) -> Config:
    """A configuration from plain data.

    Raises:
        ConfigurationError: it cannot be honoured.
    """
    try:
        return Config.model_validate(dict(data))
    except ValidationError as error:
        details = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigurationError(f"the configuration cannot be honoured: {details}") from None
