"""Writes one page per shipped policy: what the client does with each answer that the provider documents, and why."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import mkdocs_gen_files
import yaml
from pydantic import BaseModel

from resilience import load_policy
from resilience._amounts import amount_text
from resilience._categories import TREATMENTS, Category, Resend
from resilience._conditions import When
from resilience._credits_policy import Cost, Place, Times
from resilience._limits import Limit
from resilience._policy import Policy
from resilience._retry_policy import Retry, resolve
from resilience._rule import Rule
from resilience._shipped import shipped_names
from resilience._units import duration_text

FOLDER = "providers"
ESCAPES = str.maketrans({character: f"&#{ord(character)};" for character in "&<>|`*_[]{}\\!#~^=+"})
RETRIED = {
    Resend.NEVER: "no",
    Resend.ANY: "yes",
    Resend.DOCUMENTED: "yes",  # these tables hold documented answers only
    Resend.REPEATABLE: "if it may be repeated",
}


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """A Markdown table, or nothing at all without rows."""
    lines = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *lines, ""] if lines else []


def _cell(text: str) -> str:
    """Text for a cell of a table: a bar inside code is no border."""
    parts = " ".join(text.split()).split("`")
    parts[::2] = [part.replace("|", "\\|") for part in parts[::2]]
    return "`".join(parts)


def _code(values: Iterable[object]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _plain(value: object) -> str:
    """A value as one would write it in the file, in one line."""
    written = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return written.removesuffix("\n").removesuffix("\n...").strip()


def _given(model: BaseModel) -> dict[str, object]:
    """What the file says, without what it leaves out."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _statuses(statuses: Iterable[int] | None) -> str:
    """`429, 500-504, 5xx`: neighbours as a range, a whole hundred as its class."""
    found: list[list[int]] = []
    for status in sorted(statuses or ()):
        if found and found[-1][1] == status - 1 and status % 100:
            found[-1][1] = status
        else:
            found.append([status, status])
    return ", ".join(_range(first, last) for first, last in found)


def _range(first: int, last: int) -> str:
    if first % 100 == 0 and last == first + 99:
        return f"{first // 100}xx"
    if first == last:
        return str(first)
    return f"{first}, {last}" if last == first + 1 else f"{first}-{last}"


def _page_link(policy: Policy, name: str | None) -> str:
    if name is None:
        return ""
    return f"[{name}]({policy.docs[name].url})" if name in policy.docs else name


def _condition(rule: Rule) -> str:
    """What else an answer must look like, besides status and code."""
    rest = {key: value for key, value in _given(rule.when).items() if key not in {"status", "code"}}
    return ", ".join(f"{key} `{_plain(value)}`" for key, value in rest.items())


def _shown(when: When) -> str:
    """A whole condition in one line."""
    said = {key: _plain(value) for key, value in _given(when).items()}
    if when.status:
        said["status"] = _statuses(when.status)
    return ", ".join(f"{key} `{value}`" for key, value in said.items())


def _retried(policy: Policy, rule: Rule) -> str:
    resend = TREATMENTS[rule.category].resend
    if rule.retryable is False or (rule.retryable is None and resend is Resend.NEVER):
        return "no"
    retry = _of_rule(policy, rule)
    if retry.max_attempts == 1:
        return "no (`max_attempts: 1`)"
    # A category that is not retried by itself, but is by this rule, is treated with the usual care.
    said = RETRIED[resend if resend is not Resend.NEVER else Resend.REPEATABLE]
    own = _difference(policy.retry, retry)
    return f"{said} ({own})" if own else said


def _of_rule(policy: Policy, rule: Rule) -> Retry:
    return resolve(policy.retry, policy.retry.categories.get(rule.category), rule.retry)


def _numbers(retry: Retry) -> Iterator[tuple[str, str]]:
    backoff = retry.backoff
    yield "Attempts", f"at most {retry.max_attempts}, the first included"
    if backoff.between is not None:
        shortest, longest = backoff.between
        yield "Back-off", f"{duration_text(shortest)} to {duration_text(longest)}, evenly drawn"
    else:
        steps = f"{duration_text(backoff.initial)}, each {backoff.multiplier} times the last, at most {duration_text(backoff.max)}"
        yield "Back-off", f"{steps}; jitter: {backoff.jitter}"
    yield "Stated waits", "; ".join(f"`{_plain(_given(hint))}`" for hint in retry.wait) or "none are read"
    after = {"give_back": "the answer is given back at once", "back_off": "the back-off applies instead"}
    yield "Longest wait", f"{duration_text(retry.longest_wait)}; if more is asked for, {after[retry.too_long]}"


