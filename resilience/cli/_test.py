"""`resilience test`: whether policies give the documented verdicts, and whether their examples cover their pages."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._coverage import Coverage, coverage
from .._load import read_policy
from ..errors import PolicyError
from ._files import found_files, is_config, shown_path
from ._output import complain, console, fail, say, say_json, table, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._yaml import Document

__all__ = ["test"]


@dataclass(frozen=True, slots=True)
class _Run:
    """One policy file, and what its examples prove."""

    path: Path
    provider: str
    places: Document
    rules: tuple[str, ...]
    coverage: Coverage

    def to_dict(self) -> dict[str, Any]:
        found = asdict(self.coverage)
        failures = [
            {
                **asdict(failure),
                "line": self.places.place(("examples", failure.index)).line,
                "differences": {
                    name: {"expected": expected, "found": got} for name, (expected, got) in failure.differences.items()
                },
            }
            for failure in self.coverage.failures
        ]
        strays = [{"page": page, "row": row} for page, row in self.coverage.strays]
        return {
            "file": str(self.path),
            "provider": self.provider,
            "passed": self.coverage.passed,
            **found,
            "failures": failures,
            "strays": strays,
        }


def test(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH]...", help="Policy files, directories, or names of shipped policies; default: all shipped ones."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Say it in JSON.")] = False,  # noqa: A002  the option's name
) -> None:
    """Run the examples of policies, and count the documented rows and the rules that they cover.

    Of a policy that extends another, its own rules and pages count. Exit code: 0 if every example gets its verdict,
    every documented row is covered and every rule is expected by an example; 1 if not; 2 if a file cannot be honoured.

    \b
    Example:
      resilience test policies/anakin.yaml
    """
    runs: list[_Run] = []
    broken = False
    files = [path for path in found_files(paths or []) if not is_config(path)]
    if not files:
        fail("there is no policy file among these; name a policy")
    for path in files:
        try:
            runs.append(_run(path))
        except PolicyError as error:
            broken = True
            for problem in error.problems:
                complain(visible(str(problem)))
    passed = not broken and all(run.coverage.passed for run in runs)
    if json:
        say_json({"passed": passed, "policies": [run.to_dict() for run in runs]})
    else:
        _show(runs)
    raise typer.Exit(2 if broken else 0 if passed else 1)


def _run(path: Path) -> _Run:
    policy, places = read_policy(path)

    def is_own(*keys: str | int) -> bool:
        return places.place(keys).file == str(path)

    rules = {rule.rule for index, rule in enumerate(policy.answers) if is_own("answers", index)}
    pages = {page for page in policy.docs if is_own("docs", page, "rows")}
    found = coverage(policy, rules=rules, pages=pages)
    return _Run(shown_path(path), policy.provider, places, tuple(rule.rule for rule in policy.answers), found)


def _show(runs: list[_Run]) -> None:
    output = console()
    listed = table("policy", "examples", "documented rows", "rules", "", numbers=("examples", "rules"))
    for run in runs:
        found = run.coverage
        rows = "\n".join(f"{part.page}, {part.name}: {part.covered}/{part.total}" for part in _by_page(found))
        listed.add_row(
            run.provider,
            f"{found.examples - len(found.failures)}/{found.examples}",
            rows or "-",
            f"{len(found.rules) - len(found.unexpected)}/{len(found.rules)}",
            "[green]ok[/green]" if found.passed else "[red]failed[/red]",
        )
    output.print(listed)
    for run in runs:
        for line in _complaints(run):
            say(line)
    failed = sum(not run.coverage.passed for run in runs)
    say(f"{len(runs)} tested, {failed} failed")


def _by_page(found: Coverage) -> Iterator[Any]:
    yield from found.tables


def _complaints(run: _Run) -> Iterator[str]:
    found = run.coverage
    for failure in found.failures:
        yield f"{_place(run, 'examples', failure.index)}: example {failure.index + 1}" + (
            f" ({failure.doc}: {failure.row})" if failure.row else ""
        )
