"""Looks now and then whether the configuration's files have changed, and puts what they say in place of the old.

No thread watches: a call that comes when a look is due looks, by one `stat` for each file, and the rest go on.

    unchanged ── a stamp differs ──▶ resting ── the same again, or old enough ──▶ loading ──┬─ good ──▶ in place, told
        ▲                                                                                   └─ bad ───▶ old kept, told
        └───────────────────────────────────────────────────────────────────────────────────────────────┘
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ._aside import begin_aside
from ._clock import RealClock
from ._fork import Lock
from ._loaded import Loaded, read_all, try_all
from ._stamps import Stamps, noting, stamps_of
from ._words import printable
from .errors import PolicyError

if TYPE_CHECKING:
    from ._registry import Policies

__all__ = ["Watch", "watched"]

_log = logging.getLogger("resilience.config")
# What was written so lately may be written on: an editor empties a file first, and a missing one may be on its way.
_REST = 0.3
# A call of an event loop that begins a load waits for it, but not for a disk that has gone.
_LONGEST_WAIT = 1.0
_MOST_SHOWN = 8
_NANOSECONDS = 1_000_000_000


class Watch:
    """Sees to it that a process obeys its configuration file as it is now.

    Arguments:
        path: of the file, absolute.
        loaded: what was read of it.
        swap: puts policies in place of those before.
    """

    due: float
    """When to look next, by the machine's clock."""

    def __init__(self, path: Path, loaded: Loaded, swap: Callable[[Watch, Policies], None]) -> None:
        self._path = path
        self._swap = swap
        self._says, self._contents, self._known = loaded.says, loaded.noted.contents, loaded.known
        self._stamps: Stamps = loaded.noted.stamps
        self._refused: tuple[Stamps, list[str]] | None = None
        self._resting: Stamps | None = None
        self._every = loaded.every
        self._lock = Lock()
        # By the process that loads: a child that is forked meanwhile has no such thread.
        self._loads_in: int | None = None
        self.due = RealClock.now() + loaded.every

    def look(self) -> None:
        """Look, in a thread that may wait: what is new applies when this returns."""
        if (stamps := self._changed()) is not None:
            # As where a thread does it: what fails is none of the call's business, and a handler of the log may.
            with suppress(Exception):
                self._load(stamps)

    async def look_async(self) -> None:
        """The same in an event loop, which goes on meanwhile."""
        if (stamps := self._changed()) is None:
            return
        done = begin_aside(lambda: self._load(stamps), "resilience-reload")
        await done.wait_async(_LONGEST_WAIT)

    def _changed(self) -> Stamps | None:
        """The files as they are now, if they are to be loaded, and by this caller."""
        with self._lock:
            now = RealClock.now()
            if now < self.due or self._loads_in == os.getpid():
                return None
            self.due = now + self._every
        stamps = stamps_of(self._stamps)
        with self._lock:
            if stamps == self._stamps:
                self._resting = None
                return None
            if self._loads_in == os.getpid():
                return None
            if not _is_at_rest(stamps, self._stamps) and stamps != self._resting:
                self._wait_for_rest(stamps)
                return None
            self._loads_in = os.getpid()
        return stamps

    def _wait_for_rest(self, stamps: Stamps) -> None:
        self._resting = stamps
        self.due = RealClock.now() + min(_REST, self._every)

    def _load(self, stamps: Stamps) -> None:
        try:
            with noting() as noted:
                loaded, error = try_all(self._path, noted, self._known)
            if stamps_of(noted.stamps) != noted.stamps:
                # Changed while it was read: half of it may be of one version and half of the next.
                self._wait_for_rest({**stamps, **stamps_of(noted.stamps)})
            elif loaded is None:
                # Those that were not reached this time are still looked at. One that is there and could not be read, as
                # where too many files are open, may be readable next time, though it is as it was.
                found = {**stamps, **noted.stamps}
                self._stamps = {**found, **dict.fromkeys(noted.unread)}
                self._refuse(error, found)
            else:
                self._stamps = noted.stamps
                self._take(loaded)
        finally:
            self._loads_in = None

    def _take(self, loaded: Loaded) -> None:
        changed = [
            *sorted(key for key in {*self._says, *loaded.says} if self._says.get(key) != loaded.says.get(key)),
            *(
                Path(name).name
                for name, content in sorted(loaded.noted.contents.items())
                if name != str(self._path) and self._contents.get(name) != content
            ),
        ]
        self._says, self._contents, self._known = loaded.says, loaded.noted.contents, loaded.known
        self._every = loaded.every
        self.due = RealClock.now() + loaded.every if loaded.every else float("inf")
        was_refused, self._refused = self._refused is not None, None
        if not changed:
            # It was touched, or a comment changed; or it is again as it was before a mistake.
            if was_refused:
                _log.info("%s is again as it was before the mistake", self._path)
            return
        self._swap(self, loaded.policies)
        entry = {"event": "ConfigurationReloaded", "file": str(self._path), "changed": changed}
        more = f" and {len(changed) - _MOST_SHOWN} more" if len(changed) > _MOST_SHOWN else ""
        what = f"{', '.join(map(printable, changed[:_MOST_SHOWN]))}{more}"
        _log.info("configuration reloaded from %s: changed: %s", self._path, what, extra={"resilience": entry})
        if not loaded.every:
            _log.info("%s is not looked at again: it says `reload: off`", self._path)

    def _refuse(self, error: Exception | None, stamps: Stamps) -> None:
        problems = [str(each) for each in error.problems] if isinstance(error, PolicyError) else [str(error)]
        if (stamps, problems) == self._refused:
            # Said already: it was looked at again for a file that still cannot be read.
            return
        self._refused = stamps, problems
        entry = {"event": "ConfigurationRefused", "file": str(self._path), "problems": problems[:100]}
        more = f"; and {len(problems) - _MOST_SHOWN} more" if len(problems) > _MOST_SHOWN else ""
        what = f"{'; '.join(map(printable, problems[:_MOST_SHOWN]))}{more}"
        text = "the configuration has changed and cannot be honoured, so the one before it stays: %s"
        _log.warning(text, what, extra={"resilience": entry})


def watched(config: str | os.PathLike[str], swap: Callable[[Watch, Policies], None]) -> tuple[Policies, Watch | None]:
    """The policies that are active by a file, and what keeps them up to date if it wants that.

    Arguments:
        config: the path of the configuration.
        swap: puts policies in place of those before; it is given the watch that asks for it.

    Raises:
        ConfigurationError: it cannot be honoured.
    """
    path = Path(config)
    with noting() as noted:
        loaded = read_all(path, noted)
    # Absolute: the program may go to another directory. Not resolved: a link may lead to another file next time.
    return loaded.policies, Watch(path.absolute(), loaded, swap) if loaded.every else None


def _is_at_rest(stamps: Stamps, before: Stamps) -> bool:
    """Whether what has changed was written long enough ago."""
    wall = RealClock.wall() * _NANOSECONDS
    changed = [stamp for name, stamp in stamps.items() if stamp != before.get(name)]
    # A time in the future is of another machine's clock, and says nothing.
    return all(stamp is not None and wall - stamp.modified >= _REST * _NANOSECONDS for stamp in changed)
