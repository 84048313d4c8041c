"""One finding of `resilience doctor`, and those of the active policies and of their store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from resilience._store_file import is_there
from resilience._store_url import without_credentials
from resilience.stores import open_store

from ._shared import Shared

if TYPE_CHECKING:
    from resilience._registry import Policies
    from resilience.errors import Problem

__all__ = ["Finding", "of_policies", "of_store"]

_MOST_HOSTS = 4


class Finding(NamedTuple):
    """One thing that was looked at.

    Arguments:
        area: what it belongs to.
        what: its name.
        state: whether all is well; a `note` is for whom it concerns.
        found: how it is, in words.
        advice: what to do; empty for nothing.
    """

    area: str
    what: str
    state: Literal["ok", "note", "attention"]
    found: str
    advice: str = ""


def of_policies(policies: Policies) -> Iterator[Finding]:
    """The active policies, with their hosts and plans."""
    for source in policies.sources:
        more = len(source.hosts) - _MOST_HOSTS
        hosts = ", ".join(source.hosts[:_MOST_HOSTS]) + (f" and {more} more" if more > 0 else "")
        plan = "" if source.settings.plan is None else f", plan {source.settings.plan}"
        yield Finding("policies", source.name, "ok", f"{hosts}{plan}")
    if not policies.sources:
        yield Finding("policies", "none", "attention", "no policy is active", "name one in resilience.yaml")


def of_store(policies: Policies, problem: Problem | None) -> Finding:
    """Whether the store answers.

    Arguments:
        policies: those that keep their states in it.
        problem: why it cannot work on this machine, if that is known.
    """
    shown = without_credentials(policies.store)
    if policies.store == "memory://":
        return Finding("store", shown, "ok", "each process counts for itself")
    if problem is not None:
        return Finding("store", shown, "attention", f"{problem.place}: {problem.message}", problem.remedy)
    if not is_there(policies.store):
        return Finding("store", shown, "note", "no application has used it yet")
    try:
        next(iter(open_store(policies.store, namespace=policies.namespace).scan("{doctor}:")), None)
    except Exception as error:  # noqa: BLE001  every store has errors of its own, and each means that it cannot be read
        return Finding("store", shown, "attention", Shared(policies.store, policies).fault(error, "see that it runs"))
    return Finding("store", shown, "ok", "can be reached")
