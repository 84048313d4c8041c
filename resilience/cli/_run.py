"""`resilience run`: another program, with `resilience.install()` done in it and in the Pythons that it starts."""

from __future__ import annotations

import os
import shutil
from typing import Annotated

import typer

from ._launch import Options, environment, launch
from ._output import say_json

__all__ = ["EXAMPLE", "run"]

EXAMPLE = """\
resilience run -- python app.py
resilience run --config staging.yaml -- uvicorn shop:app
"""


def run(
    command: Annotated[list[str], typer.Argument(metavar="CMD", help="The program and its arguments.")],
    *,
    config: Annotated[
        str | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration; default ./resilience.yaml.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell on standard error, at the end, what was done to which calls.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Do not run it: print the command and the variables that it would get.")
    ] = False,
) -> None:
    """Run a program whose httpx and httpx2 clients obey the policies; no line of it changes.

    Python programs that it starts obey them too. Exit code: the program's own; 2 if the configuration cannot be
    honoured, 126 if the program cannot be executed, 127 if it is not found.
    """
    options = Options(config, explain)
    if not json:
        launch(options, command)
    variables = environment(os.environ, options)
    say_json({"command": command, "executable": shutil.which(command[0]), "environment": variables})
