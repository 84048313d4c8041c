"""What the user's configuration file may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StringConstraints, ValidationError

from ._hosts import Hosts
from ._model import Model, Name
from ._modes import LAYERS, Layer, Mode
from .errors import ConfigurationError

__all__ = ["Config", "Provider", "read_config"]


def _for_all(value: object) -> object:
    return dict.fromkeys(LAYERS, value) if isinstance(value, str) else value


Modes = Annotated[dict[Layer, Mode], BeforeValidator(_for_all)]
"""One mode for all layers, or modes by the names of layers."""


class Provider(Model):
    """What the user says of one provider."""

    off: StrictBool = False
    """Leave this provider's hosts alone."""
    hosts: Hosts | None = None
    """Other hosts that the policy speaks of: a gateway, a test server."""
    plan: Name | None = None
    """The plan that you have, by its name in the policy's `plans`; until it is named, answers teach its limits."""
    mode: Modes | None = None
    """What the layers do with their decisions; goes before the `mode` of the whole file."""
    refusals: Literal["reply", "raise"] | None = None
    """What a refused call gets; goes before the `refusals` of the whole file."""


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
    store: Annotated[str, StringConstraints(min_length=1, max_length=2000)] = "memory://"
    """Where limits, permits, breakers and budgets keep their state: `memory://` (this process), `sqlite:///path` (this
    machine) or `redis://host:6379` (many machines). `${NAME}` stands for the environment variable."""
    namespace: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "resilience"
    """What all keys in a shared store begin with."""
    mode: Modes = {}
    """What the layers do with their decisions: `enforce`, `observe` or `off`, for all of them or by their names."""
    refusals: Literal["reply", "raise"] = "reply"
    """What a call gets that one of our layers refuses: a response in the provider's own shape, or an error."""


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
