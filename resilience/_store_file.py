"""Where the file of a `sqlite:///` store is to be, and why it cannot be there: told before anything is opened or made."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import quote, unquote

from .errors import ConfigurationError

__all__ = ["Fault", "file_fault", "is_there", "path_of", "place_fault", "url_from"]

Fault = tuple[str, str]
"""What is wrong, and what to do."""
_CORRECT = "make it, or correct the path"
# What would mean something in a URL; all other signs are shown as they are.
_MEANING = str.maketrans({sign: quote(sign) for sign in "%?#"})


def path_of(url: str) -> str:
    """The absolute path of the file that a URL names; a relative one begins at the working directory.

    Raises:
        ConfigurationError: it names none.
    """
    path = unquote(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or path.strip("/") in {"", ":memory:"} or set("?#") & set(url) or "\0" in path:
        raise ConfigurationError(
            "sqlite:// takes the path of a file and nothing else: sqlite:///relative/path or sqlite:////absolute/path"
        )
    # A link stays a link: whoever moves it moves the store.
    return str(Path(path).absolute())


def url_from(directory: Path, url: str) -> str:
    """The URL of the same file with an absolute path, where a relative one begins at a directory.

    Arguments:
        directory: whatever it is called; no sign of its name means anything in a URL.
        url: of a store that is a file.
    """
    path = unquote(url.removeprefix("sqlite:///"))
    return f"sqlite:///{str((directory / path).resolve()).translate(_MEANING)}"


def is_there(url: str) -> bool:
    """Whether the file of a store has been made; also for a store that is no file.

    Raises:
        ConfigurationError: the URL names no file.
    """
    return not url.startswith("sqlite:") or Path(path_of(url)).is_file()


def place_fault(path: str) -> Fault | None:
    """Why no file can be where a store is to be; `None` if one can.

    Arguments:
        path: of the file, absolute.
    """
    file = Path(path)
    try:
        mode = _mode(file)
        if stat.S_ISDIR(mode):
            return f"the store {path} is a directory", "name a file in it"
        if mode and not stat.S_ISREG(mode):
            # To open a pipe waits for whoever writes into it, which may be nobody.
            return f"the store {path} is a device or a pipe", "name a file"
        above = _mode(file.parent)
        if stat.S_ISDIR(above):
            return None
        if above:
            return f"the store {path} must be in a directory, and {file.parent} is a file", "correct the path"
    except OSError as error:
        # A directory above that may not be entered, a name that is too long.
        return (
            f"the store {path} cannot be reached: {error.strerror}",
            "correct the path, or what this user may do there",
        )
    remedy = "`~` stands for no home here; write ${HOME}" if "~" in file.parts else _CORRECT
    return f"the store {path} must be in a directory that exists", remedy


def file_fault(url: str) -> Fault | None:
    """Why a store cannot work on this machine as it is now, as far as a look can tell; nothing is opened or made.

    Arguments:
        url: of any store; of one that is no file nothing is known.
    """
    if not url.startswith("sqlite:"):
        return None
    try:
        path = path_of(url)
    except ConfigurationError as error:
        return str(error), "write one of these"
    return place_fault(path) or _access_fault(Path(path))


def _mode(path: Path) -> int:
    """What there is at a path, as `stat` tells it; 0 where there is nothing.

    Raises:
        OSError: nobody can tell. `Path.is_dir` says no then, from Python 3.14 on.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _access_fault(file: Path) -> Fault | None:
    # Of a file that is there, its directory is not asked: beside another process's WAL it may do without.
    needed, mode = (file, os.R_OK | os.W_OK) if file.exists() else (file.parent, os.W_OK | os.X_OK)
    if os.access(needed, mode, effective_ids=os.access in os.supports_effective_ids):
        return None
    what = "read and write" if needed is file else "make files in"
    return f"the store {file} cannot be used: this user may not {what} {needed}", "allow it, or correct the path"
