"""What it costs to have this library: the time of its import, and what the wheel brings along."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from resilience import Policy
from resilience._envelope import PROBLEM_JSON
from resilience._examples import Example
from resilience._retry_policy import PolicyRetry, Retry

ROOT = Path(__file__).parent.parent
MOST_MILLISECONDS = 20.0
ROUNDS = 9
# A program's own time from its first line to its last, of the processor, which others may have meanwhile: how long an interpreter takes to start is not what is asked.
TIMED = "import time; began = time.process_time(); {}; print((time.process_time() - began) * 1000)"
FRAMEWORKS = {"asgiref", "django", "fastapi", "flask", "litestar", "quart", "starlette", "uvicorn", "werkzeug"}
SDKS = {"anthropic", "cohere", "google-genai", "groq", "mistralai", "openai"}
LIBRARIES = {"aiobreaker", "httpx", "httpx2", "limits", "opentelemetry-api", "redis", "valkey"}


def run(program: str) -> str:
    """What a fresh interpreter prints, which finds this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def milliseconds(*programs: str) -> list[float]:
    """How long each takes at best: several runs of one after the other, so that a slow moment of the machine meets all."""
    taken: list[list[float]] = [[] for _ in programs]
    for _ in range(ROUNDS):
        for times, program in zip(taken, programs, strict=True):
            times.append(float(run(TIMED.format(program))))
    return [min(times) for times in taken]


def test_the_import_costs_little_beside_that_of_httpx() -> None:
    """And little where there is no httpx."""
    run("import httpx, resilience")  # compiled, once
    httpx, both, alone = milliseconds("import httpx", "import httpx, resilience", "import resilience")

    assert both - httpx <= MOST_MILLISECONDS, (httpx, both)
    assert alone <= MOST_MILLISECONDS


def test_the_import_starts_nothing_and_brings_nothing_along() -> None:
    """No thread, no framework, no SDK, no client of a store, no models: a program pays for what it uses."""
    program = (
        "import sys, threading; before = set(sys.modules); import resilience\n"
        "print(threading.active_count(), *sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    threads, *modules = run(program).split()

    heavy = {name.replace("-", "_") for name in FRAMEWORKS | SDKS | LIBRARIES}
    assert "1" == threads
    assert set() == set(modules) & (heavy | {"anyio", "asyncio", "pydantic", "rich", "typer", "yaml", "google"})


def test_what_is_imported_later_is_there_all_the_same() -> None:
    """By its name, by `from ... import`, and the modules of errors and events without being asked for."""
    program = (
        "import resilience; from resilience import *; from resilience import errors, events\n"
        "print(resilience.errors.Refused.__name__, resilience.events.Listener.__name__, resilience.trail_of(None))\n"
        "print(sorted(set(resilience.__all__) - set(dir())))"
    )

    assert "Refused Listener None\n[]\n" == run(program)


def test_the_wheel_alone_requires_no_framework_no_sdk_and_no_client() -> None:
    """All of these stand in extras; `nox -s wheel` installs the wheel itself and looks at what came."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    names = {re.sub(r"[-_.]+", "-", Requirement(each).name).lower() for each in project["dependencies"]}

    assert set() == names & (FRAMEWORKS | SDKS | LIBRARIES)
    assert {"anyio", "http-sf", "msgspec", "pydantic", "pyyaml", "rich", "sniffio", "typer"} == names


def test_the_models_are_imported_without_a_validator() -> None:
    """Each takes milliseconds to make; that of the policy, made when the first one is loaded, holds them all."""
    program = (
        "import resilience._policy; from resilience._model import Model\n"
        "def below(model):\n"
        "    for each in model.__subclasses__(): yield each; yield from below(each)\n"
        "print(sorted(each.__name__ for each in below(Model) if each.__pydantic_complete__))"
    )

    assert "[]\n" == run(program)


def test_what_stands_for_a_part_that_is_left_out_is_what_an_empty_part_would_be() -> None:
    """These are made without a validator."""
    parts = [Policy.model_fields[name].default for name in ("breaker", "inspect", "retry")]
    parts += [Retry.model_fields["backoff"].default, PolicyRetry.model_fields["budget"].default]
    parts += [Retry.model_fields["wait"].default[0], Example.model_fields["request"].default, PROBLEM_JSON]

    for part in parts:
        given = {name: getattr(part, name) for name in part.model_fields_set}
        assert type(part)(**given) == part
        assert type(part)(**given).model_fields_set == part.model_fields_set
