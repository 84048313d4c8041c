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
            is_full = len(self._known) >= MOST_SERIES
            pairs = zip(self._attributes, values, strict=True)
            made = {each.name: kept for each, value in pairs if (kept := self._kept(each, value, is_full)) is not None}
            if not is_full:
                self._known[values] = made
            return made

    def _kept(self, attribute: Attribute, value: Value, is_full: bool) -> Value:  # noqa: FBT001  private
        if value is None or value in attribute.values:
            return value
        instead = OTHER if isinstance(value, str) else None
        seen = self._seen[attribute.name]
        if is_full or attribute.values or (value not in seen and len(seen) >= attribute.most):
            return instead
        seen.add(value)
        # Half of a surrogate pair would keep an exporter from sending anything at all.
        return value[:_LONGEST].encode("utf-8", "replace").decode() if isinstance(value, str) else value
