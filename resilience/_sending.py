"""Whether anything of a request has left: a call that is cancelled in the connection pool has cost nobody anything.

httpcore, under both libraries' own transports, tells of each step by the extension `trace`
(https://www.encode.io/httpcore/extensions/). Steps that make a connection send nothing of the request; whatever else is
told of may, also what a later version may call otherwise. While one waits for a connection nothing is told at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ._lent_extensions import lend_extension, restore_extensions

if TYPE_CHECKING:
    from ._library import Request

__all__ = ["Watch"]

_CONNECTS = "connection."


class Watch:
    """What is known of one attempt; a new one for each."""

    works: ClassVar[bool] = False
    """Whether anything was ever told of in this process."""

    def __init__(self) -> None:
        self.is_watching = False
        self.has_sent = False
        self._theirs: Any = None

    @property
    def is_unsent(self) -> bool:
        """Whether surely nothing of the request has left."""
        return Watch.works and self.is_watching and not self.has_sent

    def begin(self, request: Request, *, is_async: bool) -> Any:
        """Watch a request; returns its own extensions, for `end`."""
        before = request.extensions
        self._theirs = before.get("trace")
        self.is_watching, self.has_sent = True, False
        lend_extension(request, "trace", self._heard_async if is_async else self._heard)
        return before

    def end(self, request: Request, before: Any) -> None:
        """Give the request its own extensions back."""
        restore_extensions(request, before, "trace")

    def _heard(self, name: str, info: Any) -> None:
        self._note(name)
        if self._theirs is not None:
            self._theirs(name, info)

    async def _heard_async(self, name: str, info: Any) -> None:
        self._note(name)
        if self._theirs is not None:
            await self._theirs(name, info)

    def _note(self, name: str) -> None:
        Watch.works = True
        if not name.startswith(_CONNECTS):
            self.has_sent = True