def _difference(usual: Retry, own: Retry) -> str:
    """The numbers of `own` that are not the usual ones, in words."""
    before = dict(_numbers(usual))
    return "; ".join(f"{name.lower()}: {value}" for name, value in _numbers(own) if before.get(name) != value)


def _rules(policy: Policy) -> Iterator[tuple[str, ...]]:
    for rule in policy.answers:
        yield (
            f"`{rule.rule}`",
            _statuses(rule.when.status),
            _code(rule.when.code or ([rule.code] if rule.code else ())),
            _condition(rule),
            f"`{rule.category}`",
            _retried(policy, rule),
            rule.advice or "",
            _page_link(policy, rule.doc),
        )


def _operations(policy: Policy) -> Iterator[tuple[str, ...]]:
    repeatable = {True: "yes", False: "no", "answered": "once answered", None: "by its method"}
    for name, operation in policy.operations.items():
        times = {"deadline": operation.deadline, "one attempt": operation.attempt_timeout}
        differs = _given(operation.retry) if operation.retry else {}
        yield (
            f"`{name}`",
            _code(operation.method or ()) or "any",
            _code(operation.path),
            repeatable[operation.repeatable],
            ", ".join(f"{what} {duration_text(seconds)}" for what, seconds in times.items() if seconds is not None),
            f"`{_plain(differs)}`" if differs else "",
            _page_link(policy, operation.doc),
        )


def _limits(policy: Policy) -> Iterator[tuple[str, ...]]:
    counted = {"token_bucket": "refills evenly", "sliding_window_counter": "sliding window, estimated"}
    for found in policy.limits_for(None):
        limit = found.limit
        if limit.rate is None:
            how = "in flight"
        else:
            how = counted.get(limit.algorithm, limit.algorithm.replace("_", " "))
            how += f", {limit.burst} at once after a rest" if limit.burst else ""
        yield (
            f"`{found.name}`",
            _of_plans(policy, limit),
            how,
            " and ".join(limit.per),
            _code(limit.operations or ()) or "all calls",
            duration_text(limit.max_wait),
            _page_link(policy, limit.doc),
        )


def _of_plans(policy: Policy, limit: Limit) -> str:
    """The number of a limit, or that of each plan."""
    number = limit.concurrency if limit.rate is None else limit.rate
    if not isinstance(number, str):
        return str(number)
    of_plans = {plan: numbers[number[6:-1]] for plan, numbers in policy.plans.items()}
    return ", ".join(f"`{plan}` {'none' if given is None else given}" for plan, given in of_plans.items())


def _breaker(policy: Policy) -> Iterator[tuple[str, str]]:
    breaker = policy.breaker
    yield "One for each", " and ".join(breaker.per)
    if breaker.consecutive_failures is not None:
        yield "Opens after", f"{breaker.consecutive_failures} failures in a row"
    if breaker.failure_rate is not None:
        calls = f"{breaker.min_calls} calls or more within {duration_text(breaker.window)}"
        yield "Opens at", f"{breaker.failure_rate:.0%} failures of {calls}"
    times = f"each {breaker.multiplier} times the last, at most {duration_text(breaker.max_open)}"
    yield "Stays open", f"{duration_text(breaker.open_for)}, {times}; longer if the provider asks for it"
    yield "Probes", f"{breaker.probes} at a time, each for {duration_text(breaker.probe_lease)} at most"
    if breaker.health is not None:
        yield "Asked before a probe", f"`{breaker.health.method} {breaker.health.path}`"
    counts = ", ".join(f"`{category}` {counted}" for category, counted in breaker.counts.items())
    if counts:
        yield "Counts otherwise", counts


def _costs(policy: Policy, costs: Iterable[Cost], *, added: str = "") -> Iterator[tuple[str, ...]]:
    """What calls cost at worst, one row for each entry."""
    for cost in costs:
        when = _given(cost.when) if cost.when else {}
        where = [f"{place} `{_plain(fields)}`" for place, fields in when.items()]
        amount = f"{added}{amount_text(cost.cost)}{_times(cost.times)}"
        yield _code(cost.operations or ()) or "all calls", ", ".join(where), amount, _page_link(policy, cost.doc)


def _times(times: Times | None) -> str:
    if times is None:
        return ""
    where = f"`{times.body}` of the body" if times.body is not None else f"`{times.query}` of the query"
    return f" times {where} ({times.default} if it is not there, {times.most} at most)"


def _prices(policy: Policy) -> Iterator[tuple[str, ...]]:
    """The worst cases: the first that fits, what is added, and what holds for the rest."""
    if policy.credits is None:
        return
    yield from _costs(policy, policy.credits.costs)
    yield from _costs(policy, policy.credits.surcharges, added="+ ")
    unknown = policy.credits.unknown_cost
    rest = "unknown: refused where a budget applies" if unknown == "refuse" else amount_text(unknown)
    yield "all others", "", rest, ""


