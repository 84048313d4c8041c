"""What a block of a program gives to its calls: it stands in the context while the block lasts, and says nothing after it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

__all__ = ["Within", "within"]


class Within:
    """Something that a block gives, and what stands around it."""

    __slots__ = ("around", "holds")

    def __init__(self, around: Any) -> None:
        # What was left behind in a context says nothing, and a context in which many blocks were left would grow by each.
        while around is not None and not around.holds:
            around = around.around
        self.around: Any = around
        """The same for the block around it, `None` for none."""
        self.holds = True
        """Whether its block lasts, wherever its context was copied to."""


Kind = TypeVar("Kind", bound=Within)


@contextmanager
def within(variable: ContextVar[Kind | None], given: Kind) -> Generator[None]:
    """Have all calls within it find what a block gives."""
    token = variable.set(given)
    try:
        yield
    finally:
        try:
            # A generator is left in any order, and one that is not read to its end in whatever context the collector comes.
            is_last = variable.get() is given
            if is_last:
                variable.reset(token)
        except ValueError:
            is_last = False
        if not is_last:
            # It cannot be taken back here, or may be put back later by what began within it; but it need not hold any more.
            given.holds = False
