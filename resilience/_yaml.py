"""Reads YAML text into plain data and the place of every key and value: bounded, and without YAML's surprises.

The parser's events are read one by one with a stack of our own: nothing recurses, so that no depth can break the
interpreter, and every bound holds before the memory is spent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import yaml

from ._document import LARGEST_FILE, MOST_SHOWN, Document, Keys, children, shown
from .errors import Place, PolicyError, Problem

if TYPE_CHECKING:
    from typing import TypeAlias

    from yaml._yaml import Mark as _CMark

    _Mark: TypeAlias = yaml.Mark | _CMark

__all__ = [
    "DEEPEST",
    "MOST_NODES",
    "decode",
    "events",
    "parse",
    "plain",
]

DEEPEST = 32
"""How many mappings and lists may stand within one another, aliases expanded."""
MOST_NODES = 20_000
"""How many keys and values a file may hold, aliases expanded."""
_MOST_PROBLEMS = 100
_LONGEST_NUMBER = 64

# The C parser reads the same language about ten times faster; not every build of PyYAML has it.
_LOADER: type[yaml.CSafeLoader | yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# YAML 1.2.2 clause 5.1 "Character Set", without the line breaks of YAML 1.1 and without byte order marks inside.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
# libyaml compares each one with all before it: a file of a megabyte of them would take ten seconds.
_TAG_DIRECTIVE = re.compile(r"(?:\A|[\r\n])%TAG")
# YAML 1.2.2 clause 10.3.2 "Tag Resolution" of the core schema; octal numbers stay text, dates are ours.
_WORDS: Mapping[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WHOLE = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def decode(text: str | bytes, file: str) -> str:
    """The text of a file, without a leading byte order mark.

    Raises:
        PolicyError: it is too large, is not UTF-8, or holds characters that no text needs.
    """
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if len(raw) > LARGEST_FILE:
        raise _error(Place(file, 1, 1), "the file is larger than 1 MiB", "split it into several files")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _error(Place(file, 1, 1), "the file is UTF-16", "save it as UTF-8")
    try:
        decoded = raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        place = _place_after(raw[: error.start].decode("utf-8").removeprefix("\ufeff"), file)
        raise _error(place, f"the byte 0x{raw[error.start]:02x} is not UTF-8", "save the file as UTF-8 text") from None
    if (forbidden := _FORBIDDEN.search(decoded)) is not None:
        place = _place_after(decoded[: forbidden.start()], file)
        raise _error(place, f"the character U+{ord(forbidden[0]):04X} is not allowed", "the file must be plain text")
    if "%TAG" in decoded and (directive := _TAG_DIRECTIVE.search(decoded)) is not None:
        place = _place_after(decoded[: directive.end()].removesuffix("%TAG"), file)
        raise _error(place, "the directive %TAG is not allowed", "leave it out: tags are not allowed either")
    return decoded


def events(text: str, file: str) -> Iterator[yaml.Event]:
    """The parser's events of a decoded text; what precedes a syntax error is yielded before PolicyError is raised."""
    try:
        yield from yaml.parse(text, Loader=_LOADER)  # pyright: ignore[reportUnknownMemberType]  # its C half is untyped
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        if mark is not None and text[mark.index : mark.index + 1] == "\t":
            message = "a tab stands where YAML takes only blanks"
            raise _error(_place_of(mark, file), f"this is not YAML: {message}", "indent with blanks") from None
        message = ", ".join(part for part in (error.context, error.problem) if part)
        raise _error(_place_of(mark, file), f"this is not YAML: {message}", "look at the line before, too") from None
    # PyYAML's own parser lets these out of `int()` and `chr()`: `%YAML 1.<5000 digits>`, "\UFFFFFFFF".
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _error(
            Place(file, 1, 1), f"this is not YAML: {str(error)[:MOST_SHOWN]}", "look for strange escapes"
        ) from None


