"""The fields that a policy names, read out of a JSON body without building the rest of it.

The body is parsed by pydantic-core with a schema made from the paths: on a large body a third of the time of
`json.loads`, and nothing of a stranger's document that nobody asked for becomes a Python object. On CPython msgspec reads
whole documents: in a third of that time, since it passes over what nobody asked for. What it refuses it did not read: it is
left to pydantic-core, which takes no document that is nested deeper than 200 levels, and none with a number of millions of
digits; msgspec passes over those, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from ._decode import text_of
from ._paths import Path

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import CoreSchema

__all__ = ["Projection"]

# What a cut may leave of a longer number: `40` of `404`, `1` of `1e3`.
_NUMBER = b"0123456789+-.eE"
# This project's own fixed patterns. They are possessive, match also nothing, and are used from one end of the data to
# the other, so their time is linear. `_UNTIL_BRACKET` passes over strings, and over whole objects and lists six deep.
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_PLAIN = rb'[^"\[\]{}]++|' + _STRING


def _whole(depth: int) -> bytes:
    inside = _PLAIN + rb"|" + _whole(depth - 1) if depth > 1 else _PLAIN
    return rb"[\[{](?:" + inside + rb")*+[\]}]"


_UNTIL_BRACKET = re.compile(rb"(?:" + _PLAIN + rb"|" + _whole(6) + rb")*+([\[\]{}])?", re.DOTALL)
_NAME = re.compile(_STRING, re.DOTALL)
_PAIR = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_UNTIL_HALF = re.compile(
    rb"(?:[^\\]++|" + _PAIR + rb"|\\[^u]|\\u(?![dD][89a-fA-F]))*+(\\u[dD][89a-fA-F][0-9a-fA-F]{2})?"
)


@dataclass(slots=True)
class _Node:
    """What the paths ask for at one place: a value, fields of an object, or items of a list."""

    fields: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    item: _Node | None = None
    asked: bool = False
    # Something asks for the length of the list: `[-1]`, `[*]`.
    counted: bool = False

    def add(self, path: Path) -> None:
        """Make room for one more path."""
        node = self
        for step in path.steps:
            if isinstance(step, str):
                node = node.fields.setdefault(step, _Node())
            else:
                node.counted |= not isinstance(step, int) or step < 0
                node.item = node = node.item or _Node()
        node.asked = True

    @property
    def whole(self) -> bool:
        """Whether nothing of the value can be left out."""
        return self.asked or bool(self.fields and self.item)


class Projection:
    """Reads the values at some paths.

    For each of the paths, and valid JSON nested no deeper than 200 levels, `path.find(projection.read(data))` is
    `path.find(json.loads(data))`.

    Arguments:
        paths: where the values stand.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        # pydantic-core takes tens of milliseconds to import; it is there already where a policy was read.
        from pydantic_core import SchemaValidator, ValidationError, core_schema

        self.paths = tuple(paths)
        self._root = _Node()
        for path in self.paths:
            self._root.add(path)

        def schema(node: _Node) -> CoreSchema:
            # A value of another type than the paths expect leads nowhere: it counts as absent.
            if node.whole:
                return core_schema.any_schema()
            if node.item:
                # The place of an item counts: one of another type stays, as null.
                item = core_schema.with_default_schema(schema(node.item), default=None, on_error="default")
                return core_schema.list_schema(item)
            fields = {
                name: core_schema.typed_dict_field(
                    core_schema.with_default_schema(schema(child), on_error="omit"), required=False
                )
                for name, child in node.fields.items()
            }
            return core_schema.typed_dict_schema(fields, extra_behavior="ignore")

        root = core_schema.with_default_schema(schema(self._root), default=None, on_error="default")
        self._validator = SchemaValidator(root)
        self._refusal = ValidationError
        self._skim = _skimmer(self._root)

    def read(self, data: bytes, *, complete: bool, content_type: str = "") -> object:
        """A document that holds at least the values at the paths; None for what is not JSON.

        Of an incomplete document it holds the values that are certain: not a number, a list or an object that may go
        on after the cut, nor what depends on the length of such a list. Lone surrogates, which JSON can write and
        text cannot hold, are read as U+FFFD.

        Arguments:
            data: the decoded body, or the beginning of it.
            complete: whether `data` is all of the body.
            content_type: the value of `Content-Type`; its charset is used for what is not UTF-8, although JSON
                has to be (RFC 8259 section 8.1).
        """
        if complete and self._skim is not None and (document := self._skim(data)) is not None:
            return document
        try:
            return self._validated(data, complete=complete)
        except self._refusal:
            pass
        try:
            return self._validated(_repaired(data, content_type), complete=complete)
        except self._refusal:
            return None

    def _validated(self, data: bytes, *, complete: bool) -> object:
        if complete:
            return self._validator.validate_json(data)
        data = data.rstrip(_NUMBER)
        document = self._validator.validate_json(data, allow_partial="on")
        if any(_may_go_on(path, document) for path in self.paths):
            document = self._validator.validate_json(data[: self._certain(data)], allow_partial="on")
        return document

    def _certain(self, data: bytes) -> int:
        """How many bytes of a document that was cut may be read: up to the first open value that is asked for whole."""
        # The open objects and lists on the way of some path, from the outermost; `skipped` counts those inside. The
        # data was parsed before: it begins with an object or a list, and an object or list inside an object has a name.
        start = len(data) - len(data.lstrip())
        opened = [(self._root, start, data.startswith(b"[", start))]
        skipped = 0
        position = start + 1
        while opened and (match := _UNTIL_BRACKET.match(data, position)) and (bracket := match[1]):
            position = match.end()
            if bracket in b"]}":
                if skipped:
                    skipped -= 1
                else:
                    opened.pop()
                continue
            node, _, is_list = opened[-1]
            if skipped or node.whole:
                child = None
            elif is_list:
                child = node.item
            else:
                child = node.fields.get(json.loads(_NAME.findall(match[0])[-1]))
            if child:
                opened.append((child, position - 1, bracket == b"["))
            else:
                skipped += 1
        return next((start for node, start, is_list in opened if node.whole or (is_list and node.counted)), len(data))


def _skimmer(root: _Node) -> Callable[[bytes], object] | None:
    """Reads documents with msgspec; gives `None` for one that it does not read, since pydantic-core takes more."""
    try:
        import msgspec
    except ImportError:
        # PyPy has none.
        return None
    typed_dict: Any = TypedDict

    def kind(node: _Node) -> Any:
        if node.whole:
            return Any
        if node.item:
            item: Any = kind(node.item)
            return list[item]
        return typed_dict("Fields", {name: kind(child) for name, child in node.fields.items()}, total=False)

    decoder = msgspec.json.Decoder(kind(root))

    def skim(data: bytes) -> object:
        try:
            # As text, so that it surely is UTF-8: msgspec does not look at the characters that it passes over.
            return decoder.decode(data.decode())
        except (ValueError, RecursionError):
            # A value of another type than the paths expect; NaN, lone surrogates, a byte order mark; or no JSON.
            return None

    return skim


def _may_go_on(path: Path, document: object) -> bool:
    there, value = path.find(document)
    return isinstance(value, dict | list) or (there and any(isinstance(step, int) and step < 0 for step in path.steps))


def _repaired(data: bytes, content_type: str) -> bytes:
    """The same document as UTF-8 without lone surrogates."""
    repaired = bytearray(text_of(data, content_type).encode("utf-8", "replace"))
    for match in _UNTIL_HALF.finditer(bytes(repaired)):
        if match[1]:
            repaired[match.start(1) : match.end(1)] = rb"\ufffd"
    return bytes(repaired)
