"""`resilience schema`: the JSON Schema of policy files, or of resilience.yaml, for editors."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience._schema import config_schema, policy_schema

from ._output import say_json

__all__ = ["EXAMPLE", "schema"]

EXAMPLE = "resilience schema > policy.schema.json"


def schema(
    *,
    config: Annotated[bool, typer.Option("--config", help="The schema of resilience.yaml instead.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Nothing changes: a schema is JSON.")] = False,  # noqa: ARG001
) -> None:
    """Print the JSON Schema of policy files, for editors."""
    say_json(config_schema() if config else policy_schema())
