"""What a file says as plain data, and where each part of it stands; imports no parser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias, cast

from .errors import Place

__all__ = ["LARGEST_FILE", "MOST_SHOWN", "Document", "Keys", "children", "shown"]

LARGEST_FILE = 1024 * 1024
"""Bytes of the largest file that is read."""
MOST_SHOWN = 60
"""Characters of a value that a message shows."""

Keys: TypeAlias = tuple[str | int, ...]
"""The way from the root to a value: keys of mappings and indexes of lists."""


class _Late(Mapping[Keys, Place]):
    """Places that are looked for when somebody asks for one of them."""

    def __init__(self, find: Callable[[], Mapping[Keys, Place]]) -> None:
        self._find = find

    def __getitem__(self, keys: Keys) -> Place:
        return self._find()[keys]

    def __iter__(self) -> Iterator[Keys]:
        return iter(self._find())

    def __len__(self) -> int:
        return len(self._find())


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data and where each part of it stands; the root's place `()` is always known."""

    data: object
    places: Mapping[Keys, Place]
    key_places: Mapping[Keys, Place]

    @staticmethod
    def late(data: object, find: Callable[[], tuple[Mapping[Keys, Place], Mapping[Keys, Place]]]) -> Document:
        """A document whose places take time to find: where there is no mistake, nobody asks for them.

        Arguments:
            data: what it says.
            find: finds the places of the values and of the keys; called once, by whoever asks for the first of them.
        """
        found = cache(find)
        return Document(data, _Late(lambda: found()[0]), _Late(lambda: found()[1]))

    def place(self, keys: Keys, *, key: bool = False) -> Place:
        """The place of the value at `keys` (with `key`, of its key), or of the nearest parent that is known."""
        if key and keys in self.key_places:
            return self.key_places[keys]
        while keys and keys not in self.places:
            keys = keys[:-1]
        return self.places[keys]


def children(value: object) -> list[tuple[str | int, object]]:
    """The values of a mapping by their keys, of a list by their indexes; of anything else none."""
    if isinstance(value, dict):
        return list(cast("dict[str | int, object]", value).items())
    return list(enumerate(cast("list[object]", value))) if isinstance(value, list) else []


def shown(value: object) -> str:
    """The value as a message shows it: in YAML's words, and never more than 60 characters."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    # The representation of a long text is cut before and after: an escape takes up to ten characters.
    text = repr(value[:MOST_SHOWN]) if isinstance(value, str) else str(value)
    whole = len(text) <= MOST_SHOWN and not (isinstance(value, str) and len(value) > MOST_SHOWN)
    return text if whole else f"{text[: MOST_SHOWN - 3]}..."
