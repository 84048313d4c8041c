"""The command `resilience`: each of its commands is a module of this package, imported when it is needed.

Exit codes of every command: 0 all is well; 1 what was looked at is not in order; 2 the command line or a file cannot be
honoured; 130 interrupted. `resilience run` ends with the exit code of the program.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import Annotated, Any, NoReturn

import typer

from ..errors import ConfigurationError
from ._output import complain

__all__ = ["app", "main"]

# Each command's module has a function of its name; importing one costs up to half a second, so only one is imported.
_COMMANDS = {
    "run": "_run",
    "explain": "_explain",
    "check": "_check",
    "test": "_test",
    "schema": "_schema",
    "fake-provider": "_fake_provider",
}
# Options of `run` end where the program begins: `resilience run python -c ...` needs no `--`.
_SETTINGS: dict[str, dict[str, Any]] = {"run": {"allow_interspersed_args": False}}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process.

    Arguments:
        arguments: what follows the command's name; by default the process's own arguments.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding cannot show is shown as an escape, never as a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(_run(given))
    except KeyboardInterrupt:
        sys.exit(130)
    except ConfigurationError as error:
        complain(str(error))
        sys.exit(2)
    except BrokenPipeError:
        _forget_output()
        # As a shell reports a program that SIGPIPE ended.
        sys.exit(141)
    except OSError as error:
        complain(str(error))
        sys.exit(2)


def _run(arguments: list[str]) -> int:
    code: object = 0
    try:
        app(arguments[0] if arguments and arguments[0] in _COMMANDS else None)(arguments, prog_name="resilience")
    except SystemExit as done:
        code = done.code
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _forget_output() -> None:
    """Nobody reads on: what is still in the buffer would only be complained about at the end."""
    import os  # noqa: PLC0415  needed in this case only

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def app(only: str | None = None) -> typer.Typer:
    """The command line.

    Arguments:
        only: the one command that is needed; by default all of them.
    """
    application = typer.Typer(
        add_completion=False,
        help="Policy files for the providers an application calls, obeyed by its own httpx and httpx2 clients.",
        epilog="Example: resilience run -- python app.py",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    application.callback()(_options)
    for name, module in _COMMANDS.items():
        if only in {None, name}:
            function = getattr(import_module(f".{module}", __name__), name.replace("-", "_"))
            application.command(name, context_settings=_SETTINGS.get(name))(function)
    return application


def _version(wanted: bool) -> None:  # noqa: FBT001  typer calls it so
    if wanted:
        typer.echo(f"resilience {metadata.version('httpx-resilience')}")
        raise typer.Exit


def _options(
    version: Annotated[  # noqa: ARG001  its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
