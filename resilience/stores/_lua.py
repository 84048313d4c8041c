"""The scripts that Redis runs, put together from their files, sent once and then named by their hash."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Lua", "lua_named", "lua_of"]

_FOLDER = files("resilience.stores") / "lua"
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
        name: `kind.verb`, whose decisions it makes: see `lua_of`; or the name of one that stands for itself.
    """
    body = (_FOLDER / f"{name}.lua").read_text("utf-8")
    kind, dot, _ = name.partition(".")
    return lua_of(body, kind) if dot else _lua(body)


def lua_of(body: str, kind: str = "") -> Lua:
    """The script that makes decisions one after the other.

    Arguments:
        body: makes one; it stands in a function, behind the prelude and what the scripts of the kind share, if anything.
        kind: of its states.
    """
    parts = [_FOLDER / f"{part}.lua" for part in ("prelude", _BORROWED.get(kind, ""), kind) if part]
    shared = "".join(part.read_text("utf-8") for part in parts if part.is_file())
    each = (_FOLDER / "decisions.lua").read_text("utf-8")
    return _lua(f"{shared}local function decide()\n{body}end\n\n{each}")


def _lua(text: str) -> Lua:
    # Redis names scripts by SHA-1; nothing rests on its strength (redis.io/commands/evalsha).
    return Lua(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
