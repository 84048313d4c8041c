"""The typer application: which commands there are, and what goes for all of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Annotated

import typer

from . import (
    _autoload,
    _breaker,
    _check,
    _config,
    _credits,
    _credits_opened,
    _doctor,
    _explain,
    _fake_provider,
    _ledger,
    _run,
    _schema,
    _status,
    _test,
)
from ._group import DEFAULT, GroupWithDefault
from ._output import say

__all__ = ["app"]

_BREAKER = "Hold a provider's calls back by hand, let them through again, or see how its breakers are."
_AUTOLOAD = "Have every Python of this environment obey the policies where RESILIENCE_AUTO is 1, without `run`."
_CREDITS = "Show what is spent, reserved and left of each budget, and what providers have shut."
_CONFIG = "See which configuration applies here, and where each value of it comes from; `check` looks for mistakes."
_LOADING: dict[str, Callable[..., None]] = {
    "enable": _autoload.enable,
    "disable": _autoload.disable,
    "status": _autoload.status,
}
_SPENDING: dict[str, Callable[..., None]] = {
    DEFAULT: _credits.show,
    "ledger": _ledger.ledger,
    "unlatch": _credits_opened.unlatch,
    "reset": _credits_opened.reset,
}


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
    add = application.command
    # Options of `run` end where the program begins: `resilience run python -c ...` needs no `--`.
    add(epilog=_epilog(_run.EXAMPLE), context_settings={"allow_interspersed_args": False})(_run.run)
    add(epilog=_epilog(_explain.EXAMPLE))(_explain.explain)
    add(epilog=_epilog(_check.EXAMPLE))(_check.check)
    add(epilog=_epilog(_test.EXAMPLE))(_test.test)
    add(epilog=_epilog(_schema.EXAMPLE))(_schema.schema)
    add(epilog=_epilog(_status.EXAMPLE))(_status.status)
    breaker = typer.Typer(help=_BREAKER, no_args_is_help=True)
    for name, command in (("isolate", _breaker.isolate), ("close", _breaker.close), ("list", _breaker.listed)):
        breaker.command(name, epilog=_epilog(_breaker.EXAMPLES[name]))(command)
    application.add_typer(breaker, name="breaker", epilog=_epilog(_breaker.EXAMPLES["isolate"]))
    spending = typer.Typer(help=_CREDITS, cls=GroupWithDefault)
    for name, function in _SPENDING.items():
        spending.command(name, epilog=_epilog(_credits.EXAMPLES[name]))(function)
    application.add_typer(spending, name="credits", epilog=_epilog(_credits.EXAMPLES[DEFAULT]))
    configuration = typer.Typer(help=_CONFIG, no_args_is_help=True)
    # With a callback, so that its one command keeps its name.
    configuration.callback()(_no_options)
    configuration.command("show", epilog=_epilog(_config.EXAMPLE))(_config.show)
    application.add_typer(configuration, name="config", epilog=_epilog(_config.EXAMPLE))
    # The program's own options follow its name, as for `run`.
    settings = {"allow_interspersed_args": False}
    add(epilog=_epilog(_doctor.EXAMPLE), context_settings=settings)(_doctor.doctor)
    loading = typer.Typer(help=_AUTOLOAD, no_args_is_help=True)
    for name, function in _LOADING.items():
        loading.command(name, epilog=_epilog(_autoload.EXAMPLES[name]))(function)
    application.add_typer(loading, name="autoload", epilog=_epilog(_autoload.EXAMPLES["enable"]))
    add("fake-provider", epilog=_epilog(_fake_provider.EXAMPLE))(_fake_provider.fake_provider)
    return application


def _epilog(example: str) -> str:
    lines = "".join(f"\n  {line}" for line in example.splitlines())
    # A paragraph that begins with this sign keeps its lines.
    return f"\b\nExample:{lines}"


def _no_options() -> None:
    pass


def _version(wanted: bool) -> None:
    if wanted:
        try:
            say(f"resilience {metadata.version('httpx-resilience')}")
        except metadata.PackageNotFoundError:
            say("resilience, of a checkout that is not installed")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
