"""Where the trail of a call is found: on its answer, its error or its request, and as the last one of this thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, cast

from ._imported import imported
from ._library import LIBRARIES
from ._trail import Trail

__all__ = ["LAST", "causes_of", "keep_trail", "last_trail", "leaves_of", "note_trail", "trail_of"]

# How far an SDK's own error may stand from the one that it was made of.
_MOST_CAUSES = 10
_OF_REQUEST = "resilience_trail"
# Where installers put packages, whatever the environment.
_INSTALLED = {"site-packages", "dist-packages"}
_OUR_OWN = {"__main__", "builtins", __name__.partition(".")[0]}


class _Last(threading.local):
    trail: Trail | None = None


LAST = _Last()
"""The trail of the call that ended last, for each thread."""


def last_trail() -> Trail | None:
    """The trail of the call that ended last in this thread, `None` before the first: for a prompt and a debugger.

    Calls that no policy applied to have none; one that was interrupted, by Ctrl-C or a cancelled task, has. All tasks of
    an event loop share its thread: where several call at once, ask the response with `trail_of`.
    """
    return LAST.trail


class _Kept(tuple[Trail]):
    """The trail of a request. Pickled it is `False`: whoever reads a pickled answer need not have this library."""

    # A tuple, since a class with a method to make it takes twice as long, in each call.
    __slots__ = ()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return bool, ()

    def __deepcopy__(self, _memo: object) -> _Kept:
        return self


def keep_trail(request: object, trail: Trail) -> None:
    """Have a request know the trail of its last call: an error that is met while a body is read leads to it.

    Arguments:
        request: of httpx or httpx2.
        trail: of its call.
    """
    # A context manager takes longer than all the rest.
    try:
        setattr(request, _OF_REQUEST, _Kept((trail,)))
    except Exception:  # noqa: BLE001  an application's own class may forbid it, in whatever words
        # The trail is on the answer all the same, and the answer is not lost for it.
        return


def note_trail(error: Any, trail: Trail) -> None:
    """Put a trail on an error, and a note of it.

    Arguments:
        error: what is going to be raised; a transport may raise the same instance again and again.
        trail: of the last call that it is about.
    """
    # Errors may have slots, notes that are no list, and a class that forbids or asks what it likes.
    with suppress(Exception):
        before, notes = getattr(error, "trail", None), getattr(error, "__notes__", None)
        if isinstance(before, Trail) and isinstance(notes, list):
            cast("list[str]", notes).remove(before.noted)
    trail.noted = f"resilience: {trail}"
    with suppress(Exception):
        error.trail = trail
    with suppress(Exception):
        error.add_note(trail.noted)


def trail_of(answer: object) -> Trail | None:
    """The trail of a response or of a raised error, or `None` where no policy applied.

    Arguments:
        answer: a response; an error; or what an SDK has made of one of them, if it keeps it as `.response`,
            `.raw_response` or the error's cause, or had it at hand where it raised an error of its own.
    """
    for each in _behind(answer):
        for name in ("trail", _OF_REQUEST):
            # What is asked may be a property, which raises.
            with suppress(Exception):
                found = getattr(each, name, None)
                found = found[0] if isinstance(found, _Kept) else found
                if isinstance(found, Trail):
                    return found
        with suppress(Exception):
            extensions: Any = getattr(each, "extensions", None)
            found = extensions.get("resilience")
            if isinstance(found, Trail):
                return found
    return None


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it was said to come from; in whose handling it was raised may be another call.

    Arguments:
        error: of the application, an SDK, the HTTP library or ours; its causes may go in a circle.
    """
    for _ in range(_MOST_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """An error, or those of a group in their order, however deep they are nested: who handles errors must not raise one.

    Arguments:
        error: of the application, mostly of a `TaskGroup`.
    """
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseExceptionGroup):
            waiting += reversed(cast("BaseExceptionGroup[BaseException]", each).exceptions)
        else:
            yield each


def _behind(answer: object) -> Iterator[object]:
    """An answer, its response and request, and the errors that it was made of."""
    if not isinstance(answer, BaseException):
        yield answer
        return
    for error in causes_of(answer):
        yield error
        # An error that was met while the body was read has the request alone.
        for name in ("response", "raw_response", "request"):
            with suppress(Exception):
                yield getattr(error, name)
        yield from _at_hand(error)


def _at_hand(error: BaseException) -> Iterator[object]:
    """The responses that the function had which raised an error: SDKs made by Fern keep nothing of them but their headers."""
    traceback = error.__traceback__
    if traceback is None:
        return
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    if not _is_of_an_sdk(type(error), traceback.tb_frame):
        return
    kinds = tuple(module.Response for module in map(imported, LIBRARIES) if module is not None)
    for value in list(traceback.tb_frame.f_locals.values()):
        if isinstance(value, kinds):
            yield value


def _is_of_an_sdk(kind: type[BaseException], frame: FrameType) -> bool:
    """Whether an installed package raised an error of its own: a mistake in an application is no answer of a provider's."""
    package = kind.__module__.partition(".")[0]
    if package in _OUR_OWN or str(frame.f_globals.get("__name__")).partition(".")[0] != package:
        return False
    return not _INSTALLED.isdisjoint(Path(str(frame.f_globals.get("__file__"))).parts)
