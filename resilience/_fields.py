"""The fields of either library's headers, one after the other: what each call looks through takes no look-up by name."""

from __future__ import annotations

from typing import Any

__all__ = ["fields_of", "only_value", "texts_of"]

Field = tuple[bytes, bytes, bytes]
"""A name as it is sent, the same in lower case, and the value."""

_layouts: dict[Any, bool] = {}


def fields_of(headers: Any) -> list[Field]:
    """All fields of a request's or an answer's headers.

    Arguments:
        headers: of a request or an answer.
    """
    kind: Any = headers.__class__
    if _layouts.get(kind) or _has_layout(kind):
        fields: list[Field] = headers._list  # noqa: SLF001  looks at nothing that is not as it was found to be
        return fields
    return _from_raw(headers)


def _from_raw(headers: Any) -> list[Field]:
    return [(name, name.lower(), value) for name, value in headers.raw]


def _has_layout(kind: Any) -> bool:
    """Whether a class keeps its fields just so, as it is found out by trying: then nothing need be copied."""
    if kind not in _layouts:
        probe: Any = kind({"Ab": "c"})
        _layouts[kind] = getattr(probe, "_list", None) == _from_raw(probe)
    return _layouts[kind]


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