def _settled(policy: Policy) -> Iterator[tuple[str, ...]]:
    """What tells what a call has cost, in the order in which it is believed."""
    if policy.credits is None:
        return
    credits_ = policy.credits
    for place in credits_.charged:
        yield f"the answer tells it in {_place(place)}", "as told", _page_link(policy, credits_.doc)
    for charge in credits_.charges:
        amount = "its worst case" if charge.cost == "worst" else amount_text(charge.cost)
        yield f"an answer with {_shown(charge.when)}", amount, _page_link(policy, charge.doc)
    failed = {"free": "0", "charged": "its worst case", None: "by its [category](../layers/credits.md)"}
    yield "another failure", failed[credits_.failed_calls], _page_link(policy, credits_.doc)
    never = "its worst case" if credits_.unanswered == "charged" else "0"
    yield "sent, and never answered", never, ""


def _place(place: Place) -> str:
    where = f"`{place.body}`" if place.body is not None else f"the header `{place.header}`"
    after = f", the number after `{place.after}`" if place.after else ""
    return where + after + (f" ({_code(place.operations)})" if place.operations else "")


def _account(policy: Policy) -> Iterator[tuple[str, str]]:
    """What else is documented of an account and its jobs."""
    if policy.credits is None:
        return
    credits_ = policy.credits
    yield "Unit", f"`{credits_.unit}`"
    yield "Balance", "; ".join(map(_place, credits_.balance)) or "no answer tells it"
    for job in credits_.jobs:
        yield "Paid for when it has ended", f"{_code(job.submit)}, asked for by {_code(job.poll)}"
    look = f"one call looks after {duration_text(credits_.recheck)} whether it is open again"
    for rule in policy.answers:
        if shut := _shuts(rule):
            until = f"until `{_plain(_given(rule)['until'])}`" if rule.until else look
            yield f"Shut by `{rule.rule}`", f"the {shut}; {until}"


def _shuts(rule: Rule) -> str | None:
    """What an answer shuts, if anything."""
    if rule.latch is not None:
        return None if rule.latch == "none" else rule.latch
    return "account" if rule.category in {Category.CREDITS_EXHAUSTED, Category.QUOTA_EXHAUSTED} else None


def _remedies(policy: Policy) -> Iterator[tuple[str, ...]]:
    for remedy in policy.remedies:
        wait = " to ".join(duration_text(seconds) for seconds in remedy.wait or ())
        change = f"`{_plain(dict(remedy.set))}`" if remedy.set else ""
        yield f"`{remedy.remedy}`", _code(remedy.rules), remedy.advice, change, wait, _page_link(policy, remedy.doc)


def _examples(policy: Policy) -> Iterator[tuple[str, ...]]:
    for example in policy.examples:
        answer = example.answer
        shown = "body" in answer.model_fields_set
        body = json.dumps(answer.body, ensure_ascii=False) if shown else answer.text or ""
        body = body if len(body) <= 200 else f"{body[:200]}…"
        yield (
            f"{example.request.method} {example.request.path}" if "request" in example.model_fields_set else "",
            str(answer.status or answer.error),
            _quoted(body),
            f"`{_plain(_given(example.verdict))}`",
        )


def _quoted(text: str) -> str:
    """Text as code, whatever it holds."""
    text = " ".join(text.split())
    return f"<code>{text.translate(ESCAPES)}</code>" if text else ""


def _said(policy: Policy) -> Iterator[tuple[str, str]]:
    """What holds for all calls: the numbers of the retries, and what the provider lets a client rely on."""
    yield from _numbers(policy.retry)
    if policy.retryable_from:
        stated = "; ".join(f"`{_plain(_given(statement))}`" for statement in policy.retryable_from)
        yield "The answer's own word", f"{stated}; it is believed over the rules"
    if policy.idempotency:
        yield (
            "Idempotency keys",
            f"`{policy.idempotency.header}`, for {_code(policy.idempotency.operations or ()) or 'all operations'}",
        )
    times = {"Deadline": policy.deadline, "One attempt": policy.attempt_timeout}
    yield from ((what, f"at most {duration_text(seconds)}") for what, seconds in times.items() if seconds is not None)


def _close_codes(policy: Policy) -> Iterator[tuple[str, ...]]:
    for closed in policy.websocket:
        again = TREATMENTS[closed.category].retryable if closed.retryable is None else closed.retryable
        page_link = _page_link(policy, closed.doc)
        yield str(closed.code), _code(closed.message or ()), f"`{closed.category}`", "yes" if again else "no", page_link


