"""The scripts that Redis runs, put together from their files, sent once and then named by their hash."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Lua", "lua_named"]

# Whose scripts also use what those of another kind share.
_BORROWED = {"credits": "latch"}


class Lua(NamedTuple):
    """A script.

    Arguments:
        text: what the server runs.
        digest: by which it remembers the text.
    """

    text: str
    digest: str


@cache
def lua_named(name: str) -> Lua:
    """The script of a command, or one of the store's own.

    Arguments:
        name: `kind.verb`: behind the prelude stands what the scripts of the kind share, if anything, then `kind.verb.lua`;
            or the name of one that stands for itself.
    """
    folder = files("resilience.stores") / "lua"
    kind, dot, _ = name.partition(".")
    shared = ["prelude", _BORROWED.get(kind, ""), kind] if dot else []
    parts = [folder / f"{part}.lua" for part in shared if part]
    texts = [part.read_text("utf-8") for part in parts if part.is_file()]
    text = "".join([*texts, (folder / f"{name}.lua").read_text("utf-8")])
    # Redis names scripts by SHA-1; nothing rests on its strength (redis.io/commands/evalsha).
    return Lua(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
