"""Whether a request may be sent again after an answer: what its method, its operation and the answer say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import StrictBool

from ._categories import TREATMENTS, Resend
from ._library import NEVER_SENT

if TYPE_CHECKING:
    from ._outcome import Verdict

__all__ = ["IDEMPOTENT", "Repeatable", "may_send_again", "why_not_again"]

# RFC 9110 section 9.2.2: sending one of these twice has the effect of sending it once.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})

Repeatable = StrictBool | Literal["answered"]
"""Whether sending the same request twice is harmless; `answered`: only after an answer that says so, not after silence."""


def may_send_again(verdict: Verdict, *, method: str, repeatable: Repeatable | None) -> bool:
    """Whether a request may be sent again after this verdict.

    Arguments:
        verdict: what the last answer means.
        method: the request's method.
        repeatable: what the operation or the call declares, `None` if neither does.
    """
    if verdict.error in NEVER_SENT:
        return True
    resend = TREATMENTS[verdict.category].resend
    if resend is Resend.ANY or (resend is Resend.DOCUMENTED and verdict.rule is not None):
        # Not processed, so nothing is repeated.
        return True
    if repeatable is None:
        return method in IDEMPOTENT
    return verdict.error is None if repeatable == "answered" else repeatable


def why_not_again(verdict: Verdict, *, method: str, repeatable: Repeatable | None) -> str | None:
    """Why such a request is not sent again after this verdict, in words; `None` if it may be."""
    if may_send_again(verdict, method=method, repeatable=repeatable):
        return None
    if repeatable == "answered":
        return f"{method} may be repeated after an answer, and none came"
    return f"{method} may not be repeated after {verdict.category}; declare it repeatable if it may"
