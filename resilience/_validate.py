"""Turns plain data into a pydantic model, and pydantic's errors into places, plain words and remedies."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, RootModel, Tag, ValidationError
from pydantic_core import ErrorDetails, core_schema

from ._document import Document, Keys, shown
from ._finding import ALIKE
from .errors import Place, PolicyError, Problem

__all__ = ["validate"]

_MOST_PROBLEMS = 100
_MOST_ERRORS = 1000
_MOST_PLACES = 3
_BUILT_IN: frozenset[str] = frozenset(get_args(core_schema.ErrorType))
# By the beginnings of pydantic's names for its errors.
_WANTED = {
    **dict.fromkeys(("model_", "dict_", "mapping_", "dataclass_", "frozen_dict_"), "a mapping"),
    **dict.fromkeys(("list_", "tuple_", "set_", "frozen_set_", "iterable_", "iteration_"), "a list"),
    "int_": "a whole number",
    **dict.fromkeys(("float_", "decimal_"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("string_", "bytes_"), "text"),
    "bool_": "true or false",
    "none_": "nothing",
    "date_": "a date such as 2026-11-21",
    "url_": "a URL such as https://example.com/page",
}
_BOUNDS = {
    "greater_than": "must be more than {gt}, not {value}",
    "greater_than_equal": "must be at least {ge}, not {value}",
    "less_than": "must be less than {lt}, not {value}",
    "less_than_equal": "must be at most {le}, not {value}",
    "multiple_of": "must be a multiple of {multiple_of}, not {value}",
    "string_too_short": "must have at least {min_length} characters, not be {value}",
    "string_too_long": "must have at most {max_length} characters, not be {value}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
# Forms in words, by the patterns of the models; a pattern that is not here is shown itself.
_FORMS = {
    r"^[a-z0-9][a-z0-9_.-]{0,63}$": "a name in small letters, digits, '-', '_' and '.'",
    r"^[a-z][a-z0-9_]{0,31}$": "a name in small letters, digits and '_'",
    r"^[A-Za-z0-9_.-]{1,64}$": "1 to 64 letters, digits, '-', '_' and '.'",
    r"^\{plan\.[a-z][a-z0-9_]{0,31}\}$": "a number of the plan such as '{plan.calls}'",
    r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$": "the name of a header",
    r"^https?://[^\s]+$": "a URL such as https://example.com/page",
}
# Errors that speak of what is in a value: the value itself is of the right kind.
_INSIDE = {"missing", "extra_forbidden", "union_tag_invalid", "union_tag_not_found", *_BOUNDS}
# What pydantic says of a date of YAML's where an answer is written.
_NO_JSON = "invalid-json-value"

ModelType = TypeVar("ModelType", bound=BaseModel)


def validate(model: type[ModelType], document: Document) -> ModelType:
    """The document's data as a model.

    Raises:
        PolicyError: it does not fit; with every problem, the first hundred if there are more.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        # A hostile file may cause one error for each of its values, and several in a union.
        details = error.errors(include_url=False)
    located = [_locate(model, document, detail) for detail in details[:_MOST_ERRORS]]
    findings = [finding for finding in located if not finding.is_echo]
    groups = _settle(findings, 0)
    problems = sorted(_problem(group, document) for group in groups[:_MOST_PROBLEMS])
    if len(details) > _MOST_ERRORS or len(groups) > _MOST_PROBLEMS:
        problems.append(Problem(problems[-1].place, "there may be more problems than are shown", "correct these first"))
    raise PolicyError(problems)


@dataclass(frozen=True, slots=True)
class _Finding:
    """One of pydantic's errors, found in the document.

    `options` are the annotations that may apply there; `unions` are the unions on the way, each with the member that
    the error is about; `key` is the key that is missing or unknown.
    """

    details: ErrorDetails
    keys: Keys
    value: object
    options: list[object]
    unions: list[tuple[Keys, str]]
    key: str | int | None
    on_key: bool

    @property
    def kind(self) -> str:
        return self.details["type"]

    @property
    def context(self) -> Mapping[str, Any]:
        return self.details.get("ctx", {})

    @property
    def is_echo(self) -> bool:
        """Whether it only counts what other errors have taken out: pydantic finds a list too short for its good entries."""
        value = self.value
        return self.kind == "too_short" and isinstance(value, Sized) and len(value) >= self.context["min_length"]

    def place(self, document: Document) -> Place:
        if self.kind == "extra_forbidden" and self.key is not None:
            return document.place((*self.keys, self.key), key=True)
        return document.place(self.keys, key=self.on_key)


