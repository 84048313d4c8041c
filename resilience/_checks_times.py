"""Times of a policy that contradict one another: waits, attempts, deadlines, and what a breaker can see."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from ._finding import Finding, Path
from ._retry_policy import Retry, resolve
from ._units import duration_text

if TYPE_CHECKING:
    from ._policy import Policy

__all__ = ["times"]

_FOREVER = float("inf")


def times(policy: Policy) -> Iterator[Finding]:
    """Times that contradict one another.

    Arguments:
        policy: the policy, valid in each of its parts.
    """
    return chain(_backoffs(policy), _attempts(policy), _waits(policy), _breaker(policy))


def _backoffs(policy: Policy) -> Iterator[Finding]:
    """Back-offs that outlast the longest wait that a call bears."""
    base = policy.retry
    given: list[tuple[Path, Retry | None, Retry]] = [(("retry",), base, base)]
    for category, retry in base.categories.items():
        given.append((("retry", "categories", category.value), retry, resolve(base, retry)))
    for name, operation in policy.operations.items():
        given.append((("operations", name, "retry"), operation.retry, resolve(base, operation.retry)))
    for index, rule in enumerate(policy.answers):
        resolved = resolve(base, base.categories.get(rule.category), rule.retry)
        given.append((("answers", index, "retry"), rule.retry, resolved))
    for path, own, retry in given:
        cause = next(
            (key for key in ("backoff", "longest_wait", "max_attempts") if own and key in own.model_fields_set), ""
        )
        longest = _longest_backoff(retry) if cause else 0
        if longest > retry.longest_wait:
            texts = duration_text(longest), duration_text(retry.longest_wait)
            message = "the back-off waits up to {} here, longer than the 'longest_wait' of {}".format(*texts)
            yield Finding((*path, cause), message, "make the back-off shorter or 'longest_wait' longer")


def _longest_backoff(retry: Retry) -> float:
    longest, previous = 0.0, None
    for number in range(retry.max_attempts - 1):
        previous = max(retry.backoff.wait(number, previous, 0.0), retry.backoff.wait(number, previous, 1.0))
        longest = max(longest, previous)
    return longest


def _attempts(policy: Policy) -> Iterator[Finding]:
    """Attempts that outlast their calls, where one number is the operation's and the other the policy's."""
    for name, operation in policy.operations.items():
        own = operation.model_fields_set & {"deadline", "attempt_timeout"}
        deadline, attempt = policy.times_for(name)
        if deadline is not None and attempt is not None and attempt >= deadline:
            message = f"an attempt of {name!r} may take {duration_text(attempt)}, and the whole call {duration_text(deadline)}"
            yield Finding(("operations", name, min(own)), message, "no second attempt would fit: change one of the two")


def _waits(policy: Policy) -> Iterator[Finding]:
    """Waits for a turn that no call lives to see the end of; a wait that nobody wrote down is no mistake."""
    for index, limit in enumerate(policy.limits):
        deadline = _longest_deadline(policy, limit.operations)
        if "max_wait" in limit.model_fields_set and limit.max_wait > deadline:
            yield _too_long(("limits", index, "max_wait"), limit.max_wait, deadline)
    breaker, deadline = policy.breaker, _longest_deadline(policy, None)
    if not breaker.off and breaker.max_wait > deadline:
        yield _too_long(("breaker", "max_wait"), breaker.max_wait, deadline)


def _longest_deadline(policy: Policy, operations: tuple[str, ...] | None) -> float:
    """Of the calls of these operations, or of all calls."""
    names: tuple[str | None, ...] = operations or (None, *policy.operations)
    deadlines = [policy.times_for(name)[0] for name in names]
    return max(_FOREVER if deadline is None else deadline for deadline in deadlines)


def _too_long(path: Path, wait: float, deadline: float) -> Finding:
    message = f"a call may wait {duration_text(wait)} for its turn, and its deadline is {duration_text(deadline)}"
    return Finding(path, message, "make 'max_wait' shorter or the deadline longer")


def _breaker(policy: Policy) -> Iterator[Finding]:
    """What a breaker cannot see, because attempts take longer; numbers that nobody wrote down are no mistake."""
    breaker = policy.breaker
    attempts = [policy.times_for(name)[1] for name in (None, *policy.operations)]
    attempt = max((each for each in attempts if each is not None), default=0.0)
    if breaker.off or not attempt:
        return
    # As Microsoft.Extensions.Http.Resilience asks: in a shorter window there is never more than one slow failure.
    if "window" in breaker.model_fields_set and breaker.failure_rate is not None and breaker.window < 2 * attempt:
        texts = duration_text(breaker.window), duration_text(attempt)
        message = "a 'window' of {} cannot hold two attempts, of which one may take {}".format(*texts)
        yield Finding(("breaker", "window"), message, f"make it at least {duration_text(2 * attempt)}")
    if "probe_lease" in breaker.model_fields_set and breaker.probe_lease < attempt:
        texts = duration_text(breaker.probe_lease), duration_text(attempt)
        message = "a probe is given up after {}, and an attempt may take {}: more probes than allowed would run"
        yield Finding(("breaker", "probe_lease"), message.format(*texts), f"make it at least {duration_text(attempt)}")
