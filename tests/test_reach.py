"""What keeps the launcher out of a program is seen before it starts, and said."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from resilience.cli._autoload_files import PTH
from resilience.cli._reach import hindrance_of, interpreter_of, isolation
from tests.test_run import run

UNLESS = "unless `resilience autoload enable` was run in its environment"


def test_a_python_that_reads_no_environment_is_warned_of(tmp_path: Path) -> None:
    """It runs, and one line says that it will not obey."""
    done = run(sys.executable, "-I", "-c", "print('hello')", directory=tmp_path)

    assert (0, "hello\n") == (done.returncode, done.stdout)
    assert (
        "resilience: python -I reads no PYTHONPATH: this program will not obey the policies, "
        "unless `resilience autoload enable` was run in its environment\n" == done.stderr
    )


@pytest.mark.parametrize(
    ("command", "letters"),
    [
        ("python app.py", ""),
        ("python -I app.py", "I"),
        ("/usr/bin/python3.13t -sE -S -m app", "ES"),
        ("python.exe -bIE", "IE"),
        ("pypy3 -W ignore -E app.py", "E"),
        ("python -X utf8 -Wignore -S app.py", "S"),
        ("python -X -E app.py", ""),
        ("python -c E -I", ""),
        ("python -uc -I", ""),
        ("python -m app -I", ""),
        ("python -mapp -E", ""),
        ("python -ImSITE", "I"),
        ("python app.py -I", ""),
        ("python - -I", ""),
        ("python -- -I", ""),
        ("python --check-hash-based-pycs never -I", "I"),
        ("python --check-hash-based-pycs", ""),
        ("python --help -I", "I"),
        ("python -X", ""),
        ("uvicorn -I", ""),
        ("python-config -I", ""),
    ],
)
def test_the_options_that_keep_the_launcher_out(command: str, letters: str) -> None:
    """Only options of Python itself count, not what stands behind a program, a module or another option."""
    assert letters == isolation(command.split())


def tool(directory: Path, *lines: str) -> str:
    """A script that can be executed."""
    path = directory / "tool"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("lines", "letters"),
    [
        (["#!/opt/venv/bin/python -I", "pass"], "I"),
        (["#! /opt/venv/bin/python3.12 -sE"], "E"),
        (["#!/usr/bin/env -S A=b python -IS"], "IS"),
        (["#!/bin/sh", '\'\'\'exec\' "/opt/a venv/bin/python" -sE "$0" "$@"', "' '''"], "E"),
        (["#!/opt/venv/bin/python", "-I"], ""),
        (["#!/bin/sh -I", "python -I"], ""),
        (["#!/usr/bin/env", "x"], ""),
        (["#!'", "x"], ""),
        (["#!", "x"], ""),
        (["python -I"], ""),
        ([""], ""),
    ],
)
def test_the_first_line_of_a_script_counts(lines: list[str], letters: str, tmp_path: Path) -> None:
    """As pipx, uv and distributions write it."""
    command = [tool(tmp_path, *lines), "-E"]

    assert letters == isolation(interpreter_of(command))


def test_a_script_that_starts_an_isolated_python_is_named(tmp_path: Path) -> None:
    """Who typed its name does not know what its first line says."""
    isolated = tool(tmp_path, "#!/opt/venv/bin/python -sE")
    assert (
        f"{isolated} starts python -E, which reads no PYTHONPATH: this program will not obey the policies, {UNLESS}"
        == (hindrance_of([isolated]))
    )
    siteless = tool(tmp_path, "#!/opt/venv/bin/python -S")
    expected = f"{siteless} starts python -S, which imports no sitecustomize: this program will not obey the policies"
    assert expected == hindrance_of([siteless])
    assert not hindrance_of([tool(tmp_path, "#!/opt/venv/bin/python")])
    assert not hindrance_of(["no-such-command"])


def test_an_environment_with_autoload_reaches_isolated_pythons(tmp_path: Path) -> None:
    """But not those that import no `site`, which reads it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    python = str(tmp_path / "bin" / "python")
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    assert UNLESS in hindrance_of([python, "-I", "app.py"])

    (packages / PTH).touch()

    assert not hindrance_of([python, "-I", "app.py"])
    assert "sitecustomize" in hindrance_of([python, "-IS", "app.py"])


@pytest.mark.parametrize("tail", [b"", b"x" * 2000], ids=["end", "before sections"])
def test_a_frozen_program_is_told_by_its_archive(tail: bytes, tmp_path: Path) -> None:
    """PyInstaller's archive ends with a mark; a program of another kind has none."""
    program = tmp_path / "app"
    program.write_bytes(b"\x7fELF" + b"\0" * 100_000 + b"MEI\014\013\012\013\016" + b"\0" * 80 + tail)
    program.chmod(0o755)

    assert f"{program} is frozen: it holds a Python of its own that reads no PYTHONPATH" in hindrance_of([str(program)])
    assert not hindrance_of([sys.executable, str(program)])
    assert not hindrance_of(["sh"])


def test_a_pipe_that_may_be_executed_is_not_opened(tmp_path: Path) -> None:
    """Nobody writes into it; the system says that it is no program."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o755)

    done = run(pipe, directory=tmp_path)

    expected = f"resilience: {pipe} cannot be executed: Permission denied; is it made for this machine?\n"
    assert (126, "", expected) == (done.returncode, done.stdout, done.stderr)
