"""What one kind of answer means: a rule of a policy."""

from __future__ import annotations

from typing import Literal

from pydantic import StrictBool, model_validator
from pydantic_core import PydanticCustomError

from ._categories import Category
from ._conditions import BodyPath, When
from ._headers import HeaderName
from ._model import Model, Name
from ._retry_policy import Retry
from ._until import Until

__all__ = ["Rule", "Statement"]


class Rule(Model):
    """What one kind of answer means. The first rule that fits an answer decides."""

    rule: Name
    """The rule's name, unique in the file."""
    when: When
    """Which answers it speaks of."""
    category: Category
    """What they mean."""
    retryable: StrictBool | None = None
    """Whether the page says that such an answer is worth another attempt; left out, the category decides."""
    retry: Retry | None = None
    """What differs when these answers are retried."""
    until: Until | None = None
    """When the provider lets calls through again, where the answer itself does not say."""
    code: str | None = None
    """The code of the verdict, where the answer carries none or another spelling."""
    target_status: BodyPath | None = None
    """Where the answer carries the status of the site behind the provider."""
    limit: Name | None = None
    """The limit that such an answer speaks of: it is paused, or lowered. By default the first that the call pays; `none` where
    the answer speaks of this call alone, and the provider would accept others: nothing is paused or lowered then."""
    latch: Literal["account", "operation", "none"] | None = None
    """What such an answer shuts, so that no further call is sent until the stated time, or until one call finds it open; by
    default an answer without credits or quota shuts its account."""
    advice: str | None = None
    """What the page tells a person to do."""
    doc: str | None = None
    """The page, by its name in `docs`."""


class Statement(Model):
    """A place where the answer itself says whether it may be retried; it is believed over the rules."""

    body: BodyPath | None = None
    """A field that is true or false."""
    header: HeaderName | None = None
    """A header that is `true` or `false`."""

    @model_validator(mode="after")
    def _is_one_place(self) -> Statement:
        if (self.body is None) == (self.header is None):
            raise PydanticCustomError("statement", "the answer states it either in a 'body' field or in a 'header'")
        return self
