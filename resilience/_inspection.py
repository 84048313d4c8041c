"""Which bodies may be looked at before the application sees them, and how much of each."""

from __future__ import annotations

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from ._conditions import is_media_type
from ._last_events import STREAMS
from ._matchers import Statuses, Texts
from ._model import Model
from ._units import Size

__all__ = ["BODILESS", "Inspection"]

BODILESS = frozenset({*range(100, 200), 204, 205, 304})
"""The statuses of answers that have no body whatever their headers say (RFC 9110 sections 15.2, 15.3.5, 15.3.6, 15.4.5)."""

# Bodies without an end of their own: reading ahead in one would hold back what the application waits for.
_ENDLESS = (*sorted(STREAMS), "multipart/mixed")


class Inspection(Model):
    """Which bodies are looked at. Only the start of a body is read ahead, and only where a rule asks for it."""

    max_bytes: Size = 1024 * 1024
    """How much of a body is read ahead, before and after decompression."""
    content_types: Texts = ("application/json", "*+json", "text/plain", "text/html", "text/xml", "application/xml")
    """The media types that are looked at. Event streams and other endless bodies never are."""
    statuses: Statuses | None = None
    """The statuses whose bodies are looked at; left out, those for which a rule, an envelope or a wait hint asks."""

    @field_validator("content_types")
    @classmethod
    def _have_an_end(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        for endless in _ENDLESS:
            if is_media_type(endless, types):
                raise PydanticCustomError(
                    "endless",
                    "{type} has no end of its own and is never read ahead; name the types more narrowly",
                    {"type": endless},
                )
        return types

    def includes(self, content_type: str) -> bool:
        """Whether a body of this media type is looked at; an error without a type is, if it comes to it."""
        return not content_type or is_media_type(content_type, self.content_types)
