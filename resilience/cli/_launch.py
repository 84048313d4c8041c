"""Putting another program in the place of this process, so that the Pythons in it obey the policies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from resilience._config import active, find_config
from resilience._config_read import NO_FILE, read
from resilience.errors import ConfigurationError

from ._output import complain, fail, visible
from ._reach import hindrance_of

__all__ = ["LAUNCHER", "Options", "environment", "launch", "quick"]

LAUNCHER = Path(__file__).parent.parent / "_launcher"
"""The directory on PYTHONPATH by which a Python that starts finds this library."""
# What shells answer for a command that is not there, and for one that cannot be executed (POSIX, XCU 2.8.2).
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


@dataclass(slots=True)
class Options:
    """The options of `run`.

    Arguments:
        config: the configuration file; by default the one that RESILIENCE_CONFIG names, else ./resilience.yaml.
        explain: whether the program is to tell at its end what was done to its calls.
    """

    config: str | None = None
    explain: bool = False


def quick(arguments: Sequence[str]) -> tuple[Options, list[str]] | None:
    """The options and the command of `run`, where they are written as plainly as in its help.

    Anything else (`--help`, `--json`, a mistake) is `None`: the command line's own parser is to look at it.
    """
    options, rest = Options(), list(arguments)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        if word == "--explain":
            options.explain = True
        elif word in {"--config", "-c"} and rest:
            options.config = rest.pop(0)
        else:
            return None
    return (options, rest) if rest else None


def launch(options: Options, command: Sequence[str]) -> NoReturn:
    """Become the program.

    Arguments:
        options: those of `run`.
        command: the program and its arguments.

    Raises:
        ConfigurationError: the configuration cannot be honoured.
        SystemExit: there is no such program, or it cannot be executed.
    """
    changed = environment(os.environ, options)
    if shutil.which(command[0]) is None:
        _refuse(command[0])
    if not changed:
        complain("RESILIENCE_AUTO is 0, so no policy is obeyed; unset it to have this program obey")
    elif hindrance := hindrance_of(command):
        complain(hindrance)
    _replace_process(command, {**os.environ, **changed})


def environment(own: Mapping[str, str], options: Options) -> dict[str, str]:
    """The variables that differ for the program; the configuration is checked, so that its mistakes are shown here.

    Arguments:
        own: the variables of this process.
        options: those of `run`.

    Returns:
        Nothing where RESILIENCE_AUTO is 0: it switches off, whatever is the matter with the configuration.

    Raises:
        ConfigurationError: the configuration, or that variable, cannot be honoured.
    """
    asked = own.get("RESILIENCE_AUTO")
    if asked == "0":
        return {}
    if asked not in {None, "", "1"}:
        raise ConfigurationError(f"RESILIENCE_AUTO is {asked!r:.60}; write 0 to switch off, or unset it")
    config = find_config() if options.config is None else Path(options.config)
    launcher = str(LAUNCHER.resolve())
    path = own.get("PYTHONPATH")
    # An empty entry is the working directory, by which the program may find its modules; an empty path is none.
    others = [entry for entry in path.split(os.pathsep) if entry != launcher] if path else []
    # A process keeps its number when another program takes its place: so the launcher tells it from its children.
    changed = {"PYTHONPATH": os.pathsep.join([launcher, *others]), "RESILIENCE_RUN_PID": str(os.getpid())}
    if (found := read(NO_FILE if config is None else config)) is not None:
        active(found)
    # For what does not look there: opentelemetry-instrument in front, and environments with autoload.
    changed["RESILIENCE_AUTO"] = "1"
    if config is not None:
        # Absolute: the program and its children may go to other directories.
        changed["RESILIENCE_CONFIG"] = str(config.absolute())
    if options.explain:
        changed["RESILIENCE_EXPLAIN"] = "1"
    return changed


def _refuse(name: str) -> NoReturn:
    path = Path(name)
    if path.suffix in {".py", ".pyw"}:
        fail(f"{name} is a Python file, not a command; write: resilience run -- python {name}", code=_NOT_FOUND)
    if os.sep in name and path.is_file():
        fail(f"{name} is not executable; allow it with: chmod +x {name}", code=_NOT_EXECUTABLE)
    fail(f"{visible(name)}: command not found; check its spelling and PATH", code=_NOT_FOUND)


def _replace_process(command: Sequence[str], variables: Mapping[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":
        # There `exec` starts another process and ends this one at once: nobody would wait for the program.
        sys.exit(subprocess.run(command, env=variables, check=False).returncode)  # noqa: S603  the user's own command
    for name in ("SIGPIPE", "SIGXFSZ"):
        # Python ignores these, and what is ignored stays so over an `exec`: the program would outlive its pipe.
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvpe(command[0], list(command), variables)  # noqa: S606  the user's own command, without a shell
    except OSError as error:
        fail(f"{command[0]} cannot be executed: {error.strerror}; is it made for this machine?", code=_NOT_EXECUTABLE)
