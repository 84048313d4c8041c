"""What `resilience doctor` finds: one finding for each thing that is looked at, and what to do about it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from resilience._config import active, find_config
from resilience._config_read import read
from resilience._config_store import store_problem
from resilience._library import LIBRARIES
from resilience.errors import ConfigurationError

from ._autoload import is_enabled
from ._findings import Finding, of_policies, of_store
from ._known import OTHERS, SDKS
from ._launch import LAUNCHER
from ._reach import hindrance_of, interpreter_of, isolation

if TYPE_CHECKING:
    from resilience._config_read import Read
    from resilience._registry import Policies

__all__ = ["Finding", "Patient", "diagnose"]

_SECONDS = 30
_NAMES = ("httpx-resilience", "opentelemetry-instrumentation", *SDKS, *OTHERS)


@dataclass(frozen=True)
class Patient:
    """The Python that is looked at.

    Arguments:
        command: the program that it is to run, if one was named.
        python: its path; empty where the command is not known to start one.
        prefix: of its environment.
        installed: the versions of the distributions that it has, by name.
        clients: its libraries, each with its version and whether its clients can be reached.
        has_library: whether it can import this library.
        fault: why it could not be asked.
    """

    command: Sequence[str] = ()
    python: str = ""
    prefix: str = ""
    installed: dict[str, str] = field(default_factory=dict[str, str])
    clients: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    has_library: bool = False
    fault: str = ""

    @classmethod
    def of(cls, command: Sequence[str]) -> Patient:
        """Ask the Python of a command, or this one."""
        words = interpreter_of(command) if command else [sys.executable]
        python = shutil.which(words[0]) if words else None
        if python is None or _is_beside(words[0], command):
            return cls(command)
        letters = isolation(words)
        probe = [
            python,
            *([f"-{letters}"] if letters else []),
            str(Path(__file__).parent / "_probe.py"),
            json.dumps([_NAMES, LIBRARIES]),
        ]
        # It is only asked: nothing is installed in it.
        variables = {**os.environ, "RESILIENCE_AUTO": "0"}
        try:
            done = subprocess.run(probe, env=variables, capture_output=True, check=True, timeout=_SECONDS)  # noqa: S603  the user's own Python
            told = json.loads(done.stdout.rpartition(b"\n")[2])
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return cls(command, python, fault=str(error))
        return cls(
            command, python, told["prefix"], told["distributions"], told["clients"], has_library=told["resilience"]
        )


def _is_beside(python: str, command: Sequence[str]) -> bool:
    """Whether it is a script that names its Python by a path from the working directory: anybody may have put that there."""
    return python not in command[:1] and os.path.dirname(python) != "" and not os.path.isabs(python)  # noqa: PTH117, PTH120  as it is written


def diagnose(patient: Patient, config: Path | None) -> Iterator[Finding]:
    """What is found, one thing after the other.

    Arguments:
        patient: the Python that is looked at.
        config: the configuration, if one was named.
    """
    asked = os.environ.get("RESILIENCE_AUTO")
    if asked == "0":
        yield Finding("activation", "RESILIENCE_AUTO", "attention", "0: switched off", "unset it")
    else:
        yield from _program(patient) if patient.command else _environment(asked)
    yield from _libraries(patient)
    policies: Policies | None = None
    configured: Read | None = None
    try:
        origin, path = _origin(config)
        configured = read(path)
        policies = active(configured, anywhere=True)
        yield Finding("configuration", origin, "ok", str(path.absolute()) if path else "every shipped policy is active")
    except (ConfigurationError, OSError) as error:
        yield Finding(
            "configuration",
            "file",
            "attention",
            f"broken: {error}",
            "correct it: `resilience check` shows all of it",
        )
    if policies is not None:
        yield from of_policies(policies)
        yield of_store(policies, store_problem(configured, policies.store))
    yield from _retriers(patient, policies)


def _program(patient: Patient) -> Iterator[Finding]:
    """Whether `resilience run` reaches a command."""
    name = patient.command[0]
    if shutil.which(name) is None:
        yield Finding("activation", name, "attention", "there is no such command", "check its spelling and PATH")
    elif hindrance := hindrance_of(patient.command):
        yield Finding("activation", name, "attention", hindrance)
    elif (words := interpreter_of(patient.command)) and _is_beside(words[0], patient.command):
        text = f"its Python {words[0]} is a path from the working directory, so it was not asked"
        yield Finding("activation", name, "note", text, f"name it: resilience doctor -- {words[0]} {name}")
    elif not patient.python:
        yield Finding(
            "activation", name, "note", "no Python itself; those that it starts are reached by `resilience run`"
        )
    elif not patient.fault and not patient.has_library:
        yield Finding("activation", name, "attention", f"not reached: {patient.python} has no httpx-resilience")
    else:
        yield Finding("activation", name, "ok", f"reached by `resilience run`, in {patient.python}")


def _environment(asked: str | None) -> Iterator[Finding]:
    """How programs that are started here are reached."""
    on_path = str(LAUNCHER.resolve()) in os.environ.get("PYTHONPATH", "").split(os.pathsep)
    enabled = is_enabled()
    if asked not in {None, "", "1"}:
        yield Finding("activation", "RESILIENCE_AUTO", "attention", "neither 1 nor 0: switched off", "write 1")
    elif on_path:
        yield Finding("activation", "resilience run", "ok", "this runs under it")
    elif asked == "1" and enabled:
        yield Finding("activation", "autoload", "ok", "enabled, and RESILIENCE_AUTO is 1")
    elif asked == "1":
        text = "RESILIENCE_AUTO is 1, and only opentelemetry-instrument reads it here"
        yield Finding("activation", "autoload", "attention", text, "run `resilience autoload enable`")
    else:
        text = "enabled, but RESILIENCE_AUTO is not set" if enabled else "not active by itself in this environment"
        advice = "start programs with `resilience run -- CMD`, or see `resilience autoload`; install() in a program's own code is not visible from outside"
        yield Finding("activation", "programs", "note", text, advice)


def _libraries(patient: Patient) -> Iterator[Finding]:
    if patient.fault:
        yield Finding("libraries", patient.python, "attention", f"could not be asked: {patient.fault}")
    if patient.fault or not patient.python:
        return
    if not patient.has_library:
        advice = f"install httpx-resilience in {patient.prefix}"
        yield Finding("libraries", "httpx-resilience", "attention", "not installed", advice)
    if not patient.clients:
        text = "neither is installed, so there is nothing to reach"
        yield Finding(
            "libraries", "httpx, httpx2", "attention", text, "programs that call by other libraries are not reached"
        )
    for name, client in patient.clients.items():
        if client["reachable"]:
            yield Finding("libraries", name, "ok", f"{client['version']}, its clients can be reached")
        else:
            text = f"{client['version']} is a version that install() does not know"
            yield Finding(
                "libraries", name, "attention", text, "use resilience.wrap(client), and tell us of this version"
            )


def _origin(config: Path | None) -> tuple[str, Path | None]:
    if config is not None:
        return "--config", config
    found = find_config()
    return (
        "RESILIENCE_CONFIG" if os.environ.get("RESILIENCE_CONFIG") else "resilience.yaml" if found else "none"
    ), found


def _retriers(patient: Patient, policies: Policies | None) -> Iterator[Finding]:
    for name, sdk in SDKS.items():
        if (version := patient.installed.get(name)) is not None:
            url = SimpleNamespace(raw_host=sdk.host.encode(), port=None, scheme="https")
            covered = "the configuration is broken"
            if policies is not None:
                source = policies.source_of(url)
                covered = f"no policy for {sdk.host}" if source is None else f"policy {source.name}"
            yield Finding("SDKs", name, "note", f"{version}, retries: {sdk.retries}, {covered}", sdk.advice)
    for name, other in OTHERS.items():
        if (version := patient.installed.get(name)) is not None:
            yield Finding("what else", name, "note", f"{version}, {other.what}", other.advice)
