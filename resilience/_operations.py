"""Which operation of a provider a request belongs to: a named group of endpoints, by method and path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from ._matchers import Texts
from ._model import Model
from ._repeatable import Repeatable
from ._retry_policy import Retry
from ._units import TimeLimit

__all__ = ["Operation", "Operations", "check_times"]


def _template(text: str) -> str:
    segments = text.split("/")
    if segments[0] or len(segments) < 2 or not all(_is_segment(segment) for segment in segments[1:]):
        raise PydanticCustomError(
            "path_template",
            "{text} is no path template; write /v1/jobs/{braces}: a leading slash, no query, a name in braces for a part "
            "that varies, and `...` in the last one for all that follows",
            {"text": repr(text)[:60], "braces": "{id}"},
        )
    if any(segment.endswith("...}") for segment in segments[:-1]):
        raise PydanticCustomError("path_template", "only the last part of a path template may end in '...'")
    return text


def _is_segment(segment: str) -> bool:
    if segment.startswith("{") and segment.endswith("}"):
        return segment[1:-1].removesuffix("...").isidentifier()
    return not set(segment) & set("{}?# ")


PathTemplate = Annotated[str, AfterValidator(_template)]


class Operation(Model):
    """A group of endpoints that the provider's documentation treats alike."""

    method: Texts | None = None
    """The methods; any if left out."""
    path: Annotated[tuple[PathTemplate, ...], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)]
    """Path templates: `/v1/jobs/{id}`, or `/v1/files/{path...}` for everything below."""
    repeatable: Repeatable | None = None
    """Whether sending the same request twice is harmless; `answered`: only after an answer that is worth another
    attempt, not when no answer came and nobody knows what was done. Left out, the method decides (RFC 9110 section
    9.2.2). After a throttle, and where the request never left, any request is sent again."""
    deadline: TimeLimit | None = None
    """How long a call may take in all, its waits included."""
    attempt_timeout: TimeLimit | None = None
    """How long one attempt may take until its answer is there."""
    retry: Retry | None = None
    """What differs for this operation."""
    doc: str | None = None
    """The page that this rests on."""

    @model_validator(mode="after")
    def _times_agree(self) -> Operation:
        check_times(self.deadline, self.attempt_timeout)
        return self


def check_times(deadline: float | None, attempt_timeout: float | None) -> None:
    """Refuse an attempt that may outlast its call.

    Raises:
        PydanticCustomError: the attempt timeout is not shorter than the deadline.
    """
    if deadline is not None and attempt_timeout is not None and attempt_timeout >= deadline:
        raise PydanticCustomError(
            "times", "'attempt_timeout' is not shorter than 'deadline': no second attempt would fit"
        )


class Operations:
    """Finds the operation of a request; the most literal template wins, then the order of the file."""

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self._exact: dict[str, list[tuple[str, Operation]]] = {}
        templates: list[tuple[list[str], str, Operation]] = []
        for name, operation in operations.items():
            for path in operation.path:
                if "{" in path:
                    templates.append((path.split("/"), name, operation))
                else:
                    self._exact.setdefault(path, []).append((name, operation))
        # Sorting is stable: among equals the order of the file stays.
        templates.sort(key=lambda entry: _breadth(entry[0]))
        found = [_template_of(*each) for each in templates]
        # Each call comes here: it looks at none that its number of segments rules out.
        self._longer = [each for each in found if each.is_open]
        self._sized = {
            count: [each for each in found if each.size == count or (each.is_open and each.size < count)]
            for count in range(1, max([each.size for each in found], default=0) + 1)
        }

    def find(self, method: str, path: str) -> str | None:
        """The name of the operation, `None` if the request belongs to none."""
        for name, operation in self._exact.get(path, ()):
            if operation.method is None or method in operation.method:
                return name
        segments = path.split("/")
        for each in self._sized.get(len(segments), self._longer):
            if (each.methods is None or method in each.methods) and _fits(each.literals, segments):
                return each.name
        return None


# Each call reads its fields, which takes three times as long of a named tuple.
@dataclass(frozen=True, slots=True)
class _Template:
    """A path template: its number of segments, whether more may follow, and the segments that do not vary."""

    size: int
    is_open: bool
    literals: list[tuple[int, str]]
    methods: Texts | None
    name: str


def _template_of(segments: list[str], name: str, operation: Operation) -> _Template:
    literals = [(place, segment) for place, segment in enumerate(segments) if segment[:1] != "{"]
    return _Template(len(segments), segments[-1].endswith("...}"), literals, operation.method, name)


def _breadth(template: list[str]) -> tuple[int, bool, int]:
    """Smaller for the template that says more of a path that several fit: more literal parts, a fixed length, length."""
    literal = sum("{" not in segment for segment in template)
    return -literal, template[-1].endswith("...}"), -len(template)


def _fits(literals: list[tuple[int, str]], segments: list[str]) -> bool:
    # Called for each template by each call: no generator.
    for place, literal in literals:  # noqa: SIM110
        if segments[place] != literal:
            return False
    return True
