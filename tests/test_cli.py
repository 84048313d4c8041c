"""The command line: what each command prints and its exit codes; real processes where the process itself matters."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import resilience
from resilience import Policy, load_policy
from resilience._shipped import shipped_names
from resilience.cli import main
from resilience.cli._output import visible
from resilience.cli._plan import plan
from resilience.simulate import Answer, NoAnswer, Simulation
from resilience.testing import fake_provider

CHECKOUT = Path(resilience.__file__).parent.parent
POLICY = """\
version: 1
provider: some
title: Some Provider
docs:
  errors: {url: "https://some.test/errors", checked: 2026-11-21, rows: {status: 2}}
match: {hosts: [some.test]}
operations:
  search: {method: POST, path: /search, repeatable: true}
  order: {method: POST, path: /order, deadline: 3s}
envelopes: {code: code, message: message}
answers:
  - {rule: busy, when: {status: 503}, category: overloaded, doc: errors, advice: Wait a little.}
  - {rule: broken, when: {status: 500}, category: server_error}
retry: {spread: 0.1, backoff: {initial: 1s, max: 4s, jitter: none}}
remedies:
  - {remedy: slower, for: [busy], advice: Call less often., set: {pages: 1}, wait: [5s, 10s], doc: errors, row: status/slower}
examples:
  - {doc: errors, row: status/503, answer: {status: 503}, verdict: {category: overloaded, rule: busy}}
  - {answer: {status: 500}, verdict: {category: server_error, rule: broken}}
"""

Cli = Callable[..., tuple[object, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command line in a directory that holds `some.yaml`; gives exit code, output and complaints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESILIENCE_CONFIG", raising=False)
    (tmp_path / "some.yaml").write_text(POLICY)

    def run(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def process(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    variables = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    variables |= {"PYTHONPATH": str(CHECKOUT), "TERM": "xterm", **options.pop("variables", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "resilience", *map(str, arguments)], env=variables, text=True, **options
    )


# All commands


@pytest.mark.parametrize("command", ["run", "explain", "check", "test", "schema", "status", "fake-provider"])
def test_every_command_has_help_with_an_example_and_json(command: str, cli: Cli) -> None:
    """And the example is a line that calls this very command."""
    code, output, complaints = cli(command, "--help")

    assert (0, "") == (code, complaints)
    assert "--json" in output
    assert re.search(rf"Example:\n +resilience {command} ", output)


def test_help_names_the_commands(cli: Cli) -> None:
    """With `--help`, and with nothing at all, which is a mistake."""
    code, output, _ = cli("--help")
    nothing, _, _ = cli()

    assert (0, 2) == (code, nothing)
    assert all(
        name in output
        for name in ("run", "explain", "check", "config", "test", "schema", "status", "breaker", "fake-provider")
    )


def test_version(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed version; a checkout that is not installed has none."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"7 of {name}")
    installed = cli("--version")

    def missing(name: str) -> str:
        raise resilience.cli._app.metadata.PackageNotFoundError(name)  # type: ignore[attr-defined]

    monkeypatch.setattr("importlib.metadata.version", missing)

    assert (0, "resilience 7 of httpx-resilience\n", "") == installed
    assert (0, "resilience, of a checkout that is not installed\n", "") == cli("--version")


@pytest.mark.parametrize(
    "arguments",
    [["explian"], ["explain"], ["run"], ["run", "--confg", "x", "true"], ["explain", "anakin", "--status", "99"]],
)
def test_mistakes_on_the_command_line(arguments: list[str], cli: Cli) -> None:
    """Exit code 2, a few lines on standard error, nothing on standard output, and no traceback."""
    code, output, complaints = cli(*arguments)

    assert (2, "") == (code, output)
    assert "Error: " in complaints
    assert "Traceback" not in complaints
    assert complaints.count("\n") <= 4


def test_the_module_is_the_command() -> None:
    """`python -m resilience` takes the process's own arguments."""
    with process("explain", "anakin", stderr=subprocess.PIPE) as started:
        _, complaints = started.communicate(timeout=60)

    assert (2, True) == (started.returncode, complaints.startswith("resilience: name the answer"))


