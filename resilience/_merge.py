"""What a policy that extends another one says: the two files as one, each part with its place in its own file."""

from __future__ import annotations

from typing import TypeGuard

from ._document import Document, Keys, children
from .errors import Place

__all__ = ["is_mapping", "merge"]


def merge(child: Document, parent: Document) -> Document:
    """What a child that extends a parent says, each part with its place in the file that it comes from.

    Mappings merge key by key, and a child's null removes the key. Everything else of the child replaces the parent's,
    except `answers`: a rule replaces the parent's rule of the same name where that stands, new rules come first.
    The parent's `examples` prove the parent and are left behind, and so is the child's `extends`.
    """
    merger = _Merger(child, parent)
    return Document.late(merger.merge(child.data, parent.data, ()), merger.places)


class _Merger:
    """Merges two documents; what neither side repeats is shared with it, for nothing changes data once it is read."""

    def __init__(self, child: Document, parent: Document) -> None:
        self._child = child
        self._parent = parent
        # What was taken as it is, and from where to where. Places are found when somebody asks: of a shipped parent
        # that takes longer than all the rest.
        self._taken: list[tuple[Document, object, Keys, Keys]] = []

    def merge(self, own: object, inherited: object, keys: Keys) -> object:
        if keys == ("answers",) and _is_list(own) and _is_list(inherited):
            return self._answers(own, inherited)
        if not is_mapping(own) or not is_mapping(inherited):
            return self._take(self._child, own, keys, keys)
        self._take(self._child, None, keys, keys)
        merged: dict[str, object] = {}
        # No file is deeper than 32, so this may recurse.
        for key in dict.fromkeys([*inherited, *own]):
            at = (*keys, key)
            left_behind = at == ("extends",) or (at == ("examples",) and key not in own)
            if left_behind or own.get(key, key) is None:
                continue
            if key in own:
                merged[key] = self.merge(own[key], inherited.get(key), at)
            else:
                merged[key] = self._take(self._parent, inherited[key], at, at)
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
        self._take(self._child, None, ("answers",), ("answers",))
        return [
            self._take(document, rules[index], ("answers", index), ("answers", position))
            for position, (document, rules, index) in enumerate(order)
        ]

    def _take(self, document: Document, value: object, source: Keys, target: Keys) -> object:
        self._taken.append((document, value, source, target))
        return value

    def places(self) -> tuple[dict[Keys, Place], dict[Keys, Place]]:
        """Where each value and each key stands."""
        values: dict[Keys, Place] = {}
        keys: dict[Keys, Place] = {}
        waiting = self._taken[::-1]
        while waiting:
            document, value, source, target = waiting.pop()
            values[target] = document.place(source)
            if target and isinstance(target[-1], str):
                keys[target] = document.place(source, key=True)
            waiting += ((document, child, (*source, key), (*target, key)) for key, child in children(value))
        return values, keys


def _rule_name(rule: object) -> str | None:
    name = rule.get("rule") if is_mapping(rule) else None
    return name if isinstance(name, str) else None


def is_mapping(value: object) -> TypeGuard[dict[str, object]]:
    """Whether this is a mapping; the loader lets no other keys than texts through."""
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
