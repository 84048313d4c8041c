"""What a provider's page says to change in a request that failed: data, named in explanations and not yet applied."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ._matchers import Scalar, Texts
from ._model import Model, Name
from ._units import Duration

__all__ = ["Remedy"]


class Remedy(Model):
    """What the page says to change in a request that failed. `resilience explain` names it; nothing applies it yet."""

    remedy: Name
    """Its name."""
    rules: Annotated[tuple[Name, ...], Field(min_length=1, alias="for")]
    """The rules whose answers it is for."""
    operations: Texts | None = None
    """The operations that it is for, if not for all."""
    advice: str
    """The page's advice, for a person."""
    set: dict[str, Scalar] = {}
    """Fields of the request body to set."""
    wait: tuple[Duration, Duration] | None = None
    """How long to wait first: the shortest and the longest."""
    row: str | None = None
    """The row of the page's table that this stands for."""
    doc: str | None = None
    """The page."""