def _events(policy: Policy) -> Iterator[tuple[str, ...]]:
    for event in policy.events:
        data = _given(event).get("data")
        ends = "yes" if event.ends_stream else "no"
        page_link = _page_link(policy, event.doc)
        yield f"`{event.event}`", f"`{_plain(data)}`" if data else "", f"`{event.category}`", ends, page_link


def title(policy: Policy) -> str:
    """The name that people know."""
    return policy.title or policy.provider


def page(policy: Policy) -> str:
    """The page of one provider, as Markdown."""
    lines = [f"# {title(policy)}", "", f"What is done with answers from {_code(policy.match.hosts)}.", ""]
    lines += [f"* [{name}]({doc.url}), checked on {doc.checked}" for name, doc in policy.docs.items()]
    sections = {
        "Answers": table(
            ("Rule", "Status", "Code", "Also", "Category", "Retried", "Advice", "Page"),
            _rules(policy),
        ),
        "Limits": table(("Limit", "Allowed", "Counted", "Per", "Operations", "Longest wait", "Page"), _limits(policy)),
        "Cost": [
            *table(("What", "How"), _account(policy)),
            *table(("Operation", "If the request has", "Costs at worst", "Page"), _prices(policy)),
            *table(("What came of it", "It cost", "Page"), _settled(policy)),
        ],
        "Circuit breaker": table(("What", "How"), () if policy.breaker.off else _breaker(policy)),
        "Operations": table(
            ("Operation", "Methods", "Paths", "May be repeated", "Times", "Retry", "Page"),
            _operations(policy),
        ),
        "Retry": [
            *table(("What", "How"), _said(policy)),
            *table(
                ("Category", "What differs"),
                (
                    (f"`{Category(category)}`", _difference(policy.retry, resolve(policy.retry, retry)))
                    for category, retry in policy.retry.categories.items()
                ),
            ),
        ],
        "Remedies": table(("Remedy", "For", "Advice", "Change", "Wait", "Page"), _remedies(policy)),
        "WebSocket close codes": table(
            ("Code", "Text", "Category", "Worth connecting again", "Page"), _close_codes(policy)
        ),
        "Server-sent events": table(("Event", "Data", "Category", "Ends the stream", "Page"), _events(policy)),
        "Documented answers": table(("Request", "Answer", "Body", "Verdict"), _examples(policy)),
    }
    notes = {
        "Answers": "The first rule that fits decides; after these, the status alone speaks. A request may be repeated when its "
        "method is idempotent, or its operation is declared so, or an idempotency key goes with it.",
        "Limits": "A number that depends on the plan applies once you [name your plan](../how-to/stay-within-a-plan.md); until "
        "then the answers teach it.",
        "Cost": "What a call may cost is reserved of your budgets before it is sent: the first row that fits, and each `+` that fits. "
        "What it did cost is settled by the first that speaks. How to [cap it](../how-to/cap-what-a-job-spends.md); what is "
        "documented nowhere, and where pages disagree, stands in the policy file.",
        "Remedies": "What the provider's page says to change. `resilience explain` names it; nothing applies it yet.",
        "WebSocket close codes": "What the provider documents; nothing acts on it yet.",
        "Server-sent events": "What the provider documents; nothing acts on it yet.",
        "Documented answers": "Each must get this verdict; the tests see to it.",
    }
    for heading, body in sections.items():
        if body:
            note = [notes[heading], ""] if heading in notes else []
            lines += ["", f"## {heading}", "", *note, *body]
    return "\n".join(lines) + "\n"


def write(path: str, text: str) -> None:
    """One generated page; the script stands in for its source."""
    with mkdocs_gen_files.open(f"{FOLDER}/{path}", "w") as file:
        file.write(text)
    mkdocs_gen_files.set_edit_path(f"{FOLDER}/{path}", Path("_generate") / Path(__file__).name)


policies = [load_policy(name) for name in shipped_names()]
for shipped in policies:
    write(f"{shipped.provider}.md", page(shipped))
overview = table(
    ("Provider", "Hosts", "Rules", "Documented answers"),
    (
        (
            f"[{title(shipped)}]({shipped.provider}.md)",
            _code(shipped.match.hosts),
            str(len(shipped.answers)),
            str(len(shipped.examples)),
        )
        for shipped in policies
    ),
)
intro = [
    "# Providers",
    "",
    "The policies that are shipped. Each is active for its own hosts, and for nothing else.",
    "",
]
write("index.md", "\n".join([*intro, *overview]))
write(
    "SUMMARY.md",
    "\n".join(["* [Providers](index.md)", *(f"* [{title(shipped)}]({shipped.provider}.md)" for shipped in policies)])
    + "\n",
)
