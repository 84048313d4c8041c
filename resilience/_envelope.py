"""Where a provider puts code and message in an error body: one place, or one of several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ._conditions import Answer, BodyPath, Paths
from ._headers import HeaderName
from ._matchers import MISSING, Matcher, compile_matcher
from ._model import Model
from ._paths import compile_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._paths import Path

__all__ = ["PROBLEM_JSON", "Envelope", "compile_envelopes"]

# Codes and messages are shown and compared; a provider that sends a megabyte here means something else.
_LONGEST_CODE = 200
_LONGEST_MESSAGE = 2000


class Envelope(Model):
    """One shape of an error body. The first envelope that finds a code wins, else the first that finds a message."""

    code: Paths | None = None
    """Where the machine-readable code stands; of several paths the first that finds a text or a number."""
    message: Paths | None = None
    """Where the words for a person stand; of several paths the first that finds a text."""
    code_header: HeaderName | None = None
    """A header that carries the code."""
    message_header: HeaderName | None = None
    """A header that carries the message."""
    when: Annotated[dict[BodyPath, Matcher], Field(min_length=1)] | None = None
    """Fields that tell this shape from others; all must match."""

    @model_validator(mode="after")
    def _finds_something(self) -> Envelope:
        if not (self.code or self.message or self.code_header or self.message_header):
            raise PydanticCustomError("envelope", "an envelope names where the code or the message stands")
        return self

    @property
    def paths(self) -> frozenset[str]:
        """The body fields that must be decoded to read this envelope."""
        return frozenset(self.code or ()) | frozenset(self.message or ()) | frozenset(self.when or ())


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


Envelopes = Annotated[tuple[Envelope, ...], BeforeValidator(_one_or_more)]
"""One shape of error body, or a list of them."""

PROBLEM_JSON = Envelope.model_construct(code=("type",), message=("detail", "title"))
"""RFC 9457 section 3.1: what the media type promises, whatever the provider's page says."""

# Section 4.2.1: what has this type means no more than its status.
_NO_TYPE = "about:blank"


def compile_envelopes(envelopes: tuple[Envelope, ...]) -> Callable[[Answer], tuple[str | None, str | None]]:
    """A function that finds code and message of an answer; it never raises."""
    readers = [_compile(envelope) for envelope in envelopes]
    problem = _compile(PROBLEM_JSON)

    def read(answer: Answer) -> tuple[str | None, str | None]:
        found: str | None = None
        for reader in readers if answer.content_type != "application/problem+json" else (*readers, problem):
            code, message = reader(answer)
            if code is not None and (reader is not problem or code != _NO_TYPE):
                return code, message
            found = found or message
        return None, found

    return read


def _compile(envelope: Envelope) -> Callable[[Answer], tuple[str | None, str | None]]:
    codes = [compile_path(path) for path in envelope.code or ()]
    messages = [compile_path(path) for path in envelope.message or ()]
    code_header, message_header = (name and name.lower() for name in (envelope.code_header, envelope.message_header))
    tests = [(compile_path(path), compile_matcher(matcher)) for path, matcher in (envelope.when or {}).items()]

    def read(answer: Answer) -> tuple[str | None, str | None]:
        for path, test in tests:
            if not test(answer.field(path)):
                return None, None
        code, message = _first(answer, codes, _code), _first(answer, messages, _message)
        if code_header is not None:
            code = code or _code(answer.header(code_header))
        if message_header is not None:
            message = message or _message(answer.header(message_header))
        return code, message

    return read


def _first(answer: Answer, paths: list[Path], text_of: Callable[[object], str | None]) -> str | None:
    for path in paths:
        if text := text_of(answer.field(path)):
            return text
    return None


def _code(value: object) -> str | None:
    if isinstance(value, bool) or value is MISSING:
        return None
    if isinstance(value, int):
        value = str(value) if abs(value) < 10**18 else None
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_CODE else None


def _message(value: object) -> str | None:
    return value[:_LONGEST_MESSAGE] if isinstance(value, str) and value else None
