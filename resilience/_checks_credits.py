"""What of a policy's credits leads nowhere or can never apply."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from ._document import shown
from ._finding import Finding, Path, near

if TYPE_CHECKING:
    from ._credits_policy import Credits
    from ._policy import Policy

__all__ = ["credits_problems"]


def credits_problems(policy: Policy) -> Iterator[Finding]:
    """What of a policy's credits leads nowhere or can never apply.

    Arguments:
        policy: the policy, valid in each of its parts.
    """
    told = policy.credits
    if told is None:
        return iter(())
    return chain(_operations(policy, told), _pages(policy, told), _unreachable(told), _nameless_jobs(policy, told))


def _operations(policy: Policy, told: Credits) -> Iterator[Finding]:
    """Operations that the policy does not have."""
    used: list[tuple[Path, Collection[str] | None]] = []
    for key, costs in (("costs", told.costs), ("surcharges", told.surcharges)):
        used += [((key, index, "operations"), cost.operations) for index, cost in enumerate(costs)]
    for key, places in (("charged", told.charged), ("balance", told.balance)):
        used += [((key, index, "operations"), place.operations) for index, place in enumerate(places)]
    for index, charge in enumerate(told.charges):
        used.append((("charges", index, "when", "operation"), charge.when.operation))
    for index, job in enumerate(told.jobs):
        used.append((("jobs", index, "submit"), job.submit))
        used.append((("jobs", index, "poll"), job.poll))
        used.append((("jobs", index, "ended", "operation"), job.ended.operation))
    known = policy.operations
    for path, names in used:
        for item, name in enumerate(names or ()):
            if name not in known:
                message = f"there is no operation {shown(name)} in 'operations'"
                yield Finding(("credits", *path, item), message, near(name, known))


def _pages(policy: Policy, told: Credits) -> Iterator[Finding]:
    """Pages that the policy does not have."""
    used: list[tuple[Path, str | None]] = [(("doc",), told.doc)]
    for key, costs in (("costs", told.costs), ("surcharges", told.surcharges)):
        used += [((key, index, "doc"), cost.doc) for index, cost in enumerate(costs)]
    used += [(("charges", index, "doc"), charge.doc) for index, charge in enumerate(told.charges)]
    for path, name in used:
        if name is not None and name not in policy.docs:
            yield Finding(("credits", *path), f"there is no page {shown(name)} in 'docs'", near(name, policy.docs))


def _unreachable(told: Credits) -> Iterator[Finding]:
    """Costs behind others that fit all their calls."""
    taken: dict[str, int] = {}
    for index, cost in enumerate(told.costs):
        behind = {taken[name] for name in cost.operations or () if name in taken}
        if cost.operations is not None and all(name in taken for name in cost.operations):
            numbers = " and ".join(str(number + 1) for number in sorted(behind))
            message = f"this cost is never reached: number {numbers} of 'costs' has no 'when' and fits all its calls"
            yield Finding(("credits", "costs", index), message, "put it before, or give the other a 'when'")
        if cost.when is not None:
            continue
        if cost.operations is None:
            left = len(told.costs) - index - 1
            if left:
                message = f"this cost is never reached: number {index + 1} of 'costs' fits all calls"
                yield Finding(("credits", "costs", index + 1), message, "put that one last, or give it 'operations'")
            return
        for name in cost.operations:
            taken.setdefault(name, index)


def _nameless_jobs(policy: Policy, told: Credits) -> Iterator[Finding]:
    """Jobs whose end nobody could tell from that of another."""
    for index, job in enumerate(told.jobs):
        for item, name in enumerate(job.poll):
            operation = policy.operations.get(name)
            if operation is not None and job.poll_id is None and not all("{" in path for path in operation.path):
                message = f"the path of {shown(name)} has no part in braces that could name a job"
                yield Finding(
                    ("credits", "jobs", index, "poll", item), message, "say where its answer does: `poll_id: job.id`"
                )
