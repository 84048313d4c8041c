# ruff: noqa: PT028  the command is called `test` and is none
"""`resilience test`: whether policies give the documented verdicts, and whether their examples cover their pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resilience._coverage import Coverage, Failure, coverage
from resilience._load import read_policy
from resilience.errors import PolicyError

from ._files import found_files, is_config, shown_path
from ._options import Json
from ._output import complain, fail, say, say_json, say_table, table, visible

if TYPE_CHECKING:
    from resilience._document import Document
    from resilience._policy import Policy

__all__ = ["EXAMPLE", "test"]

EXAMPLE = "resilience test policies/anakin.yaml"


@dataclass(frozen=True, slots=True)
class _Run:
    """One policy file, and what its examples prove."""

    path: Path
    policy: Policy
    document: Document
    coverage: Coverage


def test(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Policy files, directories, or names of shipped policies; default: all shipped ones and the configuration's own.",
        ),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Run the examples of policies, and count the documented rows and the rules that they cover.

    Of a policy that extends another, its own rules and pages are counted. Exit code: 0 if every example gets its
    verdict, every documented row is covered and every rule is expected by an example; 1 if not; 2 if a file cannot be
    honoured.
    """
    files = [path for path in found_files(paths or []) if not is_config(path)]
    if not files:
        fail("there is no policy among these files; a configuration has no examples")
    runs: list[_Run] = []
    refused = 0
    for path in files:
        try:
            runs.append(_run(shown_path(path)))
        except PolicyError as error:
            refused += 1
            for problem in error.problems:
                complain(visible(str(problem)))
    failed = sum(not run.coverage.passed for run in runs)
    if json:
        say_json({"passed": not refused + failed, "policies": [_data(run) for run in runs]})
    else:
        _show(runs)
        also = f", {refused} cannot be honoured" if refused else ""
        say(f"{len(runs)} tested, {failed} failed{also}")
    raise typer.Exit(2 if refused else 1 if failed else 0)


def _run(path: Path) -> _Run:
    policy, document = read_policy(path)

    def is_own(*keys: str | int) -> bool:
        return document.place(keys).file == str(path)

    rules = {rule.rule for index, rule in enumerate(policy.answers) if is_own("answers", index)}
    pages = {page for page in policy.docs if is_own("docs", page, "rows")}
    return _Run(path, policy, document, coverage(policy, rules=rules, pages=pages))


def _show(runs: list[_Run]) -> None:
    listed = table("policy", "examples", "rules", "documented rows", "", numbers=("examples", "rules"))
    for run in runs:
        found = run.coverage
        pages = {part.page: (0, 0) for part in found.tables}
        for part in found.tables:
            covered, total = pages[part.page]
            pages[part.page] = covered + part.covered, total + part.total
        listed.add_row(
            run.policy.provider,
            f"{found.examples - len(found.failures)}/{found.examples}",
            f"{len(found.rules) - len(found.unexpected)}/{len(found.rules)}",
            "\n".join(f"{page} {covered}/{total}" for page, (covered, total) in pages.items()) or "-",
            "ok" if found.passed else "failed",
            style=None if found.passed else "red",
        )
    say_table(listed)
    for run in runs:
        for line in _complaints(run):
            say(line)


def _complaints(run: _Run) -> Iterator[str]:
    """What is not in order, each with its place; what differs in an example stands indented below it."""
    found, place = run.coverage, run.document.place
    for failure in found.failures:
        row = f" ({failure.doc}: {failure.row})" if failure.row else ""
        yield visible(f"{place(('examples', failure.index))}: example {failure.index + 1}{row} gets another verdict")
        for name, (expected, got) in failure.differences.items():
            yield "    " + visible(f"{name}: expected {_worded(expected)}, found {_worded(got)}")
        yield f"    {_speaker(run, failure)}"
    for part in found.tables:
        if part.covered != part.total:
            keys = ("docs", part.page, "rows", part.name)
            remedy = (
                "add examples" if part.covered < part.total else "correct the number, or labels that differ by mistake"
            )
            yield f"{place(keys)}: {part.covered} of {part.total} rows of {part.name!r} are covered ({remedy})"
    for page, row in found.strays:
        tables = ", ".join(run.policy.docs[page].rows)
        yield visible(
            f"{place(('docs', page, 'rows'))}: the row {row!r} is of none of the tables (there are: {tables})"
        )
    for index, rule in enumerate(run.policy.answers):
        if rule.rule in found.unexpected:
            remedy = f"add a documented answer with `verdict: {{rule: {rule.rule}}}`"
            yield f"{place(('answers', index))}: no example expects the rule {rule.rule!r} ({remedy})"


def _worded(value: object) -> str:
    return "nothing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _speaker(run: _Run, failure: Failure) -> str:
    for index, rule in enumerate(run.policy.answers):
        if rule.rule == failure.rule:
            return f"the rule that spoke: {rule.rule}, {run.document.place(('answers', index))}"
    return "no rule spoke, only the status"


def _data(run: _Run) -> dict[str, Any]:
    found = asdict(run.coverage)
    for failure in found["failures"]:
        failure["line"] = run.document.place(("examples", failure["index"])).line
        failure["differences"] = {
            name: {"expected": expected, "found": got} for name, (expected, got) in failure["differences"].items()
        }
    found["strays"] = [{"page": page, "row": row} for page, row in run.coverage.strays]
    return {"provider": run.policy.provider, "file": str(run.path), "passed": run.coverage.passed, **found}
