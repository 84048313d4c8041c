"""The sets of attributes of one instrument: made once, and never more of them than a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._fork import Lock
from ._instruments import ATTRIBUTES, MOST_SERIES, OTHER

if TYPE_CHECKING:
    from ._instruments import Attribute, Instrument

__all__ = ["Series", "Value"]

Value = str | int | bool | None
"""Of an attribute; `None` leaves it out."""
_LONGEST = 200


class Series:
    """The sets of attributes of one instrument; safe for threads.

    Arguments:
        instrument: which.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._attributes = tuple(ATTRIBUTES[name] for name in instrument.attributes)
        self._lock = Lock()
        # By their values as they are told: those that were replaced are one, whatever they replaced.
        self._known: dict[tuple[Value, ...], dict[str, str | int | bool]] = {}
        self._seen: dict[str, set[Value]] = {each.name: set() for each in self._attributes}

    def of(self, *values: Value) -> dict[str, str | int | bool]:
        """The attributes with these values, in the order of the table; not to be changed.

        Arguments:
            values: of all attributes. What is not of a closed set, or is one too many of an open one, becomes `_OTHER`;
                a number that is one too many is left out.
        """
        found = self._known.get(values)
        if found is not None:
            return found
        with self._lock:
            pairs = tuple(zip(self._attributes, values, strict=True))
            kept = tuple(self._kept(each, value) for each, value in pairs)
            found = self._known.get(kept)
            if found is not None:
                return found
            is_full = len(self._known) >= MOST_SERIES
            if is_full:
                kept = tuple(_closed(each, value) for each, value in pairs)
            made = {each.name: value for each, value in zip(self._attributes, kept, strict=True) if value is not None}
            if not is_full:
                self._known[kept] = made
            return made

    def _kept(self, attribute: Attribute, value: Value) -> Value:
        if value is None or attribute.values:
            return _closed(attribute, value)
        # Half of a surrogate pair would keep an exporter from sending anything at all.
        told = value[:_LONGEST].encode("utf-8", "replace").decode() if isinstance(value, str) else value
        seen = self._seen[attribute.name]
        if told not in seen and len(seen) >= attribute.most:
            return _closed(attribute, value)
        seen.add(told)
        return told


def _closed(attribute: Attribute, value: Value) -> Value:
    """A value of a closed set, or what stands for any other."""
    if value is None or value in attribute.values:
        return value
    return OTHER if isinstance(value, str) else None
