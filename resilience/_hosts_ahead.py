"""The hosts of a policy file, which are asked of all of them when a process starts: read no further than needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ._built import built
from ._document import children
from ._shipped import read_file

if TYPE_CHECKING:
    import yaml

__all__ = ["hosts_in", "hosts_of"]


def hosts_of(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The `match.hosts` of a policy file; mistakes that stand behind it stay unseen.

    Raises:
        ConfigurationError: the file cannot be read.
        PolicyError: it is not YAML as this library reads it, as far as it was read.
    """
    path = Path(path)
    if (found := built(path)) is not None:
        return found.hosts
    from ._yaml import decode

    hosts = _hosts_ahead(decode(read_file(path), str(path)), str(path))
    if hosts is None:
        from ._load import load_document  # the rare file that writes them in another way

        hosts = hosts_in(load_document(path).data)
    return tuple(hosts)


def hosts_in(data: object) -> list[str]:
    """The `match.hosts` of a policy's data."""
    match = dict(children(data)).get("match")
    return [host for _, host in children(dict(children(match)).get("hosts")) if isinstance(host, str)]


def _hosts_ahead(text: str, file: str) -> list[str] | None:
    """The hosts if they are written out where they are expected; else None, and the whole file has to be read."""
    import yaml

    from ._yaml import events

    stream = events(text, file)
    # The stream's and the document's start, then the root.
    root = [next(stream, None) for _ in range(3)][-1]
    if (
        not isinstance(root, yaml.MappingStartEvent)
        or not isinstance(_seek(stream, "match"), yaml.MappingStartEvent)
        or not isinstance(_seek(stream, "hosts"), yaml.SequenceStartEvent)
    ):
        return None
    hosts: list[str] = []
    while isinstance(event := next(stream), yaml.ScalarEvent):
        hosts.append(event.value)
    return hosts if isinstance(event, yaml.SequenceEndEvent) else None


def _seek(stream: Iterator[yaml.Event], wanted: str) -> yaml.Event | None:
    """Reads on in an open mapping to this key's value, and gives the event that begins it."""
    import yaml

    while isinstance(key := next(stream), yaml.ScalarEvent):
        value = next(stream)
        if key.value == wanted:
            return value
        depth = int(isinstance(value, yaml.CollectionStartEvent))
        while depth:
            event = next(stream)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
    return None
