"""What a block of a program gives to its calls: it stands in the context while the block lasts, and says nothing after it.

A generator is left in any order, and one that is not read to its end in whatever context the collector comes. So what
stands in a context is a chain of blocks, of which each is taken out of its own context when it ends, wherever it stands
there; contexts that were copied from it, as those of tasks are, keep the chain that they were begun with.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from typing import Any, TypeVar

__all__ = ["Within", "within"]


class _Block:
    """Whether a block says anything, in all chains that it stands in."""

    __slots__ = ("holds",)

    def __init__(self) -> None:
        self.holds = True


class Within:
    """Something that a block gives, and what stands around it."""

    __slots__ = ("around", "block")

    def __init__(self, around: Any) -> None:
        self.around: Any = _holding(around)
        """The same for the block around it, `None` for none."""
        self.block = _Block()

    @property
    def holds(self) -> bool:
        """Whether it says anything still, wherever its context was copied to."""
        return self.block.holds

    def end(self) -> None:
        """Say nothing any more, in any context."""
        self.block.holds = False


Kind = TypeVar("Kind", bound=Within)


@contextmanager
def within(variable: ContextVar[Kind | None], given: Kind) -> Generator[None]:
    """Have all calls within it find what a block gives."""
    token = variable.set(given)
    try:
        yield
    finally:
        chain = variable.get()
        try:
            variable.reset(token)
        except ValueError:
            # In another context: what stands in its own cannot be taken out from here, but it need not hold any more.
            given.end()
        else:
            variable.set(_without(chain, given.block))


def _without(chain: Any, block: _Block) -> Any:
    """A chain without one of its blocks: what has begun within it may last longer."""
    inner: list[Any] = []
    found = chain
    while found is not None and found.block is not block:
        inner.append(found)
        found = found.around
    if found is None:
        return chain
    rest = _holding(found.around)
    while inner:
        # A copy: tasks that were begun in the block have the chain as it was.
        link = copy(inner.pop())
        link.around, rest = rest, link
    return rest


def _holding(chain: Any) -> Any:
    # What was left behind in a context says nothing, and a context in which many blocks were left would grow by each.
    while chain is not None and not chain.holds:
        chain = chain.around
    return chain
