"""What can listen, and what was meant to and cannot: said where it is given, and not by its silence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import cast

from . import events
from ._callbacks import is_asynchronous
from ._finding import ALIKE

__all__ = ["check_listener", "listeners_of"]

_METHODS = tuple(name for name in vars(events.Listener) if name.startswith("on_"))


def listeners_of(given: object) -> tuple[events.Listener, ...]:
    """The listeners of one client.

    Arguments:
        given: as `resilience.wrap(client, listeners=...)` got them.

    Raises:
        TypeError: it is no list, or one of them cannot listen.
    """
    if not isinstance(given, Iterable):
        named = type(given).__name__
        raise TypeError(f"listeners is a list of listeners, not a single {named}: write listeners=[{named.lower()}]")
    found = tuple(cast("Iterable[events.Listener]", given))
    for listener in found:
        check_listener(listener)
    return found


def check_listener(listener: object) -> None:
    """Refuse what cannot listen.

    Raises:
        TypeError: it is a class, or a method is missing, is misspelt, or would have to be awaited.
    """
    if isinstance(listener, type):
        named = listener.__name__
        raise TypeError(f"{named} is a class; a listener is an instance of it: {named}()")
    # Its type alone: what it writes of itself may hold anything, or raise.
    named = type(listener).__name__
    for name in _METHODS:
        method = getattr(listener, name, None)
        if not callable(method):
            raise TypeError(f"{named} has no method {name}; derive its class from resilience.events.Listener")
        if is_asynchronous(method):
            raise TypeError(f"{name} of {named} is asynchronous; a listener is called, nobody awaits it")
    if isinstance(listener, events.Listener):
        _check_names(type(listener))


def _check_names(kind: type[events.Listener]) -> None:
    # Whoever is no subclass says with all our methods what it means.
    for name in dir(kind):
        if name.startswith("on_") and name not in _METHODS and callable(getattr(kind, name, None)):
            meant = [each.removeprefix("on_") for each in _METHODS]
            near = difflib.get_close_matches(name.removeprefix("on_")[:64], meant, n=1, cutoff=ALIKE)
            if near:
                raise TypeError(
                    f"{kind.__name__} has a method {name}, which nobody calls; did you mean on_{near[0]}? If it is "
                    f"your own, begin its name with something else than on_"
                )
