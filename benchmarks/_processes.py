"""A function in a fresh process: each has its own imports, its own luck with memory, and no traces of others."""

from __future__ import annotations

import importlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["CHECKOUT", "Failed", "elsewhere", "environment"]

CHECKOUT = Path(__file__).parent.parent
LONGEST = 900.0
"""Seconds that one process may take."""


class Failed(Exception):
    """The process ended with an error; the last line of what it said."""


def environment(**variables: str) -> dict[str, str]:
    """The variables of a fresh process: none of this library, the checkout first, and compiled modules are kept."""
    others = ("RESILIENCE_", "OTEL_", "PYTHONDONTWRITEBYTECODE")
    own = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    path = os.pathsep.join((str(CHECKOUT), *filter(None, [own.get("PYTHONPATH")])))
    return {**own, "PYTHONPATH": path, **variables}


def elsewhere(function: str, /, **arguments: Any) -> Any:
    """Call a function in a process of its own.

    Arguments:
        function: `module:name`.
        arguments: what it gets, as far as JSON can say it.

    Returns:
        what it returned, as far as JSON can say it.

    Raises:
        Failed: it raised.
    """
    command = [sys.executable, "-W", "ignore", "-m", __name__, function, json.dumps(arguments)]
    try:
        run = subprocess.run(  # noqa: S603  our own functions
            command, capture_output=True, text=True, check=False, timeout=LONGEST, env=environment()
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{function} has not ended within {LONGEST:g}s") from None
    if run.returncode != 0:
        raise Failed((run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1])
    return json.loads(run.stdout.splitlines()[-1])


def _main() -> None:
    # As in an application that has set up its log, and shows warnings elsewhere.
    logging.getLogger().addHandler(logging.NullHandler())
    module, name = sys.argv[1].split(":")
    found = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))
    print(json.dumps(found))


if __name__ == "__main__":
    _main()
