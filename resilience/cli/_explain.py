"""`resilience explain`: what one answer of a provider means, by which rule of which page, and what would be done."""

from __future__ import annotations

import difflib
import json as json_module
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resilience._categories import TREATMENTS, Category
from resilience._config import named_plan
from resilience._library import ErrorKind
from resilience._load import read_policy
from resilience._redact import safe_address
from resilience._units import duration_text

from ._files import policy_file, shown_path
from ._given_body import content_of, json_of
from ._options import ConfigFile, Json
from ._output import fail, say, say_json, say_table, table, visible
from ._plan import Plan, plan
from ._protection import Protection, protection

if TYPE_CHECKING:
    from resilience._outcome import Verdict
    from resilience._policy import Doc, Policy
    from resilience._remedies import Remedy
    from resilience._rule import Rule
    from resilience.errors import Place

__all__ = ["EXAMPLE", "explain"]

EXAMPLE = """\
resilience explain anakin --status 429 --header 'Retry-After: 7' --method POST --path /v1/search
curl -s https://api.example.com/v1/jobs | resilience explain anakin --status 402 --body -
"""


@dataclass(frozen=True, slots=True)
class _Explanation:
    policy: Policy
    verdict: Verdict
    rule: Rule | None
    place: Place | None
    page: Doc | None
    remedies: tuple[Remedy, ...]
    protection: Protection
    plan: Plan


