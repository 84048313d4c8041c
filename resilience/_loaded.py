"""A configuration with the policy files that it names, read again: files that are as they were are not read twice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ._config import active
from ._config_read import read
from ._document import children
from ._load import load_policy
from ._shipped import find_policy, shipped_directory
from ._stamps import Noted, noting, stamps_of
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._policy import Policy
    from ._registry import Policies

__all__ = ["Known", "Loaded", "read_all", "try_all"]

Known: TypeAlias = "Mapping[str, tuple[Noted, Policy]]"
"""Policies by their absolute paths, with the files that were read for each."""


class Loaded(NamedTuple):
    """What a configuration makes of a process."""

    policies: Policies
    every: float
    """Seconds between two looks at its files; 0 for none."""
    noted: Noted
    """The files that were read."""
    says: Mapping[str, object]
    """What it says, with the environment, by dotted keys."""
    known: Known


def read_all(path: Path, noted: Noted, known: Known | None = None) -> Loaded:
    """Read a configuration and the policies that it names.

    Arguments:
        path: of the configuration.
        noted: where what is read is noted.
        known: what was read before.

    Raises:
        ConfigurationError: it cannot be honoured.
    """
    before, now = known or {}, dict[str, "tuple[Noted, Policy]"]()

    def load(policy: str | os.PathLike[str], directory: Path) -> Policy:
        name = str(find_policy(policy, directory).absolute())
        found = before.get(name)
        # Compiled limits and rules stand in a policy, so that one that is as it was stays the same object.
        if found is None or stamps_of(found[0].stamps) != found[0].stamps:
            with noting() as own:
                try:
                    found = own, load_policy(find_policy(policy, directory))
                finally:
                    # Also of one that cannot be honoured: it is looked at until it can.
                    noted.add(own)
        noted.add(found[0])
        now[name] = found
        return found[1]

    config = read(path)
    policies = active(config, load=load)
    assert config is not None
    noted.leave_out(shipped_directory())
    says: object = config.document and config.document.data
    return Loaded(policies, config.config.reload, noted, dict(_flat(says)), now)


def try_all(path: Path, noted: Noted, known: Known) -> tuple[Loaded | None, Exception | None]:
    """The same, or why that cannot be honoured."""
    from .stores import open_store

    try:
        loaded = read_all(path, noted, known)
        # The next call would open it; one that cannot be opened is a mistake like any other.
        open_store(loaded.policies.store, namespace=loaded.policies.namespace)
    except ConfigurationError as error:
        return None, error
    except Exception as error:  # noqa: BLE001  whatever it is, the call that has looked must not fail for it
        return None, RuntimeError(f"{type(error).__name__}: {error}")
    return loaded, None


def _flat(value: object, prefix: str = "") -> list[tuple[str, object]]:
    """What a configuration says by dotted keys; lists stay whole."""
    below = [] if isinstance(value, list) else children(value)
    if not below:
        return [(prefix, value)]
    return [each for key, child in below for each in _flat(child, f"{prefix}.{key}" if prefix else str(key))]
