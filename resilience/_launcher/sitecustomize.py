# ruff: noqa: INP001  a directory on PYTHONPATH, not a package
"""Makes a Python that `resilience run` starts obey the policies, and its children too; Python imports it at start.

Nothing but the standard library is imported here, and the rest of this library only once the program imports httpx or
httpx2: what calls no provider starts as fast as before. Older interpreters inherit this directory as well, so the code
keeps to what each of them reads, and a missing package is no error.
"""

import os
import sys
import threading
from importlib import util
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, Optional

__all__ = ["ResilienceLauncher"]

_LIBRARIES = ("httpx", "httpx2")
_DIRECTORY = os.path.realpath(os.path.dirname(__file__))


class ResilienceLauncher:
    """Calls `resilience.install()` right before httpx or httpx2 is imported for the first time.

    Arguments:
        config: the configuration, as `install` takes it.
    """

    def __init__(self, config: Any) -> None:
        self._config = config
        self._lock = threading.RLock()
        self._begun = False

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:  # noqa: UP045  for old Pythons
        """What the other finders find, those included that `install` has just put before this one."""
        if fullname not in _LIBRARIES:
            return None
        with self._lock:
            if not self._begun:
                self._begun = True
                self.install()
        for finder in tuple(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    return spec
        return None

    def install(self) -> None:
        """Install, unless the program has done so itself; where that fails, the program goes on without.

        Raises:
            SystemExit: the configuration cannot be honoured, and this is the program that was to be run.
        """
        try:
            from resilience import _install, errors
        except ImportError:
            return
        try:
            if not any(isinstance(finder, _install._Finder) for finder in sys.meta_path):
                _install.install(self._config)
        except errors.ConfigurationError as error:
            sys.stderr.write(f"resilience: the configuration cannot be honoured\n{error}\n")
            # Whoever typed the command must not take this for protection. What a program starts on its own account,
            # in another directory perhaps, is not ours to stop.
            if os.environ.get("RESILIENCE_RUN_PID") == str(os.getpid()):
                raise SystemExit(2) from None
        except Exception as error:
            sys.stderr.write(f"resilience: not installed: {type(error).__name__}: {error}\n")


def _config() -> Any:
    """The configuration as it stands now: the program may go elsewhere before it imports a client."""
    named = os.environ.get("RESILIENCE_CONFIG")
    if named:
        return os.path.abspath(named)
    return os.path.abspath("resilience.yaml") if os.path.isfile("resilience.yaml") else {"version": 1}


def _start() -> None:
    launcher = ResilienceLauncher(_config())
    if any(name in sys.modules for name in _LIBRARIES):
        # A .pth file was faster.
        launcher.install()
    else:
        sys.meta_path.insert(0, launcher)


def _run_next(done: "set[str]") -> None:
    """Run the `sitecustomize` that this one hides; its errors are Python's to report, as ever."""
    others = [entry for entry in sys.path if os.path.realpath(entry or os.curdir) not in done]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


# Another copy of this file may come before or after this one: each runs once, and the first one starts.
_done: "set[str]" = sys.__dict__.setdefault("_resilience_launchers", set())
if not _done:
    _start()
_done.add(_DIRECTORY)
_run_next(_done)