def plain(text: str) -> object:
    """What an unquoted scalar means: nothing, true or false, a number, a date, or else text (`NO`, `on`, `1:30`).

    Raises:
        ValueError: it looks like a number or a date, yet is none that can be used; the error says why.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number")
    if _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise ValueError(f"there is no day {text}") from None
    whole = _WHOLE.fullmatch(text) is not None
    if not whole and not _FLOAT.fullmatch(text):
        return text
    # Python reads whole numbers of at most 4,300 digits, and no number of 64 bits needs 64 characters.
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"{text[:40]} is too long a number")
    number = float(text) if not whole else int(text, 16) if text.startswith("0x") else int(text)
    if (whole and not -(2**63) <= number < 2**63) or abs(number) == float("inf"):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def parse(text: str | bytes, file: str) -> Document:
    """Plain data (mappings with text keys, lists, text, numbers, dates, true, false, nothing) and its places.

    Arguments:
        text: what the file holds.
        file: what the places are named after.

    Raises:
        PolicyError: the text is not the one YAML document that this library reads; with every problem found.
    """
    reader = _Reader(file)
    try:
        for event in events(decode(text, file), file):
            reader.take(event)
    except PolicyError as error:
        raise PolicyError([*reader.problems, *error.problems]) from None
    if reader.problems:
        raise PolicyError(reader.problems)
    if reader.root is None:
        raise _error(Place(file, 1, 1), "the file is empty", "write at least one key")
    return Document.late(reader.root, reader.found)


def _error(place: Place, message: str, remedy: str) -> PolicyError:
    return PolicyError([Problem(place, message, remedy)])


def _place_of(mark: _Mark | None, file: str) -> Place:
    return Place(file, 1, 1) if mark is None else Place(file, mark.line + 1, mark.column + 1)


def _place_after(text: str, file: str) -> Place:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return Place(file, len(lines), len(lines[-1]) + 1)


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet; `key` is the key of a mapping that waits for its value."""

    value: dict[str, object] | list[object]
    keys: Keys
    mark: _Mark
    anchor: str | None
    key: str | None = None


