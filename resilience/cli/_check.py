"""`resilience check`: what cannot be honoured in policy files and in resilience.yaml, as a linter says it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._files import CONFIG, environment_problems, found_files, is_config, problems_of, shown_path
from ._options import Json
from ._output import say, say_json, visible

__all__ = ["EXAMPLE", "check"]

EXAMPLE = "resilience check policies/ resilience.yaml"


def check(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Policy files, configurations, directories, or names of shipped policies; "
            "default: all shipped policies, and ./resilience.yaml.",
        ),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Look for what cannot be honoured in policy files, in resilience.yaml, and in variables that stand for its values.

    Exit code: 0 if there is nothing, 1 if there are problems, 2 if a file cannot be read.
    """
    files = [shown_path(path) for path in found_files(paths or [])]
    if not paths and Path(CONFIG).is_file():
        files.append(Path(CONFIG))
    problems = [problem for path in files for problem in problems_of(path)]
    configurations: list[Path | None] = [path for path in files if is_config(path)]
    if not paths and not configurations:
        configurations = [None]
    problems += dict.fromkeys(problem for path in configurations for problem in environment_problems(path))
    notes = [] if problems else _notes(configurations)
    if json:
        found = [
            {
                "file": problem.place.file,
                "line": problem.place.line,
                "column": problem.place.column,
                "message": problem.message,
                "remedy": problem.remedy,
            }
            for problem in problems
        ]
        say_json({"files": [str(path) for path in files], "problems": found, "notes": notes})
    else:
        for problem in problems:
            say(visible(str(problem)))
        for note in notes:
            say(visible(f"note: {note}"))
        say(f"{_count(len(files), 'file')} checked, {_count(len(problems), 'problem')}")
    raise typer.Exit(1 if problems else 0)


def _notes(configurations: list[Path | None]) -> list[str]:
    """What is no problem, and what its user should know.

    Arguments:
        configurations: their files; `None` for what the environment alone says.
    """
    from resilience._budget_checks import unpriced, unspent
    from resilience._config import active
    from resilience._config_read import NO_FILE, read
    from resilience._config_store import store_problem

    notes: list[str | None] = []
    for path in configurations:
        found = read(NO_FILE if path is None else path)
        policies = active(found, anywhere=True)
        if problem := store_problem(found, policies.store):
            # No mistake of the file: the machine that it is checked on may not be the one that it is for.
            notes.append(f"{problem}; `resilience run` and install() refuse it on this machine")
        notes += [note for source in policies.sources for note in (unpriced(source), unspent(source))]
    return list(dict.fromkeys(filter(None, notes)))


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s'[: number != 1]}"