def _locate(model: type[BaseModel], document: Document, details: ErrorDetails) -> _Finding:
    """Follows an error's `loc` through the data and the annotations at once, for `loc` also names unions' members."""
    loc: Keys = details["loc"]
    key = None
    if details["type"] in {"missing", "extra_forbidden"}:
        *front, key = loc
        loc = tuple(front)
    keys: Keys = ()
    value = document.data
    options: list[object] = [model]
    parents: list[object] = []
    unions: list[tuple[Keys, str]] = []
    on_key = chosen = False
    for segment in loc:
        members = [member for option in options for member in _members(option)]
        if segment == "[key]" and keys and not _holds(value, segment):
            value, on_key = keys[-1], True
            options = [argument for parent in parents for argument in get_args(parent)[:1]]
        elif len(members) > len(options) and (not chosen or len(options) == 1):
            unions.append((keys, str(segment)))
            options, chosen = _called(members, segment), True
        elif _holds(value, segment):
            keys, value, parents = (*keys, segment), cast("dict[str | int, object]", value)[segment], members
            options, chosen = [below for member in members for below in _below(member, segment)], False
        elif segment == 0 and isinstance(value, str):
            # One value that stands for a list of one.
            options = [below for member in members for below in _below(member, segment)]
    for segment in cast("Keys", details.get("ctx", {}).get("at", ())):
        if _holds(value, segment):
            keys, value, options = (*keys, segment), cast("dict[str | int, object]", value)[segment], []
    tag_key = str(details.get("ctx", {}).get("discriminator", "")).strip("'")
    if details["type"] == "union_tag_invalid" and _holds(value, tag_key):
        keys, value = (*keys, tag_key), cast("dict[str, object]", value)[tag_key]
    options = [member for option in options for member in _members(option)]
    return _Finding(details, keys, value, options, unions, key, on_key)


