"""`resilience doctor`: what it finds in environments, programs, configurations, and which of it needs attention."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import pytest

from resilience.cli import _diagnosis, main
from resilience.cli._known import OTHERS, SDKS
from resilience.cli._launch import LAUNCHER
from resilience.stores import open_store
from tests.launched import CHECKOUT
from tests.servers import RedisServer

Findings = dict[str, dict[str, Any]]
Doctor = Callable[..., tuple[object, Findings]]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Its exit code and its findings by what they are about, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("RESILIENCE_AUTO", "RESILIENCE_CONFIG", "RESILIENCE_RUN_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))

    def run(*arguments: str) -> tuple[object, Findings]:
        with pytest.raises(SystemExit) as ended:
            main(["doctor", "--json", *arguments])
        told = json.loads(capsys.readouterr().out)
        return ended.value.code, {each["what"]: each for each in told["findings"]}

    return run


def test_an_environment_in_which_all_is_well(doctor: Doctor) -> None:
    """Its libraries, the shipped policies, the memory of each process; and how programs are reached."""
    code, found = doctor()

    assert 0 == code
    assert ("note", "not active by itself in this environment") == (
        found["programs"]["state"],
        found["programs"]["found"],
    )
    for name in ("httpx", "httpx2"):
        assert ("ok", f"{metadata.version(name)}, its clients can be reached") == (
            found[name]["state"],
            found[name]["found"],
        )
    assert ("configuration", "every shipped policy is active") == (found["none"]["area"], found["none"]["found"])
    assert "api.anakin.io" in found["anakin"]["found"]
    assert ("store", "ok") == (found["memory://"]["area"], found["memory://"]["state"])


@pytest.mark.parametrize("name", ["openai", "anthropic", "groq"])
def test_what_the_sdks_retry_is_what_they_do(name: str, doctor: Doctor) -> None:
    """Their own number, and whether a policy speaks of their host."""
    number = import_module(f"{name}._constants").DEFAULT_MAX_RETRIES

    _, found = doctor()

    version, host = metadata.version(name), SDKS[name].host
    assert f"{version}, retries: max_retries={number}, " in found[name]["found"]
    assert f"no policy for {host}" in found[name]["found"] or "policy " in found[name]["found"]
    assert "tells it to stop" in found[name]["advice"]


def test_a_policy_that_speaks_of_the_host_of_an_sdk(doctor: Doctor, tmp_path: Path) -> None:
    """It is named."""
    (tmp_path / "own.yaml").write_text("version: 1\nprovider: own\nmatch: {hosts: ['*.openai.com']}\n")
    (tmp_path / "resilience.yaml").write_text("version: 1\npolicies: [./own.yaml]\nshipped: false\n")

    code, found = doctor()

    assert (0, "*.openai.com") == (code, found["own"]["found"])
    assert found["openai"]["found"].endswith(", policy own")
    assert ("configuration", str(tmp_path / "resilience.yaml")) == (
        found["resilience.yaml"]["area"],
        found["resilience.yaml"]["found"],
    )


def test_what_else_is_installed(doctor: Doctor) -> None:
    """Everything that retries or goes past us, where it is there, each with its advice."""
    _, found = doctor()

    for name, other in OTHERS.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            assert name not in found
        else:
            assert ("note", other.advice) == (found[name]["state"], found[name].get("advice", ""))
            assert found[name]["found"].startswith(version)
    assert "httpx-retries" in found


def test_the_origin_of_the_configuration(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option before the variable."""
    (tmp_path / "a.yaml").write_text("version: 1\nshipped: [anakin]\n")
    monkeypatch.setenv("RESILIENCE_CONFIG", "a.yaml")
    assert str(tmp_path / "a.yaml") == doctor()[1]["RESILIENCE_CONFIG"]["found"]

    assert str(tmp_path / "a.yaml") == doctor("--config", "a.yaml")[1]["--config"]["found"]