class _Reader:
    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self._marks: dict[Keys, _Mark] = {}
        self._key_marks: dict[Keys, _Mark] = {}
        self.root: object = None
        self._file = file
        self._stack: list[_Open] = []
        self._nodes = 0
        # None while the anchored mapping or list is still open.
        self._anchors: dict[str, tuple[object, Keys] | None] = {}

    def take(self, event: yaml.Event) -> None:
        kind = type(event)
        if kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            closed = self._stack.pop()
            self._finish(closed.value, closed.keys, closed.mark, closed.anchor)
            return
        # Optional for events that programs make; those of a parser have one.
        mark = event.start_mark
        assert mark is not None
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            self._node(event, mark)
        elif isinstance(event, yaml.AliasEvent):
            keys, _ = self._next(mark)
            self._finish(self._expand(event.anchor or "", keys, mark), keys, mark, None)
        elif isinstance(event, yaml.DocumentStartEvent) and self._marks:
            raise self._error(mark, "a second document starts here", "keep one document in one file")

    def _node(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, mark: _Mark) -> None:
        keys, is_key = self._next(mark)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")[:MOST_SHOWN]
            self._problem(mark, f"the tag {tag} is not allowed", "leave it out; quote what must stay text")
        if isinstance(event, yaml.ScalarEvent):
            self._finish(self._scalar(event, mark, is_key=is_key), keys, mark, event.anchor)
            return
        self._count(mark, depth=len(self._stack) + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        value: dict[str, object] | list[object] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._stack.append(_Open(value, keys, mark, event.anchor))

    def _next(self, mark: _Mark) -> tuple[Keys, bool]:
        """The way to the node that stands here, and whether it is a key."""
        self._count(mark, nodes=1)
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            # Only what is refused keeps this way, which is nobody else's: a mapping as a key, a key's second value.
            return (*top.keys, f"\0{self._nodes}"), True
        keys = () if top is None else (*top.keys, len(top.value) if isinstance(top.value, list) else top.key or "")
        self._marks[keys] = mark
        return keys, False

    def _finish(self, value: object, keys: Keys, mark: _Mark, anchor: str | None) -> None:
        """Puts a value that is complete where it belongs."""
        if anchor is not None:
            self._anchors[anchor] = (value, keys)
        top = self._stack[-1] if self._stack else None
        if top is None:
            self.root = value
        elif isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            top.key = self._key(value, keys, mark)
        else:
            top.value[top.key], top.key = value, None

    def _key(self, value: object, keys: Keys, mark: _Mark) -> str:
        if not isinstance(value, str):
            self._problem(mark, f"a key must be text, not {shown(value)}", "put it in quotes")
            return str(keys[-1])
        first = self._key_marks.setdefault((*keys[:-1], value), mark)
        if first is not mark:
            self._problem(
                mark,
                f"the key {shown(value)} stands twice",
                f"it stood first at {_place_of(first, self._file)}; keep one",
            )
            return str(keys[-1])
        return value

    def _scalar(self, event: yaml.ScalarEvent, mark: _Mark, *, is_key: bool) -> object:
        # The text was searched before: only an escape, which stands in double quotes, can bring another one.
        if event.style == '"' and (forbidden := _FORBIDDEN.search(event.value)) is not None:
            self._problem(mark, f"the character U+{ord(forbidden[0]):04X} is not allowed", "leave out its escape")
        if event.style:
            return event.value
        if is_key and event.value == "<<":
            self._problem(mark, "the merge key << is not allowed", "use `extends`, or write the keys out")
        try:
            return plain(event.value)
        except ValueError as error:
            self._problem(mark, str(error), "put it in quotes if it is text")
            return event.value

    def _expand(self, anchor: str, keys: Keys, mark: _Mark) -> object:
        """The value that an alias stands for; what is in it counts again, and keeps its places."""
        found = self._anchors.get(anchor)
        if found is None:
            why = "stands within its own anchor" if anchor in self._anchors else "has no anchor before it"
            self._problem(mark, f"the alias {shown(anchor)} {why}", "write the value out")
            return None
        waiting = [(*found, keys)]
        while waiting:
            value, source, target = waiting.pop()
            if type(value) in {dict, list}:
                self._count(mark, depth=len(target) + 1)
            for key, child in children(value):
                self._count(mark, nodes=1 if isinstance(key, int) else 2)
                self._marks[*target, key] = self._marks.get((*source, key), mark)
                if isinstance(key, str):
                    self._key_marks[*target, key] = self._key_marks.get((*source, key), mark)
                waiting.append((child, (*source, key), (*target, key)))
        return found[0]

    def _count(self, mark: _Mark, *, nodes: int = 0, depth: int = 0) -> None:
        self._nodes += nodes
        if self._nodes > MOST_NODES:
            raise self._error(
                mark, f"the file holds more than {MOST_NODES} keys and values", "split it; mind its aliases"
            )
        if depth > DEEPEST:
            raise self._error(
                mark, f"more than {DEEPEST} mappings and lists stand within one another", "nest them less"
            )

    def _problem(self, mark: _Mark, message: str, remedy: str) -> None:
        self.problems.append(Problem(_place_of(mark, self._file), message, remedy))
        if len(self.problems) >= _MOST_PROBLEMS:
            raise self._error(mark, "there are more problems than are shown", "correct these first")

    def _error(self, mark: _Mark, message: str, remedy: str) -> PolicyError:
        return _error(_place_of(mark, self._file), message, remedy)

    def found(self) -> tuple[dict[Keys, Place], dict[Keys, Place]]:
        """The places of the values and of the keys, made when somebody asks: a sixth of all the work."""
        values = {keys: _place_of(mark, self._file) for keys, mark in self._marks.items()}
        return values, {keys: _place_of(mark, self._file) for keys, mark in self._key_marks.items()}