def test_an_interrupt_is_quiet(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130, as of a program that SIGINT has ended."""

    def interrupted() -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("resilience.cli._schema.policy_schema", interrupted)
    monkeypatch.setattr("resilience.cli.quick", lambda arguments: interrupted())

    assert (130, "", "") == cli("schema")
    assert (130, "", "") == cli("run", "true")


def test_a_disk_that_is_full_is_no_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says stands on standard error."""

    def full() -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("resilience.cli._schema.policy_schema", full)

    assert (2, "", "resilience: [Errno 28] No space left on device\n") == cli("schema")


@pytest.mark.parametrize("arguments", [["schema"], ["check", "anakin"]], ids=["much", "little"])
def test_a_broken_pipe_is_quiet(arguments: list[str]) -> None:
    """Whoever reads only the start of the output gets no complaint, neither at once nor when the rest is flushed."""
    with process(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.close()
        complaints = started.stderr.read()

    assert (141, "") == (started.wait(60), complaints)


def test_an_output_that_cannot_hold_a_sign(tmp_path: Path) -> None:
    """It is written as an escape; in JSON as JSON escapes it."""
    (tmp_path / "some.yaml").write_text(POLICY.replace("Some Provider", "Söme ☃").replace("a little", "☃"), "utf-8")
    options = {"stdout": subprocess.PIPE, "cwd": tmp_path, "variables": {"PYTHONIOENCODING": "ascii"}}

    with process("explain", "some.yaml", "--status", "503", **options) as started:
        explained, _ = started.communicate(timeout=60)
    with process("explain", "some.yaml", "--status", "503", "--json", **options) as started:
        in_json, _ = started.communicate(timeout=60)

    assert explained.startswith(r"S\xf6me \u2603 answers 503")
    assert "Wait ☃." == json.loads(in_json)["advice"]


def on_a_terminal(directory: Path, **variables: str) -> str:
    """What `resilience test` writes to a terminal about a policy that fails."""
    main_end, other_end = pty.openpty()
    (directory / "some.yaml").write_text(POLICY.replace("status: 2", "status: 3"))
    with process("test", "some.yaml", stdout=other_end, cwd=directory, variables=variables) as started:
        os.close(other_end)
        written = b""
        while True:
            try:
                chunk = os.read(main_end, 65536)
            except OSError:  # Linux ends a terminal so, where others give nothing.
                chunk = b""
            if not chunk:
                break
            written += chunk
    os.close(main_end)
    assert 1 == started.returncode
    return written.decode()


def test_colours_are_for_terminals(tmp_path: Path, cli: Cli) -> None:
    """There a failure is red, unless NO_COLOR is set; into a pipe or a file goes no escape sequence."""
    coloured, plain = on_a_terminal(tmp_path), on_a_terminal(tmp_path, NO_COLOR="1")
    _, piped, _ = cli("test", "some.yaml")

    assert "\x1b[31m" in coloured
    assert "\x1b[3" not in plain
    assert "\x1b" not in piped


def test_a_strangers_text_commands_no_terminal() -> None:
    """Whatever is not printable is shown as such, in one line."""
    assert "a b \N{REPLACEMENT CHARACTER}[31m c \N{REPLACEMENT CHARACTER}" == visible("a\n\tb \x1b[31m\r\nc \u202e")


# explain


def test_explain_says_what_an_answer_means(cli: Cli) -> None:
    """Category, code, message, rule and its place, page, advice, remedies, and what would be done."""
    code, output, complaints = cli(
        *(
            "explain",
            "some.yaml",
            "--status",
            "503",
            "--header",
            "Retry-After: 7",
            "--body",
            '{"code": "X", "message": "m"}',
        ),
        *("--method", "post", "--path", "/search?q=1"),
    )

    assert (0, "") == (code, complaints)
    assert output.splitlines() == [
        "Some Provider answers 503 to POST /search?q=1 (search)",
        "  category     overloaded, fault of: provider",
        "  code         X",
        "  message      m",
        "  retryable    yes",
        "  retry after  7 s, says Retry-After",
        "  rule         busy, some.yaml:12:5",
        "  page         https://some.test/errors (checked 2026-11-21)",
        "  advice       Wait a little.",
        "  remedy       slower: Call less often. (set pages=1) (wait 5s to 10s first)",
        (
            "  breaker      counts this as a failure; per host, opens after 10 failures in a row "
            "or 50 % of 20 or more calls in 1m"
        ),
        "  then         would wait 7.0-7.7 s (Retry-After) and send again (attempt 2 of 3)",
    ]


def test_explain_in_json(cli: Cli) -> None:
    """The same for machines."""
    code, output, _ = cli("explain", "some.yaml", "--status", "503", "--header", "retry-after: 7", "--json")

    found = json.loads(output)
    assert (0, "some", "overloaded", 7.0) == (
        code,
        found["provider"],
        found["verdict"]["category"],
        found["verdict"]["retry_after"],
    )
    assert {"file": "some.yaml", "line": 12, "column": 5} == found["place"]
    assert {"url": "https://some.test/errors", "checked": "2026-11-21"} == found["page"]
    assert [{"remedy": "slower", "advice": "Call less often.", "set": {"pages": 1}, "wait": [5.0, 10.0]}] == found[
        "remedies"
    ]
    assert {
        "sends_again": True, "reason": "Retry-After", "attempt": 2, "max_attempts": 3, "shortest": 7.0, "longest": 7.7, "otherwise": None,
    } == found["plan"]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "then"),
    [
        ("--status 200", "would hand the answer back: success"),
        ("--status 401", "would hand the answer back: auth is not retried"),
        ("--status 500 --method POST", "would hand the answer back: POST may not be repeated after server_error; declare it repeatable if it may"),
        ("--status 500 --method POST --path /search", "would wait 1 s (back-off) and send again (attempt 2 of 3)"),
        ("--status 500 --attempt 2", "would wait 2 s (back-off) and send again (attempt 3 of 3)"),
        ("--status 500 --attempt 3", "would hand the answer back: max_attempts (3) reached"),
        ("--status 500 --header Retry-After:90", "would hand the answer back: Retry-After asks for 90s, longer than longest_wait (60s)"),
        ("--status 500 --header Retry-After:90 --header retry-after:7", "would hand the answer back: Retry-After asks for 90s, longer than longest_wait (60s)"),
        ("--error connect_error --method POST", "would wait 1 s (back-off) and send again (attempt 2 of 3)"),
        ("--error read_timeout --method POST", "would hand the answer back: POST may not be repeated after timeout; declare it repeatable if it may"),
        ("--status 503 --method POST --path /order --header Retry-After:2", "would wait 2.0-2.2 s (Retry-After) and send again (attempt 2 of 3)"),
        ("--status 503 --method POST --path /order --header Retry-After:3", "would hand the answer back: a wait of 3s (Retry-After) would pass the deadline, 3s away"),
        ("--status 418", "would hand the answer back: invalid_request is not retried"),
    ],
)  # fmt: skip
def test_explain_says_what_would_be_done(arguments: str, then: str, cli: Cli) -> None:
    """Send again and when, or why not."""
    code, output, _ = cli("explain", "some.yaml", *arguments.split())

    assert (0, then) == (code, output.splitlines()[-1].removeprefix("  then").strip())