@pytest.mark.parametrize(
    ("config", "message"),
    [("version: 2\n", "a.yaml:1:10: 'version' must be 1, not 2"), (None, "RESILIENCE_CONFIG names a.yaml")],
    ids=["wrong", "missing"],
)
def test_a_configuration_that_cannot_be_honoured(
    config: str | None, message: str, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs attention, and the rest is told all the same."""
    monkeypatch.setenv("RESILIENCE_CONFIG", "a.yaml")
    if config is not None:
        (tmp_path / "a.yaml").write_text(config)

    code, found = doctor()

    assert (1, "attention") == (code, found["file"]["state"])
    assert f"broken: {message}" in found["file"]["found"].replace(f"{tmp_path}/", "")
    # Whether there is a policy for it, nobody can say.
    assert found["openai"]["found"].endswith(", the configuration is broken")
    assert "httpx" in found


def test_no_policy_is_no_protection(doctor: Doctor, tmp_path: Path) -> None:
    """That needs attention."""
    (tmp_path / "resilience.yaml").write_text("version: 1\nshipped: false\n")

    code, found = doctor()

    assert (1, "no policy is active") == (code, found["none"]["found"])


def test_stores(doctor: Doctor, tmp_path: Path, redis_server: RedisServer) -> None:
    """One that answers, one that nobody has made yet, which looking does not make, and one that is down."""

    def found(store: str) -> tuple[object, dict[str, Any]]:
        (tmp_path / "resilience.yaml").write_text(f"version: 1\nstore: {store}\n")
        code, findings = doctor()
        return code, next(each for each in findings.values() if each["area"] == "store")

    code, told = found(redis_server.url)
    assert (0, "ok", "can be reached") == (code, told["state"], told["found"])
    code, told = found("sqlite:///store.db")
    assert (0, "note", "no application has used it yet") == (code, told["state"], told["found"])
    assert not (tmp_path / "store.db").exists()
    open_store(f"sqlite:///{tmp_path}/store%20one.db")
    code, told = found("sqlite:///store%20one.db")
    assert (0, "ok", "can be reached") == (code, told["state"], told["found"])
    code, told = found("sqlite:////nowhere/store.db")
    assert (1, "attention") == (code, told["state"])
    assert told["found"].endswith("resilience.yaml:2:8: the store /nowhere/store.db must be in a directory that exists")
    assert "make it, or correct the path" == told["advice"]
    redis_server.stop()
    code, told = found(redis_server.url.replace("redis://", "redis://:secret@"))
    assert (1, "attention") == (code, told["state"])
    assert "cannot be reached" in told["found"]
    assert "secret" not in str(told)


@pytest.mark.parametrize(
    ("variables", "enabled", "what", "state"),
    [
        ({"RESILIENCE_AUTO": "0"}, True, "RESILIENCE_AUTO", "attention"),
        ({"RESILIENCE_AUTO": "true"}, True, "RESILIENCE_AUTO", "attention"),
        (
            {"PYTHONPATH": f"{CHECKOUT}{os.pathsep}{LAUNCHER.resolve()}", "RESILIENCE_AUTO": "1"},
            False,
            "resilience run",
            "ok",
        ),
        ({"RESILIENCE_AUTO": "1"}, True, "autoload", "ok"),
        ({"RESILIENCE_AUTO": "1"}, False, "autoload", "attention"),
        ({}, True, "programs", "note"),
        ({}, False, "programs", "note"),
    ],
    ids=["off", "a slip", "run", "autoload", "variable alone", "enabled alone", "nothing"],
)
def test_how_programs_are_reached(
    variables: dict[str, str], enabled: bool, what: str, state: str, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the launcher on the path, by autoload and its variable, or by nothing that is visible from outside."""
    monkeypatch.setattr(_diagnosis, "is_enabled", lambda: enabled)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    code, found = doctor()

    (activation,) = (each for each in found.values() if each["area"] == "activation")
    assert (what, state) == (activation["what"], activation["state"])
    assert (1 if state == "attention" else 0) == code


def test_a_program(doctor: Doctor, tmp_path: Path) -> None:
    """Whether `resilience run` reaches it: the command, its Python, what that has installed."""
    tool = tmp_path / "tool"
    tool.write_text(f"#!{sys.executable} -I\n")
    tool.chmod(0o755)

    code, found = doctor("--", sys.executable, "app.py", "--json")
    assert (0, f"reached by `resilience run`, in {sys.executable}") == (code, found[sys.executable]["found"])
    code, found = doctor("./tool", "-c", "x")
    assert (1, True) == (code, "starts python -I, which reads no PYTHONPATH" in found["./tool"]["found"])
    code, found = doctor("no-such-command")
    assert (1, "there is no such command") == (code, found["no-such-command"]["found"])
    code, found = doctor("sh", "start.sh")
    assert (0, "note") == (code, found["sh"]["state"])
    # Of whose Python nothing is known, nothing is said.
    assert not {"httpx", "httpx2"} & found.keys()


def test_a_program_where_all_is_switched_off(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not said to be reached."""
    monkeypatch.setenv("RESILIENCE_AUTO", "0")

    code, found = doctor("--", sys.executable, "app.py")

    assert (1, "0: switched off") == (code, found["RESILIENCE_AUTO"]["found"])
    assert sys.executable not in found


def test_a_program_of_another_environment(doctor: Doctor, tmp_path: Path) -> None:
    """It is asked what it has: here neither this library nor a client."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)

    code, found = doctor(str(python), "app.py")

    assert 1 == code
    assert f"not reached: {python} has no httpx-resilience" == found[str(python)]["found"]
    assert "not installed" == found["httpx-resilience"]["found"]
    assert "neither is installed, so there is nothing to reach" == found["httpx, httpx2"]["found"]


def test_a_python_is_asked_in_the_isolation_of_the_program(doctor: Doctor, tmp_path: Path) -> None:
    """What it finds by PYTHONPATH alone, the program would not find."""
    (tmp_path / "tool").write_text(f"#!{sys.executable} -IS\n")
    (tmp_path / "tool").chmod(0o755)

    _, found = doctor(sys.executable, "app.py")
    assert "httpx" in found
    for command in ([sys.executable, "-I", "-S", "app.py"], ["./tool"]):
        _, found = doctor("--", *command)
        assert "not installed" == found["httpx-resilience"]["found"]


def test_a_python_beside_a_script_is_not_run(doctor: Doctor, tmp_path: Path) -> None:
    """Whoever wrote the script would have it run by looking at it alone; a path from the root is taken at its word."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\ntouch {tmp_path}/was-run\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    tool = tmp_path / "tool"

    for line in ("#!bin/python", "#!/usr/bin/env ./bin/python"):
        tool.write_text(f"{line}\n")
        tool.chmod(0o755)
        code, found = doctor("./tool")
        assert (0, "note") == (code, found["./tool"]["state"])
        assert "bin/python is a path from the working directory, so it was not asked" in found["./tool"]["found"]
        assert not (tmp_path / "was-run").exists()
    tool.write_text(f"#!{python}\n")
    doctor("./tool")
    assert (tmp_path / "was-run").exists()


@pytest.mark.parametrize("end", ["\\n", ""])
def test_a_python_that_says_more_than_it_is_asked(end: str, doctor: Doctor, tmp_path: Path) -> None:
    """Its sitecustomize may greet whoever starts it."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nprintf "hello [1]{end}"\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)

    _, found = doctor(str(python))

    assert "ok" == found["httpx"]["state"]


def test_a_python_that_cannot_be_asked(doctor: Doctor, tmp_path: Path) -> None:
    """That is said."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)

    code, found = doctor(str(python))

    assert (1, True) == (code, "could not be asked" in found[str(python)]["found"])


def test_a_version_that_install_does_not_know() -> None:
    """It has no method to take hold of."""
    patient = _diagnosis.Patient(
        python="python", has_library=True, clients={"httpx": {"version": "9", "reachable": False}}
    )

    (found,) = _diagnosis._libraries(patient)

    assert ("attention", "9 is a version that install() does not know") == (found.state, found.found)


def test_a_table_for_people(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one line for each advice, what needs attention first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESILIENCE_AUTO", "0")

    with pytest.raises(SystemExit) as ended:
        main(["doctor"])

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert 1 == ended.value.code
    assert "activation RESILIENCE_AUTO attention 0: switched off" in lines
    advice = lines[lines.index("RESILIENCE_AUTO: unset it") :]
    assert any(line.startswith("anthropic, groq, openai: leave it") for line in advice[1:])