def _holds(value: object, segment: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(segment, int) and segment < len(cast("list[object]", value))
    return isinstance(value, dict) and segment in value


def _members(annotation: Any) -> list[object]:
    """The members of a union, without None; of anything else only itself."""
    while True:
        if get_origin(annotation) is Annotated and not any(isinstance(part, Tag) for part in get_args(annotation)):
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        elif isinstance(annotation, type) and issubclass(annotation, RootModel):
            annotation = annotation.model_fields["root"].annotation
        elif get_origin(annotation) in {Union, UnionType}:
            members = [member for member in get_args(annotation) if member is not type(None)]
            if len(members) > 1:
                return members
            annotation = members[0]
        else:
            return [annotation]


def _bare(annotation: object) -> object:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _called(members: list[object], label: str | int) -> list[object]:
    """Those of a union's members that pydantic calls so, else all: it writes out the names of validators."""
    named = [
        _bare(member)
        for member in members
        if any(isinstance(part, Tag) and part.tag == label for part in get_args(member)[1:])
        or label in {getattr(_bare(member), "__name__", None), str(_bare(member))}
        or any(label in _choices([field.annotation]) for field in _fields(_bare(member)).values())
    ]
    return named or [_bare(member) for member in members]


def _fields(annotation: object) -> dict[str, Any]:
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return {}
    return {field.alias or name: field for name, field in annotation.model_fields.items()}


def _below(annotation: object, segment: str | int) -> list[object]:
    """The annotations of what stands in a value under this key or index."""
    if segment in (fields := _fields(annotation)):
        return [fields[segment].annotation]
    arguments = get_args(annotation)
    if isinstance(segment, str):
        return list(arguments[1:2])
    fixed = get_origin(annotation) is tuple and Ellipsis not in arguments
    return list(arguments[segment : segment + 1] if fixed else arguments[:1])


def _choices(options: Iterable[object]) -> list[object]:
    found: list[object] = []
    for option in options:
        if get_origin(option) is Literal:
            found += get_args(option)
        elif isinstance(option, type) and issubclass(option, Enum):
            found += [member.value for member in option]
    return list(dict.fromkeys(found))


def _settle(findings: list[_Finding], level: int) -> list[list[_Finding]]:
    """Groups the errors by what becomes one message: of a union's members only the one that fits best speaks.

    A member fits if the value is of its kind, with errors only inside; if none fits, all of them are one message.
    """
    groups = [[finding] for finding in findings if len(finding.unions) <= level]
    unions: dict[Keys, dict[str, list[_Finding]]] = {}
    for finding in findings:
        if len(finding.unions) > level:
            keys, label = finding.unions[level]
            unions.setdefault(keys, {}).setdefault(label, []).append(finding)
    for keys, members in unions.items():
        fitting = [
            member
            for member in members.values()
            if len(members) == 1 or all(finding.keys != keys or finding.kind in _INSIDE for finding in member)
        ]
        if fitting:
            groups += _settle(min(fitting, key=_strangeness), level + 1)
        else:
            groups.append([finding for member in members.values() for finding in member])
    return groups


def _strangeness(member: list[_Finding]) -> tuple[int, int]:
    return sum(finding.kind == "extra_forbidden" for finding in member), len(member)


def _name(keys: Keys) -> str:
    if not keys:
        return "the file"
    if isinstance(keys[-1], str):
        return shown(keys[-1])
    return f"item {keys[-1] + 1} of {_name(keys[:-1])}"


def _near(value: object, known: Iterable[object]) -> str:
    """`did you mean …?`, or nothing. Only short text is compared: the comparison is quadratic."""
    words = [word for word in known if isinstance(word, str)]
    short = value if isinstance(value, str) and len(value) <= 64 else ""
    near = difflib.get_close_matches(short, words, n=1, cutoff=ALIKE)
    return f"did you mean {near[0]!r}?" if near else ""


def _places(key: object, options: Iterable[object]) -> str:
    """How to write a key that stands one mapping too high, or nothing."""
    found: list[str] = []
    for name, field in (item for option in options for item in _fields(option).items()):
        members = [member for outer in _members(field.annotation) for member in _members(_bare(outer))]
        for member in members:
            entries = {
                "{{{}: ...}}": [member],
                "{{NAME: {{{}: ...}}}}": _below(member, ""),
                "[{{{}: ...}}]": _below(member, 0),
            }
            for form, below in entries.items():
                if any(key in _fields(_bare(inner)) for each in below for inner in _members(each)):
                    found.append(f"`{name}: {form.format(key)}`")
    few = list(dict.fromkeys(found))
    return f"write {' or '.join(few)}" if 0 < len(few) <= _MOST_PLACES else ""


def _problem(group: list[_Finding], document: Document) -> Problem:
    """The one message of one error, or of all the members of a union that do not fit."""
    first = min(group, key=lambda finding: len(finding.keys))
    place = first.place(document)
    if len(group) == 1 and (inside := _inside(first)) is not None:
        return Problem(place, *inside)
    name = "the key" if first.on_key else _name(first.keys)
    own: list[str] = []
    wanted: list[str] = []
    choices: list[object] = []
    for finding in group:
        if finding.kind not in _BUILT_IN:
            own.append(finding.details["msg"])
        elif "error" in finding.context and finding.kind in {"value_error", "assertion_error"}:
            own.append(str(finding.context["error"]))
        elif finding.kind in {"literal_error", "enum"}:
            found = _choices(finding.options)
            choices += found
            wanted += [shown(choice) for choice in found] or [finding.context["expected"]]
        elif finding.kind == "string_pattern_mismatch":
            pattern: str = finding.context["pattern"]
            wanted.append(_FORMS.get(pattern, f"text of the form {pattern}"))
        else:
            wanted += [words for start, words in _WANTED.items() if finding.kind.startswith(start)][:1]
    distinct = [words for words in dict.fromkeys(wanted) if words != "a whole number" or "a number" not in wanted]
    expected = " or ".join(filter(None, (", ".join(distinct[:-1]), *distinct[-1:])))
    if own:
        # What says of itself what it is no text of needs no other "text" beside it.
        also = [f"it must be {expected}"] if expected not in {"", "text"} else []
        message = "; or ".join([*dict.fromkeys(own), *also])
    elif wanted:
        message = f"{name} must be {expected}, not {shown(first.value)}"
    else:
        message = f"{name} cannot be {shown(first.value)}"
    remedies = [str(finding.context["remedy"]) for finding in group if "remedy" in finding.context]
    return Problem(place, message, (remedies or [_near(first.value, choices)])[0])


def _inside(finding: _Finding) -> tuple[str, str] | None:
    """The message and the remedy where a value is of the right kind, and what is in it is wrong."""
    name = "the key" if finding.on_key else _name(finding.keys)
    context = finding.context
    if finding.kind == "missing" or (finding.kind == "union_tag_not_found" and "'" in context["discriminator"]):
        key = context["discriminator"].strip("'") if finding.key is None else finding.key
        if isinstance(key, int):
            return f"{_name((*finding.keys, key))} is missing", "write it"
        return f"missing key {shown(key)}", f"write `{key}: ...`"
    if finding.kind == "extra_forbidden":
        known = list(dict.fromkeys(name for option in finding.options for name in _fields(option)))
        places = _places(finding.key, finding.options)
        remedy = _near(finding.key, known) or places or (f"known keys: {', '.join(known)}" if known else "")
        return f"unknown key {shown(finding.key)}", remedy
    if finding.kind == "union_tag_invalid":
        tags: str = context["expected_tags"]
        near = _near(context["tag"], [tag.strip("'") for tag in tags.split(", ")])
        return f"{name} must be one of {tags}, not {shown(context['tag'])}", near
    if finding.kind == _NO_JSON:
        return f"{name} must be a value of JSON, not {shown(finding.value)}", "put it in quotes if it is text"
    if finding.kind in _BOUNDS:
        words = _BOUNDS[finding.kind]
        if 1 in {context.get("min_length"), context.get("max_length")}:
            words = words.replace("{min_length}", "one").replace("{max_length}", "one")
            words = words.replace("entries", "entry").replace("characters", "character")
        return f"{name} {words.format_map({**context, 'value': shown(finding.value)})}", ""
    return None
