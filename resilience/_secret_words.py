"""Where names of secrets stand in free text: lines of headers, JSON, and what only looks like JSON."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import cast

from ._secret_names import LONGEST_NAME, is_secret_header

__all__ = ["BLANKS", "credentials_in", "names_in", "strings_in", "user_of", "words_after"]

BLANKS = " \t\r\n+"
"""What may stand around a value; in a form a plus is a blank."""

# A name before a colon, in quotes or not; but no scheme, host or part of an address, and nothing to be sorted.
_NAME = re.compile(
    rf"""(?<![\w/.%@=-])([A-Za-z][\w.-]{{0,{LONGEST_NAME}}})[\\"'\]]*[\s+]*:(?!//|[\s+]*(?:asc|desc)\b)""",
    re.IGNORECASE,
)
_SCHEMES = re.compile(r"\b(?:bearer[\s+]+([\w.~+/=-]{8,})|basic[\s+]+([\w+/=-]{8,}))", re.IGNORECASE)
_END = re.compile(r"[\r\n]")
_WORD = re.compile(r"""[^\s"'\\,;(){}\[\]+]+""")
_QUOTED = re.compile(r"""[\s+]*(\\*["'])""")
_LONGEST_DOCUMENT = 256 * 1024
_LONGEST_SECRET = 4096


def names_in(text: str) -> Iterator[tuple[str, int]]:
    """The names that stand before a colon, and where what they name begins."""
    if text.count(":") > text.count("://"):
        for match in _NAME.finditer(text):
            yield match[1], match.end()


def credentials_in(text: str) -> Iterator[tuple[str, ...]]:
    """What follows `Bearer` (RFC 6750 section 2.1), and `Basic` where there is a user in it; whole and in parts."""
    if " " in text or "+" in text:
        for match in _SCHEMES.finditer(text):
            user = user_of(match[2]) if match[2] else ":"
            if ":" in user:
                yield match[1] or match[2], user, user.partition(":")[2]


def user_of(credentials: str) -> str:
    """User and password of what follows `Basic` (RFC 7617 section 2); nothing of what is no Base64."""
    try:
        return b64decode(credentials).decode("utf-8", "replace")
    except ValueError:
        return ""


def words_after(text: str, at: int) -> list[str]:
    """What may be the secret that a name announces: what is quoted, or the rest of the line and each of its words.

    Arguments:
        text: in which the name stands.
        at: where what it names begins.
    """
    text = text[at : at + _LONGEST_SECRET]
    quoted = _QUOTED.match(text)
    if quoted is not None:
        return [text[quoted.end() :].partition(quoted[1])[0]]
    line = _END.split(text, maxsplit=1)[0].strip(" \t+")
    words = [*_WORD.findall(line), *line.split()]
    return [line, *words, *(each.partition("=")[2] for each in words if "=" in each)]


def strings_in(text: str) -> tuple[list[str], list[str], list[str]]:
    """What stands in JSON: what may name a secret, what may hold one, and what is one if a name says so.

    Arguments:
        text: that begins like JSON.

    Returns:
        Names and texts; texts; texts of those that have the name of a secret, or stand beside one.
    """
    try:
        document = json.loads(text) if len(text) <= _LONGEST_DOCUMENT else None
    except (ValueError, RecursionError):
        document = None
    if document is None:
        pieces = text.split('"')[1::2]
        return [each for each in pieces if len(each) <= LONGEST_NAME], [], [*pieces, *_WORD.findall(text)]
    names: list[str] = []
    strings: list[str] = []
    told: list[str] = []
    # Each with whether the name above it is that of a secret.
    left: list[tuple[object, bool]] = [(document, False)]
    while left:
        value, is_secret = left.pop()
        if isinstance(value, dict):
            value = cast("dict[str, object]", value)
            names += value
            is_beside = any(isinstance(each, str) and _is_name(each) for each in value.values())
            left += ((each, is_secret or is_beside or _is_name(name)) for name, each in value.items())
        elif isinstance(value, list):
            value = cast("list[object]", value)
            left += ((each, is_secret) for each in value)
        elif isinstance(value, str):
            strings.append(value)
            if len(value) <= LONGEST_NAME:
                names.append(value)
            if is_secret:
                told.append(value)
        elif is_secret:
            told.append(json.dumps(value))
    return names, strings, told


def _is_name(text: str) -> bool:
    return len(text) <= LONGEST_NAME and is_secret_header(text)
