"""What `resilience run --explain` tells at the end of a program."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from resilience import Attempt, Category, Trail, Verdict, Wait
from resilience._explained import Account
from resilience._trail import Charged, Refused
from tests.launched import CHECKOUT, Place, busy_once
from tests.rawserver import RawServer, answer, raw_server

HEADERS = ["when", "provider", "operation", "attempts", "waited", "cost", "outcome", "why"]


def attempt(number: int, status: int | None, category: Category, **parts: Any) -> Attempt:
    """An attempt with this answer."""
    error = None if status else "ReadTimeout"
    return Attempt(number, 0.0, 0.1, status, error, Verdict(category, retryable=True, **parts))


GOOD = attempt(2, 200, Category.SUCCESS)
BUSY = attempt(1, 429, Category.RATE_LIMITED, rule="pace")
LATE = attempt(1, None, Category.TIMEOUT)
PAID = Charged(Decimal("2.5"), "credits", Decimal(5), "settled")


def cells(text: str) -> list[list[str]]:
    """The rows of the table, without the time."""
    lines = text.split("\n\n")[1].splitlines()
    return [[each for each in line.split("  ") if each.strip()][1:] for line in lines[2:]]


def row(trail: Trail, ended: Any) -> str:
    """The row of one call, its blanks as one."""
    account = Account()
    account.note(trail, ended)
    return " ".join(account.text(None).split("\n\n")[1].splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    ("trail", "ended", "expected"),
    [
        (Trail("p", "search", [BUSY, Wait(2.0, "retry", "provider", "Retry-After"), GOOD], "success"), "success", "p search 2 2s success 429 rate_limited, rule pace"),
        (Trail("p", None, [LATE, Wait(1.0, "retry", "provider", "x"), GOOD], "success"), "success", "p 2 1s success ReadTimeout timeout"),
        (Trail("p", None, [Wait(41.0, "limiter", "limit", "limit pace (1/minute)"), GOOD, PAID], "success"), "success", "p 1 41s 2.5 credits success limit pace (1/minute)"),
        (Trail("p", None, [PAID, PAID, BUSY], "attempts used up"), "failure", "p 1 5 credits failure attempts used up"),
        (Trail("p", None, [Refused("limiter", "queue_full", "full", None)], "refused by the limiter: full"), "rejected", "p 0 rejected refused by the limiter: full"),
        (Trail("p", None, [Wait(9.0, "limiter", "limit", "pace", observed=True), GOOD], "success"), "success", "p 1 success observed: pace"),
        (Trail("p", None, [Refused("breaker", "open", "down", None, observed=True), GOOD], "success"), "success", "p 1 success observed: down"),
        (Trail("p", None, [BUSY, Wait(600.0, "retry", "provider", "Retry-After")], "it was interrupted"), "interrupted", "p 1 10m interrupted it was interrupted"),
        (Trail("p", None, [], "line\x1b[2Jone\n"), "failure", "p 0 failure line\\x1b[2Jone\\n"),
        (Trail("p", None, [], "[red]x[/] :smile:"), "failure", "p 0 failure [red]x[/] :smile:"),
    ],
)  # fmt: skip
def test_a_call_is_a_row(trail: Trail, ended: Any, expected: str) -> None:
    """What was attempted, waited and paid, how it ended, and why; texts of strangers are texts."""
    assert expected == row(trail, ended)


def test_a_call_without_a_story_is_only_counted() -> None:
    """What it has cost is no story."""
    account = Account()

    account.note(Trail("p", None, [GOOD, PAID], "success"), "success")

    assert "resilience: 0 of 1 calls touched" == account.text(None)


def test_without_calls_nothing_is_told() -> None:
    """A program that called nobody ends as ever."""
    assert "" == Account().text(None)


def test_the_table_is_followed_by_the_last_three_trails() -> None:
    """Those of touched calls, the oldest first."""
    account = Account()
    trails = [
        Trail("p", f"op{number}", [BUSY, Wait(1.0, "retry", "provider", "x"), GOOD], "success") for number in range(5)
    ]

    for trail in trails:
        account.note(trail, "success")
        account.note(Trail("p", "quiet", [GOOD], "success"), "success")
    first, table, *stories = account.text(None).split("\n\n")

    assert "resilience: 5 of 10 calls touched" == first
    assert [HEADERS, [f"op{number}" for number in range(5)]] == [
        table.splitlines()[0].split(),
        [line.split()[2] for line in table.splitlines()[2:]],
    ]
    assert [str(trail) for trail in trails[2:]] == stories


def test_a_cost_that_comes_after_the_end_is_in_it() -> None:
    """An answer that is streamed is paid for when its body ends."""
    account = Account()
    trail = Trail("p", None, [BUSY, Wait(1.0, "retry", "provider", "x"), GOOD], "success")

    account.note(trail, "success")
    trail.events.append(PAID)

    assert "2.5 credits" in account.text(None)


def test_only_the_last_hundred_have_rows() -> None:
    """And it says so."""
    account = Account()
    for number in range(130):
        account.note(Trail("p", f"op{number}", [], "no"), "failure")

    first, table, *_ = account.text(None).split("\n\n")

    assert "resilience: 130 of 130 calls touched, the last 100 of them:" == first
    assert ["op30", "op129"] == [table.splitlines()[at].split()[2] for at in (2, -1)]
    assert 102 == len(table.splitlines())


def test_calls_of_many_threads_are_all_counted() -> None:
    """No count is lost."""
    account = Account()

    def call() -> None:
        for _ in range(500):
            account.note(Trail("p"), "failure")

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert account.text(None).startswith("resilience: 4000 of 4000 calls touched")


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_in_a_narrow_terminal_each_call_has_some_lines(width: int) -> None:
    """What it was and became, what it took, and why: nothing is cut to pieces, nor left out."""
    account = Account()
    why = "refused by the credits: the budget job (3 requests/day) has 0 left"
    account.note(Trail("anakin", "search", [BUSY, Wait(300.2, "retry", "provider", "x"), BUSY, PAID], why), "rejected")
    account.note(Trail("anakin", None, [BUSY], "no"), "failure")

    lines = account.text(width).split("\n\n")[1].splitlines()

    assert "anakin search rejected" == lines[0].partition(" ")[2]
    assert ["anakin failure", "    1 attempt", "    no"] == [lines[-3].partition(" ")[2], *lines[-2:]]
    story = [line.removeprefix("    ") for line in lines[1:-3]]
    assert " ".join(story) == f"2 attempts, waited 5m1s, cost 2.5 credits {why}"
    assert all(len(line) <= width for line in lines[1:-3])
    assert {4} == {len(line) - len(line.lstrip()) for line in lines[1:-3]}


def test_in_a_terminal_that_is_wide_enough_there_is_a_table() -> None:
    """Where the reason has room for some words."""
    account = Account()
    account.note(Trail("p", "search", [BUSY], "because " * 20), "failure")

    headings = [account.text(width).split("\n\n")[1].splitlines()[0].split() for width in (87, 88)]

    assert [False, True] == [heading == HEADERS for heading in headings]


def test_a_program_that_made_no_call_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It alone: what it has started or forked says nothing."""
    told: list[str] = []
    for process in (os.getpid(), os.getppid()):
        monkeypatch.setenv("RESILIENCE_RUN_PID", str(process))
        told.append(Account().text(80))

    assert ["resilience: no call was made that a policy applies to", ""] == told


