"""Finds policy files and reads what little is asked of all of them when a process starts; imports no pydantic."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import yaml

from ._stamps import note
from ._yaml import LARGEST_FILE, children, decode, events
from .errors import ConfigurationError

__all__ = ["find_policy", "hosts_of", "read_file", "shipped_directory", "shipped_names"]

_ENDINGS = (".yaml", ".yml")
_HERE = Path()


def shipped_directory() -> Path:
    """Where the shipped policies stand: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "policies"
    return inside if inside.is_dir() else package.parent / "policies"


def shipped_names() -> tuple[str, ...]:
    """The names of the shipped policies, sorted."""
    return tuple(sorted(path.stem for path in shipped_directory().glob("*.yaml")))


def hosts_of(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The `match.hosts` of a policy file, read no further than needed: mistakes that stand behind it stay unseen.

    Raises:
        ConfigurationError: the file cannot be read.
        PolicyError: it is not YAML as this library reads it, as far as it was read.
    """
    path = Path(path)
    hosts = _hosts_ahead(decode(read_file(path), str(path)), str(path))
    if hosts is None:
        from ._load import load_document  # the rare file that writes them in another way

        match = dict(children(load_document(path).data)).get("match")
        hosts = [host for _, host in children(dict(children(match)).get("hosts")) if isinstance(host, str)]
    return tuple(hosts)


def find_policy(name_or_path: str | os.PathLike[str], directory: Path = _HERE) -> Path:
    """The file of a policy: a shipped one by its name, any other by its path from a directory.

    Raises:
        ConfigurationError: there is no shipped policy of that name.
    """
    is_path = not isinstance(name_or_path, str) or name_or_path.endswith(_ENDINGS)
    if isinstance(name_or_path, os.PathLike) or is_path or "/" in name_or_path or os.sep in name_or_path:
        return directory / name_or_path
    names = shipped_names()
    if name_or_path in names:
        return shipped_directory() / f"{name_or_path}.yaml"
    near = difflib.get_close_matches(name_or_path[:64], names)
    hint = f"did you mean {' or '.join(near)}?" if near else "a file is named by a path that ends in .yaml"
    raise ConfigurationError(f"there is no shipped policy {name_or_path[:64]!r}; {hint}")


def read_file(path: Path) -> bytes:
    """The bytes of a regular file, one more than is allowed at most: a device or a pipe could go on for ever."""
    note(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                content = file.read(LARGEST_FILE + 1)
            note(path, content)
            return content
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"{str(path)!r} cannot be read: {why}; check its name and rights") from None
    kind = "a directory" if stat.S_ISDIR(mode) else "a device or a pipe"
    raise ConfigurationError(f"{str(path)!r} is {kind}; name a file")


def _hosts_ahead(text: str, file: str) -> list[str] | None:
    """The hosts if they are written out where they are expected; else None, and the whole file has to be read."""
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
    while isinstance(key := next(stream), yaml.ScalarEvent):
        value = next(stream)
        if key.value == wanted:
            return value
        depth = int(isinstance(value, yaml.CollectionStartEvent))
        while depth:
            event = next(stream)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
    return None