def test_explain_says_what_chance_decides(cli: Cli, tmp_path: Path) -> None:
    """A wait that chance may draw too long for the deadline is told with both ends."""
    (tmp_path / "some.yaml").write_text(POLICY.replace("spread: 0.1", "spread: 1"))

    _, output, _ = cli(
        *[
            "explain",
            "some.yaml",
            "--status",
            "503",
            "--method",
            "POST",
            "--path",
            "/order",
            "--header",
            "Retry-After:2",
        ]
    )

    assert output.rstrip().endswith(
        "would wait 2 s (Retry-After) and send again (attempt 2 of 3); "
        "or hand the answer back: a wait of 4s (Retry-After) would pass the deadline, 3s away"
    )


def test_explain_without_a_rule(cli: Cli) -> None:
    """Where only the status speaks, it says so."""
    _, output, _ = cli("explain", "some.yaml", "--status", "404", "--text", "gone")

    assert "  rule       none: only the status speaks" in output.splitlines()
    assert "page" not in output


def test_explain_takes_bodies_from_files_and_from_a_pipe(tmp_path: Path, cli: Cli) -> None:
    """`@FILE` and `-`, for JSON and for any other text."""
    (tmp_path / "body.json").write_text('{"code": "FILE"}')
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": tmp_path}

    _, from_file, _ = cli("explain", "some.yaml", "--status", "400", "--body", "@body.json")
    with process("explain", "some.yaml", "--status", "400", "--body", "-", **options) as started:
        from_pipe, _ = started.communicate('{"code": "PIPE"}', timeout=60)

    assert re.search(r"code +FILE", from_file)
    assert re.search(r"code +PIPE", from_pipe)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["some.yaml"], "name the answer: either --status 429"),
        (["some.yaml", "--status", "429", "--error", "read_timeout"], "name the answer: either --status 429"),
        (["some.yaml", "--status", "429", "--body", "{}", "--text", "x"], "an answer has one body"),
        (["some.yaml", "--error", "read_timeout", "--text", "x"], "a transport error comes without headers"),
        (["some.yaml", "--status", "429", "--header", "Retry-After"], "'Retry-After' is no header"),
        (["some.yaml", "--status", "429", "--header", ": 7"], "': 7' is no header"),
        (["some.yaml", "--status", "429", "--body", "{"], "--body is not JSON"),
        (["some.yaml", "--status", "429", "--body", "[" * 100_000], "--body is not JSON"),
        (["some.yaml", "--status", "429", "--text", "@none.txt"], "the body none.txt cannot be read"),
        (["some.yaml", "--status", "429", "--text", "@/dev/zero"], "the body is longer than 64 MiB"),
        (["some.yaml", "--error", "raed_timeout"], "there is no error 'raed_timeout'; did you mean read_timeout?"),
        (["some.yaml", "--error", "zzz"], "there is no error 'zzz'; there are: connect_error, "),
        (["anakn", "--status", "429"], "there is no shipped policy 'anakn'; did you mean anakin?"),
        (["none.yaml", "--status", "429"], "'none.yaml' cannot be read"),
    ],
)
def test_explain_says_what_it_cannot_take(arguments: list[str], message: str, cli: Cli) -> None:
    """One line that says what to do, and exit code 2."""
    code, output, complaints = cli("explain", *arguments)

    assert (2, "") == (code, output)
    assert complaints.startswith(f"resilience: {message}")
    assert 1 == complaints.count("\n")


