"""Methods that were replaced in the classes of httpx and httpx2, and how they are put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._fork import Lock
from ._library import LIBRARIES

__all__ = ["owner_of", "put_back", "replace"]

_lock = Lock()
_replaced: dict[tuple[type, str], tuple[Any, Any]] = {}
"""What was put into which class, and what stood there before."""


def owner_of(kind: Any, name: str) -> type | None:
    """The library's own class that defines a method; `None` where there is none.

    Arguments:
        kind: what stands in the library by the name of its class: tracers put one of their own there.
        name: of the method.
    """
    for each in getattr(kind, "__mro__", ()):
        if name in each.__dict__ and each.__module__.partition(".")[0] in LIBRARIES:
            owner: type = each
            return owner
    return None


def replace(owner: type, name: str, made: Callable[[Any], Any]) -> None:
    """Replace a method of a class, once; one that the class does not define itself stays.

    Arguments:
        owner: the class.
        name: of the method.
        made: makes the one of the other.
    """
    with _lock:
        original = owner.__dict__.get(name)
        if original is not None and (owner, name) not in _replaced:
            replacement = made(original)
            _replaced[owner, name] = (replacement, original)
            setattr(owner, name, replacement)


def put_back() -> None:
    """Put back what stood there. What somebody else has put over ours is left there, and so is ours below it."""
    with _lock:
        for (owner, name), (replacement, original) in tuple(_replaced.items()):
            if owner.__dict__.get(name) is replacement:
                setattr(owner, name, original)
                del _replaced[owner, name]
