"""The files by which every Python of an environment starts the launcher, where the environment variable asks for it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["MODULE", "PTH", "START", "contents"]

MODULE = "_resilience_autoload.py"
"""What the other two call."""
PTH = "httpx_resilience_autoload.pth"
"""Read by `site` of every Python; a virtual environment of Python 3.11 reads it twice."""
START = "httpx_resilience_autoload.start"
"""Read instead by Python 3.15 and later (PEP 829)."""

_MODULE_TEXT = '''\
"""Written by `resilience autoload enable`; `resilience autoload disable` removes it and the two files that call it."""

import os
import sys

_is_done = False


def start():
    """Make this Python obey the policies, if RESILIENCE_AUTO is 1; whatever goes wrong, it starts."""
    global _is_done
    asked = os.environ.get("RESILIENCE_AUTO") or "0"
    if _is_done or asked == "0":
        return
    _is_done = True
    if asked != "1":
        if sys.stderr is not None:
            sys.stderr.write("resilience: RESILIENCE_AUTO is neither 1 nor 0, so no policy is obeyed\\n")
        return
    try:
        from importlib.util import find_spec, module_from_spec, spec_from_file_location

        # Found, not imported: a program that calls no provider should not pay for it.
        package = find_spec("resilience")
        places = package.submodule_search_locations or () if package is not None else ()
        files = [os.path.join(place, "_launcher", "sitecustomize.py") for place in places]
        launcher = next((path for path in files if os.path.isfile(path)), None)
        if launcher is None:
            raise ImportError("httpx-resilience is not installed in " + sys.prefix)
        spec = spec_from_file_location("_resilience_launcher", launcher)
        spec.loader.exec_module(module_from_spec(spec))
    except Exception as error:
        if sys.stderr is not None:
            sys.stderr.write("resilience: RESILIENCE_AUTO is 1, but no policy is obeyed: %s\\n" % error)
'''


def contents() -> dict[str, str]:
    """The text of each file, by its name; the module first, since the others call it."""
    asks = 'os.environ.get("RESILIENCE_AUTO", "0") not in ("", "0")'
    return {
        MODULE: _MODULE_TEXT,
        PTH: f'import os; {asks} and __import__("{Path(MODULE).stem}").start()\n',
        START: f"{Path(MODULE).stem}:start\n",
    }
