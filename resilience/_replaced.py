"""Methods that were replaced in the classes of httpx and httpx2, and how they are put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._fork import Lock

__all__ = ["put_back", "replace"]

_lock = Lock()
_replaced: dict[tuple[type, str], tuple[Any, Any]] = {}
"""What was put into which class, and what stood there before."""


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
