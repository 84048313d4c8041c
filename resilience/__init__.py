"""Policy-driven resilience for HTTP clients: a provider's error page as a file that httpx and httpx2 obey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._categories import Category
from ._outcome import Verdict
from ._trail import Attempt, Trail, Wait
from ._trail_of import last_trail, trail_of

if TYPE_CHECKING:
    from ._budget_warnings import BudgetWarning, on_budget_warning
    from ._caller import attempts, deadline, seconds_left
    from ._hub import listen
    from ._install import install, uninstall, wrap
    from ._load import load_policy
    from ._policy import Policy
    from ._tags import tags

__all__ = [
    "Attempt",
    "BudgetWarning",
    "Category",
    "Policy",
    "Trail",
    "Verdict",
    "Wait",
    "attempts",
    "deadline",
    "install",
    "last_trail",
    "listen",
    "load_policy",
    "on_budget_warning",
    "seconds_left",
    "tags",
    "trail_of",
    "uninstall",
    "wrap",
]

# Loading a policy needs pydantic and a YAML parser; a program that only has this library installed should not pay.
_LATER = {
    "BudgetWarning": "_budget_warnings",
    "Policy": "_policy",
    "attempts": "_caller",
    "deadline": "_caller",
    "install": "_install",
    "listen": "_hub",
    "load_policy": "_load",
    "on_budget_warning": "_budget_warnings",
    "seconds_left": "_caller",
    "tags": "_tags",
    "uninstall": "_install",
    "wrap": "_install",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
