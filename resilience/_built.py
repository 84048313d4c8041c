"""The shipped policies as JSON, made from their YAML when the wheel is built: what starts a program without a parser.

The YAML file is what counts. Its JSON is heeded where it stands beside it in the package and was made from these very
bytes; whoever changes a file, or has none of its JSON as in a fresh checkout, gets what the YAML says, only later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from ._document import Document, Keys, children
from ._shipped import read_file, shipped_directory
from .errors import Place

__all__ = ["Built", "build", "built"]

_ENDING = ".json"


class Built(NamedTuple):
    """A shipped policy that was read when the wheel was built."""

    head: Mapping[str, Any]
    """What it was made from, its hosts, and where JSON has texts for dates."""
    body: bytes
    """The data, yet to be read."""
    content: bytes
    """The YAML, for its places."""
    file: str

    @property
    def hosts(self) -> tuple[str, ...]:
        """Its `match.hosts`."""
        return tuple(self.head["hosts"])

    def document(self) -> Document:
        """The same as of its YAML, which is parsed when somebody asks for a place."""
        data = json.loads(self.body)
        for *way, last in self.head["dates"]:
            parent = data
            for key in way:
                parent = parent[key]
            parent[last] = date.fromisoformat(parent[last])

        return Document.late(data, self._places)

    def _places(self) -> tuple[Mapping[Keys, Place], Mapping[Keys, Place]]:
        from ._yaml import parse

        whole = parse(self.content, self.file)
        return whole.places, whole.key_places


def built(path: Path) -> Built | None:
    """What was made of a policy file; `None` for one that is not shipped, was changed since, or was never built.

    Raises:
        ConfigurationError: the file is shipped, and cannot be read.
    """
    # A stranger's JSON beside a stranger's YAML could say anything.
    if path.parent != shipped_directory():
        return None
    content = read_file(path)
    try:
        first, _, body = path.with_suffix(_ENDING).read_bytes().partition(b"\n")
    except OSError:
        return None
    try:
        head = json.loads(first)
        is_whole = head["made_from"] == _digest(content) and head["body"] == _digest(body)
    except (ValueError, KeyError, TypeError):
        # Writing it was interrupted, or the disk has lost some of it.
        return None
    return Built(head, body, content, str(path)) if is_whole else None


def build(directory: Path) -> None:
    """Write the JSON of each policy in a directory beside it, if nothing is wrong with it.

    Raises:
        PolicyError: one of them cannot be honoured.
        OSError: nothing can be written there.
    """
    from ._hosts_ahead import hosts_in
    from ._load import read_policy
    from ._yaml import parse

    for path in sorted(directory.glob("*.yaml")):
        path.with_suffix(_ENDING).unlink(missing_ok=True)
        read_policy(path)
        content = path.read_bytes()
        data = parse(content, str(path)).data
        # What such a file says depends on another one.
        if "extends" in dict(children(data)):
            continue
        body = _line(data)
        made = {"made_from": _digest(content), "body": _digest(body)}
        head = made | {"hosts": hosts_in(data), "dates": list(_dates(data))}
        path.with_suffix(_ENDING).write_bytes(_line(head) + body)


def _line(data: object) -> bytes:
    return (json.dumps(data, default=date.isoformat, separators=(",", ":")) + "\n").encode("ascii")


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _dates(value: object, keys: Keys = ()) -> Iterator[Keys]:
    if isinstance(value, date):
        yield keys
    for key, each in children(value):
        yield from _dates(each, (*keys, key))
