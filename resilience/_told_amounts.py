"""Writing amounts into a documented answer, at the places where its policy says that answers tell them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from ._amount_places import number_after
from ._documented import Reply
from ._paths import AllItems

if TYPE_CHECKING:
    from ._amount_places import AmountPlace
    from ._paths import Path

__all__ = ["put", "tell"]


def tell(reply: Reply, places: Iterable[AmountPlace], amount: Decimal, *, add: bool) -> Reply:
    """The answer with an amount at each of these places that it has.

    Arguments:
        reply: the answer.
        places: in order of precedence.
        amount: what to write.
        add: whether the first of the places is added to an answer that has none of them.
    """
    possible = [place for place in places if place.path is None or not any(map(_is_wild, place.path.steps))]
    written = False
    for place in possible:
        reply, done = _at(reply, place, amount, add=False)
        written = written or done
    if possible and add and not written:
        reply, _ = _at(reply, possible[0], amount, add=True)
    return reply


def put(reply: Reply, path: Path, value: object, *, add: bool = False) -> Reply | None:
    """The answer with a value at a place of its JSON body; `None` if there is no such place.

    Arguments:
        reply: the answer.
        path: the place, without `[*]`.
        value: what to write; a function gets what stands there.
        add: whether to make the fields that are missing on the way.
    """
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    if not _put(document, path, value, add=add):
        return None
    return replace(reply, body=json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _at(reply: Reply, place: AmountPlace, amount: Decimal, *, add: bool) -> tuple[Reply, bool]:
    if place.path is not None:

        def write(value: object) -> object:
            return _written(value, place.after, amount)

        changed = put(reply, place.path, write, add=add)
        return (reply, False) if changed is None else (changed, True)
    name = (place.header or "").lower()
    found = next((value for header, value in reply.headers if header.lower() == name), None)
    if found is None and not add:
        return reply, False
    others = [header for header in reply.headers if header[0].lower() != name]
    text = str(_written(found if found is not None else "", place.after, amount))
    return replace(reply, headers=(*others, (place.header or "", text))), True


def _written(value: object, after: str | None, amount: Decimal) -> object:
    """The amount in the form of what stood there."""
    text = f"{amount.normalize():f}"
    if after is not None:
        span = number_after(value, after) if isinstance(value, str) else None
        return f"{str(value)[: span[0]]}{text}{str(value)[span[1] :]}" if span is not None else f"{after}{text}"
    if isinstance(value, str):
        return text
    return int(amount) if amount == int(amount) else float(amount)


def _put(document: Any, path: Path, value: Any, *, add: bool) -> bool:
    node = document
    for step in path.steps[:-1]:
        if add and not _has(node, step) and _may_have(node, step):
            node[step] = {}
        if not _has(node, step):
            return False
        node = node[step]
    last = path.steps[-1]
    there = _has(node, last)
    if not there and not (add and _may_have(node, last)):
        return False
    node[last] = value(node[last] if there else None) if callable(value) else value
    return True


def _has(node: object, step: str | int | AllItems) -> bool:
    if isinstance(node, dict):
        return isinstance(step, str) and step in node
    size = len(cast("list[object]", node)) if isinstance(node, list) else 0
    return isinstance(step, int) and -size <= step < size


def _may_have(node: object, step: str | int | AllItems) -> bool:
    return isinstance(node, dict) and isinstance(step, str)


def _is_wild(step: str | int | AllItems) -> bool:
    return isinstance(step, AllItems)
