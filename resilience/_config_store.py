"""What a configuration says of its store: the URL as a whole, and whether this machine has a place for its file."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ._store_file import file_fault, url_from
from ._store_url import check_store_url, completed
from .errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from ._config_read import Read

__all__ = ["store_problem", "store_url"]


def store_url(found: Read, *, anywhere: bool) -> str:
    """The URL of the store, with the environment's part of it; what cannot be honoured is noted in the configuration.

    Arguments:
        found: the configuration.
        anywhere: whether it may be for another machine, which has other directories.
    """
    try:
        url = completed(found.config.store)
        check_store_url(url)
        url = _absolute(url, found)
        if not url.startswith(("memory:", "sqlite:")):
            # The first call imports what Redis needs, and that imports this: which fails once the main thread has ended,
            # as that of a program does that has begun its other threads and leaves the rest to them.
            import_module("concurrent.futures.thread")
    except ConfigurationError as error:
        message, _, remedy = str(error).partition("; ")
        found.refuse(("store",), message, remedy)
        return ""
    # Here, and not by the first call, of which nobody expects that it fails for this.
    if not anywhere and (problem := store_problem(found, url)):
        found.refuse(("store",), problem.message, problem.remedy)
    return url


def _absolute(url: str, found: Read) -> str:
    path = url.removeprefix("sqlite:///")
    # A path that no file can have is told of by whoever looks for a place.
    if path == url or Path(path).is_absolute() or "\0" in unquote(path):
        return url
    if not found.place(("store",)).line:
        raise ConfigurationError("its path begins nowhere; write an absolute one, with four slashes in all")
    try:
        # As every path of the file: workers of other working directories share it too.
        return url_from(found.directory, url)
    except OSError as error:
        words = f"its path begins in a directory that cannot be used ({error.strerror}); write an absolute one, with four slashes in all"
        raise ConfigurationError(words) from None


def store_problem(found: Read | None, store: str) -> Problem | None:
    """Why the store of a configuration cannot work on this machine; `None` where nothing is known against it.

    Arguments:
        found: the configuration.
        store: its URL, as its policies have it; a server is not asked.
    """
    fault = file_fault(store) if found else None
    return Problem(found.place(("store",)), *fault) if found and fault else None
