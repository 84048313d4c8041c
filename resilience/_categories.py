"""The closed set of what an answer can mean, and what each meaning does unless a policy says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

__all__ = ["TREATMENTS", "Category", "Resend", "Treatment", "category_of_status"]


class Category(StrEnum):
    """What an answer means."""

    SUCCESS = "success"
    INVALID_REQUEST = "invalid_request"
    AUTH = "auth"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    UNPROCESSABLE = "unprocessable"
    NOT_READY = "not_ready"
    RATE_LIMITED = "rate_limited"
    CONCURRENCY_LIMITED = "concurrency_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    CREDITS_EXHAUSTED = "credits_exhausted"
    TARGET_BLOCKED = "target_blocked"
    TARGET_ERROR = "target_error"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    NETWORK_ERROR = "network_error"
    JOB_FAILED = "job_failed"


class Resend(StrEnum):
    """Which requests may be sent again after an answer of a category."""

    NEVER = "never"
    ANY = "any"
    """Any method: the provider says that it did not process the request."""
    DOCUMENTED = "documented"
    """Any method where the policy has a rule for the answer; otherwise only requests that may be repeated."""
    REPEATABLE = "repeatable"
    """Only requests that may be repeated."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a category does unless a policy says otherwise."""

    fault: str
    resend: Resend
    breaker: Literal["success", "failure", "ignore"] = "ignore"
    """What such an answer is to a breaker."""
    limiter: Literal["", "pause", "lower"] = ""
    """Whether such an answer pauses the rate that it speaks of, or lowers the number of calls at a time."""

    @property
    def retryable(self) -> bool:
        """Whether such an answer is worth another attempt."""
        return self.resend is not Resend.NEVER


_CALLER = Treatment("caller", Resend.NEVER)

TREATMENTS: dict[Category, Treatment] = {
    Category.SUCCESS: Treatment("nobody", Resend.NEVER, "success"),
    Category.INVALID_REQUEST: _CALLER,
    Category.AUTH: _CALLER,
    Category.PERMISSION: _CALLER,
    Category.NOT_FOUND: _CALLER,
    Category.CONFLICT: _CALLER,
    Category.UNPROCESSABLE: _CALLER,
    Category.NOT_READY: Treatment("timing", Resend.REPEATABLE),
    Category.RATE_LIMITED: Treatment("pace", Resend.ANY, limiter="pause"),
    Category.CONCURRENCY_LIMITED: Treatment("pace", Resend.ANY, limiter="lower"),
    Category.QUOTA_EXHAUSTED: Treatment("pace, long", Resend.NEVER),
    Category.CREDITS_EXHAUSTED: Treatment("money", Resend.NEVER),
    Category.TARGET_BLOCKED: Treatment("the site behind the provider", Resend.NEVER),
    Category.TARGET_ERROR: Treatment("the site behind the provider", Resend.NEVER),
    Category.UPSTREAM_UNAVAILABLE: Treatment("provider", Resend.DOCUMENTED, "failure"),
    Category.OVERLOADED: Treatment("provider", Resend.DOCUMENTED, "failure"),
    Category.SERVER_ERROR: Treatment("provider", Resend.REPEATABLE, "failure"),
    Category.TIMEOUT: Treatment("provider", Resend.REPEATABLE, "failure"),
    Category.NETWORK_ERROR: Treatment("network", Resend.REPEATABLE, "failure"),
    Category.JOB_FAILED: Treatment("the job", Resend.NEVER),
}

# What the status alone says (RFC 9110 section 15, RFC 6585 section 4; 529 as several providers use it). A policy's
# rules come first; these are for answers that the provider's page does not mention.
_STATUSES: dict[int, Category] = {
    401: Category.AUTH,
    402: Category.CREDITS_EXHAUSTED,
    403: Category.PERMISSION,
    404: Category.NOT_FOUND,
    407: Category.AUTH,
    408: Category.TIMEOUT,
    409: Category.CONFLICT,
    410: Category.NOT_FOUND,
    422: Category.UNPROCESSABLE,
    425: Category.NOT_READY,
    429: Category.RATE_LIMITED,
    501: Category.INVALID_REQUEST,
    502: Category.UPSTREAM_UNAVAILABLE,
    503: Category.UPSTREAM_UNAVAILABLE,
    504: Category.TIMEOUT,
    505: Category.INVALID_REQUEST,
    529: Category.OVERLOADED,
}


def category_of_status(status: int) -> Category:
    """The meaning of a status that no rule of the policy speaks of."""
    known = _STATUSES.get(status)
    if known is not None:
        return known
    if status < 400:
        return Category.SUCCESS
    return Category.INVALID_REQUEST if status < 500 else Category.SERVER_ERROR
