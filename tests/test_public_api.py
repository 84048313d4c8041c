"""The names that users may rely on, and what it costs to import them."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import resilience

PUBLIC = [
    *("asgi", "breaker", "celery", "django", "errors", "events", "fastapi", "flask", "httpx", "httpx2", "litestar"),
    *("simulate", "taskiq", "testing", "wsgi"),
]


def test_the_package_has_these_names_and_no_others() -> None:
    """Adding one is a decision."""
    expected = [
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

    assert expected == resilience.__all__
    assert all(getattr(resilience, name) is not None for name in expected)
    assert set(expected) <= set(dir(resilience))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As in any module."""
    with pytest.raises(AttributeError, match="module 'resilience' has no attribute 'retry'"):
        _ = resilience.retry


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_shows_what_it_defines(name: str) -> None:
    """Everything in `__all__` is there, and every public name that it defines is in `__all__`."""
    module = importlib.import_module(f"resilience.{name}")
    defined = {
        each
        for each, value in vars(module).items()
        if not each.startswith("_") and getattr(value, "__module__", "") == module.__name__
    }

    assert set(module.__all__) <= set(vars(module))
    assert defined - {"Url"} <= set(module.__all__)


def test_importing_the_package_imports_little() -> None:
    """No HTTP library, no models, no YAML, no event loop, no command line: a program pays for what it uses."""
    program = "import sys, resilience; print(*sorted(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {
        "httpx",
        "httpx2",
        "pydantic",
        "pydantic_core",
        "yaml",
        "anyio",
        "asyncio",
        "trio",
        "typer",
        "rich",
        "starlette",
    }

    assert set() == heavy & set(done.stdout.split())


def test_installing_starts_no_thread_and_imports_no_models(tmp_path: Path) -> None:
    """What is shipped is read no further than the names of its hosts."""
    env = {**os.environ, "PYTHONPATH": str(Path(resilience.__file__).parent.parent)}
    program = (
        "import sys, threading, resilience; resilience.install({'version': 1}) if sys.argv[1:] else resilience.install()\n"
        "print(threading.active_count(), 'httpx' in sys.modules, 'asyncio' in sys.modules, 'pydantic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path, env=env
    )

    assert "1 False False False" == done.stdout.strip()
