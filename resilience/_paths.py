"""Paths into JSON, a subset of JMESPath: `error.code`, `"x-code"`, `errors[0].message`, `jobs[-1]`, `items[*].id`.

What is accepted here means exactly what it means in JMESPath (https://jmespath.org/specification.html). Left out are
functions, filters, slices, pipes, multi-selects, flattening, literals, `*` of an object, `@` and blanks between steps:
a path says where a value stands and computes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

__all__ = ["ALL_ITEMS", "AllItems", "Path", "compile_path"]

_LONGEST = 200
_MOST_STEPS = 16
# This project's own fixed patterns; each is matched at one place of a text of at most 200 characters.
_FIELD = re.compile(r'[A-Za-z_][A-Za-z0-9_]*|"(?:[^"\\]|\\.)+"')
_BRACKET = re.compile(r"\[(\*|0|-?[1-9][0-9]{0,5})\]")
_ALLOWED = 'a path is written like error.code, "x-code".value, errors[0].message, jobs[-1] or items[*].id'


@dataclass(frozen=True, slots=True)
class AllItems:
    """The step `[*]`: what follows applies to every item of a list."""


ALL_ITEMS: Final = AllItems()

_Steps = tuple[str | int | AllItems, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """Where a value stands in a JSON document.

    Arguments:
        text: the path as it was written.
        steps: the name of a field, the index of an item (negative: from the end), or `AllItems`.
    """

    text: str
    steps: _Steps

    def search(self, document: object) -> object | None:
        """The value there; None when there is none, or when it is null, as JMESPath has it."""
        return _find(document, self.steps)[1]

    def find(self, document: object) -> tuple[bool, object]:
        """Whether there is a value, also one that is null, and the value itself.

        A path with `[*]` leads to a list, without nulls, whenever there is a list where `[*]` stands.
        """
        return _find(document, self.steps)

    def __str__(self) -> str:
        return self.text


def _find(value: Any, steps: Sequence[str | int | AllItems]) -> tuple[bool, object]:
    # Called for every answer and every condition of a policy: no call and no copy for a plain chain of fields.
    for position, step in enumerate(steps):
        within = value
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in within:
                return False, None
            value = within[step]
        elif not isinstance(value, list):
            return False, None
        elif isinstance(step, int):
            if not -len(within) <= step < len(within):
                return False, None
            value = within[step]
        else:
            rest = steps[position + 1 :]
            found = (_find(item, rest)[1] for item in within)
            return True, [item for item in found if item is not None]
    return True, value


@lru_cache(maxsize=4096)
def compile_path(text: str) -> Path:
    """Read a path.

    Arguments:
        text: the path, at most 200 characters and 16 steps.

    Raises:
        ValueError: the text is no such path; the message names the column, from 1, and what is allowed.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"a path of {len(text)} characters is too long ({_LONGEST} at most)")
    steps: list[str | int | AllItems] = []
    position = 0
    while position < len(text) or not steps:
        if len(steps) == _MOST_STEPS:
            raise _refusal(text, position, f"more than {_MOST_STEPS} steps")
        if text.startswith("[", position):
            match = _BRACKET.match(text, position)
            if match is None:
                raise _refusal(text, position, "[ must be followed by an index or *, and ]")
            steps.append(ALL_ITEMS if match[1] == "*" else int(match[1]))
        else:
            if steps and not text.startswith(".", position):
                raise _refusal(text, position, "a step starts with . or [")
            position += bool(steps)
            match = _FIELD.match(text, position)
            if match is None:
                raise _refusal(text, position, "a name is missing; one with other signs than a-z, 0-9 and _ is quoted")
            steps.append(_name(text, position, match[0]))
        position = match.end()
    return Path(text, tuple(steps))


def _name(text: str, position: int, written: str) -> str:
    if not written.startswith('"'):
        return written
    try:
        # JMESPath: a quoted identifier is a JSON string, with its escapes.
        name = cast("str", json.loads(written))
        name.encode()
    except UnicodeEncodeError:
        raise _refusal(text, position, "half of a surrogate pair is no character") from None
    except ValueError:
        raise _refusal(text, position, "a quoted name is written as a JSON string") from None
    return name


def _refusal(text: str, position: int, what: str) -> ValueError:
    return ValueError(f"{text!r}, column {position + 1}: {what}; {_ALLOWED}")
