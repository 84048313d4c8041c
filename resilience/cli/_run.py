"""`resilience run`: another program, with `resilience.install()` done in it and in the Pythons that it starts."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from .._config import find_config, policies_for
from ._output import complain, fail

__all__ = ["environment", "isolation", "run"]

_LAUNCHER = Path(__file__).parent.parent / "_launcher"
# This project's own fixed pattern; it reads a file's name once.
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*t?(?:\.exe)?", re.IGNORECASE)
# What shells answer for a command that is not there, and for one that cannot be executed (POSIX, XCU 2.8.2).
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


def run(
    command: Annotated[list[str], typer.Argument(metavar="[--] CMD...", help="The program and its arguments.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration; default ./resilience.yaml.")
    ] = None,
    json: Annotated[  # noqa: A002
        bool, typer.Option("--json", help="Do not run it: print the command and the environment it would get.")
    ] = False,
) -> None:
    """Run a program whose httpx and httpx2 clients obey the policies; no line of it changes.

    Python programs that it starts obey them too. It ends as the program ends; 2 if the configuration cannot be
    honoured, 126 if the program cannot be executed, 127 if it is not found.

    \b
    Example:
      resilience run -- python app.py
      resilience run --config staging.yaml -- uvicorn shop:app
    """
    chosen = config or find_config()
    if chosen is not None:
        # Its mistakes are shown here, once, and not by each of the program's processes.
        policies_for(None, chosen)
    changed = environment(os.environ, chosen)
    executable = shutil.which(command[0])
    if json:
        _show(command, executable, changed)
        return
    if executable is None:
        _refuse(command[0])
    if letters := isolation(command):
        complain(f"python -{letters} does not read PYTHONPATH or site packages: this program will not obey the policies")
    _replace_process(command, {**os.environ, **changed})


def environment(own: Mapping[str, str], config: Path | None) -> dict[str, str]:
    """The variables that differ for the program.

    Arguments:
        own: the variables of this process.
        config: the configuration file, `None` if there is none.
    """
    launcher = str(_LAUNCHER.resolve())
    others = [entry for entry in own.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != launcher]
    # `exec` keeps the process: the launcher knows by its number that it is in the program itself, not in a child of it.
    changed = {"PYTHONPATH": os.pathsep.join([launcher, *others]), "RESILIENCE_RUN_PID": str(os.getpid())}
    if config is not None:
        # Absolute: the program and its children may go to other directories.
        changed["RESILIENCE_CONFIG"] = str(config.absolute())
    return changed


def isolation(command: Sequence[str]) -> str:
    """The options of a Python command that keep the launcher out (some of E, I and S); empty if there are none."""
    if not _PYTHON.fullmatch(Path(command[0]).name):
        return ""
    found = ""
    arguments = iter(command[1:])
    for argument in arguments:
        if argument in {"-", "--"} or not argument.startswith("-"):
            break
        if argument.startswith("--"):
            # Of the long options only --check-hash-based-pycs takes a value.
            next(arguments, None) if argument == "--check-hash-based-pycs" else None
            continue
        letters = argument[1:]
        end = next((index for index, letter in enumerate(letters) if letter in "cmWX"), len(letters))
        found += "".join(letter for letter in letters[:end] if letter in "EIS")
        if letters[end : end + 1] in {"c", "m"}:
            break
        if end == len(letters) - 1:
            next(arguments, None)
    return "".join(dict.fromkeys(found))


def _show(command: Sequence[str], executable: str | None, changed: Mapping[str, str]) -> None:
    from ._output import say_json

    say_json({"command": list(command), "executable": executable, "environment": dict(changed)})


def _refuse(name: str) -> NoReturn:
    path = Path(name)
    if path.suffix in {".py", ".pyw"}:
        fail(f"{name} is a Python file, not a command; write: resilience run -- python {name}", code=_NOT_FOUND)
    if os.sep in name and path.is_file():
        fail(f"{name} is not executable; make it so with: chmod +x {name}", code=_NOT_EXECUTABLE)
    fail(f"{name}: command not found; check its spelling and PATH", code=_NOT_FOUND)


def _replace_process(command: Sequence[str], variables: Mapping[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":
        # There `exec` starts another process and ends this one at once: nobody would wait for the program.
        import subprocess

        sys.exit(subprocess.run(command, env=variables, check=False).returncode)
    for name in ("SIGPIPE", "SIGXFSZ"):
        # Python ignores these, and what is ignored stays so over an `exec`: the program would not end with its pipe.
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvpe(command[0], list(command), variables)
    except OSError as error:
        fail(f"{command[0]} cannot be executed: {error.strerror}; is it made for this machine?", code=_NOT_EXECUTABLE)
