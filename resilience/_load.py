"""Finds policy files, resolves what they extend, and reads as little of them as the question needs."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, TypeVar

import yaml
from pydantic import BaseModel

from ._validate import validate
from ._yaml import LARGEST_FILE, Document, Keys, children, decode, events, parse, shown
from .errors import ConfigurationError, Place, PolicyError, Problem

if TYPE_CHECKING:
    from ._policy import Policy

__all__ = [
    "find_policy",
    "hosts_of",
    "load",
    "load_document",
    "load_policy",
    "merge",
    "read_policy",
    "shipped_directory",
    "shipped_names",
]

_LONGEST_CHAIN = 8
_ENDINGS = (".yaml", ".yml")

ModelType = TypeVar("ModelType", bound=BaseModel)


def shipped_directory() -> Path:
    """Where the shipped policies stand: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "policies"
    return inside if inside.is_dir() else package.parent / "policies"


def shipped_names() -> tuple[str, ...]:
    """The names of the shipped policies, sorted."""
    return tuple(sorted(path.stem for path in shipped_directory().glob("*.yaml")))


def load_policy(name_or_path: str | os.PathLike[str]) -> Policy:
    """A policy, with everything that it extends.

    Arguments:
        name_or_path: a shipped policy's name (text without a slash or a `.yaml` ending), else the path of a file.

    Raises:
        ConfigurationError: there is no such policy, or its file cannot be read.
        PolicyError: the file cannot be honoured; with every problem and its place.
    """
    return read_policy(find_policy(name_or_path))[0]


