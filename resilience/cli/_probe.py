"""What a Python has installed, as JSON; run by the Python that is asked, which may be old and have none of ours."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from importlib import metadata
from typing import Any

__all__ = ["look"]


def look(names: list[str], libraries: list[str]) -> dict[str, Any]:
    """What is installed of some distributions, and whether clients of the libraries can be reached.

    Arguments:
        names: of distributions.
        libraries: modules that have a Client and an AsyncClient.
    """
    versions: dict[str, str] = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    clients: dict[str, dict[str, Any]] = {}
    for name in libraries:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        kinds = (getattr(module, "Client", object), getattr(module, "AsyncClient", object))
        # A tracer may have put a class of its own in the place of one.
        is_open = all(hasattr(kind, "_send_single_request") for kind in kinds)
        clients[name] = {"version": getattr(module, "__version__", "?"), "reachable": is_open}
    return {
        "python": sys.executable,
        "prefix": sys.prefix,
        "version": ".".join(map(str, sys.version_info[:3])),
        "resilience": importlib.util.find_spec("resilience") is not None,
        "distributions": versions,
        "clients": clients,
    }


if __name__ == "__main__":
    # In a line of its own: a sitecustomize may have said something before.
    sys.stdout.write("\n" + json.dumps(look(*json.loads(sys.argv[1]))))
