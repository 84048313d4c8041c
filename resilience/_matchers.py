"""Comparing one value of an answer with what a policy asks of it: equal, one of, in a range, containing a text."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ._model import Model

__all__ = ["MISSING", "Matcher", "Operators", "Scalar", "Statuses", "Texts", "compile_matcher", "implies", "values_of"]

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr | None


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""Stands for a field that is not there; `null` is a value."""


def values_of(value: object) -> tuple[Any, ...]:
    """One or several, as a tuple."""
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return (value,)


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    tuple[Annotated[StrictStr, Field(min_length=1)], ...],
    BeforeValidator(_one_or_more),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
"""One text, or a list of which one is enough."""


def _statuses(value: object) -> frozenset[int]:
    found: set[int] = set()
    for item in values_of(value):
        if isinstance(item, int) and not isinstance(item, bool) and 100 <= item <= 999:
            found.add(item)
        elif isinstance(item, str) and len(item) == 3 and item[0] in "123456789" and item[1:] == "xx":
            found.update(range(int(item[0]) * 100, int(item[0]) * 100 + 100))
        elif isinstance(item, str) and _range(item):
            found.update(_range(item))
        else:
            raise PydanticCustomError(
                "status",
                "{value} is no status; write 429, a range '500-599', '5xx', or a list of these",
                {"value": repr(item)[:40]},
            )
    return frozenset(found)


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    if not len(first) == len(last) == 3 or not (first + last).isascii() or not (first + last).isdigit():
        return range(0)
    return range(int(first), int(last) + 1) if int(first) >= 100 else range(0)


_STATUS_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 100, "maximum": 999}, {"type": "string"}]}
Statuses = Annotated[
    frozenset[int],
    BeforeValidator(_statuses),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [*_STATUS_SCHEMA["anyOf"], {"type": "array", "items": _STATUS_SCHEMA, "minItems": 1}]}),
]
"""One status, a range `500-599`, a class `5xx`, or a list of these."""


class Operators(Model):
    """What a value must be, where equality is not enough; all that are given must hold."""

    eq: Scalar = Field(default=None)
    """Equal to this, of the same type: `1`, `"1"` and `true` are three different values."""
    ne: Scalar = Field(default=None)
    """There, and not equal to this."""
    in_: tuple[Scalar, ...] | None = Field(default=None, alias="in", min_length=1)
    """Equal to one of these."""
    gt: StrictInt | StrictFloat | None = None
    """A number greater than this."""
    gte: StrictInt | StrictFloat | None = None
    """A number of at least this."""
    lt: StrictInt | StrictFloat | None = None
    """A number smaller than this."""
    lte: StrictInt | StrictFloat | None = None
    """A number of at most this."""
    contains: Texts | None = None
    """A text that contains one of these, letter for letter."""
    starts_with: Texts | None = None
    """A text that begins with one of these."""
    present: StrictBool | None = None
    """There at all (`true`), or not there (`false`). `null` counts as there."""

    @model_validator(mode="after")
    def _says_something(self) -> Operators:
        if not self.model_fields_set:
            raise PydanticCustomError("matcher", "an empty mapping matches nothing in particular; name an operator")
        for name in sorted(self.model_fields_set - {"eq", "ne"}):
            if getattr(self, name) is None:
                raise PydanticCustomError(
                    "matcher", "'{name}' has no value; remove it, or give it one", {"name": name.removesuffix("_")}
                )
        return self


Matcher = Scalar | tuple[Scalar, ...] | Operators
"""A value to be equal to, a list of values of which one is enough, or a mapping of operators."""

Test = Callable[[object], bool]


def same(left: object, right: object) -> bool:
    """Equal and of the same JSON type: numbers compare with numbers, and `true` is no number."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float):
        return isinstance(right, int | float) and left == right
    return type(left) is type(right) and left == right


def _any_same(wanted: Iterable[object]) -> Test:
    known = tuple(wanted)
    if len(known) == 1:
        only = known[0]
        # A text equals nothing but texts. Most conditions ask for one, and each success is asked that a rule might speak of.
        return (lambda value: value == only) if isinstance(only, str) else lambda value: same(value, only)
    return lambda value: any(same(value, item) for item in known)


def _number(bound: float, holds: Callable[[float, float], bool]) -> Test:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and holds(value, bound)


def _bounds(matcher: Operators) -> list[tuple[float, Callable[[float, float], bool]]]:
    given = (
        (matcher.gt, operator.gt),
        (matcher.gte, operator.ge),
        (matcher.lt, operator.lt),
        (matcher.lte, operator.le),
    )
    return [(bound, holds) for bound, holds in given if bound is not None]


def compile_matcher(matcher: Matcher) -> Test:
    """The matcher as a function of the value (or of `MISSING`); it never raises."""
    if not isinstance(matcher, Operators):
        return _any_same(matcher if isinstance(matcher, tuple) else (matcher,))
    given = matcher.model_fields_set
    tests: list[Test] = []
    if "eq" in given:
        tests.append(_any_same((matcher.eq,)))
    if "ne" in given:
        tests.append(lambda value: value is not MISSING and not same(value, matcher.ne))
    if matcher.in_ is not None:
        tests.append(_any_same(matcher.in_))
    for bound, holds in _bounds(matcher):
        tests.append(_number(bound, holds))
    if (texts := matcher.contains) is not None:
        tests.append(lambda value: isinstance(value, str) and any(text in value for text in texts))
    if (starts := matcher.starts_with) is not None:
        tests.append(lambda value: isinstance(value, str) and value.startswith(starts))
    if matcher.present is not None:
        tests.append(lambda value: (value is not MISSING) is matcher.present)
    return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)


def implies(narrow: Matcher, wide: Matcher) -> bool:
    """Whether every value that `narrow` accepts is surely accepted by `wide` (`False` where it cannot be told)."""
    test = compile_matcher(wide)
    values = _accepted(narrow)
    if values is not None:
        own = compile_matcher(narrow)
        return all(test(value) for value in values if own(value))
    if not isinstance(narrow, Operators) or not isinstance(wide, Operators):
        return False
    left, right = narrow.model_fields_set, wide.model_fields_set
    # What Python calls equal is not: `{ne: 1}` and `{ne: true}` accept different values.
    if left == right and narrow == wide and same(narrow.ne, wide.ne):
        return True
    if right == {"present"}:
        return wide.present is True and narrow.present is not False
    if right == {"contains"} and wide.contains is not None and narrow.contains is not None:
        return all(any(part in text for part in wide.contains) for text in narrow.contains)
    # A range within a range: each bound of the wide one must hold for the bound of the narrow one on its side.
    sides = {"gt": "low", "gte": "low", "lt": "high", "lte": "high"}
    if right <= set(sides) and left & set(sides):
        return all(
            any(
                sides[own] == sides[key] and (compile_matcher(wide_bound)(value) or (own == key and value == bound))
                for own in left & set(sides)
                for value in [getattr(narrow, own)]
            )
            for key in right
            for bound in [getattr(wide, key)]
            for wide_bound in [Operators.model_validate({key: bound})]
        )
    return False


def _accepted(matcher: Matcher) -> tuple[Scalar, ...] | None:
    """All the values that a matcher accepts, where they can be counted."""
    if not isinstance(matcher, Operators):
        return matcher if isinstance(matcher, tuple) else (matcher,)
    if "eq" in matcher.model_fields_set:
        return (matcher.eq,)
    return matcher.in_
