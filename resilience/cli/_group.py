"""A command that has commands of its own, and does something without any of them: `resilience credits`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

__all__ = ["DEFAULT", "GroupWithDefault"]

DEFAULT = "show"
"""The command that is meant where none is named."""


class GroupWithDefault(TyperGroup):
    """A group of commands, one of which need not be named; help shows its options too.

    The contexts are those of click, or of typer's own copy of it, by its version.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the default where the first word is no command."""
        if not args or args[0] not in {*self.commands, "--help", "-h"}:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What the default takes, or a command."""
        return [*self.commands[DEFAULT].collect_usage_pieces(ctx), "| COMMAND ..."]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Those of the default, and then the commands."""
        self.commands[DEFAULT].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)