@pytest.mark.parametrize("name", shipped_names())
def test_what_is_planned_is_what_the_layers_do(name: str) -> None:
    """For each documented answer, the plan for the first attempt is what happens in virtual time."""
    policy = load_policy(name)
    host = policy.match.hosts[0]

    for example in policy.examples:
        answer, request = example.answer, example.request
        if answer.status is not None and answer.status < 200:
            continue

        def provider(sent: Any, now: float, answer: Any = answer) -> Answer:
            if answer.error is not None:
                raise NoAnswer(answer.error)
            return Answer(answer.status, answer.all_headers, answer.raw)

        simulation = Simulation([policy], provider)
        call = simulation.call(request.method, f"https://{host}{request.path}")
        simulation.run()
        assert call.trail is not None
        verdict = call.trail.attempts[0].verdict
        would = plan(policy, verdict, method=request.method, attempt=1)

        waits = [wait for wait in call.trail.waits if wait.layer == "retry"]
        assert would.sends_again == bool(waits), example
        if waits:
            assert would.shortest is not None
            assert would.longest is not None
            assert would.shortest - 0.001 <= waits[0].seconds
            # A limit that the answer has emptied may ask for more than the answer and the back-off.
            if waits[0].source != "the limiter":
                assert waits[0].seconds <= would.longest + 0.001
                assert waits[0].source == would.reason
        else:
            assert call.trail.stopped == would.reason


def test_a_plan_with_keys_and_with_growing_waits() -> None:
    """A key makes a POST repeatable unless it is declared not to be; `decorrelated` grows from the longest wait before."""
    policy = Policy.model_validate(
        {
            "version": 1,
            "provider": "some",
            "match": {"hosts": ["some.test"]},
            "operations": {"never": {"path": "/never", "repeatable": False}, "order": {"path": "/order"}},
            "idempotency": {"header": "Idempotency-Key"},
            "retry": {"max_attempts": 4, "backoff": {"initial": "1s", "max": "20s", "jitter": "decorrelated"}},
        }
    )
    verdicts = {path: policy.classify(method="POST", url=path, status=500) for path in ("/never", "/order", "/other")}

    plans = {path: plan(policy, verdict, method="POST", attempt=1) for path, verdict in verdicts.items()}
    third = plan(policy, verdicts["/order"], method="POST", attempt=3)

    assert {"/never": False, "/order": True, "/other": True} == {path: made.sends_again for path, made in plans.items()}
    assert (1, 3) == (plans["/order"].shortest, plans["/order"].longest)
    assert (4, 1, 20) == (third.attempt, third.shortest, third.longest)
    assert not plan(policy, verdicts["/order"], method="POST", attempt=5).sends_again


LIMITS = """\
account: {headers: [X-Api-Key]}
plans: {free: {rate: 60/minute, jobs: 1}, paid: {rate: 600/minute, jobs: null}}
limits:
  - {name: searches, rate: "{plan.rate}", operations: search}
  - {name: all, rate: 5/second, per: provider}
  - {name: jobs, concurrency: "{plan.jobs}", per: [account, host]}
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--status 429 --path /search --method POST",
         ["searches: free 60/minute, paid 600/minute (name your plan), per account; this answer pauses it",
          "all: 5/second, for all calls together",
          "jobs: free 1, paid unbounded at a time (name your plan), per account and host"]),
        ("--status 429 --path /order --method POST --plan paid",
         ["all: 5/second, for all calls together; this answer pauses it",
          "jobs: without a bound on this plan, per account and host"]),
        ("--status 430 --plan free", ["all: 5/second, for all calls together", "jobs: 1 at a time, per account and host; this answer lowers it"]),
        ("--status 431", ["all: 5/second, for all calls together", "jobs: free 1, paid unbounded at a time (name your plan), per account and host"]),
    ],
)  # fmt: skip
def test_explain_says_what_a_request_pays(arguments: str, said: list[str], cli: Cli, tmp_path: Path) -> None:
    """By plan, unless one is named; and which of its limits the answer speaks of."""
    rules = (
        "  - {rule: crowd, when: {status: 430}, category: concurrency_limited}\n"
        "  - {rule: other, when: {status: 431}, category: rate_limited, limit: searches}\n"
    )
    (tmp_path / "some.yaml").write_text(POLICY.replace("answers:\n", f"{LIMITS}answers:\n{rules}"))

    code, output, _ = cli("explain", "some.yaml", *arguments.split())

    lines = [line.split(maxsplit=1) for line in output.splitlines()]
    assert (0, said) == (code, [words for name, words in lines if name == "limit"])


def test_explain_takes_the_plan_of_the_configuration(cli: Cli, tmp_path: Path) -> None:
    """The command line's goes before it; one that does not exist is a mistake."""
    (tmp_path / "some.yaml").write_text(POLICY + LIMITS)
    (tmp_path / "resilience.yaml").write_text("version: 1\npolicies: [some.yaml]\nproviders: {some: {plan: paid}}\n")

    found = json.loads(cli("explain", "some", "--status", "200", "--path", "/search", "--method", "POST", "--json")[1])
    other = json.loads(cli("explain", "some", "--status", "200", "--plan", "free", "--json")[1])["protection"]

    searches = {"limit": "searches", "rate": "600/minute", "by_plan": {}, "per": ["account"], "does": None}
    assert ("paid", searches, "success") == (
        found["protection"]["plan"],
        found["protection"]["limits"][0],
        found["protection"]["breaker"],
    )
    jobs = {"limit": "jobs", "concurrency": 1, "by_plan": {}, "per": ["account", "host"], "does": None}
    assert ("free", jobs) == (other["plan"], other["limits"][-1])
    assert (2, "", "resilience: some has no plan 'payd'; did you mean 'paid'?\n") == cli(
        "explain", "some", "--status", "200", "--plan", "payd"
    )
    assert "did you mean 'paid'?\n" in cli("explain", "some", "--status", "200", "--plan", "PAID")[2]