def find_policy(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a policy: of a shipped one by its name, else the path itself.

    Raises:
        ConfigurationError: there is no shipped policy of that name.
    """
    return _find(name_or_path, Path())


def read_policy(path: str | os.PathLike[str]) -> tuple[Policy, Document]:
    """A policy file, with everything that it extends, and where each part of it stands.

    Raises:
        ConfigurationError: the file cannot be read.
        PolicyError: it cannot be honoured; with every problem and its place.
    """
    # The models take ten times as long to import as this module.
    from ._checks import problems  # noqa: PLC0415
    from ._policy import Policy  # noqa: PLC0415

    document = load_document(path)
    policy = validate(Policy, document)
    if found := problems(policy):
        raise PolicyError([Problem(document.place(each.path), each.message, each.remedy) for each in found])
    return policy, document


def load(path: str | os.PathLike[str], model: type[ModelType]) -> ModelType:
    """A file, with everything that it extends, as a model.

    Raises:
        ConfigurationError: the file cannot be read.
        PolicyError: it cannot be honoured; with every problem and its place.
    """
    return validate(model, load_document(path))


def load_document(path: str | os.PathLike[str]) -> Document:
    """A file's data with everything that it extends merged in; `extends` itself is gone.

    Raises:
        ConfigurationError: the file cannot be read.
        PolicyError: it is not YAML as this library reads it, or what it extends cannot be.
    """
    files = [Path(path)]
    chain = [parse(_read(files[0]), str(files[0]))]
    while (extends := _extends(chain[-1])) is not None:
        try:
            parent = _find(extends, files[-1].parent)
            _check_chain(files, parent)
            content = _read(parent)
        except ConfigurationError as error:
            raise _error(chain[-1].place(("extends",)), f"`extends`: {error}", "") from None
        files.append(parent)
        chain.append(parse(content, str(parent)))
        if not _is_mapping(chain[-1].data):
            raise _error(chain[-1].place(()), "a file that another one extends must be a mapping", "write keys")
    merged = chain.pop()
    while chain:
        merged = merge(chain.pop(), merged)
    return merged


def merge(child: Document, parent: Document) -> Document:
    """What a child that extends a parent says, each part with its place in the file that it comes from.

    Mappings merge key by key, and a child's null removes the key. Everything else of the child replaces the parent's,
    except `answers`: a rule replaces the parent's rule of the same name where that stands, new rules come first.
    The parent's `examples` prove the parent and are left behind, and so is the child's `extends`.
    """
    merger = _Merger(child, parent)
    return Document(merger.merge(child.data, parent.data, ()), merger.places, merger.key_places)


def hosts_of(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The `match.hosts` of a policy file, read no further than needed: mistakes that stand behind it stay unseen.

    Raises:
        ConfigurationError: the file cannot be read.
        PolicyError: it is not YAML as this library reads it, as far as it was read.
    """
    path = Path(path)
    hosts = _hosts_ahead(decode(_read(path), str(path)), str(path))
    if hosts is None:
        match = dict(children(load_document(path).data)).get("match")
        hosts = [host for _, host in children(dict(children(match)).get("hosts")) if isinstance(host, str)]
    return tuple(hosts)


def _find(name_or_path: str | os.PathLike[str], directory: Path) -> Path:
    is_path = not isinstance(name_or_path, str) or name_or_path.endswith(_ENDINGS)
    if isinstance(name_or_path, os.PathLike) or is_path or "/" in name_or_path or os.sep in name_or_path:
        return directory / name_or_path
    names = shipped_names()
    if name_or_path in names:
        return shipped_directory() / f"{name_or_path}.yaml"
    near = difflib.get_close_matches(name_or_path[:64], names)
    hint = f"did you mean {' or '.join(near)}?" if near else "a file is named by a path that ends in .yaml"
    raise ConfigurationError(f"there is no shipped policy {name_or_path[:64]!r}; {hint}")


def _read(path: Path) -> bytes:
    """The bytes of a regular file, one more than is allowed at most: a device or a pipe could go on for ever."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                return file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"{str(path)!r} cannot be read: {why}; check its name and rights") from None
    kind = "a directory" if stat.S_ISDIR(mode) else "a device or a pipe"
    raise ConfigurationError(f"{str(path)!r} is {kind}; name a policy file")


def _extends(document: Document) -> str | None:
    extends = document.data.get("extends") if _is_mapping(document.data) else None
    if extends is None or isinstance(extends, str):
        return extends
    remedy = "write a shipped policy's name or a path from this file"
    raise _error(document.place(("extends",)), f"'extends' must be text, not {shown(extends)}", remedy)


def _check_chain(files: list[Path], parent: Path) -> None:
    seen = [os.path.realpath(file) for file in files]
    if (found := os.path.realpath(parent)) in seen:
        circle = " -> ".join(str(file) for file in [*files[seen.index(found) :], parent])
        raise ConfigurationError(f"the files extend one another in a circle: {circle}; take one `extends` out")
    if len(files) >= _LONGEST_CHAIN:
        raise ConfigurationError(f"more than {_LONGEST_CHAIN} files extend one another; extend one nearer to the root")


def _error(place: Place, message: str, remedy: str) -> PolicyError:
    return PolicyError([Problem(place, message, remedy)])


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


class _Merger:
    """Merges two documents; what neither side repeats is shared with it, for nothing changes data once it is read."""

    def __init__(self, child: Document, parent: Document) -> None:
        self.places: dict[Keys, Place] = {}
        self.key_places: dict[Keys, Place] = {}
        self._child = child
        self._parent = parent

    def merge(self, own: object, inherited: object, keys: Keys) -> object:
        if keys == ("answers",) and _is_list(own) and _is_list(inherited):
            return self._answers(own, inherited)
        if not _is_mapping(own) or not _is_mapping(inherited):
            return self._copy(self._child, own, keys, keys)
        self.places[keys] = self._child.place(keys)
        merged: dict[str, object] = {}
        # No file is deeper than 32, so this may recurse.
        for key in dict.fromkeys([*inherited, *own]):
            at = (*keys, key)
            left_behind = at == ("extends",) or (at == ("examples",) and key not in own)
            if left_behind or own.get(key, key) is None:
                continue
            if key in own:
                merged[key] = self.merge(own[key], inherited.get(key), at)
                self.key_places[at] = self._child.place(at, key=True)
            else:
                merged[key] = self._copy(self._parent, inherited[key], at, at)
                self.key_places[at] = self._parent.place(at, key=True)
        return merged

    def _answers(self, own: list[object], inherited: list[object]) -> object:
        replacing: dict[object, list[int]] = {}
        for index, rule in enumerate(own):
            replacing.setdefault(_rule_name(rule), []).append(index)
        names = {_rule_name(rule) for rule in inherited} - {None}
        order = [(self._child, own, index) for index, rule in enumerate(own) if _rule_name(rule) not in names]
        for index, rule in enumerate(inherited):
            name = _rule_name(rule)
            if name in names and name in replacing:
                order += [(self._child, own, place) for place in replacing.pop(name)]
            else:
                order.append((self._parent, inherited, index))
        self.places["answers",] = self._child.place(("answers",))
        return [
            self._copy(document, rules[index], ("answers", index), ("answers", position))
            for position, (document, rules, index) in enumerate(order)
        ]

    def _copy(self, document: Document, value: object, source: Keys, target: Keys) -> object:
        self.places[target] = document.place(source)
        for key, child in children(value):
            if isinstance(key, str):
                self.key_places[*target, key] = document.place((*source, key), key=True)
            self._copy(document, child, (*source, key), (*target, key))
        return value


def _rule_name(rule: object) -> str | None:
    name = rule.get("rule") if _is_mapping(rule) else None
    return name if isinstance(name, str) else None


def _is_mapping(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
