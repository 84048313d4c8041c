"""What a fake provider records of a request that came to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

__all__ = ["Received"]


@dataclass(frozen=True, slots=True)
class Received:
    """A request that came to a fake provider. What may carry a key is shown as `REDACTED`, but for the body."""

    number: int
    """Its place in the order of arrival, from 1."""
    at: float
    """Seconds since the fake provider started."""
    method: str
    path: str
    """The path as it was sent, without the query."""
    query: str
    """The query as it was sent, without its question mark."""
    headers: Mapping[str, str]
    """The headers by their names in small letters; several of one name are joined by commas."""
    body: bytes = field(repr=False)
    """The start of the body as it came, up to 64 KiB; no log and no `repr` shows it."""
    size: int
    """Bytes of the whole body."""
    sha256: str
    """The digest of the whole body, in hexadecimal digits."""
    step: str
    """The step of the script or the rates that it got; empty for the documented success."""
    status: int | None
    """The status it was answered with; `None` for a connection that was dropped or reset."""
    charged: Decimal = Decimal(0)
    """What it has cost, by the policy's `credits`."""

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path
