"""The command `resilience`: each of its commands is a module of this package.

Exit codes of every command: 0 all is well; 1 what was looked at is not in order; 2 the command line or a file cannot be
honoured; 130 interrupted. `resilience run` ends as its program ends.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from resilience.errors import ConfigurationError

from ._launch import launch, quick
from ._output import complain, nobody_reads

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process.

    Arguments:
        arguments: what follows the command's name; by default the process's own arguments.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    for name in ("stdout", "stderr"):
        # A supervisor may have closed it. A program that is run has none either: this one is not inherited.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        # What the output's encoding cannot hold is shown as an escape, never as a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _exit_code(given)
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        nobody_reads()
    except (ConfigurationError, OSError) as error:
        complain(str(error))
        code = 2
    sys.exit(code)


def _exit_code(arguments: list[str]) -> int | str | None:
    code: int | str | None = 0
    try:
        # typer takes half a second to import where pydantic is installed: a program should not start so much later.
        if arguments[:1] == ["run"] and (plain := quick(arguments[1:])) is not None:
            launch(*plain)
        from ._app import app

        app()(arguments, prog_name="resilience")
    except SystemExit as done:
        code = done.code
    sys.stdout.flush()
    return code