@pytest.mark.parametrize("width", [80, 120])
def test_it_is_as_wide_as_the_terminal(width: int) -> None:
    """Long reasons are folded, and nothing is left out."""
    account = Account()
    account.note(Trail("p", "search", [], f"because {'x' * 150} end"), "failure")

    table = account.text(width).split("\n\n")[1]

    assert max(map(len, table.splitlines())) <= width
    assert 150 == table.count("x")


def test_without_rich_the_rows_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may run in an environment of its own."""
    account = Account()
    account.note(Trail("p", "search", [], "no"), "failure")
    monkeypatch.setitem(sys.modules, "rich.table", None)

    heading, line = account.text(None).split("\n\n")[1].splitlines()

    assert HEADERS == heading.split()
    assert line.endswith("p  search  0  failure  no")


class _Closed(io.StringIO):
    def write(self, _text: str, /) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [None, _Closed()])
def test_a_standard_error_that_is_gone_is_no_error(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program has ended, and so does this."""
    account = Account()
    account.note(Trail("p"), "failure")
    monkeypatch.setattr(sys, "stderr", stream)

    account.tell()


class _Tee(io.StringIO):
    """As a program may put in the place of its standard error, to write a copy of all that it says."""

    def isatty(self) -> bool:
        return True


def test_a_stream_that_only_says_it_is_a_terminal_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows how wide it is."""
    account = Account()
    account.note(Trail("p", None, [], "no"), "failure")
    monkeypatch.setattr(sys, "stderr", tee := _Tee())

    account.tell()

    assert "resilience: 1 of 1 calls touched" in tee.getvalue()


def test_an_old_encoding_says_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is escaped."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="latin-1"))
    account = Account()
    account.note(Trail("p", None, [], "größer \u2192"), "failure")

    account.tell()

    assert "größer \\u2192" in raw.getvalue().decode("latin-1")


@pytest.fixture
def server() -> Iterator[RawServer]:
    """A provider that is busy once."""
    with busy_once() as server:
        yield server


@pytest.fixture
def directory(tmp_path: Path, server: RawServer) -> Path:
    """A directory with a configuration for that provider."""
    return Place(tmp_path, server).directory


def command(directory: Path, program: str, url: str) -> dict[str, Any]:
    """How a program is run in this directory and explained."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RESILIENCE_")}
    return {
        "args": [sys.executable, "-m", "resilience", "run", "--explain", "--", sys.executable, "-c", textwrap.dedent(program), url],
        "cwd": directory,
        "env": {**own, "PYTHONPATH": str(CHECKOUT)},
    }  # fmt: skip


