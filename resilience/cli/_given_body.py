"""The body that a command is given: a text, a file, or what comes by standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ._output import fail

__all__ = ["content_of", "json_of"]

# A device or a pipe may have no end.
_MOST = 64 * 1024 * 1024


def content_of(given: str) -> bytes:
    """The bytes of a body.

    Arguments:
        given: a text, `@` and the name of a file, or `-` for standard input.
    """
    try:
        if given == "-":
            content = sys.stdin.buffer.read(_MOST + 1)
        elif given.startswith("@"):
            with Path(given[1:]).open("rb") as file:
                content = file.read(_MOST + 1)
        else:
            return given.encode("utf-8", "surrogateescape")
    except (OSError, ValueError) as error:
        fail(f"the body {given[1:]} cannot be read: {error}")
    if len(content) > _MOST:
        fail(f"the body is longer than {_MOST >> 20} MiB; give its beginning")
    return content


def json_of(content: bytes) -> bytes:
    """A body that is JSON, or the end of the program."""
    try:
        json.loads(content)
    except (ValueError, RecursionError) as error:
        fail(f"--body is not JSON: {error}; give any other body with --text")
    return content
