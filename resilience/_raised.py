"""An error that was raised before is raised again as it was."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["raise_again"]


def raise_again(error: BaseException) -> NoReturn:
    """Raise an error without what its caller handles just now taking the place of what it was raised for.

    Arguments:
        error: what a transport has raised, or one of our own, which is raised for the first time.
    """
    was_raised, context = error.__traceback__ is not None, error.__context__
    try:
        raise error
    finally:
        # Python has put what is handled there. Where that belongs it stands already, at the end of what was there.
        if was_raised:
            error.__context__ = context
        # Its traceback holds this frame, which must not hold it in turn.
        del error, context
