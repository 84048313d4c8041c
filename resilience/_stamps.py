"""What tells that a file has changed, and which files were read for something that is loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple, TypeAlias

__all__ = ["Noted", "Stamp", "Stamps", "note", "noting", "stamp_of", "stamps_of"]


class Stamp(NamedTuple):
    """A file as it was found; where it stands behind links, the one at their end."""

    modified: int
    """In nanoseconds since 1970."""
    changed: int
    """The same of all that the system knows of it: a copy that keeps its time of modification changes here."""
    size: int
    inode: int
    device: int


Stamps: TypeAlias = Mapping[str, Stamp | None]
"""By absolute path; `None` for one that is not there, or cannot be looked at."""


class Noted:
    """The files that were read, each as it was before."""

    def __init__(self) -> None:
        self.stamps: dict[str, Stamp | None] = {}
        self.contents: dict[str, bytes] = {}
        """By absolute path, a digest of what it held."""

    def add(self, other: Noted) -> None:
        """What was noted elsewhere was read for this too."""
        self.stamps |= other.stamps
        self.contents |= other.contents

    @property
    def unread(self) -> list[str]:
        """The files that are there, and could not be read."""
        return [name for name, stamp in self.stamps.items() if stamp is not None and name not in self.contents]

    def leave_out(self, directory: Path) -> None:
        """Forget the files of a directory: those of this package change with its code, when the process starts again."""
        for name in [name for name in self.stamps if Path(name).parent == directory]:
            del self.stamps[name]
            self.contents.pop(name, None)


_noted: ContextVar[Noted | None] = ContextVar("resilience_files_read", default=None)


@contextmanager
def noting() -> Generator[Noted]:
    """Have the files noted that are read meanwhile, in this thread or task."""
    token = _noted.set(noted := Noted())
    try:
        yield noted
    finally:
        _noted.reset(token)


def note(path: str | os.PathLike[str], content: bytes | None = None) -> None:
    """Say that a file is about to be read; with its content, that it was."""
    noted = _noted.get()
    if noted is None:
        return
    try:
        # As it is called, and not what its links lead to: these are what a new version changes.
        name = os.path.abspath(path)  # noqa: PTH100  pathlib resolves links
    except OSError:
        # The working directory is gone, and with it whatever a relative path could name.
        return
    if content is None:
        noted.stamps.setdefault(name, stamp_of(name))
    else:
        noted.contents[name] = hashlib.blake2b(content, digest_size=16).digest()


def stamp_of(name: str) -> Stamp | None:
    """The file as it is now."""
    try:
        found = os.stat(name)  # noqa: PTH116  a tenth of the time of a Path, with each look at each file
    except (OSError, ValueError):
        return None
    return Stamp(found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev)


def stamps_of(names: Mapping[str, object]) -> dict[str, Stamp | None]:
    """The same of several, by their paths."""
    return {name: stamp_of(name) for name in names}
