# ruff: noqa: INP001, PTH100, PTH112, PTH113, PTH120, UP045
# A directory on PYTHONPATH and no package; pathlib and typing take longer to import than all of this; old Pythons.
"""Makes a Python that `resilience run` starts obey the policies, and its children too; Python imports it at start.

What `resilience autoload` has written, and opentelemetry-instrument, execute it too, under another name.

Nothing but the standard library is imported here, and the rest of this library only once the program imports httpx or
httpx2: what calls no provider starts as fast as before. Older interpreters inherit this directory as well, so the code
keeps to what each of them reads, and a missing package is no error.
"""

import os
import sys
import threading
from importlib import util
from importlib.machinery import ModuleSpec, PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

__all__ = ["ResilienceLauncher"]

_LIBRARIES = ("httpx", "httpx2")
_DIRECTORY = os.path.realpath(os.path.dirname(__file__))


class ResilienceLauncher:
    """Calls `resilience.install()` right before httpx or httpx2 is imported for the first time.

    Arguments:
        config: the configuration file; `None` for none, whatever directory the program goes to.
    """

    def __init__(self, config: "Any") -> None:
        self._config = config
        self._lock = threading.Lock()
        self._asking = threading.local()
        self._begun = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        if self._lock.locked():
            # By a thread that is not there after a fork: what it had begun is begun anew.
            self._begun = False
            self._lock = threading.Lock()

    def find_spec(self, fullname: str, path: "Any" = None, target: "Any" = None) -> "Optional[ModuleSpec]":
        """What the finder finds that `install` adds, for this import may have passed its place already."""
        # That finder asks all others, and so this one again.
        if fullname not in _LIBRARIES or getattr(self._asking, "now", False):
            return None
        self._asking.now = True
        try:
            with self._lock:
                if not self._begun:
                    self._begun = True
                    self.install()
            found = next((finder for finder in tuple(sys.meta_path) if _is_installed(finder)), None)
            return found.find_spec(fullname, path, target) if found is not None else None
        finally:
            self._asking.now = False

    def install(self) -> None:
        """Install, unless the program has done so itself; where that fails, the program goes on without.

        Raises:
            SystemExit: the configuration cannot be honoured, and this is the program that was to be run.
        """
        stranger = _stranger()
        if stranger:
            # Only where it was asked for: another environment may have inherited nothing but the path.
            if _is_program() or os.environ.get("RESILIENCE_AUTO") == "1":
                _say(f"{stranger} hides httpx-resilience, so no policy is obeyed; rename it")
            return
        try:
            from resilience import errors, install
        except Exception as error:  # noqa: BLE001  an older Python fails in its own way, and must go on
            # Whoever typed the command must know; what a program starts in other environments goes on as ever.
            if _is_program():
                where = "this frozen program" if getattr(sys, "frozen", False) else sys.prefix
                _say(f"httpx-resilience cannot be imported in {where}, so no policy is obeyed ({error})")
            return
        try:
            if not any(_is_installed(finder) for finder in sys.meta_path):
                from resilience._config_read import NO_FILE

                install(NO_FILE if self._config is None else self._config)
                if os.environ.get("RESILIENCE_EXPLAIN"):
                    from resilience._explained import explain_at_exit

                    explain_at_exit()
        except errors.ConfigurationError as error:
            _say(f"the configuration cannot be honoured\n{error}")
            # Whoever typed the command must not take this for protection. What a program starts on its own account,
            # in another directory perhaps, is not ours to stop.
            if _is_program():
                raise SystemExit(2) from None


def _is_program() -> bool:
    """Whether this is the program that was to be run, and not one that it has started."""
    return os.environ.get("RESILIENCE_RUN_PID") == str(os.getpid())


def _stranger() -> str:
    """The file of another module with this library's name, which stands before it on the path; empty if none does."""
    try:
        spec = util.find_spec("resilience")
    except ValueError:
        # Somebody has put it together by hand.
        return ""
    origin = None if spec is None else spec.origin
    # Another installation of this library has a launcher too; in an archive there is no telling.
    if not origin or not os.path.isfile(origin) or os.path.isdir(f"{os.path.dirname(origin)}/_launcher"):
        return ""
    return origin


def _say(message: str) -> None:
    # A program may have no such stream.
    if sys.stderr is not None:
        sys.stderr.write(f"resilience: {message}\n")


def _is_installed(finder: "Any") -> bool:
    return type(finder).__module__ == "resilience._install"


def _config() -> "Any":
    """The configuration as it stands now: the program may go elsewhere before it imports a client."""
    named = os.environ.get("RESILIENCE_CONFIG")
    if named:
        return os.path.abspath(named)
    return os.path.abspath("resilience.yaml") if os.path.isfile("resilience.yaml") else None


def _start() -> None:
    launcher = ResilienceLauncher(_config())
    if any(name in sys.modules for name in _LIBRARIES):
        # A .pth file was faster, or a tracer.
        try:
            launcher.install()
        except SystemExit:
            # Python takes it for a mistake of its own while it starts.
            if sys.stderr is not None:
                sys.stderr.flush()
            os._exit(2)
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


def _stay_first() -> None:
    """Have the children find this directory before those that a tool has put in front of it, and that run no other."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    ours = [entry for entry in entries if os.path.realpath(entry or os.curdir) == _DIRECTORY]
    if ours and entries[0] != ours[0]:
        os.environ["PYTHONPATH"] = os.pathsep.join([ours[0], *(entry for entry in entries if entry not in ours)])


# Another copy of this file may come before or after this one: each runs once, and the first one starts.
_done: "set[str]" = sys.__dict__.setdefault("_resilience_launchers", set())
_starts = not _done
_done.add(_DIRECTORY)
# A program says so to what it starts and what must not obey.
if _starts and os.environ.get("RESILIENCE_AUTO") != "0":
    _start()
if __name__ == "sitecustomize":
    try:
        _run_next(_done)
    finally:
        _stay_first()
