"""The request's own extensions, while an attempt has others: what a transport writes down in those is not lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._library import Request

__all__ = ["lend_extension", "restore_extensions"]


def lend_extension(request: Request, name: str, value: Any) -> None:
    """Set an extension for the time of an attempt; the request's own mapping stays as it is.

    Arguments:
        request: of the attempt.
        name: of the extension.
        value: of the extension.
    """
    request.extensions = {**request.extensions, name: value}


def restore_extensions(request: Request, own: Any, lent: str) -> None:
    """Give a request its own extensions back, with what its transport has changed of the others.

    Arguments:
        request: of the attempt.
        own: the extensions that it had before.
        lent: the name of the one that it was lent.
    """
    left, request.extensions = request.extensions, own
    for name in [name for name in own if name not in left]:
        del own[name]
    for name, value in left.items():
        if name != lent and own.get(name) is not value:
            own[name] = value
