"""Headers as a plain mapping, looked up without regard to case (RFC 9110 section 5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import StringConstraints

__all__ = ["FoldedHeaders", "HeaderName"]

# RFC 9110 section 5.6.2: a field name is a token; the HTTP libraries raise for a name that is no ASCII.
HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", max_length=100)]
"""The name of a header, in any case."""


class FoldedHeaders(dict[str, str]):
    """Headers for answers that come from no HTTP library (examples, simulations, `Policy.classify`)."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})

    def copy(self) -> FoldedHeaders:
        return FoldedHeaders(self)

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key.lower(), default)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and super().__contains__(key.lower())

    def __getitem__(self, key: str) -> str:
        return super().__getitem__(key.lower())

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key.lower())

    def __setitem__(self, key: str, value: str) -> None:
        super().__setitem__(key.lower(), value)