@pytest.mark.parametrize(
    ("breaker", "said"),
    [
        ("{off: true}", "none"),
        ("{per: provider, failure_rate: null, consecutive_failures: 3}",
         "counts this as a failure; for all calls together, opens after 3 failures in a row"),
        ("{consecutive_failures: null, counts: {overloaded: ignore}}",
         "counts this as nothing; per host, opens after 50 % of 20 or more calls in 1m"),
        ("{consecutive_failures: null, counts: {overloaded: success}}",
         "counts this as a success; per host, opens after 50 % of 20 or more calls in 1m"),
    ],
)  # fmt: skip
def test_explain_says_what_the_breaker_makes_of_it(breaker: str, said: str, cli: Cli, tmp_path: Path) -> None:
    """And when it opens."""
    (tmp_path / "some.yaml").write_text(f"{POLICY}breaker: {breaker}\n")

    _, output, _ = cli("explain", "some.yaml", "--status", "503")

    assert [said] == [line.split(maxsplit=1)[1] for line in output.splitlines() if line.startswith("  breaker")]


# check


def test_check_finds_nothing_in_what_is_in_order(cli: Cli) -> None:
    """A file, a shipped name, and all the shipped policies with the configuration that stands here."""
    one, some, everything = cli("check", "some.yaml"), cli("check", "anakin", "some.yaml"), cli("check")

    assert (0, "1 file checked, 0 problems\n", "") == one
    assert (0, "2 files checked, 0 problems\n", "") == some
    assert (0, f"{len(shipped_names())} files checked, 0 problems\n", "") == everything


def test_check_speaks_as_a_linter_does(cli: Cli, tmp_path: Path) -> None:
    """`file:line:column: message (remedy)`, for what is not valid and for what contradicts itself."""
    (tmp_path / "some.yaml").write_text(POLICY.replace("doc: errors, advice", "doc: erors, advice"))
    (tmp_path / "other.yaml").write_text(POLICY.replace("provider:", "provder:"))

    code, output, complaints = cli("check", "some.yaml", "other.yaml")

    assert (1, "") == (code, complaints)
    assert output.splitlines() == [
        "some.yaml:12:66: there is no page 'erors' in 'docs' (did you mean 'errors'?)",
        "other.yaml:1:1: missing key 'provider' (write `provider: ...`)",
        "other.yaml:2:1: unknown key 'provder' (did you mean 'provider'?)",
        "2 files checked, 3 problems",
    ]


def test_check_in_json(cli: Cli, tmp_path: Path) -> None:
    """Each problem with its file, line and column."""
    (tmp_path / "some.yaml").write_text(POLICY.replace("version: 1", "version: 2"))

    code, output, _ = cli("check", "some.yaml", "--json")

    problem = {"file": "some.yaml", "line": 1, "column": 10, "message": "'version' must be 1, not 2", "remedy": ""}
    assert (1, {"files": ["some.yaml"], "problems": [problem], "notes": []}) == (code, json.loads(output))


def test_check_notes_a_budget_that_refuses_what_has_no_price(cli: Cli, tmp_path: Path) -> None:
    """No problem, and nothing would be sent: its user should know before the first call."""
    budgets = "[{name: daily, limit: 5 USD/day}, {name: count, limit: 9 requests/day}]"
    (tmp_path / "resilience.yaml").write_text(f"version: 1\nproviders: {{omniscrape: {{budgets: {budgets}}}}}\n")

    code, output, _ = cli("check", "resilience.yaml")
    noted = json.loads(cli("check", "resilience.yaml", "--json")[1])["notes"]

    assert 0 == code
    assert output.startswith(
        "note: omniscrape: nobody knows what scrape, scrape-async, proxy-fetch may cost, and the budget daily"
    )
    assert 1 == len(noted)


