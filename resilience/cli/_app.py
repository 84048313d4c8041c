"""The typer application: which commands there are, and what goes for all of them."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from ._check import check
from ._explain import explain
from ._fake_provider import fake_provider
from ._output import say
from ._run import run
from ._schema import schema
from ._test import test

__all__ = ["app"]


def app() -> typer.Typer:
    """The command line."""
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
    # Options of `run` end where the program begins: `resilience run python -c ...` needs no `--`.
    application.command(context_settings={"allow_interspersed_args": False})(run)
    for command in (explain, check, test, schema):
        application.command()(command)
    application.command("fake-provider")(fake_provider)
    return application


def _version(wanted: bool) -> None:  # noqa: FBT001  typer calls it so
    if wanted:
        say(f"resilience {metadata.version('httpx-resilience')}")
        raise typer.Exit


def _options(
    version: Annotated[  # noqa: ARG001  its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
