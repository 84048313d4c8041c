"""One thing that cannot be honoured in a policy, and the name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

__all__ = ["ALIKE", "Finding", "Path", "near"]

ALIKE = 0.65
"""How alike two names are, from 0 to 1, of which one may be the other misspelt: three letters of four are, `nope` is
not `openai`, and `on_start` of a listener is none of ours."""

# What a stranger's file may cost: so many names that a misspelt one is compared with.
_MOST_NAMES = 200
_LONGEST_NAME = 64

Path: TypeAlias = "tuple[str | int, ...]"
"""The way to a value from the root: keys of mappings, indexes of lists."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that cannot be honoured.

    Arguments:
        path: the way to it from the root: keys of mappings, indexes of lists.
        message: what is wrong.
        remedy: what to do about it.
    """

    path: Path
    message: str
    remedy: str


def near(name: str, known: Collection[str]) -> str:
    """What to do about a name that leads nowhere: the nearest of those that there are, else a few of them."""
    names = list(islice(known, _MOST_NAMES))
    # Whoever writes a name in capitals means the same one.
    lowered = {known_name.lower(): known_name for known_name in reversed(names)}
    nearest = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=ALIKE) if len(name) <= _LONGEST_NAME else []
    if nearest:
        return f"did you mean {lowered[nearest[0]]!r}?"
    few = ", ".join(names[:5]) + (", ..." if len(known) > 5 else "")
    return f"there are: {few}" if names else "there are none"