def explained(directory: Path, program: str, url: str) -> subprocess.CompletedProcess[str]:
    """What a program and the account of it say."""
    return subprocess.run(**command(directory, program, url), capture_output=True, text=True, timeout=60, check=False)


def test_a_program_ends_with_an_account_of_its_calls(directory: Path, server: RawServer) -> None:
    """The line, the table, the trail."""
    program = """
        import sys, httpx
        print(httpx.get(sys.argv[1]).status_code)
        raise SystemExit(3)
    """

    done = explained(directory, program, server.url)

    assert (3, "200\n") == (done.returncode, done.stdout)
    first, table, trail = done.stderr.strip().split("\n\n")
    assert "resilience: 1 of 1 calls touched" == first
    heading, _, line = table.splitlines()
    assert HEADERS == heading.split()
    assert ("local", "2", "success 429 rate_limited") == (line.split()[1], line.split()[2], " ".join(line.split()[-3:]))
    assert trail.startswith("local: 2 attempts\n  1. ")
    assert not [each for each in done.stderr.splitlines() if each != each.rstrip()]


def test_a_program_does_not_pay_for_the_table_while_it_runs() -> None:
    """It is made when the program has ended."""
    program = (
        "import sys; from resilience._explained import explain_at_exit; explain_at_exit(); print('rich' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)

    assert ("False\n", "") == (done.stdout, done.stderr)


def test_the_ancestor_tells_its_own_calls_alone(directory: Path, server: RawServer) -> None:
    """A child that was forked tells those that it made itself, and nothing where it made none."""
    program = """
        import os, sys, warnings, httpx
        warnings.simplefilter("ignore")
        httpx.get(sys.argv[1])
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
        if os.fork() == 0:
            httpx.get(sys.argv[1])
            sys.exit(0)
        os.wait()
    """

    done = explained(directory, program, server.url)

    assert ["0 of 1", "1 of 1"] == [line[12:18] for line in done.stderr.splitlines() if line.startswith("resilience:")]


def test_a_call_that_was_interrupted_is_told_too(tmp_path: Path) -> None:
    """Whoever presses Ctrl-C wants to know what it was waiting for."""
    with raw_server(answer(429, b"{}", "Retry-After: 3000")) as server:
        directory = Place(tmp_path, server).directory
        program = """
            import sys, httpx, resilience, threading, os, signal
            class Mine(resilience.events.Listener):
                def on_retry(self, event):
                    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            resilience.listen(Mine())
            httpx.get(sys.argv[1])
        """
        done = explained(directory, program, server.url)

    assert -signal.SIGINT == done.returncode
    assert "KeyboardInterrupt" in done.stderr
    assert "interrupted" in done.stderr.partition("calls touched")[2]
    assert "=> it was interrupted" in done.stderr
