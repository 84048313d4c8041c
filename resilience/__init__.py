"""Policy-driven resilience for HTTP clients: a provider's error page as a file that httpx and httpx2 obey.

PYTEST_DONT_REWRITE: pytest would warn where this package is imported before it, as by `resilience run -- pytest`.
"""

from __future__ import annotations

# As checkers of types know it too: the module that has it takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import errors as errors
    from . import events as events
    from ._budget_warnings import BudgetWarning, on_budget_warning
    from ._caller import attempts, deadline, seconds_left
    from ._categories import Category
    from ._hub import listen
    from ._install import install, uninstall, wrap
    from ._load import load_policy
    from ._outcome import Verdict
    from ._policy import Policy
    from ._tags import tags
    from ._trail import Attempt, Trail, Wait
    from ._trail_of import last_trail, trail_of

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

# A program that only has this library installed should not pay for it: each module is imported when it is first used.
_LATER = {
    "Attempt": "_trail",
    "BudgetWarning": "_budget_warnings",
    "Category": "_categories",
    "Policy": "_policy",
    "Trail": "_trail",
    "Verdict": "_outcome",
    "Wait": "_trail",
    "attempts": "_caller",
    "deadline": "_caller",
    "install": "_install",
    "last_trail": "_trail_of",
    "listen": "_hub",
    "load_policy": "_load",
    "on_budget_warning": "_budget_warnings",
    "seconds_left": "_caller",
    "tags": "_tags",
    "trail_of": "_trail_of",
    "uninstall": "_install",
    "wrap": "_install",
}


_MODULES = ("errors", "events")


def __getattr__(name: str) -> Any:
    if name not in _LATER and name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name in _MODULES:
        return import_module(f".{name}", __name__)
    found = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
