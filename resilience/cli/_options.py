"""The options and arguments that several commands take, in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ConfigFile", "Json", "OneProvider", "Provider", "StoreUrl"]

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration, if not ./resilience.yaml.")
]
StoreUrl = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="The store, if not that of the configuration.")
]
Json = Annotated[bool, typer.Option("--json", help="Say it in JSON.")]
Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="The provider, by the name of its policy.")]
OneProvider = Annotated[
    str | None, typer.Argument(metavar="PROVIDER", help="This provider alone, by the name of its policy.")
]
