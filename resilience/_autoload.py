"""Starting the launcher where its directory is not the first on the path: opentelemetry-instrument calls this."""

from __future__ import annotations

import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

__all__ = ["start"]


def start() -> None:
    """Make this process obey the policies, if RESILIENCE_AUTO is 1, as `resilience run` sets it; else do nothing.

    It is an entry point of the group `opentelemetry_post_instrument`, which every installation has: whoever traces
    does not ask for policies by that.

    Raises:
        SystemExit: the configuration cannot be honoured, and this is the program of `resilience run`.
    """
    if os.environ.get("RESILIENCE_AUTO") != "1":
        return
    # By its path: as a module of this package it would not know that it is not Python's `sitecustomize`.
    spec = spec_from_file_location("_resilience_launcher", Path(__file__).parent / "_launcher" / "sitecustomize.py")
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))