def explain(
    provider: Annotated[
        str,
        typer.Argument(
            metavar="PROVIDER",
            help="A policy that the configuration names, a shipped one, or the path of a policy file.",
        ),
    ],
    *,
    status: Annotated[int | None, typer.Option(min=100, max=999, help="The status of the answer.")] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="'NAME: VALUE'", help="A header of the answer; may be given several times."),
    ] = None,
    body: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE|-", help="A JSON body; - reads standard input.")
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT|@FILE|-", help="Any other body.")] = None,
    error: Annotated[str | None, typer.Option(metavar="KIND", help="Instead of an answer: connect_error, ...")] = None,
    method: Annotated[str, typer.Option(help="The request's method.")] = "GET",
    path: Annotated[str, typer.Option(help="The request's path; it chooses the operation.")] = "/",
    attempt: Annotated[int, typer.Option(min=1, help="How often the request has been sent.")] = 1,
    plan_name: Annotated[
        str | None, typer.Option("--plan", metavar="NAME", help="Your plan, if not that of the configuration.")
    ] = None,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Explain what an answer means, by which rule of which page, and what would be done with the request."""
    if (status is None) == (error is None):
        fail("name the answer: either --status 429 (with --header, --body or --text), or --error read_timeout")
    if body is not None and text is not None:
        fail("an answer has one body: give either --body or --text")
    if error is not None and (header or body or text):
        fail("a transport error comes without headers and without a body")
    headers = _headers(header or ())
    if body is not None:
        content = json_of(content_of(body))
        headers = {"content-type": "application/json", **headers}
    else:
        content = content_of(text or "")
    method = method.upper()
    found = _explanation(
        policy_file(provider, config),
        lambda name: plan_name or named_plan(name, config),
        status=status,
        headers=headers,
        content=content,
        error=_kind(error),
        method=method,
        path=path,
        attempt=attempt,
    )
    if json:
        say_json(_data(found))
    else:
        _show(found, f"{status if error is None else error} to {method} {safe_address(path, found.policy)}")


def _explanation(
    file: Path,
    plan_of: Callable[[str], str | None],
    *,
    status: int | None,
    headers: dict[str, str],
    content: bytes,
    error: str | None,
    method: str,
    path: str,
    attempt: int,
) -> _Explanation:
    policy, document = read_policy(shown_path(file))
    verdict = policy.classify(method=method, url=path, status=status, headers=headers, body=content, error=error)
    rule = policy.rules.get(verdict.rule or "")
    return _Explanation(
        policy,
        verdict,
        rule,
        document.place(("answers", policy.answers.index(rule))) if rule else None,
        policy.docs.get(rule.doc or "") if rule else None,
        tuple(
            remedy
            for remedy in policy.remedies
            if rule and rule.rule in remedy.rules
            if remedy.operations is None or verdict.operation in remedy.operations
        ),
        protection(policy, verdict, plan_of(policy.provider)),
        plan(policy, verdict, method=method, attempt=attempt),
    )


def _headers(lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not name:
            fail(f"{line!r} is no header; write it as in --header 'Retry-After: 7'")
        name = name.lower()
        # As the HTTP libraries give those of one name (RFC 9110 section 5.3).
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _kind(error: str | None) -> str | None:
    kinds = [kind.value for kind in ErrorKind]
    if error is not None and error not in kinds:
        near = difflib.get_close_matches(error, kinds, n=1)
        fail(f"there is no error {error!r}; {f'did you mean {near[0]}?' if near else 'there are: ' + ', '.join(kinds)}")
    return error


def _show(found: _Explanation, question: str) -> None:
    verdict = found.verdict
    operation = f" ({verdict.operation})" if verdict.operation else ""
    say(visible(f"{found.policy.title or found.policy.provider} answers {question}{operation}"))
    listed = table()
    for name, value in _rows(found):
        listed.add_row(f"  {name}", visible(value))
    say_table(listed)


def _rows(found: _Explanation) -> Iterator[tuple[str, str]]:
    verdict, rule, page = found.verdict, found.rule, found.page
    fault = TREATMENTS[verdict.category].fault
    yield (
        "category",
        verdict.category if verdict.category is Category.SUCCESS else f"{verdict.category}, fault of: {fault}",
    )
    for name, value in (("code", verdict.code), ("message", verdict.message), ("target status", verdict.target_status)):
        if value is not None:
            yield name, str(value)
    yield "retryable", "yes" if verdict.retryable else "no"
    if verdict.retry_after is not None:
        yield "retry after", f"{_seconds(verdict.retry_after)} s, says {verdict.retry_after_source}"
    yield "rule", f"{rule.rule}, {found.place}" if rule else "none: only the status speaks"
    if page is not None:
        yield "page", f"{page.url} (checked {page.checked})"
    if rule is not None and rule.advice:
        yield "advice", rule.advice
    for remedy in found.remedies:
        yield "remedy", f"{remedy.remedy}: {remedy.advice}{_changes(remedy)}"
    yield from found.protection.rows()
    yield "then", _worded(found.plan)


def _changes(remedy: Remedy) -> str:
    changes = ", ".join(f"{name}={json_module.dumps(value)}" for name, value in remedy.set.items())
    wait = " to ".join(map(duration_text, remedy.wait)) if remedy.wait else ""
    return (f" (set {changes})" if changes else "") + (f" (wait {wait} first)" if wait else "")


def _worded(would: Plan) -> str:
    if would.shortest is None or would.longest is None:
        return f"would hand the answer back: {would.reason}"
    shortest, longest = _seconds(would.shortest), _seconds(would.longest)
    wait = shortest if shortest == longest else f"{would.shortest:.1f}-{would.longest:.1f}"
    again = f"would wait {wait} s ({would.reason}) and send again (attempt {would.attempt} of {would.max_attempts})"
    return f"{again}; or hand the answer back: {would.otherwise}" if would.otherwise else again


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f}".removesuffix(".0")


def _data(found: _Explanation) -> dict[str, Any]:
    place, page = found.place, found.page
    return {
        "provider": found.policy.provider,
        "verdict": asdict(found.verdict),
        "place": asdict(place) if place else None,
        "page": {"url": page.url, "checked": page.checked} if page else None,
        "advice": found.rule.advice if found.rule else None,
        "remedies": _remedies(found.remedies),
        "protection": found.protection.data(),
        "plan": asdict(found.plan),
    }


def _remedies(remedies: Sequence[Remedy]) -> list[dict[str, Any]]:
    return [
        {"remedy": remedy.remedy, "advice": remedy.advice, "set": remedy.set, "wait": remedy.wait}
        for remedy in remedies
    ]