def test_check_notes_a_store_that_has_no_place_on_this_machine(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No problem of the file, which may be for another machine; a note, since it would not start here."""
    (tmp_path / "resilience.yaml").write_text("version: 1\nstore: sqlite:////nowhere/a.db\n")

    code, output, _ = cli("check", "resilience.yaml")
    monkeypatch.setenv("RESILIENCE_STORE", "sqlite:////nowhere/b.db")
    noted = [json.loads(cli("check", *names, "--json")[1])["notes"] for names in (["resilience.yaml"], [])]
    (tmp_path / "resilience.yaml").unlink()
    noted.append(json.loads(cli("check", "--json")[1])["notes"])

    told = "{}: the store /nowhere/{}.db must be in a directory that exists (make it, or correct the path); `resilience run` and install() refuse it on this machine"
    assert (0, f"note: {told.format('resilience.yaml:2:8', 'a')}\n1 file checked, 0 problems\n") == (code, output)
    assert [[told.format("RESILIENCE_STORE", "b")]] * 3 == noted


@pytest.mark.parametrize(
    ("priced", "budget", "expected"),
    [
        ("{}", "9 credits", "p: nobody knows what any call may cost, and the budget b refuses them"),
        ("{costs: [{cost: 0}]}", "9 credits/day", "p: all that the budget b counts costs nothing, so it never refuses"),
        ("{costs: [{cost: 0}], charged: {header: X-Cost}}", "9 credits", None),
        ("{costs: [{cost: 0}]}", "9 requests", None),
        ("{costs: [{cost: 1}]}", "9 credits", None),
    ],
    ids=["unknown", "free", "told by the answer", "counted", "priced"],
)
def test_check_notes_a_budget_that_does_not_do_its_work(
    priced: str, budget: str, expected: str | None, cli: Cli, tmp_path: Path
) -> None:
    """Whatever the configuration is called, and also where a policy has no operations."""
    (tmp_path / "p.yaml").write_text(f"version: 1\nprovider: p\nmatch: {{hosts: [a.test]}}\ncredits: {priced}\n")
    budgets = f"{{p: {{budgets: [{{name: b, limit: {budget}}}]}}}}"
    (tmp_path / "staging.yaml").write_text(f"version: 1\npolicies: [./p.yaml]\nshipped: false\nproviders: {budgets}\n")

    found = json.loads(cli("check", "staging.yaml", "--json")[1])

    assert [] == found["problems"]
    assert ([expected] if expected else []) == [note[: len(expected or "")] for note in found["notes"]]


def test_check_looks_through_directories(cli: Cli, tmp_path: Path) -> None:
    """At every YAML file, not in hidden directories; each file once."""
    (tmp_path / "below" / ".git").mkdir(parents=True)
    (tmp_path / "below" / ".git" / "broken.yaml").write_text("x: 1\n")
    (tmp_path / "below" / "one.yml").write_text(POLICY)
    (tmp_path / "empty").mkdir()

    assert (0, "2 files checked, 0 problems\n", "") == cli("check", ".", "some.yaml")
    assert (2, "", "resilience: there is no policy file (.yaml, .yml) in empty\n") == cli("check", "empty")


@pytest.mark.parametrize("line", ["store: redi://h", "namespace: a b", "mode: dry", "refusals: never", "spans: Always"])
def test_check_knows_a_configuration_by_any_of_its_keys(line: str, cli: Cli, tmp_path: Path) -> None:
    """Also where it has none of those that name policies."""
    (tmp_path / "staging.yaml").write_text(f"version: 1\n{line}\n")

    code, output, _ = cli("check", "staging.yaml")

    assert (1, True, False) == (code, output.startswith("staging.yaml:2:"), "provider" in output)


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("resilience.yaml", "version: 1\nhosts: [a.test]\n", "write `providers: {NAME: {hosts: ...}}`"),
        ("some.yaml", f"{POLICY}hosts: [a.test]\n", "write `match: {hosts: ...}`"),
    ],
)
def test_check_tells_where_hosts_belong(name: str, text: str, hint: str, cli: Cli, tmp_path: Path) -> None:
    """In a configuration they are a provider's, in a policy a part of what it matches."""
    (tmp_path / name).write_text(text)

    code, output, _ = cli("check", name)

    assert (1, True) == (code, f": unknown key 'hosts' ({hint})\n" in output)


def test_check_does_not_guess_what_a_version_alone_is(cli: Cli, tmp_path: Path) -> None:
    """It says what makes a policy of it and what a configuration; by its name it may be one already."""
    for name in ("c.yaml", "resilience.yaml"):
        (tmp_path / name).write_text("version: 1\n")

    unknown, known = cli("check", "c.yaml"), cli("check", "resilience.yaml")

    problem = (
        "c.yaml:1:1: there is nothing here but a version: this could become a policy or a configuration (a policy has "
        "`provider` and `match`; a configuration is called resilience.yaml, or has `policies` or `providers`)"
    )
    assert (1, [problem, "1 file checked, 1 problem"], "") == (unknown[0], unknown[1].splitlines(), unknown[2])
    assert (0, "1 file checked, 0 problems\n", "") == known


def test_check_knows_a_configuration(cli: Cli, tmp_path: Path) -> None:
    """By its name or by its keys; what only shows when it is used is found too."""
    (tmp_path / "resilience.yaml").write_text("version: 1\npolicies: [some.yaml, twice.yaml]\n")
    (tmp_path / "twice.yaml").write_text(POLICY.replace("provider: some", "provider: twice"))
    (tmp_path / "staging.yaml").write_text("version: 1\nproviders: {nobody: {off: true}}\n")
    (tmp_path / "broken.yaml").write_text("{\n")

    by_default, by_keys, broken = cli("check"), cli("check", "staging.yaml"), cli("check", "broken.yaml")

    assert 1 == by_default[0]
    assert "resilience.yaml:1:1: the policies 'some' and 'twice' both speak of some.test" in by_default[1]
    assert f"{len(shipped_names()) + 3} files checked, 1 problem\n" in by_default[1]
    assert (1, True) == (
        by_keys[0],
        by_keys[1].startswith("staging.yaml:2:13: there is no policy for 'nobody' (there are: "),
    )
    assert (1, True) == (broken[0], "this is not YAML" in broken[1])


@pytest.mark.parametrize("arguments", [["check"], ["test", "anakin"], ["explain", "anakin", "--status", "429"]])
def test_a_working_directory_that_is_gone_is_no_hindrance(
    arguments: list[str], cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a deployment has put another one in its place, and the shell still stands in the old one."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    code, _, complaints = cli(*arguments)

    assert (0, "") == (code, complaints)


@pytest.mark.parametrize("command", ["check", "test"])
def test_a_file_that_is_not_there(command: str, cli: Cli) -> None:
    """Exit code 2, as for a name that no shipped policy has."""
    code, output, complaints = cli(command, "none.yaml")
    by_name = cli(command, "anakn")

    assert (2, "") == (code, output)
    assert complaints.startswith("resilience: 'none.yaml' cannot be read")
    assert (2, "", "resilience: there is no shipped policy 'anakn'; did you mean anakin?\n") == by_name


# test


def test_test_proves_a_policy(cli: Cli) -> None:
    """Examples, rules and documented rows, each as covered of all."""
    code, output, complaints = cli("test", "some.yaml")

    assert (0, "") == (code, complaints)
    assert ["some", "2/2", "2/2", "errors", "2/2", "ok"] == output.splitlines()[2].split()
    assert "1 tested, 0 failed" == output.splitlines()[-1]


def test_test_proves_what_is_shipped(cli: Cli) -> None:
    """All of it, by default."""
    code, output, _ = cli("test")

    assert (0, f"{len(shipped_names())} tested, 0 failed") == (code, output.splitlines()[-1])


FAILING = (
    POLICY.replace("status: 2}", "status: 3}")
    .replace("row: status/slower", "row: statuses/slower")
    .replace("verdict: {category: overloaded, rule: busy}", "verdict: {category: auth, retryable: false, code: null}")
    .replace("answer: {status: 500}, verdict: {category: server_error, rule: broken}", "answer: {status: 404}, verdict: {category: auth, rule: broken}")
)  # fmt: skip


def test_test_says_what_is_not_proved(cli: Cli, tmp_path: Path) -> None:
    """Each wrong example with what differs and the rule that spoke; rows and rules that nothing covers."""
    (tmp_path / "some.yaml").write_text(FAILING)

    code, output, complaints = cli("test", "some.yaml")

    assert (1, "") == (code, complaints)
    assert output.splitlines()[3:] == [
        "some.yaml:18:5: example 1 (errors: status/503) gets another verdict",
        "    category: expected auth, found overloaded",
        "    retryable: expected false, found true",
        "    the rule that spoke: busy, some.yaml:12:5",
        "some.yaml:19:5: example 2 gets another verdict",
        "    category: expected auth, found not_found",
        "    rule: expected broken, found nothing",
        "    no rule spoke, only the status",
        "some.yaml:5:81: 1 of 3 rows of 'status' are covered (add examples)",
        "some.yaml:5:72: the row 'statuses/slower' is of none of the tables (there are: status)",
        "some.yaml:12:5: no example expects the rule 'busy' (add a documented answer with `verdict: {rule: busy}`)",
        "1 tested, 1 failed",
    ]


def test_test_in_json(cli: Cli, tmp_path: Path) -> None:
    """The same for machines."""
    (tmp_path / "some.yaml").write_text(FAILING)

    code, output, _ = cli("test", "some.yaml", "--json")

    found = json.loads(output)
    (policy,) = found["policies"]
    assert (1, False, False) == (code, found["passed"], policy["passed"])
    assert ("some", "some.yaml", 2, ["busy"]) == (
        policy["provider"],
        policy["file"],
        policy["examples"],
        policy["unexpected"],
    )
    assert {"page": "errors", "name": "status", "covered": 1, "total": 3} == policy["tables"][0]
    assert [{"page": "errors", "row": "statuses/slower"}] == policy["strays"]
    first = policy["failures"][0]
    assert (0, 18, "busy") == (first["index"], first["line"], first["rule"])
    assert {"expected": "auth", "found": "overloaded"} == first["differences"]["category"]


def test_test_of_a_policy_that_extends_another(cli: Cli, tmp_path: Path) -> None:
    """The other's examples prove the other: only what the file itself says must be covered."""
    child = "extends: ./some.yaml\nanswers:\n  - {rule: full, when: {status: 507}, category: overloaded}\n"
    (tmp_path / "child.yaml").write_text(child)
    (tmp_path / "proved.yaml").write_text(
        child + "examples: [{answer: {status: 507}, verdict: {category: overloaded, rule: full}}]\n"
    )

    code, output, _ = cli("test", "child.yaml")

    assert 1 == code
    assert "child.yaml:3:5: no example expects the rule 'full'" in output
    assert (0, "1 tested, 0 failed") == ((proved := cli("test", "proved.yaml"))[0], proved[1].splitlines()[-1])


def test_test_of_files_that_cannot_be_honoured(cli: Cli, tmp_path: Path) -> None:
    """Their problems are shown, the others are tested nevertheless, and the exit code is 2."""
    (tmp_path / "broken.yaml").write_text("version: 2\n")
    (tmp_path / "resilience.yaml").write_text("version: 1\n")

    code, output, complaints = cli("test", ".")
    in_json = cli("test", ".", "--json")
    only_a_configuration = cli("test", "resilience.yaml")

    assert (2, "1 tested, 0 failed, 1 cannot be honoured") == (code, output.splitlines()[-1])
    assert "resilience: broken.yaml:1:10: 'version' must be 1, not 2\n" in complaints
    assert (2, False) == (in_json[0], json.loads(in_json[1])["passed"])
    assert (2, True) == (only_a_configuration[0], "there is no policy among these files" in only_a_configuration[2])


# schema


def test_schema_is_json(cli: Cli) -> None:
    """Of policy files, and with `--config` of resilience.yaml."""
    policy, config = cli("schema"), cli("schema", "--config", "--json")

    assert (0, "A policy file of httpx-resilience") == (policy[0], json.loads(policy[1])["title"])
    assert (0, "A configuration file of httpx-resilience") == (config[0], json.loads(config[1])["title"])


# fake-provider


@pytest.mark.parametrize("in_json", [False, True], ids=["text", "json"])
def test_fake_provider_serves_until_it_is_interrupted(in_json: bool, tmp_path: Path) -> None:
    """The URL first, then a line for each request; Ctrl+C ends it without a word."""
    (tmp_path / "steps.txt").write_text("429 retry-after 2\ndrop\n")
    arguments = ("fake-provider", "anakin", "--script", "@steps.txt", "--seed", 1, *(["--json"] if in_json else []))
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": tmp_path}

    with process(*arguments, **options) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        first = started.stdout.readline()
        url = json.loads(first)["url"] if in_json else first.split()[-1]
        answer = httpx.post(f"{url}/v1/search?q=1")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{url}/v1/other")
        lines = [started.stdout.readline() for _ in range(2)]
        started.send_signal(signal.SIGINT)
        rest, complaints = started.stdout.read(), started.stderr.read()

    assert (429, "2") == (answer.status_code, answer.headers["retry-after"])
    assert ("", "") == (rest, complaints)
    assert 130 == started.returncode
    if in_json:
        assert [
            {"method": "POST", "target": "/v1/search?q=1", "status": 429, "step": "429 retry-after 2"},
            {"method": "GET", "target": "/v1/other", "status": None, "step": "drop"},
        ] == [json.loads(line) for line in lines]
    else:
        assert re.fullmatch(r"anakin is faked at http://127\.0\.0\.1:\d+\n", first)
        assert ["POST /v1/search?q=1 -> 429 (429 retry-after 2)\n", "GET /v1/other -> (drop)\n"] == lines


def test_fake_provider_dies_of_a_signal() -> None:
    """As a supervisor expects of a process that it terminates."""
    with process("fake-provider", "anakin", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        started.terminate()
        _, complaints = started.communicate(timeout=60)

    assert (-signal.SIGTERM, "") == (started.returncode, complaints)


def test_fake_provider_says_what_it_cannot_take(cli: Cli) -> None:
    """A script with a mistake, a script that is not there or has no end, a port that is taken."""
    with fake_provider("anakin") as other:
        taken = cli("fake-provider", "anakin", "--port", other.url.rpartition(":")[2])
    script, missing, endless = (
        cli("fake-provider", "anakin", "--script", "429 retry"),
        cli("fake-provider", "anakin", "--script", "@none"),
        cli("fake-provider", "anakin", "--script", "@/dev/zero"),
    )

    assert [2, 2, 2, 2] == [result[0] for result in (taken, script, missing, endless)]
    assert "cannot listen on 127.0.0.1" in taken[2]
    assert "resilience: script:1:5: step 1:" in script[2]
    assert "the script none cannot be read" in missing[2]
    assert (
        "resilience: the script /dev/zero is longer than a million characters; `*3` and `...` repeat a step\n"
        == endless[2]
    )
