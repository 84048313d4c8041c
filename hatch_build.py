"""Reads the policies once when the wheel is built, and writes what they say beside them, for programs to start sooner."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["PoliciesHook"]


class PoliciesHook(BuildHookInterface[Any]):
    """Of a wheel, and of a checkout that is installed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write `policies/*.json`; a policy with a mistake ends the build, a checkout that is read-only does not.

        Arguments:
            version: `standard` or `editable`.
            build_data: what else goes into the wheel; the whole directory does already.
        """
        del version, build_data
        # The checkout's own code, which is not installed yet.
        sys.path.insert(0, self.root)
        try:
            from resilience._built import build
        finally:
            sys.path.remove(self.root)
        try:
            build(Path(self.root) / "policies")
        except OSError as error:
            self.app.display_warning(f"the policies will be read from their YAML, which takes longer: {error}")
