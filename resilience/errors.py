"""What this library raises, and nothing else of its own.

    ResilienceError
    ├── ConfigurationError       an option, a configuration or a call's `extensions` that cannot be honoured
    │   └── PolicyError          a policy or configuration file, with every problem and its place
    └── CallError                a call that ended here; also an error of the HTTP library in use
        ├── AttemptTimeout       one attempt took longer than `attempt_timeout`
        ├── DeadlineExceeded     the call's deadline passed
        ├── ClientClosed         the client was closed while the call waited
        └── Refused              one of our own layers did not let the call through (with `refusals: raise`)
            ├── RateLimitExceeded         its turn would come too late
            ├── ConcurrencyLimitExceeded  too many calls are under way
            ├── CreditLimitExceeded       it does not fit into a budget, or nothing is left of the account
            └── BreakerOpen               the provider is down

The classes below `CallError` are raised as subclasses bound to the library of the caller's client
(`resilience.httpx.DeadlineExceeded` is also an `httpx.TimeoutException`), so that `except httpx.HTTPError`
catches them and `.request` is filled in.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AttemptTimeout",
    "BreakerOpen",
    "CallError",
    "ClientClosed",
    "ConcurrencyLimitExceeded",
    "ConfigurationError",
    "CreditLimitExceeded",
    "DeadlineExceeded",
    "Place",
    "PolicyError",
    "Problem",
    "RateLimitExceeded",
    "Refused",
    "ResilienceError",
]


class ResilienceError(Exception):
    """The base of every error that this library raises."""


class ConfigurationError(ResilienceError, ValueError):
    """An option, a configuration or a call's `extensions` that cannot be honoured."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in a file something stands. Lines and columns count from 1, as editors do.

    What an environment variable says stands in no file: `file` is then the variable's name, and line and column are 0.
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that cannot be honoured: where it stands, what it is and what to do about it."""

    place: Place
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f" ({self.remedy})" if self.remedy else ""
        return f"{self.place}: {self.message}{remedy}"


class PolicyError(ConfigurationError):
    """A policy or configuration file that cannot be honoured.

    Arguments:
        problems: every problem that was found, in the order of their places.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class CallError(ResilienceError):
    """A call that ended here; what is raised is also an error of the HTTP library in use."""


class AttemptTimeout(CallError):
    """One attempt took longer than the policy's or the call's `attempt_timeout`."""


class DeadlineExceeded(CallError):
    """The call's deadline passed before its last attempt was answered; those before it may have been."""


class ClientClosed(CallError):
    """The client was closed while the call waited: for its turn, for a connection, or to be sent again."""


class Refused(CallError):
    """A call that one of our own layers did not let through: nothing was sent.

    Arguments:
        message: the whole of it in words.
        layer: the layer that refused it: `credits`, `breaker`, `limiter` or `concurrency`.
        policy: the name of the provider.
        retry_after: seconds until it would be let through; `None` where nobody can know.
        reason: why, in words.
    """

    def __init__(
        self, message: str, *, layer: str = "", policy: str = "", retry_after: float | None = None, reason: str = ""
    ) -> None:
        self.layer = layer
        self.policy = policy
        self.retry_after = retry_after
        self.reason = reason
        super().__init__(message)


class RateLimitExceeded(Refused):
    """A rate that the provider documents or asked for leaves no turn within the time that the call may wait."""


class ConcurrencyLimitExceeded(Refused):
    """As many calls as the provider allows are under way, and none ended within the time that the call may wait."""


class CreditLimitExceeded(Refused):
    """What the call may cost does not fit into a budget, or the provider has said that nothing is left of the account."""


class BreakerOpen(Refused):
    """The provider is down, and calls to it are held back until it is found to be up again."""
