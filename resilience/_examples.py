"""Documented answers with the verdict that each must get: a policy file tests itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, JsonValue, StrictBool, StrictFloat, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from ._categories import Category
from ._library import ErrorKind
from ._model import Model

if TYPE_CHECKING:
    from ._policy import Policy

__all__ = ["Example", "ExampleAnswer", "ExampleRequest", "ExpectedVerdict", "differences"]


class ExampleRequest(Model):
    """The request that was answered."""

    method: str = "GET"
    """Its method."""
    path: str = "/"
    """Its path; it chooses the operation."""


class ExampleAnswer(Model):
    """The answer: a status with a body, or a transport error."""

    status: Annotated[StrictInt, Field(ge=100, le=999)] | None = None
    """The HTTP status."""
    headers: dict[str, str] = {}
    """Its headers; a JSON body brings its own content type."""
    body: JsonValue = None
    """A JSON body."""
    text: str | None = None
    """Any other body."""
    error: ErrorKind | None = None
    """The kind of transport error."""

    @model_validator(mode="after")
    def _is_one_answer(self) -> ExampleAnswer:
        if (self.status is None) == (self.error is None):
            raise PydanticCustomError("example", "an answer has either a status or an error")
        if self.text is not None and "body" in self.model_fields_set:
            raise PydanticCustomError("example", "an answer has either a JSON 'body' or a 'text'")
        return self

    @property
    def raw(self) -> bytes:
        """The body as it is sent."""
        if "body" in self.model_fields_set:
            return json.dumps(self.body, ensure_ascii=False).encode()
        return (self.text or "").encode()

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers as they are sent."""
        named = {name.lower() for name in self.headers}
        if "body" in self.model_fields_set and "content-type" not in named:
            return {"Content-Type": "application/json", **self.headers}
        return dict(self.headers)


class ExpectedVerdict(Model):
    """The verdict; only what is given is compared."""

    category: Category
    """What the answer means."""
    retryable: StrictBool | None = None
    """Whether it is worth another attempt."""
    code: str | None = None
    """Its code."""
    message: str | None = None
    """Its message."""
    retry_after: StrictInt | StrictFloat | None = None
    """The wait that it asks for, in seconds; `null` for none."""
    rule: str | None = None
    """The rule that spoke; `null` if only the status did."""
    operation: str | None = None
    """The operation."""
    target_status: int | None = None
    """The status of the site behind the provider."""


class Example(Model):
    """One documented answer."""

    row: str | None = None
    """The row of the page's table that it stands for, as `table/row`."""
    doc: str | None = None
    """The page."""
    request: ExampleRequest = ExampleRequest.model_construct()
    """The request that was answered."""
    answer: ExampleAnswer
    """The answer."""
    verdict: ExpectedVerdict
    """What it means."""


def differences(policy: Policy, example: Example) -> dict[str, tuple[Any, Any]]:
    """Where the verdict differs from what the example expects: name to (expected, found)."""
    answer = example.answer
    verdict = policy.classify(
        method=example.request.method,
        url=example.request.path,
        status=answer.status,
        headers=answer.all_headers,
        body=answer.raw,
        error=answer.error,
    )
    given = example.verdict.model_fields_set
    wanted = {name: getattr(example.verdict, name) for name in ExpectedVerdict.model_fields if name in given}
    found = {name: getattr(verdict, name) for name in wanted}
    return {name: (value, found[name]) for name, value in wanted.items() if value != found[name]}
