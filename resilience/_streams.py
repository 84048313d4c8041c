"""What a provider documents about its WebSockets and server-sent events: data, on which nothing acts yet."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool, StrictInt

from ._categories import Category
from ._conditions import BodyPath
from ._matchers import Matcher, Texts
from ._model import Model

__all__ = ["CloseCode", "ServerEvent"]


class CloseCode(Model):
    """What it means when the provider closes a WebSocket."""

    code: Annotated[StrictInt, Field(ge=1000, le=4999)]
    """The close code (RFC 6455 section 7.4)."""
    message: Texts | None = None
    """A text that stands in the reason or in the error frame before it."""
    category: Category
    """What it means."""
    retryable: StrictBool | None = None
    """Whether connecting again is worth it; left out, the category decides."""
    row: str | None = None
    """The row of the page's table that this stands for."""
    doc: str | None = None
    """The page."""


class ServerEvent(Model):
    """What an event in a stream means."""

    event: str
    """The event's name."""
    data: dict[BodyPath, Matcher] = {}
    """Fields of its data."""
    category: Category
    """What it means."""
    ends_stream: StrictBool = False
    """Whether the provider closes the stream after it."""
    row: str | None = None
    """The row of the page's table that this stands for."""
    doc: str | None = None
    """The page."""
