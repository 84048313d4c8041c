"""The fields of either library's headers as a list of bytes, which each call reads in one pass."""

from __future__ import annotations

from typing import Any

__all__ = ["Field", "fields_of", "only_value", "texts_of"]

Field = tuple[bytes, bytes, bytes]
"""A name as it is sent, the same in lower case, and the value."""

_LIBRARIES = {"httpx", "httpx2"}
_layouts: dict[Any, bool] = {}


def fields_of(headers: Any) -> list[Field]:
    """All fields of a request's or an answer's headers.

    Arguments:
        headers: of a request or an answer.
    """
    if _layouts.get(headers.__class__) or _has_layout(headers.__class__):
        fields: list[Field] = headers._list  # noqa: SLF001  looks at nothing that is not as it was found to be
        return fields
    return _from_raw(headers)


def _from_raw(headers: Any) -> list[Field]:
    raw: list[tuple[bytes, bytes]] | None = getattr(headers, "raw", None)
    if raw is None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return [(name, name.lower(), value) for name, value in raw]


def _has_layout(kind: Any) -> bool:
    """Whether a class of the libraries' own keeps its fields just so, as it is found out by trying: nothing need be copied."""
    if kind in _layouts or kind.__module__.partition(".")[0] not in _LIBRARIES:
        return _layouts.get(kind, False)
    probe: Any = kind({"Ab": "c"})
    found = _layouts[kind] = getattr(probe, "_list", None) == _from_raw(probe)
    return found


def texts_of(headers: Any) -> dict[str, str]:
    """All fields as texts by their names in lower case; several of one name are joined by commas, as the libraries do.

    Arguments:
        headers: of a request or an answer.
    """
    texts: dict[str, str] = {}
    try:
        for _, key, value in fields_of(headers):
            name, text = key.decode("ascii"), value.decode("ascii")
            texts[name] = f"{texts[name]}, {text}" if name in texts else text
    except UnicodeDecodeError:
        # Which other encoding it is the library finds out.
        return {name.lower(): value for name, value in headers.items()}
    return texts


def only_value(headers: Any, name: bytes) -> bytes | None:
    """The value of a field that stands there once, as it is sent; otherwise `None`.

    Arguments:
        headers: of a request or an answer.
        name: in lower case.
    """
    found = None
    for _, key, value in fields_of(headers):
        if key == name:
            if found is not None:
                return None
            found = value
    return found
