"""`when:` of a rule: what an answer must look like for the rule to speak of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ._decode import media_type, text_of
from ._headers import HeaderName
from ._library import ErrorKind
from ._matchers import MISSING, Matcher, Statuses, Texts, compile_matcher, implies, values_of
from ._model import Model
from ._paths import ALL_ITEMS, compile_path

if TYPE_CHECKING:
    from ._matchers import Test
    from ._paths import Path

__all__ = ["Answer", "BodyPath", "Condition", "When", "compile_when", "covers", "is_media_type"]


def _path(text: str) -> str:
    try:
        compile_path(text)
    except ValueError as error:
        raise PydanticCustomError("path", "{error}", {"error": str(error)}) from None
    return text


def _codes(value: object) -> object:
    return [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in values_of(value)]


BodyPath = Annotated[str, AfterValidator(_path), Field(examples=["error.code", "results[*].status"])]
"""A path into a JSON body: names, `"quoted names"`, `[0]`, `[-1]` and `[*]`, with the meaning they have in JMESPath."""

Codes = Annotated[Texts, BeforeValidator(_codes)]
"""One code or a list of which one is enough; a number is compared by its digits."""

Kinds = Annotated[tuple[ErrorKind, ...], BeforeValidator(values_of), Field(min_length=1)]
Paths = Annotated[tuple[BodyPath, ...], BeforeValidator(values_of), Field(min_length=1)]


class When(Model):
    """What an answer must look like; all that is given must hold."""

    status: Statuses | None = None
    """The HTTP status: `429`, `[500, 502]`, `500-599`, `5xx`."""
    method: Texts | None = None
    """The request's method."""
    operation: Texts | None = None
    """The name of the operation that the request belongs to."""
    code: Codes | None = None
    """The code in the error body, as `envelopes` finds it."""
    message: Texts | None = None
    """A text that stands in the message of the error body, as `envelopes` finds it."""
    headers: dict[HeaderName, Matcher] = {}
    """Headers of the answer; their values are texts."""
    body: dict[BodyPath, Matcher] = {}
    """Fields of a JSON body; a path that finds several values (`[*]`) holds when one of them matches."""
    absent: Paths | None = None
    """Fields that are not there."""
    text: Texts | None = None
    """A text that stands in the body, whatever its type. All rules together look for 512 at most."""
    content_type: Texts | None = None
    """The media type without its parameters; `text/*` and `*+json` are possible."""
    error: Kinds | None = None
    """The kind of transport error, where no response came."""

    @model_validator(mode="after")
    def _says_something(self) -> When:
        # A key with nothing in it says nothing: `status: null`, `body: {}`.
        given = {name for name in self.model_fields_set if getattr(self, name)}
        if not given:
            raise PydanticCustomError(
                "when", "an empty condition matches every answer; name a status, a code or an error"
            )
        if "error" in given and given - {"error", "method", "operation"}:
            raise PydanticCustomError(
                "when",
                "no response comes with a transport error, so nothing but method and operation goes with 'error'",
            )
        return self

    @property
    def paths(self) -> frozenset[str]:
        """The body fields that must be decoded to answer this condition."""
        return frozenset(self.body) | frozenset(self.absent or ())

    @property
    def reads_body(self) -> bool:
        """Whether anything but status and headers is looked at."""
        return bool(self.paths or self.text or self.code or self.message)


@dataclass(slots=True)
class Answer:
    """One answer, as the conditions look at it. `field` gives MISSING where there is no such field.

    Its headers are asked for by names in lower case, so that a plain dictionary of such names will do.
    """

    status: int | None
    headers: Mapping[str, str]
    method: str = ""
    operation: str | None = None
    error: str | None = None
    body: bytes = b""
    complete: bool = True
    document: object = None
    code: str | None = None
    message: str | None = None
    _text: str | None = None

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    def field(self, path: Path) -> object:
        present, value = path.find(self.document)
        return value if present else MISSING

    def search(self, path: str) -> object:
        return compile_path(path).search(self.document)

    @property
    def content_type(self) -> str:
        return media_type(self.headers.get("content-type", ""))

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = text_of(self.body, self.headers.get("content-type", ""))
        return self._text


Condition = Callable[[Answer], bool]


def compile_when(when: When) -> Condition:
    """The condition as one function. The status is left out: rules are sorted by it beforehand."""
    tests = tuple(_tests(when))
    if len(tests) == 1:
        return tests[0]

    def holds(answer: Answer) -> bool:
        for test in tests:  # noqa: SIM110  `all` of a generator takes twice as long, and each answer is asked
            if not test(answer):
                return False
        return True

    return holds


def _tests(when: When) -> Iterator[Condition]:
    if (methods := when.method) is not None:
        yield lambda answer: answer.method in methods
    if (operations := when.operation) is not None:
        yield lambda answer: answer.operation in operations
    if (kinds := when.error) is not None:
        yield lambda answer: answer.error in kinds
    if (types := when.content_type) is not None:
        yield lambda answer: is_media_type(answer.content_type, types)
    for name, matcher in when.headers.items():
        yield _header_test(name.lower(), compile_matcher(matcher))
    if (codes := when.code) is not None:
        yield lambda answer: answer.code in codes
    if (messages := when.message) is not None:
        yield lambda answer: answer.message is not None and any(text in answer.message for text in messages)
    for text, matcher in when.body.items():
        yield _field_test(compile_path(text), compile_matcher(matcher))
    for text in when.absent or ():
        yield _absence_test(compile_path(text))
    if (texts := when.text) is not None:
        yield lambda answer: any(text in answer.text for text in texts)


def is_media_type(media: str, patterns: tuple[str, ...]) -> bool:
    """Whether a media type is one of these; `text/*` and `*+json` stand for all that begin or end so."""
    for pattern in patterns:
        if media == pattern or (pattern[:1] == "*" and media.endswith(pattern[1:])):
            return True
        if pattern[-1:] == "*" and media.startswith(pattern[:-1]):
            return True
    return False


def _header_test(name: str, test: Test) -> Condition:
    def check(answer: Answer) -> bool:
        value = answer.headers.get(name)
        return test(MISSING if value is None else value)

    return check


def _field_test(path: Path, test: Test) -> Condition:
    if ALL_ITEMS not in path.steps:
        find = path.find

        def check_one(answer: Answer) -> bool:
            present, value = find(answer.document)
            return test(value if present else MISSING)

        return check_one

    def check(answer: Answer) -> bool:
        value = answer.field(path)
        if isinstance(value, list):
            return any(test(item) for item in values_of(value))  # pyright: ignore[reportUnknownArgumentType]
        return test(value)

    return check


def _absence_test(path: Path) -> Condition:
    # Of a body that was cut short, nobody knows what it lacks.
    return lambda answer: answer.complete and answer.field(path) is MISSING


def covers(wide: When, narrow: When) -> bool:
    """Whether every answer that `narrow` speaks of is surely one that `wide` speaks of too."""
    if wide.error is None and narrow.error is not None:
        # Only a condition that names errors speaks of them.
        return False
    for name in wide.model_fields_set:
        ours, theirs = getattr(wide, name), getattr(narrow, name)
        if name in {"headers", "body"}:
            if not all(key in theirs and implies(theirs[key], matcher) for key, matcher in ours.items()):
                return False
        elif ours is None:
            continue
        elif theirs is None:
            return False
        elif name in {"text", "message"}:
            if not all(any(part in text for part in ours) for text in theirs):
                return False
        elif name == "absent":
            # Here a list means all of them, not one of them.
            if not set(ours) <= set(theirs):
                return False
        elif not set(theirs) <= set(ours):
            return False
    return True
